"""common/aws against botocore: what we sign is what botocore signs, what botocore signs we accept, and nothing else."""
import base64
import calendar
import http.client
import random
import time
from urllib.parse import urlsplit

import boto3
import botocore.session
import pytest
from botocore.config import Config

from sigv4_oracle import OurSigner, Reply, VerifyingServer, find_problem, host_of, sign

KEY, SECRET = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SIGNED = 2400
VERIFIED = 200

SEGMENTS = ["2015-03-31", "functions", "my-fn", "my_fn.2~x", "arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Amy-fn",
            "arn:aws:lambda:us-east-1:123456789012:function:my-fn:live", "invocations", "$LATEST", "%24LATEST", "fn:live", "a b",
            "a%20b", "a+b", "%2F", "%2f", "\u00e4\u00f6", "%C3%A4", "\u6f22\u5b57", "\U0001f600", ".", "..", "...", "", "", "a;b=c", "a,b", "@", "!*'()",
            "%", "%zz", "=", "&", "~", "[x]", "|"]
QUERIES = ["Qualifier=live", "Qualifier=%24LATEST", "Qualifier=$LATEST", "MaxItems=3", "FunctionVersion=ALL", "Marker=%2F%2B%3D", "a", "a=", "=a",
           "a=b=c", "A=1", "a=1", "a=10", "a=2", "x=a+b", "x=%20", "uploads", "\u00e4=\u00f6", "%C3%A4=1", "", "q=%7e", "-=1", "a-b=1", "a.b=2"]
NAMES = ["Content-Type", "X-Amz-Invocation-Type", "x-amz-log-type", "X-AMZ-Client-Context", "My-Header", "my_header", "Accept", "Zz-Last", "A",
         "Content-MD5", "User-Agent", "X-Amzn-Trace-Id", "Expect", "Range"]
VALUES = ["application/json", "RequestResponse", "Tail", "", "  ", "a  b", " lead and trail ", "tab\there", "\"quoted  twice\"", "\u00e4 \u6f22",
          "a,b , c", "eyJhIjoiYiJ9", "x" * 300]
BODIES = [b"", b"{}", b'{"a":1}', b"\x00\xff\xfe", "\u00e4".encode(), b"x" * 5000]


def random_request(chance):
    service = chance.choice(["lambda", "lambda", "lambda", "s3", "sts", "logs"])
    path = "/" + "/".join(chance.choice(SEGMENTS) for _ in range(chance.randrange(0, 7)))
    if service == "s3" and path.startswith("//"):
        path = "/k" + path
    query = "&".join(chance.choice(QUERIES) for _ in range(chance.choice([0, 0, 1, 1, 2, 3, 8, 40])))
    host = chance.choice(["lambda.us-east-1.amazonaws.com", "127.0.0.1:9001", "Example.COM:443", "h:80", "h:8443", "[::1]:9000"])
    headers = [(chance.choice(NAMES), chance.choice(VALUES)) for _ in range(chance.choice([0, 1, 2, 3, 6]))]
    url = f"{chance.choice(['http', 'https'])}://{host}{path}" + (f"?{query}" if query else "")
    at = chance.randrange(1_400_000_000, 1_900_000_000)
    return {
        "method": chance.choice(["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "get"]),
        "url": url, "headers": headers, "body": chance.choice(BODIES), "key": KEY,
        "secret": chance.choice([SECRET, "s", "\u00e4secret", "k" * 100]),
        "token": chance.choice(["", "", "TOKEN/with+chars==", "T" * 1200]),
        "region": chance.choice(["us-east-1", "eu-central-1", "cn-north-1"]), "service": service,
        "timestamp": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(at)),
    }


def question(request, what, headers):
    parts = urlsplit(request["url"])
    return {
        "do": what, "method": request["method"], "path": parts.path, "query": parts.query, "host": host_of(request["url"]),
        "headers": [list(header) for header in headers], "body": base64.b64encode(request["body"]).decode(),
        "region": request["region"], "service": request["service"], "s3": request["service"] == "s3", "key": request["key"],
        "secret": request["secret"], "token": request["token"],
        "now": calendar.timegm(time.strptime(request["timestamp"], "%Y%m%dT%H%M%SZ")) * 1000,
    }


def test_what_we_sign_is_what_botocore_signs():
    chance = random.Random(20150830)
    with OurSigner() as ours:
        for number in range(SIGNED):
            request = random_request(chance)
            headers, canonical = sign(**request)
            answer = ours.ask(**question(request, "sign", request["headers"]))
            assert answer["error"] == "none", (number, request)
            assert answer["canonical"] == canonical, (number, request)
            theirs = dict((name.lower(), value) for name, value in headers)
            assert answer["authorization"] == theirs["authorization"], (number, request)
            assert answer["date"] == request["timestamp"]
            assert answer["token"] == request["token"] == theirs.get("x-amz-security-token", "")
            if request["service"] == "s3":
                assert answer["sha256"] == theirs["x-amz-content-sha256"]


def changed(text):
    """The same length, another meaning."""
    last = text[-1:]
    return text[:-1] + ("b" if last == "a" else "a") if text else "a"


def mutants(ask, signed):
    """Each part of the request, changed alone: (what, question)."""
    yield "method", ask | {"method": "OPTIONS"}
    yield "path", ask | {"path": ask["path"] + "zz"}
    yield "path made longer", ask | {"path": ask["path"].rstrip("/") + "/zz"}
    yield "query added", ask | {"query": ask["query"] + "&zz=1" if ask["query"] else "zz=1"}
    if ask["query"].strip("&"):
        yield "query dropped", ask | {"query": ""}
        yield "query changed", ask | {"query": ask["query"] + "9"}
    body = base64.b64decode(ask["body"])
    yield "body longer", ask | {"body": base64.b64encode(body + b"x").decode()}
    if body:
        yield "body dropped", ask | {"body": ""}
        yield "a bit of the body", ask | {"body": base64.b64encode(bytes([body[0] ^ 1]) + body[1:]).decode()}
    yield "region", ask | {"region": "ap-south-1"}
    yield "service", ask | {"service": "iam"}
    yield "secret", ask | {"secret": changed(ask["secret"])}
    yield "key", ask | {"key": changed(ask["key"])}
    yield "time", ask | {"now": ask["now"] + 901_000}
    yield "time the other way", ask | {"now": ask["now"] - 901_000}
    yield "a header that should be signed", ask | {"headers": ask["headers"] + [["X-Amz-More", "1"]]}
    for index, (name, value) in enumerate(ask["headers"]):
        before, after = ask["headers"][:index], ask["headers"][index + 1:]
        if name.lower() in signed:
            yield f"{name} changed", ask | {"headers": before + [[name, value + "x"]] + after}
            yield f"{name} twice", ask | {"headers": before + [[name, value], [name, value]] + after}
            yield f"{name} dropped", ask | {"headers": before + after}
    authorization = next(index for index, (name, _) in enumerate(ask["headers"]) if name == "Authorization")
    value = ask["headers"][authorization][1]
    for what, other in [
        ("signature", changed(value)), ("signature cut", value[:-1]), ("signature upper case", value[:-64] + value[-64:].upper()),
        ("algorithm", value.replace("AWS4-HMAC-SHA256", "AWS4-HMAC-SHA512")), ("scope's day", value.replace(f"/{ask['day']}/", "/19990101/")),
        ("scope's region", value.replace(f"/{ask['region']}/", "/ap-south-1/")), ("scope's end", value.replace("aws4_request", "aws5_request")),
        ("signed headers", value.replace("host;", "").replace("=host,", "=,")), ("no signed headers", value.replace("SignedHeaders", "Signed")),
        ("nothing", ""), ("another scheme", "Bearer " + value),
    ]:
        if other != value:
            headers = ask["headers"][:authorization] + [["Authorization", other]] + ask["headers"][authorization + 1:]
            yield f"Authorization: {what}", ask | {"headers": headers}


def test_what_botocore_signs_is_valid_and_any_single_change_is_not():
    chance = random.Random(4)
    refused = 0
    with OurSigner() as ours:
        for number in range(VERIFIED):
            request = random_request(chance)
            headers, _ = sign(**request)
            ask = question(request, "verify", headers) | {"day": request["timestamp"][:8]}
            assert ours.ask(**ask) == {"verdict": "valid"}, (number, request)
            signed = next(value for name, value in headers if name == "Authorization").split("SignedHeaders=")[1].split(",")[0].split(";")
            for what, mutant in mutants(ask, signed):
                verdict = ours.ask(**mutant)["verdict"]
                assert verdict in ("wrong", "incomplete", "unknown-key", "expired"), (number, what, request)
                refused += 1
    assert refused > VERIFIED * 20


def test_a_request_without_a_signature_is_missing_one():
    request = random_request(random.Random(5))
    with OurSigner() as ours:
        assert ours.ask(**question(request, "verify", request["headers"])) == {"verdict": "missing"}


@pytest.mark.parametrize("signed", [True, False])
def test_an_unsigned_payload_counts_only_when_it_says_so_in_a_signed_header(signed):
    request = random_request(random.Random(6)) | {"service": "lambda", "body": b"one"}
    request["headers"] = [("X-Amz-Content-SHA256", "UNSIGNED-PAYLOAD")] if signed else []
    headers, _ = sign(**request)
    with OurSigner() as ours:
        ask = question(request | {"body": b"another"}, "verify", headers)
        assert ours.ask(**ask) == {"verdict": "valid" if signed else "wrong"}


@pytest.mark.filterwarnings("ignore:Fetching the endpoint_resolver")
def test_our_endpoints_are_botocores():
    session = botocore.session.Session()
    resolver = session.get_component("endpoint_resolver")
    compared = 0
    with OurSigner() as ours:
        for partition in ("aws", "aws-cn", "aws-us-gov", "aws-iso", "aws-iso-b"):
            for service in ("lambda", "logs", "sts", "s3"):
                for region in resolver.get_available_endpoints(service, partition, allow_non_regional=False):
                    theirs = resolver.construct_endpoint(service, region)
                    if service == "sts" and theirs["hostname"] == "sts.amazonaws.com":
                        continue
                    answer = ours.ask(do="resolve", service=service, variables={"AWS_REGION": region})
                    assert answer == {"error": "none", "url": f"https://{theirs['hostname']}"}, (service, region)
                    compared += 1
    assert compared > 80


# -- the server that other tests rely on ------------------------------------------------------------------------------


def send(server, method, path, headers, body):
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in headers:
        connection.putheader(name, value)
    connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    response = connection.getresponse()
    answer = response.status, response.getheader("X-Told"), response.read()
    connection.close()
    return answer


def signed_now(server, body=b'{"a":1}', **changes):
    path = "/2015-03-31/functions/arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Amy-fn/invocations?Qualifier=%24LATEST"
    request = {"method": "POST", "url": server.url + path, "headers": [("Content-Type", "application/json")], "body": body,
               "key": KEY, "secret": SECRET, "token": "token", "region": "us-east-1", "service": "lambda",
               "timestamp": time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())} | changes
    return path, sign(**request)[0]


def test_the_verifying_server_accepts_what_is_signed_and_tells_what_is_not():
    with VerifyingServer({KEY: SECRET}, reply=Reply(202, [("X-Told", "yes")], b"done")) as server:
        path, headers = signed_now(server)
        assert send(server, "POST", path, headers, b'{"a":1}') == (202, "yes", b"done")
        server.expect_all_valid()
        assert server.requests[0].body == b'{"a":1}' and server.requests[0].header("host") == f"127.0.0.1:{server.port}"
        path, headers = signed_now(server, secret="another")
        for sent_headers, sent_path, body, part in [
            (headers, path, b'{"a":1}', "signature is wrong"),
            (signed_now(server)[1], path, b'{"a":2}', "signature is wrong"),
            (signed_now(server)[1], path + "&x=1", b'{"a":1}', "signature is wrong"),
            (signed_now(server)[1] + [("X-Amz-Log-Type", "Tail")], path, b'{"a":1}', "not signed"),
            (signed_now(server, key="WHO")[1], path, b'{"a":1}', "unknown access key"),
            (signed_now(server, region="eu-west-1")[1], path, b'{"a":1}', "scope"),
            (signed_now(server, timestamp="20200101T000000Z")[1], path, b'{"a":1}', "off"),
            ([("Host", "h")], path, b"", "0 Authorization"),
            ([("Host", "h"), ("Authorization", "AWS4-HMAC-SHA256 x")], path, b"", "malformed"),
        ]:
            send(server, "POST", sent_path, sent_headers, body)
            assert part in server.requests[-1].problem
        with pytest.raises(AssertionError, match="signature is wrong"):
            server.expect_all_valid()


def test_what_real_clients_send_is_valid_to_the_server_and_to_us():
    arn = "arn:aws:lambda:us-east-1:123456789012:function:my-fn"
    reply = lambda got: Reply(200, [], b"" if "my-bucket" in got.target else b"{}")
    with VerifyingServer({KEY: SECRET}, reply=reply) as server, OurSigner() as ours:
        session = boto3.Session(aws_access_key_id=KEY, aws_secret_access_key=SECRET, aws_session_token="token/+=", region_name="us-east-1")
        settings = {"endpoint_url": server.url, "config": Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"})}
        functions = session.client("lambda", **settings)
        functions.invoke(FunctionName=arn, Qualifier="$LATEST", ClientContext="eyJhIjoiYiJ9", LogType="Tail", Payload=b"")
        functions.invoke(FunctionName="my-fn:live", InvocationType="Event", Payload=b"x" * (5 << 20))
        functions.list_functions(MaxItems=3, Marker="a/b+c==", FunctionVersion="ALL")
        functions.update_alias(FunctionName=arn, Name="live", FunctionVersion="3")
        session.client("s3", **settings).put_object(Bucket="my-bucket", Key="dir//a b+c.zip", Body=b"hello")
        server.expect_all_valid(at_least=5)
        for got in server.requests:
            path, _, query = got.target.partition("?")
            service = "s3" if "my-bucket" in path else "lambda"
            ask = {"do": "verify", "method": got.method, "path": path, "query": query, "headers": got.headers, "body": base64.b64encode(got.body).decode(),
                   "region": "us-east-1", "service": service, "s3": service == "s3", "key": KEY, "secret": SECRET, "now": int(time.time() * 1000)}
            assert ours.ask(**ask) == {"verdict": "valid"}, got.target
            assert ours.ask(**ask | {"secret": SECRET + "x"}) == {"verdict": "wrong"}, got.target


def test_the_verifying_server_forwards_unchanged():
    with VerifyingServer({KEY: SECRET}, reply=lambda got: Reply(299, [("X-Told", got.target)], got.body * 2)) as inner:
        with VerifyingServer({KEY: SECRET}, upstream=inner.url) as outer:
            path, headers = signed_now(outer, body=b"\x00" * 100_000)
            status, told, body = send(outer, "POST", path, headers, b"\x00" * 100_000)
            assert (status, told, body) == (299, path, b"\x00" * 200_000)
            outer.expect_all_valid()
            inner.expect_all_valid()  # Host and all else came through as they were signed


def test_the_checker_itself_follows_the_published_example():
    headers = [("Host", "example.amazonaws.com"), ("X-Amz-Date", "20150830T123600Z"),
               ("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, SignedHeaders=host;x-amz-date, "
                                 "Signature=5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31")]
    assert find_problem("GET", "/", headers, b"", {KEY: SECRET}, "us-east-1", {"service"}, now=1440938160) is None
    assert "wrong" in find_problem("GET", "/a", headers, b"", {KEY: SECRET}, "us-east-1", {"service"}, now=1440938160)
