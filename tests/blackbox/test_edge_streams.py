"""Streams over TLS and at the edges: lockstep, slow and leaving clients, silence, drain, keep-alive, routes that change."""
import http.client
import signal
import socket
import ssl
import threading
import time

import pytest

import harness
from fake_lambda import FakeLambda, app, pause, version, wait_idle
from secure_proxy import Secure, lenient
from test_streaming import LATE, STREAM, Client, Stream, anonymous_kb, chunk, complete, line_of, prelude, script


@pytest.fixture(scope="module")
def aws():
    with FakeLambda() as made:
        yield made


@pytest.fixture(autouse=True)
def no_scripts(aws):
    aws.script.clear()


def routes(name="s"):
    return [app("s", [version(name, response_mode=STREAM, timeout_s=20)])]


@pytest.fixture
def start(aws):
    running = []

    def begin(**options):
        made = Secure(aws, options={"PROXYD_WORKERS": "1", **options})
        made.publish(routes=routes())
        running.append(made.__enter__())
        return made
    yield begin
    for made in running:
        made.__exit__(None, None, None)


class SecureClient(Client):
    """A client of test_streaming, over TLS when `secure`."""

    def __init__(self, proxyd, secure, name="s", method="GET", path="/", body=None, timeout=20, receive_buffer=None):
        address = proxyd.tls_address if secure else proxyd.address
        self.connection = http.client.HTTPConnection(*address, timeout=timeout)
        raw = socket.socket()
        if receive_buffer:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        raw.settimeout(timeout)
        raw.connect(address)
        self.connection.sock = lenient().wrap_socket(raw, server_hostname="s.localhost") if secure else raw
        self.ask(method, path, body, name)

    def ask(self, method="GET", path="/", body=None, name="s"):
        self.connection.request(method, path, body=body, headers={"Host": f"{name}.localhost"})
        self.response = self.connection.getresponse()
        self.id = self.response.headers["X-Request-Id"]


BOTH = pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])


@BOTH
def test_events_in_lockstep(start, aws, secure):
    confirmed = threading.Semaphore(0)

    def behave(call):
        stream = Stream(call).send(chunk(prelude(headers={"Content-Type": "text/event-stream"})))
        for n in range(300):
            stream.send(chunk(b"data: %d\n\n" % n))
            assert confirmed.acquire(timeout=10)
        stream.send(complete()).end()
    aws.script["s"] = behave
    client = SecureClient(start(), secure)
    for n in range(300):
        event = b"data: %d\n\n" % n
        assert client.read(len(event)) == event
        confirmed.release()
    assert client.rest() == (b"", True)
    client.close()


@BOTH
def test_a_connection_serves_on_after_each_kind_of_stream(start, aws, secure):
    proxyd = start()
    aws.script["s"] = lambda call: script(chunk(prelude(statusCode=int(call.event["rawPath"][1:]))), chunk(b"x" * 100_000),
                                          complete())(call)
    client = SecureClient(proxyd, secure, path="/200")
    peer = client.connection.sock
    for method, status, length in [("GET", 200, 100_000), ("HEAD", 200, 0), ("GET", 204, 0), ("GET", 304, 0), ("POST", 200, 100_000)] * 3:
        assert len(client.response.read()) in (100_000, 0)
        client.ask(method, f"/{status}", b"abc" if method == "POST" else None)
        assert client.response.status == status and len(client.response.read()) == length
        assert client.connection.sock is peer
    wait_idle(proxyd)
    client.close()


@BOTH
def test_requests_behind_a_stream_are_answered_in_turn(start, aws, secure):
    aws.script["s"] = script(chunk(prelude()), chunk(b"some "), chunk(b"more"), complete())
    proxyd = start()
    client = SecureClient(proxyd, secure)
    client.response.read()
    request = b"GET / HTTP/1.1\r\nHost: s.localhost\r\n"
    client.connection.sock.sendall((request + b"\r\n") * 9 + request + b"Connection: close\r\n\r\n")
    got = harness.receive_all(client.connection.sock, 10)
    assert got.count(b"HTTP/1.1 200 OK\r\n") == 10 and got.count(b"5\r\nsome \r\n") == 10 and got.endswith(b"0\r\n\r\n")


@BOTH
def test_silence_longer_than_the_write_timeout_is_no_slow_reader(start, aws, secure):
    def behave(call):
        stream = Stream(call).send(chunk(prelude()), chunk(b"first"))
        pause(2.5)
        stream.send(chunk(b"second"))
        pause(1.5)
        stream.send(complete()).end()
    aws.script["s"] = behave
    client = SecureClient(start(PROXYD_WRITE_TIMEOUT="1s"), secure)
    assert client.rest() == (b"firstsecond", True)
    client.close()


@BOTH
def test_a_reader_that_stands_still_is_cut_and_costs_little(start, aws, secure):
    sent = []

    def behave(call):
        stream = Stream(call).send(chunk(prelude()))
        try:
            for _ in range(400):
                stream.send(chunk(b"x" * 100_000))
                sent.append(1)
        except OSError:
            pass
        return False
    aws.script["s"] = behave
    proxyd = start(PROXYD_WRITE_TIMEOUT="2s", ASAN_OPTIONS="detect_leaks=1:exitcode=99:quarantine_size_mb=1")
    before = anonymous_kb(proxyd)
    client = SecureClient(proxyd, secure, receive_buffer=1 << 16)
    pause(1)
    assert len(sent) < 200 and anonymous_kb(proxyd) - before < 8 * 1024
    line = line_of(proxyd, client)
    assert line["client_gone"] and line["stream"] == "client-gone"
    client.close()


@BOTH
def test_a_client_that_leaves_in_silence_is_noticed(start, aws, secure):
    ended = threading.Event()

    def behave(call):
        Stream(call).send(chunk(prelude()), chunk(b"first"))
        if call.peer.recv(1) == b"":
            ended.set()
        return False
    aws.script["s"] = behave
    proxyd = start()
    for leave in ("orderly", "reset"):
        ended.clear()
        client = SecureClient(proxyd, secure)
        assert client.read(5) == b"first"
        if leave == "reset":
            client.connection.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        assert ended.wait(5), leave
        assert line_of(proxyd, client)["stream"] == "client-gone"
    wait_idle(proxyd)


@BOTH
def test_large_bodies_pass_both_ways_as_a_stream(start, aws, secure):
    def behave(call):
        body = call.event["body"].encode()
        stream = Stream(call).send(chunk(prelude(headers={"Content-Type": "text/plain"})))
        for at in range(0, len(body), 70_000):
            stream.send(chunk(body[at:at + 70_000]))
        stream.send(complete()).end()
    aws.script["s"] = behave
    proxyd = start()
    body = bytes(range(32, 127)) * 50_000
    address = proxyd.tls_address if secure else proxyd.address
    kind = http.client.HTTPSConnection if secure else http.client.HTTPConnection
    connection = kind(*address, timeout=30, **({"context": lenient()} if secure else {}))
    for _ in range(2):
        connection.request("POST", "/", body, {"Host": "s.localhost", "Content-Type": "text/plain"})
        answer = connection.getresponse()
        assert answer.status == 200 and answer.read() == body
    connection.close()


@BOTH
def test_a_stream_that_ends_within_the_drain_time_is_whole(start, aws, secure):
    go_on = threading.Event()

    def behave(call):
        stream = Stream(call).send(chunk(prelude()), chunk(b"first "))
        go_on.wait(10)
        stream.send(chunk(b"last"), complete()).end()
    aws.script["s"] = behave
    proxyd = start(PROXYD_DRAIN_DELAY="0s", PROXYD_DRAIN_TIMEOUT="15s")
    client = SecureClient(proxyd, secure)
    assert client.read(6) == b"first "
    proxyd.signal(signal.SIGTERM)
    pause(0.5)
    go_on.set()
    began = time.monotonic()
    assert client.rest() == (b"last", True)
    proxyd.wait(0)
    assert time.monotonic() - began < 5


@pytest.mark.parametrize("http_version", ["1.0", "1.1"])
@BOTH
def test_a_stream_that_outlasts_the_drain_time_is_cut_and_seen_to_be(start, aws, secure, http_version):
    """By HTTP/1.0 a close in order would be the end of the body."""
    aws.script["s"] = lambda call: (Stream(call).send(chunk(prelude()), chunk(b"first ")), call.peer.recv(1), False)[2]
    proxyd = start(PROXYD_DRAIN_DELAY="0s", PROXYD_DRAIN_TIMEOUT="500ms")
    raw = socket.create_connection(proxyd.tls_address if secure else proxyd.address, 10)
    peer = lenient().wrap_socket(raw, server_hostname="s.localhost", suppress_ragged_eofs=False) if secure else raw
    peer.sendall(b"GET / HTTP/%s\r\nHost: s.localhost\r\n\r\n" % http_version.encode())
    got = b""
    while b"first " not in got:
        piece = peer.recv(65536)
        assert piece
        got += piece
    began = time.monotonic()
    proxyd.signal(signal.SIGTERM)
    with pytest.raises((ConnectionResetError, ssl.SSLError)):
        while piece := peer.recv(65536):
            got += piece
    proxyd.wait(0)
    assert time.monotonic() - began < 5
    line = proxyd.access_lines()[-1]
    assert (line["status"], line["fault"], line["stream"]) == (200, "stopped", "cut")
    peer.close()


@BOTH
def test_a_stream_goes_on_while_its_routes_change(start, aws, secure):
    sent = threading.Semaphore(0)

    def behave(call):
        stream = Stream(call).send(chunk(prelude(headers={"x-a": "b"})))
        for n in range(20):
            stream.send(chunk(b"%02d" % n))
            sent.acquire(timeout=10)
        stream.send(complete()).end()
    aws.script["s"] = behave
    aws.script["other"] = script(chunk(b"other"), complete())
    proxyd = start()
    client = SecureClient(proxyd, secure)
    for n in range(20):
        assert client.read(2) == b"%02d" % n
        proxyd.publish(routes=routes("other" if n % 2 == 0 else "s") if n < 19 else [])
        sent.release()
    assert client.rest() == (b"", True)
    line = line_of(proxyd, client)
    assert (line["app"], line["version"], line["stream"]) == ("s", 1, "complete")
    client.close()


@pytest.mark.parametrize("status", [100, 101, 103, 199, 600])
def test_a_prelude_with_a_status_that_is_no_answer_is_a_fault(start, aws, status):
    aws.script["s"] = script(chunk(prelude(statusCode=status)), chunk(b"x"), complete())
    assert start().app("s").status == 502


@BOTH
def test_tiny_pieces_for_a_reader_that_stands_still_cost_little(start, aws, secure):
    """Half a KiB of bookkeeping for each byte would be tens of megabytes before Lambda is held back."""
    sent = []

    def behave(call):
        stream = Stream(call).send(chunk(prelude()), chunk(b"x" * 1_000_000))
        pieces = chunk(b"y") * 10
        try:
            for _ in range(6000):
                stream.send(pieces)
                sent.append(10)
            stream.send(complete()).end()
        except OSError:
            pass
        return False
    aws.script["s"] = behave
    proxyd = start(ASAN_OPTIONS="detect_leaks=1:exitcode=99:quarantine_size_mb=1", PROXYD_STREAM_IDLE_TIMEOUT="20s")
    before = anonymous_kb(proxyd)
    client = SecureClient(proxyd, secure, receive_buffer=1 << 14)
    steady = -1
    while steady != len(sent):
        steady = len(sent)
        pause(0.5)
    assert anonymous_kb(proxyd) - before < 6 * 1024
    data, whole = client.rest()
    assert whole and len(data) == 1_000_000 + sum(sent)
    client.close()


CUTS = {how: (act, fault, invocation) for how, act, fault, invocation in LATE if how in ("function error", "bad CRC", "no end")}


@BOTH
@pytest.mark.parametrize("protocol", ["1.1", "1.0"])
@pytest.mark.parametrize("how", CUTS)
def test_a_cut_shows_on_the_wire(start, aws, how, protocol, secure):
    """HTTP/1.1: the last chunk is missing. HTTP/1.0, where the close is the end: no orderly close."""
    act, fault, invocation = CUTS[how]
    received = threading.Event()

    def behave(call):
        stream = Stream(call).send(chunk(prelude()), chunk(b"first "))
        assert received.wait(10)
        return act(stream)
    aws.script["s"] = behave
    proxyd = start()
    peer = socket.create_connection(proxyd.tls_address if secure else proxyd.address, 10)
    if secure:
        peer = lenient().wrap_socket(peer, server_hostname="s.localhost", suppress_ragged_eofs=False)
    with peer:
        peer.sendall(f"GET / HTTP/{protocol}\r\nHost: s.localhost\r\n\r\n".encode())
        got, orderly = b"", False
        try:
            while piece := peer.recv(65536):
                got += piece
                if b"first " in got:
                    received.set()
            orderly = True
        except (ConnectionResetError, ssl.SSLEOFError, ssl.SSLZeroReturnError):
            pass
    head, _, body = got.partition(b"\r\n\r\n")
    assert b" 200 " in head and b"first " in body
    if protocol == "1.1":
        assert b"Transfer-Encoding: chunked" in head and not body.endswith(b"0\r\n\r\n")
    else:
        assert not orderly, "the client takes the part for the whole"
    line = harness.wait_for(lambda: next((line for line in proxyd.access_lines() if line.get("stream")), None), 10, "the line is written")
    assert (line["status"], line["fault"], line["invocation"], line["stream"]) == (200, fault, invocation, "cut")
