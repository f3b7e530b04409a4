"""Many apps as one file: export gives what apply takes, a plan tells what would change, and one operation changes it."""
import copy
import json
import random
import shutil
import subprocess
import threading

import pytest

from harness import Stack, make_zip, request, wait_for
from openapi import Document

FINAL = ("succeeded", "failed", "cancelled")


def package(text):
    return make_zip({"index.js": f"exports.handler = async () => ({{statusCode: 200, body: {json.dumps(text)} + (process.env.SECRET || '')}});"})


@pytest.fixture(scope="module")
def stack():
    with Stack(managerd={"MANAGERD_DRAIN_MS": "0", "MANAGERD_BASE_DOMAIN": "localhost"}) as running:
        for name in ("base", "other"):
            for text in "12":
                running.deploy(name, package(name + text))
        yield running


def call(stack, method, path, body=None, status=None, **headers):
    answer = stack.managerd.request(method, path, body, headers={name.replace("_", "-"): text for name, text in headers.items()}, timeout=60)
    assert status is None or answer.status == status, answer.text
    return answer


def export(stack):
    return call(stack, "GET", "/v1/export", status=200).json()


def plan(stack, document, prune=False):
    return call(stack, "POST", f"/v1/apply?dryRun=true{'&prune=true' if prune else ''}", document, status=200).json()["changes"]


def apply(stack, document, prune=False, status=200):
    return call(stack, "POST", f"/v1/apply{'?prune=true' if prune else ''}", document, status=status, Prefer="wait=50").json()


def pointers(answer):
    return sorted(error["pointer"] for error in answer.json()["errors"])


def test_a_document_makes_apps_domains_and_traffic_in_one_operation(stack):
    document = {"apps": [{"name": "made", "memoryMb": 256, "environment": {"SECRET": "s3cret"}, "labels": {"a": "b"}},
                         {"name": "base", "traffic": {"versions": [{"version": 1, "percent": 100}]}, "handler": "index.handler", "runtime": "nodejs20.x"}],
                "domains": [{"host": "Made.Example.ORG", "paths": [{"app": "made"}, {"prefix": "/base/", "app": "base", "stripPrefix": True}]}]}
    before = export(stack)
    planned = plan(stack, document)
    assert export(stack) == before, "a plan changes nothing"
    assert [(change["action"], change["kind"], change["name"]) for change in planned] == [
        ("create", "app", "made"), ("change", "app", "base"), ("create", "domain", "made.example.org")]
    assert "s3cret" not in json.dumps(planned) and "sealed" not in json.dumps(planned)
    assert planned[1]["differences"] == [{"pointer": "/traffic", "before": {"versions": [{"version": 2, "percent": 100}], "sticky": "none"},
                                          "after": {"versions": [{"version": 1, "percent": 100}], "sticky": "none"}}]
    operation = apply(stack, document)
    assert (operation["type"], operation["state"], operation["result"]) == ("apply", "succeeded", {"created": 2, "changed": 1, "deployed": 0, "deleted": 0})
    assert [(step["name"], step.get("subject"), step["state"]) for step in operation["steps"]] == [
        ("create-app", "made", "done"), ("change-app", "base", "done"), ("create-domain", "made.example.org", "done"), ("publish-routes", None, "done")]
    assert "s3cret" not in json.dumps(operation) and "sealed" not in json.dumps(operation)
    assert stack.app("base").text == "base1" and request(stack.proxyd.url + "/base/x", host="made.example.org").text == "base1", "in force"
    app = call(stack, "GET", "/v1/apps/made").json()
    assert app["memoryMb"] == 256 and app["domains"] == ["made.example.org"] and app["runtime"] == "nodejs22.x", "what is absent has its default"
    stack.deploy("made", package("made"))
    assert stack.app("made").text == "mades3cret", "values arrive"
    assert call(stack, "GET", "/v1/apps/made/history").json()["items"][-1]["action"] == "apply"
    document["apps"][0].update(runtime="nodejs20.x")
    assert plan(stack, document) == [] and apply(stack, document)["result"] == {"created": 0, "changed": 0, "deployed": 0, "deleted": 0}, "twice is once"


def test_names_without_values_keep_what_is_there(stack):
    apply(stack, {"apps": [{"name": "kept", "environment": {"A1": "one", "B1": "two"}}]})
    call(stack, "PATCH", "/v1/apps/kept", {"memoryMb": 512}, status=200)
    assert plan(stack, {"apps": [{"name": "kept", "memoryMb": 512, "environment": ["B1", "A1"]}]}) == []
    assert plan(stack, {"apps": [{"name": "kept", "memoryMb": 512}]}) == [], "absent: as it is"
    assert plan(stack, {"apps": [{"name": "kept", "memoryMb": 512, "environment": {"A1": "one", "B1": None}}]}) == []
    changed = plan(stack, {"apps": [{"name": "kept", "environment": {"A1": "other", "B1": None}}]})[0]["differences"]
    assert {difference["pointer"] for difference in changed} == {"/memoryMb", "/environment"}
    apply(stack, {"apps": [{"name": "kept", "environment": ["B1"]}]})
    assert call(stack, "GET", "/v1/apps/kept/environment").json()["names"] == ["B1"]
    answer = call(stack, "POST", "/v1/apply", {"apps": [{"name": "kept", "environment": ["A1"]}]}, status=422)
    assert pointers(answer) == ["/apps/0/environment"] and "A1 has no value yet" in answer.text


def test_everything_that_is_wrong_is_told_at_once_and_nothing_is_done(stack):
    before = export(stack)
    document = {"apps": [{"name": "good"}, {"name": "good", "memoryMb": 1}, {"name": "Bad", "nothing": 1},
                         {"name": "base", "function": {"name": "renamed"}, "environment": ["NOPE"],
                          "traffic": {"versions": [{"version": 99, "percent": 60}]}},
                         {"name": "taker", "function": {"name": "other"}}, {"name": "packed", "package": {"s3": {"bucket": "b", "key": "k"}}}],
                "domains": [{"host": "-x", "paths": [{"app": "good"}]}, {"host": "a.example.org", "paths": [{"app": "nobody"}, {"prefix": "/../x", "app": "good"}]},
                            {"host": "shop.localhost", "paths": [{"app": "good"}]}, {"paths": []}], "more": 1}
    shape = call(stack, "POST", "/v1/apply", document, status=422)
    assert pointers(shape) == ["/apps/1/memoryMb", "/apps/2/name", "/apps/2/nothing", "/apps/5/package/s3", "/domains/3/host", "/domains/3/paths", "/more"]
    for fault in (document["apps"][2], document["apps"][5], document["domains"][3]):
        (document["apps"] if fault in document["apps"] else document["domains"]).remove(fault)
    del document["more"], document["apps"][1]["memoryMb"]
    answer = call(stack, "POST", "/v1/apply?dryRun=true", document, status=422)
    assert pointers(answer) == ["/apps/1/name", "/apps/2/environment", "/apps/2/function/name", "/apps/2/traffic/versions", "/apps/2/traffic/versions/0/version",
                                "/apps/3/function/name", "/domains/0/host", "/domains/1/paths/0/app", "/domains/1/paths/1/prefix", "/domains/2/host"]
    assert pointers(call(stack, "POST", "/v1/apply", {"domains": [{"host": host, "paths": [{"app": "base"}]} for host in ("b.example.org", "B.example.org.")]},
                         status=422)) == ["/domains/1/host"]
    assert pointers(call(stack, "POST", "/v1/apply", {"apps": [{"name": f"a{n}"} for n in range(5001)]}, status=422)) == ["/apps"]
    assert call(stack, "POST", "/v1/apply", {"apps": [{"name": "big", "description": "x" * (4 << 20)}]}).status == 413
    assert call(stack, "POST", "/v1/apply?dryRun=maybe&prune=1", {}, status=422)
    assert export(stack) == before


def test_prune_deletes_what_is_not_named_and_only_when_asked(stack):
    whole = export(stack)
    apply(stack, {"apps": [{"name": "extra"}, {"name": "served"}], "domains": [{"host": "extra.example.org", "paths": [{"app": "served"}, {"prefix": "/e", "app": "extra"}]}]})
    stack.deploy("served", package("served"))
    assert request(stack.proxyd.url, host="extra.example.org").text == "served"
    assert plan(stack, whole) == []
    assert [(change["action"], change["kind"], change["name"]) for change in plan(stack, whole, prune=True)] == [
        ("delete", "domain", "extra.example.org"), ("delete", "app", "extra"), ("delete", "app", "served")]
    refused = call(stack, "POST", "/v1/apply?prune=true&dryRun=true", {"apps": [], "domains": [{"host": "x.example.org", "paths": [{"app": "served"}]}]}, status=422)
    assert pointers(refused) == ["/domains/0/paths/0/app"]
    operation = apply(stack, whole, prune=True)
    assert operation["result"]["deleted"] == 3
    assert request(stack.proxyd.url, host="extra.example.org").status == stack.app("served").status == 404
    wait_for(lambda: call(stack, "GET", "/v1/apps/served").status == 404, 30, "the app has gone")
    assert "served" not in [f["FunctionName"] for f in stack.lambda_local.boto3().list_functions()["Functions"]]
    assert export(stack) == whole and plan(stack, whole, prune=True) == []


def random_app(rng, name, versions):
    app = {"name": name}
    choices = {"description": rng.choice(["", "x", "ü \"quoted\" \\"]), "enabled": rng.random() < .7, "memoryMb": rng.randint(128, 10240), "timeoutSeconds": rng.randint(1, 900),
               "labels": {f"l{n}": str(rng.random()) for n in range(rng.randint(0, 3))}, "architecture": rng.choice(["x86_64", "arm64"]),
               "http": {"payloadFormat": rng.choice(["1.0", "2.0", "alb"])}, "probe": rng.choice([None, {}, {"path": "/healthz"}]),
               "limits": {"burst": rng.choice([None, 5]), "requestsPerSecond": rng.choice([None, 1.5, 20]), "maxInFlight": rng.choice([1, None])},
               "previewUrls": rng.random() < .5, "respondAsync": rng.random() < .5,
               "access": rng.choice([{}, {"apiKeys": {"header": "X-K"}}, {"cors": {"allowOrigins": ["https://a.example"], "allowMethods": ["GET"]}}]),
               "environment": {f"V{n}": str(rng.random()) for n in range(rng.randint(0, 3))}}
    app.update({key: value for key, value in choices.items() if rng.random() < .5})
    if versions and rng.random() < .6:
        share = rng.randint(1, 9999) / 100
        app["traffic"] = {"versions": [{"version": 1, "percent": share}, {"version": 2, "percent": round(100 - share, 2)}], "sticky": rng.choice(["none", "cookie", "address"])}
    return app


def test_export_apply_export_is_equal_whatever_the_state(stack):
    rng = random.Random(4)
    for round_number in range(25):
        names = ["base", "other"] + [f"random-{n}" for n in range(rng.randint(0, 4))]
        document = {"apps": [random_app(rng, name, name in ("base", "other")) for name in names], "domains": [
            {"host": rng.choice(["", "*."]) + f"r{n}.example.net", "paths": [{"prefix": prefix, "app": rng.choice(names), "stripPrefix": rng.random() < .5}
                                                 for prefix in rng.sample(["/", "/a", "/a/b", "/%C3%A9", "/z~"], rng.randint(1, 3))]} for n in range(rng.randint(0, 3))]}
        assert apply(stack, document)["state"] == "succeeded"
        assert plan(stack, document) == [], (round_number, document)
        first = export(stack)
        assert plan(stack, first, prune=True) == [], round_number
        assert apply(stack, first, prune=True)["result"] == {"created": 0, "changed": 0, "deployed": 0, "deleted": 0}
        assert export(stack) == first
        shuffled = copy.deepcopy(first)
        rng.shuffle(shuffled["apps"])
        rng.shuffle(shuffled["domains"])
        assert plan(stack, shuffled, prune=True) == []
        wanted = {app["name"]: app for app in document["apps"]}
        for app in first["apps"]:
            assert {"createdAt", "revision", "urls", "domains"} & set(app) == set(), "no read-only members"
            for key, value in wanted.get(app["name"], {}).items():
                if key == "environment":
                    assert app[key] == list(value)
                elif not isinstance(value, dict):
                    assert app[key] == value
    assert [app["name"] for app in first["apps"]] == sorted(app["name"] for app in first["apps"])
    document = Document(call(stack, "GET", "/openapi.json").body)
    assert document.faults(document.calls["export"], 200, "application/json", json.dumps(first)) == []


def test_an_app_that_is_read_can_be_pasted(stack):
    read = call(stack, "GET", "/v1/apps/base").json()
    domain = call(stack, "PUT", "/v1/domains/pasted.example.org", {"paths": [{"app": "base"}]}, status=201).json()
    assert plan(stack, {"apps": [read], "domains": [{"host": domain["host"], "paths": domain["paths"]}]}) == []


def test_what_fails_on_the_way_tells_what_was_done(stack):
    """The last app's function becomes another's while the steps before it are under way."""
    for number in range(10):
        fillers = [{"name": f"filler-{n}", "description": str(number)} for n in range(60)]
        document = {"apps": [{"name": f"early-{number}"}, *fillers, {"name": f"taken-{number}", "function": {"name": f"wanted-{number}"}}, {"name": f"late-{number}"}]}
        started = call(stack, "POST", "/v1/apply", document, status=202)
        taken = call(stack, "PUT", f"/v1/apps/taker-{number}", {"function": {"name": f"wanted-{number}"}})
        operation = wait_for(lambda: (lambda o: o if o["state"] in FINAL else None)(call(stack, "GET", started.header("Location")).json()), 30, "it ended")
        if operation["state"] == "failed":
            break
        assert taken.status == 409, "whoever came second is told"
    states = {step.get("subject"): step["state"] for step in operation["steps"]}
    assert operation["state"] == "failed" and operation["problem"]["type"] == "/problems/conflict" and f"taker-{number}" in operation["problem"]["detail"]
    assert (states[f"early-{number}"], states[f"taken-{number}"], states[f"late-{number}"]) == ("done", "failed", "waiting")
    assert call(stack, "GET", f"/v1/apps/early-{number}").status == 200 and call(stack, "GET", f"/v1/apps/late-{number}").status == 404
    document["apps"][-2]["function"] = {}
    assert [change["name"] for change in plan(stack, document)] == [f"taken-{number}", f"late-{number}"], "what is left can be applied again"
    assert apply(stack, document)["state"] == "succeeded"


def test_cancelled_between_two_steps_what_was_done_stays(stack):
    document = {"apps": [{"name": f"cancel-{n}"} for n in range(1000)]}
    started = call(stack, "POST", "/v1/apply", document, status=202)
    operation = call(stack, "POST", started.header("Location") + "/cancel", Prefer="wait=30").json()
    assert "steps" in operation, operation
    done = [step["subject"] for step in operation["steps"] if step["state"] == "done"]
    assert operation["state"] == "cancelled" and len(done) < 1000
    assert [app["name"] for app in export(stack)["apps"] if app["name"].startswith("cancel-")] == sorted(done)
    left = {step["subject"] for step in operation["steps"] if step["state"] != "done" and step.get("subject")}
    assert {change["name"] for change in plan(stack, document)} == left and apply(stack, document)["state"] == "succeeded"


def test_the_example_of_the_api_document_can_be_applied(stack):
    example = Document(call(stack, "GET", "/openapi.json").body).calls["apply"].body["application/json"]["example"]
    assert apply(stack, example)["state"] == "succeeded" and plan(stack, example) == []
    assert apply(stack, {})["result"] == {"created": 0, "changed": 0, "deployed": 0, "deleted": 0}, "an empty document asks for nothing"


def test_the_same_key_applies_once_and_two_documents_at_once_are_one_after_the_other(stack):
    document = {"apps": [{"name": "once"}]}
    first = call(stack, "POST", "/v1/apply", document, status=200, Prefer="wait=30", Idempotency_Key="apply-1").json()
    again = call(stack, "POST", "/v1/apply", document, Prefer="wait=30", Idempotency_Key="apply-1")
    assert again.header("Idempotency-Replayed") == "true" and again.json()["id"] == first["id"]
    answers = []
    def both(text):
        answers.append(apply(stack, {"apps": [{"name": f"both-{n}", "description": text} for n in range(20)]}))
    threads = [threading.Thread(target=both, args=(text,)) for text in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [answer["state"] for answer in answers] == ["succeeded"] * 2
    assert len({app["description"] for app in export(stack)["apps"] if app["name"].startswith("both-")}) == 1


def kill_at_commit(managerd, document, commit):
    """Applies, and kills managerd within its commit-th commit; False when it needed fewer."""
    pid = managerd.process.pid
    tracer = subprocess.Popen(["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=fdatasync", "-e", f"inject=fdatasync:signal=KILL:when={commit}",
                               "-p", str(pid)], stderr=subprocess.PIPE)
    try:
        wait_for(lambda: "\nTracerPid:\t0\n" not in open(f"/proc/{pid}/status").read(), 10, "strace holds managerd")
        try:
            managerd.request("POST", "/v1/apply?prune=true", document, headers={"Prefer": "wait=30"}, timeout=40)
        except Exception:  # the connection dies with it
            pass
        if managerd.running:
            def quiet():
                items = managerd.request("GET", "/v1/operations?limit=500").json()["items"]
                return all(one["state"] in FINAL for one in items)
            wait_for(lambda: not managerd.running or quiet(), 40, "all operations ended, or managerd did")
        died = not managerd.running
        if died:
            managerd.exit_code = managerd.process.wait(10)
            assert managerd.exit_code == -9
    finally:
        tracer.terminate()
        tracer.wait(10)
    if died:
        managerd.start()
        managerd.wait_ready(managerd.url)
    return died


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_killed_at_each_commit_an_acknowledged_document_becomes_true():
    """Odd documents have what even ones have not, and prune the rest."""
    with Stack(managerd={"MANAGERD_DRAIN_MS": "0"}) as stack:
        managerd = stack.managerd
        stack.deploy("serving", package("1"))
        serving = {"name": "serving", "runtime": "nodejs20.x"}
        for commit in range(1, 60):
            kind = "odd" if commit % 2 else "even"
            document = {"apps": [dict(serving, description=str(commit)), {"name": kind, "environment": {"SECRET": kind}}],
                        "domains": [{"host": f"{kind}.example.org", "paths": [{"app": "serving"}, {"prefix": "/x", "app": kind}]}]}
            known = {one["id"] for one in call(stack, "GET", "/v1/operations?limit=500").json()["items"]}
            died = kill_at_commit(managerd, document, commit)
            def ended():
                items = call(stack, "GET", "/v1/operations?limit=500").json()["items"]
                return [one for one in items if one["id"] not in known] or [None] if all(one["state"] in FINAL for one in items) else None
            new = [one for one in wait_for(ended, 40, "every operation has ended") if one]
            assert all(one["state"] == "succeeded" for one in new), new
            if any(one["type"] == "apply" for one in new):
                assert plan(stack, document, prune=True) == [], commit
                assert request(stack.proxyd.url, host=f"{kind}.example.org").text == "1"
                others = {"odd": "even", "even": "odd"}[kind]
                assert request(stack.proxyd.url, host=f"{others}.example.org").status == 404
            else:
                assert died and commit == 1, "only what was not begun may be missing"
                apply(stack, document, prune=True)
            if not died:
                assert commit > 6
                return
        pytest.fail("it takes fewer commits than that")
