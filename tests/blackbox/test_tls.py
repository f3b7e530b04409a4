"""TLS on proxyd's own port, seen by Python's ssl: certificates by host, files that come and go, redirects, bad files, drain."""
import socket
import ssl
import subprocess
import threading
import time

import pytest

import harness
from fake_lambda import FakeLambda, app, pause
from secure_proxy import Secure, lenient, make_certificate


@pytest.fixture(scope="module")
def aws():
    with FakeLambda() as made:
        yield made


@pytest.fixture(scope="module")
def proxyd(aws):
    made = Secure(aws, options={"PROXYD_HEAD_TIMEOUT": "1s", "PROXYD_HSTS_MAX_AGE_S": "3600",
                                "PROXYD_HTTPS_REDIRECT": "true", "PROXYD_HTTPS_PORT": "8443"})
    make_certificate(made.folder / "exact.pem", "shop.example")
    make_certificate(made.folder / "wildcard.pem", "*.shop.example")
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
    harness.wait_for(lambda: proxyd.figure("proxyd_tls_resumptions_total") == before + 7, 5, "the last one is counted")
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


def test_files_take_effect_without_a_signal(aws):
    with Secure(aws) as proxyd:
        first = make_certificate(proxyd.folder / "first.pem", "first.example")
        proxyd.until_shown("first.example", "first.example")
        make_certificate(first, "second.example")
        proxyd.until_shown("second.example", "second.example")
        assert proxyd.names_shown("first.example") == "default.test"
        (proxyd.folder / ".second.pem.new").write_text(make_certificate(proxyd.folder / "third.pem", "third.example").read_text())
        first.write_text((proxyd.folder / ".second.pem.new").read_text())  # in place: no rename tells of it
        proxyd.until_shown("second.example", "default.test")
        make_certificate(proxyd.default, "other.test")
        proxyd.until_shown("hello.localhost", "other.test")
        first.unlink()
        (proxyd.folder / "third.pem").unlink()
        proxyd.until_shown("third.example", "other.test")
        assert not proxyd.events("reload")
        # What is written in place may be seen half-written, and is read once more when it is whole.
        assert all("first.pem" in line["problem"] for line in proxyd.events("certificate-not-used"))
        seen = [line["name"] for line in proxyd.events("certificate")]
        assert sorted(seen) == ["default.test", "first.example", "other.test", "second.example", "third.example", "third.example"], "told when new"


def test_certificates_outlive_their_folder(aws):
    with Secure(aws) as proxyd:
        make_certificate(proxyd.folder / "one.pem", "one.example")
        proxyd.until_shown("one.example", "one.example")
        proxyd.folder.rename(proxyd.folder.parent / "away")
        harness.wait_for(lambda: proxyd.events("certificates-not-listed"), 5, "it is told")
        assert proxyd.names_shown("one.example") == "one.example"
        pause(1.5)
        assert len(proxyd.events("certificates-not-listed")) == 1
        (proxyd.folder.parent / "away").rename(proxyd.folder)
        make_certificate(proxyd.folder / "two.pem", "two.example")
        proxyd.until_shown("two.example", "two.example")


def test_the_certificate_of_a_domain_comes_first(aws):
    domains = [{"host": host, "paths": [{"prefix": "/", "app": "hello"}]} for host in ("a.shop.example", "b.shop.example", "*.shop.example", "c.d.shop.example")]
    with Secure(aws, domains=domains) as proxyd:
        names = ("*.shop.example", "a.shop.example", "c.d.shop.example")
        for name, days in (("short", 5), ("middle", 6), ("long", 50)):
            make_certificate(proxyd.folder / f"{name}.pem", f"{name}.test", *names, days=days)
        proxyd.until_shown("a.shop.example", "long.test")
        prints = {line["name"]: line["fingerprint"] for line in proxyd.events("certificate")}
        domains[0]["tls"], domains[2]["tls"], domains[3]["tls"] = prints["short.test"], prints["middle.test"], "0" * 64
        proxyd.publish(routes=[app("hello")], domains=domains)
        shown = {host: proxyd.names_shown(host) for host in ("a.shop.example", "b.shop.example", "other.shop.example", "c.d.shop.example", "x.d.shop.example")}
        assert shown == {"a.shop.example": "short.test", "b.shop.example": "middle.test", "other.shop.example": "middle.test",
                         "c.d.shop.example": "long.test", "x.d.shop.example": "default.test"}, "covered, loaded, else by name, else the default"


def test_a_bad_file_keeps_the_old_one_and_is_told_once(aws):
    with Secure(aws) as proxyd:
        good = proxyd.default.read_text()
        proxyd.folder.mkdir(parents=True, exist_ok=True)
        for text in ("", "nonsense", good.split("-----BEGIN PRIVATE")[0]):
            proxyd.default.write_text(text)
            (proxyd.folder / "bad.pem").write_text("nonsense")
            before = len(proxyd.events("certificate-not-used"))
            proxyd.reload()
            harness.wait_for(lambda: all(any(word in line["problem"] for line in proxyd.events("certificate-not-used")[before:])
                                         for word in (str(proxyd.default), "bad.pem")), 5, "both are logged")
            assert proxyd.names_shown("hello.localhost") == "default.test"
            connection = proxyd.connection()
            assert get(connection).status == 200
            connection.close()
        pause(1.3)  # it is looked at again, without a signal
        told = len(proxyd.events("certificate-not-used"))
        make_certificate(proxyd.folder / "good.pem", "good.example")
        proxyd.until_shown("good.example", "good.example")
        pause(1.3)
        assert len(proxyd.events("certificate-not-used")) == told
        make_certificate(proxyd.default, "repaired.test")
        proxyd.until_shown("hello.localhost", "repaired.test")


def test_bad_files_at_the_start_are_one_sentence_and_2(aws):
    directory = harness.scratch("tls.")
    one = make_certificate(directory / "one.pem", "one.test")
    other = make_certificate(directory / "other.pem", "other.test")
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


def test_a_bad_file_in_the_folder_does_not_stop_a_start(aws):
    made = Secure(aws)
    make_certificate(made.folder / "good.pem", "good.example")
    (made.folder / "bad.pem").write_text("nonsense")
    with made as proxyd:
        assert proxyd.names_shown("good.example") == "good.example"
        assert [line["problem"].split(": ")[1] for line in proxyd.events("certificate-not-used")] == [
            "holds no certificate in PEM form (no start line)"]
        environment = {**harness.clean_environment(proxyd.directory), **proxyd.variables(), **proxyd.options}
        done = subprocess.run([str(harness.binary("proxyd")), "--check"], env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=30, stdin=subprocess.DEVNULL, text=True)
        assert done.returncode == 2 and "bad.pem" in done.stderr, "who asks is told"


@pytest.mark.threads
def test_drain_with_tls_clients_fails_no_request(aws):
    aws.script["hello"] = lambda call: (pause(0.05), call.reply({"statusCode": 200, "body": "ok"}))[1]
    with Secure(aws, options={"PROXYD_DRAIN_DELAY": "300ms"}) as proxyd:
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
