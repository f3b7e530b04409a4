"""Signature Version 4 by botocore, to hold ours against: a signer, a checker, and a server that checks all it gets.

    with VerifyingServer({"AKIDEXAMPLE": "secret"}) as server:          # or upstream="http://127.0.0.1:9001"
        ... let a program send its requests to server.url ...
        server.expect_all_valid(at_least=1)                             # AssertionError that names what was wrong

server.requests holds what came, in order: method, target, headers, body, and `problem` (None when the signature, the
date, the scope and the stated hash of the body are right). Answers are a canned reply, or the upstream's own: forwarded
unchanged both ways, streams chunk by chunk.
"""
import calendar
import hashlib
import hmac
import http.client
import http.server
import json
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth, SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.compat import HTTPHeaders
from botocore.credentials import Credentials

import harness

ALGORITHM = "AWS4-HMAC-SHA256"
SKEW_SECONDS = 900
MAX_BODY = 64 << 20
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "proxy-connection"}


# -- signing ----------------------------------------------------------------------------------------------------


def sign(method, url, headers, body, key, secret, token, region, service, timestamp):
    """Signs as botocore's clients do. `headers` is a list of pairs; gives (all headers with Host, canonical request)."""
    signer = (S3SigV4Auth if service == "s3" else SigV4Auth)(Credentials(key, secret, token or None), service, region)
    request = AWSRequest(method=method, url=url, data=body)
    for name, value in headers:
        request.headers[name] = value
    request.context["timestamp"] = timestamp
    signer._modify_request_before_signing(request)
    canonical = signer.canonical_request(request)
    signer._inject_signature_to_request(request, signer.signature(signer.string_to_sign(request, canonical), request))
    return list(request.headers.items()) + [("Host", host_of(url))], canonical


def host_of(url):
    """Host as it is sent: lower case, without the scheme's own port."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    default = {"http": 80, "https": 443}[parts.scheme]
    return host if parts.port in (None, default) else f"{host}:{parts.port}"


# -- checking ---------------------------------------------------------------------------------------------------


def checker(service):
    """botocore's signer, but for what it leaves out on its own: a checker takes each header that the client signed."""
    base = S3SigV4Auth if service == "s3" else SigV4Auth

    class Checker(base):
        def headers_to_sign(self, request):
            headers = HTTPHeaders()
            for name, value in request.headers.items():
                headers[name.lower()] = value
            return headers

    return Checker


def as_signed(value):
    """http.server reads header bytes as latin-1; clients sign them as UTF-8."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except (UnicodeDecodeError, UnicodeEncodeError):
        return value


def find_problem(method, target, headers, body, secrets, region, services, now=None):
    """What is wrong with the request's signature, as a sentence; None when nothing is."""
    given = {}
    for name, value in headers:
        given.setdefault(name.lower(), []).append(as_signed(value))
    if len(given.get("authorization", [])) != 1:
        return f"{len(given.get('authorization', []))} Authorization headers"
    algorithm, _, rest = given["authorization"][0].partition(" ")
    parts = dict(part.strip().partition("=")[::2] for part in rest.split(","))
    if algorithm != ALGORITHM or set(parts) != {"Credential", "SignedHeaders", "Signature"}:
        return f"malformed Authorization: {given['authorization'][0]}"
    scope = parts["Credential"].rsplit("/", 4)
    if len(scope) != 5 or scope[4] != "aws4_request":
        return f"malformed Credential: {parts['Credential']}"
    key, day, scope_region, service, _ = scope
    if key not in secrets:
        return f"unknown access key {key}"
    if scope_region != region or service not in services:
        return f"scope {scope_region}/{service} instead of {region}/{'|'.join(sorted(services))}"
    dates = given.get("x-amz-date", [])
    if len(dates) != 1:
        return f"{len(dates)} X-Amz-Date headers"
    try:
        at = calendar.timegm(time.strptime(dates[0], "%Y%m%dT%H%M%SZ"))
    except ValueError:
        return f"malformed X-Amz-Date {dates[0]}"
    if abs(at - (time.time() if now is None else now)) > SKEW_SECONDS:
        return f"X-Amz-Date {dates[0]} is more than {SKEW_SECONDS} s off"
    if dates[0][:8] != day:
        return f"X-Amz-Date {dates[0]} is not of the scope's day {day}"
    return (header_problem(given, parts["SignedHeaders"].split(";")) or payload_problem(given, body, service)
            or signature_problem(method, target, headers, body, parts, secrets[key], dates[0], region, service))


def header_problem(given, signed):
    if signed != sorted(set(signed)):
        return f"SignedHeaders are not sorted: {signed}"
    for name in signed:
        if name not in given:
            return f"{name} is signed but was not sent"
    for name in given:
        must = name in ("host", "content-type") or name.startswith("x-amz-")
        if must and name not in signed:
            return f"{name} was sent but is not signed"
    return None if "host" in signed else "host is not signed"


def payload_problem(given, body, service):
    stated = given.get("x-amz-content-sha256")
    if stated is None:
        return "x-amz-content-sha256 is missing, which s3 wants" if service == "s3" else None
    if stated == ["UNSIGNED-PAYLOAD"] or stated == [hashlib.sha256(body).hexdigest()]:
        return None
    return f"x-amz-content-sha256 {stated} is not the body's"


def signature_problem(method, target, headers, body, parts, secret, timestamp, region, service):
    signer = checker(service)(Credentials(parts["Credential"].split("/")[0], secret), service, region)
    host = next(value for name, value in headers if name.lower() == "host")
    request = AWSRequest(method=method, url=f"http://{host}{target}", data=body)
    signed = parts["SignedHeaders"].split(";")
    for name, value in headers:
        if name.lower() in signed:
            request.headers[name] = as_signed(value)
    request.context["timestamp"] = timestamp
    canonical = signer.canonical_request(request)
    expected = signer.signature(signer.string_to_sign(request, canonical), request)
    if hmac.compare_digest(expected, parts["Signature"]):
        return None
    return f"the signature is wrong; this should have been signed:\n{canonical}"


# -- the server -------------------------------------------------------------------------------------------------


@dataclass
class Received:
    method: str
    target: str
    headers: list
    body: bytes
    problem: str = None

    def header(self, name):
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass
class Reply:
    status: int = 200
    headers: list = field(default_factory=lambda: [("Content-Type", "application/json")])
    body: bytes = b"{}"


class VerifyingServer:
    """Checks every request with botocore, then answers.

    `secrets`: access key id -> secret. `reply`: a Reply, or a function of a Received that gives one. `upstream`: a base
    URL that gets every request unchanged and whose answer goes back unchanged, whatever the verdict. `before` and
    `after` (functions of a Received) are called before a request is forwarded, and when its answer has gone out.
    """

    def __init__(self, secrets, region="us-east-1", services=("lambda", "s3", "sts", "logs"), reply=None, upstream=None,
                 before=None, after=None):
        self.secrets = dict(secrets)
        self.region = region
        self.services = frozenset(services)
        self.reply = reply or Reply()
        self.upstream = urlsplit(upstream) if upstream else None
        self.before = before
        self.after = after
        self.requests = []
        self.lock = threading.Lock()
        self.server = None
        self.thread = None

    def start(self):
        outer = self

        class Handler(RequestHandler):
            owner = outer

        self.server = Server(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()
        return self

    def stop(self):
        if self.server is not None:
            self.server.shutdown()
            self.server.server_close()
            self.thread.join(10)
            self.server = None

    __enter__ = start

    def __exit__(self, *_):
        self.stop()

    @property
    def port(self):
        return self.server.server_address[1]

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}"

    @property
    def problems(self):
        with self.lock:
            return [f"{request.method} {request.target}: {request.problem}" for request in self.requests if request.problem]

    def expect_all_valid(self, at_least=1):
        problems = self.problems
        assert not problems, "\n".join(problems)
        assert len(self.requests) >= at_least, f"only {len(self.requests)} requests came, at least {at_least} were expected"

    def take(self, method, target, headers, body):
        received = Received(method, target, headers, body)
        try:
            received.problem = find_problem(method, target, headers, body, self.secrets, self.region, self.services)
        except Exception as error:  # what the checker cannot read is not valid either
            received.problem = f"cannot be checked: {error!r}"
        with self.lock:
            self.requests.append(received)
        return received


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request, client_address):
        """Clients may leave whenever they like."""


class RequestHandler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 120
    owner = None
    disable_nagle_algorithm = True

    def __getattr__(self, name):
        if name.startswith("do_"):
            return self.answer
        raise AttributeError(name)

    def log_message(self, *_):
        pass

    def answer(self):
        body = self.read_body()
        target = self.requestline.split(" ")[1]  # self.path has had its leading slashes collapsed
        received = self.owner.take(self.command, target, list(self.headers.items()), body)
        if self.owner.before:
            self.owner.before(received)
        if self.owner.upstream is not None:
            self.forward(received)
        else:
            reply = self.owner.reply(received) if callable(self.owner.reply) else self.owner.reply
            self.send(reply.status, reply.headers, reply.body)
        if self.owner.after:
            self.owner.after(received)

    def read_body(self):
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
                assert len(body) <= MAX_BODY
            while self.rfile.readline().strip():
                pass
            return body
        length = int(self.headers.get("Content-Length", "0"))
        assert length <= MAX_BODY
        return self.rfile.read(length)

    def send(self, status, headers, body):
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        if not any(name.lower() == "content-length" for name, _ in headers) and status >= 200 and status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def forward(self, received):
        upstream = http.client.HTTPConnection(self.owner.upstream.hostname, self.owner.upstream.port, timeout=120)
        try:
            upstream.putrequest(received.method, received.target, skip_host=True, skip_accept_encoding=True)
            for name, value in received.headers:
                if name.lower() not in HOP_BY_HOP and name.lower() not in ("expect", "content-length"):
                    upstream.putheader(name, value)
            upstream.putheader("Content-Length", str(len(received.body)))
            upstream.endheaders(received.body)
            upstream.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self.pass_on(upstream.getresponse())
        except (OSError, http.client.HTTPException):
            self.close_connection = True  # the client sees a broken connection, as it would without us
        finally:
            upstream.close()

    def pass_on(self, response):
        headers = [(name, value) for name, value in response.getheaders() if name.lower() not in HOP_BY_HOP]
        if not response.chunked:
            self.send(response.status, headers, response.read())
            return
        self.send_response_only(response.status, response.reason)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while chunk := response.read1(65536):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
            self.wfile.flush()
        self.wfile.write(b"0\r\n\r\n")


# -- our own implementation -----------------------------------------------------------------------------------------


class OurSigner:
    """tests/unit/common/aws/sigv4_cli.c: common/aws, one JSON line in, one out."""

    def __enter__(self):
        program = harness.binary("tools/sigv4_cli")
        self.process = subprocess.Popen([str(program)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        encoding="utf-8", env=harness.clean_environment("/nonexistent"))
        return self

    def ask(self, **question):
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"sigv4_cli ended at {question}"
        return json.loads(line)

    def __exit__(self, *_):
        self.process.stdin.close()
        code = self.process.wait(30)
        self.process.stdout.close()
        assert code == 0, f"sigv4_cli ended with {code}"
