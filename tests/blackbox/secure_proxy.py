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
