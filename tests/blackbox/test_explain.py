"""GET /v1/explain against what a real proxyd does: the same requests are explained and sent, and both must agree."""
import json
from urllib.parse import quote

import pytest

from harness import Stack, make_zip, request

ECHO = make_zip({"index.js": """exports.handler = async (event) => ({statusCode: 200, headers: {'content-type': 'application/json', 'x-by': 'function'},
    body: JSON.stringify({app: process.env.AWS_LAMBDA_FUNCTION_NAME, path: event.rawPath || event.path})});"""})
BASE = "apps.example.com"


@pytest.fixture(scope="module")
def stack():
    options = {"MANAGERD_BASE_DOMAIN": f"{BASE},second.example.com", "MANAGERD_PATH_ROUTING": "true", "MANAGERD_DRAIN_MS": "0"}
    with Stack(managerd=options) as running:
        for name in ("shop", "api", "docs"):
            running.deploy(name, ECHO)
        running.deploy("old", ECHO, payloadFormat="1.0")
        for _ in range(2):
            for name in ("split", "sticky", "byaddress", "seen"):
                running.deploy(name, ECHO)
        call(running, "PUT", "/v1/apps/empty", {})
        for name, settings in {
                "off": {"enabled": False}, "seen": {"previewUrls": True, "versionHeader": True},
                "keyed": {"access": {"apiKeys": {"header": "X-Api-Key"}}}, "later": {"respondAsync": True},
                "shared": {"access": {"cors": {"allowOrigins": ["https://good.example"], "allowMethods": ["GET", "PUT"]}}},
                "limited": {"limits": {"deadlineMs": 4321, "maxBodyBytes": 1000, "requestsPerSecond": 50, "burst": 60}}}.items():
            if name != "seen":
                running.deploy(name, ECHO)
            answer = call(running, "PATCH", f"/v1/apps/{name}", settings)
            assert answer.status == 200, answer.text
        running.key = call(running, "POST", "/v1/apps/keyed/keys", {"name": "test"}).json()["secret"]
        for name, sticky in (("split", "none"), ("sticky", "cookie"), ("byaddress", "address")):
            share = {"versions": [{"version": 1, "percent": 40}, {"version": 2, "percent": 60}], "sticky": sticky}
            assert call(running, "PUT", f"/v1/apps/{name}/traffic", share).status == 200
        for host, paths in {
                "shop.example.org": [{"app": "shop"}, {"prefix": "/api", "app": "api", "stripPrefix": True}, {"prefix": "/api/docs", "app": "docs"}],
                "*.wide.example.org": [{"app": "docs"}], "*.deep.wide.example.org": [{"app": "api"}], "one.deep.wide.example.org": [{"app": "shop"}],
                "part.example.org": [{"prefix": "/only", "app": "docs"}], "off.example.org": [{"app": "off"}],
                "bare.example.org": [{"app": "empty"}]}.items():
            assert call(running, "PUT", f"/v1/domains/{quote(host)}", {"paths": paths}).status == 201
        yield running


def call(stack, method, path, body=None):
    return stack.managerd.request(method, path, body)


def explain(stack, host, path="/", method="GET", headers=(), **more):
    query = "".join(f"&header={quote(f'{name}: {value}', safe='')}" for name, value in headers)
    query += "".join(f"&{name}={quote(value, safe='')}" for name, value in more.items())
    answer = call(stack, "GET", f"/v1/explain?method={method}&url={quote(f'http://{host}{path}', safe='')}{query}")
    assert answer.status == 200, answer.text
    return answer.json()


TABLE = [
    ("shop." + BASE, "/", {}), ("SHOP." + BASE.upper() + ".:8080", "/a?b=c", {}), ("shop.second.example.com", "/", {}), ("nobody." + BASE, "/", {}),
    ("a.b." + BASE, "/", {}), (BASE, "/", {}), (BASE, "/docs/x/y?z", {}), ("localhost", "/shop", {}), ("localhost", "/nobody/x", {}), ("localhost", "/", {}),
    ("localhost", "//shop", {}), ("127.0.0.1", "/api/", {}), ("empty." + BASE, "/", {}), ("off." + BASE, "/", {}), ("off.example.org", "/", {}),
    ("bare.example.org", "/", {}), ("shop.example.org", "/", {}), ("shop.example.org", "/api", {}), ("shop.example.org", "/api/v1?x=1", {}),
    ("shop.example.org", "/apix", {}), ("shop.example.org", "/%61pi/x", {}), ("shop.example.org", "/api/docs/a", {}), ("part.example.org", "/only/a", {}),
    ("part.example.org", "/shop", {}), ("x.wide.example.org", "/", {}), ("x.deep.wide.example.org", "/", {}), ("one.deep.wide.example.org", "/", {}),
    ("two.one.deep.wide.example.org", "/", {}), ("wide.example.org", "/", {}), ("wide.example.org", "/shop/in", {}), ("shop." + BASE, "/a/../b", {}),
    ("shop." + BASE, "/%2e%2e/b", {}), ("shop." + BASE, "/%zz", {}), ("shop." + BASE, "/%00", {}), ("shop." + BASE, "/a?b=%zz|{}", {}), ("sh~p." + BASE, "/", {}), ("sh!p." + BASE, "/", {}), ("v1--seen." + BASE, "/", {}), ("v2--seen." + BASE, "/", {}),
    ("v3--seen." + BASE, "/", {}), ("v1--split." + BASE, "/", {}), ("seen." + BASE, "/", {}), ("seen." + BASE, "/", {"X-Orchestrator-Version": "1"}),
    ("seen." + BASE, "/", {"X-Orchestrator-Version": "9"}), ("seen." + BASE, "/", {"X-Orchestrator-Version": "one"}),
    ("shop." + BASE, "/", {"X-Orchestrator-Version": "9"}), ("split." + BASE, "/", {}), ("sticky." + BASE, "/", {}),
    ("sticky." + BASE, "/", {"Cookie": "a=b; orchestrator_bucket=3999"}), ("sticky." + BASE, "/", {"Cookie": "orchestrator_bucket=4000"}),
    ("sticky." + BASE, "/", {"Cookie": "orchestrator_bucket=10000"}), ("byaddress." + BASE, "/", {}), ("keyed." + BASE, "/", {}),
    ("keyed." + BASE, "/", {"X-Api-Key": "aok_wrong"}), ("keyed." + BASE, "/", {"X-Api-Key": "KEY"}), ("shared." + BASE, "/", {"Origin": "https://good.example"}),
    ("shared." + BASE, "/", {"Origin": "https://good.example", "Access-Control-Request-Method": "PUT", "METHOD": "OPTIONS"}),
    ("shared." + BASE, "/", {"METHOD": "OPTIONS"}), ("later." + BASE, "/", {"Prefer": "respond-async", "METHOD": "POST"}),
    ("shop." + BASE, "/", {"Prefer": "respond-async", "METHOD": "POST"}), ("old." + BASE, "/p", {}), ("limited." + BASE, "/", {"METHOD": "DELETE"}),
]


def test_explain_says_what_proxyd_does(stack):
    assert len(TABLE) >= 40
    seen = set()
    for host, path, given in TABLE:
        headers = {name: stack.key if value == "KEY" else value for name, value in given.items() if name != "METHOD"}
        method = given.get("METHOD", "GET")
        told = explain(stack, host, path, method, headers.items(), address="127.0.0.1")
        real = request(stack.proxyd.url + path, method=method, host=host, headers=headers)
        case = (host, path, given, told, real)
        by_function = real.header("x-by") == "function"
        assert told["served"] == (by_function or real.status == 202), case
        assert told["status"] == (None if by_function else real.status), case
        if by_function:
            assert real.json() == {"app": told["app"], "path": told["forwardedPath"]}, case
            served = int(real.header("X-Orchestrator-Version"))
            assert served in [one["version"] for one in told["versions"]], case
            assert told["version"] is None or told["version"]["version"] == served, case
            seen.add(told["by"])
        elif real.status not in (202, 204):
            assert real.json()["type"] == f"urn:app-orchestrator:fault:{told['fault']}", case
            seen.add(told["fault"])
        assert told["considered"] and told["detail"], case
    assert seen == {"domain", "base-domain", "path", "unknown-app", "bad-target", "refused", "unauthorized"}


def test_it_says_why(stack):
    def why(*given, **more):
        return {(one["what"], one["subject"]): one["outcome"] for one in explain(stack, *given, **more)["considered"]}
    found = why("x.deep.wide.example.org")
    assert found[("exact-domain", "x.deep.wide.example.org")] == "no" and found[("wildcard-domain", "*.deep.wide.example.org")] == "match"
    assert not any(what == "base-domain" for what, _ in found), "a domain that exists answers for its host"
    found = why("shop.example.org", "/api/docs/a")
    assert [found[("prefix", prefix)] for prefix in ("/", "/api", "/api/docs")] == ["match"] * 3
    found = why("nobody.example.net", "/shop")
    assert found[("base-domain", BASE)] == "no" and found[("path-routing", None)] == "match" and found[("https-redirect", None)] == "not-known"
    assert ("https-redirect", None) not in {(o["what"], o["subject"]) for o in call(
        stack, "GET", "/v1/explain?url=" + quote("https://shop." + BASE, safe="")).json()["considered"]}
    assert why("split." + BASE)[("traffic", None)] == "not-known" and why("off." + BASE)[("enabled", "off")] == "no"
    assert why("byaddress." + BASE)[("sticky-address", None)] == "not-known"
    told = explain(stack, "limited." + BASE)
    assert told["limits"] == {"maxInFlight": 100, "requestsPerSecond": 50, "burst": 60, "deadlineMs": 4321, "maxBodyBytes": 1000}
    assert told["version"]["deadlineMs"] == 4321 and explain(stack, "shop." + BASE)["version"]["deadlineMs"] == 31000
    assert explain(stack, "old." + BASE)["version"]["payloadFormat"] == "1.0"
    told = explain(stack, "keyed." + BASE)
    assert told["access"]["apiKeyHeader"] and told["app"] == "keyed" and told["version"]["version"] == 1, "what would serve it is told all the same"
    assert [share["percent"] for share in explain(stack, "split." + BASE)["versions"]] == [40, 60]
    assert stack.key not in json.dumps(explain(stack, "keyed." + BASE, headers=[("X-Api-Key", stack.key)]))


def test_tokens_are_judged_as_by_the_proxy(stack):
    stack.deploy("signed", ECHO)
    rule = {"access": {"jwt": {"issuer": "https://issuer.invalid/", "audience": ["a"]}}}
    answer = call(stack, "PATCH", "/v1/apps/signed", rule)
    assert answer.status == 200, answer.text
    for headers, fault in (({}, "unauthorized"), ({"Authorization": "Basic eA=="}, "unauthorized"), ({"Authorization": "Bearer a.b.c"}, "keys-missing")):
        told = explain(stack, "signed." + BASE, headers=headers.items())
        real = request(stack.proxyd.url, host="signed." + BASE, headers=headers)
        assert (told["status"], told["fault"]) == (real.status, real.json()["type"].rpartition(":")[2]) and told["fault"] == fault


def test_what_is_wrong_with_the_question_is_told_at_once(stack):
    def faults(query):
        answer = call(stack, "GET", "/v1/explain" + query)
        assert answer.status == 422, answer.text
        return sorted({error["parameter"] for error in answer.json()["errors"]})
    assert faults("") == ["url"] and faults("?url=shop.example.org") == ["url"] and faults("?url=http://") == ["url"]
    assert faults("?url=http://u:p@shop.example.org/") == ["url"]
    assert faults("?url=ftp://x&method=get&header=nothing&header=%3Aa") == ["header", "method", "url"] and faults("?other=1") == ["other"]
    assert faults("?url=http://a/&url=http://b/") == ["url"]
    assert faults("?url=http://a/" + "&header=a:b" * 51) == ["header"]
    parameters = call(stack, "GET", "/openapi.json").json()["paths"]["/v1/explain"]["get"]["parameters"]
    assert {p["name"]: p["schema"]["type"] for p in parameters} == {"url": "string", "method": "string", "header": "array", "address": "string"}
