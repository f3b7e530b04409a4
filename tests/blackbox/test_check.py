"""POST /v1/apps/{name}/check: real handlers that break one rule each; the check names that rule and no other."""
import concurrent.futures
import time

import pytest

import harness
import wire_faults as wire
from faulty_relay import FaultyRelay, own

GOOD = """
exports.handler = async (event) => {
    const method = event.requestContext.http ? event.requestContext.http.method : event.httpMethod;
    return {statusCode: 200, headers: {"Content-Type": "text/plain", "Content-Length": String(method === "POST" ? 4 : 5)},
            body: method === "POST" ? "post" : method === "HEAD" ? "" : "hello"};
};
"""


def returns(text):
    return f"exports.handler = async (event) => ({text});"


def streams(text):
    return f"exports.handler = awslambda.streamifyResponse(async (event, stream) => {{ {text} }});"


@pytest.fixture(scope="module")
def stack():
    with harness.Stack(managerd={"MANAGERD_TOKEN": "token-of-the-tests"}) as made:
        yield made


def deploy(stack, name, script, mode="buffered", fmt="2.0", timeout=3, multi=False):
    made = stack.managerd.request("PUT", f"/v1/apps/{name}", body={
        "runtime": "nodejs20.x", "handler": "index.handler", "timeoutSeconds": timeout, "probe": None,
        "http": {"payloadFormat": fmt, "responseMode": mode, "multiValueHeaders": multi}})
    assert made.status in (200, 201), made.text
    return stack.managerd.deploy(name, {"index.js": script})


def check(stack, name, body=None, status=200):
    answer = stack.managerd.request("POST", f"/v1/apps/{name}/check", body=body, timeout=100)
    assert answer.status == status, answer.text
    return answer.json()


ONE = {"requests": [{"path": "/"}]}

BUFFERED = {  # what breaks which rule: (script, payload format, rule)
    "throws": (returns("(() => { throw new TypeError('no luck') })()"), "2.0", "function-error"),
    "late": ("exports.handler = () => new Promise(() => setTimeout(() => {}, 60000));", "2.0", "in-time"),
    "json": (returns("undefined"), "1.0", "envelope"),
    "list": (returns("[1, 2]"), "1.0", "envelope"),
    "member": (returns("{statusCode: 200, body: '', extra: 1}"), "1.0", "members"),
    "cookies10": (returns("{statusCode: 200, body: '', cookies: ['a=1']}"), "1.0", "members"),
    "code-text": (returns("{statusCode: 'many', body: ''}"), "2.0", "status-code"),
    "code-199": (returns("{statusCode: 199, body: ''}"), "2.0", "status-code"),
    "code-none": (returns("{body: ''}"), "alb", "status-code"),
    "code-fraction": (returns("{statusCode: 200.5}"), "2.0", "status-code"),
    "headers-list": (returns("{statusCode: 200, headers: ['a']}"), "2.0", "headers"),
    "headers-deep": (returns("{statusCode: 200, headers: {'x-a': {b: 1}}}"), "2.0", "headers"),
    "headers-array": (returns("{statusCode: 200, headers: {'x-a': ['b']}}"), "1.0", "headers"),
    "multi-single": (returns("{statusCode: 200, multiValueHeaders: {'x-a': 'b'}}"), "1.0", "multi-value-headers"),
    "multi-deep": (returns("{statusCode: 200, multiValueHeaders: {'x-a': [['b']]}}"), "1.0", "multi-value-headers"),
    "name": (returns("{statusCode: 200, headers: {'x a': 'b'}}"), "2.0", "header-names"),
    "value": (returns("{statusCode: 200, headers: {'x-a': 'b\\r\\nset-cookie: c=d'}}"), "2.0", "header-values"),
    "many": (returns("{statusCode: 200, headers: Object.fromEntries([...Array(300).keys()].map(n => ['x-' + n, 'v']))}"), "2.0", "header-limits"),
    "thousands": (returns("{statusCode: 200, headers: Object.fromEntries([...Array(60000).keys()].map(n => ['h' + n, 1]))}"), "2.0", "header-limits"),
    "values": (returns("{statusCode: 200, multiValueHeaders: {a: Array(500000).fill(1)}}"), "1.0", "header-limits"),
    "long": (returns("{statusCode: 200, headers: {'x-a': 'v'.repeat(70000)}}"), "2.0", "header-limits"),
    "hop": (returns("{statusCode: 200, headers: {'Transfer-Encoding': 'chunked'}, body: 'x'}"), "2.0", "connection-headers"),
    "reserved": (returns("{statusCode: 200, headers: {'X-Orchestrator-Version': '9'}}"), "2.0", "reserved-headers"),
    "length": (returns("{statusCode: 200, headers: {'Content-Length': '7'}, body: 'x'}"), "2.0", "content-length"),
    "cookies-text": (returns("{statusCode: 200, cookies: 'a=1'}"), "2.0", "cookies"),
    "cookie-number": (returns("{statusCode: 200, cookies: ['a=1', 2]}"), "2.0", "cookies"),
    "cookie-nameless": (returns("{statusCode: 200, cookies: ['a=1', 'x; Path=/']}"), "2.0", "cookies"),
    "body-object": (returns("{statusCode: 200, body: {a: 1}}"), "2.0", "body"),
    "flag": (returns("{statusCode: 200, body: 'YQ==', isBase64Encoded: 'true'}"), "2.0", "base64-flag"),
    "base64": (returns("{statusCode: 200, body: 'no base64!', isBase64Encoded: true}"), "2.0", "base64-body"),
    "no-body": (returns("{statusCode: 204, body: 'x'}"), "2.0", "no-body"),
    "five": (returns("{statusCode: 503, body: 'x'}"), "2.0", "status-below-500"),
    "size": (returns("{statusCode: 200, body: 'x'.repeat(7000000)}"), "2.0", "size"),
}


def by_path(cases):
    """One handler of all cases, by the path that is asked for."""
    return ("const cases = {%s};\nexports.handler = async (event) => cases[(event.rawPath || event.path).slice(1)](event);"
            % ", ".join(f'"{name}": {script.split("=", 1)[1].strip().rstrip(";")}' for name, script in cases.items()))


@pytest.fixture(scope="module")
def buffered(stack):
    for fmt in ("2.0", "1.0", "alb"):
        deploy(stack, "f" + fmt.replace(".", ""), by_path({name: script for name, (script, of, _) in BUFFERED.items() if of == fmt}), fmt=fmt)
    return stack


@pytest.mark.parametrize("name", BUFFERED)
def test_the_rule_that_a_reply_breaks_is_named(buffered, name):
    script, fmt, rule = BUFFERED[name]
    found = check(buffered, "f" + fmt.replace(".", ""), {"requests": [{"path": "/" + name}]})
    assert found["broken"] == [rule], found
    assert not found["passed"] and found["payloadFormat"] == fmt and found["requests"][0]["broken"] == [rule]
    row, = [row for row in found["rules"] if row["result"] == "fail"]
    assert row["rule"] == rule and row["why"] and row["requests"] == [0]


STREAMED = {
    "s-raw-envelope": (returns("{statusCode: 200, body: 'x'}"), "stream", "prelude"),
    "s-nuls": (streams("stream.write('{\"statusCode\":200}\\0\\0\\0body'); stream.end();"), "stream", "prelude"),
    "s-big": (streams("stream.write(JSON.stringify({statusCode: 200, headers: {a: 'v'.repeat(17000)}}) + '\\0'.repeat(8) + 'x'); stream.end();"),
              "stream", "prelude"),
    "s-member": (streams("stream = awslambda.HttpResponseStream.from(stream, {statusCode: 200, body: 'x'}); stream.write('x'); stream.end();"),
                 "stream", "members"),
    "s-code": (streams("stream = awslambda.HttpResponseStream.from(stream, {statusCode: 99}); stream.write('x'); stream.end();"), "stream", "status-code"),
    "s-value": (streams("stream = awslambda.HttpResponseStream.from(stream, {headers: {a: 'b\\n'}}); stream.write('x'); stream.end();"),
                "stream", "header-values"),
    "s-late-error": (streams("stream = awslambda.HttpResponseStream.from(stream, {}); stream.write('x'); throw new Error('late');"),
                     "stream", "function-error"),
    "s-length": (streams("stream = awslambda.HttpResponseStream.from(stream, {headers: {'Content-Length': '9'}}); stream.write('x'); stream.end();"),
                 "auto", "content-length"),
    "s-auto": (returns("{statusCode: 200, body: {a: 1}}"), "auto", "body"),
    "s-hangs": ("exports.handler = awslambda.streamifyResponse(() => new Promise(() => setTimeout(() => {}, 60000)));", "stream", "in-time"),
}


@pytest.fixture(scope="module")
def streamed(stack):
    cases = {name: script for name, (script, mode, _) in STREAMED.items() if mode == "stream" and "envelope" not in name and "hangs" not in name}
    body = ", ".join(f'"{name}": {script.split("streamifyResponse(", 1)[1].strip()[:-2]}' for name, script in cases.items())
    deploy(stack, "s-cases", f"const cases = {{{body}}};\nexports.handler = awslambda.streamifyResponse("
                             "(event, stream) => cases[event.rawPath.slice(1)](event, stream));", mode="stream")
    return stack


@pytest.mark.parametrize("name", STREAMED)
def test_the_rule_that_a_stream_breaks_is_named(streamed, name):
    script, mode, rule = STREAMED[name]
    own = mode == "auto" or "envelope" in name or "hangs" in name
    if own:
        deploy(streamed, name, script, mode=mode, timeout=1 if "hangs" in name else 10)
    found = check(streamed, name if own else "s-cases", {"requests": [{"path": "/" + name}]})
    assert found["broken"] == [rule], found


FRAMES = wire.chunk(wire.prelude(statusCode=200)) + wire.chunk(b"fine")
WIRE = {  # what Lambda itself answers: (mode, answer, the rules that are broken)
    "refused": ("buffered", own(403, "AccessDeniedException"), ["invoked"]),
    "not-there": ("stream", own(404, "ResourceNotFoundException"), ["invoked"]),
    "wrong-sum": ("stream", wire.sized(FRAMES[:-1] + b"\0" + wire.complete()), ["frames"]),
    "no-end": ("stream", wire.sized(FRAMES), ["frames"]),
    "half-a-message": ("auto", wire.sized(FRAMES + wire.complete()[:-9]), ["frames"]),
    "whole": ("stream", wire.sized(FRAMES + wire.complete()), []),
}


class WireRelay(FaultyRelay):
    def _break(self, peer, message, kind, attempt):
        peer.sendall(WIRE[kind][1] if kind in WIRE else self._ask(message))
        return True


def test_what_lambda_answers_wrongly_is_named_too():
    with harness.Stack() as stack, WireRelay(stack.lambda_local.url) as relay:
        stack.managerd.options["AWS_ENDPOINT_URL_LAMBDA"] = relay.url
        stack.managerd.restart()
        for mode in ("buffered", "stream", "auto"):
            deploy(stack, mode, returns("{statusCode: 200, body: ''}"), mode=mode)
        for kind, (mode, _, rules) in WIRE.items():
            relay.plan = lambda identity, attempt, kind=kind: kind
            found = check(stack, mode, ONE)
            assert (found["broken"], found["passed"]) == (rules, not rules), (kind, found)
            assert all(row["why"] for row in found["rules"] if row["result"] == "fail")


def test_a_reply_that_breaks_many_rules_has_each_of_them_named(stack):
    worst = ("{statusCode: 99, headers: {'x a': 'b', 'Transfer-Encoding': 'x', 'x-b': 'a\\nb', 'X-Orchestrator-A': '1'}, multiValueHeaders: {a: 'b'}, "
             "cookies: 5, body: {}, isBase64Encoded: 'x'}")
    always = {"status-code", "multi-value-headers", "header-names", "header-values", "connection-headers", "reserved-headers", "body", "base64-flag"}
    for fmt, multi, own_rule in (("2.0", False, "cookies"), ("1.0", False, "members"), ("alb", False, "cookies"), ("alb", True, "cookies")):
        deploy(stack, "worst", returns(worst), fmt=fmt, multi=multi)
        assert set(check(stack, "worst", ONE)["broken"]) == always | {own_rule}, (fmt, multi)


@pytest.mark.parametrize("name, script, mode, fmt", [
    ("good", GOOD, "buffered", "2.0"), ("good-old", GOOD, "buffered", "1.0"), ("good-alb", GOOD, "buffered", "alb"), ("good-auto", GOOD, "auto", "2.0"),
    ("inferred", returns("'just text'"), "buffered", "2.0"),
    ("good-stream", streams("stream = awslambda.HttpResponseStream.from(stream, {statusCode: 201, headers: {'x-a': 1}, cookies: ['a=1; Path=/']});"
                            "stream.write('hello'); stream.end();"), "stream", "2.0"),
    ("raw-stream", streams("stream.write('hello'); stream.end();"), "stream", "2.0"),
    ("sse", streams("stream = awslambda.HttpResponseStream.from(stream, {headers: {'Content-Type': 'text/event-stream'}});"
                    "stream.write('data: 1\\n\\n'); await new Promise(() => setTimeout(() => {}, 60000));"), "stream", "2.0")],
    ids=["good", "good-old", "good-alb", "good-auto", "inferred", "good-stream", "raw-stream", "sse"])
def test_a_good_app_passes_all_that_it_is_asked(stack, name, script, mode, fmt):
    deploy(stack, name, script, mode=mode, fmt=fmt, timeout=1 if name == "sse" else 10)
    found = check(stack, name, ONE if name == "sse" else None)
    if name == "sse":
        assert found["broken"] == ["in-time"] and found["requests"][0]["status"] == 200, "what streams on runs into its own time"
        return
    assert found["passed"] and found["broken"] == [], found
    assert len(found["requests"]) == 8 and found["skippedRequests"] == 0
    assert {row["result"] for row in found["rules"]} <= {"pass", "skip"}
    assert next(row for row in found["rules"] if row["rule"] == "head")["result"] == "pass"


def test_head_that_differs_from_get_and_headers_where_lists_are_asked_for(stack):
    deploy(stack, "headless", "exports.handler = async (e) => ({statusCode: e.requestContext.http.method === 'HEAD' ? 405 : 200, body: ''});")
    found = check(stack, "headless")
    assert found["broken"] == ["head"] and next(r for r in found["rules"] if r["rule"] == "head")["requests"] == [1]
    deploy(stack, "multi", returns("{statusCode: 200, headers: {a: 'b'}}"), fmt="alb", multi=True)
    assert check(stack, "multi", ONE)["broken"] == ["multi-value-headers"]
    deploy(stack, "cookies-alb", returns("{statusCode: 200, cookies: ['a=1']}"), fmt="alb")
    assert check(stack, "cookies-alb", ONE)["broken"] == ["cookies"]


def test_own_requests_reach_the_function_as_they_are(stack):
    deploy(stack, "echo", "exports.handler = async (e) => ({statusCode: e.requestContext.http.method === 'PUT' && e.rawPath === '/a%20b' && "
                          "e.rawQueryString === 'x=1' && e.headers['x-own'] === 'v' && e.headers['user-agent'] === 'app-orchestrator-check' && "
                          "e.isBase64Encoded && e.body === 'AP8=' ? 200 : 500});")
    wish = {"version": 1, "requests": [{"method": "PUT", "path": "/a%20b?x=1", "headers": {"X-Own": "v"}, "bodyBase64": "AP8="}]}
    assert check(stack, "echo", wish)["passed"]
    wish["requests"].append({"path": "/", "body": "text"})
    found = check(stack, "echo", wish)
    assert found["broken"] == ["status-below-500"] and [r["broken"] for r in found["requests"]] == [[], ["status-below-500"]]


@pytest.mark.parametrize("wish, pointer", [
    ({"version": 0}, "/version"), ({"requests": []}, "/requests"), ({"requests": [{"path": "x"}]}, "/requests/0/path"),
    ({"requests": [{"path": "/a b"}]}, "/requests/0/path"), ({"requests": [{"path": "/../x"}]}, "/requests/0/path"),
    ({"requests": [{"method": "GE T"}]}, "/requests/0/method"), ({"requests": [{"headers": {"a b": "c"}}]}, "/requests/0/headers"),
    ({"requests": [{"headers": {"a": "b\r\nc: d"}}]}, "/requests/0/headers"), ({"requests": [{"headers": {"a": 1}}]}, "/requests/0/headers"),
    ({"requests": [{"bodyBase64": "%"}]}, "/requests/0/bodyBase64"), ({"requests": [{}] * 21}, "/requests"), ({"colour": 1}, "/colour"),
    ({"requests": [{"big": True}]}, "/requests/0/big")])
def test_a_wish_that_is_wrong_is_told_by_its_place(stack, wish, pointer):
    deploy_once(stack)
    answer = stack.managerd.request("POST", "/v1/apps/there/check", body=wish)
    assert answer.status == 422 and pointer in [error["pointer"] for error in answer.json()["errors"]], answer.text


def deploy_once(stack):
    if stack.managerd.request("GET", "/v1/apps/there").status == 404:
        deploy(stack, "there", returns("{statusCode: 200, body: ''}"))


def test_versions_that_cannot_be_asked_and_who_may_ask(stack):
    deploy_once(stack)
    assert check(stack, "there", {"version": 7}, 404)["type"] == "/problems/version-not-found"
    assert check(stack, "nobody", None, 404)["type"] == "/problems/app-not-found"
    assert stack.managerd.request("PUT", "/v1/apps/empty", body={"runtime": "nodejs20.x", "handler": "index.handler"}).status == 201
    assert check(stack, "empty", None, 409)["type"] == "/problems/conflict"
    assert stack.managerd.request("POST", "/v1/apps/there/check", headers={"Authorization": "Bearer x"}).status == 401
    headers = {"Idempotency-Key": "once"}
    first = stack.managerd.request("POST", "/v1/apps/there/check", body=ONE, headers=headers)
    again = stack.managerd.request("POST", "/v1/apps/there/check", body=ONE, headers=headers)
    assert again.header("Idempotency-Replayed") == "true" and again.json() == first.json()


def test_only_a_few_checks_run_at_a_time_and_one_that_runs_does_not_hold_up_the_end():
    with harness.Stack() as stack:
        deploy(stack, "slow", "exports.handler = () => new Promise(() => setTimeout(() => {}, 60000));", timeout=2)
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            answers = [future.result() for future in [pool.submit(
                stack.managerd.request, "POST", "/v1/apps/slow/check", body=ONE, timeout=60) for _ in range(6)]]
        assert sorted(a.status for a in answers) == [200] * 4 + [429] * 2, [a.text for a in answers]
        assert all(a.json()["broken"] == ["in-time"] for a in answers if a.status == 200)
        assert all(a.json()["type"] == "/problems/checks-running" for a in answers if a.status == 429)
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: harness.request(stack.managerd.url + "/v1/apps/slow/check", method="POST", timeout=60))
            time.sleep(0.3)
            stack.managerd.stop()


# -- the probe of a deployment --


@pytest.mark.parametrize("name, script, why", [
    ("p-code", streams("stream = awslambda.HttpResponseStream.from(stream, {statusCode: 99}); stream.write('x'); stream.end();"), "statusCode"),
    ("p-member", streams("stream = awslambda.HttpResponseStream.from(stream, {body: 'x'}); stream.write('x'); stream.end();"), "prelude"),
    ("p-500", streams("stream = awslambda.HttpResponseStream.from(stream, {statusCode: 500}); stream.write('x'); stream.end();"), "500"),
    ("p-throws", streams("throw new TypeError('no luck');"), "TypeError: no luck")],
    ids=["p-code", "p-member", "p-500", "p-throws"])
def test_a_deployment_that_streams_what_is_no_response_fails(stack, name, script, why):
    operation = stack.managerd.request("POST", f"/v1/apps/{name}/deployments?runtime=nodejs20.x&handler=index.handler&responseMode=stream",
                                       body=harness.make_zip({"index.js": script}),
                                       headers={"Content-Type": "application/zip", "Prefer": "wait=60"}, timeout=70)
    assert operation.status == 422, operation.text
    assert operation.json()["type"] == "/problems/probe-failed" and why in operation.json()["detail"], operation.text


@pytest.mark.parametrize("mode", ["stream", "auto"])
def test_a_deployment_that_streams_for_ever_passes_as_soon_as_its_head_is_there(stack, mode):
    started = time.monotonic()
    stack.managerd.deploy(f"p-sse-{mode}", {"index.js": streams(
        "stream = awslambda.HttpResponseStream.from(stream, {statusCode: 202}); stream.write('x'); await new Promise(() => setTimeout(() => {}, 60000));")},
        responseMode=mode, timeoutSeconds=60)
    assert time.monotonic() - started < 40
    versions = stack.managerd.request("GET", f"/v1/apps/p-sse-{mode}/versions").json()["items"]
    assert versions[0]["state"] == "ready"
