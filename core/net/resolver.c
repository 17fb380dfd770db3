/*
 * Resolvers of a loop: who has which name servers.
 */
#include "base/buf.h"
#include "base/mem.h"
#include "net/resolve_state.h"

#include <stdlib.h>
#include <string.h>

enum { NAMES_DEFAULT = 1000, NAMES_MAX = 1000000, TTL_DEFAULT_S = 300, TTL_MAX_S = 86400 };

static const char part_kind;

static void resolver_free(struct resolver *resolver)
{
    while (!link_is_alone(&resolver->names)) {
        struct name *name = LIST_ENTRY(resolver->names.next, struct name, link);
        ENSURE(link_is_alone(&name->waiters)); /* whoever waits has the resolver */
        name_drop(name);
    }
    link_remove(&resolver->link);
    free(resolver->nameservers);
    free(resolver);
}

static void free_part(struct loop_part *part)
{
    struct resolvers *all = LIST_ENTRY(part, struct resolvers, part);
    while (!link_is_alone(&all->list))
        resolver_free(LIST_ENTRY(all->list.next, struct resolver, link));
    resolve_files_deinit(&all->files);
    free(all);
}

static bool read_limit(const char *variable, uint64_t least, uint64_t most, uint32_t *limit,
                       struct fault *fault)
{
    const char *text = getenv(variable);
    uint64_t number;
    if (text == NULL || *text == '\0')
        return true;
    if (!str_to_u64(str_of(text), &number) || number < least || number > most) {
        fault_set(fault, "%s: expected a whole number from %llu to %llu, got \"%s\"", variable,
                  (unsigned long long)least, (unsigned long long)most, text);
        return false;
    }
    *limit = (uint32_t)number;
    return true;
}

static struct resolvers *resolvers_new(struct loop *loop, struct fault *fault)
{
    uint32_t most_names = NAMES_DEFAULT, most_ttl_s = TTL_DEFAULT_S;
    if (!read_limit("MOONLOOP_DNS_CACHE", 0, NAMES_MAX, &most_names, fault) ||
        !read_limit("MOONLOOP_DNS_MAX_TTL", 1, TTL_MAX_S, &most_ttl_s, fault))
        return NULL;
    struct resolvers *all = MEM_NEW(struct resolvers);
    all->most_names = most_names;
    all->most_ttl_s = most_ttl_s;
    all->part.kind = &part_kind;
    all->part.free = free_part;
    all->loop = loop;
    resolve_files_init(&all->files);
    link_init(&all->list);
    link_init(&all->line);
    loop_add_part(loop, &all->part);
    return all;
}

static struct resolvers *resolvers_of(struct loop *loop)
{
    struct loop_part *part = loop_find_part(loop, &part_kind);
    return part != NULL ? LIST_ENTRY(part, struct resolvers, part) : NULL;
}

/* "ADDRESS[:PORT]" with commas or white space between. */
static bool parse_servers(struct resolver *resolver, const char *what, const char *text,
                          struct fault *fault)
{
    static const char separators[] = ", \t\n";
    for (text += strspn(text, separators); *text != '\0'; text += strspn(text, separators)) {
        struct str word = {text, strcspn(text, separators)};
        if (resolver->nservers == RESOLVE_SERVERS_MAX) {
            fault_set(fault, "%s: %d at most", what, (int)RESOLVE_SERVERS_MAX);
            return false;
        }
        if (!resolve_parse_server(word, &resolver->servers[resolver->nservers++])) {
            fault_set(fault,
                      "%s: \"%.*s\" is no address, such as 127.0.0.1, 127.0.0.1:5353, "
                      "::1 or [::1]:5353",
                      what, (int)word.len, word.ptr);
            return false;
        }
        text += word.len;
    }
    if (resolver->nservers == 0)
        fault_set(fault, "%s: the list is empty", what);
    return resolver->nservers != 0;
}

static struct resolver *find_resolver(struct resolvers *all, const char *nameservers)
{
    for (struct link *at = all->list.next; at != &all->list; at = at->next) {
        struct resolver *resolver = LIST_ENTRY(at, struct resolver, link);
        if (nameservers == NULL
                ? resolver->nameservers == NULL
                : resolver->nameservers != NULL && strcmp(resolver->nameservers, nameservers) == 0)
            return resolver;
    }
    return NULL;
}

static struct resolver *resolver_new(struct resolvers *all, const char *what,
                                     const char *nameservers, struct fault *fault)
{
    struct resolver *resolver = MEM_NEW(struct resolver);
    if (nameservers != NULL && !parse_servers(resolver, what, nameservers, fault)) {
        free(resolver);
        return NULL;
    }
    resolver->all = all;
    resolver->nameservers = nameservers != NULL ? mem_copy_text(nameservers) : NULL;
    link_init(&resolver->names);
    link_append(&all->list, &resolver->link);
    return resolver;
}

struct resolver *resolver_get(struct loop *loop, const char *nameservers, struct fault *fault)
{
    struct resolvers *all = resolvers_of(loop);
    bool is_default = nameservers == NULL;
    const char *what = is_default ? "MOONLOOP_NAMESERVERS" : "nameservers";
    if (all == NULL && (all = resolvers_new(loop, fault)) == NULL)
        return NULL;
    if (is_default)
        nameservers = getenv("MOONLOOP_NAMESERVERS");
    if (nameservers != NULL && *nameservers == '\0')
        nameservers = NULL;
    struct resolver *resolver = find_resolver(all, nameservers);
    if (resolver == NULL && (resolver = resolver_new(all, what, nameservers, fault)) == NULL)
        return NULL;
    if (is_default && !resolver->is_kept)
        resolver->refs++; /* stays for as long as the loop */
    resolver->is_kept |= is_default;
    resolver->refs++;
    return resolver;
}

void resolver_put(struct resolver *resolver)
{
    if (resolver != NULL && --resolver->refs == 0)
        resolver_free(resolver);
}

/* ---- for people ---- */

static void count_names(const struct resolver *resolver, struct resolver_counts *counts)
{
    for (struct link *at = resolver->names.next; at != &resolver->names; at = at->next) {
        const struct name *name = LIST_ENTRY(at, struct name, link);
        counts->known += name->is_known;
        counts->asking += !name->is_known;
    }
}

void resolvers_each(struct loop *loop,
                    void (*on_resolver)(void *data, const struct resolver_counts *counts),
                    void *data)
{
    struct resolvers *all = resolvers_of(loop);
    for (struct link *at = all != NULL ? all->list.next : NULL; at != NULL && at != &all->list;
         at = at->next) {
        const struct resolver *resolver = LIST_ENTRY(at, struct resolver, link);
        const struct resolve_files *files = &all->files;
        bool is_own = resolver->nameservers != NULL;
        struct resolver_counts counts = {.lookups = resolver->nlookups,
                                         .remembered = resolver->nremembered};
        struct buf servers = {0};
        address_add_list(&servers, is_own ? resolver->servers : files->servers,
                         is_own ? resolver->nservers : files->nservers);
        buf_add_char(&servers, '\0');
        counts.servers = servers.ptr;
        count_names(resolver, &counts);
        on_resolver(data, &counts);
        buf_deinit(&servers);
    }
}
