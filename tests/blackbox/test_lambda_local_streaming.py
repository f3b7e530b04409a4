"""InvokeWithResponseStream through lambda-local, with boto3 as the client: frames, preludes, failures, back-pressure."""
import base64
import json
import threading
import time

import pytest

from harness import LambdaLocal, RawServer, wait_for
from lambda_functions import BOOTSTRAP, PROVIDED, PYTHON, call, client_of, create, refused
from streaming_client import open_stream, stream, teach_botocore


@pytest.fixture
def client(lambda_local):
    teach_botocore()
    return client_of(lambda_local)


def streaming(body):
    return "exports.handler = awslambda.streamifyResponse(async (event, stream, context) => {\n" + body + "\n});"


# -- handlers --


def test_a_stream_comes_as_it_was_written(client):
    create(client, "f", streaming("""
        console.log("logged", context.functionName, event.n);
        stream.write("grüße "); stream.write(Buffer.from([0, 255])); stream.write({n: event.n}); stream.end(" end");"""))
    got = stream(client, "f", {"n": 7}, LogType="Tail")
    assert (got.status, got.version, got.code) == (200, "$LATEST", None)
    assert got.body == "grüße ".encode() + b"\0\xff" + b'{"n":7} end'
    log = base64.b64decode(got.log).decode()
    assert "logged f 7" in log and "REPORT RequestId" in log
    assert stream(client, "f").log is None
    assert stream(client, "f").body.endswith(b"{} end")  # the same sandbox, again


def test_a_qualifier_names_the_version(client):
    create(client, "f", streaming("stream.end('one')"))
    client.publish_version(FunctionName="f")
    client.create_alias(FunctionName="f", Name="live", FunctionVersion="1")
    assert stream(client, "f", Qualifier="live").version == "1"
    assert stream(client, "f:1").body == b"one"


def test_from_puts_the_prelude_before_the_body(client):
    create(client, "f", streaming("""
        stream = awslambda.HttpResponseStream.from(stream, {statusCode: 201, headers: {"x-a": "ü"}, cookies: ["a=b"]});
        stream.write("body"); stream.end();"""))
    prelude, _, body = stream(client, "f").body.partition(b"\0" * 8)
    assert json.loads(prelude) == {"statusCode": 201, "headers": {"x-a": "ü"}, "cookies": ["a=b"]}
    assert body == b"body"


def test_a_prelude_without_a_body_and_an_empty_stream(client):
    create(client, "f", streaming("if (event.prelude) awslambda.HttpResponseStream.from(stream, {statusCode: 204}); stream.end();"))
    assert stream(client, "f", {"prelude": True}).body == b'{"statusCode":204}' + b"\0" * 8
    assert stream(client, "f").body == b""


def test_pipelines_and_streams_that_outlive_the_handlers_promise(client):
    create(client, "f", """
        const {pipeline} = require("node:stream/promises"), {Readable} = require("node:stream");
        exports.handler = awslambda.streamifyResponse(async (event, stream) => {
            if (event.pipe) { Readable.from(["a", "b"]).pipe(stream); return; }
            if (event.open) { stream.write("left open"); return; }
            await pipeline(Readable.from(["a", "b", "c"]), stream);
        });""")
    assert stream(client, "f").body == b"abc"
    assert stream(client, "f", {"pipe": True}).body == b"ab"
    assert stream(client, "f", {"open": True}).body == b"left open"


def test_chunks_come_one_by_one(client, lambda_local):
    """The handler writes the next chunk only after the one before was confirmed to it, over a socket of its own."""
    confirm = threading.Semaphore(0)

    def behave(peer, number):
        while confirm.acquire(timeout=20):
            peer.sendall(b"+")
    with RawServer(behave) as server:
        create(client, "f", streaming("""
            const socket = require("node:net").connect(event.port, "127.0.0.1");
            for (let n = 0; n < event.count; n++) {
                stream.write(`chunk ${n};`);
                await new Promise((resolve) => socket.once("data", resolve));
            }
            socket.destroy(); stream.end();"""), Timeout=30)
        answer = open_stream(client, "f", {"port": server.port, "count": 50})
        seen, complete = [], False
        for item in answer["EventStream"]:
            if "InvokeComplete" in item:
                complete = True
                continue
            seen.append(item["PayloadChunk"]["Payload"].decode())
            confirm.release()
        assert seen == [f"chunk {n};" for n in range(50)] and complete


def test_a_buffered_reply_is_passed_on_as_it_is(client):
    create(client, "f", "exports.handler = async () => ({statusCode: 200, body: 'x'.repeat(200000)})")
    create(client, "p", "def handler(event, context): return event", runtime=PYTHON)
    assert json.loads(stream(client, "f").body) == {"statusCode": 200, "body": "x" * 200000}
    assert json.loads(stream(client, "p", {"a": 1}).body) == {"a": 1}


def test_a_streaming_handler_answers_a_plain_invoke_in_one_piece(client):
    create(client, "f", streaming("stream.write('\"o'); stream.end('ne\"');"))
    assert call(client, "f").payload == "one"


# -- failures --


@pytest.mark.parametrize("code, message, body", [
    ("throw new RangeError('early')", "early", b""),
    ("stream.write('some'); await new Promise(setImmediate); throw new RangeError('late')", "late", b"some"),
    ("stream.write('some'); stream.destroy(new RangeError('destroyed')); await new Promise(setImmediate);", "destroyed", b""),
    ("stream.write('some'); setImmediate(() => { throw new RangeError('uncaught'); }); await new Promise(() => setTimeout(() => {}, 9999));",
     "uncaught", b"some"),
])
def test_a_failing_handler_is_told_at_the_end(client, code, message, body):
    create(client, "f", streaming(f"if (event.ok) return stream.end('fine'); {code}"), Timeout=10)
    got = stream(client, "f")
    assert got.code == "Unhandled"
    assert (got.details["errorType"], got.details["errorMessage"]) == ("RangeError", message)
    assert got.body in (body, b"some")
    assert stream(client, "f", {"ok": True}).body == b"fine"  # no harm to what comes next


def test_an_error_after_the_end_of_the_stream_changes_nothing(client):
    create(client, "f", streaming("stream.end('fine'); await require('node:events').once(stream, 'finish'); throw new Error('after');"))
    for _ in range(2):
        got = stream(client, "f")
        assert (got.body, got.code) == (b"fine", None)


def test_a_large_error_comes_through_the_trailers(client):
    create(client, "f", streaming("stream.write('x'); await new Promise(setImmediate); throw new Error('long '.repeat(20000));"))
    got = stream(client, "f")
    assert got.code == "Unhandled" and got.details["errorMessage"].startswith("long long")


def test_a_handler_that_is_not_async_is_refused(client):
    create(client, "f", "exports.handler = awslambda.streamifyResponse((event, stream) => { setImmediate(() => stream.end('x')); });")
    got = stream(client, "f")
    assert got.code == "Unhandled" and "non-async" in got.details["errorMessage"]


@pytest.mark.parametrize("code, kind", [
    ("stream.write('some'); await new Promise(() => setTimeout(() => {}, 9999));", "Sandbox.Timedout"),
    ("stream.write('some', () => setTimeout(() => process.exit(3), 50)); await new Promise(() => setTimeout(() => {}, 9999));",
     "Runtime.TruncatedResponse"),
])
def test_timeouts_and_exits_underway_are_told_at_the_end(client, code, kind):
    create(client, "f", streaming(code), Timeout=2)
    got = stream(client, "f")
    assert (got.body, got.code, got.details["errorType"]) == (b"some", "Unhandled", kind)


def test_errors_before_the_first_byte_are_ordinary_http_errors(client):
    create(client, "f", streaming("await new Promise((resolve) => setTimeout(resolve, 1500)); stream.end('x');"))
    with refused("ResourceNotFoundException", 404):
        stream(client, "nobody")
    with refused("ValidationException", 400):
        stream(client, "f", InvocationType="Event")
    with refused("InvalidRequestContentException", 400):
        client.invoke_with_response_stream(FunctionName="f", Payload=b"{")
    client.put_function_concurrency(FunctionName="f", ReservedConcurrentExecutions=0)
    with refused("TooManyRequestsException", 429):
        stream(client, "f")


def test_a_dry_run_answers_nothing(client):
    create(client, "f", streaming("stream.end('x')"))
    assert open_stream(client, "f", InvocationType="DryRun")["StatusCode"] == 204


def test_a_runtimes_trailers_and_a_torn_stream_end_as_failures(client):
    create(client, "f", BOOTSTRAP + """
import base64, socket, sys
while True:
    id, event, headers = next_event()
    with socket.create_connection((host, int(port))) as peer:
        peer.sendall((f"POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\\r\\nHost: x\\r\\n"
                      "Lambda-Runtime-Function-Response-Mode: streaming\\r\\nTransfer-Encoding: chunked\\r\\n"
                      "Trailer: Lambda-Runtime-Function-Error-Type\\r\\nTrailer: Lambda-Runtime-Function-Error-Body\\r\\n\\r\\n"
                      "5\\r\\nhello\\r\\n").encode())
        if event.get("torn"):
            continue
        error = base64.b64encode(json.dumps({"errorType": "Mine", "errorMessage": "m"}).encode()).decode()
        peer.sendall((f"0\\r\\nLambda-Runtime-Function-Error-Type: Runtime.Mine\\r\\n"
                      f"Lambda-Runtime-Function-Error-Body: {error}\\r\\n\\r\\n").encode())
        peer.recv(4096)
""", runtime=PROVIDED)
    got = stream(client, "f")
    assert (got.body, got.code, got.details) == (b"hello", "Unhandled", {"errorType": "Mine", "errorMessage": "m"})
    got = stream(client, "f", {"torn": True})
    assert (got.body, got.code, got.details["errorType"]) == (b"hello", "Unhandled", "Runtime.TruncatedResponse")


# -- pace --


def test_a_slow_client_slows_the_handler_down(client, lambda_local):
    """30 MB for a client that does not read: neither lambda-local nor the function takes it all in."""
    create(client, "f", streaming("""
        const chunk = Buffer.alloc(65536, "x");
        for (let n = 0; n < 480; n++) {
            if (!stream.write(chunk)) await new Promise((resolve) => stream.once("drain", resolve));
            console.log("chunk", n);
        }
        stream.end();"""), Timeout=30)
    answer = open_stream(client, "f")
    log = lambda_local.data / "lambda-local" / "functions" / "f" / "function.log"
    lines = lambda: log.read_text().count("\tchunk ")
    wait_for(lambda: log.exists() and lines() > 10, 10, "the handler writes")
    steady = -1
    while steady != lines():  # until it stands still
        steady = lines()
        time.sleep(0.3)
    assert steady < 300, "the handler was not slowed down"
    status = open(f"/proc/{lambda_local.daemon_pid()}/status").read()
    total = sum(len(item["PayloadChunk"]["Payload"]) for item in answer["EventStream"] if "PayloadChunk" in item)
    assert total == 480 * 65536
    anonymous = int(next(line for line in status.splitlines() if line.startswith("RssAnon")).split()[1])
    assert anonymous < 150 * 1024  # kB, under the sanitizer's shadow


def test_a_client_that_leaves_does_not_stop_the_function(client, lambda_local):
    create(client, "f", streaming("""
        for (let n = 0; n < 100; n++) {
            if (!stream.write(Buffer.alloc(65536))) await new Promise((resolve) => stream.once("drain", resolve));
        }
        stream.end(); console.log("went on to the end");"""), Timeout=20)
    answer = open_stream(client, "f")
    next(iter(answer["EventStream"]))
    answer["EventStream"].close()
    log = lambda_local.data / "lambda-local" / "functions" / "f" / "function.log"
    wait_for(lambda: log.exists() and "went on to the end" in log.read_text(), 15, "the function has ended")


def test_ending_while_a_stream_is_under_way_is_clean():
    teach_botocore()
    with LambdaLocal(options={"LAMBDA_LOCAL_DRAIN_TIMEOUT": "200ms"}) as server:
        client = client_of(server)
        create(client, "f", streaming("stream.write('x'); await new Promise(() => setTimeout(() => {}, 60000));"), Timeout=60)
        answer = open_stream(client, "f")
        next(iter(answer["EventStream"]))
        server.stop()
