/* Reads the Prefer header. */
#include "common/contract/preference.h"

/* Cuts the part before the next `separator` that is not inside a quoted string. */
static struct view cut(struct view *rest, char separator)
{
    bool quoted = false;
    size_t end = 0;

    for (; end < rest->length; end++) {
        char byte = rest->data[end];

        if (quoted && byte == '\\')
            end++;
        else if (byte == '"')
            quoted = !quoted;
        else if (byte == separator && !quoted)
            break;
    }
    struct view part = view_slice(*rest, 0, end);
    *rest = view_slice(*rest, end + 1, SIZE_MAX);
    return part;
}

bool preference_asked(struct view prefer, const char *name)
{
    while (prefer.length) {
        struct view one = cut(&prefer, ','), preference = cut(&one, ';');
        size_t equals = view_find(preference, '=');
        struct view value = VIEW("");

        if (equals != SIZE_MAX)
            value = view_trim(view_slice(preference, equals + 1, SIZE_MAX));
        if (view_equal_nocase(view_trim(view_slice(preference, 0, equals)), view_of(name)) &&
            (value.length == 0 || view_equal_string(value, "\"\"")))
            return true;
    }
    return false;
}
