"""Thousands of clients that do whatever comes to their mind, over plain and TLS, against functions that do the same: nothing is left behind."""
import collections
import os
import random
import socket
import ssl
import struct
import threading
import time

import pytest

import harness
from fake_lambda import FakeLambda, app, pause, publish, version, wait_idle
from secure_proxy import Secure, lenient, make_certificate
from test_streaming import STREAM, Stream, chunk, complete, prelude
from test_takeover import Line

LAWFUL = {200, 202, 204, 400, 401, 408, 413, 417, 429, 431, 501, 502, 503, 504}
OPTIONS = {"PROXYD_WORKERS": "4", "PROXYD_MAX_MEMORY": "6M", "PROXYD_QUEUE_WAIT": "60ms", "PROXYD_QUEUE_LENGTH": "4", "PROXYD_HEAD_TIMEOUT": "1s",
           "PROXYD_BODY_TIMEOUT": "2s", "PROXYD_WRITE_TIMEOUT": "2s", "PROXYD_BREAKER_FAILURES": "3", "PROXYD_BREAKER_PAUSE": "50ms",
           "PROXYD_BREAKER_PAUSE_MOST": "200ms", "PROXYD_MAX_IN_FLIGHT": "60", "PROXYD_IDLE_TIMEOUT": "4s", "PROXYD_STREAM_IDLE_TIMEOUT": "2s"}
NAMES = ["hello", "large", "slow", "narrow", "paced", "stream", "torn", "broken", "starts-not", "keyed", "paged", "small", "later", "nowhere"]


class Functions:
    """What Lambda does: seeded, so that a run can be had again as far as threads allow."""

    def __init__(self, aws, seed):
        self.chance, self.lock = random.Random(seed), threading.Lock()
        scripts = {"hello": self.fine, "keyed": self.fine, "paged": self.fine, "small": self.fine, "later": self.later, "paced": self.fine,
                   "narrow": self.slow, "slow": self.slow, "large": self.large, "stream": self.stream, "torn": self.torn,
                   "broken": self.broken, "starts-not": self.starts_not}
        aws.script.update(scripts)

    def pick(self, *choices):
        with self.lock:
            return self.chance.choice(choices)

    def fine(self, call):
        call.reply({"statusCode": 200, "body": "ok"})

    def later(self, call):
        if dict(call.headers).get("X-Amz-Invocation-Type") == "Event":
            call.answer(202)
        else:
            self.fine(call)

    def slow(self, call):
        pause(self.pick(0.001, 0.01, 0.04))
        self.fine(call)

    def large(self, call):
        call.reply({"statusCode": 200, "body": "x" * self.pick(20000, 400000, 1500000)})

    def stream(self, call, end=True):
        stream = Stream(call).send(chunk(prelude(statusCode=200)))
        for _ in range(self.pick(0, 1, 20, 100)):
            stream.send(chunk(b"s" * self.pick(1, 500, 9000)))
        return stream.send(complete()).end() if end else call.reset()

    def torn(self, call):
        return self.stream(call, end=False)

    def broken(self, call):
        return self.pick(lambda: call.reset(), lambda: False, lambda: call.answer(200, b"{", None, "OK"), lambda: call.service_error(500, "ServiceException"),
                         lambda: call.service_error(429, "TooManyRequestsException"), lambda: call.function_error({"errorType": "E"}))()

    def starts_not(self, call):
        if self.pick(True, True, True, False):
            call.service_error(502, "ENINotReadyException")
        else:
            self.fine(call)


def routes(narrow=2):
    return [app("hello"), app("large"), app("slow"), app("narrow", max_in_flight=narrow), app("paced", rate_milli=50000, burst=3),
            app("stream", [version("stream", response_mode=STREAM)], deadline_ms=3000), app("torn", [version("torn", response_mode=STREAM)], deadline_ms=3000),
            app("broken", deadline_ms=3000), app("starts-not", deadline_ms=3000), app("small", max_body_bytes=20000), app("later", respond_async=True),
            app("keyed", access={"api_keys": {"header": "x-api-key", "keys": [{"id": "k", "hash": "00" * 32}]}}), app("paged", access={"cors": {"origins": ["https://a.example"]}})]


class Client:
    """One that opens connection after connection; each does something else."""

    def __init__(self, proxyd, seed, statuses):
        self.proxyd, self.chance, self.statuses, self.seed = proxyd, random.Random(seed), statuses, seed
        self.context = lenient()
        self.session = None

    def dial(self):
        chance = self.chance
        if chance.random() < 0.5:
            peer = socket.create_connection(self.proxyd.address, 2)
            if chance.random() < 0.2:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            return peer
        raw = socket.create_connection(self.proxyd.tls_address, 2)
        if chance.random() < 0.15:  # a handshake that never is one
            raw.sendall(chance.choice([b"", b"\x16", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\n\r\n", bytes(chance.randrange(256) for _ in range(300))]))
            return raw
        try:
            return self.context.wrap_socket(raw, server_hostname="hello.localhost")
        except BaseException:
            raw.close()
            raise

    def message(self):
        chance = self.chance
        name, method = chance.choice(NAMES), chance.choice(["GET", "GET", "POST", "POST", "HEAD", "OPTIONS", "PUT", "BREW", "get"])
        version_ = chance.choice(["1.1"] * 9 + ["1.0"])
        lines = [f"Host: {name}.localhost"]
        lines += [line for line in ("Connection: close", "Expect: 100-continue", "Prefer: respond-async", "Origin: https://a.example",
                                    "Access-Control-Request-Method: POST", "X-Request-Id: mine", "X-Api-Key: guess") if chance.random() < 0.12]
        if chance.random() < 0.05:
            lines.append(chance.choice(["Host: twice", "Content-Length: +1", "Transfer-Encoding: gzip", "X : y", "X: " + "y" * 40000, "Expect: x"]))
        body = b""
        if method in ("POST", "PUT"):
            body = b"y" * chance.choice([0, 1, 100, 5000, 70000, 300000])
            if chance.random() < 0.4 and version_ == "1.1":
                lines.append("Transfer-Encoding: chunked")
                size = chance.choice([1, 7, 1000, 65536]) if len(body) <= 5000 else 30000
                body = b"".join(b"%x\r\n%s\r\n" % (len(body[i:i + size]), body[i:i + size]) for i in range(0, len(body), size)) + b"0\r\n\r\n"
            else:
                lines.append(f"Content-Length: {len(body)}")
        head = f"{method} /{self.seed} HTTP/{version_}\r\n" + "".join(line + "\r\n" for line in lines) + "\r\n"
        return head.encode() + body

    def send(self, peer, data):
        chance = self.chance
        manner = chance.random()
        if manner < 0.6:
            peer.sendall(data)
        elif manner < 0.8:  # in pieces
            at = 0
            while at < len(data):
                size = chance.choice([1, 3, 50, 2000, 100000])
                peer.sendall(data[at:at + size])
                at += size
                if at < 200:
                    pause(0.0005)
        else:  # a part only
            peer.sendall(data[:chance.randrange(len(data) + 1)])

    def read(self, peer):
        chance = self.chance
        manner = chance.random()
        if manner < 0.25:
            return
        peer.settimeout(chance.choice([0.001, 0.001, 0.05, 0.05, 0.3, 1]))
        got, until = b"", time.monotonic() + 1.5  # a small window makes even a whole answer last
        try:
            while len(got) < (1 << 22) and time.monotonic() < until:
                piece = peer.recv(chance.choice([1, 100, 65536]) if len(got) < 1000 else 65536)
                if not piece:
                    break
                got += piece
                if manner < 0.4:
                    break
                if got.endswith(b"\r\n0\r\n\r\n") or (b"\r\n\r\n" in got and manner < 0.7):
                    break
        except (TimeoutError, ssl.SSLWantReadError):
            pass
        if len(got) >= 12 and got.startswith(b"HTTP/1.1 ") and got[9:12] != b"100":
            self.statuses[int(got[9:12])] += 1

    def end(self, peer):
        manner = self.chance.random()
        try:
            if manner < 0.3:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            elif manner < 0.4:
                peer.shutdown(socket.SHUT_WR)
            elif manner < 0.5 and isinstance(peer, ssl.SSLSocket):
                peer.settimeout(0.05)
                peer.unwrap()
        except (OSError, ValueError):
            pass
        peer.close()

    def one(self):
        try:
            peer = self.dial()
        except (OSError, ssl.SSLError):
            return
        try:
            for _ in range(self.chance.choice([1, 1, 1, 2, 4])):
                self.send(peer, b"".join(self.message() for _ in range(self.chance.choice([1, 1, 1, 2, 6]))))
                self.read(peer)
        except (OSError, ssl.SSLError):
            pass  # refused, cut, or too slow: as it should be
        finally:
            self.end(peer)

    def run(self, until):
        count = 0
        while time.monotonic() < until:
            self.one()
            count += 1
        return count


def descriptors(proxyd):
    return len(os.listdir(f"/proc/{proxyd.daemon_pid()}/fd"))


def resident(proxyd):
    with open(f"/proc/{proxyd.daemon_pid()}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon:")) * 1024


def storm(proxyd, seed, seconds, threads=24):
    """Clients for a while, and an operator who changes limits meanwhile. Gives what the clients read."""
    statuses, counts, until = collections.Counter(), [], time.monotonic() + seconds
    clients = [Client(proxyd, seed * 1000 + number, statuses) for number in range(threads)]
    running = [threading.Thread(target=lambda client=client: counts.append(client.run(until)), daemon=True) for client in clients]
    for thread in running:
        thread.start()
    while time.monotonic() < until:
        proxyd.publish(settings=None, routes=[row for row in routes(1 + len(counts) % 4) if row["app"] != "paged"])
        pause(0.2)
    for thread in running:
        thread.join(60)
        assert not thread.is_alive(), "a client hangs"
    return statuses, sum(counts)


def nothing_is_left(proxyd):
    wait_idle(proxyd)
    for figure in ("proxyd_requests_waiting", "proxyd_held_bytes"):
        harness.wait_for(lambda figure=figure: proxyd.figure(figure) == 0, 15, f"{figure} is 0")
    harness.wait_for(lambda: proxyd.figure("proxyd_client_connections") == 0, 15, "no connection is left")
    assert proxyd.figure("proxyd_guard_disagreements_total") == 0


def every_request_has_its_line(proxyd):
    """Exactly one each: by the counters, which count what RECORD sees, and by ids that come once."""
    lines = proxyd.access_lines()
    counted = sum(proxyd.figure(f'proxyd_requests_total{{status="{kind}xx"}}') for kind in range(1, 6))
    assert proxyd.figure("proxyd_log_lines_dropped_total") == 0
    harness.wait_for(lambda: len(proxyd.access_lines()) == counted, 10, "each request has its line")
    assert len({line["id"] for line in lines}) == len(lines)
    for line in lines:
        assert line["status"] in LAWFUL | {404, 405, 499, 414, 505}, line
        assert ("fault" in line) == ("invocation" in line)
        if line.get("invocation") == "not-started" and line["attempts"] == 0:
            assert line["upstream_us"] == 0, line


def chaos(aws, seed, seconds):
    Functions(aws, seed)
    with Secure(aws, routes=routes(), options=OPTIONS) as proxyd:
        assert proxyd.app("hello").status == 200
        storm(proxyd, seed, 0.5)  # what is made once: lines, pools, arenas of the allocator
        nothing_is_left(proxyd)
        files, memory = descriptors(proxyd), resident(proxyd)
        statuses, count = storm(proxyd, seed + 1, seconds)
        nothing_is_left(proxyd)
        assert set(statuses) <= LAWFUL | {404, 405, 414, 505}, statuses
        assert {200, 400, 413, 502, 503} <= set(statuses) and count > 50 * seconds, (statuses, count)
        every_request_has_its_line(proxyd)
        upstream = proxyd.figure("proxyd_upstream_connections")
        assert descriptors(proxyd) <= files + upstream + 8, (files, upstream, descriptors(proxyd))
        assert resident(proxyd) < memory + (320 << 20), (memory, resident(proxyd))  # AddressSanitizer keeps 256 MB of what was freed
        for _ in range(20):
            assert proxyd.app("hello").status == 200
        proxyd.stop()
    return count


@pytest.mark.threads
def test_after_a_storm_of_all_manners_of_clients_nothing_is_left():
    with FakeLambda() as aws:
        print(chaos(aws, 1, 3), "connections")


@pytest.mark.long
@pytest.mark.parametrize("seed", range(10, 14))
def test_after_a_long_storm_nothing_is_left(seed):
    with FakeLambda() as aws:
        print(chaos(aws, seed, 60), "connections")


@pytest.mark.parametrize("force", [False, True])
def test_an_end_in_the_middle_of_a_storm_is_in_order(force):
    """A drain with time for everything, and one that is cut: the process ends, each request has its line."""
    with FakeLambda() as aws:
        Functions(aws, 7)
        with Secure(aws, routes=routes(), options={**OPTIONS, "PROXYD_DRAIN_TIMEOUT": "50ms" if force else "20s"}) as proxyd:
            ender = threading.Timer(1.5, proxyd.stop)
            ender.start()
            storm(proxyd, 7 + force, 1.4)
            ender.join()
            lines = proxyd.access_lines()
            assert len({line["id"] for line in lines}) == len(lines) > 20


class Following:
    """What the clients of a storm see of processes that follow one another."""

    def __init__(self, line):
        self.line, self.address = line, harness.split_address(line.address)
        self.tls_address = harness.split_address(line.options["PROXYD_TLS_LISTEN"])

    def publish(self, **wish):
        return publish(self.line.data, **wish)


@pytest.mark.threads
def test_take_overs_in_the_middle_of_a_storm_leave_nothing_behind(tmp_path):
    with FakeLambda() as aws, Line(aws, make_certificate(tmp_path / "default.pem", "*.localhost"), {**OPTIONS, "PROXYD_DRAIN_TIMEOUT": "20s"}) as line:
        Functions(aws, 9)
        publish(line.data, routes=routes())
        line.start()
        ended, results = threading.Event(), []
        clients = threading.Thread(target=lambda: (results.append(storm(Following(line), 9, 3)), ended.set()))
        clients.start()
        while not ended.is_set():
            pause(0.5)
            line.follow({"PROXYD_WORKERS": str(1 + len(line.processes) % 4)})
        clients.join()
        for process in line.processes[:-1]:
            process.wait(0, seconds=60)
        assert len(line.processes) > 2 and results[0][0][200] > 20, results
        lines = [entry for process in line.processes for entry in process.access_lines()]
        assert len({entry["id"] for entry in lines}) == len(lines)
        text = lambda: harness.request(line.last.admin_url + "/metrics").text  # noqa: E731
        for figure in ("proxyd_requests_in_flight", "proxyd_requests_waiting", "proxyd_held_bytes", "proxyd_client_connections"):
            harness.wait_for(lambda figure=figure: f"\n{figure} 0\n" in text(), 20, f"{figure} is 0")
