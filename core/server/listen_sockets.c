#include "server/listen_sockets.h"

#include "base/mem.h"
#include "http/server.h"
#include "server/bind_address.h"
#include "server/handover.h"

#include <linux/filter.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_SOCKETS = 2 * CONFIG_MAX_BINDS };

struct listen_sockets {
    struct bind_address binds[MAX_SOCKETS];
    uint8_t services[MAX_SOCKETS];
    uint32_t nbinds;
    uint32_t nslots;
    int fds[CONFIG_MAX_WORKERS][MAX_SOCKETS];
    struct handover *handover; /* while they are opened; NULL: none */
};

/* The descriptor that our predecessor had for it, now ours; -1: none. */
static int take_over(struct handover *handover, const char *bind_text, int slot)
{
    for (uint32_t i = 0; handover != NULL && i < handover_nsockets(handover); i++) {
        struct handover_socket *socket = handover_socket(handover, i);
        int fd = socket->fd;
        if (fd < 0 || socket->slot != slot || strcmp(socket->bind, bind_text) != 0)
            continue;
        socket->fd = -1;
        return fd;
    }
    return -1;
}

static bool is_handed_over(struct bind_address *bind_address, struct handover *handover)
{
    const char *text = bind_address->text, *label = bind_address->label;
    socklen_t len = sizeof(bind_address->addr);
    bind_address->shared_fd = take_over(handover, label, HANDOVER_SHARED);
    if (bind_address->shared_fd >= 0) {
        snprintf(bind_address->url, BIND_URL_BYTES, "%s", text);
        if (strncmp(text, "unix:", 5) == 0 && text[5] != '@')
            bind_address->unix_path = mem_copy_text(text + 5);
        return true;
    }
    for (uint32_t i = 0; handover != NULL && i < handover_nsockets(handover); i++) {
        const struct handover_socket *socket = handover_socket(handover, i);
        if (strcmp(socket->bind, label) != 0 || socket->fd < 0)
            continue;
        getsockname(socket->fd, (struct sockaddr *)&bind_address->addr, &len);
        bind_address->addr_len = len;
        bind_address_name(bind_address);
        return true;
    }
    return false;
}

/* "proxy+" before an address: connections to it begin with a PROXY header. */
static const char *without_mark(const char *text, uint8_t *mark)
{
    static const char start[] = "proxy+";
    bool is_marked = strncmp(text, start, sizeof(start) - 1) == 0;
    *mark = is_marked ? HTTP_EXPECTS_PROXY : 0;
    return is_marked ? text + sizeof(start) - 1 : text;
}

static bool claim_all(struct listen_sockets *sockets, char *const *texts, uint32_t count,
                      enum http_service service, struct fault *fault)
{
    for (uint32_t i = 0; i < count; i++) {
        struct bind_address *each = &sockets->binds[sockets->nbinds];
        uint8_t mark;
        each->text = without_mark(texts[i], &mark);
        /* Who connects to a Unix socket is on this machine. */
        bool is_unix = strncmp(each->text, "unix:", 5) == 0;
        bool is_plain = is_unix && service == HTTP_SERVES_TLS;
        each->service = (uint8_t)(mark | (is_plain ? HTTP_SERVES_PLAIN : service));
        sockets->services[sockets->nbinds++] = each->service;
        each->label = handover_label(texts[i], service == HTTP_REDIRECTS);
        if (!is_handed_over(each, sockets->handover) && bind_address_claim(each, fault) < 0)
            return false;
    }
    return true;
}

struct listen_sockets *listen_sockets_open(const struct config *config, uint32_t nslots,
                                           struct handover *handover, struct fault *fault)
{
    struct listen_sockets *sockets = MEM_NEW(struct listen_sockets);
    sockets->handover = handover;
    enum http_service service = config->certfile != NULL ? HTTP_SERVES_TLS : HTTP_SERVES_PLAIN;
    if (!claim_all(sockets, config->binds, config->nbinds, service, fault) ||
        !claim_all(sockets, config->redirect_binds, config->nredirect_binds, HTTP_REDIRECTS, fault))
        goto fail;
    while (sockets->nslots < nslots)
        if (listen_sockets_add_slot(sockets, fault) < 0)
            goto fail;
    sockets->handover = NULL;
    return sockets;

fail:
    if (handover == NULL) /* else they are served */
        listen_sockets_unlink(sockets);
    listen_sockets_close(sockets);
    return NULL;
}

static void close_slot(struct listen_sockets *sockets, uint32_t slot)
{
    for (uint32_t i = 0; i < sockets->nbinds; i++) {
        if (sockets->binds[i].shared_fd < 0 && sockets->fds[slot][i] >= 0)
            close(sockets->fds[slot][i]);
        sockets->fds[slot][i] = -1;
    }
}

int listen_sockets_add_slot(struct listen_sockets *sockets, struct fault *fault)
{
    uint32_t slot = sockets->nslots;
    ENSURE(slot < CONFIG_MAX_WORKERS);
    for (uint32_t i = 0; i < sockets->nbinds; i++)
        sockets->fds[slot][i] = -1;
    for (uint32_t i = 0; i < sockets->nbinds; i++) {
        const struct bind_address *each = &sockets->binds[i];
        int fd = each->shared_fd >= 0 ? each->shared_fd
                                      : take_over(sockets->handover, each->label, (int)slot);
        if (fd < 0)
            fd = bind_address_open(each);
        if (fd < 0) {
            bind_address_explain(fault, each->text, -fd);
            close_slot(sockets, slot);
            return fd;
        }
        sockets->fds[slot][i] = fd;
    }
    sockets->nslots++;
    return 0;
}

void listen_sockets_hand_over(const struct listen_sockets *sockets, struct handover *handover)
{
    for (uint32_t i = 0; i < sockets->nbinds; i++) {
        const struct bind_address *each = &sockets->binds[i];
        if (each->shared_fd >= 0)
            handover_add_socket(handover, HANDOVER_SHARED, each->shared_fd, each->label);
        for (uint32_t slot = 0; each->shared_fd < 0 && slot < sockets->nslots; slot++)
            handover_add_socket(handover, (int)slot, sockets->fds[slot][i], each->label);
    }
}

void listen_sockets_drop_slot(struct listen_sockets *sockets)
{
    ENSURE(sockets->nslots > 0);
    close_slot(sockets, --sockets->nslots);
}

/* Sockets of one bind stand in the kernel's group in the order in which they began to listen, which
 * is that of the slots; slots come and go at the end only. The program picks one of the first. */
void listen_sockets_steer(struct listen_sockets *sockets, uint32_t nslots)
{
    struct sock_filter code[] = {
        {BPF_LD | BPF_W | BPF_ABS, 0, 0, (uint32_t)(SKF_AD_OFF + SKF_AD_RANDOM)},
        {BPF_ALU | BPF_MOD | BPF_K, 0, 0, nslots},
        {BPF_RET | BPF_A, 0, 0, 0},
    };
    struct sock_fprog program = {sizeof(code) / sizeof(*code), code};
    for (uint32_t i = 0; nslots > 0 && i < sockets->nbinds; i++)
        if (sockets->binds[i].shared_fd < 0)
            setsockopt(sockets->fds[0][i], SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program,
                       sizeof(program));
}

void listen_sockets_keep_slot(struct listen_sockets *sockets, uint32_t slot)
{
    for (uint32_t i = 0; i < sockets->nslots; i++)
        if (i != slot)
            close_slot(sockets, i);
}

void listen_sockets_unlink(struct listen_sockets *sockets)
{
    for (uint32_t i = 0; i < sockets->nbinds; i++)
        if (sockets->binds[i].unix_path != NULL)
            unlink(sockets->binds[i].unix_path);
}

void listen_sockets_close(struct listen_sockets *sockets)
{
    if (sockets == NULL)
        return;
    while (sockets->nslots > 0)
        listen_sockets_drop_slot(sockets);
    for (uint32_t i = 0; i < sockets->nbinds; i++) {
        if (sockets->binds[i].shared_fd >= 0)
            close(sockets->binds[i].shared_fd);
        free(sockets->binds[i].unix_path);
        free(sockets->binds[i].label);
    }
    free(sockets);
}

uint32_t listen_sockets_nslots(const struct listen_sockets *sockets)
{
    return sockets->nslots;
}

uint32_t listen_sockets_count(const struct listen_sockets *sockets)
{
    return sockets->nbinds;
}

const int *listen_sockets_of_slot(const struct listen_sockets *sockets, uint32_t slot)
{
    ENSURE(slot < sockets->nslots);
    return sockets->fds[slot];
}

const uint8_t *listen_sockets_services(const struct listen_sockets *sockets)
{
    return sockets->services;
}

const char *listen_sockets_url(const struct listen_sockets *sockets, uint32_t index)
{
    ENSURE(index < sockets->nbinds);
    return sockets->binds[index].url;
}

const char *listen_sockets_reachable_url(const struct listen_sockets *sockets, uint32_t index)
{
    ENSURE(index < sockets->nbinds);
    const char *url = sockets->binds[index].reachable_url;
    return *url != '\0' ? url : NULL;
}
