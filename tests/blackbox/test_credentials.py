"""Each provider of AWS credentials: asked as AWS documents it, renewed under load without a failure, kept when it is down."""
import calendar
import contextlib
import http.client
import os
import signal
import subprocess
import threading
import time

import pytest

import harness
from fake_lambda import FakeLambda, Proxy, app, expect_fault
from issuing import BASE, Issuer
from sigv4_oracle import find_problem
from test_rotation import Load

PATIENCE = float(os.environ.get("TEST_PATIENCE", "1"))
KINDS = ["instance", "container", "web", "role", "process"]


@contextlib.contextmanager
def serving(issuer, variables, **more):
    """A proxyd that gets its keys from the issuer, before a Lambda that takes only those which are valid now."""
    with FakeLambda() as aws:
        def answer(call):
            headers = dict(call.headers)
            key = headers["Authorization"].split("Credential=")[1].split("/")[0]
            if issuer.valid(key, headers.get("X-Amz-Security-Token")):
                call.reply({"statusCode": 200, "body": key})
            else:
                call.service_error(403, "ExpiredTokenException")

        aws.script["hello"] = answer
        aws.aws_variables = lambda: {**variables, "AWS_ENDPOINT_URL_LAMBDA": aws.url}
        with Proxy(aws, routes=[app("hello")], **more) as proxyd:
            proxyd.aws = aws
            yield proxyd


def run_load(proxyd, rate, seconds):
    def connect():
        made = http.client.HTTPConnection(*proxyd.address, timeout=30)
        made.connect()
        return made

    with Load(connect, rate=rate, fresh=0) as load:
        time.sleep(seconds)
    assert not load.failed, load.failed[:5]
    assert load.count > rate * seconds / 4 / PATIENCE, "no load"


def expect_signatures(issuer, aws, each=1):
    secrets = issuer.secrets()
    with aws.lock:
        calls = list(aws.calls)
    for call in calls[::each]:
        problem = find_problem(call.method, call.target, call.headers, call.body, secrets, "us-east-1", {"lambda"})
        assert problem is None, problem
    return {dict(call.headers)["Authorization"].split("Credential=")[1].split("/")[0] for call in calls}


@pytest.mark.load
def test_every_provider_is_renewed_under_load_without_a_failure():
    with Issuer(life=3) as issuer, contextlib.ExitStack() as stack:
        proxies = {kind: stack.enter_context(serving(issuer, variables)) for kind, variables in issuer.every().items()}
        runs = [threading.Thread(target=lambda proxyd=proxyd: errors.extend(attempt(run_load, proxyd, 100, 7))) for proxyd in proxies.values()]
        errors = []
        for run in runs:
            run.start()
        for run in runs:
            run.join()
        assert not errors, errors
        for kind, proxyd in proxies.items():
            keys = expect_signatures(issuer, proxyd.aws, each=5)
            assert len(keys) >= 3 and all(key.startswith(kind.upper()) for key in keys), keys
            for secret in issuer.secrets().values():
                assert secret not in proxyd.log_text()


def attempt(action, *arguments):
    try:
        action(*arguments)
    except Exception as problem:  # told by the main thread
        return [repr(problem)]
    return []


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_a_provider_is_renewed_under_500_requests_a_second_for_a_minute(kind):
    with Issuer(life=3) as issuer, serving(issuer, issuer.every()[kind]) as proxyd:
        run_load(proxyd, 500, 60)
        assert len(expect_signatures(issuer, proxyd.aws)) >= 20


def test_an_instance_is_asked_with_a_session_that_is_renewed_when_it_ends():
    with Issuer(life=2) as issuer, serving(issuer, issuer.instance()) as proxyd:
        assert proxyd.app("hello").text == "INSTANCE2", "the start has looked whether there is an instance at all"
        issuer.sessions.clear()
        harness.wait_for(lambda: proxyd.app("hello").text == "INSTANCE3", 5, "the next key signs")
        targets = [headers.get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds") for kind, (headers, _) in issuer.asked]
        assert targets.count("21600") == 3, "the start's session, one for keys, and one more after that ended"


def test_an_instance_without_sessions_is_asked_as_of_old_unless_that_is_forbidden():
    with Issuer() as issuer:
        def instance(handler, _):
            if handler.path == "/latest/api/token":
                handler.send(404)
            else:
                issuer.sessions.add(None)
                original(handler, _)

        from issuing import IssuerHandler
        original, IssuerHandler.instance = IssuerHandler.instance, instance
        try:
            with serving(issuer, issuer.instance()) as proxyd:
                assert proxyd.app("hello").text == "INSTANCE2"
            refused = check({**issuer.instance(), "AWS_EC2_METADATA_V1_DISABLED": "true"})
            assert refused.returncode == 2 and '"instance" gives no session token: status 404' in refused.stderr
        finally:
            IssuerHandler.instance = original


def check(variables):
    folder = harness.scratch("check.")
    return subprocess.run([str(harness.binary("proxyd")), "--check"], env={**harness.clean_environment(folder), **variables, "ORCHESTRATOR_DATA_DIR": str(folder)},
                          capture_output=True, text=True, timeout=30)


def test_without_any_provider_the_start_is_refused_with_one_sentence():
    refused = check({**BASE, "AWS_EC2_METADATA_DISABLED": "", "AWS_EC2_METADATA_SERVICE_ENDPOINT": "http://127.0.0.1:1"})
    assert refused.returncode == 2 and "No other AWS credentials are configured" in refused.stderr, refused
    assert len(refused.stderr.strip().splitlines()) == 1


@pytest.mark.skipif(os.geteuid() != 0 or subprocess.run(["unshare", "-n", "true"], capture_output=True).returncode != 0,
                    reason="makes a network namespace of its own")
def test_an_instance_is_found_at_its_own_address():
    script = r'''
ip link set lo up && ip address add 169.254.169.254/32 dev lo
/usr/bin/python3 - "$1" <<'END' &
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_PUT(self): self.give("session")
    def do_GET(self): self.give("role" if self.path.endswith("/") else '{"AccessKeyId": "A", "SecretAccessKey": "s", "Token": "t", "Expiration": "2036-01-01T00:00:00Z"}')
    def give(self, text):
        print(self.command, self.path, file=sys.stderr)
        self.send_response(200); self.send_header("Content-Length", str(len(text))); self.end_headers(); self.wfile.write(text.encode())
    def log_message(self, *_): pass
server = http.server.HTTPServer(("169.254.169.254", 80), Handler)
open(sys.argv[1], "w").write("up")
for _ in range(3): server.handle_request()
END
for i in $(seq 100); do [ -s "$1" ] && break; sleep 0.1; done
"$2" --check; code=$?
wait
exit $code
'''
    folder = harness.scratch("namespace.")
    done = subprocess.run(["unshare", "-n", "sh", "-c", script, "sh", str(folder / "up"), str(harness.binary("proxyd"))],
                          env={**harness.clean_environment(folder), **BASE, "AWS_EC2_METADATA_DISABLED": "", "ORCHESTRATOR_DATA_DIR": str(folder)},
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    assert done.stderr.splitlines() == ["PUT /latest/api/token", "GET /latest/meta-data/iam/security-credentials/",
                                        "GET /latest/meta-data/iam/security-credentials/role"]


def test_the_authorization_of_a_container_is_read_anew_each_time():
    with Issuer(life=2) as issuer, serving(issuer, issuer.container()) as proxyd:
        assert proxyd.app("hello").text == "CONTAINER1"
        (issuer.folder / "authorization").write_text("Basic two\n")
        issuer.authorization = "Basic two"
        harness.wait_for(lambda: proxyd.app("hello").text == "CONTAINER2", 5, "the second key signs")


def test_the_token_of_a_web_identity_is_read_anew_each_time():
    with Issuer(life=2) as issuer, serving(issuer, issuer.web_identity()) as proxyd:
        assert proxyd.app("hello").text == "WEB1"
        (issuer.folder / "web-token").write_text("web-token-2\n")
        issuer.identity_token = "web-token-2"
        harness.wait_for(lambda: proxyd.app("hello").text == "WEB2", 5, "the second key signs")


def test_the_call_of_a_web_identity_is_not_signed():
    with Issuer() as issuer, serving(issuer, {**issuer.web_identity()}) as proxyd:
        assert proxyd.app("hello").status == 200
        headers, _ = next(asked for kind, asked in issuer.asked if kind == "web")
        assert "Authorization" not in headers


def test_a_provider_that_is_down_leaves_the_last_keys_in_force_and_then_fails_clearly():
    with Issuer(life=4) as issuer, serving(issuer, issuer.container()) as proxyd:
        assert proxyd.app("hello").text == "CONTAINER1"
        issuer.broken["container"] = (500, "hidden/secret")
        harness.wait_for(lambda: issuer.count("container") >= 3, 10, "it is asked again")
        assert proxyd.app("hello").text == "CONTAINER1"
        harness.wait_for(lambda: proxyd.events("credentials-expired"), 10, "the end of the keys is told")
        expect_fault(proxyd, proxyd.app("hello"), "no-credentials", 503, invocation="not-started", retry_after=5)
        problem = proxyd.events("credentials-not-refreshed")[0]["problem"]
        assert problem == 'The provider of credentials "container" answers with status 500' and "hidden/secret" not in proxyd.log_text()
        issuer.broken.clear()
        harness.wait_for(lambda: proxyd.app("hello").status == 200, 20, "it serves again")


def test_an_instance_that_does_not_answer_leaves_its_keys_in_force_beyond_their_end():
    with Issuer(life=2) as issuer, serving(issuer, issuer.instance()) as proxyd:
        assert proxyd.app("hello").text == "INSTANCE2"
        issuer.broken["instance"] = (500, "")
        time.sleep(3.2)
        assert time.time() > issuer.keys["INSTANCE2"][2] + 1
        with issuer.lock:
            issuer.keys["INSTANCE2"] = (*issuer.keys["INSTANCE2"][:2], time.time() + 60)  # AWS takes them longer
        assert proxyd.app("hello").text == "INSTANCE2"


@pytest.mark.threads
def test_a_provider_that_comes_late_is_waited_for():
    with Issuer() as issuer:
        issuer.broken["role"] = (500, "")
        with serving(issuer, issuer.role()) as proxyd:
            expect_fault(proxyd, proxyd.app("hello"), "no-credentials", 503, invocation="not-started", retry_after=5)
            issuer.broken.clear()
            harness.wait_for(lambda: proxyd.app("hello").status == 200, 10, "it serves")


@pytest.mark.parametrize("more, code", [("", "AccessDenied"), ("role_session_name = me\n", "AccessDenied")])
def test_what_STS_refuses_is_told_with_its_code_and_the_role(more, code):
    with Issuer() as issuer:
        issuer.broken["role"] = (403, f"<ErrorResponse><Error><Code>{code}</Code><Message>not you</Message></Error></ErrorResponse>")
        with serving(issuer, issuer.role(more)) as proxyd:
            assert proxyd.app("hello").status == 503
            problem = proxyd.events("credentials-not-refreshed")[0]["problem"]
            assert problem == ('The provider of credentials "assume-role" was refused arn:aws:iam::123456789012:role/apps by STS with status 403, '
                               "AccessDenied: not you")


def test_a_clock_that_is_wrong_is_corrected_by_that_of_STS():
    with Issuer() as issuer:
        issuer.skew = 3600
        with serving(issuer, issuer.role()) as proxyd:
            assert proxyd.app("hello").text == "ROLE1"
            assert issuer.count("role") == 2


@pytest.mark.threads
def test_keys_that_AWS_has_forgotten_are_looked_for_anew():
    with Issuer(life=600) as issuer, serving(issuer, issuer.container()) as proxyd:
        assert proxyd.app("hello").text == "CONTAINER1"
        with issuer.lock:
            issuer.keys["CONTAINER1"] = (*issuer.keys["CONTAINER1"][:2], 0)
        proxyd.app("hello")
        harness.wait_for(lambda: proxyd.app("hello").text == "CONTAINER2", 5, "others sign")


def test_a_signal_asks_the_provider_at_once():
    with Issuer(life=600) as issuer, serving(issuer, issuer.process()) as proxyd:
        assert proxyd.app("hello").text == "PROCESS1"
        proxyd.signal(signal.SIGHUP)
        harness.wait_for(lambda: proxyd.app("hello").text == "PROCESS2", 5, "the second key signs")


@pytest.mark.parametrize("code, ahead", [("InvalidSignatureException", 3600), ("RequestExpired", -7200)])
def test_the_control_plane_corrects_its_clock_by_AWS(code, ahead):
    with FakeLambda() as aws:
        def answer(call):
            sent = calendar.timegm(time.strptime(dict(call.headers)["X-Amz-Date"], "%Y%m%dT%H%M%SZ"))
            date = {"Date": time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + ahead))}
            right = abs(sent - time.time() - ahead) < 60
            call.service_error(*((404, "ResourceNotFoundException") if right else (403, code)), date)

        aws.script["probe"] = answer
        with harness.Managerd(aws={**aws.aws_variables()}) as managerd:
            managerd.request("POST", "/v1/apps/probe/deployments?runtime=nodejs20.x&handler=index.handler", body=harness.example_zip(),
                             headers={"Content-Type": "application/zip"})
            harness.wait_for(lambda: len(aws.calls) >= 2, 10, "it is signed once more")
            assert managerd.events("clock-skewed")[0]["offset_ms"] == pytest.approx(ahead * 1000, abs=5000)


def test_the_control_plane_looks_for_other_keys_when_AWS_has_forgotten_its_own():
    with Issuer(life=600) as issuer, FakeLambda() as aws:
        aws.script["probe"] = lambda call: call.service_error(
            *((403, "UnrecognizedClientException") if "Credential=CONTAINER1/" in dict(call.headers)["Authorization"] else (404, "ResourceNotFoundException")))
        with harness.Managerd(aws={**issuer.container(), "AWS_ENDPOINT_URL_LAMBDA": aws.url}) as managerd:
            managerd.request("POST", "/v1/apps/probe/deployments?runtime=nodejs20.x&handler=index.handler", body=harness.example_zip(),
                             headers={"Content-Type": "application/zip"})
            harness.wait_for(lambda: any("Credential=CONTAINER2/" in dict(call.headers)["Authorization"] for call in aws.calls), 10, "others sign")


def test_the_control_plane_gets_its_keys_from_each_provider():
    for kind in KINDS:
        with Issuer(life=600) as issuer, FakeLambda() as aws:
            aws.script["probe"] = lambda call: call.service_error(404, "ResourceNotFoundException")
            with harness.Managerd(aws={**issuer.every()[kind], "AWS_ENDPOINT_URL_LAMBDA": aws.url}) as managerd:
                managerd.request("POST", "/v1/apps/probe/deployments?runtime=nodejs20.x&handler=index.handler", body=harness.example_zip(),
                                 headers={"Content-Type": "application/zip", "Prefer": "wait=10"})
                harness.wait_for(lambda: aws.calls, 10, "Lambda is asked")
                assert f"Credential={kind.upper()}" in dict(aws.calls[0].headers)["Authorization"]
