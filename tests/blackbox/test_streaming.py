"""proxyd streams: frames and preludes however they are split, the pace of the slower, every way to end, and who sees it."""
import concurrent.futures
import http.client
import json
import socket
import threading
import time

import pytest

import harness
from fake_lambda import FakeLambda, Proxy, app, expect_fault, version, wait_idle
from wire_faults import chunk, complete, frame, prelude

STREAM, AUTO = 1, 2


class Stream:
    """The body of an answer of InvokeWithResponseStream, written by a script."""

    def __init__(self, call):
        self.call = call
        call.peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/vnd.amazon.eventstream\r\nX-Amz-Executed-Version: 1\r\n"
                          b"Transfer-Encoding: chunked\r\n\r\n")

    def send(self, *messages, size=None):
        data = b"".join(messages)
        for at in range(0, len(data), size or len(data) or 1):
            piece = data[at:at + (size or len(data))]
            self.call.peer.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
        return self

    def end(self):
        self.call.peer.sendall(b"0\r\n\r\n")


def script(*messages, size=None):
    return lambda call: Stream(call).send(*messages, size=size).end()


@pytest.fixture(scope="module")
def aws():
    with FakeLambda() as made:
        yield made


def routes():
    return [app("s", [version("s", response_mode=STREAM, timeout_s=20)]), app("a", [version("a", response_mode=AUTO, timeout_s=20)]),
            app("one", [version("one", response_mode=STREAM, timeout_s=20)], max_in_flight=1),
            app("brief", [version("brief", response_mode=STREAM, timeout_s=1)])]


@pytest.fixture
def proxyd(aws):
    aws.script.clear()
    aws.calls.clear()
    with Proxy(aws, routes=routes(), options={"PROXYD_STREAM_IDLE_TIMEOUT": "5s"}) as made:
        yield made


class Client:
    """A client that reads piece by piece."""

    def __init__(self, proxyd, name, method="GET", path="/", headers=None, timeout=20, receive_buffer=None):
        self.connection = http.client.HTTPConnection(*proxyd.address, timeout=timeout)
        if receive_buffer:
            self.connection.sock = socket.socket()
            self.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            self.connection.sock.settimeout(timeout)
            self.connection.sock.connect(proxyd.address)
        self.connection.request(method, path, headers={"Host": f"{name}.localhost", **(headers or {})})
        self.response = self.connection.getresponse()
        self.id = self.response.headers["X-Request-Id"]

    def header(self, name):
        return self.response.headers[name]

    def read(self, length):
        data = b""
        while len(data) < length:
            piece = self.response.read1(length - len(data))
            if not piece:
                return data
            data += piece
        return data

    def rest(self):
        """What is left, and whether it ended as it should."""
        data = b""
        try:
            while piece := self.response.read1(65536):
                data += piece
        except (http.client.IncompleteRead, ConnectionResetError, ValueError):
            return data, False
        return data, True

    def close(self):
        self.response.close()
        self.connection.close()


def line_of(proxyd, client):
    return harness.wait_for(lambda: next((line for line in proxyd.access_lines() if line["id"] == client.id), None), 10,
                            "the access line is written")


# -- the way of a stream --


def test_a_stream_with_a_prelude_becomes_the_response(proxyd, aws):
    aws.script["s"] = script(chunk(prelude(statusCode=201, headers={"Content-Type": "text/event-stream", "x-n": 7, "Content-Length": "3"},
                                           cookies=["a=1", "b=2"])), chunk(b"hello "), chunk(b"world"), complete())
    response = proxyd.app("s", "/x?y=1")
    assert (response.status, response.text) == (201, "hello world")
    assert response.header("Content-Type") == "text/event-stream" and response.header("x-n") == "7"
    assert response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert response.header("Transfer-Encoding") == "chunked" and response.header("Content-Length") is None
    assert aws.last().target == "/2021-11-15/functions/s/response-streaming-invocations?Qualifier=1"
    assert aws.last().event["rawPath"] == "/x"
    line = proxyd.line_of(response)
    assert (line["status"], line["bytes_out"], line["stream"], line["attempts"]) == (201, 11, "complete", 1)
    assert 0 < line["first_byte_us"] <= line["duration_us"] and "fault" not in line


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50])
def test_bytes_split_anywhere_make_the_same_response(proxyd, aws, size):
    aws.script["s"] = script(chunk(prelude(statusCode=202, headers={"x-a": "b"})), chunk(b"the body"), complete(), size=size)
    response = proxyd.app("s")
    assert (response.status, response.header("x-a"), response.text) == (202, "b", "the body")


def test_a_prelude_split_by_frames_anywhere_makes_the_same_response(proxyd, aws):
    whole = prelude(statusCode=202, headers={"x-a": "b"}) + b"\0body"
    for at in range(1, len(whole)):
        aws.script["s"] = script(chunk(whole[:at]), chunk(whole[at:]), complete())
        response = proxyd.app("s")
        assert (response.status, response.header("x-a"), response.body) == (202, "b", b"\0body"), at


@pytest.mark.parametrize("name", ["s", "a"])
def test_a_raw_stream_is_the_body(proxyd, aws, name):
    aws.script[name] = script(chunk(b"plain "), chunk(b"bytes \0\xff"), complete())
    response = proxyd.app(name)
    assert (response.status, response.body) == (200, b"plain bytes \0\xff")
    assert response.header("Content-Type") == "application/octet-stream"
    assert response.header("Transfer-Encoding") == "chunked"


def test_an_empty_stream_is_an_empty_response(proxyd, aws):
    aws.script["s"] = script(complete())
    response = proxyd.app("s")
    assert (response.status, response.body) == (200, b"")
    assert proxyd.line_of(response)["stream"] == "complete"


def test_auto_takes_buffered_replies_too(proxyd, aws):
    reply = json.dumps({"statusCode": 203, "headers": {"x-a": "b"}, "body": "x" * 50000}).encode()
    aws.script["a"] = script(chunk(reply[:10]), chunk(reply[10:30000]), chunk(reply[30000:]), complete())
    response = proxyd.app("a")
    assert (response.status, response.header("x-a"), response.text) == (203, "b", "x" * 50000)
    assert response.header("Content-Length") == "50000" and "stream" not in proxyd.line_of(response)
    aws.script["a"] = script(chunk(prelude(statusCode=201)), chunk(b"{}"), complete())
    response = proxyd.app("a")
    assert (response.status, response.text, response.header("Transfer-Encoding")) == (201, "{}", "chunked")
    aws.script["a"] = script(*[chunk(b"{" + b" " * 1_000_000)] * 7, complete())
    assert "6 MB" in expect_fault(proxyd, proxyd.app("a"), "bad-reply", 502, "ran")["detail"]


def test_stream_passes_json_on_as_it_is(proxyd, aws):
    aws.script["s"] = script(chunk(b'{"statusCode": 400}'), complete())
    response = proxyd.app("s")
    assert (response.status, response.text) == (200, '{"statusCode": 400}')


@pytest.mark.parametrize("method, status", [("HEAD", 200), ("GET", 204), ("GET", 304)])
def test_responses_without_a_body_end_with_their_head(proxyd, aws, method, status):
    go_on = threading.Event()

    def behave(call):
        stream = Stream(call).send(chunk(prelude(statusCode=status, headers={"x-a": "b"})), chunk(b"dropped"))
        go_on.wait(10)
        stream.send(complete()).end()
    aws.script["s"] = behave
    client = Client(proxyd, "s", method)
    assert (client.response.status, client.header("x-a"), client.response.read()) == (status, "b", b"")
    client.connection.request("GET", "/", headers={"Host": "nobody.localhost"})  # the connection is free for the next
    assert client.connection.getresponse().status == 404
    go_on.set()
    line = line_of(proxyd, client)
    assert (line["status"], line["bytes_out"], line["stream"]) == (status, 0, "complete")
    client.close()


def test_http_1_0_gets_the_bytes_until_the_close(proxyd, aws):
    aws.script["s"] = script(chunk(prelude(headers={"x-a": "b"})), chunk(b"hello "), chunk(b"world"), complete())
    got = harness.raw(proxyd.address, b"GET / HTTP/1.0\r\nHost: s.localhost\r\n\r\n")
    head, _, body = got.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.") and b" 200 " in head and b"chunked" not in head.lower() and body == b"hello world"


# -- failures --


LATE = [
    ("bad CRC", lambda stream: stream.send(chunk(b"more")[:-1] + b"\0").end(), "lambda-failed", "unknown"),
    ("no end", lambda stream: stream.end(), "lambda-failed", "unknown"),
    ("half a frame", lambda stream: stream.send(chunk(b"more")[:-9]).end(), "lambda-failed", "unknown"),
    ("closed", lambda stream: False, "lambda-failed", "unknown"),
    ("reset", lambda stream: stream.call.reset(), "lambda-failed", "unknown"),
    ("garbage", lambda stream: stream.send(b"\xff" * 64).end(), "lambda-failed", "unknown"),
    ("function error", lambda stream: stream.send(complete(ErrorCode="Unhandled", ErrorDetails='{"errorType":"Mine","errorMessage":"secret"}')).end(),
     "function-error", "ran"),
    ("timeout", lambda stream: stream.send(complete(ErrorCode="Unhandled", ErrorDetails='{"errorType":"Sandbox.Timedout","errorMessage":"m"}')).end(),
     "function-timeout", "ran"),
    ("exception", lambda stream: stream.send(frame(b'{"message":"m"}', message_type="exception", exception_type="ServiceException")).end(),
     "lambda-failed", "unknown"),
]


@pytest.mark.parametrize("how, act, fault, invocation", LATE, ids=[row[0] for row in LATE])
def test_a_late_failure_is_a_cut_connection_with_the_reason_in_the_log(proxyd, aws, how, act, fault, invocation):
    received = threading.Event()

    def behave(call):
        stream = Stream(call).send(chunk(prelude(headers={"Content-Type": "text/plain"})), chunk(b"first "))
        received.wait(10)
        return act(stream)
    aws.script["s"] = behave
    client = Client(proxyd, "s")
    assert client.read(6) == b"first "
    received.set()
    data, whole = client.rest()
    assert not whole, f"the client took {how} for a good end"
    line = line_of(proxyd, client)
    assert (line["status"], line["fault"], line["invocation"], line["stream"]) == (200, fault, invocation, "cut")
    assert line["detail"] and line["bytes_out"] == 6 + len(data) + (4 if how in ("bad CRC",) and not data else 0), line
    assert "secret" not in json.dumps(line) and aws.count("s") == 1
    wait_idle(proxyd)


EARLY = [
    ("bad CRC", script(chunk(b"{")[:-1] + b"\0", size=5), "lambda-failed", 502, "unknown"),
    ("no end", script(chunk(b"{")), "lambda-failed", 502, "unknown"),
    ("function error", script(complete(ErrorCode="Unhandled", ErrorDetails='{"errorType":"Mine","errorMessage":"internals"}')), "function-error", 502, "ran"),
    ("error without details", script(complete(ErrorCode="Unhandled")), "function-error", 502, "ran"),
    ("timeout", script(complete(ErrorCode="Unhandled", ErrorDetails='{"errorType":"Sandbox.Timedout"}')), "function-timeout", 504, "ran"),
    ("bad prelude", script(chunk(prelude(statusCode=99)), complete()), "bad-reply", 502, "ran"),
    ("injection", script(chunk(prelude(headers={"x": "a\r\nb: c"})), complete()), "bad-reply", 502, "ran"),
    ("forbidden", lambda call: call.service_error(403, "AccessDeniedException"), "lambda-refused", 502, "not-started"),
]


@pytest.mark.parametrize("how, behave, fault, status, invocation", EARLY, ids=[row[0] for row in EARLY])
def test_a_failure_before_the_first_byte_is_the_usual_fault(proxyd, aws, how, behave, fault, status, invocation):
    aws.script["s"] = behave
    expect_fault(proxyd, proxyd.app("s"), fault, status, invocation)
    assert aws.count("s") == 1
    wait_idle(proxyd)


def test_a_throttle_before_the_first_byte_is_retried(proxyd, aws):
    good = script(chunk(b"third time"), complete())
    aws.script["s"] = lambda call: good(call) if aws.count("s") == 3 else call.service_error(429, "TooManyRequestsException")
    response = proxyd.app("s")
    assert (response.status, response.text) == (200, "third time")
    line = proxyd.line_of(response)
    assert line["attempts"] == 3 and "fault" not in line


# -- time, and who leaves --


def test_a_stream_that_falls_silent_is_cut(aws):
    with Proxy(aws, routes=routes(), options={"PROXYD_STREAM_IDLE_TIMEOUT": "300ms"}) as proxyd:
        aws.script["s"] = lambda call: (Stream(call).send(chunk(b"first ")), call.peer.recv(1))
        client = Client(proxyd, "s")
        started = time.monotonic()
        assert client.rest() == (b"first ", False)
        assert 0.2 < time.monotonic() - started < 5
        line = line_of(proxyd, client)
        assert (line["fault"], line["stream"]) == ("deadline", "cut") and "idle" in line["detail"]


def test_the_deadline_holds_for_the_whole_stream(proxyd, aws):
    def behave(call):
        stream = Stream(call)
        for _ in range(100):
            stream.send(chunk(b"x"))
            time.sleep(0.05)
    aws.script["brief"] = behave
    client = Client(proxyd, "brief")
    data, whole = client.rest()
    assert not whole and 20 < len(data) < 60
    line = line_of(proxyd, client)
    assert (line["fault"], line["stream"], line["status"]) == ("deadline", "cut", 200)
    assert 1_800_000 < line["duration_us"] < 4_000_000


def test_a_client_that_leaves_cancels_the_call_and_its_place_is_held(proxyd, aws):
    ended = threading.Event()

    def behave(call):
        stream = Stream(call).send(chunk(b"first "))
        if call.peer.recv(1) == b"":
            ended.set()
        stream.end()
    aws.script["one"] = behave
    client = Client(proxyd, "one")
    assert client.read(6) == b"first "
    client.close()
    assert ended.wait(5), "the call was not cancelled"
    line = line_of(proxyd, client)
    assert (line["client_gone"], line["stream"], line["status"]) == (True, "client-gone", 200) and "fault" not in line
    aws.script["one"] = script(chunk(b"next"), complete())
    expect_fault(proxyd, proxyd.app("one"), "app-busy", 429, "not-started", 1)  # the function may run on
    assert harness.wait_for(lambda: proxyd.app("one").text == "next", 8, "the place is free again")
    wait_idle(proxyd)


def test_ending_while_streams_are_under_way_is_clean(aws):
    with Proxy(aws, routes=routes(), options={"PROXYD_DRAIN_TIMEOUT": "300ms"}) as proxyd:
        aws.script["s"] = lambda call: (Stream(call).send(chunk(b"first ")), call.peer.recv(1))
        clients = [Client(proxyd, "s") for _ in range(5)]
        assert all(client.read(6) == b"first " for client in clients)
        proxyd.stop()
        assert not any(client.rest()[1] for client in clients)


# -- pace --


def anonymous_kb(process):
    with open(f"/proc/{process.daemon_pid()}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon"))


def test_a_slow_reader_costs_proxyd_no_memory(aws):
    """30 MB for a client that does not read, and then does."""
    piece, count = b"x" * 200_000, 150
    sent = []

    def behave(call):
        stream = Stream(call)
        for n in range(count):
            stream.send(chunk(piece))
            sent.append(n)
        stream.send(complete()).end()
    aws.script["patient"] = behave
    options = {"ASAN_OPTIONS": "detect_leaks=1:exitcode=99:quarantine_size_mb=1"}  # what was freed is not held back
    patient = [app("patient", [version("patient", response_mode=STREAM, timeout_s=600)])]  # a busy kernel takes its time
    with Proxy(aws, routes=patient, options=options) as proxyd:
        client = Client(proxyd, "patient", timeout=100, receive_buffer=1 << 20)
        steady = -1
        while steady != len(sent):  # until it stands still
            steady = len(sent)
            time.sleep(0.3)
        assert 0 < steady < 100, "nothing held Lambda back"
        assert anonymous_kb(proxyd) < 32 * 1024
        data, whole = client.rest()
        assert whole and len(data) == count * len(piece)
        assert anonymous_kb(proxyd) < 32 * 1024
        assert line_of(proxyd, client)["bytes_out"] == count * len(piece)


# -- with functions --


SSE = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
    const {port, count} = event.queryStringParameters ?? {}; // a probe has none
    stream = awslambda.HttpResponseStream.from(stream, {statusCode: 200, headers: {"Content-Type": "text/event-stream"}});
    if (!count) return stream.end("");
    const socket = require("node:net").connect(Number(port), "127.0.0.1");
    for (let n = 0; n < Number(count); n++) {
        stream.write(`data: ${n}\\n\\n`);
        await new Promise((resolve) => socket.once("data", resolve));
    }
    socket.destroy();
    stream.end();
});
"""
MIXED = """
const streamed = awslambda.streamifyResponse(async (event, stream) => {
    if (event.rawPath === "/fail") throw new Error("early");
    if (event.rawPath === "/late") { stream.write("some"); await new Promise((r) => setTimeout(r, 200)); throw new Error("late"); }
    if (event.rawPath === "/raw") return stream.end("raw bytes");
    awslambda.HttpResponseStream.from(stream, {statusCode: 418, headers: {"x-a": "b"}, cookies: ["a=1", "b=2"]}).end("tea");
});
exports.handler = streamed;
"""


def deploy(stack, name, code, mode):
    stack.managerd.request("PUT", f"/v1/apps/{name}", body={"http": {"responseMode": mode}})
    return stack.deploy(name, {"index.js": code}, timeoutSeconds=30)


def test_server_sent_events_in_lockstep(shared_stack):
    """Chunk n+1 is written only after the client has confirmed chunk n."""
    confirm = threading.Semaphore(0)

    def behave(peer, number):
        while confirm.acquire(timeout=20):
            peer.sendall(b"+")
    deploy(shared_stack, "sse", SSE, "stream")
    with harness.RawServer(behave) as server:
        client = Client(shared_stack.proxyd, "sse", path=f"/?port={server.port}&count=1000")
        assert client.header("Content-Type") == "text/event-stream"
        for n in range(1000):
            event = b"data: %d\n\n" % n
            assert client.read(len(event)) == event
            confirm.release()
        assert client.rest() == (b"", True)
    line = line_of(shared_stack.proxyd, client)
    assert (line["stream"], line["bytes_out"]) == ("complete", sum(len(f"data: {n}\n\n") for n in range(1000)))


def test_functions_through_the_whole_stack(shared_stack):
    deploy(shared_stack, "mixed", MIXED, "stream")
    response = shared_stack.app("mixed")
    assert (response.status, response.text, response.header("x-a")) == (418, "tea", "b")
    assert response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]
    assert shared_stack.app("mixed", "/raw").text == "raw bytes"
    assert shared_stack.app("mixed", "/fail").status == 502
    client = Client(shared_stack.proxyd, "mixed", path="/late")
    assert client.rest() == (b"some", False)
    line = line_of(shared_stack.proxyd, client)
    assert (line["fault"], line["detail"], line["stream"]) == ("function-error", "Error", "cut")


def test_auto_serves_streaming_and_buffered_handlers(shared_stack):
    deploy(shared_stack, "both", MIXED, "auto")
    assert shared_stack.app("both").text == "tea" and shared_stack.app("both", "/raw").text == "raw bytes"
    deploy(shared_stack, "both", "exports.handler = async (event) => ({statusCode: 201, body: event.rawPath})", "auto")
    response = shared_stack.app("both", "/x")
    assert (response.status, response.text, response.header("Content-Length")) == (201, "/x", "2")


def test_a_hundred_streams_at_once(proxyd, aws):
    """All are open at the same time: no stream ends before each of them has its first event."""
    count, opened, all_open = 100, threading.Semaphore(0), threading.Event()

    def behave(call):
        stream = Stream(call).send(chunk(prelude(headers={"Content-Type": "text/event-stream"})), chunk(b"data: 0\n\n"))
        if all_open.wait(30):
            for n in range(1, 10):
                stream.send(chunk(b"data: %d\n\n" % n))
            stream.send(complete()).end()
    aws.script["s"] = behave

    def read(_):
        client = Client(proxyd, "s", timeout=40)
        first = client.read(9)
        opened.release()
        rest, whole = client.rest()
        client.close()
        return first + rest, whole
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        results = [pool.submit(read, n) for n in range(count)]
        for _ in range(count):
            assert opened.acquire(timeout=30), "a stream did not begin"
        all_open.set()
        expected = b"".join(b"data: %d\n\n" % n for n in range(10))
        assert all(result.result(40) == (expected, True) for result in results)
    wait_idle(proxyd)
