#include "net/tls_client.h"

#include "base/mem.h"
#include "net/tls_identity.h"
#include "net/tls_parts.h"
#include "net/tls_reason.h"
#include "net/tls_tickets.h"
#include "net/tls_trust.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>

enum { SECURITY_LEVEL = 2 /* keys worth 112 bits: RSA from 2048 */ };

static const unsigned char protocols[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1'};

/* OpenSSL hands over a session that can be taken up later; 1: it is ours now. */
static int on_ticket(SSL *ssl, SSL_SESSION *session)
{
    struct tls *tls = tls_of(ssl);
    tls_tickets_put(tls->context->tickets, tls->origin, session);
    return 1;
}

/* The first fault of a chain, with the certificate that has it at hand. */
static int on_verified(int is_good, X509_STORE_CTX *chain)
{
    if (is_good == 0) {
        SSL *ssl = X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx());
        struct tls *tls = tls_of(ssl);
        tls_reason_of_certificate(tls->reason, sizeof(tls->reason), chain, tls->host);
    }
    return is_good;
}

static bool trust(struct tls_context *context, const char *ca_file, struct fault *fault)
{
    X509_STORE *store = tls_trust_get(ca_file, fault);
    if (store == NULL)
        return false;
    SSL_CTX_set_cert_store(context->ctx, store); /* takes the reference */
    context->wants_trust = false;
    return true;
}

/* False: there is no memory for it. */
static bool make_ctx(struct tls_context *context)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    if (ctx == NULL) {
        ERR_clear_error();
        return false;
    }
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    if (SSL_CTX_get_security_level(ctx) < SECURITY_LEVEL)
        SSL_CTX_set_security_level(ctx, SECURITY_LEVEL);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_alpn_protos(ctx, protocols, sizeof(protocols));
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
    SSL_CTX_sess_set_new_cb(ctx, on_ticket);
    SSL_CTX_set_verify(ctx, context->verifies ? SSL_VERIFY_PEER : SSL_VERIFY_NONE,
                       context->verifies ? on_verified : NULL);
    context->ctx = ctx;
    return true;
}

struct tls_context *tls_context_new_client(const struct tls_client_options *options,
                                           struct fault *fault)
{
    struct tls_context *context = MEM_NEW(struct tls_context);
    bool has_files = options->ca_file != NULL || options->cert_file != NULL;
    context->nusers = 1;
    context->tickets = tls_tickets_new();
    context->verifies = context->wants_trust = options->verify;
    if (!make_ctx(context) && has_files) {
        fault_set(fault, "tls: there is no memory for it");
        goto fail;
    }
    if (options->ca_file != NULL && !trust(context, options->ca_file, fault))
        goto fail;
    if (options->cert_file != NULL &&
        !tls_identity_use_files(context->ctx, options->cert_file, options->key_file, fault))
        goto fail;
    return context;

fail:
    tls_context_free(context);
    return NULL;
}

/* RFC 9525, 6.3: names stand in subjectAltName, and a wildcard is a whole label. */
enum { HOST_FLAGS = X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT };

static bool is_address(const char *host)
{
    unsigned char raw[16];
    return inet_pton(AF_INET, host, raw) == 1 || inet_pton(AF_INET6, host, raw) == 1;
}

/* False: what was not set would not be looked at, and anybody's certificate would do. */
static bool expect_host(SSL *ssl, const char *host)
{
    X509_VERIFY_PARAM *param = SSL_get0_param(ssl);
    if (is_address(host)) /* RFC 6066, 3: no SNI for addresses */
        return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
    X509_VERIFY_PARAM_set_hostflags(param, HOST_FLAGS);
    return X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 &&
           SSL_set_tlsext_host_name(ssl, host) == 1;
}

/* OpenSSL looks at the name while it verifies the chain, but not when it had no memory to copy what
 * it was told to expect, which it does not notice (ssl_verify_cert_chain). So it is looked at
 * again. */
bool tls_has_expected_peer(const struct tls *tls)
{
    X509 *certificate = SSL_get0_peer_certificate(tls->ssl);
    if (tls->host == NULL || !tls->context->verifies)
        return true;
    if (certificate == NULL)
        return false;
    if (is_address(tls->host))
        return X509_check_ip_asc(certificate, tls->host, 0) == 1;
    return X509_check_host(certificate, tls->host, 0, HOST_FLAGS, NULL) == 1;
}

struct tls *tls_new_client(struct tls_context *context, const char *host, uint16_t port)
{
    struct fault fault = {0};
    bool has_ctx = context->ctx != NULL || make_ctx(context);
    bool is_trusting = has_ctx && (!context->wants_trust || trust(context, NULL, &fault));
    struct tls *tls = tls_new(context);
    tls->host = mem_copy_text(host);
    size_t bytes = strlen(host) + sizeof(":65535");
    tls->origin = mem_zeroed(bytes);
    snprintf(tls->origin, bytes, "%s:%u", host, port);
    if (!tls_begin(tls))
        return tls;
    SSL_set_connect_state(tls->ssl);
    if (!expect_host(tls->ssl, host)) {
        tls_doom(tls, "there is no memory for a TLS session");
        return tls;
    }
    if (!is_trusting) {
        tls_doom(tls, fault.text);
        return tls;
    }
    SSL_SESSION *session = tls_tickets_take(context->tickets, tls->origin);
    if (session != NULL) {
        tls->had_ticket = SSL_set_session(tls->ssl, session) == 1;
        SSL_SESSION_free(session);
    }
    return tls;
}
