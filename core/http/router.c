/*
 * router.c - a tree of segments.
 *
 * Nodes sit in one array and are named by index; node 0 is the root, so 0 also means "none". The
 * literal children of all nodes share one open-addressing table keyed by (parent, segment); the
 * four kinds of parameter hang off the node itself. A match walks down depth first; since it is a
 * tree, no node is visited twice, however the path was made.
 */
#include "http/router.h"

#include "base/mem.h"
#include "http/pattern.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "word_at needs the first byte lowest");
#define LOW_BITS 0x0101010101010101u
#define HIGH_BITS 0x8080808080808080u

struct node {
    uint32_t params[4]; /* children by enum route_param_kind; 0: none */
    int32_t targets[ROUTER_METHODS];
    uint32_t methods; /* bits of those targets that are set */
};

struct edge {
    uint32_t hash;
    uint32_t parent;
    uint32_t child; /* 0: a free place */
    uint32_t len;
    char *text; /* in canonical form */
};

struct route_names {
    uint32_t count;
    struct str names[]; /* their bytes follow the array */
};

struct router {
    struct node *nodes;
    uint32_t nnodes;
    uint32_t cap_nodes;
    struct edge *edges;
    uint32_t nedges;
    uint32_t edge_mask; /* places - 1 */
    struct route_names **targets;
    uint32_t cap_targets;
    bool has_encoded_ascii; /* in a literal: clients may leave that byte as it is ("|") */
};

struct walk {
    const struct router *router;
    struct route_match *match;
    struct str path;
    const char *end; /* of the path */
    int method;
    bool is_encoded; /* segments need canonical form: there are '%', bytes beyond ASCII, or literals
                      * that have something to be encoded */
};

static const char *const method_names[ROUTER_METHODS] = {"GET",   "HEAD",   "POST",    "PUT",
                                                         "PATCH", "DELETE", "OPTIONS", "*"};

/* Eight bytes at a time: the bytes at `at`, the first lowest, zeros behind `end`. The last ones are
 * reached from the end backwards, so nothing outside of begin..end is read. */
static inline uint64_t word_at(const char *begin, const char *at, const char *end)
{
    size_t left = (size_t)(end - at);
    uint64_t word = 0;
    if (left >= 8) {
        memcpy(&word, at, 8);
        return word;
    }
    if (left == 0)
        return 0;
    if (end - begin >= 8) {
        memcpy(&word, end - 8, 8);
        return word >> (64 - left * 8);
    }
    for (size_t i = 0; i < left; i++)
        word |= (uint64_t)(unsigned char)at[i] << i * 8;
    return word;
}

/* The lowest bit set is exact: the high bit of the first byte that is `c`. `c` is not NUL. */
static inline uint64_t bytes_equal(uint64_t word, char c)
{
    uint64_t diff = word ^ LOW_BITS * (unsigned char)c;
    return (diff - LOW_BITS) & ~diff & HIGH_BITS;
}

static inline const char *find_slash(const char *begin, const char *at, const char *end)
{
    for (; at < end; at += 8) {
        uint64_t found = bytes_equal(word_at(begin, at, end), '/');
        if (found != 0)
            return at + (__builtin_ctzll(found) >> 3);
    }
    return end;
}

static inline uint64_t load(const char *ptr, size_t bytes)
{
    uint64_t word = 0;
    memcpy(&word, ptr, bytes);
    return word;
}

static inline uint64_t mix(uint64_t a, uint64_t b)
{
    unsigned __int128 product = (unsigned __int128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Eight bytes a step. Patterns come from the app, so an attacker cannot fill the table. */
static inline uint32_t hash_segment(uint32_t parent, struct str text)
{
    const char *ptr = text.ptr;
    size_t left = text.len;
    uint64_t hash = (0x9E3779B97F4A7C15u * (parent + 1)) ^ left;
    for (; left > 8; left -= 8, ptr += 8)
        hash = mix(hash ^ load(ptr, 8), 0xD6E8FEB86659FD93u);
    uint64_t tail;
    if (left >= 4)
        tail = load(ptr, 4) << 32 | load(ptr + left - 4, 4);
    else if (left > 0)
        tail = (uint64_t)(unsigned char)ptr[0] << 16 |
               (uint64_t)(unsigned char)ptr[left >> 1] << 8 | (unsigned char)ptr[left - 1];
    else
        tail = 0;
    return (uint32_t)mix(hash ^ tail, 0xD6E8FEB86659FD93u);
}

static inline const struct edge *find_edge(const struct router *router, uint32_t parent,
                                           struct str text)
{
    uint32_t hash = hash_segment(parent, text);
    for (uint32_t at = hash & router->edge_mask;; at = (at + 1) & router->edge_mask) {
        const struct edge *edge = &router->edges[at];
        if (edge->child == 0)
            return NULL;
        if (edge->hash == hash && edge->parent == parent && edge->len == text.len &&
            (text.len == 0 || memcmp(edge->text, text.ptr, text.len) == 0))
            return edge;
    }
}

static void place_edge(struct router *router, struct edge edge)
{
    uint32_t at = edge.hash & router->edge_mask;
    while (router->edges[at].child != 0)
        at = (at + 1) & router->edge_mask;
    router->edges[at] = edge;
}

/* At most half of the places are taken, so that a search always meets a free one soon. */
static void grow_edges(struct router *router)
{
    struct edge *old = router->edges;
    uint32_t places = router->edge_mask + 1;
    router->edge_mask = places * 2 - 1;
    router->edges = mem_zeroed(sizeof(struct edge) * places * 2);
    for (uint32_t i = 0; i < places; i++)
        if (old[i].child != 0)
            place_edge(router, old[i]);
    free(old);
}

static uint32_t add_node(struct router *router)
{
    if (router->nnodes == router->cap_nodes) {
        router->cap_nodes *= 2;
        router->nodes = mem_grow(router->nodes, sizeof(struct node) * router->cap_nodes);
    }
    struct node *node = &router->nodes[router->nnodes];
    *node = (struct node){0};
    for (int i = 0; i < ROUTER_METHODS; i++)
        node->targets[i] = -1;
    return router->nnodes++;
}

static uint32_t literal_child(struct router *router, uint32_t parent, struct str text)
{
    const struct edge *found = find_edge(router, parent, text);
    if (found != NULL)
        return found->child;
    if ((router->nedges + 1) * 2 > router->edge_mask + 1)
        grow_edges(router);
    struct edge edge = {hash_segment(parent, text), parent, add_node(router), (uint32_t)text.len,
                        mem_zeroed(text.len + 1)};
    memcpy(edge.text, text.ptr, text.len);
    place_edge(router, edge);
    router->nedges++;
    return edge.child;
}

static uint32_t param_child(struct router *router, uint32_t parent, uint8_t kind)
{
    uint32_t child = router->nodes[parent].params[kind];
    if (child == 0) {
        child = add_node(router);
        router->nodes[parent].params[kind] = child;
    }
    return child;
}

struct router *router_new(void)
{
    struct router *router = MEM_NEW(struct router);
    router->cap_nodes = 8;
    router->nodes = mem_zeroed(sizeof(struct node) * router->cap_nodes);
    router->edge_mask = 7;
    router->edges = mem_zeroed(sizeof(struct edge) * (router->edge_mask + 1));
    add_node(router); /* the root */
    return router;
}

void router_free(struct router *router)
{
    if (router == NULL)
        return;
    for (uint32_t i = 0; i <= router->edge_mask; i++)
        free(router->edges[i].text);
    for (uint32_t i = 0; i < router->cap_targets; i++)
        free(router->targets[i]);
    free(router->targets);
    free(router->edges);
    free(router->nodes);
    free(router);
}

int router_method(struct str name)
{
    for (int i = 0; i < ROUTER_METHODS; i++)
        if (str_equal(name, str_of(method_names[i])))
            return i;
    return -1;
}

static struct route_names *names_new(const struct pattern *pattern)
{
    size_t bytes = 0;
    for (uint32_t i = 0; i < pattern->nparts; i++)
        bytes += pattern->parts[i].kind >= 0 ? pattern->parts[i].text.len : 0;
    struct route_names *names =
        mem_zeroed(sizeof(*names) + sizeof(struct str) * pattern->nparams + bytes);
    char *text = (char *)&names->names[pattern->nparams];
    for (uint32_t i = 0; i < pattern->nparts; i++) {
        struct str name = pattern->parts[i].text;
        if (pattern->parts[i].kind < 0)
            continue;
        memcpy(text, name.ptr, name.len);
        names->names[names->count++] = (struct str){text, name.len};
        text += name.len;
    }
    return names;
}

static bool names_equal(const struct route_names *a, const struct route_names *b)
{
    bool is_same = a->count == b->count;
    for (uint32_t i = 0; is_same && i < a->count; i++)
        is_same = str_equal(a->names[i], b->names[i]);
    return is_same;
}

/* False when the target has other names already. */
static bool set_names(struct router *router, int32_t target, const struct pattern *pattern)
{
    if ((uint32_t)target >= router->cap_targets) {
        uint32_t cap = router->cap_targets != 0 ? router->cap_targets : 16;
        while (cap <= (uint32_t)target)
            cap *= 2;
        router->targets = mem_grow(router->targets, sizeof(*router->targets) * cap);
        memset(router->targets + router->cap_targets, 0,
               sizeof(*router->targets) * (cap - router->cap_targets));
        router->cap_targets = cap;
    }
    struct route_names *names = names_new(pattern);
    struct route_names **place = &router->targets[target];
    if (*place == NULL) {
        *place = names;
        return true;
    }
    bool is_same = names_equal(*place, names);
    free(names);
    return is_same;
}

/* In canonical form ASCII is encoded that no segment needs to have so. */
static void note_encoded(struct router *router, struct str literal)
{
    for (size_t i = 0; i + 1 < literal.len; i++)
        if (literal.ptr[i] == '%' && literal.ptr[i + 1] < '8')
            router->has_encoded_ascii = true;
}

static uint32_t add_parts(struct router *router, const struct pattern *pattern)
{
    char text[PATTERN_CANONICAL_BYTES];
    uint32_t node = 0;
    for (uint32_t i = 0; i < pattern->nparts; i++) {
        const struct pattern_part *part = &pattern->parts[i];
        if (part->kind >= 0) {
            node = param_child(router, node, (uint8_t)part->kind);
            continue;
        }
        int len = pattern_canonical(part->text, text);
        note_encoded(router, (struct str){text, (size_t)len});
        node = literal_child(router, node, (struct str){text, (size_t)len});
    }
    return node;
}

int router_add(struct router *router, int method, struct str pattern, int32_t target,
               const char **why)
{
    static const char *ignored;
    struct pattern parsed;
    why = why != NULL ? why : &ignored;
    *why = NULL;
    if (method < 0 || method >= ROUTER_METHODS)
        *why = "unknown method";
    else if (target < 0 || target >= ROUTER_MAX_TARGETS)
        *why = "target out of range";
    else
        *why = pattern_parse(pattern, &parsed);
    if (*why != NULL)
        return -EINVAL;
    uint32_t index = add_parts(router, &parsed); /* may move the nodes */
    struct node *node = &router->nodes[index];
    if (node->methods & 1u << method) {
        *why = "this method already has a route of the same shape";
        return -EEXIST;
    }
    if (!set_names(router, target, &parsed)) {
        *why = "the target has parameters with other names";
        return -EINVAL;
    }
    node->targets[method] = target;
    node->methods |= 1u << method;
    return 0;
}

/* A node that the whole path leads to: true when it has the method, else notes what it has. */
static bool accept(struct walk *walk, const struct node *node, uint32_t nparams)
{
    int32_t target = -1;
    if (walk->method >= 0)
        target = node->targets[walk->method];
    if (target < 0 && walk->method == ROUTER_HEAD)
        target = node->targets[ROUTER_GET];
    if (target < 0)
        target = node->targets[ROUTER_ANY];
    if (target < 0) {
        walk->match->allowed |= node->methods;
        return false;
    }
    walk->match->target = target;
    walk->match->nparams = nparams;
    return true;
}

static void set_param(struct walk *walk, uint32_t index, struct str value, uint8_t kind)
{
    walk->match->params[index] = (struct route_param){
        value, kind,
        walk->is_encoded && value.len > 0 && memchr(value.ptr, '%', value.len) != NULL};
}

static bool walk_from(struct walk *walk, uint32_t index, const char *at, uint32_t nparams);

static bool walk_child(struct walk *walk, uint32_t child, const char *segment_end, uint32_t nparams)
{
    if (segment_end == walk->end)
        return accept(walk, &walk->router->nodes[child], nparams);
    return walk_from(walk, child, segment_end + 1, nparams);
}

/* Where a segment can lead: its literal child, and which typed parameters its text would fit. */
struct fork {
    uint32_t literal; /* 0: none */
    bool is_int;
    bool is_number;
};

static inline struct fork fork_at(const struct router *router, uint32_t index, struct str text)
{
    const struct node *node = &router->nodes[index];
    const struct edge *edge = find_edge(router, index, text);
    return (struct fork){edge != NULL ? edge->child : 0,
                         node->params[ROUTE_PARAM_INT] != 0 && segment_is_int(text),
                         node->params[ROUTE_PARAM_NUMBER] != 0 && segment_is_number(text)};
}

/* Out of line, so that the buffer leaves the stack before the walk goes deeper. */
static __attribute__((noinline)) struct fork fork_encoded(const struct router *router,
                                                          uint32_t index, struct str raw)
{
    char text[PATTERN_CANONICAL_BYTES];
    int len = pattern_canonical(raw, text);
    return len < 0 ? (struct fork){0} : fork_at(router, index, (struct str){text, (size_t)len});
}

static bool walk_param(struct walk *walk, const struct node *node, struct str raw, uint8_t kind,
                       uint32_t nparams)
{
    const char *end = raw.ptr + raw.len;
    set_param(walk, nparams, raw, kind);
    return walk_child(walk, node->params[kind], end, nparams + 1);
}

/* Tries node `index` with the segment that begins at `at`. A deeper try may overwrite params from
 * nparams on; each is set again right before the step that uses it. */
static bool walk_from(struct walk *walk, uint32_t index, const char *at, uint32_t nparams)
{
    const struct node *node = &walk->router->nodes[index];
    const char *end = find_slash(walk->path.ptr, at, walk->end);
    struct str raw = {at, (size_t)(end - at)};
    struct fork fork = walk->is_encoded ? fork_encoded(walk->router, index, raw)
                                        : fork_at(walk->router, index, raw);
    if (fork.literal != 0 && walk_child(walk, fork.literal, end, nparams))
        return true;
    if (fork.is_int && walk_param(walk, node, raw, ROUTE_PARAM_INT, nparams))
        return true;
    if (fork.is_number && walk_param(walk, node, raw, ROUTE_PARAM_NUMBER, nparams))
        return true;
    if (raw.len > 0 && node->params[ROUTE_PARAM_TEXT] != 0 &&
        walk_param(walk, node, raw, ROUTE_PARAM_TEXT, nparams))
        return true;
    if (node->params[ROUTE_PARAM_REST] == 0)
        return false;
    set_param(walk, nparams, (struct str){at, (size_t)(walk->end - at)}, ROUTE_PARAM_REST);
    return accept(walk, &walk->router->nodes[node->params[ROUTE_PARAM_REST]], nparams + 1);
}

/* '%' or a byte beyond ASCII: rare enough to be asked for the whole path at once. */
static bool needs_canonical(struct str path)
{
    uint64_t odd = 0;
    const char *end = path.ptr + path.len;
    for (const char *at = path.ptr; at < end; at += 8) {
        uint64_t word = word_at(path.ptr, at, end);
        odd |= (word & HIGH_BITS) | bytes_equal(word, '%');
    }
    return odd != 0;
}

bool router_match(const struct router *router, int method, struct str path,
                  struct route_match *match)
{
    match->target = -1;
    match->nparams = 0;
    match->allowed = 0;
    if (path.len == 0 || path.ptr[0] != '/')
        return false;
    bool is_encoded = router->has_encoded_ascii || needs_canonical(path);
    struct walk walk = {router, match, path, path.ptr + path.len, method, is_encoded};
    if (walk_from(&walk, 0, path.ptr + 1, 0)) {
        match->allowed = 0;
        return true;
    }
    if (match->allowed & 1u << ROUTER_GET)
        match->allowed |= 1u << ROUTER_HEAD;
    if (match->allowed != 0)
        match->allowed |= 1u << ROUTER_OPTIONS;
    return false;
}

struct str router_param_name(const struct router *router, int32_t target, uint32_t index)
{
    if (target < 0 || (uint32_t)target >= router->cap_targets || router->targets[target] == NULL ||
        index >= router->targets[target]->count)
        return (struct str){"", 0};
    return router->targets[target]->names[index];
}

size_t router_allow_text(uint32_t allowed, char text[64])
{
    size_t len = 0;
    text[0] = '\0';
    for (int i = 0; i < ROUTER_ANY; i++) {
        if (!(allowed & 1u << i))
            continue;
        struct str name = str_of(method_names[i]);
        if (len > 0) {
            memcpy(text + len, ", ", 2);
            len += 2;
        }
        memcpy(text + len, name.ptr, name.len + 1);
        len += name.len;
    }
    return len;
}
