"""Packages from the npm registry for tests that drive our servers with others' clients."""
import fcntl
import hashlib
import os
import shutil
import subprocess

import pytest

import harness

_verdict = None  # why the registry cannot be used, or "" when it can; asked once a run


def install(*packages):
    """A folder whose node_modules holds those packages (name@version, pinned). Kept below build/npm for the next run.
    Where the registry cannot be reached the test is skipped with the reason, or fails when CI=true."""
    name = hashlib.sha256(" ".join(sorted(packages)).encode()).hexdigest()[:16]
    folder = harness.TOP / "build" / "npm" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    with open(folder.with_suffix(".lock"), "w") as lock:  # test files run side by side
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _install_into(folder, packages)
    return folder


def _install_into(folder, packages):
    reason = registry_problem()
    if reason:
        if os.environ.get("CI") == "true":
            pytest.fail(f"CI needs the npm registry: {reason}", pytrace=False)
        pytest.skip(f"needs npm: {reason}")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "package.json").write_text('{"private": true}\n')
    done = run("install", "--no-audit", "--no-fund", "--no-progress", "--ignore-scripts", *packages, cwd=folder,
               timeout=240)
    assert done.returncode == 0, f"npm install failed:\n{done.stdout}"
    (folder / "complete").write_text("\n".join(packages) + "\n")


def registry_problem():
    global _verdict
    if _verdict is None:
        if shutil.which("npm") is None:
            _verdict = "npm is not installed"
        else:
            try:
                ping = run("ping", "--fetch-retries=0", "--fetch-timeout=5000", timeout=30)
                _verdict = "" if ping.returncode == 0 else "the npm registry cannot be reached"
            except subprocess.TimeoutExpired:
                _verdict = "the npm registry does not answer"
    return _verdict


def run(*arguments, cwd=None, timeout):
    environment = {**os.environ, "npm_config_update_notifier": "false"}
    return subprocess.run(["npm", *arguments], cwd=cwd, env=environment, timeout=timeout, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
