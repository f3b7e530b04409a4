"""Bad input to each daemon's ports gets a clear error or a closed connection: never a crash, a leak or a hang."""
import json
import os
import random
import socket
import zipfile
import io

import pytest

from harness import make_zip, raw, receive_all, split_address

ROUNDS = int(os.environ.get("BAD_INPUT_ROUNDS", "120"))
PORTS = ("proxyd", "proxyd-admin", "managerd", "lambda-local")


@pytest.fixture(scope="module")
def ports(shared_stack):
    shared_stack.deploy("target", make_zip({"index.js": "exports.handler = async () => ({statusCode: 200, body: 'ok'});"}))
    return {"proxyd": shared_stack.proxyd.listen, "proxyd-admin": shared_stack.proxyd.admin,
            "managerd": shared_stack.managerd.listen, "lambda-local": shared_stack.lambda_local.listen}


@pytest.fixture(autouse=True)
def everything_still_works(shared_stack, ports):
    yield
    assert all(process.running for process in shared_stack.all())
    answer = shared_stack.app("target")
    assert (answer.status, answer.text) == (200, "ok"), answer


def status_of(answer):
    """The status of the first answer, None when the connection was just closed."""
    if not answer:
        return None
    assert answer.startswith(b"HTTP/1.1 "), answer[:100]
    return int(answer.split(b" ", 2)[1])


def is_problem(answer, status):
    """A JSON body that says what was wrong and tells nothing of the inside."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"json" in head.lower(), head
    document = json.loads(body)
    assert isinstance(document, dict) and document, body
    text = body.decode()
    for inside in ("/work", ".c:", "0x", "Traceback", "/build/", "libcurl"):
        assert inside not in text, text
    return document


@pytest.mark.parametrize("port", PORTS)
def test_random_bytes_are_refused_or_the_connection_is_closed(ports, port):
    dice = random.Random(f"bytes for {port}")
    for _ in range(ROUNDS):
        data = dice.randbytes(dice.choice((1, 7, 60, 900, 5000)))
        if dice.random() < 0.5:
            data = dice.choice((b"GET ", b"POST / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n", b"\x16\x03\x01")) + data
        answer = raw(ports[port], data + b"\r\n\r\n", timeout=10, half_close=True)
        status = status_of(answer)
        assert status is None or 400 <= status < 600, (data, answer[:200])


@pytest.mark.parametrize("port", PORTS)
def test_half_requests_leave_nothing_behind(ports, port):
    whole = (b"POST /v1/apps/x/deployments HTTP/1.1\r\nHost: target.localhost\r\nContent-Type: application/json\r\n"
             b"Content-Length: 400\r\n\r\n" + b"{" * 400)
    for cut in range(1, len(whole) - 1, max(1, len(whole) // ROUNDS)):
        with socket.create_connection(split_address(ports[port]), 5) as peer:
            peer.sendall(whole[:cut])
            if cut % 3 == 0:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # ends by a reset


@pytest.mark.parametrize("port", PORTS)
def test_huge_heads_get_their_own_status(ports, port):
    start = b"GET / HTTP/1.1\r\nHost: target.localhost\r\n"
    cases = {
        b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n": (414,),
        start + b"X-A: " + b"v" * 2_000_000 + b"\r\n\r\n": (431,),
        start + b"".join(b"X-%d: v\r\n" % n for n in range(5000)) + b"\r\n": (431,),
        start + b"A" * 100_000 + b": v\r\n\r\n": (431, 400),
    }
    for data, allowed in cases.items():
        with socket.create_connection(split_address(ports[port]), 10) as peer:
            try:
                peer.sendall(data)
            except OSError:
                pass  # it answered and closed before it had everything
            answer = receive_all(peer, 10)
        assert status_of(answer) in allowed, (port, data[:60], answer[:200])


@pytest.mark.parametrize("port", PORTS)
@pytest.mark.parametrize("message, allowed", [
    (b"GET / HTTP/1.1\n\n", (400,)),
    (b"GET / HTTP/1.1\r\n\r\n", (400,)),
    (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", (400,)),
    (b"GET / HTTP/3.0\r\nHost: a\r\n\r\n", (505,)),
    (b"GET / HTTP/1.1\r\nHost: a\r\n folded: x\r\n\r\n", (400,)),
    (b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", (400,)),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", (400,)),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", (400,)),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\n", (400, 501)),
    (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", (400,)),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n", (400,)),
    (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n", (400, 413)),
    (b"G\0T / HTTP/1.1\r\nHost: a\r\n\r\n", (400,)),
    (b"GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n", (400,)),
    (b"GET http://other/ HTTP/1.1\r\nHost: a\r\n\r\n", (400,)),
    (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", (400, 501, 405)),
])
def test_what_the_guard_refuses_is_refused_on_every_port(ports, port, message, allowed):
    answer = raw(ports[port], message, timeout=10)
    assert status_of(answer) in allowed, (port, message, answer[:200])
    is_problem(answer, status_of(answer))
    assert b"connection: close" in answer.lower(), "a refused connection is closed"


@pytest.mark.parametrize("body", [
    b"", b"{", b"[]", b"null", b'"text"', b"{}{}", b'{"a":1,"a":2}', b"\xff\xfe", b'{"package":7}', b'{"package":{"zip":"@@@"}}',
    b'{"package":{"zip":""}}', b'{"memoryMb":"big"}', b'{"memoryMb":-1}', b'{"memoryMb":1e99}', b'{"http":[]}',
    b'{"unknown":true}', b'{"description":"\\u0000"}', b"[" * 50_000, b'{"environment":{"A B":"x"}}', b'{"timeoutSeconds":1.5}',
])
def test_wrong_json_to_the_api_names_what_is_wrong(shared_stack, ports, body):
    for method, path in (("PUT", "/v1/apps/json-test"), ("POST", "/v1/apps/json-test/deployments"), ("PATCH", "/v1/apps/target"),
                         ("PUT", "/v1/apps/target/traffic"), ("POST", "/apps/deploy")):
        kind = "application/merge-patch+json" if method == "PATCH" else "application/json"
        answer = shared_stack.managerd.request(method, path, body=body, headers={"Content-Type": kind}, timeout=20)
        if body in (b"", b"{}") and method == "PATCH":
            continue
        assert 400 <= answer.status < 500, (method, path, body[:40], answer)
        document = answer.json()
        assert path.startswith("/apps/") or {"type", "title", "status", "detail"} <= set(document), document


@pytest.mark.parametrize("name", ["..", ".", "a/b", "%2e%2e", "A", "-a", "a-", "a--b", "a" * 64, "a.b", "%00", "a%2fb", "ä", "%"])
def test_names_that_are_no_app_names_are_refused(shared_stack, ports, name):
    target = f"/v1/apps/{name}".encode()
    for method in (b"PUT", b"GET", b"DELETE"):
        body = b"{}" if method == b"PUT" else b""
        answer = raw(ports["managerd"], method + b" " + target + b" HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
                     b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body) + body, timeout=10)
        assert 400 <= status_of(answer) < 500, (method, name, answer[:200])


def nasty_zips():
    yield "empty", b""
    yield "no archive", b"PK\x03\x04 this is no archive"
    empty = io.BytesIO()
    zipfile.ZipFile(empty, "w").close()
    yield "no entries", empty.getvalue()
    for name in ("../escape.js", "/etc/passwd", "a/../../escape.js", "a\\..\\b.js", "..", "a/./../../b"):
        yield name, make_zip({name: "x", "index.js": "x"})
    good = make_zip({"index.js": "exports.handler = async () => 1;" * 50})
    yield "cut short", good[:len(good) // 2]
    yield "damaged", good[:45] + bytes([good[45] ^ 0xFF]) + good[46:]
    yield "bomb", make_zip({f"{n}": b"\0" * 40_000_000 for n in range(8)})
    link = io.BytesIO()
    with zipfile.ZipFile(link, "w") as archive:
        entry = zipfile.ZipInfo("index.js")
        entry.external_attr = 0o120777 << 16
        archive.writestr(entry, "/etc/passwd")
    yield "a link out", link.getvalue()


@pytest.mark.parametrize("what, data", nasty_zips(), ids=lambda v: v if isinstance(v, str) else "")
def test_zip_tricks_are_refused_before_any_call_to_aws(shared_stack, ports, what, data):
    answer = shared_stack.managerd.request(
        "POST", "/v1/apps/zip-test/deployments?runtime=nodejs20.x&handler=index.handler", body=data,
        headers={"Content-Type": "application/zip", "Prefer": "wait=20"}, timeout=40)
    assert 400 <= answer.status < 500, (what, answer)
    assert answer.json()["detail"], answer
    names = [f["FunctionName"] for f in shared_stack.lambda_local.boto3().list_functions()["Functions"]]
    assert not any("zip-test" in name for name in names)


def test_path_tricks_to_the_front_door_never_reach_a_function(shared_stack, ports):
    for path in (b"/../x", b"/a/%2e%2e/b", b"/%2E%2E/", b"/a/./b", b"/%zz", b"/%00", b"//../x"):
        answer = raw(ports["proxyd"], b"GET " + path + b" HTTP/1.1\r\nHost: target.localhost\r\nConnection: close\r\n\r\n", timeout=10)
        assert 400 <= status_of(answer) < 500, (path, answer[:200])
