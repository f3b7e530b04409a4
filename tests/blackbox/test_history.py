"""History: every change of apps and domains is listed, and can be taken back."""
import json
import subprocess
import threading

import pytest

from harness import Stack, make_zip, request, wait_for


def package(text):
    return make_zip({"index.js": f"exports.handler = async () => ({{statusCode: 200, body: {json.dumps(text)} + (process.env.SECRET || '')}});"})


@pytest.fixture(scope="module")
def stack():
    with Stack(managerd={"MANAGERD_TOKEN": "history-admin", "MANAGERD_DRAIN_MS": "0"}) as running:
        yield running


def call(stack, method, path, body=None, status=None, **headers):
    answer = stack.managerd.request(method, path, body, headers={
        "Authorization": "Bearer history-admin", **{name.replace("_", "-"): text for name, text in headers.items()}})
    assert status is None or answer.status == status, answer.text
    return answer


def history(stack, resource):
    return call(stack, "GET", f"/v1/{resource}/history?limit=500", status=200).json()["items"]


def undo(stack, resource, change, status=200, **headers):
    return call(stack, "POST", f"/v1/{resource}/history/{change['id']}/undo", status=status, **headers)


def test_every_change_tells_who_when_what_and_from_which_revision(stack):
    call(stack, "PUT", "/v1/apps/told", {}, status=201)
    first = call(stack, "GET", "/v1/apps/told").json()
    changed = call(stack, "PATCH", "/v1/apps/told", {"memoryMb": 512, "labels": {"a/b": "x"}, "limits": {"burst": 7}}, status=200, X_Request_Id="told-1")
    call(stack, "PATCH", "/v1/apps/told", {"memoryMb": 512}, status=200)
    call(stack, "PUT", "/v1/apps/told/environment", {"variables": {"SECRET": "very-secret-value"}}, status=200)
    call(stack, "POST", "/v1/apps/told/deactivate", status=200)
    deployment = stack.managerd.deploy("told", package("1"))
    assert deployment["state"] == "succeeded"
    entries = history(stack, "apps/told")
    assert [entry["id"] for entry in entries] == sorted((entry["id"] for entry in entries), reverse=True), "newest first"
    assert [(entry["action"], entry["kind"]) for entry in entries] == [
        ("deploy", "changed"), ("deploy", "changed"), ("deactivate", "changed"), ("putEnvironment", "changed"), ("patchApp", "changed"), ("putApp", "created")]
    assert entries[0]["operation"] == deployment["id"] and entries[0]["changes"][0]["pointer"] == "/traffic"
    assert {difference["pointer"] for difference in entries[1]["changes"]} == {"/runtime"}, "settings of the deployment become the app's"
    patch = entries[4]
    assert (patch["from"], patch["requestId"], patch["operation"]) == (first["revision"], "told-1", None) and patch["by"].startswith("admin")
    assert {difference["pointer"]: (difference.get("before"), difference.get("after")) for difference in patch["changes"]} == {
        "/memoryMb": (128, 512), "/labels/a~1b": (None, "x"), "/limits/burst": (None, 7)}
    assert int(entries[3]["from"]) > int(changed.json()["revision"]) and entries[3]["changes"] == [
        {"pointer": "/environment", "before": {"names": []}, "after": {"names": ["SECRET"]}}]
    assert entries[5]["from"] is None
    text = json.dumps(entries)
    assert "very-secret-value" not in text and "sealed" not in text and "sha256" not in text
    assert call(stack, "GET", f"/v1/apps/told/history/{patch['id']}").json() == patch
    for path in ("apps/told/history/x", f"domains/told.example.org/history/{patch['id']}", "apps/told/history/01890000-0000-7000-8000-000000000000"):
        assert call(stack, "GET", f"/v1/{path}").json()["type"] == "/problems/change-not-found"
    assert call(stack, "GET", "/v1/apps/never/history").json()["type"] == "/problems/app-not-found"
    pages, cursor = [], ""
    while cursor is not None:
        page = call(stack, "GET", f"/v1/apps/told/history?limit=2{cursor}").json()
        pages += page["items"]
        cursor = page["nextCursor"] and "&cursor=" + page["nextCursor"]
    assert pages == entries


def test_settings_are_taken_back_member_by_member(stack):
    call(stack, "PUT", "/v1/apps/back", {"labels": {"keep": "1"}}, status=201)
    call(stack, "PATCH", "/v1/apps/back", {"memoryMb": 512, "labels": {"x": "y"}, "probe": None}, status=200)
    call(stack, "PATCH", "/v1/apps/back", {"timeoutSeconds": 99}, status=200)
    change = history(stack, "apps/back")[1]
    stale = call(stack, "GET", "/v1/apps/back").header("ETag")
    undone = undo(stack, "apps/back", change, If_Match=stale)
    app = undone.json()
    assert (app["memoryMb"], app["labels"], app["probe"], app["timeoutSeconds"]) == (128, {"keep": "1"}, {"path": "/"}, 99), "what came later stays"
    assert undone.header("ETag") == f'"{app["revision"]}"' and call(stack, "GET", "/v1/apps/back").json() == app
    assert undo(stack, "apps/back", change).json()["revision"] == app["revision"], "twice is once"
    undo(stack, "apps/back", change, status=412, If_Match=stale)
    assert history(stack, "apps/back")[0]["action"] == "undoAppChange"
    again = undo(stack, "apps/back", history(stack, "apps/back")[0]).json()
    assert (again["memoryMb"], again["labels"], again["probe"]) == (512, {"keep": "1", "x": "y"}, None), "an undo can be undone"
    call(stack, "PATCH", "/v1/apps/back", {"memoryMb": 1024}, status=200)
    refused = undo(stack, "apps/back", change, status=409).json()
    assert refused["type"] == "/problems/conflict" and [error["pointer"] for error in refused["errors"]] == ["/memoryMb"]
    assert call(stack, "GET", "/v1/apps/back").json()["labels"] == {"keep": "1", "x": "y"}, "all or nothing"
    undo(stack, "apps/back", history(stack, "apps/back")[-1], status=409)


def test_traffic_environment_and_keys_are_taken_back(stack):
    for text in "12":
        stack.managerd.deploy("flow", package(text))
    assert stack.app("flow").text == "2"
    call(stack, "PUT", "/v1/apps/flow/traffic", {"versions": [{"version": 1, "percent": 100}]}, status=200)
    assert stack.app("flow").text == "1"
    undo(stack, "apps/flow", history(stack, "apps/flow")[0])
    assert stack.app("flow").text == "2", "in force when it answers"
    call(stack, "POST", "/v1/apps/flow/deactivate", status=200)
    undo(stack, "apps/flow", history(stack, "apps/flow")[0])
    assert stack.app("flow").text == "2"
    call(stack, "PUT", "/v1/apps/flow/environment", {"variables": {"SECRET": "first"}}, status=200)
    call(stack, "PUT", "/v1/apps/flow/environment", {"variables": {"SECRET": "second", "MORE": "x"}}, status=200)
    undo(stack, "apps/flow", history(stack, "apps/flow")[0])
    assert call(stack, "GET", "/v1/apps/flow/environment").json()["names"] == ["SECRET"]
    stack.managerd.deploy("flow", package("3"))
    assert stack.app("flow").text == "3first", "the value itself is back"
    call(stack, "PATCH", "/v1/apps/flow", {"access": {"apiKeys": {"header": "X-Api-Key"}}}, status=200)
    key = call(stack, "POST", "/v1/apps/flow/keys", {"name": "k"}, status=201).json()
    made = history(stack, "apps/flow")[0]
    assert made["changes"][0]["pointer"] == f"/apiKeys/{key['id']}" and key["secret"] not in json.dumps(made)
    call(stack, "DELETE", f"/v1/apps/flow/keys/{key['id']}", status=204)
    assert "stays revoked" in undo(stack, "apps/flow", history(stack, "apps/flow")[0], status=409).json()["detail"]
    call(stack, "DELETE", "/v1/apps/flow/versions/1", status=200, Prefer="wait=30")
    shift = next(entry for entry in history(stack, "apps/flow") if entry["action"] == "undoAppChange" and entry["changes"][0]["pointer"] == "/traffic")
    assert undo(stack, "apps/flow", shift, status=409).json()["errors"][0]["pointer"] == "/traffic", "a later deployment moved it"


def test_traffic_to_a_version_that_is_gone_does_not_come_back(stack):
    for text in "12":
        stack.managerd.deploy("gone", package(text))
    shifted = history(stack, "apps/gone")[0]
    call(stack, "DELETE", "/v1/apps/gone/versions/1", status=200, Prefer="wait=30")
    refused = undo(stack, "apps/gone", shifted, status=422).json()
    assert [error["pointer"] for error in refused["errors"]] == ["/traffic/versions/0/version"]
    assert stack.app("gone").text == "2"


def test_the_end_of_an_app_is_told_and_cannot_be_taken_back(stack):
    stack.managerd.deploy("ended", package("1"))
    call(stack, "DELETE", "/v1/apps/ended", status=200, Prefer="wait=60")
    entries = history(stack, "apps/ended")
    assert (entries[0]["kind"], entries[0]["action"]) == ("deleted", "delete") and entries[0]["by"].startswith("admin")
    refused = undo(stack, "apps/ended", entries[0], status=409).json()
    assert "cannot be taken back" in refused["detail"] and "its function" in refused["detail"]
    assert undo(stack, "apps/ended", entries[1], status=404).json()["type"] == "/problems/app-not-found"
    call(stack, "PUT", "/v1/apps/ended", {}, status=201)
    assert history(stack, "apps/ended")[0]["kind"] == "created" and len(history(stack, "apps/ended")) == len(entries) + 1


def pair(directory, host):
    key, certificate = directory / "key.pem", directory / "certificate.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30", "-subj", f"/CN={host}",
                    "-addext", f"subjectAltName=DNS:{host}", "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return {"certificatePem": certificate.read_text(), "privateKeyPem": key.read_text()}


def test_a_domain_comes_back_with_its_paths_and_its_certificate(stack, tmp_path):
    for name in ("here", "there"):
        stack.managerd.deploy(name, package(name))
    host, path = "back.example.org", "/v1/domains/back.example.org"
    tls = pair(tmp_path, host)
    before = call(stack, "PUT", path, {"paths": [{"app": "here"}], "tls": tls}, status=201).json()
    call(stack, "PUT", path, {"paths": [{"app": "there"}, {"prefix": "/x", "app": "here"}]}, status=200)
    assert request(stack.proxyd.url, host=host).text == "there"
    undone = undo(stack, "domains/" + host, history(stack, "domains/" + host)[0]).json()
    assert undone["paths"] == before["paths"] and undone["tls"] == before["tls"]
    assert request(stack.proxyd.url, host=host).text == "here" and call(stack, "GET", "/v1/apps/there").json()["domains"] == []
    call(stack, "DELETE", path, status=204)
    deletion = history(stack, "domains/" + host)[0]
    assert deletion["kind"] == "deleted" and tls["privateKeyPem"][40:80] not in json.dumps(deletion) and "sealed" not in json.dumps(deletion)
    file = stack.data / "secrets" / "tls" / f"{before['tls']['fingerprint']}.pem"
    wait_for(lambda: not file.exists(), 20, "the certificate's file has gone")
    back = undo(stack, "domains/" + host, deletion).json()
    assert back["paths"] == before["paths"] and back["tls"] == before["tls"] and file.exists()
    assert request(stack.proxyd.url, host=host).text == "here" and call(stack, "GET", "/v1/apps/here").json()["domains"] == [host]
    assert undo(stack, "domains/" + host, deletion).json()["revision"] == back["revision"], "twice is once"
    undo(stack, "domains/" + host, history(stack, "domains/" + host)[-1], status=409)
    call(stack, "DELETE", path, status=204)
    deletion = history(stack, "domains/" + host)[0]
    call(stack, "DELETE", "/v1/apps/here", status=200, Prefer="wait=60")
    refused = undo(stack, "domains/" + host, deletion, status=422).json()
    assert [error["pointer"] for error in refused["errors"]] == ["/paths/0/app"]
    call(stack, "PUT", path, {"paths": [{"app": "there"}]}, status=201)
    undo(stack, "domains/" + host, deletion, status=409)


def test_the_history_of_a_resource_is_bounded_and_outlives_a_kill(stack):
    call(stack, "PUT", "/v1/apps/busy", {}, status=201)
    for number in range(110):
        call(stack, "PATCH", "/v1/apps/busy", {"description": str(number)}, status=200)
    entries = history(stack, "apps/busy")
    assert len(entries) == 100 and entries[0]["changes"][0] == {"pointer": "/description", "before": "108", "after": "109"}
    stack.managerd.kill9()
    stack.managerd.start()
    stack.managerd.wait_ready()
    assert history(stack, "apps/busy") == entries
    undo(stack, "apps/busy", entries[0], Idempotency_Key="undo-once")
    assert undo(stack, "apps/busy", entries[0], Idempotency_Key="undo-once").header("Idempotency-Replayed") == "true"
    assert call(stack, "GET", "/v1/apps/busy").json()["description"] == "108"


def test_roles_and_limited_tokens(stack):
    def token(role, apps=None):
        return call(stack, "POST", "/v1/tokens", {"name": role, "role": role, **({"apps": apps} if apps else {})}, status=201).json()["secret"]
    call(stack, "PUT", "/v1/apps/mine", {}, status=201)
    call(stack, "PATCH", "/v1/apps/mine", {"memoryMb": 256}, status=200)
    change = history(stack, "apps/mine")[0]
    viewer, deployer, limited = token("viewer"), token("deployer"), token("deployer", ["other"])
    def ask(method, path, secret):
        return stack.managerd.request(method, path, headers={"Authorization": f"Bearer {secret}"}).status
    path = f"/v1/apps/mine/history/{change['id']}/undo"
    assert [ask("GET", "/v1/apps/mine/history", one) for one in (viewer, deployer, limited)] == [200, 200, 403]
    assert [ask("POST", path, one) for one in (viewer, limited, deployer)] == [403, 403, 200]
    assert ask("GET", "/v1/domains/any.example.org/history", limited) == 403


def test_racing_clients_leave_one_unbroken_chain(stack):
    call(stack, "PUT", "/v1/apps/raced", {}, status=201)

    def change(client):
        for number in range(8):
            call(stack, "PATCH", "/v1/apps/raced", {"description": f"{client}-{number}"}, status=200)
    threads = [threading.Thread(target=change, args=(client,)) for client in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    entries = history(stack, "apps/raced")
    assert len(entries) == 49 and entries[0]["changes"][0]["after"] == call(stack, "GET", "/v1/apps/raced").json()["description"]
    texts = [(entry["changes"][0]["before"], entry["changes"][0]["after"]) for entry in entries[:-1]]
    assert all(later[0] == earlier[1] for later, earlier in zip(texts, texts[1:])), "each change begins where the one before ended"
    revisions = [int(entry["from"]) for entry in entries[:-1]]
    assert revisions == sorted(revisions, reverse=True) and len(set(revisions)) == 48
    for entry in entries[:-1]:
        assert undo(stack, "apps/raced", entry).json()["description"] == entry["changes"][0]["before"], "one after the other, all can be taken back"
    assert call(stack, "GET", "/v1/apps/raced").json()["description"] == ""
