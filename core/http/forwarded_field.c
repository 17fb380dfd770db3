#include "http/forwarded_field.h"

#include <string.h>

enum { NODE_BYTES = 64 };

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Of a token (RFC 9110, 5.6.2), and what addresses and ports are made of. */
static bool is_value_char(char c)
{
    return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~:[]", c) != NULL);
}

static void drop_blanks(struct str *text)
{
    while (text->len != 0 && is_blank(text->ptr[text->len - 1]))
        text->len--;
}

static bool ends_with(const struct str *text, char c)
{
    return text->len != 0 && text->ptr[text->len - 1] == c;
}

/* Whether the byte at `at` has an odd number of backslashes before it. */
static bool is_escaped(struct str text, size_t at)
{
    size_t count = 0;
    while (count < at && text.ptr[at - count - 1] == '\\')
        count++;
    return count % 2 != 0;
}

/* From the closing quote at the end back to the opening one. */
static bool pop_quoted(struct str *text, struct str *value)
{
    size_t end = text->len - 1, at = end;
    if (is_escaped(*text, end))
        return false;
    while (at-- > 0)
        if (text->ptr[at] == '"' && !is_escaped(*text, at)) {
            *value = (struct str){text->ptr + at + 1, end - at - 1};
            text->len = at;
            return true;
        }
    return false;
}

static struct str pop_word(struct str *text)
{
    size_t end = text->len;
    while (text->len != 0 && is_value_char(text->ptr[text->len - 1]))
        text->len--;
    return (struct str){text->ptr + text->len, end - text->len};
}

static bool pop_pair(struct str *text, struct str *name, struct str *value)
{
    if (ends_with(text, '"')) {
        if (!pop_quoted(text, value))
            return false;
    } else {
        *value = pop_word(text);
    }
    if (!ends_with(text, '='))
        return false;
    text->len--;
    *name = pop_word(text);
    return name->len != 0;
}

/* False when it was given already: once an element is the rule. */
static bool keep(struct forwarded_element *element, struct str name, struct str value)
{
    struct str *place = str_equal_nocase(name, str_of("for"))     ? &element->node
                        : str_equal_nocase(name, str_of("proto")) ? &element->proto
                        : str_equal_nocase(name, str_of("host"))  ? &element->host
                                                                  : NULL;
    if (place == NULL)
        return true;
    bool is_first = place->ptr == NULL;
    *place = value;
    return is_first;
}

bool forwarded_field_pop(struct str *field, struct forwarded_element *element)
{
    struct str rest = *field, name, value;
    *element = (struct forwarded_element){0};
    drop_blanks(&rest);
    while (ends_with(&rest, ',')) { /* RFC 9110, 5.6.1.2: empty elements do not count */
        rest.len--;
        drop_blanks(&rest);
    }
    if (rest.len == 0) {
        field->len = 0;
        return false;
    }
    for (;;) {
        while (ends_with(&rest, ';')) {
            rest.len--;
            drop_blanks(&rest);
        }
        if (rest.len == 0 || ends_with(&rest, ','))
            break;
        if (!pop_pair(&rest, &name, &value) || !keep(element, name, value))
            return false;
        drop_blanks(&rest);
        if (rest.len != 0 && !ends_with(&rest, ';') && !ends_with(&rest, ','))
            return false;
    }
    rest.len -= rest.len != 0;
    *field = rest;
    return true;
}

size_t forwarded_field_text(struct str value, char *text, size_t bytes)
{
    size_t len = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (value.ptr[i] == '\\' && i + 1 < value.len)
            i++;
        if (len == bytes)
            return 0;
        text[len++] = value.ptr[i];
    }
    return len;
}

static bool is_port(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] < '0' || text.ptr[i] > '9')
            return false;
    return text.len >= 1 && text.len <= 5;
}

bool forwarded_node_address(struct str node, struct ip_address *address)
{
    char text[NODE_BYTES];
    struct str host = {text, forwarded_field_text(node, text, sizeof(text))};
    const char *colon = host.len != 0 ? memrchr(text, ':', host.len) : NULL;
    const char *bracket = host.len != 0 ? memchr(text, ']', host.len) : NULL;
    if (host.len != 0 && *text == '[' && bracket != NULL) {
        size_t inner = (size_t)(bracket - text) - 1;
        struct str port = {bracket + 2, host.len - inner - 3};
        if (host.len != inner + 2 && (host.len < inner + 3 || bracket[1] != ':' || !is_port(port)))
            return false;
        host = (struct str){text + 1, inner};
        return memchr(host.ptr, ':', host.len) != NULL && ip_address_read(address, host);
    }
    if (colon != NULL && memchr(text, ':', host.len) == colon) { /* one: IPv4 with a port */
        if (!is_port((struct str){colon + 1, host.len - (size_t)(colon + 1 - text)}))
            return false;
        host.len = (size_t)(colon - text);
    }
    return ip_address_read(address, host);
}
