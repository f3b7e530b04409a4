"""managerd is killed again and again, by chance, while clients write and others read: no acknowledged write is lost, nothing is left half done."""
import os
import random
import time

import pytest

import stored
from crash_point import FILES, MANNERS, SOCKETS
from harness import wait_for
from kill_scene import FINAL, KillScene, Watcher
from kill_writers import Writer
from relay import MOMENTS

SEED = int(os.environ.get("KILL_SEED", "1"))
SHARED = ["shared0", "shared1"]


def arm_by_chance(scene, chance):
    """Gives what it was, for who wants to repeat it."""
    what = chance.random()
    if what < 0.6:
        number, manner, kinds = chance.randrange(1, 120), chance.choice(MANNERS), chance.choice((FILES, FILES, SOCKETS, FILES | SOCKETS))
        scene.points.arm(number, manner, kinds)
        return f"{manner} event {number} of kinds {kinds}"
    if what < 0.85:
        number, moment = chance.randrange(1, 12), chance.choice(MOMENTS)
        scene.relay.arm(number, moment, lambda: scene.managerd.signal(9))
        return f"{moment} at AWS call {number}"
    return "at no point"


def kill(scene, chance):
    armed = arm_by_chance(scene, chance)
    until = time.monotonic() + chance.uniform(0.1, 1.2)
    while scene.managerd.running and time.monotonic() < until:
        time.sleep(0.005)
    if scene.managerd.running:
        scene.managerd.signal(9)
    scene.managerd.process.wait(10)
    return f"{armed} ({scene.points.what})"


def start_again(scene, chance):
    """Now and then it is killed while it starts, too. Gives how many kills that were."""
    kills = 0
    while chance.random() < 0.25:
        scene.managerd.exit_code = -9
        scene.points.arm(chance.randrange(1, 12), chance.choice(MANNERS))
        scene.managerd.launch()
        until = time.monotonic() + 0.5
        while scene.managerd.running and time.monotonic() < until:
            time.sleep(0.005)
        if scene.managerd.running:
            scene.managerd.signal(9)
        kills += scene.managerd.process.wait(10) == -9
    scene.points.disarm()
    scene.relay.disarm()
    scene.managerd.exit_code = -9
    scene.managerd.start()
    scene.managerd.wait_ready()
    return kills


def prepare(scene, seed, count):
    for app in SHARED:
        scene.deployed(app, app)
    writers = [Writer(scene, number, seed, SHARED) for number in range(count)]
    for writer in writers:
        scene.deployed(writer.app, f"{writer.app} one", f"{writer.app} two")
        scene.ask("PUT", f"/v1/apps/{writer.app}/traffic", {"versions": [{"version": 1, "percent": 100}]})
    return writers


def storm(seed, seconds, count=4):
    chance, kills, began = random.Random(seed), 0, time.monotonic()
    print(f"KILL_SEED={seed}")
    with KillScene(managerd={"MANAGERD_KEEP_VERSIONS": 0}) as scene:  # so that each deployment leaves its version
        writers = prepare(scene, seed, count)
        watchers = {app: Watcher(scene.proxyd) for app in [*SHARED, *[writer.app for writer in writers]]}
        for app, watcher in watchers.items():
            watcher.watch(app)
        for writer in writers:
            writer.start()
        while time.monotonic() < began + seconds:
            time.sleep(chance.uniform(0, 0.5))
            point = kill(scene, chance)
            kills += 1
            for writer in writers:
                writer.pause.set()
            kills += start_again(scene, chance)
            wait_for(lambda: all(writer.quiet.is_set() for writer in writers), 40, "the writers are quiet")
            try:
                records = stored.state(scene.data)
                for writer in writers:
                    assert writer.fault is None, repr(writer.fault)
                    writer.check(records)
                assert scene.ask("GET", "/v1/audit/verification").json()["whole"]
            except BaseException:
                print(f"*** seed {seed}, kill {kills}: {point}")
                raise
            for writer in writers:
                writer.pause.clear()
        at_the_end(scene, writers, watchers)
        sums = {name: sum(getattr(writer, name) for writer in writers) for name in ("written", "acknowledged")}
        operations = len([key for key in stored.state(scene.data) if key.startswith("operations/")])
        print(f"seed {seed}: {kills} kills in {time.monotonic() - began:.0f} s, {sums['written']} writes, {sums['acknowledged']} of them acknowledged, "
              f"{operations} operations, {sum(len(w.seen) for w in watchers.values())} kinds of answers of {len(watchers)} apps")
    return kills


def at_the_end(scene, writers, watchers):
    for writer in writers:
        writer.over.set()
        writer.join(40)
        assert writer.fault is None, repr(writer.fault)
    records = scene.settle(120)
    for writer in writers:
        writer.check(records)
        writer.check_deployments(records)
    records = scene.settle(120)
    ended = {key.split("/")[1]: value for key, (_, value) in records.items() if key.startswith("operations/")}
    assert all(operation["state"] in FINAL for operation in ended.values())
    for writer in writers:
        made = [value for value in ended.values() if value["app"] == writer.app and value["type"] == "deploy"]
        assert {ended[identity]["state"] for identity in writer.deployments.values()} <= {"succeeded"}
        assert len(made) == len(writer.deployments) + 2, "one operation for each key, and two from before"
        versions = [key for key in records if key.startswith(f"versions/{writer.app}/")]
        assert len(versions) == len(made), (versions, len(made))
    for app, watcher in watchers.items():
        watcher.end()
        allowed = {app} if app in SHARED else {f"{app} one", f"{app} two"}
        wrong = {(status, text) for who, status, text in watcher.seen if status not in (200, 404) or (status == 200 and text not in allowed | {"steady"})}
        assert not wrong, (app, wrong)
        assert app not in SHARED or not [1 for who, status, _ in watcher.seen if status == 404], "an app that nobody switched off was off"
    assert stored.find_faults(scene, records) == []


def test_killed_by_chance_under_load_no_acknowledged_write_is_lost():
    assert storm(SEED, float(os.environ.get("KILL_SECONDS", "12"))) >= 5


@pytest.mark.long
@pytest.mark.parametrize("seed", range(100, 106))
def test_killed_by_chance_for_minutes_no_acknowledged_write_is_lost(seed):
    assert storm(seed, 100) > 50
