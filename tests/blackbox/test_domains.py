"""Domains: /v1/domains by its conventions, and what proxyd makes of them, on the real stack."""
import json
import threading

import pytest

from harness import Stack, make_zip, request

ECHO = make_zip({"index.js": """exports.handler = async (event) => ({statusCode: 200, headers: {'content-type': 'application/json'},
    body: JSON.stringify({app: process.env.AWS_LAMBDA_FUNCTION_NAME, path: event.rawPath, host: event.headers.host})});"""})


@pytest.fixture(scope="module")
def domains():
    """A stack with a base domain of its own, and the apps shop, api and docs."""
    with Stack(managerd={"MANAGERD_BASE_DOMAIN": "apps.example.com", "MANAGERD_DRAIN_MS": "0"}) as running:
        for name in ("shop", "api", "docs"):
            running.deploy(name, ECHO)
        yield running


def call(stack, method, path, body=None, **headers):
    return stack.managerd.request(method, path, body, {name.replace("_", "-"): text for name, text in headers.items()})


def put(stack, host, *paths, status=201, **headers):
    answer = call(stack, "PUT", f"/v1/domains/{host}", {"paths": list(paths)}, **headers)
    assert answer.status == status, answer.text
    return answer


def ask(stack, host, path="/", **more):
    return request(stack.proxyd.url + path, host=host, **more)


def served(stack, host, path="/"):
    answer = ask(stack, host, path)
    return (answer.json()["app"], answer.json()["path"]) if answer.status == 200 else answer.status


def pointers(answer):
    return sorted(error.get("pointer", error.get("parameter")) for error in answer.json()["errors"])


def test_an_answered_put_is_in_force_for_the_next_request(domains):
    for n in range(20):
        for app in ("shop", "api"):
            put(domains, "now.example.org", {"app": app}, status=201 if n == 0 and app == "shop" else 200)
            assert served(domains, "now.example.org") == (app, "/")
    assert call(domains, "DELETE", "/v1/domains/now.example.org").status == 204
    assert served(domains, "now.example.org") == 404
    assert call(domains, "GET", "/v1/domains/now.example.org").status == 404
    assert call(domains, "DELETE", "/v1/domains/now.example.org").json()["type"] == "/problems/domain-not-found"


def test_the_exact_host_beats_a_wildcard_and_the_longer_wildcard_the_shorter(domains):
    put(domains, "*.wide.example.org", {"app": "shop"})
    put(domains, "%2A.deep.wide.example.org", {"app": "api"})
    put(domains, "one.deep.wide.example.org", {"app": "docs"})
    assert served(domains, "x.wide.example.org") == ("shop", "/")
    assert served(domains, "x.deep.wide.example.org") == ("api", "/")
    assert served(domains, "y.x.deep.wide.example.org:8080") == ("api", "/")
    assert served(domains, "ONE.deep.wide.example.org.") == ("docs", "/")
    assert served(domains, "wide.example.org") == 404, "a wildcard does not cover its own name"
    assert served(domains, "shop.apps.example.com") == ("shop", "/"), "the base domain works all the same"


def test_the_longest_prefix_on_whole_segments_wins(domains):
    put(domains, "paths.example.org", {"prefix": "/", "app": "shop"}, {"prefix": "/api/", "app": "api", "stripPrefix": True},
        {"prefix": "/api/docs", "app": "docs"})
    assert served(domains, "paths.example.org", "/apix") == ("shop", "/apix")
    assert served(domains, "paths.example.org", "/api") == ("api", "/")
    assert served(domains, "paths.example.org", "/api/v1/things?a=b") == ("api", "/v1/things")
    assert served(domains, "paths.example.org", "/%61pi/v1") == ("api", "/v1")
    assert served(domains, "paths.example.org", "/api/docs/a") == ("docs", "/api/docs/a")
    put(domains, "part.example.org", {"prefix": "/only", "app": "docs"})
    assert served(domains, "part.example.org", "/only/this") == ("docs", "/only/this")
    assert served(domains, "part.example.org", "/other") == 404


def test_what_is_read_can_be_sent_back_and_conditions_hold(domains):
    first = put(domains, "Round.Example.ORG", {"app": "shop"}, {"prefix": "/caf%c3%a9/", "app": "api", "stripPrefix": True}, If_None_Match="*")
    assert first.header("Location") == "/v1/domains/round.example.org"
    read = call(domains, "GET", "/v1/domains/ROUND.example.org.")
    assert read.json() == first.json() and read.header("ETag") == first.header("ETag")
    assert read.json()["host"] == "round.example.org"
    assert read.json()["paths"] == [
        {"prefix": "/", "app": "shop", "stripPrefix": False, "url": "http://round.example.org:8080/"},
        {"prefix": "/caf%C3%A9", "app": "api", "stripPrefix": True, "url": "http://round.example.org:8080/caf%C3%A9"}]
    assert call(domains, "GET", "/v1/domains/round.example.org", If_None_Match=read.header("ETag")).status == 304
    again = call(domains, "PUT", "/v1/domains/round.example.org", read.json(), If_Match=read.header("ETag"))
    assert again.status == 200 and again.json()["paths"] == read.json()["paths"] and again.json()["createdAt"] == read.json()["createdAt"]
    assert call(domains, "PUT", "/v1/domains/round.example.org", read.json(), If_Match=read.header("ETag")).status == 412
    assert call(domains, "PUT", "/v1/domains/round.example.org", read.json(), If_None_Match="*").status == 412
    assert call(domains, "DELETE", "/v1/domains/round.example.org", If_Match=read.header("ETag")).status == 412
    assert call(domains, "PUT", "/v1/domains/new.example.org", {"paths": [{"app": "shop"}]}, If_Match="*").status == 412
    assert call(domains, "DELETE", "/v1/domains/round.example.org", If_Match=again.header("ETag")).status == 204


def test_every_fault_is_told_at_once(domains):
    answer = call(domains, "PUT", "/v1/domains/faults.example.org", {"host": "other.example.org", "paths": [
        {"prefix": "/a", "app": "nobody"}, {"prefix": "/../b", "app": "shop"}, {"prefix": "/a/", "app": "shop"}]})
    assert answer.status == 422
    assert pointers(answer) == ["/host", "/paths/0/app", "/paths/1/prefix", "/paths/2/prefix"]
    answer = call(domains, "PUT", "/v1/domains/-faults", {"paths": [{"app": "No", "strip": True}, {}], "tls": {"pem": ""}})
    assert answer.status == 422
    assert pointers(answer) == ["/paths/0/app", "/paths/0/strip", "/paths/1/app", "/tls/pem", "host"]
    for paths in ([], [{"prefix": f"/{n}", "app": "shop"} for n in range(101)]):
        assert pointers(call(domains, "PUT", "/v1/domains/faults.example.org", {"paths": paths})) == ["/paths"]
    for host in ("*", "*.org", "a.*.org", "a_b..org", "x:80", "b%C3%BC.org", "a" * 64 + ".org", "%zz"):
        assert call(domains, "PUT", f"/v1/domains/{host}", {"paths": [{"app": "shop"}]}).status in (400, 422), host
    long = [{"prefix": f"/{n}/" + "p" * 900, "app": "shop"} for n in range(100)]
    assert pointers(call(domains, "PUT", "/v1/domains/faults.example.org", {"paths": long})) == ["/paths"]
    assert call(domains, "GET", "/v1/domains/faults.example.org").status == 404
    assert call(domains, "PATCH", "/v1/domains/faults.example.org", {}).header("Allow") == "GET, HEAD, PUT, DELETE, OPTIONS"


def test_hosts_of_the_base_domain_are_no_domains(domains):
    for host in ("apps.example.com", "shop.apps.example.com", "*.apps.example.com", "*.example.com", "a.b.apps.example.com"):
        answer = put(domains, host, {"app": "shop"}, status=409)
        assert answer.json()["type"] == "/problems/domain-reserved" and "apps.example.com" in answer.json()["detail"]
    put(domains, "example.com", {"app": "shop"})


def test_an_app_names_its_domains_and_cannot_end_before_them(domains):
    domains.deploy("ending", ECHO)
    before = call(domains, "GET", "/v1/apps/ending")
    assert before.json()["domains"] == []
    put(domains, "z.ending.example.org", {"app": "ending"})
    put(domains, "a.ending.example.org", {"app": "shop"}, {"prefix": "/x", "app": "ending"})
    read = call(domains, "GET", "/v1/apps/ending")
    assert read.json()["domains"] == ["a.ending.example.org", "z.ending.example.org"]
    assert read.header("ETag") != before.header("ETag"), "another body has another strong ETag"
    listed = {app["name"]: app["domains"] for app in call(domains, "GET", "/v1/apps").json()["items"]}
    assert listed["ending"] == read.json()["domains"]
    assert call(domains, "PUT", "/v1/apps/ending", read.json()).json()["domains"] == read.json()["domains"]
    for method, path in (("DELETE", "/v1/apps/ending"), ("POST", "/apps/ending/remove")):
        answer = call(domains, method, path)
        assert answer.status == 409 and answer.json()["type"] == "/problems/app-has-domains"
        assert "a.ending.example.org, z.ending.example.org" in answer.json()["detail"]
    assert served(domains, "z.ending.example.org") == ("ending", "/")
    assert [one["host"] for one in call(domains, "GET", "/v1/domains?app=ending").json()["items"]] == read.json()["domains"]
    put(domains, "a.ending.example.org", {"app": "shop"}, status=200)
    assert call(domains, "GET", "/v1/apps/ending").json()["domains"] == ["z.ending.example.org"]
    assert call(domains, "DELETE", "/v1/domains/z.ending.example.org").status == 204
    assert call(domains, "DELETE", "/v1/apps/ending", Prefer="wait=60").status == 200
    answer = call(domains, "PUT", "/v1/domains/late.example.org", {"paths": [{"app": "ending"}]})
    assert answer.status == 422 and pointers(answer) == ["/paths/0/app"]


def test_no_domain_is_left_without_its_app_however_both_calls_race(domains):
    for n in range(10):
        name, host = f"race-{n}", f"race-{n}.example.org"
        assert call(domains, "PUT", f"/v1/apps/{name}", {}).status == 201
        answers = {}
        threads = [threading.Thread(target=lambda: answers.update(end=call(domains, "DELETE", f"/v1/apps/{name}", Prefer="wait=30").status)),
                   threading.Thread(target=lambda: answers.update(put=call(domains, "PUT", f"/v1/domains/{host}", {"paths": [{"app": name}]}).status))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert (answers["end"], answers["put"]) in ((200, 422), (409, 201)), answers


def test_the_list_has_pages_and_writing_needs_an_admin(domains):
    for n in range(5):
        put(domains, f"page-{n}.example.net", {"app": "docs"})
    seen, cursor = [], ""
    while True:
        page = call(domains, "GET", f"/v1/domains?app=docs&limit=2{cursor}").json()
        assert len(page["items"]) <= 2
        seen += [one["host"] for one in page["items"]]
        if page["nextCursor"] is None:
            break
        cursor = "&cursor=" + page["nextCursor"]
    assert [host for host in seen if host.endswith(".example.net")] == [f"page-{n}.example.net" for n in range(5)]
    assert seen == sorted(seen) and len(set(seen)) == len(seen)
    assert call(domains, "GET", "/v1/domains?cursor=zz&limit=0&app=No&x=1").status == 422
    document = call(domains, "GET", "/openapi.json").json()
    assert document["paths"]["/v1/domains/{host}"]["put"]["x-required-role"] == "admin"
    assert document["paths"]["/v1/domains/{host}"]["delete"]["x-required-role"] == "admin"
    assert {"200", "201", "409", "412", "422"} <= set(document["paths"]["/v1/domains/{host}"]["put"]["responses"]) and "404" not in document["paths"]["/v1/domains/{host}"]["put"]["responses"]
    assert json.loads(json.dumps(document["components"]["schemas"]["Domain"]))["properties"]["paths"]["maxItems"] == 100


def test_domains_outlive_a_restart_and_a_lost_route_store(stack):
    stack.deploy("kept", ECHO)
    put(stack, "kept.example.org", {"prefix": "/a", "app": "kept", "stripPrefix": True})
    before = call(stack, "GET", "/v1/domains/kept.example.org")
    stack.managerd.restart()
    stack.managerd.wait_ready()
    assert served(stack, "kept.example.org", "/a/b") == ("kept", "/b")
    assert call(stack, "GET", "/v1/domains/kept.example.org").header("ETag") == before.header("ETag")
    stack.proxyd.stop()
    stack.managerd.stop()
    for file in (stack.data / "routes").iterdir():
        file.unlink()
    stack.managerd.start()
    stack.managerd.wait_ready()
    stack.proxyd.start()
    stack.proxyd.wait_ready()
    assert served(stack, "kept.example.org", "/a/b") == ("kept", "/b")
    assert call(stack, "DELETE", "/v1/domains/kept.example.org").status == 204
    assert served(stack, "kept.example.org", "/a/b") == 404


# -- which version ----------------------------------------------------------------------------------------------------


def says(text):
    return make_zip({"index.js": f"exports.handler = async (event) => ({{statusCode: 200, body: '{text}', "
                                 "headers: {'x-orchestrator-version': 'forged'}});"})


@pytest.fixture(scope="module")
def versions(domains):
    """The app "many": versions 1 and 2 share traffic, 3 has none."""
    for n in (1, 2, 3):
        domains.deploy("many", says(f"v{n}"), **({"traffic": "none"} if n == 3 else {}))
    return domains


def share(stack, first, sticky):
    answer = call(stack, "PUT", "/v1/apps/many/traffic", {"sticky": sticky, "versions": [
        {"version": 1, "percent": first}, {"version": 2, "percent": 100 - first}]})
    assert answer.status == 200, answer.text


def allow(stack, **settings):
    assert call(stack, "PATCH", "/v1/apps/many", settings, Content_Type="application/merge-patch+json").status == 200


def many(stack, host="many.apps.example.com", **headers):
    return ask(stack, host, headers={name.replace("_", "-"): text for name, text in headers.items()})


def test_an_answer_tells_the_version_that_gave_it(versions):
    share(versions, 50, "none")
    answers = [many(versions) for _ in range(40)]
    assert {answer.text for answer in answers} == {"v1", "v2"}
    for answer in answers:
        assert answer.header("X-Orchestrator-Version") == answer.text[1:], "what the app says of it does not count"
        assert answer.header("Set-Cookie") is None


def test_a_sticky_cookie_keeps_its_version_while_shares_move(versions):
    share(versions, 50, "cookie")
    cookies = {}
    for _ in range(60):
        answer = many(versions)
        cookie, *attributes = answer.header("Set-Cookie").split("; ")
        name, bucket = cookie.split("=")
        assert name == "orchestrator_bucket" and 0 <= int(bucket) <= 9999
        assert attributes == ["Path=/", "HttpOnly", "SameSite=Lax"]
        assert (int(bucket) < 5000) == (answer.text == "v1")
        cookies[cookie] = answer.text
    assert set(cookies.values()) == {"v1", "v2"}
    for cookie, text in cookies.items():
        again = many(versions, Cookie=f"theme=dark; {cookie}")
        assert again.text == text and again.header("Set-Cookie") is None
    share(versions, 90, "cookie")
    for cookie in cookies:
        assert many(versions, Cookie=cookie).text == ("v1" if int(cookie.split("=")[1]) < 9000 else "v2")
    for forged in ("orchestrator_bucket=10000", "orchestrator_bucket=-1", "orchestrator_bucket=v2"):
        answer = many(versions, Cookie=forged)
        assert answer.status == 200 and answer.header("Set-Cookie"), "a bucket that is none is replaced"


def test_an_address_keeps_its_version(versions):
    share(versions, 50, "address")
    assert len({many(versions).text for _ in range(40)}) == 1
    assert many(versions).header("Set-Cookie") is None


def test_a_preview_host_reaches_one_version_where_the_app_allows_it(versions):
    share(versions, 100, "none")
    assert many(versions, "v3--many.apps.example.com").status == 404, "off by default"
    allow(versions, previewUrls=True)
    for n in (1, 2, 3):
        answer = many(versions, f"v{n}--many.apps.example.com")
        assert (answer.text, answer.header("X-Orchestrator-Version")) == (f"v{n}", str(n))
    assert many(versions, "v4--many.apps.example.com").status == 404
    assert many(versions).text == "v1"
    assert many(versions, X_Orchestrator_Version="3").text == "v1", "the header is another permission"
    versions.deploy("many", says("v4"), traffic="none")
    assert many(versions, "v4--many.apps.example.com").text == "v4", "in force when the deployment has ended"
    assert call(versions, "DELETE", "/v1/apps/many/versions/4", Prefer="wait=30").status == 200
    assert many(versions, "v4--many.apps.example.com").status == 404
    allow(versions, enabled=False)
    assert many(versions, "v3--many.apps.example.com").status == 404
    allow(versions, enabled=True, previewUrls=False)
    assert many(versions, "v3--many.apps.example.com").status == 404


def test_a_version_is_asked_for_by_header_where_the_app_allows_it(versions):
    share(versions, 100, "cookie")
    put(versions, "many.example.org", {"app": "many"})
    assert many(versions, X_Orchestrator_Version="3").text == "v1", "off by default"
    allow(versions, versionHeader=True)
    for host in ("many.apps.example.com", "many.example.org"):
        answer = many(versions, host, X_Orchestrator_Version="3")
        assert (answer.text, answer.header("X-Orchestrator-Version"), answer.header("Set-Cookie")) == ("v3", "3", None)
        assert many(versions, host).text == "v1"
        for wrong in ("99", "0", "-1", "v3", "", "99999999999999999999"):
            assert many(versions, host, X_Orchestrator_Version=wrong).status == 404, wrong
    assert many(versions, "v3--many.apps.example.com").status == 404
    allow(versions, versionHeader=False)
    assert many(versions, X_Orchestrator_Version="3").text == "v1"


def test_a_streamed_answer_tells_its_version_and_sets_the_bucket_too(domains):
    domains.deploy("flow", make_zip({"index.js": """exports.handler = awslambda.streamifyResponse(async (event, stream) => {
        stream = awslambda.HttpResponseStream.from(stream, {statusCode: 200, cookies: ['own=1']});
        stream.write('a'); stream.write('b'); stream.end(); });"""}), responseMode="stream")
    answer = call(domains, "PUT", "/v1/apps/flow/traffic", {"sticky": "cookie", "versions": [{"version": 1, "percent": 100}]})
    assert answer.status == 200, answer.text
    answer = ask(domains, "flow.apps.example.com")
    assert (answer.status, answer.text, answer.header("X-Orchestrator-Version")) == (200, "ab", "1")
    cookies = answer.headers.get_all("Set-Cookie")
    assert len(cookies) == 2 and cookies[0] == "own=1" and cookies[1].startswith("orchestrator_bucket="), "both are kept"
