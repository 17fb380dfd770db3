/*
 * Messages between a worker and a process that works for it: whatever comes through the pipe ends,
 * is never longer than it says, and what was received is sent again as the same bytes.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "loop/frame.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { INPUT_MAX = 64 * 1024, BODY_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* The bytes at `data` are what this frame is when it is sent, up to padding: none. */
static void check_sent(struct frame frame, struct str body, const uint8_t *data)
{
    uint8_t bytes[BODY_MAX + 64];
    int pair[2];
    ENSURE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    struct frame_stream stream = {.fd = pair[0]};
    ENSURE(frame_send(&stream, frame, &body, 1) == 0);
    ssize_t len = recv(pair[1], bytes, sizeof(bytes), MSG_DONTWAIT);
    ENSURE(len >= (ssize_t)body.len && memcmp(bytes, data, (size_t)len) == 0);
    close(pair[0]);
    close(pair[1]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct buf body = {0};
    struct frame frame;
    int pair[2];
    size_t at = 0;
    if (len == 0 || len > INPUT_MAX)
        return 0;
    ENSURE(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
    ENSURE(send(pair[1], data, len, MSG_DONTWAIT) == (ssize_t)len);
    close(pair[1]);
    struct frame_stream stream = {.fd = pair[0]};
    while (true) {
        int status = frame_receive(&stream, &frame, at % 2 == 0 ? FRAME_WITH_FD : FRAME_WITHOUT_FD);
        ENSURE(frame.fd == -1);
        if (status == 0) {
            body.len = 0;
            status = frame_read_body(&stream, &frame, BODY_MAX, &body);
        }
        ENSURE(status == 0 || status == -ECONNRESET || status == -EPROTO);
        if (status != 0)
            break;
        ENSURE(body.len == frame.len && frame.type >= 1 && frame.type <= FRAME_LAST_TYPE);
        check_sent(frame, buf_str(&body), data + at);
        at += 24 + body.len; /* a head has 24 bytes */
        ENSURE(at <= len);
    }
    close(pair[0]);
    buf_deinit(&body);
    return 0;
}
