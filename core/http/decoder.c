#include "http/decoder.h"

#include "base/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

struct stage {
    const struct coding *coding;
    void *state;
    struct buf input; /* what the stage before it has made; not of the first */
    size_t used;      /* of input */
    bool has_begun;
};

/* The first stage undoes the coding that was applied last. */
struct decoder {
    struct stage stages[DECODER_MAX_CODINGS];
    uint32_t nstages;
    char reason[DECODER_REASON_BYTES];
};

const char decoder_no_memory[] = "not enough memory";

static const struct coding *find_coding(struct str name)
{
    static const struct coding *const all[] = {&coding_gzip, &coding_deflate, &coding_brotli,
                                               &coding_zstd};
    for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++)
        for (size_t j = 0; j < 3 && all[i]->names[j] != NULL; j++)
            if (str_equal_nocase(name, str_of(all[i]->names[j])))
                return all[i];
    return NULL;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* The next of a list, without blanks; false at the end. */
static bool next_name(struct str *list, struct str *name)
{
    while (list->len != 0 && (is_blank(list->ptr[0]) || list->ptr[0] == ',')) {
        list->ptr++;
        list->len--;
    }
    if (list->len == 0)
        return false;
    const char *comma = memchr(list->ptr, ',', list->len);
    size_t len = comma != NULL ? (size_t)(comma - list->ptr) : list->len;
    *name = (struct str){list->ptr, len};
    while (is_blank(name->ptr[name->len - 1]))
        name->len--;
    list->ptr += len;
    list->len -= len;
    return true;
}

struct decoder *decoder_new(struct str codings)
{
    const struct coding *found[DECODER_MAX_CODINGS];
    uint32_t count = 0;
    struct str name;
    while (next_name(&codings, &name)) {
        if (str_equal_nocase(name, str_of("identity")))
            continue;
        const struct coding *coding = find_coding(name);
        if (coding == NULL || count == DECODER_MAX_CODINGS)
            return NULL;
        found[count++] = coding;
    }
    if (count == 0)
        return NULL;
    struct decoder *decoder = MEM_NEW(struct decoder);
    decoder->nstages = count;
    for (uint32_t i = 0; i < count; i++) {
        decoder->stages[i].coding = found[count - 1 - i];
        decoder->stages[i].state = found[count - 1 - i]->open();
    }
    return decoder;
}

void decoder_free(struct decoder *decoder)
{
    if (decoder == NULL)
        return;
    for (uint32_t i = 0; i < decoder->nstages; i++) {
        if (decoder->stages[i].state != NULL)
            decoder->stages[i].coding->close(decoder->stages[i].state);
        buf_deinit(&decoder->stages[i].input);
    }
    free(decoder);
}

/* Between stages at most one step lies. -1: there is no memory. */
static ssize_t room_behind(struct decoder *decoder, uint32_t i, struct buf *out, size_t most)
{
    struct buf *target = i + 1 == decoder->nstages ? out : &decoder->stages[i + 1].input;
    size_t room = DECODER_STEP_BYTES;
    if (target != out) {
        struct stage *next = &decoder->stages[i + 1];
        if (next->used != next->input.len)
            return 0;
        next->used = next->input.len = 0;
    } else if (out->len >= most) {
        return 0;
    } else if (most - out->len < room) {
        room = most - out->len;
    }
    return buf_try_reserve(target, room) == 0 ? (ssize_t)room : -1;
}

/* One step of one stage. False: it is bad. */
static bool run_stage(struct decoder *decoder, uint32_t i, struct str *in, struct buf *out,
                      size_t most, bool *has_moved)
{
    struct stage *stage = &decoder->stages[i];
    ssize_t room = room_behind(decoder, i, out, most);
    size_t made = 0;
    struct str input = {stage->input.ptr + stage->used, stage->input.len - stage->used};
    if (i == 0)
        input = *in;
    stage->has_begun |= input.len != 0;
    if (room == 0 || !stage->has_begun)
        return true;
    struct buf *target = i + 1 == decoder->nstages ? out : &decoder->stages[i + 1].input;
    size_t had = input.len;
    const char *wrong = stage->state == NULL || room < 0
                            ? decoder_no_memory
                            : stage->coding->run(stage->state, &input, target->ptr + target->len,
                                                 (size_t)room, &made);
    if (wrong == decoder_no_memory) {
        snprintf(decoder->reason, sizeof(decoder->reason), "there is no memory to undo %s",
                 stage->coding->names[0]);
        return false;
    }
    if (wrong != NULL) {
        snprintf(decoder->reason, sizeof(decoder->reason), "malformed %s body: %s",
                 stage->coding->names[0], wrong);
        return false;
    }
    target->len += made;
    *has_moved |= made != 0 || input.len != had;
    if (i == 0)
        *in = input;
    else
        stage->used += had - input.len;
    return true;
}

enum decoder_result decoder_run(struct decoder *decoder, struct str *in, struct buf *out,
                                size_t most)
{
    bool has_moved = true;
    while (has_moved) {
        has_moved = false;
        for (uint32_t i = 0; i < decoder->nstages; i++)
            if (!run_stage(decoder, i, in, out, most, &has_moved))
                return DECODER_BAD;
        if (out->len >= most)
            return DECODER_FULL;
    }
    return DECODER_MORE;
}

bool decoder_finish(struct decoder *decoder)
{
    for (uint32_t i = 0; i < decoder->nstages; i++) {
        const struct stage *stage = &decoder->stages[i];
        if (!stage->has_begun && i == 0)
            return true; /* no bytes at all */
        if (stage->has_begun && stage->coding->is_whole(stage->state))
            continue;
        if (!stage->has_begun) /* the empty body was coded so */
            continue;
        snprintf(decoder->reason, sizeof(decoder->reason), "malformed %s body: it ends too early",
                 stage->coding->names[0]);
        return false;
    }
    return true;
}

const char *decoder_reason(const struct decoder *decoder)
{
    return decoder->reason;
}
