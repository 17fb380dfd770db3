#include "net/tls_wire.h"

#include "base/mem.h"

#include <pthread.h>
#include <string.h>

enum {
    KEPT_BYTES = 1024, /* of an idle connection's buffers, each */
    HANDSHAKE = 22,    /* RFC 8446, 5.1 */
    HEAD_BYTES = 5,
};

static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;
static BIO_METHOD *method;

static int on_write(BIO *bio, const char *bytes, size_t len, size_t *written)
{
    struct tls_wire *wire = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    buf_add(&wire->out, bytes, len);
    *written = len;
    return 1;
}

static size_t take_rest(struct tls_wire *wire, char *bytes, size_t cap)
{
    size_t left = wire->rest.len - wire->rest_at;
    size_t len = left < cap ? left : cap;
    memcpy(bytes, wire->rest.ptr + wire->rest_at, len);
    wire->rest_at += len;
    if (len != left)
        return len;
    wire->rest.len = wire->rest_at = 0;
    if (wire->rest.cap > KEPT_BYTES)
        buf_deinit(&wire->rest);
    return len;
}

static int on_read(BIO *bio, char *bytes, size_t cap, size_t *len)
{
    struct tls_wire *wire = BIO_get_data(bio);
    BIO_clear_retry_flags(bio);
    if (wire->rest.len != 0) {
        *len = take_rest(wire, bytes, cap);
        return 1;
    }
    *len = wire->fresh.len < cap ? wire->fresh.len : cap;
    if (*len == 0) { /* "later", not the end */
        BIO_set_retry_read(bio);
        return 0;
    }
    memcpy(bytes, wire->fresh.ptr, *len);
    wire->fresh.ptr += *len;
    wire->fresh.len -= *len;
    return 1;
}

static long on_control(BIO *bio, int command, long number, void *data)
{
    (void)bio;
    (void)number;
    (void)data;
    return command == BIO_CTRL_FLUSH;
}

static int on_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static BIO_METHOD *make_method(void)
{
    BIO_METHOD *made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "wire");
    if (made == NULL)
        return NULL;
    BIO_meth_set_write_ex(made, on_write);
    BIO_meth_set_read_ex(made, on_read);
    BIO_meth_set_ctrl(made, on_control);
    BIO_meth_set_create(made, on_create);
    return made;
}

/* The process's, for all threads; never freed. NULL when memory is out. */
static BIO_METHOD *wire_method(void)
{
    pthread_mutex_lock(&making);
    if (method == NULL)
        method = make_method();
    BIO_METHOD *made = method;
    pthread_mutex_unlock(&making);
    return made;
}

BIO *tls_wire_bio(struct tls_wire *wire)
{
    BIO_METHOD *made = wire_method();
    BIO *bio = made != NULL ? BIO_new(made) : NULL;
    if (bio != NULL)
        BIO_set_data(bio, wire);
    return bio;
}

void tls_wire_deinit(struct tls_wire *wire)
{
    buf_deinit(&wire->rest);
    buf_deinit(&wire->out);
}

void tls_wire_received(struct tls_wire *wire, struct str bytes)
{
    ENSURE(wire->fresh.len == 0);
    wire->fresh = bytes;
}

bool tls_wire_has_record(struct tls_wire *wire)
{
    if (wire->rest.len != 0)
        tls_wire_keep(wire);
    struct str all = wire->rest.len != 0 ? buf_str(&wire->rest) : wire->fresh;
    const unsigned char *head = (const unsigned char *)all.ptr;
    if (all.len != 0 && head[0] != HANDSHAKE)
        return true;
    return all.len >= HEAD_BYTES && all.len - HEAD_BYTES >= ((size_t)head[3] << 8 | head[4]);
}

void tls_wire_keep(struct tls_wire *wire)
{
    if (wire->fresh.len != 0)
        buf_add_str(&wire->rest, wire->fresh);
    wire->fresh = (struct str){0};
}

void tls_wire_sent(struct tls_wire *wire)
{
    wire->out.len = 0;
    if (wire->out.cap > KEPT_BYTES)
        buf_deinit(&wire->out);
}
