"""Listening sockets that systemd passes: by Python in its place, and by its own systemd-socket-activate where that is installed."""
import os
import shutil
import signal
import socket
import subprocess
import threading

import pytest

import harness
from fake_lambda import FakeLambda, app, pause, publish
from secure_proxy import lenient, make_certificate
from test_edge_load import in_threads

# Becomes the program with the descriptors from 3 on, as systemd has it.
EXEC = """
import os, sys
fds = [os.dup(int(fd)) for fd in sys.argv[1].split(',')]
high = [__import__('fcntl').fcntl(fd, 0, 200) for fd in fds]
for n, fd in enumerate(high):
    os.dup2(fd, 3 + n)
os.environ.update({'LISTEN_FDS': str(len(fds)), 'LISTEN_PID': os.environ.get('LISTEN_PID') or str(os.getpid())})
for n in range(3 + len(fds), 300):
    try: os.close(n)
    except OSError: pass
os.execv(sys.argv[2], sys.argv[2:])
"""


@pytest.fixture
def aws():
    with FakeLambda() as made:
        made.script["hello"] = lambda call: call.reply({"statusCode": 200, "body": "ok"})
        yield made


class Activated(harness.Proxyd):
    """proxyd with sockets passed: {name: [socket]}."""

    def __init__(self, aws, data, sockets, **more):
        super().__init__(aws=aws.aws_variables(), data=data, **more)
        flat = [(name, each) for name, some in sockets.items() for each in some]
        self.fds = [each.fileno() for _, each in flat]
        self.options.setdefault("LISTEN_FDNAMES", ":".join(name for name, _ in flat))

    def launch(self):
        self.log_offset = self.log_path.stat().st_size if self.log_path.exists() else 0
        with open(self.log_path, "ab") as log, open(self.access_log_path, "ab") as access_log:
            self.process = subprocess.Popen(
                ["/usr/bin/python3", "-c", EXEC, ",".join(map(str, self.fds)), str(harness.binary("proxyd"))], stdin=subprocess.DEVNULL,
                stdout=access_log, stderr=log, env=self.environment(), cwd=self.directory, start_new_session=True, pass_fds=self.fds)
        self.starts += 1
        return self


def bound(count=1, reuse_port=False):
    """Sockets of one address, as systemd binds them."""
    made, port = [], 0
    for _ in range(count):
        each = socket.socket()
        each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if reuse_port:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        each.bind(("127.0.0.1", port))
        each.listen(1024)
        port = each.getsockname()[1]
        made.append(each)
    return made


@pytest.fixture
def data():
    folder = harness.scratch("activated.") / "data"
    publish(folder, routes=[app("hello")])
    return folder


def address_of(sockets):
    return "%s:%d" % sockets[0].getsockname()


def serves(address, secure=False, count=20):
    for _ in range(count):
        with socket.create_connection(harness.split_address(address), 20) as raw:
            peer = lenient().wrap_socket(raw, server_hostname="a.test") if secure else raw
            peer.sendall(b"GET / HTTP/1.1\r\nHost: hello.localhost\r\nConnection: close\r\n\r\n")
            answer = b""
            while piece := peer.recv(65536):
                answer += piece
        assert answer.startswith(b"HTTP/1.1 200 "), answer


@pytest.mark.threads
@pytest.mark.parametrize("count, reuse_port, workers", [(1, False, 4), (3, True, 2), (2, True, 5)])
def test_passed_sockets_are_served_by_all_workers(aws, data, tmp_path, count, reuse_port, workers):
    sockets = {"http": bound(count, reuse_port), "https": bound(), "admin": bound()}
    options = {"PROXYD_WORKERS": workers, "PROXYD_LISTEN": "192.0.2.1:80", "PROXYD_ADMIN_LISTEN": "192.0.2.1:81",
               "PROXYD_TLS_LISTEN": "192.0.2.1:443", "PROXYD_TLS_CERTIFICATE_FILE": make_certificate(tmp_path / "a.pem", "a.test")}
    with Activated(aws, data, sockets, options=options) as proxyd:
        assert (proxyd.listen, proxyd.admin) == (address_of(sockets["http"]), address_of(sockets["admin"]))
        proxyd.wait_ready()
        threads = [threading.Thread(target=serves, args=(proxyd.listen,)) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        serves(proxyd.ready_line["tlsListen"], True)
        harness.wait_for(lambda: len(proxyd.access_lines()) == 180, 5, "the last line is written")


def test_sockets_without_names_are_known_by_their_addresses(aws, data):
    http, admin = bound(), bound()
    options = {"PROXYD_LISTEN": address_of(http), "PROXYD_ADMIN_LISTEN": address_of(admin), "LISTEN_FDNAMES": None}
    with Activated(aws, data, {"proxyd.socket": admin + http}, options=options) as proxyd:
        serves(proxyd.listen)
        assert harness.request(proxyd.admin_url + "/healthz").status == 200


def test_what_cannot_be_used_is_told_in_a_sentence(aws, data):
    http = bound()
    datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    for sockets, options, words in [
            ({"web": http}, {"PROXYD_LISTEN": "127.0.0.1:1", "PROXYD_ADMIN_LISTEN": "127.0.0.1:2"}, f'"web" at {address_of(http)}'),
            ({"https": http}, {}, "tls-listen"),
            ({"http": [datagrams]}, {}, "no TCP socket that listens"),
            ({"http": http}, {"LISTEN_PID": "some"}, "LISTEN_PID"),
    ]:
        proxyd = Activated(aws, data, sockets, options=options).launch()
        proxyd.wait(1)
        assert words in proxyd.log_text(), proxyd.log_text()


def test_sockets_for_another_process_are_left_alone(aws, data):
    with Activated(aws, data, {"http": bound()}, options={"LISTEN_PID": "1"}) as proxyd:
        serves(proxyd.listen)
        assert proxyd.fds and proxyd.listen != "192.0.2.1:1"


class Clients:
    def __init__(self, address):
        self.address, self.stop, self.count = address, threading.Event(), 0

    def run(self):
        while not self.stop.is_set():
            serves(self.address, count=1)
            self.count += 1
            pause(0.01)


def under_load(address, conduct):
    clients = Clients(address)

    def guided():
        try:
            conduct(clients)
        finally:
            clients.stop.set()
    in_threads([guided, *[clients.run] * 8])
    return clients


@pytest.mark.parametrize("reuse_port", [False, True])
def test_a_restart_refuses_and_loses_nothing(aws, data, reuse_port):
    """The sockets stay with systemd while no process runs: clients wait in the queue."""
    sockets = {"http": bound(2 if reuse_port else 1, reuse_port), "admin": bound()}

    def conduct(clients):
        before = None
        for round in range(3):
            proxyd = Activated(aws, data, sockets, name=f"proxyd-{round}").start()
            at = clients.count
            harness.wait_for(lambda: clients.count > at + 50, 20, "it serves")
            proxyd.stop()
            pause(0.1)
        proxyd = Activated(aws, data, sockets, name="proxyd-last").start()
        at = clients.count
        harness.wait_for(lambda: clients.count > at + 50, 20, "it serves")
        clients.stop.set()
        serves(proxyd.listen)
        proxyd.close()

    assert under_load(address_of(sockets["http"]), conduct).count > 200


def test_of_two_instances_on_the_same_sockets_one_may_go(aws, data):
    sockets = {"http": bound(), "admin": bound()}

    def conduct(clients):
        a = Activated(aws, data, sockets, name="proxyd-a").start()
        for name in ["proxyd-b", "proxyd-c"]:
            harness.wait_for(lambda: clients.count > 30, 20, "it serves")
            b = Activated(aws, data, sockets, name=name).start()
            a.close()
            for _ in range(5):  # the one that drains has left the admin address to the other, too
                assert harness.request(b.admin_url + "/readyz").status == 200
            at = clients.count
            harness.wait_for(lambda: clients.count > at + 50, 20, "the other one serves")
            a = b
        clients.stop.set()
        serves(a.listen)
        a.close()

    under_load(address_of(sockets["http"]), conduct)


@pytest.mark.parametrize("abstract", [False, True])
def test_systemd_is_told_when_it_is_ready_and_when_it_stops(aws, data, abstract):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notices:
        path = f"{harness.scratch('notify.')}/n"
        notices.bind("\0" + path if abstract else path)
        notices.settimeout(20)
        proxyd = harness.Proxyd(aws=aws.aws_variables(), data=data, options={"NOTIFY_SOCKET": ("@" if abstract else "") + path})
        with proxyd:
            assert notices.recv(100) == b"READY=1"
            proxyd.signal(signal.SIGTERM)
            assert notices.recv(100) == b"STOPPING=1"
            proxyd.wait(0)


@pytest.mark.parametrize("program", ["systemd-socket-activate"] if shutil.which("systemd-socket-activate") else [])
def test_systemds_own_program_starts_it_with_the_first_connection(aws, data, program):
    port = harness.free_port()
    proxyd = harness.Proxyd(aws=aws.aws_variables(), data=data, wrapper=[
        program, "-l", f"127.0.0.1:{port}", "--fdname=http",
        *[f"-E{name}" for name in ["PROXYD_ADMIN_LISTEN", "PROXYD_WORKERS", "ORCHESTRATOR_DATA_DIR", "ASAN_OPTIONS", "UBSAN_OPTIONS", "HOME",
                                   *aws.aws_variables()]]])
    proxyd.daemon_pid = lambda: proxyd.process.pid  # it becomes the program
    proxyd.launch()
    try:
        harness.wait_for(lambda: socket.create_connection(("127.0.0.1", port), 5).close() or True, 10, "systemd listens")
        proxyd.wait_for_event("ready", 20)
        serves(f"127.0.0.1:{port}")
        proxyd.stop(0)
    finally:
        proxyd.kill9()
