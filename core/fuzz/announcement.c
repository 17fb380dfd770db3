/*
 * What proxies say of their clients: a PROXY header, the same whole and at every length of what has
 * come so far; and a Forwarded field, whose end says the same whatever stands before it.
 *
 * Input: the bytes of a connection, which are tried as a field as well.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "http/announcement.h"
#include "http/forwarded_field.h"

#include <stdlib.h>
#include <string.h>

enum { INPUT_MAX = 2048, HEADER_MAX = 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_end(const struct announcement *announcement, enum announcement_result result,
                      size_t len)
{
    char text[IP_ADDRESS_TEXT_BYTES];
    ENSURE(result != ANNOUNCEMENT_BAD || (announcement->fault != NULL && !announcement->has_client));
    ENSURE(result != ANNOUNCEMENT_BAD || announcement->fault_at <= len);
    ENSURE(result != ANNOUNCEMENT_READ || (announcement->len > 0 && announcement->len <= len));
    if (announcement->has_client)
        ENSURE(ip_address_show(&announcement->client, text) > 1);
}

/* Once it is known what it is, further bytes change nothing. */
static void check_header(const char *bytes, size_t len)
{
    struct announcement first = {0}, each;
    enum announcement_result known = ANNOUNCEMENT_MORE;
    for (size_t come = 0; come <= len; come++) {
        char *copy = come != 0 ? mem_zeroed(come) : NULL; /* what lies behind it is not to be read */
        if (come != 0)
            memcpy(copy, bytes, come);
        enum announcement_result result = announcement_read(&each, copy, come, HEADER_MAX);
        free(copy);
        check_end(&each, result, come);
        if (known == ANNOUNCEMENT_MORE) {
            known = result;
            first = each;
            continue;
        }
        ENSURE(result == known && each.len == first.len && each.fault_at == first.fault_at);
        ENSURE(each.fault == first.fault && each.has_client == first.has_client);
        ENSURE(!each.has_client || memcmp(&each.client, &first.client, sizeof(each.client)) == 0);
    }
}

static void check_pops(struct str field)
{
    struct forwarded_element element;
    struct ip_address address;
    char text[64];
    size_t before = field.len + 1;
    while (field.len < before) {
        before = field.len;
        if (!forwarded_field_pop(&field, &element))
            break;
        forwarded_node_address(element.node, &address);
        ENSURE(forwarded_field_text(element.host, text, sizeof(text)) <= sizeof(text));
        ENSURE(field.len < before);
    }
}

/* What a proxy appends is read as it wrote it. */
static void check_appended(struct str made_up)
{
    static const char *const appended[] = {
        "for=192.0.2.43",
        "for=\"192.0.2.43:80\";proto=https;host=\"a:1\"",
        "by=_x;for=192.0.2.43;ext=\"a\\\"b,c;d\"",
    };
    for (size_t i = 0; i < sizeof(appended) / sizeof(*appended); i++) {
        struct buf field = {0};
        struct forwarded_element element;
        struct ip_address address;
        char text[IP_ADDRESS_TEXT_BYTES];
        buf_add_str(&field, made_up);
        buf_add_text(&field, ", ");
        buf_add_text(&field, appended[i]);
        struct str rest = buf_str(&field);
        ENSURE(forwarded_field_pop(&rest, &element));
        ENSURE(rest.len == made_up.len && forwarded_node_address(element.node, &address));
        ip_address_show(&address, text);
        ENSURE(strcmp(text, "192.0.2.43") == 0);
        buf_deinit(&field);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct str bytes = {(const char *)data, len};
    if (len > INPUT_MAX)
        return 0;
    check_header(bytes.ptr, len);
    check_pops(bytes);
    check_appended(bytes);
    return 0;
}
