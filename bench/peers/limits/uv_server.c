#include "uv_server.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const struct server_settings *server;
static llhttp_settings_t callbacks;
static uv_tcp_t listener;
static char read_bytes[65536]; /* one loop, one read at a time */

static void on_handle_closed(uv_handle_t *handle)
{
    struct conn *conn = handle->data;
    if (--conn->open_handles > 0)
        return;
    if (server->on_close)
        server->on_close(conn);
    free(conn->out);
    free(conn);
}

static void conn_close(struct conn *conn)
{
    if (uv_is_closing((uv_handle_t *)&conn->tcp))
        return;
    uv_close((uv_handle_t *)&conn->timer, on_handle_closed);
    uv_close((uv_handle_t *)&conn->tcp, on_handle_closed);
}

void conn_append(struct conn *conn, const char *bytes, size_t len)
{
    if (conn->out_len + len > conn->out_size) {
        conn->out_size = (conn->out_len + len) * 2;
        conn->out = realloc(conn->out, conn->out_size);
        if (conn->out == NULL)
            abort();
    }
    memcpy(conn->out + conn->out_len, bytes, len);
    conn->out_len += len;
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf);

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    *buf = uv_buf_init(read_bytes, sizeof(read_bytes));
}

static void on_written(uv_write_t *write, int status)
{
    struct conn *conn = write->data;
    conn->is_writing = false;
    conn->out_len = 0;
    if (status < 0)
        conn_close(conn);
    else
        uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read);
}

void conn_flush(struct conn *conn)
{
    if (conn->is_parsing || conn->out_len == 0)
        return;
    uv_stream_t *stream = (uv_stream_t *)&conn->tcp;
    uv_buf_t buf = uv_buf_init(conn->out, (unsigned)conn->out_len);
    int written = uv_try_write(stream, &buf, 1);
    if (written == (int)conn->out_len) {
        conn->out_len = 0;
        return;
    }
    if (written < 0 && written != UV_EAGAIN) {
        conn_close(conn);
        return;
    }
    /* The client reads slowly: nothing more is read from it until it has taken this. */
    size_t taken = written > 0 ? (size_t)written : 0;
    buf = uv_buf_init(conn->out + taken, (unsigned)(conn->out_len - taken));
    uv_read_stop(stream);
    conn->write.data = conn;
    conn->is_writing = true;
    uv_write(&conn->write, stream, &buf, 1, on_written);
}

static void on_read(uv_stream_t *stream, ssize_t len, const uv_buf_t *buf)
{
    struct conn *conn = stream->data;
    if (len < 0) {
        conn_close(conn);
        return;
    }
    conn->is_parsing = true;
    llhttp_errno_t error = llhttp_execute(&conn->parser, buf->base, (size_t)len);
    conn->is_parsing = false;
    conn_flush(conn);
    if (error != HPE_OK)
        conn_close(conn);
}

static int on_message_begin(llhttp_t *parser)
{
    struct conn *conn = parser->data;
    conn->url_len = conn->body_len = conn->client_len = 0;
    return 0;
}

static int keep(char *to, size_t *to_len, size_t size, const char *at, size_t len)
{
    if (*to_len + len > size)
        return HPE_USER;
    memcpy(to + *to_len, at, len);
    *to_len += len;
    return 0;
}

static int on_url(llhttp_t *parser, const char *at, size_t len)
{
    struct conn *conn = parser->data;
    return keep(conn->url, &conn->url_len, sizeof(conn->url), at, len);
}

/* A name split over two reads is not recognised; the load generator sends each request whole. */
static int on_header_field(llhttp_t *parser, const char *at, size_t len)
{
    struct conn *conn = parser->data;
    conn->is_client_header = len == 8 && strncasecmp(at, "X-Client", 8) == 0;
    return 0;
}

static int on_header_value(llhttp_t *parser, const char *at, size_t len)
{
    struct conn *conn = parser->data;
    if (!conn->is_client_header)
        return 0;
    return keep(conn->client, &conn->client_len, sizeof(conn->client), at, len);
}

static int on_body(llhttp_t *parser, const char *at, size_t len)
{
    struct conn *conn = parser->data;
    return keep(conn->body, &conn->body_len, sizeof(conn->body), at, len);
}

static int on_message_complete(llhttp_t *parser)
{
    server->answer(parser->data);
    return 0;
}

static void on_connection(uv_stream_t *stream, int status)
{
    if (status < 0)
        return;
    struct conn *conn = malloc(sizeof(*conn));
    if (conn == NULL)
        abort();
    memset(conn, 0, offsetof(struct conn, url));
    conn->data = NULL;
    uv_tcp_init(stream->loop, &conn->tcp);
    uv_timer_init(stream->loop, &conn->timer);
    conn->tcp.data = conn->timer.data = conn;
    conn->open_handles = 2;
    llhttp_init(&conn->parser, HTTP_REQUEST, &callbacks);
    conn->parser.data = conn;
    if (server->on_open)
        server->on_open(conn);
    if (uv_accept(stream, (uv_stream_t *)&conn->tcp) < 0) {
        conn_close(conn);
        return;
    }
    uv_tcp_nodelay(&conn->tcp, 1);
    uv_read_start((uv_stream_t *)&conn->tcp, on_alloc, on_read);
}

int server_run(uv_loop_t *loop, const struct server_settings *settings)
{
    server = settings;
    llhttp_settings_init(&callbacks);
    callbacks.on_message_complete = on_message_complete;
    if (settings->keeps_request) {
        callbacks.on_message_begin = on_message_begin;
        callbacks.on_url = on_url;
        callbacks.on_header_field = on_header_field;
        callbacks.on_header_value = on_header_value;
        callbacks.on_body = on_body;
    }
    struct sockaddr_in address;
    uv_ip4_addr("127.0.0.1", settings->port, &address);
    uv_tcp_init(loop, &listener);
    int error = uv_tcp_bind(&listener, (struct sockaddr *)&address, 0);
    if (error == 0)
        error = uv_listen((uv_stream_t *)&listener, 1024, on_connection);
    return error != 0 ? error : uv_run(loop, UV_RUN_DEFAULT);
}
