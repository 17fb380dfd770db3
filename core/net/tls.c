#include "net/tls.h"

#include "base/mem.h"
#include "net/tls_parts.h"
#include "net/tls_reason.h"
#include "net/tls_tickets.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>

enum { RECORDS_EXTRA_BYTES = 512 /* of headers and tags, in one write */ };

void tls_context_free(struct tls_context *context)
{
    if (context == NULL || --context->nusers != 0)
        return;
    SSL_CTX_free(context->ctx);
    tls_tickets_free(context->tickets);
    if (context->certificates != NULL)
        context->free_certificates(context->certificates);
    free(context);
}

uint64_t tls_context_resumed(const struct tls_context *context)
{
    return context->nresumed;
}

struct tls *tls_new(struct tls_context *context)
{
    struct tls *tls = MEM_NEW(struct tls);
    tls->context = context;
    context->nusers++;
    return tls;
}

bool tls_begin(struct tls *tls)
{
    BIO *bio = NULL;
    tls->ssl = tls->context->ctx != NULL ? SSL_new(tls->context->ctx) : NULL;
    if (tls->ssl == NULL || SSL_set_app_data(tls->ssl, tls) != 1 ||
        (bio = tls_wire_bio(&tls->wire)) == NULL) {
        tls_doom(tls, "there is no memory for a TLS session");
        SSL_free(tls->ssl);
        tls->ssl = NULL;
        ERR_clear_error();
        return false;
    }
    SSL_set_bio(tls->ssl, bio, bio);
    return true;
}

void tls_doom(struct tls *tls, const char *reason)
{
    tls->is_doomed = true;
    snprintf(tls->reason, sizeof(tls->reason), "%s", reason);
}

struct tls *tls_of(const SSL *ssl)
{
    return SSL_get_app_data(ssl);
}

void tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    SSL_free(tls->ssl);
    tls_wire_deinit(&tls->wire);
    tls_context_free(tls->context);
    free(tls->host);
    free(tls->origin);
    free(tls);
}

void tls_received(struct tls *tls, const char *bytes, size_t len)
{
    tls_wire_received(&tls->wire, (struct str){bytes, len});
}

void tls_keep_received(struct tls *tls)
{
    tls_wire_keep(&tls->wire);
}

/* What SSL_get_error makes of a call that did not succeed. */
static enum tls_result judge(struct tls *tls, int returned)
{
    switch (SSL_get_error(tls->ssl, returned)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return TLS_MORE;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_END;
    default:
        if (tls->reason[0] == '\0') /* a certificate has said why already */
            tls_reason_of_error(tls->reason, sizeof(tls->reason), tls);
        ERR_clear_error();
        return TLS_FAILED;
    }
}

enum tls_result tls_shake_hands(struct tls *tls)
{
    if (tls->is_doomed)
        return TLS_FAILED;
    if (tls->ssl == NULL) {
        if (!tls_wire_has_record(&tls->wire))
            return TLS_MORE;
        if (!tls_begin(tls))
            return TLS_FAILED;
        SSL_set_accept_state(tls->ssl);
    }
    ERR_clear_error();
    int returned = SSL_do_handshake(tls->ssl);
    if (returned == 1) {
        if (!tls_has_expected_peer(tls)) {
            tls_doom(tls, "there is no memory to check the certificate");
            return TLS_FAILED;
        }
        tls->has_shaken_hands = true;
        tls->context->nresumed += SSL_session_reused(tls->ssl) == 1;
        return TLS_OK;
    }
    return judge(tls, returned);
}

enum tls_result tls_read(struct tls *tls, char *bytes, size_t cap, size_t *len)
{
    ERR_clear_error();
    int returned = SSL_read_ex(tls->ssl, bytes, cap, len);
    return returned == 1 ? TLS_OK : judge(tls, returned);
}

enum tls_result tls_write(struct tls *tls, const char *bytes, size_t len)
{
    size_t written = 0;
    ERR_clear_error();
    if (len == 0)
        return TLS_OK;
    buf_reserve(&tls->wire.out, len + len / 64 + RECORDS_EXTRA_BYTES);
    int returned = SSL_write_ex(tls->ssl, bytes, len, &written);
    if (returned == 1)
        return TLS_OK;
    judge(tls, returned);
    return TLS_FAILED; /* output goes to memory: it has nothing to wait for */
}

void tls_say_goodbye(struct tls *tls)
{
    ERR_clear_error();
    if (tls->ssl != NULL && SSL_is_init_finished(tls->ssl))
        SSL_shutdown(tls->ssl);
    ERR_clear_error();
}

struct str tls_output(struct tls *tls)
{
    return buf_str(&tls->wire.out);
}

void tls_sent(struct tls *tls)
{
    tls_wire_sent(&tls->wire);
}

const char *tls_reason(const struct tls *tls)
{
    return tls->reason;
}

void tls_drop_tickets(struct tls *tls)
{
    if (tls->had_ticket)
        tls_tickets_drop(tls->context->tickets, tls->origin);
}

bool tls_had_ticket(const struct tls *tls)
{
    return tls->had_ticket;
}
