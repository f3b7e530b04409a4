"""The whole: the example app deployed through the API and served through proxyd, restarts, and a long soak."""
import json
import os
import time
from pathlib import Path

import pytest

from harness import Proxyd, Stack, assert_lawful_metrics, make_zip, request, wait_for

FIVE = [
    ("GET", "/", None, 200, "success"),
    ("GET", "/notFound", None, 400, "bad request text"),
    ("GET", "/testProxyingWithQueryParams?text=x", None, 200, "x"),
    ("POST", "/testProxyingWithBody", '{"text":"x"}', 200, "x"),
    ("GET", "/anything/else", None, 404, "Not Found"),
]


def ask_the_five(proxyd, app="hello"):
    for method, path, body, status, text in FIVE:
        headers = {"Content-Type": "application/json"} if body else {}
        answer = proxyd.app(app, path, method, body=body, headers=headers)
        assert (answer.status, answer.text) == (status, text), f"{method} {path}: {answer}"


@pytest.mark.threads
@pytest.mark.parametrize("payload_format", ["2.0", "1.0"])
def test_the_example_gives_its_five_answers(stack, hello_zip, payload_format):
    operation = stack.deploy("hello", hello_zip, payloadFormat=payload_format)
    assert operation["state"] == "succeeded", operation
    ask_the_five(stack.proxyd)


def test_a_deployed_app_survives_a_restart_of_all_three(stack, hello_zip):
    stack.deploy("hello", hello_zip)
    for process in stack.all():
        process.kill9()
    for process in reversed(stack.all()):
        process.start()
    stack.managerd.wait_ready()
    stack.proxyd.wait_ready()
    ask_the_five(stack.proxyd)


def test_proxyd_may_start_first_and_serves_on_without_managerd(stack, hello_zip):
    stack.stop()
    stack.lambda_local.start()
    stack.proxyd.start()
    assert request(stack.proxyd.admin_url + "/healthz").status == 200
    stack.managerd.start()
    stack.proxyd.wait_ready()
    stack.deploy("hello", hello_zip)
    stack.managerd.stop()
    ask_the_five(stack.proxyd)
    assert request(stack.proxyd.admin_url + "/readyz").status == 200


def test_every_request_leaves_one_access_line(stack, hello_zip):
    stack.deploy("hello", hello_zip)
    ask_the_five(stack.proxyd)
    stack.proxyd.stop()
    lines = [line for line in stack.proxyd.access_lines() if line.get("app") == "hello"]
    assert [line["status"] for line in lines] == [status for _, _, _, status, _ in FIVE], lines


def test_the_figures_of_both_daemons_are_lawful(stack, hello_zip):
    stack.deploy("hello", hello_zip)
    ask_the_five(stack.proxyd)
    for daemon in (stack.proxyd, stack.managerd):
        assert_lawful_metrics(request(daemon.admin_url + "/metrics").text)


def test_two_proxies_share_one_port(stack, hello_zip):
    stack.deploy("hello", hello_zip)
    second = Proxyd(data=stack.data, aws=stack.lambda_local, options={"PROXYD_LISTEN": stack.proxyd.listen})
    with second:
        second.wait_ready()
        for _ in range(100):
            assert stack.app("hello").status == 200
        stack.proxyd.stop()
        ask_the_five(second)


def memory_kb(process):
    status = Path(f"/proc/{process.daemon_pid()}/status").read_text()
    return int(next(line.split()[1] for line in status.splitlines() if line.startswith("RssAnon")))


def descriptors(process):
    return len(os.listdir(f"/proc/{process.daemon_pid()}/fd"))


@pytest.mark.long
@pytest.mark.soak
def test_memory_and_descriptors_stay_flat_under_load_and_redeployments(hello_zip):
    # Sandboxes of versions that serve no more are ended soon, so that what grows is a leak.
    with Stack(lambda_local={"LAMBDA_LOCAL_IDLE_TIMEOUT": "1s"}) as stack:
        soak(stack, hello_zip, float(os.environ.get("SOAK_SECONDS", "300")))


def soak(stack, hello_zip, seconds):
    stack.deploy("hello", hello_zip)

    def a_while(until):
        count = 0
        while time.monotonic() < until:
            for _ in range(200):
                ask_the_five(stack.proxyd)
                count += 5
            for action in ("deactivate", "activate"):
                assert stack.managerd.request("POST", f"/v1/apps/hello/{action}").status == 200
            marker = json.dumps(count)
            stack.deploy("other", make_zip({"index.js": f"exports.handler = async () => ({{statusCode: 200, body: '{marker}'}})"}))
            assert wait_for(lambda: stack.app("other").text == marker)
        return count

    a_while(time.monotonic() + seconds / 3)
    before = {process.name: (memory_kb(process), descriptors(process)) for process in stack.all()}
    served = a_while(time.monotonic() + seconds * 2 / 3)
    after = {process.name: (memory_kb(process), descriptors(process)) for process in stack.all()}
    assert served > 0
    for name, (memory, files) in before.items():
        assert after[name][0] < memory * 1.25 + 4096, f"{name}: {memory} kB -> {after[name][0]} kB"
        assert after[name][1] < files + 20, f"{name}: {files} -> {after[name][1]} descriptors"
