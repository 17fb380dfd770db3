#include "http/hop.h"

#include "http/field.h"

static bool is_one_of(struct str name, const struct str *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (name.len == names[i].len && str_equal_nocase(name, names[i]))
            return true;
    return false;
}

bool hop_is_own(struct str name)
{
    static const struct str names[] = {
        {"te", 2},
        {"trailer", 7},
        {"upgrade", 7},
        {"connection", 10},
        {"keep-alive", 10},
        {"content-length", 14},
        {"proxy-connection", 16},
        {"transfer-encoding", 17},
        {"proxy-authenticate", 18},
        {"proxy-authorization", 19},
    };
    return is_one_of(name, names, sizeof(names) / sizeof(*names));
}

/* The next element of the Connection fields from the i-th field on; false at the end. */
static bool next_element(const struct message *message, const char *base, uint32_t *i,
                         struct str *list, struct str *element)
{
    while (!field_next_element(list, element)) {
        const struct header_slice *header;
        do {
            if (*i == message->nheaders)
                return false;
            header = &message->headers[(*i)++];
        } while (header->name.len != 10 ||
                 !str_equal_nocase((struct str){base + header->name.at, 10},
                                   (struct str){"connection", 10}));
        *list = (struct str){base + header->value.at, header->value.len};
    }
    return true;
}

bool hop_is_listed(const struct message *message, const char *base, struct str name)
{
    struct str list = {0}, element;
    uint32_t i = 0;
    while (next_element(message, base, &i, &list, &element))
        if (str_equal_nocase(element, name))
            return true;
    return false;
}

bool hop_has_list(const struct message *message, const char *base)
{
    static const struct str usual[] = {{"close", 5}, {"upgrade", 7}, {"keep-alive", 10}};
    struct str list = {0}, element;
    uint32_t i = 0;
    while (next_element(message, base, &i, &list, &element))
        if (!is_one_of(element, usual, sizeof(usual) / sizeof(*usual)))
            return true;
    return false;
}
