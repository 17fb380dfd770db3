#include "net/tls_identity.h"

#include "base/buf.h"
#include "net/tls_file.h"
#include "net/tls_reason.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <string.h>

/* Nobody is there to be asked for a password. */
static int refuse_password(char *buf, int size, int is_writing, void *data)
{
    bool *was_asked = data;
    (void)buf;
    (void)size;
    (void)is_writing;
    *was_asked = true;
    return -1;
}

/* The certificates behind the first. False when one is malformed. */
static bool use_chain(SSL_CTX *ctx, BIO *bio)
{
    X509 *certificate;
    SSL_CTX_clear_chain_certs(ctx);
    while ((certificate = PEM_read_bio_X509(bio, NULL, NULL, NULL)) != NULL)
        if (SSL_CTX_add0_chain_cert(ctx, certificate) != 1) {
            X509_free(certificate);
            return false;
        }
    bool is_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
    if (is_end)
        ERR_clear_error();
    return is_end;
}

static bool use_certificate(SSL_CTX *ctx, const struct tls_identity *identity, struct fault *fault)
{
    BIO *bio = BIO_new_mem_buf(identity->cert.ptr, (int)identity->cert.len);
    ERR_clear_error();
    X509 *certificate = PEM_read_bio_X509_AUX(bio, NULL, NULL, NULL);
    bool is_pem = ERR_GET_REASON(ERR_peek_error()) != PEM_R_NO_START_LINE;
    bool is_used = certificate != NULL && SSL_CTX_use_certificate(ctx, certificate) == 1 &&
                   use_chain(ctx, bio);
    X509_free(certificate);
    BIO_free(bio);
    int name_len = (int)identity->cert_name.len;
    if (!is_used && !is_pem)
        fault_set(fault, "tls: %.*s: holds no certificate in PEM form (\"BEGIN CERTIFICATE\")",
                  name_len, identity->cert_name.ptr);
    else if (!is_used)
        fault_set(fault, "tls: %.*s: %s", name_len, identity->cert_name.ptr, tls_first_error());
    return is_used;
}

static bool use_key(SSL_CTX *ctx, const struct tls_identity *identity, struct fault *fault)
{
    bool was_asked = false;
    BIO *bio = BIO_new_mem_buf(identity->key.ptr, (int)identity->key.len);
    ERR_clear_error();
    EVP_PKEY *key = PEM_read_bio_PrivateKey(bio, NULL, refuse_password, &was_asked);
    bool is_used = key != NULL && SSL_CTX_use_PrivateKey(ctx, key) == 1;
    EVP_PKEY_free(key);
    BIO_free(bio);
    int name_len = (int)identity->key_name.len;
    bool is_alone = !str_equal(identity->key_name, identity->cert_name);
    if (was_asked)
        fault_set(fault,
                  "tls: %.*s: the key is encrypted with a password, which nobody is there to type; "
                  "openssl pkey -in FILE -out FILE takes it off",
                  name_len, identity->key_name.ptr);
    else if (key != NULL && !is_used)
        fault_set(fault, "tls: %.*s: the key does not belong to the certificate in %.*s", name_len,
                  identity->key_name.ptr, (int)identity->cert_name.len, identity->cert_name.ptr);
    else if (!is_used)
        fault_set(fault, "tls: %.*s: holds no private key in PEM form that can be used (%s)%s",
                  name_len, identity->key_name.ptr, tls_first_error(),
                  is_alone ? "" : "; is the key in a file of its own?");
    return is_used;
}

bool tls_identity_use(struct ssl_ctx_st *ctx, const struct tls_identity *identity,
                      struct fault *fault)
{
    bool is_used = use_certificate(ctx, identity, fault) && use_key(ctx, identity, fault);
    ERR_clear_error();
    return is_used;
}

bool tls_identity_use_files(struct ssl_ctx_st *ctx, const char *cert_file, const char *key_file,
                            struct fault *fault)
{
    struct buf cert = {0}, key = {0};
    const char *key_name = key_file != NULL ? key_file : cert_file;
    bool is_used = tls_file_read(cert_file, &cert, fault) && tls_file_read(key_name, &key, fault);
    struct tls_identity identity = {str_of(cert_file), str_of(key_name), buf_str(&cert),
                                    buf_str(&key)};
    is_used = is_used && tls_identity_use(ctx, &identity, fault);
    tls_file_forget(&cert);
    tls_file_forget(&key);
    return is_used;
}
