"""TLS in tests: certificates by the openssl program, and a proxyd that serves them.

    make_certificate(path, "shop.example", "*.shop.example")      # self-signed, with its key in one file, by rename
    with Secure(aws) as proxyd:
        proxyd.dial("shop.example")                               # an ssl socket
"""
import http.client
import os
import signal
import socket
import ssl
import subprocess
import tempfile
from pathlib import Path

import harness
from fake_lambda import Proxy, app


def openssl(*arguments, **more):
    """Runs the openssl program; gives what it prints."""
    return subprocess.run(["openssl", *map(str, arguments)], check=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30, **more).stdout


def make_certificate(path, *names, days=30):
    """A self-signed certificate and its key in one PEM file, put there by rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new, key = path.parent / f".{path.name}.new", path.parent / f".{path.name}.key"
    openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", new, "-days", days,
            "-subj", f"/CN={names[0]}", "-addext", "subjectAltName=" + ",".join(f"DNS:{name}" for name in names))
    new.write_text(new.read_text() + key.read_text())
    key.unlink()
    os.rename(new, path)
    return path


def common_name(der):
    return openssl("x509", "-inform", "DER", "-noout", "-subject", input=der).decode().split("CN = ")[1].strip()


class Secure(Proxy):
    """proxyd with TLS on, a default certificate for *.localhost, and others below secrets/tls."""

    def __init__(self, aws, options=None, **published):
        directory = harness.scratch("tls.")
        self.default = make_certificate(directory / "default.pem", "default.test", "*.localhost")
        published.setdefault("routes", [app("hello")])
        super().__init__(aws, options={"PROXYD_TLS_LISTEN": "127.0.0.1:0", "PROXYD_TLS_CERTIFICATE_FILE": str(self.default),
                                       **(options or {})}, **published)
        self.folder = self.data / "secrets" / "tls"

    def start(self):
        super().start()
        self.tls_address = harness.split_address(self.ready_line["tlsListen"])
        return self

    def dial(self, host="hello.localhost", context=None, timeout=10, session=None):
        raw = socket.create_connection(self.tls_address, timeout)
        return (context or lenient()).wrap_socket(raw, server_hostname=host, session=session)

    def connection(self, timeout=20):
        made = http.client.HTTPSConnection(*self.tls_address, timeout=timeout, context=lenient())
        made.connect()
        return made

    def names_shown(self, host):
        with self.dial(host) as peer:
            return common_name(peer.getpeercert(True))

    def until_shown(self, host, name, seconds=5):
        harness.wait_for(lambda: self.names_shown(host) == name, seconds, f"{host} shows {name}")

    def reload(self):
        before = len(self.events("reload"))
        self.signal(signal.SIGHUP)
        harness.wait_for(lambda: len(self.events("reload")) > before, 5, "the reload is logged")


def lenient(**settings):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    for name, value in settings.items():
        setattr(context, name, value)
    return context


class Authority:
    """A root and an intermediate of our own, and what they sign."""

    KEYS = {"ec": ("EC", "ec_paramgen_curve:P-256"), "p384": ("EC", "ec_paramgen_curve:P-384"), "p521": ("EC", "ec_paramgen_curve:P-521"),
            "p224": ("EC", "ec_paramgen_curve:secp224r1"), "k256": ("EC", "ec_paramgen_curve:secp256k1"), "ed25519": ("ED25519",),
            "ed448": ("ED448",), "rsa": ("RSA", "rsa_keygen_bits:2048"), "rsa1024": ("RSA", "rsa_keygen_bits:1024"), "rsa3072": ("RSA", "rsa_keygen_bits:3072")}

    def __init__(self):
        self.temporary, self.count = tempfile.TemporaryDirectory(prefix="authority."), 0  # goes with this object
        self.folder = Path(self.temporary.name)
        self.root_key, self.key = self.make_key(), self.make_key()
        self.root = self.sign("/CN=Test Root", self.root_key, None, None, "basicConstraints=critical,CA:TRUE")
        self.intermediate = self.sign("/CN=Test Intermediate", self.key, self.root, self.root_key, "basicConstraints=critical,CA:TRUE,pathlen:0")
        self.root_file = self.folder / "root.pem"
        self.root_file.write_text(self.root)

    def file(self, text):
        self.count += 1
        path = self.folder / f"{self.count}.pem"
        path.write_text(text)
        return path

    def make_key(self, kind="ec"):
        algorithm, *options = self.KEYS[kind]
        return openssl("genpkey", "-algorithm", algorithm, *(word for option in options for word in ("-pkeyopt", option))).decode()

    def sign(self, subject, key, issuer, issuer_key, *extensions, days=30, digest="sha256"):
        """One certificate; without an issuer it signs itself. Negative days: it has ended."""
        extension_file = self.file("\n".join(extensions) + "\n")
        request = self.file(openssl("req", "-new", "-key", self.file(key), "-subj", subject).decode())
        signer = ["-CA", self.file(issuer), "-CAkey", self.file(issuer_key), "-CAcreateserial"] if issuer else ["-signkey", self.file(key)]
        return openssl("x509", "-req", "-in", request, *signer, "-days", days, f"-{digest}", "-extfile", extension_file).decode()

    def issue(self, *names, kind="ec", key=None, days=30, extensions=(), digest="sha256"):
        """(chain, key): signed by the intermediate, which is in the chain."""
        key = key or self.make_key(kind)
        names = (["subjectAltName=" + ",".join(f"DNS:{name}" for name in names)] if names else [])
        leaf = self.sign(f"/O=Shop, Inc./CN={self.count}", key, self.intermediate, self.key, *names, *extensions, days=days, digest=digest)
        return leaf + self.intermediate, key
