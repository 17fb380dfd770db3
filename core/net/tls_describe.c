/*
 * What a session is and who is at its other end, as texts for programs.
 */
#include "net/tls_certificates.h"
#include "net/tls_parts.h"
#include "net/tls_server.h"

#include <arpa/inet.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

struct teller {
    tls_describe_fn tell;
    void *data;
};

static void tell_text(const struct teller *teller, const char *what, const char *text)
{
    if (text != NULL)
        teller->tell(teller->data, what, str_of(text));
}

void tls_describe(const struct tls *tls, tls_describe_fn tell, void *data)
{
    const struct teller teller = {tell, data};
    const unsigned char *protocol = NULL;
    unsigned len = 0;
    tell_text(&teller, "version", SSL_get_version(tls->ssl));
    tell_text(&teller, "cipher", SSL_get_cipher_name(tls->ssl));
    tell_text(&teller, "server_name", SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name));
    tell_text(&teller, "resumed", SSL_session_reused(tls->ssl) == 1 ? "true" : "false");
    SSL_get0_alpn_selected(tls->ssl, &protocol, &len);
    if (len != 0)
        tell(data, "protocol", (struct str){(const char *)protocol, len});
}

static void tell_bio(const struct teller *teller, const char *what, BIO *bio)
{
    char *bytes = NULL;
    long len = BIO_get_mem_data(bio, &bytes);
    if (len > 0)
        teller->tell(teller->data, what, (struct str){bytes, (size_t)len});
    (void)BIO_reset(bio);
}

static void tell_name(const struct teller *teller, const char *what, BIO *bio, X509_NAME *name)
{
    X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
    tell_bio(teller, what, bio);
}

static void tell_common_name(const struct teller *teller, X509_NAME *name)
{
    unsigned char *text = NULL;
    int at = X509_NAME_get_index_by_NID(name, NID_commonName, -1);
    if (at < 0)
        return;
    int len = ASN1_STRING_to_UTF8(&text, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(name, at)));
    if (len >= 0)
        teller->tell(teller->data, "common_name", (struct str){(char *)text, (size_t)len});
    OPENSSL_free(text);
}

static void tell_serial(const struct teller *teller, BIO *bio, X509 *certificate)
{
    i2a_ASN1_INTEGER(bio, X509_get0_serialNumber(certificate));
    tell_bio(teller, "serial", bio);
}

static void tell_fingerprint(const struct teller *teller, X509 *certificate)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char hex[2 * EVP_MAX_MD_SIZE + 1];
    unsigned len = 0;
    if (X509_digest(certificate, EVP_sha256(), digest, &len) != 1)
        return;
    for (unsigned i = 0; i < len; i++)
        snprintf(hex + 2 * (size_t)i, 3, "%02x", digest[i]);
    tell_text(teller, "fingerprint", hex);
}

static void tell_time(const struct teller *teller, const char *what, const ASN1_TIME *asn1)
{
    struct tm split = {0};
    char text[32];
    if (ASN1_TIME_to_tm(asn1, &split) != 1)
        return;
    snprintf(text, sizeof(text), "%lld", (long long)timegm(&split));
    tell_text(teller, what, text);
}

static void tell_alternatives(const struct teller *teller, X509 *certificate)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        const ASN1_STRING *text = NULL;
        char address[INET6_ADDRSTRLEN];
        if (name->type == GEN_DNS || name->type == GEN_EMAIL || name->type == GEN_URI)
            text = name->d.ia5;
        if (text != NULL)
            teller->tell(teller->data, "name",
                         (struct str){(const char *)ASN1_STRING_get0_data(text),
                                      (size_t)ASN1_STRING_length(text)});
        if (name->type != GEN_IPADD)
            continue;
        int len = ASN1_STRING_length(name->d.iPAddress);
        if ((len == 4 || len == 16) &&
            inet_ntop(len == 4 ? AF_INET : AF_INET6, ASN1_STRING_get0_data(name->d.iPAddress),
                      address, sizeof(address)) != NULL)
            tell_text(teller, "name", address);
    }
    GENERAL_NAMES_free(names);
}

static void tell_certificate(const struct teller *teller, X509 *certificate)
{
    BIO *bio = BIO_new(BIO_s_mem());
    tell_name(teller, "subject", bio, X509_get_subject_name(certificate));
    tell_common_name(teller, X509_get_subject_name(certificate));
    tell_name(teller, "issuer", bio, X509_get_issuer_name(certificate));
    tell_serial(teller, bio, certificate);
    tell_fingerprint(teller, certificate);
    tell_time(teller, "not_before", X509_get0_notBefore(certificate));
    tell_time(teller, "not_after", X509_get0_notAfter(certificate));
    tell_alternatives(teller, certificate);
    BIO_free(bio);
}

bool tls_describe_client(const struct tls *tls, tls_describe_fn tell, void *data)
{
    const struct teller teller = {tell, data};
    X509 *certificate = SSL_get0_peer_certificate(tls->ssl);
    if (certificate != NULL)
        tell_certificate(&teller, certificate);
    return certificate != NULL;
}

static void tell_key(const struct teller *teller, EVP_PKEY *key)
{
    char text[96], group[64] = "";
    size_t len = 0;
    const char *kind = EVP_PKEY_get0_type_name(key);
    if (EVP_PKEY_get_group_name(key, group, sizeof(group), &len) == 1)
        snprintf(text, sizeof(text), "%s %s", kind, group);
    else
        snprintf(text, sizeof(text), "%s %d", kind, EVP_PKEY_get_bits(key));
    ERR_clear_error();
    tell_text(teller, "key", text);
}

bool tls_describe_served(const struct tls_context *context, uint32_t index, tls_describe_fn tell,
                         void *data)
{
    const struct teller teller = {tell, data};
    const struct tls_certificates *certificates = context->certificates;
    if (index >= certificates->count)
        return false;
    const struct tls_certificate *each = &certificates->all[index];
    tell_text(&teller, "file", each->name);
    tell_key(&teller, SSL_CTX_get0_privatekey(each->ctx));
    tell_certificate(&teller, SSL_CTX_get0_certificate(each->ctx));
    return true;
}
