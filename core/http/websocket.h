/*
 * websocket.h - one WebSocket (RFC 6455) on a connection that has left HTTP: messages both ways,
 * pings, the goodbye. Either side of it.
 *
 * Made of a duplex, which it releases; on the loop's thread. What its owner does not receive waits
 * here up to WEBSOCKET_AHEAD_MAX, then in the kernel and at the peer; pings are answered meanwhile.
 */
#pragma once

#include "http/websocket_reader.h"

struct duplex;
struct loop;
struct websocket;

enum {
    WEBSOCKET_AHEAD_MAX = 64 * 1024, /* bytes of messages that nobody has received */
    WEBSOCKET_COMPRESSED_MIN = 128,  /* bytes; shorter messages are sent as they are */
};

struct websocket_options {
    bool is_client;
    uint32_t max_message; /* bytes */
    uint32_t max_frame;
    uint32_t ping_interval_ms;     /* of silence until it is pinged; 0: never */
    uint32_t ping_timeout_ms;      /* then until something has to come; 0: for ever */
    uint32_t close_timeout_ms;     /* from a goodbye until the connection is cut; 0: never */
    struct websocket_coder *coder; /* permessage-deflate was agreed on; borrowed. NULL: not */
};

struct websocket_owner {
    /* After websocket_want: WEBSOCKET_TEXT or WEBSOCKET_BINARY, or WEBSOCKET_CLOSE when there will
     * be none any more. The payload is good during the call. */
    void (*on_message)(void *owner, enum websocket_event event, struct str payload);
    /* Less is queued than before, or nothing can be sent any more. */
    void (*on_writable)(void *owner);
    /* Both sides have said goodbye, or the connection is gone. Once. */
    void (*on_over)(void *owner);
};

/* Takes the duplex over. The owner is called from the loop only, never from within a function of
 * its own; it may release the websocket from there. */
struct websocket *websocket_open(struct loop *loop, struct duplex *duplex,
                                 const struct websocket_options *options,
                                 const struct websocket_owner *events, void *owner);
/* The owner lets go. Who has not said goodbye does so now (1001); what is queued still leaves. */
void websocket_release(struct websocket *websocket);

/* The next message that is here: as on_message, or WEBSOCKET_NOTHING. The payload is good until
 * websocket_took, which has to be called. */
enum websocket_event websocket_receive(struct websocket *websocket, struct str *payload);
void websocket_took(struct websocket *websocket);
/* Whether on_message is to be called, once. */
void websocket_want(struct websocket *websocket, bool is_wanted);

/* Sends a message. 0, or -EPIPE after a goodbye. What the peer does not take is queued. */
int websocket_send(struct websocket *websocket, bool is_text, struct str bytes);
bool websocket_must_wait(const struct websocket *websocket);
/* Says goodbye, once; `code` has to be one that may be sent, or WEBSOCKET_NO_CODE. `reason`: at
 * most WEBSOCKET_REASON_MAX bytes of UTF-8. */
void websocket_close(struct websocket *websocket, uint16_t code, struct str reason);
/* Messages that still come are thrown away. */
void websocket_ignore(struct websocket *websocket);

/* Whether nothing can be sent any more. */
bool websocket_is_closing(const struct websocket *websocket);
bool websocket_is_over(const struct websocket *websocket);
/* What the first goodbye has said: WEBSOCKET_NO_CODE, or 0 while there was none. */
uint16_t websocket_close_code(const struct websocket *websocket);
struct str websocket_close_reason(const struct websocket *websocket);
