"""Certificates and credentials are replaced while 500 requests a second run: none fails, each sees the old or the new."""
import hashlib
import http.client
import itertools
import os
import signal
import ssl
import threading
import time

import pytest

import harness
from fake_lambda import FakeLambda, Proxy, app, pause
from secure_proxy import Secure, lenient, make_certificate
from sigv4_oracle import Reply, VerifyingServer, find_problem

PATIENCE = float(os.environ.get("TEST_PATIENCE", "1"))
RATE = 500       # requests a second that are asked for
CLIENTS = 10
FRESH = 3        # of the clients: these shake hands for each request
NEW_WITHIN = 2   # seconds


class Load:
    """Paced clients; each request must be answered with 200. shown: (begun, SHA-256 of the certificate) of fresh handshakes."""

    def __init__(self, connect, rate=RATE, fresh=FRESH):
        self.connect, self.pause = connect, CLIENTS / rate
        self.failed, self.shown, self.done, self.stopped = [], [], itertools.count(), threading.Event()
        self.threads = [threading.Thread(target=self._client, args=(n < fresh, n)) for n in range(CLIENTS)]

    def _client(self, fresh, number):
        connection, due = None, time.monotonic() + number * self.pause / CLIENTS
        try:
            while not self.stopped.is_set():
                if connection is None:
                    begun = time.monotonic()
                    connection = self.connect()
                    if fresh:
                        self.shown.append((begun, hashlib.sha256(connection.sock.getpeercert(True)).hexdigest()))
                answer = harness.send(connection, "GET", "/", host="hello.localhost")
                if answer.status != 200:
                    self.failed.append((answer.status, answer.text))
                next(self.done)
                if fresh:
                    connection.close()
                    connection = None
                due = max(due + self.pause, time.monotonic() - 1)
                time.sleep(max(0, due - time.monotonic()))
        except Exception as problem:  # a thread's own end would go unseen
            self.failed.append(repr(problem))
        finally:
            if connection:
                connection.close()

    def __enter__(self):
        self.begun = time.monotonic()
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *error):
        self.stopped.set()
        for thread in self.threads:
            thread.join(30)
        self.count = next(self.done)
        self.rate = self.count / (time.monotonic() - self.begun)
        print(f"{self.count} requests, {self.rate:.0f} a second, {len(self.shown)} of them with a handshake, {len(self.failed)} failed")


@pytest.fixture()
def aws():
    with FakeLambda() as made:
        made.script["hello"] = lambda call: call.reply({"statusCode": 200, "body": "ok"})
        yield made


def secure_connection(proxyd):
    context = lenient()

    def connect():
        made = http.client.HTTPConnection(*proxyd.tls_address)
        made.sock = proxyd.dial(context=context, timeout=30)
        return made
    return connect


def fingerprint(path):
    certificate = ssl.PEM_cert_to_DER_cert(path.read_text().split("-----BEGIN PRIVATE")[0])
    return hashlib.sha256(certificate).hexdigest()


def rotate_certificates(aws, seconds):
    with Secure(aws) as proxyd:
        put = [(0.0, fingerprint(proxyd.default))]  # when each was there, in order
        with Load(secure_connection(proxyd)) as load:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                due = time.monotonic() + 0.2
                make_certificate(proxyd.default, f"round-{len(put)}.test", "*.localhost")
                put.append((time.monotonic(), fingerprint(proxyd.default)))
                pause(max(0, due - time.monotonic()))
        assert not load.failed, load.failed[:5]
        assert load.count > RATE * seconds / 2 / PATIENCE, "no load"
        order = {seen: number for number, (_, seen) in enumerate(put)}
        numbers, late = [], []
        for begun, seen in load.shown:
            assert seen in order, "a certificate that never was"
            numbers.append(order[seen])
            if order[seen] + 1 < len(put):
                late.append(begun - put[order[seen] + 1][0])
        print(f"{len(put)} certificates, {len(set(numbers))} of them seen; the new one came within {max(late):.2f} s")
        assert max(late) < NEW_WITHIN * PATIENCE, "the new one comes within two seconds"
        assert len(set(numbers)) > seconds / NEW_WITHIN / PATIENCE, "it was rotated"
        proxyd.until_shown("hello.localhost", f"round-{len(put) - 1}.test")


class Keys:
    """Files that hold the present key of an AWS account, which takes the present one and the one before."""

    def __init__(self):
        self.folder, self.secrets, self.valid, self.number = harness.scratch("keys."), {}, (), 0
        self.replace()

    def replace(self):
        self.number += 1
        new = {"id": f"AKID{self.number}", "secret": f"secret/{self.number}+x", "token": f"token{self.number}=="}
        self.secrets[new["id"]] = new["secret"]
        self.valid = (*self.valid[-1:], new["id"])
        for name, text in new.items():
            (self.folder / f".{name}").write_text(text + "\n")
            os.rename(self.folder / f".{name}", self.folder / name)

    def variables(self, url):
        return {"AWS_ENDPOINT_URL_LAMBDA": url, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID_FILE": str(self.folder / "id"),
                "AWS_SECRET_ACCESS_KEY_FILE": str(self.folder / "secret"), "AWS_SESSION_TOKEN_FILE": str(self.folder / "token")}

    def answer(self, call):
        headers = dict(call.headers)
        key = headers["Authorization"].split("Credential=")[1].split("/")[0]
        if key in self.valid and headers["X-Amz-Security-Token"] == f"token{key[4:]}==":
            call.reply({"statusCode": 200, "body": key})
        else:
            call.service_error(403, "UnrecognizedClientException")


def rotate_credentials(aws, seconds):
    keys = Keys()
    aws.aws_variables = lambda: keys.variables(aws.url)
    aws.script["hello"] = keys.answer
    with Proxy(aws, routes=[app("hello")]) as proxyd:
        def connect():
            made = http.client.HTTPConnection(*proxyd.address, timeout=30)
            made.connect()
            return made

        with Load(connect, fresh=0) as load:
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                keys.replace()
                proxyd.signal(signal.SIGHUP)
                harness.wait_for(lambda: proxyd.app("hello").text == f"AKID{keys.number}", 5, "the new key signs")
                pause(0.5)  # every worker and every call under way has the new one by now: the old one may end
        assert not load.failed, load.failed[:5]
        assert load.count > RATE * seconds / 2 / PATIENCE and keys.number > seconds / 2 / PATIENCE
        (keys.folder / "secret").unlink()
        proxyd.signal(signal.SIGHUP)
        harness.wait_for(lambda: proxyd.events("credentials-not-read"), 5, "it is told")
        assert proxyd.app("hello").text == f"AKID{keys.number}", "what cannot be read leaves the old one in force"
        assert "secret/" not in proxyd.log_text()
    with aws.lock:
        sample = aws.calls[::7]
    for one in sample:
        problem = find_problem(one.method, one.target, one.headers, one.body, keys.secrets, "us-east-1", {"lambda"})
        assert problem is None, problem


def test_the_control_plane_takes_new_credentials_on_a_signal():
    keys, denied = Keys(), Reply(403, body=b'{"Message": "no"}', headers=[("x-amzn-ErrorType", "AccessDeniedException")])
    with VerifyingServer(keys.secrets, reply=denied) as server, harness.Managerd(aws=keys.variables(server.url)) as managerd:
        def signed_by():
            answer = managerd.request("POST", "/v1/apps/shop/deployments?runtime=nodejs20.x&handler=index.handler", body=harness.example_zip(),
                                      headers={"Content-Type": "application/zip", "Prefer": "wait=20"})
            assert answer.status >= 400
            return server.requests[-1].header("Authorization").split("Credential=")[1].split("/")[0]
        assert signed_by() == "AKID1"
        keys.replace()
        server.secrets = {"AKID2": keys.secrets["AKID2"]}
        managerd.signal(signal.SIGHUP)
        harness.wait_for(lambda: signed_by() == "AKID2", 10, "the new key signs")
        (keys.folder / "id").write_text("AK ID")
        managerd.signal(signal.SIGHUP)
        harness.wait_for(lambda: managerd.events("credentials-not-read"), 10, "it is told")
        assert signed_by() == "AKID2"
        assert not [problem for problem in server.problems if "AKID1" not in problem]


@pytest.mark.threads
def test_credentials_rotate_under_load(aws):
    rotate_credentials(aws, 5)


@pytest.mark.long
def test_credentials_rotate_under_load_for_a_minute(aws):
    rotate_credentials(aws, 60)


@pytest.mark.threads
def test_certificates_rotate_under_load(aws):
    rotate_certificates(aws, 6)


@pytest.mark.long
def test_certificates_rotate_under_load_for_a_minute(aws):
    rotate_certificates(aws, 60)
