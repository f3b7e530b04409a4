"""Every POST of the API with an Idempotency-Key: sent again, after a restart, after a kill before or behind its answer, the work is done once."""
import http.client
import json
import random
import threading
import time
from urllib.parse import quote

import pytest

from harness import LambdaLocal, make_zip, send, wait_for
from test_openapi import HELLO, TOKEN, Scene

# What these do is no change of state, so the audit has none to count.
LOOKS = {"check", "refreshIssuer", "invoke", "cancelOperation"}


@pytest.fixture(scope="module")
def scene():
    with LambdaLocal() as aws:
        running = Scene(aws)
        try:
            yield running.start()
        finally:
            running.close()


class Keyed:
    """One POST with its example and a key, prepared; it can be sent as often as one likes."""

    def __init__(self, scene, call, key):
        self.scene, self.call = scene, call
        scene.set_up(call)
        kind = next(iter(call.body), None)
        self.target = call.target({name: quote(str(value)) for name, value in scene.values_for(call).items()})
        self.body = json.dumps(call.body[kind]["example"]).encode() if kind else None
        if call.id == "deploy":
            kind, self.body = "application/zip", make_zip(HELLO)
        self.headers = {"Idempotency-Key": key, "Authorization": f"Bearer {TOKEN}", "X-Request-Id": key}
        if any(parameter["name"] == "Prefer" for parameter in call.of("header")):
            self.headers["Prefer"] = "wait=30"
        if kind:
            self.headers["Content-Type"] = kind

    def send(self):
        return self.scene.managerd.request("POST", self.target, self.body, headers=self.headers, timeout=40)

    def done(self):
        """How often its work was done: what the audit holds for its request id: changes of state, operations."""
        items = self.scene.ask("GET", "/v1/audit?limit=500").json()["items"]
        return len({one["operation"] or one["sequence"] for one in items if one["requestId"] == self.headers["X-Request-Id"] and one["endpoint"] == self.call.id and one["status"] < 300 and (one["changes"] or one["operation"])})

    def check_again(self, first, again):
        assert again.header("Idempotency-Replayed") == "true", (self.call.id, again)
        wanted = {**first.json(), "secret": None} if "secret" in first.json() else first.json()
        assert again.status == first.status and again.json() == wanted, (self.call.id, first, again)
        assert (again.header("ETag"), again.header("Location")) == (first.header("ETag"), first.header("Location")), (self.call.id, first.headers, again.headers)
        faults = self.scene.document.faults(self.call, again.status, again.header("Content-Type"), again.body, again.headers.keys())
        assert not faults, faults


def posts(scene):
    return [call for call in scene.document.calls.values() if call.method == "POST"]


def test_every_post_gives_its_first_answer_again_and_belongs_to_its_request(scene):
    assert len(posts(scene)) >= 16
    for call in posts(scene):
        keyed = Keyed(scene, call, f"again-{call.id}")
        first = keyed.send()
        assert 200 <= first.status < 300 and first.header("Idempotency-Replayed") is None, (call.id, first)
        before = keyed.done()
        assert before <= 1 and (before or call.id in LOOKS or call.id.startswith(("activate", "compatibilityActivate"))), (call.id, before)
        for _ in range(2):
            keyed.check_again(first, keyed.send())
        assert keyed.done() == before, call.id
        keyed.body = (keyed.body or b"{}") + b" "
        keyed.headers.setdefault("Content-Type", "application/json")
        other = keyed.send()
        assert other.status == 422 and other.json()["type"] == "/problems/idempotency-key-reused", (call.id, other)


def test_every_post_gives_its_first_answer_again_after_a_restart_and_after_a_kill(scene):
    sent = []
    for call in posts(scene):
        keyed = Keyed(scene, call, f"restart-{call.id}")
        first = keyed.send()
        assert 200 <= first.status < 300, (call.id, first)
        sent.append((keyed, first, keyed.done()))
    for end in (lambda: scene.managerd.restart(), lambda: (scene.managerd.kill9(), scene.managerd.start())):
        end()
        scene.managerd.wait_ready()
        for keyed, first, done in sent:
            keyed.check_again(first, keyed.send())
            assert keyed.done() == done, keyed.call.id


def killed_under(scene, keyed, after_s):
    """Sends, and kills managerd so long afterwards; gives the answer, if it still came."""
    answers = []

    def client():
        connection = http.client.HTTPConnection(*scene.managerd.address, timeout=20)
        try:
            answers.append(send(connection, "POST", keyed.target, keyed.body, keyed.headers))
        except (http.client.HTTPException, OSError):
            pass  # cut: that is what this is about
        finally:
            connection.close()

    thread = threading.Thread(target=client)
    thread.start()
    time.sleep(after_s)
    scene.managerd.kill9()
    thread.join(30)
    scene.managerd.start()
    scene.managerd.wait_ready()
    return answers[0] if answers else None


def repeated_until_answered(keyed):
    def answered():
        answer = keyed.send()
        return answer if answer.status != 409 or answer.json()["type"] != "/problems/idempotency-key-running" else None
    return wait_for(answered, 40, f"{keyed.call.id} is answered")


def kill_rounds(scene, rounds, rng):
    told = cut = 0
    for number in range(rounds):
        for call in posts(scene):
            keyed = Keyed(scene, call, f"kill-{number}-{call.id}-{rng.random()}")
            first = killed_under(scene, keyed, rng.choice([0, 0.001, 0.003, 0.006, 0.012, 0.03]))
            again = repeated_until_answered(keyed)
            lost = again.status == 409 and again.json()["type"] == "/problems/idempotency-answer-lost" and call.id == "invoke"
            # A queued operation that was to be cancelled may have ended, when the wish was lost with the process.
            late = again.status == 409 and call.id == "cancelOperation"
            assert 200 <= again.status < 300 or lost or late, (call.id, again)
            if first is not None and first.status < 300:
                assert again.header("Idempotency-Replayed") == "true", (call.id, first, again)
            told, cut = told + (first is not None), cut + (first is None)
            assert keyed.done() <= 1, (call.id, keyed.done())
            keyed.check_again(again, repeated_until_answered(keyed)) if again.status < 300 else None
            assert keyed.done() <= 1, (call.id, keyed.done())
    return told, cut


def test_every_post_that_is_retried_through_a_kill_does_its_work_once(scene):
    told, cut = kill_rounds(scene, 1, random.Random(4))
    assert told + cut == len(posts(scene))


@pytest.mark.long
def test_every_post_that_is_retried_through_kills_at_many_moments_does_its_work_once(scene):
    chosen = random.SystemRandom().getrandbits(32)
    print(f"seed {chosen}")
    told, cut = kill_rounds(scene, 15, random.Random(chosen))
    assert told and cut
