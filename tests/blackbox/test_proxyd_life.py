"""proxyd's own life: configuration, readiness, signals, drain, workers, a store that comes and goes."""
import http.client
import os
import shutil
import signal
import subprocess
import threading
import time

import pytest

import harness
from fake_lambda import FakeLambda, Proxy, app, pause, publish, wait_idle


@pytest.fixture(scope="module")
def aws():
    with FakeLambda() as made:
        yield made


@pytest.fixture(autouse=True)
def no_scripts(aws):
    aws.script.clear()
    aws.calls.clear()


def run(arguments, variables):
    directory = harness.scratch("proxyd.")
    return subprocess.run([str(harness.binary("proxyd")), *arguments], env={**harness.clean_environment(directory), **variables},
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30, stdin=subprocess.DEVNULL, text=True)


def test_help_version_and_check(aws):
    assert "PROXYD_BASE_DOMAIN" in run(["--help"], {}).stdout
    assert run(["--version"], {}).stdout.strip().endswith("0.1.0")
    done = run(["--check"], aws.aws_variables())
    assert (done.returncode, done.stderr) == (0, ""), done


@pytest.mark.parametrize("arguments, variables, words", [
    (["--workers", "many"], {}, "workers"),
    (["--listen", "nowhere"], {}, "listen"),
    (["--no-such-option"], {}, "no-such-option"),
    ([], {"PROXYD_MAX_BODY": "1X"}, "PROXYD_MAX_BODY"),
    ([], {"PROXYD_LOG_LEVEL": "loud"}, "log-level"),
    ([], {"PROXYD_PATH_ROUTING": "perhaps"}, "path-routing"),
    ([], {"AWS_REGION": ""}, "AWS_REGION"),
    ([], {"AWS_SECRET_ACCESS_KEY": ""}, "AWS_SECRET_ACCESS_KEY"),
    ([], {"AWS_ENDPOINT_URL_LAMBDA": "not a url"}, "AWS_ENDPOINT_URL_LAMBDA"),
])
def test_wrong_configuration_is_one_sentence_and_2(aws, arguments, variables, words):
    done = run(["--check", *arguments], {**aws.aws_variables(), **variables})
    assert done.returncode == 2, done
    assert words in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_an_address_in_use_is_one_sentence_and_1(aws):
    with harness.RawServer(lambda peer, number: None) as other:
        done = run([], {**aws.aws_variables(), "PROXYD_LISTEN": f"127.0.0.1:{other.port}", "PROXYD_ADMIN_LISTEN": "127.0.0.1:0"})
    assert done.returncode == 1
    assert str(other.port) in done.stderr


def test_it_waits_for_routes_and_says_so(aws):
    with harness.Proxyd(aws=aws.aws_variables()) as proxyd:
        assert harness.request(proxyd.admin_url + "/healthz").status == 200
        answer = harness.request(proxyd.admin_url + "/readyz")
        assert (answer.status, answer.json()["status"]) == (503, "not-ready")
        answer = proxyd.app("hello")
        assert answer.status == 503 and answer.json()["type"].endswith(":no-routes")
        assert answer.header("X-Orchestrator-Invocation") == "not-started"
        publish(proxyd.data, routes=[app("hello")])
        proxyd.wait_ready(seconds=3)
        harness.wait_for(lambda: proxyd.app("hello").status == 200, 3, "all workers have the routes")


def test_the_admin_address_serves_its_pages_only(aws):
    with Proxy(aws, routes=[app("hello")]) as proxyd:
        assert harness.request(proxyd.admin_url + "/").status == 404
        assert harness.request(proxyd.admin_url + "/metrics", "POST").status == 405
        assert harness.request(proxyd.admin_url + "/healthz", "HEAD").status == 200
        assert harness.request(proxyd.url + "/metrics", host="hello.localhost").json()["rawPath"] == "/metrics"


@pytest.mark.threads
def test_a_store_that_is_replaced_is_followed(aws):
    with Proxy(aws, routes=[app("first")]) as proxyd:
        assert proxyd.app("first").status == 200
        os.rename(proxyd.data / "routes", proxyd.data / "gone")
        pause(0.6)
        assert proxyd.app("first").status == 200  # losing the store takes no app down
        proxyd.publish(routes=[app("second")])
        harness.wait_for(lambda: proxyd.app("second").status == 200, 5, "the new store is in force")
        pause(0.6)
        for _ in range(10):
            assert (proxyd.app("second").status, proxyd.app("first").status) == (200, 404)
        shutil.rmtree(proxyd.data / "gone")


@pytest.mark.threads
@pytest.mark.parametrize("workers", [1, 2, 5])
def test_workers_share_one_port(aws, workers):
    with Proxy(aws, routes=[app("hello")], options={"PROXYD_WORKERS": str(workers)}) as proxyd:
        assert proxyd.ready_line["workers"] == workers
        threads = len(os.listdir(f"/proc/{proxyd.daemon_pid()}/task"))
        assert threads >= workers + 2
        assert [proxyd.app("hello").status for _ in range(40)] == [200] * 40
        assert proxyd.figure("proxyd_workers") == workers
        assert proxyd.figure('proxyd_requests_total{status="2xx"}') == 40


@pytest.mark.threads
@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
def test_drain_under_load_fails_no_request(aws, sig):
    aws.script["hello"] = lambda call: (pause(0.05), call.reply({"statusCode": 200, "body": "ok"}))[1]
    with Proxy(aws, routes=[app("hello")]) as proxyd:
        results, stop = [], threading.Event()
        host, port = proxyd.address

        def client(keep):
            connection = None
            while not stop.is_set():
                try:
                    if connection is None:
                        connection = http.client.HTTPConnection(host, port, timeout=10)
                        connection.connect()
                except OSError:
                    results.append("refused")
                    return
                try:
                    response = harness.send(connection, "GET", "/", host="hello.localhost")
                    results.append(response.status)
                    if not keep or response.header("Connection", "").lower() == "close":
                        connection.close()
                        connection = None
                except (OSError, http.client.HTTPException) as problem:
                    results.append(repr(problem))
                    return

        threads = [threading.Thread(target=client, args=(False,)) for n in range(8)]
        for thread in threads:
            thread.start()
        harness.wait_for(lambda: results.count(200) > 60, 20, "the load runs")
        proxyd.signal(sig)
        proxyd.wait(0)
        stop.set()
        for thread in threads:
            thread.join()
        assert set(results) <= {200, "refused"}, set(results)
        assert results.count("refused") == len(threads)


def test_what_is_in_flight_ends_well_on_sigterm(aws):
    release = threading.Event()
    aws.script["hello"] = lambda call: (release.wait(20), call.reply({"statusCode": 200, "body": "made it"}))[1]
    with Proxy(aws, routes=[app("hello")]) as proxyd:
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(proxyd.app("hello"))) for _ in range(10)]
        for thread in threads:
            thread.start()
        harness.wait_for(lambda: aws.count("hello") == 10, 10, "all are in flight")
        proxyd.signal(signal.SIGTERM)
        harness.wait_for(lambda: harness.request(proxyd.admin_url + "/readyz").status == 503, 5, "it is not ready any more")
        assert harness.request(proxyd.admin_url + "/healthz").status == 200
        assert proxyd.running
        release.set()
        for thread in threads:
            thread.join()
        proxyd.wait(0)
        assert [(answer.status, answer.text) for answer in answers] == [(200, "made it")] * 10
        assert {answer.header("Connection", "").lower() for answer in answers} == {"close"}


def test_the_drain_delay_keeps_serving_while_not_ready(aws):
    with Proxy(aws, routes=[app("hello")], options={"PROXYD_DRAIN_DELAY": "1s"}) as proxyd:
        proxyd.signal(signal.SIGTERM)
        harness.wait_for(lambda: harness.request(proxyd.admin_url + "/readyz").status == 503, 5, "it is not ready any more")
        response = proxyd.app("hello")
        assert (response.status, response.header("Connection")) == (200, "close")
        proxyd.wait(0)


def test_kept_alive_clients_lose_no_request_when_the_drain_has_a_delay(aws):
    with Proxy(aws, routes=[app("hello")], options={"PROXYD_DRAIN_DELAY": "500ms"}) as proxyd:
        results = []

        def client():
            connection = http.client.HTTPConnection(*proxyd.address, timeout=10)
            while True:
                response = harness.send(connection, "GET", "/", host="hello.localhost")
                results.append(response.status)
                if response.header("Connection", "").lower() == "close":
                    connection.close()
                    return

        threads = [threading.Thread(target=client) for _ in range(12)]
        for thread in threads:
            thread.start()
        harness.wait_for(lambda: len(results) > 200, 20, "the load runs")
        proxyd.signal(signal.SIGTERM)
        for thread in threads:
            thread.join(10)
        assert not any(thread.is_alive() for thread in threads)
        assert set(results) == {200}
        proxyd.wait(0)


def test_a_drain_is_bounded(aws):
    aws.script["hello"] = lambda call: (pause(8), False)[1]
    with Proxy(aws, routes=[app("hello", deadline_ms=60000)], options={"PROXYD_DRAIN_TIMEOUT": "300ms"}) as proxyd:
        thread = threading.Thread(target=harness.raw, args=(proxyd.listen, b"GET / HTTP/1.1\r\nHost: hello.localhost\r\n\r\n"))
        thread.start()
        harness.wait_for(lambda: aws.count("hello") == 1, 10, "it is in flight")
        started = time.monotonic()
        proxyd.signal(signal.SIGTERM)
        proxyd.wait(0)
        assert time.monotonic() - started < 5
        thread.join()
        assert proxyd.events("drain-cut")
        line = proxyd.access_lines()[-1]
        assert (line["status"], line["fault"], line["invocation"], line["app"]) == (503, "stopped", "unknown", "hello")


def test_a_second_signal_ends_it_at_once(aws):
    aws.script["hello"] = lambda call: (pause(8), False)[1]
    # Ending at once leaves threads behind: that is the point.
    options = {"TSAN_OPTIONS": harness.clean_environment("/")["TSAN_OPTIONS"] + ":report_thread_leaks=0"}
    with Proxy(aws, routes=[app("hello", deadline_ms=60000)], options=options) as proxyd:
        thread = threading.Thread(target=harness.raw, args=(proxyd.listen, b"GET / HTTP/1.1\r\nHost: hello.localhost\r\n\r\n"))
        thread.start()
        harness.wait_for(lambda: aws.count("hello") == 1, 10, "it is in flight")
        proxyd.signal(signal.SIGTERM)
        proxyd.wait_for_event("draining")
        proxyd.signal(signal.SIGTERM)
        proxyd.wait(1, seconds=5)
        thread.join()


def test_sighup_changes_nothing_for_clients(aws):
    with Proxy(aws, routes=[app("hello")]) as proxyd:
        for _ in range(5):
            proxyd.signal(signal.SIGHUP)
            assert proxyd.app("hello").status == 200
        proxyd.wait_for_event("reload")


def reader_slots(folder):
    """Slots in use in LMDB's lock file: its reader table has 64 bytes a slot, the PID at offset 8 of each in use."""
    table = (folder / "lock.mdb").read_bytes()
    pids = [int.from_bytes(table[at + 8:at + 12], "little") for at in range(128, len(table) - 63, 64)]
    return sum(1 for pid in pids if pid)


def test_a_killed_proxy_starts_again_and_leaves_no_reader_behind(aws):
    with Proxy(aws, routes=[app("hello")]) as proxyd:
        counts = []
        for _ in range(8):
            assert proxyd.app("hello").status == 200
            counts.append(reader_slots(proxyd.data / "routes"))
            proxyd.kill9()
            proxyd.start()
        assert 0 < counts[0] < 20 and max(counts[1:]) <= counts[0], counts


def test_a_reader_that_stops_reading_the_log_stops_nobody(aws):
    """Standard output is a pipe that nobody empties: requests go on, lines are dropped and counted."""
    proxyd = Proxy(aws, routes=[app("hello")])
    read_end, write_end = os.pipe()
    proxyd.launch = lambda: launch_with_output(proxyd, write_end)
    try:
        with proxyd:
            path = "/" + "x" * 2000
            connection = http.client.HTTPConnection(*proxyd.address, timeout=20)
            for _ in range(3000):
                assert harness.send(connection, "GET", path, host="nobody.localhost").status == 404
            connection.close()
            assert proxyd.figure("proxyd_log_lines_dropped_total") > 0
    finally:
        os.close(read_end)
        os.close(write_end)


def launch_with_output(proxyd, output):
    proxyd.log_offset = 0
    with open(proxyd.log_path, "ab") as log:
        proxyd.process = subprocess.Popen([str(harness.binary("proxyd"))], stdin=subprocess.DEVNULL, stdout=output, stderr=log,
                                          env=proxyd.environment(), cwd=proxyd.directory, start_new_session=True)
    proxyd.starts += 1
    return proxyd


@pytest.mark.threads
def test_many_clients_on_several_workers(aws):
    with Proxy(aws, routes=[app("hello"), app("narrow", max_in_flight=2)], options={"PROXYD_WORKERS": "4"}) as proxyd:
        host, port = proxyd.address
        statuses = []

        def client(name):
            connection = http.client.HTTPConnection(host, port, timeout=20)
            for number in range(40):
                statuses.append(harness.send(connection, "POST", f"/{number}", b"x" * number, host=f"{name}.localhost").status)
            connection.close()

        threads = [threading.Thread(target=client, args=(name,)) for name in ["hello", "narrow", "nobody"] * 6]
        for thread in threads:
            thread.start()
        for round in range(20):
            proxyd.publish(settings=None, routes=[app(f"extra-{round}")])
            harness.request(proxyd.admin_url + "/metrics")
        proxyd.signal(signal.SIGHUP)
        for thread in threads:
            thread.join()
        assert set(statuses) <= {200, 404, 429}
        assert statuses.count(404) == 240 and statuses.count(200) >= 240
        wait_idle(proxyd)


def test_memory_stays_flat(aws):
    options = {"PROXYD_WORKERS": "1", "ASAN_OPTIONS": harness.clean_environment("/")["ASAN_OPTIONS"] + ":quarantine_size_mb=1"}

    def resident(pid):
        for line in open(f"/proc/{pid}/status"):
            if line.startswith("RssAnon"):
                return int(line.split()[1]) * 1024
        raise AssertionError("no RssAnon")

    with Proxy(aws, routes=[app("hello")], options=options) as proxyd:
        connection = http.client.HTTPConnection(*proxyd.address, timeout=20)
        for _ in range(100):
            harness.send(connection, "POST", "/", b"x" * 50000, host="hello.localhost")
        before = resident(proxyd.daemon_pid())
        for _ in range(1000):
            assert harness.send(connection, "POST", "/", b"x" * 50000, host="hello.localhost").status == 200
        connection.close()
        assert resident(proxyd.daemon_pid()) - before < 10 << 20


def test_the_ready_line_is_json_with_addresses(aws):
    with Proxy(aws, routes=[app("hello")], options={"PROXYD_LISTEN": "[::1]:0"}) as proxyd:
        assert proxyd.listen.startswith("[::1]:")
        assert set(proxyd.ready_line) >= {"time", "event", "listen", "admin"}
        connection = http.client.HTTPConnection("::1", int(proxyd.listen.rsplit(":", 1)[1]), timeout=10)
        assert harness.send(connection, "GET", "/", host="hello.localhost").json()["requestContext"]["http"]["sourceIp"] == "::1"
        connection.close()


def test_a_signal_at_the_very_end_changes_nothing(aws):
    """As a supervisor's, that stops a process which is ending by itself."""
    for _ in range(3):
        with Proxy(aws, routes=[app("hello")]) as proxyd:
            os.kill(proxyd.process.pid, signal.SIGTERM)
            harness.wait_for(lambda: proxyd.events("draining"), 10, "it drains", pause=0.001)
            while proxyd.running and not proxyd.events("stopped"):
                os.kill(proxyd.process.pid, signal.SIGHUP)
            proxyd.wait(0)
