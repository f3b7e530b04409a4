"""The API over TLS: certificates that rotate under load, clients that must show theirs, wrong files, probes, pipelines."""
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time
from pathlib import Path

import pytest

import harness
from harness import Managerd, Stack, make_zip, scratch, wait_for
from secure_proxy import Authority, lenient, make_certificate, openssl

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "ci" / "deploy.sh"
TOKEN = "a-token-of-the-api-under-tls"
HELLO = {"index.js": "exports.handler = async () => ({statusCode: 200, body: 'hello'})"}
NOWHERE = {"AWS_ENDPOINT_URL_LAMBDA": "http://127.0.0.1:9", "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
CLIENT = ("extendedKeyUsage=clientAuth", "basicConstraints=CA:FALSE")


@pytest.fixture(scope="module")
def authority():
    return Authority()


def put(path, text):
    """By rename, as every good tool does."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    os.rename(new, path)
    return path


def show(authority, subject="/O=Shop/CN=ci", issuer=None, issuer_key=None, extensions=CLIENT, days=30, chain=""):
    """A client's certificate with its key, in one file."""
    key = authority.make_key()
    return authority.file(authority.sign(subject, key, issuer or authority.root, issuer_key or authority.root_key, *extensions, days=days) + chain + key)


class SecureApi(Managerd):
    """managerd that speaks TLS, with a certificate for localhost by the authority; `clients`: whose certificates count."""

    def __init__(self, authority, clients=None, mode=None, aws=None, token=TOKEN, **options):
        directory = scratch("api-tls.")
        self.authority = authority
        self.certificate = directory / "api.pem"
        self.clients = directory / "clients.pem"
        self.renew()
        if clients is not None:
            put(self.clients, clients)
            options["MANAGERD_TLS_CLIENT_CA_FILE"] = self.clients
        super().__init__(directory, aws=aws, options={
            "MANAGERD_TOKEN": token, "MANAGERD_TLS_CERTIFICATE_FILE": self.certificate, "MANAGERD_HEALTH_LISTEN": "127.0.0.1:0",
            "MANAGERD_TLS_CLIENT_CERTIFICATES": mode, **({} if aws else NOWHERE), **options})

    def renew(self, **more):
        chain, key = self.authority.issue("localhost", **more)
        put(self.certificate, chain + key)
        return self.fingerprint()

    def fingerprint(self):
        return openssl("x509", "-in", self.certificate, "-noout", "-fingerprint", "-sha256").decode().split("=")[1].strip().replace(":", "").lower()

    @property
    def url(self):
        return f"https://localhost:{self.address[1]}"

    @property
    def admin_url(self):
        return "http://{}:{}".format(*harness.split_address(self.ready_line["health"]))

    def context(self, certificate=None):
        context = ssl.create_default_context(cafile=self.authority.root_file)
        if certificate:
            context.load_cert_chain(certificate)
        return context

    def connect(self, certificate=None, context=None, timeout=10):
        made = http.client.HTTPSConnection("localhost", self.address[1], timeout=timeout, context=context or self.context(certificate))
        made.sock = made._context.wrap_socket(socket.create_connection(self.address, timeout), server_hostname="localhost")
        return made

    def ask(self, path="/v1/system", method="GET", certificate=None, body=None, connection=None, headers=None):
        made = connection or self.connect(certificate)
        headers = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        if isinstance(body, (dict, list)):
            body, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        try:
            return harness.send(made, method, path, body, headers)
        finally:
            if not connection:
                made.close()

    def refused(self, certificate=None, context=None):
        """Whether the handshake fails; in TLS 1.3 the client learns it with its first answer."""
        try:
            made = self.connect(certificate, context=context)
            try:
                return harness.send(made, "GET", "/healthz").status is None
            finally:
                made.close()
        except (ssl.SSLError, ConnectionError, http.client.HTTPException):
            return True

    def shown(self):
        with lenient().wrap_socket(socket.create_connection(self.address, 10), server_hostname="localhost") as peer:
            return peer.getpeercert(True)

    def metric(self, name):
        text = self.ask("/metrics").text
        harness.assert_lawful_metrics(text)
        return next(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name + " ") or line.startswith(name + "{"))


def test_the_api_speaks_tls_alone_and_probes_have_a_door_of_their_own(authority):
    with SecureApi(authority) as api:
        assert api.ready_line["tls"] is True
        answer = api.ask("/v1/system")
        assert answer.status == 200 and answer.header("Strict-Transport-Security") is None
        old = lenient(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=ssl.TLSVersion.TLSv1_1)
        old.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.raises(ssl.SSLError):
            api.connect(context=old)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = api.context()
            context.minimum_version = context.maximum_version = version
            assert api.ask(connection=api.connect(context=context)).status == 200
        # Plain HTTP gets no answer, and the log says who sent it.
        assert harness.raw(api.address, b"GET /v1/system HTTP/1.1\r\nHost: localhost\r\n\r\n") == b""
        wait_for(lambda: any(line["reason"] == "http request" for line in api.events("handshake-refused")), 5, "it is told")
        # Without TLS there is health, and nothing else.
        for path in ("/healthz", "/readyz"):
            assert harness.request(api.admin_url + path).status == 200
        for path in ("/", "/v1/system", "/v1/apps", "/metrics", "/openapi.json", "/readyz/", "/readyz?x"):
            assert harness.request(api.admin_url + path, headers={"Authorization": f"Bearer {TOKEN}"}).status == 404
        assert harness.request(api.admin_url + "/readyz", method="POST", body=b"x").status in (404, 405, 413)
        assert api.metric('managerd_tls_handshakes_total{result="refused"}') >= 2
        assert abs(api.metric("managerd_api_certificate_not_after_seconds") - time.time() - 30 * 86400) < 3600
        assert "PRIVATE KEY" not in api.log_text()


def test_a_certificate_rotates_under_load_without_a_dropped_connection(authority):
    with SecureApi(authority) as api:
        kept, faults, answered, stop = api.connect(), [], [0], threading.Event()

        def load(keep):
            connection = api.connect() if keep else None
            while not stop.is_set():
                try:
                    assert api.ask("/v1/apps", connection=connection).status == 200
                    answered[0] += 1
                except Exception as fault:  # any fault at all is one too many
                    faults.append(repr(fault))
                    return

        threads = [threading.Thread(target=load, args=(n % 2 == 0,)) for n in range(4)]
        [thread.start() for thread in threads]
        try:
            assert api.ask(connection=kept).status == 200
            for _ in range(3):
                before, mark = api.shown(), answered[0]
                wanted = api.renew()
                wait_for(lambda: api.shown() != before, 5, "the new certificate is shown")
                wait_for(lambda: answered[0] > mark + 10, 10, "answers go on")
                wait_for(lambda: any(line["fingerprint"] == wanted for line in api.events("api-certificate")), 5, "it is told")
            # What cannot be used leaves what there was.
            before = api.shown()
            good = api.certificate.read_text()
            for bad in ("", "no PEM at all", good.split("-----BEGIN PRIVATE")[0], good.replace("PRIVATE KEY", "SECRET KEY")):
                told = len(api.events("api-certificate-not-used"))
                put(api.certificate, bad)
                wait_for(lambda: len(api.events("api-certificate-not-used")) > told, 5, "it is told")
                assert api.shown() == before
            put(api.certificate, good)
            api.signal(signal.SIGHUP)
            assert api.ask(connection=kept).status == 200
        finally:
            stop.set()
            [thread.join(20) for thread in threads]
        assert not faults, faults[:3]
        kept.close()


def test_an_expired_certificate_is_served_and_told(authority):
    with SecureApi(authority) as api:
        api.renew(days=-1)
        line = wait_for(lambda: api.events("api-certificate-expired"), 5, "it is told")[0]
        assert line["level"] == "warn"
        with pytest.raises(ssl.SSLCertVerificationError, match="expired"):
            api.connect()
        assert harness.send(api.connect(context=lenient()), "GET", "/healthz").status == 200


def test_without_a_good_certificate_nobody_comes_in(authority):
    other = Authority()
    with SecureApi(authority, clients=authority.root, mode="required") as api:
        good = show(authority)
        below = show(authority, issuer=authority.intermediate, issuer_key=authority.key, chain=authority.intermediate)
        assert api.ask(certificate=good).status == 200
        assert api.ask(certificate=below).status == 200
        assert api.ask(certificate=good, headers={"Authorization": ""}).status == 401, "a certificate grants nothing by itself"
        bad = {
            "none": None,
            "of another authority": show(other),
            "that has ended": show(authority, days=-1),
            "of a server": show(authority, extensions=("extendedKeyUsage=serverAuth",)),
            "without its intermediate": show(authority, issuer=authority.intermediate, issuer_key=authority.key),
            "that signed itself": make_certificate(api.directory / "self.pem", "ci"),
        }
        for what, certificate in bad.items():
            assert api.refused(certificate), f"a certificate {what} is let in"
        reasons = {line["reason"] for line in api.events("handshake-refused")}
        assert {"peer did not return a certificate"} <= reasons
        assert api.ask(certificate=good).status == 200
        # Sessions are not resumed: each connection shows its certificate.
        context = api.context(good)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with context.wrap_socket(socket.create_connection(api.address, 10), server_hostname="localhost") as peer:
            session = peer.session
        with context.wrap_socket(socket.create_connection(api.address, 10), server_hostname="localhost", session=session) as peer:
            assert not peer.session_reused
        # Probes go by the other door.
        assert harness.request(api.admin_url + "/readyz").status == 200


def test_the_subject_is_in_the_audit_and_in_the_log(authority):
    with SecureApi(authority, clients=authority.root, mode="optional") as api:
        certificate = show(authority, subject="/O=Shop, Inc./CN=the \"ci\" of ü")
        assert api.ask("/v1/apps/with", "PUT", certificate, body={}).status == 201
        assert api.ask("/v1/apps/without", "PUT", body={}).status == 201
        assert api.ask("/v1/apps/UPPER", "PUT", certificate, body={}).status >= 400
        wanted = openssl("x509", "-in", certificate, "-noout", "-subject", "-nameopt", "RFC2253").decode().split("=", 1)[1].strip()
        finger = openssl("x509", "-in", certificate, "-noout", "-fingerprint", "-sha256").decode().split("=")[1].strip().replace(":", "").lower()
        records = wait_for(lambda: {r["path"]: r for r in api.ask("/v1/audit").json()["items"]} if len(api.ask("/v1/audit").json()["items"]) >= 3 else None, 5, "all are recorded")
        assert records["/v1/apps/with"]["certificate"] == {"subject": wanted, "fingerprint": finger}
        assert records["/v1/apps/UPPER"]["certificate"]["subject"] == wanted
        assert "certificate" not in records["/v1/apps/without"]
        assert api.ask("/v1/audit/verification").json()["whole"] is True
        lines = {line["path"]: line for line in api.access_lines()}
        assert lines["/v1/apps/with"]["certificate"] == wanted and "certificate" not in lines["/v1/apps/without"]
        assert api.refused(show(Authority())), "optional lets nobody in with a bad one"


def test_who_is_not_trusted_any_more_is_refused_also_on_open_connections(authority):
    other = Authority()
    with SecureApi(authority, clients=authority.root + other.root, mode="required") as api:
        ours, theirs = show(authority), show(other)
        open_ours, open_theirs = api.connect(ours), api.connect(theirs)
        for connection in (open_ours, open_theirs):
            assert api.ask(connection=connection).status == 200
        put(api.clients, authority.root)
        wait_for(lambda: api.refused(theirs), 5, "the other authority's client is refused")
        assert not api.refused(ours)
        assert api.ask(connection=open_ours).status == 200
        answer = api.ask(connection=open_theirs)
        assert answer.status == 403 and answer.header("Connection") == "close"
        # A file that holds nobody is a mistake, not a wish: the one of before stays in force.
        told = len(api.events("api-certificate-not-used"))
        put(api.clients, "")
        wait_for(lambda: len(api.events("api-certificate-not-used")) > told, 5, "it is told")
        assert not api.refused(ours) and api.refused(theirs) and api.refused(None)
        put(api.clients, other.root)
        api.signal(signal.SIGHUP)
        wait_for(lambda: not api.refused(theirs), 5, "they are back")
        assert api.refused(ours) and api.ask(connection=open_ours).status == 403


@pytest.mark.parametrize("options, names", [
    ({"MANAGERD_TLS_CERTIFICATE_FILE": "{absent}"}, "cannot be read"),
    ({"MANAGERD_TLS_CERTIFICATE_FILE": "{text}"}, "holds no certificate"),
    ({"MANAGERD_TLS_KEY_FILE": "{other}"}, "does not fit the certificate"),
    ({"MANAGERD_TLS_CERTIFICATE_FILE": None, "MANAGERD_TLS_KEY_FILE": "{other}"}, "needs tls-certificate-file"),
    ({"MANAGERD_TLS_CERTIFICATE_FILE": None, "MANAGERD_TLS_CLIENT_CA_FILE": "{other}"}, "needs tls-certificate-file"),
    ({"MANAGERD_TLS_CLIENT_CA_FILE": "{absent}"}, "cannot be read"),
    ({"MANAGERD_TLS_CLIENT_CA_FILE": "{text}"}, "holds no certificate"),
    ({"MANAGERD_TLS_CLIENT_CA_FILE": "{broken}"}, "a certificate that cannot be read"),
    ({"MANAGERD_TLS_CLIENT_CA_FILE": "{text}", "MANAGERD_TLS_KEY_FILE": "{absent}"}, "cannot be read"),
    ({"MANAGERD_TLS_CLIENT_CERTIFICATES": "sometimes"}, "must be required or optional"),
    ({"MANAGERD_TLS_KEY_FILE": "{locked}"}, "free of a passphrase"),
])
def test_a_wrong_configuration_is_one_sentence(authority, options, names):
    api = SecureApi(authority)
    other = make_certificate(api.directory / "other.pem", "other.test")
    locked = api.directory / "locked.key"
    locked.write_bytes(openssl("pkcs8", "-topk8", "-in", other, "-passout", "pass:x"))
    files = {"absent": api.directory / "absent.pem", "other": other, "locked": locked, "text": put(api.directory / "text.pem", "hello\n"),
             "broken": put(api.directory / "broken.pem", other.read_text().split("\n-----END CERT")[0][:-20] + "\n-----END CERTIFICATE-----\n")}
    api.options.update({name: value and value.format(**files) for name, value in options.items()})
    for arguments in ((), ("--check",)):
        api.arguments = list(arguments)
        api.launch()
        assert api.wait(expect=2) == 2
        text = api.log_text().strip()
        assert text.startswith("managerd: ") and names in text and "\n" not in text, text
        assert "PRIVATE" not in text
    assert not (api.data / "state").exists(), "nothing is begun with a wrong configuration"


def test_streams_and_large_bodies_pass_over_tls(authority):
    with Stack(managerd={}) as stack:
        with SecureApi(authority, aws=stack.lambda_local, clients=authority.root, mode="required") as api:
            certificate = show(authority)
            zipped = make_zip({**HELLO, "ballast": os.urandom(6_000_000)})
            answer = api.ask("/v1/apps/big/deployments?runtime=nodejs20.x&handler=index.handler", "POST", certificate, body=zipped,
                             headers={"Content-Type": "application/zip"})
            assert answer.status == 202, answer.text
            stream = api.connect(certificate, timeout=60)
            stream.request("GET", f"/v1/operations/{answer.json()['id']}/events",
                           headers={"Authorization": f"Bearer {TOKEN}", "Accept": "text/event-stream"})
            followed = stream.getresponse()
            assert followed.status == 200 and followed.getheader("Content-Type").startswith("text/event-stream")
            text = followed.read().decode()  # until the server says that it is the end
            assert text.count("event: step") >= 3 and "event: done" in text and '"succeeded"' in text
            stream.close()


def test_a_pipeline_deploys_over_tls(authority, tmp_path):
    package = tmp_path / "app.zip"
    package.write_bytes(make_zip(HELLO))
    with Stack(managerd={}) as stack:
        with SecureApi(authority, aws=stack.lambda_local, clients=authority.root, mode="required") as api:
            certificate = show(authority)
            separate = authority.file(certificate.read_text().split("-----BEGIN PRIVATE")[0])
            key = authority.file("-----BEGIN PRIVATE" + certificate.read_text().split("-----BEGIN PRIVATE")[1])

            def run(*arguments, **variables):
                environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "MANAGERD_URL": api.url, "MANAGERD_TOKEN": TOKEN, "CI_COMMIT_SHA": "c0ffee", **variables}
                return subprocess.run(["sh", str(SCRIPT), *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=120)

            done = run("-c", authority.root_file, "-e", separate, "-E", key, "tls", package, "runtime=nodejs20.x", "handler=index.handler")
            assert done.returncode == 0, done
            again = run("tls", package, "runtime=nodejs20.x", "handler=index.handler", MANAGERD_CA_FILE=str(authority.root_file),
                        MANAGERD_CLIENT_CERTIFICATE_FILE=str(certificate))
            assert again.returncode == 0 and "asked for already" in again.stdout, again
            assert run("-E", key, "tls", package).returncode == 2
            assert run("-c", "/nonexistent", "tls", package).returncode == 2
            unknown = run("-e", certificate, "-t", "5", "tls", package)
            assert unknown.returncode in (3, 4) and "certificate" in unknown.stderr, unknown


def test_healthy_sh_asks_the_door_for_probes(authority):
    script = SCRIPT.parents[1] / "container" / "healthy.sh"
    with SecureApi(authority, clients=authority.root, mode="required") as api:
        environment = {"PATH": os.environ["PATH"], "MANAGERD_LISTEN": api.listen, "MANAGERD_HEALTH_LISTEN": api.ready_line["health"]}
        assert subprocess.run(["bash", str(script), "MANAGERD_LISTEN"], env=environment, timeout=10).returncode == 0
