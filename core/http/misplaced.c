/*
 * Requests in plain text where https is spoken, and those to a listener that only redirects: they
 * are told the URL where they are served, and their connection ends.
 */
#include "base/str.h"
#include "http/conn_parts.h"
#include "http/method.h"
#include "http/request.h"
#include "http/server_state.h"

/* Without its port, which is another one. */
static struct str without_port(struct str host)
{
    size_t len = host.len;
    while (len != 0 && host.ptr[len - 1] >= '0' && host.ptr[len - 1] <= '9')
        len--;
    return len != 0 && host.ptr[len - 1] == ':' ? (struct str){host.ptr, len - 1} : host;
}

/* "https://host:port/path?query". False when the request does not say whom it asks. */
static bool add_url(struct buf *out, const struct request *request)
{
    struct str host, path = request_path(request), query = request_query(request);
    uint16_t port = request->conn->server->tls_port;
    if (!request_host(request, &host) || without_port(host).len == 0)
        return false;
    buf_add_text(out, "https://");
    buf_add_str(out, without_port(host));
    if (port != 443 && port != 0)
        buf_printf(out, ":%u", port);
    if (path.len == 0 || *path.ptr != '/')
        buf_add_char(out, '/');
    if (path.len != 1 || *path.ptr != '*')
        buf_add_str(out, path);
    if (query.len != 0)
        buf_add_char(out, '?');
    buf_add_str(out, query);
    return true;
}

/* RFC 9110, 15.4.2 and 15.4.9: 308 keeps the method, which old clients know for GET alone. */
void conn_point_to_tls(struct conn *conn)
{
    const struct request *request = conn->request;
    uint8_t method = request->message.method;
    struct buf url = {0}, text = {0}, fields = {0};
    bool has_url = add_url(&url, request);
    if (conn->is_misplaced) {
        buf_add_text(&text, "this port speaks https, and the request came in plain http");
        if (has_url)
            buf_printf(&text, ": ask %.*s", (int)url.len, url.ptr);
    } else if (has_url) {
        buf_printf(&text, "this is served at %.*s", (int)url.len, url.ptr);
    } else {
        buf_add_text(&text, "this port leads to https, and the request names no host");
    }
    bool is_redirect = has_url && !conn->is_misplaced;
    uint16_t status = !is_redirect                                    ? 400
                      : method == METHOD_GET || method == METHOD_HEAD ? 301
                                                                      : 308;
    if (is_redirect)
        buf_printf(&fields, "Location: %.*s\r\n", (int)url.len, url.ptr);
    conn_answer_last(conn, status, buf_str(&text), buf_str(&fields));
    buf_deinit(&fields);
    buf_deinit(&url);
    buf_deinit(&text);
}
