"""Switching versions under load: no request fails, and no request sent after the API's answer sees the old state."""
import http.client
import threading
import time

import pytest

from harness import make_zip, request, send

RATE = 200  # requests a second, sent when they are due, whether or not earlier ones were answered


def package(text):
    return make_zip({"index.js": f"exports.handler = async () => ({{statusCode: 200, body: '{text}'}});"})


class OpenLoop:
    """Sends RATE requests a second from a set of threads: each takes the next due time, so a slow answer delays nobody else."""

    def __init__(self, port, host, keep_alive, senders=40):
        self.port, self.host, self.keep_alive = port, host, keep_alive
        self.lock = threading.Lock()
        self.next_due = time.monotonic()
        self.stopped = False
        self.failures, self.answers = [], {}
        self.worst_lag = 0.0
        self.threads = [threading.Thread(target=self._send, daemon=True) for _ in range(senders)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *ignored):
        self.stopped = True
        for thread in self.threads:
            thread.join(30)

    def _send(self):
        connection = None
        while not self.stopped:
            with self.lock:
                due = self.next_due
                self.next_due += 1 / RATE
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                if connection is None or not self.keep_alive:
                    if connection is not None:
                        connection.close()
                    connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
                answer = send(connection, "GET", "/", host=self.host)
                with self.lock:
                    self.worst_lag = max(self.worst_lag, time.monotonic() - due)
                    self.answers[answer.text] = self.answers.get(answer.text, 0) + 1
                    if answer.status != 200:
                        self.failures.append(repr(answer))
            except Exception as problem:  # every failure counts: no retries here
                with self.lock:
                    self.failures.append(repr(problem))
                connection = None
        if connection is not None:
            connection.close()


@pytest.mark.threads
@pytest.mark.parametrize("keep_alive", [True, False], ids=["kept-alive connections", "fresh connections"])
def test_redeploying_under_open_loop_load_fails_no_request(stack, keep_alive):
    stack.deploy("busy", package("v0"))
    with OpenLoop(stack.proxyd.address[1], "busy.localhost", keep_alive) as load:
        time.sleep(1)
        for n in range(1, 6):
            stack.deploy("busy", package(f"v{n}"))
            time.sleep(0.5)
    sent = sum(load.answers.values())
    assert load.failures == [], f"{len(load.failures)} of {sent} failed: {load.failures[:3]}"
    assert set(load.answers) == {f"v{n}" for n in range(6)}, load.answers
    assert sent > 3 * RATE


def test_in_a_thousand_flips_no_request_after_the_answer_sees_the_old_state(stack):
    stack.deploy("flip", package("v1"))
    stack.deploy("flip", package("v2"))
    port = stack.proxyd.address[1]
    kept = http.client.HTTPConnection("127.0.0.1", port, timeout=15)
    api = http.client.HTTPConnection(*stack.managerd.address, timeout=15)

    def act(path, body=None, method="POST"):
        answer = send(api, method, f"/v1/apps/flip/{path}", body=body,
                      headers={"Content-Type": "application/json"} if body else None)
        assert answer.status == 200, answer

    def seen(fresh):
        answer = request(f"http://127.0.0.1:{port}/", host="flip.localhost") if fresh else send(kept, "GET", "/", host="flip.localhost")
        return answer.text if answer.status == 200 else answer.status

    flips = 0
    while flips < 1000:
        for path, body, expected in (("deactivate", None, 404), ("activate", None, "v2"),
                                     ("rollback", '{"version":1}', "v1"), ("rollback", '{"version":2}', "v2")):
            act(path, body)
            flips += 1
            assert seen(fresh=flips % 2 == 0) == expected, f"flip {flips}: {path}"
    kept.close()
    api.close()
