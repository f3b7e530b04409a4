"""The policies in deploy/iam allow what the source calls and nothing more, each within bounds, and docs/iam.md names each action."""
import json
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import aws_actions  # noqa: E402

# How calls look in the source: rows of tables, `[LAMBDA_GET_FUNCTION] = {"GetFunction", "GET", …}`, and literals.
ROW = re.compile(r'\[([A-Z0-9_]+)\]\s*=\s*\{\s*"([A-Z][A-Za-z0-9]+)",\s*"(?:GET|PUT|POST|DELETE|HEAD)"')
S3 = re.compile(r'#include "common/aws/s3[a-z_]*\.h"')
LOGS = re.compile(r'"Logs_20140328\.([A-Za-z]+)"')
STS = re.compile(r'"Action=([A-Za-z]+)|VIEW\("(AssumeRole[A-Za-z]*)"\)')
PATHS = {"/response-streaming-invocations": "InvokeWithResponseStream", "/invocations": "Invoke"}
# AWS has no resources for them.
UNBOUND = {"lambda:GetAccountSettings", "lambda:ListFunctions", "ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs"}

EXAMPLES = [
    {"managerd/table.c": '[LAMBDA_DELETE] = {"DeleteFunction", "DELETE", ""}', "managerd/a.c": "LAMBDA_DELETE", "deploy/iam/managerd.json": '{"Statement": []}', "docs/iam.md": ""},
    {"proxyd/a.c": "", "deploy/iam/proxyd.json":
     '{"Statement": [{"Action": ["lambda:InvokeFunction"], "Resource": "arn:aws:lambda:R:A:function:P*"}]}', "docs/iam.md": "`lambda:InvokeFunction`"},
    {"proxyd/a.c": '"/invocations"', "deploy/iam/proxyd.json": '{"Statement": [{"Action": ["lambda:InvokeFunction"], "Resource": "*"}]}',
     "docs/iam.md": "`lambda:InvokeFunction`"},
]


def rows(tree):
    """(service, operation) of the rows of tables that somebody makes use of."""
    sources = dict(tree.matching(".c", below=("managerd/", "common/aws/")))
    uses_s3 = any(S3.search(text) for path, text in sources.items() if path.startswith("managerd/"))
    for path, text in sources.items():
        service = "s3" if re.search(r"/s3[^/]*$", path) else "lambda"
        others = "\n".join(other for name, other in sources.items() if name != path)
        for constant, name in ROW.findall(text):
            if re.search(rf"\b{constant}\b", others) and (service != "s3" or uses_s3):
                yield service, name


def calls(path, text):
    """(service, operation) of what a source file calls without a table."""
    yield from (("logs", name) for name in LOGS.findall(text))
    yield from (("sts", one or other) for one, other in STS.findall(text))
    if path.startswith("proxyd/"):
        yield from (("lambda", name) for end, name in PATHS.items() if end in text)


def needed(tree):
    """policy -> the actions of what its daemon's source calls."""
    found = {policy: set() for policy in aws_actions.POLICY_NAMES}
    members = "\n".join(text for _, text in tree.matching(".c", below=("managerd/",)))
    called = [("managerd", *call) for call in rows(tree)]
    for path, text in tree.matching(".c", below=("managerd/", "proxyd/", "common/aws/")):
        called += [("proxyd" if path.startswith("proxyd/") else "managerd", *call) for call in calls(path, text)]
    for daemon, service, operation in called:
        actions = aws_actions.actions_of_any(service, operation, lambda name: name == "FunctionName" or f'"{name}"' in members)
        found[aws_actions.policy_of(daemon, service, operation)] |= set(actions)
    return found


def check(tree):
    findings = []
    for policy, actions in needed(tree).items():
        path = f"deploy/iam/{policy}.json"
        if path not in tree.files:
            findings += [f"{path} is not there"] if actions else []
            continue
        statements = json.loads(tree.files[path])["Statement"]
        allowed = [action for statement in statements for action in statement["Action"]]
        findings += [f"{path}: lacks {action}, which the source calls" for action in sorted(actions - set(allowed))]
        findings += [f"{path}: allows {action}, which nothing in the source calls" for action in sorted(set(allowed) - actions)]
        findings += [f"{path}: allows {action} twice" for action in sorted(set(allowed)) if allowed.count(action) > 1]
        for statement in statements:
            if statement["Resource"] == "*" and not set(statement["Action"]) <= UNBOUND:
                findings.append(f"{path}: a statement is about every resource: {statement['Action']}")
        findings += [f"docs/iam.md does not name {action} of {path}" for action in sorted(set(allowed))
                     if f"`{action}`" not in tree.files.get("docs/iam.md", "")]
    return findings
