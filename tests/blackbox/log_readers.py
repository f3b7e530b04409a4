"""Readers of managerd's logs, for tests: calls, connections that follow, and what they were told."""
import json
import socket
from urllib.parse import quote

from harness import wait_for

TOKEN = "token-of-logs"
def logs(daemon, app="talker", accept=None, expect=200, headers=None, **query):
    text = "&".join(f"{name}={quote(str(value))}" for name, value in query.items())
    headers = {**(headers or {}), **({"Accept": accept} if accept else {})}
    answer = daemon.request("GET", f"/v1/apps/{app}/logs?{text}", headers=headers, timeout=60)
    assert answer.status == expect, answer
    return answer


def lines(answer):
    return [json.loads(line) for line in answer.text.split("\n") if line]


def spoken(answer, word):
    return [line["message"].rsplit("\t", 1)[-1] for line in lines(answer) if word in line.get("message", "")]


def events(text):
    """(id or None, name, data) of each server-sent event."""
    found = []
    for block in text.split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
        if "data" in fields:
            found.append((fields.get("id"), fields["event"], json.loads(fields["data"])))
    return found


def figure(daemon, name):
    text = daemon.request("GET", "/metrics").text
    return float(next(line.split()[-1] for line in text.splitlines() if line.startswith(name + " ")))


def assert_no_reader(daemon):
    wait_for(lambda: figure(daemon, "managerd_log_readers") == 0, 20, "nobody reads any more")


class Reader:
    """A connection that follows, and keeps what it was told."""

    def __init__(self, daemon, app="talker", query="follow=true", headers="", token=TOKEN, receive=None):
        self.peer = socket.socket()
        if receive:
            self.peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self.peer.settimeout(30)
        self.peer.connect(daemon.address)
        self.peer.sendall(f"GET /v1/apps/{app}/logs?{query} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{headers}\r\n".encode())
        self.received = bytearray()
        self.ended = False

    def hears(self, word):
        """Whether the word has come; waits a moment for more."""
        self.peer.settimeout(0.05)
        try:
            piece = self.peer.recv(65536)
            self.ended = self.ended or not piece
            self.received += piece
        except (TimeoutError, ConnectionResetError) as fault:
            self.ended = self.ended or isinstance(fault, ConnectionResetError)
        return word.encode() in self.received

    def wait(self, word, seconds=30):
        wait_for(lambda: self.hears(word), seconds, f"'{word}' is told", pause=0)

    def wait_end(self, seconds=30):
        wait_for(lambda: self.hears("no such word") or self.ended, seconds, "the answer has ended", pause=0)

    @property
    def text(self):
        return self.received.decode()

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.peer.close()
