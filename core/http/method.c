#include "http/method.h"

/* In llhttp's order (llhttp.h, HTTP_METHOD_MAP), up to the last that HTTP knows. */
static const char *const names[] = {
    "DELETE",     "GET",      "HEAD",       "POST",     "PUT",    "CONNECT",   "OPTIONS",
    "TRACE",      "COPY",     "LOCK",       "MKCOL",    "MOVE",   "PROPFIND",  "PROPPATCH",
    "SEARCH",     "UNLOCK",   "BIND",       "REBIND",   "UNBIND", "ACL",       "REPORT",
    "MKACTIVITY", "CHECKOUT", "MERGE",      "M-SEARCH", "NOTIFY", "SUBSCRIBE", "UNSUBSCRIBE",
    "PATCH",      "PURGE",    "MKCALENDAR", "LINK",     "UNLINK", "SOURCE"};

enum { NAME_COUNT = sizeof(names) / sizeof(*names) };

struct str method_name(uint8_t method)
{
    return str_of(method < NAME_COUNT ? names[method] : "?");
}

int method_of(struct str name)
{
    for (int i = 0; i < NAME_COUNT; i++)
        if (str_equal(name, str_of(names[i])))
            return i;
    return -1;
}
