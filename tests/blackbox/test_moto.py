"""The daemons against an AWS that others wrote: moto, where there is one. What lambda-local and the daemons might both have got
wrong, it need not have."""
import json

import pytest

from harness import Managerd, Proxyd, make_zip
from moto import PROGRAM, Moto

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="moto_server is not installed")


@pytest.fixture(scope="module")
def aws():
    with Moto() as moto:
        yield moto


@pytest.fixture(scope="module")
def daemons(aws):
    with Managerd(aws=aws.aws_variables(), options={"MANAGERD_DRAIN_MS": 0}) as managerd, \
            Proxyd(data=managerd.data, aws=aws.aws_variables()) as proxyd:
        managerd.wait_ready()
        proxyd.wait_ready()
        yield managerd, proxyd


def package(word):
    return make_zip({"index.js": f"exports.handler = async () => ({{statusCode: 200, body: '{word}'}})"})


def test_the_whole_life_of_an_app_by_zip(aws, daemons):
    managerd, proxyd = daemons
    client = aws.client("lambda")
    assert managerd.request("PUT", "/v1/apps/life", {"probe": None, "memoryMb": 256}).status == 201
    assert managerd.request("PATCH", "/v1/apps/life/environment", {"variables": {"GREETING": "hello"}}).status == 200
    for version in (1, 2):
        operation = managerd.deploy("life", package(version))
        assert operation["state"] == "succeeded" and operation["result"] == {"version": version}, operation
    function = client.get_function(FunctionName="life")
    assert function["Configuration"]["MemorySize"] == 256
    assert function["Configuration"]["Environment"]["Variables"] == {"GREETING": "hello"}
    assert any(name.startswith("app-orchestrator") for name in function["Tags"])
    versions = client.list_versions_by_function(FunctionName="life")["Versions"]
    assert [each["Version"] for each in versions] == ["$LATEST", "1", "2"]

    answer = proxyd.app("life", "/a/path?x=1", method="POST", body=b"what was sent", headers={"Content-Type": "text/plain"})
    event = json.loads(answer.body)  # moto's function gives back what it was told
    assert answer.status == 200 and event["rawPath"] == "/a/path" and event["queryStringParameters"] == {"x": "1"}, answer

    back = managerd.request("POST", "/v1/apps/life/rollback", {})
    assert back.status == 200, back
    assert managerd.request("GET", "/v1/apps/life/traffic").json()["versions"] == [{"version": 1, "percent": 100}]
    assert proxyd.app("life").status == 200
    gone = managerd.request("DELETE", "/v1/apps/life", headers={"Prefer": "wait=30"}, timeout=40)
    assert gone.status in (200, 202, 204), gone
    assert client.list_functions()["Functions"] == []
    assert proxyd.app("life").status == 404
