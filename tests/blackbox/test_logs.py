"""What functions print: FilterLogEvents of lambda-local, and the logs of managerd that read it."""
import json
import os
import shutil
import socket
import subprocess
import threading
import time

import pytest
from botocore.exceptions import ClientError

from harness import LambdaLocal, Managerd, Stack, make_zip, request, wait_for

TALKER = make_zip({"index.js": """exports.handler = async (event) => {
  const say = event.queryStringParameters && event.queryStringParameters.say || 'nothing';
  const count = Number(event.queryStringParameters && event.queryStringParameters.count || 1);
  for (let i = 0; i < count; i++) console.log(say + ' ' + i);
  return {statusCode: 200, body: 'said'};
};"""})
AWS = shutil.which("aws")


@pytest.fixture(scope="module")
def stack():
    with Stack(managerd={"MANAGERD_TOKEN": "token-of-logs"}) as stack:
        stack.deploy("talker", TALKER, runtime="nodejs20.x")
        yield stack


def say(stack, text, count=1, app="talker"):
    assert stack.app(app, f"/?say={text}&count={count}").text == "said"


def messages(client, **more):
    return [event["message"] for event in client.filter_log_events(logGroupName="/aws/lambda/talker", **more)["events"]]


# -- lambda-local, as AWS's own clients see it --------------------------------------------------------------------------


def test_boto3_reads_what_was_printed(stack):
    client = stack.lambda_local.boto3("logs")
    say(stack, "boto")
    events = client.filter_log_events(logGroupName="/aws/lambda/talker")["events"]
    texts = [event["message"] for event in events]
    assert any(text.startswith("START RequestId: ") for text in texts) and any(text.startswith("REPORT RequestId: ") for text in texts)
    assert sum("boto 0" in text for text in texts) == 1
    assert [event["timestamp"] for event in events] == sorted(event["timestamp"] for event in events)
    assert len({event["eventId"] for event in events}) == len(events)
    assert all("[1]" in event["logStreamName"] for event in events)
    spoken = next(event for event in events if "boto 0" in event["message"])
    assert abs(spoken["timestamp"] / 1000 - time.time()) < 60
    assert messages(client, startTime=spoken["timestamp"] + 3600_000) == []
    assert "boto 0" in "".join(messages(client, startTime=spoken["timestamp"], endTime=spoken["timestamp"]))
    assert messages(client, logStreamNames=["2020/01/01/[1]none"]) == []
    assert len(messages(client, logStreamNamePrefix=spoken["logStreamName"][:10])) == len(events)


def test_patterns_pages_and_limits(stack):
    client = stack.lambda_local.boto3("logs")
    say(stack, "page", 30)
    assert len(messages(client, filterPattern="page")) == 30
    assert len(messages(client, filterPattern='"page 1"')) == 11
    assert len(messages(client, filterPattern='page -"page 1"')) == 19
    assert len(messages(client, filterPattern='?"page 3" ?"page 7"')) == 2
    first = client.filter_log_events(logGroupName="/aws/lambda/talker", filterPattern="page", limit=7)
    assert len(first["events"]) == 7 and first["nextToken"]
    paged = [event["message"] for page in client.get_paginator("filter_log_events").paginate(
        logGroupName="/aws/lambda/talker", filterPattern="page", PaginationConfig={"PageSize": 7}) for event in page["events"]]
    assert paged == messages(client, filterPattern="page")
    for wrong in ({"limit": 10001}, {"nextToken": "nonsense"}, {"filterPattern": "{ $.a = 1 }"}, {"filterPattern": '"open'},
                  {"startTime": 5, "endTime": 4}, {"logStreamNames": ["a"], "logStreamNamePrefix": "a"}):
        with pytest.raises(ClientError) as refused:
            client.filter_log_events(logGroupName="/aws/lambda/talker", **wrong)
        assert refused.value.response["Error"]["Code"] == "InvalidParameterException", wrong


def test_groups_that_are_not_there_and_keys_that_are_wrong(stack):
    client = stack.lambda_local.boto3("logs")
    for group in ("/aws/lambda/nobody", "/else/where", "/aws/lambda/../x"):
        with pytest.raises(client.exceptions.ResourceNotFoundException):
            client.filter_log_events(logGroupName=group)
    with pytest.raises(ClientError) as refused:
        stack.lambda_local.boto3("logs", aws_secret_access_key="wrong").filter_log_events(logGroupName="/aws/lambda/talker")
    assert refused.value.response["Error"]["Code"] == "InvalidSignatureException"
    with pytest.raises(ClientError) as unknown:
        client.describe_log_groups()
    assert unknown.value.response["Error"]["Code"] == "UnrecognizedClientException" or "Unknown" in str(unknown.value)


@pytest.mark.skipif(not AWS, reason="the aws command is not here")
def test_the_aws_command_reads_them_unchanged(stack):
    say(stack, "by-command")
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local",
                   "AWS_DEFAULT_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true"}
    done = subprocess.run([AWS, "--endpoint-url", stack.lambda_local.url, "logs", "filter-log-events", "--log-group-name", "/aws/lambda/talker",
                           "--filter-pattern", "by-command"], env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    assert "by-command 0" in json.loads(done.stdout)["events"][0]["message"]


def test_logs_are_bounded_by_bytes_and_age():
    with Stack(lambda_local={"LAMBDA_LOCAL_LOG_BYTES": "1M", "LAMBDA_LOCAL_LOG_AGE": "3s"}, managerd={"MANAGERD_TOKEN": "token-of-logs"}) as stack:
        stack.deploy("talker", TALKER, runtime="nodejs20.x")
        client = stack.lambda_local.boto3("logs")
        for _ in range(8):
            say(stack, "x" * 900, 400)
        folder = stack.lambda_local.data / "lambda-local" / "functions" / "talker"
        assert sum(file.stat().st_size for file in folder.glob("function.log*")) < 1700 << 10
        wait_for(lambda: gone(client), 20, "all lines are too old")


def gone(client):
    try:
        return messages(client) == []
    except client.exceptions.ResourceNotFoundException:
        return True
