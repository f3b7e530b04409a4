"""Prefer: respond-async: 202 at once and an Event invocation, where the app grants it; ignored where it does not."""
import json
import time

import pytest

import harness
from fake_lambda import FakeLambda, Proxy, app, expect_fault, version, wait_idle

ASYNC = {"Prefer": "respond-async"}


@pytest.fixture(scope="module")
def aws():
    with FakeLambda() as made:
        yield made


@pytest.fixture(scope="module")
def proxy(aws):
    routes = [app("a", respond_async=True), app("plain"), app("old", [version("old", payload_format=1)], respond_async=True),
              app("s", [version("s", response_mode=1)], respond_async=True), app("one", respond_async=True, max_in_flight=1),
              app("brief", respond_async=True, deadline_ms=300)]
    with Proxy(aws, routes=routes) as made:
        yield made


@pytest.fixture
def proxyd(proxy, aws):
    aws.script.clear()
    aws.calls.clear()
    return proxy


def take(call):
    call.answer(202, b"", {}, "Accepted")


def kind(call):
    return dict((name.lower(), value) for name, value in call.headers).get("x-amz-invocation-type", "RequestResponse")


def test_the_event_is_taken_in_and_the_client_gets_the_ids(proxyd, aws):
    aws.script["a"] = take
    before = proxyd.figure("proxyd_async_accepted_total")
    response = proxyd.app("a", "/jobs?x=1", method="POST", body=b'{"n":1}', headers={**ASYNC, "Content-Type": "application/json"})
    assert response.status == 202 and response.header("Preference-Applied") == "respond-async"
    assert response.header("Content-Type") == "application/json" and response.header("Cache-Control") == "no-store"
    assert response.header("X-Orchestrator-Version") == "1" and response.header("X-Orchestrator-Invocation") is None
    call = aws.last()
    assert kind(call) == "Event" and call.target == "/2015-03-31/functions/a/invocations?Qualifier=1"
    assert (call.event["rawPath"], call.event["body"]) == ("/jobs", '{"n":1}')
    assert response.json() == {"requestId": call.event["requestContext"]["requestId"],
                               "invocationId": "11111111-2222-4333-8444-555555555555"}
    line = proxyd.line_of(response)
    assert (line["status"], line["async"], line["invocation_id"]) == (202, True, "11111111-2222-4333-8444-555555555555")
    assert "fault" not in line and line["id"] == response.json()["requestId"]
    assert proxyd.figure("proxyd_async_accepted_total") == before + 1


@pytest.mark.parametrize("name, headers", [("plain", ASYNC), ("a", {}), ("a", {"Prefer": "wait=5"}), ("a", {"Prefer": 'x="respond-async"'}),
                                           ("a", {"Prefer": "respond-async=1"})])
def test_a_preference_that_is_not_granted_or_not_there_changes_nothing(proxyd, aws, name, headers):
    response = proxyd.app(name, headers=headers)
    assert response.status == 200 and response.header("Preference-Applied") is None
    assert kind(aws.last()) == "RequestResponse"
    assert "async" not in proxyd.line_of(response)


@pytest.mark.parametrize("value", ["respond-async", "Respond-Async", "wait=10, respond-async", "respond-async; x=y"])
def test_the_preference_is_found_however_it_is_written(proxyd, aws, value):
    aws.script["a"] = take
    assert proxyd.app("a", headers={"Prefer": value}).status == 202


def test_a_version_that_streams_is_called_plainly(proxyd, aws):
    aws.script["s"] = take
    assert proxyd.app("s", headers=ASYNC).status == 202
    assert aws.last().target.startswith("/2015-03-31/functions/s/invocations") and kind(aws.last()) == "Event"


def test_other_formats_and_head_work_alike(proxyd, aws):
    aws.script["old"] = aws.script["a"] = take
    response = proxyd.app("old", headers=ASYNC)
    assert response.status == 202 and aws.last().event["requestContext"]["requestId"] == response.json()["requestId"]
    response = proxyd.app("a", method="HEAD", headers=ASYNC)
    assert response.status == 202 and response.body == b""


def test_events_over_a_megabyte_are_refused_and_the_limit_is_named(proxyd, aws):
    body = b"x" * 1_048_000
    response = proxyd.app("a", method="POST", body=body, headers={**ASYNC, "Content-Type": "text/plain"})
    expect_fault(proxyd, response, "event-too-large", 413, "not-started")
    assert "1048576" in response.json()["detail"] and aws.count("a") == 0
    assert proxyd.app("a", method="POST", body=body, headers={"Content-Type": "text/plain"}).status == 200


def test_what_lambda_says_is_told(proxyd, aws):
    aws.script["a"] = lambda call: call.service_error(413, "RequestTooLargeException")
    response = proxyd.app("a", headers=ASYNC)
    expect_fault(proxyd, response, "event-too-large", 413, "not-started")
    aws.script["a"] = lambda call: call.service_error(404, "ResourceNotFoundException")
    expect_fault(proxyd, proxyd.app("a", headers=ASYNC), "lambda-refused", 502, "not-started")
    aws.script["a"] = lambda call: call.reset()
    aws.close_idle()
    line = expect_fault(proxyd, proxyd.app("a", headers=ASYNC), "lambda-failed", 502, "unknown")
    assert line["async"] and line["attempts"] == 1, "what may have been taken in is not sent again"
    aws.script["a"] = lambda call: call.reply({"statusCode": 200})
    expect_fault(proxyd, proxyd.app("a", headers=ASYNC), "lambda-failed", 502, "unknown")


def test_a_throttle_is_tried_again(proxyd, aws):
    answers = [lambda call: call.service_error(429, "TooManyRequestsException"), take]
    aws.script["a"] = lambda call: answers.pop(0)(call)
    response = proxyd.app("a", headers=ASYNC)
    assert response.status == 202 and proxyd.line_of(response)["attempts"] == 2


def test_the_deadline_is_the_calls_own(proxyd, aws):
    aws.script["brief"] = lambda call: time.sleep(1)
    expect_fault(proxyd, proxyd.app("brief", headers=ASYNC), "deadline", 504, "unknown")


def test_the_place_in_flight_is_held_for_the_call_only(proxyd, aws):
    aws.script["one"] = take
    for _ in range(5):
        assert proxyd.app("one", headers=ASYNC).status == 202
        wait_idle(proxyd)


COUNTER = {"index.js": """
const fs = require("fs");
exports.handler = async (event, context) => {
    const q = event.queryStringParameters || {};
    if (!q.file) return {statusCode: 200, body: "direct"};
    fs.appendFileSync(q.file, JSON.stringify({id: event.requestContext.requestId, aws: context.awsRequestId, path: event.rawPath}) + "\\n");
    if (q.fail) throw new Error("on purpose");
    return {statusCode: 200, body: "nobody reads this"};
};
"""}


def test_a_real_function_runs_later_and_three_times_when_it_fails(tmp_path):
    with harness.Stack(lambda_local={"LAMBDA_LOCAL_ASYNC_RETRY_DELAY": "50ms"}) as stack:
        stack.managerd.deploy("jobs", COUNTER)
        good, bad = tmp_path / "good", tmp_path / "bad"
        path = f"/run?file={good}"
        assert stack.proxyd.app("jobs", "/").status == 200
        direct = stack.proxyd.app("jobs", "/", headers=ASYNC)
        assert direct.status == 200 and direct.text == "direct", "off by default"
        answer = stack.managerd.request("PATCH", "/v1/apps/jobs", body={"respondAsync": True})
        assert answer.status == 200 and answer.json()["respondAsync"] is True
        response = stack.proxyd.app("jobs", path, method="POST", headers=ASYNC)
        assert response.status == 202, response
        ran = harness.wait_for(lambda: good.exists() and good.read_text().endswith("\n") and good.read_text(), 20, "the function ran")
        assert json.loads(ran) == {"id": response.json()["requestId"], "aws": response.json()["invocationId"], "path": "/run"}
        assert stack.proxyd.app("jobs", f"/run?fail=1&file={bad}", headers=ASYNC).status == 202
        harness.wait_for(lambda: bad.exists() and bad.read_text().count("\n") == 3, 20, "it ran three times")
        dropped = stack.lambda_local.wait_for_event("event-dropped", 20)
        assert "three times" in dropped["why"]
        assert bad.read_text().count("\n") == 3 and good.read_text() == ran
