/*
 * orphan.h - a worker whose master is gone.
 *
 * Nobody replaces it: it has its grace to drain, and then has to go by itself, whatever it is stuck
 * in.
 */
#pragma once

#include <stdint.h>

/* In a worker, at its beginning: has the kernel tell it of its master's end. */
void orphan_expect(uint32_t grace_ms);
