#include "server/failures.h"

#include "base/escape.h"
#include "base/log.h"
#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static char *copy_str(struct str str)
{
    char *text = mem_grow(NULL, str.len + 1);
    memcpy(text, str.ptr, str.len);
    text[str.len] = '\0';
    return text;
}

struct failure *failures_find(const struct failures *failures, struct str app)
{
    for (size_t i = 0; i < failures->count; i++)
        if (str_equal(str_of(failures->list[i].app), app))
            return &failures->list[i];
    return NULL;
}

size_t failures_add(struct failures *failures, const struct report *report)
{
    size_t before = failures->count;
    for (size_t i = 0; i < report->napps; i++) {
        const struct app_report *app = &report->apps[i];
        if (app->is_ok || failures_find(failures, app->name) != NULL)
            continue;
        failures->list = mem_grow(failures->list, (failures->count + 1) * sizeof(*failures->list));
        failures->list[failures->count++] =
            (struct failure){copy_str(app->name), copy_str(app->error), false};
    }
    return failures->count - before;
}

void failures_clear(struct failures *failures)
{
    for (size_t i = 0; i < failures->count; i++) {
        free(failures->list[i].app);
        free(failures->list[i].error);
    }
    free(failures->list);
    *failures = (struct failures){0};
}

static struct str first_line(const char *text)
{
    return (struct str){text, strcspn(text, "\n")};
}

void failures_log(const struct failures *failures)
{
    for (size_t i = 0; i < failures->count; i++) {
        const struct failure *failure = &failures->list[i];
        struct str line = first_line(failure->error);
        const char *rest = line.ptr[line.len] == '\n' ? line.ptr + line.len + 1 : "";
        struct log_field fields[] = {{"app", str_of(failure->app)}, {"traceback", str_of(rest)}};
        log_with(LOG_ERROR, fields, *rest != '\0' ? 2 : 1, "%.*s%s", (int)line.len, line.ptr,
                 failure->is_held_back ? " (its last good version goes on)" : "");
    }
}

void failures_to_json(const struct failures *failures, struct buf *out)
{
    buf_add_char(out, '[');
    for (size_t i = 0; i < failures->count; i++) {
        const struct failure *failure = &failures->list[i];
        buf_add_text(out, i > 0 ? ",{\"app\":" : "{\"app\":");
        escape_json(out, str_of(failure->app));
        buf_add_text(out, ",\"error\":");
        escape_json(out, str_of(failure->error));
        buf_printf(out, ",\"held_back\":%s}", failure->is_held_back ? "true" : "false");
    }
    buf_add_char(out, ']');
}

void failures_to_text(const struct failures *failures, struct buf *out)
{
    for (size_t i = 0; i < failures->count; i++) {
        const char *text = failures->list[i].error;
        while (*text != '\0') {
            struct str line = first_line(text);
            for (; line.len > 0 && *line.ptr == '\t'; line.ptr++, line.len--)
                buf_add_text(out, "    ");
            escape_text(out, line);
            buf_add_char(out, '\n');
            text = line.ptr + line.len;
            text += *text == '\n';
        }
        if (failures->list[i].is_held_back)
            buf_printf(out, "%s: its last good version goes on\n", failures->list[i].app);
    }
}
