"""The keys of token issuers: fetched, kept, rotated and published by managerd, and what happens when an issuer is down or hostile."""
import json
import ssl
import threading
import time
import zlib

import pytest

from harness import Managerd, Stack, request, wait_for
from issuer import Issuer, Keys, b64, http, public_jwk, rsa
from secure_proxy import make_certificate

ECHO = {"index.js": "exports.handler = async event => ({statusCode: 200, headers: {'content-type': 'application/json'}, body: JSON.stringify(event)});"}
QUICK = {"MANAGERD_JWKS_INTERVAL": "1s", "MANAGERD_JWKS_ALLOW": "loopback", "MANAGERD_DRAIN_MS": "0"}


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    path = tmp_path_factory.mktemp("issuer") / "issuer.pem"
    make_certificate(path, "localhost")
    return path


@pytest.fixture(scope="module")
def stack(certificate):
    with Stack(managerd={**QUICK, "MANAGERD_JWKS_CA_FILE": str(certificate)}) as running:
        running.deploy("shop", ECHO)
        yield running


def rule(managerd, jwt, name="shop"):
    answer = managerd.request("PATCH", f"/v1/apps/{name}", {"access": {"jwt": jwt}})
    assert answer.status == 200, answer.text
    return answer.json()["access"]["jwt"]


def status(managerd, name="shop"):
    return managerd.request("GET", f"/v1/apps/{name}/status").json()["jwt"]


def wait_state(managerd, state, name="shop", problem=None):
    def reached():
        seen = status(managerd, name)
        return seen if seen["state"] == state and (problem is None or problem in (seen["problem"] or "")) else None
    return wait_for(reached, 20, f"the keys are {state}" + (f" for: {problem}" if problem else ""))


def ask(stack, token=None):
    return stack.app("shop", headers={"Authorization": f"Bearer {token}"} if token else {})


def test_the_app_answers_by_the_keys_that_discovery_leads_to_over_tls(stack, certificate):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Issuer(tls=context) as issuer:
        for kid, algorithm in (("rs", "RS256"), ("es", "ES256"), ("ed", "EdDSA")):
            issuer.add(kid, algorithm)
        set_rule = rule(stack.managerd, {"issuer": issuer.issuer, "audience": ["app-1"]})
        assert set_rule == {"issuer": issuer.issuer, "audience": ["app-1"], "jwksUrl": None, "algorithms": ["RS256", "ES256", "EdDSA"],
                            "scopes": [], "leewaySeconds": 60}
        seen = wait_state(stack.managerd, "ready")
        assert seen["jwksUrl"] == issuer.issuer + "/keys" and seen["problem"] is None
        assert [(key["kid"], key["algorithms"]) for key in seen["keys"]] == [("rs", ["RS256"]), ("es", ["ES256"]), ("ed", ["EdDSA"])]
        wait_for(lambda: ask(stack, issuer.token()).status == 200, 10, "the keys are published")
        for kid in ("rs", "es", "ed"):
            event = ask(stack, issuer.token(kid, groups=["a", "b"])).json()
            assert event["requestContext"]["authorizer"]["jwt"]["claims"]["groups"] == "[a b]"
            assert event["requestContext"]["authorizer"]["jwt"]["claims"]["iss"] == issuer.issuer
        assert ask(stack).status == 401 and ask(stack, issuer.token(aud="other")).status == 401
        assert ask(stack, Keys(issuer.issuer).add("rs", "RS256").token()).status == 401, "the same kid, another key"
        rule(stack.managerd, None)
        assert ask(stack).status == 200 and status(stack.managerd) is None


@pytest.mark.threads
def test_keys_rotate_under_load_and_no_good_token_is_refused(stack):
    with Issuer() as issuer:
        issuer.add("one")
        rule(stack.managerd, {"issuer": issuer.issuer, "audience": ["app-1"], "jwksUrl": issuer.issuer + "/keys"})
        wait_for(lambda: ask(stack, issuer.token()).status == 200, 10, "the first key is in force")
        old, answers, ended = issuer.token("one"), [], threading.Event()

        def load():
            while not ended.is_set():
                answers.append(ask(stack, old).status)

        threads = [threading.Thread(target=load) for _ in range(3)]
        for thread in threads:
            thread.start()
        issuer.add("two")  # published beside the first, before it is used
        wait_for(lambda: ask(stack, issuer.token("two")).status == 200, 10, "the second key is in force")
        assert ask(stack, old).status == 200
        ended.set()
        for thread in threads:
            thread.join()
        assert set(answers) == {200} and len(answers) > 20
        del issuer.keys["one"]
        wait_for(lambda: ask(stack, old).status == 401, 10, "the first key is gone")
        assert ask(stack, issuer.token("two")).status == 200
        with issuer.lock:
            assert any(headers.get("if-none-match") for _, _, headers in issuer.seen), "looks are conditional"
        rule(stack.managerd, None)


def test_keys_stay_in_force_while_the_issuer_is_down_and_over_a_restart(stack):
    with Issuer() as issuer:
        issuer.add("one")
        rule(stack.managerd, {"issuer": issuer.issuer, "audience": ["app-1"], "jwksUrl": issuer.issuer + "/keys"})
        wait_for(lambda: ask(stack, issuer.token()).status == 200, 10, "the key is in force")
        issuer.answers["/keys"] = http(b"", "503 Service Unavailable")
        seen = wait_state(stack.managerd, "stale", problem="status 503")
        assert [key["kid"] for key in seen["keys"]] == ["one"] and ask(stack, issuer.token()).status == 200
        metrics = stack.managerd.request("GET", "/metrics").text
        assert "managerd_issuers 1\n" in metrics and "managerd_issuers_failing 1\n" in metrics and "managerd_issuers_without_keys 0\n" in metrics
        stack.managerd.stop()
        stack.managerd.start()
        stack.managerd.wait_ready()
        assert [key["kid"] for key in status(stack.managerd)["keys"]] == ["one"] and ask(stack, issuer.token()).status == 200
        issuer.answers.clear()
        wait_state(stack.managerd, "ready")
        rule(stack.managerd, None)


def test_keys_that_cannot_be_confirmed_for_too_long_are_withdrawn_and_come_back(certificate):
    with Stack(managerd={**QUICK, "MANAGERD_JWKS_MAX_AGE": "2s"}) as stack, Issuer() as issuer:
        stack.deploy("shop", ECHO)
        issuer.add("one")
        rule(stack.managerd, {"issuer": issuer.issuer, "audience": ["app-1"], "jwksUrl": issuer.issuer + "/keys"})
        wait_for(lambda: ask(stack, issuer.token()).status == 200, 10, "the key is in force")
        issuer.answers["/keys"] = http(b"", "500 Internal Server Error")
        wait_state(stack.managerd, "missing", problem="status 500")
        refused = wait_for(lambda: (lambda answer: answer if answer.status != 200 else None)(ask(stack, issuer.token())), 10, "the key is withdrawn")
        assert refused.status == 503 and refused.json()["type"].endswith("keys-missing")
        issuer.answers.clear()
        wait_for(lambda: ask(stack, issuer.token()).status == 200, 10, "it is back")


def silent(peer):
    time.sleep(15)
    return False


def endless(peer):
    try:
        peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n")
        while True:
            peer.sendall(b" " * 65536)
    except OSError:
        return False


def for_ever(start, more):
    """Answers that never come to their point."""
    def act(peer):
        try:
            peer.sendall(start)
            while True:
                peer.sendall(more * 100)
        except OSError:
            return False
    return act


WEAK = rsa.generate_private_key(65537, 512)
HOSTILE = {
    "huge": (http(b" " * 300000), "more than 262144 bytes"),
    "endless": (endless, "more than 262144 bytes"),
    "not-json": (http(b"<html>"), "not well-formed JSON"),
    "not-found": (http(b"", "404 Not Found"), "status 404"),
    "redirect": (http(b"", "302 Found", Location="/keys"), "redirect"),
    "closed": (lambda peer: False, "broke"),
    "half": (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{", "JSON"),
    "not-modified": (http(b"", "304 Not Modified"), "not well-formed JSON"),
    "secret": (http({"keys": [{"kty": "oct", "kid": "k", "alg": "HS256", "k": b64(b"secret")}]}), "kind or curve"),
    "weak": (http({"keys": [public_jwk(WEAK, kid="k")]}), "fewer than 2048 bits"),
    "many": (http({"keys": [{"kty": "x"}] * 101}), "more than 100 keys"),
    "empty": (http({"keys": []}), "empty"),
    "deep": (http(b"[" * 50000), "not well-formed JSON"),
    "headers": (for_ever(b"HTTP/1.1 200 OK\r\n", b"X-More: and more\r\n"), "The key set"),
    "one header": (for_ever(b"HTTP/1.1 200 OK\r\nX-Long: ", b"and more "), "The key set"),
    "informational": (for_ever(b"", b"HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n"), "The key set"),
    "chunks": (for_ever(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1;x=y\r\n \r\n"), "The key set"),
    "packed": (http(zlib.compress(b" " * 50_000_000), Content_Encoding="deflate"), "not well-formed JSON"),
    "not utf-8": (http(b'{"keys": [{"kty": "\xff"}]}'), "not well-formed JSON"),
}
HOSTILE["half"] = (lambda peer: peer.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{") or False, "broke")


@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_key_set_is_told_and_opens_nothing(stack, kind):
    answer, problem = HOSTILE[kind]
    with Issuer() as issuer:
        issuer.add("k")
        issuer.answers["/keys"] = answer
        rule(stack.managerd, {"issuer": issuer.issuer, "audience": ["app-1"], "jwksUrl": issuer.issuer + "/keys"})
        seen = wait_state(stack.managerd, "missing", problem=problem)
        assert seen["keys"] == [] and ask(stack, issuer.token()).status == 503 and ask(stack).status == 401
        assert stack.managerd.request("GET", "/v1/apps").status == 200
    rule(stack.managerd, None)


@pytest.mark.parametrize("document, problem", [
    (http(b"", "404 Not Found"), "status 404"), (http(b"{"), "not well-formed JSON"), (http({"issuer": "https://other.example", "jwks_uri": "x"}), "other.example"),
    (http({"issuer": "ISSUER"}), "no jwks_uri"), (http({"issuer": "ISSUER", "jwks_uri": "file:///etc/passwd"}), "no https URL"),
    (http({"issuer": "ISSUER", "jwks_uri": "http://169.254.169.254/latest"}), "no https URL"),
    (http({"issuer": "ISSUER", "jwks_uri": "https://169.254.169.254/latest"}), "MANAGERD_JWKS_ALLOW"),
    (http({"issuer": "ISSUER", "jwks_uri": "https://[fe80::1]/"}), "MANAGERD_JWKS_ALLOW"),
    (http({"issuer": "ISSUER", "jwks_uri": "https://[::ffff:169.254.169.254]/"}), "MANAGERD_JWKS_ALLOW"),
    (http({"issuer": "ISSUER", "jwks_uri": "https://2852039166/"}), "MANAGERD_JWKS_ALLOW"),
    (http({"issuer": "ISSUER", "jwks_uri": "https://0.0.0.0/"}), "MANAGERD_JWKS_ALLOW")])
def test_discovery_leads_nowhere_else(stack, document, problem):
    with Issuer() as issuer:
        issuer.add("k")
        head, _, body = document.partition(b"\r\n\r\n")
        issuer.answers["/.well-known/openid-configuration"] = http(body.replace(b"ISSUER", issuer.issuer.encode()), head.decode().split(" ", 1)[1].split("\r\n")[0])
        rule(stack.managerd, {"issuer": issuer.issuer, "audience": ["app-1"]})
        wait_state(stack.managerd, "missing", problem=problem)
        assert issuer.count() == 0
    rule(stack.managerd, None)


def test_a_slow_issuer_costs_others_nothing(stack):
    with Issuer() as issuer:
        issuer.add("k")
        issuer.answers["/keys"] = silent
        rule(stack.managerd, {"issuer": issuer.issuer, "audience": ["app-1"], "jwksUrl": issuer.issuer + "/keys"})
        wait_for(lambda: issuer.count() == 1, 10, "it is asked")
        begun = time.monotonic()
        assert all(stack.managerd.request("GET", "/v1/apps").status == 200 for _ in range(10)) and time.monotonic() - begun < 5
        assert status(stack.managerd)["state"] == "pending" and ask(stack, issuer.token()).status == 503
        rule(stack.managerd, None)


def test_without_the_option_nothing_of_this_machine_is_asked(stack):
    with Managerd(aws={"AWS_ENDPOINT_URL_LAMBDA": "http://127.0.0.1:1", "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}) as managerd:
        managerd.wait_ready()
        with Issuer() as issuer:
            port = issuer.issuer.rsplit(":", 1)[1]
            for number, (url, problem) in enumerate(((issuer.issuer + "/keys", "no https URL"), (f"https://127.0.0.1:{port}/keys", "MANAGERD_JWKS_ALLOW"),
                                                     (f"https://localhost:{port}/keys", "MANAGERD_JWKS_ALLOW"))):
                assert managerd.request("PUT", f"/v1/apps/a{number}", {"access": {"jwt": {"issuer": issuer.issuer, "audience": ["a"], "jwksUrl": url}}}).status == 201
                wait_state(managerd, "missing", f"a{number}", problem)
            assert not issuer.seen


def test_tls_of_the_issuer_is_verified(certificate, tmp_path):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with Managerd(options=QUICK, aws={"AWS_ENDPOINT_URL_LAMBDA": "http://127.0.0.1:1", "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a",
                                      "AWS_SECRET_ACCESS_KEY": "b"}) as managerd, Issuer(tls=context) as issuer:
        managerd.wait_ready()
        managerd.request("PUT", "/v1/apps/shop", {"access": {"jwt": {"issuer": issuer.issuer, "audience": ["a"]}}})
        wait_state(managerd, "missing", problem="certificate")
        assert not issuer.seen


@pytest.mark.parametrize("jwt, pointer", [
    ({}, "/access/jwt/issuer"), ({"issuer": "https://i.example"}, "/access/jwt/audience"), ({"issuer": "i.example", "audience": ["a"]}, "/access/jwt/issuer"),
    ({"issuer": "https://i.example", "audience": []}, "/access/jwt/audience"), ({"issuer": "https://i.example", "audience": [""]}, "/access/jwt/audience/0"),
    ({"issuer": "https://i.example", "audience": ["a"] * 17}, "/access/jwt/audience"), ({"issuer": "https://u:p@i.example", "audience": ["a"]}, "/access/jwt/issuer"),
    ({"issuer": "https://i.example", "audience": ["a"], "algorithms": ["HS256"]}, "/access/jwt/algorithms/0"),
    ({"issuer": "https://i.example", "audience": ["a"], "algorithms": ["none"]}, "/access/jwt/algorithms/0"),
    ({"issuer": "https://i.example", "audience": ["a"], "algorithms": []}, "/access/jwt/algorithms"),
    ({"issuer": "https://i.example", "audience": ["a"], "jwksUrl": "file:///etc/passwd"}, "/access/jwt/jwksUrl"),
    ({"issuer": "https://i.example", "audience": ["a"], "scopes": ['a"b']}, "/access/jwt/scopes/0"),
    ({"issuer": "https://i.example", "audience": ["a"], "leewaySeconds": 301}, "/access/jwt/leewaySeconds"),
    ({"issuer": "https://i.example", "audience": ["a"], "keys": []}, "/access/jwt/keys")])
def test_wrong_settings_are_named(stack, jwt, pointer):
    answer = stack.managerd.request("PATCH", "/v1/apps/shop", {"access": {"jwt": jwt}})
    assert answer.status == 422 and pointer in [error["pointer"] for error in answer.json()["errors"]], answer.text


def test_apps_share_the_look_at_one_issuer_and_the_last_one_ends_it(stack):
    with Issuer() as issuer:
        issuer.add("k")
        wish = {"issuer": issuer.issuer, "audience": ["app-1"], "jwksUrl": issuer.issuer + "/keys"}
        for name in ("one", "two", "three"):
            assert stack.managerd.request("PUT", f"/v1/apps/{name}", {"access": {"jwt": wish}}).status == 201
            wait_state(stack.managerd, "ready", name)
        assert "managerd_issuers 1\n" in stack.managerd.request("GET", "/metrics").text
        for name in ("one", "two", "three"):
            assert stack.managerd.request("DELETE", f"/v1/apps/{name}?keepFunction=true", headers={"Prefer": "wait=30"}).status == 200
        wait_for(lambda: "managerd_issuers 0\n" in stack.managerd.request("GET", "/metrics").text, 10, "nobody asks for its keys any more")
        time.sleep(0.1)
        before = issuer.count()
        time.sleep(1.5)
        assert issuer.count() == before


def test_a_refresh_looks_at_once(certificate):
    with Stack(managerd={**QUICK, "MANAGERD_JWKS_INTERVAL": "1h"}) as stack, Issuer() as issuer:
        stack.deploy("shop", ECHO)
        issuer.cache_control = "public, max-age=3600"
        issuer.add("one")
        refresh = lambda: stack.managerd.request("POST", "/v1/apps/shop/jwt/refresh")
        assert refresh().status == 409 and stack.managerd.request("POST", "/v1/apps/none/jwt/refresh").status == 404
        rule(stack.managerd, {"issuer": issuer.issuer, "audience": ["app-1"], "jwksUrl": issuer.issuer + "/keys"})
        wait_for(lambda: ask(stack, issuer.token()).status == 200, 10, "the first key is in force")
        lost = issuer.token("one")
        issuer.keys.clear()
        issuer.add("two")
        assert ask(stack, lost).status == 200 and ask(stack, issuer.token()).status == 401, "the interval is an hour"
        answer = refresh()
        assert answer.status == 200 and answer.json()["issuer"] == issuer.issuer
        wait_for(lambda: ask(stack, issuer.token()).status == 200, 10, "the new key is in force")
        assert ask(stack, lost).status == 401
        first, go = http(issuer.jwks()), threading.Event()
        issuer.answers["/keys"] = lambda peer: go.wait(8) and peer.sendall(first)
        looks = issuer.count()
        refresh()
        wait_for(lambda: issuer.count() == looks + 1, 10, "it is asked")
        refresh()  # while the answer to the first is on its way
        issuer.add("three")
        issuer.answers.clear()
        go.set()
        wait_for(lambda: ask(stack, issuer.token("three")).status == 200, 10, "it is asked once more")
        assert issuer.count() == looks + 2
