"""Bad input on proxyd's ports: a clear error or a closed connection, never a crash, a leak or a hang."""
import random
import socket

import pytest

import harness
from fake_lambda import FakeLambda, Proxy, app, pause, wait_idle


@pytest.fixture(scope="module")
def aws():
    with FakeLambda() as made:
        yield made


@pytest.fixture(scope="module")
def proxyd(aws):
    with Proxy(aws, routes=[app("hello")], options={"PROXYD_HEAD_TIMEOUT": "1s", "PROXYD_BODY_TIMEOUT": "1s",
                                                    "PROXYD_WORKERS": "2"}) as made:
        yield made


GOOD = b"GET / HTTP/1.1\r\nHost: hello.localhost\r\n"


@pytest.mark.parametrize("data, status", [
    (b"GET / HTTP/1.1\r\n\r\n", 400),
    (GOOD + b"Host: other\r\n\r\n", 400),
    (GOOD + b"Bad Name: x\r\n\r\n", 400),
    (GOOD + b"X: a\x00b\r\n\r\n", 400),
    (b"GET / HTTP/1.1\nHost: hello.localhost\n\n", 400),
    (b"GET / HTTP/9.9\r\nHost: hello.localhost\r\n\r\n", 505),
    (b"GET /%zz HTTP/1.1\r\nHost: hello.localhost\r\n\r\n", 400),
    (b"GET http://evil/ HTTP/1.1\r\nHost: hello.localhost\r\n\r\n", 400),
    (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: hello.localhost\r\n\r\n", 414),
    (GOOD + b"X: " + b"a" * 40000 + b"\r\n\r\n", 431),
    (GOOD + b"".join(b"X-%d: 1\r\n" % n for n in range(200)) + b"\r\n", 431),
    (GOOD + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", 400),
    (GOOD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (GOOD + b"Transfer-Encoding: gzip\r\n\r\n", 501),
    (b"POST / HTTP/1.1\r\nHost: hello.localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
])
def test_malformed_requests_get_a_problem_and_an_access_line(proxyd, aws, data, status):
    before = len(aws.calls)
    answer = harness.raw(proxyd.listen, data, timeout=5)
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert b"application/problem+json" in answer and b"\r\nX-Orchestrator-Invocation: not-started\r\n" in answer
    assert b"urn:app-orchestrator:fault:refused" in answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert len(aws.calls) == before
    request_id = answer.split(b"urn:uuid:", 1)[1][:36].decode()
    line = harness.wait_for(lambda: next((line for line in proxyd.access_lines() if line["id"] == request_id), None), 5,
                            "the refusal has its access line")
    assert line["status"] == status and line["fault"] == "refused" and line["client"] == "127.0.0.1"
    assert line["invocation"] == "not-started"


def test_random_bytes(proxyd):
    chance = random.Random(20261123)
    for _ in range(150):
        data = chance.randbytes(chance.randint(1, 3000))
        harness.raw(proxyd.listen, data, timeout=0.05, half_close=True)
    for _ in range(150):
        request = bytearray(GOOD + b"Content-Length: 3\r\n\r\nabc")
        for _ in range(chance.randint(1, 4)):
            request[chance.randrange(len(request))] = chance.randrange(256)
        harness.raw(proxyd.listen, bytes(request), timeout=0.05, half_close=True)
    assert proxyd.app("hello").status == 200
    wait_idle(proxyd)


@pytest.mark.parametrize("start", [b"", b"GET", GOOD, b"POST / HTTP/1.1\r\nHost: hello.localhost\r\nContent-Length: 10\r\n\r\nabc"])
def test_half_requests_end(proxyd, start):
    answer = harness.raw(proxyd.listen, start, timeout=8) if start else b""
    if start:
        assert answer == b"" or answer.startswith(b"HTTP/1.1 408 "), answer
    assert proxyd.app("hello").status == 200


def test_a_slow_head_is_cut(proxyd):
    with socket.create_connection(harness.split_address(proxyd.listen), 10) as peer:
        answer = b""
        for byte in GOOD * 20:
            try:
                peer.sendall(bytes([byte]))
                peer.settimeout(0.1)
                answer = peer.recv(4096)
                break
            except TimeoutError:
                continue
            except OSError:
                break
        assert answer == b"" or answer.startswith(b"HTTP/1.1 408 ")
    assert proxyd.app("hello").status == 200


def test_clients_that_vanish(proxyd, aws):
    for how in range(60):
        peer = socket.create_connection(harness.split_address(proxyd.listen), 10)
        if how % 3:
            peer.sendall(GOOD + b"\r\n")
        if how % 2:
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        peer.close()
    pause(0.2)
    assert proxyd.app("hello").status == 200
    wait_idle(proxyd)
    harness.wait_for(lambda: proxyd.figure("proxyd_client_connections") <= 1, 10, "no connection is left over")


def test_the_admin_address_survives_the_same(proxyd):
    for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 100, b"GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"):
        harness.raw(proxyd.admin, data, timeout=0.5, half_close=True)
    assert harness.request(proxyd.admin_url + "/readyz").status == 200


def test_pipelined_requests_are_answered_in_order(proxyd):
    answer = harness.raw(proxyd.listen, b"".join(b"GET /%d HTTP/1.1\r\nHost: hello.localhost\r\n\r\n" % n for n in range(5))
                         + GOOD + b"Connection: close\r\n\r\n", timeout=10)
    assert answer.count(b"HTTP/1.1 200 ") == 6
    found = [answer.index(b'"rawPath":"/%d"' % n) for n in range(5)]
    assert found == sorted(found)
