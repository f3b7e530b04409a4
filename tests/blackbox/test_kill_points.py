"""managerd is killed at every write and every AWS call of everything that it does, and the next start makes it whole."""
import itertools
import os
import random
import signal

import pytest

from crash_point import MANNERS
from kill_kinds import KINDS
from kill_scene import KillScene, Learned, kill_once
from relay import MOMENTS

SEED = int(os.environ.get("KILL_SEED", "1"))


def at_write(scene, number, manner):
    return lambda: scene.points.arm(number, manner), f"{manner} write {number}"


def at_call(scene, number, moment):
    def arm():
        scene.points.disarm()
        scene.relay.arm(number, moment, lambda: os.kill(scene.managerd.process.pid, signal.SIGKILL))
    return arm, f"at AWS call {number}, {moment}"


class Rounds:
    """A kind, killed once after the other; a fresh stack now and then, as what was stored makes all looks longer."""

    AT_ONCE = 40

    def __init__(self, kind, scene=None):
        self.kind, self.kills, self.scene, self.shared = kind, 0, scene, scene is not None
        if self.shared:
            self.learned = Learned(scene, kind)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if self.scene and not self.shared:
            self.scene.__exit__(kind, value, trace)
            self.kills += self.scene.kills

    def ready(self):
        if self.scene and not self.shared and self.scene.kills >= self.AT_ONCE:
            self.__exit__(None, None, None)
            self.scene = None
        if self.scene is None:
            self.scene = KillScene(**{name: dict(value) for name, value in self.kind.options.items()}).__enter__()
            self.learned = Learned(self.scene, self.kind)

    def kill(self, make, number, manner):
        self.ready()
        if not kill_once(self.scene, self.kind, self.learned, *make(self.scene, number, manner)):
            return None
        return self.scene.what

    def until_the_end(self, make, manner):
        """At one point after the other, until one is beyond the last; gives what was written there."""
        found = []
        while (what := self.kill(make, len(found) + 1, manner)) is not None:
            found.append(what)
            assert len(found) < 400, "it takes fewer than that"
        # The rehearsal had as many, give or take what goes on beside.
        expected = self.learned.writes if make is at_write else self.learned.calls
        assert len(found) >= expected * 0.7, f"{self.kind.name}, {manner}: it ended after {len(found)} of {expected}"
        return found

    def everywhere(self):
        """Before each write; in the middle of those that have one; after those that make a commit. And around each AWS call."""
        written = self.until_the_end(at_write, "before")
        for number, what in enumerate(written, 1):
            if "write" in what.split()[0]:
                self.kill(at_write, number, "torn")
            if "sync" in what.split()[0] or what.startswith("rename"):
                self.kill(at_write, number, "after")
        for moment in MOMENTS:
            self.until_the_end(at_call, moment)

    def somewhere(self, count, chance):
        """At some points, by chance."""
        self.ready()
        points = [(at_write, n + 1, manner) for n in range(self.learned.writes) for manner in MANNERS]
        points += 3 * [(at_call, n + 1, moment) for n in range(self.learned.calls) for moment in MOMENTS]
        for point in chance.sample(points, min(count, len(points))):
            self.kill(*point)


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_killed_at_every_point_what_was_acknowledged_is_there_and_nothing_is_half_done(kind):
    with Rounds(kind) as rounds:
        rounds.everywhere()
    assert rounds.kills > 10
    print(f"{kind.name}: {rounds.kills} kills")


@pytest.fixture(scope="module")
def shared():
    with KillScene() as scene:
        yield scene


@pytest.mark.parametrize("kind", [kind for kind in KINDS if not kind.slow], ids=lambda kind: kind.name)
def test_killed_at_some_points_what_was_acknowledged_is_there_and_nothing_is_half_done(kind, request):
    scene = None if kind.options else request.getfixturevalue("shared")
    print(f"KILL_SEED={SEED}")
    with Rounds(kind, scene) as rounds:
        rounds.somewhere(int(os.environ.get("KILL_POINTS", "1")), random.Random(f"{SEED} {kind.name}"))
