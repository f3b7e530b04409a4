"""deploy/ci/deploy.sh, as a pipeline runs it: with each POSIX shell that is there."""
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path

import pytest

from harness import RawServer, Stack, free_port, make_zip, wait_for

SCRIPT = Path(__file__).resolve().parents[2] / "deploy" / "ci" / "deploy.sh"
SHELLS = [shell for shell in (["dash"], ["busybox", "sh"], ["bash", "--posix"]) if shutil.which(shell[0])]
TOKEN = "a-token-for-pipelines"
SOURCE = "exports.handler = async () => ({{statusCode: {status}, body: {text!r}}});"


@pytest.fixture(scope="module")
def stack():
    with Stack(managerd={"MANAGERD_TOKEN": TOKEN}, proxies=1) as stack:
        yield stack


@pytest.fixture(params=SHELLS, ids=[shell[0] for shell in SHELLS])
def shell(request):
    return request.param


def package(folder, text, status=200):
    path = Path(folder) / "app with blanks.zip"
    path.write_bytes(make_zip({"index.js": SOURCE.format(text=text, status=status)}))
    return str(path)


def run(shell, url, *arguments, token=TOKEN, **variables):
    environment = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "MANAGERD_URL": url, "CI_COMMIT_SHA": "c0ffee", **variables}
    if token:
        environment["MANAGERD_TOKEN"] = token
    return subprocess.run([*shell, str(SCRIPT), *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=120)


def versions(daemon, app):
    return [(v["version"], v["state"]) for v in daemon.request("GET", f"/v1/apps/{app}/versions").json()["items"]]


def test_it_deploys_shows_the_steps_and_is_safe_to_run_again(stack, shell, tmp_path):
    daemon, app = stack.managerd, f"ci-{shell[0]}"
    zipped, output = package(tmp_path, "one"), tmp_path / "output"
    settings = ("runtime=nodejs20.x", "memoryMb=192", "description=50% more & \"quotes\" ü")
    first = run(shell, daemon.url, app, zipped, *settings, GITHUB_OUTPUT=str(output))
    assert first.returncode == 0, first
    assert "publish-version" in first.stdout and first.stdout.endswith(f"{app}: version 1 is deployed\n")
    assert first.stdout.index("create-function") < first.stdout.index("publish-routes")
    assert output.read_text().startswith("version=1\noperation=")
    version = daemon.request("GET", f"/v1/apps/{app}/versions/1").json()
    assert version["memoryMb"] == 192 and version["description"] == "50% more & \"quotes\" ü"
    wait_for(lambda: stack.app(app).text == "one", 10, "the app answers")
    again = run(shell, daemon.url, app, zipped, *settings)
    assert again.returncode == 0 and "asked for already" in again.stdout and "version 1 is deployed" in again.stdout
    assert versions(daemon, app) == [(1, "ready")]
    assert run(shell, daemon.url, "-q", "-k", "2nd", app, zipped, *settings).stdout == ""
    another = run(shell, daemon.url, "-p", "12.5", app, package(tmp_path, "two"), CI_COMMIT_SHA="decaf")
    assert another.returncode == 0 and "version 3 is deployed" in another.stdout
    shares = {v["version"]: v["percent"] for v in daemon.request("GET", f"/v1/apps/{app}/traffic").json()["versions"]}
    assert shares == {2: 87.5, 3: 12.5}


def test_what_failed_is_told_and_tried_again(stack, shell, tmp_path):
    daemon, app = stack.managerd, f"sick-{shell[0]}"
    zipped = package(tmp_path, "ill", status=500)
    for number in (1, 2):
        failed = run(shell, daemon.url, app, zipped, GITHUB_ACTIONS="true")
        assert failed.returncode == 1, failed
        assert "The new version does not answer as it must" in failed.stderr
        assert f"::error title={app} was not deployed::" in failed.stdout
        assert "probe" in failed.stdout and "failed" in failed.stdout
        assert versions(daemon, app)[-1] == (number, "failed") and len(versions(daemon, app)) == number


def test_what_is_refused_is_told_at_once(stack, shell, tmp_path):
    url, zipped = stack.managerd.url, package(tmp_path, "x")
    wrong = run(shell, url, "refused", zipped, "memoryMb=7", "nonsense=1")
    assert wrong.returncode == 1 and "memoryMb" in wrong.stderr and "nonsense" in wrong.stderr, wrong
    (tmp_path / "empty.zip").write_bytes(b"no zip")
    assert "The package cannot be deployed" in run(shell, url, "refused", tmp_path / "empty.zip").stderr
    stranger = run(shell, url, "refused", zipped, token="not-this-one")
    assert stranger.returncode == 1 and "A token is needed" in stranger.stderr
    for arguments in ((), ("app",), ("app", "/no/such.zip"), ("App!", zipped), ("app", zipped, "nothing"), ("-p", "much", "app", zipped),
                      ("-t", "0", "app", zipped), ("-T", "/no/such", "app", zipped), ("-x", "app", zipped), ("-u", "ftp://x", "app", zipped)):
        assert run(shell, url, *arguments).returncode == 2, arguments
    assert run(shell, url, "-h").stdout.startswith("  deploy.sh [options] APP ZIP")


def test_the_token_is_in_no_list_of_processes_and_in_no_environment_of_curl(stack, tmp_path):
    secret, seen, ended = tmp_path / "token", [], threading.Event()
    secret.write_text(TOKEN + "\n")

    def look():
        while not ended.is_set():
            for folder in Path("/proc").glob("[0-9]*"):
                try:
                    command = (folder / "cmdline").read_bytes()
                    if b"curl" in command:
                        seen.append(command + (folder / "environ").read_bytes())
                except OSError:
                    pass

    watcher = threading.Thread(target=look)
    watcher.start()
    result = run(SHELLS[0], stack.managerd.url, "-T", secret, "by-file", package(tmp_path, "x"), token=None)
    by_variable = run(SHELLS[0], stack.managerd.url, "by-variable", package(tmp_path, "x"))
    ended.set()
    watcher.join()
    assert result.returncode == 0 and by_variable.returncode == 0, (result, by_variable)
    ours = [entry for entry in seen if b"Idempotency-Key" in entry or b"/v1/operations/" in entry]
    assert ours, "the watcher saw no curl"
    assert not [entry for entry in ours if TOKEN.encode() in entry]
    assert not list(Path(os.environ.get("TMPDIR", "/tmp")).glob("deploy.??????/curl")), "the token's file is gone"


def test_a_restart_of_managerd_in_the_middle_is_ridden_out(tmp_path):
    with Stack(managerd={"MANAGERD_TOKEN": TOKEN}, lambda_local={"LAMBDA_LOCAL_READY_DELAY_MS": "2000"}) as stack:
        results = []
        worker = threading.Thread(target=lambda: results.append(run(SHELLS[0], stack.managerd.url, "patient", package(tmp_path, "x"))))
        worker.start()
        wait_for(lambda: stack.managerd.request("GET", "/v1/operations?app=patient").json()["items"], 20, "it has begun")
        stack.managerd.kill9()
        time.sleep(1.5)
        stack.managerd.start()
        worker.join()
        assert results[0].returncode == 0 and "version 1 is deployed" in results[0].stdout, results
        assert versions(stack.managerd, "patient") == [(1, "ready")]


def test_time_has_an_end(stack, tmp_path):
    began = time.monotonic()
    lost = run(SHELLS[0], f"http://127.0.0.1:{free_port()}", "-t", "3", "lost", package(tmp_path, "x"))
    assert lost.returncode in (3, 4) and "deploy.sh: " in lost.stderr
    with RawServer(lambda peer, number: time.sleep(8)) as mute:
        silent = run(SHELLS[0], mute.url, "-t", "2", "lost", package(tmp_path, "x"))
    assert silent.returncode == 3, silent
    assert time.monotonic() - began < 40


def test_shellcheck_has_nothing_to_say():
    if not shutil.which("shellcheck"):
        pytest.skip("shellcheck is not here")
    assert subprocess.run(["shellcheck", "-s", "sh", str(SCRIPT)], capture_output=True, text=True).stdout == ""
