"""What the measurements share: the standard request, a fast Lambda, and proxyd over it.

The standard request has ten headers as browsers send them and, for POST, 1 KB of JSON; the function's answer has three
headers and 0.8 KB of JSON in an escaped string (docs/performance.md).
"""
import json
import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "blackbox"))
os.environ.setdefault("BUILD_DIR", "build/bench")

import harness  # noqa: E402
from fake_lambda import app, publish, version  # noqa: E402

HEADERS = [
    ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0"),
    ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    ("Accept-Language", "en-GB,en;q=0.7,de;q=0.3"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Cookie", "session=6f1ed002ab5595859014ebf0951522d9; theme=dark; lang=en"),
    ("Referer", "https://hello.example.com/orders?page=2"),
    ("Origin", "https://hello.example.com"),
    ("X-Forwarded-For", "203.0.113.7"),
    ("Cache-Control", "no-cache"),
]
BODY = json.dumps({"order": 4711, "note": "x" * 60, "items": [{"sku": f"A-{n:04}", "count": n, "price": "12.50"}
                                                             for n in range(20)]}).encode()[:1024].ljust(1024)
REPLY_BODY = json.dumps({"ok": True, "items": [{"sku": f"A-{n:04}", "state": "shipped"} for n in range(20)]})[:800]
PAYLOAD = json.dumps({"statusCode": 200, "headers": {"content-type": "application/json", "cache-control": "no-store",
                                                     "x-powered-by": "orders"},
                      "body": REPLY_BODY, "isBase64Encoded": False}).encode()


def settle_build():
    """Builds what is measured, as it is installed (-O2), with the tools beside it."""
    if os.environ["BUILD_DIR"] != "build/bench":
        return
    for command in (["cmake", "--preset", "release", "-B", "build/bench", "-DBUILD_TESTING=ON"],
                    ["cmake", "--build", "build/bench", "--target", "proxyd", "route_tool", "fast_lambda", "load"]):
        subprocess.run(command, cwd=harness.TOP, check=True, stdout=subprocess.DEVNULL)


class FastLambda:
    """fast_lambda as a process; what harness.Proxyd wants to know of an AWS."""

    def __init__(self, payload=PAYLOAD, delay_ms=0, streams=False):
        self.directory = harness.scratch("fast_lambda.")
        (self.directory / "payload").write_bytes(payload)
        program = Path(os.environ.get("FAST_LAMBDA", harness.build_dir() / "bin/bench/fast_lambda"))
        # Pinned beside the load, where there are two processors: the server that is measured has one of its own.
        pinned = ["taskset", "-c", "1"] if (os.cpu_count() or 1) > 1 else []
        self.process = subprocess.Popen([*pinned, str(program), str(self.directory / "payload"), str(delay_ms), *["stream"] * streams],
                                        stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())

    def aws_variables(self):
        return {"AWS_ENDPOINT_URL_LAMBDA": f"http://127.0.0.1:{self.port}", "AWS_REGION": "us-east-1",
                "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "secret"}

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.process.kill()
        self.process.wait()


def proxy(aws, payload_format="2.0", apps=1, options=None, wrapper=()):
    """proxyd with one worker over `apps` apps named hello, app1, app2, …; not started."""
    settings = {"PROXYD_WORKERS": 1, "PROXYD_APP_MAX_IN_FLIGHT": 100000, "PROXYD_MAX_CONNECTIONS_PER_ADDRESS": 0,
                **(options or {})}
    daemon = harness.Proxyd(aws=aws.aws_variables(), options=settings, wrapper=wrapper)
    form = {"1.0": 1, "2.0": 2}[payload_format]
    names = ["hello"] + [f"app{n}" for n in range(1, apps)]
    for start in range(0, len(names), 1000):
        publish(daemon.data, routes=[app(name, [version("hello", payload_format=form, timeout_s=30)])
                                     for name in names[start:start + 1000]])
    return daemon


def request_bytes(method, host="hello.localhost", target="/orders?page=2&sort=date", body=None):
    """One request as it goes over the wire."""
    body = (BODY if method == "POST" else b"") if body is None else body
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in HEADERS)]
    if body:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def answer_of(stream):
    """Reads one answer from a socket's file; gives status and the length of its body."""
    status = int(stream.readline().split()[1])
    length = 0
    while (line := stream.readline()) != b"\r\n":
        found = re.match(rb"content-length: *(\d+)", line, re.I)
        length = int(found[1]) if found else length
    assert len(stream.read(length)) == length
    return status, length
