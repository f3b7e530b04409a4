"""A relay between a daemon and AWS that kills the daemon at a chosen moment of a chosen call.

    with Relay(lambda_local.url) as relay:
        managerd = Managerd(aws={**lambda_local.aws_variables(), "AWS_ENDPOINT_URL_LAMBDA": relay.url})
        relay.arm(call=3, moment="forwarded", kill=managerd.kill9)

Requests are forwarded byte for byte, so their signatures stay whole: the Host that was signed is the relay's own, and the
receiver verifies what it was sent.
"""
import socket
import threading

from harness import split_address

MOMENTS = ("before", "forwarded", "answered")  # not yet sent on; sent on, answer held back; answer given


class Call:
    def __init__(self, number, method, target, body=b""):
        self.number, self.method, self.target, self.body = number, method, target, body

    def __repr__(self):
        return f"{self.number}: {self.method} {self.target}"


class Relay:
    def __init__(self, upstream):
        self.upstream = split_address(upstream.split("//")[1])
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.lock = threading.Lock()
        self.calls = []
        self.plan = None
        self.fired = threading.Event()
        self.thread = threading.Thread(target=self._accept, daemon=True)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *ignored):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()

    def arm(self, call, moment, kill):
        """Kills at that moment of the call-th call from now (1 is the next)."""
        assert moment in MOMENTS
        with self.lock:
            self.calls.clear()
            self.fired.clear()
            self.plan = (call, moment, kill)

    def disarm(self):
        with self.lock:
            self.plan = None

    def count(self):
        """Starts counting anew; what was counted is given back."""
        with self.lock:
            seen = list(self.calls)
            self.calls.clear()
            return seen

    # -- the work ---------------------------------------------------------------------------------------------------

    def _accept(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, peer):
        upstream = None
        try:
            with peer, socket.create_connection(self.upstream, 10) as upstream:
                peer.settimeout(60)
                upstream.settimeout(60)
                while self._one(peer, upstream):
                    pass
        except OSError:
            pass

    def _one(self, peer, upstream):
        message = read_message(peer)
        if not message:
            return False
        method, target = message.split(b" ", 2)[:2]
        with self.lock:
            call = Call(len(self.calls) + 1, method.decode(), target.decode(), message.split(b"\r\n\r\n", 1)[1])
            self.calls.append(call)
            plan = self.plan
        due = plan is not None and plan[0] == call.number
        if due and plan[1] == "before":
            return self._kill(plan)
        upstream.sendall(message)
        answer = read_message(upstream, answer_to=method)
        if not answer:
            return False
        if due and plan[1] == "forwarded":
            return self._kill(plan)
        peer.sendall(answer)
        if due:
            return self._kill(plan)
        return b"\r\nconnection: close" not in answer.split(b"\r\n\r\n", 1)[0].lower()

    def _kill(self, plan):
        self.disarm()
        plan[2]()
        self.fired.set()
        return False


def read_message(peer, answer_to=None):
    """One whole request or answer, as bytes; b"" when the peer has closed."""
    data = bytearray()
    while b"\r\n\r\n" not in data:
        piece = peer.recv(65536)
        if not piece:
            return b""
        data += piece
    head = bytes(data[:data.index(b"\r\n\r\n") + 4])
    fields = {}
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        fields[name.strip().lower()] = value.strip()
    if answer_to is not None and (answer_to == b"HEAD" or head.split(b" ", 2)[1] in (b"204", b"304")):
        return head
    if fields.get(b"transfer-encoding", b"").lower() == b"chunked":
        while not data.endswith(b"0\r\n\r\n"):
            piece = peer.recv(65536)
            if not piece:
                return b""
            data += piece
        return bytes(data)
    length = len(head) + int(fields.get(b"content-length", b"0"))
    while len(data) < length:
        piece = peer.recv(65536)
        if not piece:
            return b""
        data += piece
    return bytes(data)
