"""Streams at scale through the whole stack: a hundred megabytes for a slow reader, and a thousand streams at once.

Those of the thousand come from a static C program (functions/events_bootstrap.c): a sandbox serves one invocation, so a thousand
streams are a thousand processes. Their events carry a number and the time at which they were written.
"""
import contextlib
import os
import resource
import selectors
import socket
import ssl
import statistics
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import harness
from harness import Stack
from secure_proxy import lenient, make_certificate
from test_streaming import anonymous_kb

SOURCE = Path(__file__).parent / "functions" / "events_bootstrap.c"
INTERVAL_MS = 1000
PATIENCE = float(os.environ.get("TEST_PATIENCE", "1"))


@pytest.fixture(scope="module")
def bootstrap():
    program = harness.scratch("bootstrap.") / "bootstrap"
    subprocess.run(["cc", "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-s", "-o", program, SOURCE], check=True,
                   timeout=60)
    return program.read_bytes()


def scene(secure, lambda_local=None, proxyd=None):
    """The stack, whose proxyd also speaks TLS when `secure`."""
    options = dict(proxyd or {})
    if secure:
        certificate = make_certificate(harness.scratch("scale.") / "all.pem", "*.localhost")
        options |= {"PROXYD_TLS_LISTEN": "127.0.0.1:0", "PROXYD_TLS_CERTIFICATE_FILE": str(certificate)}
    return Stack(lambda_local=lambda_local, proxyd=options)


def dial(stack, name, secure, receive_buffer=None):
    peer = socket.socket()
    if receive_buffer:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    peer.settimeout(60)
    peer.connect(harness.split_address(stack.proxyd.ready_line["tlsListen"]) if secure else stack.proxyd.address)
    return lenient().wrap_socket(peer, server_hostname=f"{name}.localhost") if secure else peer


class Events:
    """One stream as its client sees it; fed with what the socket has."""

    def __init__(self, stack, path, secure):
        self.socket = dial(stack, "events", secure)
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: events.localhost\r\n\r\n".encode())
        self.socket.setblocking(False)
        self.raw, self.text = b"", b""
        self.status = None
        self.next = 0            # the number of the event that is due
        self.last = None         # when an event came last
        self.longest = 0.0       # between two events, in seconds
        self.delays = []         # from the function's write to our read
        self.ended = False       # by the last chunk
        self.problem = None

    def take(self):
        """All that is there; False once nothing more comes."""
        try:
            while data := self.socket.recv(65536):
                self.raw += data
            self.problem = None if self.ended else "closed in the middle"
        except (BlockingIOError, ssl.SSLWantReadError):
            pass
        except OSError as problem:
            self.problem = str(problem)
        if self.status is None and b"\r\n\r\n" in self.raw:
            head, self.raw = self.raw.split(b"\r\n\r\n", 1)
            self.status = int(head.split(b" ", 2)[1])
            if self.status != 200:
                self.problem = head.decode()
                return False
        while self.status and not self.ended and self.take_chunk():
            pass
        self.take_events()
        return not (self.ended or self.problem)

    def take_chunk(self):
        line, found, rest = self.raw.partition(b"\r\n")
        if not found:
            return False
        size = int(line, 16)
        if len(rest) < size + 2:
            return False
        self.text += rest[:size]
        self.raw = rest[size + 2:]
        self.ended = size == 0
        return True

    def take_events(self):
        now = time.monotonic()
        *events, self.text = self.text.split(b"\n\n")
        for event in events:
            number, written = (int(line.split(b": ")[1]) for line in event.split(b"\n"))
            if number != self.next:
                self.problem = f"event {number} came when {self.next} was due"
            self.next = number + 1
            self.delays.append(now - written / 1e6)
            if self.last is not None:
                self.longest = max(self.longest, now - self.last)
            self.last = now


def turn(selector, streams, until, seconds):
    """Takes what comes until `until()`; streams that have ended leave the selector."""
    deadline = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < deadline, f"{sum(s.next > 0 for s in streams)} of {len(streams)} streams began, {sum(s.ended for s in streams)} ended"
        for key, _ in selector.select(0.2):
            if not key.data.take():
                selector.unregister(key.data.socket)
                assert key.data.problem is None, key.data.problem


def busy_seconds(process):
    """Processor time, user's and system's."""
    fields = Path(f"/proc/{process.daemon_pid()}/stat").read_text().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def descriptors(most):
    """So many may be open, here and in what is started."""
    former, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(most, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (former, hard))


def hold(bootstrap, count, seconds, secure, capsys):
    """The daemons start with what a shell allows, and raise it themselves."""
    lambda_local = {"LAMBDA_LOCAL_CONCURRENCY": count + 10, "LAMBDA_LOCAL_MAX_SANDBOXES": count + 10, "LAMBDA_LOCAL_QUEUE_TIMEOUT": "120s"}
    with descriptors(1024), scene(secure, lambda_local, {"PROXYD_MAX_CONNECTIONS_PER_ADDRESS": 0}) as stack, descriptors(1 << 20):
        return hold_in(stack, bootstrap, count, seconds, secure, capsys)


def hold_in(stack, bootstrap, count, seconds, secure, capsys):
    """Opens `count` streams, keeps them all open for so long, ends them; gives the streams and proxyd's kB for each."""
    stop = stack.directory / "stop"
    stack.managerd.request("PUT", "/v1/apps/events", {"http": {"responseMode": "stream"}, "limits": {"maxInFlight": count + 10}})
    stack.deploy("events", {"bootstrap": bootstrap}, runtime="provided.al2023", handler="bootstrap", timeoutSeconds=600)
    assert harness.request(stack.proxyd.url + "/", host="events.localhost").text.startswith("id: 0\n")
    before = anonymous_kb(stack.proxyd)
    started = time.monotonic()
    path = f"/?count=100000&interval_ms={INTERVAL_MS}&stop={stop}"
    selector, streams = selectors.DefaultSelector(), []
    for _ in range(count):
        streams.append(Events(stack, path, secure))
        selector.register(streams[-1].socket, selectors.EVENT_READ, streams[-1])
    turn(selector, streams, lambda: all(s.next > 0 for s in streams), 120 * PATIENCE)
    opened = time.monotonic()
    firsts = [s.next for s in streams]
    for stream in streams:
        stream.longest, stream.last = 0.0, None
        stream.delays.clear()
    daemons = (stack.proxyd, stack.lambda_local)
    busy = [busy_seconds(process) for process in daemons]
    turn(selector, streams, lambda: time.monotonic() > opened + seconds, seconds + 10)
    busy = [(busy_seconds(process) - then) / seconds for process, then in zip(daemons, busy)]
    cost = (anonymous_kb(stack.proxyd) - before) / count
    held = [s.next - first for s, first in zip(streams, firsts)]
    delays = [delay for s in streams for delay in s.delays]
    report = (f"{count} streams{' over TLS' if secure else ''} began within {opened - started:.1f} s, held for {seconds} s: {sum(held)} events, {min(held)} to {max(held)} a stream, "
              f"longest time between two {max(s.longest for s in streams):.3f} s, delay {statistics.median(delays) * 1000:.1f} ms (median), "
              f"{max(delays) * 1000:.0f} ms (worst), proxyd {cost:.1f} kB a stream and {busy[0] * 100:.0f} % of a processor, lambda-local "
              f"{anonymous_kb(stack.lambda_local) // 1024} MB and {busy[1] * 100:.0f} %")
    stop.write_text("")
    turn(selector, streams, lambda: all(s.ended for s in streams), 60 * PATIENCE)
    for stream in streams:
        stream.socket.close()
    harness.wait_for(lambda: sum(line.get("stream") == "complete" for line in stack.proxyd.access_lines()) == count + 1, 20, "every line is written")
    with capsys.disabled():
        print(f"\n{report}")
    return streams, held, cost


def check(streams, held, cost, seconds):
    """That no event is missing was looked at when each came."""
    assert all(events >= seconds - 2 for events in held), f"{min(held)} events in {seconds} s"
    assert max(s.longest for s in streams) < 5 * PATIENCE
    assert cost < 256, "kB of proxyd's for each stream"


@pytest.mark.load
def test_a_thousand_event_streams_are_held_without_a_gap(bootstrap, capsys):
    check(*hold(bootstrap, 1000, 5, False, capsys), 5)


@pytest.mark.long
@pytest.mark.soak
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
def test_a_thousand_event_streams_are_held_for_a_minute(bootstrap, secure, capsys):
    check(*hold(bootstrap, 1000, 60, secure, capsys), 60)


# -- one large stream --

LARGE = """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
    stream = awslambda.HttpResponseStream.from(stream, {statusCode: 200, headers: {"Content-Type": "application/octet-stream"}});
    const megabytes = Number(event.queryStringParameters?.megabytes ?? 0);
    for (let n = 0; n < megabytes; n++)
        for (let half = 0; half < 2; half++)
            if (!stream.write(Buffer.alloc(1 << 19, n))) await new Promise((resolve) => stream.once("drain", resolve));
    stream.end();
});
"""


def read_slowly(stack, megabytes, rate, secure):
    """Reads a stream at so many MB/s; gives how many seconds it took."""
    taken, received = 0, bytearray()
    with dial(stack, "large", secure, receive_buffer=1 << 16) as peer:
        peer.sendall(f"GET /?megabytes={megabytes} HTTP/1.0\r\nHost: large.localhost\r\n\r\n".encode())
        started = time.monotonic()
        while piece := peer.recv(1 << 16):
            received += piece
            taken += len(piece)
            time.sleep(max(0, started + taken / (rate << 20) - time.monotonic()))
    head, _, body = bytes(received).partition(b"\r\n\r\n")
    assert b" 200 " in head
    assert body == b"".join(bytes([n]) * (1 << 20) for n in range(megabytes))
    return time.monotonic() - started


def stream_large(megabytes, rate, capsys):
    """Two readers, one of them over TLS."""
    # What the sanitizer holds back of freed memory is not the stream's.
    with scene(True, proxyd={"ASAN_OPTIONS": "detect_leaks=1:exitcode=99:quarantine_size_mb=1"}) as stack, ThreadPoolExecutor(2) as pool:
        stack.managerd.request("PUT", "/v1/apps/large", {"http": {"responseMode": "stream"}})
        stack.deploy("large", {"index.js": LARGE}, timeoutSeconds=300, memoryMb=256)
        before = peak = anonymous_kb(stack.proxyd)
        readers = [pool.submit(read_slowly, stack, megabytes, rate, secure) for secure in (False, True)]
        while not all(reader.done() for reader in readers):
            peak = max(peak, anonymous_kb(stack.proxyd))
            time.sleep(0.1)
        seconds = [reader.result() for reader in readers]
        with capsys.disabled():
            print(f"\n{megabytes} MB at {rate} MB/s took {seconds[0]:.1f} s, over TLS {seconds[1]:.1f} s: "
                  f"proxyd's anonymous memory was {before} kB before, {peak} kB at most")
        assert peak < 32 * 1024
        assert min(seconds) > megabytes / rate * 0.95
        lines = harness.wait_for(lambda: [line for line in stack.proxyd.access_lines() if line.get("stream")][1:] and
                                 stack.proxyd.access_lines(), 10, "the lines are written")
        assert [(line["stream"], line["bytes_out"]) for line in lines if line.get("stream")] == [("complete", megabytes << 20)] * 2


def test_a_large_stream_for_a_slow_reader_costs_little_memory(capsys):
    stream_large(24, 4, capsys)


@pytest.mark.long
@pytest.mark.soak
def test_a_hundred_megabytes_for_a_reader_of_one_a_second_cost_little_memory(capsys):
    stream_large(100, 1, capsys)
