/*
 * lib_core.h - the list of the C modules that Lua can require.
 */
#pragma once

struct vm;

void lib_core_preload(struct vm *vm);
