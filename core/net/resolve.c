#include "net/resolve.h"

#include "base/mem.h"
#include "net/resolve_files.h"
#include "net/resolve_lookup.h"
#include "net/resolve_state.h"
#include "net/resolve_system.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    NAME_MAX_BYTES = 253,
    LABEL_MAX_BYTES = 63,
    MIN_S = 1,
    NONE_MAX_S = 30,
    FAILED_S = 1, /* RFC 9520 */
};

/* ---- asking ---- */

static void on_system(void *owner, const struct address *addresses, uint32_t count,
                      const char *reason)
{
    struct name *name = owner;
    name->system = NULL;
    name->is_known = true;
    if (count != 0 || name->reason == NULL) /* else that holds which the servers said */
        name_learn(name, addresses, count < RESOLVE_MAX_ADDRESSES ? count : RESOLVE_MAX_ADDRESSES,
                   count != 0 ? RESOLVE_PARTIAL_S : FAILED_S);
    if (name->reason == NULL && reason != NULL)
        name->reason = mem_copy_text(reason);
    name_tell(name);
}

static bool ask_system(struct name *name)
{
    name->system = system_lookup_start(name->resolver->all->loop, name->text, on_system, name);
    return name->system != NULL;
}

/* hosts, when nsswitch.conf has it behind the servers. */
static bool find_late(struct name *name)
{
    struct address addresses[RESOLVE_MAX_ADDRESSES];
    const struct resolve_files *files = &name->resolver->all->files;
    uint32_t count = files->dns_first && files->has_files
                         ? resolve_files_host(files, name->text, addresses, RESOLVE_MAX_ADDRESSES)
                         : 0;
    if (count == 0)
        return false;
    name_learn(name, addresses, count, MIN_S);
    return true;
}

/* For how many seconds an answer holds. */
static uint64_t life_of(const struct name *name, const struct lookup_answer *answer)
{
    uint64_t most_s = name->resolver->all->most_ttl_s;
    if (answer->verdict == LOOKUP_FAILED)
        return FAILED_S;
    if (answer->verdict != LOOKUP_FOUND && most_s > NONE_MAX_S)
        most_s = NONE_MAX_S;
    if (!answer->is_final && most_s > RESOLVE_PARTIAL_S)
        most_s = RESOLVE_PARTIAL_S;
    return answer->ttl_s < MIN_S ? MIN_S : answer->ttl_s > most_s ? most_s : answer->ttl_s;
}

static void on_answer(void *owner, const struct lookup_answer *answer);

static void begin(struct name *name)
{
    struct resolver *resolver = name->resolver;
    const struct resolve_files *files = &resolver->all->files;
    bool is_own = resolver->nameservers != NULL;
    struct lookup_question question = {
        .name = name->text,
        .servers = is_own ? resolver->servers : files->servers,
        .nservers = is_own ? resolver->nservers : files->nservers,
        .files = files,
    };
    if (files->rotates)
        question.first_server = (uint32_t)(resolver->nlookups % question.nservers);
    resolver->nlookups++;
    resolver->all->nasking++;
    name->lookup = lookup_start(resolver->all->loop, &question, on_answer, name);
}

/* First come, first served. */
static void begin_waiting(struct resolvers *all)
{
    while (all->nasking < RESOLVE_LOOKUPS_MAX && !link_is_alone(&all->line)) {
        struct name *name = LIST_ENTRY(all->line.next, struct name, place);
        link_remove(&name->place);
        begin(name);
    }
}

void name_stop_asking(struct name *name)
{
    struct resolvers *all = name->resolver->all;
    link_remove(&name->place);
    if (name->lookup == NULL)
        return;
    lookup_cancel(name->lookup);
    name->lookup = NULL;
    all->nasking--;
    begin_waiting(all);
}

static void on_answer(void *owner, const struct lookup_answer *answer)
{
    struct name *name = owner;
    if (answer->is_final) {
        name->lookup = NULL;
        name->resolver->all->nasking--;
        begin_waiting(name->resolver->all);
    }
    name_learn(name, answer->addresses, answer->count, life_of(name, answer));
    if (answer->count == 0 && !find_late(name)) {
        name->reason = mem_copy_text(answer->reason);
        if (name->resolver->all->files.has_other && name->resolver->nameservers == NULL &&
            answer->verdict != LOOKUP_FAILED && ask_system(name))
            return;
    }
    name->is_known = answer->is_final;
    name_tell(name);
}

static bool ends_with(const char *text, const char *end)
{
    size_t len = strlen(text), end_len = strlen(end);
    return len >= end_len && strcmp(text + len - end_len, end) == 0 &&
           (len == end_len || text[len - end_len - 1] == '.');
}

/* False: nobody can be asked. */
static bool ask(struct name *name)
{
    struct resolvers *all = name->resolver->all;
    bool is_own = name->resolver->nameservers != NULL;
    /* RFC 6762, 3: these are for mDNS alone, where there is any. */
    if (!is_own && all->files.has_other && (!all->files.has_dns || ends_with(name->text, "local")))
        return ask_system(name);
    if (!is_own && !all->files.has_dns)
        return false;
    link_append(&all->line, &name->place);
    begin_waiting(all);
    return true;
}

/* ---- what needs no asking ---- */

/* NULL, or what is wrong with it as a name (RFC 1035, 2.3.4). */
static const char *what_is_wrong(const char *host)
{
    size_t len = strlen(host), label = 0;
    if (len != 0 && host[len - 1] == '.')
        len--;
    if (len == 0 || len > NAME_MAX_BYTES)
        return len == 0 ? "the name is empty" : "the name is longer than 253 bytes";
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)host[i];
        if (c <= ' ' || c == 0x7f || c == '\\')
            return "a name cannot hold white space or a backslash";
        if (c > 0x7f)
            return "a name is ASCII; others are written as xn--...";
        label = c == '.' ? 0 : label + 1;
        if (label > LABEL_MAX_BYTES)
            return "a part of the name is longer than 63 bytes";
        if (c == '.' && (i == 0 || host[i - 1] == '.'))
            return "a part of the name is empty";
    }
    return NULL;
}

static uint32_t loopback(struct address *addresses)
{
    address_literal(&addresses[0], "::1", 0);
    address_literal(&addresses[1], "127.0.0.1", 0);
    return 2;
}

/* Without the dot at its end. */
static uint32_t find_at_once(const struct resolve_files *files, const char *name,
                             struct address *addresses, const char **reason)
{
    bool is_early = files->has_files && !files->dns_first;
    uint32_t count =
        is_early ? resolve_files_host(files, name, addresses, RESOLVE_MAX_ADDRESSES) : 0;
    if (count == 0 && ends_with(name, "localhost")) /* RFC 6761, 6.3 */
        count = loopback(addresses);
    if (count == 0 && (ends_with(name, "invalid") || ends_with(name, "onion")))
        *reason = "names of this kind are in no name server (RFC 6761, RFC 7686)";
    return count;
}

/* ---- the face ---- */

/* True: on_news was called. */
static bool answer_at_once(struct resolver *resolver, const char *host, struct resolve *resolve)
{
    struct address addresses[RESOLVE_MAX_ADDRESSES];
    char name[NAME_MAX_BYTES + 2];
    const char *wrong = what_is_wrong(host);
    uint32_t count = 0;
    if (wrong == NULL) {
        size_t len = strlen(host);
        memcpy(name, host, len + 1);
        if (name[len - 1] == '.')
            name[len - 1] = '\0';
        count = find_at_once(&resolver->all->files, name, addresses, &wrong);
    }
    if (count == 0 && wrong == NULL)
        return false;
    char reason[NAME_MAX_BYTES + 128];
    snprintf(reason, sizeof(reason), "%.253s: %s", host, wrong != NULL ? wrong : "");
    resolve_tell(resolve, addresses, count, reason);
    return true;
}

static void refresh_files(struct resolvers *all)
{
    if (!resolve_files_refresh(&all->files, loop_now_ms(all->loop)))
        return;
    for (struct link *at = all->list.next; at != &all->list; at = at->next)
        names_forget(LIST_ENTRY(at, struct resolver, link));
}

static char *lower_copy(const char *text)
{
    char *copy = mem_copy_text(text);
    for (char *at = copy; *at != '\0'; at++)
        *at = (char)tolower((unsigned char)*at);
    return copy;
}

/* The entry that is known or being asked for; NULL: it cannot be asked for. */
static struct name *entry_of(struct resolver *resolver, const char *host)
{
    struct name *name = name_find(resolver, host);
    if (name != NULL)
        return name;
    name = name_add(resolver, host);
    if (ask(name))
        return name;
    name_drop(name);
    return NULL;
}

struct resolve *resolve_start(struct resolver *resolver, const char *given, uint16_t port,
                              void (*on_news)(void *owner, const struct resolve_news *news),
                              void *owner)
{
    struct resolve asked = {.port = port, .on_news = on_news, .owner = owner};
    char *host = lower_copy(given);
    refresh_files(resolver->all);
    if (answer_at_once(resolver, host, &asked)) {
        free(host);
        return NULL;
    }
    struct name *name = entry_of(resolver, host);
    free(host);
    if (name == NULL) {
        resolve_tell(&asked, NULL, 0, "nsswitch.conf lets no name server be asked");
        return NULL;
    }
    if (name->is_known) {
        resolver->nremembered++;
        name->is_being_told = true;
        name_tell_one(name, &asked);
        name->is_being_told = false;
        name_free_if_over(name);
        return NULL;
    }
    struct resolve *resolve = MEM_NEW(struct resolve);
    *resolve = asked;
    resolve->name = name;
    link_init(&resolve->link);
    link_append(&name->waiters, &resolve->link);
    if (name->count != 0)
        name_tell_one(name, resolve);
    return resolve;
}

void resolve_prefer(struct resolver *resolver, const char *host, const struct address *address)
{
    struct name *name = name_find(resolver, host);
    for (uint32_t i = 0; name != NULL && i < name->count; i++)
        if (address_is_same_host(&name->addresses[i], address))
            name->preferred = i + 1;
}

void resolve_describe(const struct resolve *resolve, struct buf *text)
{
    const struct name *name = resolve->name;
    if (name->lookup != NULL)
        lookup_describe(name->lookup, text);
    else if (name->system != NULL)
        buf_printf(text, "%s: no answer yet from the C library", name->text);
    else
        buf_printf(text, "%s: %u other names are being asked for", name->text,
                   name->resolver->all->nasking);
}

void resolve_cancel(struct resolve *resolve)
{
    if (resolve == NULL)
        return;
    struct name *name = resolve->name;
    link_remove(&resolve->link);
    free(resolve);
    if (!name->is_known && !name->is_being_told && link_is_alone(&name->waiters))
        name_give_up(name);
}
