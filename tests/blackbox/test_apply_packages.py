"""Packages in a document: named, brought along, deployed side by side, and left alone when they serve already."""
import base64
import json
import time

import pytest

from harness import LambdaLocal, Managerd, Stack, make_zip, wait_for

FINAL = ("succeeded", "failed", "cancelled")
RUN = {"runtime": "nodejs20.x", "handler": "index.handler"}


def package(text):
    return make_zip({"index.js": f"exports.handler = async () => ({{statusCode: 200, body: {json.dumps(text)} + (process.env.SECRET || '')}});"})


def zipped(data):
    return {"zip": base64.b64encode(data).decode()}


@pytest.fixture(scope="module")
def stack():
    with Stack(managerd={"MANAGERD_DRAIN_MS": "0"}) as running:
        yield running


def call(stack, method, path, body=None, status=None, **headers):
    answer = stack.managerd.request(method, path, body, headers={name.replace("_", "-"): text for name, text in headers.items()}, timeout=90)
    assert status is None or answer.status == status, answer.text
    return answer


def plan(stack, document, prune=False):
    changes = call(stack, "POST", f"/v1/apply?dryRun=true{'&prune=true' if prune else ''}", document, status=200).json()["changes"]
    return [(change["action"], change["name"]) for change in changes]


def apply(stack, document, status=200, **headers):
    return call(stack, "POST", "/v1/apply", document, status=status, Prefer="wait=60", **headers).json()


def versions(stack, app):
    return {one["version"]: one for one in call(stack, "GET", f"/v1/apps/{app}/versions").json()["items"]}


def faults(answer):
    return {error["pointer"]: error["detail"] for error in answer.json()["errors"]}


def test_a_document_with_packages_deploys_them_and_again_does_nothing(stack):
    document = {"apps": [{"name": name, **RUN, "package": zipped(package(name)), "environment": {"SECRET": "!"}} for name in ("one", "two", "three")],
                "domains": [{"host": "one.example.org", "paths": [{"app": "one"}]}]}
    changes = call(stack, "POST", "/v1/apply?dryRun=true", document, status=200).json()["changes"]
    assert [(change["action"], change["name"]) for change in changes] == [
        ("create", "one"), ("create", "two"), ("create", "three"), ("deploy", "one"), ("deploy", "two"), ("deploy", "three"), ("create", "one.example.org")]
    assert [difference["pointer"] for difference in changes[3]["differences"]] == ["/package/sha256"]
    assert call(stack, "GET", "/v1/apps/one").status == 404, "a plan changes nothing"
    operation = apply(stack, document)
    assert operation["state"] == "succeeded" and operation["result"] == {"created": 4, "changed": 0, "deployed": 3, "deleted": 0}
    steps = {(step["name"], step.get("subject")): step for step in operation["steps"]}
    assert {step["state"] for step in operation["steps"]} == {"done"}
    for name in ("one", "two", "three"):
        deployment = call(stack, "GET", f"/v1/operations/{steps['deploy-app', name]['operation']}").json()
        assert (deployment["type"], deployment["app"], deployment["state"]) == ("deploy", name, "succeeded")
        assert stack.app(name).text == name + "!"
    assert plan(stack, document) == []
    again = apply(stack, document)
    assert again["result"] == {"created": 0, "changed": 0, "deployed": 0, "deleted": 0} and len(versions(stack, "one")) == 1
    # What is frozen into versions is deployed anew; what acts at once is not.
    document["apps"][0]["memoryMb"], document["apps"][1]["labels"] = 256, {"a": "b"}
    assert plan(stack, document) == [("change", "two"), ("deploy", "one")]
    assert apply(stack, document)["state"] == "succeeded"
    assert versions(stack, "one")[2]["memoryMb"] == 256 and versions(stack, "one")[2]["package"]["sha256"] == versions(stack, "one")[1]["package"]["sha256"]
    assert plan(stack, document) == []
    document["apps"][2]["package"] = zipped(package("third"))
    assert plan(stack, document) == [("deploy", "three")] and apply(stack, document)["state"] == "succeeded"
    assert stack.app("three").text == "third!" and plan(stack, document) == []


def test_an_export_is_true_where_it_was_made_and_tells_elsewhere_what_is_missing(stack):
    apply(stack, {"apps": [{"name": f"exported-{n}", **RUN, "package": zipped(package(f"e{n}"))} for n in range(2)]})
    export = call(stack, "GET", "/v1/export", status=200).json()
    hashes = {app["name"]: app.get("package", {}).get("sha256") for app in export["apps"]}
    assert hashes["exported-0"] == versions(stack, "exported-0")[1]["package"]["sha256"]
    assert plan(stack, export, prune=True) == []
    assert apply(stack, export)["result"]["deployed"] == 0
    with LambdaLocal() as lambda_local, Managerd(aws=lambda_local) as other:
        other.wait_ready(other.url)
        wanted = [{"traffic": None, **app} for app in export["apps"] if app["name"].startswith("exported")]
        for app in wanted:
            del app["traffic"]
        answer = other.request("POST", "/v1/apply", body={"apps": wanted})
        assert answer.status == 422, answer.text
        told = faults(answer)
        assert set(told) == {"/apps/0/package", "/apps/1/package"} and hashes["exported-0"] in told["/apps/0/package"] and "not stored here" in told["/apps/0/package"]
        wanted[0]["package"], wanted[1]["package"] = zipped(package("e0")), zipped(package("e1"))
        done = other.request("POST", "/v1/apply", body={"apps": wanted}, headers={"Prefer": "wait=60"}, timeout=80)
        assert done.status == 200 and done.json()["result"]["deployed"] == 2, done.text
        assert [app["package"]["sha256"] for app in other.request("GET", "/v1/export").json()["apps"]] == [hashes["exported-0"], hashes["exported-1"]]


def test_a_package_can_be_named_by_version_and_by_hash(stack):
    for text in "12":
        stack.deploy("named", package(f"named{text}"))
    one, two = (versions(stack, "named")[n]["package"]["sha256"] for n in (1, 2))
    assert plan(stack, {"apps": [{"name": "named", **RUN, "package": {"version": 2}}]}) == []
    assert plan(stack, {"apps": [{"name": "named", **RUN, "package": {"sha256": two}}]}) == []
    assert plan(stack, {"apps": [{"name": "named", **RUN, "package": {"version": 1}}]}) == [("deploy", "named")]
    assert apply(stack, {"apps": [{"name": "named", **RUN, "package": {"sha256": one}}, {"name": "copy", **RUN, "package": {"sha256": one}}]})["state"] == "succeeded"
    assert stack.app("named").text == stack.app("copy").text == "named1" and versions(stack, "named")[3]["package"]["sha256"] == one
    # Traffic of its own says which versions serve.
    pinned = {"name": "named", **RUN, "package": {"sha256": two}, "traffic": {"versions": [{"version": 2, "percent": 100}]}}
    assert plan(stack, {"apps": [pinned]}) == [("change", "named")]
    wrong = call(stack, "POST", "/v1/apply", {"apps": [dict(pinned, package={"sha256": one})]}, status=422)
    assert list(faults(wrong)) == ["/apps/0/traffic"]


def test_every_package_that_cannot_be_is_told_before_anything_is_done(stack):
    stack.deploy("steady", package("steady"))
    apps = [{"name": "bad-a", "package": zipped(b"no zip at all")}, {"name": "bad-b", "package": {"version": 3}}, {"name": "bad-c", "package": {"sha256": "a" * 64}},
            {"name": "bad-d", "package": {}}, {"name": "bad-e", "package": {"version": 1, "sha256": "a" * 64}}, {"name": "bad-f", "package": {"zip": "@@"}},
            {"name": "bad-g", "package": zipped(make_zip({"../x": "y"}))}, {"name": "fine", **RUN, "package": zipped(package("fine"))}]
    answer = call(stack, "POST", "/v1/apply", {"apps": apps}, status=422)
    assert sorted(faults(answer)) == ["/apps/0/package/zip", "/apps/1/package/version", "/apps/2/package", "/apps/3/package", "/apps/4/package",
                                      "/apps/5/package/zip", "/apps/6/package/zip"]
    shapes = [{"name": "s", "package": {"s3": {"bucket": "b", "key": "k"}}}, {"name": "i", "package": {"image": {"uri": "u"}}}, {"name": "h", "package": {"sha256": "A" * 64}}]
    assert sorted(faults(call(stack, "POST", "/v1/apply", {"apps": shapes}, status=422))) == ["/apps/0/package/s3", "/apps/1/package/image", "/apps/2/package/sha256"]
    assert call(stack, "GET", "/v1/apps/fine").status == 404


def test_large_packages_come_in_one_document_and_are_stored_once(stack):
    """More than may lie in memory: cut out of the document while it lies in a file."""
    import random
    noise = random.Random(5).randbytes(1 << 20)
    source = "exports.handler = async () => ({statusCode: 200, body: 'large'});"
    packages = [make_zip({"index.js": source, "data": noise, "n": str(n // 2)}) for n in range(4)]
    document = {"apps": [{"name": f"large-{n}", **RUN, "package": zipped(packages[n])} for n in range(4)]}
    operation = apply(stack, document, Idempotency_Key="large")
    assert operation["result"]["deployed"] == 4
    again = apply(stack, document, Idempotency_Key="large")
    assert again["id"] == operation["id"]
    assert len({versions(stack, f"large-{n}")[1]["package"]["sha256"] for n in range(4)}) == 2
    assert [stack.app(f"large-{n}").text for n in range(4)] == ["large"] * 4
    assert plan(stack, document) == []


def test_a_deployment_that_fails_fails_the_document_and_the_others_stay(stack):
    document = {"apps": [{"name": "sound", **RUN, "package": zipped(package("sound"))},
                         {"name": "broken", **RUN, "package": zipped(make_zip({"index.js": "throw new Error('no luck')"}))}],
                "domains": [{"host": "later.example.org", "paths": [{"app": "sound"}]}]}
    answer = call(stack, "POST", "/v1/apply", document, Prefer="wait=60")
    assert answer.status == 422 and answer.json()["type"] == "/problems/probe-failed" and "broken" in answer.json()["detail"], answer.text
    operation = call(stack, "GET", f"/v1/operations/{answer.json()['instance'].removeprefix('urn:uuid:')}").json()
    states = {(step["name"], step.get("subject")): step["state"] for step in operation["steps"]}
    assert states == {("create-app", "sound"): "done", ("create-app", "broken"): "done", ("deploy-app", "sound"): "done", ("deploy-app", "broken"): "failed",
                      ("create-domain", "later.example.org"): "waiting", ("publish-routes", None): "waiting"}
    assert "no luck" in next(step["detail"] for step in operation["steps"] if step["state"] == "failed")
    assert stack.app("sound").text == "sound", "what is done is in force"
    document["apps"][1]["package"] = zipped(package("mended"))
    assert plan(stack, document) == [("deploy", "broken"), ("create", "later.example.org")]
    assert apply(stack, document)["state"] == "succeeded" and stack.app("broken").text == "mended"


def test_with_one_place_for_operations_a_document_with_deployments_still_ends():
    with Stack(managerd={"MANAGERD_DRAIN_MS": "0", "MANAGERD_MAX_OPERATIONS": "1"}) as stack:
        assert apply(stack, {"apps": [{"name": f"queued-{n}", **RUN, "package": zipped(package("q"))} for n in range(3)]})["result"]["deployed"] == 3


def test_cancelled_while_it_waits_its_deployments_end_by_themselves():
    with Stack(managerd={"MANAGERD_DRAIN_MS": "0"}, lambda_local={"LAMBDA_LOCAL_READY_DELAY_MS": "1500"}) as stack:
        document = {"apps": [{"name": f"going-{n}", **RUN, "package": zipped(package(f"g{n}"))} for n in range(2)],
                    "domains": [{"host": "going.example.org", "paths": [{"app": "going-0"}]}]}
        started = call(stack, "POST", "/v1/apply", document, status=202)
        location = started.header("Location")

        def all_begun():
            steps = call(stack, "GET", location).json()["steps"]
            return [step["operation"] for step in steps if step["name"] == "deploy-app" and step["state"] == "running" and step.get("operation")]

        begun = wait_for(lambda: (lambda found: found if len(found) == 2 else None)(all_begun()), 10, "both deployments have begun")
        operation = call(stack, "POST", location + "/cancel", Prefer="wait=30").json()
        assert operation["state"] == "cancelled", operation
        for one in begun:
            deployment = call(stack, "GET", f"/v1/operations/{one}", Prefer="wait=30").json()
            assert deployment["state"] == "succeeded", deployment
        assert call(stack, "GET", "/v1/domains/going.example.org").status == 404
        assert plan(stack, document) == [("create", "going.example.org")]
        assert apply(stack, document)["result"] == {"created": 1, "changed": 0, "deployed": 0, "deleted": 0}


def test_packages_of_a_document_that_waits_are_not_swept(stack):
    """The last version that names a package goes while a document that is to deploy it waits for its turn."""
    stack.deploy("lender", package("lent"))
    stack.deploy("lender", package("other"))
    lent = versions(stack, "lender")[1]["package"]["sha256"]
    document = {"apps": [{"name": f"filler-{n}", "description": "x"} for n in range(150)] + [{"name": "borrower", **RUN, "package": {"sha256": lent}}]}
    started = call(stack, "POST", "/v1/apply", document, status=202)
    call(stack, "DELETE", "/v1/apps/lender/versions/1", Prefer="wait=30")
    operation = wait_for(lambda: (lambda o: o if o["state"] in FINAL else None)(call(stack, "GET", started.header("Location")).json()), 40, "it ended")
    assert operation["state"] == "succeeded", operation["problem"]
    assert stack.app("borrower").text == "lent"


@pytest.mark.parametrize("moment", range(4))
def test_killed_in_the_middle_a_document_with_packages_becomes_true(moment):
    with Stack(managerd={"MANAGERD_DRAIN_MS": "0"}, lambda_local={"LAMBDA_LOCAL_READY_DELAY_MS": "300"}) as stack:
        document = {"apps": [{"name": f"killed-{n}", **RUN, "package": zipped(package(f"k{n}"))} for n in range(4)],
                    "domains": [{"host": "killed.example.org", "paths": [{"app": "killed-0"}]}]}
        started = call(stack, "POST", "/v1/apply", document, status=202)
        time.sleep((0, 0.05, 0.3, 0.8)[moment])
        stack.managerd.kill9()
        assert stack.managerd.start().wait_ready(stack.managerd.url) is not False
        location = started.header("Location")
        operation = wait_for(lambda: (lambda o: o if o["state"] in FINAL else None)(call(stack, "GET", location).json()), 60, "it ended")
        assert operation["state"] == "succeeded", operation
        assert [stack.app(f"killed-{n}").text for n in range(4)] == [f"k{n}" for n in range(4)]
        assert plan(stack, document) == [] and [len(versions(stack, f"killed-{n}")) for n in range(4)] == [1] * 4


def many(count, text=""):
    return {"apps": [{"name": f"many-{n:04}", "description": text, "labels": {"team": "web"}} for n in range(count)],
            "domains": [{"host": f"many-{n:04}.example.org", "paths": [{"app": f"many-{n:04}"}]} for n in range(0, count, 10)]}


@pytest.mark.long
def test_two_thousand_apps_are_one_document():
    """And each of its steps costs what it costs among a few."""
    with Stack(managerd={"MANAGERD_DRAIN_MS": "0"}) as stack:
        document, times = many(2000), []
        began = time.monotonic()
        started = call(stack, "POST", "/v1/apply", document, status=202)
        planned = time.monotonic() - began
        location, seen = started.header("Location"), 0
        while True:
            item = next(one for one in call(stack, "GET", "/v1/operations?limit=1").json()["items"])
            assert len(item["steps"]) <= 100
            operation = call(stack, "GET", location).json()
            done = sum(step["state"] == "done" for step in operation["steps"])
            assert done >= seen and len(operation["steps"]) == 2201
            seen = done
            times.append((time.monotonic() - began, done))
            if operation["state"] in FINAL:
                break
            assert time.monotonic() - began < 240
            time.sleep(0.5)
        assert operation["state"] == "succeeded" and operation["result"]["created"] == 2200
        print(f"planned in {planned:.2f} s, ended after {times[-1][0]:.1f} s: {1000 * (times[-1][0] - planned) / 2200:.2f} ms a change")
        early = next(at for at, done in times if done >= 500)
        late = times[-1][0] - next(at for at, done in reversed(times) if done <= 1700)
        assert late < 4 * early + 5, "the last 500 take no longer than the first"
        export = call(stack, "GET", "/v1/export", status=200).json()
        assert len(export["apps"]) == 2000
        assert plan(stack, export, prune=True) == []
        stack.managerd.restart()
        stack.managerd.wait_ready(stack.managerd.url)
        assert apply(stack, many(2000))["result"] == {"created": 0, "changed": 0, "deployed": 0, "deleted": 0}
