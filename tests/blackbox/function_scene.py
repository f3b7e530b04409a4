"""managerd and lambda-local with a relay between them that notes what is said, for tests of a function's settings."""
import base64

from harness import LambdaLocal, Managerd, make_zip, wait_for
from lambda_functions import knowing_logs
from relay import Relay
from request_model import RequestModel

NODE = make_zip({"index.js": "exports.handler = async () => ({statusCode: 200, body: 'hi'})"})


class Scene:
    """managerd, and between it and lambda-local a relay that notes what it says."""

    def __init__(self, lambda_local=None, managerd=None):
        self.aws = LambdaLocal(options=lambda_local)
        self.aws.start()
        self.relay = Relay(self.aws.url).__enter__()
        self.managerd = Managerd(aws={**self.aws.aws_variables(), "AWS_ENDPOINT_URL_LAMBDA": self.relay.url}, options={"MANAGERD_DRAIN_MS": "0", **(managerd or {})})
        self.managerd.start()
        self.managerd.wait_ready()
        self.hand = knowing_logs(self.aws.boto3())
        self.model = RequestModel(self.aws.boto3())

    def call(self, method, path, body=None, status=None, **headers):
        answer = self.managerd.request(method, path, body, headers={"Prefer": "wait=60", **headers}, timeout=70)
        assert status is None or answer.status == status, answer.text
        return answer.json() if answer.body else None

    def deploy(self, app, wish=None):
        return self.call("POST", f"/v1/apps/{app}/deployments", {"package": {"zip": base64.b64encode(NODE).decode()}, "probe": None, **(wish or {})}, status=200)

    def said(self):
        """What managerd asked of Lambda since last asked here; every request is held against botocore's model."""
        return [self.model.read(call) for call in self.relay.count()]

    def configuration(self, app, **more):
        return self.hand.get_function_configuration(FunctionName=app, **more)

    def close(self):
        self.managerd.close()
        self.aws.close()
        self.relay.__exit__()

    def change(self, method, path, body=None, status=200):
        """A change that acts at once: waits for the operation that its answer links to, if any; gives that operation."""
        answer = self.managerd.request(method, path, body)
        assert answer.status == status, answer.text
        link = answer.header("Link")
        if not link:
            return None
        assert link.endswith('; rel="monitor"'), link
        return self.ended(link[1:link.index(">")])

    def ended(self, path):
        wait_for(lambda: self.call("GET", path)["state"] not in ("queued", "running"), seconds=30, what=f"{path} ended")
        return self.call("GET", path)

    def idle(self, app):
        """When nothing of the app is queued or running."""
        wait_for(lambda: self.call("GET", f"/v1/apps/{app}/status")["drift"]["state"] != "changing", seconds=30, what=f"{app} is idle")

    def provided(self, app):
        """Lambda version -> provisioned concurrency."""
        listed = self.hand.list_provisioned_concurrency_configs(FunctionName=app)["ProvisionedConcurrencyConfigs"]
        return {one["FunctionArn"].rsplit(":", 1)[1]: one["RequestedProvisionedConcurrentExecutions"] for one in listed}
