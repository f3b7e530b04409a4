"""A token issuer for tests: keys and tokens by PyJWT and python3-cryptography, discovery and key set over HTTP or TLS.

    with Issuer() as issuer:
        issuer.add("k1", "ES256")
        token = issuer.token(sub="user-7")
"""
import base64
import json
import threading
import time

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

import harness

CURVES = {"ES256": (ec.SECP256R1, "P-256", 32), "ES384": (ec.SECP384R1, "P-384", 48)}


def b64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def number(value, length=None):
    return b64(value.to_bytes(length or (value.bit_length() + 7) // 8, "big"))


def make_key(algorithm):
    if algorithm == "EdDSA":
        return ed25519.Ed25519PrivateKey.generate()
    if algorithm in CURVES:
        return ec.generate_private_key(CURVES[algorithm][0]())
    return rsa.generate_private_key(65537, 2048)


def public_jwk(key, **more):
    public = key.public_key()
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return {"kty": "OKP", "crv": "Ed25519", "x": b64(public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)), **more}
    numbers = public.public_numbers()
    if isinstance(key, rsa.RSAPrivateKey):
        return {"kty": "RSA", "n": number(numbers.n), "e": number(numbers.e), **more}
    _, curve, length = next(c for c in CURVES.values() if c[0].name == key.curve.name)
    return {"kty": "EC", "crv": curve, "x": number(numbers.x, length), "y": number(numbers.y, length), **more}


class Keys:
    """Keys by kid, in the order they were added; tokens are signed with the last one."""

    def __init__(self, issuer="https://issuer.example/pool"):
        self.issuer, self.keys = issuer, {}

    def add(self, kid, algorithm="ES256"):
        self.keys[kid] = (make_key(algorithm), algorithm)
        return self

    def jwks(self):
        return {"keys": [public_jwk(key, kid=kid, alg=algorithm, use="sig") for kid, (key, algorithm) in self.keys.items()]}

    def token(self, kid=None, header=None, **claims):
        """`claims` that are ... are left out."""
        kid = kid or next(reversed(self.keys))
        key, algorithm = self.keys[kid]
        now = int(time.time())
        wanted = {"iss": self.issuer, "aud": "app-1", "sub": "user-7", "iat": now, "exp": now + 600, **claims}
        return jwt.encode({n: v for n, v in wanted.items() if v is not ...}, key, algorithm, headers={"kid": kid, **(header or {})})


class Issuer(Keys):
    """Serves /.well-known/openid-configuration and /keys; `answers` holds what comes instead, by path: bytes, or a function of
    the raw socket. `tls`: an ssl.SSLContext."""

    def __init__(self, tls=None):
        super().__init__()
        self.tls, self.answers, self.seen, self.headers, self.published = tls, {}, [], [], None
        self.lock = threading.Lock()
        self.server = harness.RawServer(self._serve)
        self.issuer = self.server.url.replace("http:", "https:").replace("127.0.0.1", "localhost") if tls else self.server.url
        self.etag = 0
        self.cache_control = None

    def document(self, path):
        if path == "/.well-known/openid-configuration":
            return {"issuer": self.issuer, "jwks_uri": self.issuer + "/keys"}
        return (self.published or self).jwks() if path == "/keys" else None

    def _serve(self, peer, _number):
        if self.tls:
            peer = self.tls.wrap_socket(peer, server_side=True)
        stream = peer.makefile("rb")
        while True:
            line = stream.readline(65536).decode("latin-1")
            if line.count(" ") < 2:
                break
            path, headers = line.split(" ")[1], {}
            while (row := stream.readline(65536).decode("latin-1").rstrip("\r\n")):
                name, _, value = row.partition(":")
                headers[name.lower()] = value.strip()
            with self.lock:
                self.seen.append((time.monotonic(), path, headers))
            own = self.answers.get(path)
            if callable(own):
                if own(peer) is False:
                    break
                continue
            peer.sendall(own if own is not None else self._answer(path, headers))
        stream.close()
        peer.close()

    def _answer(self, path, headers):
        document = self.document(path)
        if document is None:
            return b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"
        body = json.dumps(document).encode()
        etag = f'"{abs(hash(body))}"'
        more = f"ETag: {etag}\r\n" + (f"Cache-Control: {self.cache_control}\r\n" if self.cache_control else "")
        if headers.get("if-none-match") == etag:
            return f"HTTP/1.1 304 Not Modified\r\n{more}\r\n".encode()
        return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n{more}Content-Length: {len(body)}\r\n\r\n".encode() + body

    def count(self, path="/keys"):
        with self.lock:
            return sum(seen == path for _, seen, _ in self.seen)

    def __enter__(self):
        self.server.__enter__()
        return self

    def __exit__(self, *error):
        self.server.__exit__(*error)


def http(body, status="200 OK", **headers):
    """A whole answer as bytes."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    rows = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status}\r\n{rows}Content-Length: {len(body)}\r\n\r\n".encode() + body
