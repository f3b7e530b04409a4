"""What a Lambda endpoint can do to a call, as bytes on raw sockets: for the fault matrix.

An act gets a fake_lambda.Call that was read in whole. Acts in which the function would have run mark the call by ran().
"""
import json
import socket
import struct
import time
import zlib

FINE = json.dumps({"statusCode": 200, "headers": {"content-type": "text/plain"}, "body": "fine"}).encode()
SIX_MEGABYTES = 6 * 1024 * 1024


def ran(call):
    """The function has run by now."""
    call.ran = True
    return call


def head(status="200 OK", *lines):
    return ("\r\n".join([f"HTTP/1.1 {status}", *lines]) + "\r\n\r\n").encode()


def sized(body, status="200 OK", *lines):
    return head(status, f"Content-Length: {len(body)}", *lines) + body


# -- frames of a stream --


def frame(payload=b"", **headers):
    """One message; header names are written with _ for - and get the colon."""
    block = b""
    for name, value in headers.items():
        name = (":" + name.replace("_", "-")).encode()
        block += bytes([len(name)]) + name + b"\7" + struct.pack(">H", len(value)) + value.encode()
    start = struct.pack(">II", len(block) + len(payload) + 16, len(block))
    message = start + struct.pack(">I", zlib.crc32(start)) + block + payload
    return message + struct.pack(">I", zlib.crc32(message))


def chunk(payload):
    return frame(payload, message_type="event", event_type="PayloadChunk", content_type="application/octet-stream")


def complete(**members):
    return frame(json.dumps(members).encode(), message_type="event", event_type="InvokeComplete", content_type="application/json")


def exception(code):
    return frame(b'{"message":"secret internals"}', message_type="exception", exception_type=code)


def prelude(**members):
    return json.dumps(members).encode() + b"\0" * 8


def fine_frames():
    return chunk(prelude(statusCode=200, headers={"content-type": "text/plain"})) + chunk(b"fine") + complete()


def fine(mode):
    return fine_frames() if mode == "stream" else FINE


# -- acts --


def says(data, then="close"):
    """The function ran; these bytes, and the end: close (FIN), reset, or keep."""
    def act(call):
        ran(call).peer.sendall(data(call.mode) if callable(data) else data)
        return end(call, then)
    return act


def end(call, how):
    if how == "reset":
        return call.reset()
    return None if how == "keep" else False


def ends(how, has_run=False):
    def act(call):
        if has_run:
            ran(call)
        return end(call, how)
    return act


def answers(status, code, headers=None, body=None):
    """An error of Lambda's own, before the function ran."""
    def act(call):
        document = {"Type": "User", "message": "secret internals of AWS", **(body or {})}
        call.answer(status, document, {"x-amzn-ErrorType": code, **(headers() if callable(headers) else headers or {})})
    return act


def function_error(kind, error):
    def act(call):
        if call.mode == "stream":
            ran(call).peer.sendall(sized(complete(ErrorCode=kind, ErrorDetails=json.dumps(error))))
        else:
            ran(call).answer(200, error, {"X-Amz-Function-Error": kind}, "OK")
    return act


def byte_by_byte(data, pause_s=0.0):
    def act(call):
        ran(call)
        for byte in data(call.mode) if callable(data) else data:
            call.peer.sendall(bytes([byte]))
            if pause_s:
                time.sleep(pause_s)
    return act


def silent(data=b""):
    """Sends that much, and then nothing until the peer gives up."""
    def act(call):
        ran(call).peer.sendall(data(call.mode) if callable(data) else data)
        try:
            while call.peer.recv(65536):
                pass
        except OSError:
            pass
        return False
    return act


def flood(start, piece, count):
    """Many pieces, as long as the peer takes them."""
    def act(call):
        try:
            ran(call).peer.sendall(start)
            for _ in range(count):
                call.peer.sendall(piece)
        except OSError:
            pass
        return False
    return act


# -- before a request is read --


def refuse_by_reset(peer, number):
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    return False


def close_at_once(peer, number):
    return False


class Full:
    """An address whose queue of connections is full: what asks for one more gets no answer."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(0)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.waiting = []

    def __enter__(self):
        for _ in range(4):
            peer = socket.socket()
            peer.setblocking(False)
            peer.connect_ex(self.listener.getsockname())
            self.waiting.append(peer)
        time.sleep(0.05)
        return self

    def __exit__(self, *ignored):
        for peer in [*self.waiting, self.listener]:
            peer.close()
