"""A new proxyd takes the listening sockets over from the running one: under load, with streams, with kills at each point."""
import os
import random
import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest

import harness
from fake_lambda import FakeLambda, app, pause, publish, version
from secure_proxy import lenient, make_certificate
from test_edge_load import in_threads
from test_streaming import STREAM, Stream, chunk, complete, prelude

PATIENCE = float(os.environ.get("TEST_PATIENCE", "1"))
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
        self.certificate = self.peer.getpeercert(True) if secure else None
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


def shown(line):
    """The certificate that a new client gets."""
    dialled = Answers(line.options["PROXYD_TLS_LISTEN"], True)
    dialled.close()
    return dialled.certificate


def rolling(line, takeovers, rate, workers, seconds=1):
    """Take-overs under load, and a new certificate for each process; what one client misses is an exception in its thread. Gives the
    requests a second."""
    line.start({"PROXYD_WORKERS": workers[0]})
    load = Load(line, rate)
    began = []

    def conduct():
        try:
            harness.wait_for(lambda: load.sent > rate / 2, 30, "the load runs")
            began.append((time.monotonic(), load.sent))
            for number in range(takeovers):
                line.follow({"PROXYD_WORKERS": workers[(number + 1) % len(workers)]})
                before = shown(line)
                make_certificate(Path(line.options["PROXYD_TLS_CERTIFICATE_FILE"]), "*.localhost")
                line.last.signal(signal.SIGHUP)
                at = load.sent
                harness.wait_for(lambda: shown(line) != before, 10, "the new certificate is shown")
                harness.wait_for(lambda: load.sent > at + seconds * rate, 60, "the new process serves")
                line.processes[-2].wait(0, seconds=60)
            began.append((time.monotonic(), load.sent))
        finally:
            load.stop.set()

    in_threads([conduct, *load.clients], seconds=300)
    (start, first), (end, last) = began
    harness.wait_for(lambda: sum(len(process.access_lines()) for process in line.processes) >= load.sent, 10, "the last lines are written")
    served = [len(process.access_lines()) for process in line.processes]
    assert all(count > rate / 4 for count in served) and sum(served) == load.sent, served
    return (last - first) / (end - start)


@pytest.mark.load
def test_three_take_overs_at_500_requests_a_second_fail_none(aws, tmp_path):
    with Line(aws, make_certificate(tmp_path / "default.pem", "*.localhost")) as line:
        reached = rolling(line, 3, 500, [2, 1, 4])
        print(f"{reached:.0f} requests/s")
        assert reached > 450 / PATIENCE


@pytest.mark.long
@pytest.mark.load
def test_thirty_take_overs_in_a_minute_at_500_requests_a_second_fail_none(aws, tmp_path):
    with Line(aws, make_certificate(tmp_path / "default.pem", "*.localhost")) as line:
        reached = rolling(line, 30, 500, [2, 1, 4, 3], 2)
        print(f"{reached:.0f} requests/s")
        assert reached > 450 / PATIENCE


@pytest.mark.threads
def test_a_take_over_with_workers_that_come_and_go(aws, tmp_path):
    """Few requests: connections are silent for longer than a drain bears with by itself."""
    with Line(aws, make_certificate(tmp_path / "default.pem", "*.localhost"), {"PROXYD_DRAIN_IDLE": "10s"}) as line:
        rolling(line, 2, 50, [3, 1, 2])


def serves(process, count=20):
    for number in range(count):
        line = Answers(process.listen, False)
        line.ask(number)
        line.close()


def test_what_the_kernel_has_queued_is_served_by_the_next(aws):
    """The first accepts no more than two: what waits before it when it leaves has been promised an answer, too."""
    with Line(aws) as line:
        first = line.start({"PROXYD_WORKERS": "3", "PROXYD_MAX_CONNECTIONS": "3", "PROXYD_DRAIN_IDLE": "0"})
        holders = [Answers(first.listen, False) for _ in range(30)]
        for number, holder in enumerate(holders):
            holder.peer.sendall(REQUEST % number)
        harness.wait_for(lambda: len(first.access_lines()) == 3, 10, "as many as may be are served")
        line.follow({"PROXYD_WORKERS": "2", "PROXYD_MAX_CONNECTIONS": "100"})
        for number, holder in enumerate(holders):
            holder.read(number)
            holder.close()
        harness.wait_for(lambda: len(line.last.access_lines()) == 27, 5, "the last line is written")
        first.wait(0)


def test_a_stream_ends_where_it_began_and_a_signal_then_does_not_cut_it(aws):
    go_on = threading.Event()

    def play(call):
        stream = Stream(call).send(chunk(prelude()), chunk(b"first "))
        go_on.wait(30)
        stream.send(chunk(b"last"), complete()).end()

    aws.script["s"] = play
    with Line(aws) as line:
        first = line.start()
        with socket.create_connection(first.address, 30) as peer:
            peer.sendall(b"GET / HTTP/1.1\r\nHost: s.localhost\r\n\r\n")
            received = b""
            while b"first " not in received:
                received += peer.recv(65536)
            second = line.follow()
            assert harness.request(second.admin_url + "/readyz").status == 200
            serves(second)
            first.signal(signal.SIGTERM)  # as a supervisor does that stops it now: the first one, not the second
            first.wait_for_event("draining")
            go_on.set()
            assert harness.receive_all(peer, 20).endswith(b"4\r\nlast\r\n0\r\n\r\n")
        first.wait(0)
        assert first.access_lines()[-1]["stream"] == "complete"
        harness.wait_for(lambda: len(second.access_lines()) == 20, 5, "the last line is written")


def test_several_that_start_at_once_take_over_in_turn(aws):
    with Line(aws) as line:
        processes = [line.start(), *[line.make().launch() for _ in range(3)]]
        for process in processes[1:]:
            process.ready_line = process.wait_for_event("ready", 30)
        harness.wait_for(lambda: sum(process.running for process in processes) == 1, 30, "one remains")
        last = next(process for process in processes if process.running)
        assert not last.events("handed-over") and sum(len(process.events("took-over")) for process in processes) == 3
        last.listen, last.admin = line.address, line.admin
        serves(last)
        for process in processes:
            process.stop() if process is last else process.wait(0)


def test_a_process_that_is_about_to_drain_can_be_taken_over_from(aws):
    with Line(aws, options={"PROXYD_DRAIN_DELAY": "1h"}) as line:
        first = line.start()
        first.signal(signal.SIGTERM)
        first.wait_for_event("draining")
        serves(first)
        line.follow()
        first.wait(0, seconds=20)
        serves(line.last)
        line.options["PROXYD_DRAIN_DELAY"] = "0"
        line.follow()


def test_after_a_drain_nobody_is_met_and_the_next_starts_afresh(aws):
    with Line(aws) as line:
        line.start().stop(0)
        assert not line.socket.exists()
        assert not serves(line.start()) and not line.last.events("took-over")


def test_the_figures_are_those_of_the_process_that_serves(aws):
    with Line(aws) as line:
        serves(line.start(), 7)
        second = line.follow()
        text = harness.request(second.admin_url + "/metrics").text
        assert 'proxyd_requests_total{status="2xx"} 0' in text and "proxyd_ready 1" in text


BAD_STARTS = [
    ({"PROXYD_WORKERS": "many"}, 2, "PROXYD_WORKERS"),
    ({"PROXYD_TAKEOVER_SOCKET": "next"}, 2, "takeover-socket must be"),
    ({"PROXYD_TAKEOVER_SOCKET": "/" + "x" * 200}, 2, "takeover-socket"),
    ({"PROXYD_TLS_LISTEN": "127.0.0.1:0", "PROXYD_TLS_CERTIFICATE_FILE": "/nowhere"}, 2, "/nowhere"),
    ({"AWS_SECRET_ACCESS_KEY": None}, 2, "AWS_SECRET_ACCESS_KEY"),
    ({"ORCHESTRATOR_DATA_DIR": "/nowhere", "PROXYD_TAKEOVER_TIMEOUT": "1s"}, 1, "routes"),
    ({"PROXYD_TLS_LISTEN": "192.0.2.1:1"}, 1, "192.0.2.1"),
]


def test_a_process_that_cannot_start_leaves_the_one_that_runs_alone(aws, tmp_path):
    with Line(aws) as line:
        first = line.start()
        for options, code, words in BAD_STARTS:
            if "192.0.2.1" in words:
                options = {**options, "PROXYD_TLS_CERTIFICATE_FILE": str(make_certificate(tmp_path / "a.pem", "a.test"))}
            bad = line.make(options).launch()
            bad.wait(code)
            assert words in bad.log_text() and not bad.events("ready"), bad.log_text()
            line.processes.remove(bad)
            serves(first)
        assert not first.events("handed-over")
        line.follow()
        serves(line.last)


def test_an_address_that_is_not_wished_any_more_is_closed_in_order(aws):
    with Line(aws) as line:
        first = line.start()
        late = Answers(first.listen, False)
        second = line.make()
        second.listen = f"127.0.0.1:{harness.free_port()}"
        second.start()
        assert second.listen != first.listen and second.admin == first.admin
        assert second.events("socket-not-wanted")
        late.ask(1)
        serves(second)
        late.close()
        first.wait(0)
        with pytest.raises(ConnectionRefusedError):
            serves(first)


def strace(call, number):
    return ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=KILL:when={number}"]


UNTRACEABLE = {"ASAN_OPTIONS": harness.clean_environment("/")["ASAN_OPTIONS"] + ":detect_leaks=0"}


@pytest.mark.parametrize("call", ["sendmsg", "recvmsg"])
def test_the_new_process_may_be_killed_at_each_message(aws, call):
    with Line(aws) as line:
        first, left = line.start(), False
        for number in range(1, 10):
            second = line.make(UNTRACEABLE, wrapper=strace(call, number)).launch()
            harness.wait_for(lambda: not second.running or second.events("ready"), 30, "it is ready or dead")
            if second.running:
                break
            second.wait(None)
            line.processes.remove(second)
            harness.wait_for(lambda: first.events("hand-over-failed") or first.events("handed-over"), 10, "the first one knows")
            if first.events("handed-over"):  # it had said that it serves: who died then was the one that serves
                first.wait(0)
                first = line.start()
            serves(first)
        assert number > 2 and second.running
        first.wait(0)
        line.address, line.admin = second.listen, second.admin = first.listen, first.admin
        serves(second)


@pytest.mark.parametrize("call", ["sendmsg", "recvmsg"])
def test_the_old_process_may_be_killed_at_each_message(aws, call):
    with Line(aws, options=UNTRACEABLE) as line:
        line.start()
        for number in range(1, 10):
            old = line.last
            tracer = subprocess.Popen([*strace(call, number), "-p", str(old.daemon_pid())], stderr=subprocess.PIPE)
            try:
                harness.wait_for(lambda: "\nTracerPid:\t0\n" not in open(f"/proc/{old.daemon_pid()}/status").read(), 10,
                                 "strace holds it")
                serves(line.start())
                died = harness.wait_for(lambda: not old.running, 10, "the old one ends") and old.process.returncode == -signal.SIGKILL
                old.wait(None)
            finally:
                tracer.terminate()
                tracer.wait(10)
            if not died:
                break
        assert number > 2


def packet(kind, rest=b"", version=1):
    return b"PXHO" + bytes([version, kind]) + rest


ASK, OFFER, READY, LEFT, REFUSED = range(1, 6)


def dial(path, timeout=10):
    peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    peer.settimeout(timeout)
    peer.connect(str(path))
    return peer


def take(peer):
    """All that the running process offers: [(kind, flags, socket)]."""
    peer.sendall(packet(ASK))
    found, total = [], 1
    while len(found) < total:
        data, fds, _, _ = socket.recv_fds(peer, 1024, 64)
        assert data[5] == OFFER, data
        total, count = int.from_bytes(data[14:16], "little"), data[16]
        assert count == len(fds)
        found += [(data[17 + 2 * i], data[18 + 2 * i], socket.socket(fileno=fd)) for i, fd in enumerate(fds)]
    return found


def descriptors(process):
    return len(os.listdir(f"/proc/{process.daemon_pid()}/fd"))


STRANGE = {
    "noise": [os.urandom(300)],
    "nothing, of no length": [b""],
    "too long": [packet(ASK, b"x" * 100000)],
    "another version": [packet(ASK, version=9)],
    "ready before anything was offered": [packet(READY, b"\x07")],
    "left": [packet(LEFT)],
    "asks twice": [packet(ASK), packet(ASK)],
    "ready without saying what for": [packet(ASK), packet(READY)],
    "an offer of its own": [packet(OFFER, bytes(8) + b"\x01\x00\x01\x00\x00")],
}


def test_strange_messages_are_refused_and_change_nothing(aws):
    with Line(aws) as line:
        first = line.start({"PROXYD_TAKEOVER_TIMEOUT": "1s"})
        assert os.stat(line.socket).st_mode & 0o777 == 0o600
        before = descriptors(first)
        for name, messages in STRANGE.items():
            with dial(line.socket) as peer:
                answers = b""
                try:
                    for message in messages:
                        socket.send_fds(peer, [message], [0, 1, 2]) if name == "noise" or "own" in name else peer.send(message)
                    while piece := socket.recv_fds(peer, 1024, 64):
                        for fd in piece[1]:
                            os.close(fd)
                        if not piece[0]:
                            break
                        answers = piece[0]
                except (ConnectionResetError, BrokenPipeError):
                    pass
                if "version" in name:
                    assert answers[5] == REFUSED and b"version 9" in answers and b"version 1" in answers, answers
            harness.wait_for(lambda: descriptors(first) <= before, 10, f"all descriptors are closed after {name}")
        with dial(line.socket) as slow, dial(line.socket) as second:
            second.sendall(packet(ASK))
            assert b"not ready in time" in slow.recv(1024)
            assert second.recv(1024)[5] == OFFER  # its turn
        serves(first)
        assert not first.events("handed-over")
        line.follow()
        serves(line.last)


def test_processes_of_other_users_are_refused(aws):
    with Line(aws) as line:
        first = line.start()
        if os.geteuid() != 0:
            return  # nobody else can be played
        for path in [line.directory, line.socket]:
            path.chmod(0o777)
        code = ("import os, socket, sys; os.setgid(65534); os.setuid(65534); p = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET);"
                "p.settimeout(10); p.connect(sys.argv[1]); sys.stdout.write(repr(p.recv(1024)))")
        said = subprocess.run(["/usr/bin/python3", "-c", code, str(line.socket)], stdout=subprocess.PIPE, text=True, timeout=30).stdout
        assert "only processes of the same user" in said
        os.chown(line.socket, 65534, 65534)
        impostor = line.make().launch()
        impostor.wait(1)
        assert "belongs to another user" in impostor.log_text()
        line.processes.remove(impostor)
        os.chown(line.socket, 0, 0)
        serves(first)


class FakeOld:
    """A process that gives sockets away as `play(peer, sockets)` says."""

    def __init__(self, path, play):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(path))
        self.listener.listen(4)
        self.play, self.thread = play, threading.Thread(target=self.run, daemon=True)
        self.thread.start()

    def run(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            with peer:
                peer.settimeout(20)
                peer.recv(1024)
                try:
                    self.play(peer)
                    peer.recv(1024)
                except OSError:
                    pass

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()


def offer(peer, *sockets, total=None, generation=0):
    data = packet(OFFER, generation.to_bytes(8, "little") + (total or len(sockets)).to_bytes(2, "little") +
                  bytes([len(sockets)]) + b"".join(bytes([kind, 0]) for kind, _ in sockets))
    socket.send_fds(peer, [data], [each.fileno() for _, each in sockets])


def wrong_offers():
    listener = socket.create_server(("127.0.0.1", 0))
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    datagrams.bind(listener.getsockname())
    yield "another version", lambda peer: peer.send(packet(OFFER, version=2)), "version 2"
    yield "a refusal", lambda peer: peer.send(packet(REFUSED, b"not today\x1b")), "not today?"
    yield "noise", lambda peer: peer.send(os.urandom(100)), "no message"
    yield "no descriptors", lambda peer: peer.send(packet(OFFER, bytes(8) + b"\x01\x00\x01\x00\x00")), "lost on their way"
    yield "a turn too early", lambda peer: peer.send(packet(LEFT)), "out of turn"
    yield "no listener", lambda peer: offer(peer, (0, datagrams)), "no TCP socket that listens"
    yield "half of them", lambda peer: offer(peer, (0, listener), total=2), "in time"
    yield "silence", lambda peer: None, "in time"
    yield "an end, again and again", lambda peer: peer.close(), "broke the hand-over off"


def test_what_offers_nonsense_is_not_taken_over_from(aws):
    for name, play, words in wrong_offers():
        with Line(aws) as line, FakeOld(line.socket, play):
            bad = line.make({"PROXYD_TAKEOVER_TIMEOUT": "500ms", "PROXYD_LISTEN": "127.0.0.1:0"}).launch()
            bad.wait(1)
            assert words in bad.log_text() and "cannot take over from the running process" in bad.log_text(), (name, bad.log_text())


@pytest.mark.parametrize("other", [[], [socket.SOCK_STREAM, socket.SOCK_SEQPACKET], [socket.SOCK_DGRAM]])
def test_without_the_socket_for_the_next_one_it_makes_its_own(aws, other):
    """Other releases may not pass it on, or not as this one does."""
    listener = socket.create_server(("127.0.0.1", 0))

    def play(peer):
        offer(peer, (0, listener), *[(3, socket.socket(socket.AF_UNIX, kind)) for kind in other])
        assert peer.recv(1024)[5] == READY
        peer.send(packet(LEFT))

    with Line(aws) as line:
        with FakeOld(line.socket, play):
            first = line.start({"PROXYD_LISTEN": "%s:%d" % listener.getsockname()})
        listener.close()
        serves(first)
        serves(line.follow())


def test_a_refusal_after_it_was_ready_ends_the_new_process_in_order(aws):
    """The old one waited too long, and serves on: it must not share its clients with one that it does not know of."""
    listener = socket.create_server(("127.0.0.1", 0))

    def play(peer):
        offer(peer, (0, listener))
        assert peer.recv(1024)[5] == READY
        peer.send(packet(REFUSED, b"too late"))

    with Line(aws) as line, FakeOld(line.socket, play):
        new = line.make({"PROXYD_LISTEN": "%s:%d" % listener.getsockname()}).launch()
        new.wait(1)
        assert "too late" in new.log_text()
        with socket.create_connection(listener.getsockname(), 10):
            listener.settimeout(10)
            listener.accept()[0].close()  # it is ours alone again
