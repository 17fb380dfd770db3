#include "http/answer_head.h"

#include <string.h>

const char *answer_check_framing(const struct message *message)
{
    if (message->has_transfer_encoding && (message->has_other_codings || !message->is_chunked))
        return "its Transfer-Encoding is not chunked";
    return NULL;
}

bool answer_is_doubtful(const struct message *message)
{
    /* RFC 9112, 6.1: HTTP/1.0 knows no chunks; and 204 has no body, whoever announces one. */
    return (message->version == 10 && message->has_transfer_encoding) ||
           (message->status == 204 &&
            (message->has_transfer_encoding || message->content_length != 0));
}

void answer_unfold(const struct message *message, char *head)
{
    if (!message->has_folds)
        return;
    for (uint32_t i = 0; i < message->nheaders; i++) {
        char *at = head + message->headers[i].value.at;
        for (const char *end = at + message->headers[i].value.len; at < end; at++)
            if (*at == '\r' || *at == '\n')
                *at = ' ';
    }
}

/* The digits behind `name` and "=", or false. */
static bool read_parameter(struct str part, const char *name, uint64_t *value)
{
    size_t len = strlen(name);
    while (part.len != 0 && (part.ptr[0] == ' ' || part.ptr[0] == '\t')) {
        part.ptr++;
        part.len--;
    }
    while (part.len != 0 && (part.ptr[part.len - 1] == ' ' || part.ptr[part.len - 1] == '\t'))
        part.len--;
    if (part.len <= len + 1 || part.ptr[len] != '=' ||
        !str_equal_nocase((struct str){part.ptr, len}, str_of(name)))
        return false;
    return str_to_u64((struct str){part.ptr + len + 1, part.len - len - 1}, value);
}

static void read_hints(struct keep_alive *hints, struct str value)
{
    const char *at = value.ptr, *end = value.ptr + value.len;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *part_end = comma != NULL ? comma : end;
        struct str part = {at, (size_t)(part_end - at)};
        if (read_parameter(part, "timeout", &hints->timeout_s))
            hints->has_timeout = true;
        else if (read_parameter(part, "max", &hints->max))
            hints->has_max = true;
        at = part_end + 1;
    }
}

struct keep_alive answer_keep_alive(const struct message *message, const char *head)
{
    static const struct str wanted = {"keep-alive", 10};
    struct keep_alive hints = {0};
    for (uint32_t i = 0; i < message->nheaders; i++) {
        const struct header_slice *header = &message->headers[i];
        if (header->name.len == wanted.len &&
            str_equal_nocase((struct str){head + header->name.at, header->name.len}, wanted))
            read_hints(&hints, (struct str){head + header->value.at, header->value.len});
    }
    return hints;
}

const char *answer_guess(struct str bytes)
{
    /* The first byte of an alert or a handshake may come alone. */
    if (bytes.len >= 1 && (bytes.ptr[0] == 0x15 || bytes.ptr[0] == 0x16) &&
        (bytes.len == 1 || bytes.ptr[1] == 0x03))
        return "this is no HTTP: the server speaks TLS, so https:// may do";
    if (bytes.len >= 4 && bytes.ptr[0] == 0 && bytes.ptr[1] == 0 && bytes.ptr[3] == 0x04)
        return "this is no HTTP/1: the server speaks HTTP/2";
    return NULL;
}
