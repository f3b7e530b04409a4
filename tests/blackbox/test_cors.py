"""What pages of other origins may do: preflights, and headers on every answer, at the edge and on the whole stack."""
import hashlib
import json
import subprocess

import pytest

import npm
from fake_lambda import FakeLambda, Proxy, app, expect_fault
from harness import Stack, make_zip, request

PAGE, KEY = "https://app.example.com", "aok_test"
POLICY = {"origins": [PAGE, "https://*.example.org"], "methods": "GET, PUT", "headers": "*", "exposed": "X-Total", "max_age_s": 60,
          "credentials": True}
KEYS = {"header": "X-Api-Key", "keys": [{"id": "k", "hash": hashlib.sha256(KEY.encode()).hexdigest()}]}
PREFLIGHT_VARY = "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"


def own_headers(call):
    """A function that has opinions of its own about other origins."""
    call.reply({"statusCode": 200, "body": "hi", "headers": {
        "access-control-allow-origin": "*", "Access-Control-Allow-Headers": "x", "ACCESS-CONTROL-MAX-AGE": "5", "X-Total": "3",
        "Vary": "Accept-Encoding"}})


@pytest.fixture(scope="module")
def edge():
    with FakeLambda() as aws:
        aws.script = {name: own_headers for name in ("plain", "open", "mine", "keyed", "stream")}
        aws.script["broken"] = lambda call: call.function_error({"errorMessage": "secret internals"})
        aws.script["throttled"] = lambda call: call.service_error(429, "TooManyRequestsException")
        with Proxy(aws, options={"PROXYD_ATTEMPTS": "1"}, routes=[
                app("plain"), app("mine", access={"cors": POLICY}), app("open", access={"cors": {"origins": ["*"], "methods": "*", "headers": "*"}}),
                app("keyed", access={"cors": POLICY, "api_keys": KEYS}),
                app("later", access={"cors": POLICY, "api_keys": KEYS}, respond_async=True),
                app("broken", access={"cors": POLICY}), app("throttled", access={"cors": POLICY}),
                app("small", access={"cors": POLICY}, max_body_bytes=10),
                app("slow", access={"cors": POLICY}, rate_milli=1, burst=1)]) as proxyd:
            yield aws, proxyd


def ask(proxyd, name, origin=PAGE, method="GET", **headers):
    headers = {header.replace("_", "-"): text for header, text in headers.items()}
    return request(f"{proxyd.url}/", method=method, host=f"{name}.localhost", headers={**({"Origin": origin} if origin else {}), **headers})


def preflight(proxyd, name, origin=PAGE, method="PUT", **headers):
    return ask(proxyd, name, origin, "OPTIONS", Access_Control_Request_Method=method, **headers)


def of_cors(answer):
    """The headers that browsers look at, each at most once."""
    found = [(name.lower(), value) for name, value in answer.headers.items() if name.lower().startswith("access-control-")]
    assert len(dict(found)) == len(found), found
    return {name.removeprefix("access-control-"): value for name, value in found}


def varies(answer):
    return [value for name, value in answer.headers.items() if name.lower() == "vary"]


READ = {"allow-origin": PAGE, "allow-credentials": "true", "expose-headers": "X-Total"}


def test_a_preflight_is_answered_and_no_function_runs(edge):
    aws, proxyd = edge
    before, counted = len(aws.calls), proxyd.figure("proxyd_preflights_total")
    answer = preflight(proxyd, "mine", Access_Control_Request_Headers="authorization, x-one")
    assert (answer.status, answer.body, answer.header("Content-Length")) == (204, b"", None)
    assert of_cors(answer) == {"allow-origin": PAGE, "allow-credentials": "true", "allow-methods": "GET, PUT",
                               "allow-headers": "authorization, x-one", "max-age": "60"}
    assert varies(answer) == [PREFLIGHT_VARY]
    line = proxyd.line_of(answer)
    assert (line["status"], line["attempts"], line["app"]) == (204, 0, "mine") and "fault" not in line
    stranger = preflight(proxyd, "mine", "https://evil.example")
    assert (stranger.status, of_cors(stranger)) == (204, {})
    assert len(aws.calls) == before and proxyd.figure("proxyd_preflights_total") == counted + 2


def test_a_preflight_needs_no_key_and_the_request_after_it_does(edge):
    aws, proxyd = edge
    assert preflight(proxyd, "keyed", Access_Control_Request_Headers="x-api-key").status == 204
    refused = ask(proxyd, "keyed")
    expect_fault(proxyd, refused, "unauthorized", 401, "not-started")
    assert of_cors(refused) == READ, "the page may read why"
    assert ask(proxyd, "keyed", method="OPTIONS").status == 401, "that is no preflight"
    assert ask(proxyd, "keyed", X_Api_Key=KEY).status == 200
    assert preflight(proxyd, "slow").status == preflight(proxyd, "slow").status == 204, "and takes nothing of the rate"


@pytest.mark.parametrize("origin, read", [
    (PAGE, READ), ("https://a.example.org", {**READ, "allow-origin": "https://a.example.org"}), ("https://example.org", {}),
    ("null", {}), ("https://evil.example", {}), (None, {})])
def test_answers_say_who_may_read_them_instead_of_what_the_function_says(edge, origin, read):
    aws, proxyd = edge
    for method in ("GET", "HEAD", "POST", "OPTIONS"):
        answer = ask(proxyd, "mine", origin, method)
        assert answer.status == 200 and of_cors(answer) == read
        assert sorted(varies(answer)) == ["Accept-Encoding", "Origin"] and answer.header("X-Total") == "3"


def test_an_app_without_rules_says_it_all_itself(edge):
    aws, proxyd = edge
    answer = ask(proxyd, "plain")
    assert of_cors(answer) == {"allow-origin": "*", "allow-headers": "x", "max-age": "5"} and varies(answer) == ["Accept-Encoding"]
    assert preflight(proxyd, "plain").status == 200 and aws.last().event["requestContext"]["http"]["method"] == "OPTIONS"


def test_an_app_open_to_all_gives_one_answer_that_caches_may_keep(edge):
    aws, proxyd = edge
    for origin in (PAGE, "null", None):
        answer = ask(proxyd, "open", origin)
        assert of_cors(answer) == {"allow-origin": "*"} and varies(answer) == ["Accept-Encoding"]


def test_faults_can_be_read_too(edge):
    aws, proxyd = edge
    for name, fault, status, more in (("broken", "function-error", 502, {}), ("throttled", "throttled", 429, {}),
                                      ("small", "body-too-large", 413, {"body": b"x" * 11}), ("slow", "app-rate", 429, {})):
        if name == "slow":
            ask(proxyd, name)
        answer = request(proxyd.url + "/", method="POST", host=f"{name}.localhost", headers={"Origin": PAGE}, **more)
        assert (answer.status, answer.json()["type"]) == (status, f"urn:app-orchestrator:fault:{fault}")
        assert of_cors(answer) == READ and varies(answer) == ["Origin"]
    assert of_cors(ask(proxyd, "nobody")) == {}, "there is no app to have rules"


def test_asynchronous_calls_obey_the_same_rules(edge):
    aws, proxyd = edge
    aws.script["later"] = lambda call: call.answer(202, b"")
    before = aws.count("later")
    assert ask(proxyd, "later", method="POST", Prefer="respond-async").status == 401 and aws.count("later") == before
    taken = ask(proxyd, "later", method="POST", Prefer="respond-async", X_Api_Key=KEY)
    assert (taken.status, of_cors(taken)) == (202, READ) and aws.count("later") == before + 1
    assert aws.last().event["headers"]["x-orchestrator-api-key-id"] == "k" and KEY not in aws.last().body.decode()


def test_what_is_told_back_splits_no_header(edge):
    aws, proxyd = edge
    for headers in ("a\tb", "x" * 5000, "a;b", "\"a\"", "x: y"):
        answer = preflight(proxyd, "mine", Access_Control_Request_Headers=headers)
        assert (answer.status, of_cors(answer)["allow-headers"]) == (204, "*")


def test_curl_reads_a_preflight(edge):
    aws, proxyd = edge
    done = subprocess.run(["curl", "-sS", "-i", "-X", "OPTIONS", "-H", f"Origin: {PAGE}", "-H", "Access-Control-Request-Method: PUT", "-H",
                           "Host: mine.localhost", proxyd.url + "/x"], stdout=subprocess.PIPE, timeout=20, check=True, text=True)
    head = done.stdout.replace("\r\n", "\n")
    assert head.startswith("HTTP/1.1 204 No Content\n") and f"\nAccess-Control-Allow-Origin: {PAGE}\n" in head


# -- a client that obeys it ---------------------------------------------------------------------------------------------

JSDOM = "jsdom@22.1.0"
PAGE_SCRIPT = """
const { JSDOM, VirtualConsole } = require("jsdom");
const [origin, base] = process.argv.slice(2);
const page = new JSDOM("", { url: origin + "/", virtualConsole: new VirtualConsole() });
const ask = (name, method, headers, credentials) => new Promise((resolve) => {
  const xhr = new page.window.XMLHttpRequest();
  xhr.open(method, `${base}/${name}/`);
  xhr.withCredentials = !!credentials;
  for (const [key, value] of Object.entries(headers || {})) xhr.setRequestHeader(key, value);
  xhr.onload = () => resolve([xhr.status, xhr.getResponseHeader("x-total"), xhr.getResponseHeader("x-request-id")]);
  xhr.onerror = () => resolve("blocked");
  xhr.send();
});
(async () => {
  const results = {
    simple: await ask("mine", "GET"), cookies: await ask("mine", "GET", {}, true), put: await ask("mine", "PUT", {"X-One": "1"}, true),
    open: await ask("open", "GET"), openHeader: await ask("open", "GET", {Authorization: "Bearer x"}),
    openCookies: await ask("open", "GET", {}, true), refused: await ask("keyed", "GET"),
    keyed: await ask("keyed", "GET", {"X-Api-Key": "aok_test"}), broken: await ask("broken", "GET"),
  };
  console.log(JSON.stringify(results));
  page.window.close();
})();
"""


def in_a_page(proxyd, origin, folder):
    (folder / "page.js").write_text(PAGE_SCRIPT)
    done = subprocess.run(["node", "page.js", origin, proxyd.url], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def test_pages_can_do_what_the_rules_say_and_no_more(edge):
    aws, proxyd = edge
    folder = npm.install(JSDOM)
    ours = in_a_page(proxyd, PAGE, folder)
    assert ours["simple"] == ours["cookies"] == ours["put"] == [200, "3", None], "X-Total is exposed, X-Request-Id is not"
    assert ours["open"] == ours["openHeader"] == [200, None, None] and ours["openCookies"] == "blocked"
    assert [ours[name][0] for name in ("refused", "keyed", "broken")] == [401, 200, 502]
    theirs = in_a_page(proxyd, "https://evil.example", folder)
    assert {name for name, result in theirs.items() if result != "blocked"} == {"open", "openHeader"}


# -- the whole stack ----------------------------------------------------------------------------------------------------

STREAM = make_zip({"index.js": """exports.handler = awslambda.streamifyResponse(async (event, stream) => {
    stream = awslambda.HttpResponseStream.from(stream, {statusCode: 200, headers: {'Access-Control-Allow-Origin': 'https://wrong.example'}});
    stream.write('one'); stream.end('two'); });"""})


def test_settings_act_at_once_for_streams_domains_and_previews():
    with Stack(managerd={"MANAGERD_DRAIN_MS": "0"}) as stack:
        stack.deploy("live", STREAM, responseMode="stream")
        managerd = stack.managerd
        assert managerd.request("PUT", "/v1/domains/live.example.net", {"paths": [{"app": "live"}]}).status == 201
        hosts = ("live.localhost", "live.example.net", "v1--live.localhost")

        def seen(origin, method="GET", **headers):
            answers = [request(stack.proxyd.url + "/", method=method, host=host,
                               headers={"Origin": origin, **{name.replace("_", "-"): text for name, text in headers.items()}}) for host in hosts]
            assert len({json.dumps(of_cors(answer), sort_keys=True) for answer in answers}) == 1
            return answers[0]

        assert managerd.request("PATCH", "/v1/apps/live", {"previewUrls": True}).status == 200
        assert of_cors(seen(PAGE)) == {"allow-origin": "https://wrong.example"}
        set_to = managerd.request("PATCH", "/v1/apps/live", {"access": {"cors": {"allowOrigins": [PAGE]}}})
        assert set_to.status == 200, set_to.text
        assert set_to.json()["access"]["cors"] == {
            "allowOrigins": [PAGE], "allowMethods": ["*"], "allowHeaders": ["*"], "exposeHeaders": [], "maxAgeSeconds": None,
            "allowCredentials": False, "allowPrivateNetwork": False}
        answer = seen(PAGE)
        assert (answer.body, of_cors(answer)) == (b"onetwo", {"allow-origin": PAGE})
        assert of_cors(seen("https://wrong.example")) == {}
        assert seen(PAGE, "OPTIONS", Access_Control_Request_Method="PATCH").status == 204
        assert managerd.request("PATCH", "/v1/apps/live", {"access": {"cors": {"allowCredentials": True, "exposeHeaders": ["ETag", "X-A"]}}}).status == 200
        assert of_cors(seen(PAGE)) == {"allow-origin": PAGE, "allow-credentials": "true", "expose-headers": "ETag, X-A"}
        refused = managerd.request("PATCH", "/v1/apps/live", {"access": {"cors": {"allowOrigins": ["*"]}}})
        assert refused.status == 422 and [error["pointer"] for error in refused.json()["errors"]] == ["/access/cors/allowOrigins/0"]
        refused = managerd.request("PUT", "/v1/apps/new", {"access": {"cors": {"allowOrigins": ["http://*"], "allowCredentials": True}}})
        assert refused.status == 422 and [error["pointer"] for error in refused.json()["errors"]] == ["/access/cors/allowOrigins/0"]
        assert managerd.request("GET", "/v1/apps/live").json()["access"]["cors"]["allowOrigins"] == [PAGE]
        assert managerd.request("PATCH", "/v1/apps/live", {"access": {"cors": None}}).status == 200
        assert of_cors(seen(PAGE)) == {"allow-origin": "https://wrong.example"}
