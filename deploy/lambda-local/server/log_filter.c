/* Finds out whether a logged line fits a filter pattern. */
#include "deploy/lambda-local/server/log_filter.h"

#include <string.h>

struct term {
    char kind; /* '-' must not be there, '?' one of these must, ' ' must */
    struct view text;
};

/* The next term; false: there is none, or (`*broken`) it has no end. */
static bool next_term(struct view *rest, struct term *term, bool *broken)
{
    size_t end;

    *rest = view_trim(*rest);
    if (rest->length == 0)
        return false;
    term->kind = ' ';
    if (rest->length > 1 && (rest->data[0] == '-' || rest->data[0] == '?')) {
        term->kind = rest->data[0];
        *rest = view_slice(*rest, 1, SIZE_MAX);
    }
    if (rest->data[0] == '"') {
        *rest = view_slice(*rest, 1, SIZE_MAX);
        end = view_find(*rest, '"');
        *broken = end == SIZE_MAX;
    } else {
        end = view_find(*rest, ' ');
    }
    term->text = view_slice(*rest, 0, end);
    *rest = end == SIZE_MAX ? VIEW("") : view_slice(*rest, end + 1, SIZE_MAX);
    return !*broken;
}

bool log_filter_valid(struct view pattern)
{
    struct term term;
    bool broken = false;

    pattern = view_trim(pattern);
    if (pattern.length && strchr("{[%", pattern.data[0]))
        return false;
    while (next_term(&pattern, &term, &broken))
        continue;
    return !broken;
}

bool log_filter_matches(struct view pattern, struct view message)
{
    struct term term;
    bool broken = false, asked = false, found = false;

    while (next_term(&pattern, &term, &broken)) {
        bool there = term.text.length == 0 ||
                     (message.length && memmem(message.data, message.length, term.text.data,
                                               term.text.length) != NULL);

        if (term.kind == ' ' ? !there : term.kind == '-' && there)
            return false;
        asked = asked || term.kind == '?';
        found = found || (term.kind == '?' && there);
    }
    return !asked || found;
}
