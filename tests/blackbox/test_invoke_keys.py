"""POST /v1/apps/{name}/invoke: who may, what is kept for an Idempotency-Key, what AWS says, and what nobody may find later."""
import json
import threading
import time

import pytest

from harness import Managerd, Stack, wait_for
from sigv4_oracle import Reply, VerifyingServer

TOKEN = "token-of-invocations"
COUNTER = """const fs = require('fs');
exports.handler = async (event) => {
  const file = process.env.COUNTER;
  fs.appendFileSync(file, 'x');
  if (event.wait) await new Promise(r => setTimeout(r, event.wait));
  if (event.fail) throw new Error('as told');
  return {count: fs.statSync(file).size, text: 'y'.repeat(event.long || 0)};
};"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory):
    counter = tmp_path_factory.mktemp("counter") / "count"
    with Stack(managerd={"MANAGERD_TOKEN": TOKEN}) as made:
        assert made.managerd.request("PUT", "/v1/apps/counter", {"runtime": "nodejs20.x", "handler": "index.handler", "probe": None, "timeoutSeconds": 20}).status == 201
        assert made.managerd.request("PUT", "/v1/apps/counter/environment", {"variables": {"COUNTER": str(counter)}}).status == 200
        made.managerd.deploy("counter", {"index.js": COUNTER})
        made.counter = counter
        yield made


def ask(daemon, body, key=None, app="counter", token=None, timeout=60):
    headers = {**({"Idempotency-Key": key} if key else {}), **({"Authorization": f"Bearer {token}"} if token else {})}
    return daemon.request("POST", f"/v1/apps/{app}/invoke", body=body, headers=headers, timeout=timeout)


def runs(stack):
    return stack.counter.stat().st_size if stack.counter.exists() else 0


def test_only_those_who_may_deploy_may_invoke(stack):
    def token(**rule):
        return stack.managerd.request("POST", "/v1/tokens", {"name": "t", **rule}).json()["secret"]

    before = runs(stack)
    assert ask(stack.managerd, {"event": {}}, token=token(role="viewer")).status == 403
    assert ask(stack.managerd, {"event": {}}, token=token(role="deployer", apps=["other"])).status == 403
    assert ask(stack.managerd, {"event": {}}, token="nobody's").status == 401
    assert runs(stack) == before
    assert ask(stack.managerd, {"event": {}}, token=token(role="deployer", apps=["count*"])).status == 200
    # Nobody who may not gets to send large bodies either.
    large = json.dumps({"event": "x" * (2 << 20)}).encode()
    assert stack.managerd.request("POST", "/v1/apps/counter/invoke", body=large, headers={
        "Content-Type": "application/json", "Authorization": f"Bearer {token(role='viewer')}"}).status == 413


def test_the_same_key_invokes_once_and_brings_the_same_answer(stack):
    before = runs(stack)
    first, second = (ask(stack.managerd, {"event": {"a": 1}}, "once") for _ in range(2))
    assert first.status == second.status == 200 and first.body == second.body and runs(stack) == before + 1
    assert first.header("Idempotency-Replayed") is None and second.header("Idempotency-Replayed") == "true"
    assert second.header("Content-Type") == first.header("Content-Type") == "application/json"
    assert ask(stack.managerd, {"event": {"a": 2}}, "once").json()["type"] == "/problems/idempotency-key-reused"
    # How the function failed is an answer like others.
    failed = [ask(stack.managerd, {"event": {"fail": True}}, "fails") for _ in range(2)]
    assert failed[0].body == failed[1].body and failed[0].json()["functionError"]["message"] == "as told" and runs(stack) == before + 2
    # Also across a restart.
    stack.managerd.restart()
    stack.managerd.wait_ready()
    assert ask(stack.managerd, {"event": {"a": 1}}, "once").body == first.body and runs(stack) == before + 2


def test_a_call_that_still_runs_is_not_made_again(stack):
    before, answers = runs(stack), []
    thread = threading.Thread(target=lambda: answers.append(ask(stack.managerd, {"event": {"wait": 1500}}, "slow")))
    thread.start()
    wait_for(lambda: runs(stack) == before + 1, 10, "it runs")
    again = ask(stack.managerd, {"event": {"wait": 1500}}, "slow")
    assert again.status == 409 and again.json()["type"] == "/problems/idempotency-key-running"
    thread.join(30)
    assert answers[0].status == 200 and ask(stack.managerd, {"event": {"wait": 1500}}, "slow").body == answers[0].body
    assert runs(stack) == before + 1


def test_what_may_have_run_is_not_run_again_whatever_became_of_its_answer(stack):
    # Nobody waited for it.
    before = runs(stack)
    late = [ask(stack.managerd, {"event": {"wait": 1000}, "deadlineMs": 300}, "late") for _ in range(2)]
    assert [answer.status for answer in late] == [504, 504] and late[0].json() == late[1].json() and runs(stack) == before + 1
    assert late[1].header("Content-Type") == "application/problem+json" and late[1].header("Idempotency-Replayed") == "true"
    # It was too large to be kept.
    large = [ask(stack.managerd, {"event": {"long": 300000}}, "large") for _ in range(2)]
    assert [answer.status for answer in large] == [200, 409] and large[1].json()["type"] == "/problems/idempotency-answer-lost"
    assert "262144" in large[1].json()["detail"] and runs(stack) == before + 2
    # managerd was killed meanwhile.
    thread = threading.Thread(target=lambda: swallow(ask, stack.managerd, {"event": {"wait": 3000}}, "killed"))
    thread.start()
    wait_for(lambda: runs(stack) == before + 3, 10, "it runs")
    stack.managerd.kill_only()
    thread.join(30)
    stack.managerd.start()
    stack.managerd.wait_ready()
    lost = ask(stack.managerd, {"event": {"wait": 3000}}, "killed")
    assert lost.status == 409 and lost.json()["type"] == "/problems/idempotency-answer-lost" and runs(stack) == before + 3


def swallow(function, *arguments):
    try:
        function(*arguments)
    except OSError:
        pass
    except Exception as fault:  # http.client's own
        assert "RemoteDisconnected" in type(fault).__name__ or "IncompleteRead" in type(fault).__name__


def test_nothing_of_events_and_replies_is_found_later(stack):
    secret, kept = "word-that-nobody-shall-find", "kept-word-that-nobody-shall-find"
    stack.managerd.deploy("teller", {"index.js": "exports.handler = async (event) => ({statusCode: 200, body: JSON.stringify(event)});"})
    body = {"request": {"method": "POST", "path": f"/{secret}", "headers": {"X-A": secret}, "body": secret}}
    assert secret in ask(stack.managerd, body, app="teller").text
    body["request"]["body"] = kept
    assert kept in ask(stack.managerd, body, "kept", app="teller").text
    record = wait_for(lambda: next((r for r in stack.managerd.request("GET", "/v1/audit?app=teller").json()["items"] if r["endpoint"] == "invoke"), None), 10,
                      "the invocation is in the audit")
    assert record["status"] == 200 and record["app"] == "teller" and record["actor"]["id"] == "admin"
    everything = stack.managerd.log_text(all_starts=True) + stack.managerd.access_log_path.read_text() + \
        stack.managerd.request("GET", "/v1/audit").text + stack.managerd.request("GET", "/metrics").text
    state = (stack.managerd.data / "state" / "data.mdb").read_bytes()
    for word in (secret, kept):
        assert word not in everything and word.encode() not in state
    assert kept in ask(stack.managerd, body, "kept", app="teller").text


KEY, SECRET = "AKIDEXAMPLE", "secret-of-invocations"


def test_what_aws_says_is_told_and_what_did_not_start_may_be_tried_again():
    stack = Stack(lambda_local={"LAMBDA_LOCAL_ACCESS_KEY_ID": KEY, "LAMBDA_LOCAL_SECRET_ACCESS_KEY": SECRET})
    moods = []

    def refuse(received):
        status, code = moods[0]
        return Reply(status, [("Content-Type", "application/json"), ("x-amzn-ErrorType", code), ("x-amzn-RequestId", "request-of-aws")],
                     json.dumps({"Message": "in the words of AWS"}).encode())

    with stack.lambda_local, VerifyingServer({KEY: SECRET}, upstream=stack.lambda_local.url) as server:
        aws = {**stack.lambda_local.aws_variables(), "AWS_ENDPOINT_URL_LAMBDA": server.url}
        with Managerd(aws=aws, options={"MANAGERD_TOKEN": TOKEN}) as daemon:
            daemon.deploy("plain", {"index.js": "exports.handler = async () => ({statusCode: 200, body: 'x'});"})
            daemon.request("PATCH", "/v1/apps/plain", {"http": {"responseMode": "stream"}})
            daemon.deploy("plain", {"index.js": "exports.handler = awslambda.streamifyResponse(async (e, s) => { s.write('x'); s.end(); });"})
            for version in (1, 2):
                assert ask(daemon, {"request": {}, "version": version}, app="plain").json()["response"]["body"] == "x"
            server.expect_all_valid(at_least=4)
            asked = [request for request in server.requests if "invocations" in request.target][-2:]
            assert [request.header("X-Amz-Log-Type") for request in asked] == ["Tail", "Tail"]
            assert [request.target.split("/")[-1] for request in asked] == ["invocations?Qualifier=1", "response-streaming-invocations?Qualifier=2"]
            upstream, server.upstream, server.reply = server.upstream, None, refuse
            for mood, status, kind, final in (((429, "TooManyRequestsException"), 503, "aws-unavailable", False),
                                              ((403, "AccessDeniedException"), 502, "aws-denied", False),
                                              ((404, "ResourceNotFoundException"), 422, "aws-refused", False),
                                              ((500, "ServiceException"), 502, "aws-unavailable", True)):
                moods[:] = [mood]
                count = len(server.requests)
                answer = ask(daemon, {"event": {}, "version": 1}, f"{kind}-{status}-{mood[0]}", app="plain")
                problem = answer.json()
                assert answer.status == status and problem["type"] == f"/problems/{kind}", answer
                assert problem["aws"] == {"code": mood[1], "message": "in the words of AWS", "requestId": "request-of-aws"}
                assert (answer.header("Retry-After") is not None) == (status == 503)
                assert len(server.requests) == count + 1  # once, as nobody knows whether it ran
                again = ask(daemon, {"event": {}, "version": 1}, f"{kind}-{status}-{mood[0]}", app="plain")
                assert (len(server.requests) == count + 1) == final and again.status == status
                assert (again.header("Idempotency-Replayed") == "true") == final
            server.upstream = upstream
            answer = ask(daemon, {"event": {}, "version": 1}, "aws-refused-422-404", app="plain")
            assert answer.status == 200 and answer.header("Idempotency-Replayed") is None
        with Managerd(directory=daemon.directory, data=daemon.data, options={"MANAGERD_TOKEN": TOKEN}, aws={**aws, "AWS_ENDPOINT_URL_LAMBDA": "http://127.0.0.1:1"}) as daemon:
            began = time.monotonic()
            assert ask(daemon, {"event": {}, "version": 1}, app="plain").json()["type"] == "/problems/aws-unavailable"
            assert time.monotonic() - began < 10
