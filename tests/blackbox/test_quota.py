"""Many deployments at once keep to the quota of AWS's control API, through throttling and failures."""
import json
import random
import threading
import time

import pytest
from botocore.config import Config

from harness import LambdaLocal, Managerd, assert_lawful_metrics, make_zip, wait_for
from relay import Call, Relay, read_message


def body_of(message):
    return json.loads(message.split(b"\r\n\r\n", 1)[1])


class Capricious(Relay):
    """Refuses some calls with 429, fails some with 500 (before or after they were carried out) or cuts them off, all by
    chance; notes when the others went on, and what the API itself answered."""

    def __init__(self, upstream, share, seed):
        super().__init__(upstream)
        self.share, self.chance = share, random.Random(seed)
        self.times, self.throttled, self.injected = [], [], {}
        self.effects = {}  # (function, what was done to it) -> how many calls did it, whether or not managerd heard of it
        self.told_again = 0

    def _one(self, peer, upstream):
        message = read_message(peer)
        if not message:
            return False
        method, target = (word.decode() for word in message.split(b" ", 2)[:2])
        with self.lock:
            call = Call(len(self.calls) + 1, method, target)
            self.calls.append(call)
            invocation = target.partition("?")[0].endswith("/invocations")
            control = method != "GET" and not invocation
            if control:
                self.times.append(time.monotonic())
            whim = self.chance.choice(("429", "500", "500 after", "cut")) if (
                not invocation and self.chance.random() < self.share) else None
            self.injected[whim] = self.injected.get(whim, 0) + 1
        if whim == "429":
            return self.refuse(peer, 429, "TooManyRequestsException")
        if whim == "500":
            return self.refuse(peer, 500, "ServiceException")
        upstream.sendall(message)
        answer = read_message(upstream, answer_to=method.encode())
        if not answer:
            return False
        status = answer.split(b" ", 2)[1]
        if status == b"429":
            self.throttled.append(call)
        if control and status.startswith(b"2"):
            with self.lock:
                self.note_effect(method, target, message, answer)
        if whim == "cut":
            return False
        if whim == "500 after":
            return self.refuse(peer, 500, "ServiceException")
        peer.sendall(answer)
        return True

    def note_effect(self, method, target, message, answer):
        """What became of a call in AWS. Of a function that has not changed AWS publishes no second version: it tells the first."""
        function, _, what = target.removeprefix("/2015-03-31/functions").lstrip("/").partition("/")
        if not function:
            function, effect = body_of(message)["FunctionName"], "created"
        elif what == "versions":
            effect = f"version {body_of(answer)['Version']}"
            if (function, effect) in self.effects:
                self.told_again += 1
                return
        else:
            effect = f"{method} {what}"
        self.effects[function, effect] = self.effects.get((function, effect), 0) + 1

    def refuse(self, peer, status, code):
        body = b'{"message":"by chance"}'
        peer.sendall(f"HTTP/1.1 {status} X\r\nx-amzn-ErrorType: {code}\r\nContent-Type: application/json\r\n"
                     f"Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return True


def deploy_at_once(count, rate, share, bound):
    quota = {"LAMBDA_LOCAL_CONTROL_RATE": rate, "LAMBDA_LOCAL_GET_RATE": 100}
    zip_bytes = make_zip({"index.js": "exports.handler = async () => ({statusCode: 200, body: 'x'})"})
    with LambdaLocal(options=quota) as aws, Capricious(aws.url, share, 7) as relay:
        variables = {**aws.aws_variables(), "AWS_ENDPOINT_URL_LAMBDA": relay.url}
        with Managerd(aws=variables, options={"MANAGERD_AWS_CONTROL_RATE": rate}) as daemon:
            def one(number):
                # What is asked for here has no probe: 200 functions need no 200 processes.
                created = daemon.request("PUT", f"/v1/apps/at-once-{number}", {"probe": None}, timeout=60)
                assert created.status == 201, created
                answer = daemon.request("POST", f"/v1/apps/at-once-{number}/deployments", body=zip_bytes,
                                        headers={"Content-Type": "application/zip"}, timeout=60)
                accepted.append((answer.status, answer.json().get("id")))

            accepted, began = [], time.monotonic()
            threads = [threading.Thread(target=one, args=(number,)) for number in range(count)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert [status for status, _ in accepted] == [202] * count
            wait_for(lambda: daemon.request("GET", "/v1/operations?limit=1&state=queued").json()["items"] == []
                     and daemon.request("GET", "/v1/operations?limit=1&state=running").json()["items"] == [],
                     bound, "all deployments ended", pause=0.2)
            seconds = time.monotonic() - began
            for _, id in accepted:
                operation = daemon.request("GET", f"/v1/operations/{id}").json()
                assert operation["state"] == "succeeded" and operation["result"] == {"version": 1}, operation
            figures = daemon.request("GET", "/metrics").text
            assert_lawful_metrics(figures)
        client = aws.boto3()
        pages = client.get_paginator("list_functions").paginate()
        # The API's own quota holds for this reader as well.
        names = sorted(function["FunctionName"] for page in pages for function in page["Functions"])
        assert names == sorted(f"at-once-{number}" for number in range(count))
        for name in names:
            time.sleep(1.2 / rate)
            versions = [v["Version"] for v in client.list_versions_by_function(FunctionName=name)["Versions"]]
            assert versions == ["$LATEST", "1"], f"{name} has {versions}"
    # What was done but not told was not done again: each function was made once, published once, and nothing else.
    assert relay.effects == {(name, done): 1 for name in names for done in ("created", "version 1")}
    assert relay.throttled == [], "the API never had to refuse for being asked too much"
    times = sorted(relay.times)
    worst = max(sum(1 for t in times if start <= t < start + 1) for start in times)
    # This relay runs beside everything else of the test: what it reads late looks closer together.
    assert worst <= rate * 1.2, f"{worst} control calls within one second"
    spread = max(len([t for t in times if start <= t < start + 5]) for start in times)
    assert spread <= 5 * rate, f"{spread} control calls within five seconds"
    for whim in ("429", "500", "500 after", "cut"):
        assert relay.injected.get(whim), f"no call met {whim}"
    print(f"{count} deployments in {seconds:.1f} s, {len(times)} control calls, at most {worst} in a second, {spread} in five; "
          f"met on the way: {relay.injected}, {relay.told_again} versions told again")
    return figures, relay


def figure(text, name):
    return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))


def test_many_apps_deployed_at_once_under_a_quota_all_succeed_and_none_twice():
    figures, relay = deploy_at_once(24, 40, 0.2, 90)
    assert figure(figures, 'managerd_aws_waits_total{quota="control"}') > 0
    assert figure(figures, 'managerd_aws_wait_seconds_total{quota="control"}') > 0
    assert figure(figures, "managerd_aws_throttles_total") == relay.injected["429"]
    assert figure(figures, "managerd_aws_waiting") == 0
    assert 0 < figure(figures, "managerd_aws_retry_tokens") <= 500


@pytest.mark.long
def test_200_apps_deployed_at_once_at_15_calls_a_second_all_succeed_and_none_twice():
    deploy_at_once(200, 15, 0.1, 400)


def test_lambda_local_refuses_who_is_over_its_quota_and_lets_invocations_pass():
    with LambdaLocal(options={"LAMBDA_LOCAL_CONTROL_RATE": 5}) as aws:
        client = aws.boto3(config=Config(retries={"total_max_attempts": 1}))
        verdicts = []
        for _ in range(12):
            try:
                client.list_functions()
                verdicts.append(200)
            except client.exceptions.TooManyRequestsException as refusal:
                assert refusal.response["Reason"] == "CallerRateLimitExceeded"
                verdicts.append(429)
        assert verdicts[:5] == [200] * 5 and 429 in verdicts
        for _ in range(20):  # these have quotas of their own
            with pytest.raises(client.exceptions.ResourceNotFoundException):
                client.get_function(FunctionName="nothing")
            with pytest.raises(client.exceptions.ResourceNotFoundException):
                client.invoke(FunctionName="nothing")
