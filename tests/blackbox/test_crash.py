"""What was promised before managerd, lambda-local or proxyd died is kept after the next start.

Each write and each AWS call of everything that managerd does: test_kill_points.py. Kills by chance under load: test_kill_storm.py.
"""
import pytest

import stored
from harness import Stack, make_zip, request, wait_for
from kill_scene import KillScene
from test_aws_moods import MoodScene, PASSING


@pytest.fixture(scope="module")
def slow():
    """Functions take a while until they are ready."""
    with KillScene(lambda_local={"LAMBDA_LOCAL_READY_DELAY_MS": 200}) as running:
        yield running


def crash(scene):
    scene.managerd.kill_only()
    scene.managerd.start()
    scene.managerd.wait_ready()


def test_a_deployment_that_was_cancelled_before_a_crash_stays_cancelled_after_it(slow):
    slow.deployed("cancelled", "one")
    running = slow.upload("cancelled", "two").json()["id"]
    queued = slow.upload("cancelled", "three").json()["id"]
    for identity in (running, queued):
        assert slow.ask("POST", f"/v1/operations/{identity}/cancel").status == 202
    crash(slow)
    slow.settle()
    for identity in (running, queued):
        operation = slow.ask("GET", f"/v1/operations/{identity}").json()
        assert operation["state"] == "cancelled" and operation["problem"]["type"] == "/problems/cancelled", operation
    assert slow.proxyd.app("cancelled").text == "one"
    slow.deployed("cancelled", "four")
    assert slow.proxyd.app("cancelled").text == "four"
    assert stored.find_faults(slow) == []


def test_an_operation_that_was_cancelled_in_time_takes_no_effect_whatever_its_step(slow):
    """Whenever the wish is accepted, the operation ends as cancelled; too late, it is refused and the operation succeeds."""
    slow.deployed("timely", "zero")
    now, accepted = "zero", 0
    for number in range(8):
        identity = slow.upload("timely", f"v{number}").json()["id"]
        wait_for(lambda: len([s for s in slow.ask("GET", f"/v1/operations/{identity}").json()["steps"] if s["state"] == "done"]) > number % 7, 20,
                 "so many steps are done", pause=0.001)
        answer = slow.ask("POST", f"/v1/operations/{identity}/cancel", expect=(200, 202, 409))
        slow.settle()
        state = slow.ask("GET", f"/v1/operations/{identity}").json()["state"]
        assert (state == "cancelled") == (answer.status != 409), (state, answer)
        accepted += answer.status != 409
        now = now if state == "cancelled" else f"v{number}"
        assert slow.proxyd.app("timely").text == now
    assert accepted >= 3


def test_a_lambda_version_whose_publishing_was_never_answered_goes_with_its_version():
    with MoodScene() as scene:
        scene.deployed("strayed", "one")
        publishing = "POST /2015-03-31/functions/APP/versions"
        with scene.relay.lock:
            scene.relay.counted.pop("strayed")
            scene.relay.moods["strayed"] = (publishing, PASSING["cut after it was done"], 1000)
        identity = scene.upload("strayed", "two").json()["id"]
        wait_for(lambda: scene.relay.counted.get("strayed", []).count(publishing) > 1, 20, "it is asked for again and again")
        scene.ask("POST", f"/v1/operations/{identity}/cancel")
        scene.settle()
        with scene.relay.lock:
            scene.relay.moods.pop("strayed")
        assert scene.ask("GET", "/v1/apps/strayed/versions/2").json()["state"] == "failed"
        assert set(stored.functions(scene.lambda_local)["strayed"]["versions"]) == {"1", "2"}, "it was published, and nobody heard of it"
        scene.deployed("strayed", "three")
        scene.done(scene.ask("DELETE", "/v1/apps/strayed/versions/2"))
        assert set(stored.functions(scene.lambda_local)["strayed"]["versions"]) == {"1", "3"}
        assert stored.find_faults(scene) == []


def test_killed_lambda_local_and_proxyd_lose_nothing_that_was_stored():
    with Stack() as stack:
        apps = [f"app-{n}" for n in range(3)]
        for app in apps:
            stack.deploy(app, make_zip({"index.js": f"exports.handler = async () => ({{statusCode: 200, body: '{app}'}});"}))
        for round_number in range(3):
            stack.lambda_local.kill9()
            stack.lambda_local.start()
            stack.proxyd.kill9()
            stack.proxyd.start()
            stack.proxyd.wait_ready()
            for app in apps:
                answer = wait_for(lambda: (lambda a: a if a.status == 200 else None)(stack.app(app)), 10, f"{app} serves")
                assert answer.text == app
        names = sorted(f["FunctionName"] for f in stack.lambda_local.boto3().list_functions()["Functions"])
        assert len(names) == 3
        assert request(stack.managerd.url + "/readyz").status == 200
