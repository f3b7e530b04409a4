"""What must not leak and must not be lost: secrets in what managerd writes and says, and answers across a crash."""
import base64
import json
import threading
import time

import pytest

from harness import Stack, make_zip, request, wait_for

TOKEN = "token-SECRET-c0ffee"
AWS_KEY = "aws-SECRET-access-key"
VALUE = "value-SECRET-d15ea5e"
KEY = "idempotency-SECRET-key"
GUESS = "guess-SECRET-token"


def package(text="x"):
    return make_zip({"index.js": f"exports.handler = async () => ({{statusCode: 200, body: {json.dumps(text)}}});"})


@pytest.fixture(scope="module")
def stack():
    with Stack(managerd={"MANAGERD_DRAIN_MS": "0", "MANAGERD_TOKEN": TOKEN, "MANAGERD_LOG_LEVEL": "debug"},
               proxyd={"PROXYD_LOG_LEVEL": "debug"}, lambda_local={"LAMBDA_LOCAL_SECRET_ACCESS_KEY": AWS_KEY}) as running:
        yield running


def call(stack, method, path, body=None, **headers):
    return stack.managerd.request(method, path, body=body, timeout=60,
                                  headers={name.replace("_", "-"): str(value) for name, value in headers.items()})


def test_no_secret_is_in_any_answer_log_or_store(stack):
    zipped = base64.b64encode(package("ok")).decode()
    answers = [
        call(stack, "POST", "/v1/apps/keeper/deployments", {"package": {"zip": zipped}, "environment": {"PASSWORD": VALUE}},
             Prefer="wait=30", Idempotency_Key=KEY),
        call(stack, "POST", "/v1/apps/keeper/deployments", {"package": {"zip": zipped}, "environment": {"PASSWORD": VALUE}},
             Prefer="wait=30", Idempotency_Key=KEY),
        # Refused: by the shape, by the media type, by being no JSON, by its size, by AWS, by the token.
        call(stack, "POST", "/v1/apps/keeper/deployments", {"package": {"version": 1}, "environment": {"PASSWORD": [VALUE], "A B": VALUE}}),
        call(stack, "PUT", "/v1/apps/keeper/environment", {"variables": {"PASSWORD": VALUE, VALUE: 1}}),
        call(stack, "PUT", "/v1/apps/keeper/environment", f'{{"variables":{{"PASSWORD":"{VALUE}"'.encode(), Content_Type="application/json"),
        call(stack, "PUT", "/v1/apps/keeper/environment", f"PASSWORD={VALUE}".encode(), Content_Type="application/x-www-form-urlencoded"),
        call(stack, "PUT", "/v1/apps/keeper/environment", {"variables": {"PASSWORD": VALUE * 60_000}}),
        call(stack, "POST", "/v1/apps/keeper/deployments", {"package": {"version": 1}, "environment": {"PASSWORD": VALUE * 300}}, Prefer="wait=30"),
        request(stack.managerd.url + "/v1/apps", headers={"Authorization": f"Bearer {GUESS}"}),
        request(stack.managerd.url + f"/v1/apps?token={TOKEN}", headers={"Authorization": f"Bearer {TOKEN}"}),
    ]
    assert [a.status for a in answers] == [200, 200, 422, 422, 400, 415, 413, 422, 401, 422]
    made = [call(stack, "POST", path, {"name": "once", "role": "viewer"} if "tokens" in path else {"name": "once"}, Idempotency_Key=KEY + path)
            for path in ("/v1/tokens", "/v1/apps/keeper/keys")]
    shown_once = [answer.json()["secret"] for answer in made]
    assert [a.status for a in made] == [201, 201] and all(len(secret) == 52 for secret in shown_once), [a.text for a in made]
    call(stack, "GET", "/v1/apps", Authorization=f"Bearer {shown_once[0]}")
    hidden = (TOKEN, AWS_KEY, VALUE, KEY, GUESS, *shown_once)
    assert VALUE not in "".join(a.text for a in answers[:3] + answers[4:]) and TOKEN not in "".join(a.text for a in answers)
    paths = ["/v1/apps", "/v1/apps/keeper", "/v1/apps/keeper/environment", "/v1/apps/keeper/status", "/v1/apps/keeper/versions",
             "/v1/apps/keeper/history", "/v1/apps/keeper/keys", "/v1/tokens", "/v1/audit?limit=500", "/v1/audit/verification",
             "/v1/operations?limit=500", "/v1/system", "/metrics", "/openapi.json", "/readyz"]
    said = "".join(call(stack, "GET", path).text for path in paths)
    stack.managerd.restart()
    stack.managerd.wait_ready()
    said += "".join(call(stack, "GET", path).text for path in paths)
    assert "PASSWORD" in said
    for secret in hidden:
        assert secret not in said, secret
        for process in (stack.managerd, stack.proxyd):
            assert secret not in process.log_text(all_starts=True), (process.name, secret)
            assert secret not in process.access_log_path.read_text(), (process.name, secret)
    for folder in ("state", "routes", "packages", "keys", "secrets"):
        for path in (stack.data / folder).rglob("*"):
            stored = path.read_bytes() if path.is_file() else b""
            for secret in hidden:
                assert secret.encode() not in stored, (path, secret)


def test_the_value_of_a_member_that_is_wrong_is_never_echoed(stack):
    body = {"description": [VALUE], "labels": {"a": {"b": VALUE}}, "runtime": VALUE + " ", "memoryMb": VALUE, "function": {"role": VALUE}}
    answer = call(stack, "PUT", "/v1/apps/echo", body)
    assert answer.status == 422 and len(answer.json()["errors"]) == 5 and VALUE not in answer.text


def test_a_retry_after_a_crash_finds_the_first_answer_and_does_nothing_twice(stack):
    headers = {"Content_Type": "application/zip", "Idempotency_Key": "crash-1"}
    path = "/v1/apps/crashed/deployments?runtime=nodejs20.x&handler=index.handler"
    data = package("once")
    first = call(stack, "POST", path, data, **headers)
    assert first.status == 202
    stack.managerd.kill9()
    stack.managerd.start()
    stack.managerd.wait_ready()
    again = call(stack, "POST", path, data, **headers, Prefer="wait=30")
    assert again.status == 200 and again.header("Idempotency-Replayed") == "true" and again.json()["id"] == first.json()["id"]
    other = call(stack, "POST", path, package("twice"), **headers)
    assert other.status == 422 and other.json()["type"] == "/problems/idempotency-key-reused"
    assert len(call(stack, "GET", "/v1/apps/crashed/versions").json()["items"]) == 1 and stack.app("crashed").text == "once"


def test_a_client_that_retries_through_crashes_gets_exactly_one_version(stack):
    """The client sends the same request until it is answered; managerd is killed under it again and again."""
    path = "/v1/apps/stubborn/deployments?runtime=nodejs20.x&handler=index.handler"
    answers, stop = [], threading.Event()

    def client():
        while not stop.is_set():
            try:
                answer = call(stack, "POST", path, package("one"), Content_Type="application/zip", Idempotency_Key="stubborn", Prefer="wait=20")
            except Exception:  # refused, reset or cut short: that is what it is about
                time.sleep(0.02)
                continue
            if answer.status == 200:
                answers.append(answer)
                return

    thread = threading.Thread(target=client)
    thread.start()
    for pause in (0.01, 0.03, 0.06, 0.1):
        time.sleep(pause)
        stack.managerd.kill9()
        stack.managerd.start()
    thread.join(40)
    stop.set()
    assert answers and answers[0].json()["state"] == "succeeded"
    assert [v["version"] for v in call(stack, "GET", "/v1/apps/stubborn/versions").json()["items"]] == [1]
    assert len(call(stack, "GET", "/v1/operations?app=stubborn").json()["items"]) == 1
    wait_for(lambda: stack.app("stubborn").text == "one", 5, "it serves")
