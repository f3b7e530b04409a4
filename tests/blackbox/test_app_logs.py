"""What an app's function printed, as managerd tells it: read once, or followed; over lambda-local with real functions."""
import json
import threading
import time

import pytest

from harness import Stack, make_zip, wait_for
from log_readers import TOKEN, Reader, assert_no_reader, events, figure, lines, logs, spoken

TALKER = make_zip({"index.js": """exports.handler = async (event) => {
  const query = event.queryStringParameters || {};
  for (let i = 0; i < Number(query.count || 1); i++) console.log((query.say || 'nothing') + ' ' + i);
  if (query.odd) process.stdout.write('nul \\u0000 quote " \\u2028 end\\n');
  return {statusCode: 200, body: 'said'};
};"""})


@pytest.fixture(scope="module")
def stack():
    with Stack(managerd={"MANAGERD_TOKEN": TOKEN}) as stack:
        stack.deploy("talker", TALKER, runtime="nodejs20.x")
        yield stack


def say(stack, text, count=1, app="talker", more=""):
    assert stack.app(app, f"/?say={text}&count={count}{more}").text == "said"


def test_logs_are_lines_of_json_with_time_version_and_invocation(stack):
    say(stack, "plain", 3)
    answer = logs(stack.managerd, since="5m")
    assert answer.header("Content-Type") == "application/x-ndjson" and answer.header("Cache-Control") == "no-store"
    mine = [line for line in lines(answer) if "plain" in line["message"]]
    assert [line["message"].rsplit("plain ", 1)[1] for line in mine] == ["0", "1", "2"]
    assert {line["version"] for line in mine} == {1} and {line["lambdaVersion"] for line in mine} == {"1"}
    assert len({line["requestId"] for line in mine}) == 1 and len({line["id"] for line in mine}) == 3
    everything = [line for line in lines(answer) if line["requestId"] == mine[0]["requestId"]]
    kinds = [line["message"].split(" ", 1)[0] for line in everything]
    assert kinds[0] == "START" and kinds[-1] == "REPORT" and "END" in kinds
    one = lines(logs(stack.managerd, requestId=mine[0]["requestId"]))
    assert [line["id"] for line in one] == [line["id"] for line in everything]
    assert logs(stack.managerd, requestId="nobody").text == ""
    assert logs(stack.managerd, since="2099-01-01T00:00:00Z").text == ""
    assert spoken(logs(stack.managerd, since=mine[0]["time"]), "plain") == ["plain 0", "plain 1", "plain 2"]
    assert logs(stack.managerd, until="1d", since="2d").text == ""
    # What lines hold is theirs alone.
    say(stack, "odd", more="&odd=1")
    assert "nul \ufffd quote \" \u2028 end" in [line["message"] for line in lines(logs(stack.managerd))]
    head = stack.managerd.request("HEAD", "/v1/apps/talker/logs")
    assert head.status == 200 and head.header("Content-Type") == "application/x-ndjson" and head.text == ""


def test_more_lines_than_a_page_and_a_limit_that_says_where_to_go_on(stack):
    say(stack, "many", 2500)
    answer = lines(logs(stack.managerd, limit=10000))
    assert len([line for line in answer if "many " in line["message"]]) == 2500
    assert len({line["id"] for line in answer}) == len(answer)
    some = lines(logs(stack.managerd, limit=5))
    assert [line["id"] for line in some[:5]] == [line["id"] for line in answer[:5]] and len(some) == 6
    end = some[5]["end"]
    assert end["reason"] == "limit" and end["since"] == answer[5]["time"] and end["after"]
    # Going on from there, until there is no end told, brings every line once, however many a millisecond had.
    heard, where = [], {"since": answer[0]["time"]}
    for _ in range(20):
        part = lines(logs(stack.managerd, limit=700, **where))
        heard += [line["id"] for line in part if "id" in line]
        if "end" not in part[-1]:
            break
        where = {"after": part[-1]["end"]["after"]}
    assert heard == [line["id"] for line in answer]


def test_events_end_with_a_reason_and_go_on_where_the_client_left(stack):
    stack.deploy("resume", TALKER, runtime="nodejs20.x")
    say(stack, "resume", 30, "resume")
    answer = logs(stack.managerd, "resume", accept="text/event-stream")
    assert answer.header("Content-Type").startswith("text/event-stream")
    told = events(answer.text)
    assert [name for _, name, _ in told] == ["log"] * (len(told) - 1) + ["end"]
    assert told[-1][2]["reason"] == "complete" and all(cursor for cursor, name, _ in told if name == "log")
    # From every one of them on: the lines behind it, none of them missing, none twice.
    for number in [0, 1, len(told) // 2, len(told) - 3, len(told) - 2]:
        rest = events(logs(stack.managerd, "resume", accept="text/event-stream", headers={"Last-Event-ID": told[number][0]}).text)
        assert [data["id"] for _, name, data in rest if name == "log"] == [data["id"] for _, name, data in told[number + 1:-1]]
    limited = events(logs(stack.managerd, accept="text/event-stream", limit=2).text)
    assert [name for _, name, _ in limited] == ["log", "log", "end"] and limited[2][2]["reason"] == "limit"
    for wrong in ("x", "12", "1-", "99999999999999999999-a"):
        refused = logs(stack.managerd, accept="text/event-stream", headers={"Last-Event-ID": wrong}, expect=422)
        assert refused.json()["errors"][0]["parameter"] == "Last-Event-ID"
    # It is a matter of events alone.
    assert logs(stack.managerd, headers={"Last-Event-ID": "x"}).text


def test_only_the_lines_of_one_version(stack):
    stack.deploy("two", TALKER, runtime="nodejs20.x")
    say(stack, "first", app="two")
    stack.deploy("two", TALKER, runtime="nodejs20.x", memoryMb=192)
    say(stack, "second", app="two")
    first, second = (logs(stack.managerd, "two", version=number) for number in (1, 2))
    assert spoken(first, "first") == ["first 0"] and not spoken(first, "second")
    assert spoken(second, "second") == ["second 0"] and not spoken(second, "first")
    assert {line["version"] for line in lines(logs(stack.managerd, "two"))} == {1, 2}


@pytest.mark.parametrize("headers", ["", "Accept: text/event-stream\r\n"], ids=["lines", "events"])
def test_following_tells_each_line_once_as_it_comes_and_ends_with_its_reader(stack, headers):
    with Reader(stack.managerd, query="follow=true&since=0s", headers=headers) as reader:
        reader.wait("200 OK")  # what is said before it looks is before since
        for number in range(3):
            say(stack, f"live-{number}", 2)
            reader.wait(f"live-{number} 1")
        looks = figure(stack.managerd, "managerd_log_pages_total")
        wait_for(lambda: figure(stack.managerd, "managerd_log_pages_total") >= looks + 1, 20, "it has looked again")
        say(stack, "live-end")
        reader.wait("live-end 0")
        for number in range(3):
            for count in range(2):
                assert reader.text.count(f"live-{number} {count}") == 1
    assert_no_reader(stack.managerd)


def test_too_many_readers_are_told_to_come_later(stack):
    readers = [Reader(stack.managerd) for _ in range(32)]
    try:
        wait_for(lambda: figure(stack.managerd, "managerd_log_readers") == 32, 20, "all read")
        refused = logs(stack.managerd, expect=429)
        assert refused.json()["type"] == "/problems/log-readers-busy" and refused.header("Retry-After")
        # They share five calls a second, and nothing else waits for them.
        began = time.monotonic()
        assert stack.managerd.request("GET", "/v1/apps").status == 200
        assert time.monotonic() - began < 5
    finally:
        for reader in readers:
            reader.peer.close()
    assert_no_reader(stack.managerd)
    logs(stack.managerd)


def test_whoever_loses_the_right_to_look_hears_no_more(stack):
    made = stack.managerd.request("POST", "/v1/tokens", {"name": "brief", "role": "viewer", "apps": ["talker"]}).json()
    as_it = {"Authorization": f"Bearer {made['secret']}"}
    assert logs(stack.managerd, headers=as_it)
    assert logs(stack.managerd, "elsewhere", headers=as_it, expect=403)
    with Reader(stack.managerd, token=made["secret"]) as reader:
        reader.wait("200 OK")
        assert stack.managerd.request("DELETE", f"/v1/tokens/{made['id']}").status == 204
        reader.wait_end()
        assert "0\r\n\r\n" not in reader.text[-8:]
    assert_no_reader(stack.managerd)


def test_what_is_wrong_is_told(stack):
    for query in ({"since": "yesterday"}, {"limit": 0}, {"limit": 10001}, {"version": "x"}, {"version": 99}, {"follow": "maybe"},
                  {"requestId": ""}, {"until": "1h", "since": "1m"}, {"until": "1h", "follow": "true"}, {"nonsense": 1},
                  {"limit": 5, "follow": "true"}, {"after": "x"}, {"after": "1-a", "since": "1m"}, {"requestId": "x" * 129}):
        assert logs(stack.managerd, expect=422, **query).json()["errors"], query
    assert logs(stack.managerd, "nobody", expect=404).json()["type"] == "/problems/app-not-found"


def test_where_nothing_was_printed_there_is_nothing(stack):
    assert stack.managerd.request("PUT", "/v1/apps/silent", {}).status == 201
    assert logs(stack.managerd, "silent").text == ""
    told = events(logs(stack.managerd, "silent", accept="text/event-stream").text)
    assert [name for _, name, _ in told] == ["end"] and told[0][2]["reason"] == "complete"
    # Who follows hears the first words of it.
    with Reader(stack.managerd, "silent") as reader:
        reader.wait("200 OK")
        stack.deploy("silent", TALKER, runtime="nodejs20.x")
        say(stack, "awake", app="silent")
        reader.wait("awake 0")


def test_a_function_that_is_not_the_apps_own_is_not_listened_to(stack):
    aws = stack.lambda_local.boto3()
    aws.create_function(FunctionName="others", Runtime="nodejs20.x", Handler="index.handler", Role="arn:aws:iam::000000000000:role/apps", Code={"ZipFile": TALKER})
    aws.invoke(FunctionName="others", Payload=json.dumps({"queryStringParameters": {"say": "private"}}).encode())
    assert stack.managerd.request("PUT", "/v1/apps/listener", {"function": {"name": "others"}}).status == 201
    assert logs(stack.managerd, "listener").text == ""
    stack.managerd.deploy("listener", TALKER, expect=(409,))
    assert logs(stack.managerd, "listener").text == ""
    # Whoever takes the function over takes over what it prints.
    stack.managerd.deploy("listener", TALKER, adopt="true")
    assert "private 0" in logs(stack.managerd, "listener").text


def test_stopping_ends_those_who_follow_with_a_word():
    with Stack(managerd={"MANAGERD_TOKEN": TOKEN}) as stack:
        stack.managerd.request("PUT", "/v1/apps/quiet", {})
        answers = []
        reader = threading.Thread(target=lambda: answers.append(logs(stack.managerd, "quiet", follow="true", accept="text/event-stream")))
        reader.start()
        wait_for(lambda: figure(stack.managerd, "managerd_log_readers") == 1, 20, "somebody follows")
        stack.managerd.stop()
        reader.join(20)
        assert [data["reason"] for _, _, data in events(answers[0].text)] == ["draining"]
