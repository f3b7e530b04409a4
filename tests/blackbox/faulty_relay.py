"""A relay between proxyd and a real Lambda endpoint that breaks calls at chosen places; which, its plan says.

    with FaultyRelay(lambda_local.url) as relay:
        relay.plan = lambda identity, attempt: "reset before"

Requests are forwarded byte for byte, so their signatures stay whole. A call is known by the X-Request-Id in its event; calls
without one, as managerd's, pass untouched.
"""
import collections
import re
import socket
import struct
import threading
import time

import wire_faults as wire
from harness import split_address
from relay import read_message

# kind -> (faults that it may come out as, None: a good answer; how often the handler runs). "once": only the first attempt is broken.
KINDS = {
    "fine": ({None}, {1}),
    "byte by byte": ({None}, {1}),
    "fine, then FIN": ({None}, {1}),
    "fine, then reset": ({None, "lambda-failed"}, {0, 1}),  # it may meet the next request on its way
    "fine, then more": ({None}, {1}),
    "throttled once": ({None}, {1}),
    "not ready once": ({None}, {1}),
    "throttled": ({"throttled"}, {0}),
    "not ready": ({"lambda-not-ready"}, {0}),
    "refused": ({"lambda-refused"}, {0}),
    "FIN before": ({"lambda-failed"}, {0}),
    "reset before": ({"lambda-failed"}, {0}),
    "half of the request": ({"lambda-failed"}, {0}),
    "500 instead": ({"lambda-failed"}, {1}),
    "FIN instead": ({"lambda-failed"}, {1}),
    "reset instead": ({"lambda-failed"}, {1}),
    "half an answer, FIN": ({"lambda-failed"}, {1}),
    "half an answer, reset": ({"lambda-failed"}, {1}),
    "silence": ({"deadline"}, {1}),
}


def own(status, code):
    body = b'{"Type":"User","message":"secret internals"}'
    return wire.sized(body, f"{status} X", f"x-amzn-ErrorType: {code}", "Content-Type: application/json")


def reset(peer):
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


class FaultyRelay:
    def __init__(self, upstream):
        self.upstream = split_address(upstream.split("//")[1])
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=256)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.plan = lambda identity, attempt: "fine"
        self.at_accept = lambda number: None  # "FIN" or "reset": a connection that ends before anything is read
        self.lock = threading.Lock()
        self.attempts = collections.Counter()  # requests that came in whole, by identity
        self.accepted = 0

    def __enter__(self):
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *ignored):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def _accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.accepted += 1
            threading.Thread(target=self._serve, args=(peer, self.at_accept(self.accepted)), daemon=True).start()

    def _serve(self, peer, end):
        with peer:
            try:
                if end:
                    return reset(peer) if end == "reset" else None
                peer.settimeout(60)
                peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                while self._one(peer):
                    pass
            except OSError:
                pass

    def _one(self, peer):
        message = read_message(peer)
        if not message:
            return False
        found = re.search(rb'"x-request-id":"([^"]+)"', message)
        if not found:
            peer.sendall(self._ask(message))
            return True
        identity = found.group(1).decode()
        with self.lock:
            self.attempts[identity] += 1
            attempt = self.attempts[identity]
        return self._break(peer, message, self.plan(identity, attempt), attempt)

    def _ask(self, message):
        with socket.create_connection(self.upstream, 10) as upstream:
            upstream.settimeout(60)
            upstream.sendall(message)
            return read_message(upstream, answer_to=b"POST")

    def _break(self, peer, message, kind, attempt):
        """True when the connection goes on."""
        if kind.endswith(" once"):
            kind = kind[:-5] if attempt == 1 else "fine"
        early = {"throttled": own(429, "TooManyRequestsException"), "not ready": own(502, "ENINotReadyException"),
                 "refused": own(403, "AccessDeniedException")}.get(kind)
        if early:
            peer.sendall(early)
            return True
        if kind == "FIN before":
            return False
        if kind == "reset before":
            return reset(peer)
        if kind == "half of the request":
            with socket.create_connection(self.upstream, 10) as upstream:
                upstream.sendall(message[:len(message) - len(message.split(b"\r\n\r\n", 1)[1]) // 2 - 1])
            return False
        return self._spoil(peer, self._ask(message), kind)

    def _spoil(self, peer, answer, kind):
        """The function has run; what becomes of its answer."""
        if kind == "500 instead":
            peer.sendall(own(500, "ServiceException"))
            return True
        if kind.endswith(" instead"):
            return reset(peer) if kind.startswith("reset") else False
        if kind.startswith("half an answer"):
            peer.sendall(answer[:-7])
            return reset(peer) if kind.endswith("reset") else False
        if kind == "silence":
            peer.recv(1)
            return False
        if kind == "byte by byte":
            for byte in answer:
                peer.sendall(bytes([byte]))
            return True
        peer.sendall(answer)
        if kind == "fine, then more":
            peer.sendall(wire.sized(b'{"statusCode":418,"body":"smuggled"}'))
        elif kind == "fine, then FIN":
            return False
        elif kind == "fine, then reset":
            time.sleep(0.005)  # else the reset overtakes the answer
            return reset(peer)
        return True
