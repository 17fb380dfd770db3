#include "server/held_back.h"

#include <string.h>

/* The app that a file is part of: "shop" for shop.lua and shop/init.lua, "" for shared ones. */
static struct str app_of_file(struct str name)
{
    const char *slash = memchr(name.ptr, '/', name.len);
    size_t len = slash != NULL ? (size_t)(slash - name.ptr) : name.len - strlen(".lua");
    if (name.len == 0 || *name.ptr == '_')
        len = 0;
    return (struct str){name.ptr, len};
}

bool held_back_is(const struct failures *failures, struct str app)
{
    const struct failure *failure = failures_find(failures, app);
    return failure != NULL && failure->is_held_back;
}

bool held_back_has_news(const struct failures *failures, const struct snapshot *a,
                        const struct snapshot *b)
{
    const struct str everyone = {"", 0};
    for (size_t i = 0; i < snapshot_count(a); i++) {
        struct snapshot_file file = snapshot_at(a, i), other;
        if (file.layer.len > 0 || held_back_is(failures, app_of_file(file.name)))
            continue;
        if (!snapshot_find(b, everyone, file.name, &other) || !str_equal(file.bytes, other.bytes))
            return true;
    }
    return false;
}

bool held_back_is_possible(const struct report *committed, struct str app)
{
    const struct app_report *report = committed != NULL ? report_app(committed, app) : NULL;
    return report != NULL && report->is_ok;
}

size_t held_back_mark(struct failures *failures, const struct report *committed, struct str *names)
{
    size_t count = 0;
    for (size_t i = 0; i < failures->count; i++) {
        struct str name = str_of(failures->list[i].app);
        failures->list[i].is_held_back = held_back_is_possible(committed, name);
        if (failures->list[i].is_held_back)
            names[count++] = name;
    }
    return count;
}
