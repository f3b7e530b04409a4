"""What the daemons ask of AWS in the tests: every call is held against AWS's model and against the daemon's IAM policy.

lambda-local writes a line for each call (harness.LambdaLocal.call_log); servers in the tests that play AWS themselves say
`note(…)`. conftest.py asks `faults()` after each test. With TEST_AWS_CALLS=FOLDER the actions that were called are left
there, one file a process, for tests/aws_actions_called.py.
"""
import json
import os
import sys
import threading
import time
import uuid
from pathlib import Path

import aws_model

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import aws_actions  # noqa: E402

# Headers that differ from call to call and that no model lists.
VARYING = ("x-amz-date", "x-amzn-trace-id", "content-length", "host", "accept", "expect", "connection")

lock = threading.Lock()
known = {}       # what was looked at: the request without what varies -> what judge() said
called = {}      # policy -> {action: number of calls}
pending = []     # faults of calls that servers in the tests noted
calls = 0
spent = 0.0     # seconds of processor time


def daemon_of(headers):
    """"managerd", "proxyd", or None when the caller is another."""
    agent = headers.get("user-agent", "")
    if not agent.startswith("app-orchestrator/"):
        return None
    return "proxyd" if agent.endswith(" proxyd") else "managerd"


def service_of(method, target, headers):
    if "x-amz-target" in headers:
        return "logs"
    return "sts" if method == "POST" and target.rstrip("/") == "" else "lambda"


def judge(service, daemon, method, target, headers, body):
    """Whose policy the call is about, which actions it takes, and its faults."""
    found = aws_model.look(service, method, target, headers, body)
    if not found.operation:
        return daemon, [], list(found.faults)
    policy = aws_actions.policy_of(daemon, service, found.operation)
    actions = aws_actions.actions_of(service, found.operation, found.members)
    missing = [f"{daemon} calls {found.operation}, and deploy/iam/{policy}.json lacks {action}"
               for action in actions if action not in aws_actions.allowed(policy)]
    return policy, actions, found.faults + missing


def look(service, daemon, method, target, headers, body):
    """The faults of one call, which is counted."""
    global calls
    key = (service, daemon, method, target, body, tuple(sorted((n, v) for n, v in headers.items() if n not in VARYING)))
    with lock:
        calls += 1
        if key not in known:
            if len(known) >= 100000:
                known.clear()
            known[key] = judge(service, daemon, method, target, headers, body)
        policy, actions, faults = known[key]
        for action in actions:
            called.setdefault(policy, {}).setdefault(action, 0)
            called[policy][action] += 1
    return faults


def note(service, method, target, headers, body):
    """A call that a server of the tests got: header names as they came."""
    headers = {name.lower(): value for name, value in dict(headers).items()}
    daemon = daemon_of(headers)
    if daemon:
        pending.extend(look(service, daemon, method, target, headers, body))


def read(lines):
    """The faults in lines of a call log."""
    faults = []
    for line in lines:
        call = json.loads(line)
        headers = call["headers"]
        daemon = daemon_of(headers)
        if daemon and not call["target"].startswith("/lambda-local/"):
            service = service_of(call["method"], call["target"], headers)
            faults += look(service, daemon, call["method"], call["target"], headers, call.get("body"))
    return faults


def faults(processes):
    """What is wrong with the calls since the last time, each sentence once."""
    global spent
    began = time.thread_time()
    found = [*pending]
    pending.clear()
    for process in processes:
        if hasattr(process, "new_calls"):
            found += read(process.new_calls())
    spent += time.thread_time() - began
    return sorted(set(found))


def leave():
    """At the end of a run: which actions were called."""
    folder = os.environ.get("TEST_AWS_CALLS")
    if folder and called:
        Path(folder).mkdir(parents=True, exist_ok=True)
        (Path(folder) / f"{uuid.uuid4()}.json").write_text(json.dumps({"calls": calls, "seconds": spent, "actions": called}))
