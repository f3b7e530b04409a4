"""managerd as an HTTP server: what RFC 9110 and the API's own conventions promise, asked as strangers ask."""
import gzip
import json
import os
import re
import subprocess

import pytest

from harness import Stack, make_zip, raw, request, wait_for

UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def package(text="x"):
    return make_zip({"index.js": f"exports.handler = async () => ({{statusCode: 200, body: {json.dumps(text)}}});"})


@pytest.fixture(scope="module")
def stack():
    with Stack(managerd={"MANAGERD_DRAIN_MS": "0", "MANAGERD_MAX_PACKAGE_BYTES": "4M"}) as running:
        running.deploy("hello", package("hello"))
        for n in range(40):
            assert call(running, "PUT", f"/v1/apps/many-{n:02}", {"labels": {"set": "many"}}).status == 201
        yield running


def call(stack, method, path, body=None, **headers):
    return stack.managerd.request(method, path, body=body, timeout=40,
                                  headers={name.replace("_", "-"): str(value) for name, value in headers.items()})


# -- compression ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/v1/apps", "/v1/export", "/openapi.json", "/metrics"])
@pytest.mark.parametrize("asked", ["gzip", "br;q=1.0, GZIP;q=0.5", "*", "deflate, x-gzip", "gzip ; q=0.001"])
def test_lists_and_documents_are_compressed_when_asked_for(stack, path, asked):
    plain, packed = call(stack, "GET", path), call(stack, "GET", path, Accept_Encoding=asked)
    assert plain.header("Content-Encoding") is None and packed.header("Content-Encoding") == "gzip"
    assert plain.header("Vary") == packed.header("Vary") == "Accept-Encoding"
    assert len(packed.body) == int(packed.header("Content-Length")) < len(plain.body) / 2
    unpacked = gzip.decompress(packed.body)
    if path != "/metrics":
        assert json.loads(unpacked) == plain.json()
    else:
        assert b"managerd_info" in unpacked
    assert packed.header("Content-Type") == plain.header("Content-Type")


@pytest.mark.parametrize("asked", ["", "identity", "gzip;q=0", "gzip;q=0.000, *", "*;q=0", "br", "gzipped"])
def test_nothing_is_compressed_unless_asked_for(stack, asked):
    answer = call(stack, "GET", "/openapi.json", Accept_Encoding=asked)
    assert answer.status == 200 and answer.header("Content-Encoding") is None and answer.json()["openapi"]


def test_single_resources_and_problems_are_never_compressed(stack):
    call(stack, "PUT", "/v1/apps/long", {"description": "a" * 1000, "labels": {f"l{n}": "b" * 100 for n in range(50)}})
    read = call(stack, "GET", "/v1/apps/long", Accept_Encoding="gzip")
    assert len(read.body) > 5000 and read.header("Content-Encoding") is None and read.header("Vary") is None
    wrong = call(stack, "PUT", "/v1/apps/long", {f"m{n}": n for n in range(90)}, Accept_Encoding="gzip")
    assert wrong.status == 422 and len(wrong.body) > 2000 and wrong.header("Content-Encoding") is None


def test_head_says_what_get_would_also_when_compressed(stack):
    for headers in ({}, {"Accept_Encoding": "gzip"}):
        for path in ("/v1/apps", "/v1/apps/hello", "/openapi.json", "/healthz", "/problems/conflict"):
            read, head = call(stack, "GET", path, **headers), call(stack, "HEAD", path, **headers)
            assert head.status == read.status == 200 and head.body == b""
            for name in ("Content-Type", "Content-Length", "Content-Encoding", "ETag", "Vary"):
                assert head.header(name) == read.header(name), (path, name)


# -- bodies -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def large_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("large") / "large.bin"
    path.write_bytes(os.urandom(1 << 20) * 16)
    return path


@pytest.mark.parametrize("more", [["--data-binary"], ["-H", "Expect:", "--data-binary"],
                                  ["-H", "Transfer-Encoding: chunked", "--data-binary"],
                                  ["-H", "Expect:", "-H", "Transfer-Encoding: chunked", "--data-binary"]],
                         ids=["announced", "at once", "chunked", "chunked at once"])
@pytest.mark.parametrize("method, path, kind", [
    ("POST", "/v1/apps/hello/deployments", "application/zip"), ("POST", "/v1/apps/hello/deployments", "application/json"),
    ("PUT", "/v1/apps/hello", "application/json"), ("POST", "/apps/deploy", "application/json")])
def test_curl_reads_the_413_of_a_body_that_is_too_large(stack, large_file, method, path, kind, more):
    done = subprocess.run(["curl", "-sS", "-i", "--max-time", "20", "-X", method, *more, f"@{large_file}", "-H", f"Content-Type: {kind}",
                           "-H", "X-Request-Id: too-much", stack.managerd.url + path], capture_output=True, timeout=30)
    assert done.returncode == 0, done.stderr
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    if b" 100 " in head.split(b"\r\n")[0]:
        head, _, body = body.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 413 "), head
    problem = json.loads(body)
    assert problem["type"] == "/problems/too-large" and "4194304" in problem["detail"]
    assert b"x-request-id: too-much" in head.lower()


def test_every_answer_names_its_request_also_when_the_message_was_refused(stack):
    lawful = raw(stack.managerd.listen, b"GET /v1/apps HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
    assert lawful.startswith(b"HTTP/1.1 400 ")
    made = re.search(rb"\r\nX-Request-Id: (\S+)\r\n", lawful).group(1).decode()
    assert UUID.fullmatch(made) and json.loads(lawful.partition(b"\r\n\r\n")[2])["instance"] == f"urn:uuid:{made}"
    for message in (b"nonsense\r\n\r\n", b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
                    b"GET / HTTP/1.1\r\nHost: a\r\nX-Request-Id: a~b\r\nContent-Length: x\r\n\r\n"):
        answer = raw(stack.managerd.listen, message)
        assert UUID.fullmatch(re.search(rb"\r\nX-Request-Id: (\S+)\r\n", answer).group(1).decode()), answer


def test_a_body_of_another_type_is_415_and_the_answer_lists_what_is_taken(stack):
    form = call(stack, "POST", "/v1/apps/hello/deployments", b"a=b", Content_Type="application/x-www-form-urlencoded")
    assert form.status == 415 and form.header("Accept-Post") == "application/zip, application/json"
    assert form.json()["type"] == "/problems/media-type" and "application/zip" in form.json()["detail"]
    assert call(stack, "PUT", "/v1/apps/hello", b"a: b", Content_Type="application/yaml").header("Accept") == "application/json"
    patch = call(stack, "PATCH", "/v1/apps/hello", b"[]", Content_Type="application/json-patch+json")
    assert patch.status == 415 and "application/merge-patch+json" in patch.header("Accept-Patch")
    assert call(stack, "POST", "/v1/apps/hello/activate", b"a=b", Content_Type="application/x-www-form-urlencoded").status == 415


def test_an_action_without_members_takes_an_empty_object_and_names_any_other(stack):
    assert call(stack, "POST", "/v1/apps/hello/activate", {}).status == 200
    assert call(stack, "POST", "/v1/apps/hello/activate").status == 200
    wrong = call(stack, "POST", "/v1/apps/hello/activate", {"force": True, "when": "now"})
    assert wrong.status == 422 and {e["pointer"] for e in wrong.json()["errors"]} == {"/force", "/when"}
    assert call(stack, "POST", "/v1/apps/hello/rollback", {"versoin": 1}).json()["errors"] == [
        {"pointer": "/versoin", "detail": "is not a member of Rollback, which has version"}]


def test_faults_of_path_query_and_body_are_told_together(stack):
    answer = call(stack, "PUT", "/v1/apps/Bad_Name?force=1&force=2", {"memoryMb": 1, "nonsense": {}})
    assert answer.status == 422
    assert {e.get("parameter") or e["pointer"] for e in answer.json()["errors"]} == {"name", "force", "/memoryMb", "/nonsense"}


# -- queries ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path, parameter", [
    ("/v1/apps?limit=1&limit=2", "limit"), ("/v1/apps?lim%69t=1&limit=2", "limit"), ("/v1/apps?cursor=2f2f", "cursor"),
    ("/v1/apps?cursor=zz", "cursor"), ("/v1/apps?label=nothing", "label"), ("/v1/apps?label=:x", "label"),
    ("/v1/apps?limit=-1", "limit"), ("/v1/apps?limit=1e2", "limit"), ("/v1/apps?limit=", "limit"), ("/v1/apps?Limit=1", "Limit"),
    ("/v1/operations?state=done", "state"), ("/v1/operations?app=No%20Name", "app"), ("/v1/operations?cursor=61", "cursor"),
    ("/v1/apps/hello/versions?state=live", "state"), ("/v1/apps/hello/versions?cursor=61", "cursor"),
    ("/v1/apps?%ff=1", "query"), ("/v1/apps/hello?verbose=1", "verbose")])
def test_a_wrong_parameter_is_named_and_never_ignored(stack, path, parameter):
    answer = call(stack, "GET", path)
    assert answer.status == 422, answer
    assert parameter in [e["parameter"] for e in answer.json()["errors"]], answer.text


def test_a_setting_given_twice_in_a_deployments_query_is_refused(stack):
    answer = call(stack, "POST", "/v1/apps/hello/deployments?memoryMb=128&memoryMb=256", package(), Content_Type="application/zip")
    assert answer.status == 422 and answer.json()["errors"] == [{"parameter": "memoryMb", "detail": "is there more than once"}]


def test_a_cursor_of_another_apps_versions_is_refused(stack):
    call(stack, "POST", "/v1/apps/hello/deployments", {"package": {"version": 1}}, Prefer="wait=30")
    cursor = call(stack, "GET", "/v1/apps/hello/versions?limit=1").json()["nextCursor"]
    assert call(stack, "GET", f"/v1/apps/hello/versions?cursor={cursor}").json()["items"][0]["version"] == 2
    other = call(stack, "GET", f"/v1/apps/many-00/versions?cursor={cursor}")
    assert other.status == 422 and other.json()["errors"][0]["parameter"] == "cursor"


def test_pages_lose_nothing_and_repeat_nothing_while_others_write(stack):
    seen, cursor, turn = [], "", 0
    while True:
        page = call(stack, "GET", "/v1/apps?limit=7&label=set:many" + (f"&cursor={cursor}" if cursor else "")).json()
        seen += [app["name"] for app in page["items"]]
        cursor = page["nextCursor"]
        if not cursor:
            break
        # What the cursor names goes; what lies before and behind it changes; new ones come before it.
        assert call(stack, "DELETE", f"/v1/apps/{seen[-1]}", Prefer="wait=20").status == 200
        call(stack, "PATCH", f"/v1/apps/{seen[0]}", {"description": f"turn {turn}"})
        call(stack, "PUT", f"/v1/apps/a-new-{turn}", {"labels": {"set": "many"}})
        turn += 1
    assert seen == [f"many-{n:02}" for n in range(40)]


# -- methods ----------------------------------------------------------------------------------------------------------


def test_every_path_of_the_document_answers_options_and_refuses_other_methods_with_what_it_allows(stack):
    document = call(stack, "GET", "/openapi.json").json()
    for path, methods in document["paths"].items():
        concrete = re.sub(r"\{version\}", "1", re.sub(r"\{name\}", "hello", path)).replace("{id}", "x").replace("{key}", "x").replace("{change}", "x").replace("{file}", "x").replace("{slug}", "conflict").replace("{host}", "hello.example")
        allowed = {m.upper() for m in methods} | {"OPTIONS"} | ({"HEAD"} if "get" in methods else set())
        answer = call(stack, "OPTIONS", concrete)
        assert answer.status == 204 and set(answer.header("Allow").split(", ")) == allowed, path
        assert ("PATCH" in allowed) == (answer.header("Accept-Patch") is not None)
        for method in {"GET", "HEAD", "PUT", "PATCH", "POST", "DELETE"} - allowed:
            wrong = call(stack, method, concrete)
            assert wrong.status == 405 and set(wrong.header("Allow").split(", ")) == allowed, (method, path)


def test_an_app_that_was_removed_by_the_first_services_call_stays_removed_when_its_removal_has_ended(stack):
    stack.deploy("walked", package("x"))
    removed = {"name": "walked", "status": "REMOVED"}
    for when in ("its removal begins", "it has ended"):
        for action, expected in (("remove", 200), ("activate", 404), ("deactivate", 404), ("remove", 200)):
            answer = call(stack, "POST", f"/apps/walked/{action}")
            assert answer.status == expected and (expected == 404 or answer.json() == removed), (when, action, answer)
        assert call(stack, "GET", "/apps/walked/status").json() == removed
        wait_for(lambda: call(stack, "GET", "/v1/apps/walked").status == 404, 20, "it is gone")
    keyed = [call(stack, "POST", "/apps/walked/remove", Idempotency_Key="gone") for _ in range(2)]
    assert [one.json() for one in keyed] == [removed] * 2 and keyed[1].header("Idempotency-Replayed") == "true"
    assert call(stack, "POST", "/apps/never-there/remove").status == 404


@pytest.mark.parametrize("prefer, applied", [
    (["wait=30"], "wait=30"), (['wait="30"'], "wait=30"), (["respond-async , Wait = 30; x=y"], "wait=30"), (["return=minimal", "wait=30"], "wait=30"),
    (["wait=30, wait=0"], "wait=30"), (["wait=99999"], "wait=600"), (["wait=0"], "wait=0"), (["wait=-1"], None), (["wait"], None), (["return=minimal"], None)])
def test_a_preference_to_wait_is_understood_however_it_is_written(stack, prefer, applied):
    answer = stack.managerd.request("POST", "/v1/apps/hello/deployments", {"package": {"version": 1}, "traffic": "none"}, headers={"Prefer": prefer}, timeout=40)
    assert answer.header("Preference-Applied") == applied, answer
    assert answer.status == (200 if applied and applied != "wait=0" else 202), answer


def test_options_for_the_server_as_a_whole_are_answered(stack):
    answer = raw(stack.managerd.listen, b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 204 ") and b"\r\nAllow: GET, HEAD, PUT, PATCH, POST, DELETE, OPTIONS\r\n" in answer


# -- pages and ports of this machine ----------------------------------------------------------------------------------


@pytest.mark.parametrize("site, status", [("same-origin", 200), ("none", 200), ("same-site", 403), ("cross-site", 403)])
def test_only_pages_of_its_own_may_drive_an_open_managerd(stack, site, status):
    assert request(stack.managerd.url + "/v1/apps/hello/activate", method="POST", headers={"Sec-Fetch-Site": site}).status == status


def test_a_page_of_an_app_cannot_switch_apps_off(stack):
    """With path routing an app's pages have the origin http://localhost:8080: another port of the same machine."""
    proxy_port, port = stack.proxyd.address[1], stack.managerd.address[1]
    for origin in (f"http://localhost:{proxy_port}", f"http://hello.localhost:{proxy_port}", "http://localhost", "null"):
        answer = request(stack.managerd.url + "/v1/apps/hello/deactivate", method="POST", headers={"Origin": origin},
                         host=f"localhost:{port}")
        assert answer.status == 403 and answer.json()["type"] == "/problems/forbidden", origin
    assert stack.app("hello").text == "hello"
    own = request(stack.managerd.url + "/v1/apps", headers={"Origin": f"http://localhost:{port}"}, host=f"localhost:{port}")
    assert own.status == 200


# -- documents --------------------------------------------------------------------------------------------------------


def test_operations_carry_an_etag_for_those_who_poll(stack):
    done = call(stack, "POST", "/v1/apps/hello/deployments", {"package": {"version": 1}}, Prefer="wait=30")
    path = done.header("Location")
    read = call(stack, "GET", path)
    assert read.header("ETag") == f'"{read.json()["revision"]}"' and read.json()["state"] == "succeeded"
    unchanged = call(stack, "GET", path, If_None_Match=read.header("ETag"))
    assert unchanged.status == 304 and unchanged.body == b"" and unchanged.header("ETag") == read.header("ETag")
    assert call(stack, "GET", path, If_None_Match='"1"').status == 200
    assert call(stack, "POST", path + "/cancel", If_Match='"1"').status == 412


def test_the_document_tells_each_answers_type_headers_and_conditions(stack):
    """What the OpenAPI document says of an answer is what the answer is."""
    document = call(stack, "GET", "/openapi.json").json()
    done = call(stack, "POST", "/v1/apps/hello/deployments", {"package": {"version": 1}}, Prefer="wait=30")
    operation = done.json()["id"]
    assert call(stack, "PUT", "/v1/domains/hello.example", {"paths": [{"app": "hello"}]}).status == 201
    key = call(stack, "POST", "/v1/apps/hello/keys", {"name": "described"}).json()["id"]
    for path, methods in document["paths"].items():
        described = methods.get("get")
        if not described or path.startswith("/v1/tokens/"):  # a first token would close the API to the tests here
            continue
        concrete = path.replace("{name}", "hello").replace("{version}", "1").replace("{id}", operation)
        concrete = concrete.replace("{slug}", "conflict").replace("{host}", "hello.example").replace("{key}", key)
        concrete = concrete.replace("{file}", "event-2.0.json")
        if "{change}" in concrete:
            concrete = concrete.replace("{change}", call(stack, "GET", concrete.split("/{")[0]).json()["items"][0]["id"])
        if "url" in [p["name"] for p in described["parameters"] if p.get("required")]:
            concrete += "?url=http://hello.localhost/"
        answer = call(stack, "GET", concrete)
        response = described["responses"][str(answer.status)]
        assert answer.header("Content-Type").split(";")[0] == list(response["content"])[0], path
        assert ("ETag" in response["headers"]) == (answer.header("ETag") is not None), path
        conditional = "If-None-Match" in [p["name"] for p in described["parameters"]]
        assert conditional == ("304" in described["responses"]) == (answer.header("ETag") is not None), path
        if conditional:
            assert call(stack, "GET", concrete, If_None_Match=answer.header("ETag")).status == 304, path


def test_every_kind_of_problem_that_the_program_knows_has_its_page(stack):
    from harness import TOP
    header = (TOP / "managerd" / "problem.h").read_text()
    slugs = set(re.findall(r'X\(\w+,\s*"([a-z-]+)"', header)) - {"none"}
    assert len(slugs) > 25
    for slug in slugs:
        page = call(stack, "GET", f"/problems/{slug}")
        assert page.status == 200 and page.header("Content-Type") == "text/html; charset=utf-8" and "<h1>" in page.text, slug
