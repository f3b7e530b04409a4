"""Events beside a second reading of docs/http-contract.md, written here by itself: random requests in each format, and 6 MB to the byte."""
import base64
import random
import re

import pytest

from fake_lambda import FakeLambda, Proxy, app, version
from harness import raw

FORMATS = {"rest": {"payload_format": 1}, "url": {"payload_format": 2}, "alb": {"payload_format": 3}, "lists": {"payload_format": 3, "multi_value": True}}
LIMIT = 6 * 1024 * 1024

HOP_BY_HOP = {"connection", "keep-alive", "proxy-connection", "proxy-authenticate", "proxy-authorization", "te", "trailer", "trailers",
              "transfer-encoding", "upgrade", "expect", "x-hop"}  # the last: named in Connection
THE_PROXYS = {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-port", "x-request-id", "x-amzn-trace-id", "x-amzn-tls-version", "x-amzn-tls-cipher-suite"}
MADE_UP = {"x-request-id", "x-amzn-trace-id"}  # by chance: not compared

PATHS = [b"/", b"/a", b"/a%20b", b"/a+b", b"/%C3%BC", b"/a%2Fb", b"/x;y", b"/a//b", b"/%ff", b"/a@b:c"]
QUERY = [b"a=1", b"a=2", b"A=3", b"b=%2B+c", b"", b"=x", b"k", b"k=", b"%zz=%", b"%ff=1", b"u=%C3%BC", b"c[]=1", b"a=1,2", b"d=a;b", b"e=f=g",
         b"%61=5", b"t=%00", b"q={x}", b"w=%f0%9f%98%80"]
HEADERS = [(b"Accept", b"*/*"), (b"X-A", b"1"), (b"x-a", b"2"), (b"X-A", b"3, 4"), (b"X-Empty", b""), (b"X-Raw", b"caf\xe9"), (b"X-Utf", b"\xc3\xbc"),
           (b"TE", b"trailers"), (b"Keep-Alive", b"5"), (b"X-Hop", b"gone"), (b"User-Agent", b"ua/1"), (b"user-agent", b"ua/2"), (b"Proxy-Authorization", b"x"),
           (b"Authorization", b"Basic x"), (b"X-Forwarded-For", b"9.9.9.9"), (b"X-FORWARDED-HOST", b"h"), (b"Forwarded", b"for=1"), (b"X_Mine", b"1"),
           (b"X_Request_Id", b"1"), (b"x-orchestrator-x", b"1"), (b"Date", b"now"), (b"Range", b"bytes=0-1"), (b"x-q", b'"\\\t'), (b"X-Forwarded-Proto", b"https")]
TYPES = [None, b"application/json", b"text/plain; charset=latin1", b"TEXT/HTML", b"application/octet-stream", b"application/x-www-form-urlencoded",
         b"image/svg+xml", b"application/vnd.api+json; x=1", b"application/javascript", b"", b"multipart/form-data; boundary=x", b"application/xml"]
CODINGS = [None, None, None, b"gzip", b"identity", b"Identity", b""]
BODIES = [b"", b"{}", b"h\xc3\xa9", b"\xff\x00", b"a\x00b\n", b'"\\']
COOKIES = [[], [], [b"a=1"], [b"a=1; b=2", b"c=3"], [b"; x=1;;"], [b""], [b"bare"]]


@pytest.fixture(scope="module")
def edge():
    with FakeLambda() as aws, Proxy(aws, routes=[app(name, [version(name, **more)]) for name, more in FORMATS.items()]) as proxyd:
        yield aws, proxyd


def random_request(chance):
    query = b"?" + b"&".join(chance.choices(QUERY, k=chance.randrange(5))) if chance.random() < 0.8 else b""
    headers, body = chance.sample(HEADERS, chance.randrange(9)), chance.choice(BODIES)
    for name, values in ((b"Content-Type", TYPES), (b"content-encoding", CODINGS)):
        value = chance.choice(values)
        headers += [] if value is None else [(name, value)]
    headers += [(b"Cookie", value) for value in chance.choice(COOKIES)]
    chance.shuffle(headers)
    return {"method": chance.choice([b"GET", b"POST", b"PUT", b"DELETE", b"OPTIONS"]), "path": chance.choice(PATHS), "query": query, "body": body,
            "headers": headers, "chunked": bool(body) and chance.random() < 0.3}


def send(proxyd, name, request):
    body = request["body"]
    framing = [(b"Transfer-Encoding", b"chunked")] if request["chunked"] else [(b"Content-Length", b"%d" % len(body))] if body else []
    request["headers"] = [(b"Host", name.encode() + b".localhost:81"), *request["headers"], *framing, (b"Connection", b"close, X-Hop")]
    head = request["method"] + b" " + request["path"] + request["query"] + b" HTTP/1.1\r\n" + b"".join(b"%s: %s\r\n" % row for row in request["headers"])
    return raw(proxyd.address, head + b"\r\n" + (b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body) if request["chunked"] else body))


# -- the model --


def text(data):
    """How many U+FFFD a broken sequence gives is not said: one here."""
    return re.sub("\ufffd+", "\ufffd", data.decode("utf-8", "replace"))


def unescaped(data):
    return re.sub(rb"%([0-9A-Fa-f]{2})", lambda found: bytes([int(found[1], 16)]), data)


def same(value):
    """As text(), in all of an event."""
    if isinstance(value, dict):
        return {same(name): same(one) for name, one in value.items() if name not in MADE_UP and name.lower() not in MADE_UP}
    if isinstance(value, list):
        return [same(one) for one in value]
    return re.sub("\ufffd+", "\ufffd", value) if isinstance(value, str) else value


def headers_by_name(request, port):
    """{lower case: [(name, value)]} of what goes through and what is added."""
    rows = [(name.decode(), text(value.strip(b" \t"))) for name, value in request["headers"]]
    sent = [value for name, value in rows if name == "X-Forwarded-For"]
    rows = [row for row in rows if row[0].lower() not in HOP_BY_HOP and row[0].lower().replace("_", "-") not in THE_PROXYS
            and not row[0].lower().replace("_", "-").startswith("x-orchestrator-")]
    rows += [("X-Forwarded-For", ", ".join([*sent, "127.0.0.1"])), ("X-Forwarded-Proto", "http"), ("X-Forwarded-Port", str(port))]
    rows += [("Content-Length", str(len(request["body"])))] if request["chunked"] else []
    found = {}
    for name, value in rows:
        found.setdefault(name.lower(), []).append((name, value))
    return found


def parameters(request, decoded):
    found = {}
    for part in filter(None, request["query"][1:].split(b"&")):
        name, _, value = part.partition(b"=")
        name, value = (unescaped(each.replace(b"+", b" ")) if decoded else each for each in (name, value))
        found.setdefault(text(name), []).append(text(value))
    return found


def is_base64(name, request):
    body, found = request["body"], {key.lower(): value.decode("latin-1") for key, value in request["headers"]}
    kind, coding = found.get(b"content-type", "").split(";")[0].strip().lower(), found.get(b"content-encoding", "").strip().lower()
    short_list = kind.startswith("text/") or kind in ("application/json", "application/javascript", "application/xml")
    try:
        body.decode()
    except UnicodeDecodeError:
        return True
    if name == "rest" or not body:
        return False
    if name == "url":
        return coding not in ("", "identity") or not (kind == "" or short_list or kind == "application/x-www-form-urlencoded" or kind.endswith(("+json", "+xml")))
    return coding != "" or not short_list


def expected(name, request, port):
    """What the event must hold, of each member that does not come by chance; None: the member is not there."""
    headers, body, base = headers_by_name(request, port), request["body"], is_base64(name, request)
    query = parameters(request, decoded=name in ("rest", "url"))
    last, joined = {key: values[-1] for key, values in query.items()}, {key: ",".join(values) for key, values in query.items()}
    path = request["path"].decode()
    event = {"isBase64Encoded": base, "body": (base64.b64encode(body) if base else body).decode() if body else "" if name in ("alb", "lists") else None}
    if name == "url":
        cookies = [part.strip() for _, value in headers.get("cookie", []) for part in value.split(";") if part.strip()]
        return {**event, "rawPath": path, "rawQueryString": text(request["query"][1:]), "cookies": cookies or None, "queryStringParameters": joined or None,
                "headers": {key: ("; " if key == "cookie" else ",").join(value for _, value in rows) for key, rows in headers.items()}}
    if name == "rest":
        headers.pop("content-length", None)
        cased = {(rows[0][0].title() if key in ("host", "user-agent") or key.startswith("x-forwarded-") else rows[0][0]): [value for _, value in rows]
                 for key, rows in headers.items()}
        return {**event, "path": path, "resource": "/" if path == "/" else "/{proxy+}", "pathParameters": None if path == "/" else {"proxy": path[1:]},
                "headers": {key: values[-1] for key, values in cased.items()}, "multiValueHeaders": cased,
                "queryStringParameters": last or None, "multiValueQueryStringParameters": query or None}
    if name == "alb":
        return {**event, "path": path, "headers": {key: rows[-1][1] for key, rows in headers.items()}, "queryStringParameters": last,
                "multiValueHeaders": None, "multiValueQueryStringParameters": None}
    return {**event, "path": path, "multiValueHeaders": {key: [value for _, value in rows] for key, rows in headers.items()},
            "multiValueQueryStringParameters": query, "headers": None, "queryStringParameters": None}


@pytest.mark.parametrize("name", FORMATS)
def test_the_event_of_any_request_is_what_the_contract_says(edge, name):
    aws, proxyd = edge
    chance = random.Random("contract " + name)
    for _ in range(300):
        request = random_request(chance)
        assert send(proxyd, name, request).startswith(b"HTTP/1.1 200 "), request
        event = same(aws.last().event)
        for member, value in expected(name, request, proxyd.address[1]).items():
            assert event.get(member) == value, (member, request)


@pytest.mark.parametrize("name", FORMATS)
def test_six_megabytes_of_event_are_let_through_and_not_a_byte_more(edge, name):
    aws, proxyd = edge

    def sent(size):
        before = len(aws.calls)
        answer = raw(proxyd.address, b"POST / HTTP/1.1\r\nHost: %s.localhost\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s"
                     % (name.encode(), size, b"x" * size), timeout=30)
        return int(answer[9:12]), len(aws.last().body) if len(aws.calls) > before else None
    aws.script[name] = lambda call: call.reply({"statusCode": 200, "body": ""})
    try:
        size = 6_000_000
        around = sent(size)[1] - size  # what the rest of the event takes, the length of its length with it
        assert sent(LIMIT - around) == (200, LIMIT)
        assert sent(LIMIT - around + 1) == (413, None)
    finally:
        del aws.script[name]
