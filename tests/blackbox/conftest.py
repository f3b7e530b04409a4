"""Fixtures for the black-box tests, and the checks after each of them: exit codes, sanitizer reports, logs on failure."""
import os
import shutil

import pytest

import aws_calls
import harness
import npm


def pytest_configure(config):
    config.addinivalue_line("markers", "threads: runs again under ThreadSanitizer in tests/run.sh")
    config.addinivalue_line("markers", "long: only in tests/long.sh")
    config.addinivalue_line("markers", "soak: long, against the release build")
    config.addinivalue_line("markers", "asks_wrongly(words): AWS is to refuse a call; faults of calls with these words are no fault of ours")
    config.addinivalue_line("markers", "load: needs the machine's full speed (left out under valgrind)")


def pytest_collection_modifyitems(config, items):
    if os.environ.get("TEST_LONG"):
        return
    for item in items:
        if item.get_closest_marker("long"):
            item.add_marker(pytest.mark.skip(reason="part of tests/long.sh"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    outcome = yield
    setattr(item, f"report_{call.when}", outcome.get_result())


@pytest.fixture(autouse=True)
def daemons_behave(request):
    """After each test: no daemon ended by itself, none wrote a sanitizer report; logs are shown when the test failed."""
    for process in harness.processes:
        process.faults.clear()  # told already, by the test they belong to
    yield
    faults = []
    for process in list(harness.processes):
        faults += process.look_for_reports()
    wanted = [mark.args[0] for mark in request.node.iter_markers("asks_wrongly")]
    faults += [fault for fault in aws_calls.faults(harness.processes) if not any(words in fault for words in wanted)]
    reports = [getattr(request.node, f"report_{phase}", None) for phase in ("setup", "call")]
    failed = bool(faults) or any(report is not None and report.failed for report in reports)
    if failed:
        for process in harness.processes:
            if process.starts:
                process.print_logs()
    # Forget those that ended: later tests have nothing to do with them.
    harness.processes[:] = [process for process in harness.processes if process.running]
    harness.sweep(keep=failed)
    assert not faults, "\n".join(faults)


def pytest_sessionfinish(session, exitstatus):
    for process in harness.processes:
        process.kill9()
    harness.sweep()
    aws_calls.leave()


def scene(make):
    """Starts what `make` gives, hands it to the test, closes it afterwards."""
    made = make()
    try:
        made.start()
    except BaseException:
        for process in made.all() if hasattr(made, "all") else [made]:
            process.kill9()
        raise
    try:
        yield made
    finally:
        made.close()


@pytest.fixture
def lambda_local():
    yield from scene(harness.LambdaLocal)


@pytest.fixture
def managerd(lambda_local):
    yield from scene(lambda: harness.Managerd(aws=lambda_local))


@pytest.fixture
def stack():
    """All three, fresh for this test."""
    yield from scene(harness.Stack)


@pytest.fixture(scope="module")
def shared_stack():
    """All three, shared by the tests of one file (they use app names of their own)."""
    yield from scene(harness.Stack)


@pytest.fixture
def hello_zip():
    return harness.example_zip()


@pytest.fixture(scope="session")
def npm_packages():
    """npm_packages("@aws-sdk/client-lambda@3.…") gives a folder with those packages in its node_modules."""
    return npm.install


@pytest.fixture(scope="session", autouse=True)
def node_is_there():
    if shutil.which("node") is None:
        pytest.exit("node is not installed: deploy/dependencies.sh names the packages", returncode=1)
