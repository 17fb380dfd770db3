/*
 * The field Forwarded and the addresses in it: elements lie within the field and behind each other,
 * what a client writes in front changes nothing of what proxies have added, and addresses are
 * written and read as the same.
 *
 * Input: what a client made up, a line end, what proxies added.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "http/forwarded_field.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUT_MAX = 4096, ELEMENTS_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_within(struct str part, struct str text)
{
    if (part.ptr != NULL)
        ENSURE(part.ptr >= text.ptr && part.ptr + part.len <= text.ptr + text.len);
}

static void check_address(struct str node)
{
    struct ip_address address, again;
    char text[IP_ADDRESS_TEXT_BYTES + 8];
    if (!forwarded_node_address(node, &address))
        return;
    size_t len = ip_address_show(&address, text);
    ENSURE(ip_address_read(&again, (struct str){text, len}));
    ENSURE(memcmp(&address, &again, sizeof(address)) == 0);
    ENSURE(forwarded_node_address((struct str){text, len}, &again));
    ENSURE(memcmp(&address, &again, sizeof(address)) == 0);
    struct ip_networks networks = {0};
    ENSURE(ip_networks_read(&networks, text) && networks.count == 1);
    ENSURE(ip_networks_have(&networks, &address));
    ip_networks_deinit(&networks);
}

static void check_text(struct str value)
{
    char *text = mem_grow(NULL, value.len + 1);
    size_t len = forwarded_field_text(value, text, value.len);
    ENSURE(len <= value.len);
    if (value.len != 0 && memchr(value.ptr, '\\', value.len) == NULL)
        ENSURE(len == value.len && memcmp(text, value.ptr, len) == 0);
    free(text);
}

/* As many elements as there are, from the last; `is_clean`: the field is used up. */
static uint32_t pop_all(struct str field, struct forwarded_element *elements, bool *is_clean)
{
    struct str whole = field;
    uint32_t count = 0;
    while (count < ELEMENTS_MAX) {
        size_t before = field.len;
        struct forwarded_element *element = &elements[count];
        if (!forwarded_field_pop(&field, element)) {
            ENSURE(field.len == 0 || field.len == before);
            break;
        }
        ENSURE(field.ptr == whole.ptr && field.len < before);
        check_within(element->node, whole);
        check_within(element->proto, whole);
        check_within(element->host, whole);
        count++;
    }
    *is_clean = field.len == 0;
    return count;
}

static bool is_same(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* What is added behind a comma is read alone as behind anything. */
static void check_added(struct str made_up, struct str added)
{
    struct forwarded_element alone[ELEMENTS_MAX], behind[ELEMENTS_MAX];
    struct buf both = {0};
    bool is_clean, is_both_clean;
    uint32_t count = pop_all(added, alone, &is_clean);
    buf_add_str(&both, made_up);
    buf_add_text(&both, ", ");
    buf_add_str(&both, added);
    uint32_t both_count = pop_all(buf_str(&both), behind, &is_both_clean);
    ENSURE(!is_clean || both_count >= count);
    for (uint32_t i = 0; i < count && is_clean; i++) {
        ENSURE(is_same(alone[i].node, behind[i].node) && is_same(alone[i].host, behind[i].host) &&
               is_same(alone[i].proto, behind[i].proto));
        check_address(alone[i].node);
        check_text(alone[i].node);
        check_text(alone[i].host);
    }
    buf_deinit(&both);
}

static void check_networks(struct str text)
{
    struct ip_networks networks = {0};
    struct buf copy = {0};
    buf_add_str(&copy, text);
    buf_add_char(&copy, '\0');
    ip_networks_read(&networks, copy.ptr);
    for (uint32_t i = 0; i < networks.count; i++) {
        ENSURE(networks.list[i].bits <= 128);
        ENSURE(ip_networks_have(&networks, &networks.list[i].address));
    }
    ip_networks_deinit(&networks);
    buf_deinit(&copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const char *text = (const char *)data;
    const char *line_end = len != 0 ? memchr(text, '\n', len) : NULL;
    if (line_end == NULL || len > INPUT_MAX)
        return 0;
    struct str made_up = {text, (size_t)(line_end - text)};
    check_added(made_up, (struct str){line_end + 1, len - made_up.len - 1});
    check_address(made_up);
    check_networks(made_up);
    return 0;
}
