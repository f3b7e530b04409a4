"""Who is let in: limits that hold exactly, short waits in order, honest refusals, and apps that do not feel each other."""
import random
import signal
import socket
import struct
import threading
import time

import pytest

import harness
from fake_lambda import FakeLambda, Proxy, app, expect_fault, pause, version, wait_idle
from test_streaming import STREAM, Stream, chunk, complete, prelude

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
        ends = {line["path"]: (line["fault"], line["invocation"], line["attempts"]) for line in proxyd.access_lines() if line.get("fault")}
        assert list(ends.values()).count(("not-served", "not-started", 0)) >= 8, ends
        assert set(ends.values()) <= {("not-served", "not-started", 0), ("stopped", "unknown", 1)}, ends


# ---- bodies and memory ----

def head(name, *lines):
    return "\r\n".join([f"POST /body HTTP/1.1\r\nHost: {name}.localhost", *lines, "", ""]).encode()


def read_until(peer, mark, seconds=10):
    """What came until `mark` did; fails at the end of the connection or of the time."""
    peer.settimeout(seconds)
    got = b""
    while mark not in got:
        more = peer.recv(65536)
        assert more, f"the connection ended before {mark}: {got[:500]}"
        got += more
    return got


def held_bytes(proxyd):
    return proxyd.figure("proxyd_held_bytes")


def wait_empty_handed(proxyd):
    harness.wait_for(lambda: held_bytes(proxyd) == 0, 10, "nothing is held any more")


@pytest.mark.parametrize("limit, lines, body", [
    (10000, ["Content-Length: 20000"], b""),
    (10000, ["Content-Length: 20000", "Expect: 100-continue"], b""),
    (10, ["Content-Length: 11", "Expect: 100-continue"], b""),
    (10, ["Transfer-Encoding: chunked", "Expect: 100-continue"], b"b\r\n"),
    (10000, ["Transfer-Encoding: chunked"], b"2000\r\n" + b"x" * 8192 + b"\r\n2000\r\n"),
])
def test_a_body_over_the_apps_limit_is_refused_before_it_is_read(aws, limit, lines, body):
    with Proxy(aws, routes=[app("small", max_body_bytes=limit), app("hello")], options={"PROXYD_WORKERS": "1"}) as proxyd:
        with socket.create_connection(proxyd.address, 10) as peer:
            peer.sendall(head("small", *lines) + body)
            answer = read_until(peer, b"}")
        if "chunked" in lines[0] and len(lines) > 1:  # its size is not known before it comes
            answer = answer.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
        assert answer.startswith(b"HTTP/1.1 413 ") and b"100 Continue" not in answer, answer
        assert b"urn:app-orchestrator:fault:body-too-large" in answer and f"larger than {limit} bytes".encode() in answer
        line = harness.wait_for(lambda: next(iter(proxyd.access_lines()), None), 5, "its line")
        assert (line["status"], line["fault"], line["invocation"]) == (413, "body-too-large", "not-started")
        assert proxyd.figure('proxyd_guard_refusals_total{reason="body-too-large"}') == 1
        assert aws.calls == []
        assert proxyd.app("hello", "/", "POST", body=b"x" * 20000).status == 200
        assert proxyd.app("small", "/", "POST", body=b"x" * 10).status == 200
        wait_empty_handed(proxyd)


def test_what_no_event_can_hold_is_refused_before_it_is_read(aws):
    with Proxy(aws, routes=[app("hello")], options={"PROXYD_WORKERS": "1", "PROXYD_MAX_BODY": "64M"}) as proxyd:
        answer = harness.raw(proxyd.listen, head("hello", "Content-Length: 6291457"))
        assert answer.startswith(b"HTTP/1.1 413 ") and b"larger than 6291456 bytes" in answer
        assert aws.calls == []


def test_what_will_never_fit_into_memory_is_no_503(aws):
    with Proxy(aws, routes=[app("hello")], options={"PROXYD_WORKERS": "1", "PROXYD_MAX_MEMORY": "100K"}) as proxyd:
        answer = harness.raw(proxyd.listen, head("hello", "Content-Length: 102401"))
        assert answer.startswith(b"HTTP/1.1 413 ") and b"larger than 102400 bytes" in answer


def test_no_memory_for_a_body_is_an_honest_503(aws):
    held_function = Held(aws, "hello")
    options = {"PROXYD_WORKERS": "2", "PROXYD_MAX_MEMORY": "1M"}
    with Proxy(aws, routes=[app("hello"), app("other", [version("hello")])], options=options) as proxyd:
        assert proxyd.figure("proxyd_max_held_bytes") == 1048576
        first = threading.Thread(target=proxyd.app, args=("hello", "/first", "POST"), kwargs={"body": b"x" * 400000, "timeout": 30})
        first.start()
        held_function.wait_for(1)
        assert 800000 < held_bytes(proxyd) < 1048576  # the body, and the event with it
        answer = harness.raw(proxyd.listen, head("hello", "Content-Length: 400000", "Expect: 100-continue"))
        assert answer.startswith(b"HTTP/1.1 503 ") and b"100 Continue" not in answer, answer
        assert b"\r\nRetry-After: 1\r\n" in answer and b"urn:app-orchestrator:fault:proxy-busy" in answer
        assert proxyd.figure('proxyd_guard_refusals_total{reason="busy"}') == 1
        with socket.create_connection(proxyd.address, 10) as peer:  # in chunks it is known when it has come
            peer.sendall(head("hello", "Transfer-Encoding: chunked") + b"61a80\r\n" + b"x" * 400000)
            answer = read_until(peer, b"}")
            assert answer.startswith(b"HTTP/1.1 503 ") and b"\r\nRetry-After: 1\r\n" in answer
        harness.wait_for(lambda: held_bytes(proxyd) < 1000000, 10, "what was refused is dropped")
        second = threading.Thread(target=proxyd.app, args=("other", "/second", "POST"), kwargs={"body": b"x" * 100000, "timeout": 30})
        second.start()
        held_function.wait_for(2)
        assert held_bytes(proxyd) > 1000000
        harness.wait_for(lambda: held_bytes(proxyd) > 1000000, 10, "nearly all is held")
        held_function.let_go(2)
        first.join()
        second.join()
        wait_empty_handed(proxyd)
        held_function.let_go()
        assert proxyd.app("hello", "/", "POST", body=b"x" * 400000).status == 200


def test_answers_that_nobody_takes_count_and_keep_newcomers_out(aws):
    aws.script["large"] = lambda call: call.reply({"statusCode": 200, "body": "x" * 5000000})
    aws.script["hello"] = lambda call: call.reply({"statusCode": 200, "body": "ok"})
    options = {"PROXYD_WORKERS": "1", "PROXYD_MAX_MEMORY": "8M"}
    with Proxy(aws, routes=[app("large"), app("hello")], options=options) as proxyd:
        peers = []
        for number in range(2):
            peer = socket.socket()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.connect(proxyd.address)
            peer.sendall(b"GET / HTTP/1.1\r\nHost: large.localhost\r\n\r\n")
            harness.wait_for(lambda: held_bytes(proxyd) > 4900000 * (number + 1), 10, "the answer waits")
            peers.append(peer)
        line = expect_fault(proxyd, proxyd.app("hello"), "proxy-busy", 503, "not-started", 1)
        assert line["detail"] == "memory"
        for peer in peers:
            peer.close()
        wait_empty_handed(proxyd)
        assert proxyd.app("hello").status == 200
        assert proxyd.figure("proxyd_slow_clients_cut_total") == 0


def test_the_bodies_of_one_app_cannot_keep_those_of_another_out(aws):
    held = Held(aws, "hog")
    aws.script["quiet"] = lambda call: call.reply({"statusCode": 200, "body": "ok"})
    body = b"y" * 300000
    with Proxy(aws, routes=[app("hog"), app("quiet")], options={"PROXYD_WORKERS": "4", "PROXYD_MAX_MEMORY": "2M"}) as proxyd:
        answers = []
        first = threading.Thread(target=lambda: answers.append(proxyd.app("hog", "/", "POST", body=body, timeout=30)))
        first.start()
        held.wait_for(1)
        for _ in range(20):
            refused = proxyd.app("hog", "/", "POST", body=body)
            line = expect_fault(proxyd, refused, "app-busy", 429, "not-started", 1)
            assert "memory" in refused.json()["detail"]
            assert line["detail"] == "the app's share of memory"
            assert proxyd.app("quiet", "/", "POST", body=body).status == 200
        held.let_go(2)
        first.join()
        assert answers[0].status == 200 and proxyd.app("hog", "/", "POST", body=body).status == 200
        wait_idle(proxyd)
        wait_empty_handed(proxyd)


def trickle(peer, ended):
    """Takes a little now and then, so that no silence is long enough to be cut for."""
    try:
        while not ended.is_set():
            peer.recv(1000)
            pause(0.1)
    except OSError:
        pass


def test_readers_that_trickle_cannot_keep_everybody_else_out(aws):
    """They would hold 10 of 8 MB for minutes; a client that reads at a fair pace meanwhile loses nothing."""
    gate = threading.Event()
    aws.script["large"] = lambda call: (gate.wait(30), call.reply({"statusCode": 200, "body": "x" * 5000000}))[1]
    aws.script["hello"] = lambda call: call.reply({"statusCode": 200, "body": "ok"})
    options = {"PROXYD_WORKERS": "2", "PROXYD_MAX_MEMORY": "8M"}
    ended = threading.Event()
    with Proxy(aws, routes=[app("large"), app("hello")], options=options) as proxyd:
        def ask(receive_bytes):
            peer = socket.socket()
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            peer.connect(proxyd.address)
            peer.sendall(b"GET / HTTP/1.1\r\nHost: large.localhost\r\n\r\n")
            return peer

        fair, got = ask(100000), 0
        threads = [threading.Thread(target=trickle, args=(ask(4096), ended), daemon=True) for _ in range(2)]
        harness.wait_for(lambda: aws.count("large") == 3, 10, "all three are let in")
        gate.set()
        for thread in threads:
            thread.start()
        while got < 5000000:
            piece = fair.recv(65536)
            assert piece, "the fair client was cut"
            got += len(piece)
            pause(0.03)
        harness.wait_for(lambda: proxyd.figure("proxyd_slow_clients_cut_total") >= 1, 20, "one that trickles is cut")
        harness.wait_for(lambda: proxyd.app("hello").status == 200, 20, "others are served again")
        ended.set()
        for thread in threads:
            thread.join(20)
        wait_empty_handed(proxyd)


def test_bodies_that_stand_still_cannot_keep_everybody_else_out(aws):
    aws.script["hello"] = lambda call: call.reply({"statusCode": 200, "body": "ok"})
    with Proxy(aws, routes=[app("hello")], options={"PROXYD_WORKERS": "2", "PROXYD_MAX_MEMORY": "1M"}) as proxyd:
        peers = [socket.create_connection(proxyd.address, 10) for _ in range(2)]
        for peer in peers:
            peer.sendall(head("hello", "Content-Length: 530000"))
        for peer in peers:
            peer.sendall(b"x" * 500000)  # both fit, and nobody else's would
        harness.wait_for(lambda: proxyd.figure('proxyd_guard_refusals_total{reason="busy"}') >= 1, 20, "one is refused")
        harness.wait_for(lambda: proxyd.app("hello").status == 200, 20, "others are served again")
        for peer in peers:
            peer.close()
        wait_empty_handed(proxyd)


def test_what_a_slow_reader_of_a_stream_lets_wait_counts(aws):
    def script(call):
        try:
            Stream(call).send(chunk(prelude(statusCode=200)), *[chunk(b"s" * 16000)] * 500, complete()).end()
        except OSError:
            return False  # the call was cancelled
    aws.script["stream"] = script
    routes = [app("stream", [version("stream", response_mode=STREAM)], deadline_ms=1500)]  # so long its place is held at the most
    with Proxy(aws, routes=routes, options={"PROXYD_WORKERS": "1"}) as proxyd:
        peer = socket.socket()
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.connect(proxyd.address)
        peer.sendall(b"GET / HTTP/1.1\r\nHost: stream.localhost\r\n\r\n")
        harness.wait_for(lambda: held_bytes(proxyd) > 200000, 10, "what it has not taken is counted")
        assert held_bytes(proxyd) < 1000000
        peer.close()
        wait_empty_handed(proxyd)


@pytest.mark.threads
def test_after_all_manners_of_ends_nothing_is_held(aws):
    """Bodies, answers and streams that are finished, cut or left; with a ceiling that is met now and then."""
    aws.script["large"] = lambda call: call.reply({"statusCode": 200, "body": "x" * 300000})
    aws.script["breaks"] = lambda call: call.reset()
    aws.script["stream"] = lambda call: Stream(call).send(chunk(prelude(statusCode=200)), *[chunk(b"s" * 8000)] * 80, complete()).end()
    routes = [app("hello"), app("large"), app("breaks"), app("narrow", max_in_flight=1), app("small", max_body_bytes=20000),
              app("stream", [version("stream", response_mode=STREAM)], deadline_ms=3000)]
    options = {"PROXYD_WORKERS": "4", "PROXYD_MAX_MEMORY": "2M", "PROXYD_QUEUE_WAIT": "50ms"}
    statuses = set()
    with Proxy(aws, routes=routes, options=options) as proxyd:
        def client(seed):
            chance = random.Random(seed)
            for number in range(25):
                name = chance.choice(["hello", "large", "breaks", "narrow", "small", "stream"])
                body = b"y" * chance.choice([0, 10, 3000, 60000, 300000])
                lines = ["Transfer-Encoding: chunked"] if chance.random() < 0.4 and body else [f"Content-Length: {len(body)}"]
                if "chunked" in lines[0]:
                    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
                message = head(name, *lines) + body
                with socket.create_connection(proxyd.address, 10) as peer:
                    try:
                        cut = chance.choice([len(message), len(message), len(message) // 2])
                        peer.sendall(message[:cut])
                        if cut == len(message) and chance.random() < 0.8:
                            statuses.add(int(read_until(peer, b"\r\n\r\n", 20).replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")[9:12]))
                        if chance.random() < 0.3:
                            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    except (ConnectionError, BrokenPipeError):
                        pass  # a refusal that crossed with the body

        threads = [threading.Thread(target=client, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {200, 413} <= statuses <= {200, 413, 429, 502, 503, 504}, statuses
        wait_idle(proxyd)
        wait_empty_handed(proxyd)
        assert proxyd.figure("proxyd_requests_waiting") == 0


@pytest.mark.threads
def test_no_place_is_lost_or_won_while_limits_change_and_clients_leave(aws):
    """Afterwards the limit holds exactly: three are in flight, the fourth waits."""
    aws.script["narrow"] = lambda call: (pause(0.005), call.reply({"statusCode": 200, "body": "ok"}))[1]
    options = {"PROXYD_WORKERS": "4", "PROXYD_QUEUE_WAIT": "60ms", "PROXYD_QUEUE_LENGTH": "3"}
    statuses, ended = set(), threading.Event()
    with Proxy(aws, routes=[app("narrow", max_in_flight=2)], options=options) as proxyd:
        def client(seed):
            chance = random.Random(seed)
            while not ended.is_set():
                with socket.create_connection(proxyd.address, 10) as peer:
                    peer.sendall(b"GET / HTTP/1.1\r\nHost: narrow.localhost\r\n\r\n")
                    if chance.random() < 0.4:
                        pause(chance.choice([0, 0.002, 0.01, 0.03]))
                    else:
                        statuses.add(read_until(peer, b"\r\n\r\n", 20)[9:12])

        threads = [threading.Thread(target=client, args=(seed,)) for seed in range(16)]
        for thread in threads:
            thread.start()
        for round in range(30):
            proxyd.publish(settings=None, routes=[app("narrow", max_in_flight=1 + round % 4)])
            pause(0.05)
        ended.set()
        for thread in threads:
            thread.join()
        assert statuses == {b"200", b"429"}
        wait_idle(proxyd)
        held = Held(aws, "narrow")
        proxyd.publish(settings=None, routes=[app("narrow", max_in_flight=3)])
        clients, before = Clients(proxyd, "narrow"), aws.count("narrow")
        for number in range(3):
            clients.send(f"/{number}")
        held.wait_for(before + 3)
        assert proxyd.app("narrow").status == 429 and aws.count("narrow") == before + 3
        held.let_go(3)
        assert set(clients.join().values()) == {200}
        wait_idle(proxyd)
        wait_empty_handed(proxyd)
