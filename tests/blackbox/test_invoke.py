"""POST /v1/apps/{name}/invoke with real functions: events and requests in every format, failures, big and streamed replies."""
import base64
import json
import threading

import pytest

from harness import Stack, wait_for

TOKEN = "token-of-invocations"
ECHO = """exports.handler = async (event) => {
  console.log('seen', event.marker || event.rawPath || event.path);
  return {statusCode: 201, headers: {'X-Echo': 'yes', 'Content-Type': 'application/json'}, body: JSON.stringify(event)};
};"""
RAW = "exports.handler = async (event, context) => ({got: event, id: context.awsRequestId});"
FORMATS = ["2.0", "1.0", "alb"]


@pytest.fixture(scope="module")
def stack():
    with Stack(managerd={"MANAGERD_TOKEN": TOKEN}) as made:
        for fmt in FORMATS:
            deploy(made, f"echo-{fmt.replace('.', '')}", ECHO, fmt=fmt)
        deploy(made, "raw", RAW)
        yield made


def deploy(stack, name, script, mode="buffered", fmt="2.0", timeout=3, **more):
    made = stack.managerd.request("PUT", f"/v1/apps/{name}", body={
        "runtime": "nodejs20.x", "handler": "index.handler", "timeoutSeconds": timeout, "probe": None,
        "http": {"payloadFormat": fmt, "responseMode": mode, "multiValueHeaders": False}})
    assert made.status in (200, 201), made.text
    return stack.managerd.deploy(name, {"index.js": script}, **more)


def invoke(stack, name, body, status=200, **headers):
    answer = stack.managerd.request("POST", f"/v1/apps/{name}/invoke", body=body, timeout=60,
                                    headers={key.replace("_", "-"): value for key, value in headers.items()})
    assert answer.status == status, answer.text[:2000]
    return answer.json()


def test_an_event_arrives_as_it_was_given_and_the_reply_comes_back_as_it_is(stack):
    got = invoke(stack, "raw", {"event": {"a": [1, "two", None], "ü": "☕"}})
    assert got["reply"]["got"] == {"a": [1, "two", None], "ü": "☕"}
    assert got["version"] == 1 and got["lambdaVersion"] == "1" and got["functionError"] is None
    assert got["reply"]["id"] == got["requestId"] and 0 <= got["durationMs"] < 10000
    assert got["response"] is None and got["statusCode"] is None and got["contractProblem"] is None and got["cut"] is None
    for event in (None, 7, "text", [], False, {}):
        assert invoke(stack, "raw", {"event": event})["reply"]["got"] == event
    deep = '{"event":' + "[" * 500 + '"\\u0000"' + "]" * 500 + "}"
    answer = stack.managerd.request("POST", "/v1/apps/raw/invoke", body=deep.encode(), headers={"Content-Type": "application/json"})
    assert answer.status == 200 and '"got":' + deep[len('{"event":'):-1] in answer.text
    # Numbers keep their digits, to the function and back.
    stack.managerd.deploy("digits", {"main.py": "def handler(event, context):\n    return event"}, runtime="python3.12", handler="main.handler")
    text = b' {"version": 1, "event": {"big": 12345678901234567890, "small": 1.1250}}'
    answer = stack.managerd.request("POST", "/v1/apps/digits/invoke", body=text, headers={"Content-Type": "application/json"})
    assert '"reply":{"big": 12345678901234567890, "small": 1.125}' in answer.text, answer.text


@pytest.mark.parametrize("fmt", FORMATS)
def test_a_request_becomes_the_event_that_proxyd_makes(stack, fmt):
    name = f"echo-{fmt.replace('.', '')}"
    path, headers = "/a%20b/c?x=1&x=2&y=%C3%BC", {"X-Mine": "1", "Cookie": "a=1; b=2", "Content-Type": "text/plain", "User-Agent": "test"}
    got = invoke(stack, name, {"request": {"method": "POST", "path": path, "headers": headers, "body": "hello"}})
    assert got["payloadFormat"] == fmt and got["statusCode"] == got["response"]["status"] == 201
    assert got["response"]["headers"]["X-Echo"] == ["yes"] and got["response"]["isBase64Encoded"] is False
    assert got["reply"] is None and got["rawReply"] is None
    ours = json.loads(got["response"]["body"])
    theirs = stack.app(name, path, "POST", body="hello", headers=headers).json()
    assert shape(ours) == shape(theirs)
    for member in ("rawPath", "rawQueryString", "path", "queryStringParameters", "multiValueQueryStringParameters", "cookies", "body",
                   "isBase64Encoded", "httpMethod", "version"):
        assert ours.get(member) == theirs.get(member), member
    header = (lambda event, key: {k.lower(): v for k, v in event["headers"].items()}.get(key))
    for key in ("x-mine", "cookie", "content-type", "content-length"):
        assert header(ours, key) == header(theirs, key)
    assert header(ours, "host").split(":")[0] == header(theirs, "host").split(":")[0] == f"{name}.localhost"
    assert "seen" in got["log"] and "START RequestId: " + got["requestId"] in got["log"] and "REPORT RequestId" in got["log"]


def shape(value):
    return {key: shape(inner) for key, inner in value.items() if key not in ("headers", "multiValueHeaders", "pathParameters", "stageVariables")} \
        if isinstance(value, dict) else type(value).__name__


def test_queries_headers_and_bodies_in_all_their_forms(stack):
    def event(**request):
        return json.loads(invoke(stack, "echo-20", {"request": request})["response"]["body"])

    assert event()["rawPath"] == "/" and event()["requestContext"]["http"]["method"] == "GET"
    assert event(path="/x", query="a=1&b=%20")["rawQueryString"] == "a=1&b=%20"
    assert event(query={"a": "1 2", "b": ["x", "y"], "ü": "&="})["rawQueryString"] == "a=1%202&b=x&b=y&%C3%BC=%26%3D"
    assert event(query="")["rawQueryString"] == "" and event(query={})["rawQueryString"] == ""
    assert event(headers={"X-A": ["1", "2"], "Host": "else.example"})["headers"]["x-a"] == "1,2"
    assert event(headers={"Host": "else.example"})["headers"]["host"] == "else.example"
    assert event(headers={"Transfer-Encoding": "chunked", "Connection": "x-b", "X-B": "1"})["headers"].get("transfer-encoding") is None
    binary = bytes(range(256))
    sent = event(method="PUT", body=base64.b64encode(binary).decode(), isBase64Encoded=True, headers={"Content-Type": "application/octet-stream"})
    assert sent["isBase64Encoded"] is True and base64.b64decode(sent["body"]) == binary
    for request, pointer in (({"path": "x"}, "/request/path"), ({"path": "/../x"}, "/request/path"), ({"method": "get it"}, "/request/method"),
                             ({"query": "a b"}, "/request/query"), ({"query": 7}, "/request/query"), ({"query": {"a": 1}}, "/request/query"),
                             ({"path": "/?a=1", "query": "b=2"}, "/request/query"), ({"headers": {"a b": "c"}}, "/request/headers"),
                             ({"headers": {"a": "b\r\nc: d"}}, "/request/headers"), ({"headers": {"a": ["x"] * 65}}, "/request/headers"),
                             ({"body": "no base64!", "isBase64Encoded": True}, "/request/body"), ({"body": {}}, "/request/body"), ({"more": 1}, "/request/more")):
        refused = invoke(stack, "echo-20", {"request": request}, 422)
        assert [fault["pointer"] for fault in refused["errors"]] == [pointer], (request, refused)
    for body in ({}, {"event": 1, "request": {}}, {"event": 1, "deadlineMs": 0}, {"event": 1, "deadlineMs": 10 ** 7}, {"event": 1, "version": "x"}, {"evnt": 1}):
        assert invoke(stack, "echo-20", body, 422)["errors"]


def test_which_version_is_called(stack):
    for number in (1, 2, 3):
        deploy(stack, "many", f"exports.handler = async () => ({{statusCode: 200, body: 'v{number}'}});", traffic="all" if number == 1 else "none")
    assert invoke(stack, "many", {"request": {}})["response"]["body"] == "v1"
    assert invoke(stack, "many", {"request": {}, "version": 3})["response"]["body"] == "v3"
    shares = {"versions": [{"version": 1, "percent": 30}, {"version": 2, "percent": 70}]}
    assert stack.managerd.request("PUT", "/v1/apps/many/traffic", shares).status == 200
    assert {invoke(stack, "many", {"request": {}})["version"] for _ in range(5)} == {2}
    assert invoke(stack, "many", {"request": {}, "version": 9}, 404)["type"] == "/problems/version-not-found"
    assert invoke(stack, "nobody", {"request": {}}, 404)["type"] == "/problems/app-not-found"
    assert stack.managerd.request("PUT", "/v1/apps/empty", {}).status == 201
    assert invoke(stack, "empty", {"request": {}}, 409)["type"] == "/problems/conflict"
    assert invoke(stack, "many", {"request": {}}, 412, If_Match='"1"')["type"] == "/problems/precondition-failed"


def test_how_functions_fail_is_told_and_is_no_failure_of_ours(stack):
    deploy(stack, "throws", "exports.handler = async () => { console.log('before'); throw new TypeError('no luck'); };")
    got = invoke(stack, "throws", {"request": {}})
    assert got["functionError"] == {"type": "TypeError", "message": "no luck", "timedOut": False}
    assert got["reply"]["trace"][0] == "TypeError: no luck" and got["statusCode"] is None and got["response"] is None
    assert "before" in got["log"] and "no luck" in got["log"]
    deploy(stack, "sleeps", "exports.handler = () => new Promise(() => { console.log('asleep'); setTimeout(() => {}, 60000); });", timeout=1)
    got = invoke(stack, "sleeps", {"event": {}})
    assert got["functionError"]["timedOut"] is True and "Task timed out after 1.00 seconds" in got["functionError"]["message"]
    assert "asleep" in got["log"] and 900 < got["durationMs"] < 10000
    deploy(stack, "broken", "throw new Error('not even loaded');")
    assert "not even loaded" in invoke(stack, "broken", {"event": {}})["functionError"]["message"]
    # Ours is only that nobody waits any longer.
    refused = invoke(stack, "sleeps", {"event": {}, "deadlineMs": 200}, 504)
    assert refused["type"] == "/problems/invocation-deadline" and "200 ms" in refused["detail"]


def test_replies_that_break_the_contract_are_told_with_the_reason(stack):
    deploy(stack, "unlawful", "exports.handler = async () => ({statusCode: 99, body: ''});")
    got = invoke(stack, "unlawful", {"request": {}})
    assert got["response"] is None and got["statusCode"] is None and got["functionError"] is None
    assert got["contractProblem"] and got["reply"] == {"statusCode": 99, "body": ""}
    # To an event any reply is good.
    assert invoke(stack, "unlawful", {"event": {}})["contractProblem"] is None
    deploy(stack, "cookies", "exports.handler = async () => ({statusCode: 204, cookies: ['a=1', 'b=2'], headers: {}});")
    assert invoke(stack, "cookies", {"request": {}})["response"] == {"status": 204, "headers": {"Set-Cookie": ["a=1", "b=2"]}, "body": "",
                                                                     "isBase64Encoded": False}
    deploy(stack, "nothing", "exports.handler = async () => undefined;")
    assert invoke(stack, "nothing", {"event": {}})["reply"] is None


def test_big_events_and_big_replies_go_through_up_to_lambdas_limit(stack):
    deploy(stack, "size", """exports.handler = async (event) => event.filled
        ? {statusCode: 200, body: Buffer.alloc(event.filled, 'ab\\u00fc').toString('base64'), isBase64Encoded: true}
        : {length: JSON.stringify(event).length};""", timeout=20)
    deploy(stack, "filled", """exports.handler = async (event) => ({statusCode: 200, isBase64Encoded: event.rawPath === '/bytes',
        body: event.rawPath === '/bytes' ? Buffer.alloc(4000000, 255).toString('base64') : '"'.repeat(2900000)});""", timeout=20)
    limit = 6 * 1024 * 1024
    event = {"text": "x" * (limit - len('{"text":""}'))}
    body = json.dumps({"event": event}, separators=(",", ":")).encode()
    answer = stack.managerd.request("POST", "/v1/apps/size/invoke", body=body, headers={"Content-Type": "application/json"}, timeout=60)
    assert answer.status == 200 and answer.json()["reply"] == {"length": limit}
    event["text"] += "x"
    body = json.dumps({"event": event}, separators=(",", ":")).encode()
    answer = stack.managerd.request("POST", "/v1/apps/size/invoke", body=body, headers={"Content-Type": "application/json"}, timeout=60)
    assert answer.status == 413 and str(limit) in answer.json()["detail"]
    answer = stack.managerd.request("POST", "/v1/apps/size/invoke", body=b" " * (limit + 70000), headers={"Content-Type": "application/json"}, timeout=60)
    assert answer.status == 413
    # Millions of values cost their text, and what is beside an event is bounded.
    zeros = b"[" + b"0," * 3_000_000 + b"0]"
    answer = stack.managerd.request("POST", "/v1/apps/size/invoke", body=b'{"event":' + zeros + b"}", headers={"Content-Type": "application/json"}, timeout=60)
    assert answer.status == 200 and answer.json()["reply"] == {"length": len(zeros)}
    answer = stack.managerd.request("POST", "/v1/apps/size/invoke", body=b'{"request":' + zeros + b"}", headers={"Content-Type": "application/json"}, timeout=60)
    assert answer.status == 413 and "100000 values" in answer.json()["detail"]
    for text in (b'{"event": 1, "event": 2}', b'{"event": [1,]}', b'{"event": "\xff"}', b"{"):
        answer = stack.managerd.request("POST", "/v1/apps/size/invoke", body=text, headers={"Content-Type": "application/json"})
        assert answer.status == 400 and answer.json()["type"] == "/problems/unreadable", text
    assert len(invoke(stack, "size", {"event": {"filled": 4000000}})["reply"]["body"]) == 5333336
    got = invoke(stack, "filled", {"request": {"path": "/bytes"}})["response"]
    assert got["isBase64Encoded"] is True and base64.b64decode(got["body"]) == b"\xff" * 4000000
    assert invoke(stack, "filled", {"request": {}})["response"]["body"] == '"' * 2900000
    deploy(stack, "too-big", "exports.handler = async () => 'x'.repeat(7000000);", timeout=20)
    got = invoke(stack, "too-big", {"event": {}})
    assert got["functionError"]["type"] == "Function.ResponseSizeTooLarge"


STREAMS = {
    "prelude": "stream = awslambda.HttpResponseStream.from(stream, {statusCode: 418, headers: {'x-a': 'b'}}); stream.write('tea'); stream.write('pot'); stream.end();",
    "bare": "stream.write('just bytes'); stream.end();",
    "late-failure": "stream = awslambda.HttpResponseStream.from(stream, {statusCode: 200}); stream.write('half'); await new Promise(r => setTimeout(r, 50)); throw new Error('halfway');",
    "endless": "stream = awslambda.HttpResponseStream.from(stream, {statusCode: 200}); stream.write('first'); setInterval(() => stream.write('.'), 50); await new Promise(() => {});",
    "huge": "for (let i = 0; i < 120; i++) if (!stream.write('x'.repeat(65536))) await new Promise(r => stream.once('drain', r)); stream.end();",
}


def test_streaming_versions_are_called_as_proxyd_calls_them_and_collected(stack):
    for name, script in STREAMS.items():
        deploy(stack, name, f"exports.handler = awslambda.streamifyResponse(async (event, stream) => {{ console.log('{name} runs'); {script} }});",
               mode="stream", timeout=20)
    got = invoke(stack, "prelude", {"request": {}})
    assert got["responseMode"] == "stream" and got["statusCode"] == 418 and got["response"]["headers"]["x-a"] == ["b"]
    assert got["response"]["body"] == "teapot" and got["contractProblem"] is None and got["cut"] is None
    assert "prelude runs" in got["log"] and got["requestId"] in got["log"]
    assert invoke(stack, "bare", {"request": {}})["response"]["body"] == "just bytes"
    assert invoke(stack, "bare", {"event": {}})["rawReply"] == {"body": "just bytes", "isBase64Encoded": False}
    got = invoke(stack, "late-failure", {"request": {}})
    assert got["response"]["body"] == "half" and "halfway" in got["functionError"]["message"]
    got = invoke(stack, "endless", {"request": {}, "deadlineMs": 700})
    assert got["cut"] == "deadline" and got["response"]["body"].startswith("first.") and got["functionError"] is None
    got = invoke(stack, "huge", {"request": {}})
    assert got["cut"] == "size" and len(got["response"]["body"]) <= 6 << 20 and len(got["response"]["body"]) > 5 << 20
    # Where the mode is found out by the output, both kinds are read.
    deploy(stack, "auto", "exports.handler = async () => ({statusCode: 202, body: 'buffered after all'});", mode="auto")
    got = invoke(stack, "auto", {"request": {}})
    assert got["statusCode"] == 202 and got["response"]["body"] == "buffered after all"


def test_only_so_many_run_at_a_time_and_whoever_leaves_does_not_stop_the_function(stack):
    deploy(stack, "slow", "exports.handler = async (event) => { await new Promise(r => setTimeout(r, 1500)); console.log('done ' + event.n); return 1; };", timeout=20)
    threads = [threading.Thread(target=invoke, args=(stack, "slow", {"event": {"n": n}})) for n in range(8)]
    for thread in threads:
        thread.start()
    wait_for(lambda: "managerd_invocations_running 8" in stack.managerd.request("GET", "/metrics").text, 10, "eight run")
    refused = stack.managerd.request("POST", "/v1/apps/raw/invoke", body={"event": 1})
    assert refused.status == 429 and refused.json()["type"] == "/problems/invocations-running" and refused.header("Retry-After")
    for thread in threads:
        thread.join(30)
    with pytest.raises(TimeoutError):
        stack.managerd.request("POST", "/v1/apps/slow/invoke", body={"event": {"n": "left"}}, timeout=0.5)
    wait_for(lambda: "managerd_invocations_running 0" in stack.managerd.request("GET", "/metrics").text, 10, "its place is free")
    printed = stack.managerd.request("GET", "/v1/apps/slow/logs").text
    assert "done left" in printed
