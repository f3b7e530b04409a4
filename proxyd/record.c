/* RECORD: writes the access line and counts the request, from the struct only. */
#include "proxyd/steps.h"

#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/log.h"

#define LINE_MAX_BYTES 262144 /* a path of 8 KiB may grow sixfold when escaped */

static void write_what_was_asked(struct json_writer *w, const struct request *request)
{
    char time[CLOCK_RFC3339_SIZE];

    clock_format_rfc3339(request->time_ms, time);
    json_write_string(w, "time", view_of(time));
    json_write_string(w, "id", view_of(request->id));
    if (!view_equal_string(request->public_id, request->id))
        json_write_string(w, "client_request_id", request->public_id);
    json_write_string(w, "client", request->client);
    if (!view_equal(request->peer, request->client))
        json_write_string(w, "peer", request->peer);
    json_write_string(w, "method", request->method);
    json_write_string(w, "host", request->host);
    json_write_string(w, "path", request->path);
    if (request->worker->shared->config->log_query && request->query.length)
        json_write_string(w, "query", request->query);
}

/* An answer without a body is whole with its head, however the function ends. */
static const char *stream_end(const struct request *request)
{
    if (request->client_gone)
        return "client-gone";
    if (request->fault == FAULT_NONE || reply_has_no_body(request->method, request->status))
        return "complete";
    return "cut";
}

static void write_what_became_of_it(struct json_writer *w, const struct request *request,
                                    uint64_t total_us)
{
    const struct fault_row *row = fault_row(request->fault);

    json_write_integer(w, "status", request->status);
    if (request->route.app.length)
        json_write_string(w, "app", request->route.app);
    if (request->version)
        json_write_integer(w, "version", request->version->number);
    if (request->api_key)
        json_write_string(w, "api_key", request->api_key->id);
    json_write_integer(w, "bytes_in", (int64_t)request->body_bytes);
    json_write_integer(w, "bytes_out", (int64_t)request->response_bytes);
    json_write_integer(w, "duration_us", (int64_t)total_us);
    json_write_integer(w, "upstream_us", (int64_t)request->upstream_us);
    if (request->wait_since_us)
        json_write_integer(w, "queued_us", (int64_t)request->queued_us);
    json_write_integer(w, "attempts", request->attempts);
    if (request->asynchronous) {
        json_write_bool(w, "async", true);
        json_write_string(w, "invocation_id", request->invocation_id);
    }
    if (request->fault != FAULT_NONE) {
        json_write_string(w, "fault", view_of(row->name));
        json_write_string(w, "invocation", view_of(fault_class_name(row->class)));
        if (request->log_detail)
            json_write_string(w, "detail", view_of(request->log_detail));
    }
    if (request->forwards) {
        json_write_integer(w, "first_byte_us", (int64_t)request->first_byte_us);
        json_write_string(w, "stream", view_of(stream_end(request)));
    }
    if (request->client_gone)
        json_write_bool(w, "client_gone", true);
    if (request->trace_id.length)
        json_write_string(w, "trace", request->trace_id);
}

static void count(struct request *request, uint64_t total_us)
{
    struct metrics *metrics = &request->worker->metrics;

    REQUIRE(request->status >= 100 && request->status < 600);
    metrics_add(&metrics->requests[request->status / 100], 1);
    metrics_add(&metrics->response_bytes, request->response_bytes);
    metrics_observe(&metrics->duration, total_us);
    if (request->wait_since_us)
        metrics_observe(&metrics->queue_duration, request->queued_us);
    if (request->fault != FAULT_NONE)
        metrics_add(&metrics->faults[request->fault], 1);
}

/* A slow client does not make its version slow: the time begins when the request was there, and ends
 * when the answer began. */
static void count_version(const struct request *request, uint64_t total_us)
{
    uint64_t arrival_us = request->received_us - request->started_us;
    uint64_t until_us = request->forwards ? request->first_byte_us : total_us;
    struct stats_request ended = {
        .app = request->route.app,
        .slot = request->route.slot,
        .version = request->version->number,
        .status = request->status,
        .fault = request->fault,
        .duration_us = until_us > arrival_us ? until_us - arrival_us : 0,
    };

    stats_count(request->worker->stats, &ended, request->started_us + total_us);
}

enum progress record_request(struct request *request)
{
    uint64_t total_us = clock_monotonic_us() - request->started_us;
    struct json_writer w;
    struct buffer line;

    count(request, total_us);
    if (request->version)
        count_version(request, total_us);
    buffer_init(&line, LINE_MAX_BYTES);
    json_begin(&w, &line);
    json_open_object(&w, NULL);
    write_what_was_asked(&w, request);
    write_what_became_of_it(&w, request, total_us);
    json_close_object(&w);
    if (line.error == ERROR_NONE)
        log_access(buffer_view(&line));
    buffer_release(&line);
    return forward_hold(request);
}
