"""managerd dies around every AWS call of a repair, and the next start goes on with it."""
import http.client
import json

import pytest

from harness import Managerd, Stack, make_zip, wait_for
from relay import MOMENTS, Relay


def package(text):
    return make_zip({"index.js": f"exports.handler = async () => ({{statusCode: 200, body: {json.dumps(text)}}});"})


def repair_killed_at(calls, moment):
    """managerd dies at the k-th call of a repair of a deleted function, for each k, and goes on at its next start."""
    stack = Stack()
    fired = 0
    with stack.lambda_local, Relay(stack.lambda_local.url) as relay:
        hand = stack.lambda_local.boto3()
        aws = {**stack.lambda_local.aws_variables(), "AWS_ENDPOINT_URL_LAMBDA": relay.url}
        with Managerd(aws=aws, options={"MANAGERD_DRAIN_MS": "0", "MANAGERD_PROXIES": "none"}) as managerd:
            managerd.deploy("app", package("one"))
            managerd.deploy("app", package("two"), memoryMb=256)
            for number in calls:
                hand.delete_function(FunctionName="app")
                begun = managerd.request("POST", "/v1/apps/app/sync?policy=alert", headers={"Prefer": "wait=30"}, timeout=40)
                assert begun.json()["result"]["left"], begun.text
                relay.arm(number, moment, managerd.kill_only)
                try:
                    managerd.request("POST", "/v1/apps/app/sync?policy=repair", headers={"Prefer": "wait=30"}, timeout=40)
                except (OSError, http.client.HTTPException):
                    assert relay.fired.wait(10), "nobody else ends it"
                relay.disarm()
                if relay.fired.is_set():
                    fired += 1
                    managerd.start()
                    managerd.wait_ready(managerd.url)
                wait_for(lambda: not managerd.request("GET", "/v1/apps/app/status", timeout=30).json()["operations"], 30, "it has ended")
                operations = managerd.request("GET", "/v1/operations?app=app&limit=500").json()["items"]
                assert operations[-1]["state"] == "succeeded", operations[-1]
                again = managerd.request("POST", "/v1/apps/app/sync?policy=alert", headers={"Prefer": "wait=30"}, timeout=40).json()
                assert again["result"]["drift"] == [], again
                for made in managerd.request("GET", "/v1/apps/app/versions").json()["items"]:
                    observed = hand.get_function_configuration(FunctionName="app", Qualifier=made["lambdaVersion"])
                    assert observed["CodeSha256"] == made["codeSha256"] and observed["MemorySize"] == made["memoryMb"] and made["state"] == "ready"
                if not relay.fired.is_set():
                    break
    return fired


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_repair_that_is_killed_goes_on(moment):
    assert repair_killed_at([2, 4, 8, 12], moment) == 4


@pytest.mark.long
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_repair_that_is_killed_at_any_call_goes_on(moment):
    assert 10 < repair_killed_at(range(1, 60), moment) < 59, "each call, to the end"
