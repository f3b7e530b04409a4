"""A Lambda made of raw sockets, for proxyd's tests: it notes each Invoke, and plays the script of the function.

    with FakeLambda() as aws, Proxy(aws, routes=[app("hello")]) as proxyd:
        aws.script["hello"] = lambda call: call.reply({"statusCode": 200, "body": "hi"})

A script gets a Call; it answers with the call's methods, or treats call.peer as it likes. Giving back False closes the
connection. Without a script, the event comes back as JSON (so tests can look at it).
"""
import json
import socket
import struct
import subprocess
import threading
import time
from urllib.parse import parse_qs, unquote, urlsplit

import aws_calls
import harness

ROUTE_TOOL = "unit/proxyd/route_tool"


class Call:
    def __init__(self, peer, number, method, target, headers, body):
        self.peer, self.connection, self.method, self.target, self.headers, self.body = peer, number, method, target, headers, body
        parts = urlsplit(target)
        self.function = unquote(parts.path.split("/functions/", 1)[1].split("/", 1)[0]) if "/functions/" in parts.path else None
        self.qualifier = parse_qs(parts.query).get("Qualifier", [None])[0]

    @property
    def event(self):
        return json.loads(self.body)

    def answer(self, status, body=b"", headers=None, reason="X"):
        """An answer of Lambda's own."""
        body = body if isinstance(body, bytes) else json.dumps(body).encode()
        head = [f"HTTP/1.1 {status} {reason}", "Content-Type: application/json", f"Content-Length: {len(body)}",
                "x-amzn-RequestId: 11111111-2222-4333-8444-555555555555"]
        head += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.peer.sendall("\r\n".join(head).encode() + b"\r\n\r\n" + body)

    def reply(self, payload):
        """What the function returned."""
        self.answer(200, payload, {"X-Amz-Executed-Version": self.qualifier or "$LATEST"}, "OK")

    def function_error(self, error):
        self.answer(200, error, {"X-Amz-Function-Error": "Unhandled"}, "OK")

    def service_error(self, status, code, headers=None):
        self.answer(status, {"Type": "User", "Message": "secret internals of AWS"}, {"x-amzn-ErrorType": code, **(headers or {})})

    def reset(self):
        self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.peer.close()
        return False


class FakeLambda:
    def __init__(self, tls=None):
        """`tls`: an ssl.SSLContext to serve HTTPS with."""
        self.tls = tls
        self.script = {}
        self.on_connection = None  # what to do before TLS and before a request is read; False: nothing more
        self.calls = []
        self.lock = threading.Lock()
        self.peers = set()
        self.server = harness.RawServer(self._serve)
        self.url = self.server.url.replace("http:", "https:").replace("127.0.0.1", "localhost") if tls else self.server.url

    def _serve(self, peer, number):
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.on_connection and self.on_connection(peer, number) is False:
            return
        if self.tls:
            peer = self.tls.wrap_socket(peer, server_side=True)
        with self.lock:
            self.peers.add(peer)
        stream = peer.makefile("rb")
        try:
            while True:
                call = self._read(peer, stream, number)
                if call is None:
                    return
                with self.lock:
                    self.calls.append(call)
                script = self.script.get(call.function)
                if script is None:
                    call.reply({"statusCode": 200, "headers": {"content-type": "application/json"}, "body": call.body.decode()})
                elif script(call) is False:
                    return
        finally:
            with self.lock:
                self.peers.discard(peer)
            stream.close()
            peer.close()  # in TLS it is not the socket that the server gave us

    @staticmethod
    def _read(peer, stream, number):
        line = stream.readline(65536).decode("latin-1")
        if line.count(" ") < 2:
            return None
        method, target, _ = line.split(" ", 2)
        headers = []
        while True:
            line = stream.readline(65536).decode("latin-1").rstrip("\r\n")
            if not line:
                break
            name, _, value = line.partition(":")
            headers.append((name, value.strip()))
        aws_calls.note("lambda", method, target, headers, None)
        length = next((int(value) for name, value in headers if name.lower() == "content-length"), 0)
        return Call(peer, number, method, target, headers, stream.read(length))

    def count(self, function):
        with self.lock:
            return sum(call.function == function for call in self.calls)

    def last(self):
        with self.lock:
            return self.calls[-1]

    def close_idle(self):
        """Closes every connection in order, as a server does with idle ones."""
        with self.lock:
            peers = list(self.peers)
        for peer in peers:
            try:
                peer.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def aws_variables(self):
        return {"AWS_ENDPOINT_URL_LAMBDA": self.url, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
                "AWS_SECRET_ACCESS_KEY": "secret"}

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *error):
        self.server.__exit__(*error)
        self.close_idle()


SETTINGS = {"base_domains": ["localhost"], "public_url": "http://localhost:8080", "path_routing": True}
slots = {}


def app(name, versions=None, **more):
    """A route record: one version of its own name with all traffic, unless told otherwise."""
    versions = versions if versions is not None else [version(name)]
    return {"app": name, "slot": slots.setdefault(name, len(slots)), "versions": versions, **more}


def version(function, number=1, **more):
    return {"number": number, "function": function, "qualifier": str(number), **more}


def publish(data, settings=SETTINGS, routes=(), domains=(), raw=()):
    """One transaction in the route store below `data`; gives the generation."""
    wish = {"routes": list(routes), "domains": list(domains), "raw": list(raw)}
    if settings is not None:
        wish["settings"] = settings
    data.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([str(harness.binary(ROUTE_TOOL)), str(data / "routes")], input=json.dumps(wish).encode(),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30, env=harness.clean_environment(data))
    assert done.returncode == 0, done.stderr.decode()
    return int(done.stdout)


class Proxy(harness.Proxyd):
    """proxyd over a FakeLambda and a route store of its own."""

    def __init__(self, aws, options=None, **published):
        super().__init__(aws=aws.aws_variables(), options=options)
        self.publish(**published)

    def publish(self, **wish):
        return publish(self.data, **wish)

    def start(self):
        super().start()
        self.wait_ready()
        return self

    def figure(self, sample):
        """One sample of /metrics, by its whole name with labels."""
        for line in harness.request(self.admin_url + "/metrics").text.splitlines():
            if line.startswith(sample + " "):
                return float(line.rsplit(" ", 1)[1])
        raise AssertionError(f"/metrics has no {sample}")

    def line_of(self, response):
        """The access line of a response."""
        wanted = response.header("X-Request-Id")
        return harness.wait_for(lambda: next((line for line in self.access_lines()
                                              if wanted in (line["id"], line.get("client_request_id"))), None), 5,
                                "the access line is written")


def expect_fault(proxyd, response, fault, status, invocation=None, retry_after=None):
    """All that a fault promises: status, document, headers, access line."""
    assert response.status == status, response
    problem = response.json()
    assert response.header("Content-Type") == "application/problem+json"
    assert problem["type"] == f"urn:app-orchestrator:fault:{fault}"
    assert problem["status"] == status
    assert set(problem) == {"type", "title", "status", "detail", "instance"}
    assert response.header("X-Orchestrator-Invocation") == invocation
    assert (response.header("Retry-After") is not None) == (retry_after is not None), response.headers
    if retry_after is not None and retry_after is not True:
        assert response.header("Retry-After") == str(retry_after)
    assert "internals" not in response.text and "127.0.0.1" not in response.text
    line = proxyd.line_of(response)
    assert problem["instance"] == "urn:uuid:" + line["id"]
    assert (line["status"], line["fault"], line["invocation"]) == (status, fault, invocation or "")
    return line


def wait_idle(proxyd):
    harness.wait_for(lambda: proxyd.figure("proxyd_requests_in_flight") == 0, 10, "no request is in flight")


def pause(seconds):
    time.sleep(seconds)
