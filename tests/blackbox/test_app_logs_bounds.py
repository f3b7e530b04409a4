"""Readers of logs that leave, that take nothing, or that get more than can be remembered; a test plays CloudWatch."""
import json
import threading
import time

from cloud_logs import Cloud, event, now_ms
from harness import wait_for
from log_readers import Reader, assert_no_reader, figure, logs


def test_more_lines_than_can_be_remembered_are_told_once_all_the_same():
    start, shown = now_ms() - 3000, []

    def play(body, number):
        first = int(body.get("nextToken", 0))
        found = [each for each in shown if each["timestamp"] >= body["startTime"]]
        return found[first:first + 1000], str(first + 1000) if len(found) > first + 1000 else None

    shown += [event(number, start + number // 10) for number in range(10000)]
    with Cloud(play) as cloud, Reader(cloud.daemon) as reader:
        reader.wait("line 9999")
        shown.append(event(10000, start + 2500))
        reader.wait("line 10000")
        numbers = [json.loads(line)["message"] for line in reader.text.split("\r\n") if line.startswith("{")]
        assert len(numbers) == len(set(numbers)) == 10001


def test_whoever_leaves_while_cloudwatch_is_asked_leaves_nothing_behind():
    gate = threading.Event()

    def play(body, number):
        gate.wait(20)
        return [event(number)]

    with Cloud(play) as cloud:
        for _ in range(5):
            with Reader(cloud.daemon):
                wait_for(lambda: figure(cloud.daemon, "managerd_log_readers") == 1, 20, "it reads")
            assert_no_reader(cloud.daemon)
        gate.set()
        assert logs(cloud.daemon).text


def test_readers_that_take_nothing_hold_little_and_hinder_nobody():
    text = "x" * 1000

    def play(body, number):
        first = int(body.get("nextToken", 0))
        return [event(first + n, message=text) for n in range(1000)], str(first + 1000)  # without end

    with Cloud(play) as cloud:
        before = anonymous(cloud.daemon)
        readers = [Reader(cloud.daemon, query="follow=true", receive=4096) for _ in range(4)]
        try:
            # Each takes what its socket holds, and then no further page is asked for.
            pages = -1
            while pages != (pages := len(cloud.bodies)):
                time.sleep(1)
            assert len(cloud.bodies) <= 4 * 8, len(cloud.bodies)
            assert (anonymous(cloud.daemon) - before) < 80 << 20
            assert cloud.daemon.request("GET", "/v1/apps").status == 200
            # One who reads on gets on.
            wait_for(lambda: readers[0].hears("") and len(cloud.bodies) > pages + 1, 30, "further pages are asked for", pause=0)
        finally:
            for reader in readers:
                reader.peer.close()
        assert_no_reader(cloud.daemon)


def anonymous(daemon):
    with open(f"/proc/{daemon.daemon_pid()}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("RssAnon")) * 1024
