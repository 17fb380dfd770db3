/*
 * On the wire: numbers are 8 bytes in the machine's order, a text is its length and its bytes.
 */
#include "server/report.h"

#include "base/mem.h"

#include <stdlib.h>
#include <string.h>

static void put_number(struct buf *bytes, uint64_t number)
{
    buf_add(bytes, &number, sizeof(number));
}

static void put_text(struct buf *bytes, struct str text)
{
    put_number(bytes, text.len);
    buf_add_str(bytes, text);
}

static void encode_generation(struct buf *bytes, const struct generation *generation)
{
    put_number(bytes, generation_napps(generation));
    for (size_t i = 0; i < generation_napps(generation); i++) {
        struct app_report app = generation_app(generation, i);
        put_text(bytes, app.name);
        put_number(bytes, app.is_ok);
        put_text(bytes, app.error);
    }
    put_number(bytes, generation_nroutes(generation));
    for (size_t i = 0; i < generation_nroutes(generation); i++) {
        struct route_info route = generation_route(generation, i);
        put_text(bytes, route.method);
        put_text(bytes, route.pattern);
        put_text(bytes, route.app);
        put_text(bytes, route.source);
    }
    const char *const *files = generation_files(generation);
    size_t nfiles = 0;
    while (files != NULL && files[nfiles] != NULL)
        nfiles++;
    put_number(bytes, nfiles);
    for (size_t i = 0; i < nfiles; i++)
        put_text(bytes, str_of(files[i]));
}

void report_encode(struct buf *bytes, const struct generation *generation,
                   const struct fault *fault)
{
    put_number(bytes, generation != NULL);
    put_text(bytes, str_of(generation == NULL ? fault->text : ""));
    if (generation != NULL)
        encode_generation(bytes, generation);
}

struct reader {
    struct str left;
    bool is_broken;
};

static uint64_t get_number(struct reader *reader)
{
    uint64_t number = 0;
    if (reader->left.len < sizeof(number)) {
        reader->is_broken = true;
        return 0;
    }
    memcpy(&number, reader->left.ptr, sizeof(number));
    reader->left.ptr += sizeof(number);
    reader->left.len -= sizeof(number);
    return number;
}

static struct str get_text(struct reader *reader)
{
    uint64_t len = get_number(reader);
    struct str text = {reader->left.ptr, len};
    if (len > reader->left.len) {
        reader->is_broken = true;
        return (struct str){"", 0};
    }
    reader->left.ptr += len;
    reader->left.len -= len;
    return text;
}

/* How many items follow; each takes at least one length, which bounds what we allocate. */
static size_t get_count(struct reader *reader)
{
    uint64_t count = get_number(reader);
    if (count > reader->left.len / sizeof(uint64_t))
        reader->is_broken = true;
    return reader->is_broken ? 0 : count;
}

static void decode_generation(struct report *report, struct reader *reader)
{
    report->napps = get_count(reader);
    report->apps = mem_zeroed(report->napps * sizeof(*report->apps) + 1);
    for (size_t i = 0; i < report->napps; i++) {
        report->apps[i].name = get_text(reader);
        report->apps[i].is_ok = get_number(reader) != 0;
        report->apps[i].error = get_text(reader);
    }
    report->nroutes = get_count(reader);
    report->routes = mem_zeroed(report->nroutes * sizeof(*report->routes) + 1);
    for (size_t i = 0; i < report->nroutes; i++) {
        report->routes[i].method = get_text(reader);
        report->routes[i].pattern = get_text(reader);
        report->routes[i].app = get_text(reader);
        report->routes[i].source = get_text(reader);
    }
    report->nfiles = get_count(reader);
    report->files = mem_zeroed(report->nfiles * sizeof(*report->files) + 1);
    for (size_t i = 0; i < report->nfiles; i++)
        report->files[i] = get_text(reader);
}

struct report *report_decode(struct buf *bytes)
{
    struct report *report = MEM_NEW(struct report);
    report->bytes = *bytes;
    *bytes = (struct buf){0};
    struct reader reader = {.left = buf_str(&report->bytes)};
    report->is_built = get_number(&reader) != 0;
    report->fault = get_text(&reader);
    if (report->is_built)
        decode_generation(report, &reader);
    if (!reader.is_broken)
        return report;
    report_free(report);
    return NULL;
}

void report_free(struct report *report)
{
    if (report == NULL)
        return;
    free(report->apps);
    free(report->routes);
    free(report->files);
    buf_deinit(&report->bytes);
    free(report);
}

const struct app_report *report_app(const struct report *report, struct str name)
{
    for (size_t i = 0; i < report->napps; i++)
        if (str_equal(report->apps[i].name, name))
            return &report->apps[i];
    return NULL;
}
