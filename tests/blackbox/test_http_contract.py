"""What docs/http-contract.md says of methods, and of streamed answers that have no body."""
import socket

import pytest

import harness
from fake_lambda import FakeLambda, Proxy, app, version
from test_streaming import Stream, chunk, complete, prelude, script


@pytest.fixture(scope="module")
def aws():
    with FakeLambda() as made:
        yield made


@pytest.fixture(scope="module")
def proxy(aws):
    with Proxy(aws, routes=[app("a"), app("s", [version("s", response_mode=1, timeout_s=20)])]) as made:
        yield made


@pytest.fixture
def proxyd(proxy, aws):
    aws.script.clear()
    aws.calls.clear()
    return proxy


def ask(proxyd, method):
    with socket.create_connection(proxyd.address, timeout=20) as peer:
        peer.sendall(f"{method} /x HTTP/1.1\r\nHost: a.localhost\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while piece := peer.recv(65536):
            answer += piece
    return int(answer.split(b" ", 2)[1])


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "PROPFIND", "MKCOL", "QUERY", "M-SEARCH",
                                    "BASELINE-CONTROL", "FOO_BAR", "X1", "A" * 32])
def test_a_method_reaches_the_function_as_it_was_sent(proxyd, aws, method):
    assert ask(proxyd, method) == 200
    assert aws.last().event["requestContext"]["http"]["method"] == method


@pytest.mark.parametrize("method", ["CONNECT", "TRACE", "get", "Get", "foo", "F!O", "$X", "A" * 33, "A" * 500])
def test_every_other_token_is_a_clear_501(proxyd, aws, method):
    assert ask(proxyd, method) == 501
    assert not aws.calls
    line = harness.wait_for(lambda: next((line for line in reversed(proxyd.access_lines()) if line["status"] == 501), None), 10, "it is logged")
    assert line["fault"] == "refused" and line["detail"] == "method-unknown"


@pytest.mark.parametrize("body, named, length", [("hello", "99", "5"), ("", "99", "99"), ("", None, None)])
def test_the_length_told_to_head_is_that_of_the_body_or_else_what_the_function_names(proxyd, aws, body, named, length):
    headers = {"content-length": named} if named else {}
    aws.script["a"] = lambda call: call.reply({"statusCode": 200, "headers": headers, "body": body})
    response = proxyd.app("a", method="HEAD")
    assert response.status == 200 and response.body == b"" and response.header("Content-Length") == length, "0 would be a lie"
    assert proxyd.app("a").header("Content-Length") == str(len(body))


@pytest.mark.parametrize("method, status", [("HEAD", 200), ("HEAD", 404), ("GET", 204), ("GET", 304)])
def test_streamed_answers_without_a_body_are_whole_and_logged_so(proxyd, aws, method, status):
    aws.script["s"] = script(chunk(prelude(statusCode=status, headers={"x-a": "b"})), chunk(b"dropped"), complete())
    response = proxyd.app("s", method=method)
    assert (response.status, response.body, response.header("x-a")) == (status, b"", "b")
    line = proxyd.line_of(response)
    assert (line["status"], line["bytes_out"], line["stream"]) == (status, 0, "complete") and "fault" not in line
    assert line["method"] == method and line["first_byte_us"] <= line["duration_us"]


@pytest.mark.parametrize("method, status", [("HEAD", 200), ("GET", 204)])
def test_a_failure_behind_a_head_without_a_body_is_logged_but_cuts_nothing(proxyd, aws, method, status):
    aws.script["s"] = script(chunk(prelude(statusCode=status)), complete(ErrorCode="Unhandled", ErrorDetails='{"errorType":"TypeError"}'))
    response = proxyd.app("s", method=method)
    assert (response.status, response.body) == (status, b"")
    line = proxyd.line_of(response)
    assert (line["stream"], line["fault"], line["invocation"], line["detail"]) == ("complete", "function-error", "ran", "TypeError")


def test_the_answer_to_head_does_not_wait_for_the_streams_end(proxyd, aws):
    done = []

    def slowly(call):
        stream = Stream(call).send(chunk(prelude(statusCode=200)))
        harness.wait_for(lambda: done, 20, "the client has its answer")
        stream.send(chunk(b"late"), complete()).end()
    aws.script["s"] = slowly
    response = proxyd.app("s", method="HEAD")
    done.append(True)
    assert response.status == 200
    assert proxyd.line_of(response)["stream"] == "complete"


FORMATS = {"rest": {"payload_format": 1}, "url": {"payload_format": 2}, "alb": {"payload_format": 3}, "lists": {"payload_format": 3, "multi_value": True}}


@pytest.fixture(scope="module")
def formats(aws):
    with Proxy(aws, routes=[app(name, [version(name, **more)]) for name, more in FORMATS.items()]) as made:
        yield made


@pytest.mark.parametrize("name", FORMATS)
def test_what_the_proxy_says_of_a_request_cannot_be_said_by_the_client_in_other_letters(formats, aws, name):
    """Flask and Django make HTTP_X_FORWARDED_PROTO of X-Forwarded-Proto and of X_Forwarded_Proto."""
    lies = ["X-Orchestrator-Api-Key-Id", "X-Orchestrator-New", "X-Amzn-Tls-Version", "X-Forwarded-Proto", "X-Forwarded-Port"]
    lies += [lie.replace("-", "_") for lie in lies] + ["x_orchestrator-api_KEY-id", "X_Forwarded_For", "X_Request_Id", "X_Amzn_Trace_Id"]
    head = f"GET / HTTP/1.1\r\nHost: {name}.localhost\r\nConnection: close\r\nX_Mine: 1\r\n" + "".join(f"{lie}: a-lie\r\n" for lie in lies)
    assert harness.raw(formats.address, (head + "\r\n").encode()).startswith(b"HTTP/1.1 200 ")
    event = aws.last().event
    headers = {header.lower(): value for header, value in (event.get("headers") or event["multiValueHeaders"]).items()}
    assert "a-lie" not in aws.last().body.decode() and headers["x_mine"] in ("1", ["1"]) and headers["x-forwarded-proto"] in ("http", ["http"])
    assert not [header for header in headers if "_" in header and header != "x_mine"]


@pytest.mark.parametrize("name", ["alb", "lists"])
def test_the_target_group_of_a_load_balancers_event_can_be_taken_apart(formats, aws, name):
    assert formats.app(name).status == 200
    arn = aws.last().event["requestContext"]["elb"]["targetGroupArn"]
    assert arn == f"arn:aws:elasticloadbalancing:us-east-1:000000000000:targetgroup/{name}/0000000000000000"
