#include "server/status.h"

#include "base/escape.h"
#include "base/log.h"
#include "http/server.h"
#include "server/certificate_list.h"

#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { DOING_BYTES = 1024 };

#define READ(seat, field) atomic_load_explicit(&(seat)->field, memory_order_relaxed)

static void add_member(struct buf *out, const char *name, struct str value)
{
    buf_printf(out, ",\"%s\":", name);
    escape_json(out, value);
}

static void worker_to_json(const struct child *child, struct buf *out)
{
    char doing[DOING_BYTES];
    struct scoreboard_slot *seat = child->seat;
    uint64_t beat_ms = READ(seat, beat_ms), now = master_now_ms();
    scoreboard_slot_describe(seat, doing, sizeof(doing));
    buf_printf(out, "{\"worker\":%u,\"pid\":%d,\"state\":\"%s\",\"uptime\":%.3f",
               child_number(child), (int)child->pid, child_state_name(child),
               (double)(now - child->started_ms) / 1000);
    buf_printf(
        out, ",\"requests\":%llu,\"errors\":%llu,\"connections\":%u,\"in_flight\":%u,\"tasks\":%u",
        (unsigned long long)READ(seat, requests), (unsigned long long)READ(seat, errors),
        READ(seat, connections), READ(seat, in_flight), READ(seat, tasks));
    buf_printf(
        out, ",\"lag\":%.6f,\"beat_age\":%.3f,\"memory\":%llu,\"lua_memory\":%llu",
        (double)READ(seat, lag_us) / 1e6, beat_ms < now ? (double)(now - beat_ms) / 1000 : 0.0,
        (unsigned long long)READ(seat, memory_bytes), (unsigned long long)READ(seat, lua_bytes));
    buf_printf(out, ",\"generation\":%llu,\"generations_alive\":%u",
               (unsigned long long)child->committed, READ(seat, generations_alive));
    add_member(out, "doing", str_of(doing));
    buf_add_char(out, '}');
}

static void workers_to_json(struct slots *slots, struct buf *out)
{
    buf_add_char(out, '[');
    for (struct child *child = NULL; (child = slots_next(slots, child)) != NULL;) {
        if (out->ptr[out->len - 1] != '[')
            buf_add_char(out, ',');
        worker_to_json(child, out);
    }
    buf_add_char(out, ']');
}

static void apps_to_json(const struct report *report, struct buf *out)
{
    buf_add_char(out, '[');
    for (size_t i = 0; report != NULL && i < report->napps; i++) {
        buf_add_text(out, i > 0 ? ",{\"app\":" : "{\"app\":");
        escape_json(out, report->apps[i].name);
        buf_printf(out, ",\"ok\":%s}", report->apps[i].is_ok ? "true" : "false");
    }
    buf_add_char(out, ']');
}

static bool expects_proxy(const struct status_source *source, uint32_t index)
{
    return (listen_sockets_services(source->sockets)[index] & HTTP_EXPECTS_PROXY) != 0;
}

static void status_to_json(const struct status_source *source, struct buf *out)
{
    const struct reload *reload = source->reload;
    buf_printf(out, "{\"version\":\"%s\",\"pid\":%d,\"uptime\":%.3f,\"urls\":[", MOONLOOP_VERSION,
               (int)getpid(), (double)(master_now_ms() - source->started_ms) / 1000);
    for (uint32_t i = 0; i < listen_sockets_count(source->sockets); i++) {
        buf_add_text(out, i > 0 ? "," : "");
        escape_json(out, str_of(listen_sockets_url(source->sockets, i)));
    }
    buf_add_char(out, ']');
    add_member(out, "apps_dir", str_of(source->config->apps_dir));
    buf_printf(
        out, ",\"generation\":%llu,\"workers_wanted\":%u,\"crashes\":%llu,\"log_lines_lost\":%llu",
        (unsigned long long)reload_generation(reload), slots_wanted(source->slots),
        (unsigned long long)slots_crashes(source->slots), (unsigned long long)log_dropped());
    uint64_t crash_ms;
    const char *crash = slots_last_crash(source->slots, &crash_ms);
    if (crash != NULL) {
        add_member(out, "last_crash", str_of(crash));
        buf_printf(out, ",\"last_crash_age\":%.3f", (double)(master_now_ms() - crash_ms) / 1000);
    }
    buf_add_text(out, ",\"certificates\":");
    certificate_list_to_json(source->certificates, (int64_t)time(NULL), out);
    buf_add_text(out, ",\"workers\":");
    workers_to_json(source->slots, out);
    buf_add_text(out, ",\"apps\":");
    apps_to_json(reload_report(reload), out);
    buf_add_text(out, ",\"failures\":");
    failures_to_json(reload_failures(reload), out);
    buf_add_text(out, ",\"refused\":");
    if (reload_refusal(reload) != NULL)
        escape_json(out, str_of(reload_refusal(reload)));
    else
        buf_add_text(out, "null");
    buf_add_text(out, "}\n");
}

/* "12 s", "3 min", "2 h", "5 d": as exact as one wants to know. */
static void format_age(uint64_t age_ms, char *text, size_t bytes)
{
    unsigned long long seconds = age_ms / 1000;
    if (seconds < 120)
        snprintf(text, bytes, "%llu s", seconds);
    else if (seconds < 7200)
        snprintf(text, bytes, "%llu min", seconds / 60);
    else if (seconds < 172800)
        snprintf(text, bytes, "%llu h", seconds / 3600);
    else
        snprintf(text, bytes, "%llu d", seconds / 86400);
}

static void worker_to_text(const struct child *child, struct buf *out)
{
    char age[32];
    struct scoreboard_slot *seat = child->seat;
    format_age(master_now_ms() - child->started_ms, age, sizeof(age));
    buf_printf(out, "%6u %8d  %-8s %8s %10llu %8llu %6u %6u %8.1f %8.1f %6llu\n",
               child_number(child), (int)child->pid, child_state_name(child), age,
               (unsigned long long)READ(seat, requests), (unsigned long long)READ(seat, errors),
               READ(seat, connections), READ(seat, in_flight),
               (double)READ(seat, memory_bytes) / 1048576, (double)READ(seat, lag_us) / 1000,
               (unsigned long long)child->committed);
}

static void crashes_to_text(const struct slots *slots, struct buf *out)
{
    char age[32];
    uint64_t when_ms;
    const char *crash = slots_last_crash(slots, &when_ms);
    if (crash == NULL)
        return;
    format_age(master_now_ms() - when_ms, age, sizeof(age));
    buf_printf(out, "crashes   %llu; the last %s ago: %s\n",
               (unsigned long long)slots_crashes(slots), age, crash);
}

static void status_to_text(const struct status_source *source, struct buf *out)
{
    char age[32];
    const struct reload *reload = source->reload;
    format_age(master_now_ms() - source->started_ms, age, sizeof(age));
    buf_printf(out, "moonloop %s, pid %d, up %s, generation %llu\napps      %s\n", MOONLOOP_VERSION,
               (int)getpid(), age, (unsigned long long)reload_generation(reload),
               source->config->apps_dir);
    for (uint32_t i = 0; i < listen_sockets_count(source->sockets); i++)
        buf_printf(out, "listens   %s%s\n", listen_sockets_url(source->sockets, i),
                   expects_proxy(source, i) ? " (expects a PROXY header)" : "");
    certificate_list_to_text(source->certificates, (int64_t)time(NULL), out);
    crashes_to_text(source->slots, out);
    if (log_dropped() > 0)
        buf_printf(out, "log       %llu lines of the master's log could not be written\n",
                   (unsigned long long)log_dropped());
    buf_printf(out, "\n%6s %8s  %-8s %8s %10s %8s %6s %6s %8s %8s %6s\n", "worker", "pid", "state",
               "up", "requests", "errors", "open", "active", "MB", "lag ms", "gen");
    for (struct child *child = NULL; (child = slots_next(source->slots, child)) != NULL;)
        worker_to_text(child, out);
    if (reload_refusal(reload) != NULL)
        buf_printf(out, "\nThe code on disk is not live: %s\n", reload_refusal(reload));
    else if (reload_failures(reload)->count > 0)
        buf_add_text(out, "\nSome apps did not load:\n");
    failures_to_text(reload_failures(reload), out);
}

void status_write(const struct status_source *source, bool is_json, struct buf *out)
{
    if (is_json)
        status_to_json(source, out);
    else
        status_to_text(source, out);
}

void status_write_ps(const struct status_source *source, struct buf *out)
{
    const char *separator = "[";
    for (struct child *child = NULL; (child = slots_next(source->slots, child)) != NULL;) {
        buf_add_text(out, separator);
        separator = ",";
        worker_to_json(child, out);
        out->len--; /* the object goes on */
        buf_printf(out, ",\"answered\":%s,\"activities\":[", child->has_told ? "true" : "false");
        buf_add_str(out, buf_str(&child->listed));
        buf_add_text(out, "]}");
    }
    buf_add_text(out, *separator == '[' ? "[]\n" : "]\n");
}

static void routes_to_json(const struct report *report, struct buf *out)
{
    buf_add_char(out, '[');
    for (size_t i = 0; report != NULL && i < report->nroutes; i++) {
        const struct route_info *route = &report->routes[i];
        buf_add_text(out, i > 0 ? ",{\"method\":" : "{\"method\":");
        escape_json(out, route->method);
        add_member(out, "pattern", route->pattern);
        add_member(out, "app", route->app);
        add_member(out, "source", route->source);
        buf_add_char(out, '}');
    }
    buf_add_text(out, "]\n");
}

void status_write_routes(const struct report *report, bool is_json, struct buf *out)
{
    if (is_json) {
        routes_to_json(report, out);
        return;
    }
    int width = 10;
    for (size_t i = 0; report != NULL && i < report->nroutes; i++)
        if ((int)report->routes[i].pattern.len > width && report->routes[i].pattern.len <= 60)
            width = (int)report->routes[i].pattern.len;
    for (size_t i = 0; report != NULL && i < report->nroutes; i++) {
        const struct route_info *route = &report->routes[i];
        buf_printf(out, "%-7.*s %-*.*s  %.*s\n", (int)route->method.len, route->method.ptr, width,
                   (int)route->pattern.len, route->pattern.ptr, (int)route->source.len,
                   route->source.ptr);
    }
}
