"""Runs the real binaries for black-box tests: one class a process, each with its own folder, port 0, logs and stop.

    with Stack() as stack:                       # lambda-local, managerd and proxyd, wired together
        stack.deploy("hello", {"index.js": "exports.handler = async () => ({statusCode: 200, body: 'hi'})"})
        assert stack.app("hello", "/").text == "hi"

Binaries come from $BUILD_DIR (default build/dev), below bin/. Nothing of the caller's AWS_* or of the daemons' own
variables reaches them. Every wait is bounded. Logs are printed, and folders kept, when a test fails.
"""
import http.client
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import zipfile
from pathlib import Path
from urllib.parse import quote, urlencode, urlsplit

TOP = Path(__file__).resolve().parents[2]
VECTORS = TOP / "tests" / "vectors"
EXAMPLE = TOP / "docs" / "examples" / "hello" / "index.js"
READY_SECONDS = 20 * float(os.environ.get("TEST_PATIENCE", "1"))
STOP_SECONDS = 20 * float(os.environ.get("TEST_PATIENCE", "1"))

# What a sanitizer or valgrind writes when it found something.
REPORT = re.compile(
    r"ERROR: (Address|Leak|Memory)Sanitizer|WARNING: ThreadSanitizer|runtime error:|AddressSanitizer:DEADLYSIGNAL"
    r"|ERROR SUMMARY: [1-9]|LeakSanitizer has encountered|UndefinedBehaviorSanitizer"
)

processes = []    # every Process that was made in this run, for conftest.py's checks
directories = {}  # every folder that was made here: path -> True when it is to be kept


def scratch(prefix):
    """A folder below the temporary one; sweep() removes it after the test, unless the test failed."""
    path = Path(tempfile.mkdtemp(prefix=prefix))
    directories[path] = False
    return path


def sweep(keep=False):
    """Removes the folders that no running process uses; `keep` keeps what is there now for good."""
    used = {process.directory for process in processes if process.running}
    for path in list(directories):
        directories[path] = directories[path] or keep
        if path not in used and not directories[path] and not os.environ.get("KEEP_LOGS"):
            shutil.rmtree(path, ignore_errors=True)
            del directories[path]


def build_dir():
    chosen = Path(os.environ.get("BUILD_DIR", "build/dev"))
    return chosen if chosen.is_absolute() else TOP / chosen


def binary(program):
    path = build_dir() / "bin" / program
    if not path.exists():
        raise FileNotFoundError(f"{path} is not there: build first (cmake --preset dev && cmake --build --preset dev)")
    return path


def clean_environment(directory):
    """What a daemon under test sees of the world: a PATH, a home of its own, sanitizers that speak up."""
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "HOME": str(directory),
        "TMPDIR": str(directory),
        "LANG": "C.UTF-8",
        "AWS_EC2_METADATA_DISABLED": "true",
        "ASAN_OPTIONS": "detect_leaks=1:abort_on_error=0:exitcode=99:allocator_may_return_null=1",
        "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1:exitcode=99",
        "TSAN_OPTIONS": f"exitcode=66:second_deadlock_stack=1:history_size=4:suppressions={TOP}/tests/tsan.supp",
        "LSAN_OPTIONS": "print_suppressions=0",
    }
    for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LSAN_OPTIONS"):
        if os.environ.get(name):
            environment[name] = environment[name] + ":" + os.environ[name]
    return environment


class Process:
    """One daemon. `options` are environment variables; `arguments` go on the command line; `wrapper` is a command put
    before it (strace, valgrind). Started by start() or by `with`."""

    program = None

    def __init__(self, directory=None, options=None, arguments=(), wrapper=(), name=None):
        self.name = name or self.program
        self.directory = Path(directory or scratch(f"{self.name}."))
        self.options = dict(options or {})
        self.arguments = [str(a) for a in arguments]
        self.wrapper = [str(w) for w in wrapper]
        if not self.wrapper and os.environ.get("TEST_WRAPPER"):
            self.wrapper = os.environ["TEST_WRAPPER"].split()
        self.starts = 0
        self.process = None
        self.ready_line = None
        self.listen = None
        self.admin = None
        self.exit_code = None
        self.faults = []        # what conftest.py fails a test for
        self.allowed_exits = set()
        self.checked = 0        # bytes of stderr already looked at for sanitizer reports
        self.log_path = self.directory / f"{self.name}.stderr"
        self.access_log_path = self.directory / f"{self.name}.stdout"
        processes.append(self)

    # -- life ---------------------------------------------------------------------------------------------------

    def variables(self):
        """The daemon's own settings; a restart keeps the addresses of the first start."""
        return {}

    def environment(self):
        environment = clean_environment(self.directory)
        environment.update(self.variables())
        environment.update({key: str(value) for key, value in self.options.items() if value is not None})
        for key in [key for key, value in self.options.items() if value is None]:
            environment.pop(key, None)
        return environment

    def launch(self):
        """Starts the program without waiting for it to be ready (for starts that are meant to fail)."""
        assert self.process is None or self.process.poll() is not None, f"{self.name} runs already"
        self.log_offset = self.log_path.stat().st_size if self.log_path.exists() else 0
        self.directory.mkdir(parents=True, exist_ok=True)
        with open(self.log_path, "ab") as log, open(self.access_log_path, "ab") as access_log:
            self.process = subprocess.Popen(
                [*self.wrapper, str(binary(self.program)), *self.arguments],
                stdin=subprocess.DEVNULL, stdout=access_log, stderr=log, env=self.environment(),
                cwd=self.directory, start_new_session=True)
        self.starts += 1
        self.exit_code = None
        return self

    def start(self):
        deadline = time.monotonic() + READY_SECONDS
        while True:
            self.launch()
            try:
                self.ready_line = self.wait_for_event("ready", READY_SECONDS)
                break
            except AssertionError:
                # Tests run side by side: the address of before may be another's for a moment.
                taken = self.starts > 1 and not self.running and "Address already in use" in self.log_text()
                if not taken or time.monotonic() > deadline:
                    raise
                time.sleep(0.3)
        self.listen = self.ready_line["listen"]
        self.admin = self.ready_line.get("admin")
        return self

    def wait_for_event(self, event, seconds=10):
        """The first line of this start's log with that event; bounded; fails at once when the process ends."""
        deadline = time.monotonic() + seconds
        while True:
            ended = self.process.poll() is not None
            for line in self.events(event):
                return line
            if ended:
                raise AssertionError(f"{self.name} ended with {self.process.returncode} before it logged "
                                     f"'{event}':\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise AssertionError(f"{self.name} did not log '{event}' within {seconds} s:\n{self.log_tail()}")
            time.sleep(0.01)

    def stop(self, expect=0, sig=signal.SIGTERM, seconds=None):
        """Asks it to end, and asserts the exit code. Nothing happens when it has ended already by our hand."""
        if self.process is None or self.exit_code is not None:
            return self.exit_code
        if self.process.poll() is None:
            os.kill(self.daemon_pid(), sig)
        return self.wait(expect, seconds)

    def wait(self, expect=0, seconds=None):
        """Waits until it ended by itself; asserts the exit code (None: any)."""
        try:
            code = self.process.wait(seconds or STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.faults.append(f"{self.name} did not end within {seconds or STOP_SECONDS} s")
            self.kill_group()
            code = self.process.wait(10)
        self.exit_code = code
        if expect is not None and code != expect:
            self.faults.append(f"{self.name} ended with {code} instead of {expect}")
        assert expect is None or code == expect, f"{self.name} ended with {code} instead of {expect}:\n{self.log_tail()}"
        return code

    def kill9(self):
        """Ends it as a crash would; the processes it started are ended too (they have no parent left to reap them)."""
        if self.process is not None and self.exit_code is None:
            self.kill_group()
            self.exit_code = self.process.wait(10)

    def kill_only(self):
        """Ends the daemon's own process by SIGKILL, not what it started."""
        if self.process is not None and self.exit_code is None:
            os.kill(self.daemon_pid(), signal.SIGKILL)
            self.exit_code = self.process.wait(10)

    def kill_group(self):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass

    def restart(self):
        """Ends it when it still runs, and starts it again on the same addresses."""
        self.stop()
        return self.start()

    def signal(self, sig):
        os.kill(self.daemon_pid(), sig)

    def daemon_pid(self):
        """The daemon's pid, also when a wrapper started it."""
        if not self.wrapper or "valgrind" in self.wrapper[0]:
            return self.process.pid
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return int(children[0]) if children else self.process.pid

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def close(self):
        """The end of a test: stop, and look for faults."""
        try:
            self.stop()
        finally:
            if self.running:
                self.kill9()
            self.look_for_reports()

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.close()
        else:
            self.kill9()

    # -- what it said -------------------------------------------------------------------------------------------

    def log_text(self, all_starts=False):
        if not self.log_path.exists():
            return ""
        with open(self.log_path, "rb") as log:
            log.seek(0 if all_starts else getattr(self, "log_offset", 0))
            return log.read().decode("utf-8", "replace")

    def log_tail(self, lines=40):
        return "\n".join(self.log_text().splitlines()[-lines:])

    def events(self, event=None):
        """The JSON lines of this start's log, all or those of one event."""
        found = []
        for line in self.log_text().splitlines():
            if line.startswith("{"):
                try:
                    value = json.loads(line)
                except ValueError:
                    continue
                if event is None or value.get("event") == event:
                    found.append(value)
        return found

    def access_lines(self):
        time.sleep(0.03)  # lines gather for 2 ms before they are written
        if not self.access_log_path.exists():
            return []
        return [json.loads(line) for line in self.access_log_path.read_text("utf-8", "replace").splitlines()
                if line.startswith("{") and line.endswith("}")]

    def look_for_reports(self):
        """Adds a fault for each new sanitizer report and for an end that nobody asked for."""
        text = self.log_text(all_starts=True)
        if REPORT.search(text[self.checked:]):
            self.faults.append(f"{self.name}: a sanitizer report is on standard error")
        self.checked = len(text)
        if self.process is not None and self.exit_code is None and self.process.poll() is not None:
            self.exit_code = self.process.returncode
            self.faults.append(f"{self.name} ended by itself with {self.exit_code}")
        return self.faults

    def print_logs(self, lines=80):
        print(f"\n--- {self.name} (exit code {self.exit_code}, folder {self.directory})")
        print("\n".join(self.log_text(all_starts=True).splitlines()[-lines:]))
        if self.access_log_path.exists() and self.access_log_path.stat().st_size:
            print(f"--- {self.name}: standard output, last lines")
            print("\n".join(self.access_log_path.read_text("utf-8", "replace").splitlines()[-15:]))

    # -- talking to it ------------------------------------------------------------------------------------------

    @property
    def address(self):
        return split_address(self.listen)

    @property
    def url(self):
        host, port = self.address
        return f"http://{host}:{port}"

    @property
    def admin_url(self):
        """Where /healthz, /readyz and /metrics are: the API's own address when there is no other."""
        host, port = split_address(self.admin or self.listen)
        return f"http://{host}:{port}"

    def request(self, method, path, **more):
        return request(self.url + path, method=method, **more)

    def wait_ready(self, url=None, seconds=10):
        """Waits until /readyz says 200."""
        return wait_for(lambda: request((url or self.admin_url) + "/readyz").status == 200, seconds,
                        f"{self.name} is ready")


class LambdaLocal(Process):
    program = "lambda-local"

    def __init__(self, directory=None, data=None, **more):
        super().__init__(directory, **more)
        self.data = Path(data or self.directory / "data")
        self.call_log = self.directory / f"{self.name}.calls"
        self.calls_read = 0  # bytes of the call log

    def variables(self):
        return {"LAMBDA_LOCAL_LISTEN": self.listen or "127.0.0.1:0", "ORCHESTRATOR_DATA_DIR": str(self.data),
                "LAMBDA_LOCAL_CALL_LOG": str(self.call_log)}

    def new_calls(self):
        """The lines of the call log since the last time."""
        if not self.call_log.exists():
            return []
        with open(self.call_log, "rb") as log:
            log.seek(self.calls_read)
            text = log.read()
        text = text[:text.rfind(b"\n") + 1]
        self.calls_read += len(text)
        return text.splitlines()

    def aws_variables(self):
        """What a client needs to use it as if it were AWS."""
        return {
            "AWS_ENDPOINT_URL_LAMBDA": self.url,
            "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": self.url,
            "AWS_ENDPOINT_URL_STS": self.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": self.options.get("LAMBDA_LOCAL_ACCESS_KEY_ID", "local"),
            "AWS_SECRET_ACCESS_KEY": self.options.get("LAMBDA_LOCAL_SECRET_ACCESS_KEY", "local"),
            "AWS_LAMBDA_ROLE_ARN": "arn:aws:iam::000000000000:role/apps",
        }

    def boto3(self, service="lambda", **more):
        """A boto3 client that talks to it (import is here: only some tests need it)."""
        import boto3
        from botocore.config import Config
        variables = self.aws_variables()
        more.setdefault("config", Config(retries={"max_attempts": 1}, connect_timeout=5, read_timeout=60))
        more.setdefault("aws_access_key_id", variables["AWS_ACCESS_KEY_ID"])
        more.setdefault("aws_secret_access_key", variables["AWS_SECRET_ACCESS_KEY"])
        return boto3.client(service, region_name="us-east-1", endpoint_url=self.url, **more)


class Managerd(Process):
    program = "managerd"

    def __init__(self, directory=None, data=None, aws=None, **more):
        """`aws`: a LambdaLocal, or the AWS_* variables as a dict."""
        super().__init__(directory, **more)
        self.data = Path(data or self.directory / "data")
        self.aws = aws
        self.token = self.options.get("MANAGERD_TOKEN")

    def variables(self):
        aws = self.aws.aws_variables() if isinstance(self.aws, LambdaLocal) else dict(self.aws or {})
        return {"MANAGERD_LISTEN": self.listen or "127.0.0.1:0", "ORCHESTRATOR_DATA_DIR": str(self.data), **aws}

    def request(self, method, path, body=None, headers=None, **more):
        """As request(), with the token, and a dict or list sent as JSON."""
        headers = dict(headers or {})
        if self.token and "Authorization" not in headers:
            headers["Authorization"] = f"Bearer {self.token}"
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        return super().request(method, path, body=body, headers=headers, **more)

    def deploy(self, name, package, wait=60, expect=(200, 201), **settings):
        """Deploys a zip (bytes), or the files of a dict, and waits; gives the operation."""
        if isinstance(package, dict):
            package = make_zip(package)
        settings.setdefault("runtime", "nodejs20.x")
        settings.setdefault("handler", "index.handler")
        answer = self.request("POST", f"/v1/apps/{quote(name)}/deployments?{urlencode(settings)}", body=package,
                              headers={"Content-Type": "application/zip", "Prefer": f"wait={wait}"},
                              timeout=wait + 10)
        assert answer.status in expect, f"deploying {name} answered {answer.status}: {answer.text}"
        return answer.json()


class Proxyd(Process):
    program = "proxyd"

    def __init__(self, directory=None, data=None, aws=None, **more):
        super().__init__(directory, **more)
        self.data = Path(data or self.directory / "data")
        self.aws = aws

    def variables(self):
        aws = self.aws.aws_variables() if isinstance(self.aws, LambdaLocal) else dict(self.aws or {})
        return {"PROXYD_LISTEN": self.listen or "127.0.0.1:0", "PROXYD_ADMIN_LISTEN": self.admin or "127.0.0.1:0",
                "PROXYD_WORKERS": "2", "ORCHESTRATOR_DATA_DIR": str(self.data), **aws}

    def app(self, name, path="/", method="GET", domain="localhost", **more):
        """A request for an app by its host name."""
        return request(self.url + path, method=method, host=f"{name}.{domain}:{self.address[1]}", **more)


class Stack:
    """lambda-local, managerd and one or more proxyd over one data folder. Options are per daemon:
    Stack(managerd={"MANAGERD_TOKEN": "t"}, proxyd={"PROXYD_WORKERS": 1}, proxies=2)."""

    def __init__(self, directory=None, lambda_local=None, managerd=None, proxyd=None, proxies=1):
        self.directory = Path(directory or scratch("stack."))
        self.data = self.directory / "data"
        common = {"directory": self.directory, "data": self.data}
        self.lambda_local = LambdaLocal(options=lambda_local, **common)
        self.managerd = Managerd(options=managerd, aws=self.lambda_local, **common)
        self.proxies = [Proxyd(options=proxyd, aws=self.lambda_local, name="proxyd" if n == 0 else f"proxyd-{n + 1}",
                               **common) for n in range(proxies)]
        self.proxyd = self.proxies[0]

    def all(self):
        return [*self.proxies, self.managerd, self.lambda_local]  # in the order in which they are stopped

    def start(self):
        self.lambda_local.start()
        self.managerd.start()
        self.managerd.wait_ready()
        for proxy in self.proxies:
            proxy.start()
            proxy.wait_ready()
        return self

    def stop(self):
        for process in self.all():
            process.stop()

    def close(self):
        faults = []
        for process in self.all():
            try:
                process.close()
            except AssertionError as fault:
                faults.append(str(fault))
            faults += process.faults
        assert not faults, "\n".join(faults)

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            for process in self.all():
                process.kill9()
            raise

    def __exit__(self, kind, value, trace):
        if kind is None:
            self.close()
            return
        for process in self.all():
            process.kill9()

    def deploy(self, name, package, **settings):
        return self.managerd.deploy(name, package, **settings)

    def app(self, name, path="/", method="GET", **more):
        return self.proxyd.app(name, path, method, **more)


# -- helpers ----------------------------------------------------------------------------------------------------------


class Response:
    def __init__(self, status, reason, headers, body):
        self.status, self.reason, self.headers, self.body = status, reason, headers, body

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        return json.loads(self.body)

    def header(self, name, default=None):
        """One header's value (repeats joined by ', ', as HTTP says)."""
        values = self.headers.get_all(name)
        return ", ".join(values) if values else default

    def __repr__(self):
        return f"<{self.status} {self.reason} {self.text[:200]!r}>"


def split_address(address):
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def send(connection, method, target, body=None, headers=None, host=None):
    """One request on an http.client connection (kept alive by the caller)."""
    headers = dict(headers or {})
    given = {name.lower() for name in headers}
    connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
    if "host" not in given:
        connection.putheader("Host", host or f"{connection.host}:{connection.port}")
    if isinstance(body, str):
        body = body.encode()
    if body is not None and not given & {"content-length", "transfer-encoding"}:
        connection.putheader("Content-Length", str(len(body)))
    for name, value in headers.items():
        for each in value if isinstance(value, (list, tuple)) else [value]:
            connection.putheader(name, each)
    connection.endheaders(body)
    response = connection.getresponse()
    return Response(response.status, response.reason, response.headers, response.read())


def request(url, method="GET", body=None, headers=None, host=None, timeout=15):
    """One request on a connection of its own. `host` overrides the Host header."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname, parts.port, timeout=timeout)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        return send(connection, method, target, body, headers, host)
    finally:
        connection.close()


def raw(address, data, timeout=5, half_close=False):
    """Sends bytes as they are; gives back everything until the peer closes or the time is over."""
    with socket.create_connection(split_address(address) if isinstance(address, str) else address, timeout) as peer:
        peer.sendall(data)
        if half_close:
            peer.shutdown(socket.SHUT_WR)
        return receive_all(peer, timeout)


def receive_all(peer, timeout=5, limit=64 << 20):
    """Everything until the peer closes, resets or stays silent for `timeout` seconds in all."""
    received, deadline = bytearray(), time.monotonic() + timeout
    while len(received) < limit:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        peer.settimeout(left)
        try:
            piece = peer.recv(65536)
        except (TimeoutError, ConnectionResetError):
            break
        if not piece:
            break
        received += piece
    return bytes(received)


def make_zip(files, executable=("bootstrap",)):
    """A zip of {name: str or bytes}; times are fixed, so equal files make equal bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, (2020, 1, 1, 0, 0, 0))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = (0o100755 if name in executable else 0o100644) << 16
            archive.writestr(entry, content.encode() if isinstance(content, str) else content)
    return out.getvalue()


def example_zip():
    return make_zip({"index.js": EXAMPLE.read_bytes()})


def wait_for(condition, seconds=10, what="the condition", pause=0.02):
    """Polls until condition() is true (its value is given back); connection errors count as not yet."""
    deadline = time.monotonic() + seconds * float(os.environ.get("TEST_PATIENCE", "1"))
    last = None
    while True:
        try:
            value = condition()
            if value:
                return value
        except (OSError, http.client.HTTPException) as problem:
            last = problem
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain until {what}" + (f" ({last})" if last else ""))
        time.sleep(pause)


def assert_lawful_metrics(text):
    """A page of figures as Prometheus's own reader takes it, each with help and type, none twice, histograms that add up."""
    from prometheus_client.parser import text_string_to_metric_families
    seen, families = set(), list(text_string_to_metric_families(text))
    assert families, "no figures at all"
    for family in families:
        assert family.documentation and family.type != "unknown", f"{family.name} has no help or no type"
        for sample in family.samples:
            key = (sample.name, tuple(sorted(sample.labels.items())))
            assert key not in seen, f"{key} is there twice"
            seen.add(key)
            assert family.type != "counter" or sample.name.endswith("_total"), f"the counter {sample.name} is not a _total"
        if family.type == "histogram":
            buckets = [(float(s.labels["le"]), s.value) for s in family.samples if s.name.endswith("_bucket") and len(s.labels) == 1]
            counts = [s.value for s in family.samples if s.name.endswith("_count") and not s.labels]
            if buckets:
                assert buckets == sorted(buckets) and [v for _, v in buckets] == sorted(v for _, v in buckets), family.name
                assert buckets[-1] == (float("inf"), counts[0]), f"{family.name}: +Inf is not the count"


def free_port():
    """A port that nothing listens on just now (for 'connection refused'; daemons under test use port 0)."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class RawServer:
    """A server that does to each connection what `behave(peer, number)` says: for faults on the wire."""

    def __init__(self, behave, port=0):
        self.behave = behave
        self.listener = socket.create_server(("127.0.0.1", port))
        self.port = self.listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.connections = 0
        self.thread = threading.Thread(target=self._serve, daemon=True)

    def _serve(self):
        while True:
            try:
                peer, _ = self.listener.accept()
            except OSError:
                return
            self.connections += 1
            threading.Thread(target=self._one, args=(peer, self.connections), daemon=True).start()

    def _one(self, peer, number):
        with peer:
            peer.settimeout(30)
            try:
                self.behave(peer, number)
            except OSError:
                pass

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *ignored):
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
