"""Every request that the daemons send is accepted by a server that recomputes its signature with botocore."""
import json

import pytest

from fake_lambda import Proxy, app, version
from harness import LambdaLocal, Managerd, Stack, make_zip
from sigv4_oracle import Reply, VerifyingServer

KEY, SECRET, TOKEN = "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "IQoJb3JpZ2lu+with/odd==chars"
ECHO = "exports.handler = async (event) => ({statusCode: 200, body: event.body || 'none', isBase64Encoded: event.isBase64Encoded});"


def variables(server, token):
    return {"AWS_ENDPOINT_URL_LAMBDA": server.url, "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": KEY,
            "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_LAMBDA_ROLE_ARN": "arn:aws:iam::000000000000:role/apps",
            **({"AWS_SESSION_TOKEN": token} if token else {})}


@pytest.mark.parametrize("token", [None, TOKEN], ids=["long-term key", "session token"])
def test_the_whole_life_of_an_app_is_signed_as_botocore_signs(token):
    stack = Stack(lambda_local={"LAMBDA_LOCAL_ACCESS_KEY_ID": KEY, "LAMBDA_LOCAL_SECRET_ACCESS_KEY": SECRET})
    stack.lambda_local.start()
    with VerifyingServer({KEY: SECRET}, upstream=stack.lambda_local.url) as server:
        for daemon in (stack.managerd, stack.proxyd):
            daemon.aws = variables(server, token)
            daemon.start()
        stack.managerd.wait_ready(stack.managerd.url)
        stack.proxyd.wait_ready()
        stack.deploy("life", make_zip({"index.js": ECHO}), timeoutSeconds=2)
        stack.deploy("life", make_zip({"index.js": ECHO + "\n// more"}), description="second, with spaces & signs +%")
        assert stack.app("life").text == "none"
        body = "x" * 4_500_000
        assert stack.app("life", "/up?b=2&a=1&a=%20", "POST", body=body, headers={"Content-Type": "text/plain"}).text == body
        binary = bytes(range(256)) * 1000
        assert stack.app("life", "/bin", "PUT", body=binary).body == binary
        gone = stack.managerd.request("DELETE", "/v1/apps/life", headers={"Prefer": "wait=30"}, timeout=40)
        assert gone.status == 200, gone
        server.expect_all_valid(at_least=12)
        kinds = {(request.method, request.target.split("?")[0].split("/functions")[-1]) for request in server.requests}
        assert ("DELETE", "/life") in kinds and ("POST", "/life/versions") in kinds, kinds
        assert all((request.header("X-Amz-Security-Token") or None) == token for request in server.requests)
        for daemon in (stack.proxyd, stack.managerd, stack.lambda_local):
            daemon.close()


def test_names_with_qualifiers_arns_and_latest_are_signed_as_they_are_sent():
    names = {
        "plain": ("plain-function", "7"),
        "latest": ("plain-function", "$LATEST"),
        "alias": ("other_function", "live-alias"),
        "full": ("arn:aws:lambda:us-east-1:123456789012:function:by-arn", "3"),
        "partial": ("123456789012:function:by-account", "12"),
        "inside": ("arn:aws:lambda:us-east-1:123456789012:function:by-arn:with-alias", "with-alias"),
    }
    reply = Reply(200, [("Content-Type", "application/json")], json.dumps({"statusCode": 200, "body": "signed"}).encode())
    with VerifyingServer({KEY: SECRET}, reply=reply) as server:
        class Aws:
            @staticmethod
            def aws_variables():
                return variables(server, TOKEN)

        routes = [app(name, [version(function, qualifier=qualifier)]) for name, (function, qualifier) in names.items()]
        with Proxy(Aws, routes=routes) as proxyd:
            for name in names:
                for method, body in (("GET", None), ("POST", b""), ("POST", b"{}"), ("PUT", "é" * 1_000_000)):
                    answer = proxyd.app(name, "/a%20b?c=d&c=e", method, body=body.encode() if isinstance(body, str) else body)
                    assert (answer.status, answer.text) == (200, "signed"), (name, answer)
        server.expect_all_valid(at_least=4 * len(names))
        targets = {request.target for request in server.requests}
        assert any("%3Afunction%3A" in target for target in targets) and any("%24LATEST" in target for target in targets), targets


def test_a_wrong_secret_is_refused_by_lambda_local_and_told_as_a_gateway_fault():
    with LambdaLocal() as aws:
        wrong = {**aws.aws_variables(), "AWS_SECRET_ACCESS_KEY": "wrong"}
        with Managerd(aws=wrong) as managerd:
            managerd.wait_ready(managerd.url)
            answer = managerd.request("POST", "/v1/apps/x/deployments?runtime=nodejs20.x&handler=index.handler",
                                      body=make_zip({"index.js": ECHO}),
                                      headers={"Content-Type": "application/zip", "Prefer": "wait=30"}, timeout=40)
            assert answer.status >= 400, answer
            assert answer.json()["aws"]["code"] == "InvalidSignatureException", answer.text
            assert "wrong" not in answer.text and "wrong" not in managerd.log_text()
