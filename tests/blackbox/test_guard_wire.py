"""The guard's table (tests/vectors/guard) on the wire: every case over plain HTTP and TLS, in one write and byte by byte."""
import base64
import os
import re
import socket
import ssl
import subprocess
from urllib.parse import urlsplit

import pytest

import harness
from fake_lambda import FakeLambda, Proxy, app

LONG = 10000  # bytes; over TLS, where each byte is a record, the few longer ones come in sevens but in the long tier
SETTINGS = {"base_domains": ["localhost"], "public_url": "http://localhost:8080", "path_routing": False}
DOMAINS = [{"host": "a", "paths": [{"prefix": "/", "app": "a"}]}]
ESCAPES = {"r": b"\r", "n": b"\n", "t": b"\t", "\\": b"\\"}


def unescape(text):
    """The README of the vectors: \\r \\n \\t \\\\ \\xNN, and {x*9000}."""
    out, at = bytearray(), 0
    while at < len(text):
        if text[at] == "\\" and text[at + 1] == "x":
            out.append(int(text[at + 2:at + 4], 16))
            at += 4
        elif text[at] == "\\":
            out += ESCAPES[text[at + 1]]
            at += 2
        elif repeat := re.match(r"\{(.*?)\*(\d+)\}", text[at:]):
            out += unescape(repeat[1]) * int(repeat[2])
            at += repeat.end()
        else:
            out += text[at].encode("latin-1")
            at += 1
    return bytes(out)


def table():
    """Every case as a dict. Those that need other limits than an edge has are left to the unit test."""
    cases = []
    for file in sorted((harness.VECTORS / "guard").glob("*.txt")):
        for block in re.split(r"\n\s*\n", file.read_text()):
            lines = [line for line in block.splitlines() if line and not line.startswith("#")]
            case = {"raw": b"", "body": b""}
            for key, value in (line.split(": ", 1) if ": " in line else (line.rstrip(":"), "") for line in lines):
                if key in ("raw", "body", "rest"):
                    case[key] = case.get(key, b"") + unescape(value)
                elif key == "accepted":
                    case[key] = unescape(value).decode("latin-1")
                else:
                    case[key] = value
            if lines and "limits" not in case:
                cases.append(case)
    return cases


CASES = table()


@pytest.fixture(scope="module")
def aws():
    with FakeLambda() as made:
        yield made


@pytest.fixture(scope="module")
def proxyd(aws):
    directory = harness.scratch("guard.")
    pem = directory / "guard.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", directory / "key",
                    "-out", pem, "-days", "2", "-subj", "/CN=guard.test"], check=True, capture_output=True, timeout=30)
    pem.write_text(pem.read_text() + (directory / "key").read_text())
    with Proxy(aws, settings=SETTINGS, domains=DOMAINS, routes=[app("a")],
               options={"PROXYD_TLS_LISTEN": "127.0.0.1:0", "PROXYD_TLS_CERTIFICATE_FILE": str(pem), "PROXYD_WORKERS": "1",
                        "PROXYD_HEAD_TIMEOUT": "5m"}) as made:
        yield made


def dial(proxyd, secure):
    if not secure:
        peer = socket.create_connection(harness.split_address(proxyd.listen), 10)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        peer = context.wrap_socket(socket.create_connection(harness.split_address(proxyd.ready_line["tlsListen"]), 10))
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return peer


ANSWER = re.compile(rb"HTTP/1\.[01] (\d\d\d) .*?\r\n\r\n", re.DOTALL)


def first_answer(received, bodiless):
    """Status of the first final answer, once it is whole; 0 while it is not."""
    for head in ANSWER.finditer(received):
        if head[1] != b"100":
            length = re.search(rb"\r\ncontent-length: (\d+)", head[0].lower())
            whole = bodiless or len(received) >= head.end() + (int(length[1]) if length else 0)
            return int(head[1]) if whole else 0
    return 0


def exchange(proxyd, data, secure, step, patience, refused, bodiless):
    """Sends `data` in pieces of `step` bytes; gives what came: until the first final answer is whole, or, when it is to be `refused`,
    until the connection is closed. The second value tells that it was."""
    received = b""
    with dial(proxyd, secure) as peer:
        try:
            for at in range(0, len(data), step):
                peer.sendall(data[at:at + step])
        except OSError:
            pass  # refused in the middle: the answer is there to be read
        peer.settimeout(patience)
        try:
            while refused or not first_answer(received, bodiless):
                piece = peer.recv(65536)
                if not piece:
                    return received, True
                received += piece
        except TimeoutError:
            return received, False
        except OSError:
            return received, True
    return received, False


def check(proxyd, aws, case, secure, step):
    before = len(aws.calls)
    incomplete = case.get("incomplete") == "yes"
    method = case.get("accepted", "").split(" ")[0]
    received, closed = exchange(proxyd, case["raw"], secure, step, 0.1 if incomplete else 10, "refused" in case, method == "HEAD")
    status = first_answer(received, method == "HEAD")
    if incomplete:
        assert not received and not closed
    elif "refused" in case:
        assert status == int(case["refused"].split()[-1])
        assert b"fault:refused" in received or b"fault:body-too-large" in received
        assert closed, "a refusal ends the connection"
    else:
        # 404 and 400 are the router's: nobody answers at that host, or an asterisk is no path of an app.
        first = received.split(b"HTTP/1.", 2)[1]  # the next one may well refuse what follows
        assert status in (200, 404, 400) and b"fault:refused" not in first
        if status == 200:
            event = aws.calls[before].event
            http, path, query = event["requestContext"]["http"], event["rawPath"], event["rawQueryString"]
            target = urlsplit("//x" + case["accepted"].split(" ", 1)[1])
            assert (http["method"], path, query) == (method, target.path or "/", target.query), "the target"
            body = event.get("body", "").encode("latin-1") if not event["isBase64Encoded"] else base64.b64decode(event["body"])
            assert body == case["body"]
            return
    assert len(aws.calls) == before, "nothing that was refused or is not whole reaches a function"


def test_the_table_has_at_least_eighty_cases_and_each_names_its_rfc_section():
    assert len(CASES) >= 80
    assert [case["case"] for case in CASES if not re.match(r"\d{4} \d", case.get("rfc", ""))] == []


@pytest.mark.parametrize("secure", [False, True], ids=["plain", "tls"])
@pytest.mark.parametrize("step", ["in one write", "byte by byte"])
def test_every_case_is_refused_or_accepted_as_it_should_be(proxyd, aws, secure, step):
    faults = []
    for case in CASES:
        size = len(case["raw"]) if step == "in one write" else 7 if len(case["raw"]) > LONG and secure and not os.environ.get("TEST_LONG") else 1
        try:
            check(proxyd, aws, case, secure, size)
        except AssertionError as fault:
            faults.append(f"{case['case']}: {fault}")
    assert not faults, "\n".join(faults)
    assert proxyd.figure("proxyd_guard_disagreements_total") == 0
