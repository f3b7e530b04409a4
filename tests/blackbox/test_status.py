"""What is observed of an app: its function as AWS tells it, drift, health, traffic seen, and how old all of that is."""
import json
import signal
import socket
import time

import pytest

from canary_scene import CanaryStack, package
from harness import Managerd, Stack, make_zip, wait_for
from relay import Relay

SECRET = "correct-horse-battery"
AGE = {"MANAGERD_STATUS_MAX_AGE": "200ms", "MANAGERD_DRAIN_MS": "0"}


def status_of(stack, app):
    answer = stack.managerd.request("GET", f"/v1/apps/{app}/status", timeout=30)
    assert answer.status == 200, answer.text
    assert SECRET not in answer.text
    return answer.json()


def fresh(stack, app, wanted, what):
    """The first status that `wanted` is true of: what is known is looked at again when it is 200 ms old."""
    return wait_for(lambda: (lambda s: s if wanted(s) else None)(status_of(stack, app)), 10, what)


@pytest.fixture(scope="module")
def stack():
    with CanaryStack(managerd=AGE) as running:
        yield running


@pytest.fixture()
def hand(stack):
    """Who edits functions behind managerd's back."""
    return stack.lambda_local.boto3()


def drifted(status):
    return {(item["kind"], item["field"]): (item["expected"], item["observed"]) for item in status["drift"]["items"]}


def test_an_app_that_was_never_deployed_has_nothing_to_observe(stack):
    assert stack.managerd.request("PUT", "/v1/apps/plain", {}).status == 201
    status = status_of(stack, "plain")
    assert status["status"] == "empty" and status["health"] is None and status["versions"] == []
    assert status["function"]["exists"] is None and status["lastCheckedAt"] is None and status["checkFailure"] is None
    assert status["drift"] == {"policy": "alert", "state": "unknown", "items": []}


def test_status_tells_what_aws_and_the_proxies_know(stack):
    stack.deploy("told", package("one"), memoryMb=256)
    for _ in range(20):
        assert stack.app("told", "/work").status == 200
    status = fresh(stack, "told", lambda s: s["versions"] and (s["versions"][0]["seen"] or {}).get("calls") == 20, "the calls are seen")
    function, version = status["function"], status["versions"][0]
    assert (function["exists"], function["ours"], function["state"], function["lastUpdateStatus"]) == (True, True, "Active", "Successful")
    assert version["version"] == 1 and version["percent"] == 100 and version["lambdaVersion"] == "1"
    assert version["codeMatches"] is True and version["codeSha256"] == version["observedCodeSha256"] and version["exists"] is True
    assert version["health"] == status["health"] == "healthy" and version["seen"]["errors"] == 0 and version["seen"]["proxies"] == 1
    assert status["drift"] == {"policy": "alert", "state": "none", "items": []}
    assert status["ageSeconds"] <= 2 and status["lastCheckedAt"] and status["checkFailure"] is None
    assert status["trafficSeenAt"]


def test_a_version_whose_calls_fail_is_failing(stack):
    stack.deploy("sick", package("one", bad=1))
    for _ in range(10):
        assert stack.app("sick", "/work").status == 500
    status = fresh(stack, "sick", lambda s: s["health"] == "failing", "it is seen to fail")
    assert status["versions"][0]["seen"]["errors"] == 10 and status["drift"]["state"] == "none"


def test_what_a_hand_changes_is_told_field_by_field_and_no_value_of_the_environment(stack, hand):
    assert stack.managerd.request("PUT", "/v1/apps/touched", {}).status == 201
    assert stack.managerd.request("PUT", "/v1/apps/touched/environment", {"variables": {"PASSWORD": SECRET}}).status == 200
    stack.deploy("touched", package("one"), memoryMb=128)
    assert fresh(stack, "touched", lambda s: s["drift"]["state"] == "none", "nothing differs")["function"]["ours"]
    etag = stack.managerd.request("GET", "/v1/apps/touched").headers["ETag"]
    hand.update_function_configuration(FunctionName="touched", MemorySize=512, Timeout=7, Handler="other.handler", Runtime="nodejs18.x",
                                       Role="arn:aws:iam::000000000000:role/other", Environment={"Variables": {"PASSWORD": SECRET + "2", "MORE": "x"}})
    hand.update_function_code(FunctionName="touched", ZipFile=make_zip({"index.js": "exports.handler = async () => 1"}), Architectures=["x86_64"])
    status = fresh(stack, "touched", lambda s: len(s["drift"]["items"]) == 7, "all of it is seen")
    found = drifted(status)
    assert found["function-changed", "memoryMb"] == (128, 512) and found["function-changed", "timeoutSeconds"] == (30, 7)
    assert found["function-changed", "handler"] == ("index.handler", "other.handler") and ("function-changed", "code") in found
    assert found["function-changed", "runtime"][1] == "nodejs18.x" and found["function-changed", "role"][1].endswith("/other")
    expected, observed = found["function-changed", "environment"]
    assert expected["names"] == ["PASSWORD"] and sorted(observed["names"]) == ["MORE", "PASSWORD"]
    assert len(expected["fingerprint"]) == len(observed["fingerprint"]) == 32 and expected["fingerprint"] != observed["fingerprint"]
    # What serves is the published version, which nobody can edit.
    assert status["versions"][0]["codeMatches"] is True and status["health"] == "healthy"
    assert stack.managerd.request("GET", "/v1/apps/touched").headers["ETag"] == etag, "what is observed is outside the revision"


def test_a_version_and_a_function_that_are_gone_are_failing(stack, hand):
    stack.deploy("gone", package("one"))
    hand.delete_function(FunctionName="gone", Qualifier="1")
    status = fresh(stack, "gone", lambda s: s["health"] == "failing", "the version is missed")
    assert drifted(status) == {("version-missing", None): (None, None)} and status["drift"]["items"][0]["live"] is True
    assert status["versions"][0]["exists"] is False and status["function"]["exists"] is True
    hand.delete_function(FunctionName="gone")
    status = fresh(stack, "gone", lambda s: s["function"]["exists"] is False, "the function is missed")
    assert {item["kind"] for item in status["drift"]["items"]} == {"function-missing", "version-missing"}


def test_a_function_made_anew_by_somebody_else_is_told_from_ours(stack, hand):
    stack.deploy("stolen", package("one"))
    hand.delete_function(FunctionName="stolen")
    hand.create_function(FunctionName="stolen", Runtime="nodejs20.x", Handler="index.handler", Role="arn:aws:iam::000000000000:role/apps",
                         Code={"ZipFile": make_zip({"index.js": "exports.handler = async () => 'theirs'"})}, Publish=True)
    status = fresh(stack, "stolen", lambda s: len(s["drift"]["items"]) == 2, "it is told")
    assert {item["kind"] for item in status["drift"]["items"]} == {"function-foreign", "version-replaced"}
    assert status["function"]["ours"] is False and status["versions"][0]["codeMatches"] is False and status["health"] == "failing"


def test_asking_often_looks_at_aws_seldom():
    with Stack(managerd={"MANAGERD_STATUS_MAX_AGE": "1h"}) as stack:
        with Relay(stack.lambda_local.url) as relay:
            stack.managerd.stop()
            stack.managerd.aws = {**stack.lambda_local.aws_variables(), "AWS_ENDPOINT_URL_LAMBDA": relay.url}
            stack.managerd.start()
            stack.managerd.wait_ready()
            stack.deploy("calm", package("one"))
            before = len(relay.calls)
            first = status_of(stack, "calm")
            for _ in range(30):
                assert status_of(stack, "calm")["lastCheckedAt"] == first["lastCheckedAt"]
            assert [call.target for call in relay.calls[before:]] == ["/2015-03-31/functions/calm", "/2015-03-31/functions/calm?Qualifier=1"]
            # A change of the app is reason enough.
            stack.deploy("calm", package("two"))
            assert status_of(stack, "calm")["versions"][0]["lambdaVersion"] == "2"


def test_without_aws_the_age_of_what_is_known_is_told(stack):
    stack.deploy("lonely", package("one"))
    known = fresh(stack, "lonely", lambda s: s["drift"]["state"] == "none", "it is known")
    stack.lambda_local.signal(signal.SIGSTOP)
    try:
        began = time.monotonic()
        time.sleep(1.1)
        status = status_of(stack, "lonely")
        assert time.monotonic() - began < 10, "it does not wait for AWS"
        assert status["lastCheckedAt"] == known["lastCheckedAt"] and status["ageSeconds"] >= 1 and status["checking"] is True
        assert status["versions"][0]["codeMatches"] is True
    finally:
        stack.lambda_local.signal(signal.SIGCONT)
    fresh(stack, "lonely", lambda s: s["lastCheckedAt"] != known["lastCheckedAt"], "it is looked at again")


def test_a_look_that_fails_says_why_and_leaves_what_was_known():
    with Stack(managerd=AGE) as stack:
        stack.deploy("refused", package("one"))
        known = fresh(stack, "refused", lambda s: s["drift"]["state"] == "none", "it is known")
        stack.lambda_local.stop()
        status = fresh(stack, "refused", lambda s: s["checkFailure"], "it is told")
        assert status["checkFailure"]["code"] and status["checkFailure"]["message"] and status["checkFailure"]["at"]
        assert status["lastCheckedAt"] == known["lastCheckedAt"] and status["function"]["exists"] is True
        assert json.dumps(status["drift"]["items"]) == "[]"
        stack.lambda_local.start()
        fresh(stack, "refused", lambda s: not s["checkFailure"], "AWS is back")


def test_who_hangs_up_while_a_look_is_under_way_harms_nobody(stack):
    stack.deploy("left", package("one"))
    stack.lambda_local.signal(signal.SIGSTOP)
    try:
        for _ in range(20):
            with socket.create_connection(stack.managerd.address, timeout=5) as peer:
                peer.sendall(b"GET /v1/apps/left/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
    finally:
        stack.lambda_local.signal(signal.SIGCONT)
    assert fresh(stack, "left", lambda s: s["health"] == "healthy", "it goes on")["checking"] is False
