"""Invocations through lambda-local: handlers in Node, Python and by bootstrap, their failures, limits and logs."""
import base64
import concurrent.futures
import json
import re
import socket
import subprocess
import time

import pytest

from harness import LambdaLocal, make_zip, wait_for
from lambda_functions import BOOTSTRAP, NODE, PROVIDED, PYTHON, call, client_of, create, refused, update

UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"


@pytest.fixture
def client(lambda_local):
    return client_of(lambda_local)


def with_options(**options):
    return LambdaLocal(options={f"LAMBDA_LOCAL_{name}": value for name, value in options.items()})


# -- handlers --


@pytest.mark.parametrize("files, handler", [
    ({"index.js": "exports.handler = async (event) => ({got: event})"}, "index.handler"),
    ({"index.js": "exports.handler = (event, context, callback) => setTimeout(() => callback(null, {got: event}), 5)"},
     "index.handler"),
    ({"index.js": "exports.handler = (event, context) => context.succeed({got: event})"}, "index.handler"),
    ({"index.mjs": "export const handler = async (event) => ({got: event})"}, "index.handler"),
    ({"index.js": "export async function handler(event) { return {got: event} }",
      "package.json": '{"type": "module"}'}, "index.handler"),
    ({"index.cjs": "module.exports.handler = async (event) => ({got: event})",
      "package.json": '{"type": "module"}'}, "index.handler"),
    ({"src/app/main.js": "exports.api = {v1: {handle: async (event) => ({got: event})}}"},
     "src/app/main.api.v1.handle"),
    ({"index.js": "exports.handler = async (event) => ({got: require('./lib/x')(event)})",
      "lib/x.js": "module.exports = (x) => x"}, "index.handler"),
    ({"index.mjs": "const later = await Promise.resolve(1); export const handler = async (event) => ({got: event})"},
     "index.handler"),
], ids=["async", "callback", "succeed", "mjs", "type-module", "cjs", "nested", "require", "top-level-await"])
def test_node_handlers_of_every_shape_run(client, files, handler):
    create(client, "f", files, handler=handler)
    event = {"text": "grüße \U0001f600", "n": 1.5, "list": [1, None, True]}
    assert call(client, "f", event).payload == {"got": event}


def test_the_node_context_has_all_its_fields(client):
    made = create(client, "f", """exports.handler = async (event, context) => ({
        ...context, functions: ["getRemainingTimeInMillis", "done", "succeed", "fail"].map((n) => typeof context[n]),
        left: context.getRemainingTimeInMillis(), trace: process.env._X_AMZN_TRACE_ID })""", Timeout=9, MemorySize=256)
    custom = base64.b64encode(json.dumps({"custom": {"ü": "é\n"}}).encode()).decode()
    result = call(client, "f", ClientContext=custom)
    context = result.payload
    assert context["functionName"] == "f" and context["functionVersion"] == "$LATEST"
    assert context["invokedFunctionArn"] == made["FunctionArn"]
    assert context["memoryLimitInMB"] == "256"
    assert context["logGroupName"] == "/aws/lambda/f" and "[$LATEST]" in context["logStreamName"]
    assert context["awsRequestId"] == result.headers["x-amzn-requestid"]
    assert re.fullmatch(UUID, context["awsRequestId"])
    assert context["callbackWaitsForEmptyEventLoop"] is True
    assert context["clientContext"] == {"custom": {"ü": "é\n"}}
    assert context["functions"] == ["function"] * 4
    assert 8000 < context["left"] <= 9000
    assert re.fullmatch(r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0", context["trace"])
    assert result.headers["x-amzn-trace-id"] == context["trace"]
    client.publish_version(FunctionName="f")
    client.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
    context = call(client, "f:live").payload
    assert context["invokedFunctionArn"].endswith(":function:f:live") and context["functionVersion"] == "1"


def test_the_environment_is_lambdas_and_the_functions_own(client, lambda_local):
    create(client, "f", "exports.handler = async () => ({...process.env, cwd: process.cwd()})",
           Environment={"Variables": {"MINE": "yes", "LANG": "C"}})
    environment = call(client, "f").payload
    assert environment["MINE"] == "yes" and environment["LANG"] == "C"
    assert environment["_HANDLER"] == "index.handler" and environment["AWS_REGION"] == "us-east-1"
    assert environment["AWS_EXECUTION_ENV"] == "AWS_Lambda_nodejs20.x"
    assert environment["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] == "128" and environment["TZ"] == ":UTC"
    assert environment["LAMBDA_TASK_ROOT"] == environment["cwd"]
    assert environment["cwd"].startswith(str(lambda_local.data))
    assert not any(name.startswith(("LAMBDA_LOCAL_", "ORCHESTRATOR_")) and name != "LAMBDA_LOCAL_SANDBOX"
                   for name in environment)


def test_python_handlers_run_with_context_and_logs(client):
    create(client, "f", """
import decimal, logging, os
log = logging.getLogger()
log.setLevel(logging.INFO)
def handler(event, context):
    print("printed")
    log.info("logged %s", event["n"])
    return {"event": event, "id": context.aws_request_id, "name": context.function_name, "arn": context.invoked_function_arn,
            "left": context.get_remaining_time_in_millis(), "custom": context.client_context.custom,
            "decimal": decimal.Decimal("1.5"), "trace": os.environ["_X_AMZN_TRACE_ID"]}
""", runtime=PYTHON)
    result = call(client, "f", {"n": 5, "text": "grüße"},
                  ClientContext=base64.b64encode(b'{"custom": {"a": 1}}').decode())
    payload = result.payload
    assert payload["event"] == {"n": 5, "text": "grüße"} and payload["custom"] == {"a": 1}
    assert payload["id"] == result.headers["x-amzn-requestid"] and payload["name"] == "f"
    assert 0 < payload["left"] <= 3000 and payload["decimal"] == 1.5 and payload["trace"].startswith("Root=1-")
    assert "printed\n" in result.log and re.search(r"\[INFO\]\t\S+Z\t" + UUID + r"\tlogged 5\n", result.log)


def test_a_bootstrap_in_python_and_one_in_c_run(client, tmp_path):
    create(client, "script", BOOTSTRAP + """
while True:
    id, event, headers = next_event()
    call("POST", f"invocation/{id}/response", json.dumps({"got": event, "cwd": os.getcwd() == os.environ["LAMBDA_TASK_ROOT"]}))
""", runtime=PROVIDED)
    assert call(client, "script", [1]).payload == {"got": [1], "cwd": True}
    (tmp_path / "bootstrap.c").write_text(C_BOOTSTRAP)
    subprocess.run(["cc", "-O1", "-o", "bootstrap", "bootstrap.c"], cwd=tmp_path, check=True, timeout=60)
    create(client, "compiled", {"bootstrap": (tmp_path / "bootstrap").read_bytes()}, runtime=PROVIDED)
    for n in range(5):
        assert call(client, "compiled", {"n": n}).payload == {"echo": {"n": n}}


C_BOOTSTRAP = r"""
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
static char in[65536], out[65536];
static size_t have;
/* One whole answer in `in`; gives its length, and where its body begins. */
static size_t receive(int peer, char **body)
{
    for (;;) {
        char *end = have ? strstr(in, "\r\n\r\n") : NULL;
        if (end) {
            char *field = strcasestr(in, "content-length:");
            size_t length = (size_t)(end + 4 - in) + (field && field < end ? strtoul(field + 15, NULL, 10) : 0);
            if (have >= length) {
                *body = end + 4;
                return length;
            }
        }
        ssize_t got = read(peer, in + have, sizeof in - 1 - have);
        if (got <= 0)
            exit(0);
        in[have += (size_t)got] = 0;
    }
}
static void forget(size_t length)
{
    memmove(in, in + length, have - length);
    in[have -= length] = 0;
}
int main(void)
{
    char *port = strchr(getenv("AWS_LAMBDA_RUNTIME_API"), ':') + 1, *body, id[64], *at;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((unsigned short)atoi(port))};
    int peer = socket(AF_INET, SOCK_STREAM, 0);
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    if (connect(peer, (struct sockaddr *)&to, sizeof to) != 0)
        return 1;
    for (;;) {
        dprintf(peer, "GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\nHost: l\r\n\r\n");
        size_t length = receive(peer, &body);
        at = strcasestr(in, "lambda-runtime-aws-request-id:") + 30;
        sscanf(at, " %63[0-9a-f-]", id);
        int size = snprintf(out, sizeof out, "{\"echo\":%.*s}", (int)(in + length - body), body);
        forget(length);
        dprintf(peer, "POST /2018-06-01/runtime/invocation/%s/response HTTP/1.1\r\nHost: l\r\nContent-Length: %d\r\n\r\n%s",
                id, size, out);
        forget(receive(peer, &body));
    }
}
""".replace("#include <arpa/inet.h>", "#define _GNU_SOURCE\n#include <arpa/inet.h>", 1)


def test_an_event_without_bytes_is_an_empty_object_and_undefined_becomes_null(client):
    create(client, "f", "exports.handler = async (event) => { if (JSON.stringify(event) !== '{}') throw event }")
    result = call(client, "f", b"")
    assert (result.error, result.payload) == (None, None)


# -- failures --


def error_of(result):
    assert result.status == 200 and result.error == "Unhandled", result
    return result.payload["errorType"], result.payload["errorMessage"]


@pytest.mark.parametrize("code, kind, message", [
    ("exports.handler = async () => { throw new TypeError('no') }", "TypeError", "no"),
    ("exports.handler = () => { throw new RangeError('sync') }", "RangeError", "sync"),
    ("exports.handler = (e, c, done) => done(new Error('by callback'))", "Error", "by callback"),
    ("exports.handler = async () => { throw 'a string' }", "string", "a string"),
    ("exports.handler = async () => { const a = {}; a.a = a; return a }", "Error", "Unable to stringify response body"),
    ("exports.handler = () => { setTimeout(() => { throw new Error('later') }, 5) }", "Error", "later"),
    ("exports.handler = async () => { Promise.reject(new Error('lost')); await new Promise((r) => setTimeout(r, 500)) }",
     "Runtime.UnhandledPromiseRejection", "Error: lost"),
    ("exports.handler = 5", "Runtime.HandlerNotFound", "index.handler is not a function"),
    ("exports.other = 5", "Runtime.HandlerNotFound", "index.handler is undefined or not exported"),
    ("throw new Error('at load')", "Error", "at load"),
    ("exports.handler = (", "Runtime.UserCodeSyntaxError", "SyntaxError: Unexpected end of input"),
    ("require('nowhere')", "Runtime.ImportModuleError", "Error: Cannot find module 'nowhere'"),
])
def test_errors_of_node_handlers_come_back_as_awss(client, code, kind, message):
    create(client, "f", code)
    for _ in range(2):  # the second call finds a sandbox, or a new one is made
        got_kind, got_message = error_of(call(client, "f"))
        assert got_kind == kind and got_message.startswith(message)


def test_errors_of_python_handlers_come_back_as_awss(client):
    create(client, "raises", "def handler(event, context):\n    raise KeyError('x')", runtime=PYTHON)
    result = call(client, "raises")
    assert error_of(result) == ("KeyError", "'x'") and "in handler" in result.payload["stackTrace"][0]
    assert "[ERROR] KeyError: 'x'" in result.log
    create(client, "imports", "import nowhere", runtime=PYTHON)
    assert error_of(call(client, "imports")) == ("Runtime.ImportModuleError",
                                                 "Unable to import module 'main': No module named 'nowhere'")
    create(client, "syntax", "def handler(:", runtime=PYTHON)
    assert error_of(call(client, "syntax"))[0] == "Runtime.UserCodeSyntaxError"
    create(client, "missing", "x = 1", runtime=PYTHON)
    assert error_of(call(client, "missing")) == ("Runtime.HandlerNotFound",
                                                 "Handler 'handler' missing on module 'main'")
    create(client, "marshal", "def handler(e, c):\n    return object()", runtime=PYTHON)
    assert error_of(call(client, "marshal"))[0] == "Runtime.MarshalError"


def test_a_function_that_takes_too_long_is_ended(client):
    create(client, "f", "exports.handler = async (e) => { if (e.wait) for (;;); return process.pid }", Timeout=1)
    before = call(client, "f").payload
    started = time.monotonic()
    result = call(client, "f", {"wait": True})
    assert 0.9 < time.monotonic() - started < 3
    kind, message = error_of(result)
    assert kind == "Sandbox.Timedout"
    assert re.fullmatch(rf"RequestId: {UUID} Error: Task timed out after 1.00 seconds", message)
    assert "Task timed out after 1.00 seconds" in result.log and "Status: timeout" in result.log
    assert call(client, "f").payload != before


@pytest.mark.parametrize("code, ending", [
    ("process.exit(0)", "Runtime exited without providing a reason"),
    ("process.exit(7)", "Runtime exited with error: exit status 7"),
    ("process.kill(process.pid, 'SIGSEGV')", "Runtime exited with error: signal: segmentation fault"),
    ("process.kill(process.pid, 'SIGKILL')", "Runtime exited with error: signal: killed"),
    ("process.abort()", "Runtime exited with error: signal: aborted"),
])
def test_a_sandbox_that_ends_fails_its_invocation_alone(client, code, ending):
    create(client, "bad", f"exports.handler = async (e) => {{ if (e.end) {{ {code} }} return 'fine' }}")
    create(client, "good", "exports.handler = async () => { await new Promise((r) => setTimeout(r, 300)); return 'good' }")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        good = pool.submit(call, client, "good")
        kind, message = error_of(call(client, "bad", {"end": True}))
        assert kind == "Runtime.ExitError" and message.endswith("Error: " + ending)
        assert good.result().payload == "good"
    assert call(client, "bad").payload == "fine"


def test_a_sandbox_that_ends_at_its_start_costs_one_invocation(client):
    create(client, "f", "process.exit(4)")
    for _ in range(3):
        assert error_of(call(client, "f")) == ("Runtime.ExitError", "Runtime exited with error: exit status 4")


def test_an_answer_sent_right_before_the_end_counts(client):
    create(client, "f", BOOTSTRAP + """
id, event, headers = next_event()
call("POST", f"invocation/{id}/response", '"done"')
os._exit(3)
""", runtime=PROVIDED)
    for _ in range(5):
        assert call(client, "f").payload == "done"


def test_a_package_without_bootstrap_is_an_invalid_entry_point(client):
    create(client, "none", {"other": "x"}, runtime=PROVIDED)
    assert error_of(call(client, "none"))[0] == "Runtime.InvalidEntrypoint"
    create(client, "garbage", {"bootstrap": b"\x00\x01\x02"}, runtime=PROVIDED)
    assert error_of(call(client, "garbage"))[0] == "Runtime.ExitError"


def test_an_init_that_hangs_is_ended():
    with with_options(INIT_TIMEOUT="500ms") as server:
        client = client_of(server)
        create(client, "f", "for (;;);")
        kind, message = error_of(call(client, "f"))
        assert kind == "Sandbox.Timedout" and "Init timed out after 0.50 seconds" in message


def test_too_much_memory_ends_the_sandbox(client):
    create(client, "f", """exports.handler = async (event) => { const all = [];
        while (event.eat) { all.push(Buffer.alloc(4 << 20, 1)); await new Promise((r) => setTimeout(r, 1)) }
        return 'slim' }""", MemorySize=128, Timeout=20)
    create(client, "child", """
import subprocess, sys
def handler(event, context):
    subprocess.run([sys.executable, "-c", "x = [bytearray(4 << 20) for _ in range(200)]; import time; time.sleep(20)"])
""", runtime=PYTHON, Timeout=20)
    for name in ("f", "child"):
        started = time.monotonic()
        result = call(client, name, {"eat": True})
        assert error_of(result)[0] == "Runtime.ExitError" and "signal: killed" in result.payload["errorMessage"]
        assert "Runtime.OutOfMemory" in result.log and "Max Memory Used: 128 MB" in result.log
        assert time.monotonic() - started < 15
    assert call(client, "f").payload == "slim"


# -- logs --


def test_the_tail_of_the_log_is_given_on_request(client):
    create(client, "f", "console.log('at init'); exports.handler = async (e) => { console.log('a', {b: 1}); "
           "console.error('c\\nd'); process.stdout.write('raw'); return 1 }")
    first, second = call(client, "f"), call(client, "f", Qualifier="$LATEST")
    id = second.headers["x-amzn-requestid"]
    assert "\tINFO\tat init\n" in first.log and "Init Duration: " in first.log
    lines = second.log.split("\n")
    assert lines[0] == f"START RequestId: {id} Version: $LATEST"
    assert re.fullmatch(rf"\S+Z\t{id}\tINFO\ta {{ b: 1 }}", lines[1])
    assert re.fullmatch(rf"\S+Z\t{id}\tERROR\tc", lines[2]) and lines[3:6] == ["d", "raw", f"END RequestId: {id}"]
    assert re.fullmatch(rf"REPORT RequestId: {id}\tDuration: [\d.]+ ms\tBilled Duration: \d+ ms\tMemory Size: 128 MB\t"
                        r"Max Memory Used: \d+ MB\t", lines[6])
    assert "LogResult" not in client.invoke(FunctionName="f")


def test_the_tail_holds_at_most_four_kilobytes_and_the_log_file_everything(client, lambda_local):
    create(client, "f", "exports.handler = async () => { for (let n = 0; n < 2000; n++) console.log('line', n) }")
    result = call(client, "f")
    assert len(result.log) == 4096 and "line 1999\n" in result.log
    text = (lambda_local.data / "lambda-local" / "functions" / "f" / "function.log").read_text()
    assert len(re.findall(r"line \d+\n", text)) == 2000
    assert re.match(r"\d{4}-\d\d-\d\dT\S+Z \d{4}/\d\d/\d\d/\[\$LATEST\][0-9a-f]{16} START RequestId: ", text)


# -- limits --


def test_payloads_up_to_six_megabytes_go_both_ways(client):
    create(client, "f", "exports.handler = async (event) => typeof event === 'number' ? 'x'.repeat(event) : event.length",
           MemorySize=1024, Timeout=20)
    limit = 6 * 1024 * 1024
    assert call(client, "f", b'"' + b"x" * (limit - 2) + b'"').payload == limit - 2
    with refused("RequestTooLargeException", 413) as refusal:
        call(client, "f", b'"' + b"x" * (limit - 1) + b'"')
    assert refusal.message == (f"{limit + 1} byte payload is too large for the RequestResponse invocation type "
                               f"(limit {limit} bytes)")
    assert len(call(client, "f", limit - 2).payload) == limit - 2
    result = call(client, "f", limit + 100)
    assert error_of(result)[0] == "Function.ResponseSizeTooLarge"
    assert "exceeded maximum allowed payload size (6291556 bytes)" in result.payload["errorMessage"]
    assert call(client, "f", 3).payload == "xxx"


@pytest.mark.parametrize("payload", [b"{", b"{}x", b"nope", b'"\xff"', b"[1,]", b"'a'", b'{"a" 1}', b"[" * 5000])
def test_events_that_are_no_json_are_refused(client, payload):
    create(client, "f", "exports.handler = async (event) => event")
    with refused("InvalidRequestContentException", 400):
        call(client, "f", payload)


def test_client_contexts_that_are_none_are_refused(client):
    create(client, "f", "exports.handler = async (event) => event")
    for context in ("!!", base64.b64encode(b"{").decode(), base64.b64encode(b'"' + b"x" * 3600 + b'"').decode()):
        with refused("InvalidRequestContentException", 400):
            call(client, "f", ClientContext=context)


def test_reserved_concurrency_throttles(client):
    create(client, "f", "exports.handler = async (e) => { await new Promise((r) => setTimeout(r, e.ms)); return 1 }")
    client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=1)
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        long = pool.submit(call, client, "f", {"ms": 800})
        time.sleep(0.3)
        with refused("TooManyRequestsException", 429) as refusal:
            call(client, "f", {"ms": 0})
        assert refusal.answer["Reason"] == "ReservedFunctionConcurrentInvocationLimitExceeded"
        assert refusal.answer["ResponseMetadata"]["HTTPHeaders"]["retry-after"] == "1"
        assert long.result().payload == 1
    assert call(client, "f", {"ms": 0}).payload == 1
    client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=0)
    with refused("TooManyRequestsException", 429):
        call(client, "f", {"ms": 0})


def test_the_accounts_concurrency_throttles():
    with with_options(CONCURRENCY=2) as server:
        client = client_of(server)
        for name in ("a", "b"):
            create(client, name, "exports.handler = async (e) => { await new Promise((r) => setTimeout(r, 1500)); return 1 }")
        clients = [client_of(server), client_of(server)]
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            running = [pool.submit(call, each, name) for each, name in zip(clients, ("a", "b"))]
            time.sleep(0.5)
            with refused("TooManyRequestsException", 429) as refusal:
                call(client, "a")
            assert refusal.answer["Reason"] == "ConcurrentInvocationLimitExceeded"
            assert [r.result().payload for r in running] == [1, 1]


def test_more_calls_than_processes_wait_for_their_turn():
    with with_options(MAX_SANDBOXES=2) as server:
        client = client_of(server)
        for name in ("a", "b", "c"):
            create(client, name, "exports.handler = async () => { await new Promise((r) => setTimeout(r, 30)); return process.pid }")
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            results = list(pool.map(lambda n: call(client_of(server), "abc"[n % 3]), range(24)))
        assert all(result.error is None for result in results)
        assert len({result.payload for result in results}) >= 3  # sandboxes gave way to other functions'


def test_a_call_that_waits_too_long_for_a_process_is_throttled():
    with with_options(MAX_SANDBOXES=1, QUEUE_TIMEOUT="300ms") as server:
        client = client_of(server)
        create(client, "f", "exports.handler = async () => { await new Promise((r) => setTimeout(r, 1500)); return 1 }")
        other = client_of(server)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            running = pool.submit(call, other, "f")
            time.sleep(0.5)
            with refused("TooManyRequestsException", 429):
                call(client, "f")
            assert running.result().payload == 1


# -- other ways to call --


def test_event_invocations_run_later_and_are_tried_three_times(tmp_path):
    with with_options(ASYNC_RETRY_DELAY="100ms") as server:
        client = client_of(server)
        create(client, "f", """const fs = require('fs'); exports.handler = async (event, context) => {
            fs.appendFileSync(event.file, context.awsRequestId + '\\n'); if (event.fail) throw new Error('again') }""")
        fine, failing = tmp_path / "fine", tmp_path / "failing"
        answer = client.invoke(FunctionName="f", InvocationType="Event", Payload=json.dumps({"file": str(fine)}))
        assert answer["StatusCode"] == 202 and answer["Payload"].read() == b""
        wait_for(fine.exists, what="the event was handled")
        client.invoke(FunctionName="f", InvocationType="Event", Payload=json.dumps({"file": str(failing), "fail": 1}))
        wait_for(lambda: len(failing.read_text().split()) == 3 if failing.exists() else False, what="three attempts")
        server.wait_for_event("event-dropped")
        assert len(set(failing.read_text().split())) == 1  # the same request each time
        assert fine.read_text().split() == [answer["ResponseMetadata"]["HTTPHeaders"]["x-amzn-requestid"]]
        with refused("RequestTooLargeException", 413):
            client.invoke(FunctionName="f", InvocationType="Event", Payload=b'"' + b"x" * (1 << 20) + b'"')


def test_throttled_events_are_kept_and_the_queue_is_bounded(tmp_path):
    with with_options(ASYNC_QUEUE=3) as server:
        client = client_of(server)
        create(client, "f", "exports.handler = async (e) => require('fs').appendFileSync(e.file, 'x')")
        client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=0)
        event = json.dumps({"file": str(tmp_path / "out")})
        for _ in range(3):
            assert client.invoke(FunctionName="f", InvocationType="Event", Payload=event)["StatusCode"] == 202
        with refused("TooManyRequestsException", 429):
            client.invoke(FunctionName="f", InvocationType="Event", Payload=event)
        client.delete_function_concurrency(FunctionName="f")
        wait_for(lambda: (tmp_path / "out").read_text() == "xxx", seconds=20, what="the events were handled")


def test_a_dry_run_only_checks(client, tmp_path):
    create(client, "f", f"require('fs').writeFileSync({str(tmp_path / 'ran')!r}, ''); exports.handler = async () => 1")
    assert client.invoke(FunctionName="f", InvocationType="DryRun")["StatusCode"] == 204
    with refused("ResourceNotFoundException", 404):
        client.invoke(FunctionName="g", InvocationType="DryRun")
    assert not (tmp_path / "ran").exists()


def test_a_client_that_leaves_does_not_stop_the_function(lambda_local, client, tmp_path):
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
    create(client, "f", """exports.handler = async (e) => { await new Promise((r) => setTimeout(r, 300));
        if (e.file) require('fs').writeFileSync(e.file, 'done'); return process.pid }""")
    pid = call(client, "f").payload
    body = json.dumps({"file": str(tmp_path / "out")}).encode()
    request = AWSRequest("POST", f"{lambda_local.url}/2015-03-31/functions/f/invocations", data=body)
    SigV4Auth(Credentials("local", "local"), "lambda", "us-east-1").add_auth(request)
    head = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with socket.create_connection(lambda_local.address, 5) as peer:
        peer.sendall(f"POST /2015-03-31/functions/f/invocations HTTP/1.1\r\nHost: {lambda_local.listen}\r\n"
                     f"Content-Length: {len(body)}\r\n{head}\r\n".encode() + body)
        time.sleep(0.1)
    wait_for((tmp_path / "out").exists, what="the function ended")
    assert call(client, "f").payload == pid  # and its sandbox is free again


def test_a_warm_sandbox_is_used_again_and_an_updated_function_gets_a_new_one(client):
    create(client, "f", "let n = 0; exports.handler = async () => [process.pid, ++n]")
    pid, _ = call(client, "f").payload
    assert [call(client, "f").payload for _ in range(3)] == [[pid, 2], [pid, 3], [pid, 4]]
    update(client, "f", "exports.handler = async () => [process.pid, 'new']")
    other, word = call(client, "f").payload
    assert word == "new" and other != pid


def test_an_update_under_load_fails_no_call(lambda_local, client):
    create(client, "f", "exports.handler = async () => 0")
    call(client, "f")
    stop, seen = [], []

    def load():
        own, got = client_of(lambda_local), []
        while not stop:
            got.append(call(own, "f"))
        return got

    with concurrent.futures.ThreadPoolExecutor(3) as pool:
        loads = [pool.submit(load) for _ in range(3)]
        for n in range(1, 6):
            time.sleep(0.15)
            update(client, "f", f"exports.handler = async () => {n}")
            seen.append(call(client, "f").payload)
        stop.append(True)
        results = [result for each in loads for result in each.result()]
    assert seen == [1, 2, 3, 4, 5]
    assert [result for result in results if result.error] == [] and len(results) > 50
