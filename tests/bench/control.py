#!/usr/bin/python3
"""Measures managerd with 10,000 apps: its own time a call, how long one call keeps the others waiting, start-up, memory.

    tests/bench/control.py [--apps 10000] [--fresh] [calls] [work] [start] [storm]      all of them when none is named

An installation is built through the API, with lambda-local as AWS: each app with three versions, an environment, labels;
every fifth with a domain; the history, audit and operations that this leaves. It is kept in build/bench, so that only the
first run builds it (some minutes); --fresh builds it anew.

own    processor time that managerd spent on the call: loop and store, by Server-Timing; of a deployment with its operation's
sync   waiting for the disk (fsync), apart; aws: waiting for lambda-local, its quotas (made wide) included
cpu    what the kernel counted for the whole process, divided by the calls: own may not be more than this by much
wall   what the client saw
turn   the longest that the loop did not look at its sockets meanwhile: the bucket of managerd_loop_turn_seconds
other  the slowest answer to a GET /healthz every 2 ms, from another process, by the clock
Ends with 1 when a figure that has a goal misses it.
"""
import argparse
import json
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import bench
import harness
from costs import cpu_seconds
from many_apps import Wire, at_once, creations, deployments, domains, host_of, name_of, settings

AWS_WIDE = {"MANAGERD_AWS_CONTROL_RATE": 1000, "MANAGERD_AWS_GET_RATE": 1000, "MANAGERD_MAX_OPERATIONS": 64,
            "MANAGERD_DRAIN_MS": 0}
OWN_MS, TURN_MS, START_S, MEMORY_MB = 10, 10, 2, 100
VERSIONS = 3
missed = []


def settle_build():
    if os.environ["BUILD_DIR"] == "build/bench":
        for command in (["cmake", "--preset", "release", "-B", "build/bench", "-DBUILD_TESTING=ON"],
                        ["cmake", "--build", "build/bench", "--target", "managerd", "lambda-local", "later"]):
            subprocess.run(command, cwd=harness.TOP, check=True, stdout=subprocess.DEVNULL)


def judge(what, figure, goal):
    """A mark for the row; what misses is told at the end."""
    if figure <= goal:
        return ""
    missed.append(f"{what}: {figure:.3g}, not {goal}")
    return "  MISSED"


# ---- the installation ----------------------------------------------------------------------------------------------

class Installation:
    """lambda-local and managerd over a copy of the kept folders."""

    def __init__(self, apps, folder, later=None):
        self.apps, self.folder = apps, Path(folder)
        self.aws = harness.LambdaLocal(directory=self.folder / "aws")
        options = dict(AWS_WIDE)
        if later:
            options.update(LD_PRELOAD=str(harness.build_dir() / "bin/bench/later.so"), LATER_FILE=str(later))
        self.managerd = harness.Managerd(directory=self.folder / "managerd", aws=self.aws, options=options)

    def __enter__(self):
        self.aws.start()
        self.managerd.start()
        return self

    def __exit__(self, kind, *error):
        for daemon in (self.managerd, self.aws):
            daemon.stop() if kind is None else daemon.kill9()

    @property
    def pid(self):
        return self.managerd.process.pid


def settle(scene):
    """Waits until it does little by itself, but not for ever."""
    for _ in range(50):
        before = cpu_seconds(scene.pid)
        time.sleep(0.2)
        if cpu_seconds(scene.pid) - before < 0.004:
            return


def timed(what, call):
    began = time.monotonic()
    result = call()
    print(f"  {what}: {time.monotonic() - began:.1f} s", flush=True)
    return result


def build(apps, folder):
    """The installation as people would have made it, through the API."""
    print(f"building an installation of {apps} apps", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    with Installation(apps, folder) as scene:
        address, numbers = scene.managerd.address, range(apps)
        timed("apps", lambda: at_once(address, creations(numbers)))
        for version in range(VERSIONS):
            timed(f"version {version + 1} of each", lambda: at_once(address, deployments(numbers, version), 64))
        timed("domains", lambda: at_once(address, domains(range(0, apps, 5))))
    (folder / "built").write_text("")


def copied(apps, fresh):
    kept = harness.TOP / "build/bench" / f"control-{apps}"
    if fresh or not (kept / "built").exists():
        build(apps, kept)
    work = kept.with_name(kept.name + "-work")
    shutil.rmtree(work, ignore_errors=True)
    subprocess.run(["cp", "-r", "--sparse=always", "--reflink=auto", str(kept), str(work)], check=True)
    for log in work.glob("*/*.std*"):
        log.unlink()
    os.sync()  # the copy is not to be written while others wait for their commits
    return work


# ---- what is looked at while calls run ------------------------------------------------------------------------------

def look_in(address, until, slowest):
    """Another client, in a process of its own."""
    with Wire(address) as wire:
        while not until.is_set():
            slowest.value = max(slowest.value, wire.call("GET", "/healthz").seconds * 1000)
            time.sleep(0.002)


class Watch:
    """The loop's turns, another client, and the processor, while a block runs."""

    def __init__(self, scene):
        self.scene = scene
        self.until, self.slowest = multiprocessing.Event(), multiprocessing.Value("d", 0)

    def turns(self):
        with Wire(self.scene.managerd.address) as wire:
            text = wire.call("GET", "/metrics").body.decode()
        return [(bound, int(count)) for bound, count in
                re.findall(r'managerd_loop_turn_seconds_bucket{le="([^"]+)"} (\d+)', text)]

    def __enter__(self):
        self.other = multiprocessing.Process(target=look_in, args=(self.scene.managerd.address, self.until, self.slowest))
        self.other.start()
        self.before = self.turns()
        self.cpu = cpu_seconds(self.scene.pid)
        return self

    def __exit__(self, *error):
        self.cpu = cpu_seconds(self.scene.pid) - self.cpu
        rises, least = [], 0
        for (bound, before), (_, after) in zip(self.before, self.turns()):
            rises.append((float(bound), after - before))
        total = rises[-1][1]
        self.turn_ms = next(bound for bound, count in rises if count == total) * 1000
        self.until.set()
        self.other.join(10)
        assert self.other.exitcode == 0
        self.other_ms = self.slowest.value


# ---- calls -----------------------------------------------------------------------------------------------------------

def percentile(values, share):
    values = sorted(values)
    return values[min(len(values) - 1, int(len(values) * share))]


def ended(scene):
    """What operations took, by id, as managerd's log tells."""
    return {line["id"]: line for line in scene.managerd.events("operation-ended")}


def row(name, own, sync, wall, cpu_ms, watch, goal, aws=()):
    mark = judge(f"{name}: own time, p99, ms", percentile(own, 0.99), OWN_MS) if goal else ""
    mark += judge(f"{name}: longest turn, ms", watch.turn_ms, TURN_MS) if goal else ""
    print(f"{name:34} {percentile(own, 0.5):7.2f} {percentile(own, 0.99):7.2f} {max(own):7.2f} | {cpu_ms:7.2f} | "
          f"{percentile(sync, 0.5):7.2f} {percentile(sync, 0.99):7.2f} | "
          f"{percentile(aws, 0.5) if aws else 0:7.2f} | {percentile(wall, 0.5):8.2f} {percentile(wall, 0.99):8.2f} | "
          f"{watch.turn_ms:6.1f} {watch.other_ms:7.1f}{mark}", flush=True)


def measure(scene, name, calls, goal=True):
    """Calls one after another, so that each is alone with what it takes."""
    watch, own, sync, wall, operations = Watch(scene), [], [], [], []
    # What runs by itself beside the calls is not theirs: first without the other client, for the processor's time.
    settle(scene)
    with Wire(scene.managerd.address) as wire:
        calls = list(calls)
        half = len(calls) // 2
        cpu = cpu_seconds(scene.pid)
        for part, several in enumerate((calls[:half], calls[half:])):
            if part:
                cpu = cpu_seconds(scene.pid) - cpu
                watch.__enter__()
            for method, path, body, headers in several:
                answer = wire.call(method, path, body, **headers)
                assert 200 <= answer.status < 300, (name, path, answer.status, answer.body[:300])
                own.append(answer.timing("own"))
                sync.append(answer.timing("sync"))
                wall.append(answer.seconds * 1000)
                if answer.body.startswith(b'{"id":"') and b'"steps":' in answer.body[:300]:
                    operations.append((len(own) - 1, answer.json()["id"]))
        watch.__exit__()
    aws, log = [], {}
    if operations:
        log = harness.wait_for(lambda: (found := ended(scene)) and all(id in found for _, id in operations) and found, 60,
                               "the operations have ended")
    for index, id in operations:
        own[index] += log[id]["ownUs"] / 1000
        sync[index] += log[id]["syncUs"] / 1000
        aws.append(log[id]["awsUs"] / 1000)
    row(name, own, sync, wall, cpu * 1000 / half, watch, goal, aws)


def heading():
    print(f"{'':34} {'own p50':>7} {'p99':>7} {'max':>7} | {'cpu':>7} | {'sync p50':>7} {'p99':>6} | {'aws':>7} | "
          f"{'wall p50':>8} {'p99':>8} | {'turn':>6} {'other':>7}   (ms)")


def spread(apps, count, step=37):
    return [(n * step) % apps for n in range(count)]


def get(path):
    return "GET", path, None, {}


def calls(scene):
    apps, some = scene.apps, spread(scene.apps, 400)
    deep = name_of(apps // 2).encode().hex()
    heading()
    many = [
        ("list, first page", 200, "/v1/apps"),
        ("list, deep cursor", 200, f"/v1/apps?cursor={deep}"),
        ("list, limit=500", 100, "/v1/apps?limit=500"),
        ("list, label of every 50th", 200, "/v1/apps?label=team:team-7"),
        ("list, label of every 100th, 500", 200, "/v1/apps?label=rare:yes&limit=500"),
        ("list, label of none", 200, "/v1/apps?label=team:none"),
    ]
    for name, count, path in many:
        measure(scene, name, [get(path)] * count)
    measure(scene, "read an app", [get(f"/v1/apps/{name_of(n)}") for n in some])
    measure(scene, "status", [get(f"/v1/apps/{name_of(n)}/status") for n in some])
    measure(scene, "versions", [get(f"/v1/apps/{name_of(n)}/versions") for n in some])
    measure(scene, "history", [get(f"/v1/apps/{name_of(n)}/history") for n in some])
    measure(scene, "explain, by name", [get(f"/v1/explain?url=http://{name_of(n)}.localhost:8080/x") for n in some])
    measure(scene, "explain, by domain", [get(f"/v1/explain?url=http://{host_of(n // 5 * 5)}/x") for n in some])
    many = [
        ("operations", 200, "/v1/operations"),
        ("operations, limit=500", 60, "/v1/operations?limit=500"),
        ("operations of an app", 200, f"/v1/operations?app={name_of(apps // 3)}"),
        ("operations that failed", 200, "/v1/operations?state=failed"),
        ("operations that run", 200, "/v1/operations?state=running"),
        ("domains", 200, "/v1/domains"),
        ("audit", 200, "/v1/audit"),
        ("audit, limit=500", 100, "/v1/audit?limit=500"),
        ("audit of an app", 100, f"/v1/audit?app={name_of(apps // 3)}"),
        ("metrics", 200, "/metrics"),
        ("system", 200, "/v1/system"),
    ]
    for name, count, path in many:
        measure(scene, name, [get(path)] * count)
    writes(scene, some[:200])


def writes(scene, some):
    new = [f"new-{n:05}" for n in range(len(some))]
    shares = [{"version": 2, "percent": 50}, {"version": 3, "percent": 50}]
    measure(scene, "change an app (PATCH)", [("PATCH", f"/v1/apps/{name_of(n)}", {"description": f"number {n}"}, {}) for n in some])
    measure(scene, "replace an app (PUT)", [("PUT", f"/v1/apps/{name_of(n)}", {**settings(n), "memoryMb": 256}, {}) for n in some])
    measure(scene, "create an app (PUT)", [("PUT", f"/v1/apps/{name}", {"probe": None}, {}) for name in new])
    measure(scene, "shift traffic", [("PUT", f"/v1/apps/{name_of(n)}/traffic", {"versions": shares}, {}) for n in some])
    measure(scene, "roll back", [("POST", f"/v1/apps/{name_of(n)}/rollback", None, {}) for n in some])
    measure(scene, "deploy", deployments(some[:100], 0))
    measure(scene, "set a domain", [("PUT", f"/v1/domains/{host_of(n * 5 + 1)}",
                                      {"paths": [{"prefix": "/", "app": name_of(n)}]}, {}) for n in range(len(some))])
    measure(scene, "delete an app", [("DELETE", f"/v1/apps/{name}", None, {"Prefer": "wait=60"}) for name in new])


# ---- long work: it may take its time, but keeps nobody waiting -------------------------------------------------------

def whole(scene, name, work, goal=True):
    """One piece of work, watched by another client."""
    settle(scene)
    watch = Watch(scene)
    with watch:
        began = time.monotonic()
        work()
        seconds = time.monotonic() - began
    mark = judge(f"{name}: longest turn, ms", watch.turn_ms, TURN_MS) if goal else ""
    print(f"{name:46} {seconds * 1000:9.0f} ms, cpu {watch.cpu * 1000:7.0f} ms | longest turn {watch.turn_ms:6.1f}, "
          f"other client {watch.other_ms:6.1f} ms{mark}", flush=True)


def one_call(scene, *call, **headers):
    with Wire(scene.managerd.address) as wire:
        answer = wire.call(*call, **headers)
    assert 200 <= answer.status < 300, answer.body[:500]
    return answer


def apply_all(scene, count):
    """Changes `count` apps by documents of 500."""
    for start in range(0, count, 500):
        document = {"apps": [{**settings(n), "name": name_of(n), "description": f"applied {time.time()}"}
                             for n in range(start, min(start + 500, count))]}
        one_call(scene, "POST", "/v1/apply", document, Prefer="wait=100")


def work(scene, later):
    print()
    whole(scene, "verify the audit", lambda: one_call(scene, "GET", "/v1/audit/verification"))
    whole(scene, "export", lambda: one_call(scene, "GET", "/v1/export"))
    whole(scene, "export, compressed", lambda: one_call(scene, "GET", "/v1/export", Accept_Encoding="gzip"), goal=False)
    whole(scene, "apply 1,000 apps (2 documents)", lambda: apply_all(scene, min(1000, scene.apps)), goal=False)
    scene.managerd.restart()  # half a minute later all apps are looked at, one each 10 ms
    whole(scene, "the look for old versions (40 s from the start)", lambda: time.sleep(40))
    later.write_text("400\n")
    whole(scene, "400 days later: 10 s of letting go", lambda: time.sleep(10))
    later.write_text("0\n")


def start(apps, folder):
    print()
    scene = Installation(apps, folder)
    scene.aws.start()
    routes = scene.managerd.data / "routes"
    for name, prepare in (("start, routes are there", lambda: None),
                          ("start, all routes published anew", lambda: shutil.rmtree(routes)),
                          ("the same, nothing in the page cache", lambda: (shutil.rmtree(routes), forget(scene.managerd.data)))):
        times = []
        for _ in range(5):
            prepare()
            began = time.monotonic()
            scene.managerd.start()
            times.append(time.monotonic() - began)
            cpu = cpu_seconds(scene.pid)
            if len(times) < 5:
                scene.managerd.stop()
        median = percentile(times, 0.5)
        print(f"{name:46} {median:6.3f} s ({min(times):.3f} to {max(times):.3f}), cpu {cpu:.3f} s{judge(name, median, START_S)}",
              flush=True)
        memory(scene, "  memory then")
        scene.managerd.stop()
    scene.aws.stop()


def forget(folder):
    """Takes its files out of the page cache."""
    os.sync()
    for path in Path(folder).rglob("*.mdb"):
        with open(path, "rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def memory(scene, what):
    text = Path(f"/proc/{scene.pid}/smaps_rollup").read_text() + Path(f"/proc/{scene.pid}/status").read_text()
    figure = {name: int(re.search(rf"^{name}:\s+(\d+) kB", text, re.M)[1]) / 1024 for name in
              ("VmRSS", "RssAnon", "RssFile", "Pss", "VmHWM")}
    print(f"{what:46} anonymous {figure['RssAnon']:.1f} MB; resident {figure['VmRSS']:.1f}, of it files "
          f"{figure['RssFile']:.1f}; PSS {figure['Pss']:.1f}; most ever resident {figure['VmHWM']:.1f}"
          f"{judge(what + ', MB', figure['RssAnon'], MEMORY_MB)}", flush=True)


# ---- many at once ----------------------------------------------------------------------------------------------------

def counters(scene):
    text = one_call(scene, "GET", "/metrics").body.decode()
    return {name: float(re.search(rf"^managerd_state_{name} ([\d.e+-]+)$", text, re.M)[1])
            for name in ("commits_total", "transactions_total", "sync_seconds_total")}


def storm(scene):
    print()
    for connections in (1, 10, 100, 1000):
        count = 4000 if connections > 1 else 500
        some = spread(scene.apps, count, 7)
        calls = [("PATCH", f"/v1/apps/{name_of(n)}", {"description": f"at once {connections} {i}"}, {}) for i, n in enumerate(some)]
        before, cpu = counters(scene), cpu_seconds(scene.pid)
        began = time.monotonic()
        answers = at_once(scene.managerd.address, calls, connections)
        seconds, cpu = time.monotonic() - began, cpu_seconds(scene.pid) - cpu
        rise = {name: value - before[name] for name, value in counters(scene).items()}
        wall = [answer.seconds * 1000 for answer in answers]
        print(f"{connections:5} clients change apps: {count / seconds:6.0f}/s, cpu {cpu * 1000 / count:.2f} ms a change, "
              f"{rise['commits_total'] / rise['transactions_total']:.1f} commits a transaction, fsync "
              f"{rise['sync_seconds_total'] * 1000 / rise['transactions_total']:.2f} ms each; "
              f"answers p50 {percentile(wall, 0.5):.1f}, p99 {percentile(wall, 0.99):.1f} ms", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--apps", type=int, default=10000)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("parts", nargs="*", default=[])
    arguments = parser.parse_args()
    parts = arguments.parts or ["calls", "work", "storm", "start"]
    settle_build()
    folder = copied(arguments.apps, arguments.fresh)
    later = folder / "later"
    later.write_text("0\n")
    with Installation(arguments.apps, folder, later) as scene:
        memory(scene, "memory after the start")
        if "calls" in parts:
            calls(scene)
        if "storm" in parts:
            storm(scene)
        if "work" in parts:
            work(scene, later)
        memory(scene, "memory after all of this")
    if "start" in parts:
        start(arguments.apps, folder)
    shutil.rmtree(folder)
    print("\n".join(["", *missed] if missed else ["", "every goal is met"]))
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
