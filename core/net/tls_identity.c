#include "net/tls_identity.h"

#include "net/tls_reason.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <string.h>
#include <unistd.h>

/* Before OpenSSL, whose errors about files are riddles. */
static bool is_readable(const char *path, struct fault *fault)
{
    char byte;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t got = fd >= 0 ? read(fd, &byte, 1) : -1;
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (got < 0)
        fault_set(fault, "tls: %s: %s", path, strerror(error));
    else if (got == 0)
        fault_set(fault, "tls: %s: the file is empty", path);
    return got > 0;
}

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

bool tls_identity_use(struct ssl_ctx_st *ctx, const char *cert_file, const char *key_file,
                      struct fault *fault)
{
    bool was_asked = false;
    const char *key = key_file != NULL ? key_file : cert_file;
    if (!is_readable(cert_file, fault) || !is_readable(key, fault))
        return false;
    SSL_CTX_set_default_passwd_cb(ctx, refuse_password);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, &was_asked);
    ERR_clear_error();
    bool has_cert = SSL_CTX_use_certificate_chain_file(ctx, cert_file) == 1;
    unsigned long code = ERR_peek_error();
    bool is_pem = ERR_GET_REASON(code) != PEM_R_NO_START_LINE;
    bool has_key = has_cert && SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) == 1;
    SSL_CTX_set_default_passwd_cb(ctx, NULL);
    SSL_CTX_set_default_passwd_cb_userdata(ctx, NULL);
    if (!has_cert && !is_pem)
        fault_set(fault, "tls: %s: holds no certificate in PEM form (\"BEGIN CERTIFICATE\")",
                  cert_file);
    else if (!has_cert)
        fault_set(fault, "tls: %s: %s", cert_file, tls_first_error());
    else if (was_asked)
        fault_set(fault,
                  "tls: %s: the key is encrypted with a password, which nobody is there to type; "
                  "openssl pkey -in FILE -out FILE takes it off",
                  key);
    else if (!has_key && ERR_GET_REASON(ERR_peek_error()) == X509_R_KEY_VALUES_MISMATCH)
        fault_set(fault, "tls: %s: the key does not belong to the certificate in %s", key,
                  cert_file);
    else if (!has_key)
        fault_set(fault, "tls: %s: holds no private key in PEM form that can be used (%s)%s", key,
                  tls_first_error(), key_file == NULL ? "; is the key in a file of its own?" : "");
    ERR_clear_error();
    return has_key;
}
