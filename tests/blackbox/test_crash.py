"""managerd dies at every AWS call and at every commit of a deployment, and the next start makes everything whole."""
import itertools
import shutil
import subprocess
import time

import pytest

from harness import Stack, make_zip, request, wait_for
from relay import MOMENTS, Relay

FINAL = ("succeeded", "failed", "cancelled")


def package(text):
    return make_zip({"index.js": f"exports.handler = async () => ({{statusCode: 200, body: '{text}'}});"})


class Scene:
    """A stack whose managerd reaches lambda-local through a relay."""

    def __init__(self, ready_delay_ms=0):
        self.stack = Stack(lambda_local={"LAMBDA_LOCAL_READY_DELAY_MS": ready_delay_ms})

    def __enter__(self):
        self.stack.lambda_local.start()
        self.relay = Relay(self.stack.lambda_local.url).__enter__()
        self.managerd = self.stack.managerd
        self.managerd.aws = {**self.stack.lambda_local.aws_variables(), "AWS_ENDPOINT_URL_LAMBDA": self.relay.url}
        self.managerd.start()
        self.managerd.wait_ready(self.managerd.url)
        self.proxyd = self.stack.proxyd
        self.proxyd.start()
        self.proxyd.wait_ready()
        return self

    def __exit__(self, kind, value, trace):
        self.relay.__exit__()
        self.stack.__exit__(kind, value, trace)

    def begin(self, app, zipped):
        """Asks for a deployment; the connection may die with managerd."""
        try:
            self.managerd.request("POST", f"/v1/apps/{app}/deployments?runtime=nodejs20.x&handler=index.handler",
                                  body=zipped, headers={"Content-Type": "application/zip"}, timeout=20)
        except OSError:
            pass
        except Exception as problem:  # http.client's own classes for an answer cut short
            assert type(problem).__module__ == "http.client", problem

    def start_again(self):
        self.managerd.wrapper = []
        self.managerd.start()
        self.managerd.wait_ready(self.managerd.url)

    def settle(self, app):
        """Waits until no operation of the app is queued or running; gives them, oldest first."""
        def done():
            found = self.managerd.request("GET", f"/v1/operations?app={app}&limit=500").json()["items"]
            return sorted(found, key=lambda o: o["id"]) if all(o["state"] in FINAL for o in found) else None
        got = wait_for(lambda: [done()] if done() is not None else None, 40, f"the operations of {app} have ended")
        return got[0]

    def check(self, app, allowed):
        """The app serves one of the allowed texts (None: nothing), state and routes agree, no function is an orphan."""
        operations = self.settle(app)
        assert operations == [] or operations[-1]["state"] in ("succeeded", "failed"), operations
        answer = self.managerd.request("GET", f"/v1/apps/{app}/traffic")
        shares = answer.json()["versions"] if answer.status == 200 else []
        served = {self.proxyd.app(app).text if self.proxyd.app(app).status == 200 else None for _ in range(5)}
        assert len(served) == 1, f"a mix is served: {served}"
        text = served.pop()
        assert text in allowed, (text, allowed, operations)
        assert (text is None) == (not shares), (text, shares)
        if shares:
            assert [share["percent"] for share in shares] == [100]
            version = self.managerd.request("GET", f"/v1/apps/{app}/versions/{shares[0]['version']}").json()
            assert version["state"] == "ready", version
        functions = [f["FunctionName"] for f in self.stack.lambda_local.boto3().list_functions()["Functions"]]
        known = self.managerd.request("GET", f"/v1/apps/{app}").status == 200
        owned = [name for name in functions if name == app or name.endswith("-" + app)]
        assert len(owned) <= 1 and (known or not owned), f"orphans: {functions}, the app is {'there' if known else 'gone'}"
        return text, operations

    def kill_at(self, app, zipped, call, moment):
        """Deploys and kills at that moment; False when the deployment needed fewer calls."""
        self.relay.arm(call, moment, self.managerd.kill_only)
        self.begin(app, zipped)
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline:
            if self.relay.fired.wait(0.05):
                return True
            if self.managerd.running and self.finished(app):
                break
        self.relay.disarm()
        return self.relay.fired.is_set()

    def finished(self, app):
        try:
            items = self.managerd.request("GET", f"/v1/operations?app={app}").json()["items"]
        except Exception:  # it may die while it answers
            return False
        return bool(items) and all(o["state"] in FINAL for o in items)


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_each_aws_call_of_a_first_deployment_the_app_is_whole_or_absent(moment):
    with Scene() as scene:
        for call in itertools.count(1):
            assert call < 40, "a deployment takes fewer calls than that"
            app = f"first-{moment}-{call}"
            fired = scene.kill_at(app, package("one"), call, moment)
            if fired:
                scene.start_again()
            text, _ = scene.check(app, {"one", None})
            if not fired:
                assert text == "one" and call > 4
                break
            # Whatever is left of it, the next deployment works.
            scene.managerd.deploy(app, package("two"))
            assert scene.check(app, {"two"})[0] == "two"


@pytest.mark.parametrize("moment", MOMENTS)
def test_killed_at_each_aws_call_of_a_redeployment_old_or_new_serves(moment):
    with Scene() as scene:
        app = f"again-{moment}"
        scene.managerd.deploy(app, package("v0"))
        now = "v0"
        for call in itertools.count(1):
            assert call < 40, "a deployment takes fewer calls than that"
            fired = scene.kill_at(app, package(f"v{call}"), call, moment)
            served = scene.proxyd.app(app)
            assert (served.status, served.text) in ((200, now), (200, f"v{call}")), "routes stay while managerd is dead"
            if fired:
                scene.start_again()
            now, operations = scene.check(app, {now, f"v{call}"})
            assert (now == f"v{call}") == (operations[-1]["state"] == "succeeded"), operations[-1]
            if not fired:
                assert now == f"v{call}" and call > 4
                break


def test_killed_while_the_function_is_pending_the_deployment_goes_on():
    with Scene(ready_delay_ms=150) as scene:
        app = "pending"
        scene.managerd.deploy(app, package("v0"))
        now = "v0"
        for call in range(3, 13, 3):
            if scene.kill_at(app, package(f"v{call}"), call, "answered"):
                scene.start_again()
            now, _ = scene.check(app, {now, f"v{call}"})
        first = "pending-first"
        if scene.kill_at(first, package("one"), 3, "forwarded"):
            scene.start_again()
        scene.check(first, {"one", None})


def kill_at_commit(scene, app, zipped, commit):
    """Deploys, and kills managerd within its commit-th commit; False when the deployment needed fewer."""
    scene.managerd.stop()
    scene.managerd.start()
    scene.managerd.wait_ready(scene.managerd.url)
    pid = scene.managerd.process.pid
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync",
                               "-e", f"inject=fdatasync:signal=KILL:when={commit}", "-p", str(pid)], stderr=subprocess.PIPE)
    try:
        wait_for(lambda: "\nTracerPid:\t0\n" not in open(f"/proc/{pid}/status").read(), 10, "strace holds managerd")
        scene.begin(app, zipped)
        wait_for(lambda: not scene.managerd.running or scene.finished(app), 40, "the deployment ended, or managerd did")
        died = not scene.managerd.running
        if died:
            scene.managerd.exit_code = scene.managerd.process.wait(10)
            assert scene.managerd.exit_code == -9
    finally:
        tracer.terminate()
        tracer.wait(10)
    if died:
        scene.start_again()
    return died


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize("first", [True, False], ids=["first deployment", "redeployment"])
def test_killed_at_each_commit_of_a_deployment_the_app_is_whole(first):
    with Scene() as scene:
        app, now = "commits", None
        if not first:
            scene.managerd.deploy(app, package("v0"))
            now = "v0"
        for commit in range(1, 31):
            if first:
                app, now = f"commits-{commit}", None
            died = kill_at_commit(scene, app, package(f"v{commit}"), commit)
            now, _ = scene.check(app, {now, f"v{commit}"})
            if not died:
                assert now == f"v{commit}" and commit > 5
                return
        pytest.fail("a deployment takes fewer commits than that")


def test_killed_lambda_local_and_proxyd_lose_nothing_that_was_stored():
    with Stack() as stack:
        apps = [f"app-{n}" for n in range(3)]
        for app in apps:
            stack.deploy(app, package(app))
        for round_number in range(3):
            stack.lambda_local.kill9()
            stack.lambda_local.start()
            stack.proxyd.kill9()
            stack.proxyd.start()
            stack.proxyd.wait_ready()
            for app in apps:
                answer = wait_for(lambda: (lambda a: a if a.status == 200 else None)(stack.app(app)), 10, f"{app} serves")
                assert answer.text == app
        names = sorted(f["FunctionName"] for f in stack.lambda_local.boto3().list_functions()["Functions"])
        assert len(names) == 3
        assert request(stack.managerd.url + "/readyz").status == 200
