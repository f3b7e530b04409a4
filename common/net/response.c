/* Writes the heads of answers, and the problem documents of refusals. */
#include "common/net/response.h"

#include "common/base/clock.h"
#include "common/net/syntax.h"

static const struct {
    int status;
    const char *phrase;
} phrases[] = {
    {200, "OK"},
    {201, "Created"},
    {202, "Accepted"},
    {203, "Non-Authoritative Information"},
    {204, "No Content"},
    {205, "Reset Content"},
    {206, "Partial Content"},
    {207, "Multi-Status"},
    {300, "Multiple Choices"},
    {301, "Moved Permanently"},
    {302, "Found"},
    {303, "See Other"},
    {304, "Not Modified"},
    {307, "Temporary Redirect"},
    {308, "Permanent Redirect"},
    {400, "Bad Request"},
    {401, "Unauthorized"},
    {402, "Payment Required"},
    {403, "Forbidden"},
    {404, "Not Found"},
    {405, "Method Not Allowed"},
    {406, "Not Acceptable"},
    {408, "Request Timeout"},
    {409, "Conflict"},
    {410, "Gone"},
    {411, "Length Required"},
    {412, "Precondition Failed"},
    {413, "Content Too Large"},
    {414, "URI Too Long"},
    {415, "Unsupported Media Type"},
    {416, "Range Not Satisfiable"},
    {417, "Expectation Failed"},
    {418, "I'm a teapot"},
    {421, "Misdirected Request"},
    {422, "Unprocessable Content"},
    {425, "Too Early"},
    {426, "Upgrade Required"},
    {428, "Precondition Required"},
    {429, "Too Many Requests"},
    {431, "Request Header Fields Too Large"},
    {451, "Unavailable For Legal Reasons"},
    {500, "Internal Server Error"},
    {501, "Not Implemented"},
    {502, "Bad Gateway"},
    {503, "Service Unavailable"},
    {504, "Gateway Timeout"},
    {505, "HTTP Version Not Supported"},
    {507, "Insufficient Storage"},
};

const char *response_phrase(int status)
{
    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++) {
        if (phrases[i].status == status)
            return phrases[i].phrase;
    }
    return "Unknown";
}

bool response_has_body(int status, bool head_request)
{
    return !head_request && status >= 200 && status != 204 && status != 304;
}

void response_require_lawful(int status, const struct incoming_header *headers, size_t count)
{
    static const struct view ours[] = {
        {"Date", 4}, {"Connection", 10}, {"Content-Length", 14}, {"Transfer-Encoding", 17}};

    REQUIRE(status >= 200 && status <= 999);
    for (size_t i = 0; i < count; i++) {
        struct view name = headers[i].name, value = headers[i].value;

        REQUIRE(syntax_is(name, SYNTAX_TOKEN));
        REQUIRE(syntax_run(value.data, value.length, SYNTAX_VALUE) == value.length);
        for (size_t k = 0; k < sizeof(ours) / sizeof(ours[0]); k++)
            REQUIRE(!view_equal_nocase(name, ours[k]));
    }
}

struct view response_date(void)
{
    static _Thread_local char text[CLOCK_HTTP_SIZE];
    static _Thread_local int64_t second = -1;
    int64_t now_ms = clock_wall_ms();

    if (now_ms / 1000 != second) {
        second = now_ms / 1000;
        clock_format_http(now_ms, text);
    }
    return view_from(text, CLOCK_HTTP_SIZE - 1);
}

static void write_header(struct buffer *out, struct view name, struct view value)
{
    buffer_append_view(out, name);
    buffer_append(out, ": ", 2);
    buffer_append_view(out, value);
    buffer_append(out, "\r\n", 2);
}

void response_write_head(struct buffer *out, int status, const struct incoming_header *headers,
                         size_t count, enum response_framing framing, uint64_t length, bool close)
{
    buffer_append_string(out, "HTTP/1.1 ");
    buffer_append_u64(out, (uint64_t)status);
    buffer_append_byte(out, ' ');
    buffer_append_string(out, response_phrase(status));
    buffer_append(out, "\r\n", 2);
    write_header(out, VIEW("Date"), response_date());
    for (size_t i = 0; i < count; i++)
        write_header(out, headers[i].name, headers[i].value);
    if (framing == RESPONSE_LENGTH) {
        buffer_append_string(out, "Content-Length: ");
        buffer_append_u64(out, length);
        buffer_append(out, "\r\n", 2);
    } else if (framing == RESPONSE_CHUNKED) {
        write_header(out, VIEW("Transfer-Encoding"), VIEW("chunked"));
    }
    if (close)
        write_header(out, VIEW("Connection"), VIEW("close"));
    buffer_append(out, "\r\n", 2);
}

void response_write_problem(struct buffer *out, const struct incoming_refusal *refusal)
{
    /* All of these are our own words: nothing of the client's is echoed. */
    buffer_append_format(out,
                         "{\"type\":\"about:blank\",\"title\":\"%s\",\"status\":%d,"
                         "\"code\":\"%s\"",
                         response_phrase(refusal->status), refusal->status,
                         guard_reason_name(refusal->reason));
    if (refusal->request_id)
        buffer_append_format(out, ",\"requestId\":\"%s\"", refusal->request_id);
    buffer_append_string(out, "}\n");
}
