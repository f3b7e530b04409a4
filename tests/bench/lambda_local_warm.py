"""What a warm invocation costs in lambda-local: raw requests, signed once, against a function that does nothing.

    BUILD_DIR=build/release /usr/bin/python3 tests/bench/lambda_local_warm.py
"""
import os
import socket
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "blackbox"))
os.environ.setdefault("BUILD_DIR", "build/release")

from harness import LambdaLocal  # noqa: E402
from lambda_functions import NODE, PYTHON, client_of, create  # noqa: E402

EVENT = b'{"version":"2.0","rawPath":"/"}'
FUNCTIONS = [("node", NODE, "exports.handler = async () => ({statusCode: 200, body: 'hi'})"),
             ("python", PYTHON, "def handler(event, context):\n    return {'statusCode': 200, 'body': 'hi'}")]


def signed_request(server, name):
    from botocore.auth import SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials
    path = f"/2015-03-31/functions/{name}/invocations"
    request = AWSRequest("POST", server.url + path, data=EVENT, headers={"Content-Type": "application/json"})
    SigV4Auth(Credentials("local", "local"), "lambda", "us-east-1").add_auth(request)
    fields = "".join(f"{key}: {value}\r\n" for key, value in request.headers.items())
    return (f"POST {path} HTTP/1.1\r\nHost: {server.listen}\r\nContent-Length: {len(EVENT)}\r\n{fields}\r\n").encode() + EVENT


def calls(server, request, count, durations):
    with socket.create_connection(server.address) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for _ in range(count):
            started = time.perf_counter()
            peer.sendall(request)
            answer = peer.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"}"), answer
            durations.append(time.perf_counter() - started)


def measure(server, name, connections, count=2000):
    request, durations = signed_request(server, name), []
    calls(server, request, 300, [])
    threads = [threading.Thread(target=calls, args=(server, request, count // connections, durations))
               for _ in range(connections)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - started
    durations.sort()
    median, slow = durations[len(durations) // 2], durations[len(durations) * 99 // 100]
    print(f"{name:7} {connections:3} connections: {len(durations) / elapsed:6.0f}/s, median {median * 1e6:6.0f} us, "
          f"99th {slow * 1e6:6.0f} us")
    return median


def main():
    with LambdaLocal() as server:
        medians = []
        for name, runtime, code in FUNCTIONS:
            create(client_of(server), name, code, runtime=runtime)
            medians += [measure(server, name, connections) for connections in (1, 4, 16)][:1]
    return 0 if max(medians) < 0.001 else "a warm invocation takes more than a millisecond"


if __name__ == "__main__":
    sys.exit(main())
