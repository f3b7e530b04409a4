"""The data path under mixed load: clients of all manners at once, signals, routes replaced, figures that must add up."""
import collections
import http.client
import random
import shutil
import signal
import socket
import struct
import threading
import time

import pytest

import harness
from fake_lambda import FakeLambda, Proxy, app, pause, wait_idle

WORKERS = {"PROXYD_WORKERS": "4"}


@pytest.fixture
def aws():
    with FakeLambda() as made:
        yield made


def in_threads(jobs, seconds=120):
    """Runs all jobs at once; what one of them raises fails the test."""
    problems = []

    def guarded(job):
        try:
            job()
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=guarded, args=(job,), daemon=True) for job in jobs]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.join(max(0.1, deadline - time.monotonic()))
        assert not thread.is_alive(), "a client still waits"
    if problems:
        raise problems[0]


class Clients:
    """Clients of several manners against one proxy; `sent` and `seen` count what the wire carried."""

    def __init__(self, proxyd):
        self.address = proxyd.address
        self.stop = threading.Event()
        self.statuses = collections.Counter()
        self.lock = threading.Lock()

    def note(self, status):
        with self.lock:
            self.statuses[status] += 1

    def kept(self, name, body=None, tolerant=False):
        """One connection, request after request."""
        connection = http.client.HTTPConnection(*self.address, timeout=30)
        while not self.stop.is_set():
            try:
                answer = harness.send(connection, "POST" if body else "GET", "/kept", body, host=f"{name}.localhost")
                self.note(answer.status)
                if answer.header("Connection", "").lower() == "close":
                    connection.close()
            except (OSError, http.client.HTTPException):
                if not tolerant:
                    raise
                return
        connection.close()

    def fresh(self, name, tolerant=False):
        while not self.stop.is_set():
            try:
                self.note(harness.request(f"http://{self.address[0]}:{self.address[1]}/fresh", host=f"{name}.localhost",
                                          timeout=30).status)
            except (OSError, http.client.HTTPException):
                if not tolerant:
                    raise
                return

    def leaver(self, name, seed):
        """Sends part or all of a request, or reads part of the answer, and is gone: in order or by a reset."""
        chance = random.Random(seed)
        request = f"POST /left HTTP/1.1\r\nHost: {name}.localhost\r\nContent-Length: 3000\r\n\r\n".encode() + b"x" * 3000
        while not self.stop.is_set():
            try:
                with socket.create_connection(self.address, 10) as peer:
                    peer.sendall(request[:chance.choice([0, 1, 30, 80, 2000, len(request), len(request)])])
                    if chance.random() < 0.5:
                        peer.settimeout(chance.choice([0.001, 0.01, 0.1]))
                        try:
                            peer.recv(chance.choice([1, 100, 65536]))
                        except TimeoutError:
                            pass
                    if chance.random() < 0.5:
                        peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            except OSError:
                if not self.stop.is_set():
                    pause(0.01)

    def pipeliner(self, name, depth=8):
        one = f"GET /pipe HTTP/1.1\r\nHost: {name}.localhost\r\n\r\n".encode()
        while not self.stop.is_set():
            answer = harness.raw(self.address, one * (depth - 1) + one.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"),
                                 timeout=30)
            assert answer.count(b"HTTP/1.1 200 ") == depth, answer[:300]

    def wrong(self):
        while not self.stop.is_set():
            answer = harness.raw(self.address, b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", timeout=10)
            assert answer.startswith(b"HTTP/1.1 400 "), answer[:100]


def mixed_scripts(aws):
    aws.script["quick"] = lambda call: call.reply({"statusCode": 200, "body": "ok"})
    aws.script["slow"] = lambda call: (pause(0.03), call.reply({"statusCode": 200, "body": "ok"}))[1]
    aws.script["large"] = lambda call: call.reply({"statusCode": 200, "body": "x" * 300000})
    aws.script["narrow"] = aws.script["slow"]
    # It says that it closes: a close that crosses the next request is a reset that proves nothing, rightly a 502.
    aws.script["closes"] = lambda call: (call.answer(200, {"statusCode": 200, "body": "ok"}, {"Connection": "close"}, "OK"), False)[1]
    aws.script["breaks"] = lambda call: call.reset()


NAMES = ["quick", "slow", "large", "narrow", "closes", "breaks"]


def routes():
    return [app(name, max_in_flight=2) if name == "narrow" else app(name) for name in NAMES]


@pytest.mark.threads
def test_all_manners_of_clients_while_routes_change(aws):
    mixed_scripts(aws)
    with Proxy(aws, routes=routes(), options=WORKERS) as proxyd:
        clients = Clients(proxyd)

        def conduct():
            try:
                for round in range(6):
                    for signalled in range(3):
                        pause(0.1)
                        proxyd.signal(signal.SIGHUP)
                        proxyd.publish(settings=None, routes=[app(f"extra-{round}-{signalled}")])
                        assert "proxyd_requests_total" in harness.request(proxyd.admin_url + "/metrics").text
                    if round % 2:  # the folder is deleted and built anew: another inode
                        shutil.rmtree(proxyd.data / "routes")
                        proxyd.publish(routes=routes())
            finally:
                clients.stop.set()

        in_threads([conduct, clients.wrong,
                    *[lambda name=name: clients.kept(name) for name in NAMES for _ in range(2)],
                    *[lambda name=name: clients.kept(name, b"y" * 2000) for name in ("quick", "slow")],
                    *[lambda name=name: clients.fresh(name) for name in NAMES],
                    *[lambda seed=seed: clients.leaver("slow", seed) for seed in range(4)],
                    *[lambda seed=seed: clients.leaver("large", seed + 10) for seed in range(2)],
                    lambda: clients.pipeliner("quick"), lambda: clients.pipeliner("slow")])
        assert set(clients.statuses) <= {200, 429, 502}, clients.statuses
        assert clients.statuses[200] > 100 and clients.statuses[502] > 0
        wait_idle(proxyd)
        assert proxyd.figure("proxyd_guard_disagreements_total") == 0
        harness.wait_for(lambda: proxyd.figure("proxyd_client_connections") <= 1, 10, "no connection is left over")


@pytest.mark.threads
@pytest.mark.parametrize("round", range(3))
def test_an_end_in_the_middle_of_mixed_load(aws, round):
    mixed_scripts(aws)
    with Proxy(aws, routes=routes(), options=WORKERS) as proxyd:
        clients = Clients(proxyd)

        def conduct():
            try:
                pause(0.3 + 0.2 * round)
                proxyd.signal(signal.SIGTERM)
                proxyd.wait(0)
            finally:
                clients.stop.set()

        in_threads([conduct, *[lambda name=name: clients.kept(name, tolerant=True) for name in NAMES],
                    *[lambda name=name: clients.fresh(name, tolerant=True) for name in NAMES],
                    *[lambda seed=seed: clients.leaver("slow", seed) for seed in range(4)]])
        assert clients.statuses[200] > 0 and set(clients.statuses) <= {200, 429, 502}


def test_a_store_that_is_built_anew_fails_no_request_meanwhile(aws):
    """Deleted, made, filled: until something is published in the new one, the old one serves."""
    aws.script["hello"] = lambda call: call.reply({"statusCode": 200, "body": "ok"})
    with Proxy(aws, routes=[app("hello")], options={"PROXYD_WORKERS": "2"}) as proxyd:
        clients = Clients(proxyd)

        def conduct():
            try:
                for _ in range(15):
                    shutil.rmtree(proxyd.data / "routes")
                    pause(0.2 * random.random())
                    proxyd.publish(routes=[app("hello")])
                    pause(0.2)
            finally:
                clients.stop.set()

        in_threads([conduct, *[lambda: clients.kept("hello") for _ in range(2)]])
        assert set(clients.statuses) == {200}, clients.statuses
        assert len(proxyd.events("routes-opened")) > 3
