#include "server/config_load.h"

#include "base/buf.h"
#include "base/log.h"
#include "base/mem.h"
#include "server/cpu_count.h"

#include <lua.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

enum kind {
    KIND_TEXT,
    KIND_LINES /* a list of texts, with newlines between */,
    KIND_SECONDS,
    KIND_U32,
    KIND_U64,
    KIND_INT,
    KIND_BOOL
};

struct option {
    const char *name;
    enum kind kind;
    size_t offset;
    bool is_master_only; /* a change of it needs no new workers */
};

#define OPTION(field, kind)                                                                        \
    {                                                                                              \
#field, kind, offsetof(struct config, field), false                                        \
    }
#define MASTER_OPTION(field, kind)                                                                 \
    {                                                                                              \
#field, kind, offsetof(struct config, field), true                                         \
    }
#define SECONDS(field)                                                                             \
    {                                                                                              \
#field, KIND_SECONDS, offsetof(struct config, field##_ms), false                           \
    }

/* `bind`, `redirect_bind` and the choices have their own readers below. */
static const struct option options[] = {
    MASTER_OPTION(apps_dir, KIND_TEXT),
    MASTER_OPTION(lua_dir, KIND_TEXT),
    MASTER_OPTION(workers, KIND_U32),
    OPTION(threads, KIND_U32),
    OPTION(processes, KIND_U32),
    OPTION(dev, KIND_BOOL),
    MASTER_OPTION(reload, KIND_BOOL),
    SECONDS(timeout),
    SECONDS(block_limit),
    SECONDS(header_timeout),
    SECONDS(body_timeout),
    SECONDS(send_timeout),
    SECONDS(keepalive),
    SECONDS(graceful_timeout),
    OPTION(limit_request_line, KIND_U32),
    OPTION(limit_request_header, KIND_U32),
    OPTION(limit_request_fields, KIND_U32),
    OPTION(max_body, KIND_U64),
    OPTION(min_body_rate, KIND_U32),
    OPTION(min_send_rate, KIND_U32),
    OPTION(max_connections, KIND_U32),
    OPTION(limit_connections_per_ip, KIND_U32),
    OPTION(keepalive_requests, KIND_U32),
    OPTION(max_requests, KIND_U32),
    OPTION(max_requests_jitter, KIND_U32),
    OPTION(max_memory, KIND_U64),
    MASTER_OPTION(pidfile, KIND_TEXT),
    MASTER_OPTION(user, KIND_TEXT),
    MASTER_OPTION(group, KIND_TEXT),
    MASTER_OPTION(chdir, KIND_TEXT),
    OPTION(accesslog, KIND_TEXT),
    OPTION(errorlog, KIND_TEXT),
    MASTER_OPTION(certfile, KIND_LINES),
    MASTER_OPTION(keyfile, KIND_LINES),
    MASTER_OPTION(ca_certs, KIND_TEXT),
    {"hsts", KIND_U32, offsetof(struct config, hsts_s), false},
    OPTION(strict_host, KIND_BOOL),
    MASTER_OPTION(umask, KIND_INT),
    MASTER_OPTION(daemon, KIND_BOOL),
    MASTER_OPTION(control, KIND_TEXT),
    MASTER_OPTION(shared_path, KIND_TEXT),
    MASTER_OPTION(shared_size, KIND_U64),
    MASTER_OPTION(shared_sync, KIND_BOOL),
    OPTION(sandbox, KIND_BOOL),
    OPTION(core_dumps, KIND_BOOL),
    OPTION(forwarded_allow_ips, KIND_TEXT),
    OPTION(nameservers, KIND_TEXT),
    OPTION(dns_cache, KIND_U32),
    OPTION(dns_max_ttl, KIND_U32),
};

static bool read_number(lua_State *L, const struct option *option, void *field, struct fault *fault)
{
    double number = lua_tonumber(L, -1);
    double scaled = option->kind == KIND_SECONDS ? ceil(number * 1000) : number;
    double max = option->kind == KIND_U64   ? 9007199254740992.0
                 : option->kind == KIND_INT ? INT32_MAX
                                            : UINT32_MAX;
    double min = option->kind == KIND_INT ? -1 : 0;
    if (lua_type(L, -1) != LUA_TNUMBER || !(scaled >= min && scaled <= max)) {
        fault_set(fault, "%s: expected a number from %.0f to %.0f", option->name, min,
                  option->kind == KIND_SECONDS ? max / 1000 : max);
        return false;
    }
    if (option->kind == KIND_U64)
        *(uint64_t *)field = (uint64_t)scaled;
    else if (option->kind == KIND_INT)
        *(int *)field = (int)scaled;
    else
        *(uint32_t *)field = (uint32_t)scaled;
    return true;
}

static char *read_lines(lua_State *L)
{
    struct buf lines = {0};
    size_t count = lua_istable(L, -1) ? lua_objlen(L, -1) : 0;
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, -1, (int)i + 1);
        buf_add_text(&lines, i != 0 ? "\n" : "");
        buf_add_text(&lines, lua_isstring(L, -1) ? lua_tostring(L, -1) : "");
        lua_pop(L, 1);
    }
    if (lines.len == 0)
        return NULL;
    buf_add_char(&lines, '\0');
    return lines.ptr;
}

/* The value at the top of the stack into its field. An empty text is none. */
static bool read_option(lua_State *L, const struct option *option, struct config *config,
                        struct fault *fault)
{
    void *field = (char *)config + option->offset;
    if (lua_isnil(L, -1))
        return true;
    switch (option->kind) {
    case KIND_TEXT:
        if (lua_type(L, -1) == LUA_TSTRING && *lua_tostring(L, -1) != '\0')
            *(char **)field = mem_copy_text(lua_tostring(L, -1));
        return true;
    case KIND_LINES:
        *(char **)field = read_lines(L);
        return true;
    case KIND_BOOL:
        *(bool *)field = lua_toboolean(L, -1);
        return true;
    default:
        return read_number(L, option, field, fault);
    }
}

/* `least`: how many there have to be. */
static bool read_binds(lua_State *L, const char *option, size_t least,
                       char *binds[CONFIG_MAX_BINDS], uint32_t *nbinds, struct fault *fault)
{
    size_t count = lua_istable(L, -1) ? lua_objlen(L, -1) : 0;
    if (count < least || count > CONFIG_MAX_BINDS) {
        fault_set(fault, "%s: expected %zu to %d addresses, got %zu", option, least,
                  CONFIG_MAX_BINDS, count);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        lua_rawgeti(L, -1, (int)i + 1);
        const char *text = lua_tostring(L, -1);
        binds[(*nbinds)++] = mem_copy_text(text != NULL ? text : "");
        lua_pop(L, 1);
    }
    return true;
}

/* The index of the text at the top of the stack in `names`. */
static bool read_choice(lua_State *L, const char *option, const char *const *names, int *choice,
                        struct fault *fault)
{
    const char *text = lua_tostring(L, -1);
    for (int i = 0; names[i] != NULL; i++)
        if (text != NULL && strcmp(text, names[i]) == 0) {
            *choice = i;
            return true;
        }
    fault_set(fault, "%s: \"%s\" is none of its words", option, text != NULL ? text : "");
    return false;
}

static bool read_others(lua_State *L, struct config *config, struct fault *fault)
{
    static const char *const levels[] = {"debug", "info", "warn", "error", NULL};
    static const char *const formats[] = {"text", "json", NULL};
    static const char *const headers[] = {"x-forwarded", "forwarded", NULL};
    static const char *const wishes[] = {"none", "optional", "required", NULL};
    lua_getfield(L, 1, "bind");
    bool is_read = read_binds(L, "bind", 1, config->binds, &config->nbinds, fault);
    lua_getfield(L, 1, "redirect_bind");
    is_read = is_read && read_binds(L, "redirect_bind", 0, config->redirect_binds,
                                    &config->nredirect_binds, fault);
    lua_getfield(L, 1, "cert_reqs");
    is_read = is_read && read_choice(L, "cert_reqs", wishes, &config->cert_reqs, fault);
    lua_getfield(L, 1, "forwarded_header");
    is_read =
        is_read && read_choice(L, "forwarded_header", headers, &config->forwarded_header, fault);
    lua_getfield(L, 1, "loglevel");
    is_read = is_read && read_choice(L, "loglevel", levels, &config->loglevel, fault);
    lua_getfield(L, 1, "log_format");
    is_read = is_read && read_choice(L, "log_format", formats, &config->log_format, fault);
    lua_pop(L, 6);
    return is_read;
}

struct config *config_load(struct lua_State *L, struct fault *fault)
{
    struct config *config = MEM_NEW(struct config);
    config->umask = -1;
    for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++) {
        lua_getfield(L, 1, options[i].name);
        bool is_read = read_option(L, &options[i], config, fault);
        lua_pop(L, 1);
        if (!is_read)
            goto fail;
    }
    if (!read_others(L, config, fault))
        goto fail;
    if (config->apps_dir == NULL || config->lua_dir == NULL) {
        fault_set(fault, "the command line gave no apps_dir or lua_dir");
        goto fail;
    }
    if (config->workers == 0)
        config->workers = cpu_count();
    if (config->workers > CONFIG_MAX_WORKERS)
        config->workers = CONFIG_MAX_WORKERS;
    if (config->threads == 0)
        config->threads = cpu_count() > 2 ? cpu_count() : 2;
    if (config->processes == 0)
        config->processes = config->threads;
    return config;

fail:
    config_free(config);
    return NULL;
}

bool config_load_flag(struct lua_State *L, const char *name)
{
    lua_getfield(L, 1, name);
    bool is_set = lua_toboolean(L, -1);
    lua_pop(L, 1);
    return is_set;
}

uint32_t config_load_count(struct lua_State *L, const char *name)
{
    lua_getfield(L, 1, name);
    double number = lua_tonumber(L, -1);
    lua_pop(L, 1);
    return number >= 0 && number <= UINT32_MAX ? (uint32_t)number : 0;
}

void config_free(struct config *config)
{
    if (config == NULL)
        return;
    config_deinit(config);
    free(config);
}

static bool is_same(const struct option *option, const struct config *a, const struct config *b)
{
    const char *left = (const char *)a + option->offset, *right = (const char *)b + option->offset;
    const char *left_text, *right_text;
    switch (option->kind) {
    case KIND_TEXT:
    case KIND_LINES:
        left_text = *(char *const *)(const void *)left;
        right_text = *(char *const *)(const void *)right;
        return left_text == right_text ||
               (left_text != NULL && right_text != NULL && strcmp(left_text, right_text) == 0);
    case KIND_BOOL:
        return *(const bool *)left == *(const bool *)right;
    case KIND_U64:
        return memcmp(left, right, sizeof(uint64_t)) == 0;
    default:
        return memcmp(left, right, sizeof(uint32_t)) == 0;
    }
}

bool config_is_same_for_workers(const struct config *a, const struct config *b)
{
    for (size_t i = 0; i < sizeof(options) / sizeof(*options); i++)
        if (!options[i].is_master_only && !is_same(&options[i], a, b))
            return false;
    return a->loglevel == b->loglevel && a->log_format == b->log_format &&
           a->forwarded_header == b->forwarded_header;
}
