#include "script/refusal.h"

#include "http/method.h"
#include "http/router.h"

#include <stdio.h>

void refuse(struct request *request, uint16_t status, const char *text, struct str fields)
{
    struct answer answer = {
        .status = status,
        .content_type = str_of("text/plain; charset=utf-8"),
        .fields = fields,
        .body = str_of(text),
    };
    request_answer(request, &answer);
}

void refuse_method(struct request *request, uint32_t allowed)
{
    char allow[64], field[80];
    size_t len = router_allow_text(allowed, allow);
    len = (size_t)snprintf(field, sizeof(field), "Allow: %.*s\r\n", (int)len, allow);
    struct str fields = {field, len};
    if (request->message.method == METHOD_OPTIONS) {
        struct answer answer = {.status = 204, .fields = fields};
        request_answer(request, &answer);
        return;
    }
    refuse(request, 405, "method not allowed\n", fields);
}
