"""HTTP/2 to Lambda, where PROXYD_UPSTREAM_HTTP2 asks for it: a real nginx speaks it in front of the fake Lambda."""
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import harness
from fake_lambda import FakeLambda, Proxy, app, expect_fault, version, wait_idle
from nginx import Nginx
from secure_proxy import make_certificate
from test_streaming import STREAM, Stream, chunk, complete

CALLERS = 16


@pytest.fixture
def certificate():
    return make_certificate(harness.scratch("h2.") / "lambda.pem", "localhost")


@pytest.fixture(scope="module")
def aws():
    with FakeLambda() as made:
        yield made


@pytest.fixture(autouse=True)
def no_scripts(aws):
    aws.script.clear()
    aws.calls.clear()


@pytest.fixture
def front(aws, certificate):
    """What stands before the fake Lambda says by a header how it was spoken to, and on which connection."""
    inside = f"""
        ssl_certificate {certificate}; ssl_certificate_key {certificate}; client_max_body_size 8m; keepalive_requests 100000;
        location / {{
            proxy_pass {aws.url}; proxy_http_version 1.1; proxy_buffering off;
            proxy_set_header X-Protocol $server_protocol; proxy_set_header X-Connection $connection;
        }}"""
    with Nginx(inside, listen="ssl http2") as made:
        yield made


class Http2Proxy(Proxy):
    def __init__(self, aws, front, certificate, **options):
        routes = [app("hello"), app("s", [version("s", response_mode=STREAM)])]
        super().__init__(aws, routes=routes, options={
            "AWS_ENDPOINT_URL_LAMBDA": f"https://localhost:{front.port}", "AWS_CA_BUNDLE": str(certificate),
            "PROXYD_UPSTREAM_HTTP2": "true", "PROXYD_WORKERS": "1", **options})

    def get(self, path="/", host="hello.localhost", **more):
        return harness.request(f"http://{self.listen}{path}", headers={"Host": host}, **more)


def spoken(aws):
    """(protocols, connections) of the calls so far."""
    seen = [dict((name.lower(), value) for name, value in call.headers) for call in aws.calls]
    return {headers["x-protocol"] for headers in seen}, {headers["x-connection"] for headers in seen}


def test_requests_share_one_connection(aws, front, certificate):
    together = threading.Barrier(CALLERS)
    with Http2Proxy(aws, front, certificate) as proxyd, ThreadPoolExecutor(CALLERS) as callers:
        assert proxyd.get().status == 200  # the connection is there, and known to speak HTTP/2
        aws.script["hello"] = lambda call: (together.wait(20), call.reply({"statusCode": 200, "body": "hi"}))[1]
        answers = [callers.submit(proxyd.get) for _ in range(CALLERS)]
        assert [answer.result(30).text for answer in answers] == ["hi"] * CALLERS
        protocols, connections = spoken(aws)
        assert protocols == {"HTTP/2.0"}
        assert len(connections) == 1
        wait_idle(proxyd)


def test_bodies_of_any_size_pass_both_ways(aws, front, certificate):
    aws.script["hello"] = lambda call: call.reply({"statusCode": 200, "body": call.event["body"]})
    with Http2Proxy(aws, front, certificate) as proxyd:
        for size in (1, 16_384, 65_536, 1_000_000, 4_000_000):
            body = "x" * size
            answer = proxyd.get(method="POST", body=body.encode())
            assert (answer.status, len(answer.text)) == (200, size)
        assert spoken(aws)[0] == {"HTTP/2.0"}


def test_streams_pass_and_a_leaving_client_cancels_its_own_alone(aws, front, certificate):
    go_on = threading.Event()

    def behave(call):
        stream = Stream(call)
        stream.send(chunk(b"first,"))
        assert go_on.wait(20)
        stream.send(chunk(b"second"))
        stream.send(complete()).end()

    aws.script["s"] = behave
    with Http2Proxy(aws, front, certificate) as proxyd, ThreadPoolExecutor(1) as callers:
        with socket.create_connection(harness.split_address(proxyd.listen), 10) as leaving:
            leaving.sendall(b"GET / HTTP/1.1\r\nHost: s.localhost\r\n\r\n")
            assert b"200" in leaving.recv(4096)
            staying = callers.submit(proxyd.get, host="s.localhost")
            harness.wait_for(lambda: aws.count("s") == 2, 10, "both streams have begun")
        go_on.set()
        assert staying.result(20).text == "first,second"
        wait_idle(proxyd)


def test_a_connection_that_breaks_after_the_call_was_sent_may_have_run_it(aws, front, certificate):
    aws.script["hello"] = lambda call: front.process.kill() or False
    with Http2Proxy(aws, front, certificate) as proxyd:
        expect_fault(proxyd, proxyd.get(), "lambda-failed", 502, "unknown")
        assert aws.count("hello") == 1
        expect_fault(proxyd, proxyd.get(), "unreachable", 503, "not-started", True)
    assert front.process.wait(10) is not None


def test_without_tls_or_without_the_option_it_is_http_1_1(aws, front, certificate):
    with Http2Proxy(aws, front, certificate, PROXYD_UPSTREAM_HTTP2=None) as proxyd:
        assert proxyd.get().status == 200
    assert spoken(aws)[0] == {"HTTP/1.1"}
    with Http2Proxy(aws, front, certificate, AWS_ENDPOINT_URL_LAMBDA=aws.url) as proxyd:
        assert proxyd.get().status == 200


def test_an_answer_of_something_before_lambda_is_told_by_its_status(aws, certificate):
    inside = f"ssl_certificate {certificate}; ssl_certificate_key {certificate}; return 500;"
    with Nginx(inside, listen="ssl http2") as front, Http2Proxy(aws, front, certificate) as proxyd:
        line = expect_fault(proxyd, proxyd.get(), "lambda-failed", 502, "unknown")
        assert line["detail"] == "an answer with status 500 that names no error"
