"""A counter in the handler, by request id: behind a relay that breaks calls everywhere, nothing "not-started" has run, and nothing ran twice."""
import collections
import concurrent.futures
import http.client
import json
import random
import threading
import uuid

import pytest

import harness
from faulty_relay import KINDS, FaultyRelay

RAN = {"throttled": "not-started", "lambda-not-ready": "not-started", "lambda-refused": "not-started", "unreachable": "not-started",
       "breaker-open": "not-started", "lambda-failed": "unknown", "deadline": "unknown"}
COUNTS = """
const fs = require("node:fs");
const count = (event) => { const id = event.headers?.["x-request-id"]; if (id) fs.appendFileSync(FILE, id + "\\n"); };
"""
BUFFERED = COUNTS + """
exports.handler = async (event) => { count(event); return {statusCode: 200, headers: {"content-type": "text/plain"}, body: "it ran"}; };
"""
STREAMED = COUNTS + """
exports.handler = awslambda.streamifyResponse(async (event, stream) => {
    count(event);
    stream = awslambda.HttpResponseStream.from(stream, {statusCode: 200, headers: {"content-type": "text/plain"}});
    stream.write("it ");
    stream.end("ran");
});
"""


class Scene(harness.Stack):
    """All three, and the relay before proxyd."""

    def __init__(self):
        super().__init__(proxyd={"PROXYD_BREAKER_FAILURES": "0"})
        self.counted = self.directory / "counted"

    def start(self):
        self.lambda_local.start()
        self.managerd.start()
        self.managerd.wait_ready()
        self.relay = FaultyRelay(self.lambda_local.url)
        self.relay.__enter__()
        self.proxyd.options["AWS_ENDPOINT_URL_LAMBDA"] = self.relay.url
        self.proxyd.start()
        for name, code in (("buffered", BUFFERED), ("stream", STREAMED)):
            self.managerd.request("PUT", f"/v1/apps/{name}", {"http": {"responseMode": name}, "limits": {"deadlineMs": 3000}})
            self.deploy(name, {"index.js": code.replace("FILE", json.dumps(str(self.counted)))}, timeoutSeconds=20)
        self.proxyd.wait_ready()
        return self

    def close(self):
        self.relay.__exit__()
        super().close()

    def counts(self):
        return collections.Counter(self.counted.read_text().split()) if self.counted.exists() else collections.Counter()

    def line_of(self, identity):
        return harness.wait_for(lambda: next((line for line in self.proxyd.access_lines() if line.get("client_request_id") == identity), None), 10,
                                "the access line is written")


@pytest.fixture(scope="module")
def scene():
    made = Scene()
    with made:
        yield made


def ask(connection, name, identity):
    """What the client learns: the fault's name, None for a good answer, "cut" for one that broke off."""
    try:
        response = harness.send(connection, "POST", "/", b"{}", {"X-Request-Id": identity}, host=f"{name}.localhost")
    except (http.client.HTTPException, OSError):
        connection.close()
        return "cut", None
    if response.status == 200:
        assert response.text == "it ran"
        return None, None
    return response.json()["type"].rsplit(":", 1)[1], response.header("X-Orchestrator-Invocation")


@pytest.mark.parametrize("mode", ["buffered", "stream"])
@pytest.mark.parametrize("kind", list(KINDS))
def test_what_the_handler_counted_is_what_the_client_was_told(scene, kind, mode):
    faults, runs = KINDS[kind]
    scene.relay.plan = lambda identity, attempt: kind
    connection = http.client.HTTPConnection(*scene.proxyd.address, timeout=20)
    for _ in range(1 if kind == "silence" else 3):
        identity = str(uuid.uuid4())
        fault, told = ask(connection, mode, identity)
        line = scene.line_of(identity)
        if fault == "cut":
            assert mode == "stream" and line["stream"] == "cut"
            fault, told = line["fault"], line["invocation"]
        assert fault in faults, line
        assert told == RAN.get(fault) and line.get("invocation") == told
        assert scene.counts()[identity] in ({1} if fault is None else runs)
        assert line["attempts"] >= scene.relay.attempts[identity]
    scene.relay.plan = lambda identity, attempt: "fine"
    harness.wait_for(lambda: ask(connection, mode, str(uuid.uuid4())) == (None, None), 10, "calls go through again")
    connection.close()


def run_at_random(scene, seed, requests, clients):
    """Faults in sequence over kept connections: each attempt's is drawn from the seed, the request's number and the attempt."""
    kinds = [kind for kind in KINDS if kind != "silence"] + ["fine"] * 12 + ["fine, then FIN"] * 4
    prefix = uuid.uuid4().hex
    told = {}
    numbers = iter(range(requests))
    lock = threading.Lock()

    def draw(*what):
        return random.Random(f"{seed} {what}")

    def plan(identity, attempt):
        number = identity.rsplit("-", 1)[1]
        first = draw(number, 1).choice(kinds)
        return first if first in ("throttled", "not ready") else draw(number, attempt).choice(kinds)

    def at_accept(number):
        return draw("accept", number).choice([None] * 12 + ["FIN", "reset"])

    def client(number):
        connection = http.client.HTTPConnection(*scene.proxyd.address, timeout=30)
        while True:
            with lock:
                n = next(numbers, None)
            if n is None:
                break
            identity = f"{prefix}-{n}"
            told[identity] = ask(connection, draw("mode", n).choice(["buffered", "stream"]), identity)
        connection.close()
    scene.relay.plan, scene.relay.at_accept = plan, at_accept
    try:
        with concurrent.futures.ThreadPoolExecutor(clients) as pool:
            for done in [pool.submit(client, number) for number in range(clients)]:
                done.result()
    finally:
        scene.relay.plan, scene.relay.at_accept = lambda identity, attempt: "fine", lambda number: None
    return told


def check(scene, told, seed):
    counts = scene.counts()
    lines = {line.get("client_request_id"): line for line in harness.wait_for(
        lambda: [line for line in scene.proxyd.access_lines()] if set(told) <= {line.get("client_request_id") for line in scene.proxyd.access_lines()}
        else None, 20, "every access line is written")}
    seen = collections.Counter()
    for identity, (fault, invocation) in told.items():
        what = (seed, identity, fault, invocation, counts[identity], lines[identity])
        if fault == "cut":
            fault, invocation = lines[identity]["fault"], lines[identity]["invocation"]
        seen[fault] += 1
        assert counts[identity] <= 1, f"it ran twice: {what}"
        assert lines[identity].get("fault") == fault and lines[identity].get("invocation") == invocation == RAN.get(fault), what
        if fault is None or invocation == "ran":
            assert counts[identity] == 1, f"it did not run: {what}"
        if invocation == "not-started":
            assert counts[identity] == 0, f"it ran: {what}"
    return seen


def test_faults_at_random_never_run_anything_twice(scene):
    seed = 20261123
    told = run_at_random(scene, seed, 250, 6)
    seen = check(scene, told, seed)
    assert seen[None] > 50 and seen["lambda-failed"] > 20 and seen["throttled"] + seen["lambda-not-ready"] > 3, seen


@pytest.mark.long
@pytest.mark.parametrize("seed", range(1, 9))
def test_many_faults_at_random_never_run_anything_twice(scene, seed):
    check(scene, run_at_random(scene, seed, 3000, 8), seed)
