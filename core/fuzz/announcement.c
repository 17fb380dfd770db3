/*
 * Headers of the PROXY protocol: what comes of one is the same with its last byte as with all that
 * follows, and nothing is decided before it has to be; who is announced is who is written again.
 *
 * Input: what a connection begins with.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "http/announcement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUT_MAX = 4096, HEADER_MAX = 512 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Of a copy that ends where it says: a sanitizer sees what is read beyond. */
static enum announcement_result read_first(const uint8_t *data, size_t len,
                                           struct announcement *announcement)
{
    char *copy = mem_grow(NULL, len + (len == 0));
    memcpy(copy, data, len);
    enum announcement_result result = announcement_read(announcement, copy, len, HEADER_MAX);
    free(copy);
    return result;
}

static void check_read(const struct announcement *announcement, size_t len)
{
    char text[IP_ADDRESS_TEXT_BYTES];
    struct ip_address again;
    ENSURE(announcement->len >= 8 && announcement->len <= len);
    ENSURE(announcement->len <= 16 + HEADER_MAX);
    if (!announcement->has_client)
        return;
    size_t text_len = ip_address_show(&announcement->client, text);
    ENSURE(text_len != 0 && text_len == strlen(text));
    ENSURE(ip_address_read(&again, (struct str){text, text_len}));
    ENSURE(memcmp(&again, &announcement->client, sizeof(again)) == 0);
}

static void check_line(const struct announcement *announcement)
{
    char text[IP_ADDRESS_TEXT_BYTES];
    struct buf line = {0};
    struct announcement again;
    if (!announcement->has_client)
        return;
    ip_address_show(&announcement->client, text);
    bool is_four = ip_address_is_four(&announcement->client);
    buf_printf(&line, "PROXY TCP%c %s %s 1 65535\r\n", is_four ? '4' : '6', text,
               is_four ? "0.0.0.0" : "::");
    ENSURE(announcement_read(&again, line.ptr, line.len, 0) == ANNOUNCEMENT_READ);
    ENSURE(again.has_client && again.len == line.len && !again.is_tls);
    ENSURE(memcmp(&again.client, &announcement->client, sizeof(again.client)) == 0);
    buf_deinit(&line);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct announcement whole, first = {0}, part;
    if (len > INPUT_MAX)
        return 0;
    enum announcement_result result = read_first(data, len, &whole), decided = ANNOUNCEMENT_MORE;
    for (size_t some = 0; some <= len && some <= 16 + HEADER_MAX + 2; some++) {
        enum announcement_result now = read_first(data, some, &part);
        ENSURE(decided == ANNOUNCEMENT_MORE || now == decided);
        if (now == ANNOUNCEMENT_BAD) {
            ENSURE(part.fault != NULL && part.fault_at <= some && !part.has_client);
            ENSURE(decided == ANNOUNCEMENT_MORE ||
                   (part.fault == first.fault && part.fault_at == first.fault_at));
        }
        if (decided == ANNOUNCEMENT_MORE)
            first = part;
        decided = now;
    }
    ENSURE(result == decided);
    if (result == ANNOUNCEMENT_READ) {
        ENSURE(whole.len == first.len && whole.has_client == first.has_client);
        ENSURE(memcmp(&whole.client, &first.client, sizeof(whole.client)) == 0);
        check_read(&whole, len);
        check_line(&whole);
    }
    return 0;
}
