"""Thousands of apps through the API: a quick client, many calls at once, and an installation that was used for a while."""
import base64
import json
import re
import socket
import threading
import time

from harness import make_zip

TEAMS = 50  # so many values has the label "team"
RARE = 100  # every so many apps have the label "rare"
ZIPS = [base64.b64encode(make_zip({"index.js": f"exports.handler = async () => ({{statusCode: 200, body: '{n}'}})"})).decode()
        for n in range(3)]


class Answer:
    def __init__(self, status, headers, body, seconds):
        self.status, self.headers, self.body, self.seconds = status, headers, body, seconds

    def json(self):
        return json.loads(self.body)

    def timing(self, name):
        """A figure of Server-Timing, in milliseconds."""
        return float(re.search(rf"{name};dur=([\d.]+)", self.headers["server-timing"])[1])


class Wire:
    """One kept-alive connection; no more work in the client than is needed, so that its own time is not measured."""

    def __init__(self, address, timeout=120):
        self.peer = socket.create_connection(address, timeout)
        self.peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.peer.makefile("rb", 1 << 16)

    def call(self, method, path, body=None, **headers):
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
        lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *(f"{k.replace('_', '-')}: {v}" for k, v in headers.items())]
        if body is not None:
            lines += [f"Content-Length: {len(body)}", "Content-Type: application/json"]
        message = "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")
        began = time.perf_counter()
        self.peer.sendall(message)
        status = int(self.stream.readline().split()[1])
        found = {}
        while (line := self.stream.readline()) != b"\r\n":
            name, _, value = line.decode().partition(":")
            found[name.lower()] = value.strip()
        content = self.stream.read(int(found.get("content-length", 0)))
        return Answer(status, found, content, time.perf_counter() - began)

    def close(self):
        self.stream.close()
        self.peer.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


def at_once(address, calls, connections=32):
    """Makes all calls, (method, path, body, headers), over so many connections; gives the answers, in order. Any that is
    no success fails."""
    calls = list(calls)
    answers, lock, todo, faults = [None] * len(calls), threading.Lock(), iter(range(len(calls))), []

    def work():
        try:
            with Wire(address) as wire:
                while True:
                    with lock:
                        index = next(todo, None)
                    if index is None or faults:
                        return
                    method, path, body, headers = calls[index]
                    answers[index] = wire.call(method, path, body, **headers)
                    if not 200 <= answers[index].status < 300:
                        faults.append(f"{method} {path}: {answers[index].status} {answers[index].body[:400]}")
        except (OSError, IndexError) as problem:
            faults.append(repr(problem))
    threads = [threading.Thread(target=work) for _ in range(min(connections, len(calls)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not faults, faults[0]
    return answers


def name_of(number):
    return f"app-{number:05}"


def host_of(number):
    return f"www{number:05}.example.org"


def settings(number):
    labels = {"team": f"team-{number % TEAMS}", "tier": "web"}
    if number % RARE == 0:
        labels["rare"] = "yes"
    return {"labels": labels, "probe": None, "description": "One of many apps, for what it takes to keep them."}


def deployment(number, version):
    return {"package": {"zip": ZIPS[version % len(ZIPS)]}, "runtime": "nodejs18.x", "handler": "index.handler",
            "environment": {"GREETING": "hello", "DATABASE_URL": f"postgres://db.example.org/{name_of(number)}"}}


def creations(numbers):
    return [("PUT", f"/v1/apps/{name_of(number)}", settings(number), {}) for number in numbers]


def deployments(numbers, version):
    return [("POST", f"/v1/apps/{name_of(number)}/deployments", deployment(number, version), {"Prefer": "wait=100"})
            for number in numbers]


def domains(numbers):
    return [("PUT", f"/v1/domains/{host_of(number)}", {"paths": [{"prefix": "/", "app": name_of(number)}]}, {})
            for number in numbers]
