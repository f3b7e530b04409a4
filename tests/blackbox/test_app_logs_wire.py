"""What managerd asks CloudWatch Logs, and what it makes of the answers; a test plays CloudWatch."""
import json
import time

from cloud_logs import SECRET, Cloud, event, now_ms, refusal
from harness import wait_for
from log_readers import Reader, figure, lines, logs
from sigv4_oracle import Reply


def assert_lawful(cloud):
    """Every call as botocore would have made and signed it."""
    from botocore.session import get_session
    from botocore.validate import ParamValidator
    operation = get_session().get_service_model("logs").operation_model("FilterLogEvents")
    cloud.server.expect_all_valid()
    for request in cloud.server.requests:
        report = ParamValidator().validate(json.loads(request.body), operation.input_shape)
        assert not report.has_errors(), report.generate_report()
        assert (request.method, request.target) == ("POST", "/")
        assert request.header("X-Amz-Target") == "Logs_20140328.FilterLogEvents"
        assert request.header("Content-Type") == "application/x-amz-json-1.1"


def test_pages_are_asked_for_in_turn_and_lines_at_their_borders_told_once():
    start = now_ms()

    def play(body, number):
        token = body.get("nextToken")
        assert body["logGroupName"] == "/aws/lambda/talker" and body["startTime"] >= start - 601_000
        if token is None:
            return [event(1, start), event(2, start)], "first"
        if token == "first":
            return [], "second"  # an empty page is not the last one
        assert token == "second"
        return [event(2, start), event(3, start + 1)]

    with Cloud(play) as cloud:
        told = lines(logs(cloud.daemon))
        assert [line["message"] for line in told] == ["line 1", "line 2", "line 3"]
        assert told[0] == {"time": told[0]["time"], "message": "line 1", "requestId": None, "version": None, "lambdaVersion": "7",
                           "stream": "2026/01/02/[7]0123", "id": f"{1:056d}"}
        assert len(cloud.bodies) == 3
        cloud.play = lambda body, number: []
        logs(cloud.daemon, since="2026-01-02T03:04:05.678Z", until="2026-01-02T03:04:06Z")
        assert (cloud.bodies[-1]["startTime"], cloud.bodies[-1]["endTime"]) == (1767323045678, 1767323046000)
        assert_lawful(cloud)


def test_going_on_behind_a_line_whose_millisecond_fills_pages_or_that_is_gone():
    start, shown = now_ms() - 5000, []

    def play(body, number):
        first = int(body.get("nextToken", 0))
        found = [each for each in shown if each["timestamp"] >= body["startTime"]]
        return found[first:first + 1000], str(first + 1000) if len(found) > first + 1000 else None

    def numbers(**query):
        return [int(line["message"].split()[1]) for line in lines(logs(cloud.daemon, limit=10000, **query))]

    shown += [event(number, start) for number in range(2500)] + [event(number, start + 1) for number in range(2500, 2600)]
    with Cloud(play) as cloud:
        for last in (0, 999, 1000, 2400, 2499):
            assert numbers(after=f"{start}-{last:056d}") == list(range(last + 1, 2600))
        assert numbers(after=f"{start + 1}-{2599:056d}") == []
        # Rather all of its millisecond than none.
        assert numbers(after=f"{start}-gone") == list(range(2600))
        assert numbers(after=f"{start + 1}-gone") == list(range(2500, 2600))
        assert_lawful(cloud)
        with Reader(cloud.daemon, query=f"follow=true&after={start}-{2400:056d}") as reader:
            reader.wait("line 2599")
            shown.append(event(2600, start + 2))
            reader.wait("line 2600")
            told = [json.loads(line)["message"] for line in reader.text.split("\r\n") if line.startswith("{")]
            assert told == [f"line {number}" for number in range(2401, 2601)]


def test_lines_that_come_late_are_told_once_and_do_not_lead_a_client_back():
    start = now_ms()
    shown = [event(1, start), event(3, start + 5000)]

    def play(body, number):
        if number == 3:
            shown.insert(1, event(2, start + 1000))  # printed before line 3, shown after it
        return [each for each in shown if each["timestamp"] >= body["startTime"]]

    with Cloud(play) as cloud, Reader(cloud.daemon, headers="Accept: text/event-stream\r\n") as reader:
        reader.wait("line 2")
        looks = len(cloud.bodies)
        wait_for(lambda: len(cloud.bodies) >= looks + 2, 30, "it has looked again")
        reader.hears("")
        body = reader.text.split("\r\n\r\n", 1)[1]
        told = [line for line in body.split("\n") if line.startswith(("id:", "data:"))]
        assert [json.loads(line[6:])["message"] for line in told if line.startswith("data:")] == ["line 1", "line 3", "line 2"]
        assert [line for line in told if line.startswith("id:")] == [f"id: {start}-{1:056d}", f"id: {start + 5000}-{3:056d}"]
        # Quiet for long, it asks less often.
        assert_lawful(cloud)


def test_a_busy_cloudwatch_is_asked_again_and_less_often():
    times = []

    def play(body, number):
        times.append(time.monotonic())
        if 2 <= number <= 4:
            return refusal(400, "ThrottlingException", "Rate exceeded")
        return [event(number)] if number > 4 else []

    with Cloud(play) as cloud, Reader(cloud.daemon, headers="Accept: text/event-stream\r\n") as reader:
        reader.wait("line 5", 60)
        assert ": CloudWatch Logs cannot be read now" in reader.text and "event: end" not in reader.text
        assert figure(cloud.daemon, "managerd_log_page_failures_total") == 3
        # Three tries, and a longer pause than before.
        assert times[4] - times[3] > 1.9, times


def test_what_aws_denies_is_told_in_its_words():
    denied = refusal(400, "com.amazonaws.logs#AccessDeniedException", "not authorized to perform logs:FilterLogEvents")
    with Cloud(lambda body, number: denied) as cloud:
        answer = logs(cloud.daemon, expect=502)
        assert answer.header("Content-Type") == "application/problem+json" and answer.json()["type"] == "/problems/aws-denied"
        assert answer.json()["aws"] == {"code": "AccessDeniedException", "requestId": "request-of-aws",
                                        "message": "not authorized to perform logs:FilterLogEvents"}
        cloud.play = lambda body, number: refusal(400, "InvalidParameterException")
        assert logs(cloud.daemon, expect=422).json()["type"] == "/problems/aws-refused"
        cloud.play = lambda body, number: refusal(400, "ResourceNotFoundException")
        assert logs(cloud.daemon).text == ""
        cloud.play = lambda body, number: Reply(200, [], b"<html>")
        assert logs(cloud.daemon, expect=422).json()["type"] == "/problems/aws-refused"
        # In the middle of an answer it is the last that is told.
        cloud.play = lambda body, number: ([event(1)], "more") if "nextToken" not in body else denied
        told = lines(logs(cloud.daemon))
        assert told[0]["message"] == "line 1" and told[1]["end"]["reason"] == "problem"
        assert told[1]["end"]["problem"]["aws"]["code"] == "AccessDeniedException"
        cloud.play = lambda body, number: refusal(500, "InternalFailure")
        assert logs(cloud.daemon, expect=502).json()["type"] == "/problems/aws-unavailable"
        assert SECRET not in cloud.daemon.log_text()
