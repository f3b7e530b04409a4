"""Sandboxes of lambda-local: apart from each other, and gone when they should be, with all that they started."""
import os
import time
from pathlib import Path

import pytest

from harness import LambdaLocal, wait_for
from lambda_functions import PROVIDED, PYTHON, call, client_of, create


@pytest.fixture
def client(lambda_local):
    return client_of(lambda_local)


def marked(server):
    """Processes that bear this lambda-local's mark, zombies not counted: {pid: name}."""
    found = {}
    needle = str(server.data).encode()
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            environment = (folder / "environ").read_bytes()
            state = (folder / "stat").read_text().rsplit(")", 1)[1].split()[0]
        except OSError:
            continue
        if b"LAMBDA_LOCAL_SANDBOX=" in environment and needle in environment and state != "Z":
            found[int(folder.name)] = (folder / "comm").read_text().strip()
    return found


def children_of(pid):
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


SPAWNER = """
import os, subprocess, sys
def handler(event, context):
    plain = subprocess.Popen(["sleep", "300"])
    apart = subprocess.Popen(["setsid", "sleep", "301"])
    daemon = int(subprocess.check_output([sys.executable, "-c", '''
import os, subprocess
if os.fork() == 0:
    os.setsid()
    p = subprocess.Popen(["sleep", "302"], stdout=subprocess.DEVNULL)
    print(p.pid, flush=True)
''']))
    if event.get("exit"):
        os._exit(3)
    return [os.getpid(), plain.pid, apart.pid, daemon]
"""


def test_a_sandbox_has_its_own_group_folder_and_temporary_files(lambda_local, client):
    create(client, "f", """const fs = require('fs'), os = require('os'), path = require('path');
        exports.handler = async (event) => {
            const file = path.join(os.tmpdir(), 'mark'); const before = fs.existsSync(file); fs.writeFileSync(file, 'x');
            let refused = null; try { fs.closeSync(fs.openSync('index.js', 'r+')) } catch (e) { refused = e.code }
            return {pid: process.pid, tmp: os.tmpdir(), before, mode: fs.statSync('index.js').mode & 0o777, refused,
                    fds: fs.readdirSync('/proc/self/fd').map((n) => { try { return fs.readlinkSync('/proc/self/fd/' + n) } catch { return '' } })} }""")
    create(client, "g", "exports.handler = async () => require('os').tmpdir()")
    first = call(client, "f").payload
    assert not first["before"] and call(client, "f").payload["before"]
    assert os.getpgid(first["pid"]) == first["pid"] != os.getpgid(lambda_local.process.pid)
    assert first["tmp"].startswith(str(lambda_local.data)) and call(client, "g").payload != first["tmp"]
    assert first["mode"] == 0o444 and (os.getuid() == 0 or first["refused"] == "EACCES")
    assert not any(str(lambda_local.data) in name for name in first["fds"])  # nothing of lambda-local's is open in it


@pytest.mark.parametrize("how", ["exit", "update", "delete"])
def test_what_a_sandbox_started_ends_with_it(lambda_local, client, how):
    create(client, "f", SPAWNER, runtime=PYTHON)
    if how == "exit":
        assert call(client, "f", {"exit": True}).error == "Unhandled"
    else:
        pids = call(client, "f").payload
        assert all(alive(pid) for pid in pids)
        if how == "update":
            client.update_function_configuration(FunctionName="f", Timeout=4)
        else:
            client.delete_function(FunctionName="f")
    wait_for(lambda: not marked(lambda_local), what="all of its processes were gone")
    wait_for(lambda: len(children_of(lambda_local.process.pid)) == 1, what="all were reaped")  # the keeper stays


def test_nothing_is_left_after_sigterm(lambda_local, client):
    create(client, "f", SPAWNER, runtime=PYTHON)
    pids = call(client, "f").payload
    lambda_local.stop()
    assert not any(alive(pid) for pid in pids) and not marked(lambda_local)
    assert list((lambda_local.data / "lambda-local" / "sandboxes").iterdir()) == []


def test_nothing_is_left_after_kill_9(lambda_local, client):
    create(client, "f", SPAWNER, runtime=PYTHON)
    create(client, "busy", "exports.handler = () => { for (;;); }", Timeout=60)
    client.invoke(FunctionName="busy", InvocationType="Event")
    pids = call(client, "f").payload
    wait_for(lambda: "node" in marked(lambda_local).values(), what="the busy one ran")
    lambda_local.kill_only()
    wait_for(lambda: not marked(lambda_local), what="the keeper had ended all")
    assert not any(alive(pid) for pid in pids)
    lambda_local.start()
    assert call(client, "f").error is None


def test_invocations_under_way_end_before_the_program_does(lambda_local, client):
    import threading
    create(client, "f", "exports.handler = async () => { await new Promise((r) => setTimeout(r, 700)); return 'whole' }")
    call(client, "f")
    results = []
    thread = threading.Thread(target=lambda: results.append(call(client, "f")))
    thread.start()
    time.sleep(0.3)
    lambda_local.stop()
    thread.join(10)
    assert results[0].payload == "whole"


def test_the_drain_is_bounded_and_a_second_signal_ends_at_once():
    with LambdaLocal(options={"LAMBDA_LOCAL_DRAIN_TIMEOUT": "300ms"}) as server:
        client = client_of(server)
        create(client, "f", "exports.handler = () => { for (;;); }", Timeout=60)
        client.invoke(FunctionName="f", InvocationType="Event")
        wait_for(lambda: "node" in marked(server).values(), what="it ran")
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < 5 and not marked(server)
        server.options["LAMBDA_LOCAL_DRAIN_TIMEOUT"] = "60s"
        server.start()
        client.invoke(FunctionName="f", InvocationType="Event")
        wait_for(lambda: "node" in marked(server).values(), what="it ran again")
        server.signal(15)
        server.wait_for_event("ending")
        started = time.monotonic()
        server.stop()
        assert time.monotonic() - started < 5
        wait_for(lambda: not marked(server), what="the keeper had ended all")


def test_an_idle_sandbox_is_ended():
    with LambdaLocal(options={"LAMBDA_LOCAL_IDLE_TIMEOUT": "300ms"}) as server:
        client = client_of(server)
        create(client, "f", "exports.handler = async () => process.pid")
        pid = call(client, "f").payload
        wait_for(lambda: not alive(pid), what="the sandbox was ended")
        wait_for(lambda: not list((server.data / "lambda-local" / "sandboxes").iterdir()), what="its folder was gone")
        assert call(client, "f").payload != pid


def test_calls_at_the_same_time_have_a_sandbox_each(client, lambda_local):
    from concurrent.futures import ThreadPoolExecutor
    create(client, "f", "exports.handler = async () => { await new Promise((r) => setTimeout(r, 1500)); return process.pid }")
    clients = [client_of(lambda_local) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        pids = [result.payload for result in pool.map(lambda each: call(each, "f"), clients)]
    assert len(set(pids)) == 4


def test_a_function_of_one_kind_cannot_take_the_others_down(client):
    """A fork-happy, an exiting, a hanging and a memory-hungry function run beside a good one."""
    create(client, "good", "exports.handler = async (n) => n + 1")
    create(client, "hang", "exports.handler = () => { for (;;); }", Timeout=1)
    create(client, "exits", "exports.handler = () => process.exit(1)")
    create(client, "eats", "exports.handler = () => { const a = []; for (;;) a.push(Buffer.alloc(1 << 20, 1)) }", Timeout=5)
    create(client, "floods", "exports.handler = () => { for (;;) process.stdout.write('x'.repeat(65536)) }", Timeout=1)
    create(client, "forks", "#!/bin/sh\nfor n in 1 2 3 4 5 6 7 8 9; do sleep 300 & done\nexit 1\n", runtime=PROVIDED)
    for n in range(2):
        for name in ("hang", "exits", "eats", "floods", "forks"):
            client.invoke(FunctionName=name, InvocationType="Event")
        for k in range(40):
            assert call(client, "good", k).payload == k + 1
    assert call(client, "good", 41).payload == 42
