#include "server/certificates.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/payload.h"
#include "net/tls.h"
#include "net/tls_file.h"
#include "net/tls_material.h"
#include "net/tls_server.h"
#include "server/certificate_list.h"
#include "server/protocol.h"
#include "server/slots.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { LOOK_MS = 1000, SAY_AGAIN_S = 24 * 60 * 60 };

struct certificates {
    struct master_loop *loop;
    const struct config *config;
    struct slots *slots; /* NULL: not yet */
    struct ticket_keys *keys;
    struct master_timer look;
    struct master_timer turn;
    struct buf stamp; /* of the files when they were read last, well or not */
    struct buf seen;  /* a stamp that differs; read when it stays the same for a look */
    int fd;           /* what is served; -1: no TLS */
    struct certificate_list *list; /* what that is; NULL: no TLS */
    int64_t said_s;                /* when it was looked at which of them expire */
};

static struct tls_material_files files_of(const struct config *config)
{
    return (struct tls_material_files){
        .certfiles = config->certfile,
        .keyfiles = config->keyfile,
        .ca_certs = config->ca_certs,
        .clients = config->ca_certs != NULL ? (enum tls_client_wish)config->cert_reqs
                                            : TLS_CLIENTS_NOT_ASKED,
    };
}

static void say_expiry(struct certificates *certificates)
{
    struct buf sentences = {0};
    int64_t now_s = (int64_t)time(NULL);
    certificate_list_complain(certificates->list, now_s, &sentences);
    certificates->said_s = now_s;
    buf_add_char(&sentences, '\0');
    char *rest = NULL;
    for (char *each = strtok_r(sentences.ptr, "\n", &rest); each != NULL;
         each = strtok_r(NULL, "\n", &rest))
        log_warn("%s", each);
    buf_deinit(&sentences);
}

/* Reads and tries them. -1 with the reason, else a payload. `list`: what they are; may be NULL. */
static int read_all(const struct config *config, struct certificate_list **list,
                    struct fault *fault)
{
    struct tls_material_files files = files_of(config);
    struct buf material = {0};
    struct tls_context *tls = NULL;
    int fd = -1;
    if (tls_material_read(&files, &material, fault) &&
        (tls = tls_context_new_server(buf_str(&material), NULL, fault)) != NULL) {
        fd = payload_new(buf_str(&material));
        if (fd < 0)
            fault_set(fault, "tls: cannot hand over the certificates: %s", strerror(-fd));
        else if (list != NULL)
            *list = certificate_list_new(tls);
    }
    tls_context_free(tls);
    tls_file_forget(&material);
    return fd < 0 ? -1 : fd;
}

bool certificates_are_good(const struct config *config, struct fault *fault)
{
    int fd = config->certfile != NULL ? read_all(config, NULL, fault) : -1;
    if (fd >= 0)
        close(fd);
    return config->certfile == NULL || fd >= 0;
}

static void serve(struct certificates *certificates, int fd, struct certificate_list *list)
{
    certificate_list_free(certificates->list);
    certificates->list = list;
    say_expiry(certificates);
    if (certificates->fd >= 0)
        close(certificates->fd);
    certificates->fd = fd;
    if (certificates->slots != NULL)
        slots_use_certificates(certificates->slots, fd);
}

static void take_stamp(const struct certificates *certificates, struct buf *stamp)
{
    struct tls_material_files files = files_of(certificates->config);
    stamp->len = 0;
    tls_material_stamp(&files, stamp);
}

/* ---- changes of files ---- */

static void reread(struct certificates *certificates)
{
    struct fault fault = {0};
    struct certificate_list *list = NULL;
    int fd = read_all(certificates->config, &list, &fault);
    if (fd < 0) {
        log_error("the certificates have changed and cannot be used, the ones before stay: %s",
                  fault.text);
        return;
    }
    serve(certificates, fd, list);
    log_info("the certificates have changed: new connections get the new ones");
}

/* A key and its certificate are written one after the other: what changes still is left alone. */
static void on_look(struct master_timer *timer)
{
    struct certificates *certificates = LIST_ENTRY(timer, struct certificates, look);
    struct buf now = {0};
    master_timer_start(certificates->loop, timer, LOOK_MS, on_look);
    if ((int64_t)time(NULL) - certificates->said_s >= SAY_AGAIN_S)
        say_expiry(certificates);
    take_stamp(certificates, &now);
    bool is_changed = !str_equal(buf_str(&now), buf_str(&certificates->stamp));
    bool is_settled = str_equal(buf_str(&now), buf_str(&certificates->seen));
    buf_deinit(&certificates->seen);
    if (is_changed && is_settled) {
        buf_deinit(&certificates->stamp);
        certificates->stamp = now;
        reread(certificates);
    } else if (is_changed) {
        certificates->seen = now;
    } else {
        buf_deinit(&now);
    }
}

static void on_turn(struct master_timer *timer)
{
    struct certificates *certificates = LIST_ENTRY(timer, struct certificates, turn);
    int status = ticket_keys_turn(certificates->keys);
    if (status != 0)
        log_error("the keys of TLS session tickets stay as they are: %s", strerror(-status));
    master_timer_start(certificates->loop, timer, (uint64_t)TICKET_KEYS_TURN_S * 1000, on_turn);
}

/* ---- life ---- */

struct certificates *certificates_new(struct master_loop *loop, const struct config *config,
                                      struct fault *fault)
{
    struct certificates *certificates = MEM_NEW(struct certificates);
    certificates->loop = loop;
    certificates->config = config;
    certificates->fd = -1;
    master_timer_init(&certificates->look);
    master_timer_init(&certificates->turn);
    if (config->certfile == NULL)
        return certificates;
    if ((certificates->fd = read_all(config, &certificates->list, fault)) < 0)
        goto fail;
    say_expiry(certificates);
    if ((certificates->keys = ticket_keys_new()) == NULL) {
        fault_set(fault, "tls: no keys for session tickets: %s", strerror(errno));
        goto fail;
    }
    take_stamp(certificates, &certificates->stamp);
    return certificates;

fail:
    certificates_free(certificates);
    return NULL;
}

void certificates_free(struct certificates *certificates)
{
    if (certificates == NULL)
        return;
    master_timer_stop(&certificates->look);
    master_timer_stop(&certificates->turn);
    buf_deinit(&certificates->stamp);
    buf_deinit(&certificates->seen);
    certificate_list_free(certificates->list);
    ticket_keys_free(certificates->keys);
    if (certificates->fd >= 0)
        close(certificates->fd);
    free(certificates);
}

void certificates_use_slots(struct certificates *certificates, struct slots *slots)
{
    certificates->slots = slots;
    if (certificates->fd < 0)
        return;
    master_timer_start(certificates->loop, &certificates->look, LOOK_MS, on_look);
    master_timer_start(certificates->loop, &certificates->turn, (uint64_t)TICKET_KEYS_TURN_S * 1000,
                       on_turn);
}

bool certificates_use_config(struct certificates *certificates, const struct config *config,
                             struct fault *fault)
{
    struct certificate_list *list = NULL;
    int fd = -1;
    if (certificates->fd >= 0 && config->certfile != NULL &&
        (fd = read_all(config, &list, fault)) < 0)
        return false;
    certificates->config = config;
    if (fd < 0)
        return true; /* it begins and ends with a restart */
    buf_deinit(&certificates->seen);
    take_stamp(certificates, &certificates->stamp);
    serve(certificates, fd, list);
    return true;
}

void certificates_fill_boot(const struct certificates *certificates, struct worker_boot *boot)
{
    boot->tls_fd = certificates->fd;
    boot->ticket_keys = certificates->keys;
}

const struct certificate_list *certificates_list(const struct certificates *certificates)
{
    return certificates->list;
}
