#include "script/overlay.h"

#include "script/generation_state.h"

#include <string.h>
#include <strings.h>

static const char begin[] =
    "\n<div role=\"alert\" style=\"position:fixed;z-index:2147483647;left:0;right:0;bottom:0;"
    "max-height:50vh;overflow:auto;margin:0;padding:1rem 1.25rem;background:#2b1010;color:#ffe3e3;"
    "border-top:4px solid #e5484d;font:14px/1.5 ui-monospace,monospace;text-align:left\">"
    "<button type=\"button\" aria-label=\"Close\" onclick=\"this.parentNode.remove()\" "
    "style=\"float:right;border:0;background:none;color:inherit;font-size:1.4em;cursor:pointer\">"
    "&times;</button>"
    "<strong>The change was refused; the code before it goes on.</strong>"
    "<pre style=\"white-space:pre-wrap;margin:.5rem 0 0\">";
static const char end[] = "</pre></div>\n";

static void add_escaped(struct buf *out, const char *text)
{
    for (; *text != '\0'; text++) {
        switch (*text) {
        case '<':
            buf_add_text(out, "&lt;");
            break;
        case '>':
            buf_add_text(out, "&gt;");
            break;
        case '&':
            buf_add_text(out, "&amp;");
            break;
        default:
            buf_add_char(out, *text);
        }
    }
}

static bool is_holding_back(const struct generation *generation)
{
    const struct snapshot *snapshot = generation->snapshot;
    for (size_t i = 0; i < snapshot_count(snapshot); i++)
        if (snapshot_at(snapshot, i).layer.len != 0)
            return true;
    return false;
}

void overlay_note(struct buf *overlay, const struct generation *generation)
{
    if (is_holding_back(generation))
        return;
    overlay->len = 0;
    for (size_t i = 0; i < generation->napps; i++) {
        if (generation->apps[i].is_ok)
            continue;
        if (overlay->len == 0)
            buf_add_text(overlay, begin);
        add_escaped(overlay, generation->apps[i].error);
        buf_add_char(overlay, '\n');
    }
    if (overlay->len != 0)
        buf_add_text(overlay, end);
}

void overlay_note_fault(struct buf *overlay, const char *text)
{
    overlay->len = 0;
    buf_add_text(overlay, begin);
    add_escaped(overlay, text);
    buf_add_text(overlay, end);
}

void overlay_add(const struct buf *overlay, struct buf *scratch, struct answer *answer)
{
    static const char html[] = "text/html";
    if (overlay->len == 0 || answer->content_type.len < sizeof(html) - 1 ||
        strncasecmp(answer->content_type.ptr, html, sizeof(html) - 1) != 0)
        return;
    if (answer->body.ptr != scratch->ptr) {
        scratch->len = 0;
        buf_add_str(scratch, answer->body);
    }
    buf_add(scratch, overlay->ptr, overlay->len);
    answer->body = buf_str(scratch);
}
