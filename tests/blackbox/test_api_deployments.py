"""Deployments as people and CI make them: many at once, bad ones, slow ones, cancelled ones, and ends in the middle."""
import base64
import json
import socket
import threading
import time

import pytest

from harness import Stack, make_zip, split_address, wait_for


def script(source):
    return make_zip({"index.js": source})


def package(text="x", status=200):
    return script(f"exports.handler = async () => ({{statusCode: {status}, body: {json.dumps(text)}}});")


@pytest.fixture(scope="module")
def stack():
    with Stack(managerd={"MANAGERD_DRAIN_MS": "0"}) as running:
        yield running


@pytest.fixture(scope="module")
def slow():
    """Functions take a while to become ready, so that deployments can be met half-way."""
    with Stack(managerd={"MANAGERD_DRAIN_MS": "0"}, lambda_local={"LAMBDA_LOCAL_READY_DELAY_MS": "400"}) as running:
        yield running


def call(stack, method, path, body=None, **headers):
    return stack.managerd.request(method, path, body=body, timeout=60,
                                  headers={name.replace("_", "-"): str(value) for name, value in headers.items()})


def deploy(stack, app, data, wait=30, query="", **headers):
    return call(stack, "POST", f"/v1/apps/{app}/deployments?runtime=nodejs20.x&handler=index.handler{query}", data,
                Content_Type="application/zip", Prefer=f"wait={wait}", **headers)


BAD = {
    "a syntax error": (script("exports.handler = async ( => {"), "", "probe-failed", "SyntaxError"),
    "no such file": (make_zip({"other.txt": "x"}), "", "probe-failed", "Cannot find module 'index'"),
    "no such handler": (script("exports.other = 1"), "", "probe-failed", "index.handler"),
    "a handler that throws": (script("exports.handler = async () => { throw new TypeError('no luck'); }"), "", "probe-failed", "TypeError: no luck"),
    "a handler that exits": (script("exports.handler = async () => process.exit(3)"), "", "probe-failed", "exit status 3"),
    "a handler that hangs": (script("exports.handler = () => new Promise(() => setInterval(() => {}, 1000))"), "&timeoutSeconds=1",
                             "probe-failed", "timed out"),
    "an answer of 502": (package("x", 502), "", "probe-failed", "502"),
    "an answer that is no HTTP": (script("exports.handler = async () => ({statusCode: 'many'})"), "", "probe-failed", "statusCode"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_deployment_that_fails_says_why_and_the_old_version_serves_on(stack, what):
    data, query, problem_type, why = BAD[what]
    app = "bad-" + "".join(c for c in what if c.isalpha())[:30].lower()
    stack.deploy(app, package("old"))
    before = call(stack, "GET", f"/v1/apps/{app}/traffic").json()["versions"]
    answer = deploy(stack, app, data, query=query)
    assert answer.status == 422 and answer.header("Content-Type") == "application/problem+json", answer
    problem = answer.json()
    assert problem["type"] == f"/problems/{problem_type}" and why in problem["detail"], problem
    assert stack.app(app).text == "old" and call(stack, "GET", f"/v1/apps/{app}/traffic").json()["versions"] == before
    version = call(stack, "GET", f"/v1/apps/{app}/versions/2").json()
    assert version["state"] == "failed" and version["failure"]["detail"] == problem["detail"]
    operation = call(stack, "GET", answer.header("Location")).json()
    assert operation["state"] == "failed" and operation["problem"] == problem
    failed = [step for step in operation["steps"] if step["state"] == "failed"]
    assert [step["name"] for step in failed] == ["probe"] and failed[0]["finishedAt"]
    assert all(step["state"] == "waiting" for step in operation["steps"][operation["steps"].index(failed[0]) + 1:])
    assert stack.deploy(app, package("new"), timeoutSeconds=30)["state"] == "succeeded" and stack.app(app).text == "new"


def test_deleting_a_version_that_failed_its_probe_deletes_what_was_published_of_it(stack):
    stack.deploy("tidy", package("old"))
    assert deploy(stack, "tidy", package("new", 500)).status == 422
    failed = call(stack, "GET", "/v1/apps/tidy/versions/2").json()
    client = stack.lambda_local.boto3()

    def published():
        return [v["Version"] for v in client.list_versions_by_function(FunctionName="tidy")["Versions"]]

    assert failed["state"] == "failed" and failed["lambdaVersion"] in published()
    assert call(stack, "PUT", "/v1/apps/tidy/traffic", {"versions": [{"version": 2, "percent": 100}]}).status == 422
    assert call(stack, "DELETE", "/v1/apps/tidy/versions/2", Prefer="wait=20").status == 200
    assert failed["lambdaVersion"] not in published() and stack.app("tidy").text == "old"


@pytest.mark.asks_wrongly("Runtime is none of its enumeration")
def test_what_aws_refuses_comes_with_its_own_words(stack):
    stack.deploy("refused", package("old"))
    answer = call(stack, "POST", "/v1/apps/refused/deployments?runtime=cobol85.x&handler=index.handler", package("new"),
                  Content_Type="application/zip", Prefer="wait=30")
    problem = answer.json()
    assert answer.status == 422 and problem["type"] == "/problems/aws-refused"
    assert problem["aws"]["code"] == "InvalidParameterValueException" and "cobol85.x" in problem["aws"]["message"]
    assert problem["aws"]["requestId"] and "cobol85.x" in problem["detail"]
    assert stack.app("refused").text == "old"
    assert stack.app("refused").text == "old"


def test_an_environment_that_lambda_cannot_hold_is_refused_before_any_aws_call(stack):
    stack.deploy("roomy", package("old"))
    most = {"A" * 46: "x" * 2000, "BB": "y" * 2048}  # 4096 bytes of names and values
    body = {"package": {"version": 1}, "runtime": "nodejs20.x", "environment": {**most, "C1": ""}}
    answer = call(stack, "POST", "/v1/apps/roomy/deployments", body, Prefer="wait=30")
    assert answer.status == 422 and answer.json()["errors"] == [
        {"pointer": "/environment", "detail": "must have at most 4096 bytes of names and values"}]
    assert call(stack, "PUT", "/v1/apps/roomy/environment", {"variables": {**most, "C1": ""}}).json()["errors"][0]["pointer"] == "/variables"
    assert call(stack, "PUT", "/v1/apps/roomy/environment", {"variables": most}).status == 200
    assert call(stack, "PATCH", "/v1/apps/roomy/environment", {"variables": {"C1": "z"}}).status == 422
    assert len(call(stack, "GET", "/v1/apps/roomy/versions").json()["items"]) == 1
    labels = {f"l{n}": "v" * 200 for n in range(45)}
    assert call(stack, "PATCH", "/v1/apps/roomy", {"labels": labels}).json()["errors"][0]["pointer"] == "/labels"


@pytest.mark.threads
def test_twenty_apps_are_deployed_at_once(stack):
    answers = {}
    threads = [threading.Thread(target=lambda n=n: answers.__setitem__(n, deploy(stack, f"crowd-{n}", package(f"text {n}"))))
               for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {n: answers[n].status for n in range(20)} == {n: 200 for n in range(20)}
    assert [stack.app(f"crowd-{n}").text for n in range(20)] == [f"text {n}" for n in range(20)]


def test_prefer_wait_says_how_long_it_waited_and_gives_what_there_is(slow):
    at_once = deploy(slow, "patience", package("one"), wait=0)
    assert at_once.status == 202 and at_once.json()["state"] == "queued" and at_once.header("Preference-Applied") == "wait=0"
    location = at_once.header("Location")
    assert location == f"/v1/operations/{at_once.json()['id']}"
    began = time.monotonic()
    done = call(slow, "GET", location, Prefer="respond-async, wait=30")
    assert done.status == 200 and done.json()["state"] == "succeeded" and done.header("Preference-Applied") == "wait=30"
    assert time.monotonic() - began < 20, "it answers when it is done, not when the time is over"
    plain = call(slow, "POST", "/v1/apps/patience/deployments", {"package": {"version": 1}})
    assert plain.status == 202 and plain.header("Preference-Applied") is None
    call(slow, "GET", plain.header("Location"), Prefer="wait=30")


def test_a_reader_of_events_that_leaves_in_the_middle_harms_nobody(slow):
    accepted = deploy(slow, "abandoned", package("x"), wait=0)
    for _ in range(3):
        with socket.create_connection(split_address(slow.managerd.listen), 10) as peer:
            peer.sendall(f"GET {accepted.header('Location')}/events HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            assert b"200 OK" in peer.recv(65536)
    done = call(slow, "GET", accepted.header("Location"), Prefer="wait=30")
    assert done.json()["state"] == "succeeded"


def test_each_step_is_an_event_and_done_is_the_last(slow):
    accepted = deploy(slow, "narrated", package("x"), wait=0)
    answer = call(slow, "GET", accepted.header("Location") + "/events", Accept="text/event-stream")
    assert answer.header("Content-Type").startswith("text/event-stream") and answer.header("Content-Length") is None
    events = []
    for block in answer.text.split("\n\n"):
        lines = [line for line in block.splitlines() if line and not line.startswith(":")]
        if lines:
            events.append(dict(line.split(": ", 1) for line in lines))
    running = [step["name"] for event in events for step in json.loads(event["data"])["steps"] if step["state"] == "running"]
    names = [step["name"] for step in json.loads(events[-1]["data"])["steps"]]
    assert running == [name for name in names if name in running] and len(running) >= len(names) - 2, "each step once, in order"
    assert [event["event"] for event in events] == ["step"] * (len(events) - 1) + ["done"]
    assert [int(event["id"]) for event in events] == list(range(1, len(events) + 1))


def test_a_running_deployment_can_be_cancelled_before_it_takes_effect(slow):
    slow.deploy("stopped", package("old"))
    accepted = deploy(slow, "stopped", package("new"), wait=0)
    wait_for(lambda: call(slow, "GET", accepted.header("Location")).json()["state"] == "running", 10, "it runs")
    answer = call(slow, "POST", accepted.header("Location") + "/cancel", Prefer="wait=20")
    assert answer.status == 200 and answer.json()["state"] == "cancelled" and answer.header("Location") == accepted.header("Location")
    again = call(slow, "POST", accepted.header("Location") + "/cancel")
    assert again.status == 200 and again.json()["state"] == "cancelled", "cancelling once more changes nothing"
    assert slow.app("stopped").text == "old"
    assert call(slow, "GET", "/v1/apps/stopped/versions/2").json()["state"] == "failed"
    assert call(slow, "POST", "/v1/operations/01890a5d-ac96-774b-bcce-b302099a8057/cancel").json()["type"] == "/problems/operation-not-found"
    assert slow.deploy("stopped", package("newer"))["state"] == "succeeded" and slow.app("stopped").text == "newer"


def test_deleting_an_app_ends_its_service_at_once_whatever_is_still_queued(slow):
    slow.deploy("doomed", package("one"))
    queued = [deploy(slow, "doomed", package(f"late {n}"), wait=0) for n in range(2)]
    gone = call(slow, "DELETE", "/v1/apps/doomed")
    assert gone.status == 202 and gone.json()["state"] == "queued"
    assert slow.app("doomed").status == 404, "its route is gone when the deletion is accepted"
    for method, path, body in (("PUT", "", {}), ("PATCH", "", {"description": "x"}), ("POST", "/activate", None), ("DELETE", "", None),
                               ("PUT", "/traffic", {"versions": [{"version": 1, "percent": 100}]}), ("POST", "/rollback", None),
                               ("PUT", "/environment", {"variables": {}}), ("POST", "/deployments", {"package": {"version": 1}}),
                               ("DELETE", "/versions/1", None)):
        answer = call(slow, method, "/v1/apps/doomed" + path, body)
        assert answer.status == 409 and gone.json()["id"] in answer.json()["detail"], (method, path, answer)
    assert call(slow, "GET", gone.header("Location"), Prefer="wait=30").json()["state"] == "succeeded"
    assert [call(slow, "GET", q.header("Location")).json()["state"] for q in queued] == ["succeeded"] * 2
    assert slow.app("doomed").status == 404 and call(slow, "GET", "/v1/apps/doomed").status == 404
    assert "doomed" not in [f["FunctionName"] for f in slow.lambda_local.boto3().list_functions()["Functions"]]


def test_a_deletion_that_is_cancelled_in_time_gives_the_app_back_as_it_was(slow):
    slow.deploy("spared", package("one"))
    queued = deploy(slow, "spared", package("late"), wait=0)
    gone = call(slow, "DELETE", "/v1/apps/spared")
    assert gone.status == 202 and slow.app("spared").status == 404
    back = call(slow, "POST", gone.header("Location") + "/cancel", Prefer="wait=20")
    assert back.status == 200 and back.json()["state"] == "cancelled"
    wait_for(lambda: slow.app("spared").status == 200, 5, "its route is there again")
    assert call(slow, "GET", "/v1/apps/spared").json()["enabled"] is True
    assert call(slow, "GET", queued.header("Location"), Prefer="wait=30").json()["state"] == "succeeded"
    assert slow.app("spared").text == "one", "what was deployed before the deletion takes no traffic after it"
    assert slow.deploy("spared", package("two"))["state"] == "succeeded" and slow.app("spared").text == "two"


def test_keep_function_leaves_aws_alone(stack):
    client = stack.lambda_local.boto3()
    for app, query, stays in (("kept-fn", "?keepFunction=true", True), ("gone-fn", "?keepFunction=false", False), ("plain-fn", "", False)):
        stack.deploy(app, package("x"))
        ended = call(stack, "DELETE", f"/v1/apps/{app}{query}", Prefer="wait=20")
        assert ended.status == 200 and ("delete-function" in [s["name"] for s in ended.json()["steps"]]) != stays
        assert (app in [f["FunctionName"] for f in client.list_functions()["Functions"]]) == stays
        assert stack.app(app).status == 404
    assert call(stack, "DELETE", "/v1/apps/kept-fn?keepFunction=maybe").status == 404, "it is gone, whatever else is wrong"


def test_two_apps_cannot_share_a_function(stack):
    assert call(stack, "PUT", "/v1/apps/owner", {"function": {"name": "shared-function"}}).status == 201
    taken = call(stack, "PUT", "/v1/apps/thief", {"function": {"name": "shared-function"}})
    assert taken.status == 409 and "owner" in taken.json()["detail"] and call(stack, "GET", "/v1/apps/thief").status == 404


def test_requests_under_way_when_their_app_is_deleted_still_get_their_answers():
    with Stack(managerd={"MANAGERD_DRAIN_MS": "1500"}) as stack:
        stack.deploy("leaving", script("""exports.handler = async (event) => {
            if (event.rawPath === '/slow') await new Promise((done) => setTimeout(done, 700));
            return {statusCode: 200, body: 'done'}; };"""))
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(stack.app("leaving", "/slow").text)) for _ in range(4)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        gone = call(stack, "DELETE", "/v1/apps/leaving")
        assert gone.status == 202 and stack.app("leaving").status == 404
        for thread in threads:
            thread.join()
        assert answers == ["done"] * 4
        assert call(stack, "GET", gone.header("Location"), Prefer="wait=20").json()["state"] == "succeeded"


def test_a_deployment_goes_on_where_it_was_when_managerd_is_stopped_and_started(slow):
    slow.deploy("paused", package("one"))
    answers = []
    waiter = threading.Thread(target=lambda: answers.append(deploy(slow, "paused", package("two"))))
    waiter.start()
    wait_for(lambda: call(slow, "GET", "/v1/operations?app=paused&state=running").json()["items"], 10, "it runs")
    slow.managerd.stop()
    waiter.join()
    assert answers[0].status == 202, "who waits is told where to look later"
    assert slow.app("paused").text == "one"
    slow.managerd.start()
    slow.managerd.wait_ready()
    end = call(slow, "GET", answers[0].header("Location"), Prefer="wait=30").json()
    assert end["state"] == "succeeded" and slow.app("paused").text == "two"
    assert sum(step["attempts"] for step in end["steps"]) == len(end["steps"]) + 1, "only the step under way was begun again"


def test_aws_being_away_fails_the_deployment_and_nothing_else():
    with Stack(managerd={"MANAGERD_DRAIN_MS": "0"}) as stack:
        stack.deploy("lonely", package("old"))
        stack.lambda_local.stop()
        answer = deploy(stack, "lonely", package("new"))
        assert answer.status == 502 and answer.json()["type"] == "/problems/aws-unavailable"
        assert call(stack, "GET", "/readyz").status == 200
        assert call(stack, "POST", "/v1/apps/lonely/deactivate").status == 200
        assert call(stack, "POST", "/v1/apps/lonely/activate").status == 200
        stack.lambda_local.start()
        assert stack.app("lonely").text == "old"
        assert stack.deploy("lonely", package("new"))["state"] == "succeeded" and stack.app("lonely").text == "new"


def test_a_first_deployment_without_traffic_serves_nothing_until_it_is_given_some(stack):
    zipped = base64.b64encode(package("there")).decode()
    for app, traffic in (("held", "none"), ("zero", {"percent": 0})):
        body = {"package": {"zip": zipped}, "runtime": "nodejs20.x", "traffic": traffic}
        assert call(stack, "POST", f"/v1/apps/{app}/deployments", body, Prefer="wait=30").status == 200
        assert stack.app(app).status == 404 and call(stack, "GET", f"/v1/apps/{app}/traffic").json()["versions"] == []
        assert call(stack, "PUT", f"/v1/apps/{app}/traffic", {"versions": [{"version": 1, "percent": 100}]}).status == 200
        assert stack.app(app).text == "there"


def test_an_archive_in_base64_must_be_base64(stack):
    zipped = base64.b64encode(package("x")).decode()
    for wrong in (zipped[:-5] + "*", zipped.replace("A", "-", 1), zipped[:40] + "\n" + zipped[40:], "data:application/zip;base64," + zipped):
        answer = call(stack, "POST", "/v1/apps/encoded/deployments", {"package": {"zip": wrong}})
        assert answer.status == 422 and answer.json()["type"] == "/problems/package-invalid", answer
    assert call(stack, "GET", "/v1/apps/encoded").status == 404, "nothing was created for it"
