#include "server/certificate_list.h"

#include "base/escape.h"
#include "base/mem.h"
#include "net/tls_server.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { DAY_S = 24 * 60 * 60, SHOWN_NAMES = 5 };

struct served {
    struct buf file, key, serial, fingerprint, issuer;
    struct buf names; /* as JSON, with commas between */
    struct buf shown; /* the first of them, for people */
    uint32_t nnames;
    int64_t not_before, not_after; /* since 1970 */
};

struct certificate_list {
    struct served *all;
    uint32_t count;
};

static void add_name(struct served *served, struct str name)
{
    buf_add_text(&served->names, served->nnames != 0 ? "," : "");
    escape_json(&served->names, name);
    if (served->nnames++ >= SHOWN_NAMES)
        return;
    buf_add_text(&served->shown, served->nnames != 1 ? ", " : "");
    escape_text(&served->shown, name);
}

static int64_t seconds_of(struct str digits)
{
    uint64_t seconds = 0;
    bool is_before = digits.len != 0 && *digits.ptr == '-'; /* 1970 */
    return !is_before && str_to_u64(digits, &seconds) ? (int64_t)seconds : 0;
}

static void on_fact(void *data, const char *what, struct str value)
{
    struct served *served = data;
    if (strcmp(what, "file") == 0)
        buf_add_str(&served->file, value);
    else if (strcmp(what, "key") == 0)
        buf_add_str(&served->key, value);
    else if (strcmp(what, "serial") == 0)
        buf_add_str(&served->serial, value);
    else if (strcmp(what, "fingerprint") == 0)
        buf_add_str(&served->fingerprint, value);
    else if (strcmp(what, "issuer") == 0)
        buf_add_str(&served->issuer, value);
    else if (strcmp(what, "not_before") == 0)
        served->not_before = seconds_of(value);
    else if (strcmp(what, "not_after") == 0)
        served->not_after = seconds_of(value);
    else if (strcmp(what, "name") == 0)
        add_name(served, value);
}

static void served_deinit(struct served *served)
{
    buf_deinit(&served->file);
    buf_deinit(&served->key);
    buf_deinit(&served->serial);
    buf_deinit(&served->fingerprint);
    buf_deinit(&served->issuer);
    buf_deinit(&served->names);
    buf_deinit(&served->shown);
}

struct certificate_list *certificate_list_new(const struct tls_context *tls)
{
    struct certificate_list *list = MEM_NEW(struct certificate_list);
    struct served served = {0};
    while (tls_describe_served(tls, list->count, on_fact, &served)) {
        list->all = mem_grow(list->all, (list->count + 1) * sizeof(served));
        list->all[list->count++] = served;
        served = (struct served){0};
    }
    return list;
}

void certificate_list_free(struct certificate_list *list)
{
    for (uint32_t i = 0; list != NULL && i < list->count; i++)
        served_deinit(&list->all[i]);
    if (list != NULL)
        free(list->all);
    free(list);
}

static uint32_t count_of(const struct certificate_list *list)
{
    return list != NULL ? list->count : 0;
}

static double days_left(const struct served *served, int64_t now_s)
{
    return (double)(served->not_after - now_s) / DAY_S;
}

void certificate_list_complain(const struct certificate_list *list, int64_t now_s,
                               struct buf *sentences)
{
    for (uint32_t i = 0; i < count_of(list); i++) {
        const struct served *each = &list->all[i];
        bool is_over = each->not_after <= now_s, is_ahead = each->not_before > now_s;
        if (!is_over && !is_ahead && each->not_after - now_s >= CERTIFICATE_SOON_S)
            continue;
        buf_printf(sentences, "%stls: %.*s: the certificate ", sentences->len != 0 ? "\n" : "",
                   (int)each->file.len, each->file.ptr);
        if (is_over)
            buf_add_text(sentences, "has expired; clients will refuse it");
        else if (is_ahead)
            buf_printf(sentences, "is valid only in %.1f days; clients will refuse it until then",
                       (double)(each->not_before - now_s) / DAY_S);
        else
            buf_printf(sentences, "expires in %.1f days", days_left(each, now_s));
    }
}

static void add_member(struct buf *out, const char *name, const struct buf *value)
{
    buf_printf(out, "\"%s\":", name);
    escape_json(out, buf_str(value));
    buf_add_char(out, ',');
}

void certificate_list_to_json(const struct certificate_list *list, int64_t now_s, struct buf *out)
{
    buf_add_char(out, '[');
    for (uint32_t i = 0; i < count_of(list); i++) {
        const struct served *each = &list->all[i];
        buf_add_text(out, i != 0 ? ",{" : "{");
        add_member(out, "file", &each->file);
        add_member(out, "key", &each->key);
        add_member(out, "issuer", &each->issuer);
        add_member(out, "serial", &each->serial);
        add_member(out, "fingerprint", &each->fingerprint);
        buf_add_text(out, "\"names\":[");
        buf_add_str(out, buf_str(&each->names));
        buf_printf(out, "],\"not_before\":%lld,\"not_after\":%lld,\"days_left\":%.1f}",
                   (long long)each->not_before, (long long)each->not_after, days_left(each, now_s));
    }
    buf_add_char(out, ']');
}

void certificate_list_to_text(const struct certificate_list *list, int64_t now_s, struct buf *out)
{
    for (uint32_t i = 0; i < count_of(list); i++) {
        const struct served *each = &list->all[i];
        time_t until = (time_t)each->not_after;
        struct tm parts;
        char day[16];
        strftime(day, sizeof(day), "%Y-%m-%d", gmtime_r(&until, &parts));
        buf_add_text(out, "tls       ");
        escape_text(out, buf_str(&each->file));
        buf_printf(out, ": %.*s, ", (int)each->key.len, each->key.ptr);
        buf_add_str(out, buf_str(&each->shown));
        if (each->nnames > SHOWN_NAMES)
            buf_printf(out, " and %u more", each->nnames - SHOWN_NAMES);
        if (each->not_after <= now_s)
            buf_printf(out, "%shas expired on %s\n", each->nnames != 0 ? ", " : "", day);
        else
            buf_printf(out, "%suntil %s (%.0f days)\n", each->nnames != 0 ? ", " : "", day,
                       days_left(each, now_s));
    }
}
