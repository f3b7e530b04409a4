"""The OpenAPI document: two linters of others take it, every example in it can be sent, every example of an answer fits."""
import json
import os
import subprocess
import time
from urllib.parse import quote, urlencode

import pytest

from harness import LambdaLocal, Managerd, make_zip, scratch, wait_for
from npm import install
from openapi import Document

TOKEN = "openapi-tests"
HELLO = {"index.js": "exports.handler = async () => ({statusCode: 200, body: 'hello'});"}
LINTERS = ("@redocly/cli@2.77.0", "@stoplight/spectral-cli@6.16.3")


class Scene:
    """managerd with what the document's examples speak of: apps hello (five versions), shop and api, and a domain."""

    def __init__(self, aws):
        self.managerd = Managerd(aws=aws, options={"MANAGERD_TOKEN": TOKEN, "MANAGERD_DRAIN_MS": "0"})
        self.ids = {}

    def start(self):
        self.managerd.start()
        self.document = Document(self.managerd.request("GET", "/openapi.json").body)
        return self

    def ask(self, method, path, body=None, expect=range(200, 300), **headers):
        answer = self.managerd.request(method, path, body, headers={name.replace("_", "-"): value for name, value in headers.items()}, timeout=40)
        assert answer.status in expect, f"{method} {path}: {answer.text}"
        return answer

    def exists(self, path):
        return self.managerd.request("GET", path).status == 200

    def prepare(self):
        """Makes what is missing."""
        wait_for(lambda: self.managerd.request("GET", "/v1/apps/hello/status").json().get("status") != "deleting", 20, "hello has ended")
        for name in ("shop", "api", "hello"):
            if not self.exists(f"/v1/apps/{name}"):
                self.ask("PUT", f"/v1/apps/{name}", {"labels": {"team": "web"}})
        versions = {one["version"] for one in self.ask("GET", "/v1/apps/hello/versions").json()["items"]}
        for number in range(1, 6) if not {3, 4, 5} <= versions else ():
            if number not in versions:
                self.managerd.deploy("hello", HELLO, runtime="nodejs22.x")
        if not self.exists("/v1/domains/shop.example.com"):
            self.ask("PUT", "/v1/domains/shop.example.com", {"paths": [{"app": "shop"}]})

    def change(self, path, body):
        """Changes something, and gives the id of that change."""
        self.ask("PUT" if "domains" in path else "PATCH", path, body)
        return self.ask("GET", path + "/history?limit=1").json()["items"][0]["id"]

    def values_for(self, call):
        """What stands in its path: the examples, and ids of what is there."""
        values = {parameter["name"]: parameter["example"] for parameter in call.of("path")}
        unique = str(time.monotonic_ns())
        if "change" in values and "domains" in call.path:
            values["change"] = self.change("/v1/domains/shop.example.com", {"paths": [{"app": "shop"}, {"prefix": "/x" + unique, "app": "api"}]})
        elif "change" in values:
            values["change"] = self.change("/v1/apps/hello", {"description": unique})
        elif "key" in values:
            values["key"] = self.ask("POST", "/v1/apps/hello/keys", {"name": unique}).json()["id"]
        elif "/tokens/" in call.path:
            values["id"] = self.ask("POST", "/v1/tokens", {"name": unique, "role": "viewer"}).json()["id"]
        elif "/operations/" in call.path:
            self.ask("POST", "/v1/apps/api/deployments", make_zip(HELLO), Content_Type="application/zip")
            values["id"] = self.ask("POST", "/v1/apps/api/deployments", make_zip(HELLO), Content_Type="application/zip").json()["id"]
        return values

    def set_up(self, call):
        self.prepare()
        if call.id == "refreshIssuer":
            self.ask("PATCH", "/v1/apps/hello", {"access": {"jwt": {"issuer": "https://issuer.invalid", "audience": ["a"]}}})
        if call.id in ("deleteVersion", "putTraffic", "rollback", "check", "invoke"):
            self.ask("PUT", "/v1/apps/hello/traffic", {"versions": [{"version": 5, "percent": 100}]})

    def send(self, call, kind=None, query=None, body=None, headers=None):
        """The call with its examples: required parameters, and `query` and `headers` beside; gives the answer, checked."""
        self.set_up(call)
        target = call.target({name: quote(str(value)) for name, value in self.values_for(call).items()})
        query = {**{p["name"]: p["example"] for p in call.of("query") if p.get("required")}, **(query or {})}
        if query:
            target += "?" + urlencode(query, doseq=True)
        headers = dict(headers or {})
        if kind:
            headers["Content-Type"] = kind
        if body is None and kind == "application/zip":
            body = make_zip(HELLO)
        elif body is None and kind:
            body = json.dumps(call.body[kind]["example"]).encode()
        answer = self.managerd.request(call.method, target, body, headers=headers, timeout=40)
        faults = self.document.faults(call, answer.status, answer.header("Content-Type"), answer.body, answer.headers.keys())
        assert not faults, faults
        return answer

    def close(self):
        self.managerd.close()


@pytest.fixture(scope="module")
def scene():
    with LambdaLocal() as aws:
        running = Scene(aws)
        try:
            yield running.start()
        finally:
            running.close()


def in_order(document):
    """Reading first, what ends things last."""
    late = {"deleteVersion": 1, "deleteDomain": 1, "compatibilityRemove": 2, "deleteApp": 3}
    return sorted(document.calls.values(), key=lambda call: late.get(call.id, 0))


# -- linters ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def linted(scene):
    folder = scratch("openapi.")
    (folder / "openapi.json").write_text(json.dumps(scene.document.raw, indent=1))
    # All rules that the linters recommend; none is switched off.
    (folder / "ruleset.yaml").write_text('extends: ["spectral:oas"]\n')
    return folder


def lint(folder, *command):
    environment = {"PATH": os.environ["PATH"], "HOME": str(folder), "REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    tools = install(*LINTERS) / "node_modules" / ".bin"
    return subprocess.run([tools / command[0], *command[1:]], cwd=folder, env=environment, capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL)


def node_version():
    return tuple(int(part) for part in subprocess.run(["node", "--version"], capture_output=True, text=True, timeout=20).stdout.strip().lstrip("v").split("."))


def test_redocly_finds_nothing_by_its_recommended_rules(linted):
    if not ((20, 19) <= node_version() < (21,) or node_version() >= (22, 12)):
        pytest.skip("the installed node is older than @redocly/cli needs")
    done = lint(linted, "redocly", "lint", "openapi.json", "--extends=recommended", "--format=json", "--max-problems=50")
    report = json.loads(done.stdout)
    assert report["totals"] == {"errors": 0, "warnings": 0, "ignored": 0}, [
        (one["ruleId"], one["message"], one["location"][0].get("pointer")) for one in report["problems"]]
    assert done.returncode == 0


def test_spectral_finds_nothing_by_its_recommended_rules(linted):
    done = lint(linted, "spectral", "lint", "openapi.json", "--ruleset", "ruleset.yaml", "--format", "json", "--fail-severity", "hint", "--quiet")
    assert done.stdout.strip() and json.loads(done.stdout) == [], done.stdout[:5000]
    assert done.returncode == 0


def test_the_linters_do_find_what_is_wrong(linted, scene):
    broken = json.loads(json.dumps(scene.document.raw))
    broken["paths"]["/v1/apps"]["get"]["operationId"] = "getApp"
    del broken["paths"]["/v1/apps/{name}"]["get"]["parameters"]
    folder = scratch("openapi-broken.")
    (folder / "openapi.json").write_text(json.dumps(broken))
    (folder / "ruleset.yaml").write_text('extends: ["spectral:oas"]\n')
    found = lint(folder, "spectral", "lint", "openapi.json", "--ruleset", "ruleset.yaml", "--format", "json", "--quiet")
    assert {"operation-operationId-unique", "path-params"} <= {one["code"] for one in json.loads(found.stdout)}
    assert found.returncode != 0


# -- examples ---------------------------------------------------------------------------------------------------------


def test_every_call_is_described_with_tag_answers_and_examples(scene):
    tags = {tag["name"] for tag in scene.document.raw["tags"]}
    for call in scene.document.calls.values():
        assert set(call.described["tags"]) <= tags and call.described["summary"] and call.described["description"], call.id
        for kind, content in call.body.items():
            assert kind == "application/zip" or "example" in content, f"{call.id} has no example of its {kind} body"
        for status, response in call.described["responses"].items():
            for content in scene.document.resolved(response).get("content", {}).values() if status.startswith("2") else ():
                assert "example" in content, f"{call.id} has no example of its answer {status}"


def test_every_example_fits_its_own_schema(scene):
    for call in scene.document.calls.values():
        for parameter in call.parameters:
            if "example" in parameter:
                scene.document.validator((call.id, parameter["name"]), parameter["schema"]).validate(parameter["example"])
        for kind, content in call.body.items():
            if "example" in content:
                scene.document.validator((call.id, kind), content["schema"]).validate(content["example"])
        for status in call.described["responses"]:
            for kind, content in call.answer(status).get("content", {}).items():
                if "example" in content:
                    scene.document.validator((call.id, status, kind), content["schema"]).validate(content["example"])


def example_of(parameter):
    schema = parameter["schema"]
    return next((found for found in (parameter.get("example"), schema.get("default"), schema.get("enum", [None])[0], schema.get("minimum")) if found is not None), None)


def test_every_example_of_a_request_is_answered_as_documented(scene):
    sent = 0
    for call in in_order(scene.document):
        for kind in call.body or [None]:
            headers = {parameter["name"]: parameter["example"] for parameter in call.of("header") if parameter["name"] == "Prefer"}
            answer = scene.send(call, kind, headers=headers)
            assert 200 <= answer.status < 300, (call.id, answer)
            sent += 1
    assert sent >= len(scene.document.calls)


def test_every_example_of_a_parameter_is_answered_as_documented(scene):
    sent = 0
    for call in in_order(scene.document):
        kind = "application/zip" if "application/zip" in call.body else next(iter(call.body), None)
        for parameter in call.of("query") + call.of("header"):
            value = example_of(parameter)
            if value is None or call.id in ("deleteVersion", "compatibilityRemove"):
                continue
            if parameter["in"] == "query":
                sent_value = json.dumps(value) if isinstance(value, bool) else value
                answer = scene.send(call, kind, query={parameter["name"]: sent_value})
            else:
                value = f"{value}-{call.id}" if parameter["name"] == "Idempotency-Key" else value
                answer = scene.send(call, kind, headers={parameter["name"]: value})
            assert 200 <= answer.status < 400, (call.id, parameter["name"], answer)
            sent += 1
    assert sent >= 60


def test_what_a_call_makes_is_answered_with_201_and_where_it_is(scene):
    scene.prepare()
    made = [scene.ask("PUT", "/v1/apps/brand-new", scene.document.calls["putApp"].body["application/json"]["example"], (201,)),
            scene.ask("PUT", "/v1/domains/brand-new.example.com", scene.document.calls["putDomain"].body["application/json"]["example"], (201,)),
            scene.ask("POST", "/v1/tokens", scene.document.calls["createToken"].body["application/json"]["example"], (201,)),
            scene.ask("POST", "/v1/apps/hello/keys", scene.document.calls["createKey"].body["application/json"]["example"], (201,))]
    for answer in made:
        assert scene.ask("GET", answer.header("Location")).json().keys() >= {"createdAt"}


# -- conditions -------------------------------------------------------------------------------------------------------


def test_every_call_that_changes_something_is_refused_when_its_if_match_does_not_hold(scene):
    for call in in_order(scene.document):
        if call.method == "GET":
            continue
        kind = next(iter(call.body), None)
        for condition in ('"999999999"', '"x"', 'W/"1"', '"999999998", "999999999"'):
            answer = scene.send(call, kind, headers={"If-Match": condition})
            assert answer.status == 412 and answer.json()["type"] == "/problems/precondition-failed", (call.id, answer)
