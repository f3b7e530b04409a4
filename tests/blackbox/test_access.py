"""Who may call: the rules of an app's route, with hand-made routes and on the whole stack."""
import datetime
import hashlib
import pathlib
import re
import threading
import time

import pytest

from fake_lambda import FakeLambda, Proxy, app, expect_fault, version
from harness import Stack, make_zip, raw, request, wait_for

RECORDS = {"future": "route-access-unknown-rule", "damaged": "route-sum-of-a-rule-whose-tag-is-damaged"}
RECORDS = {name: (pathlib.Path(__file__).parent.parent / f"vectors/records/{file}.hex").read_text().replace("\n", "") for name, file in RECORDS.items()}

GOOD, OTHER, OLD = "aok_good", "aok_other", "aok_old"


def sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def keyed(name, header="X-Api-Key", **more):
    keys = [{"id": "key-1", "hash": sha256(GOOD)}, {"id": "key-2", "hash": sha256(OTHER)},
            {"id": "key-3", "hash": sha256(OLD), "expires_at_ms": int(time.time() * 1000) - 1000},
            {"id": "key-4", "hash": sha256("aok_soon"), "expires_at_ms": int(time.time() * 1000) + 3600_000}]
    return app(name, access={"api_keys": {"header": header, "keys": keys}}, **more)


def answer(call):
    call.reply({"statusCode": 200, "body": "hello"})


@pytest.fixture(scope="module")
def edge():
    """A proxyd with apps that ask for keys, and the Lambda behind it."""
    with FakeLambda() as aws:
        aws.script = {name: answer for name in ("open", "keyed", "named", "old-format", "alb", "small")}
        with Proxy(aws, routes=[
                app("open"), keyed("keyed"), keyed("named", header="X-Shop-Key"),
                keyed("old-format", versions=[version("old-format", payload_format=1)]),
                keyed("alb", versions=[version("alb", payload_format=3)]),
                keyed("small", max_in_flight=1, rate_milli=1000, burst=1)],
                raw=[{"database": "routes", "key": name, "hex": record} for name, record in RECORDS.items()]) as proxyd:
            yield aws, proxyd


def ask(proxyd, name, headers=None, path="/", **more):
    return request(proxyd.url + path, host=f"{name}.localhost", headers=headers or {}, **more)


@pytest.mark.parametrize("headers", [
    {}, {"X-Api-Key": ""}, {"X-Api-Key": "aok_wrong"}, {"X-Api-Key": GOOD + "x"}, {"X-Api-Key": OLD}, {"Authorization": GOOD},
    {"X-Api-Key": "a" * 4000}, {"X-Api-Key": sha256(GOOD)}, {"X-Api-Key": GOOD + ", " + GOOD}, {"X-Shop-Key": GOOD}])
def test_who_has_no_key_is_refused_and_nothing_runs(edge, headers):
    aws, proxyd = edge
    before = aws.count("keyed")
    refused = ask(proxyd, "keyed", headers)
    line = expect_fault(proxyd, refused, "unauthorized", 401, "not-started")
    assert refused.header("WWW-Authenticate") == 'ApiKey realm="keyed", header="X-Api-Key"'
    assert "X-Api-Key" in refused.json()["detail"] and "api_key" not in line
    assert ("key-3" in line["detail"]) == (OLD in headers.values()), "operators see which key is over"
    assert aws.count("keyed") == before


def test_a_key_in_the_query_counts_for_nothing(edge):
    aws, proxyd = edge
    assert ask(proxyd, "keyed", path=f"/?X-Api-Key={GOOD}&api_key={GOOD}").status == 401


def test_two_keys_in_two_headers_are_none(edge):
    aws, proxyd = edge
    with_two = (f"GET / HTTP/1.1\r\nHost: keyed.localhost\r\nX-Api-Key: {GOOD}\r\nx-api-key: {GOOD}\r\n"
                "Connection: close\r\n\r\n")
    assert raw(proxyd.listen, with_two.encode()).startswith(b"HTTP/1.1 401 ")


@pytest.mark.parametrize("key, id", [(GOOD, "key-1"), (OTHER, "key-2"), ("aok_soon", "key-4")])
def test_any_of_the_keys_passes_and_only_its_id_goes_on(edge, key, id):
    aws, proxyd = edge
    for name, header in (("keyed", "x-api-key"), ("named", "X-SHOP-KEY"), ("old-format", "X-Api-Key"), ("alb", "X-Api-Key")):
        passed = ask(proxyd, name, {header: key, "X-Orchestrator-Api-Key-Id": "forged"})
        assert passed.status == 200, passed.text
        assert proxyd.line_of(passed)["api_key"] == id
        event = aws.last().event
        assert key not in str(event), "functions log their events"
        headers = {name.lower(): value for name, value in event["headers"].items()}
        assert headers["x-orchestrator-api-key-id"] == id and header.lower() not in headers
        if name == "old-format":
            identity = event["requestContext"]["identity"]
            assert (identity["apiKeyId"], identity["apiKey"]) == (id, None)
    assert key not in proxyd.log_text(), "no key is ever logged"


HOSTS = ["guarded.localhost", "GUARDED.LocalHost", "guarded.localhost.", "guarded.localhost:1", "v1--guarded.localhost", "V1--guarded.localhost.",
         "guarded.example.com", "GUARDED.example.com.", "any.w.example.com", "elsewhere.invalid"]
TARGETS = ["/", "//", "/x", "/guarded", "/guarded/", "/%67uarded/", "/guarded/?x", "/api", "/api/x", "http://{}/", "http://{}/guarded", "*"]
WAYS = [("GET", ()), ("HEAD", ()), ("POST", ()), ("OPTIONS", ()), ("M-SEARCH", ()), ("POST", ("X-HTTP-Method-Override: OPTIONS",)), ("GET", ("Prefer: respond-async",)),
        ("GET", ("X-Orchestrator-Version: 1",)), ("GET", ("X-Orchestrator-Api-Key-Id: key-1",)), ("GET", ("X_Api_Key: " + GOOD,)), ("GET", ("Connection: X-Api-Key",)),
        ("GET", ("X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: open.localhost", "X-Original-URL: /", "Forwarded: host=open.localhost")),
        ("GET", ("X-Api-Key: " + GOOD, "x-api-key: " + GOOD)), ("GET", ("Authorization: ApiKey " + GOOD,)), ("OPTIONS", ("Origin: https://a.example",))]


def test_no_other_way_to_write_a_request_leads_past_the_rule():
    """Each host, target and way with each other: 401, or nothing of that app at all."""
    token = app("tokened", access={"jwt": {"issuer": "https://issuer.example", "audiences": ["a"], "algorithms": ["ES256"]}})
    with FakeLambda() as aws, Proxy(aws, routes=[keyed("guarded", previews=True, version_header=True, respond_async=True), token], domains=[
            {"host": "guarded.example.com", "paths": [{"prefix": "/", "app": "guarded"}]},
            {"host": "*.w.example.com", "paths": [{"prefix": "/api", "app": "tokened", "strip": True}, {"prefix": "/", "app": "guarded"}]}]) as proxyd:
        seen = set()
        for host in HOSTS:
            for target in TARGETS:
                for method, more in WAYS:
                    head = [f"{method} {target.format(host)} HTTP/1.1", f"Host: {host}", "Content-Length: 0", "Connection: close", *more, "", ""]
                    answer = raw(proxyd.address, "\r\n".join(head).encode())
                    assert answer[9:12] in (b"401", b"404", b"400"), (head, answer)
                    seen.add(answer[9:12])
        assert seen == {b"401", b"404", b"400"} and not aws.calls
        assert ask(proxyd, "guarded", {"X-Api-Key": GOOD}).status == 200


def test_an_app_without_the_rule_gets_the_header_as_any_other(edge):
    aws, proxyd = edge
    assert ask(proxyd, "open", {"X-Api-Key": GOOD}).status == 200
    event = aws.last().event
    assert event["headers"]["x-api-key"] == GOOD and "x-orchestrator-api-key-id" not in event["headers"]


def test_who_may_not_call_uses_up_nothing_of_the_app(edge):
    aws, proxyd = edge
    for _ in range(20):
        assert ask(proxyd, "small").status == 401
    assert ask(proxyd, "small", {"X-Api-Key": GOOD}).status == 200, "the rate of one a second is all there"


@pytest.mark.parametrize("name", RECORDS)
def test_a_rule_that_is_newer_or_damaged_refuses_the_app_and_no_other(edge, name):
    aws, proxyd = edge
    expect_fault(proxyd, ask(proxyd, name, {"X-Api-Key": GOOD}), "record-unreadable", 503, "not-started", 5)
    assert ask(proxyd, "open").status == 200


# -- keys, on the whole stack ---------------------------------------------------------------------------------------------

ECHO = make_zip({"index.js": "exports.handler = async (event) => ({statusCode: 200, headers: {'content-type': 'application/json'},"
                             "body: JSON.stringify(event)});"})


@pytest.fixture(scope="module")
def stack():
    with Stack(managerd={"MANAGERD_DRAIN_MS": "0"}) as running:
        for name in ("shop", "other"):
            running.deploy(name, ECHO)
        yield running


def call(stack, method, path, body=None, **headers):
    return stack.managerd.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})


def rule(stack, name, access):
    answer = call(stack, "PATCH", f"/v1/apps/{name}", {"access": access})
    assert answer.status == 200, answer.text
    return answer.json()["access"]


def make_key(stack, name="shop", body=None, **headers):
    answer = call(stack, "POST", f"/v1/apps/{name}/keys", body or {"name": "tests"}, **headers)
    assert answer.status == 201, answer.text
    return answer.json()


def use(stack, secret, name="shop", header="X-Api-Key", **headers):
    return stack.app(name, headers={header: secret, **{name.replace("_", "-"): text for name, text in headers.items()}})


def test_a_key_opens_the_next_request_and_its_end_closes_the_one_after(stack):
    assert stack.app("shop").status == 200, "off by default"
    assert rule(stack, "shop", {"apiKeys": {}})["apiKeys"] == {"header": "X-Api-Key"}
    assert stack.app("shop").status == 401, "nobody has a key yet"
    for _ in range(10):
        key = make_key(stack)
        assert use(stack, key["secret"]).status == 200
        assert call(stack, "DELETE", f"/v1/apps/shop/keys/{key['id']}").status == 204
        assert use(stack, key["secret"]).status == 401
        assert call(stack, "DELETE", f"/v1/apps/shop/keys/{key['id']}").json()["type"] == "/problems/key-not-found"
    rule(stack, "shop", {"apiKeys": None})
    assert stack.app("shop").status == 200


def test_no_request_that_begins_after_the_end_of_its_key_is_served_on_any_worker(stack):
    rule(stack, "shop", {"apiKeys": {}})
    key, over, statuses = make_key(stack), threading.Event(), []

    def hammer():
        for _ in range(2000):
            after = over.is_set()
            statuses.append((after, use(stack, key["secret"]).status))
            if after:
                return

    threads = [threading.Thread(target=hammer) for _ in range(6)]
    for thread in threads:
        thread.start()
    wait_for(lambda: len(statuses) > 30, 20, "the key is used by all")
    assert call(stack, "DELETE", f"/v1/apps/shop/keys/{key['id']}").status == 204
    over.set()
    for thread in threads:
        thread.join(60)
    assert [status for after, status in statuses if after] == [401] * 6
    assert {status for after, status in statuses if not after} <= {200, 401} and (False, 200) in statuses
    rule(stack, "shop", None)


def test_a_key_is_long_recognisable_and_shown_once(stack):
    made = call(stack, "POST", "/v1/apps/shop/keys", {"name": "the backend", "expiresAt": "2999-01-01T00:00:00Z"})
    key = made.json()
    assert made.status == 201 and made.header("Location") == f"/v1/apps/shop/keys/{key['id']}"
    assert re.fullmatch("aok_[0-9a-f]{48}", key["secret"]) and key["secret"].startswith(key["hint"])
    assert hashlib.sha256(key["secret"][:44].encode()).hexdigest()[:8] == key["secret"][44:], "scanners can check it"
    assert (key["name"], key["expiresAt"], key["createdBy"]) == ("the backend", "2999-01-01T00:00:00.000Z", "local")
    read = call(stack, "GET", made.header("Location"))
    assert read.json() == {name: value for name, value in key.items() if name != "secret"}
    assert read.header("ETag") == made.header("ETag") == call(stack, "GET", "/v1/apps/shop").header("ETag")
    listed = call(stack, "GET", "/v1/apps/shop/keys").json()["items"]
    assert [item["hint"] for item in listed if item["id"] == key["id"]] == [key["hint"]]
    assert "secret" not in str(listed) and "sha256" not in str(listed)
    assert "apiKeys" not in str(call(stack, "GET", "/v1/apps/shop").json().get("internal", ""))
    assert call(stack, "DELETE", made.header("Location"), If_Match='"1"').status == 412
    assert call(stack, "DELETE", made.header("Location"), If_Match=made.header("ETag")).status == 204


def test_an_answer_that_is_given_again_has_no_secret(stack):
    first = call(stack, "POST", "/v1/apps/shop/keys", {"name": "once"}, Idempotency_Key="make-a-key")
    again = call(stack, "POST", "/v1/apps/shop/keys", {"name": "once"}, Idempotency_Key="make-a-key")
    assert (again.status, again.header("Idempotency-Replayed")) == (201, "true")
    assert again.json() == {**first.json(), "secret": None}
    assert call(stack, "DELETE", f"/v1/apps/shop/keys/{first.json()['id']}").status == 204


def test_two_keys_work_while_one_takes_over_and_only_for_their_app(stack):
    rule(stack, "shop", {"apiKeys": {"header": "X-Shop-Key"}})
    rule(stack, "other", {"apiKeys": {}})
    old, new = make_key(stack), make_key(stack)
    for key in (old, new):
        answer = use(stack, key["secret"], header="x-shop-key")
        event = answer.json()
        assert event["headers"]["x-orchestrator-api-key-id"] == key["id"] and key["secret"] not in answer.text
        assert use(stack, key["secret"]).status == 401, "the header is the other one"
        assert use(stack, key["secret"], name="other").status == 401
    assert call(stack, "DELETE", f"/v1/apps/shop/keys/{old['id']}").status == 204
    assert [use(stack, key["secret"], header="X-Shop-Key").status for key in (old, new)] == [401, 200]
    for name in ("shop", "other"):
        rule(stack, name, None)
    assert call(stack, "GET", "/v1/apps/shop").json()["access"]["apiKeys"] is None


def test_a_key_ends_by_the_clock(stack):
    rule(stack, "other", {"apiKeys": {}})
    soon = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(seconds=1.5)
    key = make_key(stack, "other", {"name": "short", "expiresAt": soon.isoformat()})
    assert use(stack, key["secret"], "other").status == 200
    while datetime.datetime.now(datetime.timezone.utc) <= soon:
        time.sleep(0.05)
    assert use(stack, key["secret"], "other").status == 401
    wait_for(lambda: any(key["id"] in line.get("detail", "") for line in stack.proxyd.access_lines()), 10, "operators see which key is over")
    rule(stack, "other", None)


def test_previews_and_versions_asked_for_obey_the_same_rule(stack):
    assert call(stack, "PATCH", "/v1/apps/shop", {"previewUrls": True, "versionHeader": True,
                                                  "access": {"apiKeys": {}}}).status == 200
    key = make_key(stack)
    for host, headers in (("v1--shop.localhost", {}), ("shop.localhost", {"X-Orchestrator-Version": "1"})):
        assert request(stack.proxyd.url + "/", host=host, headers=headers).status == 401
        assert request(stack.proxyd.url + "/", host=host, headers={**headers, "X-Api-Key": key["secret"]}).status == 200
    stack.deploy("shop", ECHO)
    assert stack.app("shop").status == 401, "a deployment's probe needs no key, callers still do"
    assert call(stack, "PATCH", "/v1/apps/shop", {"previewUrls": False, "versionHeader": False, "access": None}).status == 200


def test_each_fault_of_a_key_or_a_rule_has_its_pointer(stack):
    def pointers(answer):
        assert answer.status == 422, answer.text
        return sorted(error.get("pointer", error.get("parameter")) for error in answer.json()["errors"])

    keys, shop = "/v1/apps/shop/keys", "/v1/apps/shop"
    assert pointers(call(stack, "POST", keys, {})) == ["/name"]
    assert pointers(call(stack, "POST", keys, {"name": "", "expiresAt": "tomorrow", "x": 1})) == ["/expiresAt", "/name", "/x"]
    assert pointers(call(stack, "POST", keys, {"name": "a", "expiresAt": "2020-01-01T00:00:00Z"})) == ["/expiresAt"]
    assert pointers(call(stack, "GET", keys + "?limit=0&cursor=x")) == ["cursor", "limit"]
    assert pointers(call(stack, "PATCH", shop, {"access": {"keys": {}}})) == ["/access/keys"]
    for header in ("", "Authorization", "cookie", "X Key", "Host", "X-Forwarded-For", "x-orchestrator-key", "a" * 65, "Content-Type"):
        assert pointers(call(stack, "PATCH", shop, {"access": {"apiKeys": {"header": header}}})) == ["/access/apiKeys/header"]
    assert call(stack, "POST", "/v1/apps/none/keys", {"name": "a"}).status == 404
    assert call(stack, "GET", keys + "/none").status == 404


def test_keys_are_limited_in_number_and_listed_in_pages(stack):
    ids = [make_key(stack, "other")["id"] for _ in range(49 - len(call(stack, "GET", "/v1/apps/other/keys").json()["items"]))]
    make_key(stack, "other")
    full = call(stack, "POST", "/v1/apps/other/keys", {"name": "one more"})
    assert (full.status, full.json()["type"]) == (409, "/problems/conflict")
    seen, cursor = [], ""
    while cursor is not None:
        page = call(stack, "GET", f"/v1/apps/other/keys?limit=7{cursor and '&cursor=' + cursor}").json()
        seen += [item["id"] for item in page["items"]]
        cursor = page["nextCursor"]
    assert len(seen) == 50 and seen == sorted(seen) and set(ids) <= set(seen)
    rule(stack, "other", {"apiKeys": {}})
    assert stack.app("other").status == 401
    rule(stack, "other", None)


def test_no_secret_is_written_anywhere(stack):
    rule(stack, "shop", {"apiKeys": {}})
    key = make_key(stack, **{"Idempotency-Key": "written-nowhere"})
    assert use(stack, key["secret"]).status == 200
    assert use(stack, key["secret"] + "0").status == 401
    for daemon in (stack.managerd, stack.proxyd):
        assert key["secret"][8:] not in daemon.log_text(all_starts=True)
    for path in pathlib.Path(stack.managerd.data).rglob("*"):
        if path.is_file():
            assert key["secret"][8:].encode() not in path.read_bytes(), path
    stack.managerd.restart()
    assert use(stack, key["secret"]).status == 200, "a rebuild of the routes keeps it"
    assert use(stack, "").status == 401
