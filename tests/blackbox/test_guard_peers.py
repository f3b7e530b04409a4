"""The guard beside nginx and Python's h11: mutated streams; what both refuse we refuse, and what all accept means the same to all."""
import asyncio
import base64
import hashlib
import json
import os
import random

import pytest

import harness
from fake_lambda import FakeLambda, Proxy, app
from nginx import Nginx

h11 = pytest.importorskip("h11", reason="python3-h11 is not installed: deploy/dependencies.sh names the packages")

STREAMS = int(os.environ.get("MUTATED_STREAMS", "1000"))
AT_ONCE = 24
QUIET_SECONDS = 0.4 * float(os.environ.get("TEST_PATIENCE", "1"))
DOMAINS = [{"host": "a", "paths": [{"prefix": "/", "app": "a"}]}]

# Lawful beginnings. Each stream ends with LAST, so that a parser that lost its place shows it.
SEEDS = [
    b"GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET /p%20q?x=1&x=2 HTTP/1.1\r\nHost: a\r\nAccept: */*\r\nCookie: a=b; c=d\r\n\r\n",
    b"HEAD /h HTTP/1.1\r\nHost: a\r\n\r\n",
    b"GET http://a/abs?q HTTP/1.1\r\nHost: a\r\n\r\n",
    b"DELETE /d HTTP/1.1\r\nHost: a\r\nX-One: 1\r\nX-Two:2\r\nX-Three:\t3 \r\n\r\n",
    b"POST /l HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /l HTTP/1.1\r\nHost: a\r\nContent-Length: 39\r\n\r\nGET /hidden HTTP/1.1\r\nHost: a\r\nX: abc\r\n",
    b"POST /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"PUT /c HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nX-Last: y\r\n\r\n1\r\nx\r\nA\r\n0123456789\r\n0\r\n\r\n",
    b"POST /z HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
    b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
    b"POST /c1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\nGET /c2 HTTP/1.1\r\nHost: a\r\n\r\n",
]
LAST = b"GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

# What attackers put in: into a random place, or before or behind a line's end.
BYTES = [b"\r", b"\n", b"\r\n", b" ", b"\t", b"\0", b"\x0b", b"\x7f", b"\x80", b"\xff", b":", b";", b",", b"0", b"1", b"#", b"%", b"\\", b'"', b"+", b"-"]
LINES = [
    b"Content-Length: 5\r\n", b"Content-Length: 0\r\n", b"Content-Length: 5, 5\r\n", b"Content-Length: +5\r\n", b"Content-Length: 0x5\r\n",
    b"Content-Length : 5\r\n", b"Content-Length:\r\n 5\r\n", b"content-length: 99999999999999999999\r\n", b"Content-Length: 5 5\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: Chunked\r\n", b"Transfer-Encoding: chunked, chunked\r\n",
    b"Transfer-Encoding: identity\r\n", b"Transfer-Encoding: gzip, chunked\r\n", b"Transfer-Encoding : chunked\r\n",
    b"Transfer-Encoding: xchunked\r\n", b"Transfer-Encoding:\x0bchunked\r\n", b"Transfer-Encoding: \"chunked\"\r\n", b"Transfer_Encoding: chunked\r\n",
    b"Host: b\r\n", b"Host: a\r\n", b"Host:\r\n", b"Host: a b\r\n", b"Host : a\r\n", b" folded\r\n", b"\tfolded\r\n", b"no colon\r\n",
    b": no name\r\n", b"X-Y: \r\n", b"X Y: z\r\n", b"Connection: close\r\n", b"Connection: keep-alive, close\r\n", b"Expect: 100-continue\r\n",
    b"X: a\r\r\n", b"X: a\n", b"\r\n", b"Trailer: X\r\n", b"X\xc3\xa9: y\r\n", b"X: \xc3\xa9\r\n",
]
WORDS = [  # one for another
    (b"HTTP/1.1", [b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9", b"http/1.1", b"HTTP/1.10", b"HTTP/ 1.1", b"HTTP/1.1 ", b""]),
    (b"GET", [b"get", b"G ET", b"GET ", b"PURGE", b"TRACE", b"CONNECT", b"G\tET", b"OPTIONS", b"GE(T"]),
    (b"POST", [b"PATCH", b"GET", b"HEAD", b"PROPFIND", b"POST\t"]),
    (b" /", [b"  /", b" //", b" /../", b" /%00", b" /%zz", b" *", b" ", b" a/", b" /\x80", b" /a b", b"\t/"]),
    (b"\r\n0\r\n", [b"\r\n0 \r\n", b"\r\n00\r\n", b"\r\n0;x=y\r\n", b"\r\n-0\r\n", b"\r\n0x0\r\n", b"\r\n0\n", b"\r\n\r\n", b"0\r\n", b"\r\n0\r\nX: y\r\n"]),
    (b"\r\n5\r\n", [b"\r\n05\r\n", b"\r\n5 \r\n", b"\r\n 5\r\n", b"\r\n5;a\r\n", b"\r\n+5\r\n", b"\r\n0x5\r\n", b"\r\n4\r\n", b"\r\n6\r\n",
                    b"\r\nFFFFFFFFFFFFFFFF5\r\n", b"\r\n5\n", b"\r\n5\r", b"\r\n\r\n"]),
    (b"chunked", [b"chunked ", b" chunked", b"chunke", b"CHUNKED", b"chunked;x", b"chunked,", b",chunked", b"chun ked", b"chunked\0"]),
    (b"Host: a", [b"Host:a", b"host: a", b"Host: a:80", b"Host: a:", b"Host: A", b"Host: a@b", b"Host: a/b", b"Host: [::1]", b"Host: a,b", b"Hos: a"]),
    (b"Content-Length: ", [b"Content-Length:", b"Content-Length:\t", b"Content-Length: 0", b"Content-Length: 1", b"Content-Length: -", b"Content-Length;"]),
]


def mutate(chance):
    stream = bytearray(chance.choice(SEEDS))
    if chance.random() < 0.3:
        stream += chance.choice(SEEDS)
    for _ in range(chance.choice([1, 1, 1, 2, 3])):
        how = chance.randrange(6)
        at = chance.randrange(len(stream) + 1)
        if how == 0:
            stream[at:at] = chance.choice(BYTES)
        elif how == 1 and at < len(stream):
            stream[at] = chance.randrange(256)
        elif how == 2 and at < len(stream):
            del stream[at:at + chance.choice([1, 1, 2, 3])]
        elif how == 3:
            ends = [i + 2 for i in range(len(stream)) if stream.startswith(b"\r\n", i)]
            if ends:
                at = chance.choice(ends)
                stream[at:at] = chance.choice(LINES)
        else:
            word, others = chance.choice(WORDS)
            at = bytes(stream).find(word, at if bytes(stream).find(word, at) >= 0 else 0)
            if at >= 0:
                stream[at:at + len(word)] = chance.choice(others)
    return bytes(stream) + LAST


def digest(body):
    return hashlib.sha256(body).hexdigest()[:16]


def plain_target(target):
    """Without scheme and authority, and without an empty query: the event of format 2.0 does not tell `/?` from `/`."""
    if not target.startswith("/") and "://" in target:
        target = "/" + target.split("://", 1)[1].partition("/")[2] if "/" in target.split("://", 1)[1] else "/"
    return target.rstrip("?") if target.count("?") == 1 and target.endswith("?") else target


# -- what each of the three made of a stream: the messages it accepted, in order, and whether it then refused ------------------


def echo_headers(method, target, body):
    echo = json.dumps([method, target, digest(body)])
    return {"X-Echo": base64.b64encode(echo.encode()).decode()}


def read_answers(received):
    """(messages, refused) from the bytes that a server sent: 2xx answers carry what was understood; the first other one refuses."""
    messages, at = [], 0
    while (end := received.find(b"\r\n\r\n", at)) >= 0:
        lines = received[at:end].decode("latin-1").split("\r\n")
        status = int(lines[0].split(" ")[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        at = end + 4
        if status == 100:
            continue
        if status != 200:
            # 404: accepted, but nobody lives at that host or path: what was understood does not show.
            if status == 404 or (status == 400 and b"fault:bad-target" in received[at:]):
                messages.append(None)
                if not received.startswith(b"HTTP/1.", at):  # it does after a HEAD
                    at += int(headers.get("content-length", 0))
                continue
            return messages, True
        method, target, body = json.loads(base64.b64decode(headers["x-echo"]))
        messages.append((method, plain_target(target), body))
        if method != "HEAD":
            at += int(headers.get("content-length", 0))
    return messages, False


async def send(address, stream):
    """Everything that comes back until the server closes or is silent."""
    reader, writer = await asyncio.open_connection(*address)
    received = bytearray()
    try:
        writer.write(stream)
        while True:
            piece = await asyncio.wait_for(reader.read(65536), QUIET_SECONDS)
            if not piece:
                break
            received += piece
    except (TimeoutError, asyncio.TimeoutError, ConnectionError):
        pass
    writer.close()
    return bytes(received)


async def send_all(address, streams):
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(stream):
        async with gate:
            return read_answers(await send(address, stream))

    return await asyncio.gather(*(one(stream) for stream in streams))


def ask_h11(stream):
    connection, messages = h11.Connection(h11.SERVER), []
    try:
        connection.receive_data(stream)
        connection.receive_data(b"")
        while True:
            event = connection.next_event()
            if isinstance(event, h11.Request):
                method, target, body = event.method.decode("latin-1"), event.target.decode("latin-1"), bytearray()
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                messages.append((method, plain_target(target), digest(bytes(body))))
                status = 405 if method == "CONNECT" else 200  # a 200 would make a tunnel of it
                connection.send(h11.Response(status_code=status, headers=[("Content-Length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is not h11.DONE:
                    return messages, False  # the connection ends here
                connection.start_next_cycle()
            else:
                return messages, False
    except h11.RemoteProtocolError:
        return messages, True


# -- the servers ----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def aws():
    def echo(call):
        event = call.event
        body = event.get("body") or ""
        body = base64.b64decode(body) if event["isBase64Encoded"] else body.encode()
        target = event["rawPath"] + ("?" + event["rawQueryString"] if event["rawQueryString"] else "")
        call.reply({"statusCode": 200, "headers": echo_headers(event["requestContext"]["http"]["method"], target, body), "body": ""})

    with FakeLambda() as made:
        made.script["a"] = echo
        yield made


@pytest.fixture(scope="module")
def proxyd(aws):
    # No limits on one address: all streams come from here.
    with Proxy(aws, domains=DOMAINS, routes=[app("a")], options={"PROXYD_WORKERS": "1"}) as made:
        yield made


class Upstream:
    """What nginx passes on, as it understood it."""

    def __init__(self):
        self.server = harness.RawServer(self._serve)
        self.port = self.server.port

    @staticmethod
    def _serve(peer, _number):
        stream = peer.makefile("rb")
        method, target, _ = stream.readline().decode("latin-1").split(" ", 2)
        length = 0
        while (line := stream.readline().decode("latin-1").strip()):
            name, _, value = line.partition(":")
            length = int(value) if name.lower() == "content-length" else length
        headers = echo_headers(method, target, stream.read(length))
        head = ["HTTP/1.1 200 OK", "Content-Length: 0", "Connection: close"] + [f"{name}: {value}" for name, value in headers.items()]
        peer.sendall("\r\n".join(head).encode() + b"\r\n\r\n")


@pytest.fixture(scope="module")
def nginx():
    upstream = Upstream()
    with upstream.server, Nginx(f"location / {{ proxy_pass http://127.0.0.1:{upstream.port}; }}",
                                http="merge_slashes off; lingering_timeout 1s;") as made:
        yield "127.0.0.1", made.port


# -- the comparison ---------------------------------------------------------------------------------------------------------------


def compare(stream, ours, nginx_says, h11_says):
    """Sentences about what is wrong; nothing when all is well."""
    faults = []
    for number, message in enumerate(ours[0]):
        theirs = [said[0][number] for said in (nginx_says, h11_says) if number < len(said[0])]
        if not theirs:
            faults.append(f"message {number + 1}, {message}, is accepted here only")
        if len(theirs) == 2 and message is not None:
            faults += [f"message {number + 1} is {message} here and {other} there" for other in theirs if other not in (None, message)]
    if not ours[1] and not nginx_says[1] and not h11_says[1] and not len(ours[0]) == len(nginx_says[0]) == len(h11_says[0]):
        faults.append(f"{len(ours[0])} messages here, {len(nginx_says[0])} in nginx, {len(h11_says[0])} in h11")
    return [f"{fault}\n    {stream!r}\n    here {ours}\n    nginx {nginx_says}\n    h11 {h11_says}" for fault in faults]


def test_mutated_streams_mean_the_same_here_as_to_nginx_and_h11(proxyd, nginx):
    chance = random.Random(int(os.environ.get("SEED", "20261123")))
    streams = [mutate(chance) for _ in range(STREAMS)] + [seed + LAST for seed in SEEDS]
    ours = asyncio.run(send_all(harness.split_address(proxyd.listen), streams))
    theirs = asyncio.run(send_all(nginx, streams))
    faults, all_accept, we_refuse = [], 0, 0
    for stream, mine, nginx_says in zip(streams, ours, theirs):
        h11_says = ask_h11(stream)
        faults += compare(stream, mine, nginx_says, h11_says)
        all_accept += not mine[1] and not nginx_says[1] and not h11_says[1]
        we_refuse += mine[1]
    print(f"{len(streams)} streams: {all_accept} accepted by all, {we_refuse} refused here, "
          f"{sum(said[1] for said in theirs)} by nginx; {len(faults)} differences")
    assert not faults, f"{len(faults)} differences\n" + "\n".join(faults[:20])
    assert all_accept > STREAMS / 20 and we_refuse > STREAMS / 5, "the mutations must try both"
    for seed, mine in zip(SEEDS, ours[STREAMS:]):
        assert not mine[1] and None not in mine[0], f"lawful: {seed!r} {mine}"
