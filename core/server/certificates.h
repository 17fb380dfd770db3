/*
 * certificates.h - the master's hand on TLS: reads certificates and keys with its own rights, tries
 * them, gives them to the workers, and does so again when the files change or the configuration
 * does. What is wrong is said once, and what was served before stays; which of them expire soon is
 * said daily.
 *
 * Also turns the keys of session tickets. On the master's thread.
 */
#pragma once

#include "base/config.h"
#include "base/fault.h"
#include "server/master_loop.h"
#include "server/worker.h"

#include <stdbool.h>

struct certificate_list;
struct certificates;
struct slots;

/* Whether the server could start with what the configuration names. False with the reason. */
bool certificates_are_good(const struct config *config, struct fault *fault);

/* Reads what the configuration names. NULL with the reason. Without certfile it does nothing. */
struct certificates *certificates_new(struct master_loop *loop, const struct config *config,
                                      struct fault *fault);
void certificates_free(struct certificates *certificates); /* NULL is fine */
/* From now on files are looked at once a second, and workers are told. */
void certificates_use_slots(struct certificates *certificates, struct slots *slots);
/* Reads anew as the configuration says now; it is borrowed for good. False with the reason: then
 * the present ones stay. */
bool certificates_use_config(struct certificates *certificates, const struct config *config,
                             struct fault *fault);
void certificates_fill_boot(const struct certificates *certificates, struct worker_boot *boot);
/* What is served. Borrowed until the files change; NULL: no TLS. */
const struct certificate_list *certificates_list(const struct certificates *certificates);
