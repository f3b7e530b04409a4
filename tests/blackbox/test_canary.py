"""Canaries: traffic step by step, judged by what the proxies measure; back by themselves; every way to end one."""
import contextlib
import shutil
import subprocess
import threading
import time

import pytest

from canary_scene import FINAL, CanaryStack, Load, package
from harness import free_port, request, wait_for

HELD = {"steps": [10, 100], "intervalSeconds": 1, "minRequests": 1000000}  # never has enough to go on


@pytest.fixture(scope="module")
def stack():
    with CanaryStack(managerd={"MANAGERD_DRAIN_MS": 0}) as running:
        yield running


def test_a_good_canary_goes_all_the_way_on_time_and_keeps_its_figures(stack):
    stack.deploy("good", package("one"))
    canary = {"steps": [10, 50, 100], "intervalSeconds": 1, "minRequests": 5, "maxErrorRate": 0.05, "maxLatencyP99Ms": None}
    with Load(stack.proxyd, "good", 60) as load:
        time.sleep(1)
        identity = stack.begin("good", package("two"), canary)
        stack.watching(identity, 10)
        began, told = time.monotonic(), []
        follower = threading.Thread(target=lambda: told.append(
            stack.managerd.request("GET", f"/v1/operations/{identity}/events", timeout=60).text))
        follower.start()
        assert stack.managerd.request("GET", "/v1/apps/good/status").json()["canary"] == identity
        assert stack.managerd.request("DELETE", "/v1/apps/good/versions/1").status == 409
        operation = stack.ended(identity)
        took = time.monotonic() - began
    assert operation["state"] == "succeeded", operation
    follower.join(20)
    assert told[0].count("event: ") >= 5 and "event: done" in told[0] and '"figures":{"calls":' in told[0], told
    assert stack.shares("good") == {2: 100} and took < 3 + 9, took
    watched = [s for s in operation["steps"] if s["name"] == "watch-canary"]
    assert [s["percent"] for s in watched] == [10, 50, 100]
    for step in watched:
        assert step["figures"]["calls"] >= 5 and step["figures"]["errors"] == 0 and step["figures"]["seconds"] >= 1, step
        assert step["figures"]["proxies"] == 1 and step["figures"]["silent"] == 0 and step["detail"] is None, step
    assert stack.managerd.request("GET", "/v1/apps/good/status").json()["canary"] is None
    assert set(load.by_version()) == {("one", 200), ("two", 200)}, load.by_version()
    # A rollback leads to what served before the whole canary, not to one of its steps.
    assert stack.managerd.request("POST", "/v1/apps/good/rollback").json()["versions"] == [{"version": 1, "percent": 100}]


def test_a_bad_canary_goes_back_by_itself_and_nobody_else_notices(stack):
    stack.deploy("bad", package("one"))
    canary = {"steps": [20, 100], "intervalSeconds": 30, "minRequests": 10, "maxErrorRate": 0.05}
    with Load(stack.proxyd, "bad", 60) as load:
        time.sleep(0.5)
        identity = stack.begin("bad", package("two", bad=5), canary)
        stack.watching(identity, 20)
        began = time.monotonic()
        operation = stack.ended(identity, 30)
        took = time.monotonic() - began
        back = time.monotonic()
        time.sleep(1.5)
    assert operation["state"] == "failed" and operation["problem"]["type"] == "/problems/canary-failed", operation
    figures = next(s for s in operation["steps"] if s["name"] == "watch-canary")["figures"]
    assert figures["errors"] >= 1 and figures["errorRate"] > 0.05 or figures["calls"] < 10, figures
    assert took < 15 and stack.shares("bad") == {1: 100}, took
    seen = load.by_version()
    assert {key for key in seen if key[0] != "two"} == {("one", 200)}, seen
    assert 0 < seen["two", 500] <= 0.05 * sum(seen.values()) + 10, seen
    assert set(load.by_version(back + 0.5)) == {("one", 200)}, "all is served by the old version again"
    assert stack.managerd.request("GET", "/v1/apps/bad/versions/2").json()["state"] == "ready"


def test_a_slow_canary_goes_back(stack):
    stack.deploy("slow", package("one"))
    canary = {"steps": [50, 100], "intervalSeconds": 30, "minRequests": 1, "maxLatencyP99Ms": 200}
    with Load(stack.proxyd, "slow", 60):
        operation = stack.ended(stack.begin("slow", package("two", slow=300), canary), 40)
    assert operation["state"] == "failed" and "200 ms" in operation["problem"]["detail"], operation
    figures = next(s for s in operation["steps"] if s["name"] == "watch-canary")["figures"]
    assert figures["calls"] >= 100 and figures["latencyP99Ms"] > 200 and stack.shares("slow") == {1: 100}


def test_without_enough_calls_it_holds_and_goes_on_when_they_come_also_over_restarts(stack):
    stack.deploy("quiet", package("one"))
    identity = stack.begin("quiet", package("two"), {"steps": [50, 100], "intervalSeconds": 1, "minRequests": 10})
    wait_for(lambda: "Too few calls" in (stack.step(identity, "watch-canary", 50)["detail"] or ""), 20, "it holds")
    stack.managerd.kill9()
    stack.managerd.start()
    stack.managerd.wait_ready()
    stack.proxyd.restart()
    stack.proxyd.wait_ready()
    wait_for(lambda: stack.step(identity, "watch-canary", 50)["attempts"] == 2
             and "Too few calls" in (stack.step(identity, "watch-canary", 50)["detail"] or ""), 20, "it holds again")
    assert stack.shares("quiet") == {1: 50, 2: 50}
    with Load(stack.proxyd, "quiet", 40):
        operation = stack.ended(identity)
    assert operation["state"] == "succeeded" and stack.shares("quiet") == {2: 100}, operation


def test_a_canary_that_holds_for_too_long_goes_back_and_lets_others_pass(stack):
    stack.deploy("held", package("one"))
    identity = stack.begin("held", package("two"), {"steps": [50, 100], "intervalSeconds": 1, "minRequests": 1000, "maxHoldSeconds": 2})
    stack.watching(identity, 50)
    waiting = stack.begin("held", package("three"), traffic="none")
    assert stack.app("held", "/work").status == 200
    operation = stack.ended(identity, 20)
    assert operation["state"] == "failed" and operation["problem"]["type"] == "/problems/canary-failed"
    assert "It held for" in operation["problem"]["detail"] and "Too few calls" in operation["problem"]["detail"]
    figures = next(s for s in operation["steps"] if s["name"] == "watch-canary")["figures"]
    assert figures["proxies"] == 1 and figures["seconds"] >= 3 and stack.shares("held") == {1: 100}
    assert stack.ended(waiting)["state"] == "succeeded"


def test_a_newer_canary_takes_the_place_of_one_that_holds(stack):
    stack.deploy("newer", package("one"))
    first = stack.begin("newer", package("two"), {**HELD, "intervalSeconds": 1})
    wait_for(lambda: "Too few calls" in (stack.step(first, "watch-canary", 10)["detail"] or ""), 20, "it holds")
    second = stack.begin("newer", package("three"), {"steps": [20, 100], "intervalSeconds": 1, "minRequests": 5})
    assert stack.ended(first, 10)["state"] == "cancelled"
    stack.watching(second, 20)
    assert stack.shares("newer") == {1: 80, 3: 20}
    with Load(stack.proxyd, "newer", 60):
        assert stack.ended(second, 30)["state"] == "succeeded"
    assert stack.shares("newer") == {3: 100}


def ways_to_end():
    def rollback(stack, app):
        assert stack.managerd.request("POST", f"/v1/apps/{app}/rollback").status == 200
        return {1: 100}

    def traffic(stack, app):
        wish = {"versions": [{"version": 1, "percent": 40}, {"version": 2, "percent": 60}]}
        assert stack.managerd.request("PUT", f"/v1/apps/{app}/traffic", wish).status == 200
        return {1: 40, 2: 60}

    def deployment(stack, app):
        stack.deploy(app, package("three"))
        assert stack.managerd.request("POST", f"/v1/apps/{app}/rollback").json()["versions"][0]["version"] == 1
        return {1: 100}

    def cancel(stack, app):
        identity = stack.managerd.request("GET", f"/v1/apps/{app}/status").json()["canary"]
        assert stack.managerd.request("POST", f"/v1/operations/{identity}/cancel").status in (200, 202)
        return {1: 100}

    def undo(stack, app):
        change = stack.managerd.request("GET", f"/v1/apps/{app}/history").json()["items"][0]
        answer = stack.managerd.request("POST", f"/v1/apps/{app}/history/{change['id']}/undo")
        assert answer.status == 200, answer.text
        return {1: 100}

    return [rollback, traffic, deployment, cancel, undo]


@pytest.mark.parametrize("end", ways_to_end(), ids=lambda end: end.__name__)
def test_a_running_canary_is_ended_by(stack, end):
    app = f"end-{end.__name__}"
    stack.deploy(app, package("one"))
    identity = stack.begin(app, package("two"), HELD)
    stack.watching(identity, 10)
    if end.__name__ != "undo":  # it takes back the last change, which is to be the canary's
        queued = stack.begin(app, package("later"), traffic="none")  # waits, and harms nothing
    wanted = end(stack, app)
    operation = stack.ended(identity, 10)
    assert operation["state"] == "cancelled" and operation["problem"]["type"] == "/problems/cancelled", operation
    assert stack.shares(app) == wanted
    if end.__name__ == "undo":  # elsewhere a later deployment ends after it
        last = stack.managerd.request("GET", f"/v1/apps/{app}/status").json()["lastDeployment"]
        assert last == {"operation": identity, "state": "cancelled", "version": 2}
    if end.__name__ != "undo":
        assert stack.ended(queued)["state"] == "succeeded" and stack.shares(app) == wanted
    assert stack.managerd.request("GET", f"/v1/apps/{app}/status").json()["canary"] is None


def test_the_end_of_an_app_ends_its_canary(stack):
    stack.deploy("gone", package("one"))
    identity = stack.begin("gone", package("two"), HELD)
    stack.watching(identity, 10)
    answer = stack.managerd.request("DELETE", "/v1/apps/gone", headers={"Prefer": "wait=30"}, timeout=40)
    assert answer.status == 200, answer.text
    assert stack.operation(identity)["state"] == "cancelled"


def test_a_deployment_for_traffic_takes_the_place_of_a_canary_that_has_not_begun(stack):
    stack.deploy("late", package("one"))
    first = stack.begin("late", package("two"), HELD)
    second = stack.begin("late", package("three"), HELD)
    assert stack.ended(first, 20)["state"] in ("succeeded", "cancelled")
    stack.watching(second, 10)
    assert stack.shares("late") == {1: 90, 3: 10}
    assert stack.managerd.request("POST", "/v1/apps/late/rollback").json()["versions"] == [{"version": 1, "percent": 100}]
    assert stack.ended(second, 10)["state"] == "cancelled"


def test_the_first_version_of_an_app_takes_all_traffic_at_once(stack):
    operation = stack.ended(stack.begin("first", package("one"), HELD), 20)
    assert operation["state"] == "succeeded" and stack.shares("first") == {1: 100}, operation
    assert "Nothing served before" in next(s for s in operation["steps"] if s["name"] == "shift-canary")["detail"]


def test_wrong_canaries_are_told_by_pointer(stack):
    stack.deploy("wrong", package("one"))
    for canary, pointer in (({"steps": [10, 5, 100]}, "/canary/steps"), ({"steps": [10]}, "/canary/steps"),
                            ({"steps": []}, "/canary/steps"), ({"steps": [0.001, 100]}, "/canary/steps"),
                            ({"steps": ["1", 100]}, "/canary/steps"), ({"steps": [101]}, "/canary/steps"),
                            ({"intervalSeconds": 0}, "/canary/intervalSeconds"), ({"maxErrorRate": 1.1}, "/canary/maxErrorRate"),
                            ({"maxErrorRate": -1}, "/canary/maxErrorRate"), ({"maxLatencyP99Ms": 0}, "/canary/maxLatencyP99Ms"),
                            ({"minRequests": 0}, "/canary/minRequests"), ({"more": 1}, "/canary/more"), ("x", "/canary")):
        answer = stack.managerd.request("POST", "/v1/apps/wrong/deployments", {"package": {"version": 1}, "canary": canary})
        assert answer.status == 422, (canary, answer.text)
        assert [e["pointer"] for e in answer.json()["errors"]] == [pointer], (canary, answer.text)
    for traffic in ("none", {"percent": 10}):
        answer = stack.managerd.request("POST", "/v1/apps/wrong/deployments",
                                        {"package": {"version": 1}, "canary": {}, "traffic": traffic})
        assert answer.status == 422 and answer.json()["errors"][0]["pointer"] == "/canary", answer.text
    for query in ("canary=%7B", "canary=%7B%22steps%22:3%7D", "canary=%5B%5D"):
        answer = stack.managerd.request("POST", f"/v1/apps/wrong/deployments?{query}", package("two"),
                                        headers={"Content-Type": "application/zip"})
        assert answer.status == 422 and {fault.get("parameter") for fault in answer.json()["errors"]} == {"canary"}, answer.text
    plan = stack.managerd.request("POST", "/v1/apps/wrong/deployments?dryRun=true&canary=%7B%7D", package("two"),
                                  headers={"Content-Type": "application/zip"}).json()
    assert [s["percent"] for s in plan["steps"] if s["name"] == "watch-canary"] == [1, 10, 50, 100]


def test_a_silent_proxy_holds_a_canary_but_does_not_save_a_bad_one():
    dead = free_port()
    with CanaryStack(proxies=2, more=f"localhost:{dead}", managerd={"MANAGERD_DRAIN_MS": 0}) as stack:
        stack.deploy("app", package("one"))
        with Load(stack.proxies[0], "app", 30), Load(stack.proxies[1], "app", 30):
            good = {"steps": [50, 100], "intervalSeconds": 1, "minRequests": 10}
            identity = stack.begin("app", package("two"), good)
            held = wait_for(lambda: (lambda s: s if str(dead) in (s["detail"] or "") else None)
                            (stack.step(identity, "watch-canary", 50)), 20, "it holds")
            assert held["figures"]["proxies"] == 2 and held["figures"]["silent"] == 1, held
            time.sleep(2)
            assert stack.operation(identity)["state"] == "running" and stack.shares("app") == {1: 50, 2: 50}
            bad = stack.ended(stack.begin("app", package("three", bad=3), {**good, "intervalSeconds": 60}), 30)
            assert bad["state"] == "failed" and bad["problem"]["type"] == "/problems/canary-failed", bad
            assert stack.ended(identity)["state"] == "cancelled" and stack.shares("app") == {1: 100}


def test_canaries_that_watch_take_no_place_from_other_apps_also_after_a_restart():
    with CanaryStack(managerd={"MANAGERD_DRAIN_MS": 0, "MANAGERD_MAX_OPERATIONS": 1}) as stack:
        stack.deploy("one", package("one"))
        stack.deploy("two", package("one"))
        held = [stack.begin(app, package("two"), HELD) for app in ("one", "two")]
        for restarted in (False, True):
            for identity in held:
                stack.watching(identity, 10)
            stack.deploy(f"other-{restarted}".lower(), package("one"))
            assert [stack.operation(identity)["state"] for identity in held] == ["running", "running"]
            if not restarted:
                stack.managerd.restart()
                stack.managerd.wait_ready()


def test_without_proxies_there_are_no_canaries_and_a_wrong_list_stops_the_start():
    from harness import Stack
    with Stack(managerd={"MANAGERD_PROXIES": "none"}) as stack:
        stack.deploy("app", package("one"))
        answer = stack.managerd.request("POST", "/v1/apps/app/deployments", {"package": {"version": 1}, "canary": {}})
        assert answer.status == 422 and "MANAGERD_PROXIES" in answer.text
        for wrong in ("proxy", "proxy:0", "proxy:70000", ":9080", "http://proxy:9080", "a:1,,b", "::1:9080", "pro xy:1"):
            stack.managerd.stop()
            stack.managerd.options["MANAGERD_PROXIES"] = wrong
            stack.managerd.launch()
            assert stack.managerd.wait(2) == 2 and "MANAGERD_PROXIES" in stack.managerd.log_text(), wrong
        stack.managerd.options["MANAGERD_PROXIES"] = "[::1]:9080, proxy.example.com:9080"
        stack.managerd.start()


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("every, bad", [(5, 0), (9, 2), pytest.param(1, 0, marks=pytest.mark.long),
                                        pytest.param(1, 2, marks=pytest.mark.long)])
def test_killed_at_each_commit_a_canary_goes_on_or_back_and_the_app_is_whole(every, bad):
    with CanaryStack(managerd={"MANAGERD_DRAIN_MS": 0}) as stack, deployed(stack), Load(stack.proxyd, "app", 40) as load:
        names, serving = {1: "v0"}, 1
        for commit in range(every, 60, every):
            died = kill_at_commit(stack, commit, package(f"v{commit}", bad=bad))
            operations = stack.managerd.request("GET", "/v1/operations?app=app&limit=500").json()["items"]
            operation = stack.ended(max(o["id"] for o in operations), 60)
            status = stack.managerd.request("GET", "/v1/apps/app/status").json()
            if status["latestVersion"] not in names:  # it was accepted: it ends as it must, however often it was begun
                names[status["latestVersion"]] = f"v{commit}"
                assert operation["state"] == ("failed" if bad else "succeeded"), operation
                serving = serving if bad else status["latestVersion"]
            assert status["canary"] is None and stack.shares("app") == {serving: 100}, (commit, operation)
            assert stack.app("app").text == names[serving], (commit, operation)
            if not died:
                assert names[serving] == ("v0" if bad else f"v{commit}") and commit > (8 if bad else 12)
                assert {seen.split(" ")[0] for _, status, seen in load.answers if status != 200} <= set(names.values()) - {"v0"}
                assert bad or {status for _, status, _ in load.answers} == {200}, "nobody noticed"
                return
        pytest.fail("a canary takes fewer commits than that")


@contextlib.contextmanager
def deployed(stack):
    stack.deploy("app", package("v0"))
    yield


def kill_at_commit(stack, commit, zipped):
    """Begins a canary, and kills managerd within its commit-th commit; False when there were fewer."""
    stack.managerd.restart()
    stack.managerd.wait_ready()
    pid, identity = stack.managerd.process.pid, None
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync",
                               "-e", f"inject=fdatasync:signal=KILL:when={commit}", "-p", str(pid)], stderr=subprocess.PIPE)
    try:
        wait_for(lambda: "\nTracerPid:\t0\n" not in open(f"/proc/{pid}/status").read(), 10, "strace holds managerd")
        try:
            identity = stack.begin("app", zipped, {"steps": [50, 100], "intervalSeconds": 1, "minRequests": 1})
        except Exception as problem:  # the connection may die with managerd
            assert isinstance(problem, OSError) or type(problem).__module__ == "http.client", problem
        def over():
            try:
                return not stack.managerd.running or stack.operation(identity)["state"] in FINAL
            except Exception:  # it may die while it answers
                return not stack.managerd.running
        wait_for(over, 60, "the canary ended, or managerd did")
        died = not stack.managerd.running
        if died:
            stack.managerd.exit_code = stack.managerd.process.wait(10)
            assert stack.managerd.exit_code == -9
    finally:
        tracer.terminate()
        tracer.wait(10)
    if died:
        stack.managerd.start()
        stack.managerd.wait_ready()
    return died
