/* Serves the console: a page and its files, which the build has put into the program. */
#include "managerd/call.h"
#include "managerd/compress.h"
#include "managerd/endpoints/endpoints.h"

#include "managerd/console_data.h" /* made by CMake: CONSOLE_BUILD; console_files */

#include <string.h>

#define COUNT       (sizeof console_files / sizeof console_files[0])
#define PAGE        "index.html"
#define MAX_HEADERS 16

/* Nothing is fetched from elsewhere, nothing runs that is not one of these files, no text becomes
 * markup, nobody frames the page. */
static const char policy[] =
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'";

static const struct {
    const char *ending, *type;
} types[] = {{".html", "text/html; charset=utf-8"},
             {".css", "text/css; charset=utf-8"},
             {".js", "text/javascript; charset=utf-8"},
             {".svg", "image/svg+xml"}};

static const char *type_of(struct view name)
{
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (view_ends_with(name, view_of(types[i].ending)))
            return types[i].type;
    return "application/octet-stream";
}

struct headers {
    struct incoming_header list[MAX_HEADERS];
    size_t count;
};

static void add(struct headers *headers, const char *name, const char *value)
{
    REQUIRE(headers->count < MAX_HEADERS);
    headers->list[headers->count++] = (struct incoming_header){view_of(name), view_of(value)};
}

static bool is_known(const struct call *call, const char *etag)
{
    struct view list, part;
    if (!incoming_header(call->incoming, "If-None-Match", &list))
        return false;
    while (view_split(&list, ',', &part)) {
        part = view_trim(part);
        if (view_starts_with(part, VIEW("W/")))
            part = view_slice(part, 2, SIZE_MAX);
        if (view_equal(part, VIEW("*")) || view_equal_string(part, etag))
            return true;
    }
    return false;
}

/* Two representations, so two strong validators (RFC 9110 section 8.8.3.3). */
static enum progress serve(struct call *call, size_t index, const char *caching)
{
    struct headers headers = {.count = 0};
    struct view accepted, body = console_files[index].plain;
    const char *suffix = "";
    if (incoming_header(call->incoming, "Accept-Encoding", &accepted) && gzip_accepted(accepted)) {
        body = console_files[index].gzip;
        suffix = "-gzip";
        add(&headers, "Content-Encoding", "gzip");
    }
    const char *etag = arena_format(&call->arena, "\"%s%s\"", console_files[index].hash, suffix);
    call->status = is_known(call, etag) ? 304 : 200;
    if (call->status == 304)
        headers.count = 0;
    else
        add(&headers, "Content-Type", type_of(view_of(console_files[index].name)));
    add(&headers, "ETag", etag);
    add(&headers, "Vary", "Accept-Encoding");
    add(&headers, "Cache-Control", caching);
    add(&headers, "X-Request-Id", call->request_id);
    add(&headers, "X-Content-Type-Options", "nosniff");
    add(&headers, "Content-Security-Policy", policy);
    add(&headers, "Referrer-Policy", "no-referrer");
    add(&headers, "Cross-Origin-Resource-Policy", "same-origin");
    add(&headers, "Cross-Origin-Opener-Policy", "same-origin");
    add(&headers, "X-Frame-Options", "DENY");
    incoming_reply(call->incoming, call->status, headers.list, headers.count,
                   call->status == 304 ? VIEW("") : body, NULL, NULL);
    call->streamed = true;
    return PROGRESS_NEXT;
}

static size_t find(struct view name)
{
    size_t index = 0;
    while (index < COUNT && !view_equal_string(name, console_files[index].name))
        index++;
    return index;
}

enum progress home_get(struct call *call)
{
    size_t index = find(VIEW(PAGE));
    REQUIRE(index < COUNT);
    return serve(call, index, "no-cache");
}

/* The folder's name changes with what is in it, so each answer holds for ever. */
enum progress console_get(struct call *call)
{
    size_t index = find(call->parameters.values[1]);
    if (!view_equal_string(call->parameters.values[0], CONSOLE_BUILD) || index == COUNT ||
        strcmp(console_files[index].name, PAGE) == 0)
        return call_fail(call, PROBLEM_NOT_FOUND,
                         "There is no such file in this release's console; load / again.");
    return serve(call, index, "public, max-age=31536000, immutable");
}
