#include "http/field.h"

#include <string.h>

static const bool token_bytes[256] = {
    ['0' ... '9'] = true, ['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['!'] = true,  ['#'] = true,
    ['$'] = true,         ['%'] = true,         ['&'] = true,         ['\''] = true, ['*'] = true,
    ['+'] = true,         ['-'] = true,         ['.'] = true,         ['^'] = true,  ['_'] = true,
    ['`'] = true,         ['|'] = true,         ['~'] = true,
};

bool field_is_token_byte(unsigned char c)
{
    return token_bytes[c];
}

bool field_is_name(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if (!token_bytes[(unsigned char)text.ptr[i]])
            return false;
    return text.len != 0;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool field_next_element(struct str *list, struct str *element)
{
    while (list->len != 0) {
        const char *comma = memchr(list->ptr, ',', list->len);
        size_t len = comma != NULL ? (size_t)(comma - list->ptr) : list->len;
        *element = (struct str){list->ptr, len};
        len += comma != NULL;
        *list = (struct str){list->ptr + len, list->len - len};
        while (element->len != 0 && is_blank(*element->ptr))
            *element = (struct str){element->ptr + 1, element->len - 1};
        while (element->len != 0 && is_blank(element->ptr[element->len - 1]))
            element->len--;
        if (element->len != 0)
            return true;
    }
    return false;
}

bool field_lists(struct str list, struct str token)
{
    struct str element;
    while (field_next_element(&list, &element))
        if (str_equal_nocase(element, token))
            return true;
    return false;
}

bool field_is_protocol(struct str text)
{
    const char *slash = text.len != 0 ? memchr(text.ptr, '/', text.len) : NULL;
    if (slash == NULL)
        return field_is_name(text);
    return field_is_name((struct str){text.ptr, (size_t)(slash - text.ptr)}) &&
           field_is_name((struct str){slash + 1, (size_t)(text.ptr + text.len - slash - 1)});
}
