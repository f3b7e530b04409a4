"""Everything that can happen to a call: status, class, headers, access line and figures; and what ran, by request id.

One row a case; each is played on a fresh connection and on a kept one, and, where it means something, for buffered and
for streamed versions. The fake counts what it received in whole; acts say whether the function would have run.
"""
import dataclasses
import ssl
import threading
import time
import uuid
from typing import Callable, Optional

import pytest

import harness
import wire_faults as wire
from fake_lambda import FakeLambda, Proxy, app, expect_fault, version
from secure_proxy import make_certificate, openssl
from wire_faults import answers, chunk, complete, ends, exception, fine, frame, function_error, head, prelude, says, sized

STREAM = 1
ALL = ("buffered", "stream", "async")  # async: Prefer: respond-async, for which Lambda only takes the event in
DEADLINE_MS = 5000


@dataclasses.dataclass
class Row:
    name: str
    act: Callable
    fault: Optional[str]  # None: a good answer
    status: int = 200
    invocation: Optional[str] = None
    attempts: int = 1
    modes: tuple = ("buffered", "stream")
    detail: Optional[str] = None  # a part of it
    retry_after: Optional[int] = None
    deadline_ms: int = DEADLINE_MS
    cut: bool = False  # a stream whose answer had begun
    outcome: Optional[str] = None

    def __str__(self):
        return self.name


def unknown(name, act, detail=None, **more):
    return Row(name, act, "lambda-failed", 502, "unknown", detail=detail, outcome="broken", **more)


def useless(name, act, detail=None, **more):
    return Row(name, act, "bad-reply", 502, "ran", detail=detail, outcome="broken", **more)


def good(name, act, **more):
    return Row(name, act, None, outcome="answered", **more)


def late(name, act, **more):
    """After the first byte: the client sees a cut."""
    return Row(name, act, more.pop("fault", "lambda-failed"), 200, more.pop("invocation", "unknown"), modes=("stream",), cut=True, **more)


BUFFERED_ONLY, STREAM_ONLY = ("buffered",), ("stream",)
BEGUN = chunk(prelude(statusCode=200)) + chunk(b"first ")


def streamed(*messages, chunked=True):
    """A whole answer by HTTP, whatever the messages are."""
    data = b"".join(messages)
    if not chunked:
        return sized(data)
    return head("200 OK", "Transfer-Encoding: chunked") + b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data)


def spoilt(message, at):
    return message[:at] + bytes([message[at] ^ 1]) + message[at + 1:]


THROTTLES = ["ConcurrentInvocationLimitExceeded", "FunctionInvocationRateLimitExceeded",
             "ReservedFunctionConcurrentInvocationLimitExceeded", "ReservedFunctionInvocationRateLimitExceeded",
             "CallerRateLimitExceeded", "ConcurrentSnapshotCreateLimitExceeded"]

# code, status, whether it heals by itself
NOT_STARTED = [
    ("EC2AccessDeniedException", 502, False), ("EC2ThrottledException", 502, True), ("EC2UnexpectedException", 502, True),
    ("ENILimitReachedException", 502, True), ("ENINotReadyException", 502, True), ("InvalidRuntimeException", 502, False),
    ("InvalidSecurityGroupIDException", 502, False), ("InvalidSubnetIDException", 502, False), ("InvalidZipFileException", 502, False),
    ("KMSAccessDeniedException", 502, False), ("KMSDisabledException", 502, False), ("KMSInvalidStateException", 502, False),
    ("KMSNotFoundException", 502, False), ("ResourceNotReadyException", 502, True), ("SubnetIPAddressLimitReachedException", 502, True),
    ("EFSMountConnectivityException", 408, True), ("EFSMountTimeoutException", 408, True), ("S3FilesMountConnectivityException", 408, True),
    ("S3FilesMountTimeoutException", 408, True), ("SnapStartTimeoutException", 408, True), ("SnapStartNotReadyException", 409, True),
    ("CodeArtifactUserPendingException", 409, True), ("CodeArtifactUserFailedException", 409, False),
    ("CodeArtifactUserDeletedException", 409, False), ("SnapStartRegenerationFailureException", 409, False),
    ("ResourceConflictException", 409, True), ("SnapStartException", 400, False), ("EFSMountFailureException", 403, False),
    ("S3FilesMountFailureException", 403, False),
]

REFUSED = [(400, "InvalidParameterValueException"), (400, "InvalidRequestContentException"), (400, "ModeNotSupportedException"),
           (400, "NoPublishedVersionException"), (400, "RecursiveInvocationException"), (402, "ServiceQuotaExceededException"),
           (403, "AccessDeniedException"), (403, "UnrecognizedClientException"), (403, "InvalidSignatureException"),
           (403, "ExpiredTokenException"), (403, "MissingAuthenticationTokenException"), (404, "ResourceNotFoundException"),
           (409, "DurableExecutionAlreadyStartedException"), (415, "UnsupportedMediaTypeException"), (405, "Other"), (499, "Other")]

UNKNOWN = [(500, "ServiceException"), (500, "Other"), (501, "Other"), (502, "Other"), (502, "ServiceException"), (503, "ServiceUnavailableException"),
           (504, "Other"), (599, "Other"), (410, "EFSIOException"), (201, "Other"), (206, "Other"), (301, "Moved"), (302, "Found"),
           (307, "Redirect"), (308, "Redirect")]


def modes(number):
    return ALL if number % 3 == 0 else ALL[:2]


def lambdas_errors():
    for number, reason in enumerate(THROTTLES):
        yield Row(f"429 {reason}", answers(429, "TooManyRequestsException", {"Retry-After": "4"} if number % 2 else None, {"Reason": reason}),
                  "throttled", 429, "not-started", 1 if number % 2 else 3, detail="TooManyRequestsException",
                  retry_after=4 if number % 2 else 1, outcome="throttled", modes=modes(number))
    for number, (code, status, heals) in enumerate(NOT_STARTED):
        yield Row(f"{status} {code}", answers(status, code), "lambda-not-ready", 503, "not-started", 3 if heals else 1, detail=code,
                  retry_after=1, outcome="not-ready", modes=modes(number))
    for number, (status, code) in enumerate(REFUSED):
        yield Row(f"{status} {code}", answers(status, code), "lambda-refused", 502, "not-started", detail=code, outcome="refused", modes=modes(number))
    for number, code in enumerate(("RequestTooLargeException", "SerializedRequestEntityTooLargeException")):
        yield Row(f"413 {code}", answers(413, code), "event-too-large", 413, "not-started", detail=code, outcome="refused", modes=modes(number))
    for number, (status, code) in enumerate(UNKNOWN):
        yield unknown(f"{status} {code}", answers(status, code, {"Location": "http://127.0.0.1:9/elsewhere"}), detail=code, modes=modes(number))


WIRE = [
    unknown("FIN before the answer", ends("close", has_run=True), modes=ALL),
    unknown("reset before the answer", ends("reset", has_run=True), modes=ALL),
    unknown("FIN in the status line", says(b"HTTP/1."), modes=ALL),
    unknown("FIN in the head", says(b"HTTP/1.1 202 OK\r\nContent-Le"), modes=ALL),
    unknown("reset in the head", says(b"HTTP/1.1 202 OK\r\nContent-Le", "reset"), modes=ALL),
    unknown("200 for an event to be taken in", says(sized(b"{}")), modes=("async",)),
    unknown("FIN behind the head", says(head("200 OK", "Content-Length: 100"))),
    unknown("half a body, FIN", says(sized(wire.FINE)[:-9]), modes=BUFFERED_ONLY),
    unknown("half a body, reset", says(sized(wire.FINE)[:-9], "reset"), modes=BUFFERED_ONLY),
    unknown("chunks without an end", says(head("200 OK", "Transfer-Encoding: chunked") + b"5\r\n{\"a\":\r\n"), modes=BUFFERED_ONLY),
    unknown("a chunk size that is none", says(head("200 OK", "Transfer-Encoding: chunked") + b"xyz\r\n{}\r\n0\r\n\r\n")),
    unknown("not HTTP", says(b"\x00\x01\x02 not http at all\r\n\r\n")),
    unknown("another protocol", says(b"SSH-2.0-OpenSSH_9.2\r\n", "keep")),
    unknown("HTTP/3", says(b"HTTP/3.0 200 OK\r\nContent-Length: 2\r\n\r\n{}")),
    unknown("a status of two digits", says(b"HTTP/1.1 20 OK\r\nContent-Length: 2\r\n\r\n{}")),
    unknown("status 99", says(b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\n{}")),
    unknown("a length that is no number", says(head("200 OK", "Content-Length: many") + b"{}")),
    unknown("a negative length", says(head("200 OK", "Content-Length: -5") + b"{}")),
    unknown("101", says(head("101 Switching Protocols", "Upgrade: h2c", "Connection: Upgrade"), "close")),
    unknown("an endless 103", says(head("103 Early Hints") * 50)),
    good("100, 102 and 103 first", says(lambda mode: head("100 Continue") + head("102 Processing") + head("103 Early Hints", "Link: </x>")
                                        + sized(fine(mode)), "keep")),
    good("a thousand 103 first", says(lambda mode: head("103 Early Hints", "Link: </x>") * 1000 + sized(fine(mode)), "keep")),
    good("no length, FIN", says(lambda mode: head() + fine(mode))),
    good("HTTP/1.0", says(lambda mode: b"HTTP/1.0 200 OK\r\n\r\n" + fine(mode))),
    good("chunks", says(lambda mode: streamed(fine(mode)), "keep")),
    good("byte by byte", wire.byte_by_byte(lambda mode: sized(fine(mode)))),
    good("bytes behind the body", says(lambda mode: sized(fine(mode)) + sized(b'{"statusCode":418,"body":"smuggled"}'), "keep")),
    Row("silence", wire.silent(), "deadline", 504, "unknown", deadline_ms=200, outcome="deadline", modes=ALL),
    Row("silence in the head", wire.silent(b"HTTP/1.1 200 OK\r\nContent-"), "deadline", 504, "unknown", deadline_ms=200, outcome="deadline"),
    Row("silence in the body", wire.silent(sized(wire.FINE)[:-5]), "deadline", 504, "unknown", deadline_ms=200, modes=BUFFERED_ONLY, outcome="deadline"),
    Row("too slow, byte by byte", wire.byte_by_byte(lambda mode: sized(fine(mode)), 0.01), "deadline", 504, "unknown", deadline_ms=200,
        outcome="deadline"),
    useless("a huge head", says(b"HTTP/1.1 200 OK\r\n" + b"".join(b"x-%d: %s\r\n" % (n, b"y" * 1000) for n in range(80)) + b"\r\n{}"), "64 KiB"),
    useless("a huge header", says(b"HTTP/1.1 200 OK\r\nx: " + b"y" * 90000 + b"\r\n\r\n{}"), "64 KiB"),
    useless("a huge body", says(sized(b'"' + b"x" * 7000000 + b'"')), "6 MB", modes=BUFFERED_ONLY),
    useless("a huge body in chunks", wire.flood(head("200 OK", "Transfer-Encoding: chunked"), b"10000\r\n" + b" " * 65536 + b"\r\n", 120), "6 MB",
            modes=BUFFERED_ONLY),
    useless("a length beyond all", wire.flood(head("200 OK", "Content-Length: 9223372036854775807"), b" " * 65536, 120), "6 MB", modes=BUFFERED_ONLY),
]

ERRORS = [
    Row(f"function error, {kind}", function_error(kind, {"errorType": "TypeError", "errorMessage": "secret internals"}), "function-error", 502, "ran",
        detail="TypeError", outcome="function-error") for kind in ("Handled", "Unhandled", "handled", "Other")
] + [
    Row("the function's own timeout", function_error("Unhandled", {"errorType": "Sandbox.Timedout",
                                                                   "errorMessage": "RequestId: 1 Error: Task timed out after 3.00 seconds"}),
        "function-timeout", 504, "ran", detail="Sandbox.Timedout", outcome="function-error"),
    Row("a runtime that exits", function_error("Unhandled", {"errorType": "Runtime.ExitError", "errorMessage": "exit 1"}), "function-error", 502, "ran",
        detail="Runtime.ExitError", outcome="function-error"),
    Row("a reply that is too large for Lambda", function_error("Unhandled", {"errorType": "Function.ResponseSizeTooLarge"}), "function-error", 502, "ran",
        outcome="function-error"),
    Row("an error that is not JSON", lambda call: wire.ran(call).answer(200, b"<html>", {"X-Amz-Function-Error": "Unhandled"}), "function-error", 502,
        "ran", modes=BUFFERED_ONLY, outcome="function-error"),
    Row("not JSON", says(sized(b"<html>secret internals</html>"), "keep"), "bad-reply", 502, "ran", modes=("old",)),
    Row("JSON that ends too early", says(sized(b'{"statusCode":200,'), "keep"), "bad-reply", 502, "ran", modes=("old",)),
    Row("JSON of another shape", says(sized(b"[1,2,3]"), "keep"), "bad-reply", 502, "ran", modes=("old",)),
    Row("a status in words", says(sized(b'{"statusCode":"OK","body":"x"}'), "keep"), "bad-reply", 502, "ran", modes=("old",)),
    Row("nothing", says(sized(b""), "keep"), "bad-reply", 502, "ran", modes=("old",)),
    Row("a status that is none", says(sized(b'{"statusCode":1000}'), "keep"), "bad-reply", 502, "ran", modes=("buffered", "old")),
]

FRAMES = [
    unknown("a page instead of frames", says(sized(b"<html>secret internals</html>"), "keep"), modes=STREAM_ONLY),
    unknown("a buffered reply instead of frames", says(sized(wire.FINE), "keep"), modes=STREAM_ONLY),
    unknown("nothing at all", says(sized(b""), "keep"), modes=STREAM_ONLY),
    unknown("a bad CRC of the lengths", says(streamed(spoilt(chunk(b"x"), 8), complete()), "keep"), modes=STREAM_ONLY),
    unknown("a bad CRC of the message", says(streamed(spoilt(chunk(b"{"), len(chunk(b"{")) - 1), complete()), "keep"), modes=STREAM_ONLY),
    late("a spoilt payload", says(streamed(spoilt(chunk(b"hello"), len(chunk(b"hello")) - 6), complete()), "keep")),
    unknown("a length beyond all", says(streamed(b"\xff\xff\xff\xff" + chunk(b"x")[4:]), "keep"), modes=STREAM_ONLY),
    unknown("a length below the least", says(streamed(b"\0\0\0\x0f" + chunk(b"x")[4:]), "keep"), modes=STREAM_ONLY),
    unknown("headers longer than the message", says(streamed(chunk(b"x")[:4] + b"\0\x01\0\0" + chunk(b"x")[8:]), "keep"), modes=STREAM_ONLY),
    unknown("the end is missing", says(streamed(chunk(b"{")), "keep"), modes=STREAM_ONLY),
    unknown("half a frame, FIN", says(head("200 OK", "Transfer-Encoding: chunked") + b"20\r\n" + chunk(b"x")[:16]), modes=STREAM_ONLY),
    unknown("half a frame, reset", says(head("200 OK", "Transfer-Encoding: chunked") + b"20\r\n" + chunk(b"x")[:16], "reset"), modes=STREAM_ONLY),
    unknown("an exception at once", says(streamed(exception("ServiceException")), "keep"), "ServiceException", modes=STREAM_ONLY),
    unknown("an error at once", says(streamed(frame(message_type="error", error_code="InternalFailure", error_message="m")), "keep"), modes=STREAM_ONLY),
    useless("a prelude of no status", says(streamed(chunk(prelude(statusCode=99)), complete()), "keep"), modes=STREAM_ONLY),
    good("frames byte by byte", wire.byte_by_byte(lambda mode: streamed(wire.fine_frames())), modes=STREAM_ONLY),
    late("late FIN", says(head("200 OK", "Transfer-Encoding: chunked") + b"%x\r\n%s\r\n" % (len(BEGUN), BEGUN))),
    late("late reset", says(sized(BEGUN + complete())[:-20], "reset")),
    late("late bad CRC", says(streamed(BEGUN, spoilt(chunk(b"more"), 8)), "keep")),
    late("late end missing", says(streamed(BEGUN), "keep")),
    late("late exception", says(streamed(BEGUN, exception("ServiceException")), "keep")),
    late("late function error", says(streamed(BEGUN, complete(ErrorCode="Unhandled", ErrorDetails='{"errorType":"Mine"}')), "keep"), fault="function-error",
         invocation="ran"),
    late("late timeout", says(streamed(BEGUN, complete(ErrorCode="Unhandled", ErrorDetails='{"errorType":"Sandbox.Timedout"}')), "keep"),
         fault="function-timeout", invocation="ran"),
    late("late silence", wire.silent(head("200 OK", "Transfer-Encoding: chunked") + b"%x\r\n%s\r\n" % (len(BEGUN), BEGUN)), fault="deadline", deadline_ms=300),
]

ROWS = [*lambdas_errors(), *WIRE, *ERRORS, *FRAMES]


def good_answer(mode, *lines):
    return sized(b"", "202 Accepted", *lines) if mode == "async" else sized(fine(mode), "200 OK", *lines)


def assert_fine(response, mode):
    assert response.status == 202 if mode == "async" else (response.status, response.text) == (200, "fine"), response


class Scene:
    """One fake Lambda and one proxy with one worker, so that a second request takes the connection of the first."""

    def __init__(self, tls=None, options=None):
        self.aws = FakeLambda(tls)
        self.deadlines = {row.deadline_ms for row in ROWS}
        routes = []
        for deadline in self.deadlines:
            for mode, settings in (("buffered", {}), ("stream", {"response_mode": STREAM}), ("async", {}), ("old", {"payload_format": 1})):
                name = f"{mode}-{deadline}"
                self.aws.script[name] = self.script
                routes.append(app(name, [version(name, timeout_s=20, **settings)], deadline_ms=deadline, respond_async=mode == "async"))
        self.proxyd = Proxy(self.aws, routes=routes, options={"PROXYD_WORKERS": "1", "PROXYD_BREAKER_FAILURES": "0", **(options or {})})
        self.acts = {}

    def script(self, call):
        call.mode = call.function.split("-")[0].replace("old", "buffered")
        call.ran = False
        call.id = next(value for name, value in call.event["headers"].items() if name.lower() == "x-request-id")
        return self.acts.get(call.id, says(good_answer, "keep"))(call)

    def ask(self, mode, act=None, deadline_ms=DEADLINE_MS, body=b"{}"):
        identity = str(uuid.uuid4())
        if act:
            self.acts[identity] = act
        self.aws.calls.clear()
        return self.proxyd.app(f"{mode}-{deadline_ms}", "/", "POST", body=body, timeout=30,
                               headers={"X-Request-Id": identity, **({"Prefer": "respond-async"} if mode == "async" else {})})

    def prepare(self, kept, mode):
        """The next call takes a fresh connection, or a kept one."""
        act = says(good_answer, "keep") if kept else says(lambda mode: good_answer(mode, "Connection: close"))
        assert_fine(self.ask(mode, act), mode)

    def figures(self):
        text = harness.request(self.proxyd.admin_url + "/metrics").text
        return {line.rsplit(" ", 1)[0]: float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line and line[0] != "#"}

    def __enter__(self):
        self.aws.__enter__()
        try:
            self.proxyd.__enter__()
        except BaseException:
            self.aws.__exit__()
            raise
        return self

    def __exit__(self, kind, value, trace):
        self.proxyd.__exit__(kind, value, trace)
        self.aws.__exit__(kind, value, trace)


@pytest.fixture(scope="module")
def scene():
    with Scene() as made:
        yield made


def expect_counts(calls, invocation, attempts):
    """What the other side knows: nothing that did not start has run, and nothing ran twice."""
    assert len(calls) == attempts, [call.target for call in calls]
    assert len({call.id for call in calls}) <= 1
    times = sum(call.ran for call in calls)
    assert times <= 1
    assert times == 0 if invocation == "not-started" else True
    assert times == 1 if invocation in ("ran", None) else True


def expect_cut(scene, row, mode):
    """The head went out; then the answer breaks off, and the access line says why."""
    from http.client import HTTPException
    try:
        response = scene.ask(mode, row.act, row.deadline_ms)
    except (HTTPException, OSError):
        response = None
    assert response is None, f"the client took {row} for a good end"
    line = harness.wait_for(lambda: next((line for line in scene.proxyd.access_lines() if line.get("client_request_id") == scene.aws.last().id), None), 10,
                            "the access line is written")
    assert (line["status"], line["fault"], line["invocation"], line["stream"], line["attempts"]) == (200, row.fault, row.invocation, "cut", 1)


def play(scene, row, mode, kept):
    scene.prepare(kept, mode)
    before = scene.figures()
    if row.cut:
        expect_cut(scene, row, mode)
    else:
        response = scene.ask(mode, row.act, row.deadline_ms)
        if row.fault is None:
            assert (response.status, response.text) == (200, "fine"), response
            assert response.header("X-Orchestrator-Invocation") is None
            line = scene.proxyd.line_of(response)
            assert "fault" not in line
        else:
            line = expect_fault(scene.proxyd, response, row.fault, row.status, row.invocation, row.retry_after)
        assert line["attempts"] == row.attempts
        if row.detail:
            assert row.detail in line["detail"], line
        assert "secret" not in str(line)
    expect_counts(list(scene.aws.calls), row.invocation, row.attempts)
    after = scene.figures()
    if row.fault:
        sample = f'proxyd_faults_total{{fault="{row.fault}",invocation="{row.invocation}"}}'
        assert after[sample] == before[sample] + 1
    if row.outcome:
        sample = f'proxyd_invocations_total{{outcome="{row.outcome}"}}'
        assert after[sample] == before[sample] + row.attempts
    assert after["proxyd_invocation_retries_total"] == before["proxyd_invocation_retries_total"] + row.attempts - 1
    # What came behind it is nobody else's.
    assert_fine(scene.ask(mode), mode)
    assert len(scene.aws.calls) == 1


@pytest.mark.parametrize("row, mode", [(row, mode) for row in ROWS for mode in row.modes], ids=lambda value: str(value))
def test_what_can_happen_to_a_call(scene, row, mode):
    if row.attempts > 1 and scene.figures()["proxyd_invocation_retries_total"] > 80:
        for _ in range(20):
            scene.ask("buffered")  # earns the budget for these
    if row.invocation == "not-started":  # Lambda's own words: the connection does not matter
        play(scene, row, mode, kept=mode == "buffered")
        return
    for kept in (False, True):
        play(scene, row, mode, kept)


@pytest.mark.parametrize("mode", ["buffered", "stream"])
def test_an_answer_that_nobody_asked_for_is_nobodys(scene, mode):
    def smuggle(call):
        says(sized(fine(mode)), "keep")(call)
        time.sleep(0.02)
        call.peer.sendall(sized(b'{"statusCode":418,"body":"smuggled"}'))
        said.set()
    for _ in range(5):
        said = threading.Event()
        assert scene.ask(mode, smuggle).text == "fine"
        assert said.wait(10)
        time.sleep(0.02)
        assert scene.ask(mode).text == "fine" and len(scene.aws.calls) == 1


# -- before the request is read --


@pytest.mark.parametrize("mode", ["buffered", "stream"])
@pytest.mark.parametrize("how", [wire.refuse_by_reset, wire.close_at_once])
def test_a_connection_that_ends_at_once_is_never_taken_for_an_answer(scene, mode, how):
    for _ in range(5):
        scene.prepare(False, mode)
        scene.aws.on_connection = how
        try:
            response = scene.ask(mode)
        finally:
            scene.aws.on_connection = None
        # Whether bytes had arrived before the end is the kernels' race; the class tells how it came out.
        if response.header("X-Orchestrator-Invocation") == "unknown":
            line = expect_fault(scene.proxyd, response, "lambda-failed", 502, "unknown")
        else:
            line = expect_fault(scene.proxyd, response, "unreachable", 503, "not-started", 1)
        assert 1 <= line["attempts"] <= 3 and scene.aws.calls == []
    assert scene.ask(mode).text == "fine"


def reads(length, end):
    """Takes only so much of a request; gives up when that does not come."""
    def behave(peer, number):
        taken = 0
        while taken < length:
            piece = peer.recv(min(65536, length - taken))
            if not piece:
                return False
            taken += len(piece)
        return end(peer, number)
    return behave


def answers_early(data):
    """An answer before the request is whole; then the rest is read and dropped, as a good server does."""
    def behave(peer, number):
        peer.sendall(data)
        try:
            while peer.recv(65536):
                pass
        except OSError:
            pass
        return False
    return behave


LARGE = b"x" * 3_000_000


@pytest.mark.parametrize("mode", ["buffered", "stream"])
@pytest.mark.parametrize("end", [wire.refuse_by_reset, wire.close_at_once])
def test_an_upload_that_breaks_is_never_sent_again(scene, mode, end):
    connections = []
    scene.prepare(False, mode)
    scene.aws.on_connection = lambda peer, number: (connections.append(number), reads(100_000, end)(peer, number))[1]
    try:
        response = scene.ask(mode, body=LARGE)
    finally:
        scene.aws.on_connection = None
    line = expect_fault(scene.proxyd, response, "lambda-failed", 502, "unknown")
    assert line["attempts"] == len(connections) == 1 and scene.aws.calls == []
    assert scene.ask(mode).text == "fine"


@pytest.mark.parametrize("mode", ["buffered", "stream"])
@pytest.mark.parametrize("status, code, fault, expected, attempts", [
    (429, "TooManyRequestsException", "throttled", 429, 3), (413, "RequestTooLargeException", "event-too-large", 413, 1),
    (403, "AccessDeniedException", "lambda-refused", 502, 1)])
def test_an_answer_before_the_request_is_whole_is_believed(scene, mode, status, code, fault, expected, attempts):
    for _ in range(20):
        scene.ask("buffered")  # earns the budget for further attempts
    scene.prepare(False, mode)
    answer = sized(b"{}", f"{status} X", f"x-amzn-ErrorType: {code}", "Connection: close")
    scene.aws.on_connection = reads(1000, answers_early(answer))
    try:
        response = scene.ask(mode, body=LARGE)
    finally:
        scene.aws.on_connection = None
    line = expect_fault(scene.proxyd, response, fault, expected, "not-started", 1 if fault == "throttled" else None)
    assert line["attempts"] == attempts and line["detail"] == code
    assert scene.ask(mode).text == "fine"


def test_nobody_answers_a_connection():
    with wire.Full() as full, FakeLambda() as aws:
        options = {"AWS_ENDPOINT_URL_LAMBDA": full.url, "PROXYD_CONNECT_TIMEOUT": "200ms", "PROXYD_BREAKER_FAILURES": "0"}
        routes = [app("hello"), app("brief", [version("brief", response_mode=STREAM)], deadline_ms=100)]
        with Proxy(aws, routes=routes, options=options) as proxyd:
            line = expect_fault(proxyd, proxyd.app("hello"), "unreachable", 503, "not-started", 1)
            assert line["attempts"] == 3 and line["upstream_us"] >= 550000
            line = expect_fault(proxyd, proxyd.app("brief"), "unreachable", 503, "not-started", 1)
            assert line["attempts"] == 1 and line["duration_us"] < 1000000
            assert proxyd.figure('proxyd_invocations_total{outcome="unreachable"}') == 4


# -- TLS --


def context(folder, names=("localhost",), days=30, **more):
    path = make_certificate(folder / "server.pem", *names, days=days)
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(path)
    for name, value in more.items():
        setattr(made, name, value)
    return made, path


def expired(folder):
    """A certificate for localhost that ended in 2021."""
    path = make_certificate(folder / "new.pem", "localhost")
    (folder / "index.txt").write_text("")
    (folder / "ca.cnf").write_text(f"[ca]\ndefault_ca=it\n[it]\ndatabase={folder}/index.txt\nnew_certs_dir={folder}\nrand_serial=yes\n"
                                   "default_md=sha256\npolicy=any\nx509_extensions=names\n[any]\ncommonName=supplied\n"
                                   "[names]\nsubjectAltName=DNS:localhost\n")
    openssl("req", "-new", "-key", path, "-subj", "/CN=localhost", "-out", folder / "request.pem")
    openssl("ca", "-batch", "-config", folder / "ca.cnf", "-selfsign", "-keyfile", path, "-in", folder / "request.pem", "-out", folder / "old.pem",
            "-notext", "-startdate", "20200101000000Z", "-enddate", "20210101000000Z")
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(folder / "old.pem", path)
    return made, folder / "old.pem"


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion")
def test_whatever_goes_wrong_in_tls_nothing_is_sent(tmp_path):
    folders = {name: tmp_path / name for name in ("right", "unknown", "expired", "other", "old")}
    for folder in folders.values():
        folder.mkdir()
    right, bundle = context(folders["right"])
    stranger, _ = context(folders["unknown"])
    late, late_bundle = expired(folders["expired"])
    other, other_bundle = context(folders["other"], ("other.example",))
    old, old_bundle = context(folders["old"], minimum_version=ssl.TLSVersion.MINIMUM_SUPPORTED, maximum_version=ssl.TLSVersion.TLSv1_1)
    old.set_ciphers("ALL:@SECLEVEL=0")
    known = tmp_path / "bundle.pem"
    known.write_text("".join(path.read_text() for path in (bundle, late_bundle, other_bundle, old_bundle)))

    def after_hello(end):
        def behave(peer, number):
            peer.recv(65536)
            return end(peer, number)
        return behave

    def speaks(data):
        def behave(peer, number):
            peer.recv(65536)
            peer.sendall(data)
            return False
        return behave

    def hangs(peer, number):
        while peer.recv(65536):
            pass
        return False

    kinds = {"unknown authority": stranger, "expired": late, "another name": other, "TLS 1.1": old, "reset in the handshake": after_hello(wire.refuse_by_reset),
             "FIN in the handshake": after_hello(wire.close_at_once), "no TLS": speaks(b"HTTP/1.1 400 Bad Request\r\n\r\n"),
             "an alert": speaks(b"\x15\x03\x03\x00\x02\x02\x28"), "a handshake without an end": hangs, "reset at once": wire.refuse_by_reset}
    options = {"AWS_CA_BUNDLE": str(known), "PROXYD_CONNECT_TIMEOUT": "300ms", "PROXYD_ATTEMPTS": "2"}
    with Scene(right, options) as scene:
        for mode in ("buffered", "stream"):
            assert scene.ask(mode).text == "fine"
            connection = scene.aws.last().connection
            assert scene.ask(mode).text == "fine" and scene.aws.last().connection == connection, "the connection was not kept"
        for kind, behave in kinds.items():
            for mode in ("buffered", "stream"):
                scene.prepare(False, mode)
                scene.aws.tls, scene.aws.on_connection = (behave, None) if isinstance(behave, ssl.SSLContext) else (right, behave)
                line = expect_fault(scene.proxyd, scene.ask(mode), "unreachable", 503, "not-started", 1)
                assert line["attempts"] == 2 and line["detail"], (kind, line)
                assert scene.aws.calls == [], kind
                scene.aws.tls, scene.aws.on_connection = right, None
                assert scene.ask(mode).text == "fine", kind
        for mode in ("buffered", "stream"):
            for row in WIRE[:5]:
                play(scene, row, mode, kept=True)
