"""managerd dies around every AWS call of a repair, and the next start goes on with it."""
import http.client
import json
import shutil
import subprocess

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


def kill_within_commit(managerd, commit):
    """Ends managerd within its commit-th commit from now; gives the tracer."""
    pid = managerd.process.pid
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync",
                               "-e", f"inject=fdatasync:signal=KILL:when={commit}", "-p", str(pid)], stderr=subprocess.PIPE)
    wait_for(lambda: "\nTracerPid:\t0\n" not in open(f"/proc/{pid}/status").read(), 10, "strace holds managerd")
    return tracer


def sync(managerd, policy):
    return managerd.request("POST", f"/v1/apps/app/sync?policy={policy}", headers={"Prefer": "wait=30"}, timeout=40)


def repair_killed_within(commits):
    """managerd dies within the k-th commit of a repair, and of accepting a configuration, for each k."""
    stack, fired = Stack(), 0
    with stack.lambda_local:
        hand = stack.lambda_local.boto3()
        with Managerd(aws=stack.lambda_local, options={"MANAGERD_DRAIN_MS": "0", "MANAGERD_PROXIES": "none"}) as managerd:
            managerd.wait_ready(managerd.url)
            managerd.deploy("app", package("one"))
            for commit in commits:
                policy = "accept" if commit % 2 else "repair"
                if policy == "accept":
                    hand.update_function_configuration(FunctionName="app", MemorySize=256 + commit)
                else:
                    hand.delete_function(FunctionName="app")
                tracer = kill_within_commit(managerd, commit // 2 + 1)
                try:
                    sync(managerd, policy)
                    died = False
                except (OSError, http.client.HTTPException):
                    died = True
                    wait_for(lambda: managerd.process.poll() is not None, 20, "it is dead")
                finally:
                    tracer.terminate()
                    tracer.wait(10)
                if died:
                    fired += 1
                    managerd.exit_code = managerd.process.wait(10)
                    assert managerd.exit_code == -9
                    managerd.start()
                    managerd.wait_ready(managerd.url)
                wait_for(lambda: not managerd.request("GET", "/v1/apps/app/status", timeout=30).json()["operations"], 30, "it has ended")
                if died:
                    assert sync(managerd, policy).json()["state"] == "succeeded"  # the one that was killed may not have been accepted
                assert sync(managerd, "alert").json()["result"]["drift"] == []
                made = managerd.request("GET", "/v1/apps/app/versions/1").json()
                observed = hand.get_function_configuration(FunctionName="app", Qualifier=made["lambdaVersion"])
                assert observed["CodeSha256"] == made["codeSha256"] and made["state"] == "ready"
                if policy == "accept":
                    assert managerd.request("GET", "/v1/apps/app").json()["memoryMb"] == 256 + commit
    return fired


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_a_sync_that_is_killed_within_a_commit_goes_on():
    assert repair_killed_within([2, 3, 6, 12]) == 4


@pytest.mark.long
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_a_sync_that_is_killed_within_any_commit_goes_on():
    assert repair_killed_within(range(2, 40)) > 12


@pytest.mark.parametrize("moment", MOMENTS)
def test_a_repair_that_is_killed_goes_on(moment):
    assert repair_killed_at([2, 4, 8, 12], moment) == 4


@pytest.mark.long
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_repair_that_is_killed_at_any_call_goes_on(moment):
    assert 10 < repair_killed_at(range(1, 60), moment) < 59, "each call, to the end"
