/*
 * tls_server.h - TLS as a server: certificates chosen by the name that the client asks for and the
 * signatures that it knows, TLS 1.2 and 1.3 as in Mozilla's "intermediate" recommendation, sessions
 * taken up again through tickets.
 */
#pragma once

#include "base/fault.h"
#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

struct tls;
struct tls_context;

enum {
    TLS_TICKET_NAME_BYTES = 16,
    TLS_TICKET_KEY_BYTES = 80, /* a name, 32 bytes to encrypt, 32 to authenticate */
    TLS_TICKETS_GOOD_S = 16 * 60 * 60,
};

/* Where the keys of tickets come from: all workers of a server have to find the same. */
struct tls_ticket_source {
    /* The key of that name, or the newest for NULL. False: none of that name. */
    bool (*find)(void *data, const uint8_t *name, uint8_t key[TLS_TICKET_KEY_BYTES],
                 bool *is_newest);
    void *data;
};

/* NULL with a sentence that names the file. `material` as tls_material_read gives it, borrowed
 * during the call; `tickets` is borrowed for good, NULL: keys of its own. */
struct tls_context *tls_context_new_server(struct str material,
                                           const struct tls_ticket_source *tickets,
                                           struct fault *fault);
/* Costs next to nothing until the client's first record is there whole: OpenSSL takes some 45 KB
 * for a handshake. */
struct tls *tls_new_server(struct tls_context *context);

/* Whether the certificate that the session was begun with is for that host, a name or an IP address
 * without brackets (RFC 9110, 4.3.4). The last one that it was for is remembered. */
bool tls_is_certified_for(struct tls *tls, struct str host);

/* Tells what a session is: "version", "cipher", "protocol", "server_name", "resumed" ("true" or
 * "false"). Those that there are not are left out. */
typedef void (*tls_describe_fn)(void *data, const char *what, struct str value);
void tls_describe(const struct tls *tls, tls_describe_fn tell, void *data);
/* Tells what the client's certificate says: "subject", "common_name", "issuer", "serial",
 * "fingerprint" (SHA-256), "not_before", "not_after" (seconds since 1970), and "name" for each of
 * its alternative names. False when it has shown none. */
bool tls_describe_client(const struct tls *tls, tls_describe_fn tell, void *data);
/* The same of the certificate of that index that a server serves with, its "file", and what its
 * "key" is: "EC prime256v1", "RSA 2048". False when there are no more. */
bool tls_describe_served(const struct tls_context *context, uint32_t index, tls_describe_fn tell,
                         void *data);
