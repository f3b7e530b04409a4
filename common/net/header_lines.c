/* Writes header lines into one block, and refuses what would be more than one line. */
#include "common/net/header_lines.h"

#include <stdlib.h>
#include <string.h>

static bool has_any(struct view text, const char *bytes, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (view_find(text, bytes[i]) != SIZE_MAX)
            return true;
    }
    return false;
}

static bool header_lawful(const struct incoming_header *header)
{
    static const char bad[] = {'\r', '\n', '\0', ':'};

    return header->name.length > 0 && !has_any(header->name, bad, 4) &&
           !has_any(header->value, bad, 3);
}

static char *append(char *to, struct view text)
{
    if (text.length)
        memcpy(to, text.data, text.length);
    return to + text.length;
}

char **header_lines_make(const struct incoming_header *headers, size_t count)
{
    size_t bytes = 1;

    for (size_t i = 0; i < count; i++) {
        if (!header_lawful(&headers[i]))
            return NULL;
        bytes += headers[i].name.length + headers[i].value.length + sizeof ": ";
    }
    char **lines = malloc(count * sizeof(char *) + bytes);
    REQUIRE(lines != NULL);
    char *text = (char *)(lines + count);
    for (size_t i = 0; i < count; i++) {
        lines[i] = text;
        text = append(text, headers[i].name);
        text = append(text, headers[i].value.length ? VIEW(": ") : VIEW(";"));
        text = append(text, headers[i].value);
        *text++ = '\0';
    }
    return lines;
}
