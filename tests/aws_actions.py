"""Which IAM actions AWS asks of a caller for each call, and what the policies in deploy/iam allow.

Sources: AWS's Service Authorization Reference (Lambda, S3, CloudWatch Logs, STS), and where a line names it another page.
"""
import functools
import json
from pathlib import Path

POLICIES = Path(__file__).resolve().parents[1] / "deploy" / "iam"
POLICY_NAMES = ("managerd", "proxyd", "assume-role")

# Calls whose action has another name than the call, or that need none.
ACTIONS = {
    ("lambda", "Invoke"): ["lambda:InvokeFunction"],
    # Lambda API reference, InvokeWithResponseStream: "requires permission for the lambda:InvokeFunction action".
    ("lambda", "InvokeWithResponseStream"): ["lambda:InvokeFunction"],
    # STS API reference: no permission is needed to ask who one is.
    ("sts", "GetCallerIdentity"): [],
    # The token is the proof; the request is not signed.
    ("sts", "AssumeRoleWithWebIdentity"): [],
    ("s3", "HeadObject"): ["s3:GetObject"],
    ("s3", "HeadBucket"): ["s3:ListBucket"],
    ("s3", "ListObjectsV2"): ["s3:ListBucket"],
    ("s3", "ListObjects"): ["s3:ListBucket"],
    ("s3", "DeleteObjects"): ["s3:DeleteObject"],
    # S3 User Guide, "Multipart upload and permissions".
    ("s3", "CreateMultipartUpload"): ["s3:PutObject"],
    ("s3", "UploadPart"): ["s3:PutObject"],
    ("s3", "CompleteMultipartUpload"): ["s3:PutObject"],
    ("s3", "ListParts"): ["s3:ListMultipartUploadParts"],
    ("s3", "ListMultipartUploads"): ["s3:ListBucketMultipartUploads"],
}

# AWS Lambda Developer Guide, "Lambda permissions reference": what the caller needs for a function in a network or with code from
# S3; "Granting users access to a Lambda layer"; "Securing environment variables": to set a key, and to see what it encrypts.
NETWORK = ["ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs"]
KEY = ["kms:CreateGrant", "kms:Decrypt", "kms:Encrypt"]
CONFIGURATION = {
    "Role": ["iam:PassRole"],  # IAM User Guide, "Granting a user permissions to pass a role"
    "Layers": ["lambda:GetLayerVersion"],
    "VpcConfig.SubnetIds": NETWORK,
    "KMSKeyArn": KEY,
}

# What a member of a call makes AWS ask for besides: (service, operation) -> {path of the member: actions}.
MEMBERS = {
    # "Using tags on Lambda functions": TagResource for tags of CreateFunction too.
    ("lambda", "CreateFunction"): {**CONFIGURATION, "Tags": ["lambda:TagResource"], "Code.S3Bucket": ["s3:GetObject"]},
    ("lambda", "UpdateFunctionConfiguration"): CONFIGURATION,
    ("lambda", "UpdateFunctionCode"): {"S3Bucket": ["s3:GetObject"]},
    # GetFunction shows Tags only to who may list them: Lambda API reference, GetFunction.
    ("lambda", "GetFunction"): {"FunctionName": ["lambda:ListTags"]},
}


def members_of(value, path):
    """What stands at "Code.S3Bucket" of the members; None: nothing."""
    for word in path.split("."):
        value = value.get(word) if isinstance(value, dict) else None
    return value


def actions_of(service, operation, members):
    """What a caller must be allowed for this call."""
    needed = list(ACTIONS.get((service, operation), [f"{service}:{operation}"]))
    for path, more in MEMBERS.get((service, operation), {}).items():
        if members_of(members, path) not in (None, "", [], {}):
            needed += more
    return needed


def actions_of_any(service, operation, may_have):
    """The same, for a call with each member of which may_have(name) says that it is made use of."""
    more = MEMBERS.get((service, operation), {}).items()
    return actions_of(service, operation, {}) + [a for path, actions in more if may_have(path.split(".")[-1]) for a in actions]


def policy_of(daemon, service, operation):
    """Which policy a daemon's call is about: who lends it a role is another than the role."""
    return "assume-role" if (service, operation) == ("sts", "AssumeRole") else daemon


@functools.lru_cache(None)
def allowed(policy):
    """The actions of a policy."""
    document = json.loads((POLICIES / f"{policy}.json").read_text())
    return frozenset(action for statement in document["Statement"] for action in statement["Action"])
