"""TLS to Lambda: sessions are resumed, so that a new connection costs one round trip and no signature."""
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

import harness
from fake_lambda import FakeLambda, Proxy, app
from secure_proxy import make_certificate

CALLERS = 8


@pytest.fixture(params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3], ids=["1.2", "1.3"])
def version(request):
    return request.param


@pytest.fixture
def pair(version):
    """A Lambda that says of each call whether its connection resumed a session, and a proxyd that trusts it."""
    certificate = make_certificate(harness.scratch("upstream.") / "lambda.pem", "localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.maximum_version = version
    with FakeLambda(tls=context) as aws:
        aws.script["hello"] = answer_and_close
        with Proxy(aws, routes=[app("hello")], options={"AWS_CA_BUNDLE": str(certificate), "PROXYD_WORKERS": "1"}) as proxyd:
            yield aws, proxyd


def get(aws, proxyd):
    harness.wait_for(lambda: not aws.peers, 10, "the connections of before are closed")
    answer = harness.request(f"http://{proxyd.listen}/", headers={"Host": "hello.localhost"})
    assert answer.status == 200, answer
    return answer.text


def answer_and_close(call):
    """With close_notify: without it, TLS 1.2 forbids to resume."""
    call.reply({"statusCode": 200, "body": "resumed" if call.peer.session_reused else "new"})
    call.peer.settimeout(0.1)
    try:
        call.peer.unwrap()
    except OSError:
        pass  # the client's own comes when it looks at the connection next
    return False


def test_a_session_is_resumed_by_the_next_connection(pair):
    assert [get(*pair) for _ in range(4)] == ["new", "resumed", "resumed", "resumed"]


def test_a_session_is_resumed_by_connections_that_are_made_at_once(pair):
    aws, proxyd = pair
    get(aws, proxyd)
    together = threading.Barrier(CALLERS)
    aws.script["hello"] = lambda call: (together.wait(20), call.reply({"statusCode": 200, "body": str(call.peer.session_reused)}))[1]
    harness.wait_for(lambda: not aws.peers, 10, "the connection is closed")
    with ThreadPoolExecutor(CALLERS) as callers:
        answers = [callers.submit(harness.request, f"http://{proxyd.listen}/", headers={"Host": "hello.localhost"}) for _ in range(CALLERS)]
        resumed = [answer.result(30).text for answer in answers]
    # Not each of them for certain: a ticket may be replaced by the next one just then.
    assert resumed.count("True") >= CALLERS // 2, resumed
