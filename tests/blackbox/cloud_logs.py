"""CloudWatch Logs as a test plays it, with a managerd that reads it; each call's signature is checked by botocore."""
import json
import time

from harness import LambdaLocal, Managerd
from log_readers import TOKEN
from sigv4_oracle import Reply, VerifyingServer

KEY, SECRET = "AKIDEXAMPLE", "secret-of-logs"


class Cloud:
    """Answers each FilterLogEvents by `play(body, number)`: a list of events, (events, nextToken), or a Reply."""

    def __init__(self, play):
        self.play = play
        self.bodies = []
        self.server = VerifyingServer({KEY: SECRET}, services=("logs",), reply=self.reply)

    def reply(self, received):
        body = json.loads(received.body)
        self.bodies.append(body)
        played = self.play(body, len(self.bodies))
        if isinstance(played, Reply):
            return played
        found, token = played if isinstance(played, tuple) else (played, None)
        answer = {"events": found, "searchedLogStreams": [], **({"nextToken": token} if token else {})}
        return Reply(200, [("Content-Type", "application/x-amz-json-1.1")], json.dumps(answer).encode())

    def __enter__(self):
        self.server.start()
        self.lambda_local = LambdaLocal(options={"LAMBDA_LOCAL_ACCESS_KEY_ID": KEY, "LAMBDA_LOCAL_SECRET_ACCESS_KEY": SECRET})
        self.daemon = Managerd(options={"MANAGERD_TOKEN": TOKEN})
        try:
            self.lambda_local.start()
            self.daemon.aws = {**self.lambda_local.aws_variables(), "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": self.server.url,
                               "AWS_SESSION_TOKEN": "of/a+session=="}
            self.daemon.start()
            assert self.daemon.request("PUT", "/v1/apps/talker", {"probe": None}).status == 201
            self.daemon.deploy("talker", {"index.js": "exports.handler = async () => 'never called';"})
        except BaseException:
            self.__exit__(AssertionError, None, None)
            raise
        return self

    def __exit__(self, kind, value, trace):
        try:
            self.daemon.__exit__(kind, value, trace)
            self.lambda_local.__exit__(kind, value, trace)
        finally:
            self.server.stop()


def event(number, time_ms=None, message=None, stream="2026/01/02/[7]0123"):
    return {"logStreamName": stream, "timestamp": time_ms if time_ms is not None else now_ms(), "message": message or f"line {number}\n",
            "ingestionTime": now_ms(), "eventId": f"{number:056d}"}


def now_ms():
    return int(time.time() * 1000)


def refusal(status, code, message="why not"):
    return Reply(status, [("Content-Type", "application/x-amz-json-1.1"), ("x-amzn-RequestId", "request-of-aws")],
                 json.dumps({"__type": code, "message": message}).encode())
