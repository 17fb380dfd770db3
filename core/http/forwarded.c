#include "http/forwarded.h"

#include "base/config.h"
#include "http/conn.h"
#include "http/request.h"
#include "http/server_state.h"
#include "net/stream.h"

#include <arpa/inet.h>
#include <string.h>

static struct str trim(struct str text)
{
    while (text.len != 0 && (*text.ptr == ' ' || *text.ptr == '\t')) {
        text.ptr++;
        text.len--;
    }
    while (text.len != 0 && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
        text.len--;
    return text;
}

/* Takes the last piece between commas off the list. */
static struct str pop_last(struct str *list)
{
    const char *comma = list->len != 0 ? memrchr(list->ptr, ',', list->len) : NULL;
    struct str last = *list;
    if (comma != NULL)
        last = (struct str){comma + 1, (size_t)(list->ptr + list->len - comma - 1)};
    list->len = comma != NULL ? (size_t)(comma - list->ptr) : 0;
    return trim(last);
}

/* A Unix socket's peer is a process of this machine. */
bool forwarded_trusts(const struct config *config, struct str address)
{
    struct str list = str_of(config->forwarded_allow_ips);
    if (str_equal(address, str_of("unix")))
        address = str_of("127.0.0.1");
    while (list.len != 0) {
        struct str each = pop_last(&list);
        if (str_equal(each, str_of("*")) || str_equal_nocase(each, address))
            return true;
    }
    return false;
}

static bool is_trusted(const struct request *request, struct str address)
{
    return forwarded_trusts(request->conn->server->config, address);
}

static bool is_address(struct str text)
{
    char copy[FORWARDED_ADDRESS_BYTES];
    unsigned char raw[16];
    if (text.len >= sizeof(copy))
        return false;
    memcpy(copy, text.ptr, text.len);
    copy[text.len] = '\0';
    return inet_pton(AF_INET, copy, raw) == 1 || inet_pton(AF_INET6, copy, raw) == 1;
}

_Static_assert((int)STREAM_ADDRESS_BYTES <= (int)FORWARDED_ADDRESS_BYTES, "room for a peer");

/* Goes back through the proxies of one field. False at the client, or where nonsense begins. */
static bool walk(const struct request *request, struct str hops, char *text, size_t *len)
{
    while (hops.len != 0) {
        struct str hop = pop_last(&hops);
        if (!is_address(hop))
            return false;
        memcpy(text, hop.ptr, hop.len);
        *len = hop.len;
        if (!is_trusted(request, hop))
            return false;
    }
    return true;
}

size_t forwarded_client(const struct request *request, char text[FORWARDED_ADDRESS_BYTES])
{
    const struct message *message = &request->message;
    size_t len = stream_peer(request->conn->stream, text);
    if (!message->is_head_done || !is_trusted(request, (struct str){text, len}))
        return len;
    for (uint32_t i = message->nheaders; i-- > 0;) {
        struct str name = request_slice(request, message->headers[i].name);
        if (str_equal_nocase(name, str_of("x-forwarded-for")) &&
            !walk(request, request_slice(request, message->headers[i].value), text, &len))
            break;
    }
    return len;
}

static bool is_believed(const struct request *request)
{
    char text[STREAM_ADDRESS_BYTES];
    size_t len = stream_peer(request->conn->stream, text);
    return is_trusted(request, (struct str){text, len});
}

bool forwarded_is_https(const struct request *request)
{
    struct str value;
    return request_header(request, str_of("x-forwarded-proto"), &value) && is_believed(request) &&
           str_equal_nocase(pop_last(&value), str_of("https"));
}
