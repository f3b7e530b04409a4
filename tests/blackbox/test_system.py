"""What GET /v1/system tells: release, storage, the AWS account and who managerd is there, quotas, counts."""
import signal
import threading
import time

import pytest

from harness import LambdaLocal, Managerd, Stack, make_zip, wait_for

ZIP = make_zip({"index.js": "exports.handler = async () => ({statusCode: 200, body: 'x'});"})


def system(managerd):
    answer = managerd.request("GET", "/v1/system", timeout=30)
    assert answer.status == 200, answer.text
    return answer.json()


@pytest.fixture(scope="module")
def stack():
    with Stack(managerd={"MANAGERD_DRAIN_MS": "0", "MANAGERD_MAP_BYTES": "64M", "MANAGERD_AWS_CONTROL_RATE": "7"}) as running:
        yield running


def test_the_system_tells_everything_of_itself_and_of_its_account(stack):
    stack.deploy("one", ZIP)
    stack.deploy("one", ZIP)
    assert stack.managerd.request("PUT", "/v1/domains/one.example.com", {"paths": [{"app": "one"}]}).status == 201
    told = system(stack.managerd)
    assert told["release"] and told["installation"]
    storage = told["storage"]
    assert storage["kind"] == "lmdb" and 0 < storage["usedBytes"] < storage["maxBytes"] == 64 << 20
    assert storage["writable"] is True and storage["full"] is False
    aws = told["aws"]
    assert aws["region"] == "us-east-1" and aws["endpoint"] == stack.lambda_local.url and aws["role"].endswith(":role/apps")
    assert (aws["account"], aws["arn"], aws["userId"]) == ("000000000000", "arn:aws:iam::000000000000:user/local", "AIDALOCAL")
    assert aws["identityProblem"] is None and aws["checkedAt"]
    quotas, settings = told["quotas"], stack.lambda_local.boto3().get_account_settings()
    assert quotas["concurrentExecutions"] == settings["AccountLimit"]["ConcurrentExecutions"]
    assert quotas["unreservedConcurrentExecutions"] == settings["AccountLimit"]["UnreservedConcurrentExecutions"]
    assert quotas["codeStorageBytes"] == settings["AccountLimit"]["TotalCodeSize"] and quotas["functions"] == 1
    assert quotas["codeStorageUsedBytes"] == settings["AccountUsage"]["TotalCodeSize"] > 0 and quotas["problem"] is None and quotas["checkedAt"]
    assert quotas["control"]["perSecond"] == 7 and quotas["getFunction"]["perSecond"] == 100 and quotas["control"]["waiting"] == 0
    assert told["counts"] == {"apps": 1, "versions": 2, "domains": 1, "tokens": 0, "operations": 2, "operationsRunning": 0, "operationsQueued": 0}


def test_lambda_local_says_who_calls_as_sts_does(stack):
    from botocore.exceptions import ClientError
    identity = stack.lambda_local.boto3("sts").get_caller_identity()
    assert identity["Account"] == "000000000000" and identity["Arn"].endswith(":user/local") and identity["UserId"]
    with pytest.raises(ClientError) as refused:
        stack.lambda_local.boto3("sts").get_session_token()
    assert refused.value.response["Error"]["Code"] == "InvalidAction"
    with pytest.raises(ClientError):
        stack.lambda_local.boto3("sts", aws_secret_access_key="wrong").get_caller_identity()


def test_aws_is_asked_once_and_not_for_each_call(stack):
    first = system(stack.managerd)["aws"]["checkedAt"]
    assert all(system(stack.managerd)["aws"]["checkedAt"] == first for _ in range(20))


def test_without_aws_the_system_still_answers_and_says_why():
    aws = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_REGION": "eu-west-1", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}
    with Managerd(aws=aws) as managerd:
        managerd.wait_ready(managerd.url)
        told = wait_for(lambda: (lambda s: s if s["quotas"]["problem"] and s["aws"]["identityProblem"] else None)(system(managerd)), 20, "it is told")
        assert told["aws"]["account"] is None and told["aws"]["checkedAt"] is None and told["quotas"]["concurrentExecutions"] is None
        assert told["aws"]["region"] == "eu-west-1" and told["counts"]["apps"] == 0


def test_an_aws_that_does_not_answer_holds_up_only_the_first_and_not_for_long():
    with LambdaLocal() as aws, Managerd(aws=aws) as managerd:
        managerd.wait_ready(managerd.url)
        aws.signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            waiting = threading.Thread(target=system, args=(managerd,))
            waiting.start()
            assert managerd.request("GET", "/v1/apps", timeout=5).status == 200
            waiting.join(10)
            assert not waiting.is_alive() and system(managerd)["aws"]["account"] is None
            assert time.monotonic() - began < 8
        finally:
            aws.signal(signal.SIGCONT)
        wait_for(lambda: system(managerd)["aws"]["account"] == "000000000000", 20, "it is known at last")


def test_keys_of_a_stand_in_are_not_shown_to_sts_of_aws():
    with LambdaLocal() as aws:
        variables = aws.aws_variables()
        del variables["AWS_ENDPOINT_URL_STS"]
        with Managerd(aws=variables) as managerd:
            managerd.wait_ready(managerd.url)
            told = system(managerd)
            assert told["aws"]["account"] is None and told["aws"]["identityProblem"] is None and told["quotas"]["functions"] == 0
