"""AWS as others imitate it: moto's server, where this machine has it (Debian has no package of it; nothing needs it).

    with Moto() as aws:
        managerd = Managerd(aws=aws.aws_variables())

Its functions run no code: an invocation gives the event back. Keys are not looked at.
"""
import json
import os
import shutil
import signal
import subprocess

import boto3
from botocore.config import Config

import harness

PROGRAM = shutil.which("moto_server")
KEYS = {"aws_access_key_id": "any", "aws_secret_access_key": "any"}
TRUST = {"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Principal": {"Service": "lambda.amazonaws.com"}, "Action": "sts:AssumeRole"}]}


class Moto:
    def __init__(self):
        self.directory = harness.scratch("moto.")
        self.port = harness.free_port()
        self.url = f"http://127.0.0.1:{self.port}"

    def __enter__(self):
        environment = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", str(self.directory)), "LANG": "C.UTF-8"}
        with open(self.directory / "log", "wb") as log:
            self.process = subprocess.Popen([PROGRAM, "-H", "127.0.0.1", "-p", str(self.port)], stdin=subprocess.DEVNULL,
                                            stdout=log, stderr=log, env=environment, cwd=self.directory, start_new_session=True)
        try:
            harness.wait_for(lambda: harness.request(self.url + "/moto-api/data.json").status == 200, 60, "moto serves", 0.2)
            told = harness.request(self.url + "/moto-api/config", "POST", json.dumps({"lambda": {"use_docker": False}}),
                                   {"Content-Type": "application/json"})
            assert told.status in (200, 201), told
            self.role = self.client("iam").create_role(RoleName="apps", AssumeRolePolicyDocument=json.dumps(TRUST))["Role"]["Arn"]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *error):
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait(10)

    def client(self, service):
        return boto3.client(service, region_name="us-east-1", endpoint_url=self.url, **KEYS,
                            config=Config(retries={"max_attempts": 1}, s3={"addressing_style": "path"}))

    def aws_variables(self):
        return {"AWS_ENDPOINT_URL": self.url, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "any", "AWS_SECRET_ACCESS_KEY": "any",
                "AWS_LAMBDA_ROLE_ARN": self.role}
