"""TLS on proxyd's own port, seen by Python's ssl: certificates by host, rotation under load, redirects, bad files, drain."""
import http.client
import os
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

import harness
from fake_lambda import FakeLambda, Proxy, app, pause


@pytest.fixture(scope="module")
def aws():
    with FakeLambda() as made:
        yield made


@pytest.fixture(scope="module")
def certificates():
    """A factory of self-signed certificates in one PEM file with their key: certificates(path, "name", ...)."""
    def make(path, *names, days=30):
        path.parent.mkdir(parents=True, exist_ok=True)
        new, key = path.parent / f".{path.name}.new", path.parent / f".{path.name}.key"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key,
                        "-out", new, "-days", str(days), "-subj", f"/CN={names[0]}",
                        "-addext", "subjectAltName=" + ",".join(f"DNS:{name}" for name in names)],
                       check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30)
        new.write_text(new.read_text() + key.read_text())
        key.unlink()
        os.rename(new, path)
        return path
    return make


class Secure(Proxy):
    """proxyd with TLS on, a default certificate for *.localhost, and others below secrets/tls."""

    def __init__(self, aws, certificates, options=None, **published):
        directory = harness.scratch("tls.")
        self.default = certificates(directory / "default.pem", "default.test", "*.localhost")
        super().__init__(aws, options={"PROXYD_TLS_LISTEN": "127.0.0.1:0", "PROXYD_TLS_CERTIFICATE_FILE": str(self.default),
                                       **(options or {})}, routes=[app("hello")], **published)
        self.folder = self.data / "secrets" / "tls"

    def start(self):
        super().start()
        self.tls_address = harness.split_address(self.ready_line["tlsListen"])
        return self

    def dial(self, host="hello.localhost", context=None, timeout=10, session=None):
        raw = socket.create_connection(self.tls_address, timeout)
        return (context or lenient()).wrap_socket(raw, server_hostname=host, session=session)

    def connection(self, timeout=20):
        made = http.client.HTTPSConnection(*self.tls_address, timeout=timeout, context=lenient())
        made.connect()
        return made

    def names_shown(self, host):
        with self.dial(host) as peer:
            text = subprocess.run(["openssl", "x509", "-inform", "DER", "-noout", "-subject"], input=peer.getpeercert(True),
                                  stdout=subprocess.PIPE, check=True, timeout=30).stdout.decode()
        return text.split("CN = ")[1].strip()

    def reload(self):
        before = len(self.events("reload"))
        self.signal(signal.SIGHUP)
        harness.wait_for(lambda: len(self.events("reload")) > before, 5, "the reload is logged")


def lenient(**settings):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for name, value in settings.items():
        setattr(context, name, value)
    return context


@pytest.fixture(scope="module")
def proxyd(aws, certificates):
    made = Secure(aws, certificates, options={"PROXYD_HEAD_TIMEOUT": "1s", "PROXYD_HSTS_MAX_AGE_S": "3600",
                                              "PROXYD_HTTPS_REDIRECT": "true", "PROXYD_HTTPS_PORT": "8443"})
    certificates(made.folder / "exact.pem", "shop.example")
    certificates(made.folder / "wildcard.pem", "*.shop.example")
    with made:
        yield made


@pytest.fixture(autouse=True)
def no_scripts(aws):
    aws.script.clear()


def get(connection, path="/", **more):
    return harness.send(connection, "GET", path, host="hello.localhost", **more)


@pytest.mark.parametrize("host, shown", [
    ("shop.example", "shop.example"), ("SHOP.example", "shop.example"), ("a.shop.example", "*.shop.example"),
    ("a.b.shop.example", "default.test"), ("hello.localhost", "default.test"), (None, "default.test"),
])
def test_a_host_gets_its_certificate(proxyd, host, shown):
    assert proxyd.names_shown(host) == shown


def test_the_function_learns_of_tls(proxyd):
    connection = proxyd.connection()
    answer = get(connection, headers={"X-Forwarded-Proto": "http", "X-Amzn-Tls-Version": "mine"})
    headers = answer.json()["headers"]
    assert headers["x-forwarded-proto"] == "https"
    assert headers["x-forwarded-port"] == str(proxyd.tls_address[1])
    assert headers["x-amzn-tls-version"] == connection.sock.version() == "TLSv1.3"
    assert headers["x-amzn-tls-cipher-suite"] == connection.sock.cipher()[0]
    connection.close()


def test_hsts_is_sent_over_tls_unless_the_app_has_its_own(proxyd, aws):
    connection = proxyd.connection()
    assert get(connection).header("Strict-Transport-Security") == "max-age=3600"
    aws.script["hello"] = lambda call: call.reply({"statusCode": 200, "headers": {"strict-transport-security": "max-age=1"}, "body": "x"})
    assert get(connection).header("Strict-Transport-Security") == "max-age=1"
    connection.close()


def test_plain_http_is_redirected(proxyd, aws):
    before = len(aws.calls)
    answer = proxyd.app("hello", "//a%20b/c?x=1&y", method="POST", body=b"abc")
    assert answer.status == 308 and answer.header("Location") == "https://hello.localhost:8443//a%20b/c?x=1&y"
    assert answer.header("Strict-Transport-Security") is None
    assert len(aws.calls) == before
    assert proxyd.line_of(answer)["fault"] == "https-required"


def test_sessions_are_resumed_by_any_worker_and_counted(proxyd):
    context, sessions = lenient(maximum_version=ssl.TLSVersion.TLSv1_2), []
    before = proxyd.figure("proxyd_tls_resumptions_total")
    for n in range(8):
        with proxyd.dial(context=context, session=sessions[-1] if sessions else None) as peer:
            assert peer.session_reused == (n > 0)
            sessions.append(peer.session)
    assert proxyd.figure("proxyd_tls_resumptions_total") == before + 7
    figures = harness.request(proxyd.admin_url + "/metrics").text
    harness.assert_lawful_metrics(figures)
    ends = [line for line in figures.splitlines() if line.startswith("proxyd_tls_certificate_not_after_seconds{")]
    assert len(ends) == 3
    for line in ends:
        assert abs(float(line.rsplit(" ", 1)[1]) - time.time() - 30 * 86400) < 3600


def test_old_versions_and_plain_http_are_refused(proxyd):
    old = lenient(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
    old.set_ciphers("ALL:@SECLEVEL=0")
    before = proxyd.figure('proxyd_tls_handshakes_total{result="refused"}')
    with pytest.raises(ssl.SSLError):
        proxyd.dial(context=old)
    answer = harness.raw(proxyd.tls_address, b"GET / HTTP/1.1\r\nHost: hello.localhost\r\n\r\n")
    assert b"HTTP/1.1" not in answer
    harness.wait_for(lambda: proxyd.figure('proxyd_tls_handshakes_total{result="refused"}') == before + 2, 5, "both are counted")


def test_protocols(proxyd):
    both, only_h2 = lenient(), lenient()
    both.set_alpn_protocols(["h2", "http/1.1"])
    only_h2.set_alpn_protocols(["h2"])
    with proxyd.dial(context=both) as peer:
        assert peer.selected_alpn_protocol() == "http/1.1"
    with pytest.raises(ssl.SSLError):
        proxyd.dial(context=only_h2)


def test_a_slow_handshake_is_cut(proxyd):
    before = proxyd.figure('proxyd_tls_handshakes_total{result="timed-out"}')
    start = time.monotonic()
    with socket.create_connection(proxyd.tls_address, 10) as peer:
        peer.sendall(b"\x16\x03\x01\x02\x00")
        assert harness.receive_all(peer, 8) == b""
    assert 0.5 < time.monotonic() - start < 5
    harness.wait_for(lambda: proxyd.figure('proxyd_tls_handshakes_total{result="timed-out"}') == before + 1, 5, "it is counted")


def test_large_bodies_pass_both_ways(proxyd, aws):
    connection = proxyd.connection()
    sent = b"x" * 5_000_000
    aws.script["hello"] = lambda call: call.reply({"statusCode": 200, "headers": {"content-type": "text/plain"}, "body": call.event["body"]})
    answer = harness.send(connection, "POST", "/", body=sent, headers={"Content-Type": "text/plain"}, host="hello.localhost")
    assert answer.status == 200 and answer.body == sent
    connection.close()


def test_refusals_over_tls_are_answers(proxyd):
    with proxyd.dial() as peer:
        peer.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        answer = harness.receive_all(peer, 5)
    assert answer.startswith(b"HTTP/1.1 400 ") and b"urn:app-orchestrator:fault:refused" in answer


@pytest.mark.threads
def test_rotation_under_load_fails_no_request(aws, certificates):
    with Secure(aws, certificates) as proxyd:
        failed, done, stop = [], [], threading.Event()

        def load(keep):
            try:
                connection = proxyd.connection()
                while not stop.is_set():
                    assert get(connection).status == 200
                    done.append(1)
                    if not keep:
                        connection.close()
                        connection = proxyd.connection()
                connection.close()
            except Exception as problem:
                failed.append(repr(problem))

        threads = [threading.Thread(target=load, args=(n % 2 == 0,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for n in range(6):
            certificates(proxyd.default, f"round-{n}.test", "*.localhost")
            certificates(proxyd.folder / f"more-{n}.pem", f"more-{n}.example")
            proxyd.reload()
            pause(0.1)
            assert proxyd.names_shown("hello.localhost") == f"round-{n}.test"
            assert proxyd.names_shown(f"more-{n}.example") == f"more-{n}.example"
        stop.set()
        for thread in threads:
            thread.join(20)
        assert not failed and len(done) > 50, (failed, len(done))


def test_a_bad_file_at_a_reload_keeps_the_old_one(aws, certificates):
    with Secure(aws, certificates) as proxyd:
        good = proxyd.default.read_text()
        for text in ("", "nonsense", good.split("-----BEGIN PRIVATE")[0]):
            proxyd.default.write_text(text)
            proxyd.folder.mkdir(parents=True, exist_ok=True)
            (proxyd.folder / "bad.pem").write_text("nonsense")
            before = len(proxyd.events("certificate-not-used"))
            proxyd.reload()
            lines = harness.wait_for(lambda: proxyd.events("certificate-not-used")[before:before + 2] if
                                     len(proxyd.events("certificate-not-used")) >= before + 2 else None, 5, "both are logged")
            assert str(proxyd.default) in lines[0]["problem"] and "bad.pem" in lines[1]["problem"]
            assert proxyd.names_shown("hello.localhost") == "default.test"
            connection = proxyd.connection()
            assert get(connection).status == 200
            connection.close()


def test_bad_files_at_the_start_are_one_sentence_and_2(aws, certificates):
    directory = harness.scratch("tls.")
    one = certificates(directory / "one.pem", "one.test")
    other = certificates(directory / "other.pem", "other.test")
    certificate_only = directory / "certificate.pem"
    certificate_only.write_text(one.read_text().split("-----BEGIN PRIVATE")[0])
    nothing = directory / "nothing.pem"
    nothing.write_text("")
    for options, words in [
        ({"PROXYD_TLS_CERTIFICATE_FILE": str(directory / "absent.pem")}, "absent.pem"),
        ({"PROXYD_TLS_CERTIFICATE_FILE": str(nothing)}, "nothing.pem"),
        ({"PROXYD_TLS_CERTIFICATE_FILE": str(certificate_only)}, "certificate.pem"),
        ({"PROXYD_TLS_CERTIFICATE_FILE": str(one), "PROXYD_TLS_KEY_FILE": str(other)}, "other.pem"),
        ({"PROXYD_TLS_CERTIFICATE_FILE": str(one), "PROXYD_TLS_LISTEN": None}, "tls-listen"),
        ({"PROXYD_TLS_KEY_FILE": str(one)}, "tls-key-file"),
        ({"PROXYD_HTTPS_REDIRECT": "true", "PROXYD_TLS_LISTEN": None}, "https-redirect"),
    ]:
        variables = {**harness.clean_environment(directory), **aws.aws_variables(), "PROXYD_TLS_LISTEN": "127.0.0.1:0",
                     "PROXYD_LISTEN": "127.0.0.1:0", "PROXYD_ADMIN_LISTEN": "127.0.0.1:0", "ORCHESTRATOR_DATA_DIR": str(directory), **options}
        variables = {name: value for name, value in variables.items() if value is not None}
        for arguments in (["--check"], []):
            done = subprocess.run([str(harness.binary("proxyd")), *arguments], env=variables, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                  timeout=30, stdin=subprocess.DEVNULL, text=True)
            sentences = [line for line in done.stderr.splitlines() if line.startswith("proxyd: ")]
            assert done.returncode == 2 and len(sentences) == 1 and words in sentences[0], (arguments, done)


@pytest.mark.threads
def test_drain_with_tls_clients_fails_no_request(aws, certificates):
    aws.script["hello"] = lambda call: (pause(0.05), call.reply({"statusCode": 200, "body": "ok"}))[1]
    with Secure(aws, certificates, options={"PROXYD_DRAIN_DELAY": "300ms"}) as proxyd:
        failed, ended = [], []

        def load():
            try:
                connection = proxyd.connection()
                while True:
                    answer = get(connection)
                    assert answer.status == 200
                    if answer.header("Connection") == "close":
                        ended.append(1)
                        return
            except Exception as problem:
                failed.append(repr(problem))

        idle, begun = proxyd.dial(), socket.create_connection(proxyd.tls_address, 10)  # nothing sent; no handshake
        threads = [threading.Thread(target=load) for _ in range(6)]
        for thread in threads:
            thread.start()
        pause(0.3)
        start = time.monotonic()
        proxyd.stop()
        for thread in threads:
            thread.join(20)
        assert not failed and len(ended) == 6, failed
        assert time.monotonic() - start < 8
        assert idle.recv(10) == b""  # told that it is the end: no truncation
        idle.close()
        begun.close()
