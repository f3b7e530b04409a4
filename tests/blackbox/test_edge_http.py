"""What the edge promises of HTTP itself: limits with their numbers, framing, what functions may not do to a response."""
import collections
import json
import os
import re
import socket
import threading
import time
import uuid

import pytest

import harness
from fake_lambda import FakeLambda, Proxy, app, pause, version, wait_idle
from secure_proxy import Secure
from test_edge_load import in_threads


@pytest.fixture(scope="module")
def aws():
    with FakeLambda() as made:
        yield made


@pytest.fixture(scope="module")
def proxyd(aws):
    with Proxy(aws, routes=[app("hello"), app("old", [version("old", payload_format=1)]), app("narrow", max_in_flight=5)],
               options={"PROXYD_WORKERS": "4"}) as made:
        yield made


@pytest.fixture(autouse=True)
def no_scripts(aws):
    aws.script.clear()


GET = b"GET / HTTP/1.1\r\nHost: hello.localhost\r\n"
LAST = GET + b"Connection: close\r\n\r\n"


@pytest.mark.parametrize("sent, status, words", [
    (b"POST / HTTP/1.1\r\nHost: hello.localhost\r\nContent-Length: 6291457\r\n\r\n", 413, "6291456 bytes"),
    (b"POST / HTTP/1.1\r\nHost: hello.localhost\r\nContent-Length: 6291457\r\nExpect: 100-continue\r\n\r\n", 413, "6291456 bytes"),
    (b"POST / HTTP/1.1\r\nHost: hello.localhost\r\nTransfer-Encoding: chunked\r\n\r\n600001\r\n", 413, "6291456 bytes"),
    (GET + b"X: " + b"x" * 40000 + b"\r\n\r\n", 431, "32768"),
    (GET + b"X: x\r\n" * 200 + b"\r\n", 431, "100 headers"),
    (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: hello.localhost\r\n\r\n", 414, "8192 bytes"),
])
def test_a_limit_is_named_with_its_number(proxyd, sent, status, words):
    answer = harness.raw(proxyd.listen, sent, timeout=5)
    head, _, body = answer.decode().partition("\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} "), answer[:200]
    assert "100 Continue" not in head
    assert words in body


@pytest.mark.parametrize("own", [None, "abc-1", "x" * 128, "0190b6a0-0000-7000-8000-000000000000"])
def test_the_line_of_what_was_refused_is_found_by_what_its_client_was_told(proxyd, own):
    sent = GET.replace(b"GET / ", b"POST /refused ") + (f"X-Request-Id: {own}\r\n".encode() if own else b"") + b"Content-Length: 6291457\r\n"
    with socket.create_connection(proxyd.address, 10) as peer:
        peer.sendall(sent)
        pause(0.2)
        peer.sendall(b"\r\n")
        head, _, body = harness.receive_all(peer).decode().partition("\r\n\r\n")
    told = re.search(r"X-Request-Id: (\S+)", head)[1]
    assert own is None or told == own
    line = harness.wait_for(lambda: next((line for line in proxyd.access_lines() if told in (line["id"], line.get("client_request_id"))), None),
                            5, "its line")
    assert json.loads(body)["instance"] == "urn:uuid:" + str(uuid.UUID(line["id"])) and line["id"] != own
    assert (line["status"], line["fault"], line["host"], line["path"]) == (413, "body-too-large", "hello.localhost", "/refused")
    assert line["duration_us"] >= 150000


def test_a_reply_over_the_limit_is_named_in_the_log(proxyd, aws):
    aws.script["hello"] = lambda call: call.reply({"statusCode": 200, "body": "x" * (7 << 20)})
    answer = proxyd.app("hello", timeout=60)
    assert answer.status == 502
    assert "6291456" in proxyd.line_of(answer)["detail"]


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_without_a_body_has_none_and_the_connection_goes_on(proxyd, aws, status):
    aws.script["hello"] = lambda call: call.reply({"statusCode": status, "body": "surplus"})
    answer = harness.raw(proxyd.listen, GET + b"\r\n" + LAST, timeout=10).decode()
    assert answer.count(f"HTTP/1.1 {status} ") == 2
    assert "surplus" not in answer and "Content-Length" not in answer


def test_head_tells_the_length_and_the_connection_goes_on(proxyd, aws):
    aws.script["hello"] = lambda call: call.reply({"statusCode": 200, "body": "twelve bytes"})
    answer = harness.raw(proxyd.listen, GET.replace(b"GET", b"HEAD") + b"\r\n" + LAST, timeout=10).decode()
    first, second = re.split("(?=HTTP/1.1)", answer)[1:]
    assert "Content-Length: 12\r\n" in first and first.endswith("\r\n\r\n")
    assert second.endswith("\r\n\r\ntwelve bytes")


@pytest.mark.parametrize("given, told", [("17", "17"), ("0", "0"), ("1e3", None), ("-1", None), ("99999999999999999999", None), (None, None)])
def test_head_is_told_the_length_that_the_function_names_for_a_body_it_leaves_out(proxyd, aws, given, told):
    headers = {} if given is None else {"Content-Length": given}
    aws.script["hello"] = lambda call: call.reply({"statusCode": 200, "headers": headers, "body": ""})
    assert proxyd.app("hello", method="HEAD").header("Content-Length") == told
    assert proxyd.app("hello").header("Content-Length") == "0", "to GET it tells nothing"


@pytest.mark.parametrize("host", ["hello", "old"])
def test_a_function_rules_neither_framing_nor_connection(proxyd, aws, host):
    headers = {"Content-Length": "3", "Transfer-Encoding": "chunked", "Connection": "upgrade", "Upgrade": "h2c", "Date": "never",
               "Keep-Alive": "max=1", "Trailer": "x", "X-Orchestrator-Invocation": "ran", "X-Own": "kept"}
    aws.script[host] = lambda call: call.reply({"statusCode": 200, "headers": headers, "body": "whole body"})
    answer = harness.raw(proxyd.listen, LAST.replace(b"hello", host.encode()), timeout=10).decode()
    names = [line.partition(":")[0].lower() for line in answer.partition("\r\n\r\n")[0].split("\r\n")[1:]]
    assert names.count("content-length") == names.count("connection") == names.count("date") == names.count("x-own") == 1
    assert not {"transfer-encoding", "upgrade", "keep-alive", "trailer", "x-orchestrator-invocation"} & set(names)
    assert "Content-Length: 10\r\n" in answer and "never" not in answer and answer.endswith("\r\n\r\nwhole body")


@pytest.mark.parametrize("bad", [{"headers": {"X-A": "b\r\nSet-Cookie: evil=1"}}, {"headers": {"X A": "b"}}, {"headers": {"X:A": "b"}},
                                 {"headers": {"X-A": "b\0c"}}, {"cookies": ["a=1\r\nX-B: c"]}])
def test_a_header_that_would_split_the_response_is_refused(proxyd, aws, bad):
    aws.script["hello"] = lambda call: call.reply({"statusCode": 200, "body": "x", **bad})
    answer = harness.raw(proxyd.listen, GET + b"\r\n" + LAST, timeout=10).decode()
    assert answer.count("HTTP/1.1 502 ") == 2 == answer.count("HTTP/1.1 ")
    assert "evil" not in answer and "X-B" not in answer


def test_in_flight_is_exact_over_all_workers(proxyd, aws):
    """The function's own high-water mark is the limit: never above, and reached."""
    running, high, lock = [0], [0], threading.Lock()

    def script(call):
        with lock:
            running[0] += 1
            high[0] = max(high[0], running[0])
        pause(0.004)
        with lock:
            running[0] -= 1
        call.reply({"statusCode": 200, "body": "ok"})

    aws.script["narrow"] = script
    statuses = collections.Counter()

    def client():
        for _ in range(40):
            statuses[proxyd.app("narrow").status] += 1

    in_threads([client] * 16)
    assert high[0] == 5
    assert statuses[200] > 0 and set(statuses) <= {200, 429}  # those beyond have waited
    wait_idle(proxyd)


def cpu_seconds(pid):
    fields = open(f"/proc/{pid}/stat").read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def test_an_idle_proxy_uses_no_cpu(proxyd, aws):
    """After load, with kept connections; and after Lambda has closed all of them."""
    aws.script["hello"] = lambda call: (pause(0.02), call.reply({"statusCode": 200, "body": "ok"}))[1]
    in_threads([lambda: [proxyd.app("hello") for _ in range(20)]] * 16)
    for _ in range(2):
        before = cpu_seconds(proxyd.daemon_pid())
        time.sleep(1.5)
        assert cpu_seconds(proxyd.daemon_pid()) - before < 0.3
        aws.close_idle()


def test_the_figures_are_what_was_sent(aws):
    aws.script["hello"] = lambda call: call.reply({"statusCode": 200, "body": "12345"})
    with Proxy(aws, routes=[app("hello")]) as proxyd:
        def client():
            for _ in range(25):
                assert proxyd.app("hello", "/", "POST", body=b"abc").status == 200
                assert proxyd.app("nobody").status == 404
                assert harness.raw(proxyd.listen, b"GET / HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 400 ")

        in_threads([client] * 8)
        assert proxyd.figure('proxyd_requests_total{status="2xx"}') == 200
        assert proxyd.figure('proxyd_requests_total{status="4xx"}') == 400
        assert proxyd.figure('proxyd_faults_total{fault="unknown-app",invocation="none"}') == 200
        assert proxyd.figure("proxyd_request_duration_seconds_count") == 600
        assert proxyd.figure("proxyd_request_body_bytes_total") == 600
        lines = harness.wait_for(lambda: len(proxyd.access_lines()) >= 600 and proxyd.access_lines(), 5, "all lines are written")
        assert collections.Counter(line["status"] for line in lines) == {200: 200, 404: 200, 400: 200}
        assert len({line["id"] for line in lines}) == 600
        harness.assert_lawful_metrics(harness.request(proxyd.admin_url + "/metrics").text)


def test_connections_over_an_addresss_share_are_counted(aws):
    """Over all workers together, and with those over TLS."""
    options = {"PROXYD_WORKERS": "4", "PROXYD_MAX_CONNECTIONS_PER_ADDRESS": "3"}
    with Secure(aws, options=options) as proxyd:
        kept = [socket.create_connection(proxyd.address, 10) for _ in range(2)] + [proxyd.dial()]
        for peer in kept:
            peer.sendall(GET + b"\r\n")
            assert peer.recv(65536).startswith(b"HTTP/1.1 200 ")
        for _ in range(2):
            try:
                assert harness.raw(proxyd.listen, LAST) == b""
            except ConnectionResetError:
                pass  # it was closed before its request came
        harness.wait_for(lambda: proxyd.figure("proxyd_client_connections_turned_away_total") == 2, 5, "both are counted")
        kept.pop().close()
        harness.wait_for(lambda: harness.raw(proxyd.listen, LAST).startswith(b"HTTP/1.1 200 "), 5, "there is room again")
        for peer in kept:
            peer.close()


def anonymous_bytes(pid):
    for line in open(f"/proc/{pid}/status"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon")


@pytest.mark.load
def test_a_slow_reader_holds_one_copy_of_its_answer(aws):
    """Five megabytes that need decoding, from a request of three: only the answer waits for its reader."""
    aws.script["hello"] = lambda call: call.reply(b'{"statusCode":200,"body":"' + b'\\n' + b"x" * (5 << 20) + b'"}')
    options = {"PROXYD_WORKERS": "1", "ASAN_OPTIONS": harness.clean_environment("/")["ASAN_OPTIONS"] + ":quarantine_size_mb=1"}
    request = b"POST / HTTP/1.1\r\nHost: hello.localhost\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 3000000
    with Proxy(aws, routes=[app("hello")], options=options) as proxyd:
        assert proxyd.app("hello", "/", "POST", body=b"x" * 3000000).status == 200
        before, readers = anonymous_bytes(proxyd.daemon_pid()), []
        for number in range(10):
            reader = socket.socket()
            reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
            reader.connect(proxyd.address)
            reader.sendall(request)
            readers.append(reader)
            harness.wait_for(lambda: proxyd.figure('proxyd_requests_total{status="2xx"}') == number + 2, 20, "it is answered")
        assert anonymous_bytes(proxyd.daemon_pid()) - before < 10 * (7 << 20)
        for reader in readers:
            reader.close()
