"""What every call of managerd's API has in common: authentication, conditions, keys, errors, documents."""
import base64
import io
import json
import os
import random
import re
import stat
import threading
import zipfile

import jsonschema
import pytest

from openapi import Document
from harness import LambdaLocal, Managerd, Stack, make_zip, raw, request, scratch, wait_for

UUID = re.compile("urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def package(text="x"):
    return make_zip({"index.js": f"exports.handler = async () => ({{statusCode: 200, body: {json.dumps(text)}}});"})


@pytest.fixture(scope="module")
def stack():
    with Stack(managerd={"MANAGERD_DRAIN_MS": "0"}) as running:
        yield running


def call(stack, method, path, body=None, headers=None, **more):
    return stack.managerd.request(method, path, body=body, headers=headers, timeout=40, **more)


# -- authentication -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def locked():
    with LambdaLocal() as aws:
        daemon = Managerd(aws=aws, options={"MANAGERD_TOKEN": "correct-horse"})
        with daemon:
            yield daemon


def test_a_token_is_asked_for_everywhere_but_at_the_open_pages(locked):
    document = request(locked.url + "/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            concrete = re.sub(r"\{\w+\}", "unauthenticated", path)
            answer = request(locked.url + concrete, method=method.upper())
            if operation.get("security") == []:
                assert answer.status != 401, (method, path)
            else:
                assert answer.status == 401, (method, path, answer)
                assert answer.header("WWW-Authenticate").startswith("Bearer ")
                assert answer.json()["type"] == "/problems/unauthenticated"


@pytest.mark.parametrize("header, status", [
    ("Bearer correct-horse", 200), ("bearer correct-horse", 200), ("Bearer wrong", 401), ("Bearer ", 401), ("Bearer", 401),
    ("Basic Y29ycmVjdC1ob3JzZQ==", 401), ("correct-horse", 401), ("Bearer correct-horse2", 401)])
def test_only_the_right_token_opens(locked, header, status):
    assert request(locked.url + "/v1/apps", headers={"Authorization": header}).status == status


def test_what_is_not_there_is_not_told_without_a_token(locked):
    assert request(locked.url + "/v1/nothing").status == 401


def test_only_who_may_deploy_gets_to_send_packages(locked):
    big = b"PK" + bytes(2 << 20)
    for token, status in (("wrong", 401), ("correct-horse", 422)):
        answer = request(locked.url + "/v1/apps/x/deployments", "POST", big,
                         {"Content-Type": "application/zip", "Authorization": f"Bearer {token}"})
        assert answer.status == status, answer
    small = request(locked.url + "/v1/apps/x/deployments", "POST", b"PK", {"Content-Type": "application/zip"})
    assert small.status == 401


def test_with_a_token_any_host_and_origin_may_call(locked):
    answer = request(locked.url + "/v1/apps", host="managerd.example.com",
                     headers={"Authorization": "Bearer correct-horse", "Origin": "https://console.example.com"})
    assert answer.status == 200


def test_the_token_can_be_changed_by_file_and_hangup():
    import signal
    import time
    folder = scratch("token.")
    (folder / "token").write_text("first-token\n")
    with LambdaLocal() as aws:
        with Managerd(aws=aws, options={"MANAGERD_TOKEN_FILE": folder / "token"}) as daemon:
            assert request(daemon.url + "/v1/apps", headers={"Authorization": "Bearer first-token"}).status == 200
            (folder / "token").write_text("second-token\n")
            daemon.signal(signal.SIGHUP)
            deadline = time.monotonic() + 5
            while request(daemon.url + "/v1/apps", headers={"Authorization": "Bearer second-token"}).status != 200:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            assert request(daemon.url + "/v1/apps", headers={"Authorization": "Bearer first-token"}).status == 401


def test_beyond_loopback_a_token_is_made_once_and_only_its_hash_is_kept():
    with LambdaLocal() as aws:
        daemon = Managerd(aws=aws, options={"MANAGERD_LISTEN": "0.0.0.0:0"})
        daemon.start()
        token = re.search(r"shown only this once: (aot_[0-9a-f]{48})", daemon.log_text()).group(1)
        port = daemon.address[1]
        url = f"http://127.0.0.1:{port}"
        assert request(url + "/v1/apps").status == 401
        assert request(url + "/v1/apps", headers={"Authorization": f"Bearer {token}"}).status == 200
        daemon.stop()
        daemon.listen = None
        daemon.start()
        assert "shown only this once" not in daemon.log_text()
        url = f"http://127.0.0.1:{daemon.address[1]}"
        assert request(url + "/v1/apps", headers={"Authorization": f"Bearer {token}"}).status == 200
        for path in (daemon.data / "state").iterdir():
            assert token.encode() not in path.read_bytes()
        daemon.close()


@pytest.mark.parametrize("host, origin, status", [
    ("localhost", None, 200), ("127.0.0.1:8081", None, 200), ("[::1]:8081", None, 200), ("127.3.2.1", None, 200),
    ("localhost:8081", "http://localhost:8081", 200), ("127.0.0.1:8081", "http://127.0.0.1:8081", 200),
    ("localhost:8081", "http://localhost:3000", 403), ("localhost:8081", "http://hello.localhost:8080", 403),
    ("localhost:8081", "http://127.0.0.1:8081", 403),
    ("evil.example", None, 403), ("localhost.evil.example", None, 403), ("127.0.0.1.evil.example", None, 403),
    ("localhost", "https://evil.example", 403), ("localhost", "null", 403), ("localhost", "http://localhost.evil.example", 403)])
def test_without_a_token_only_this_machine_may_call(stack, host, origin, status):
    answer = request(stack.managerd.url + "/v1/apps", host=host, headers={"Origin": origin} if origin else {})
    assert answer.status == status, answer
    if status == 403:
        assert answer.json()["type"] == "/problems/forbidden"


def test_a_page_of_another_site_is_refused_also_when_it_hides_its_origin(stack):
    assert request(stack.managerd.url + "/v1/apps", headers={"Sec-Fetch-Site": "cross-site"}).status == 403


# -- conditions -----------------------------------------------------------------------------------------------------


def test_conditions_hold_or_nothing_changes(stack):
    created = call(stack, "PUT", "/v1/apps/guarded", {}, {"If-None-Match": "*"})
    assert created.status == 201
    assert call(stack, "PUT", "/v1/apps/guarded", {}, {"If-None-Match": "*"}).status == 412
    etag = created.header("ETag")
    assert re.fullmatch('"[0-9]+"', etag)
    changed = call(stack, "PATCH", "/v1/apps/guarded", {"description": "1"}, {"If-Match": etag})
    assert changed.status == 200 and changed.header("ETag") != etag
    for method, path, body in (("PATCH", "", {"description": "2"}), ("PUT", "", {}), ("DELETE", "", None),
                               ("POST", "/activate", None), ("POST", "/rollback", None)):
        answer = call(stack, method, "/v1/apps/guarded" + path, body, {"If-Match": etag})
        assert answer.status in (412,) or (path == "/rollback" and answer.status == 412), (method, path, answer)
        assert answer.json()["type"] == "/problems/precondition-failed"
    assert call(stack, "GET", "/v1/apps/guarded").json()["description"] == "1"
    assert call(stack, "PATCH", "/v1/apps/guarded", {"description": "3"}, {"If-Match": "*"}).status == 200
    assert call(stack, "PATCH", "/v1/apps/guarded", {"description": "4"}, {"If-Match": 'W/"1"'}).status == 412
    now = call(stack, "GET", "/v1/apps/guarded")
    assert call(stack, "GET", "/v1/apps/guarded", headers={"If-None-Match": now.header("ETag")}).status == 304
    assert call(stack, "GET", "/v1/apps/guarded", headers={"If-None-Match": etag}).status == 200


def test_of_clients_that_race_with_if_match_exactly_one_wins_each_revision(stack):
    call(stack, "PUT", "/v1/apps/raced", {})
    wins, lock = [], threading.Lock()

    def client(number):
        for turn in range(10):
            etag = call(stack, "GET", "/v1/apps/raced").header("ETag")
            answer = call(stack, "PATCH", "/v1/apps/raced", {"description": f"{number}/{turn}"}, {"If-Match": etag})
            assert answer.status in (200, 412), answer
            if answer.status == 200:
                with lock:
                    wins.append((etag, answer.header("ETag")))

    threads = [threading.Thread(target=client, args=(n,)) for n in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({before for before, _ in wins}) == len(wins), "two changes were based on the same revision"
    assert len({after for _, after in wins}) == len(wins)


def test_without_conditions_every_write_counts_and_none_is_lost(stack):
    call(stack, "PUT", "/v1/apps/counted", {})
    threads = [threading.Thread(target=lambda n=n: call(stack, "PATCH", "/v1/apps/counted", {"labels": {f"l{n}": "x"}}))
               for n in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(call(stack, "GET", "/v1/apps/counted").json()["labels"]) == 24


# -- idempotency ----------------------------------------------------------------------------------------------------


def test_a_key_gives_the_first_answer_again_also_after_a_restart(stack):
    headers = {"Content-Type": "application/zip", "Idempotency-Key": "deploy-1", "Prefer": "wait=20"}
    first = call(stack, "POST", "/v1/apps/keyed/deployments", package(), headers)
    assert first.status == 200 and first.header("Idempotency-Replayed") is None
    again = call(stack, "POST", "/v1/apps/keyed/deployments", package(), headers)
    assert again.status == 200 and again.json()["id"] == first.json()["id"]
    assert again.header("Idempotency-Replayed") == "true"
    off = call(stack, "POST", "/v1/apps/keyed/deactivate", headers={"Idempotency-Key": "off"})
    call(stack, "POST", "/v1/apps/keyed/activate")
    stack.managerd.restart()
    stack.managerd.wait_ready()
    after = call(stack, "POST", "/v1/apps/keyed/deployments", package(), headers)
    assert after.json()["id"] == first.json()["id"] and after.header("Idempotency-Replayed") == "true"
    replayed = call(stack, "POST", "/v1/apps/keyed/deactivate", headers={"Idempotency-Key": "off"})
    assert replayed.json() == off.json() and replayed.header("ETag") == off.header("ETag")
    assert call(stack, "GET", "/v1/apps/keyed").json()["enabled"] is True, "the work was not done again"
    assert len(call(stack, "GET", "/v1/apps/keyed/versions").json()["items"]) == 1


def test_a_key_belongs_to_its_request_and_failures_to_start_are_not_kept(stack):
    headers = {"Content-Type": "application/zip", "Idempotency-Key": "strict", "Prefer": "wait=20"}
    assert call(stack, "POST", "/v1/apps/strict/deployments", b"no zip", headers).status == 422
    assert call(stack, "POST", "/v1/apps/strict/deployments", package("a"), headers).status == 200
    other = call(stack, "POST", "/v1/apps/strict/deployments", package("b"), headers)
    assert other.status == 422 and other.json()["type"] == "/problems/idempotency-key-reused"
    assert call(stack, "POST", "/v1/apps/strict/activate", headers={"Idempotency-Key": "x" * 256}).status == 422


def test_a_key_in_use_twice_at_once_does_the_work_once(stack):
    headers = {"Content-Type": "application/zip", "Idempotency-Key": "twice", "Prefer": "wait=20"}
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(
        call(stack, "POST", "/v1/apps/twice/deployments", package(), headers))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {a.status for a in answers} <= {200, 409}
    assert all(a.json()["type"] == "/problems/idempotency-key-running" for a in answers if a.status == 409)
    assert len(call(stack, "GET", "/v1/apps/twice/versions").json()["items"]) == 1


# -- errors ---------------------------------------------------------------------------------------------------------


def test_every_fault_is_told_at_once_with_its_place(stack):
    body = {"runtime": 7, "memoryMb": 64, "timeoutSeconds": 1.5, "architecture": "mips", "nonsense": 1,
            "http": {"payloadFormat": "3", "other": 1}, "labels": {"a b": "x", "fine": 2}, "limits": {"maxInFlight": 0},
            "probe": {"path": "no-slash"}, "function": {"name": "a b", "role": "nobody"}, "enabled": "yes"}
    answer = call(stack, "PUT", "/v1/apps/faulty", body)
    assert answer.status == 422 and answer.header("Content-Type") == "application/problem+json"
    problem = answer.json()
    assert problem["type"] == "/problems/invalid" and problem["status"] == 422 and UUID.fullmatch(problem["instance"])
    assert {e["pointer"] for e in problem["errors"]} == {
        "/runtime", "/memoryMb", "/timeoutSeconds", "/architecture", "/nonsense", "/http/payloadFormat", "/http/other",
        "/labels/a b", "/labels/fine", "/limits/maxInFlight", "/probe/path", "/function/name", "/function/role", "/enabled"}
    assert all(e["detail"] for e in problem["errors"])
    assert call(stack, "GET", "/v1/apps/faulty").status == 404
    answer = call(stack, "POST", "/v1/apps/faulty/deployments?memoryMb=many&timeoutSeconds=901&colour=red&payloadFormat=9",
                  package(), {"Content-Type": "application/zip"})
    assert {e["parameter"] for e in answer.json()["errors"]} >= {"memoryMb", "colour"}
    answer = call(stack, "POST", "/v1/apps/faulty/deployments?timeoutSeconds=901&payloadFormat=9", package(),
                  {"Content-Type": "application/zip"})
    assert {e["parameter"] for e in answer.json()["errors"]} == {"timeoutSeconds", "payloadFormat"}


@pytest.mark.parametrize("name", ["Upper", "1st", "-a", "a-", "a--b", "a_b", "a.b", "a" * 64, "%61", "ä"])
def test_names_must_be_dns_labels(stack, name):
    from urllib.parse import quote
    answer = call(stack, "PUT", f"/v1/apps/{quote(name)}", {})
    assert answer.status == 422 and answer.json()["errors"][0]["parameter"] == "name"


def test_what_was_read_can_be_sent_back(stack):
    stack.deploy("roundtrip", package())
    for path in ("/v1/apps/roundtrip", "/v1/apps/roundtrip/traffic"):
        read = call(stack, "GET", path)
        sent = call(stack, "PUT", path, read.json(), {"If-Match": read.header("ETag")})
        assert sent.status == 200, sent
        keep = {k: v for k, v in read.json().items() if k not in ("updatedAt", "revision")}
        assert {k: v for k, v in sent.json().items() if k not in ("updatedAt", "revision")} == keep
    assert stack.app("roundtrip").status == 200
    assert call(stack, "PUT", "/v1/apps/roundtrip", {"name": "other"}).json()["errors"][0]["pointer"] == "/name"
    assert call(stack, "PUT", "/v1/apps/roundtrip", {"function": {"name": "other"}}).status == 422


def test_a_patch_merges_and_null_gives_the_default_back(stack):
    call(stack, "PUT", "/v1/apps/patched", {"memoryMb": 512, "labels": {"a": "1", "b": "2"}, "limits": {"deadlineMs": 9}})
    answer = call(stack, "PATCH", "/v1/apps/patched",
                  {"memoryMb": None, "labels": {"a": None, "c": "3"}, "probe": None, "limits": {"burst": 5}},
                  {"Content-Type": "application/merge-patch+json"})
    app = answer.json()
    assert app["memoryMb"] == 128 and app["labels"] == {"b": "2", "c": "3"} and app["probe"] is None
    assert app["limits"]["burst"] == 5 and app["limits"]["deadlineMs"] == 9
    assert call(stack, "PATCH", "/v1/apps/patched", {"bogus": 1}).json()["errors"][0]["pointer"] == "/bogus"
    assert call(stack, "PATCH", "/v1/apps/none", {"memoryMb": 256}).status == 404
    replaced = call(stack, "PUT", "/v1/apps/patched", {}).json()
    assert replaced["labels"] == {} and replaced["probe"] == {"path": "/"}


@pytest.mark.parametrize("body, type, status", [
    (b"{", "application/json", 400), (b"[1]", "application/json", 422), (b'"x"', "application/json", 422),
    (b"{}", "text/plain", 415), (b"{}", "application/zip", 415), (b"", "application/json", 422),
    (b'{"a":1,"a":2}', "application/json", 400), (b"\xff\xfe", "application/json", 400),
    (b'{"labels":' + b"[" * 90 + b"]" * 90 + b"}", "application/json", 400)])
def test_bodies_that_cannot_be_read_are_told_apart(stack, body, type, status):
    answer = call(stack, "PUT", "/v1/apps/unread", body, {"Content-Type": type})
    assert answer.status == status, answer
    assert answer.header("Content-Type") == "application/problem+json"


def test_methods_and_paths_that_are_not_there(stack):
    answer = call(stack, "DELETE", "/v1/apps")
    assert answer.status == 405 and answer.header("Allow") == "GET, HEAD, OPTIONS"
    answer = call(stack, "OPTIONS", "/v1/apps/hello")
    assert answer.status == 204 and answer.header("Allow") == "GET, HEAD, PUT, PATCH, DELETE, OPTIONS"
    assert "application/merge-patch+json" in answer.header("Accept-Patch")
    for path in ("/v2/apps", "/v1/apps/", "/v1//apps", "/v1/apps/x/y/z", "/V1/apps", "/%76%31/apps"):
        assert call(stack, "GET", path).status == 404, path
    call(stack, "PUT", "/v1/apps/headed", {})
    read, head = call(stack, "GET", "/v1/apps/headed"), call(stack, "HEAD", "/v1/apps/headed")
    assert head.status == 200 and head.body == b"" and head.header("ETag") == read.header("ETag")
    assert head.header("Content-Length") == read.header("Content-Length")


def test_bodies_over_their_limit_are_413(stack):
    answer = call(stack, "PUT", "/v1/apps/large", b'{"description":"' + b"x" * (1 << 20) + b'"}',
                  {"Content-Type": "application/json"})
    assert answer.status == 413 and answer.json()["type"] == "/problems/too-large"


def test_request_ids_come_back_and_go_to_the_log(stack):
    answer = call(stack, "GET", "/v1/apps", headers={"X-Request-Id": "my.request-1_A"})
    assert answer.header("X-Request-Id") == "my.request-1_A"
    made = call(stack, "GET", "/v1/apps", headers={"X-Request-Id": "not lawful!"}).header("X-Request-Id")
    assert UUID.fullmatch("urn:uuid:" + made)
    wait_for(lambda: {line.get("requestId") for line in stack.managerd.access_lines()} >= {"my.request-1_A", made}, 5)
    line = [l for l in stack.managerd.access_lines() if l.get("requestId") == made][0]
    assert line["event"] == "call" and line["principal"] == "local" and line["endpoint"] == "listApps" and line["status"] == 200


# -- packages -------------------------------------------------------------------------------------------------------


def zip_of(build):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        build(archive)
    return out.getvalue()


def link(archive):
    entry = zipfile.ZipInfo("evil")
    entry.create_system, entry.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    archive.writestr(entry, "/etc/passwd")


TRICKS = {
    "empty body": b"", "no archive": b"hello", "no entries": zip_of(lambda a: None),
    "absolute": zip_of(lambda a: a.writestr("/etc/passwd", "x")), "dot dot": zip_of(lambda a: a.writestr("../x", "x")),
    "backslash": zip_of(lambda a: a.writestr("..\\x", "x").__class__), "link": zip_of(link), "cut": package()[:-30],
    "bomb": zip_of(lambda a: a.writestr("zeros", b"\0" * (260 << 20))),
}


@pytest.mark.parametrize("trick", TRICKS)
def test_packages_that_lambda_would_refuse_are_refused_before_any_aws_call(stack, trick):
    before = request(stack.managerd.url + "/metrics").text
    answer = call(stack, "POST", "/v1/apps/tricked/deployments", TRICKS[trick], {"Content-Type": "application/zip"})
    assert answer.status in (413, 422), (trick, answer)
    assert answer.json()["type"] in ("/problems/package-invalid", "/problems/too-large") and answer.json()["detail"]
    after = request(stack.managerd.url + "/metrics").text
    aws = re.compile(r"^managerd_aws_attempts_total.*$", re.M)
    assert aws.findall(before) == aws.findall(after)
    assert call(stack, "GET", "/v1/apps/tricked").status == 404


def test_a_json_deployment_names_exactly_one_package(stack):
    for body in ({}, {"package": {}}, {"package": {"zip": "QQ==", "version": 1}}, {"package": {"image": {}}}):
        assert call(stack, "POST", "/v1/apps/choosy/deployments", body).status == 422, body
    assert call(stack, "POST", "/v1/apps/choosy/deployments", {"package": {"version": 3}}).status == 404
    assert call(stack, "POST", "/v1/apps/choosy/deployments", {"package": {"zip": "****"}}).json()["type"] == \
        "/problems/package-invalid"


def test_a_package_of_several_megabytes_goes_through_as_zip_and_as_base64(stack):
    big = make_zip({"index.js": "exports.handler = async () => ({statusCode: 200, body: 'big'});",
                    "data.bin": os.urandom(8 << 20)})
    assert stack.deploy("heavy", big)["state"] == "succeeded"
    body = {"package": {"zip": base64.b64encode(big).decode()}}
    answer = call(stack, "POST", "/v1/apps/heavy/deployments", body, {"Prefer": "wait=30"})
    assert answer.status == 200 and stack.app("heavy").text == "big"
    sha = {v["package"]["sha256"] for v in call(stack, "GET", "/v1/apps/heavy/versions").json()["items"]}
    assert len(sha) == 1


# -- documents ------------------------------------------------------------------------------------------------------


def test_the_openapi_document_is_sound(stack):
    document = call(stack, "GET", "/openapi.json").json()
    assert document["openapi"].startswith("3.1") and document["info"]["version"]
    ids = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(ids) == len(set(ids)) >= 30
    for schema in document["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)
    for path, methods in document["paths"].items():
        wanted = set(re.findall(r"\{(\w+)\}", path))
        for operation in methods.values():
            assert {p["name"] for p in operation["parameters"] if p["in"] == "path"} == wanted
            assert "default" in operation["responses"] and len(operation["responses"]) >= 2
    for kind in ("schemas", "responses", "headers"):
        references = set(re.findall(rf'"#/components/{kind}/([\w-]+)"', json.dumps(document)))
        assert references == set(document["components"][kind])


def test_answers_fit_their_own_schemas(stack):
    schemas = Document(call(stack, "GET", "/openapi.json").body)

    def fits(name, value):
        schemas.validator(name, schemas.raw["components"]["schemas"][name]).validate(value)

    operation = stack.deploy("schema", package())
    fits("Operation", operation)
    fits("App", call(stack, "GET", "/v1/apps/schema").json())
    fits("Version", call(stack, "GET", "/v1/apps/schema/versions/1").json())
    fits("Traffic", call(stack, "GET", "/v1/apps/schema/traffic").json())
    fits("Status", call(stack, "GET", "/v1/apps/schema/status").json())
    fits("System", call(stack, "GET", "/v1/system").json())
    fits("Problem", call(stack, "GET", "/v1/apps/unknown").json())
    fits("CompatibilityStatus", call(stack, "GET", "/apps/schema/status").json())
    bad = call(stack, "POST", "/v1/apps/schema/deployments", make_zip({"index.js": "syntax error("}),
               {"Content-Type": "application/zip", "Prefer": "wait=20"})
    assert bad.status == 422
    fits("Problem", bad.json())
    fits("Version", call(stack, "GET", "/v1/apps/schema/versions/2").json())


def test_every_type_of_problem_is_a_page(stack):
    for type in ("/problems/invalid", "/problems/app-not-found", "/problems/aws-refused", "/problems/unauthenticated"):
        page = request(stack.managerd.url + type)
        assert page.status == 200 and page.header("Content-Type").startswith("text/html") and "<h1>" in page.text
    assert request(stack.managerd.url + "/problems/none-such").status == 404


def test_health_readiness_and_figures(stack):
    assert request(stack.managerd.url + "/healthz").status == 200
    checks = request(stack.managerd.url + "/readyz").json()
    assert checks["status"] == "ready" and {c["name"] for c in checks["checks"]} >= {"state", "routes"}
    text = request(stack.managerd.url + "/metrics").text
    for line in text.splitlines():
        assert re.fullmatch(r"# (HELP|TYPE) \w+ .+|\w+(\{[^}]*\})? [-+0-9.e]+(Inf)?", line), line
    assert 'managerd_calls_total{endpoint="getHealth",status="2xx"}' in text


# -- the port -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bytes_sent", [
    b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\n\r\n", b"GET /v1/apps HTTP/1.1\r\nHost: localhost\r\nHost: evil\r\n\r\n",
    b"POST /v1/apps/x/deployments HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    b"PUT /v1/apps/x HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n0\r\n\r\n",
    b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", random.Random(1).randbytes(4096)])
def test_what_is_no_lawful_message_is_refused_and_harms_nobody(stack, bytes_sent):
    answer = raw(stack.managerd.listen, bytes_sent, timeout=3, half_close=True)
    assert answer == b"" or re.match(rb"HTTP/1\.[01] (4\d\d|5\d\d) ", answer), answer[:200]
    assert request(stack.managerd.url + "/healthz").status == 200


# -- starting -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options, arguments, code, says", [
    ({"AWS_REGION": None}, (), 1, "region"), ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, (), 1, "AWS"),
    ({"MANAGERD_LISTEN": "nonsense"}, (), 2, "listen"), ({}, ("--bogus",), 2, "bogus"),
    ({"MANAGERD_MAX_PACKAGE_BYTES": "lots"}, (), 2, "MANAGERD_MAX_PACKAGE_BYTES"),
    ({"ORCHESTRATOR_PUBLIC_URL": "ftp://x"}, (), 2, "public-url"), ({"MANAGERD_TOKEN": "short"}, (), 2, "token"),
    ({"ORCHESTRATOR_BASE_DOMAIN": "bad host"}, (), 2, "base-domain"), ({"ORCHESTRATOR_DATA_DIR": "/proc/nowhere"}, (), 1, "folder")])
def test_what_it_cannot_start_with_is_said_in_a_sentence(options, arguments, code, says):
    aws = {"AWS_ENDPOINT_URL_LAMBDA": "http://127.0.0.1:1", "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "local",
           "AWS_SECRET_ACCESS_KEY": "local"}
    daemon = Managerd(aws=aws, options=options, arguments=arguments)
    daemon.launch()
    daemon.wait(expect=code, seconds=20)
    assert says.lower() in daemon.log_text().lower(), daemon.log_text()


def test_two_on_one_data_folder_are_refused(stack):
    second = Managerd(data=stack.data, aws=stack.lambda_local)
    second.launch()
    second.wait(expect=1, seconds=20)
    assert "another managerd" in second.log_text()
    assert request(stack.managerd.url + "/healthz").status == 200


def test_without_aws_deployments_fail_and_everything_else_works():
    aws = {"AWS_ENDPOINT_URL_LAMBDA": "http://127.0.0.1:1", "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "local",
           "AWS_SECRET_ACCESS_KEY": "local"}
    with Managerd(aws=aws) as daemon:
        daemon.wait_ready()
        answer = daemon.request("POST", "/v1/apps/alone/deployments", body=package(),
                                headers={"Content-Type": "application/zip", "Prefer": "wait=40"}, timeout=50)
        assert answer.status == 502 and answer.json()["type"] == "/problems/aws-unavailable"
        assert answer.json()["aws"]["code"] == "unreachable"
        assert daemon.request("PATCH", "/v1/apps/alone", {"enabled": False}).status == 200


def test_lists_and_documents_are_compressed_when_asked_for_and_single_resources_never(stack):
    import gzip
    for name in ("squeezed-a", "squeezed-b", "squeezed-c"):
        call(stack, "PUT", f"/v1/apps/{name}", {})
    for path in ("/openapi.json", "/v1/apps", "/metrics"):
        plain = call(stack, "GET", path)
        packed = call(stack, "GET", path, headers={"Accept-Encoding": "br, gzip;q=0.5"})
        assert packed.header("Content-Encoding") == "gzip" and packed.header("Vary") == "Accept-Encoding"
        assert len(packed.body) < len(plain.body) / 2
        if path != "/metrics":
            assert gzip.decompress(packed.body) == plain.body
        assert call(stack, "GET", path, headers={"Accept-Encoding": "gzip;q=0, br"}).header("Content-Encoding") is None
    one = call(stack, "GET", "/v1/apps/squeezed-a", headers={"Accept-Encoding": "gzip"})
    assert one.header("Content-Encoding") is None and one.header("ETag")


def test_a_full_store_is_a_507_that_loses_nothing_and_ends_when_there_is_room():
    aws = {"AWS_ENDPOINT_URL_LAMBDA": "http://127.0.0.1:1", "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "local",
           "AWS_SECRET_ACCESS_KEY": "local"}
    with Managerd(aws=aws, options={"MANAGERD_MAP_BYTES": "1M"}) as daemon:
        made = 0
        while True:
            answer = daemon.request("PUT", f"/v1/apps/app-{made}", {"description": "x" * (made * 53 % 1000)})
            if answer.status != 201:
                break
            made += 1
            assert made < 5000
        assert answer.status == 507 and answer.json()["type"] == "/problems/storage-full"
        assert request(daemon.url + "/readyz").status == 503
        assert all(daemon.request("GET", f"/v1/apps/app-{n}").status == 200 for n in range(made))
        # Whatever is tried meanwhile: out of service, and out, it always goes.
        for number in range(1, made, 2):
            if number % 5 == 0:
                daemon.request("PUT", "/v1/apps/one-more", {"description": "x" * 1000})
                assert daemon.request("POST", "/v1/apps/app-0/deactivate").status == 200
                assert daemon.request("POST", "/v1/apps/app-0/activate").status in (200, 507)
            gone = daemon.request("DELETE", f"/v1/apps/app-{number}", headers={"Prefer": "wait=10"})
            assert gone.status == 200, gone.text
        # The records of the removals are not what fills it then; and readiness needs nobody's write. (A small change that fits
        # makes it ready, too: a larger one may be told once more that there is no room yet.)
        wait_for(lambda: request(daemon.url + "/readyz").status == 200 and
                 daemon.request("PUT", "/v1/apps/new", {"description": "x" * 1000}).status == 201, 60)
        daemon.restart()
        assert all(daemon.request("GET", f"/v1/apps/app-{n}").status == 200 for n in range(0, made, 2))


def test_a_damaged_store_is_told_in_a_sentence():
    aws = {"AWS_ENDPOINT_URL_LAMBDA": "http://127.0.0.1:1", "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "local",
           "AWS_SECRET_ACCESS_KEY": "local"}
    daemon = Managerd(aws=aws)
    with daemon:
        daemon.request("PUT", "/v1/apps/kept", {})
        daemon.stop()
        path = daemon.data / "state" / "data.mdb"
        path.write_bytes(b"not a database" * 4096)
        daemon.launch()
        daemon.wait(expect=1, seconds=20)
        assert "managerd: " in daemon.log_text() and "state" in daemon.log_text()
