"""The whole life of an app by calls of the API, against the real lambda-local and proxyd."""
import json
import re
import time

import pytest

from harness import Stack, make_zip, wait_for


def package(text, status=200):
    return make_zip({"index.js": f"exports.handler = async () => ({{statusCode: {status}, body: {json.dumps(text)}}});"})


ECHO = """exports.handler = async (event) => ({statusCode: 200, headers: {"content-type": "application/json"},
  body: JSON.stringify({version: event.version || "1.0", greeting: process.env.GREETING || null})});"""


@pytest.fixture(scope="module")
def stack():
    with Stack(managerd={"MANAGERD_DRAIN_MS": "0"}) as running:
        yield running


def call(stack, method, path, body=None, **headers):
    return stack.managerd.request(method, path, body=body,
                                  headers={name.replace("_", "-"): str(value) for name, value in headers.items()}, timeout=40)


def deploy_json(stack, app, body, wait=30):
    return call(stack, "POST", f"/v1/apps/{app}/deployments", body, Prefer=f"wait={wait}")


def test_an_app_lives_from_its_first_deployment_to_its_end(stack):
    answer = call(stack, "PUT", "/v1/apps/life", {"labels": {"team": "web"}, "memoryMb": 256})
    assert answer.status == 201 and answer.header("Location") == "/v1/apps/life"
    app = answer.json()
    assert app["name"] == "life" and app["function"]["name"] == "life" and app["enabled"] is True
    assert app["limits"]["maxInFlight"] == 100 and app["probe"] == {"path": "/"}
    assert answer.header("ETag") == f'"{app["revision"]}"'
    operation = stack.deploy("life", package("one"))
    assert [step["name"] for step in operation["steps"]] == [
        "store-package", "create-function", "wait-until-ready", "publish-version", "probe", "save-version",
        "shift-traffic", "publish-routes"]
    assert all(step["state"] == "done" and step["finishedAt"] for step in operation["steps"])
    assert operation["result"] == {"version": 1} and operation["problem"] is None
    assert stack.app("life").text == "one"
    assert stack.deploy("life", package("two"))["result"] == {"version": 2}
    assert stack.app("life").text == "two"
    assert call(stack, "POST", "/v1/apps/life/rollback").json()["versions"] == [{"version": 1, "percent": 100}]
    assert stack.app("life").text == "one"
    versions = call(stack, "GET", "/v1/apps/life/versions").json()["items"]
    assert [(v["version"], v["state"], v["lambdaVersion"]) for v in versions] == [(1, "ready", "1"), (2, "ready", "2")]
    assert all(v["memoryMb"] == 256 for v in versions)
    assert call(stack, "DELETE", "/v1/apps/life/versions/1").status == 409
    assert call(stack, "DELETE", "/v1/apps/life/versions/2", Prefer="wait=20").status == 200
    assert call(stack, "GET", "/v1/apps/life/versions/2").json()["type"] == "/problems/version-not-found"
    gone = call(stack, "DELETE", "/v1/apps/life", Prefer="wait=20")
    assert gone.status == 200 and gone.json()["state"] == "succeeded"
    assert call(stack, "GET", "/v1/apps/life").status == 404
    assert stack.app("life").status == 404
    names = [f["FunctionName"] for f in stack.lambda_local.boto3().list_functions()["Functions"]]
    assert "life" not in names
    assert stack.deploy("life", package("again"))["result"] == {"version": 1}
    assert stack.app("life").text == "again"


def test_a_version_brings_back_configuration_environment_and_http_behaviour(stack):
    zipped = make_zip({"index.js": ECHO})
    body = {"package": {"zip": __import__("base64").b64encode(zipped).decode()}, "runtime": "nodejs22.x",
            "http": {"payloadFormat": "1.0"}, "environment": {"GREETING": "first"}}
    assert deploy_json(stack, "frozen", body).status == 200
    assert stack.app("frozen").json() == {"version": "1.0", "greeting": "first"}
    again = {"package": {"version": 1}, "http": {"payloadFormat": "2.0"}, "environment": {"GREETING": "second"}}
    assert deploy_json(stack, "frozen", again).status == 200
    assert stack.app("frozen").json() == {"version": "2.0", "greeting": "second"}
    version = call(stack, "GET", "/v1/apps/frozen/versions/2").json()
    assert version["package"]["source"] == "version 1" and version["environment"] == ["GREETING"]
    assert "second" not in call(stack, "GET", "/v1/apps/frozen/versions/2").text
    assert call(stack, "GET", "/v1/apps/frozen").json()["http"]["payloadFormat"] == "2.0"
    assert call(stack, "POST", "/v1/apps/frozen/rollback", {"version": 1}).status == 200
    assert stack.app("frozen").json() == {"version": "1.0", "greeting": "first"}


def test_environment_variables_never_come_back_and_lie_sealed_on_disk(stack):
    secret = "s3cr3t-value-that-must-not-leak"
    call(stack, "PUT", "/v1/apps/sealed", {})
    answer = call(stack, "PUT", "/v1/apps/sealed/environment", {"variables": {"GREETING": secret, "OTHER": "x"}})
    assert answer.status == 200 and answer.json()["names"] == ["GREETING", "OTHER"] and secret not in answer.text
    answer = call(stack, "PATCH", "/v1/apps/sealed/environment", {"variables": {"OTHER": None}})
    assert answer.json()["names"] == ["GREETING"]
    stack.deploy("sealed", make_zip({"index.js": ECHO}))
    assert stack.app("sealed").json()["greeting"] == secret
    for folder in ("state", "routes", "packages"):
        for path in (stack.data / folder).iterdir():
            assert secret.encode() not in path.read_bytes(), path
    assert secret not in stack.managerd.log_text(all_starts=True)
    assert secret not in stack.managerd.access_log_path.read_text()


def test_a_failed_deployment_leaves_the_old_version_serving(stack):
    stack.deploy("steady", package("good"))
    bad = stack.managerd.request("POST", "/v1/apps/steady/deployments", body=package("bad", 500),
                                 headers={"Content-Type": "application/zip", "Prefer": "wait=30"}, timeout=40)
    assert bad.status == 422 and bad.json()["type"] == "/problems/probe-failed" and "500" in bad.json()["detail"]
    assert bad.header("Content-Type") == "application/problem+json"
    assert stack.app("steady").text == "good"
    version = call(stack, "GET", "/v1/apps/steady/versions/2").json()
    assert version["state"] == "failed" and version["failure"]["type"] == "/problems/probe-failed"
    throwing = make_zip({"index.js": "exports.handler = async () => { throw new Error('broken inside'); };"})
    answer = stack.managerd.request("POST", "/v1/apps/steady/deployments", body=throwing,
                                    headers={"Content-Type": "application/zip", "Prefer": "wait=30"}, timeout=40)
    assert answer.status == 422 and "broken inside" in answer.json()["detail"]
    assert stack.app("steady").text == "good"
    # A 4xx is an answer; no probe asks nothing.
    assert stack.deploy("steady", package("not here", 404))["state"] == "succeeded"
    assert deploy_json(stack, "steady", {"package": {"version": 2}, "probe": None}).status == 200
    assert stack.app("steady").status == 500


def test_a_first_deployment_that_fails_leaves_no_orphan(stack):
    bad = stack.managerd.request("POST", "/v1/apps/orphan/deployments", body=package("bad", 503),
                                 headers={"Content-Type": "application/zip", "Prefer": "wait=30"}, timeout=40)
    assert bad.status == 422
    assert stack.app("orphan").status == 404
    assert call(stack, "GET", "/v1/apps/orphan/status").json()["function"]["claimed"] is True
    assert stack.deploy("orphan", package("good"))["result"] == {"version": 2}
    assert call(stack, "DELETE", "/v1/apps/orphan", Prefer="wait=20").status == 200
    assert "orphan" not in [f["FunctionName"] for f in stack.lambda_local.boto3().list_functions()["Functions"]]


def test_a_function_of_somebody_else_is_only_taken_over_when_asked(stack):
    client = stack.lambda_local.boto3()
    client.create_function(FunctionName="theirs", Role="arn:aws:iam::000000000000:role/x", Runtime="nodejs22.x",
                           Handler="index.handler", Code={"ZipFile": package("theirs")})
    refused = stack.managerd.request("POST", "/v1/apps/theirs/deployments", body=package("ours"),
                                     headers={"Content-Type": "application/zip", "Prefer": "wait=30"}, timeout=40)
    assert refused.status == 409 and refused.json()["type"] == "/problems/function-exists"
    assert stack.deploy("theirs", package("ours"), adopt="true")["state"] == "succeeded"
    assert stack.app("theirs").text == "ours"
    assert call(stack, "DELETE", "/v1/apps/theirs", Prefer="wait=20").status == 200
    assert client.get_function(FunctionName="theirs")["Configuration"]["FunctionName"] == "theirs", "adopted ones stay"


def test_deployments_of_one_app_run_in_order_and_of_others_side_by_side(stack):
    accepted = [stack.managerd.request("POST", "/v1/apps/queued/deployments", body=package(f"n{n}"),
                                       headers={"Content-Type": "application/zip"}) for n in range(4)]
    assert [a.status for a in accepted] == [202] * 4
    others = [stack.managerd.request("POST", f"/v1/apps/beside-{n}/deployments", body=package(f"b{n}"),
                                     headers={"Content-Type": "application/zip"}) for n in range(4)]
    ids = [a.json()["id"] for a in accepted]
    assert ids == sorted(ids)
    assert all(a.header("Location") == f"/v1/operations/{a.json()['id']}" for a in accepted)
    last = call(stack, "GET", f"/v1/operations/{ids[-1]}", Prefer="wait=30")
    assert last.json()["state"] == "succeeded" and last.json()["result"] == {"version": 4}
    ends = [call(stack, "GET", f"/v1/operations/{i}").json()["updatedAt"] for i in ids]
    assert ends == sorted(ends)
    assert stack.app("queued").text == "n3"
    for other in others:
        assert call(stack, "GET", other.header("Location"), Prefer="wait=30").json()["state"] == "succeeded"


def test_a_rollback_is_idempotent_and_keeps_queued_deployments_without_traffic(stack):
    stack.deploy("friday", package("one"))
    stack.deploy("friday", package("two"))
    queued = stack.managerd.request("POST", "/v1/apps/friday/deployments", body=package("three"),
                                    headers={"Content-Type": "application/zip"})
    first = call(stack, "POST", "/v1/apps/friday/rollback")
    second = call(stack, "POST", "/v1/apps/friday/rollback")
    if call(stack, "GET", queued.header("Location")).json()["steps"][-2]["detail"] is None:
        assert first.json()["versions"] == [{"version": 1, "percent": 100}]
    assert first.json() == second.json() and first.header("ETag") == second.header("ETag")
    done = call(stack, "GET", queued.header("Location"), Prefer="wait=30").json()
    assert done["state"] == "succeeded" and "rolled back" in done["steps"][-2]["detail"]
    assert stack.app("friday").text == "one"
    assert stack.deploy("friday", package("four"))["result"] == {"version": 4}
    assert stack.app("friday").text == "four"


def test_the_first_deployment_has_nothing_to_roll_back_to(stack):
    stack.deploy("only", package("one"))
    answer = call(stack, "POST", "/v1/apps/only/rollback")
    assert answer.status == 409 and answer.json()["type"] == "/problems/conflict"
    assert call(stack, "POST", "/v1/apps/only/rollback", {"version": 9}).status == 422


def test_traffic_splits_by_percent_and_checks_its_sums(stack):
    stack.deploy("split", package("one"))
    stack.deploy("split", package("two"), traffic="none")
    assert stack.app("split").text == "one"
    answer = call(stack, "PUT", "/v1/apps/split/traffic",
                  {"versions": [{"version": 1, "percent": 50}, {"version": 2, "percent": 50}]})
    assert answer.status == 200 and answer.json()["sticky"] == "none"
    assert {stack.app("split").text for _ in range(60)} == {"one", "two"}
    wrong = call(stack, "PUT", "/v1/apps/split/traffic",
                 {"versions": [{"version": 1, "percent": 50}, {"version": 7, "percent": 49.999}], "sticky": "rope"})
    assert wrong.status == 422 and wrong.json()["errors"] == [
        {"pointer": "/sticky", "detail": "must be one of none|cookie|address"}]
    wrong = call(stack, "PUT", "/v1/apps/split/traffic",
                 {"versions": [{"version": 1, "percent": 50}, {"version": 7, "percent": 49}]})
    assert {e["pointer"] for e in wrong.json()["errors"]} == {"/versions", "/versions/1/version"}
    partly = deploy_json(stack, "split", {"package": {"version": 1}, "traffic": {"percent": 20}})
    assert partly.status == 200
    assert call(stack, "GET", "/v1/apps/split/traffic").json()["versions"] == [
        {"version": 1, "percent": 40}, {"version": 2, "percent": 40}, {"version": 3, "percent": 20}]


def test_activation_is_in_force_when_it_answers(stack):
    stack.deploy("switch", package("on"))
    for _ in range(30):
        off = call(stack, "POST", "/v1/apps/switch/deactivate")
        assert off.status == 200 and off.json()["enabled"] is False
        assert stack.app("switch").status == 404
        on = call(stack, "POST", "/v1/apps/switch/activate")
        assert on.json()["enabled"] is True and stack.app("switch").status == 200


def test_an_operation_can_be_followed_as_events(stack):
    accepted = stack.managerd.request("POST", "/v1/apps/followed/deployments", body=package("x"),
                                      headers={"Content-Type": "application/zip"})
    answer = call(stack, "GET", accepted.header("Location") + "/events")
    assert answer.status == 200 and answer.header("Content-Type").startswith("text/event-stream")
    events = [dict(line.split(": ", 1) for line in block.splitlines()) for block in answer.text.strip().split("\n\n")]
    assert [e["id"] for e in events] == [str(n + 1) for n in range(len(events))]
    assert {e["event"] for e in events[:-1]} <= {"step"} and events[-1]["event"] == "done"
    assert json.loads(events[-1]["data"])["state"] == "succeeded"
    assert all("work" not in json.loads(e["data"]) for e in events)
    late = call(stack, "GET", accepted.header("Location") + "/events")
    assert late.text.startswith("id: 1\nevent: done\n")


def test_a_queued_operation_can_be_cancelled_and_a_finished_one_not(stack):
    accepted = [stack.managerd.request("POST", "/v1/apps/halted/deployments", body=package(f"n{n}"),
                                       headers={"Content-Type": "application/zip"}).json()["id"] for n in range(5)]
    cancelled = call(stack, "POST", f"/v1/operations/{accepted[-1]}/cancel")
    assert cancelled.status == 202
    end = call(stack, "GET", f"/v1/operations/{accepted[-1]}", Prefer="wait=30").json()
    assert end["state"] == "cancelled" and end["problem"]["type"] == "/problems/cancelled"
    assert call(stack, "GET", "/v1/apps/halted/versions/5").json()["state"] == "failed"
    assert call(stack, "GET", f"/v1/operations/{accepted[-2]}", Prefer="wait=30").json()["state"] == "succeeded"
    assert call(stack, "POST", f"/v1/operations/{accepted[0]}/cancel").status == 409
    assert stack.app("halted").text == "n3"


def test_lists_are_paged_by_cursor_and_filtered(stack):
    names = [f"page-{n:02}" for n in range(12)]
    for name in names:
        call(stack, "PUT", f"/v1/apps/{name}", {"labels": {"set": "pages", "odd": str(int(name[-1]) % 2)}})
    seen, cursor = [], ""
    while True:
        page = call(stack, "GET", "/v1/apps?limit=5&label=set:pages" + (f"&cursor={cursor}" if cursor else "")).json()
        assert len(page["items"]) <= 5
        seen += [app["name"] for app in page["items"]]
        cursor = page["nextCursor"]
        if not cursor:
            break
        assert re.fullmatch("[A-Za-z0-9_-]+", cursor)
        call(stack, "PUT", "/v1/apps/page-00a", {})  # concurrent writes before the cursor change nothing behind it
    assert seen == names
    assert len(call(stack, "GET", "/v1/apps?label=odd:1").json()["items"]) == 6
    assert call(stack, "GET", "/v1/apps?limit=0").status == 422
    assert call(stack, "GET", "/v1/apps?limit=501").json()["errors"][0]["parameter"] == "limit"
    assert call(stack, "GET", "/v1/apps?cursor=xyz").status == 422
    assert call(stack, "GET", "/v1/apps?nonsense=1").json()["errors"] == [
        {"parameter": "nonsense", "detail": "is not a parameter of this call"}]
    for wrong in ("limit=%zz", "limit=100%", "%=1", "label=%"):
        assert call(stack, "GET", f"/v1/apps?{wrong}").json()["errors"][0]["detail"] == "is not well-formed percent-encoded UTF-8", wrong
    operations = call(stack, "GET", "/v1/operations?limit=2").json()
    assert len(operations["items"]) == 2 and operations["nextCursor"]
    assert call(stack, "GET", "/v1/operations?state=failed&app=steady").json()["items"] != []


def test_the_first_services_api_still_works(stack):
    import base64

    def archive(text):
        return base64.b64encode(package(text)).decode()

    assert call(stack, "GET", "/apps/old/status").status == 404
    deployed = call(stack, "POST", "/apps/deploy", {"name": "old", "archive": archive("v1")})
    assert (deployed.status, deployed.json()) == (200, {"name": "old", "status": "ACTIVE"})
    assert stack.app("old").text == "v1"
    assert call(stack, "GET", "/v1/apps/old").json()["http"]["payloadFormat"] == "1.0"
    assert call(stack, "POST", "/apps/old/deactivate").json() == {"name": "old", "status": "INACTIVE"}
    assert stack.app("old").status == 404
    assert call(stack, "GET", "/apps/old/status").json()["status"] == "INACTIVE"
    assert call(stack, "POST", "/apps/deploy", {"name": "old", "archive": archive("v2")}).json()["status"] == "ACTIVE"
    assert stack.app("old").text == "v2"
    assert call(stack, "POST", "/apps/old/activate").json()["status"] == "ACTIVE"
    for body in ({"name": "old", "archive": ""}, {"name": "old", "archive": "!!"}, {"name": "old", "archive": "QUJD"},
                 {"name": "old"}, {"archive": archive("x")}, {"name": "Old", "archive": archive("x")}):
        answer = call(stack, "POST", "/apps/deploy", body)
        assert answer.status == 400, (body, answer)
    assert stack.app("old").text == "v2"
    removed = call(stack, "POST", "/apps/old/remove")
    assert (removed.status, removed.json()) == (200, {"name": "old", "status": "REMOVED"})
    assert stack.app("old").status == 404
    assert call(stack, "GET", "/apps/old/status").json()["status"] == "REMOVED"
    assert call(stack, "POST", "/apps/deploy", {"name": "old", "archive": archive("v3")}).json()["status"] == "ACTIVE"
    assert stack.app("old").text == "v3"
    for action in ("activate", "deactivate", "remove"):
        assert call(stack, "POST", f"/apps/unknown/{action}").status == 404


def test_two_deployments_of_the_first_services_api_at_once_give_one_409(stack):
    import base64
    import threading
    body = {"name": "racing", "archive": base64.b64encode(package("x")).decode()}
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(call(stack, "POST", "/apps/deploy", body).status))
               for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(answers) == {200, 409} and answers.count(200) >= 1


def test_a_restart_publishes_what_state_says(stack):
    stack.deploy("kept", package("kept"))
    before = call(stack, "GET", "/v1/apps/kept")
    stack.managerd.stop()
    for path in (stack.data / "routes").glob("*.mdb"):
        path.unlink()
    stack.managerd.start()
    stack.managerd.wait_ready()
    after = call(stack, "GET", "/v1/apps/kept")
    assert after.json() == before.json() and after.header("ETag") == before.header("ETag")
    wait_for(lambda: stack.app("kept").text == "kept", 10, "proxyd has reopened the routes")


def test_folders_are_as_private_as_they_must_be(stack):
    modes = {name: oct((stack.data / name).stat().st_mode & 0o7777) for name in
             ("routes", "state", "packages", "keys", "secrets")}
    assert modes == {"routes": "0o2750", "state": "0o700", "packages": "0o700", "keys": "0o700", "secrets": "0o2750"}
    assert oct((stack.data / "routes" / "data.mdb").stat().st_mode & 0o777) == "0o640"
    assert oct((stack.data / "routes" / "lock.mdb").stat().st_mode & 0o777) == "0o660"
    assert oct((stack.data / "keys" / "environment.key").stat().st_mode & 0o777) == "0o600"


def test_packages_that_nothing_needs_are_removed(stack):
    stack.deploy("packed", package("only here"))
    sha = call(stack, "GET", "/v1/apps/packed/versions/1").json()["package"]["sha256"]
    path = stack.data / "packages" / f"{sha}.zip"
    assert path.exists()
    assert call(stack, "DELETE", "/v1/apps/packed", Prefer="wait=20").status == 200
    wait_for(lambda: not path.exists(), 5, "the package is gone")


def test_stopping_answers_who_waits_and_the_operation_goes_on_later(stack):
    import threading
    stack.managerd.stop()
    stack.managerd.options["MANAGERD_DRAIN_MS"] = "1500"
    stack.managerd.start()
    stack.managerd.wait_ready()
    stack.deploy("drained", package("x"))
    answers = []
    waiter = threading.Thread(target=lambda: answers.append(call(stack, "DELETE", "/v1/apps/drained", Prefer="wait=30")))
    waiter.start()
    wait_for(lambda: call(stack, "GET", "/v1/operations?app=drained&state=running").json()["items"], 5, "it runs")
    began = time.monotonic()
    stack.managerd.stop()
    assert time.monotonic() - began < 5
    waiter.join()
    assert answers[0].status == 202 and answers[0].json()["state"] == "running"
    stack.managerd.options["MANAGERD_DRAIN_MS"] = "0"
    stack.managerd.start()
    stack.managerd.wait_ready()
    end = call(stack, "GET", answers[0].header("Location"), Prefer="wait=20").json()
    assert end["state"] == "succeeded", end
    assert call(stack, "GET", "/v1/apps/drained").status == 404


def test_a_dry_run_answers_with_the_plan_and_changes_nothing(stack):
    plan = stack.managerd.request("POST", "/v1/apps/dry/deployments?dryRun=true&memoryMb=256", body=package("x"),
                                  headers={"Content-Type": "application/zip"})
    assert plan.status == 200 and plan.json()["steps"][1]["name"] == "create-function"
    assert call(stack, "GET", "/v1/apps/dry").status == 404
    assert call(stack, "GET", f"/v1/operations/{plan.json()['id']}").status == 404
    stack.deploy("dry", package("x"))
    again = call(stack, "POST", "/v1/apps/dry/deployments?dryRun=true", {"package": {"version": 1}, "traffic": "none"})
    assert [s["name"] for s in again.json()["steps"]][1:3] == ["update-code", "update-configuration"]
    assert len(call(stack, "GET", "/v1/apps/dry/versions").json()["items"]) == 1
    assert call(stack, "POST", "/v1/apps/dry/deployments?dryRun=perhaps", {"package": {"version": 1}}).status == 422
    assert call(stack, "POST", "/v1/apps/dry/deployments?memoryMb=256", {"package": {"version": 1}}).status == 422
