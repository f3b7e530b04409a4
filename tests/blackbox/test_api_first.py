"""The first service's calls, as its clients know them: synchronous, with {"name", "status"}."""
import base64
import json

import pytest

from harness import Stack, make_zip, request


def archive(text, files=None):
    source = f"exports.handler = async (event) => ({{statusCode: 200, body: {json.dumps(text)} + (event.httpMethod || '')}});"
    return base64.b64encode(make_zip(files or {"index.js": source})).decode()


@pytest.fixture(scope="module")
def stack():
    with Stack(managerd={"MANAGERD_TOKEN": "first-service"}) as running:
        yield running


def call(stack, method, path, body=None, **headers):
    return stack.managerd.request(method, path, body=body, timeout=60,
                                  headers={name.replace("_", "-"): str(value) for name, value in headers.items()})


def status(stack, name):
    answer = call(stack, "GET", f"/apps/{name}/status")
    assert answer.status == 200 and answer.json()["name"] == name, answer
    return answer.json()["status"]


@pytest.mark.asks_wrongly("Runtime is none of its enumeration")
def test_an_app_goes_through_every_status(stack):
    assert call(stack, "GET", "/apps/walk/status").status == 404
    deployed = call(stack, "POST", "/apps/deploy", {"name": "walk", "archive": archive("1")})
    assert (deployed.status, deployed.json()) == (200, {"name": "walk", "status": "ACTIVE"})
    assert stack.app("walk").text == "1GET", "the event is of format 1.0"
    for action, expected, served in (("deactivate", "INACTIVE", 404), ("deactivate", "INACTIVE", 404), ("activate", "ACTIVE", 200),
                                     ("activate", "ACTIVE", 200), ("remove", "REMOVED", 404)):
        answer = call(stack, "POST", f"/apps/walk/{action}")
        assert (answer.status, answer.json()) == (200, {"name": "walk", "status": expected})
        assert status(stack, "walk") == expected and stack.app("walk").status == served
    assert call(stack, "POST", "/apps/walk/activate").status == 404
    assert call(stack, "POST", "/v1/apps/held/deployments", {"package": {"zip": archive("x")}, "traffic": "none"}, Prefer="wait=30").status == 200
    assert status(stack, "held") == "DEPLOYED"
    broken = call(stack, "POST", "/v1/apps/broken/deployments", {"package": {"zip": archive("x")}, "runtime": "cobol85"}, Prefer="wait=30")
    assert broken.status == 422 and status(stack, "broken") == "ERROR"


def test_what_is_wrong_with_a_body_is_a_400_that_names_it(stack):
    good = archive("good")
    for body in ({"name": "wrong", "archive": ""}, {"name": "wrong", "archive": "no base64!"}, {"name": "wrong", "archive": "QUJD"},
                 {"name": "wrong", "archive": good[: len(good) // 2]}, {"name": "wrong", "archive": 7}, {"name": "No Name", "archive": good},
                 {"name": "wrong"}, {"archive": good}, {"name": "wrong", "archive": good, "force": True}, [], {}):
        answer = call(stack, "POST", "/apps/deploy", body)
        assert answer.status == 400 and answer.json()["detail"], (body, answer)
    assert call(stack, "POST", "/apps/deploy", b"name=x", Content_Type="text/plain").status == 415
    assert call(stack, "GET", "/apps/wrong/status").status == 404, "nothing was made"


@pytest.mark.parametrize("name", ["unknown", "No-Such", "a--b", "x" * 80, "%2e%2e", "a.b"])
def test_what_no_app_has_as_its_name_is_404(stack, name):
    assert call(stack, "GET", f"/apps/{name}/status").status == 404
    for action in ("activate", "deactivate", "remove"):
        assert call(stack, "POST", f"/apps/{name}/{action}").status == 404


def test_it_asks_for_the_same_token(stack):
    for method, path in (("POST", "/apps/deploy"), ("GET", "/apps/walk/status"), ("POST", "/apps/walk/activate"), ("POST", "/apps/walk/remove")):
        assert request(stack.managerd.url + path, method=method).status == 401, path


def test_a_repeated_key_is_answered_in_its_own_words(stack):
    body = {"name": "again", "archive": archive("1")}
    first = call(stack, "POST", "/apps/deploy", body, Idempotency_Key="d")
    again = call(stack, "POST", "/apps/deploy", body, Idempotency_Key="d")
    assert again.header("Idempotency-Replayed") == "true" and (again.status, again.json()) == (first.status, first.json())
    assert len(call(stack, "GET", "/v1/apps/again/versions").json()["items"]) == 1
    for action, answer in (("deactivate", "INACTIVE"), ("activate", "ACTIVE"), ("remove", "REMOVED")):
        for _ in range(2):
            told = call(stack, "POST", f"/apps/again/{action}", Idempotency_Key=action)
            assert (told.status, told.json()) == (200, {"name": "again", "status": answer})
        assert told.header("Idempotency-Replayed") == "true"


def test_the_new_api_and_the_first_see_the_same_app(stack):
    call(stack, "POST", "/apps/deploy", {"name": "shared", "archive": archive("1")})
    app = call(stack, "GET", "/v1/apps/shared").json()
    assert app["http"]["payloadFormat"] == "1.0" and app["handler"] == "index.handler" and app["probe"] is None
    assert call(stack, "PATCH", "/v1/apps/shared", {"enabled": False}).status == 200 and status(stack, "shared") == "INACTIVE"
    again = call(stack, "POST", "/apps/deploy", {"name": "shared", "archive": archive("2")})
    assert again.json()["status"] == "ACTIVE" and stack.app("shared").text == "2GET", "deploying activates here"
    assert call(stack, "POST", "/v1/apps/shared/rollback").status == 200 and stack.app("shared").text == "1GET"
