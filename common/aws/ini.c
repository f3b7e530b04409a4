/* Takes the SDKs' INI files apart, line by line. */
#include "common/aws/ini.h"

#include <ctype.h>

#define DEFAULT_SECTION "DEFAULT"

struct reader {
    struct arena *arena;
    struct ini *ini;
    struct ini_section *section;
    struct ini_entry *entry; /* whose value may go on */
    struct buffer value;     /* of that entry, so far */
    size_t indent;           /* of the line that began it */
    unsigned line;
    struct buffer *problem;
};

static bool blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* As Python's strip(): line ends and form feeds, too. */
static struct view strip(struct view text)
{
    while (text.length && blank(text.data[0]))
        text = view_slice(text, 1, SIZE_MAX);
    while (text.length && blank(text.data[text.length - 1]))
        text.length--;
    return text;
}

static enum error refuse(struct reader *reader, const char *why)
{
    buffer_append_format(reader->problem, "line %u %s", reader->line, why);
    return ERROR_INVALID;
}

static void end_value(struct reader *reader)
{
    struct view value = buffer_view(&reader->value);

    while (value.length && blank(value.data[value.length - 1]))
        value.length--;
    if (reader->entry)
        reader->entry->value = arena_copy(reader->arena, value);
    reader->entry = NULL;
    buffer_clear(&reader->value);
}

static enum error begin_section(struct reader *reader, struct view name)
{
    struct ini_section **last = &reader->ini->sections;

    end_value(reader);
    for (; *last; last = &(*last)->next)
        if (view_equal((*last)->name, name)) {
            if (!view_equal_string(name, DEFAULT_SECTION))
                return refuse(reader, "begins a section that was there before");
            reader->section = *last;
            return ERROR_NONE;
        }
    reader->section = arena_alloc(reader->arena, sizeof *reader->section);
    if (!reader->section)
        return reader->arena->error;
    reader->section->name = arena_copy(reader->arena, name);
    *last = reader->section;
    return reader->arena->error;
}

static struct view lower(struct arena *arena, struct view text)
{
    struct view copy = arena_copy(arena, text);

    for (size_t i = 0; copy.data && i < copy.length; i++)
        ((char *)(uintptr_t)copy.data)[i] = (char)tolower((unsigned char)copy.data[i]);
    return copy;
}

static enum error begin_entry(struct reader *reader, struct view line)
{
    size_t end = 0;
    struct ini_entry **last = &reader->section->entries;

    end_value(reader);
    while (end < line.length && line.data[end] != '=' && line.data[end] != ':')
        end++;
    if (end == line.length)
        return refuse(reader, "is neither a section, nor a key with a value");
    struct view key = lower(reader->arena, strip(view_slice(line, 0, end)));
    if (!key.length)
        return reader->arena->error ? reader->arena->error : refuse(reader, "has no key");
    for (; *last; last = &(*last)->next)
        if (view_equal((*last)->key, key))
            return refuse(reader, "sets a key that was set before in this section");
    struct ini_entry *entry = arena_alloc(reader->arena, sizeof *entry);
    if (!entry)
        return reader->arena->error;
    entry->key = key;
    *last = reader->entry = entry;
    buffer_append_view(&reader->value, strip(view_slice(line, end + 1, SIZE_MAX)));
    return reader->arena->error;
}

static size_t indent_of(struct view line)
{
    size_t indent = 0;

    while (indent < line.length && blank(line.data[indent]))
        indent++;
    return indent;
}

static enum error read_line(struct reader *reader, struct view line)
{
    struct view text = strip(line);

    if (text.length && (text.data[0] == '#' || text.data[0] == ';'))
        return ERROR_NONE;
    if (!text.length) {
        if (reader->entry) /* empty lines are part of a value that goes on */
            buffer_append_byte(&reader->value, '\n');
        return ERROR_NONE;
    }
    if (reader->entry && indent_of(line) > reader->indent) {
        buffer_append_byte(&reader->value, '\n');
        buffer_append_view(&reader->value, text);
        return reader->value.error;
    }
    reader->indent = indent_of(line);
    if (text.data[0] == '[') {
        size_t end = text.length;
        while (end > 2 && text.data[end - 1] != ']')
            end--;
        if (end > 2)
            return begin_section(reader, view_slice(text, 1, end - 2));
    }
    if (!reader->section)
        return refuse(reader, "comes before the first [section]");
    return begin_entry(reader, text);
}

enum error ini_parse(struct view text, struct arena *arena, struct ini *ini, struct buffer *problem)
{
    struct reader reader = {.arena = arena, .ini = ini, .problem = problem};
    struct view rest = text, line;
    enum error error = ERROR_NONE;

    *ini = (struct ini){0};
    buffer_init(&reader.value, text.length + 1);
    while (error == ERROR_NONE && rest.data && view_split(&rest, '\n', &line)) {
        reader.line++;
        error = read_line(&reader, line);
    }
    if (error == ERROR_NONE && reader.value.error)
        error = reader.value.error;
    if (error == ERROR_NONE)
        end_value(&reader);
    buffer_release(&reader.value);
    return error == ERROR_NONE ? arena->error : error;
}

const struct ini_section *ini_section(const struct ini *ini, struct view name)
{
    for (const struct ini_section *section = ini->sections; section; section = section->next)
        if (view_equal(section->name, name))
            return section;
    return NULL;
}

static bool find(const struct ini_section *section, const char *key, struct view *value)
{
    for (const struct ini_entry *entry = section ? section->entries : NULL; entry;
         entry = entry->next)
        if (view_equal_string(entry->key, key)) {
            *value = entry->value;
            return true;
        }
    return false;
}

bool ini_get(const struct ini *ini, const struct ini_section *section, const char *key,
             struct view *value)
{
    return section &&
           (find(section, key, value) || find(ini_section(ini, VIEW(DEFAULT_SECTION)), key, value));
}

bool ini_nested(struct view value, const char *key, struct view *nested)
{
    struct view rest = value, line;

    if (!value.length || value.data[0] != '\n')
        return false;
    while (view_split(&rest, '\n', &line)) {
        size_t equals = view_find(line, '=');
        if (equals != SIZE_MAX && view_equal_string(strip(view_slice(line, 0, equals)), key)) {
            *nested = strip(view_slice(line, equals + 1, SIZE_MAX));
            return true;
        }
    }
    return false;
}

/* ---- words ---- */

struct splitter {
    struct view text;
    size_t at;
};

/* One word, quotes taken off, into `out`, which has room for all of the text. */
static enum error cut_word(struct splitter *splitter, char *out, size_t *length)
{
    char quote = 0;

    *length = 0;
    for (; splitter->at < splitter->text.length; splitter->at++) {
        char c = splitter->text.data[splitter->at];
        bool more = splitter->at + 1 < splitter->text.length;
        char next = more ? splitter->text.data[splitter->at + 1] : 0;
        if (quote && c == quote)
            quote = 0;
        else if (!quote && (c == '\'' || c == '"'))
            quote = c;
        else if (c == '\\' && !quote && !more)
            return ERROR_INVALID;
        else if (c == '\\' && more && (!quote || (quote == '"' && (next == '"' || next == '\\'))))
            out[(*length)++] = splitter->text.data[++splitter->at];
        else if (!quote && blank(c))
            return ERROR_NONE;
        else
            out[(*length)++] = c;
    }
    return quote ? ERROR_INVALID : ERROR_NONE;
}

enum error ini_words(struct view text, struct arena *arena, char ***words, size_t *count)
{
    struct splitter splitter = {text, 0};
    /* each word takes up no more than itself and what ends it in the text */
    char *out = arena_alloc(arena, text.length + 2);

    *count = 0;
    *words = arena_alloc(arena, (INI_MAX_WORDS + 1) * sizeof **words);
    if (!out || !*words)
        return arena->error;
    for (;;) {
        size_t length;
        while (splitter.at < text.length && blank(text.data[splitter.at]))
            splitter.at++;
        if (splitter.at == text.length)
            return ERROR_NONE;
        if (*count == INI_MAX_WORDS || cut_word(&splitter, out, &length) != ERROR_NONE)
            return ERROR_INVALID;
        (*words)[(*count)++] = out;
        out += length;
        *out++ = '\0';
    }
}
