"""Functions for tests of lambda-local: made, called and looked at through boto3."""
import base64
import json
from collections import namedtuple

import pytest

from harness import make_zip

ROLE = "arn:aws:iam::000000000000:role/apps"
NODE, PYTHON, PROVIDED = "nodejs20.x", "python3.12", "provided.al2023"

# A runtime in one file, for `provided` functions: answers with what the Python expression `reply(event)` gives.
BOOTSTRAP = """#!/usr/bin/python3
import http.client, json, os
host, port = os.environ["AWS_LAMBDA_RUNTIME_API"].split(":")
api = http.client.HTTPConnection(host, int(port))
def call(method, where, body=None, headers={}):
    api.request(method, "/2018-06-01/runtime/" + where, body, headers)
    answer = api.getresponse()
    return answer.status, answer.headers, answer.read()
def next_event():
    status, headers, body = call("GET", "invocation/next")
    return headers["Lambda-Runtime-Aws-Request-Id"], json.loads(body), headers
"""

Result = namedtuple("Result", "status error version payload log headers")


def client_of(server, **config):
    """A boto3 client that tries everything once (botocore would try throttled calls again)."""
    from botocore.config import Config
    return knowing_logs(server.boto3(config=Config(retries={"max_attempts": 0}, connect_timeout=5, read_timeout=60,
                                                   **config)))


def knowing_logs(client):
    """Debian's botocore is older than LoggingConfig and IPv6 in a VPC: here it learns what newer models have."""
    shapes = client.meta.service_model._shape_resolver._shape_map
    shapes.setdefault("LoggingConfig", {"type": "structure", "members": {
        "LogFormat": {"shape": "String"}, "ApplicationLogLevel": {"shape": "String"},
        "SystemLogLevel": {"shape": "String"}, "LogGroup": {"shape": "String"}}})
    for name in ("CreateFunctionRequest", "UpdateFunctionConfigurationRequest", "FunctionConfiguration"):
        shapes[name]["members"].setdefault("LoggingConfig", {"shape": "LoggingConfig"})
    for name in ("VpcConfig", "VpcConfigResponse"):
        shapes[name]["members"].setdefault("Ipv6AllowedForDualStack", {"shape": "Boolean"})
    return client


def create(client, name, files, runtime=NODE, handler="index.handler", **more):
    """`files`: a dict, or the text of the one file that the runtime asks for."""
    if not isinstance(files, dict):
        if runtime == PROVIDED:
            files = {"bootstrap": files}
        elif runtime == PYTHON:
            files, handler = {"main.py": files}, "main.handler"
        else:
            files = {"index.js": files}
    more.setdefault("Role", ROLE)
    return client.create_function(FunctionName=name, Runtime=runtime, Handler=handler,
                                  Code={"ZipFile": make_zip(files)}, **more)


def update(client, name, files, **more):
    if not isinstance(files, dict):
        files = {"index.js": files}
    return client.update_function_code(FunctionName=name, ZipFile=make_zip(files), **more)


def call(client, name, event=None, **more):
    """Invokes and waits; the payload comes back parsed when it is JSON."""
    if not isinstance(event, bytes):
        event = json.dumps({} if event is None else event).encode()
    more.setdefault("LogType", "Tail")
    answer = client.invoke(FunctionName=name, Payload=event, **more)
    payload = answer["Payload"].read()
    try:
        payload = json.loads(payload)
    except ValueError:
        pass
    return Result(answer["StatusCode"], answer.get("FunctionError"), answer.get("ExecutedVersion"), payload,
                  base64.b64decode(answer.get("LogResult", "")).decode(), answer["ResponseMetadata"]["HTTPHeaders"])


def refused(code, status=None):
    """with refused("ResourceNotFoundException", 404) as refusal: … ; refusal.message"""
    return _Refused(code, status)


class _Refused:
    def __init__(self, code, status):
        self.code, self.status, self.message, self.answer = code, status, None, None

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        from botocore.exceptions import ClientError
        if kind is None:
            pytest.fail(f"{self.code} was expected, and nothing was refused", pytrace=True)
        if not issubclass(kind, ClientError):
            return False
        self.answer = value.response
        self.message = value.response["Error"]["Message"]
        assert value.response["Error"]["Code"] == self.code, value
        assert self.status in (None, value.response["ResponseMetadata"]["HTTPStatusCode"]), value
        return True
