/* Reads the SDKs' two shared files and finds what a profile says in them. */
#include "common/aws/shared_files.h"

#include "common/base/crypto.h"
#include "common/base/file.h"

#include <ctype.h>
#include <stdlib.h>

#define PATH_CEILING 4096

static bool name_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_';
}

/* "$NAME" and "${NAME}"; what is not set stays as it is written. */
static void expand_variable(const char *(*variable)(const char *name), struct view *rest,
                            struct buffer *out)
{
    char name[128];
    bool braced = rest->length > 1 && rest->data[1] == '{';
    size_t start = braced ? 2 : 1, end = start;

    while (end < rest->length && name_byte(rest->data[end]))
        end++;
    size_t whole = end;
    bool closed = !braced || (end < rest->length && rest->data[whole++] == '}');
    const char *value = NULL;
    if (closed && end > start && end - start < sizeof name) {
        memcpy(name, rest->data + start, end - start);
        name[end - start] = '\0';
        value = variable(name);
    }
    if (value)
        buffer_append_string(out, value);
    else
        buffer_append_view(out, view_slice(*rest, 0, whole = end > start ? whole : 1));
    *rest = view_slice(*rest, whole, SIZE_MAX);
}

/* NULL: "~" without a home. */
static const char *expand_path(const char *(*variable)(const char *name), const char *path,
                               struct arena *arena)
{
    struct buffer out;
    struct view rest = view_of(path);
    const char *home = variable("HOME");
    bool at_home = path[0] == '~' && (path[1] == '/' || path[1] == '\0');

    if (at_home && (!home || !home[0]))
        return NULL;
    buffer_init(&out, PATH_CEILING);
    if (at_home) {
        buffer_append_string(&out, home);
        rest = view_slice(rest, 1, SIZE_MAX);
    }
    while (rest.length) {
        if (rest.data[0] == '$') {
            expand_variable(variable, &rest, &out);
            continue;
        }
        buffer_append_byte(&out, rest.data[0]);
        rest = view_slice(rest, 1, SIZE_MAX);
    }
    const char *expanded = out.error ? NULL : arena_string(arena, buffer_view(&out));
    buffer_release(&out);
    return expanded;
}

struct source {
    const char *variable, *by_default;
};

static enum error read_one(const char *(*variable)(const char *name), const struct source *source,
                           struct arena *arena, struct ini *ini, const char **path,
                           struct buffer *problem)
{
    const char *named = variable(source->variable);
    struct buffer text, sentence;
    bool is_named = named && named[0];

    *ini = (struct ini){0};
    *path = expand_path(variable, is_named ? named : source->by_default, arena);
    if (!*path)
        return arena->error;
    buffer_init(&text, SHARED_FILE_MAX_BYTES);
    buffer_init(&sentence, 256);
    enum error error = file_read(*path, &text);
    if (error == ERROR_NOT_FOUND || (error == ERROR_DENIED && !is_named))
        error = ERROR_NONE;
    else if (error != ERROR_NONE)
        buffer_append_format(problem, "%s cannot be read: it is %s.", *path, error_text(error));
    else if (text.length)
        error = ini_parse(buffer_view(&text), arena, ini, &sentence);
    if (sentence.length)
        buffer_append_format(problem, "%s cannot be used: %.*s.", *path,
                             VIEW_FORMAT(buffer_view(&sentence)));
    if (text.data)
        wipe(text.data, text.capacity);
    buffer_release(&text);
    buffer_release(&sentence);
    return error;
}

enum error shared_files_read(const char *(*variable)(const char *name), struct arena *arena,
                             struct shared_files *files, struct buffer *problem)
{
    static const struct source config = {"AWS_CONFIG_FILE", "~/.aws/config"};
    static const struct source credentials = {"AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"};
    const char *profile = variable("AWS_DEFAULT_PROFILE");

    *files = (struct shared_files){0};
    if (!profile || !profile[0])
        profile = variable("AWS_PROFILE");
    bool asked_for = profile && profile[0];
    files->profile = arena_copy(arena, asked_for ? view_of(profile) : VIEW("default"));
    enum error error =
        read_one(variable, &config, arena, &files->config, &files->config_path, problem);
    if (error == ERROR_NONE)
        error = read_one(variable, &credentials, arena, &files->credentials,
                         &files->credentials_path, problem);
    if (error == ERROR_NONE && asked_for && !shared_files_has(files, files->profile)) {
        buffer_append_format(
            problem, "The profile \"%.*s\" that AWS_PROFILE names is neither in %s nor in %s.",
            VIEW_FORMAT(files->profile),
            files->config_path ? files->config_path : config.by_default,
            files->credentials_path ? files->credentials_path : credentials.by_default);
        return ERROR_NOT_FOUND;
    }
    return error;
}

/* "[profile NAME]", where NAME may be in quotes, and "[default]". */
static bool names_profile(struct view section, struct view profile)
{
    struct arena arena;
    char **words;
    size_t count;

    if (view_equal(section, VIEW("default")))
        return view_equal(profile, section);
    if (!view_starts_with(section, VIEW("profile")))
        return false;
    arena_init(&arena, 65536 + 2 * section.length);
    bool named = ini_words(section, &arena, &words, &count) == ERROR_NONE && count == 2 &&
                 view_equal_string(profile, words[1]);
    arena_release(&arena);
    return named;
}

const struct ini_section *shared_files_config(const struct shared_files *files, struct view profile)
{
    const struct ini_section *found = NULL;

    for (const struct ini_section *section = files->config.sections; section;
         section = section->next)
        if (names_profile(section->name, profile))
            found = section;
    return found;
}

const struct ini_section *shared_files_credentials(const struct shared_files *files,
                                                   struct view profile)
{
    return view_equal(profile, VIEW("DEFAULT")) ? NULL : ini_section(&files->credentials, profile);
}

bool shared_files_has(const struct shared_files *files, struct view profile)
{
    return shared_files_config(files, profile) || shared_files_credentials(files, profile);
}

bool shared_files_get(const struct shared_files *files, struct view profile, const char *key,
                      struct view *value)
{
    return ini_get(&files->credentials, shared_files_credentials(files, profile), key, value) ||
           ini_get(&files->config, shared_files_config(files, profile), key, value);
}
