#!/usr/bin/python3
"""Makes the token vectors: tokens signed by python3-cryptography, each judged by PyJWT too where it has a say."""
import base64
import json
import pathlib
import sys

import jwt
from cryptography.hazmat.primitives import hashes, hmac, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils

HERE = pathlib.Path(__file__).parent
NOW = 1783711146
ISSUER = "https://issuer.example/pool"
GOOD = {"iss": ISSUER, "aud": "app-1", "sub": "user-7", "exp": NOW + 600, "iat": NOW - 60, "nbf": NOW - 60}
HASHES = {"256": hashes.SHA256, "384": hashes.SHA384, "512": hashes.SHA512}
CURVES = {"ES256": (ec.SECP256R1, "P-256", 32), "ES384": (ec.SECP384R1, "P-384", 48), "ES512": (ec.SECP521R1, "P-521", 66)}
ALL = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
RSA, RSA2, WEAK = (rsa.generate_private_key(65537, bits) for bits in (2048, 2048, 1024))
EC = {name: ec.generate_private_key(curve()) for name, (curve, _, _) in CURVES.items()}
ED, ED2 = ed25519.Ed25519PrivateKey.generate(), ed25519.Ed25519PrivateKey.generate()


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, length=None):
    return b64(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))


def jwk(key, **more):
    public = key.public_key()
    if isinstance(key, rsa.RSAPrivateKey):
        numbers = public.public_numbers()
        return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e), **more}
    if isinstance(key, ed25519.Ed25519PrivateKey):
        raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return {"kty": "OKP", "crv": "Ed25519", "x": b64(raw), **more}
    _, curve, length = next(c for c in CURVES.values() if c[0].name == key.curve.name)
    numbers = public.public_numbers()
    return {"kty": "EC", "crv": curve, "x": number(numbers.x, length), "y": number(numbers.y, length), **more}


def sign(key, algorithm, message):
    if algorithm in ("EdDSA", "Ed25519"):
        return key.sign(message)
    digest = HASHES[algorithm[2:]]()
    if algorithm.startswith("RS"):
        return key.sign(message, padding.PKCS1v15(), digest)
    if algorithm.startswith("PS"):
        return key.sign(message, padding.PSS(padding.MGF1(digest), digest.digest_size), digest)
    r, s = utils.decode_dss_signature(key.sign(message, ec.ECDSA(digest)))
    length = (key.curve.key_size + 7) // 8
    return r.to_bytes(length, "big") + s.to_bytes(length, "big")


def token(key, header, claims=GOOD, algorithm=None, signature=None):
    """`header` and `claims` as objects, or as bytes that are taken as they are."""
    raw = [part if isinstance(part, bytes) else json.dumps(part, separators=(",", ":")).encode() for part in (header, claims)]
    message = ".".join(map(b64, raw)).encode()
    if signature is None:
        signature = sign(key, algorithm or header["alg"], message)
    return message.decode() + "." + b64(signature)


CASES = {}


def case(name, verdict, text, keys, oracle=True, claims=None, **rules):
    rules = {"issuer": ISSUER, "audiences": ["app-1"], "scopes": [], "algorithms": ALL, "leewaySeconds": 0, **rules}
    assert name not in CASES, name
    CASES[name] = {"now": NOW, **rules, "jwks": {"keys": keys}, "token": text, "verdict": verdict, **({"event": claims} if claims else {})}
    if not oracle:
        return
    try:
        found = [k for k in jwt.PyJWKSet.from_dict({"keys": keys}).keys]
        kid = jwt.get_unverified_header(text).get("kid")
        key = next(k for k in found if k.key_id == kid)
        # PyJWT knows no clock but the real one: time is left to the cases' own words.
        jwt.decode(text, key.key, algorithms=rules["algorithms"], issuer=rules["issuer"], audience=rules["audiences"],
                   options={"verify_exp": False, "verify_nbf": False, "verify_iat": False, "require": ["exp"]})
        good = True
    except Exception:  # whatever it raises, it refuses
        good = False
    assert good == (verdict in ("good", "expired", "not-yet", "issued-later", "no-scope")), f"{name}: PyJWT says {good}"


def hmac_signature(secret, message):
    mac = hmac.HMAC(secret, hashes.SHA256())
    mac.update(message)
    return mac.finalize()


def good_ones():
    for algorithm in ALL:
        key = RSA if algorithm[0] in "RP" else ED if algorithm == "EdDSA" else EC[algorithm]
        case(f"good-{algorithm.lower()}", "good", token(key, {"alg": algorithm, "kid": "k"}), [jwk(key, kid="k")])
        case(f"good-{algorithm.lower()}-key-names-alg", "good", token(key, {"alg": algorithm, "kid": "k"}),
             [jwk(key, kid="k", alg=algorithm, use="sig")])
        case(f"bad-{algorithm.lower()}-not-allowed", "algorithm", token(key, {"alg": algorithm, "kid": "k"}), [jwk(key, kid="k")],
             algorithms=[a for a in ALL if a != algorithm])
        good = token(key, {"alg": algorithm, "kid": "k"})
        message, signature = good.rsplit(".", 1)
        raw = bytearray(base64.urlsafe_b64decode(signature + "=="))
        raw[len(raw) // 2] ^= 1
        case(f"bad-{algorithm.lower()}-signature-changed", "bad-signature", message + "." + b64(bytes(raw)), [jwk(key, kid="k")])
        case(f"bad-{algorithm.lower()}-signature-short", "bad-signature", message + "." + b64(bytes(raw[:-1])), [jwk(key, kid="k")])
        case(f"bad-{algorithm.lower()}-signature-zero", "bad-signature", message + "." + b64(bytes(len(raw))), [jwk(key, kid="k")])
        other = json.dumps({**GOOD, "sub": "root"}).encode()
        case(f"bad-{algorithm.lower()}-claims-changed", "bad-signature", ".".join([message.split(".")[0], b64(other), signature]), [jwk(key, kid="k")])
    case("good-name-of-rfc-9864", "good", token(ED, {"alg": "Ed25519", "kid": "k"}), [jwk(ED, kid="k")], oracle=False)
    case("good-picked-by-kid", "good", token(RSA2, {"alg": "RS256", "kid": "b"}), [jwk(RSA, kid="a"), jwk(RSA2, kid="b")])
    case("good-without-kid-one-fits", "good", token(ED, {"alg": "EdDSA"}), [jwk(RSA, kid="a"), jwk(ED, kid="b")], oracle=False)
    case("good-typ-at-jwt", "good", token(ED, {"alg": "EdDSA", "kid": "k", "typ": "at+jwt"}), [jwk(ED, kid="k")])


def confused_ones():
    keys = [jwk(RSA, kid="k")]
    pem = RSA.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    for name in ("none", "None", "NONE", "nOnE", ""):
        case(f"bad-alg-{'empty' if not name else name.encode().hex()}", "algorithm", token(None, {"alg": name, "kid": "k"}, signature=b"\0"), keys)
    unsigned = token(None, {"alg": "none", "kid": "k"}, signature=b"\0").rsplit(".", 1)[0]
    case("bad-none-without-signature", "malformed", unsigned + ".", keys)
    for what, secret in (("pem", pem), ("modulus", base64.urlsafe_b64decode(keys[0]["n"] + "==")), ("jwk", json.dumps(keys[0]).encode())):
        header = {"alg": "HS256", "kid": "k"}
        message = ".".join(b64(json.dumps(p, separators=(",", ":")).encode()) for p in (header, GOOD))
        case(f"bad-hs256-keyed-by-{what}", "algorithm", message + "." + b64(hmac_signature(secret, message.encode())), keys)
    case("bad-hs256-as-rs256", "bad-signature", token(None, {"alg": "RS256", "kid": "k"}, signature=b"\1" * 32), keys)
    case("bad-es256-with-rsa-key", "unknown-key", token(EC["ES256"], {"alg": "ES256", "kid": "k"}), keys)
    case("bad-rs256-with-ec-key", "unknown-key", token(RSA, {"alg": "RS256", "kid": "k"}), [jwk(EC["ES256"], kid="k")])
    case("bad-es384-with-p-256-key", "unknown-key", token(EC["ES256"], {"alg": "ES384", "kid": "k"}), [jwk(EC["ES256"], kid="k")], oracle=False)
    case("bad-key-is-for-another-alg", "unknown-key", token(RSA, {"alg": "RS256", "kid": "k"}), [jwk(RSA, kid="k", alg="PS256")], oracle=False)
    case("bad-ps256-as-rs256", "bad-signature", token(RSA, {"alg": "RS256", "kid": "k"}, algorithm="PS256"), keys)
    case("bad-rs256-as-ps256", "bad-signature", token(RSA, {"alg": "PS256", "kid": "k"}, algorithm="RS256"), keys)
    case("bad-rs384-as-rs256", "bad-signature", token(RSA, {"alg": "RS256", "kid": "k"}, algorithm="RS384"), keys)
    der = EC["ES256"].sign(b"x", ec.ECDSA(hashes.SHA256()))
    case("bad-ecdsa-as-der", "bad-signature", token(None, {"alg": "ES256", "kid": "k"}, signature=der), [jwk(EC["ES256"], kid="k")])
    case("bad-other-key-same-kid", "bad-signature", token(RSA2, {"alg": "RS256", "kid": "k"}), keys)
    for member, value in (("jwk", jwk(RSA2, kid="k")), ("jku", "https://evil.example/keys"), ("x5u", "https://evil.example/x"), ("x5c", ["AAAA"])):
        case(f"bad-header-brings-{member}", "bad-signature", token(RSA2, {"alg": "RS256", "kid": "k", member: value}), keys)
    case("bad-crit", "critical", token(RSA, {"alg": "RS256", "kid": "k", "crit": ["exp"], "exp": 1}), keys, oracle=False)
    case("bad-crit-empty", "critical", token(RSA, {"alg": "RS256", "kid": "k", "crit": []}), keys, oracle=False)
    case("bad-b64-false", "critical", token(RSA, {"alg": "RS256", "kid": "k", "b64": False, "crit": ["b64"]}), keys, oracle=False)
    case("bad-kid-unknown", "unknown-key", token(RSA, {"alg": "RS256", "kid": "x"}), keys)
    case("bad-kid-other-case", "unknown-key", token(RSA, {"alg": "RS256", "kid": "K"}), keys)
    case("bad-kid-no-string", "malformed", token(RSA, {"alg": "RS256", "kid": 1}), keys)
    case("bad-without-kid-two-fit", "unknown-key", token(RSA, {"alg": "RS256"}), [jwk(RSA, kid="a"), jwk(RSA2, kid="b")])
    case("bad-kid-twice-in-set", "unknown-key", token(RSA, {"alg": "RS256", "kid": "k"}), [jwk(RSA, kid="k"), jwk(RSA2, kid="k")], oracle=False)


def misshapen_ones():
    keys, key = [jwk(ED, kid="k")], ED
    head, body, signature = token(key, {"alg": "EdDSA", "kid": "k"}).split(".")
    for name, text in (("empty", ""), ("one-part", head), ("two-parts", f"{head}.{body}"), ("four-parts", f"{head}.{body}.{signature}.a"),
                       ("five-parts", f"{head}.{body}.{signature}.a.b"), ("no-header", f".{body}.{signature}"), ("no-claims", f"{head}..{signature}"),
                       ("no-signature", f"{head}.{body}."), ("dots", ".."), ("padded", f"{head}=.{body}.{signature}"),
                       ("signature-padded", f"{head}.{body}.{signature}=="), ("space", f"{head}.{body} .{signature}"),
                       ("line-end", f"{head}.{body}.{signature}\n"), ("plus", f"{head}.{body}.+{signature[1:]}"),
                       ("not-utf-8", f"{b64(bytes([255, 254]))}.{body}.{signature}")):
        case(f"bad-form-{name}", "malformed", text, keys, oracle=name not in ("padded", "signature-padded", "line-end", "space", "plus"))
    bits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    spare = bits[bits.index(signature[-1]) + 1]  # 64 bytes leave four bits over
    case("bad-form-bits-left-over", "malformed", f"{head}.{body}.{signature[:-1]}{spare}", keys, oracle=False)
    for name, raw in (("no-json", b"{"), ("list", b"[]"), ("string", b'"EdDSA"'), ("alg-missing", b'{"kid":"k"}'), ("alg-null", b'{"alg":null,"kid":"k"}'),
                      ("alg-list", b'{"alg":["EdDSA"],"kid":"k"}'), ("kid-null", b'{"alg":"EdDSA","kid":null}'),
                      ("alg-twice", b'{"alg":"EdDSA","alg":"EdDSA","kid":"k"}'), ("alg-twice-escaped", b'{"alg":"none","\\u0061lg":"EdDSA","kid":"k"}'),
                      ("nul", b'{"alg":"EdDSA\\u0000","kid":"k"}'), ("after", b'{"alg":"EdDSA","kid":"k"}{}'), ("bom", b'\xef\xbb\xbf{"alg":"EdDSA","kid":"k"}'),
                      ("deep", b'{"alg":"EdDSA","kid":"k","a":' + b"[" * 20 + b"]" * 20 + b"}")):
        case(f"bad-header-{name}", "malformed", token(key, raw, algorithm="EdDSA"), keys, oracle=False)
    for name, raw in (("no-json", b"{"), ("list", b"[]"), ("iss-twice", json.dumps(GOOD).encode()[:-1] + b',"iss":"https://issuer.example/pool"}'),
                      ("sub-twice", json.dumps(GOOD).encode()[:-1] + b',"s\\u0075b":"root"}'), ("not-utf-8", b'{"iss":"\xff"}'),
                      ("deep", json.dumps(GOOD).encode()[:-1] + b',"a":' + b"[" * 40 + b"]" * 40 + b"}")):
        case(f"bad-claims-{name}", "malformed", token(key, {"alg": "EdDSA", "kid": "k"}, raw), keys, oracle=False)
    case("bad-too-long", "too-long", token(key, {"alg": "EdDSA", "kid": "k"}, {**GOOD, "a": "x" * 12300}), keys, oracle=False)
    case("good-almost-too-long", "good", token(key, {"alg": "EdDSA", "kid": "k"}, {**GOOD, "a": "x" * 11900}), keys)


def claimed_ones():
    keys = [jwk(ED, kid="k")]

    def one(name, verdict, change, oracle=True, **rules):
        claims = {n: v for n, v in {**GOOD, **change}.items() if v is not ...}
        case(name, verdict, token(ED, {"alg": "EdDSA", "kid": "k"}, claims), keys, oracle, **rules)

    one("bad-issuer", "bad-issuer", {"iss": "https://other.example"})
    one("bad-issuer-slash", "bad-issuer", {"iss": ISSUER + "/"})
    one("bad-issuer-missing", "bad-issuer", {"iss": ...})
    one("bad-issuer-list", "bad-issuer", {"iss": [ISSUER]})
    one("bad-audience", "bad-audience", {"aud": "app-2"})
    one("bad-audience-missing", "bad-audience", {"aud": ...})
    one("bad-audience-list", "bad-audience", {"aud": ["app-2", "app-3"]})
    one("bad-audience-empty-list", "bad-audience", {"aud": []})
    one("bad-audience-number", "bad-audience", {"aud": 1})
    one("bad-audience-list-of-numbers", "bad-audience", {"aud": ["app-1", 1]})
    one("bad-audience-other-than-client-id", "bad-audience", {"aud": "app-2", "client_id": "app-1"})
    one("good-audience-list", "good", {"aud": ["app-2", "app-1"]})
    one("good-second-audience", "good", {"aud": "app-2"}, audiences=["app-1", "app-2"])
    one("good-client-id-without-aud", "good", {"aud": ..., "client_id": "app-1"}, oracle=False)
    one("bad-client-id-without-aud", "bad-audience", {"aud": ..., "client_id": "app-2"})
    one("bad-no-expiry", "no-expiry", {"exp": ...})
    one("bad-expiry-string", "malformed", {"exp": str(NOW + 60)}, oracle=False)
    one("bad-expiry-null", "malformed", {"exp": None}, oracle=False)
    one("bad-expired", "expired", {"exp": NOW - 1})
    one("bad-expires-now", "expired", {"exp": NOW})
    one("bad-expired-beyond-leeway", "expired", {"exp": NOW - 60}, leewaySeconds=60)
    one("good-expired-within-leeway", "good", {"exp": NOW - 59}, leewaySeconds=60)
    one("good-expires-in-a-fraction", "good", {"exp": NOW + 0.5}, oracle=False)
    one("bad-not-yet", "not-yet", {"nbf": NOW + 1})
    one("good-not-yet-within-leeway", "good", {"nbf": NOW + 60}, leewaySeconds=60)
    one("bad-not-before-string", "malformed", {"nbf": "now"}, oracle=False)
    one("bad-issued-later", "issued-later", {"iat": NOW + 61}, leewaySeconds=60)
    one("good-without-iat-and-nbf", "good", {"iat": ..., "nbf": ...})
    for name, change in (("scope", {"scope": "read write"}), ("scope-list", {"scope": ["read", "write"]}), ("scp", {"scp": "write"}),
                         ("scp-list", {"scp": ["a", "write"]}), ("scope-blanks", {"scope": "  write  "})):
        one(f"good-{name}", "good", change, scopes=["write", "admin"])
    for name, change in (("missing", {}), ("other", {"scope": "read"}), ("part-of-name", {"scope": "writer write2"}), ("empty", {"scope": ""}),
                         ("number", {"scope": 7}), ("scope-before-scp", {"scope": "read", "scp": "write"}), ("joined-by-comma", {"scope": "read,write"}),
                         ("list-of-joined", {"scope": ["read write"]})):
        one(f"bad-scope-{name}", "no-scope", change, scopes=["write", "admin"])


def shown_ones():
    """What events show: strings all, as API Gateway writes them."""
    claims = {**GOOD, "email_verified": True, "cognito:groups": ["admin", "power user"], "one": ["x"], "none": [], "nickname": None,
              "address": {"country": "JP"}, "quote": "a\"b\\\u00e9\u2028", "": "no name", "rate": 1.5, "nested": [[1, 2], {"a": "b"}, None], "scope": "read write"}
    shown = {"iss": ISSUER, "aud": "app-1", "sub": "user-7", "exp": str(NOW + 600), "iat": str(NOW - 60), "nbf": str(NOW - 60), "email_verified": "true",
             "cognito:groups": "[admin power user]", "one": "[x]", "none": "[]", "address": '{"country":"JP"}', "quote": "a\"b\\\u00e9\u2028", "": "no name",
             "rate": "1.5", "nested": '[[1 2] {"a":"b"} null]', "scope": "read write"}
    text = token(ED, {"alg": "EdDSA", "kid": "k"}, claims)
    case("good-shown-claims", "good", text, [jwk(ED, kid="k")], claims={"claims": shown, "scopes": None})
    case("good-shown-scopes", "good", text, [jwk(ED, kid="k")], scopes=["read"], claims={"claims": shown, "scopes": ["read", "write"]})


SETS = {}


def key_set(name, keys, usable=None, problem=None, text=None):
    """`usable`: the kids that are taken, in order; else `problem`, a part of what is said."""
    SETS[name] = {"text": json.dumps({"keys": keys}) if text is None else text, **({"usable": usable} if usable is not None else {"problem": problem})}


def key_sets():
    good = [jwk(RSA, kid="rsa"), jwk(EC["ES256"], kid="p256"), jwk(EC["ES384"], kid="p384"), jwk(EC["ES512"], kid="p521"), jwk(ED, kid="ed")]
    kids = [k["kid"] for k in good]
    key_set("good", good, kids)
    key_set("good-with-others", [{"kty": "oct", "k": "AAAA", "kid": "s"}, {"kty": "new", "kid": "n"}, *good, {"kty": "OKP", "crv": "X25519", "x": good[4]["x"]}], kids)
    key_set("good-with-members-unknown", [{**good[0], "x5t": "a", "x5c": ["b"], "more": {"a": 1}}], ["rsa"])
    key_set("good-without-kid", [jwk(ED)], [""])
    key_set("good-key-ops", [jwk(ED, kid="ed", key_ops=["verify"])], ["ed"])
    key_set("good-rsa-4096", [jwk(rsa.generate_private_key(65537, 4096), kid="rsa")], ["rsa"])
    key_set("good-exponent-3", [jwk(rsa.generate_private_key(3, 2048), kid="rsa")], ["rsa"])
    key_set("bad-json", None, problem="not well-formed JSON", text='{"keys":[')
    key_set("bad-html", None, problem="not well-formed JSON", text="<html></html>")
    key_set("bad-empty", None, problem="not well-formed JSON", text="")
    key_set("bad-list", None, problem="no list of keys", text="[]")
    key_set("bad-no-keys", None, problem="no list of keys", text="{}")
    key_set("bad-keys-object", None, problem="no list of keys", text='{"keys":{}}')
    key_set("bad-keys-twice", None, problem="not well-formed JSON", text='{"keys":[],"keys":[]}')
    key_set("bad-none", [], problem="is empty")
    key_set("bad-number-as-key", [1], problem="no JSON object")
    for name, key, why in (
            ("secret", {"kty": "oct", "k": "AAAA"}, "kind or curve"), ("no-kty", {"kid": "k"}, "kind or curve"),
            ("kty-list", {"kty": ["RSA"]}, "kind or curve"), ("curve-secp256k1", {**good[1], "crv": "secp256k1"}, "kind or curve"),
            ("private", {**good[4], "d": "AAAA"}, "private key"), ("use-enc", {**good[0], "use": "enc"}, "not for checking"),
            ("use-null", {**good[0], "use": None}, "not for checking"), ("key-ops-sign", {**good[0], "key_ops": ["sign"]}, "not for checking"),
            ("key-ops-string", {**good[0], "key_ops": "verify"}, "not for checking"), ("alg-hs256", {**good[0], "alg": "HS256"}, "algorithm"),
            ("alg-none", {**good[0], "alg": "none"}, "algorithm"), ("alg-of-another-kind", {**good[0], "alg": "ES256"}, "algorithm"),
            ("alg-of-another-curve", {**good[1], "alg": "ES384"}, "algorithm"), ("alg-for-encryption", {**good[0], "alg": "RSA-OAEP"}, "algorithm"),
            ("kid-number", {**good[0], "kid": 1}, "kid"), ("kid-long", {**good[0], "kid": "k" * 257}, "kid"),
            ("rsa-1024", jwk(WEAK), "fewer than 2048"), ("rsa-huge", {**good[0], "n": b64(b"\xff" * 3000)}, "2048 bits, or more"),
            ("rsa-even", {**good[0], "n": b64(b"\xff" * 255 + b"\xfe")}, "not well-formed"), ("exponent-1", {**good[0], "e": "AQ"}, "not well-formed"),
            ("exponent-even", {**good[0], "e": "AQAC"}, "not well-formed"), ("exponent-huge", {**good[0], "e": b64(b"\x01" * 9)}, "not well-formed"),
            ("n-missing", {"kty": "RSA", "e": "AQAB"}, "not well-formed"), ("n-base64", {**good[0], "n": good[0]["n"] + "=="}, "not well-formed"),
            ("x-short", {**good[1], "x": good[1]["x"][:-2]}, "not well-formed"), ("not-on-curve", {**good[1], "y": good[1]["x"]}, "not well-formed"),
            ("at-infinity", {**good[1], "x": b64(bytes(32)), "y": b64(bytes(32))}, "not well-formed"), ("y-missing", {k: v for k, v in good[1].items() if k != "y"}, "not well-formed"),
            ("ed-short", {**good[4], "x": b64(bytes(31))}, "not well-formed"), ("p-384-said-p-256", {**good[2], "crv": "P-256"}, "not well-formed")):
        key_set(f"bad-{name}", [key], problem=why)
        key_set(f"good-beside-{name}", [key, good[4]], ["ed"])
    key_set("bad-too-many", [jwk(ED, kid=f"k{i}") for i in range(33)], problem="more than 32")
    key_set("bad-too-large", [{**jwk(ED), "kid": f"{i:0256}"} for i in range(32)] + [jwk(RSA, kid=f"{i:0256}") for i in range(20)], problem="more than 32")


def write(folder, cases):
    folder.mkdir(exist_ok=True)
    for old in folder.glob("*.json"):
        old.unlink()
    for name, content in cases.items():
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1, ensure_ascii=True) + "\n")
    print(len(cases), folder.name, file=sys.stderr)


for make in (good_ones, confused_ones, misshapen_ones, claimed_ones, shown_ones, key_sets):
    make()
write(HERE, CASES)
write(HERE.parent / "keysets", SETS)
