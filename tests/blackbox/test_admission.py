"""Who is let in: limits that hold exactly, short waits in order, honest refusals, and apps that do not feel each other."""
import socket
import signal
import threading
import time

import pytest

import harness
from fake_lambda import FakeLambda, Proxy, app, expect_fault, wait_idle

PATIENCE = {"PROXYD_QUEUE_WAIT": "20s"}


@pytest.fixture(scope="module")
def aws():
    with FakeLambda() as made:
        yield made


@pytest.fixture(autouse=True)
def no_scripts(aws):
    aws.script.clear()
    aws.calls.clear()


class Held:
    """A function that answers when it is let go; `paths` tells in which order its calls came."""

    def __init__(self, aws, name):
        self.aws, self.name, self.gate = aws, name, threading.Semaphore(0)
        aws.script[name] = self.play

    def play(self, call):
        self.gate.acquire(timeout=30)
        call.reply({"statusCode": 200, "body": "ok"})

    def wait_for(self, count):
        harness.wait_for(lambda: self.aws.count(self.name) >= count, 10, f"{count} calls of {self.name} came")

    def paths(self):
        return [call.event["rawPath"] for call in self.aws.calls if call.function == self.name]

    def let_go(self, count=1):
        for _ in range(count):
            self.gate.release()


class Clients:
    """Requests under way, each in a thread of its own; `answers` by path."""

    def __init__(self, proxyd, name):
        self.proxyd, self.name, self.answers, self.threads = proxyd, name, {}, []

    def send(self, path):
        def run():
            self.answers[path] = self.proxyd.app(self.name, path, timeout=30)
        self.threads.append(threading.Thread(target=run, daemon=True))
        self.threads[-1].start()

    def waiting(self, count):
        harness.wait_for(lambda: self.proxyd.figure("proxyd_requests_waiting") == count, 10, f"{count} requests wait")

    def join(self):
        for thread in self.threads:
            thread.join(30)
            assert not thread.is_alive(), "a client still waits"
        return {path: answer.status for path, answer in self.answers.items()}


def test_who_is_over_the_limit_waits_in_order(aws):
    held = Held(aws, "narrow")
    with Proxy(aws, routes=[app("narrow", max_in_flight=1)], options={**PATIENCE, "PROXYD_WORKERS": "1"}) as proxyd:
        clients = Clients(proxyd, "narrow")
        clients.send("/0")
        held.wait_for(1)
        for number in range(1, 6):
            clients.send(f"/{number}")
            clients.waiting(number)
        for number in range(6):
            held.wait_for(number + 1)
            assert held.paths() == [f"/{before}" for before in range(number + 1)]
            held.let_go()
        assert set(clients.join().values()) == {200}
        assert "queued_us" not in proxyd.line_of(clients.answers["/0"])
        line = proxyd.line_of(clients.answers["/5"])
        assert 0 < line["queued_us"] <= line["duration_us"]
        assert proxyd.figure("proxyd_requests_queued_total") == 5
        assert proxyd.figure("proxyd_queue_duration_seconds_count") == 5
        assert proxyd.figure("proxyd_queue_timeouts_total") == 0
        wait_idle(proxyd)


def test_a_place_goes_to_who_waits_longest_on_whatever_worker(aws):
    held = Held(aws, "narrow")
    with Proxy(aws, routes=[app("narrow", max_in_flight=2)], options={**PATIENCE, "PROXYD_WORKERS": "4"}) as proxyd:
        clients = Clients(proxyd, "narrow")
        for number in range(2):
            clients.send(f"/{number}")
            held.wait_for(number + 1)
        for number in range(2, 22):  # connections of their own: the kernel spreads them over the workers
            clients.send(f"/{number}")
            clients.waiting(number - 1)
        for number in range(2, 22):
            held.let_go()
            held.wait_for(number + 1)
        assert held.paths() == [f"/{number}" for number in range(22)]
        held.let_go(2)
        assert set(clients.join().values()) == {200}


def test_no_place_in_time_is_an_honest_429(aws):
    held = Held(aws, "narrow")
    options = {"PROXYD_WORKERS": "1", "PROXYD_QUEUE_WAIT": "300ms"}
    with Proxy(aws, routes=[app("narrow", max_in_flight=1)], options=options) as proxyd:
        clients = Clients(proxyd, "narrow")
        clients.send("/first")
        held.wait_for(1)
        started = time.monotonic()
        line = expect_fault(proxyd, proxyd.app("narrow"), "app-busy", 429, "not-started", 1)
        assert time.monotonic() - started >= 0.29 and line["queued_us"] >= 290000
        assert line["attempts"] == 0 and line["detail"] == "no place came free in time"
        assert proxyd.figure("proxyd_queue_timeouts_total") == 1
        held.let_go()
        assert clients.join() == {"/first": 200}
        assert aws.count("narrow") == 1


def test_the_wait_is_within_the_apps_own_deadline(aws):
    held = Held(aws, "narrow")
    with Proxy(aws, routes=[app("narrow", max_in_flight=1, deadline_ms=400)], options={**PATIENCE, "PROXYD_WORKERS": "1"}) as proxyd:
        clients = Clients(proxyd, "narrow")
        clients.send("/first")
        held.wait_for(1)
        started = time.monotonic()
        refused = proxyd.app("narrow", "/second", timeout=30)
        assert time.monotonic() - started < 10
        # The first has the same deadline: the second is refused, or gets its place too late for an answer.
        assert refused.status in (429, 504)
        assert clients.join() == {"/first": 504}
        held.let_go(2)


def test_a_line_has_an_end(aws):
    held = Held(aws, "narrow")
    options = {**PATIENCE, "PROXYD_WORKERS": "1", "PROXYD_QUEUE_LENGTH": "2"}
    with Proxy(aws, routes=[app("narrow", max_in_flight=1)], options=options) as proxyd:
        clients = Clients(proxyd, "narrow")
        for number in range(3):
            clients.send(f"/{number}")
            held.wait_for(1)
            clients.waiting(number)
        line = expect_fault(proxyd, proxyd.app("narrow", "/over"), "app-busy", 429, "not-started", 1)
        assert "queued_us" not in line
        held.let_go(3)
        assert clients.join() == {"/0": 200, "/1": 200, "/2": 200}


def test_a_client_that_leaves_while_it_waits_is_never_served(aws):
    held = Held(aws, "narrow")
    with Proxy(aws, routes=[app("narrow", max_in_flight=1)], options={**PATIENCE, "PROXYD_WORKERS": "1"}) as proxyd:
        clients = Clients(proxyd, "narrow")
        clients.send("/first")
        held.wait_for(1)
        leaver = socket.create_connection(proxyd.address, 10)
        leaver.sendall(b"GET /left HTTP/1.1\r\nHost: narrow.localhost\r\n\r\n")
        clients.waiting(1)
        clients.send("/last")
        clients.waiting(2)
        leaver.close()
        clients.waiting(1)
        held.let_go(2)
        assert clients.join() == {"/first": 200, "/last": 200}
        assert held.paths() == ["/first", "/last"]
        line = harness.wait_for(lambda: next((line for line in proxyd.access_lines() if line["path"] == "/left"), None), 5, "its line")
        assert (line["status"], line["fault"], line["invocation"], line["attempts"]) == (499, "client-left", "not-started", 0)
        assert line["client_gone"] and line["queued_us"] > 0
        wait_idle(proxyd)


def test_who_waits_costs_other_apps_no_place_of_the_process(aws):
    held = Held(aws, "narrow")
    options = {**PATIENCE, "PROXYD_WORKERS": "2", "PROXYD_MAX_IN_FLIGHT": "2"}
    with Proxy(aws, routes=[app("narrow", max_in_flight=1), app("hello")], options=options) as proxyd:
        clients = Clients(proxyd, "narrow")
        for number in range(5):
            clients.send(f"/{number}")
        held.wait_for(1)
        clients.waiting(4)
        for _ in range(5):
            assert proxyd.app("hello").status == 200
        held.let_go(5)
        assert set(clients.join().values()) == {200}


def test_a_rate_is_waited_for_and_kept(aws):
    """20 a second, one at once: five clients at the same moment are let in 50 ms apart, and a sixth in time too."""
    arrivals = []
    aws.script["paced"] = lambda call: (arrivals.append(time.monotonic()), call.reply({"statusCode": 200, "body": "ok"}))[1]
    with Proxy(aws, routes=[app("paced", rate_milli=20000, burst=1)], options={**PATIENCE, "PROXYD_WORKERS": "4"}) as proxyd:
        clients, started = Clients(proxyd, "paced"), time.monotonic()
        for number in range(6):
            clients.send(f"/{number}")
        assert set(clients.join().values()) == {200}
        assert arrivals[5] - started >= 0.25
        lines = [proxyd.line_of(answer) for answer in clients.answers.values()]
        assert max(line.get("queued_us", 0) for line in lines) >= 150000


def test_a_rate_that_is_too_far_ahead_is_refused_with_its_time(aws):
    options = {"PROXYD_WORKERS": "1", "PROXYD_QUEUE_WAIT": "500ms"}
    with Proxy(aws, routes=[app("paced", rate_milli=250, burst=1)], options=options) as proxyd:  # one in four seconds
        assert proxyd.app("paced").status == 200
        line = expect_fault(proxyd, proxyd.app("paced"), "app-rate", 429, "not-started", 4)
        assert "queued_us" not in line
        assert aws.count("paced") == 1


def test_without_a_line_nobody_waits(aws):
    held = Held(aws, "narrow")
    for options in ({"PROXYD_QUEUE_WAIT": "0"}, {"PROXYD_QUEUE_LENGTH": "0"}):
        with Proxy(aws, routes=[app("narrow", max_in_flight=1), app("paced", rate_milli=10000, burst=1)], options=options) as proxyd:
            clients = Clients(proxyd, "narrow")
            before = aws.count("narrow")
            clients.send("/first")
            held.wait_for(before + 1)
            assert "queued_us" not in expect_fault(proxyd, proxyd.app("narrow"), "app-busy", 429, "not-started", 1)
            statuses = [proxyd.app("paced").status for _ in range(2)]
            assert statuses[0] == 200 and proxyd.figure("proxyd_requests_queued_total") == 0
            held.let_go()
            assert clients.join() == {"/first": 200}


@pytest.mark.threads
def test_who_waits_is_served_before_the_process_ends(aws):
    held = Held(aws, "narrow")
    with Proxy(aws, routes=[app("narrow", max_in_flight=1)], options={**PATIENCE, "PROXYD_WORKERS": "4"}) as proxyd:
        clients = Clients(proxyd, "narrow")
        for number in range(8):
            clients.send(f"/{number}")
        held.wait_for(1)
        clients.waiting(7)
        proxyd.signal(signal.SIGTERM)
        proxyd.wait_for_event("draining")
        held.let_go(8)
        assert set(clients.join().values()) == {200}
        proxyd.wait(0)


@pytest.mark.threads
def test_an_end_by_force_leaves_nothing_behind(aws):
    held = Held(aws, "narrow")
    options = {**PATIENCE, "PROXYD_WORKERS": "4", "PROXYD_DRAIN_TIMEOUT": "200ms"}
    with Proxy(aws, routes=[app("narrow", max_in_flight=1), app("paced", rate_milli=100, burst=1)], options=options) as proxyd:
        peers = [socket.create_connection(proxyd.address, 10) for _ in range(12)]
        for number, peer in enumerate(peers):
            peer.sendall(f"GET /{number} HTTP/1.1\r\nHost: {'paced' if number % 4 == 0 else 'narrow'}.localhost\r\n\r\n".encode())
        held.wait_for(1)
        harness.wait_for(lambda: proxyd.figure("proxyd_requests_waiting") >= 8, 10, "they wait")
        proxyd.stop()
        held.let_go(12)
        for peer in peers:
            peer.close()
