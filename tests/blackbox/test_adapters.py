"""Real Express, Fastify, Hono and Middy apps behind proxyd, by the adapters that people use: the answers of Node itself.

One app a framework (adapter_apps/), never changed for Lambda. Express, Fastify and Hono are served by Node as well, and both
answers are compared: status, body bytes, headers. Middy has no server of its own: its answers are compared with the table.
"""
import gzip
import hashlib
import io
import json
import subprocess
import zipfile
from collections import namedtuple
from pathlib import Path

import pytest

import harness
import npm
from harness import Stack

# Versions that run on node 18.
PACKAGES = (
    "serverless-http@4.0.0", "@codegenie/serverless-express@4.17.1", "express@5.3.0", "multer@2.5.0", "compression@1.8.2", "cookie-parser@1.4.7",
    "hono@4.13.19", "@hono/node-server@1.19.19",
    "fastify@4.29.1", "@fastify/aws-lambda@4.0.0", "@fastify/multipart@8.3.1", "@fastify/cookie@9.4.0", "@fastify/formbody@7.3.0",
    "@fastify/compress@7.0.3",
    "@middy/core@5.5.1", "@middy/http-router@5.5.1", "@middy/http-json-body-parser@5.5.1", "@middy/http-urlencode-body-parser@5.4.6",
    "@middy/http-multipart-body-parser@5.5.1", "@middy/http-header-normalizer@5.5.1", "@middy/http-error-handler@5.5.1",
)
APPS = Path(__file__).parent / "adapter_apps"
ADAPTERS = {"serverless-http": "express", "serverless-express": "express", "fastify": "fastify", "hono": "hono", "middy": None}
FORMATS = {"2.0": {"payloadFormat": "2.0"}, "1.0": {"payloadFormat": "1.0"}, "alb": {"payloadFormat": "alb"},
           "alb-multi": {"payloadFormat": "alb", "multiValueHeaders": True},
           "auto": {"payloadFormat": "2.0", "responseMode": "auto"},      # the same handlers, called for a stream
           "stream": {"payloadFormat": "2.0", "responseMode": "stream"}}  # Hono's streaming handler
SOME = {"auto": ("serverless-http", "fastify"), "stream": ("hono",)}
CASES = [(form, adapter) for form in FORMATS for adapter in SOME.get(form, ADAPTERS)]
MB = 1 << 20


def pseudo(size):
    """The bytes of answers.js, which come again after 65,536."""
    out, n = bytearray(), 1
    for _ in range(65536):
        n = (n * 75 + 74) % 65537
        out.append(n & 255)
    assert n == 1
    return (bytes(out) * (size // len(out) + 1))[:size]


def summed(data):
    return {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}


BINARY = pseudo(4 * MB)
LINES = 5 * MB // 16
TEXT = "grüße, €uro\n".encode() * LINES
PHOTO = bytes(range(256)) * 20 + b"\r\n--almost\r\n"
UPLOAD = (b"--line\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\ngr\xc3\xbc\xc3\x9fe\r\n"
          b"--line\r\nContent-Disposition: form-data; name=\"photo\"; filename=\"cat.png\"\r\nContent-Type: image/png\r\n\r\n" + PHOTO +
          b"\r\n--line\r\nContent-Disposition: form-data; name=\"empty\"; filename=\"empty.txt\"\r\nContent-Type: text/plain\r\n\r\n\r\n--line--\r\n")
UPLOADED = {"fields": {"title": "grüße"}, "files": [{"name": "photo", "filename": "cat.png", "type": "image/png", **summed(PHOTO)},
                                                  {"name": "empty", "filename": "empty.txt", "type": "text/plain", **summed(b"")}]}
COOKIES = ["session=a%20b; Path=/; HttpOnly; SameSite=Lax", "theme=dark; Path=/; Expires=Wed, 21 Oct 2037 07:28:00 GMT"]
LARGE = {"items": [{"n": n, "name": f"item {n}", "price": n * 1.5} for n in range(500)]}
JSON_BODY = json.dumps({"text": "grüße \U0001f600 \"quoted\" \\ \u0000", "list": [1, 2.5, None, True]}, ensure_ascii=False).encode()

# What is asked, and what each app must answer: the status (None: as the framework likes), the body as parsed JSON, text,
# or bytes, and headers.
Row = namedtuple("Row", "method path headers body status answer says", defaults=({}, None, 200, None, {}))
ROWS = {
    "query": Row("GET", "/query?a=1&b=two%20words+more&c=%C3%BC%26%3D&d=", answer={"a": ["1"], "b": ["two words more"], "c": ["ü&="], "d": [""]}),
    "repeated query": Row("GET", "/query?a=1&b=2&a=3&a=1", answer={"a": ["1", "3", "1"], "b": ["2"]}),
    "query with commas": Row("GET", "/query?a=1,2&b=x%2Cy", answer={"a": ["1,2"], "b": ["x,y"]}),
    "no query": Row("GET", "/query", answer={}),
    "query without values": Row("GET", "/query?a&b=&c=1", answer={"a": [""], "b": [""], "c": ["1"]}),
    "query with brackets": Row("GET", "/query?a[]=1&a[]=2&b[x]=3", answer={"a[]": ["1", "2"], "b[x]": ["3"]}),
    "query with bad escapes": Row("GET", "/query?a=100%&b=%zz", answer={"a": ["100%"], "b": ["%zz"]}),
    "query as browsers leave it": Row("GET", "/query?a={x|y}^`\\[1]", answer={"a": ["{x|y}^`\\[1]"]}),
    "cookies both ways": Row("GET", "/cookies", {"Cookie": "a=1; b=x%20y; c=z=="}, answer={"a": "1", "b": "x y", "c": "z=="}, says={"set-cookie": COOKIES}),
    "one cookie": Row("GET", "/cookie", answer="one", says={"set-cookie": COOKIES[1:]}),
    "headers": Row("GET", "/seen", {"Accept": "text/html, */*;q=0.5", "X-Custom": "a, \"b\"", "Authorization": "Bearer x.y"},
                   answer={"method": "GET", "path": "/seen", "agent": "test/1", "accept": "text/html, */*;q=0.5", "custom": "a, \"b\"",
                           "authorization": "Bearer x.y"}),
    "repeated header": Row("GET", "/seen", {"X-Repeated": ["one", "two"]}, answer={"method": "GET", "path": "/seen", "agent": "test/1", "repeated": ["one", "two"]}),
    "PUT": Row("PUT", "/seen", {"Content-Type": "text/plain"}, b"x", answer={"method": "PUT", "path": "/seen", "agent": "test/1", "type": "text/plain"}),
    "DELETE": Row("DELETE", "/seen", answer={"method": "DELETE", "path": "/seen", "agent": "test/1"}),
    "OPTIONS": Row("OPTIONS", "/seen", answer={"method": "OPTIONS", "path": "/seen", "agent": "test/1"}),
    "JSON": Row("POST", "/json", {"Content-Type": "application/json"}, JSON_BODY, answer={"json": json.loads(JSON_BODY)}),
    "broken JSON": Row("POST", "/json", {"Content-Type": "application/json"}, b'{"a":', None),
    "JSON in chunks": Row("POST", "/json", {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}, b'7\r\n{"a": [\r\n3\r\n1]}\r\n0\r\n\r\n',
                          answer={"json": {"a": [1]}}),
    "POST without a body": Row("POST", "/seen", answer={"method": "POST", "path": "/seen", "agent": "test/1"}),
    "form": Row("POST", "/form", {"Content-Type": "application/x-www-form-urlencoded"}, b"a=1&b=two+words&c=%C3%BC&d=x%3Dy%26z",
                answer={"form": {"a": "1", "b": "two words", "c": "ü", "d": "x=y&z"}}),
    "multipart upload": Row("POST", "/upload", {"Content-Type": "multipart/form-data; boundary=line"}, UPLOAD, answer=UPLOADED),
    "bytes": Row("POST", "/bytes", {"Content-Type": "application/octet-stream"}, bytes(range(256)), answer=summed(bytes(range(256)))),
    "4 MB binary": Row("POST", "/bytes", {"Content-Type": "application/octet-stream"}, BINARY, answer=summed(BINARY)),
    "5 MB text": Row("POST", "/bytes", {"Content-Type": "text/plain; charset=utf-8"}, TEXT, answer=summed(TEXT)),
    "gzip request": Row("POST", "/bytes", {"Content-Type": "text/plain", "Content-Encoding": "gzip"}, gzip.compress(b"packed " * 99, mtime=0),
                        answer=summed(b"packed " * 99)),
    "binary answer": Row("GET", "/bytes/1000", answer=pseudo(1000)),
    "4 MB binary answer": Row("GET", f"/bytes/{4 * MB}", answer=BINARY),
    "5 MB text answer": Row("GET", f"/text/{LINES}", answer=TEXT.decode()),
    "gzip answer": Row("GET", "/packed", {"Accept-Encoding": "gzip"}, answer=LARGE, says={"content-encoding": ["gzip"]}),
    "UTF-8 path": Row("GET", "/greet/%C3%BC%E2%82%AC%20x", answer="grüße, ü€ x"),
    "slash in a path": Row("GET", "/greet/a%2Fb%3Fc", answer="grüße, a/b?c"),
    "path that is not UTF-8": Row("GET", "/greet/%FF", status=None),
    "long path and query": Row("GET", "/greet/" + "x" * 2000 + "?" + "&".join(f"n{n}={n}" for n in range(500)), status=None),
    "redirect": Row("GET", "/redirect", status=302, says={"location": ["/elsewhere/%C3%BC?x=%20y&z=1"]}),
    "HEAD": Row("HEAD", "/query?a=1", answer=""),
    "HEAD of a 404": Row("HEAD", "/missing", status=404, answer=""),
    "no content": Row("GET", "/empty", status=204, answer=""),
    "created": Row("POST", "/made", status=201, answer={"id": 7}, says={"location": ["/made/7"], "x-custom": ["a, b"], "x-number": ["7"]}),
    "other status": Row("GET", "/teapot", status=418, answer="<p>I'm a teapot</p>"),
    "entity tag": Row("GET", "/tagged", answer="tagged", says={"etag": ['"v1"']}),
    "not modified": Row("GET", "/tagged", {"If-None-Match": '"v1"'}, status=304, answer="", says={"etag": ['"v1"']}),
    "the app's own 404": Row("GET", "/missing", status=404, answer={"missing": True}),
    "404": Row("GET", "/nowhere", status=404),
    "404 of a POST": Row("POST", "/nowhere?x=1", {"Content-Type": "application/json"}, b"{}", 404),
    "500": Row("GET", "/fail", status=500),
}

# Headers that belong to the connection or to the server in front, which is another one. Content-Length is compared for HEAD alone,
# elsewhere bodies are compared themselves.
SERVERS_OWN = {"connection", "keep-alive", "date", "transfer-encoding", "x-request-id", "x-orchestrator-version", "content-length"}

# The type that AWS gives to answers without one.
DEFAULT_TYPES = {"2.0": "application/json", "1.0": "application/json", "alb": "application/octet-stream", "stream": "application/octet-stream"}

# All that differs from Node's answers, or from the table: adapters, formats, what ("row: status", "row: body" or "row: header"), and
# why it is not ours. A difference that is not named here fails, and so does a name without a difference.
ALL, EVERY, AS_2_0 = tuple(ADAPTERS), tuple(FORMATS), ("2.0", "auto")
WITHOUT_TYPE = ("redirect: content-type", "no content: content-type", "not modified: content-type")
DEVIATIONS = [
    (ALL, ("alb",), ("repeated query: body", "query with brackets: body", "repeated header: body"),
     "a balancer's event without multi-value headers holds the last value alone"),
    (("serverless-http", "serverless-express", "hono"), ("alb",), ("cookies both ways: set-cookie",),
     "the adapter fills headers alone, which hold one value each: of two cookies one goes out, or none"),
    (("serverless-http",), ("1.0",), ("repeated header: body",), "the adapter reads multiValueHeaders, and overwrites them by headers"),
    (("serverless-express",), EVERY,
     tuple(f"{row}: {what}" for row in ("404", "404 of a POST", "path that is not UTF-8") for what in ("status", "body")), "the adapter's socket has no on(), so Express's last handler throws: apps that answer 404 themselves are fine"),
    (("fastify",), AS_2_0, ("query with commas: body",), "the adapter splits queryStringParameters at commas, though rawQueryString has it right"),
    (("fastify",), ("alb", "alb-multi"), ("query: body",), "the adapter does not read + as a space"),
    (("serverless-express", "fastify"), ("alb", "alb-multi"), tuple(f"query with bad escapes: {what}" for what in ("status", "body", "content-type")),
     "the adapter throws: it decodes strictly"),
    (("serverless-express",), ("alb", "alb-multi"), ("query with bad escapes: x-powered-by",), "the same"),
    (("fastify",), ("alb", "alb-multi"), tuple(f"query with bad escapes: {name}" for name in ("cache-control", "x-orchestrator-invocation")),
     "the same; and what it throws goes up to Lambda, so that the answer is a fault's"),
    (("fastify",), ("alb-multi",),
     tuple(f"{row}: body" for row in ("cookies both ways", "headers", "PUT", "DELETE", "OPTIONS", "POST without a body", "JSON", "JSON in chunks", "broken JSON", "form", "multipart upload",
                                      "gzip request", "not modified", "repeated header")) +
     tuple(f"{row}: status" for row in ("PUT", "JSON", "JSON in chunks", "broken JSON", "form", "multipart upload", "not modified")) +
     ("gzip answer: content-encoding", "gzip answer: vary", "not modified: content-type"),
     "the adapter takes from multiValueHeaders only what has more than one value: the app sees no other header"),
    (("hono",), ("alb-multi",), ("repeated header: body",), "the adapter joins repeated headers with a semicolon"),
    (("hono",), EVERY, WITHOUT_TYPE, "@hono/node-server calls every answer without a type text/plain; Hono itself does not"),
    (("middy",), AS_2_0, ("slash in a path: status", "slash in a path: body"),
     "its router matches requestContext.http.path, which AWS decodes, so %2F is a slash there"),
]


def named(adapter, payload_format):
    return {what for adapters, formats, whats, _ in DEVIATIONS if adapter in adapters and payload_format in formats for what in whats}


def package(folder):
    """One zip of the apps and of what node needs of their packages."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file in sorted(APPS.iterdir()):
            archive.write(file, file.name)
        for file in sorted((folder / "node_modules").rglob("*")):
            if file.suffix in (".js", ".cjs", ".mjs", ".json") and file.is_file() and not file.is_symlink():
                archive.write(file, file.relative_to(folder))
    return out.getvalue()


@pytest.fixture(scope="module")
def direct(tmp_path_factory):
    """The ports of the apps that Node serves."""
    folder = npm.install(*PACKAGES)
    work = tmp_path_factory.mktemp("direct")
    for file in APPS.iterdir():
        (work / file.name).write_bytes(file.read_bytes())
    (work / "node_modules").symlink_to(folder / "node_modules")
    with subprocess.Popen(["node", "direct.js"], cwd=work, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
                          env=harness.clean_environment(work)) as process:
        yield json.loads(process.stdout.readline())
        process.stdin.close()


@pytest.fixture(scope="module")
def deployed():
    """The stack with one version a format; versions[format] is the host's first label."""
    folder = npm.install(*PACKAGES)
    with Stack() as stack:
        versions = {}
        for name, http in FORMATS.items():
            settings = {"runtime": "nodejs20.x", "handler": "streaming.hono" if name == "stream" else "index.handler", "timeoutSeconds": 30,
                        "memoryMb": 1024, "http": {"responseMode": "buffered", "multiValueHeaders": False, **http}}
            if not versions:
                stack.managerd.request("PUT", "/v1/apps/adapters", body=settings)
                stack.deploy("adapters", package(folder), runtime="nodejs20.x", handler="index.handler")
            else:
                answer = stack.managerd.request("POST", "/v1/apps/adapters/deployments", {"package": {"version": 1}, **settings}, {"Prefer": "wait=60"}, timeout=70)
                assert answer.status in (200, 201), answer
            versions[name] = f"v{len(versions) + 1}--adapters"
        assert stack.managerd.request("PATCH", "/v1/apps/adapters", {"previewUrls": True}).status == 200
        harness.wait_for(lambda: stack.app(versions["1.0"]).status == 200, 10, "the preview hosts answer")
        yield stack, versions


def ask(port, row, host, adapter):
    headers = {"User-Agent": "test/1", **row.headers, "X-Adapter": adapter}
    return harness.request(f"http://127.0.0.1:{port}{row.path}", row.method, row.body, headers, host, timeout=60)


directly = {}


def of_node(direct, framework, name, host):
    """Node's own answer, asked for once; it must be what the table says, or the apps are wrong."""
    if (framework, name) not in directly:
        answer = ask(direct[framework], ROWS[name], host, "none")
        assert not against_table(ROWS[name], answer), (framework, name, against_table(ROWS[name], answer))
        directly[framework, name] = answer
    return directly[framework, name]


def headers_of(response, default_type=None):
    found = {} if default_type is None else {"content-type": [default_type]}
    for name, value in response.headers.items():
        name = name.lower()
        if name == "content-type":
            found[name] = [value.lower().replace("; ", ";")]
        elif name not in SERVERS_OWN:
            found.setdefault(name, []).append(value)
    return found


def body_of(response):
    """What is said: the packed bytes of two zlibs may differ."""
    return gzip.decompress(response.body) if response.header("Content-Encoding") == "gzip" else response.body


def differ(problems, what, got, wanted):
    if got != wanted:
        problems[what] = f"{str(got)[:200]} instead of {str(wanted)[:200]}"


def against_table(row, response):
    problems = {}
    if row.status is not None:
        differ(problems, "status", response.status, row.status)
    if isinstance(row.answer, dict):
        body = body_of(response)
        differ(problems, "body", json.loads(body) if body[:1] == b"{" else body, row.answer)
    elif row.answer is not None:
        differ(problems, "body", response.body, row.answer.encode() if isinstance(row.answer, str) else row.answer)
    for name, values in row.says.items():
        differ(problems, name, response.headers.get_all(name), values)
    return problems


def against_node(response, own, default_type, head):
    problems = {}
    differ(problems, "status", response.status, own.status)
    differ(problems, "body", body_of(response), body_of(own))
    got, wanted = headers_of(response), headers_of(own)
    if response.status not in (204, 304):
        wanted = headers_of(own, default_type)
    if "body" in problems:  # it is a sum of the body
        wanted.pop("etag", None), got.pop("etag", None)
    for name in set(got) | set(wanted):
        differ(problems, name, got.get(name), wanted.get(name))
    if head:
        differ(problems, "content-length", response.header("Content-Length"), own.header("Content-Length"))
    return problems


@pytest.mark.parametrize("payload_format, adapter", CASES)
def test_the_answers_are_those_of_node(deployed, direct, payload_format, adapter):
    stack, versions = deployed
    host = f"{versions[payload_format]}.localhost"
    framework, default_type = ADAPTERS[adapter], DEFAULT_TYPES["stream" if payload_format == "stream" else FORMATS[payload_format]["payloadFormat"]]
    problems = {}
    for name, row in ROWS.items():
        response = ask(stack.proxyd.address[1], row, host, adapter)
        found = against_node(response, of_node(direct, framework, name, host), default_type, row.method == "HEAD") if framework else against_table(row, response)
        problems |= {f"{name}: {what}": problem for what, problem in found.items()}
    expected = named(adapter, payload_format)
    unexpected = [f"{what}: {problems[what]}" for what in sorted(set(problems) - expected)]
    assert not unexpected, "\n".join(unexpected)
    assert expected == set(problems), f"no difference any more, strike it: {sorted(expected - set(problems))}"


@pytest.mark.parametrize("path", ["/greet/%zz", "/greet/%", "/greet/../query", "/greet/%2e%2E/query", "/greet/{x}", "/greet/\\x"])
def test_a_path_that_can_be_read_in_two_ways_reaches_no_app(deployed, path):
    """Node passes them on, and each framework reads them in its own way."""
    stack, versions = deployed
    answer = stack.app(versions["2.0"], path, headers={"X-Adapter": "hono"})
    assert answer.status == 400 and answer.json()["type"] in [f"urn:app-orchestrator:fault:{fault}" for fault in ("refused", "bad-target")]


TOO_LARGE = {  # sent, as JSON in the event
    "5 MB binary": ("application/octet-stream", BINARY + bytes(MB)),
    "4 MB of quotes": ("application/json", b'"' * (4 * MB)),
}


@pytest.mark.parametrize("payload_format", FORMATS)
def test_what_lambda_would_not_take_is_refused_with_its_limit_and_not_invoked(deployed, payload_format):
    stack, versions = deployed
    name = versions[payload_format]
    log = stack.data / "lambda-local" / "functions" / "adapters" / "function.log"
    before = log.read_text().count("START RequestId")
    for what, (content_type, body) in TOO_LARGE.items():
        answer = stack.app(name, "/bytes", "POST", body=body, headers={"Content-Type": content_type, "X-Adapter": "hono"}, timeout=30)
        assert (answer.status, answer.json()["type"]) == (413, "urn:app-orchestrator:fault:event-too-large"), what
        assert "6 MB (6291456 bytes)" in answer.text and answer.header("X-Orchestrator-Invocation") == "not-started", what
    # The largest that fits: what is left of 6 MB by the rest of the event is not much.
    answer = stack.app(name, "/bytes", "POST", body=b"x" * (6 * MB - 8192), headers={"Content-Type": "text/plain", "X-Adapter": "hono"}, timeout=30)
    assert answer.json()["size"] == 6 * MB - 8192
    assert log.read_text().count("START RequestId") == before + 1


def test_an_answer_that_lambda_would_not_take_is_an_honest_502_unless_it_is_streamed(deployed):
    stack, versions = deployed
    for payload_format, name in versions.items():
        answer = stack.app(name, f"/bytes/{5 * MB}", headers={"X-Adapter": "serverless-http"}, timeout=30)
        if payload_format == "stream":
            assert answer.status == 200 and answer.body[:4 * MB] == BINARY and len(answer.body) == 5 * MB
        else:
            assert (answer.status, answer.json()["type"]) == (502, "urn:app-orchestrator:fault:function-error"), answer


# -- the events, by others' types --

SCHEMAS = ("@aws-lambda-powertools/parser@2.35.0", "zod@4.6.7")
SCHEMA_TEST = """
"use strict";
const fs = require("node:fs");
const {APIGatewayProxyEventV2Schema} = require("@aws-lambda-powertools/parser/schemas/api-gatewayv2");
const {APIGatewayProxyEventSchema} = require("@aws-lambda-powertools/parser/schemas/api-gateway");
const {AlbSchema, AlbMultiValueHeadersSchema} = require("@aws-lambda-powertools/parser/schemas/alb");
const {LambdaFunctionUrlSchema} = require("@aws-lambda-powertools/parser/schemas/lambda");
const result = {};
for (const name of fs.readdirSync(process.argv[2])) {
  const read = (file) => JSON.parse(fs.readFileSync(`${process.argv[2]}/${name}/${file}`));
  const {format = "2.0", multiValue} = read("request.json"), event = read("event.json");
  const schemas = format === "2.0" ? {APIGatewayProxyEventV2Schema, LambdaFunctionUrlSchema} : format === "1.0" ? {APIGatewayProxyEventSchema} :
    multiValue ? {AlbMultiValueHeadersSchema} : {AlbSchema};
  result[name] = Object.entries(schemas).flatMap(([schema, {safeParse}]) => {
    const parsed = safeParse(event);
    return parsed.success ? [] : parsed.error.issues.map((issue) => `${schema}: ${issue.path.join(".")}: ${issue.message}`);
  });
}
console.log(JSON.stringify(result));
"""


def test_the_schemas_of_powertools_accept_every_event_vector():
    folder = npm.install(*SCHEMAS)
    work = harness.scratch("schemas.")
    (work / "node_modules").symlink_to(folder / "node_modules")
    (work / "test.js").write_text(SCHEMA_TEST)
    done = subprocess.run(["node", "test.js", str(harness.VECTORS / "events")], cwd=work, timeout=60, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, env=harness.clean_environment(work))
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert len(result) == sum(1 for _ in (harness.VECTORS / "events").iterdir()) > 150
    # The schemas take API Gateway's seven methods alone; ours go through with any token (RFC 9110 section 9.1).
    refused = {name: [issue for issue in issues if not (name.startswith("method-custom-") and "ethod: Invalid option: expected one of" in issue)]
               for name, issues in result.items()}
    refused = {name: issues for name, issues in refused.items() if issues}
    assert not refused, json.dumps(refused, indent=1)
