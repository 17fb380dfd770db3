/*
 * How a connection of the client sends a request: bytes at hand in slices, a body that comes in
 * pieces with the framing around them. What the socket does not take at once is bounded.
 */
#include "http/fetch.h"
#include "http/outgoing.h"
#include "http/pool_state.h"
#include "http/upload.h"
#include "net/stream.h"

#include <errno.h>
#include <stdio.h>

enum {
    SEND_SLICE_BYTES = 256 * 1024,
    SEND_AHEAD_BYTES = 64 * 1024, /* with less than so much queued, another piece may come */
    SIZE_LINE_BYTES = 24,
    PIECES_MAX = 4, /* head, size of a chunk, its bytes, its end */
};

/* The kernel refused all of a write, which TLS may have cut into several. */
static bool is_nothing_sent(const struct client_conn *conn, int status)
{
    return conn->origin->scheme != URL_HTTPS && (status == -EPIPE || status == -ECONNRESET);
}

static struct str next_slice(struct fetch *fetch)
{
    size_t left = fetch->body.len - fetch->body_sent;
    struct str slice = {fetch->body.ptr + fetch->body_sent,
                        left < SEND_SLICE_BYTES ? left : SEND_SLICE_BYTES};
    fetch->body_sent += slice.len;
    return slice;
}

/* What of the body comes next, with what belongs around it; returns how many pieces that is. */
static uint32_t next_pieces(struct fetch *fetch, struct str *pieces, char size_line[])
{
    struct upload *upload = fetch->upload;
    bool is_chunked = upload != NULL && upload->is_stream && upload->length == UPLOAD_CHUNKED;
    if (upload != NULL && upload->is_held)
        return 0;
    if (fetch->body_sent < fetch->body.len && !is_chunked) {
        pieces[0] = next_slice(fetch);
        return 1;
    }
    if (fetch->body_sent < fetch->body.len) {
        pieces[1] = next_slice(fetch);
        int len = snprintf(size_line, SIZE_LINE_BYTES, "%zx\r\n", pieces[1].len);
        pieces[0] = (struct str){size_line, (size_t)len};
        pieces[2] = str_of("\r\n");
        return 3;
    }
    if (!is_chunked || !upload->is_ended || upload->is_end_sent)
        return 0;
    upload->is_end_sent = true;
    pieces[0] = str_of("0\r\n\r\n");
    return 1;
}

void client_conn_send(struct client_conn *conn, struct str head)
{
    struct fetch *fetch = conn->fetch;
    while (!conn->is_lost &&
           (head.len != 0 || stream_queued_bytes(conn->stream) < SEND_SLICE_BYTES)) {
        struct str pieces[PIECES_MAX];
        char size_line[SIZE_LINE_BYTES];
        uint32_t npieces = 0;
        if (head.len != 0)
            pieces[npieces++] = head;
        npieces += next_pieces(fetch, pieces + npieces, size_line);
        if (npieces == 0)
            break;
        int status = stream_write(conn->stream, pieces, npieces);
        conn->has_sent |= !is_nothing_sent(conn, status);
        if (status != 0)
            conn->is_lost = true; /* the end comes as an event, perhaps behind an answer */
        head.len = 0;
    }
    if (fetch->upload != NULL)
        upload_taken(fetch, !conn->is_lost && stream_queued_bytes(conn->stream) < SEND_AHEAD_BYTES);
}

void client_conn_on_drain(void *owner)
{
    struct client_conn *conn = owner;
    struct fetch *fetch = conn->fetch;
    if (fetch == NULL)
        return;
    client_conn_send(conn, (struct str){0});
    if (fetch->upload != NULL && fetch->upload->has_room)
        fetch_changed(fetch);
}
