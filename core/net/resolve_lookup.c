/*
 * c-ares sends, repeats, goes to the next server, falls back to TCP, and takes only answers that
 * fit their questions. What to ask next, and what an answer means, is decided here, behind its
 * callbacks: those only note what came, because a channel must not be freed in one of them.
 */
#include "net/resolve_lookup.h"

#include "base/buf.h"
#include "base/list.h"
#include "base/mem.h"
#include "loop/loop.h"
#include "net/resolve_channel.h"
#include "net/resolve_files.h"
#include "net/resolve_message.h"

#include <ares.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

enum { CLASS_IN = 1, TYPE_A = 1, TYPE_AAAA = 28 };

enum family { SIX, FOUR, FAMILIES };

struct family_answer {
    struct lookup *lookup;
    bool is_done;
    int status; /* of c-ares */
    struct address addresses[LOOKUP_FAMILY_MAX];
    uint32_t count;
    uint32_t ttl_s;
};

struct lookup {
    struct loop *loop;
    void (*on_answer)(void *owner, const struct lookup_answer *answer);
    void *owner;
    struct channel channel;
    struct family_answer families[FAMILIES];
    char **names; /* to ask for, in order */
    uint32_t nnames;
    uint32_t at;                 /* of them, is asked for now */
    enum lookup_verdict verdict; /* the best of the names before */
    int status;                  /* that goes with it */
    uint32_t ttl_s;
    bool is_told; /* of the first family */
};

/* ---- asking ---- */

/* The shortest counts; one with its first bit set is none (RFC 2181, 8). */
static void add_ttl(struct family_answer *family, int ttl_s)
{
    uint32_t seconds = ttl_s > 0 ? (uint32_t)ttl_s : 0;
    if (family->count == 1 || seconds < family->ttl_s)
        family->ttl_s = seconds;
}

static void on_answer_six(void *data, int status, int timeouts, unsigned char *bytes, int len)
{
    struct family_answer *family = data;
    struct ares_addr6ttl found[LOOKUP_FAMILY_MAX];
    int count = LOOKUP_FAMILY_MAX;
    (void)timeouts;
    family->is_done = true;
    family->ttl_s = bytes != NULL ? message_negative_ttl(bytes, (size_t)len) : 0;
    family->status =
        status != ARES_SUCCESS ? status : ares_parse_aaaa_reply(bytes, len, NULL, found, &count);
    if (family->status != ARES_SUCCESS)
        return;
    for (int i = 0; i < count; i++) {
        struct address *address = &family->addresses[family->count++];
        struct sockaddr_in6 *six = (struct sockaddr_in6 *)&address->as.storage;
        *address = (struct address){0};
        six->sin6_family = AF_INET6;
        memcpy(&six->sin6_addr, &found[i].ip6addr, sizeof(six->sin6_addr));
        add_ttl(family, found[i].ttl);
    }
}

static void on_answer_four(void *data, int status, int timeouts, unsigned char *bytes, int len)
{
    struct family_answer *family = data;
    struct ares_addrttl found[LOOKUP_FAMILY_MAX];
    int count = LOOKUP_FAMILY_MAX;
    (void)timeouts;
    family->is_done = true;
    family->ttl_s = bytes != NULL ? message_negative_ttl(bytes, (size_t)len) : 0;
    family->status =
        status != ARES_SUCCESS ? status : ares_parse_a_reply(bytes, len, NULL, found, &count);
    if (family->status != ARES_SUCCESS)
        return;
    for (int i = 0; i < count; i++) {
        struct address *address = &family->addresses[family->count++];
        struct sockaddr_in *four = (struct sockaddr_in *)&address->as.storage;
        *address = (struct address){0};
        four->sin_family = AF_INET;
        four->sin_addr = found[i].ipaddr;
        add_ttl(family, found[i].ttl);
    }
}

/* Sends both questions. Their answers may be noted already when it returns. */
static void ask(struct lookup *lookup)
{
    const char *name = lookup->names[lookup->at];
    for (int i = 0; i < FAMILIES; i++) {
        lookup->families[i] = (struct family_answer){.lookup = lookup};
    }
    ares_query(lookup->channel.ares, name, CLASS_IN, TYPE_AAAA, on_answer_six,
               &lookup->families[SIX]);
    ares_query(lookup->channel.ares, name, CLASS_IN, TYPE_A, on_answer_four,
               &lookup->families[FOUR]);
}

/* ---- what the answers mean ---- */

static enum lookup_verdict verdict_of(int status)
{
    switch (status) {
    case ARES_SUCCESS:
        return LOOKUP_FOUND;
    case ARES_ENOTFOUND:
        return LOOKUP_NO_NAME;
    case ARES_ENODATA:
        return LOOKUP_NO_ADDRESS;
    default:
        return LOOKUP_FAILED;
    }
}

/* When nothing was found, the failure says more than the word that there is nothing: the address
 * may be in the answer that did not come. */
static const struct family_answer *telling_family(const struct lookup *lookup)
{
    const struct family_answer *six = &lookup->families[SIX], *four = &lookup->families[FOUR];
    return verdict_of(six->status) > verdict_of(four->status) ? six : four;
}

static const char *failure_text(const struct lookup *lookup)
{
    if (lookup->status == ARES_ETIMEOUT)
        return "no name server answered in time";
    if (lookup->channel.rcode == RCODE_SERVFAIL)
        return "the name server could not find out (SERVFAIL)";
    if (lookup->channel.rcode == RCODE_REFUSED)
        return "the name server refuses to answer (REFUSED)";
    if (lookup->channel.rcode == RCODE_NOTIMP)
        return "the name server does not know how (NOTIMP)";
    if (lookup->status == ARES_ECONNREFUSED)
        return "no name server can be reached";
    return ares_strerror(lookup->status);
}

/* "db.corp.example: the name does not exist (NXDOMAIN); asked 10.0.0.1:53" */
static void add_reason(struct buf *text, const struct lookup *lookup)
{
    buf_printf(text, "%s", lookup->names[0]);
    for (uint32_t i = 1; i < lookup->nnames && i <= lookup->at; i++)
        buf_printf(text, ", %s", lookup->names[i]);
    buf_add_text(text, ": ");
    if (lookup->verdict == LOOKUP_NO_NAME)
        buf_add_text(text, "the name does not exist (NXDOMAIN)");
    else if (lookup->verdict == LOOKUP_NO_ADDRESS)
        buf_add_text(text, "the name has no address");
    else
        buf_add_text(text, failure_text(lookup));
    buf_add_text(text, "; asked ");
    address_add_list(text, lookup->channel.servers, lookup->channel.nservers);
    buf_add_char(text, '\0');
}

static void lookup_free(struct lookup *lookup)
{
    channel_close(&lookup->channel);
    loop_wait_ends(lookup->loop, WAIT_REAL);
    for (uint32_t i = 0; i < lookup->nnames; i++)
        free(lookup->names[i]);
    free(lookup->names);
    free(lookup);
}

static uint32_t gather(const struct lookup *lookup, struct address *addresses)
{
    uint32_t count = 0;
    for (int i = 0; i < FAMILIES; i++)
        for (uint32_t j = 0; j < lookup->families[i].count; j++)
            addresses[count++] = lookup->families[i].addresses[j];
    return count;
}

/* How long what is known holds: as the shorter of the two, where both are known. */
static uint32_t ttl_of(const struct lookup *lookup)
{
    const struct family_answer *six = &lookup->families[SIX], *four = &lookup->families[FOUR];
    bool knows_six = six->is_done && verdict_of(six->status) != LOOKUP_FAILED;
    bool knows_four = four->is_done && verdict_of(four->status) != LOOKUP_FAILED;
    if (knows_six && knows_four)
        return six->ttl_s < four->ttl_s ? six->ttl_s : four->ttl_s;
    return knows_six ? six->ttl_s : knows_four ? four->ttl_s : 0;
}

/* With addresses: of one family, or all. */
static void tell_found(struct lookup *lookup, bool is_final)
{
    struct address addresses[LOOKUP_MAX_ADDRESSES];
    struct lookup_answer answer = {
        .verdict = LOOKUP_FOUND,
        .is_final = is_final,
        .addresses = addresses,
        .count = gather(lookup, addresses),
        .ttl_s = ttl_of(lookup),
    };
    void (*on_answer)(void *, const struct lookup_answer *) = lookup->on_answer;
    void *owner = lookup->owner;
    lookup->is_told = true;
    if (is_final)
        lookup_free(lookup);
    on_answer(owner, &answer);
}

static void tell_none(struct lookup *lookup)
{
    struct buf reason = {0};
    add_reason(&reason, lookup);
    struct lookup_answer answer = {
        .verdict = lookup->verdict,
        .is_final = true,
        .ttl_s = lookup->verdict != LOOKUP_FAILED ? lookup->ttl_s : 0,
        .reason = reason.ptr,
    };
    void (*on_answer)(void *, const struct lookup_answer *) = lookup->on_answer;
    void *owner = lookup->owner;
    lookup_free(lookup);
    on_answer(owner, &answer);
    buf_deinit(&reason);
}

/* Nothing under this name. True: the next one is asked for. */
static bool try_next_name(struct lookup *lookup)
{
    const struct family_answer *family = telling_family(lookup);
    enum lookup_verdict verdict = verdict_of(family->status);
    if (lookup->at == 0 || verdict > lookup->verdict) {
        lookup->verdict = verdict;
        lookup->status = family->status;
    }
    uint32_t ttl_s = ttl_of(lookup);
    if (lookup->at == 0 || ttl_s < lookup->ttl_s)
        lookup->ttl_s = ttl_s;
    /* Servers that are not there are not there for the next name either. */
    bool is_hopeless = family->status == ARES_ETIMEOUT ||
                       (family->status == ARES_ECONNREFUSED && lookup->channel.rcode == RCODE_NONE);
    if (is_hopeless || lookup->at + 1 == lookup->nnames)
        return false;
    lookup->at++;
    ask(lookup);
    return true;
}

/* After every word of c-ares: goes on, or tells. The last thing that a caller does. */
static void settle(struct lookup *lookup)
{
    const struct family_answer *six = &lookup->families[SIX], *four = &lookup->families[FOUR];
    while (six->is_done && four->is_done) {
        if (six->count != 0 || four->count != 0) {
            tell_found(lookup, true);
            return;
        }
        if (!try_next_name(lookup)) {
            tell_none(lookup);
            return;
        }
    }
    channel_go_on(&lookup->channel);
    if (!lookup->is_told && (six->count != 0 || four->count != 0))
        tell_found(lookup, false);
}

static void on_progress(struct channel *channel)
{
    settle(LIST_ENTRY(channel, struct lookup, channel));
}

/* ---- the beginning ---- */

static void add_name(struct lookup *lookup, const char *name, const char *domain)
{
    struct buf full = {0};
    buf_add_text(&full, name);
    if (domain != NULL && *domain != '\0')
        buf_printf(&full, ".%s", domain);
    buf_add_char(&full, '\0');
    if (full.len > 254) /* with the NUL: longer than a name can be */
        buf_deinit(&full);
    else
        lookup->names[lookup->nnames++] = full.ptr;
}

/* As resolv.conf (5) has it: with a dot at its end as it is; with `ndots` dots first so. */
static void list_names(struct lookup *lookup, const struct lookup_question *question)
{
    const struct resolve_files *files = question->files;
    size_t len = strlen(question->name);
    char *name = mem_copy_text(question->name);
    uint32_t ndots = 0;
    bool is_absolute = name[len - 1] == '.';
    if (is_absolute)
        name[len - 1] = '\0';
    for (const char *at = name; *at != '\0'; at++)
        ndots += *at == '.';
    lookup->names = mem_zeroed((files->ndomains + 1) * sizeof(*lookup->names));
    bool is_first = is_absolute || ndots >= files->ndots;
    if (is_first)
        add_name(lookup, name, NULL);
    for (uint32_t i = 0; i < files->ndomains && !is_absolute; i++)
        add_name(lookup, name, files->domains[i]);
    if (!is_first)
        add_name(lookup, name, NULL);
    free(name);
}

struct lookup *lookup_start(struct loop *loop, const struct lookup_question *question,
                            void (*on_answer)(void *owner, const struct lookup_answer *answer),
                            void *owner)
{
    struct channel_options options = {
        .servers = question->servers,
        .nservers = question->nservers,
        .first_server = question->first_server,
        .timeout_ms = question->files->timeout_ms,
        .tries = question->files->attempts,
    };
    struct lookup *lookup = MEM_NEW(struct lookup);
    lookup->loop = loop;
    lookup->on_answer = on_answer;
    lookup->owner = owner;
    loop_wait_begins(loop, WAIT_REAL);
    list_names(lookup, question);
    channel_open(&lookup->channel, loop, &options, on_progress);
    ask(lookup);
    if (lookup->families[SIX].is_done || lookup->families[FOUR].is_done)
        channel_progress_soon(&lookup->channel);
    else
        channel_go_on(&lookup->channel);
    return lookup;
}

void lookup_describe(const struct lookup *lookup, struct buf *text)
{
    buf_printf(text, "%s: no answer yet from ", lookup->names[lookup->at]);
    address_add_list(text, lookup->channel.servers, lookup->channel.nservers);
}

void lookup_cancel(struct lookup *lookup)
{
    if (lookup != NULL)
        lookup_free(lookup);
}
