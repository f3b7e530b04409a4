"""Who may call: the rules of an app's route, with hand-made routes and on the whole stack."""
import hashlib
import pathlib
import time

import pytest

from fake_lambda import FakeLambda, Proxy, app, expect_fault, version
from harness import raw, request

RECORD = pathlib.Path(__file__).parent.parent / "vectors/records/route-access-unknown-rule.hex"

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
                raw=[{"database": "routes", "key": "future", "hex": RECORD.read_text().replace("\n", "")}]) as proxyd:
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


def test_a_rule_from_a_newer_release_refuses_the_app_and_no_other(edge):
    aws, proxyd = edge
    expect_fault(proxyd, ask(proxyd, "future", {"X-Api-Key": GOOD}), "record-unreadable", 503, "not-started", 5)
    assert ask(proxyd, "open").status == 200
