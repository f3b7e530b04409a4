"""State with something in it, stopped managers over copies of it, and what they say when they do not start."""
import shutil
import subprocess
import tempfile

import pytest

from harness import Managerd, binary

AWS = {"AWS_ENDPOINT_URL_LAMBDA": "http://127.0.0.1:9", "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"}
SOURCE = "exports.handler = async () => ({{statusCode: 200, body: '{}'}});"
PAGE = 4096

def fill(daemon, count=40):
    """Apps of several sizes, and some that went; gives what is there: {name: description}."""
    kept = {}
    for number in range(count):
        kept[f"app-{number}"] = "x" * (number * 317 % 900)
        assert daemon.request("PUT", f"/v1/apps/app-{number}", {"description": kept[f"app-{number}"]}).status == 201
    for number in range(0, count, 9):
        assert daemon.request("DELETE", f"/v1/apps/app-{number}", headers={"Prefer": "wait=10"}).status == 200
        del kept[f"app-{number}"]
    return kept


def there(daemon):
    found, cursor = {}, ""
    while True:
        answer = daemon.request("GET", f"/v1/apps?limit=500{cursor}")
        assert answer.status == 200, answer.text
        found.update({app["name"]: app["description"] for app in answer.json()["items"]})
        if not answer.json()["nextCursor"]:
            return found
        cursor = "&cursor=" + answer.json()["nextCursor"]


def command(daemon, *arguments, expect=0, **variables):
    """Runs managerd once with the daemon's settings; gives what it says."""
    environment = {**daemon.environment(), **variables}
    done = subprocess.run([str(binary("managerd")), *map(str, arguments)], env=environment, capture_output=True, text=True, timeout=60)
    assert expect is None or done.returncode == expect, done
    assert "Sanitizer" not in done.stderr and "runtime error" not in done.stderr, done.stderr
    return done


def refused(daemon, *parts, code=1):
    """A start that fails with one sentence, and changes nothing that counts."""
    daemon.launch()
    daemon.wait(expect=code, seconds=30)
    said = [line for line in daemon.log_text().splitlines() if line.startswith("managerd: ")]
    assert len(said) == 1 and said[0].endswith("."), daemon.log_text()
    for part in parts:
        assert part in said[0], said[0]
    return said[0]


@pytest.fixture(scope="module")
def filled():
    """A stopped managerd's data folder, and what is in it."""
    with tempfile.TemporaryDirectory(prefix="filled.") as folder:  # it stays for all tests
        daemon = Managerd(directory=folder, aws=AWS)
        with daemon:
            kept = fill(daemon)
            assert there(daemon) == kept
        yield daemon.data, kept


@pytest.fixture
def copy(filled):
    """A managerd, not started, over a copy of it."""
    daemon = Managerd(aws=AWS)
    shutil.copytree(filled[0], daemon.data)
    daemon.kept = filled[1]
    return daemon
