/*
 * library_memory.h - which memory the libraries take that have no better answer than ours to its
 * end. Called once, before any of them is used.
 *
 * libuv aborts in places when it gets none, so it has the reserve of base/mem.h behind it. OpenSSL
 * and c-ares fail what they were asked for; in builds for tests they are made to (base/shortage.h).
 */
#pragma once

void library_memory_use(void);
