/*
 * forwarded.h - who asks, when a proxy asks for somebody: X-Forwarded-For and X-Forwarded-Proto,
 * believed only from the peers that the option forwarded_allow_ips lists.
 */
#pragma once

#include "base/str.h"

#include <stdbool.h>
#include <stddef.h>

struct config;
struct request;

enum { FORWARDED_ADDRESS_BYTES = 64 };

/* Whether the address, or "unix", is one of forwarded_allow_ips. */
bool forwarded_trusts(const struct config *config, struct str address);
/* The client's address without port, "unix" for a Unix socket; returns its length. Behind proxies:
 * the last address of X-Forwarded-For that is not one of theirs. */
size_t forwarded_client(const struct request *request, char text[FORWARDED_ADDRESS_BYTES]);
/* Whether a trusted proxy says that the client came by https. */
bool forwarded_is_https(const struct request *request);
