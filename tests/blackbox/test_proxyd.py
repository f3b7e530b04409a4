"""proxyd serves: hosts and paths, both payload formats, bodies of any bytes, ids, headers, access lines."""
import base64
import http.client
import json

import pytest

import harness
from fake_lambda import SETTINGS, FakeLambda, Proxy, app, expect_fault, version


@pytest.fixture(scope="module")
def aws():
    with FakeLambda() as made:
        yield made


@pytest.fixture
def proxyd(aws):
    aws.script.clear()
    aws.calls.clear()
    with Proxy(aws, routes=[app("hello"), app("old", [version("old", payload_format=1)]), app("other"),
                            app("sleepy", enabled=False), app("empty", versions=[])],
               domains=[{"host": "shop.example.com", "paths": [{"prefix": "/", "app": "hello"},
                                                               {"prefix": "/api", "app": "other", "strip": True}]},
                        {"host": "*.example.org", "paths": [{"prefix": "/", "app": "other"}]}]) as made:
        yield made


def event_of(response):
    assert response.status == 200, response
    return response.json()


def test_an_app_is_found_by_its_host(proxyd, aws):
    event = event_of(proxyd.app("hello", "/a%20b/c?x=1&y=%2F"))
    assert (event["version"], event["rawPath"], event["rawQueryString"]) == ("2.0", "/a%20b/c", "x=1&y=%2F")
    assert event["requestContext"]["http"]["method"] == "GET"
    assert event["requestContext"]["http"]["sourceIp"] == "127.0.0.1"
    assert event["requestContext"]["domainName"] == "hello.localhost"
    call = aws.last()
    assert call.target == "/2015-03-31/functions/hello/invocations?Qualifier=1"
    assert call.method == "POST"
    headers = {name.lower(): value for name, value in call.headers}
    assert headers.get("x-amz-invocation-type", "RequestResponse") == "RequestResponse"
    assert headers["authorization"].startswith("AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/")
    assert "accept" not in headers and "expect" not in headers


@pytest.mark.parametrize("host", ["HELLO.localhost", "hello.LOCALHOST:80", "hello.localhost."])
def test_hosts_are_matched_without_case_port_and_trailing_dot(proxyd, host):
    assert harness.request(proxyd.url + "/", host=host).status == 200


def test_path_routing_strips_the_app(proxyd):
    event = event_of(harness.request(proxyd.url + "/hello/deep/er?q=1", host="localhost"))
    assert event["rawPath"] == "/deep/er"
    assert event_of(harness.request(proxyd.url + "/hello", host="localhost"))["rawPath"] == "/"


def test_path_routing_is_off_unless_published_or_told(aws):
    settings = dict(SETTINGS, path_routing=False)
    with Proxy(aws, settings=settings, routes=[app("hello")]) as proxyd:
        expect_fault(proxyd, harness.request(proxyd.url + "/hello/", host="localhost"), "unknown-app", 404)
    with Proxy(aws, settings=settings, routes=[app("hello")], options={"PROXYD_PATH_ROUTING": "true"}) as proxyd:
        assert harness.request(proxyd.url + "/hello/", host="localhost").status == 200


def test_base_domains_are_as_published_unless_told(aws):
    settings = dict(SETTINGS, base_domains=["apps.test", "two.test"])
    with Proxy(aws, settings=settings, routes=[app("hello")]) as proxyd:
        assert proxyd.app("hello", domain="apps.test").status == 200
        assert proxyd.app("hello", domain="two.test").status == 200
        assert proxyd.app("hello", domain="localhost").status == 404
        proxyd.publish(settings=dict(SETTINGS, base_domains=["three.test"]))
        assert proxyd.app("hello", domain="three.test").status == 200  # the very next request
        assert proxyd.app("hello", domain="apps.test").status == 404
    with Proxy(aws, settings=settings, routes=[app("hello")], options={"PROXYD_BASE_DOMAIN": "Four.test, five.test"}) as proxyd:
        assert proxyd.app("hello", domain="four.test").status == 200
        assert proxyd.app("hello", domain="five.test").status == 200
        assert proxyd.app("hello", domain="apps.test").status == 404
    with Proxy(aws, routes=[app("hello")], options={"PROXYD_BASE_DOMAIN": "*"}) as proxyd:
        assert proxyd.app("hello", domain="any.where.test").status == 200


def test_domains_lead_to_apps_by_longest_prefix(proxyd, aws):
    assert event_of(harness.request(proxyd.url + "/x", host="shop.example.com"))["rawPath"] == "/x"
    assert aws.last().function == "hello"
    assert event_of(harness.request(proxyd.url + "/api/x?y=1", host="shop.example.com"))["rawPath"] == "/x"
    assert aws.last().function == "other"
    event_of(harness.request(proxyd.url + "/apis", host="shop.example.com"))
    assert aws.last().function == "hello"
    event_of(harness.request(proxyd.url + "/", host="any.example.org"))
    assert aws.last().function == "other"


@pytest.mark.parametrize("name", ["nobody", "sleepy", "empty", "v1--hello"])
def test_unknown_and_inactive_apps_are_404(proxyd, aws, name):
    line = expect_fault(proxyd, proxyd.app(name), "unknown-app", 404)
    assert line["attempts"] == 0
    assert aws.calls == []


@pytest.mark.parametrize("path", ["/../etc", "/a/../../b", "/%2e%2e/x", "/a/%2E/b"])
def test_unlawful_paths_are_refused(proxyd, aws, path):
    expect_fault(proxyd, proxyd.app("hello", path), "bad-target", 400, "not-started")
    assert aws.calls == []


def test_traffic_follows_the_weights(proxyd, aws):
    proxyd.publish(routes=[app("split", [version("split-a", 1, weight=2500), version("split-b", 2, weight=7500)])])
    for _ in range(400):
        assert proxyd.app("split").status == 200
    share = aws.count("split-a") / 400
    assert 0.15 < share < 0.35, share
    lines = [line for line in proxyd.access_lines() if line.get("app") == "split"]
    assert {line["version"] for line in lines} == {1, 2}


def test_a_change_is_in_force_for_the_next_request(proxyd, aws):
    for round in range(30):
        proxyd.publish(settings=None, routes=[app("flip", [version(f"flip-{round}", round + 1)])])
        assert proxyd.app("flip").status == 200
        assert aws.last().function == f"flip-{round}"
        proxyd.publish(settings=None, routes=[app("flip", enabled=False)])
        assert proxyd.app("flip").status == 404


def test_arns_and_qualifiers_are_escaped(proxyd, aws):
    arn = "arn:aws:lambda:us-east-1:123456789012:function:hello"
    proxyd.publish(routes=[app("arn", [{"number": 1, "function": arn, "qualifier": "$LATEST"}])])
    assert proxyd.app("arn").status == 200
    assert aws.last().target == ("/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Ahello"
                                 "/invocations?Qualifier=%24LATEST")


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"])
def test_every_method_reaches_the_function(proxyd, method):
    response = proxyd.app("hello", "/", method)
    assert response.status == 200
    if method == "HEAD":
        assert response.body == b"" and int(response.header("Content-Length")) > 0
    else:
        assert response.json()["requestContext"]["http"]["method"] == method


def test_text_and_binary_bodies_reach_the_function(proxyd):
    event = event_of(proxyd.app("hello", "/", "POST", body='{"grüß": 1}'.encode(), headers={"Content-Type": "application/json"}))
    assert (event["body"], event["isBase64Encoded"]) == ('{"grüß": 1}', False)
    binary = bytes(range(256)) * 10
    event = event_of(proxyd.app("hello", "/", "POST", body=binary, headers={"Content-Type": "application/octet-stream"}))
    assert event["isBase64Encoded"] and base64.b64decode(event["body"]) == binary


def test_a_chunked_body_reaches_the_function_with_its_length(proxyd):
    host, port = proxyd.address
    connection = http.client.HTTPConnection(host, port, timeout=10)
    connection.request("POST", "/", body=iter([b"one,", b"two,", b"three"]), encode_chunked=True,
                       headers={"Host": "hello.localhost", "Transfer-Encoding": "chunked", "Content-Type": "text/plain"})
    event = json.loads(connection.getresponse().read())
    assert event["body"] == "one,two,three"
    assert event["headers"]["content-length"] == "13"
    assert "transfer-encoding" not in event["headers"]
    connection.close()


@pytest.mark.parametrize("name", ["hello", "old"])
def test_binary_bodies_come_back(proxyd, aws, name):
    binary = bytes(range(256)) * 400  # 100 KB: lent, not copied
    payload = {"statusCode": 201, "headers": {"Content-Type": "image/png"}, "body": base64.b64encode(binary).decode(),
               "isBase64Encoded": True}
    aws.script[name] = lambda call: call.reply(payload)
    response = proxyd.app(name)
    assert (response.status, response.header("Content-Type"), response.body) == (201, "image/png", binary)
    assert proxyd.line_of(response)["bytes_out"] == len(binary)


def test_format_1_0_both_ways(proxyd, aws):
    event = event_of(proxyd.app("old", "/a/b?x=1&x=2", headers={"X-Two": ["a", "b"]}))
    assert "version" not in event and event["path"] == "/a/b" and event["httpMethod"] == "GET"
    assert event["multiValueQueryStringParameters"] == {"x": ["1", "2"]}
    assert next(value for name, value in event["multiValueHeaders"].items() if name.lower() == "x-two") == ["a", "b"]
    aws.script["old"] = lambda call: call.reply(
        {"statusCode": 418, "multiValueHeaders": {"Set-Cookie": ["a=1", "b=2"]}, "headers": {"X-A": "1"}, "body": "tea"})
    response = proxyd.app("old")
    assert (response.status, response.text, response.header("X-A")) == (418, "tea", "1")
    assert response.headers.get_all("Set-Cookie") == ["a=1", "b=2"]


def test_format_2_0_cookies_and_inference(proxyd, aws):
    event = event_of(proxyd.app("hello", headers={"Cookie": "a=1; b=2", "X-Two": ["a", "b"]}))
    assert event["cookies"] == ["a=1", "b=2"] and event["headers"]["cookie"] == "a=1; b=2"
    assert event["headers"]["x-two"] == "a,b"
    aws.script["hello"] = lambda call: call.reply({"statusCode": 200, "cookies": ["c=3; Secure", "d=4"], "body": "x"})
    assert proxyd.app("hello").headers.get_all("Set-Cookie") == ["c=3; Secure", "d=4"]
    aws.script["hello"] = lambda call: call.reply({"message": "plain"})
    response = proxyd.app("hello")
    assert (response.status, response.header("Content-Type"), response.json()) == (200, "application/json", {"message": "plain"})


def test_forwarded_headers_and_ids_are_ours(proxyd, aws):
    response = proxyd.app("hello", headers={
        "X-Forwarded-For": "198.51.100.7", "X-Forwarded-Proto": "https", "X-Forwarded-Port": "1", "X-Orchestrator-App": "evil",
        "Connection": "keep-alive, X-Hop", "X-Hop": "1", "Keep-Alive": "timeout=5", "TE": "trailers", "X-Request-Id": "my.id-1_2"})
    headers = event_of(response)["headers"]
    assert headers["x-forwarded-for"] == "198.51.100.7, 127.0.0.1"
    assert headers["x-forwarded-proto"] == "http"
    assert headers["x-forwarded-port"] == str(proxyd.address[1])
    assert headers["x-request-id"] == "my.id-1_2" == response.header("X-Request-Id")
    assert headers["x-amzn-trace-id"].startswith("Root=1-")
    assert {"x-hop", "keep-alive", "te", "connection", "x-orchestrator-app"}.isdisjoint(headers)
    assert dict(aws.last().headers)["X-Amzn-Trace-Id"] == headers["x-amzn-trace-id"]
    assert proxyd.line_of(response)["client_request_id"] == "my.id-1_2"


def test_a_trace_id_is_passed_on(proxyd, aws):
    trace = "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=a1b2c3d4:1"
    assert event_of(proxyd.app("hello", headers={"X-Amzn-Trace-Id": trace}))["headers"]["x-amzn-trace-id"] == trace
    assert dict(aws.last().headers)["X-Amzn-Trace-Id"] == trace


@pytest.mark.parametrize("bad", ["a b", "x" * 129, "a/b", "ü"])
def test_an_unlawful_request_id_is_replaced(proxyd, bad):
    response = proxyd.app("hello", headers={"X-Request-Id": bad.encode()})
    assert response.header("X-Request-Id") != bad
    assert len(response.header("X-Request-Id")) == 36
    assert event_of(response)["requestContext"]["requestId"] == response.header("X-Request-Id")


def test_a_function_cannot_pose_as_the_proxy(proxyd, aws):
    aws.script["hello"] = lambda call: call.reply({"statusCode": 500, "body": "mine", "headers": {
        "X-Orchestrator-Invocation": "not-started", "X-Request-Id": "forged", "Transfer-Encoding": "chunked",
        "Content-Length": "99999", "Connection": "close", "X-Mine": "1"}})
    response = proxyd.app("hello")
    assert (response.status, response.text, response.header("X-Mine")) == (500, "mine", "1")
    assert response.header("X-Orchestrator-Invocation") is None
    assert response.header("X-Request-Id") != "forged"
    assert response.header("Content-Length") == "4"


def test_a_connection_serves_many_requests_and_so_does_upstream(proxyd, aws):
    host, port = proxyd.address
    connection = http.client.HTTPConnection(host, port, timeout=10)
    for number in range(20):
        assert harness.send(connection, "GET", f"/{number}", host="hello.localhost").json()["rawPath"] == f"/{number}"
    connection.close()
    assert len({call.connection for call in aws.calls}) == 1


def test_six_megabytes_both_ways(proxyd, aws):
    body = b"x" * (4 * 1024 * 1024)
    aws.script["hello"] = lambda call: call.reply({"statusCode": 200, "body": call.event["body"],
                                                   "headers": {"Content-Type": "text/plain"}})
    response = proxyd.app("hello", "/", "POST", body=body, headers={"Content-Type": "text/plain"}, timeout=60)
    assert (response.status, response.body) == (200, body)


def test_the_access_line_says_what_happened(proxyd):
    response = proxyd.app("hello", "/p/%C3%BC?secret=1", "POST", body=b"12345", headers={"Content-Type": "text/plain"})
    line = proxyd.line_of(response)
    assert line["method"] == "POST" and line["path"] == "/p/%C3%BC" and line["host"].startswith("hello.localhost")
    assert (line["status"], line["app"], line["version"], line["bytes_in"], line["attempts"]) == (200, "hello", 1, 5, 1)
    assert line["bytes_out"] == len(response.body)
    assert 0 < line["upstream_us"] <= line["duration_us"]
    assert line["client"] == "127.0.0.1" and "fault" not in line
    assert "secret" not in json.dumps(line)


def test_the_query_is_logged_only_when_told(aws):
    with Proxy(aws, routes=[app("hello")], options={"PROXYD_LOG_QUERY": "true"}) as proxyd:
        assert proxyd.line_of(proxyd.app("hello", "/?a=1"))["query"] == "a=1"


def test_secrets_are_not_logged(aws):
    with Proxy(aws, routes=[app("hello")], options={"PROXYD_LOG_LEVEL": "debug", "AWS_SECRET_ACCESS_KEY": "TOPSECRETKEY",
                                                    "AWS_SESSION_TOKEN": "TOPSECRETTOKEN"}) as proxyd:
        proxyd.app("hello", headers={"Authorization": "Bearer TOPSECRETHEADER"})
        assert dict(aws.last().headers)["X-Amz-Security-Token"] == "TOPSECRETTOKEN"
        proxyd.stop()
        logs = proxyd.log_text() + proxyd.access_log_path.read_text()
        assert "step" in logs and "TOPSECRET" not in logs
