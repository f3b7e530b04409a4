"""POST …/sync compares an app with AWS: what a hand did is told, put back, or taken over, as the app's policy says."""
import json

import pytest

from harness import Stack, make_zip

SECRET = "correct-horse-battery"
ROLE = "arn:aws:iam::000000000000:role/apps"


def package(text):
    return make_zip({"index.js": f"exports.handler = async () => ({{statusCode: 200, body: {json.dumps(text)} + (process.env.PASSWORD || '')}});"})


THEIRS = package("theirs")


@pytest.fixture(scope="module")
def stack():
    with Stack(managerd={"MANAGERD_DRAIN_MS": "0", "MANAGERD_STATUS_MAX_AGE": "200ms"}) as running:
        yield running


@pytest.fixture()
def hand(stack):
    """Who edits functions behind managerd's back."""
    return stack.lambda_local.boto3()


def call(stack, method, path, body=None, status=None, **headers):
    answer = stack.managerd.request(method, path, body, headers={name.replace("_", "-"): text for name, text in headers.items()}, timeout=60)
    assert status is None or answer.status == status, answer.text
    assert SECRET not in answer.text
    return answer


def sync(stack, app, policy=None, status=200):
    return call(stack, "POST", f"/v1/apps/{app}/sync{f'?policy={policy}' if policy else ''}", status=status, Prefer="wait=50").json()


def steps(operation):
    return [step["name"] + (f" {step['version']}" if "version" in step else "") for step in operation["steps"]]


def kinds(operation, of="drift"):
    return [(item["kind"], item["version"], item["field"]) for item in operation["result"][of]]


def version(stack, app, number):
    return call(stack, "GET", f"/v1/apps/{app}/versions/{number}", status=200).json()


def make(stack, app, *texts, policy=None, **settings):
    call(stack, "PUT", f"/v1/apps/{app}", {"drift": {"policy": policy}} if policy else {}, status=201)
    for text in texts:
        stack.deploy(app, package(text), **settings)


def clean(stack, app):
    operation = sync(stack, app, "alert")
    return operation["result"]["drift"] == [] and operation["steps"][0]["detail"] == "AWS has what was deployed."


def test_what_was_not_touched_is_left_alone(stack):
    make(stack, "calm", "one", policy="repair")
    assert call(stack, "GET", "/v1/apps/calm", status=200).json()["drift"] == {"policy": "repair"}
    operation = sync(stack, "calm")
    assert steps(operation) == ["compare"] and operation["result"] == {"policy": "repair", "drift": [], "left": []}
    make(stack, "never")
    assert sync(stack, "never", "repair")["result"]["drift"] == []


def test_alert_tells_and_changes_nothing(stack, hand):
    make(stack, "told", "one")
    assert call(stack, "GET", "/v1/apps/told", status=200).json()["drift"] == {"policy": "alert"}
    hand.update_function_configuration(FunctionName="told", MemorySize=512)
    operation = sync(stack, "told")
    assert operation["type"] == "sync" and steps(operation) == ["compare"]
    assert kinds(operation) == kinds(operation, "left") == [("function-changed", None, "memoryMb")]
    assert hand.get_function_configuration(FunctionName="told")["MemorySize"] == 512
    assert stack.managerd.events("drift-found")[-1]["app"] == "told"


def test_repair_puts_memory_timeout_role_and_environment_back(stack, hand):
    make(stack, "mended", policy="repair")
    call(stack, "PUT", "/v1/apps/mended/environment", {"variables": {"PASSWORD": SECRET}}, status=200)
    stack.deploy("mended", package("one"), memoryMb=256)
    before = hand.get_function_configuration(FunctionName="mended")
    hand.update_function_configuration(FunctionName="mended", MemorySize=512, Timeout=7, Role=ROLE + "2", Handler="x.y",
                                       Environment={"Variables": {"PASSWORD": "hunter2"}})
    operation = sync(stack, "mended")
    assert steps(operation) == ["compare", "update-configuration 1", "wait-until-ready 1"] and operation["result"]["left"] == []
    assert {field for _, _, field in kinds(operation)} == {"memoryMb", "timeoutSeconds", "role", "handler", "environment"}
    after = hand.get_function_configuration(FunctionName="mended")
    for member in ("MemorySize", "Timeout", "Role", "Handler", "Environment", "Description", "CodeSha256"):
        assert after[member] == before[member], member
    assert clean(stack, "mended") and version(stack, "mended", 1)["lambdaVersion"] == "1"
    assert stack.app("mended").text == "one" + SECRET


def test_repair_puts_code_back_that_was_changed_by_hand(stack, hand):
    make(stack, "coded", "one", "two", policy="repair")
    code = hand.get_function_configuration(FunctionName="coded")["CodeSha256"]
    hand.update_function_code(FunctionName="coded", ZipFile=THEIRS)
    assert stack.app("coded").text == "two", "what serves is published, and out of reach of such edits"
    operation = sync(stack, "coded")
    assert steps(operation) == ["compare", "update-code 2", "update-configuration 2", "wait-until-ready 2"]
    assert hand.get_function_configuration(FunctionName="coded")["CodeSha256"] == code and clean(stack, "coded")


def test_repair_publishes_a_version_again_that_was_deleted_by_hand(stack, hand):
    make(stack, "lost", "one", "two", policy="repair")
    hand.delete_function(FunctionName="lost", Qualifier="2")
    assert stack.app("lost").status == 502
    operation = sync(stack, "lost")
    assert kinds(operation) == [("version-missing", 2, None)]
    assert steps(operation) == ["compare", "withdraw-versions", "publish-routes", "update-code 2", "update-configuration 2", "wait-until-ready 2",
                                "publish-version 2", "save-version 2", "publish-routes"]
    assert stack.app("lost").text == "two"
    mended = version(stack, "lost", 2)
    assert mended["lambdaVersion"] == "3" and mended["state"] == "ready" and mended["failure"] is None
    assert hand.get_function(FunctionName="lost", Qualifier="3")["Configuration"]["CodeSha256"] == mended["codeSha256"]
    assert clean(stack, "lost")
    # The one that a rollback leads to counts as needed, one that nobody needs does not.
    stack.deploy("lost", package("three"))
    for number in "13":
        hand.delete_function(FunctionName="lost", Qualifier=number)
    operation = sync(stack, "lost")
    assert kinds(operation) == [("version-missing", 1, None), ("version-missing", 2, None)]
    assert version(stack, "lost", 2)["state"] == "ready" and stack.app("lost").text == "three"
    ended = version(stack, "lost", 1)
    assert ended["state"] == "failed" and ended["failure"]["type"] == "/problems/version-lost" and ended["lambdaVersion"] is None
    call(stack, "PUT", "/v1/apps/lost/traffic", {"versions": [{"version": 1, "percent": 100}]}, status=422)
    call(stack, "POST", "/v1/apps/lost/rollback", status=200)
    assert stack.app("lost").text == "two" and clean(stack, "lost")
    call(stack, "POST", "/v1/apps/lost/deployments", {"package": {"version": 1}, "runtime": "nodejs20.x"}, status=200, Prefer="wait=50")
    assert stack.app("lost").text == "one"
    call(stack, "DELETE", "/v1/apps/lost/versions/1", status=200, Prefer="wait=20")


def test_repair_makes_a_function_again_that_was_deleted_by_hand(stack, hand):
    make(stack, "gone", policy="repair")
    call(stack, "PUT", "/v1/apps/gone/environment", {"variables": {"PASSWORD": SECRET}}, status=200)
    for text in ("one", "two", "three", "four"):
        stack.deploy("gone", package(text), memoryMb=192)
    call(stack, "PUT", "/v1/apps/gone/traffic", {"versions": [{"version": 1, "percent": 50}, {"version": 4, "percent": 50}], "sticky": "cookie"}, status=200)
    hand.delete_function(FunctionName="gone")
    operation = sync(stack, "gone")
    assert [name for name in steps(operation) if name.startswith("publish-version")] == ["publish-version 1", "publish-version 3", "publish-version 4"]
    assert {stack.app("gone", headers={"Cookie": f"orchestrator_bucket={n}"}).text for n in (1, 9999)} == {"one" + SECRET, "four" + SECRET}
    configuration = hand.get_function(FunctionName="gone")
    assert configuration["Configuration"]["MemorySize"] == 192 and configuration["Tags"]["app-orchestrator:app"] == "gone"
    assert configuration["Configuration"]["Description"].endswith("version 4 publication 2")
    assert version(stack, "gone", 2)["state"] == "failed", "it had no use; version 3 is what a rollback leads to"
    assert clean(stack, "gone")
    stack.deploy("gone", package("five"))
    assert stack.app("gone").text == "five" + SECRET and clean(stack, "gone")


def test_routes_never_lead_to_code_that_was_not_deployed(stack, hand):
    make(stack, "stolen", "ours", policy="alert")
    hand.delete_function(FunctionName="stolen")
    hand.create_function(FunctionName="stolen", Runtime="nodejs20.x", Handler="index.handler", Role=ROLE, Code={"ZipFile": THEIRS}, Publish=True)
    assert stack.app("stolen").text == "theirs"
    operation = sync(stack, "stolen")
    assert kinds(operation) == [("function-foreign", None, None), ("version-replaced", 1, "code")]
    assert stack.app("stolen").text == "theirs", "to alert is to change nothing"
    problem = sync(stack, "stolen", "repair", status=409)
    assert problem["type"] == "/problems/function-exists" and "adopt" in problem["detail"]
    assert stack.app("stolen").status == 502 and stack.app("stolen").text != "theirs"
    assert version(stack, "stolen", 1)["state"] == "failed"
    # Once the name is free again everything comes back.
    hand.delete_function(FunctionName="stolen")
    operation = sync(stack, "stolen", "repair")
    assert ("version-withdrawn", 1, None) in kinds(operation)
    assert stack.app("stolen").text == "ours" and version(stack, "stolen", 1)["state"] == "ready" and clean(stack, "stolen")


def test_accept_takes_the_configuration_over_into_the_settings(stack, hand):
    make(stack, "taken", policy="accept")
    call(stack, "PUT", "/v1/apps/taken/environment", {"variables": {"PASSWORD": "old"}}, status=200)
    stack.deploy("taken", package("one"), memoryMb=128)
    call(stack, "PATCH", "/v1/apps/taken", {"timeoutSeconds": 11}, status=200)  # waits for the next deployment
    hand.update_function_configuration(FunctionName="taken", MemorySize=512, Role=ROLE + "2", Environment={"Variables": {"PASSWORD": SECRET, "MORE": "1"}})
    operation = sync(stack, "taken")
    assert steps(operation) == ["compare", "accept-configuration"] and operation["result"]["left"] == []
    app = call(stack, "GET", "/v1/apps/taken", status=200).json()
    assert app["memoryMb"] == 512 and app["function"]["role"] == ROLE + "2" and app["timeoutSeconds"] == 11
    assert sorted(call(stack, "GET", "/v1/apps/taken/environment", status=200).json()["names"]) == ["MORE", "PASSWORD"]
    assert clean(stack, "taken"), "what was accepted is no difference"
    assert hand.get_function_configuration(FunctionName="taken")["MemorySize"] == 512
    change = call(stack, "GET", "/v1/apps/taken/history", status=200).json()["items"][0]
    assert change["action"] == "sync" and change["operation"] == operation["id"]
    assert {"/memoryMb", "/environment", "/function/role"} <= {one["pointer"] for one in change["changes"]}
    record = next(one for one in call(stack, "GET", "/v1/audit?app=taken", status=200).json()["items"] if one["operation"] == operation["id"] and one["changes"])
    assert record["method"] == "sync"
    # From here on it is what is put back, and what is deployed.
    hand.update_function_configuration(FunctionName="taken", MemorySize=1024)
    assert kinds(sync(stack, "taken", "repair")) == [("function-changed", None, "memoryMb")]
    assert hand.get_function_configuration(FunctionName="taken")["MemorySize"] == 512 and clean(stack, "taken")
    stack.deploy("taken", package("two"))
    published = hand.get_function_configuration(FunctionName="taken", Qualifier="2")
    assert published["MemorySize"] == 512 and published["Timeout"] == 11 and published["Environment"]["Variables"]["PASSWORD"] == SECRET
    assert clean(stack, "taken")


def test_accept_leaves_what_it_cannot_take_over(stack, hand):
    make(stack, "code", "one", policy="accept")
    hand.update_function_code(FunctionName="code", ZipFile=THEIRS)
    hand.delete_function(FunctionName="code", Qualifier="1")
    operation = sync(stack, "code")
    assert steps(operation) == ["compare"]
    assert kinds(operation, "left") == [("function-changed", None, "code"), ("version-missing", 1, None)]


def test_a_deployment_that_failed_is_no_drift(stack, hand):
    make(stack, "tried", "one")
    answer = stack.managerd.request("POST", "/v1/apps/tried/deployments?handler=index.handler&runtime=nodejs20.x&memoryMb=512", body=make_zip({
        "index.js": "throw new Error('no');"}), headers={"Content-Type": "application/zip", "Prefer": "wait=30"}, timeout=60)
    assert answer.status == 422, answer.text
    assert clean(stack, "tried")


def test_a_sync_is_refused_for_what_is_not_there_and_for_words_it_does_not_know(stack):
    call(stack, "POST", "/v1/apps/nobody/sync", status=404)
    make(stack, "worded")
    assert call(stack, "POST", "/v1/apps/worded/sync?policy=mend", status=422).json()["errors"][0]["parameter"] == "policy"
    call(stack, "PATCH", "/v1/apps/worded", {"drift": {"policy": "mend"}}, status=422)
    call(stack, "POST", "/v1/apps/worded/sync", status=412, If_Match='"1"')


def test_what_the_last_sync_saw_is_told_after_a_restart(stack, hand):
    make(stack, "kept", "one")
    hand.update_function_configuration(FunctionName="kept", MemorySize=512)
    sync(stack, "kept")
    stack.managerd.stop()
    stack.lambda_local.stop()
    try:
        stack.managerd.start()
        stack.managerd.wait_ready()
        status = call(stack, "GET", "/v1/apps/kept/status", status=200).json()
        assert status["drift"]["state"] == "drifted" and status["drift"]["items"][0]["field"] == "memoryMb"
        assert status["lastCheckedAt"] and status["ageSeconds"] >= 0
    finally:
        stack.lambda_local.start()
