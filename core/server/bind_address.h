/*
 * bind_address.h - one address that the server is to listen on: read, found free, named as a URL.
 *
 * Part of listen_sockets, which owns it and the sockets on it.
 */
#pragma once

#include "base/fault.h"

#include <stdint.h>
#include <sys/socket.h>

enum { BIND_URL_BYTES = 192 };

struct bind_address {
    const char *text; /* as configured, without "proxy+"; borrowed from the config */
    char *label;      /* for a handover: as configured, and whether it only redirects */
    struct sockaddr_storage addr;
    socklen_t addr_len;
    uint8_t service; /* enum http_service, perhaps with HTTP_EXPECTS_PROXY */
    int shared_fd;   /* -1: one socket per slot */
    char *unix_path; /* ours to remove */
    char url[BIND_URL_BYTES];
    char reachable_url[BIND_URL_BYTES]; /* "" unless it is a bind to every address */
};

/* Reads the text and makes sure that the address is free: port 0 gets its number, a Unix socket or
 * an inherited one is open as shared_fd. 0 or -errno with the reason. */
int bind_address_claim(struct bind_address *bind_address, struct fault *fault);
/* A socket with SO_REUSEPORT that listens on a TCP address, or -errno. */
int bind_address_open(const struct bind_address *bind_address);
/* Makes the URLs of a TCP address. */
void bind_address_name(struct bind_address *bind_address);
/* What went wrong with a bind, and what the user can do about it; a positive errno. */
void bind_address_explain(struct fault *fault, const char *bind_text, int error);
