/* Gathers the status and the headers of an answer under a ceiling. */
#include "common/net/answer.h"

void answer_head_init(struct answer_head *head)
{
    *head = (struct answer_head){0};
    buffer_init(&head->lines, ANSWER_MAX_HEAD_BYTES);
}

void answer_head_release(struct answer_head *head)
{
    buffer_release(&head->lines);
}

bool answer_head_line(struct answer_head *head, struct view line)
{
    if (!view_starts_with(line, VIEW("HTTP/"))) {
        head->complete |= view_equal(line, VIEW("\r\n")) || view_equal(line, VIEW("\n"));
        buffer_append_view(&head->lines, line);
        return head->lines.error == ERROR_NONE;
    }
    size_t space = view_find(line, ' ');
    uint64_t status = 0;
    if (space == SIZE_MAX ||
        view_to_u64(view_slice(line, space + 1, 3), 999, &status) != ERROR_NONE)
        status = 0;
    head->seen = true;
    head->complete = false;
    head->status = status >= 200 ? (int)status : 0;
    buffer_clear(&head->lines);
    return true;
}

/* Whether the line is of that header; then `line` is what stands behind the colon. */
static bool cut_name(struct view *line, struct view name)
{
    if (line->length <= name.length || line->data[name.length] != ':' ||
        !view_equal_nocase(view_slice(*line, 0, name.length), name))
        return false;
    *line = view_slice(*line, name.length + 1, line->length);
    return true;
}

bool answer_head_find(const struct answer_head *head, const char *name, struct view *value)
{
    struct view rest = buffer_view(&head->lines), wanted = view_of(name), line;
    bool found = false;

    if (!rest.data)
        return false;
    while (view_split(&rest, '\n', &line)) {
        if (!cut_name(&line, wanted))
            continue;
        if (view_ends_with(line, VIEW("\r")))
            line.length--;
        *value = view_trim(line);
        found = true;
    }
    return found;
}
