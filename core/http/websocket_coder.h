/*
 * websocket_coder.h - permessage-deflate (RFC 7692) for all the WebSockets of a VM.
 *
 * Neither side keeps anything from one message to the next (no_context_takeover), so that one coder
 * does for any number of connections: what zlib needs is held once, from the first message on.
 */
#pragma once

#include "base/buf.h"

#include <stdint.h>

struct websocket_coder;

struct websocket_coder *websocket_coder_new(void);
void websocket_coder_free(struct websocket_coder *coder);
/* Into `out`, which is empty: what `bytes` were made from. 0; -EMSGSIZE: more than `max`; -EPROTO:
 * deflate does not make such bytes; -ENOMEM. */
int websocket_coder_inflate(struct websocket_coder *coder, struct str bytes, uint64_t max,
                            struct buf *out);
/* Appends. */
void websocket_coder_deflate(struct websocket_coder *coder, struct str bytes, struct buf *out);
