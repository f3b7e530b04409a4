"""Friday evening: a canary went to 100 %, the next deployment is queued, something is wrong, two people roll back at once."""
import threading
import time

import pytest

from canary_scene import CanaryStack, Load, package
from harness import wait_for


def set_environment(stack, app, value):
    assert stack.managerd.request("PUT", f"/v1/apps/{app}/environment", {"variables": {"SETTING": value}}).status in (200, 201)


def canary_of(interval, **more):
    return {"steps": [1, 10, 50, 100] if interval >= 5 else [10, 50, 100], "intervalSeconds": interval, "minRequests": 5, **more}


def roll_back_twice(stack, app):
    """Two at once; gives when the later answer was there."""
    answers, together = [], threading.Barrier(2)

    def one():
        together.wait()
        answers.append(stack.managerd.request("POST", f"/v1/apps/{app}/rollback"))
    threads = [threading.Thread(target=one) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [answer.status for answer in answers] == [200, 200], answers
    assert all(answer.json()["versions"] == [{"version": 1, "percent": 100}] for answer in answers), answers
    return time.monotonic()


def friday_evening(rate, interval, canary_runs):
    """`canary_runs`: the rollback comes while the canary of version 2 still runs."""
    options = {"MANAGERD_DRAIN_MS": 0, "MANAGERD_KEEP_VERSIONS": 2, "MANAGERD_KEEP_VERSIONS_FOR": 0}
    with CanaryStack(proxies=2, managerd=options, lambda_local={"LAMBDA_LOCAL_READY_DELAY_MS": 300}) as stack:
        app = "shop"
        stack.managerd.request("PUT", f"/v1/apps/{app}", {"http": {"payloadFormat": "1.0"}})
        set_environment(stack, app, "A")
        stack.deploy(app, package("one"), payloadFormat="1.0")
        set_environment(stack, app, "B")
        with Load(stack.proxies[0], app, rate // 2) as first, Load(stack.proxies[1], app, rate // 2) as second:
            canary = canary_of(interval, **({"minRequests": 1000000} if canary_runs else {}))
            identity = stack.begin(app, package("two"), canary, payloadFormat="2.0")
            if canary_runs:
                stack.watching(identity, canary["steps"][0])
                third = stack.begin(app, package("three"), traffic="none")  # one for traffic would end the canary itself
            else:
                assert stack.ended(identity, 60 + 4 * interval)["state"] == "succeeded"
                assert stack.app(app).headers["x-seen"] == "two 2.0 B" and stack.shares(app) == {2: 100}
                set_environment(stack, app, "C")
                third = stack.begin(app, package("three"))
            assert stack.operation(third)["state"] in ("queued", "running")
            answered = roll_back_twice(stack, app)
            ended = stack.ended(third, 30)
            time.sleep(1.5)
        assert ended["state"] == "succeeded" and stack.shares(app) == {1: 100}, ended
        answers = first.answers + second.answers
        assert len(answers) > rate and {status for _, status, _ in answers} == {200}, "no 5xx, for anybody"
        assert {seen for at, _, seen in answers if at > answered + 1} == {"one 1.0 A"}, "within a second all of version 1"
        assert not any("three" in seen for _, _, seen in answers), "version 3 was never live"
        # What else goes never breaks it: more deployments, so that the old ones are pruned, and deletions by hand.
        for name in ("four", "five", "six"):
            stack.deploy(app, package(name), traffic="none")
        wait_for(lambda: [v["version"] for v in stack.managerd.request("GET", f"/v1/apps/{app}/versions").json()["items"]] == [1, 5, 6],
                 30, "old versions are pruned, but not the one that serves")
        answer = stack.managerd.request("DELETE", f"/v1/apps/{app}/versions/5", headers={"Prefer": "wait=20"}, timeout=30)
        assert answer.status == 200, answer.text
        assert stack.managerd.request("DELETE", f"/v1/apps/{app}/versions/1").status == 409
        for proxy in stack.proxies:
            assert proxy.app(app, "/work").headers["x-seen"] == "one 1.0 A"
        assert stack.managerd.request("POST", f"/v1/apps/{app}/rollback").json()["versions"] == [{"version": 1, "percent": 100}]


def test_two_rollbacks_at_once_after_a_canary_bring_all_of_version_1_back():
    friday_evening(rate=60, interval=1, canary_runs=False)


def test_two_rollbacks_at_once_in_the_middle_of_a_canary_bring_all_of_version_1_back():
    friday_evening(rate=60, interval=1, canary_runs=True)


@pytest.mark.long
@pytest.mark.load
@pytest.mark.parametrize("canary_runs", [False, True])
def test_friday_evening_under_200_requests_a_second(canary_runs):
    friday_evening(rate=200, interval=10, canary_runs=canary_runs)


@pytest.mark.long
@pytest.mark.load
def test_a_bad_canary_under_200_requests_a_second_is_back_within_ten_seconds_of_crossing_and_a_good_one_is_on_time():
    with CanaryStack(proxies=2) as stack:
        stack.deploy("shop", package("one"))
        with Load(stack.proxies[0], "shop", 100) as first, Load(stack.proxies[1], "shop", 100) as second:
            wish = {"steps": [1, 10, 50, 100], "intervalSeconds": 20, "maxErrorRate": 0.02, "minRequests": 20}
            bad = stack.ended(stack.begin("shop", package("two", bad=5), wish), 90)
            back = time.monotonic()
            assert bad["state"] == "failed" and bad["problem"]["type"] == "/problems/canary-failed", bad
            time.sleep(2)
            identity = stack.begin("shop", package("three"), wish)
            stack.watching(identity, 1)
            began = time.monotonic()
            good = stack.ended(identity, 180)
            took = time.monotonic() - began
        assert good["state"] == "succeeded" and 80 <= took < 80 + 4 * 4, took
        answers = sorted(first.answers + second.answers)
        failures = [at for at, status, seen in answers if status != 200]
        assert {seen.split(" ")[0] for at, status, seen in answers if status != 200} == {"two"}, "only the canary's own share"
        # One failure is more than 2 % of 20 calls: the first one is the crossing.
        assert back - failures[0] < 10, back - failures[0]
        assert len(failures) < 0.02 * len([a for a in answers if a[0] <= back]), len(failures)
