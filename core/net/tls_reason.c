#include "net/tls_reason.h"

#include "base/buf.h"
#include "net/tls_parts.h"

#include <arpa/inet.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { NAMES_BYTES = 100, NAME_BYTES = 80 };

const char *tls_first_error(void)
{
    unsigned long code = ERR_get_error();
    const char *reason = code != 0 ? ERR_reason_error_string(code) : NULL;
    ERR_clear_error();
    return reason != NULL ? reason : "unknown error";
}

/* ---- alerts and the like ---- */

struct sentence {
    int reason;
    const char *text;
};

static const struct sentence at_client[] = {
    {SSL_R_WRONG_VERSION_NUMBER,
     "the server does not speak TLS on this port; it may be one for plain http://"},
    {SSL_R_UNSUPPORTED_PROTOCOL,
     "the server speaks nothing newer than TLS 1.1, which is refused as insecure"},
    {SSL_R_TLSV1_ALERT_PROTOCOL_VERSION,
     "the server speaks nothing newer than TLS 1.1, which is refused as insecure"},
    {SSL_R_SSLV3_ALERT_HANDSHAKE_FAILURE,
     "the server refused the handshake: no cipher in common, or it wants a client certificate "
     "(cert_file, key_file)"},
    {SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED,
     "the server wants a client certificate: give the client cert_file and key_file"},
    {SSL_R_TLSV1_ALERT_UNKNOWN_CA,
     "the server does not trust the authority of the client certificate in cert_file"},
    {SSL_R_SSLV3_ALERT_BAD_CERTIFICATE, "the server refused the client certificate in cert_file"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_UNKNOWN,
     "the server refused the client certificate in cert_file"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED,
     "the server says that the client certificate in cert_file has expired"},
    {SSL_R_SSLV3_ALERT_CERTIFICATE_REVOKED,
     "the server says that the client certificate in cert_file was revoked"},
    {SSL_R_TLSV1_ALERT_ACCESS_DENIED, "the server accepts no client certificate but others"},
    {SSL_R_TLSV1_UNRECOGNIZED_NAME, "the server has no certificate for this name"},
    {SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL, "the server does not offer HTTP/1.1"},
    {SSL_R_DH_KEY_TOO_SMALL, "the server's key exchange is too weak: a short Diffie-Hellman group"},
    {SSL_R_EE_KEY_TOO_SMALL, "the server's key is too short to be safe"},
    {SSL_R_CA_KEY_TOO_SMALL, "the key of an authority of the server's is too short to be safe"},
    {SSL_R_UNSAFE_LEGACY_RENEGOTIATION_DISABLED,
     "the server does not know secure renegotiation (RFC 5746), and is refused as insecure"},
    {0, NULL},
};

/* Once hands are shaken: the same codes mean something else. */
static const struct sentence at_both_later[] = {
    {SSL_R_WRONG_VERSION_NUMBER, "bytes came that are no TLS, in the middle of a TLS connection"},
    {SSL_R_BAD_RECORD_TYPE, "bytes came that are no TLS, in the middle of a TLS connection"},
    {SSL_R_DECRYPTION_FAILED_OR_BAD_RECORD_MAC,
     "what came was changed on its way: it does not decrypt"},
    {SSL_R_PACKET_LENGTH_TOO_LONG, "bytes came that are no TLS, in the middle of a TLS connection"},
    {0, NULL},
};

static const char *look_up(const struct sentence *sentences, int reason)
{
    while (sentences->text != NULL && sentences->reason != reason)
        sentences++;
    return sentences->text;
}

void tls_reason_of_error(char *text, size_t bytes, const struct tls *tls)
{
    unsigned long code = ERR_peek_error();
    const char *sentence = NULL;
    if (ERR_GET_LIB(code) == ERR_LIB_SSL && tls->has_shaken_hands)
        sentence = look_up(at_both_later, ERR_GET_REASON(code));
    if (ERR_GET_LIB(code) == ERR_LIB_SSL && sentence == NULL && !SSL_is_server(tls->ssl))
        sentence = look_up(at_client, ERR_GET_REASON(code));
    snprintf(text, bytes, "%s", sentence != NULL ? sentence : tls_first_error());
}

/* ---- certificates ---- */

static void format_time(char text[32], const struct tm *time)
{
    strftime(text, 32, "%Y-%m-%d %H:%M:%S UTC", time);
}

static void format_asn1_time(char text[32], const ASN1_TIME *asn1)
{
    struct tm time = {0};
    snprintf(text, 32, "an unknown date");
    if (ASN1_TIME_to_tm(asn1, &time) == 1)
        format_time(text, &time);
}

static void format_now(char text[32])
{
    time_t now = time(NULL);
    struct tm split;
    gmtime_r(&now, &split);
    format_time(text, &split);
}

/* They are the peer's: nothing of them may play tricks in a log. */
static void make_plain(char *text)
{
    for (; *text != '\0'; text++)
        if ((unsigned char)*text < 0x20 || (unsigned char)*text >= 0x7f)
            *text = '?';
}

static void format_name(char text[NAME_BYTES], X509_NAME *name)
{
    snprintf(text, NAME_BYTES, "an authority without a name");
    if (X509_NAME_get_text_by_NID(name, NID_commonName, text, NAME_BYTES) < 0 &&
        X509_NAME_get_text_by_NID(name, NID_organizationName, text, NAME_BYTES) < 0)
        return;
    make_plain(text);
}

/* One alternative name, or "" when it is of no kind that hosts have. */
static void format_alternative(char text[NAME_BYTES], const GENERAL_NAME *name)
{
    text[0] = '\0';
    if (name->type == GEN_DNS) {
        snprintf(text, NAME_BYTES, "%.*s", ASN1_STRING_length(name->d.dNSName),
                 (const char *)ASN1_STRING_get0_data(name->d.dNSName));
    } else if (name->type == GEN_IPADD) {
        int family = ASN1_STRING_length(name->d.iPAddress) == 4 ? AF_INET : AF_INET6;
        if (family == AF_INET || ASN1_STRING_length(name->d.iPAddress) == 16)
            inet_ntop(family, ASN1_STRING_get0_data(name->d.iPAddress), text, NAME_BYTES);
    }
    make_plain(text);
}

/* "a.example, b.example, 127.0.0.1", and "…" for those that have no place. */
static void format_hosts(char text[NAMES_BYTES], X509 *certificate)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(certificate, NID_subject_alt_name, NULL, NULL);
    size_t len = 0;
    text[0] = '\0';
    for (int i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        char name[NAME_BYTES];
        format_alternative(name, sk_GENERAL_NAME_value(names, i));
        if (name[0] == '\0')
            continue;
        bool has_room = len + strlen(name) + sizeof(", ...") < NAMES_BYTES;
        len += (size_t)snprintf(text + len, NAMES_BYTES - len, "%s%s", len != 0 ? ", " : "",
                                has_room ? name : "...");
        if (!has_room)
            break;
    }
    GENERAL_NAMES_free(names);
}

static void add_dates(struct buf *out, X509 *certificate, int error)
{
    char date[32], today[32];
    format_now(today);
    if (error == X509_V_ERR_CERT_HAS_EXPIRED) {
        format_asn1_time(date, X509_get0_notAfter(certificate));
        buf_printf(out, "expired on %s; it has to be renewed (here it is %s)", date, today);
    } else {
        format_asn1_time(date, X509_get0_notBefore(certificate));
        buf_printf(out, "is not valid before %s; is the clock right here (%s)?", date, today);
    }
}

static void add_issuer(struct buf *out, X509 *certificate, X509_STORE_CTX *chain, const char *host)
{
    char issuer[NAME_BYTES];
    bool is_alone = sk_X509_num(X509_STORE_CTX_get0_untrusted(chain)) <= 1;
    format_name(issuer, X509_get_issuer_name(certificate));
    buf_printf(out, "was issued by \"%s\", which is not among the trusted authorities; ", issuer);
    if (host == NULL)
        buf_add_text(out, "ca_certs names those");
    else if (is_alone)
        buf_add_text(out, "the server sends no intermediate certificate: it may lack one, or "
                          "ca_file has to name a private authority");
    else
        buf_add_text(out, "ca_file can name a private one");
}

static void add_mismatch(struct buf *out, X509 *certificate, const char *host)
{
    char names[NAMES_BYTES];
    format_hosts(names, certificate);
    if (names[0] == '\0')
        buf_printf(out, "names no host (subjectAltName), so it is not for %s", host);
    else
        buf_printf(out, "is for %s, not for %s", names, host);
}

/* "it expired on ..." or "the certificate of its authority "X" expired on ...". */
void tls_reason_of_certificate(char *text, size_t bytes, struct x509_store_ctx_st *chain,
                               const char *host)
{
    struct buf out = {0};
    int error = X509_STORE_CTX_get_error(chain);
    X509 *certificate = X509_STORE_CTX_get_current_cert(chain);
    buf_add_text(&out, "the certificate was refused: ");
    if (certificate != NULL && X509_STORE_CTX_get_error_depth(chain) > 0) {
        char name[NAME_BYTES];
        format_name(name, X509_get_subject_name(certificate));
        buf_printf(&out, "that of its authority \"%s\" ", name);
    } else {
        buf_add_text(&out, "it ");
    }
    switch (certificate != NULL ? error : X509_V_ERR_UNSPECIFIED) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
    case X509_V_ERR_CERT_NOT_YET_VALID:
        add_dates(&out, certificate, error);
        break;
    case X509_V_ERR_HOSTNAME_MISMATCH:
    case X509_V_ERR_IP_ADDRESS_MISMATCH:
        add_mismatch(&out, certificate, host);
        break;
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
    case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
    case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
        add_issuer(&out, certificate, chain, host);
        break;
    case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
        buf_printf(&out, "is self-signed; if it is known to be right, %s can name it as trusted",
                   host != NULL ? "ca_file" : "ca_certs");
        break;
    case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
        buf_printf(&out, "is self-signed and not among the trusted authorities; %s can name it",
                   host != NULL ? "ca_file" : "ca_certs");
        break;
    case X509_V_ERR_EE_KEY_TOO_SMALL:
    case X509_V_ERR_CA_KEY_TOO_SMALL:
        buf_printf(&out, "has a key of %d bits, too short to be safe (RSA: 2048 or more)",
                   EVP_PKEY_get_bits(X509_get0_pubkey(certificate)));
        break;
    case X509_V_ERR_CA_MD_TOO_WEAK:
        buf_add_text(&out, "is signed with a digest that is broken, such as SHA-1");
        break;
    default:
        buf_printf(&out, "cannot be verified (%s)", X509_verify_cert_error_string(error));
    }
    snprintf(text, bytes, "%.*s", (int)out.len, out.ptr);
    buf_deinit(&out);
}
