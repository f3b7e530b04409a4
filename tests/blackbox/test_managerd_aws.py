"""What managerd does when AWS is slow, busy, broken, or says no."""
import json
import re
import threading
import time

import pytest

from harness import LambdaLocal, Managerd, Stack, make_zip, request
from relay import Call, Relay, read_message


def package(text="x"):
    return make_zip({"index.js": f"exports.handler = async () => ({{statusCode: 200, body: {json.dumps(text)}}});"})


class Moody(Relay):
    """A relay that now and then answers by itself: `mood(call)` gives None, or (status, code, message), or "drop"."""

    def __init__(self, upstream):
        super().__init__(upstream)
        self.mood = lambda call: None
        self.times = []

    def _one(self, peer, upstream):
        message = read_message(peer)
        if not message:
            return False
        method, target = message.split(b" ", 2)[:2]
        with self.lock:
            call = Call(len(self.calls) + 1, method.decode(), target.decode())
            self.calls.append(call)
            self.times.append(time.monotonic())
        mood = self.mood(call)
        if mood == "drop":
            return False
        if mood:
            status, code, text = mood
            body = json.dumps({"Type": "User", "Message": text}).encode()
            peer.sendall(f"HTTP/1.1 {status} X\r\nx-amzn-ErrorType: {code}:http://x/\r\nx-amzn-RequestId: req-1\r\n"
                         f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
            return True
        upstream.sendall(message)
        answer = read_message(upstream, answer_to=method)
        if not answer:
            return False
        peer.sendall(answer)
        return True


@pytest.fixture()
def moody():
    stack = Stack()
    with stack.lambda_local, Moody(stack.lambda_local.url) as relay:
        aws = {**stack.lambda_local.aws_variables(), "AWS_ENDPOINT_URL_LAMBDA": relay.url}
        daemon = Managerd(aws=aws, options={"MANAGERD_DRAIN_MS": "0"})
        with daemon:
            daemon.relay = relay
            yield daemon


def deploy(daemon, app, expect=None, wait=60):
    answer = daemon.request("POST", f"/v1/apps/{app}/deployments", body=package(),
                            headers={"Content-Type": "application/zip", "Prefer": f"wait={wait}"}, timeout=wait + 10)
    assert expect is None or answer.status == expect, answer
    return answer


@pytest.mark.parametrize("mood", [(429, "TooManyRequestsException", "Rate exceeded"), (500, "ServiceException", "oops"),
                                  (503, "ServiceUnavailable", "later"), (400, "ThrottlingException", "slow down"), "drop"])
def test_what_may_pass_is_tried_again(moody, mood):
    seen = {}

    def once(call):
        seen[call.target] = seen.get(call.target, 0) + 1
        return mood if seen[call.target] == 1 else None

    moody.relay.mood = once
    answer = deploy(moody, "patient", 200)
    assert answer.json()["state"] == "succeeded"
    assert min(seen.values()) >= 2


def test_a_create_whose_answer_was_lost_is_found_again(moody):
    lost = []

    def lose(call):
        if call.method == "POST" and call.target.endswith("/functions") and not lost:
            lost.append(call)
            # It happens, but nobody hears of it.
            moody.relay.mood = lambda c: None
            return "drop"
        return None

    moody.relay.mood = lose
    assert deploy(moody, "lost", 200).json()["result"] == {"version": 1}


@pytest.mark.parametrize("mood, status, type", [
    ((400, "InvalidParameterValueException", "The runtime parameter is not supported"), 422, "/problems/aws-refused"),
    ((403, "AccessDeniedException", "User is not authorized"), 502, "/problems/aws-denied"),
    ((403, "InvalidSignatureException", "The signature does not match"), 502, "/problems/aws-denied")])
def test_what_aws_refuses_is_told_in_its_own_words(moody, mood, status, type):
    moody.relay.mood = lambda call: mood if call.method == "POST" else None
    answer = deploy(moody, "refused", status)
    problem = answer.json()
    assert problem["type"] == type and problem["status"] == status
    assert problem["aws"] == {"code": mood[1], "message": mood[2], "requestId": "req-1"}
    assert mood[2] in problem["detail"]
    assert len([c for c in moody.relay.calls if c.method == "POST"]) == 1, "what will not pass is not tried again"
    operation = moody.request("GET", "/v1/operations?app=refused").json()["items"][0]
    assert operation["state"] == "failed" and operation["problem"] == problem
    assert [s["state"] for s in operation["steps"]][:2] == ["done", "failed"]
    moody.relay.mood = lambda call: None
    assert deploy(moody, "refused", 200).json()["result"] == {"version": 2}


def test_a_busy_function_is_waited_for(moody):
    busy = []

    def conflict(call):
        if call.method in ("PUT", "POST") and "/functions/busy/" in call.target and len(busy) < 4:
            busy.append(call)
            return (409, "ResourceConflictException", "An update is in progress")
        return None

    deploy(moody, "busy", 200)
    moody.relay.mood = conflict
    assert deploy(moody, "busy", 200).json()["state"] == "succeeded"
    assert len(busy) == 4


def test_a_role_that_is_too_new_is_waited_for(moody):
    refusals = []

    def too_new(call):
        if call.method == "POST" and call.target.endswith("/functions") and len(refusals) < 3:
            refusals.append(call)
            return (400, "InvalidParameterValueException", "The role defined for the function cannot be assumed by Lambda.")
        return None

    moody.relay.mood = too_new
    deploy(moody, "newrole", 200)
    assert len(refusals) == 3


def test_functions_that_become_ready_slowly_are_polled_and_deployed():
    with LambdaLocal(options={"LAMBDA_LOCAL_READY_DELAY_MS": "700"}) as aws:
        with Managerd(aws=aws) as daemon:
            began = time.monotonic()
            for text in ("one", "two"):
                assert daemon.deploy("slow", package(text))["state"] == "succeeded"
            assert 1.4 < time.monotonic() - began < 30


def test_many_deployments_at_once_keep_to_awss_quota(moody):
    """15 control calls a second in all, GetFunction apart."""
    def one(n):
        answers.append(deploy(moody, f"many-{n}", wait=90).status)

    answers, count = [], 12
    threads = [threading.Thread(target=one, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * count
    control = [t for call, t in zip(moody.relay.calls, moody.relay.times)
               if not call.method == "GET" and not call.target.partition("?")[0].endswith("/invocations")]
    assert len(control) >= 2 * count
    worst = max(len([t for t in control if start <= t < start + 1]) for start in control)
    assert worst <= 15 + 2, f"{worst} control calls within one second"  # two may have been late on their way here


def test_a_function_that_somebody_deleted_is_made_again(moody):
    deploy(moody, "vanished", 200)
    moody.relay.mood = lambda call: None
    import boto3
    client = boto3.client("lambda", region_name="us-east-1", endpoint_url=moody.relay.url, aws_access_key_id="local",
                          aws_secret_access_key="local")
    client.delete_function(FunctionName="vanished")
    assert deploy(moody, "vanished", 200).json()["result"] == {"version": 2}


def test_a_function_that_somebody_edited_is_put_right(moody):
    import boto3
    deploy(moody, "edited", 200)
    client = boto3.client("lambda", region_name="us-east-1", endpoint_url=moody.relay.url, aws_access_key_id="local",
                          aws_secret_access_key="local")
    client.update_function_configuration(FunctionName="edited", Timeout=77, Handler="wrong.handler")
    assert deploy(moody, "edited", 200).json()["state"] == "succeeded"
    found = client.get_function(FunctionName="edited", Qualifier="2")["Configuration"]
    assert found["Timeout"] == 30 and found["Handler"] == "index.handler"
    assert re.fullmatch(r"app-orchestrator [0-9a-f-]{36} edited version 2", found["Description"])
    tags = client.get_function(FunctionName="edited")["Tags"]
    installation = moody.request("GET", "/v1/system").json()["installation"]
    assert tags == {"app-orchestrator:installation": installation, "app-orchestrator:app": "edited"}


def test_the_prefix_and_the_role_are_the_functions(moody):
    moody.stop()
    moody.options.update({"MANAGERD_FUNCTION_PREFIX": "team-", "AWS_LAMBDA_ROLE_ARN": "arn:aws:iam::123456789012:role/team"})
    moody.start()
    deploy(moody, "prefixed", 200)
    import boto3
    client = boto3.client("lambda", region_name="us-east-1", endpoint_url=moody.relay.url, aws_access_key_id="local",
                          aws_secret_access_key="local")
    found = client.get_function(FunctionName="team-prefixed")["Configuration"]
    assert found["Role"] == "arn:aws:iam::123456789012:role/team"
    assert moody.request("GET", "/v1/apps/prefixed").json()["function"]["name"] == "team-prefixed"
    second = moody.request("PUT", "/v1/apps/other", {"function": {"name": "team-prefixed"}})
    assert second.status == 409, "two apps never share a function"


def test_killed_at_each_aws_call_of_an_end_nothing_is_left():
    """As test_crash.py does for deployments: the app's removal goes on after each kill."""
    import itertools
    stack = Stack(managerd={"MANAGERD_DRAIN_MS": "0"})
    with stack.lambda_local, Relay(stack.lambda_local.url) as relay:
        daemon = stack.managerd
        daemon.aws = {**stack.lambda_local.aws_variables(), "AWS_ENDPOINT_URL_LAMBDA": relay.url}
        daemon.start()
        for call, moment in itertools.product((1, 2), ("before", "forwarded", "answered")):
            daemon.deploy("ending", package())
            relay.arm(call, moment, daemon.kill_only)
            try:
                daemon.request("DELETE", "/v1/apps/ending", headers={"Prefer": "wait=20"}, timeout=30)
            except Exception as problem:  # it dies while it answers
                assert type(problem).__module__ in ("http.client", "builtins"), problem
            assert relay.fired.wait(10), (call, moment)
            daemon.start()
            operation = daemon.request("GET", "/v1/operations?app=ending&limit=500").json()["items"][-1]
            end = daemon.request("GET", f"/v1/operations/{operation['id']}", headers={"Prefer": "wait=20"}, timeout=30).json()
            assert end["type"] == "delete" and end["state"] == "succeeded", end
            assert request(daemon.url + "/v1/apps/ending").status == 404
            assert stack.lambda_local.boto3().list_functions()["Functions"] == []
        daemon.close()
