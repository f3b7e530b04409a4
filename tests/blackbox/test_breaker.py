"""The circuit breaker of each version: it opens, answers at once, probes with one request, recovers; and is nobody else's."""
import concurrent.futures
import threading
import time

import pytest

import harness
import wire_faults
from fake_lambda import FakeLambda, Proxy, app, expect_fault, pause, version

OPTIONS = {"PROXYD_WORKERS": "4", "PROXYD_BREAKER_FAILURES": "6", "PROXYD_BREAKER_PAUSE": "300ms", "PROXYD_BREAKER_PAUSE_MOST": "600ms"}
STREAM = 1


@pytest.fixture
def aws():
    with FakeLambda() as made:
        yield made


def not_ready(call):
    call.service_error(502, "ENINotReadyException")


def fine(call):
    call.reply({"statusCode": 200, "body": "fine"})


def fine_stream(call):
    call.peer.sendall(wire_faults.sized(wire_faults.fine_frames()))


def open_breaker(proxyd, name):
    """Fails until the breaker answers; gives that response."""
    for _ in range(30):
        response = proxyd.app(name)
        if response.json()["type"].endswith(":breaker-open"):
            return response
    raise AssertionError("the breaker does not open")


def transitions(proxyd):
    return tuple(proxyd.figure(f'proxyd_breaker_transitions_total{{to="{to}"}}') for to in ("open", "half-open", "closed"))


@pytest.mark.threads
@pytest.mark.parametrize("mode", ["buffered", "stream"])
def test_a_version_that_cannot_be_started_is_left_alone_until_it_can(aws, mode):
    route = app("broken", [version("broken", response_mode=STREAM if mode == "stream" else 0)])
    with Proxy(aws, options=OPTIONS, routes=[route, app("sound")]) as proxyd:
        aws.script["broken"] = not_ready
        aws.script["sound"] = fine
        line = expect_fault(proxyd, open_breaker(proxyd, "broken"), "breaker-open", 503, "not-started", 1)
        assert (line["attempts"], line["detail"], line["version"]) == (0, "lambda-not-ready", 1)
        calls = aws.count("broken")
        assert calls == 6  # two requests, three attempts each
        for _ in range(60):
            assert proxyd.app("broken").status == 503
            assert proxyd.app("sound").status == 200
        refused = proxyd.figure('proxyd_faults_total{fault="breaker-open",invocation="not-started"}')
        assert refused > 30 and aws.count("broken") - calls == transitions(proxyd)[1]  # nothing but probes
        assert harness.request(proxyd.admin_url + "/readyz").status == 200
        assert proxyd.figure('proxyd_breakers{state="open"}') + proxyd.figure('proxyd_breakers{state="half-open"}') == 1
        aws.script["broken"] = fine_stream if mode == "stream" else fine
        assert harness.wait_for(lambda: proxyd.app("broken").status == 200, 10, "a probe recovers it")
        before = aws.count("broken")
        assert [proxyd.app("broken").status for _ in range(20)] == [200] * 20
        assert aws.count("broken") == before + 20
        assert transitions(proxyd)[0::2] == (1, 1)
        assert proxyd.figure('proxyd_breakers{state="open"}') == 0
        opened, closed = proxyd.events("breaker-opened"), proxyd.events("breaker-closed")
        assert [(e["app"], e["version"], e["reason"], e["level"]) for e in opened] == [("broken", 1, "lambda-not-ready", "warn")]
        assert [(e["app"], e["version"]) for e in closed] == [("broken", 1)]


def test_only_one_probe_is_under_way_whoever_asks(aws):
    with Proxy(aws, options=OPTIONS, routes=[app("broken")]) as proxyd:
        aws.script["broken"] = not_ready
        open_breaker(proxyd, "broken")
        release, begun = threading.Event(), []

        def slow_probe(call):
            begun.append(time.monotonic())
            release.wait(20)
            fine(call)
        aws.script["broken"] = slow_probe
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            def hammer():
                answers = []
                while not release.is_set():
                    answers.append(proxyd.app("broken", timeout=30).status)
                return answers
            clients = [pool.submit(hammer) for _ in range(8)]
            harness.wait_for(lambda: begun, 10, "a probe is under way")
            count = proxyd.figure('proxyd_faults_total{fault="breaker-open",invocation="not-started"}')
            harness.wait_for(lambda: proxyd.figure('proxyd_faults_total{fault="breaker-open",invocation="not-started"}') > count + 100, 20,
                             "a hundred more were answered at once")
            assert len(begun) == 1 and proxyd.figure('proxyd_breakers{state="half-open"}') == 1
            release.set()
            answers = sum((client.result() for client in clients), [])
        assert answers.count(200) >= 1 and set(answers) <= {200, 503}
        assert proxyd.app("broken").status == 200


def test_a_failed_probe_is_one_call_and_the_pause_grows(aws):
    with Proxy(aws, options=dict(OPTIONS, PROXYD_BREAKER_PAUSE="100ms", PROXYD_BREAKER_PAUSE_MOST="1600ms"), routes=[app("broken")]) as proxyd:
        aws.script["broken"] = not_ready
        open_breaker(proxyd, "broken")
        times = []
        aws.script["broken"] = lambda call: (times.append(time.monotonic()), not_ready(call))[1]
        while len(times) < 5:
            response = proxyd.app("broken")
            assert response.status == 503
            pause(0.01)
        gaps = [after - before for before, after in zip(times, times[1:])]
        assert gaps[0] >= 0.1 and gaps[-1] >= 0.75, gaps  # at least half of 200, 400, 800, 1600 ms
        probes = [line for line in proxyd.access_lines() if line["fault"] == "lambda-not-ready"][2:]
        assert all(line["attempts"] == 1 for line in probes)
        harness.wait_for(lambda: len(proxyd.events("breaker-opened")) == 1, 5, "it is logged")
        assert not proxyd.events("breaker-closed")


def test_what_does_not_say_that_it_cannot_start_never_opens_it(aws):
    answers = [lambda call: call.service_error(429, "TooManyRequestsException"), lambda call: call.service_error(403, "AccessDeniedException"),
               lambda call: call.function_error({"errorType": "Error"}), lambda call: call.service_error(500, "ServiceException"),
               lambda call: call.reply({"statusCode": "no"}), lambda call: False]
    with Proxy(aws, options=dict(OPTIONS, PROXYD_ATTEMPTS="1", PROXYD_BREAKER_FAILURES="2"), routes=[app("odd")]) as proxyd:
        for answer in answers:
            aws.script["odd"] = answer
            for _ in range(5):
                proxyd.app("odd")
        for number in range(30):  # one failure in two
            aws.script["odd"] = not_ready if number % 2 else fine
            proxyd.app("odd")
        assert aws.count("odd") == len(answers) * 5 + 30
        assert transitions(proxyd) == (0, 0, 0)


def test_dead_kept_connections_are_no_failures(aws):
    with Proxy(aws, options=dict(OPTIONS, PROXYD_BREAKER_FAILURES="1", PROXYD_WORKERS="1"), routes=[app("hello")]) as proxyd:
        for _ in range(15):
            assert proxyd.app("hello", "/", "POST", body=b"x").status == 200
            aws.close_idle()
        assert transitions(proxyd) == (0, 0, 0)


def test_a_new_version_starts_closed_and_a_rollback_meets_the_old_one(aws):
    old, new = version("broken", 1), version("broken", 2)
    with Proxy(aws, options=dict(OPTIONS, PROXYD_BREAKER_PAUSE="20s", PROXYD_BREAKER_PAUSE_MOST="20s"), routes=[app("broken", [old])]) as proxyd:
        aws.script["broken"] = lambda call: not_ready(call) if call.qualifier == "1" else fine(call)
        open_breaker(proxyd, "broken")
        proxyd.publish(routes=[app("broken", [dict(old, weight=0), dict(new, weight=10000)])])
        assert [proxyd.app("broken").status for _ in range(10)] == [200] * 10
        proxyd.publish(routes=[app("broken", [old])])
        expect_fault(proxyd, proxyd.app("broken"), "breaker-open", 503, "not-started", True)


def test_an_outage_of_everything_ends_for_all_at_once(aws):
    port = harness.free_port()
    names = [f"app-{number}" for number in range(8)]
    options = dict(OPTIONS, PROXYD_BREAKER_FAILURES="3", PROXYD_BREAKER_PAUSE="200ms", PROXYD_BREAKER_PAUSE_MOST="60s",
                   AWS_ENDPOINT_URL_LAMBDA=f"http://127.0.0.1:{port}")
    with Proxy(aws, options=options, routes=[app(name) for name in names]) as proxyd:
        for name in names:
            expect_fault(proxyd, open_breaker(proxyd, name), "breaker-open", 503, "not-started", True)
        harness.wait_for(lambda: [proxyd.app(name).status for name in names] and transitions(proxyd)[1] >= 24, 30,
                         "each has probed three times, so that the pause has grown to 1.6 s")
        harness.wait_for(lambda: len(proxyd.events("breaker-opened")) == len(names), 5, "they are logged")
        assert {event["reason"] for event in proxyd.events("breaker-opened")} == {"unreachable"}
        with harness.RawServer(aws._serve, port=port):
            harness.wait_for(lambda: proxyd.app(names[0]).status == 200, 10, "one of them recovers")
            started = time.monotonic()
            harness.wait_for(lambda: all([proxyd.app(name).status == 200 for name in names]), 10, "all recover")
            assert time.monotonic() - started < 2.5
        harness.wait_for(lambda: len(proxyd.events("breaker-closed")) == len(names), 5, "each is told")


def test_a_lambda_that_is_gone_for_a_while_costs_one_outage_and_no_restart():
    with harness.Stack(proxyd=OPTIONS) as stack:
        stack.deploy("hello", harness.example_zip())
        assert stack.app("hello").status == 200
        stack.lambda_local.stop()
        refused = open_breaker(stack.proxyd, "hello")
        assert refused.status == 503 and refused.header("X-Orchestrator-Invocation") == "not-started"
        assert harness.request(stack.proxyd.admin_url + "/readyz").status == 200
        stack.lambda_local.start()
        harness.wait_for(lambda: stack.app("hello", timeout=30).status == 200, 30, "the app answers again")
        harness.wait_for(lambda: len(stack.proxyd.events("breaker-opened")) == len(stack.proxyd.events("breaker-closed")) == 1, 5, "both are logged")


def test_breakers_can_be_turned_off(aws):
    with Proxy(aws, options=dict(OPTIONS, PROXYD_BREAKER_FAILURES="0", PROXYD_ATTEMPTS="1"), routes=[app("broken")]) as proxyd:
        aws.script["broken"] = not_ready
        for _ in range(40):
            assert proxyd.app("broken").status == 503
        assert aws.count("broken") == 40 and transitions(proxyd) == (0, 0, 0)
