#include "net/tls.h"

#include "base/mem.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { REASON_BYTES = 160 };

struct tls_context {
    SSL_CTX *ctx;
};

struct tls {
    SSL *ssl;
    BIO *in; /* owned by ssl, like out */
    BIO *out;
    char reason[REASON_BYTES];
};

/* The first of OpenSSL's queued errors: the ones behind it only repeat it. Empties the queue. */
static const char *first_error(void)
{
    unsigned long code = ERR_get_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
    ERR_clear_error();
    return reason != NULL ? reason : "unknown error";
}

struct tls_context *tls_context_new_client(const struct tls_client_options *options,
                                           struct fault *fault)
{
    struct tls_context *context = MEM_NEW(struct tls_context);
    const char *step = "create a context";
    if ((context->ctx = SSL_CTX_new(TLS_client_method())) == NULL)
        goto fail;
    SSL_CTX_set_min_proto_version(context->ctx, TLS1_2_VERSION);
    SSL_CTX_set_mode(context->ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_verify(context->ctx, options->verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    step = options->ca_file != NULL ? options->ca_file : "the system's certificates";
    if (options->ca_file != NULL
            ? SSL_CTX_load_verify_locations(context->ctx, options->ca_file, NULL) != 1
            : SSL_CTX_set_default_verify_paths(context->ctx) != 1)
        goto fail;
    return context;

fail:
    fault_set(fault, "tls: %s: %s", step, first_error());
    tls_context_free(context);
    return NULL;
}

void tls_context_free(struct tls_context *context)
{
    if (context == NULL)
        return;
    SSL_CTX_free(context->ctx);
    free(context);
}

static bool is_address(const char *host)
{
    unsigned char raw[16];
    return inet_pton(AF_INET, host, raw) == 1 || inet_pton(AF_INET6, host, raw) == 1;
}

struct tls *tls_new_client(struct tls_context *context, const char *host)
{
    struct tls *tls = MEM_NEW(struct tls);
    tls->ssl = SSL_new(context->ctx);
    tls->in = BIO_new(BIO_s_mem());
    tls->out = BIO_new(BIO_s_mem());
    ENSURE(tls->ssl != NULL && tls->in != NULL && tls->out != NULL);
    BIO_set_mem_eof_return(tls->in, -1); /* empty is "later", not the end */
    SSL_set_bio(tls->ssl, tls->in, tls->out);
    SSL_set_connect_state(tls->ssl);
    X509_VERIFY_PARAM *param = SSL_get0_param(tls->ssl);
    if (is_address(host)) { /* RFC 6066, 3: no SNI for addresses */
        X509_VERIFY_PARAM_set1_ip_asc(param, host);
    } else {
        X509_VERIFY_PARAM_set_hostflags(param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        X509_VERIFY_PARAM_set1_host(param, host, 0);
        SSL_set_tlsext_host_name(tls->ssl, host);
    }
    return tls;
}

void tls_free(struct tls *tls)
{
    if (tls == NULL)
        return;
    SSL_free(tls->ssl);
    free(tls);
}

void tls_received(struct tls *tls, const char *bytes, size_t len)
{
    ENSURE(BIO_write(tls->in, bytes, (int)len) == (int)len);
}

/* What SSL_get_error makes of a call that did not succeed. */
static enum tls_result judge(struct tls *tls, int returned)
{
    long verified = SSL_get_verify_result(tls->ssl);
    switch (SSL_get_error(tls->ssl, returned)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return TLS_MORE;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_END;
    default:
        if (verified != X509_V_OK && (SSL_get_verify_mode(tls->ssl) & SSL_VERIFY_PEER) != 0) {
            snprintf(tls->reason, sizeof(tls->reason), "the certificate was refused: %s",
                     X509_verify_cert_error_string(verified));
            ERR_clear_error();
        } else {
            snprintf(tls->reason, sizeof(tls->reason), "%s", first_error());
        }
        return TLS_FAILED;
    }
}

enum tls_result tls_shake_hands(struct tls *tls)
{
    ERR_clear_error();
    int returned = SSL_do_handshake(tls->ssl);
    return returned == 1 ? TLS_OK : judge(tls, returned);
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
    int returned = SSL_write_ex(tls->ssl, bytes, len, &written);
    if (returned == 1)
        return TLS_OK;
    judge(tls, returned);
    return TLS_FAILED; /* output goes to memory: it has nothing to wait for */
}

void tls_say_goodbye(struct tls *tls)
{
    ERR_clear_error();
    if (SSL_is_init_finished(tls->ssl))
        SSL_shutdown(tls->ssl);
    ERR_clear_error();
}

struct str tls_output(struct tls *tls)
{
    char *bytes = NULL;
    long len = BIO_get_mem_data(tls->out, &bytes);
    return (struct str){bytes, len > 0 ? (size_t)len : 0};
}

void tls_sent(struct tls *tls)
{
    (void)BIO_reset(tls->out);
}

const char *tls_reason(const struct tls *tls)
{
    return tls->reason;
}
