/*
 * answer.h - what a handler returned, as an answer: `return body [, status [, headers]]` and
 * whatever it set on `res`.
 */
#pragma once

#include "base/buf.h"
#include "http/request.h"

#include <lua.h>
#include <stdbool.h>

/* Where the pieces are put together; both are reused from answer to answer. */
struct answer_buffers {
    struct buf *body;
    struct buf *fields;
};

/* The results are the values from `first` to the top of L; `res` is the index of the response
 * table, 0 for none. False: what is wrong with them, as an error value on top of L. The answer
 * borrows from the buffers and from strings on L's stack. */
bool answer_read(lua_State *L, int first, int res, struct answer_buffers buffers,
                 struct answer *answer);
