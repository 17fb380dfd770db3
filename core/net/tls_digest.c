#include "net/tls_digest.h"

#include "base/mem.h"

#include <openssl/evp.h>

bool tls_sha1(const struct str *pieces, uint32_t npieces, unsigned char digest[TLS_SHA1_BYTES])
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_good = context != NULL && EVP_DigestInit_ex(context, EVP_sha1(), NULL) == 1;
    for (uint32_t i = 0; i < npieces && is_good; i++)
        is_good = EVP_DigestUpdate(context, pieces[i].ptr, pieces[i].len) == 1;
    is_good = is_good && EVP_DigestFinal_ex(context, digest, NULL) == 1;
    EVP_MD_CTX_free(context);
    return is_good;
}

size_t tls_base64(struct str bytes, char text[TLS_BASE64_BYTES])
{
    ENSURE(bytes.len <= TLS_BASE64_MAX);
    return (size_t)EVP_EncodeBlock((unsigned char *)text, (const unsigned char *)bytes.ptr,
                                   (int)bytes.len);
}
