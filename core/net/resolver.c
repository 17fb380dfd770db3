/*
 * Resolvers of a loop: who has which name servers.
 */
#include "base/mem.h"
#include "net/resolve_state.h"

#include <stdlib.h>
#include <string.h>

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

static struct resolvers *resolvers_of(struct loop *loop)
{
    struct loop_part *part = loop_find_part(loop, &part_kind);
    if (part != NULL)
        return LIST_ENTRY(part, struct resolvers, part);
    struct resolvers *all = MEM_NEW(struct resolvers);
    all->part.kind = &part_kind;
    all->part.free = free_part;
    all->loop = loop;
    resolve_files_init(&all->files);
    link_init(&all->list);
    loop_add_part(loop, &all->part);
    return all;
}

/* "ADDRESS[:PORT]" with commas or white space between. */
static bool parse_servers(struct resolver *resolver, const char *text, struct fault *fault)
{
    static const char separators[] = ", \t\n";
    for (text += strspn(text, separators); *text != '\0'; text += strspn(text, separators)) {
        struct str word = {text, strcspn(text, separators)};
        if (resolver->nservers == RESOLVE_SERVERS_MAX) {
            fault_set(fault, "nameservers: %d at most", RESOLVE_SERVERS_MAX);
            return false;
        }
        if (!resolve_parse_server(word, &resolver->servers[resolver->nservers++])) {
            fault_set(fault,
                      "nameservers: \"%.*s\" is no address, such as 127.0.0.1, 127.0.0.1:5353, "
                      "::1 or [::1]:5353",
                      (int)word.len, word.ptr);
            return false;
        }
        text += word.len;
    }
    if (resolver->nservers == 0)
        fault_set(fault, "nameservers: the list is empty");
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

struct resolver *resolver_get(struct loop *loop, const char *nameservers, struct fault *fault)
{
    struct resolvers *all = resolvers_of(loop);
    if (nameservers == NULL)
        nameservers = getenv("MOONLOOP_NAMESERVERS");
    if (nameservers != NULL && *nameservers == '\0')
        nameservers = NULL;
    struct resolver *resolver = find_resolver(all, nameservers);
    if (resolver == NULL) {
        resolver = MEM_NEW(struct resolver);
        if (nameservers != NULL && !parse_servers(resolver, nameservers, fault)) {
            free(resolver);
            return NULL;
        }
        resolver->all = all;
        resolver->nameservers = nameservers != NULL ? mem_copy_text(nameservers) : NULL;
        resolver->refs = nameservers == NULL; /* the machine's stays for as long as the loop */
        link_init(&resolver->names);
        link_append(&all->list, &resolver->link);
    }
    resolver->refs++;
    return resolver;
}

void resolver_put(struct resolver *resolver)
{
    if (resolver != NULL && --resolver->refs == 0)
        resolver_free(resolver);
}
