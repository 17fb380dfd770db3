#include "net/tls_server.h"

#include "base/mem.h"
#include "net/tls_certificates.h"
#include "net/tls_identity.h"
#include "net/tls_material.h"
#include "net/tls_parts.h"
#include "net/tls_reason.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <stdlib.h>
#include <string.h>

/* https://wiki.mozilla.org/Security/Server_Side_TLS, "intermediate", without finite-field DHE. */
static const char ciphers[] =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:ECDHE-ECDSA-AES256-GCM-SHA384:"
    "ECDHE-RSA-AES256-GCM-SHA384:ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
static const char groups[] = "X25519:P-256:P-384";

/* In the order in which we like them: HTTP/2 goes to the front when it is spoken. */
static const unsigned char protocols[] = {8, 'h', 't', 't', 'p', '/', '1', '.', '1',
                                          8, 'h', 't', 't', 'p', '/', '1', '.', '0'};

struct tls_certificates *tls_certificates_of(const SSL *ssl)
{
    return tls_of(ssl)->context->certificates;
}

/* ---- what happens in handshakes ---- */

/* RFC 7301, 3.2: with nothing in common there is no connection. */
static int on_protocols(SSL *ssl, const unsigned char **chosen, unsigned char *len,
                        const unsigned char *offered, unsigned offered_len, void *data)
{
    unsigned char *found = NULL;
    (void)ssl;
    (void)data;
    if (SSL_select_next_proto(&found, len, protocols, sizeof(protocols), offered, offered_len) !=
        OPENSSL_NPN_NEGOTIATED)
        return SSL_TLSEXT_ERR_ALERT_FATAL;
    *chosen = found;
    return SSL_TLSEXT_ERR_OK;
}

static bool prepare_ticket(const uint8_t key[TLS_TICKET_KEY_BYTES], unsigned char *iv,
                           EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int is_new)
{
    const uint8_t *aes = key + TLS_TICKET_NAME_BYTES, *hmac = aes + 32;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, (void *)hmac, 32),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, (char *)"SHA256", 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_CipherInit_ex(cipher, EVP_aes_256_cbc(), NULL, aes, iv, is_new) == 1 &&
           EVP_MAC_CTX_set_params(mac, params) == 1;
}

/* RFC 5077, 4, with keys that all workers have. 0: a ticket that nobody knows; 2: one to renew. */
static int on_ticket_key(SSL *ssl, unsigned char name[TLS_TICKET_NAME_BYTES],
                         unsigned char iv[EVP_MAX_IV_LENGTH], EVP_CIPHER_CTX *cipher,
                         EVP_MAC_CTX *mac, int is_new)
{
    const struct tls_ticket_source *tickets = tls_certificates_of(ssl)->tickets;
    uint8_t key[TLS_TICKET_KEY_BYTES];
    bool is_newest = false;
    int result = 0;
    if (!tickets->find(tickets->data, is_new ? NULL : name, key, &is_newest))
        return 0;
    if (is_new && RAND_bytes(iv, EVP_CIPHER_get_iv_length(EVP_aes_256_cbc())) != 1)
        return -1;
    if (is_new)
        memcpy(name, key, TLS_TICKET_NAME_BYTES);
    /* Of TLS 1.3 tickets are for one use (RFC 8446, C.4): another one takes its place. */
    bool is_renewed = !is_newest || SSL_version(ssl) >= TLS1_3_VERSION;
    if (prepare_ticket(key, iv, cipher, mac, is_new))
        result = is_new || !is_renewed ? 1 : 2;
    OPENSSL_cleanse(key, sizeof(key));
    return result != 0 ? result : -1;
}

/* The first fault of a client's chain. */
static int on_client_verified(int is_good, X509_STORE_CTX *chain)
{
    if (is_good == 0) {
        SSL *ssl = X509_STORE_CTX_get_ex_data(chain, SSL_get_ex_data_X509_STORE_CTX_idx());
        struct tls *tls = tls_of(ssl);
        tls_reason_of_certificate(tls->reason, sizeof(tls->reason), chain, NULL);
    }
    return is_good;
}

/* ---- contexts ---- */

static SSL_CTX *new_ctx(const struct tls_ticket_source *tickets)
{
    SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
    ENSURE(ctx != NULL);
    SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION);
    ENSURE(SSL_CTX_set_cipher_list(ctx, ciphers) == 1 &&
           SSL_CTX_set1_groups_list(ctx, groups) == 1);
    SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_AUTO_RETRY);
    SSL_CTX_set_options(ctx, SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE |
                                 SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF); /* tickets alone */
    SSL_CTX_set_timeout(ctx, TLS_TICKETS_GOOD_S);
    SSL_CTX_set_alpn_select_cb(ctx, on_protocols, NULL);
    tls_choice_use(ctx);
    if (tickets != NULL)
        SSL_CTX_set_tlsext_ticket_key_evp_cb(ctx, on_ticket_key);
    return ctx;
}

static void certificates_free(struct tls_certificates *certificates)
{
    for (uint32_t i = 0; certificates != NULL && i < certificates->count; i++) {
        SSL_CTX_free(certificates->all[i].ctx);
        free(certificates->all[i].name);
        buf_deinit(&certificates->all[i].ocsp);
    }
    if (certificates != NULL)
        free(certificates->all);
    free(certificates);
}

static struct tls_certificate *add_certificate(struct tls_certificates *certificates,
                                               struct str name)
{
    uint32_t count = certificates->count + 1;
    certificates->all = mem_grow(certificates->all, count * sizeof(*certificates->all));
    struct tls_certificate *certificate = &certificates->all[certificates->count++];
    *certificate = (struct tls_certificate){.name = mem_zeroed(name.len + 1)};
    memcpy(certificate->name, name.ptr, name.len);
    certificate->ctx = new_ctx(certificates->tickets);
    return certificate;
}

struct client_ca {
    struct str name;
    struct str pem;
    enum tls_client_wish wish;
};

static bool read_certificates(struct tls_certificates *certificates, struct str material,
                              struct client_ca *ca, struct fault *fault)
{
    struct tls_identity identity = {0};
    struct tls_certificate *certificate = NULL;
    enum tls_material_kind kind;
    struct str bytes;
    while (tls_material_next(&material, &kind, &bytes)) {
        switch (kind) {
        case TLS_MATERIAL_CERT_NAME:
            certificate = add_certificate(certificates, bytes);
            identity = (struct tls_identity){.cert_name = bytes};
            break;
        case TLS_MATERIAL_KEY_NAME:
            identity.key_name = bytes;
            break;
        case TLS_MATERIAL_CERT:
            identity.cert = bytes;
            break;
        case TLS_MATERIAL_KEY:
            identity.key = bytes;
            if (certificate == NULL || !tls_identity_use(certificate->ctx, &identity, fault))
                return false;
            break;
        case TLS_MATERIAL_OCSP:
            if (certificate != NULL)
                buf_add_str(&certificate->ocsp, bytes);
            break;
        case TLS_MATERIAL_CA_NAME:
            ca->name = bytes;
            break;
        case TLS_MATERIAL_CA:
            ca->pem = bytes;
            break;
        case TLS_MATERIAL_CLIENTS:
            ca->wish = bytes.len == 1 ? (enum tls_client_wish) * bytes.ptr : TLS_CLIENTS_MUST;
            break;
        }
    }
    if (certificates->count == 0)
        fault_set(fault, "tls: there is no certificate to serve with");
    return certificates->count != 0;
}

/* Clients' certificates are checked against these authorities, and those alone. */
static bool use_client_ca(SSL_CTX *ctx, const struct client_ca *ca, struct fault *fault)
{
    int mode = SSL_VERIFY_PEER;
    if (ca->wish == TLS_CLIENTS_MUST)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    X509 *certificate;
    BIO *bio = BIO_new_mem_buf(ca->pem.ptr, (int)ca->pem.len);
    unsigned count = 0;
    while ((certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL) {
        X509_STORE_add_cert(SSL_CTX_get_cert_store(ctx), certificate);
        SSL_CTX_add_client_CA(ctx, certificate); /* the list that clients are sent */
        X509_free(certificate);
        count++;
    }
    ERR_clear_error();
    BIO_free(bio);
    SSL_CTX_set_verify(ctx, mode, on_client_verified);
    if (count == 0)
        fault_set(fault, "tls: %.*s: holds no certificate in PEM form (\"BEGIN CERTIFICATE\")",
                  (int)ca->name.len, ca->name.ptr);
    return count != 0;
}

/* Sessions are good as long as clients are checked in the same way. */
static void name_sessions(SSL_CTX *ctx, const struct client_ca *ca)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    unsigned char wish = (unsigned char)ca->wish;
    ENSURE(hash != NULL && EVP_DigestInit_ex(hash, EVP_sha256(), NULL) == 1);
    EVP_DigestUpdate(hash, &wish, 1);
    EVP_DigestUpdate(hash, ca->pem.ptr, ca->pem.len);
    EVP_DigestFinal_ex(hash, digest, &len);
    EVP_MD_CTX_free(hash);
    SSL_CTX_set_session_id_context(ctx, digest,
                                   len < SSL_MAX_SID_CTX_LENGTH ? len : SSL_MAX_SID_CTX_LENGTH);
}

struct tls_context *tls_context_new_server(struct str material,
                                           const struct tls_ticket_source *tickets,
                                           struct fault *fault)
{
    struct tls_context *context = MEM_NEW(struct tls_context);
    struct tls_certificates *certificates = MEM_NEW(struct tls_certificates);
    struct client_ca ca = {0};
    context->nusers = 1;
    context->certificates = certificates;
    context->free_certificates = certificates_free;
    certificates->tickets = tickets;
    if (!read_certificates(certificates, material, &ca, fault))
        goto fail;
    for (uint32_t i = 0; i < certificates->count; i++) {
        SSL_CTX *ctx = certificates->all[i].ctx;
        name_sessions(ctx, &ca);
        if (ca.wish != TLS_CLIENTS_NOT_ASKED && ca.pem.len != 0 && !use_client_ca(ctx, &ca, fault))
            goto fail;
    }
    tls_choice_prepare(certificates);
    context->ctx = certificates->all[0].ctx;
    SSL_CTX_up_ref(context->ctx);
    return context;

fail:
    tls_context_free(context);
    return NULL;
}

struct tls *tls_new_server(struct tls_context *context)
{
    return tls_new(context);
}
