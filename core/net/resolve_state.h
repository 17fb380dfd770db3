/*
 * resolve_state.h - resolvers, the names that they know or ask for, and who waits. Private to this
 * room.
 */
#pragma once

#include "base/list.h"
#include "loop/loop.h"
#include "net/resolve.h"
#include "net/resolve_files.h"

struct lookup;
struct system_lookup;

enum {
    RESOLVE_BUCKETS = 256,
    RESOLVE_LOOKUPS_MAX = 100, /* at a time on a loop; each takes a socket and 75 KB */
    RESOLVE_PARTIAL_S = 5,     /* one family is known, and nobody waited for the other */
};

/* All of a loop. */
struct resolvers {
    struct loop_part part;
    struct loop *loop;
    struct resolve_files files;
    struct link list;
    uint32_t nasking;    /* lookups under way */
    struct link line;    /* names that wait until there are fewer of them */
    uint32_t most_names; /* that each resolver keeps */
    uint32_t most_ttl_s; /* that an address is kept */
};

/* See resolve.h. */
struct resolver {
    struct link link;
    struct resolvers *all;
    uint32_t refs;
    bool is_kept;      /* one of the references is the loop's */
    char *nameservers; /* NULL: the machine's */
    struct address servers[RESOLVE_SERVERS_MAX];
    uint32_t nservers;
    uint64_t nlookups;    /* so far */
    uint64_t nremembered; /* questions so far that needed none */
    struct name *buckets[RESOLVE_BUCKETS];
    struct link names; /* the last asked for first */
    uint32_t nnames;
};

/* One that is being asked for, or one that is known: two times of a life. */
struct name {
    struct link link;
    struct name *next; /* in its bucket */
    struct resolver *resolver;
    struct link waiters;
    struct link place; /* in the line */
    struct lookup *lookup;
    struct system_lookup *system;
    struct address *addresses;
    uint32_t count;
    uint32_t preferred; /* of the addresses, plus one; 0: none */
    char *reason;
    uint64_t expires_ms;
    bool is_known; /* nothing is asked any more */
    bool is_being_told;
    bool is_dropped; /* in no bucket; freed once it is told */
    char text[];
};

/* Somebody who waits. */
struct resolve {
    struct link link; /* of a name's waiters */
    struct name *name;
    uint16_t port;
    void (*on_news)(void *owner, const struct resolve_news *news);
    void *owner;
};

/* resolve.c: the name's lookup is over, or not wanted any more. Harmless when there is none. */
void name_stop_asking(struct name *name);

/* resolve_name.c. One that is known and has not expired, or is being asked for; else NULL. */
struct name *name_find(struct resolver *resolver, const char *text);
struct name *name_add(struct resolver *resolver, const char *text);
/* Takes it out, and gives up what is being asked for it; nobody may be waiting. */
void name_drop(struct name *name);
void name_free_if_over(struct name *name);
/* All that are known. */
void names_forget(struct resolver *resolver);
/* What was found, for so many seconds; count 0: nothing. */
void name_learn(struct name *name, const struct address *addresses, uint32_t count,
                uint64_t seconds);
/* Everybody who waits; the last thing that a caller does. */
void name_tell(struct name *name);
/* Nobody waits any more. What was found already is kept. */
void name_give_up(struct name *name);
/* All there is, without a name. */
void resolve_tell(struct resolve *resolve, const struct address *addresses, uint32_t count,
                  const char *reason);
/* What the name has, to one. */
void name_tell_one(const struct name *name, struct resolve *resolve);
