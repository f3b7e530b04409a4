"""AWS throttles, fails, hangs, cuts the line or says no, at each call of each kind of operation: what may pass is tried again, the rest is told.

Each operation has an app of its own and its own mood at its own call, so that they go side by side.
"""
import itertools
import json
import os
import re
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import stored
from harness import wait_for
from kill_kinds import KINDS, foreign_function
from kill_scene import FINAL, KillScene, name_of
from relay import Relay, read_message

# What is answered (None: nothing, the connection ends), and whether the call was carried out.
PASSING = {
    "throttled": (429, "TooManyRequestsException", False),
    "throttled by another name": (400, "ThrottlingException", False),
    "failed": (500, "ServiceException", False),
    "failed after it was done": (500, "ServiceException", True),
    "unavailable": (503, "ServiceUnavailableException", False),
    "cut": (None, None, False),
    "cut after it was done": (None, None, True),
    "busy": (409, "ResourceConflictException", False),
}
REFUSING = {
    "denied": (403, "AccessDeniedException", False),
    "invalid": (400, "InvalidParameterValueException", False),
    "too large": (413, "RequestEntityTooLargeException", False),
}
PLANNED = ["first deployment", "redeployment", "deployment of an old version", "taking over a function", "end of an app", "end of a version"]
QUICK = ["first deployment", "redeployment", "end of an app"]
CALLS = {kind.name: kind for kind in KINDS if kind.name in PLANNED}


class Moods(Relay):
    """moods[app] = (number, mood, times): from the number-th call about the app on (or of calls of this text alone) so many;
    counted[app]: what was called."""

    def __init__(self, upstream):
        super().__init__(upstream)
        self.moods, self.counted = {}, {}

    def _one(self, peer, upstream):
        message = read_message(peer)
        if not message:
            return False
        method, target = (word.decode() for word in message.split(b" ", 2)[:2])
        named = re.search(r"/functions/([a-z0-9-]+)", target) or re.search(r'"FunctionName":"([a-z0-9-]+)"', message.decode("latin-1"))
        mood = None
        with self.lock:
            app = named[1] if named else ""
            calls = self.counted.setdefault(app, [])
            calls.append(f"{method} {target.replace(app, 'APP')}")
            number, planned, times = self.moods.get(app, (0, None, 0))
            due = calls[-1] == number if isinstance(number, str) else number and len(calls) >= number
            if due and times > 0:
                mood = planned
                self.moods[app] = (number, planned, times - 1)
        if mood is None or mood[2]:
            upstream.sendall(message)
            answer = read_message(upstream, answer_to=method.encode())
            if not answer:
                return False
            if mood is None:
                peer.sendall(answer)
                return True
        status, code, _ = mood
        if status is None:
            return False
        body = json.dumps({"Type": "User", "Message": f"It is {code}"}).encode()
        peer.sendall(f"HTTP/1.1 {status} X\r\nx-amzn-ErrorType: {code}\r\nx-amzn-RequestId: req-1\r\nContent-Type: application/json\r\n"
                     f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return True


class MoodScene(KillScene):
    relay_class = Moods

    def one(self, kind, number=0, mood=None, times=1):
        """Does it, in a mood at its number-th call; gives the app, its last operation and what was called."""
        with self.naming:
            app = name_of(self, kind)
        kind.prepare(self, app)
        with self.relay.lock:
            self.relay.counted.pop(app, None)
            self.relay.moods[app] = (number, mood, times)
        identity = kind.stages[0](self, app).json()["id"]
        ended = wait_for(lambda: (lambda o: o if o["state"] in FINAL else None)(self.ask("GET", f"/v1/operations/{identity}").json()), 120,
                         "the operation ended", pause=0.1)
        with self.relay.lock:
            self.relay.moods.pop(app)
            return app, ended, list(self.relay.counted.get(app, []))

    def side_by_side(self, work):
        """Runs each of (sentence, kind, number, mood, times, check); all faults together."""
        def run(one):
            sentence, kind, number, mood, times, check = one
            try:
                app, ended, calls = self.one(kind, number, mood, times)
                check(app, ended)
            except Exception as problem:  # noqa: BLE001
                return f"{sentence}: {problem!r}"
        with ThreadPoolExecutor(12) as pool:
            return [fault for fault in pool.map(run, work) if fault]


@pytest.fixture(scope="module")
def scene():
    with MoodScene(managerd={"MANAGERD_MAX_OPERATIONS": 64}) as running:
        running.naming = threading.Lock()
        running.lengths = {name: len(running.one(kind)[2]) for name, kind in CALLS.items() if name in QUICK or os.environ.get("TEST_LONG")}
        assert all(length >= 1 for length in running.lengths.values()), running.lengths
        yield running


def at_each_call(scene, moods, times, check):
    for name, (mood, answer) in itertools.product(scene.lengths, moods.items()):
        for number in range(1, scene.lengths[name] + 1):
            yield f"{name}, {mood} at call {number}", CALLS[name], number, answer, times, check(answer)


def whole(scene):
    scene.settle()
    assert stored.find_faults(scene) == []


def test_what_passes_once_at_any_call_is_tried_again_and_leaves_nothing_behind(scene):
    def check(answer):
        def succeeded(app, ended):
            assert ended["state"] == "succeeded", ended
        return succeeded
    faults = scene.side_by_side(at_each_call(scene, PASSING, 1, check))
    assert faults == [], "\n".join(faults)
    whole(scene)


def test_what_aws_refuses_at_any_call_is_told_in_its_words_and_can_be_done_again(scene):
    def check(answer):
        def refused(app, ended):
            problem = ended["problem"]
            assert ended["state"] == "failed" and answer[1] in json.dumps(problem), ended
        return refused
    faults = scene.side_by_side(at_each_call(scene, REFUSING, 1, check))
    assert faults == [], "\n".join(faults)
    whole(scene)


@pytest.mark.long
def test_what_does_not_pass_at_any_call_fails_in_the_end_and_all_can_be_ended(scene):
    def check(answer):
        def gave_up(app, ended):
            assert ended["state"] == "failed" and ended["problem"]["status"] in (502, 504, 422), ended
        return gave_up
    lasting = {name: PASSING[name] for name in ("throttled", "failed", "failed after it was done", "cut", "cut after it was done")}
    faults = scene.side_by_side(at_each_call(scene, lasting, 1000, check))
    assert faults == [], "\n".join(faults)
    whole(scene)
