"""The Runtime API of lambda-local as a runtime sees it: order, errors, streamed answers, odd runtimes."""
import base64
import http.client
import json
import socket
import time

import pytest

from harness import raw, wait_for
from lambda_functions import BOOTSTRAP, PROVIDED, call, client_of, create


@pytest.fixture
def client(lambda_local):
    return client_of(lambda_local)


def provided(client, name, code, **more):
    create(client, name, BOOTSTRAP + code, runtime=PROVIDED, **more)


def test_calls_out_of_order_are_refused_and_change_nothing(client):
    provided(client, "f", """
statuses = [call("POST", "invocation/0190a0a0-0000-7000-8000-000000000000/response", "1")]
while True:
    id, event, headers = next_event()
    statuses += [call("GET", "invocation/next"), call("POST", "init/error", "{}"),
                 call("POST", "invocation/other/response", "1"), call("POST", "invocation/other/error", "{}"),
                 call("GET", "nothing/here"), call("PUT", "invocation/next")]
    told = json.dumps([[s, json.loads(b).get("errorType")] for s, h, b in statuses])
    first = call("POST", f"invocation/{id}/response", told)
    statuses = [first, call("POST", f"invocation/{id}/response", "2"), call("POST", f"invocation/{id}/error", "{}")]
""")
    wrong_id, wrong_state, unknown = [400, "InvalidRequestID"], [403, "InvalidStateTransition"], [404, "NotFound"]
    middle = [wrong_state, wrong_state, wrong_id, wrong_id, unknown, unknown]
    assert call(client, "f").payload == [wrong_id, *middle]
    assert call(client, "f").payload == [[202, None], wrong_state, wrong_state, *middle]


def test_next_tells_all_about_the_invocation(client):
    provided(client, "f", """
while True:
    id, event, headers = next_event()
    call("POST", f"invocation/{id}/response", json.dumps(dict(headers)))
""", Timeout=5)
    custom = base64.b64encode(b'{"custom": {"a": 1}}').decode()
    result = call(client, "f", ClientContext=custom)
    headers = {name.lower(): value for name, value in result.payload.items()}
    assert headers["lambda-runtime-aws-request-id"] == result.headers["x-amzn-requestid"]
    assert headers["lambda-runtime-invoked-function-arn"].endswith(":function:f")
    assert headers["lambda-runtime-trace-id"].startswith("Root=1-")
    assert json.loads(headers["lambda-runtime-client-context"]) == {"custom": {"a": 1}}
    assert headers["lambda-runtime-deadline-ms"].isdigit() and headers["content-type"] == "application/json"
    assert "lambda-runtime-client-context" not in {name.lower() for name in call(client, "f").payload}


def test_errors_that_a_runtime_reports_come_back_unchanged(client):
    provided(client, "f", """
while True:
    id, event, headers = next_event()
    call("POST", f"invocation/{id}/error", json.dumps({"errorType": "Mine", "errorMessage": "m", "extra": [1]}),
         {"Lambda-Runtime-Function-Error-Type": "Function.Mine"})
""")
    for _ in range(2):
        result = call(client, "f")
        assert result.error == "Unhandled" and result.payload == {"errorType": "Mine", "errorMessage": "m", "extra": [1]}
        assert "Error Type: Function.Mine" in result.log


def test_an_init_error_comes_back_unchanged(client):
    provided(client, "f", """
call("POST", "init/error", json.dumps({"errorType": "Extension.Bad", "errorMessage": "m"}))
""")
    result = call(client, "f")
    assert result.error == "Unhandled" and result.payload == {"errorType": "Extension.Bad", "errorMessage": "m"}


def test_a_runtime_that_does_not_go_after_its_init_error_is_ended(client):
    provided(client, "f", """
call("POST", "init/error", json.dumps({"errorType": "Stays", "errorMessage": "m"}))
import time
time.sleep(60)
""")
    assert call(client, "f").payload["errorType"] == "Stays"


STREAM = """
import socket
def stream(id, chunks, trailers=(), headers=(), finish=True):
    peer = socket.create_connection((host, int(port)))
    peer.sendall(f"POST /2018-06-01/runtime/invocation/{id}/response HTTP/1.1\\r\\nHost: {host}:{port}\\r\\n"
                 "Lambda-Runtime-Function-Response-Mode: streaming\\r\\nTransfer-Encoding: chunked\\r\\n"
                 "Content-Type: application/octet-stream\\r\\n"
                 "Trailer: Lambda-Runtime-Function-Error-Type\\r\\nTrailer: Lambda-Runtime-Function-Error-Body\\r\\n"
                 "Connection: close\\r\\n\\r\\n".encode())
    for chunk in chunks:
        peer.sendall(b"%x\\r\\n%s\\r\\n" % (len(chunk), chunk))
    if finish:
        peer.sendall(b"0\\r\\n" + "".join(f"{n}: {v}\\r\\n" for n, v in trailers).encode() + b"\\r\\n")
        answer = peer.recv(65536)
    else:
        peer.close()
        answer = b""
    return answer
"""


def test_a_streamed_answer_to_a_plain_invocation_is_collected(client):
    provided(client, "f", STREAM + """
while True:
    id, event, headers = next_event()
    answer = stream(id, [b"one,", b"two,", b"x" * 100000])
    assert b" 202 " in answer.split(b"\\r\\n")[0], answer
""")
    for _ in range(3):
        assert call(client, "f").payload == b"one,two," + b"x" * 100000


def test_a_stream_that_fails_midway_is_a_function_error(client):
    provided(client, "f", STREAM + """
import base64
while True:
    id, event, headers = next_event()
    body = base64.b64encode(json.dumps({"errorType": "Midway", "errorMessage": "m"}).encode()).decode()
    stream(id, [b"begun"], [("Lambda-Runtime-Function-Error-Type", "Runtime.Midway"),
                            ("Lambda-Runtime-Function-Error-Body", body)])
""")
    result = call(client, "f")
    assert result.error == "Unhandled" and result.payload == {"errorType": "Midway", "errorMessage": "m"}


def test_an_answer_that_is_cut_short_is_a_function_error(client):
    provided(client, "f", STREAM + """
while True:
    id, event, headers = next_event()
    stream(id, [b"begun"], finish=False)
""")
    for _ in range(2):
        result = call(client, "f")
        assert result.error == "Unhandled" and result.payload["errorType"] == "Runtime.TruncatedResponse"


def test_an_unknown_response_mode_is_refused(client):
    provided(client, "f", """
while True:
    id, event, headers = next_event()
    status, h, body = call("POST", f"invocation/{id}/response", "1", {"Lambda-Runtime-Function-Response-Mode": "odd"})
    call("POST", f"invocation/{id}/response", json.dumps([status, json.loads(body)["errorType"]]))
""")
    assert call(client, "f").payload == [400, "InvalidFunctionResponseMode"]


def test_an_answer_that_is_too_large_is_refused_and_the_runtime_goes_on(client):
    provided(client, "f", """
last = None
while True:
    id, event, headers = next_event()
    last = call("POST", f"invocation/{id}/response", b"x" * event if event else json.dumps(last[0]))
""", Timeout=20)
    result = call(client, "f", 7 * 1024 * 1024)
    assert result.payload["errorType"] == "Function.ResponseSizeTooLarge"
    assert call(client, "f", 0).payload == 413


def test_each_sandbox_has_a_port_of_its_own_and_strangers_get_nothing_there(lambda_local, client):
    provided(client, "f", """
while True:
    id, event, headers = next_event()
    call("POST", f"invocation/{id}/response", json.dumps([host, int(port), os.getpid()]))
""")
    host, port, pid = call(client, "f").payload
    assert host == "127.0.0.1"
    time.sleep(0.3)  # until the runtime waits for its next event
    peer = http.client.HTTPConnection(host, port, timeout=5)
    for method, where, status in (("GET", "/2018-06-01/runtime/invocation/next", 403),
                                  ("POST", "/2018-06-01/runtime/init/error", 403),
                                  ("POST", "/2018-06-01/runtime/invocation/x/response", 400),
                                  ("GET", "/ping", 200), ("GET", "/", 404)):
        peer.request(method, where)
        answer = peer.getresponse()
        answer.read()
        assert answer.status == status, where
    for junk in (b"\x00" * 1000, b"GET / HTTP/1.1\r\n\r\n", b"POST /2018-06-01/runtime/invocation/x/error HTTP/1.1\r\n"
                 b"Host: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n12345", b"GET /" + b"a" * 400000):
        raw((host, port), junk, timeout=2, half_close=True)
    with socket.create_connection((host, port), 5) as half:
        half.sendall(b"POST /2018-06-01/runtime/invocation/x/response HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nhalf")
    assert call(client, "f").payload == [host, port, pid]


def test_a_runtime_that_stops_listening_is_replaced(client):
    provided(client, "f", """
id, event, headers = next_event()
call("POST", f"invocation/{id}/response", json.dumps(os.getpid()))
api.request("GET", "/2018-06-01/runtime/invocation/next")
import time
time.sleep(0.2)
api.close()
time.sleep(60)
""")
    first = call(client, "f").payload

    def another():
        result = call(client, "f")
        return result.error is None and result.payload != first

    wait_for(another, what="another sandbox answered")
