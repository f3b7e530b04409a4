"""Each fault of the table: status, class, headers; and no request runs twice."""
import calendar
import email.utils
import ssl
import subprocess
import threading
import time

import pytest

import harness
import wire_faults
from fake_lambda import FakeLambda, Proxy, app, expect_fault, pause, version, wait_idle


@pytest.fixture(scope="module")
def aws():
    with FakeLambda() as made:
        yield made


@pytest.fixture
def proxyd(aws):
    aws.script.clear()
    aws.calls.clear()
    with Proxy(aws, routes=[app("hello"), app("old", [version("old", payload_format=1)])]) as made:
        yield made


@pytest.mark.parametrize("status, code, fault, expected, invocation, attempts", [
    (429, "TooManyRequestsException", "throttled", 429, "not-started", 3),
    (502, "ENINotReadyException", "lambda-not-ready", 503, "not-started", 3),
    (502, "ResourceNotReadyException", "lambda-not-ready", 503, "not-started", 3),
    (502, "InvalidZipFileException", "lambda-not-ready", 503, "not-started", 1),
    (408, "SnapStartTimeoutException", "lambda-not-ready", 503, "not-started", 3),
    (403, "AccessDeniedException", "lambda-refused", 502, "not-started", 1),
    (404, "ResourceNotFoundException:http://internal/", "lambda-refused", 502, "not-started", 1),
    (400, "InvalidRequestContentException", "lambda-refused", 502, "not-started", 1),
    (413, "RequestTooLargeException", "event-too-large", 413, "not-started", 1),
    (500, "ServiceException", "lambda-failed", 502, "unknown", 1),
    (503, "ServiceUnavailableException", "lambda-failed", 502, "unknown", 1),
    (302, "Moved", "lambda-failed", 502, "unknown", 1),
])
def test_lambdas_own_errors(proxyd, aws, status, code, fault, expected, invocation, attempts):
    aws.script["hello"] = lambda call: call.service_error(status, code)
    response = proxyd.app("hello")
    line = expect_fault(proxyd, response, fault, expected, invocation, True if expected in (429, 503) else None)
    assert line["attempts"] == attempts == aws.count("hello")
    assert line["detail"] == code.split(":")[0]


def test_what_heals_is_healed(proxyd, aws):
    def script(call):
        if aws.count("hello") < 3:
            call.service_error(429, "TooManyRequestsException")
        else:
            call.reply({"statusCode": 200, "body": "third time"})
    aws.script["hello"] = script
    response = proxyd.app("hello")
    assert (response.status, response.text) == (200, "third time")
    line = proxyd.line_of(response)
    assert line["attempts"] == 3 and "fault" not in line
    assert proxyd.figure("proxyd_invocation_retries_total") == 2


@pytest.mark.parametrize("mode", ["buffered", "stream"])
def test_a_wrong_clock_is_corrected_by_lambdas(aws, mode):
    ahead = [3 * 3600]
    in_time = wire_faults.sized(wire_faults.chunk(b"in time") + wire_faults.complete()) if mode == "stream" else None

    def script(call):
        sent = calendar.timegm(time.strptime(dict(call.headers)["X-Amz-Date"], "%Y%m%dT%H%M%SZ"))
        now = time.time() + ahead[0]
        if abs(sent - now) > 300:
            call.service_error(403, "InvalidSignatureException", {"Date": email.utils.formatdate(now, usegmt=True)})
        elif mode == "stream":
            call.peer.sendall(in_time)
        else:
            call.reply({"statusCode": 200, "body": "in time"})
    aws.calls.clear()
    aws.script["late"] = script
    with Proxy(aws, routes=[app("late", [version("late", response_mode=1 if mode == "stream" else 0)])], options={"PROXYD_WORKERS": "1"}) as proxyd:
        assert [proxyd.app("late").text for _ in range(3)] == ["in time"] * 3
        assert aws.count("late") == 4  # one was signed again, the others were right at once
        proxyd.wait_for_event("clock-skewed")
        ahead[0] = 0  # and back
        assert proxyd.app("late").text == "in time"
        aws.script["late"] = lambda call: call.service_error(403, "InvalidSignatureException", {"Date": email.utils.formatdate(usegmt=True)})
        line = expect_fault(proxyd, proxyd.app("late"), "lambda-refused", 502, "not-started")
        assert line["attempts"] == 1  # the clocks agree: the key must be wrong


def test_a_long_retry_after_is_the_clients_to_wait(proxyd, aws):
    aws.script["hello"] = lambda call: call.service_error(429, "TooManyRequestsException", {"Retry-After": "17"})
    line = expect_fault(proxyd, proxyd.app("hello"), "throttled", 429, "not-started", 17)
    assert line["attempts"] == 1


def http_date(seconds_from_now):
    return email.utils.formatdate(time.time() + seconds_from_now, usegmt=True)


@pytest.mark.parametrize("status, code", [(429, "TooManyRequestsException"), (502, "ENINotReadyException")])
def test_a_retry_after_within_the_deadline_is_waited_for(proxyd, aws, status, code):
    times = []

    def script(call):
        times.append(time.monotonic())
        if len(times) < 2:
            call.service_error(status, code, {"Retry-After": "1"})
        else:
            call.reply({"statusCode": 200, "body": "in time"})
    aws.script["hello"] = script
    assert proxyd.app("hello").text == "in time"
    assert 0.95 <= times[1] - times[0] < 3  # the loop counts from when its turn began


TOO_LONG = [
    ({"Retry-After": "4"}, 4), ({"Retry-After": "86401"}, 86400),
    ({"Retry-After": "Tue, 14 Nov 2023 22:13:30 GMT", "Date": "Tue, 14 Nov 2023 22:13:00 GMT"}, 30),  # by the sender's clock
    ({"Retry-After": None}, 60),  # a date, by ours
]
NOT_TO_BE_READ = ["soon", "-5", "1.5", "99999999999999999999999", "Tue, 14 Nov 2023 22:13:30 GMT"]


def test_a_retry_after_that_is_too_long_is_passed_on(proxyd, aws):
    proxyd.publish(routes=[app("hello", deadline_ms=6000)])
    for status, code, fault, expected in ((429, "TooManyRequestsException", "throttled", 429), (502, "ENINotReadyException", "lambda-not-ready", 503)):
        for headers, seconds in TOO_LONG:
            headers = {name: value or http_date(60) for name, value in headers.items()}
            aws.script["hello"] = lambda call: call.service_error(status, code, headers)
            aws.calls.clear()
            response = proxyd.app("hello")
            line = expect_fault(proxyd, response, fault, expected, "not-started", True)
            assert seconds - 2 <= int(response.header("Retry-After")) <= seconds, headers
            assert line["attempts"] == aws.count("hello") == 1
        aws.script["hello"] = lambda call: call.reply({"statusCode": 200})
        assert proxyd.app("hello").status == 200


def test_a_retry_after_that_says_nothing_is_passed_over(aws):
    with Proxy(aws, routes=[app("hello")], options={"PROXYD_ATTEMPTS": "2", "PROXYD_BREAKER_FAILURES": "0"}) as proxyd:
        for value in NOT_TO_BE_READ:
            aws.script["hello"] = lambda call: call.service_error(502, "ENINotReadyException", {"Retry-After": value})
            line = expect_fault(proxyd, proxyd.app("hello"), "lambda-not-ready", 503, "not-started", 1)
            assert line["attempts"] == 2 and line["duration_us"] < 900000, value


def test_no_attempt_is_made_that_the_deadline_would_cut(proxyd, aws):
    proxyd.publish(routes=[app("hello", deadline_ms=1500)])
    aws.script["hello"] = lambda call: call.service_error(429, "TooManyRequestsException", {"Retry-After": "1"})
    line = expect_fault(proxyd, proxyd.app("hello"), "throttled", 429, "not-started", 1)
    assert line["attempts"] == 1 and line["duration_us"] < 1000000


def test_the_retry_budget_ends(aws):
    aws.script["busy"] = lambda call: call.service_error(502, "ENINotReadyException")
    aws.calls.clear()
    with Proxy(aws, routes=[app("busy")], options={"PROXYD_WORKERS": "1", "PROXYD_BREAKER_FAILURES": "0"}) as proxyd:
        for _ in range(70):
            assert proxyd.app("busy").status == 503
        assert aws.count("busy") <= 70 + 101
        assert proxyd.figure("proxyd_invocation_retries_total") == 100


@pytest.mark.parametrize("error, fault, status", [
    ({"errorMessage": "secret internals", "errorType": "TypeError", "trace": []}, "function-error", 502),
    ({"errorMessage": "RequestId: 1 Error: Task timed out after 3.00 seconds", "errorType": "Sandbox.Timedout"},
     "function-timeout", 504),
    ("just text", "function-error", 502),
])
def test_the_functions_own_errors(proxyd, aws, error, fault, status):
    aws.script["hello"] = lambda call: call.function_error(error)
    expect_fault(proxyd, proxyd.app("hello"), fault, status, "ran")
    assert aws.count("hello") == 1


@pytest.mark.parametrize("name, payload", [
    ("hello", {"statusCode": "abc"}), ("hello", {"statusCode": 99}), ("hello", {"statusCode": 101}),
    ("hello", {"statusCode": 200, "headers": {"a\nb": "c"}}), ("hello", {"statusCode": 200, "headers": {"a": "b\r\nX: y"}}),
    ("hello", {"statusCode": 200, "body": "%%%", "isBase64Encoded": True}),
    ("old", {"no": "status"}), ("old", []), ("old", "text"),
])
def test_unusable_replies(proxyd, aws, name, payload):
    aws.script[name] = lambda call: call.reply(payload)
    expect_fault(proxyd, proxyd.app(name), "bad-reply", 502, "ran")


def test_a_reply_that_is_no_json_is_unusable_in_1_0(proxyd, aws):
    aws.script["old"] = lambda call: call.reply(b'{"statusCode": 200,')
    expect_fault(proxyd, proxyd.app("old"), "bad-reply", 502, "ran")


def test_a_reply_over_six_megabytes_is_unusable(proxyd, aws):
    aws.script["hello"] = lambda call: call.reply({"statusCode": 200, "body": "x" * (7 * 1024 * 1024)})
    expect_fault(proxyd, proxyd.app("hello", timeout=60), "bad-reply", 502, "ran")


def test_an_event_over_six_megabytes_is_413(aws):
    aws.calls.clear()
    with Proxy(aws, routes=[app("hello")]) as proxyd:
        binary = b"\x00\xff" * (5 * 1024 * 512)
        response = proxyd.app("hello", "/", "POST", body=binary, headers={"Content-Type": "application/octet-stream"}, timeout=60)
        expect_fault(proxyd, response, "event-too-large", 413, "not-started")
        assert "6291456" in response.json()["detail"]
        assert aws.calls == []


def test_bodies_over_the_apps_limit_are_413(proxyd, aws):
    proxyd.publish(routes=[app("small", max_body_bytes=100)])
    assert proxyd.app("small", "/", "POST", body=b"x" * 100).status == 200
    response = proxyd.app("small", "/", "POST", body=b"x" * 101)
    expect_fault(proxyd, response, "body-too-large", 413, "not-started")
    assert "100 bytes" in response.json()["detail"]


def test_bodies_over_the_proxys_limit_are_refused_unread(proxyd, aws):
    answer = harness.raw(proxyd.listen, b"POST / HTTP/1.1\r\nHost: hello.localhost\r\nContent-Length: 7000000\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"application/problem+json" in answer and b"urn:app-orchestrator:fault:body-too-large" in answer
    assert aws.calls == []


def test_in_flight_ceiling_of_an_app(proxyd, aws):
    proxyd.publish(routes=[app("narrow", max_in_flight=2), app("hello")])
    release = threading.Event()
    aws.script["narrow"] = lambda call: (release.wait(20), call.reply({"statusCode": 200, "body": "ok"}))[1]
    results = []
    threads = [threading.Thread(target=lambda: results.append(proxyd.app("narrow").status)) for _ in range(2)]
    for thread in threads:
        thread.start()
    harness.wait_for(lambda: aws.count("narrow") == 2, 10, "both are in flight")
    for _ in range(5):
        expect_fault(proxyd, proxyd.app("narrow"), "app-busy", 429, "not-started", 1)
    assert proxyd.app("hello").status == 200
    release.set()
    for thread in threads:
        thread.join()
    assert results == [200, 200]
    assert proxyd.app("narrow").status == 200


def test_in_flight_ceiling_of_the_process(aws):
    aws.calls.clear()
    release = threading.Event()
    aws.script["hello"] = lambda call: (release.wait(20), call.reply({"statusCode": 200, "body": "ok"}))[1]
    with Proxy(aws, routes=[app("hello")], options={"PROXYD_MAX_IN_FLIGHT": "3"}) as proxyd:
        threads = [threading.Thread(target=proxyd.app, args=("hello",)) for _ in range(3)]
        for thread in threads:
            thread.start()
        harness.wait_for(lambda: aws.count("hello") == 3, 10, "three are in flight")
        expect_fault(proxyd, proxyd.app("hello"), "proxy-busy", 503, "not-started", 1)
        release.set()
        for thread in threads:
            thread.join()
        assert proxyd.app("hello").status == 200


def test_the_rate_of_an_app_holds_over_all_workers(proxyd, aws):
    proxyd.publish(routes=[app("paced", rate_milli=100, burst=5)])
    statuses = [proxyd.app("paced").status for _ in range(20)]
    assert 5 <= statuses.count(200) <= 7
    expect_fault(proxyd, proxyd.app("paced"), "app-rate", 429, "not-started", True)


def test_nobody_listens(proxyd, aws):
    with Proxy(aws, routes=[app("hello")], options={"AWS_ENDPOINT_URL_LAMBDA": f"http://127.0.0.1:{harness.free_port()}"}) as lost:
        line = expect_fault(lost, lost.app("hello"), "unreachable", 503, "not-started", 1)
        assert line["attempts"] == 3
    with Proxy(aws, routes=[app("hello")], options={"AWS_ENDPOINT_URL_LAMBDA": "http://no-such-host.invalid"}) as lost:
        expect_fault(lost, lost.app("hello", timeout=60), "unreachable", 503, "not-started", 1)


def test_a_server_that_is_no_tls_is_unreachable(aws):
    with Proxy(aws, routes=[app("hello")],
               options={"AWS_ENDPOINT_URL_LAMBDA": aws.url.replace("http:", "https:"), "PROXYD_CONNECT_TIMEOUT": "300ms"}) as lost:
        expect_fault(lost, lost.app("hello", timeout=60), "unreachable", 503, "not-started", 1)


def make_certificate(folder, name):
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
                    "-subj", f"/CN={name}", "-addext", f"subjectAltName=DNS:{name}", "-keyout", str(folder / "key.pem"),
                    "-out", str(folder / "cert.pem")], check=True, stderr=subprocess.DEVNULL, timeout=30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context, str(folder / "cert.pem")


def test_tls_is_verified(tmp_path):
    context, bundle = make_certificate(tmp_path, "localhost")
    with FakeLambda(context) as aws:
        with Proxy(aws, routes=[app("hello")], options={"AWS_CA_BUNDLE": bundle, "PROXYD_WORKERS": "1"}) as proxyd:
            for _ in range(5):
                assert proxyd.app("hello", "/", "POST", body=b"x" * 100000).status == 200
                aws.close_idle()
            assert aws.count("hello") == 5
        with Proxy(aws, routes=[app("hello")]) as proxyd:  # the system does not know this authority
            expect_fault(proxyd, proxyd.app("hello"), "unreachable", 503, "not-started", 1)
        assert aws.count("hello") == 5


def test_tls_of_another_host_is_refused(tmp_path):
    context, bundle = make_certificate(tmp_path, "other.example")
    with FakeLambda(context) as aws, Proxy(aws, routes=[app("hello")], options={"AWS_CA_BUNDLE": bundle}) as proxyd:
        expect_fault(proxyd, proxyd.app("hello"), "unreachable", 503, "not-started", 1)
        assert aws.calls == []


def test_what_breaks_inside_tls_is_unknown(tmp_path):
    context, bundle = make_certificate(tmp_path, "localhost")
    with FakeLambda(context) as aws, Proxy(aws, routes=[app("hello")], options={"AWS_CA_BUNDLE": bundle}) as proxyd:
        for path in ("/warm", "/kept", "/fresh"):
            aws.script["hello"] = lambda call: call.reply({"statusCode": 200, "body": "ok"}) if path == "/warm" else False
            response = proxyd.app("hello", path)
            if path != "/warm":
                expect_fault(proxyd, response, "lambda-failed", 502, "unknown")
        assert aws.count("hello") == 3


def test_the_deadline(proxyd, aws):
    proxyd.publish(routes=[app("slow", deadline_ms=300)])
    aws.script["slow"] = lambda call: (pause(1.5), False)[1]
    started = time.monotonic()
    line = expect_fault(proxyd, proxyd.app("slow"), "deadline", 504, "unknown")
    assert 0.25 < time.monotonic() - started < 1.4
    assert line["attempts"] == 1 == aws.count("slow")


def test_the_deadline_without_one_is_the_versions_timeout_and_a_second(proxyd, aws):
    proxyd.publish(routes=[app("slow", [version("slow", timeout_s=1)])])
    aws.script["slow"] = lambda call: (pause(1.6), call.reply({"statusCode": 200, "body": "late"}))[1]
    assert proxyd.app("slow").status == 200
    aws.script["slow"] = lambda call: (pause(3), False)[1]
    started = time.monotonic()
    expect_fault(proxyd, proxyd.app("slow"), "deadline", 504, "unknown")
    assert 1.9 < time.monotonic() - started < 2.9


@pytest.mark.parametrize("end", ["close", "reset", "half head", "half body", "rubbish"])
def test_what_breaks_after_it_was_read_is_never_sent_again(proxyd, aws, end):
    def script(call):
        if call.event["rawPath"] == "/warm":
            return call.reply({"statusCode": 200, "body": "ok"})
        if end == "half head":
            call.peer.sendall(b"HTTP/1.1 200 OK\r\nContent-")
        elif end == "half body":
            call.peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"statusCode\"")
        elif end == "rubbish":
            call.peer.sendall(b"\x00\x01\x02 not http at all\r\n\r\n")
        elif end == "reset":
            return call.reset()
        return False
    aws.script["hello"] = script
    for path in ("/fresh", "/warm", "/kept", "/warm", "/kept"):
        before = aws.count("hello")
        response = proxyd.app("hello", path)
        if path == "/warm":
            assert response.status == 200
            continue
        line = expect_fault(proxyd, response, "lambda-failed", 502, "unknown")
        assert aws.count("hello") == before + 1, f"{path} was sent {aws.count('hello') - before} times"
        assert line["attempts"] == 1


def test_connections_that_lambda_closed_cost_no_error(proxyd, aws):
    for _ in range(20):
        assert proxyd.app("hello", "/", "POST", body=b"x").status == 200
        aws.close_idle()
    assert aws.count("hello") == 20
    for _ in range(20):  # now with time for the FIN to arrive
        assert proxyd.app("hello", "/", "POST", body=b"x").status == 200
        aws.close_idle()
        pause(0.02)
    assert aws.count("hello") == 40


def test_connections_that_were_reset_while_idle_cost_no_error(proxyd, aws):
    ended = threading.Semaphore(0)

    def script(call):
        call.reply({"statusCode": 200, "body": "ok"})
        pause(0.005)  # else the reset overtakes the answer
        call.reset()
        ended.release()
        return False
    aws.script["hello"] = script
    for _ in range(20):
        assert proxyd.app("hello", "/", "POST", body=b"x").status == 200
        assert ended.acquire(timeout=10)
        pause(0.02)
    assert aws.count("hello") == 20


def test_a_client_that_leaves_holds_its_place_until_the_call_is_over(proxyd, aws):
    proxyd.publish(routes=[app("narrow", max_in_flight=1)])
    release = threading.Event()
    aws.script["narrow"] = lambda call: (release.wait(20), call.reply({"statusCode": 200, "body": "ok"}))[1]
    harness.raw(proxyd.listen, b"GET /left HTTP/1.1\r\nHost: narrow.localhost\r\n\r\n", timeout=0.3)
    harness.wait_for(lambda: proxyd.figure("proxyd_clients_gone_total") == 1, 5, "the client is seen to be gone")
    assert proxyd.app("narrow").status == 429
    release.set()
    wait_idle(proxyd)
    line = harness.wait_for(lambda: next((line for line in proxyd.access_lines() if line["path"] == "/left"), None), 5, "its line")
    assert line["client_gone"] and line["status"] == 200
    assert proxyd.app("narrow").status == 200
    assert aws.count("narrow") == 2


def test_records_that_cannot_be_used(proxyd, aws):
    proxyd.publish(routes=[app("fine")], raw=[{"database": "routes", "key": "broken", "hex": "01ffff"},
                                               {"database": "routes", "key": "future", "hex": "01800100000000"},
                                               {"database": "routes", "key": "ancient", "hex": "63"},
                                               {"database": "routes", "key": "nothing", "hex": ""}])
    for name in ("broken", "future", "ancient", "nothing"):
        expect_fault(proxyd, proxyd.app(name), "record-unreadable", 503, "not-started", 5)
    assert proxyd.app("fine").status == 200


def test_settings_that_cannot_be_used_take_down_nothing_else(proxyd, aws):
    proxyd.publish(settings=None, raw=[{"database": "settings", "key": "settings", "hex": "01ff"}])
    expect_fault(proxyd, proxyd.app("hello"), "record-unreadable", 503, "not-started", 5)
    proxyd.publish()
    assert proxyd.app("hello").status == 200


def test_faults_are_counted_and_the_figures_are_lawful(proxyd, aws):
    aws.script["hello"] = lambda call: call.service_error(500, "ServiceException")
    proxyd.app("hello")
    proxyd.app("nobody")
    harness.raw(proxyd.listen, b"GET / HTTP/1.1\r\n\r\n")
    assert proxyd.figure('proxyd_faults_total{fault="lambda-failed",invocation="unknown"}') == 1
    assert proxyd.figure('proxyd_faults_total{fault="unknown-app",invocation="none"}') == 1
    assert proxyd.figure('proxyd_guard_refusals_total{reason="host-missing"}') == 1
    assert proxyd.figure('proxyd_requests_total{status="4xx"}') == 2
    assert proxyd.figure('proxyd_requests_total{status="5xx"}') == 1
    assert proxyd.figure('proxyd_invocations_total{outcome="broken"}') == 1
    assert proxyd.figure("proxyd_guard_disagreements_total") == 0
    assert proxyd.figure("proxyd_request_duration_seconds_count") == 3
    harness.assert_lawful_metrics(harness.request(proxyd.admin_url + "/metrics").text)


def test_every_call_is_signed_as_botocore_would(aws):
    sigv4_oracle = pytest.importorskip("sigv4_oracle")
    with sigv4_oracle.VerifyingServer({"AKIDEXAMPLE": "secret"}) as server:
        variables = dict(aws.aws_variables(), AWS_ENDPOINT_URL_LAMBDA=server.url)
        arn = "arn:aws:lambda:us-east-1:123456789012:function:hello"
        routes = [app("plain"), app("arn", [{"number": 1, "function": arn, "qualifier": "$LATEST"}]),
                  app("qualified", [{"number": 7, "function": "a:b", "qualifier": "x$y_z-1"}])]
        for token in (None, "session/token+with=signs"):
            with Proxy(aws, routes=routes, options=dict(variables, AWS_SESSION_TOKEN=token)) as proxyd:
                for name in ("plain", "arn", "qualified"):
                    for body in (b"", b"small", b"\xff" * (3 * 1024 * 1024)):
                        proxyd.app(name, "/p?q=1", "POST", body=body, timeout=60)
        server.expect_all_valid(at_least=18)
