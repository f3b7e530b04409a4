/* Decides which origins may read an answer, and what preflights are told. */
#include "common/contract/cors.h"

#include <stdio.h>

#define REQUESTED_MAX_BYTES                                                                        \
    4096 /* of Access-Control-Request-Headers: longer lists are not told back */

static bool host_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '.' || c == '_';
}

static bool all_host_bytes(struct view text)
{
    for (size_t i = 0; i < text.length; i++)
        if (!host_byte(text.data[i]))
            return false;
    return text.length > 0;
}

/* RFC 3986 section 3.1, in lower case. */
static bool scheme_lawful(struct view scheme)
{
    for (size_t i = 0; i < scheme.length; i++) {
        char c = scheme.data[i];

        if (!(c >= 'a' && c <= 'z') &&
            (i == 0 || (!(c >= '0' && c <= '9') && c != '+' && c != '-' && c != '.')))
            return false;
    }
    return scheme.length > 0;
}

struct parts {
    struct view scheme, host, port; /* port: empty when there is none */
};

/* "scheme://host[:port]"; IPv6 addresses keep their brackets. */
static bool split(struct view origin, struct parts *parts)
{
    size_t colon = view_find(origin, ':');
    struct view rest;
    size_t end;

    if (colon == SIZE_MAX || !view_starts_with(view_slice(origin, colon, 3), VIEW("://")))
        return false;
    parts->scheme = view_slice(origin, 0, colon);
    rest = view_slice(origin, colon + 3, SIZE_MAX);
    end = view_starts_with(rest, VIEW("[")) ? view_find(rest, ']') : view_find(rest, ':');
    if (end != SIZE_MAX && rest.data[0] == '[')
        end++;
    parts->host = view_slice(rest, 0, end);
    rest = view_slice(rest, parts->host.length, SIZE_MAX);
    parts->port = view_slice(rest, 1, SIZE_MAX);
    return rest.length == 0 || (rest.data[0] == ':' && parts->port.length > 0);
}

static bool port_lawful(const struct parts *parts)
{
    uint64_t number;

    if (parts->port.length == 0)
        return true;
    if (parts->port.data[0] == '0' || view_to_u64(parts->port, 65535, &number) != ERROR_NONE)
        return false;
    return !(view_equal(parts->scheme, VIEW("https")) && number == 443) &&
           !(view_equal(parts->scheme, VIEW("http")) && number == 80);
}

static bool bracketed(struct view host)
{
    return host.length > 2 && host.data[0] == '[' && host.data[host.length - 1] == ']';
}

static bool address_lawful(struct view host)
{
    for (size_t i = 1; i + 1 < host.length; i++) {
        char c = host.data[i];

        if (!(c >= 'a' && c <= 'f') && !(c >= '0' && c <= '9') && c != ':' && c != '.')
            return false;
    }
    return true;
}

/* Labels of at least one byte between single dots. */
static bool name_lawful(struct view host)
{
    struct view label;

    if (!all_host_bytes(host) || host.length > 253 || host.data[host.length - 1] == '.')
        return false;
    while (view_split(&host, '.', &label))
        if (label.length == 0 || label.length > 63)
            return false;
    return true;
}

bool cors_pattern_lawful(struct view pattern)
{
    struct parts parts;
    struct view host;

    if (view_equal(pattern, VIEW("*")))
        return true;
    if (!split(pattern, &parts) || !scheme_lawful(parts.scheme) || !port_lawful(&parts))
        return false;
    host = parts.host;
    if (view_equal(host, VIEW("*")))
        return parts.port.length == 0;
    if (bracketed(host))
        return address_lawful(host);
    if (view_starts_with(host, VIEW("*.")))
        host = view_slice(host, 2, SIZE_MAX);
    return name_lawful(host);
}

bool cors_pattern_is_open(struct view pattern)
{
    struct parts parts;

    return view_equal(pattern, VIEW("*")) ||
           (split(pattern, &parts) && view_equal(parts.host, VIEW("*")));
}

/* The host is below ".example.com", by names that hold nothing but what host names do. */
static bool below(struct view host, struct view suffix)
{
    size_t front = host.length - suffix.length;

    return host.length > suffix.length && view_equal(view_slice(host, front, SIZE_MAX), suffix) &&
           name_lawful(view_slice(host, 0, front));
}

bool cors_pattern_matches(struct view pattern, struct view origin)
{
    struct parts wanted, given;

    if (view_equal(pattern, VIEW("*")))
        return true;
    if (!split(pattern, &wanted) || wanted.host.length == 0 || wanted.host.data[0] != '*')
        return view_equal(pattern, origin);
    if (!split(origin, &given) || !view_equal(wanted.scheme, given.scheme))
        return false;
    if (wanted.host.length == 1)
        return (name_lawful(given.host) || (bracketed(given.host) && address_lawful(given.host))) &&
               port_lawful(&given);
    return view_equal(wanted.port, given.port) &&
           below(given.host, view_slice(wanted.host, 1, SIZE_MAX));
}

static bool origin_allowed(const struct cors_policy *policy, struct view origin)
{
    if (origin.length == 0 || origin.length > CORS_ORIGIN_BYTES)
        return false;
    for (size_t i = 0; i < policy->origin_count; i++)
        if (cors_pattern_matches(policy->origins[i], origin))
            return true;
    return false;
}

/* One answer for every origin, and for none: caches may keep it for all. */
static bool same_for_all(const struct cors_policy *policy)
{
    for (size_t i = 0; i < policy->origin_count; i++)
        if (view_equal(policy->origins[i], VIEW("*")))
            return !policy->credentials;
    return false;
}

static void add(struct cors_answer *answer, struct view name, struct view value)
{
    REQUIRE(answer->count < CORS_MAX_HEADERS);
    answer->headers[answer->count++] = (struct cors_header){name, value};
}

/* A list of tokens may be told back as it came: RFC 9110 section 5.6.1. */
static bool told_back(struct view list)
{
    for (size_t i = 0; i < list.length; i++) {
        char c = list.data[i];
        bool token = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     view_find(VIEW("!#$%&'*+-.^_`|~, "), c) != SIZE_MAX;

        if (!token)
            return false;
    }
    return list.length > 0 && list.length <= REQUESTED_MAX_BYTES;
}

static struct view list_for(struct view allowed, struct view requested)
{
    return view_equal(allowed, VIEW("*")) && told_back(requested) ? requested : allowed;
}

static void add_preflight(const struct cors_policy *policy, const struct cors_request *request,
                          struct cors_answer *answer)
{
    struct view methods = policy->credentials ? list_for(policy->methods, request->requested_method)
                                              : policy->methods;
    struct view headers = list_for(policy->headers, request->requested_headers);

    if (methods.length)
        add(answer, VIEW("Access-Control-Allow-Methods"), methods);
    if (headers.length)
        add(answer, VIEW("Access-Control-Allow-Headers"), headers);
    if (policy->has_max_age) {
        snprintf(answer->number, sizeof answer->number, "%u", policy->max_age_s);
        add(answer, VIEW("Access-Control-Max-Age"), view_of(answer->number));
    }
    if (policy->private_network && request->asks_private_network)
        add(answer, VIEW("Access-Control-Allow-Private-Network"), VIEW("true"));
}

void cors_decide(const struct cors_policy *policy, const struct cors_request *request,
                 struct cors_answer *answer)
{
    bool all = same_for_all(policy);
    bool allowed = all || origin_allowed(policy, request->origin);

    answer->count = 0;
    answer->preflight = view_equal(request->method, VIEW("OPTIONS")) && request->origin.length &&
                        request->requested_method.length;
    if (allowed) {
        add(answer, VIEW("Access-Control-Allow-Origin"), all ? VIEW("*") : request->origin);
        if (policy->credentials)
            add(answer, VIEW("Access-Control-Allow-Credentials"), VIEW("true"));
        if (answer->preflight)
            add_preflight(policy, request, answer);
        else if (policy->exposed.length)
            add(answer, VIEW("Access-Control-Expose-Headers"), policy->exposed);
    }
    if (answer->preflight)
        add(answer, VIEW("Vary"),
            VIEW("Origin, Access-Control-Request-Method, Access-Control-Request-Headers"));
    else if (!all)
        add(answer, VIEW("Vary"), VIEW("Origin"));
}

bool cors_owns_header(struct view name)
{
    const struct view start = VIEW("Access-Control-");

    return view_equal_nocase(view_slice(name, 0, start.length), start);
}
