#include "script/route_choice.h"

#include "base/buf.h"
#include "http/method.h"
#include "script/generation_state.h"
#include "script/refusal.h"

#include <string.h>

/* By llhttp's method number, plus one; 0: only routes for any method. */
static const uint8_t router_methods[METHOD_COUNT] = {
    [METHOD_GET] = ROUTER_GET + 1,         [METHOD_HEAD] = ROUTER_HEAD + 1,
    [METHOD_POST] = ROUTER_POST + 1,       [METHOD_PUT] = ROUTER_PUT + 1,
    [METHOD_PATCH] = ROUTER_PATCH + 1,     [METHOD_DELETE] = ROUTER_DELETE + 1,
    [METHOD_OPTIONS] = ROUTER_OPTIONS + 1,
};

static bool match_in(const struct router *router, const struct request *request, struct str path,
                     struct route_match *match, uint32_t *allowed)
{
    int method = router_methods[request->message.method % METHOD_COUNT] - 1;
    if (router_match(router, method, path, match)) {
        if (request->message.method != METHOD_TRACE)
            return true;
        *allowed |= (1u << ROUTER_ANY) - 1; /* a route for any method is for none that reflects */
        return false;
    }
    *allowed |= match->allowed;
    return false;
}

/* Routers of a host first, then the one for any host. */
static const struct host_router *find(struct generation *generation, const struct request *request,
                                      struct str path, struct route_match *match, uint32_t *allowed)
{
    struct host_router *last = &generation->routers[generation->nrouters - 1];
    struct str host;
    if (generation->nrouters > 1 && request_host(request, &host)) {
        const char *colon = host.len != 0 ? memrchr(host.ptr, ':', host.len) : NULL;
        if (colon != NULL && host.ptr[host.len - 1] != ']')
            host.len = (size_t)(colon - host.ptr);
        for (struct host_router *at = generation->routers; at != last; at++)
            if (str_equal_nocase(host, str_of(at->host)) &&
                match_in(at->router, request, path, match, allowed))
                return at;
    }
    return match_in(last->router, request, path, match, allowed) ? last : NULL;
}

/* "/hello" where only "/hello/" is known: relative links of its page would point elsewhere. */
static bool redirect_to_slash(struct generation *generation, struct request *request,
                              struct str path)
{
    struct route_match match;
    struct buf longer = {0};
    uint32_t allowed = 0;
    buf_add_str(&longer, path);
    buf_add_char(&longer, '/');
    bool is_known = path.len > 1 && path.ptr[path.len - 1] != '/' && path.ptr[0] == '/' &&
                    find(generation, request, buf_str(&longer), &match, &allowed) != NULL;
    if (is_known) {
        struct str query = request_query(request);
        struct buf fields = {0};
        /* "//host/" in a Location would be another host */
        const char *start = longer.len > 1 && longer.ptr[1] == '/' ? "/." : "";
        buf_printf(&fields, "Location: %s%.*s%s%.*s\r\n", start, (int)longer.len, longer.ptr,
                   query.len != 0 ? "?" : "", (int)query.len, query.ptr);
        refuse(request, 308, "", buf_str(&fields));
        buf_deinit(&fields);
    }
    buf_deinit(&longer);
    return is_known;
}

/* The app whose mount the path lies under, the longest one. */
static struct app *app_of_path(struct generation *generation, struct str path)
{
    struct app *best = NULL;
    size_t best_len = 0;
    for (size_t i = 0; i < generation->napps; i++) {
        size_t len = strlen(generation->apps[i].mount);
        if (len <= path.len && memcmp(path.ptr, generation->apps[i].mount, len) == 0 &&
            (len == path.len || path.ptr[len] == '/') && (best == NULL || len > best_len)) {
            best = &generation->apps[i];
            best_len = len;
        }
    }
    return best;
}

/* What has no route is for the app that it lies under, or for nobody. */
static struct route *route_of_unknown(struct generation *generation, struct request *request,
                                      struct str path, struct route_match *match)
{
    if (redirect_to_slash(generation, request, path))
        return NULL;
    struct app *app = app_of_path(generation, path);
    match->nparams = 0;
    if (app != NULL && app->not_found != NULL)
        return app->not_found;
    refuse(request, 404, "not found\n", (struct str){0});
    return NULL;
}

struct route *route_of_request(struct generation *generation, struct request *request,
                               struct str path, struct route_match *match)
{
    uint32_t allowed = 0;
    if (path.len == 1 && path.ptr[0] == '*') { /* OPTIONS * asks for the whole server */
        refuse_method(request, (1u << ROUTER_ANY) - 1);
        return NULL;
    }
    if (find(generation, request, path, match, &allowed) != NULL)
        return generation->routes[match->target];
    if (allowed == 0)
        return route_of_unknown(generation, request, path, match);
    refuse_method(request, allowed);
    return NULL;
}
