/*
 * library_memory.h - which memory the libraries take that have no better answer than ours to its
 * end. Called once, before any of them is used.
 *
 * libuv aborts in places when it gets none, and what c-ares holds is small: they have the reserve
 * of base/mem.h behind them. OpenSSL fails what it was asked for; in builds for tests it is made to
 * (base/shortage.h).
 */
#pragma once

void library_memory_use(void);
