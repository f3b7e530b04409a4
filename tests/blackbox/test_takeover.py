"""A new proxyd takes the listening sockets over from the running one: under load, with streams, with kills at each point."""
import os
import random
import signal
import socket
import struct
import threading
import time

import pytest

import harness
from fake_lambda import FakeLambda, Proxy, app, pause, publish, version
from secure_proxy import lenient, make_certificate
from test_edge_load import in_threads
from test_streaming import STREAM, Stream, chunk, complete, prelude

REQUEST = b"GET /%d HTTP/1.1\r\nHost: hello.localhost\r\n\r\n"


@pytest.fixture
def aws():
    with FakeLambda() as made:
        made.script["hello"] = lambda call: call.reply({"statusCode": 200, "body": call.event["rawPath"]})
        yield made


class Line:
    """Processes that follow one another on the same sockets; the last of them serves."""

    def __init__(self, aws, tls=None, options=None):
        self.aws, self.options = aws, dict(options or {})
        # Not below the scratch folder of the first process: a socket's path is short.
        self.directory = harness.scratch("line.")
        self.data = self.directory / "data"
        self.socket = self.directory / "next"
        if tls:
            self.options |= {"PROXYD_TLS_LISTEN": "127.0.0.1:0", "PROXYD_TLS_CERTIFICATE_FILE": str(tls)}
        self.processes = []
        publish(self.data, routes=[app("hello"), app("s", [version("s", response_mode=STREAM, timeout_s=60)])])

    def make(self, options=None, **more):
        made = harness.Proxyd(aws=self.aws.aws_variables(), data=self.data, name=f"proxyd-{len(self.processes)}",
                              options={"PROXYD_TAKEOVER_SOCKET": str(self.socket), **self.options, **(options or {})}, **more)
        if self.processes:
            made.listen, made.admin = self.address, self.admin
        self.processes.append(made)
        return made

    def start(self, options=None, **more):
        """The next process, ready."""
        made = self.make(options, **more).start()
        made.wait_ready()
        self.address, self.admin = made.listen, made.admin
        self.options |= {"PROXYD_TLS_LISTEN": made.ready_line["tlsListen"]} if "tlsListen" in made.ready_line else {}
        return made

    def follow(self, options=None):
        """The next process takes over; the one before ends by itself."""
        before = self.processes[-1]
        made = self.start(options)
        before.wait_for_event("handed-over")
        return made

    @property
    def last(self):
        return self.processes[-1]

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        for process in self.processes:
            if kind is None and process.process is not None:
                process.close()
            else:
                process.kill9()


class Answers:
    """A connection of a client that never tries anything twice."""

    def __init__(self, address, secure, timeout=30):
        raw = socket.create_connection(harness.split_address(address), timeout)
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.peer = lenient().wrap_socket(raw, server_hostname="hello.localhost") if secure else raw
        self.rest = b""

    def ask(self, number):
        """Sends one request and reads its answer: whether the connection stays open."""
        self.peer.sendall(REQUEST % number)
        return self.read(number)

    def read(self, number):
        while b"\r\n\r\n" not in self.rest:
            self.more()
        head, _, self.rest = self.rest.partition(b"\r\n\r\n")
        lines = head.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        while len(self.rest) < length:
            self.more()
        body, self.rest = self.rest[:length], self.rest[length:]
        assert lines[0] == b"http/1.1 200 ok" and body == b"/%d" % number, (head, body)
        return b"connection: close" not in lines

    def more(self):
        piece = self.peer.recv(65536)
        assert piece, "closed before the answer"
        self.rest += piece

    def close(self):
        self.peer.close()


class Load:
    """Clients, kept and fresh, plain and over TLS, that send `rate` requests a second in all, each at its time."""

    def __init__(self, line, rate):
        self.line, self.stop, self.counts, self.late = line, threading.Event(), {}, 0
        kinds = [("kept", False)] * 12 + [("kept", True)] * 6 + [("fresh", False)] * 4 + [("fresh", True)] * 2
        self.clients = [lambda n=n, kind=kind: self.run(n, *kind, rate / len(kinds)) for n, kind in enumerate(kinds)]

    def run(self, number, manner, secure, rate):
        chance, connection, sent = random.Random(number), None, 0
        address = self.line.options["PROXYD_TLS_LISTEN"] if secure else self.line.address
        due = time.monotonic() + chance.random() / rate
        while not self.stop.is_set():
            pause(max(0, due - time.monotonic()))
            due = max(due + chance.random() * 2 / rate, time.monotonic() - 1)
            if connection is None:
                connection = Answers(address, secure)
            if not connection.ask(number * 1000000 + sent) or manner == "fresh":
                connection.close()
                connection = None
            sent += 1
            self.counts[number] = sent
        if connection:
            connection.close()

    @property
    def sent(self):
        return sum(list(self.counts.values()))


def rolling(line, takeovers, rate, workers):
    """Take-overs under load; what one client misses is an exception in its thread. Gives the requests a second."""
    line.start({"PROXYD_WORKERS": workers[0]})
    load = Load(line, rate)
    began = []

    def conduct():
        try:
            harness.wait_for(lambda: load.sent > rate / 2, 30, "the load runs")
            began.append((time.monotonic(), load.sent))
            for number in range(takeovers):
                line.follow({"PROXYD_WORKERS": workers[(number + 1) % len(workers)]})
                at = load.sent
                harness.wait_for(lambda: load.sent > at + rate, 30, "the new process serves")
                line.processes[-2].wait(0, seconds=60)
            began.append((time.monotonic(), load.sent))
        finally:
            load.stop.set()

    in_threads([conduct, *load.clients], seconds=300)
    (start, first), (end, last) = began
    served = [len(process.access_lines()) for process in line.processes]
    assert all(count > rate / 4 for count in served), served
    assert sum(served) == load.sent
    return (last - first) / (end - start)


@pytest.mark.load
def test_three_take_overs_at_500_requests_a_second_fail_none(aws, tmp_path):
    with Line(aws, make_certificate(tmp_path / "default.pem", "*.localhost")) as line:
        print(f"{rolling(line, 3, 500, [2, 1, 4]):.0f} requests/s")


@pytest.mark.long
@pytest.mark.load
def test_thirty_take_overs_in_a_minute_at_500_requests_a_second_fail_none(aws, tmp_path):
    with Line(aws, make_certificate(tmp_path / "default.pem", "*.localhost")) as line:
        print(f"{rolling(line, 30, 500, [2, 1, 4, 3]):.0f} requests/s")
