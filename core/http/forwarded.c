#include "http/forwarded.h"

#include "base/config.h"
#include "http/announcement.h"
#include "http/conn.h"
#include "http/forwarded_field.h"
#include "http/introduction.h"
#include "http/request.h"
#include "http/server_state.h"

#include <string.h>

_Static_assert((int)IP_ADDRESS_TEXT_BYTES <= (int)FORWARDED_ADDRESS_BYTES, "room for an address");

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

static bool is_standard(const struct request *request)
{
    return request->conn->server->config->forwarded_header == FORWARDED_HEADER_STANDARD;
}

/* ---- whom to believe ---- */

bool forwarded_trusts(const struct http_server *server, const struct ip_address *address)
{
    static const struct ip_address here = {{[10] = 0xff, [11] = 0xff, [12] = 127, [15] = 1}};
    /* A Unix socket's peer is a process of this machine. */
    return ip_networks_have(&server->proxies, address != NULL ? address : &here);
}

/* Where connections are announced, what the header of a request says comes from whom they are
 * announced for. When that is not known, it could be anybody. */
static bool is_believed(const struct conn *conn, const struct ip_address *peer)
{
    if (conn->announcement != NULL && !conn->announcement->has_client)
        return false;
    return forwarded_trusts(conn->server, peer);
}

/* ---- what they say ---- */

static bool next_line(struct forwarded_trail *trail)
{
    const struct request *request = trail->request;
    const struct message *message = &request->message;
    struct str wanted = str_of(is_standard(request) ? "forwarded" : "x-forwarded-for");
    while (trail->lines_done < message->nheaders) {
        uint32_t at = message->nheaders - ++trail->lines_done;
        if (!str_equal_nocase(request_slice(request, message->headers[at].name), wanted))
            continue;
        trail->rest = request_slice(request, message->headers[at].value);
        return true;
    }
    return false;
}

bool forwarded_trail_next(struct forwarded_trail *trail, struct forwarded_hop *hop)
{
    struct forwarded_element element;
    *hop = (struct forwarded_hop){0};
    for (;;) {
        trail->rest = trim(trail->rest);
        if (trail->rest.len == 0 && !next_line(trail))
            return false;
        if (!is_standard(trail->request)) {
            hop->node = pop_last(&trail->rest);
            if (hop->node.len != 0)
                return true;
        } else if (forwarded_field_pop(&trail->rest, &element)) {
            *hop = (struct forwarded_hop){element.node, element.proto, element.host};
            return true;
        } else if (trail->rest.len != 0) {
            return false;
        }
    }
}

/* Of several X-Forwarded-Proto the last, which the peer wrote. */
static bool last_proto_is_https(const struct request *request)
{
    const struct message *message = &request->message;
    for (uint32_t i = message->nheaders; i-- > 0;) {
        struct str value = request_slice(request, message->headers[i].value);
        if (str_equal_nocase(request_slice(request, message->headers[i].name),
                             str_of("x-forwarded-proto")))
            return str_equal_nocase(pop_last(&value), str_of("https"));
    }
    return false;
}

static bool names_https(struct str proto)
{
    char text[sizeof("https") - 1];
    size_t len = forwarded_field_text(proto, text, sizeof(text));
    return str_equal_nocase((struct str){text, len}, str_of("https"));
}

struct forwarded forwarded_look(const struct request *request)
{
    const struct conn *conn = request->conn;
    struct forwarded seen = {0};
    struct forwarded_trail trail = {.request = request};
    struct forwarded_hop hop;
    bool has_tls = introduction_is_tls(conn);
    seen.is_https = has_tls;
    seen.has_client = introduction_peer(conn, &seen.client);
    seen.is_believed = is_believed(conn, seen.has_client ? &seen.client : NULL);
    if (!request->message.is_head_done || !seen.is_believed)
        return seen;
    if (!is_standard(request))
        seen.is_https = has_tls || last_proto_is_https(request);
    bool goes_on = true;
    while (goes_on && forwarded_trail_next(&trail, &hop)) {
        struct ip_address address;
        seen.depth++;
        if (hop.proto.len != 0)
            seen.is_https = has_tls || names_https(hop.proto);
        goes_on = forwarded_node_address(hop.node, &address);
        if (goes_on) {
            seen.client = address;
            seen.has_client = true;
            goes_on = forwarded_trusts(conn->server, &address);
        }
    }
    return seen;
}

size_t forwarded_client(const struct request *request, char text[FORWARDED_ADDRESS_BYTES])
{
    struct forwarded seen = forwarded_look(request);
    if (seen.has_client)
        return ip_address_show(&seen.client, text);
    memcpy(text, "unix", sizeof("unix"));
    return sizeof("unix") - 1;
}

bool forwarded_is_https(const struct request *request)
{
    return forwarded_look(request).is_https;
}
