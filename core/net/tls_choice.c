/*
 * Which of a server's certificates a client gets: those that are for the host that it names (SNI,
 * RFC 6066, 3), one for each kind of key. Of these OpenSSL takes the one whose signatures the
 * client knows best: ECDSA for nearly all, RSA for the old. Later, whether what it got is for the
 * host that it asks for.
 */
#include "base/mem.h"
#include "net/tls_certificates.h"
#include "net/tls_parts.h"
#include "net/tls_server.h"

#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

enum { HOST_BYTES = 256 };

static X509 *x509_of(const struct tls_certificate *certificate)
{
    return SSL_CTX_get0_certificate(certificate->ctx);
}

static int kind_of(const struct tls_certificate *certificate)
{
    return EVP_PKEY_get_base_id(SSL_CTX_get0_privatekey(certificate->ctx));
}

static bool is_for(const struct tls_certificate *certificate, const char *host)
{
    return X509_check_host(x509_of(certificate), host, 0, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS,
                           NULL) == 1;
}

static bool is_for_any(const struct tls_certificates *certificates, const char *host)
{
    for (uint32_t i = 0; i < certificates->count; i++)
        if (is_for(&certificates->all[i], host))
            return true;
    return false;
}

/* ---- in a handshake ---- */

/* The name of a server_name extension (RFC 6066, 3): a list with one of type 0. */
static struct str named_host(SSL *ssl)
{
    enum { HEAD_BYTES = 5, TYPE_AT = 2, LEN_AT = 3 };
    const unsigned char *bytes;
    size_t len;
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &bytes, &len) != 1 ||
        len <= HEAD_BYTES || bytes[TYPE_AT] != TLSEXT_NAMETYPE_host_name)
        return (struct str){0};
    size_t host_len = (size_t)bytes[LEN_AT] << 8 | bytes[LEN_AT + 1];
    if (host_len > len - HEAD_BYTES || host_len >= HOST_BYTES) /* OpenSSL refuses both */
        return (struct str){0};
    return (struct str){(const char *)bytes + HEAD_BYTES, host_len};
}

/* Before anything is decided: sessions of TLS 1.2 are found before OpenSSL says whom the client
 * names, and it then says whom the session was for. What is malformed here OpenSSL refuses. */
static int on_client_hello(SSL *ssl, int *alert, void *data)
{
    struct tls *tls = tls_of(ssl);
    struct str host = named_host(ssl);
    (void)alert;
    (void)data;
    free(tls->host); /* of a first ClientHello that was asked to be sent again */
    tls->host = host.len != 0 ? mem_copy_bytes(host.ptr, host.len) : NULL;
    return SSL_CLIENT_HELLO_SUCCESS;
}

/* Whether the session is for whom the client names now. One for a host that no certificate is for
 * has no name, as if the client had given none. */
static bool is_session_for(const SSL_SESSION *session, const char *host)
{
    const char *former = SSL_SESSION_get0_hostname(session);
    if (host == NULL || former == NULL)
        return host == former;
    return OPENSSL_strcasecmp(host, former) == 0;
}

/* A session for another host is not taken up again (RFC 6066, 3); there is a new one. TLS 1.3 goes
 * by the name that is given now anyway (RFC 8446, 4.2.11). */
static SSL_TICKET_RETURN on_ticket(SSL *ssl, SSL_SESSION *session, const unsigned char *key_name,
                                   size_t key_name_len, SSL_TICKET_STATUS status, void *data)
{
    (void)key_name;
    (void)key_name_len;
    (void)data;
    if (status != SSL_TICKET_SUCCESS && status != SSL_TICKET_SUCCESS_RENEW)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (SSL_SESSION_get_protocol_version(session) < TLS1_3_VERSION &&
        !is_session_for(session, tls_of(ssl)->host))
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    return status == SSL_TICKET_SUCCESS ? SSL_TICKET_RETURN_USE : SSL_TICKET_RETURN_USE_RENEW;
}

static int on_server_name(SSL *ssl, int *alert, void *data)
{
    const struct tls_certificates *certificates = tls_certificates_of(ssl);
    const char *host = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    (void)alert;
    (void)data;
    if (host == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    for (uint32_t i = 0; i < certificates->count; i++)
        if (is_for(&certificates->all[i], host)) {
            if (i != 0)
                SSL_set_SSL_CTX(ssl, certificates->all[i].ctx);
            return SSL_TLSEXT_ERR_OK;
        }
    return SSL_TLSEXT_ERR_NOACK;
}

/* One of each kind of key, the first of those that fit. The context has brought one of them. */
static int on_certificate(SSL *ssl, void *data)
{
    const struct tls_certificates *certificates = tls_certificates_of(ssl);
    const char *host = SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name);
    int taken[8];
    unsigned ntaken = 0;
    (void)data;
    if (!certificates->has_kinds)
        return 1;
    if (host != NULL && !is_for_any(certificates, host))
        host = NULL;
    SSL_certs_clear(ssl);
    for (uint32_t i = 0; i < certificates->count && ntaken < 8; i++) {
        const struct tls_certificate *each = &certificates->all[i];
        int kind = kind_of(each);
        bool is_taken = false;
        for (unsigned j = 0; j < ntaken; j++)
            is_taken |= taken[j] == kind;
        if (is_taken || !(host != NULL ? is_for(each, host) : each->is_fallback))
            continue;
        STACK_OF(X509) *chain = NULL;
        SSL_CTX_get0_chain_certs(each->ctx, &chain);
        if (SSL_use_cert_and_key(ssl, x509_of(each), SSL_CTX_get0_privatekey(each->ctx), chain,
                                 1) != 1)
            return 0;
        taken[ntaken++] = kind;
    }
    return 1;
}

/* RFC 6066, 8: of the certificate that was chosen. */
static int on_status_request(SSL *ssl, void *data)
{
    const struct tls_certificates *certificates = tls_certificates_of(ssl);
    const X509 *chosen = SSL_get_certificate(ssl);
    (void)data;
    for (uint32_t i = 0; i < certificates->count; i++) {
        const struct buf *ocsp = &certificates->all[i].ocsp;
        if (chosen == NULL || X509_cmp(x509_of(&certificates->all[i]), chosen) != 0 ||
            ocsp->len == 0)
            continue;
        unsigned char *copy = OPENSSL_memdup(ocsp->ptr, ocsp->len);
        SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)ocsp->len); /* frees it */
        return SSL_TLSEXT_ERR_OK;
    }
    return SSL_TLSEXT_ERR_NOACK;
}

void tls_choice_use(SSL_CTX *ctx)
{
    SSL_CTX_set_tlsext_servername_callback(ctx, on_server_name);
    SSL_CTX_set_tlsext_status_cb(ctx, on_status_request);
    SSL_CTX_set_cert_cb(ctx, on_certificate, NULL);
    SSL_CTX_set_client_hello_cb(ctx, on_client_hello, NULL);
    SSL_CTX_set_session_ticket_cb(ctx, NULL, on_ticket, NULL);
}

/* ---- after it ---- */

bool tls_is_certified_for(struct tls *tls, struct str host)
{
    char name[HOST_BYTES];
    X509 *certificate = SSL_get_certificate(tls->ssl);
    if (host.len != 0 && host.ptr[host.len - 1] == '.')
        host.len--; /* of the root of all names, which certificates leave out */
    if (host.len == 0 || host.len >= sizeof(name) || certificate == NULL ||
        memchr(host.ptr, '*', host.len) != NULL) /* it would be equal to a certificate's pattern */
        return false;
    if (strlen(tls->certified_host) == host.len &&
        memcmp(tls->certified_host, host.ptr, host.len) == 0)
        return true;
    memcpy(name, host.ptr, host.len);
    name[host.len] = '\0';
    if (X509_check_ip_asc(certificate, name, 0) != 1 &&
        X509_check_host(certificate, name, host.len, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS, NULL) !=
            1)
        return false;
    if (host.len < sizeof(tls->certified_host))
        memcpy(tls->certified_host, name, host.len + 1);
    return true;
}

/* ---- before any ---- */

/* The first of its names, of a star's some host under it. False when it has none. */
static bool first_host(const struct tls_certificate *certificate, char host[HOST_BYTES])
{
    GENERAL_NAMES *names = X509_get_ext_d2i(x509_of(certificate), NID_subject_alt_name, NULL, NULL);
    bool is_found = false;
    for (int i = 0; i < sk_GENERAL_NAME_num(names) && !is_found; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        if (name->type != GEN_DNS || ASN1_STRING_length(name->d.dNSName) >= HOST_BYTES)
            continue;
        size_t len = (size_t)ASN1_STRING_length(name->d.dNSName);
        memcpy(host, ASN1_STRING_get0_data(name->d.dNSName), len);
        host[len] = '\0';
        if (*host == '*')
            *host = 'x';
        is_found = true;
    }
    GENERAL_NAMES_free(names);
    X509_NAME *subject = X509_get_subject_name(x509_of(certificate));
    return is_found || X509_NAME_get_text_by_NID(subject, NID_commonName, host, HOST_BYTES) > 0;
}

void tls_choice_prepare(struct tls_certificates *certificates)
{
    char host[HOST_BYTES];
    bool has_host = first_host(&certificates->all[0], host);
    certificates->all[0].is_fallback = true;
    for (uint32_t i = 1; i < certificates->count; i++) {
        struct tls_certificate *each = &certificates->all[i];
        bool is_other = kind_of(each) != kind_of(&certificates->all[0]);
        certificates->has_kinds |= is_other;
        each->is_fallback = is_other && has_host && is_for(each, host);
    }
}
