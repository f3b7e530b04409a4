"""Bearer tokens: which are taken, what is said of the others, and what functions see; with hand-made routes."""
import base64
import hashlib
import http.client
import json
import pathlib
import random
import subprocess
import time

import jwt
import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, utils

from fake_lambda import FakeLambda, Proxy, app, expect_fault, version
from harness import raw, request
from issuer import Keys, b64

VECTORS = pathlib.Path(__file__).parent.parent / "vectors/tokens"

KEYS = Keys().add("rs", "RS256").add("es", "ES256").add("ed", "EdDSA")
FORMATS = {"plain": 2, "rest": 1, "alb": 3}


def guarded(name, scopes=(), jwks=None, algorithms=("RS256", "ES256", "EdDSA"), **more):
    rule = {"issuer": KEYS.issuer, "audiences": ["app-1"], "scopes": list(scopes), "algorithms": list(algorithms)}
    if jwks is not False:
        rule["jwks"] = jwks or KEYS.jwks()
    return app(name, access={"jwt": rule}, **more)


@pytest.fixture(scope="module")
def edge():
    with FakeLambda() as aws:
        routes = [guarded(name, versions=[version(name, payload_format=form)]) for name, form in FORMATS.items()]
        routes += [guarded("scoped", scopes=["write", "admin"]), guarded("keyless", jwks=False), app("open")]
        with Proxy(aws, options={"workers": 1}, routes=routes) as proxyd:
            yield aws, proxyd


def ask(proxyd, name, token=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    if token is not None:
        headers["Authorization"] = token if " " in token else f"Bearer {token}"
    return request(proxyd.url + "/", host=f"{name}.localhost", headers=headers)


@pytest.mark.threads
@pytest.mark.parametrize("kid", ["rs", "es", "ed"])
def test_a_good_token_opens_the_app_and_its_claims_are_in_the_event(edge, kid):
    aws, proxyd = edge
    token = KEYS.token(kid, groups=["a", "b"], admin=True)
    for _ in range(3):  # the second and third time its signature is known
        event = ask(proxyd, "plain", token).json()
        claims = event["requestContext"]["authorizer"]["jwt"]["claims"]
        assert (claims["sub"], claims["groups"], claims["admin"]) == ("user-7", "[a b]", "true")
        assert event["requestContext"]["authorizer"]["jwt"]["scopes"] is None and event["headers"]["authorization"] == f"Bearer {token}"
    event = ask(proxyd, "rest", token).json()
    assert event["requestContext"]["authorizer"]["claims"] == claims and "scopes" not in event["requestContext"]["authorizer"]
    assert "authorizer" not in ask(proxyd, "alb", token).json()["requestContext"]
    assert "authorizer" not in ask(proxyd, "open", token).json()["requestContext"]


def test_the_scheme_may_be_left_out_as_behind_api_gateway(edge):
    _, proxyd = edge
    token = KEYS.token()
    for value in (token, f"bearer {token}", f"BEARER  {token}"):
        assert request(proxyd.url + "/", host="plain.localhost", headers={"Authorization": value}).status == 200


@pytest.mark.parametrize("headers", [[], [("X-Api-Key", "x")]])
def test_no_token_is_a_401_that_says_no_more_than_what_is_wanted(edge, headers):
    aws, proxyd = edge
    refused = request(proxyd.url + "/", host="plain.localhost", headers=dict(headers))
    line = expect_fault(proxyd, refused, "unauthorized", 401, "not-started")
    assert refused.header("WWW-Authenticate") == 'Bearer realm="plain"' and "no token" in json.dumps(line)
    assert not any(call.function == "plain" and "authorization" not in call.event["headers"] for call in aws.calls)


@pytest.mark.parametrize("value", ["Basic dTpw", "Bearer", "Bearer ", "Bearer a b", "Bearer a,b", 'Bearer "a"', "Negotiate"])
def test_what_is_no_bearer_token_is_refused(edge, value):
    _, proxyd = edge
    refused = request(proxyd.url + "/", host="plain.localhost", headers={"Authorization": value})
    expect_fault(proxyd, refused, "unauthorized", 401, "not-started")
    assert refused.header("WWW-Authenticate").startswith('Bearer realm="plain", error="invalid_')


def test_two_authorization_headers_are_refused(edge):
    _, proxyd = edge
    token = KEYS.token()
    head = f"GET / HTTP/1.1\r\nHost: plain.localhost\r\nConnection: close\r\nAuthorization: Bearer {token}\r\nAuthorization: Bearer {token}\r\n\r\n"
    refused = raw(proxyd.address, head.encode())
    assert refused.startswith(b"HTTP/1.1 401 ") and b'error="invalid_request"' in refused


@pytest.mark.parametrize("change, says", [
    ({"exp": 1}, "expired"), ({"exp": ...}, "no time of expiry"), ({"iss": "https://other.example"}, "another issuer"), ({"aud": "app-2"}, "another audience"),
    ({"nbf": 9999999999}, "not valid yet"), ({"iat": 9999999999}, "in the future"), ({"header": {"kid": "unknown"}}, "no key"),
    ({"header": {"crit": ["x"], "x": 1}}, "extension"), ({"kid": "es", "header": {"kid": "ed"}}, "no key")])
def test_a_bad_token_is_a_401_with_its_reason_and_without_itself(edge, change, says):
    aws, proxyd = edge
    token = KEYS.token(**change)
    before = aws.count("plain")
    refused = ask(proxyd, "plain", token)
    line = expect_fault(proxyd, refused, "unauthorized", 401, "not-started")
    challenge = refused.header("WWW-Authenticate")
    assert challenge.startswith('Bearer realm="plain", error="invalid_token", error_description="') and says in challenge and says in refused.json()["detail"]
    verdict = line["detail"].removeprefix("token: ")
    assert proxyd.figure(f'proxyd_tokens_total{{verdict="{verdict}"}}') >= 1
    logs = proxyd.access_log_path.read_text("utf-8") + proxyd.log_path.read_text("utf-8")
    assert all(part not in logs + refused.text for part in token.split(".")) and aws.count("plain") == before
    assert "token: " in json.dumps(line)


def test_no_vector_of_a_bad_token_opens_the_app(edge):
    """All of tests/vectors/tokens, with the keys of each: the clock is the real one, so good ones have expired by now or not begun."""
    aws, proxyd = edge
    names, wanted = [], {}
    for path in sorted(VECTORS.glob("*.json")):
        vector = json.loads(path.read_text())
        if vector["verdict"] in ("malformed", "algorithm", "critical", "unknown-key", "bad-signature", "bad-issuer", "bad-audience", "no-expiry", "too-long"):
            name = f"v{len(names)}"
            names.append((name, path.stem, vector))
            wanted[name] = app(name, access={"jwt": {"issuer": vector["issuer"], "audiences": vector["audiences"], "scopes": vector["scopes"],
                                                     "algorithms": vector["algorithms"], "jwks": vector["jwks"]}})
    proxyd.publish(routes=wanted.values())
    assert len(names) > 100
    for name, stem, vector in names:
        if any(c in vector["token"] for c in "\r\n") or not vector["token"]:
            continue
        refused = request(proxyd.url + "/", host=f"{name}.localhost", headers={"Authorization": f"Bearer {vector['token']}"})
        assert refused.status == 401 or (refused.status, vector["verdict"]) == (431, "too-long"), f"{stem}: {refused}"
        assert aws.count(name) == 0


# -- beside PyJWT --

TIMES = ["0", "-1", "-0", "1e10", "1e400", "99999999999999999999", "1" * 64, "true", "null", '""', "[]", "{}", "NaN", "Infinity", "0x7fffffff"]
NAMES = ['"app-1"', '["x","app-1"]', '["app-1",5]', '[["app-1"]]', '"APP-1"', '"app-1 "', '"app-1\\u0000"', "5", "null", "[]"]
ISSUERS = [f'"{KEYS.issuer}{end}"' for end in ("/", "\\u0000", "#", "\u200b")] + [json.dumps(KEYS.issuer.upper()), f'["{KEYS.issuer}"]',
           '"https://issuer.example/p\u043eol"', '"https:\\/\\/issuer.example/poo\\u006c"', "null"]
HEADS = [("alg", value) for value in ('"none"', '"HS256"', '"RS256"', '"ES256"', '"EdDSA"', '"PS256"', '"es256"', '["ES256"]', "null", '""')]
HEADS += [("kid", value) for value in ('"rs"', '"es"', '"ed"', '""', "null", '"../../keys"', '"es\\u0000"', "5")]
HEADS += [("b64", "false"), ("crit", '["exp"]'), ("jku", '"https://evil.example"'), ("jwk", "{}"), ("alg\\u0000", '"none"'), ("\\u0061lg", '"none"')]
ORDERS = {"es": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551, "ed": 2**252 + 27742317777372353535851937790883648493}


def signature_of(kid, message, chance):
    """A good one, or one of the ways to write it that must not count."""
    key, algorithm = KEYS.keys[kid]
    how = chance.choice(["good"] * 8 + ["bit", "longer", "shorter", "zero", "der", "beyond the order"])
    if algorithm == "RS256":
        good = key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    elif algorithm == "EdDSA":
        good = key.sign(message)
        if how == "beyond the order":
            return good[:32] + (int.from_bytes(good[32:], "little") + ORDERS["ed"]).to_bytes(32, "little")
    else:
        der = key.sign(message, ec.ECDSA(hashes.SHA256()))
        r, s = utils.decode_dss_signature(der)
        if how == "der":
            return der
        if how == "beyond the order":
            return (r.to_bytes(32, "big") + (s + ORDERS["es"]).to_bytes(33, "big"))[-64:] if s + ORDERS["es"] < 1 << 256 else ORDERS["es"].to_bytes(32, "big") * 2
        good = r.to_bytes(32, "big") + s.to_bytes(32, "big")
    return {"bit": bytes([good[0] ^ 1]) + good[1:], "longer": good + b"\0", "shorter": good[:-1], "zero": bytes(len(good))}.get(how, good)


def odd_token(chance):
    """Signed by a key of the issuer, and odd in up to two places: members twice, of strange types, in other letters, beyond all numbers."""
    now, kid = int(time.time()), chance.choice(list(KEYS.keys))
    head = [("alg", json.dumps(KEYS.keys[kid][1])), ("kid", json.dumps(kid))]
    claims = [("iss", json.dumps(KEYS.issuer)), ("aud", '"app-1"'), ("exp", str(now + 600)), ("sub", '"u"')]
    near = [str(now + offset) for offset in (-600, -90, -30, 30, 90)] + [f"{now + 90}.9", f'"{now + 90}"']
    for _ in range(chance.choice([0, 1, 1, 2])):
        which = chance.choice(["iss", "aud", "exp", "exp", "nbf", "iat", "head", "gone", "exp\\u0000", "\\u0065xp", "EXP", "client_id"])
        values = ISSUERS if which == "iss" else NAMES if which in ("aud", "client_id") else TIMES + near
        if which == "head":
            member = chance.choice(HEADS)
            head = [*[row for row in head if row[0] != member[0] or chance.random() < 0.2], member]
        elif which == "gone":
            claims.pop(chance.randrange(len(claims)))
        else:
            claims = [*[row for row in claims if row[0] != which or chance.random() < 0.2], (which, chance.choice(values))]
    parts = [b64(("{" + ",".join(f'"{name}":{value}' for name, value in rows) + "}").encode()) for rows in (head, claims)]
    return ".".join([*parts, b64(signature_of(kid, ".".join(parts).encode(), chance))]) + chance.choice([""] * 20 + ["=", "."])


def opens_by_pyjwt(token):
    try:
        key, algorithm = KEYS.keys[jwt.get_unverified_header(token)["kid"]]
        jwt.decode(token, key.public_key(), [algorithm], {"require": ["exp", "iss"]}, audience="app-1", issuer=KEYS.issuer, leeway=60)
        return True
    except (jwt.PyJWTError, LookupError, TypeError, ValueError):
        return False


def test_no_odd_token_opens_the_app_unless_pyjwt_takes_it_too(edge):
    _, proxyd = edge
    chance, opened, shut = random.Random(20261124), 0, 0
    connection = http.client.HTTPConnection(*proxyd.address, timeout=20)
    for _ in range(1500):
        token = odd_token(chance)
        connection.request("GET", "/", headers={"Host": "plain.localhost", "Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        answer.read()
        assert answer.status in (200, 401), (answer.status, token)
        assert answer.status == 401 or opens_by_pyjwt(token), token
        opened, shut = opened + (answer.status == 200), shut + (answer.status == 401)
    connection.close()
    assert opened > 200 and shut > 500, (opened, shut)


def test_scopes_are_asked_for_and_shown(edge):
    _, proxyd = edge
    for claims in ({}, {"scope": "read"}, {"scp": ["read"]}, {"scope": "writer"}):
        refused = ask(proxyd, "scoped", KEYS.token(**claims))
        expect_fault(proxyd, refused, "forbidden", 403, "not-started")
        challenge = refused.header("WWW-Authenticate")
        assert 'error="insufficient_scope"' in challenge and 'scope="write admin"' in challenge
    for claims, shown in (({"scope": "read write"}, ["read", "write"]), ({"scp": ["admin"]}, ["admin"])):
        event = ask(proxyd, "scoped", KEYS.token(**claims)).json()
        assert event["requestContext"]["authorizer"]["jwt"]["scopes"] == shown


def test_without_keys_no_token_is_good_and_the_answer_says_so(edge):
    aws, proxyd = edge
    expect_fault(proxyd, ask(proxyd, "keyless", KEYS.token()), "keys-missing", 503, "not-started", retry_after=5)
    expect_fault(proxyd, ask(proxyd, "keyless"), "unauthorized", 401, "not-started")
    assert aws.count("keyless") == 0


def test_a_token_whose_signature_is_known_still_expires_and_still_needs_its_key(edge):
    _, proxyd = edge
    for left in (2, 4, 8, 16):  # on a busy machine a short life may be over too soon; the leeway is 60 s
        short = KEYS.token(exp=int(time.time()) - 60 + left)
        if ask(proxyd, "plain", short).status == 200:
            break
    else:
        raise AssertionError("no token with a short life is good")
    long = KEYS.token("es")
    assert ask(proxyd, "plain", long).status == 200
    deadline = time.monotonic() + 60
    while ask(proxyd, "plain", short).status == 200:
        assert time.monotonic() < deadline, "it never expires"
        time.sleep(0.2)
    assert ask(proxyd, "plain", long).status == 200
    fewer = {"keys": [key for key in KEYS.jwks()["keys"] if key["kid"] != "es"]}
    proxyd.publish(routes=[guarded("plain", jwks=fewer)])
    assert ask(proxyd, "plain", long).status == 401
    proxyd.publish(routes=[guarded("plain")])
    assert ask(proxyd, "plain", long).status == 200


def test_changed_claims_are_refused_though_the_signature_is_known(edge):
    _, proxyd = edge
    token = KEYS.token("rs")
    assert ask(proxyd, "plain", token).status == 200
    head, body, signature = token.split(".")
    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    for changed in (f"{head}.{b64(json.dumps({**claims, 'sub': 'root'}).encode())}.{signature}",
                    f"{b64(json.dumps({'alg': 'RS256', 'kid': 'rs', 'a': 1}).encode())}.{body}.{signature}", f"{head}.{body}.{signature[:-4]}AAAA"):
        assert ask(proxyd, "plain", changed).status == 401


JOSE = """
const {generateKeyPair, exportJWK, SignJWT, calculateJwkThumbprint} = require('jose');
(async () => {
  const keys = [], tokens = {};
  for (const alg of ['RS256', 'ES256', 'EdDSA', 'PS256', 'ES384', 'RS512', 'ES512']) {
    const {publicKey, privateKey} = await generateKeyPair(alg, {crv: 'Ed25519', extractable: true});
    const jwk = await exportJWK(publicKey);
    const kid = await calculateJwkThumbprint(jwk);
    keys.push({...jwk, kid, alg, use: 'sig'});
    const make = expiry => new SignJWT({scope: 'read', roles: ['a', 'b']}).setProtectedHeader({alg, kid, typ: 'JWT'}).setIssuer(process.argv[1])
      .setAudience(['app-1', 'app-2']).setSubject('user-7').setIssuedAt().setExpirationTime(expiry).sign(privateKey);
    tokens[alg] = [await make('10m'), await make('-10m')];
  }
  console.log(JSON.stringify({jwks: {keys}, tokens}));
})();
"""


def test_tokens_and_keys_of_the_jose_library_are_understood(edge, npm_packages):
    _, proxyd = edge
    folder = npm_packages("jose@5.9.6")
    done = subprocess.run(["node", "-e", JOSE, "--", KEYS.issuer], cwd=folder, stdout=subprocess.PIPE, check=True, timeout=60)
    made = json.loads(done.stdout)
    proxyd.publish(routes=[guarded("jose", jwks=made["jwks"], algorithms=made["tokens"])])
    assert len(made["tokens"]) == 7
    for algorithm, (good, expired) in made["tokens"].items():
        event = ask(proxyd, "jose", good).json()
        claims = event["requestContext"]["authorizer"]["jwt"]["claims"]
        assert (claims["sub"], claims["aud"], claims["roles"]) == ("user-7", "[app-1 app-2]", "[a b]"), algorithm
        assert "has expired" in ask(proxyd, "jose", expired).header("WWW-Authenticate")


def test_an_app_may_ask_for_a_key_and_a_token(edge):
    aws, proxyd = edge
    both = guarded("both")
    both["access"]["api_keys"] = {"header": "X-Api-Key", "keys": [{"id": "key-1", "hash": hashlib.sha256(b"aok_good").hexdigest()}]}
    proxyd.publish(routes=[both])
    assert ask(proxyd, "both", KEYS.token()).status == 401
    assert ask(proxyd, "both", X_Api_Key="aok_good").status == 401
    assert ask(proxyd, "both", KEYS.token(aud="x"), X_Api_Key="aok_good").status == 401
    assert aws.count("both") == 0
    assert ask(proxyd, "both", KEYS.token(), X_Api_Key="aok_good").status == 200
