/* Brings host names to the form that routes are kept under, and takes app hosts apart. */
#include "common/contract/host.h"

#include <arpa/inet.h>
#include <string.h>

#define LABEL_MAX_BYTES 63
#define NAME_MAX_BYTES  253 /* of a domain name in text form, RFC 1035 section 2.3.4 */

static bool is_letter(char byte)
{
    return byte >= 'a' && byte <= 'z';
}

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* RFC 3986 lets a port be empty. */
static bool port_valid(struct view port)
{
    uint64_t number;

    return port.length == 0 || view_to_u64(port, 65535, &number) == ERROR_NONE;
}

static char to_lower(char byte)
{
    if (byte >= 'A' && byte <= 'Z')
        return (char)(byte - 'A' + 'a');
    return byte;
}

static enum error append_lower(struct view text, struct buffer *out)
{
    char *room = buffer_reserve(out, text.length);

    if (!room)
        return out->error;
    for (size_t i = 0; i < text.length; i++)
        room[i] = to_lower(text.data[i]);
    buffer_commit(out, text.length);
    return ERROR_NONE;
}

/* "[::1]:8080": what stands in the brackets is an address without a zone. */
static enum error normalize_literal(struct view host, struct buffer *out)
{
    char address[INET6_ADDRSTRLEN];
    struct in6_addr parsed;
    size_t end = view_find(host, ']');
    struct view after;

    if (end == SIZE_MAX || end < 2 || end - 1 >= sizeof(address))
        return ERROR_INVALID;
    memcpy(address, host.data + 1, end - 1);
    address[end - 1] = '\0';
    if (strlen(address) != end - 1 || inet_pton(AF_INET6, address, &parsed) != 1)
        return ERROR_INVALID;
    after = view_slice(host, end + 1, SIZE_MAX);
    if (after.length && (after.data[0] != ':' || !port_valid(view_slice(after, 1, SIZE_MAX))))
        return ERROR_INVALID;
    return append_lower(view_slice(host, 0, end + 1), out);
}

/* Underscores are no part of host names, but names with them resolve and browsers send them. */
static bool name_byte_valid(char byte)
{
    char lower = to_lower(byte);

    return is_letter(lower) || is_digit(lower) || lower == '-' || lower == '_' || lower == '.';
}

enum error host_normalize(struct view host, struct buffer *out)
{
    struct view name = host;
    size_t colon;

    if (host.length && host.data[0] == '[')
        return normalize_literal(host, out);
    colon = view_find(host, ':');
    if (colon != SIZE_MAX) {
        if (!port_valid(view_slice(host, colon + 1, SIZE_MAX)))
            return ERROR_INVALID;
        name = view_slice(host, 0, colon);
    }
    if (name.length && name.data[name.length - 1] == '.')
        name.length--;
    if (name.length == 0 || name.length > HOST_MAX_BYTES)
        return ERROR_INVALID;
    for (size_t i = 0; i < name.length; i++) {
        bool empty_label =
            name.data[i] == '.' && (i == 0 || i + 1 == name.length || name.data[i - 1] == '.');

        if (empty_label || !name_byte_valid(name.data[i]))
            return ERROR_INVALID;
    }
    return append_lower(name, out);
}

bool app_name_valid(struct view name)
{
    if (name.length == 0 || name.length > APP_NAME_MAX || !is_letter(name.data[0]) ||
        name.data[name.length - 1] == '-')
        return false;
    for (size_t i = 1; i < name.length; i++) {
        char byte = name.data[i];

        if (!is_letter(byte) && !is_digit(byte) && byte != '-')
            return false;
        if (byte == '-' && name.data[i - 1] == '-')
            return false;
    }
    return true;
}

/* "v12--shop" is version 12 of shop; no app name has "--", so the two cannot be mixed up. */
static bool label_app(struct view label, struct view *app, uint32_t *version)
{
    const char *dashes = label.length ? memmem(label.data, label.length, "--", 2) : NULL;
    size_t at = dashes ? (size_t)(dashes - label.data) : 0;
    uint64_t number = 0;

    if (dashes) {
        if (at < 2 || label.data[0] != 'v' || label.data[1] == '0' ||
            view_to_u64(view_slice(label, 1, at - 1), UINT32_MAX, &number) != ERROR_NONE)
            return false;
        label = view_slice(label, at + 2, SIZE_MAX);
    }
    if (!app_name_valid(label))
        return false;
    *app = label;
    *version = (uint32_t)number;
    return true;
}

bool host_app(struct view host, struct view base_domain, struct view *app, uint32_t *version)
{
    size_t dot = view_find(host, '.');

    if (dot == SIZE_MAX)
        return false;
    if (!view_equal(base_domain, VIEW("*")) &&
        !view_equal(view_slice(host, dot + 1, SIZE_MAX), base_domain))
        return false;
    return label_app(view_slice(host, 0, dot), app, version);
}

static bool label_valid(struct view label)
{
    if (label.length == 0 || label.length > LABEL_MAX_BYTES || label.data[0] == '-' ||
        label.data[label.length - 1] == '-')
        return false;
    for (size_t i = 0; i < label.length; i++)
        if (!is_letter(label.data[i]) && !is_digit(label.data[i]) && label.data[i] != '-')
            return false;
    return true;
}

bool domain_host_valid(struct view host)
{
    bool wildcard = view_starts_with(host, VIEW("*."));
    struct view rest = wildcard ? view_slice(host, 2, SIZE_MAX) : host;
    struct view label;
    size_t labels = 0;

    if (host.length == 0 || host.length > NAME_MAX_BYTES)
        return false;
    while (view_split(&rest, '.', &label)) {
        if (!label_valid(label))
            return false;
        labels++;
    }
    return labels >= (wildcard ? 2 : 1);
}
