#include "http/field.h"

#include <string.h>

bool field_is_name(struct str text)
{
    static const char others[] = "!#$%&'*+-.^_`|~";
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.ptr[i];
        bool is_alnum = (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
        if (!is_alnum && (c == '\0' || strchr(others, c) == NULL))
            return false;
    }
    return text.len != 0;
}

bool field_lists(struct str list, struct str token)
{
    const char *at = list.ptr, *end = list.ptr + list.len;
    while (at < end) {
        const char *comma = memchr(at, ',', (size_t)(end - at));
        const char *stop = comma != NULL ? comma : end;
        const char *last = stop;
        while (at < last && (*at == ' ' || *at == '\t'))
            at++;
        while (last > at && (last[-1] == ' ' || last[-1] == '\t'))
            last--;
        if (str_equal_nocase((struct str){at, (size_t)(last - at)}, token))
            return true;
        at = stop + 1;
    }
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
