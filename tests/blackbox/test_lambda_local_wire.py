"""lambda-local's API port on the wire: signatures that do not fit, requests that make no sense, bytes that are no HTTP."""
import datetime
import json
import os
import random
import signal
import socket
import time

import pytest

from harness import LambdaLocal, make_zip, raw, request, wait_for
from lambda_functions import NODE, ROLE, call, client_of, create, refused

LIST = "/2015-03-31/functions"


def sign(server, method, path, body=b"", key="local", secret="local", token=None, region="us-east-1", service="lambda",
         headers=None, at=None):
    """Headers that botocore signs; `at` moves the clock, in seconds."""
    import botocore.auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
    signed = AWSRequest(method, server.url + path, data=body, headers=dict(headers or {}))
    clock = botocore.auth.datetime

    class Moved(datetime.datetime):
        @classmethod
        def utcnow(cls):
            return datetime.datetime.utcnow() + datetime.timedelta(seconds=at or 0)

    try:
        botocore.auth.datetime = type("moved", (), {"datetime": Moved})
        botocore.auth.SigV4Auth(Credentials(key, secret, token), service, region).add_auth(signed)
    finally:
        botocore.auth.datetime = clock
    return dict(signed.headers.items())


def ask(server, method, path, body=b"", headers=None, **more):
    return request(server.url + path, method=method, body=body or None, timeout=15,
                   headers=headers if headers is not None else sign(server, method, path, body, **more))


def refusal_of(answer):
    document = answer.json()
    assert answer.header("x-amzn-RequestId") and answer.header("content-type") == "application/json"
    return answer.status, answer.header("x-amzn-ErrorType"), document.get("message", document.get("Message"))


def test_a_right_signature_passes_with_any_token(lambda_local):
    assert ask(lambda_local, "GET", LIST).json() == {"Functions": []}
    assert ask(lambda_local, "GET", LIST + "/").status == 200
    assert ask(lambda_local, "GET", LIST + "?Marker=&MaxItems=3", token="any/token+here==").status == 200
    assert ask(lambda_local, "GET", LIST, at=-600).status == 200


@pytest.mark.parametrize("more, code, words", [
    ({"headers": {}}, "MissingAuthenticationTokenException", "Missing Authentication Token"),
    ({"headers": {"Authorization": "Bearer x"}}, "IncompleteSignatureException", "AWS4-HMAC-SHA256"),
    ({"headers": {"Authorization": "AWS4-HMAC-SHA256 Credential=local/x"}}, "IncompleteSignatureException", ""),
    ({"key": "other"}, "UnrecognizedClientException", "The security token included in the request is invalid."),
    ({"secret": "wrong"}, "InvalidSignatureException", "The request signature we calculated does not match"),
    ({"region": "eu-west-1"}, "InvalidSignatureException", ""),
    ({"service": "s3"}, "InvalidSignatureException", ""),
    ({"at": -1200}, "InvalidSignatureException", "Signature expired"),
    ({"at": 1200}, "InvalidSignatureException", "Signature expired"),
])
def test_wrong_signatures_are_refused_as_aws_does(lambda_local, more, code, words):
    status, kind, message = refusal_of(ask(lambda_local, "GET", LIST, **more))
    assert (status, kind) == (403, code) and words in message


def test_what_was_signed_cannot_be_changed(lambda_local):
    client = client_of(lambda_local)
    create(client, "f", "exports.handler = async (event) => event")
    path = "/2015-03-31/functions/f/invocations"
    headers = sign(lambda_local, "POST", path, b'{"a":1}', token="t", headers={"X-Amz-Invocation-Type": "DryRun"})
    assert ask(lambda_local, "POST", path, b'{"a":1}', headers=headers).status == 204
    changes = [("POST", path, b'{"a":2}', headers), ("POST", path + "?Qualifier=1", b'{"a":1}', headers),
               ("PUT", path, b'{"a":1}', headers),
               ("POST", path, b'{"a":1}', {**headers, "X-Amz-Invocation-Type": "Event"}),
               ("POST", path, b'{"a":1}', {**headers, "X-Amz-Security-Token": "u"})]
    for method, target, body, changed in changes:
        assert refusal_of(ask(lambda_local, method, target, body, headers=changed))[1] == "InvalidSignatureException"
    assert ask(lambda_local, "POST", path, b'{"a":1}', headers={**headers, "X-Amzn-Trace-Id": "Root=1-2-3"}).status == 204


def test_signatures_can_be_left_unchecked():
    with LambdaLocal(options={"LAMBDA_LOCAL_VERIFY_SIGNATURES": "false"}) as server:
        assert request(server.url + LIST).json() == {"Functions": []}


def test_another_key_can_be_set_also_from_a_file(tmp_path):
    (tmp_path / "secret").write_text("s3cret\n")
    with LambdaLocal(options={"LAMBDA_LOCAL_ACCESS_KEY_ID": "AKID",
                              "LAMBDA_LOCAL_SECRET_ACCESS_KEY_FILE": str(tmp_path / "secret")}) as server:
        assert ask(server, "GET", LIST, key="AKID", secret="s3cret").status == 200
        assert ask(server, "GET", LIST).status == 403
        (tmp_path / "secret").write_text("other")
        server.signal(signal.SIGHUP)
        server.wait_for_event("secrets-read")
        assert ask(server, "GET", LIST, key="AKID", secret="s3cret").status == 403
        assert ask(server, "GET", LIST, key="AKID", secret="other").status == 200
        assert "s3cret" not in server.log_tail()


@pytest.mark.parametrize("method, path", [
    ("GET", "/"), ("GET", "/2015-03-31/functions/f/nothing"), ("PATCH", LIST), ("GET", "/2015-03-31"),
    ("GET", "/2015-03-31//functions"),
    ("GET", "/2015-03-31/functions/f/configuration/more"), ("DELETE", LIST)])
def test_unknown_operations_are_answered_as_aws_does(lambda_local, method, path):
    status, kind, _ = refusal_of(ask(lambda_local, method, path))
    assert (status, kind) == (404, "UnknownOperationException")


@pytest.mark.parametrize("body", [b"{", b"[]", b"5", b"\xff\xfe", b'{"a":1}x', b'{"FunctionName":"a","FunctionName":"b"}',
                                  b"[" * 5000, b'{"Timeout": "3"}', b'{"Environment": []}', b'{"Description": {}}'])
def test_documents_that_make_no_sense_are_refused(lambda_local, body):
    client = client_of(lambda_local)
    create(client, "f", "exports.handler = async () => 1")
    answer = ask(lambda_local, "PUT", "/2015-03-31/functions/f/configuration", body)
    status, kind, message = refusal_of(answer)
    assert (status, kind) == (400, "InvalidRequestContentException") and "json" in message
    assert call(client, "f").payload == 1


@pytest.mark.parametrize("path", [
    "/2015-03-31/functions/%ff", "/2015-03-31/functions/..%2f..%2fetc",
    "/2015-03-31/functions/" + "x" * 300, "/2015-03-31/functions/a%00b", "/2017-03-31/tags/x",
    "/2015-03-31/functions/f?Qualifier=a%20b", "/2015-03-31/functions?MaxItems=0", "/2015-03-31/functions?MaxItems=x",
    "/2015-03-31/functions?Marker=zz", "/2015-03-31/functions?FunctionVersion=SOME"])
def test_names_and_parameters_that_make_no_sense_are_refused(lambda_local, path):
    status, kind, _ = refusal_of(ask(lambda_local, "GET", path))
    assert status == 400 and kind in ("ValidationException", "InvalidParameterValueException")


def test_bodies_over_an_operations_limit_are_refused(lambda_local):
    client = client_of(lambda_local)
    create(client, "f", "exports.handler = async () => 1")
    for method, path, size in (("PUT", "/2015-03-31/functions/f/configuration", 2 << 20), ("GET", LIST, 10000)):
        body = b'"' + b"x" * size + b'"'
        status, kind, _ = refusal_of(ask(lambda_local, method, path, body))
        assert (status, kind) == (413, "RequestTooLargeException")


def test_a_package_of_fifty_megabytes_is_taken_and_a_larger_one_refused(lambda_local):
    client = client_of(lambda_local)
    noise = os.urandom(1 << 20)
    package = make_zip({"index.js": "exports.handler = async () => require('fs').statSync('noise').size",
                        "noise": b"".join(bytes(b ^ n for b in noise[:65536]) + noise[65536:] for n in range(46))})
    assert 45 << 20 < len(package) < 50 << 20
    client.create_function(FunctionName="big", Role=ROLE, Runtime=NODE, Handler="index.handler",
                           Code={"ZipFile": package})
    assert call(client, "big").payload == 46 << 20
    with refused("RequestTooLargeException", 413):
        client.update_function_code(FunctionName="big", ZipFile=b"PK" + os.urandom((50 << 20) + 1))
    assert call(client, "big").payload == 46 << 20


def test_random_bytes_and_half_requests_get_an_error_or_a_closed_connection(lambda_local):
    chance = random.Random(7)
    good = b"GET " + LIST.encode() + b" HTTP/1.1\r\nHost: a\r\n\r\n"
    bad = [os.urandom(chance.randrange(1, 4000)) for _ in range(20)]
    bad += [good[:n] for n in range(1, len(good), 5)]
    bad += [b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n", b"GET /" + b"a" * 100000 + b" HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 100000 + b"\r\n\r\n", b"\r\n" * 10000,
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc",
            b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999999999999\r\n\r\n",
            b"GET /2015-03-31/functions/%zz HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/9.9\r\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"]
    for piece in bad:
        answer = raw(lambda_local.address, piece, timeout=3, half_close=True)
        assert answer == b"" or answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")), (piece[:60], answer[:200])
    assert ask(lambda_local, "GET", LIST).status == 200


def test_many_half_open_connections_do_not_stop_the_others(lambda_local):
    peers = [socket.create_connection(lambda_local.address, 5) for _ in range(300)]
    try:
        for peer in peers[:150]:
            peer.sendall(b"POST /2015-03-31/functions HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhalf")
        started = time.monotonic()
        assert ask(lambda_local, "GET", LIST).status == 200
        assert time.monotonic() - started < 5
    finally:
        for peer in peers:
            peer.close()


@pytest.mark.parametrize("arguments", [["--nothing"], ["--listen", "nowhere"], ["--ready-delay-ms", "soon"],
                                       ["--max-sandboxes", "0"], ["--log-level", "loud"]])
def test_wrong_options_end_with_2_and_a_sentence(arguments):
    server = LambdaLocal(arguments=arguments).launch()
    server.wait(expect=2)
    assert arguments[0].lstrip("-") in server.log_tail()


def test_it_listens_on_loopback_and_says_what_it_is_for(lambda_local):
    assert lambda_local.listen.startswith("127.0.0.1:")
    assert "development and tests" in lambda_local.events("purpose")[0]["text"]
    assert lambda_local.ready_line["functions"] == 0


def test_a_start_that_cannot_be_ends_with_1_and_a_sentence(lambda_local, tmp_path):
    for options, words in (({"LAMBDA_LOCAL_LISTEN": lambda_local.listen}, lambda_local.listen),
                           ({"LAMBDA_LOCAL_RUNTIMES_DIR": str(tmp_path / "none")}, "runtime shims"),
                           ({"ORCHESTRATOR_DATA_DIR": "/proc/none"}, "/proc/none")):
        server = LambdaLocal(options=options).launch()
        server.wait(expect=1)
        assert words in server.log_tail()


def test_check_starts_nothing(tmp_path):
    server = LambdaLocal(arguments=["--check"], data=tmp_path / "data").launch()
    server.wait(expect=0)
    assert not (tmp_path / "data").exists()
    assert json.dumps("ready") not in server.log_tail()


@pytest.mark.long
def test_large_bodies_of_strangers_have_a_ceiling_over_all_calls(lambda_local):
    client = client_of(lambda_local)
    create(client, "f", "exports.handler = async () => 1")
    size = 64 << 20
    head = b"POST /2015-03-31/functions HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (size + 1)
    peers = []
    try:
        for _ in range(9):
            peers.append(socket.create_connection(lambda_local.address, 30))
            peers[-1].sendall(head)
            peers[-1].sendall(bytes(size))
        time.sleep(1)
        assert ask(lambda_local, "GET", LIST).status == 200
        status, kind, _ = refusal_of(ask(lambda_local, "POST", "/2015-03-31/functions/f/invocations", b'{"a":1}'))
        assert (status, kind) == (503, "ServiceUnavailableException")
    finally:
        for peer in peers:
            peer.close()
    wait_for(lambda: ask(lambda_local, "POST", "/2015-03-31/functions/f/invocations", b"{}").status == 200,
             what="there was room again")
