"""One of two proxies on a port is ended under load: clients without retries see no failed request."""
import http.client
import random
import signal
import socket
import ssl
import struct
import threading
import time

import pytest

import harness
from fake_lambda import FakeLambda, Proxy, app, pause
from secure_proxy import Secure, lenient
from test_edge_load import in_threads


@pytest.fixture
def aws():
    with FakeLambda() as made:
        made.script["hello"] = lambda call: (pause(0.005), call.reply({"statusCode": 200, "body": "ok"}))[1]
        yield made


def second_of(proxyd):
    """Another process on the same port, over the same routes."""
    other = harness.Proxyd(aws=proxyd.aws, data=proxyd.data, name="proxyd-2")
    other.listen = proxyd.listen
    return other


def kept_client(address, seed, stop, answers):
    """Keeps its connection, thinks between its requests, never tries again; moves on only when told to close."""
    chance = random.Random(seed)
    connection = http.client.HTTPConnection(*address, timeout=20)
    while not stop.is_set():
        answer = harness.send(connection, "POST", "/", b"x" * chance.randint(0, 5000), host="hello.localhost")
        answers.append(answer.status)
        if answer.header("Connection", "").lower() == "close":
            connection.close()
        pause(chance.random() * 0.2)
    connection.close()


def fresh_client(address, stop, answers):
    while not stop.is_set():
        answers.append(harness.request(f"http://{address[0]}:{address[1]}/", host="hello.localhost", timeout=20).status)
        pause(0.002)


def test_kept_and_fresh_clients_lose_nothing_when_one_of_two_ends(aws):
    with Proxy(aws, routes=[app("hello")]) as proxyd, second_of(proxyd):
        stop, answers = threading.Event(), []

        def conduct():
            try:
                harness.wait_for(lambda: len(answers) > 200, 30, "the load runs")
                proxyd.signal(signal.SIGTERM)
                proxyd.wait(0)
                after = len(answers)
                harness.wait_for(lambda: len(answers) > after + 200, 30, "the other one serves on")
            finally:
                stop.set()

        in_threads([conduct, *[lambda seed=seed: kept_client(proxyd.address, seed, stop, answers) for seed in range(24)],
                    *[lambda: fresh_client(proxyd.address, stop, answers) for _ in range(4)]])
        assert set(answers) == {200}


def test_a_silent_kept_connection_does_not_hold_the_end_up(aws):
    with Proxy(aws, routes=[app("hello")]) as proxyd:
        connection = http.client.HTTPConnection(*proxyd.address, timeout=20)
        assert harness.send(connection, "GET", "/", host="hello.localhost").status == 200
        started = time.monotonic()
        proxyd.stop(0)
        assert time.monotonic() - started < 5
        connection.close()


def test_a_kept_connection_may_bring_its_last_request_for_as_long_as_is_said(aws):
    with Proxy(aws, routes=[app("hello")], options={"PROXYD_DRAIN_IDLE": "20s"}) as proxyd:
        quick, silent = [http.client.HTTPConnection(*proxyd.address, timeout=20) for _ in range(2)]
        for connection in (quick, silent):
            assert harness.send(connection, "GET", "/", host="hello.localhost").status == 200
        proxyd.signal(signal.SIGTERM)
        proxyd.wait_for_event("draining")
        assert harness.send(quick, "GET", "/", host="hello.localhost").header("Connection") == "close"
        pause(1.3)  # longer than it would be without the option
        assert harness.send(silent, "GET", "/", host="hello.localhost").header("Connection") == "close"
        proxyd.wait(0, seconds=10)


def test_a_slow_handshake_is_finished_and_its_request_served(aws):
    with Secure(aws, options={"PROXYD_DRAIN_IDLE": "100ms"}) as proxyd:
        received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
        session = lenient().wrap_bio(received, sent, server_hostname="hello.localhost")
        with socket.create_connection(proxyd.tls_address, 20) as peer, socket.create_connection(proxyd.tls_address, 20) as mute:
            def exchange(step):
                while True:
                    try:
                        return step()
                    except ssl.SSLWantReadError:
                        peer.sendall(sent.read())
                        received.write(peer.recv(65536))

            with pytest.raises(ssl.SSLWantReadError):
                session.do_handshake()
            hello = sent.read()
            peer.sendall(hello[:100])
            harness.wait_for(lambda: proxyd.figure("proxyd_client_connections") == 2, 10, "both are accepted")
            pause(0.1)
            proxyd.signal(signal.SIGTERM)
            assert mute.recv(100) == b""  # who says nothing is not waited for
            pause(0.5)
            peer.sendall(hello[100:])
            received.write(peer.recv(65536))
            exchange(session.do_handshake)
            session.write(b"GET / HTTP/1.1\r\nHost: hello.localhost\r\n\r\n")
            answer = exchange(lambda: session.read(65536))
            assert answer.startswith(b"HTTP/1.1 200 ") and b"Connection: close" in answer
        proxyd.wait(0)


def test_a_client_that_resets_at_once_is_named_in_the_log(aws):
    """Its address is known from accepting, though the kernel has forgotten it when the request is read."""
    with Proxy(aws, routes=[app("hello")], options={"PROXYD_WORKERS": "1"}) as proxyd:
        for _ in range(200):
            with socket.create_connection(proxyd.address, 10) as peer:
                peer.sendall(b"GET /reset HTTP/1.1\r\nHost: hello.localhost\r\n\r\n")
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        assert proxyd.app("hello").status == 200
        harness.wait_for(lambda: any(line["path"] == "/" for line in proxyd.access_lines()), 5, "the last line is written")
        assert {line["client"] for line in proxyd.access_lines()} == {"127.0.0.1"}
