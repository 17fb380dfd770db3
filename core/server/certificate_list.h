/*
 * certificate_list.h - what the certificates are that the server serves with: for `moonloop
 * status`, and for the warnings about those that do not hold much longer.
 */
#pragma once

#include "base/buf.h"

#include <stdbool.h>
#include <stdint.h>

struct certificate_list;
struct tls_context;

enum { CERTIFICATE_SOON_S = 14 * 24 * 60 * 60 };

struct certificate_list *certificate_list_new(const struct tls_context *tls);
void certificate_list_free(struct certificate_list *list); /* NULL is fine; below it is empty */

/* A sentence for each that has expired, expires in less than CERTIFICATE_SOON_S, or is not valid
 * yet, with newlines between. `now_s`: since 1970. */
void certificate_list_complain(const struct certificate_list *list, int64_t now_s,
                               struct buf *sentences);
/* As an array of objects. */
void certificate_list_to_json(const struct certificate_list *list, int64_t now_s, struct buf *out);
void certificate_list_to_text(const struct certificate_list *list, int64_t now_s, struct buf *out);
