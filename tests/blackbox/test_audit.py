"""The audit: who did what, before and after, in a chain that shows when somebody meddled with it, and that no crash tears."""
import hashlib
import json
import shutil
import subprocess
import threading
import time

import pytest

from harness import Managerd, Stack, make_zip, request, wait_for
from test_users import AWS, BOSS, as_token, make_token

VALUE = "value-SECRET-0ddba11"


@pytest.fixture
def managerd():
    with Managerd(options={"MANAGERD_TOKEN": BOSS, "MANAGERD_DRAIN_MS": "0"}, aws=AWS) as running:
        running.wait_ready(running.url)
        yield running


def records(managerd, query="", token=BOSS):
    """All of them, the latest first, over all pages."""
    found, cursor = [], ""
    while True:
        page = as_token(managerd, token, "GET", f"/v1/audit?limit=500{query}{cursor}")
        assert page.status == 200, page.text
        found += page.json()["items"]
        if page.json()["nextCursor"] is None:
            return found
        cursor = "&cursor=" + page.json()["nextCursor"]


def verification(managerd, token=BOSS):
    return as_token(managerd, token, "GET", "/v1/audit/verification").json()


def check_by_hand(items, anchor="0" * 64, first=1):
    """Follows the chain with nothing but what docs/users.md says of it."""
    for number, record in enumerate(reversed(items), first):
        claimed = record.pop("hash")
        text = json.dumps(record, separators=(",", ":"), ensure_ascii=False)
        assert record["sequence"] == number and record["previous"] == anchor
        assert hashlib.sha256(text.encode()).hexdigest() == claimed, record
        anchor = claimed
    return anchor


def wait_for_record(managerd, wanted):
    return wait_for(lambda: [r for r in records(managerd) if wanted(r)], 10, "it is in the audit")[0]


def test_a_change_is_recorded_with_who_what_before_and_after(managerd):
    ci = make_token(managerd, "deployer", ["shop"])
    as_token(managerd, ci["secret"], "PUT", "/v1/apps/shop", {"memoryMb": 128}, X_Request_Id="first-one")
    as_token(managerd, ci["secret"], "PATCH", "/v1/apps/shop", {"memoryMb": 256, "description": "ü\u2028\u0001\""})
    as_token(managerd, ci["secret"], "PUT", "/v1/apps/shop/environment", {"variables": {"PASSWORD": VALUE}})
    environment, patch, put, token = records(managerd)
    assert put["actor"] == {"id": ci["id"], "name": "deployer of ['shop']", "role": "deployer"}
    assert (put["from"], put["endpoint"], put["method"], put["path"], put["app"], put["status"], put["requestId"]) == (
        "127.0.0.1", "putApp", "PUT", "/v1/apps/shop", "shop", 201, "first-one")
    shop = next(c for c in put["changes"] if c["record"] == "apps/shop")
    assert shop["before"] is None and {"pointer": "/memoryMb", "before": None, "after": 128} in shop["members"]
    assert patch["changes"] == [{"record": "apps/shop", "before": shop["after"], "after": patch["changes"][0]["after"],
                                 "members": [{"pointer": "/memoryMb", "before": 128, "after": 256},
                                             {"pointer": "/description", "before": "", "after": "ü\u2028\u0001\""}]}]
    assert {"pointer": "/internal/environment/names", "before": [], "after": ["PASSWORD"]} in environment["changes"][0]["members"]
    assert "fingerprint" in next(m for m in environment["changes"][0]["members"] if m["pointer"].endswith("sealed"))["after"]
    assert token["actor"]["id"] == "admin" and token["changes"][0]["record"] == f"tokens/{ci['id']}"
    everything = json.dumps(records(managerd))
    assert VALUE not in everything and ci["secret"] not in everything and BOSS not in everything
    assert hashlib.sha256(ci["secret"].encode()).hexdigest() not in everything
    head = check_by_hand(records(managerd))
    assert verification(managerd) == {"whole": True, "records": 4, "anchor": {"sequence": 0, "hash": "0" * 64},
                                      "head": {"sequence": 4, "hash": head}, "brokenAt": None, "problem": None}


def test_what_was_refused_is_recorded_too_and_strangers_together(managerd):
    viewer = make_token(managerd, "viewer", ["a"])
    assert as_token(managerd, viewer["secret"], "DELETE", "/v1/apps/a").status == 403
    assert as_token(managerd, viewer["secret"], "GET", "/v1/apps/b").status == 403
    assert as_token(managerd, BOSS, "PUT", "/v1/apps/a", {"memoryMb": -1}).status == 422
    assert as_token(managerd, BOSS, "GET", "/v1/apps/nothing").status == 404
    for _ in range(3):
        assert as_token(managerd, "aot_wrong-SECRET", "DELETE", "/v1/apps/a").status == 401
    found = wait_for(lambda: [records(managerd)] if len(records(managerd)) >= 4 else [], 10, "they are recorded")[0]
    assert [(r["endpoint"], r["status"], r["problem"], r["actor"]["id"]) for r in found] == [
        ("putApp", 422, "invalid", "admin"), ("getApp", 403, "forbidden", viewer["id"]),
        ("deleteApp", 403, "forbidden", viewer["id"]), ("createToken", 201, None, "admin")]
    # Those that nobody knows do not get to write: one record a minute, or at the end.
    managerd.restart()
    managerd.wait_ready(managerd.url)
    strangers = records(managerd)[0]
    assert (strangers["endpoint"], strangers["details"]) == (
        "authentication", {"refused": 3, "addresses": [{"address": "127.0.0.1", "count": 3}]})
    assert "SECRET" not in json.dumps(strangers)
    check_by_hand(records(managerd))


def test_an_operation_is_recorded_when_it_begins_changes_something_and_ends():
    with Stack(managerd={"MANAGERD_TOKEN": BOSS, "MANAGERD_DRAIN_MS": "0"}) as stack:
        ci = make_token(stack.managerd, "deployer", ["shop"])
        stack.managerd.token = ci["secret"]
        done = stack.managerd.deploy("shop", {"index.js": "exports.handler = async () => ({statusCode: 200})"})
        assert done["createdBy"] == f"{ci['id']} ({ci['name']})"
        stack.managerd.token = BOSS
        found = [r for r in records(stack.managerd) if r["operation"] == done["id"]]
        assert found[-1]["endpoint"] == "deploy" and found[-1]["status"] == 202 and found[-1]["actor"]["id"] == ci["id"]
        assert all(r["endpoint"] == "operation" and r["app"] == "shop" for r in found[:-1])
        assert found[0]["status"] == 200 and found[0]["actor"] == {"id": ci["id"], "name": ci["name"], "role": None}
        touched = {(c["record"], m["pointer"]) for r in found for c in r["changes"] for m in c["members"]}
        assert ("apps/shop", "/internal/traffic/versions") in touched and ("versions/shop/0000000001", "/state") in touched
        assert verification(stack.managerd)["whole"]
        # From outside, the whole log of one app.
        assert {r["app"] for r in records(stack.managerd, "&app=shop")} == {"shop"}


def test_the_list_is_filtered_paged_and_limited_by_scope(managerd):
    one, two = make_token(managerd, "admin", ["one"]), make_token(managerd, "admin", ["two"])
    for n in range(3):
        as_token(managerd, one["secret"], "PUT", "/v1/apps/one", {"memoryMb": 128 + n})
        as_token(managerd, two["secret"], "PUT", "/v1/apps/two", {"memoryMb": 128 + n})
    middle = records(managerd)[3]["time"]
    assert [r["app"] for r in records(managerd, "&app=one")] == ["one"] * 3
    assert {r["actor"]["id"] for r in records(managerd, f"&actor={two['id']}")} == {two["id"]}
    assert all(r["time"] >= middle for r in records(managerd, f"&since={middle}"))
    assert all(r["time"] < middle for r in records(managerd, f"&until={middle}"))
    assert len(records(managerd, f"&since={middle}")) + len(records(managerd, f"&until={middle}")) == 8
    mine = records(managerd, token=one["secret"])
    assert [r["app"] for r in mine] == ["one"] * 3 and verification(managerd, one["secret"])["whole"]
    asked = records(managerd)[2]["requestId"]
    assert [r["requestId"] for r in records(managerd, f"&requestId={asked}")] == [asked] and records(managerd, "&requestId=none-such") == []
    page = as_token(managerd, BOSS, "GET", "/v1/audit?limit=3").json()
    assert [r["sequence"] for r in page["items"]] == [8, 7, 6]
    page = as_token(managerd, BOSS, "GET", f"/v1/audit?limit=5&cursor={page['nextCursor']}").json()
    assert [r["sequence"] for r in page["items"]] == [5, 4, 3, 2, 1] and page["nextCursor"] is None
    for bad in ("limit=0", "cursor=zz", "since=yesterday", "app=No", "actor=", "requestId=", "requestId=a%20b", "x=1"):
        assert as_token(managerd, BOSS, "GET", f"/v1/audit?{bad}").status == 422, bad


def meddle(managerd, change):
    """Changes the state's records from outside, with managerd stopped: LMDB's own tools."""
    if not (shutil.which("mdb_dump") and shutil.which("mdb_load")):
        pytest.skip("lmdb-utils are not installed")
    managerd.stop()
    state = managerd.data / "state"
    dump = subprocess.run(["mdb_dump", "-a", state], capture_output=True, text=True, check=True).stdout.splitlines()
    out, line = [], 0
    while line < len(dump):
        if dump[line].startswith(" "):
            pair = change(bytes.fromhex(dump[line]), bytes.fromhex(dump[line + 1]))
            out += [" " + half.hex() for half in pair] if pair else []
            line += 2
        else:
            out.append(dump[line])
            line += 1
    (state / "data.mdb").unlink()
    subprocess.run(["mdb_load", state], input="\n".join(out) + "\n", text=True, check=True)
    managerd.start()
    managerd.wait_ready(managerd.url)


@pytest.mark.parametrize("kind, broken", [("changed", 3), ("taken out", 3), ("last taken out", 5), ("made anew", 4)])
def test_whoever_meddles_with_the_audit_is_found_out(managerd, kind, broken):
    for n in range(5):
        as_token(managerd, BOSS, "PUT", f"/v1/apps/app-{n}", {})
    assert verification(managerd)["whole"]

    def change(key, value):
        if kind == "changed" and key == b"audit/0000000000000003":
            return key, value[:value.rindex(b"}") + 1].replace(b"app-2", b"app-9")  # without its sum, which the start looks at
        if kind == "taken out" and key == b"audit/0000000000000003":
            return None
        if kind == "last taken out" and key == b"audit/0000000000000005":
            return None
        if kind == "made anew" and key == b"audit/0000000000000003":
            body = value[8:].replace(b"app-2", b"app-9")
            text = body[:body.rindex(b',"hash":"')] + b"}"
            return key, value[:8] + text[:-1] + b',"hash":"' + hashlib.sha256(text).hexdigest().encode() + b'"}'
        return key, value
    meddle(managerd, change)
    found = verification(managerd)
    assert found["whole"] is False and found["brokenAt"] == broken and found["problem"], found
    assert as_token(managerd, BOSS, "GET", "/v1/audit").status == 200


def test_what_is_old_goes_and_the_rest_stays_a_chain():
    with Managerd(options={"MANAGERD_TOKEN": BOSS, "MANAGERD_AUDIT_MAX_RECORDS": "10"}, aws=AWS) as managerd:
        managerd.wait_ready(managerd.url)
        for n in range(25):
            as_token(managerd, BOSS, "PUT", "/v1/apps/app", {"memoryMb": 128 + n})
        managerd.restart()  # it is looked after at each start, and hourly
        managerd.wait_ready(managerd.url)
        kept = wait_for(lambda: [r] if len(r := records(managerd)) == 10 else [], 10, "ten are left")[0]
        found = verification(managerd)
        assert found["whole"] and found["records"] == 10 and found["anchor"]["sequence"] == 15
        assert check_by_hand(kept, found["anchor"]["hash"], 16) == found["head"]["hash"]
        as_token(managerd, BOSS, "PUT", "/v1/apps/app", {"memoryMb": 999})
        assert verification(managerd)["records"] == 11


def test_a_thousand_records_in_a_row_are_one_chain_whoever_writes_at_once(managerd):
    def write(name):
        for n in range(40):
            as_token(managerd, BOSS, "PUT", f"/v1/apps/{name}", {"memoryMb": 128 + n})
            as_token(managerd, BOSS, "PATCH", "/v1/apps/shared", {"description": f"{name} {n}"})
    as_token(managerd, BOSS, "PUT", "/v1/apps/shared", {})
    threads = [threading.Thread(target=write, args=(f"app-{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    looked = [verification(managerd)["whole"] for _ in range(5)]
    for thread in threads:
        thread.join()
    assert all(looked)
    found = records(managerd)
    # Each change is there once, however often it was tried again because of the others.
    shared = [next(m["after"] for m in r["changes"][0]["members"] if m["pointer"] == "/description")
              for r in found if r["endpoint"] == "patchApp"]
    assert sorted(shared) == sorted(f"app-{n} {i}" for n in range(8) for i in range(40))
    befores = [r["changes"][0]["before"] for r in found if r["app"] == "shared"]
    afters = [r["changes"][0]["after"] for r in found if r["app"] == "shared"]
    assert befores[:-1] == afters[1:] and befores[-1] is None
    check_by_hand(found)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_killed_at_any_commit_the_chain_is_whole_and_no_acknowledged_change_is_missing(managerd):
    acknowledged, number = [], 0
    for commit in range(1, 9):
        pid = managerd.daemon_pid()
        tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync",
                                   "-e", f"inject=fdatasync:signal=KILL:when={commit}", "-p", str(pid)], stderr=subprocess.PIPE)
        try:
            wait_for(lambda: "\nTracerPid:\t0\n" not in open(f"/proc/{pid}/status").read(), 10, "strace holds managerd")
            while managerd.running and number < 1000:
                number += 1
                try:
                    if as_token(managerd, BOSS, "PUT", f"/v1/apps/app-{number}", {}).status == 201:
                        acknowledged.append(f"app-{number}")
                    as_token(managerd, BOSS, "PUT", f"/v1/apps/app-{number}", {"memoryMb": 1})  # refused
                except Exception as problem:
                    assert isinstance(problem, OSError) or type(problem).__module__ == "http.client", problem
                    wait_for(lambda: not managerd.running, 20, "managerd is dead")
        finally:
            tracer.terminate()
            tracer.wait(10)
        assert not managerd.running
        managerd.exit_code = managerd.process.wait(10)
        managerd.start()
        managerd.wait_ready(managerd.url)
        found = records(managerd)
        check_by_hand([dict(r) for r in found])
        assert verification(managerd)["whole"]
        recorded = {r["app"] for r in found if r["endpoint"] == "putApp" and r["status"] == 201}
        existing = {a["name"] for a in as_token(managerd, BOSS, "GET", "/v1/apps?limit=500").json()["items"]}
        # A change and its record are there together or not at all.
        assert set(acknowledged) <= existing == recorded
    assert acknowledged
