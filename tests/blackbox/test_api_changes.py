"""Changes of a running app: limits, traffic, rollback, activation, environment. Each is in force when it is answered."""
import collections
import json
import shutil
import threading
import time

import pytest

from harness import Stack, make_zip, wait_for


def package(text="x"):
    return make_zip({"index.js": f"exports.handler = async () => ({{statusCode: 200, body: {json.dumps(text)}}});"})


SLOW = make_zip({"index.js": """exports.handler = async (event) => {
  if (event.rawPath.startsWith('/slow')) await new Promise((done) => setTimeout(done, 900));
  return {statusCode: 200, body: process.env.GREETING || 'ok'}; };"""})


@pytest.fixture(scope="module")
def stack():
    with Stack(managerd={"MANAGERD_DRAIN_MS": "0"}) as running:
        yield running


def call(stack, method, path, body=None, **headers):
    return stack.managerd.request(method, path, body=body, timeout=60,
                                  headers={name.replace("_", "-"): str(value) for name, value in headers.items()})


def rollback(stack, app, body=None):
    answer = call(stack, "POST", f"/v1/apps/{app}/rollback", body)
    assert answer.status == 200, answer
    return {share["version"]: share["percent"] for share in answer.json()["versions"]}


def limit(stack, app, **limits):
    answer = call(stack, "PATCH", f"/v1/apps/{app}", {"limits": limits}, Content_Type="application/merge-patch+json")
    assert answer.status == 200, answer
    return answer.json()["limits"]


# -- limits -----------------------------------------------------------------------------------------------------------


def test_a_changed_ceiling_of_requests_in_flight_acts_on_the_next_request(stack):
    stack.deploy("ceiling", SLOW)

    def at_once(count):
        answers = []
        threads = [threading.Thread(target=lambda: answers.append(stack.app("ceiling", "/slow"))) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return answers

    for ceiling in (2, 4, 1):
        limit(stack, "ceiling", maxInFlight=ceiling)
        answers = at_once(6)
        assert sorted(a.status for a in answers) == [200] * ceiling + [429] * (6 - ceiling)
        assert all(a.header("Retry-After") for a in answers if a.status == 429)


def test_the_other_limits_act_at_once_too_and_null_takes_them_off(stack):
    stack.deploy("limited", SLOW)
    limit(stack, "limited", maxBodyBytes=10)
    assert stack.app("limited", "/", "POST", body=b"x" * 11).status == 413
    assert stack.app("limited", "/", "POST", body=b"x" * 10).status == 200
    limit(stack, "limited", maxBodyBytes=None, deadlineMs=150)
    assert stack.app("limited", "/", "POST", body=b"x" * 11).status == 200
    assert stack.app("limited", "/slow").status == 504
    limit(stack, "limited", deadlineMs=None, requestsPerSecond=1, burst=3)
    assert stack.app("limited", "/slow").status == 200
    statuses = [stack.app("limited").status for _ in range(8)]
    assert 429 in statuses and statuses[0] == 200
    now = limit(stack, "limited", requestsPerSecond=None, burst=None)
    assert [stack.app("limited").status for _ in range(8)] == [200] * 8
    assert now == {"maxInFlight": 100, "requestsPerSecond": None, "burst": None, "deadlineMs": None, "maxBodyBytes": None}
    assert len(call(stack, "GET", "/v1/apps/limited/versions").json()["items"]) == 1, "limits make no version"


def test_versioned_settings_change_the_next_deployment_only(stack):
    stack.deploy("frozen", package("one"), memoryMb=128)
    assert call(stack, "PATCH", "/v1/apps/frozen", {"memoryMb": 256, "http": {"payloadFormat": "1.0"}, "probe": None}).status == 200
    version = call(stack, "GET", "/v1/apps/frozen/versions/1")
    assert version.json()["memoryMb"] == 128 and version.json()["http"]["payloadFormat"] == "2.0" and version.json()["probe"]
    assert call(stack, "POST", "/v1/apps/frozen/deployments", {"package": {"version": 1}}, Prefer="wait=30").status == 200
    second = call(stack, "GET", "/v1/apps/frozen/versions/2").json()
    assert second["memoryMb"] == 256 and second["http"]["payloadFormat"] == "1.0" and second["probe"] is None
    client = stack.lambda_local.boto3()
    memory = [client.get_function_configuration(FunctionName="frozen", Qualifier=q)["MemorySize"] for q in ("1", "2")]
    assert memory == [128, 256]


# -- traffic and rollback ---------------------------------------------------------------------------------------------


def test_percents_are_what_is_served(stack):
    stack.deploy("shares", package("one"))
    for text in ("two", "three"):
        stack.deploy("shares", package(text), traffic="none")
    put = call(stack, "PUT", "/v1/apps/shares/traffic", {"versions": [
        {"version": 1, "percent": 70}, {"version": 2, "percent": 25}, {"version": 3, "percent": 5}]})
    assert put.status == 200
    counts = collections.Counter(stack.app("shares").text for _ in range(1000))
    # Six standard deviations of a binomial around what was asked for.
    for text, share in (("one", 0.7), ("two", 0.25), ("three", 0.05)):
        slack = 6 * (1000 * share * (1 - share)) ** 0.5
        assert abs(counts[text] - 1000 * share) < slack, counts
    assert call(stack, "PUT", "/v1/apps/shares/traffic", {"versions": [{"version": 3, "percent": 100}]}).status == 200
    assert {stack.app("shares").text for _ in range(50)} == {"three"}


@pytest.mark.parametrize("versions, pointer", [
    ([{"version": 1, "percent": 100.001}], "/versions/0/percent"), ([{"version": 1, "percent": 99.99}], "/versions"),
    ([{"version": 1, "percent": -0.01}, {"version": 1, "percent": 100}], "/versions/0/percent"), ([], "/versions"),
    ([{"version": 1, "percent": 50}, {"version": 1, "percent": 50}], "/versions/1/version"),
    ([{"version": 1, "percent": 33.333}, {"version": 1, "percent": 66.667}], "/versions/1/percent"), ([{"version": 9, "percent": 100}], "/versions/0/version"),
    ([{"version": 1}], "/versions/0/percent"), ([{"version": 1.5, "percent": 100}], "/versions/0/version"),
    ([{"version": 1, "percent": "100"}], "/versions/0/percent"), ({"1": 100}, "/versions")])
def test_traffic_that_makes_no_whole_is_refused_and_nothing_changes(stack, versions, pointer):
    if call(stack, "GET", "/v1/apps/whole").status == 404:
        stack.deploy("whole", package("whole"))
    before = call(stack, "GET", "/v1/apps/whole/traffic")
    answer = call(stack, "PUT", "/v1/apps/whole/traffic", {"versions": versions})
    assert answer.status == 422 and pointer in [e["pointer"] for e in answer.json()["errors"]], answer.text
    assert call(stack, "GET", "/v1/apps/whole/traffic").header("ETag") == before.header("ETag")


def test_a_version_put_to_zero_percent_has_no_traffic_and_can_be_deleted(stack):
    stack.deploy("zeroed", package("v1"))
    stack.deploy("zeroed", package("v2"))
    put = call(stack, "PUT", "/v1/apps/zeroed/traffic", {"versions": [{"version": 1, "percent": 0}, {"version": 2, "percent": 100}]})
    assert put.status == 200 and put.json()["versions"] == [{"version": 2, "percent": 100}]
    assert call(stack, "DELETE", "/v1/apps/zeroed/versions/1", Prefer="wait=20").status == 200
    read = call(stack, "GET", "/v1/apps/zeroed/traffic").json()
    assert call(stack, "PUT", "/v1/apps/zeroed/traffic", read).status == 200, "what is read can be sent back"


def test_a_rollback_goes_to_what_was_settled_before_the_latest_deployment(stack):
    for n in range(1, 4):
        stack.deploy("back", package(f"v{n}"))
    assert rollback(stack, "back") == {2: 100} and rollback(stack, "back") == {2: 100}, "twice is once"
    assert stack.app("back").text == "v2"
    stack.deploy("back", package("v4"))
    assert rollback(stack, "back") == {2: 100}, "not to v3, which was rolled back"
    split = {"versions": [{"version": 1, "percent": 90}, {"version": 4, "percent": 10}]}
    assert call(stack, "PUT", "/v1/apps/back/traffic", split).status == 200
    stack.deploy("back", package("v5"))
    assert rollback(stack, "back") == {1: 90, 4: 10}
    answer = call(stack, "POST", "/v1/apps/back/deployments", {"package": {"version": 5}, "traffic": {"percent": 20}}, Prefer="wait=30")
    assert answer.status == 200
    shares = {s["version"]: s["percent"] for s in call(stack, "GET", "/v1/apps/back/traffic").json()["versions"]}
    assert shares == {1: 72, 4: 8, 6: 20}
    assert rollback(stack, "back") == {1: 90, 4: 10}
    stack.deploy("back", package("v7"), traffic="none")
    assert rollback(stack, "back") == {1: 90, 4: 10}, "what got no traffic is nothing to come back from"
    assert rollback(stack, "back", {"version": 7}) == {7: 100} and stack.app("back").text == "v7"


def test_a_rollback_calls_no_aws_and_works_while_aws_is_away(stack):
    stack.deploy("afar", package("v1"))
    stack.deploy("afar", package("v2"))
    wanted = [line for line in call(stack, "GET", "/metrics").text.splitlines() if line.startswith("managerd_aws_attempts_total")]
    assert rollback(stack, "afar") == {1: 100}
    after = [line for line in call(stack, "GET", "/metrics").text.splitlines() if line.startswith("managerd_aws_attempts_total")]
    assert wanted == after


def test_a_rollback_to_a_version_that_is_gone_says_so(stack):
    stack.deploy("lost", package("v1"))
    stack.deploy("lost", package("v2"))
    assert call(stack, "DELETE", "/v1/apps/lost/versions/1", Prefer="wait=20").status == 200
    answer = call(stack, "POST", "/v1/apps/lost/rollback")
    assert answer.status == 409 and "version" in answer.json()["detail"]
    assert call(stack, "POST", "/v1/apps/lost/rollback", {"version": 1}).json()["errors"][0]["pointer"] == "/version"
    assert stack.app("lost").text == "v2"


def test_a_version_with_any_traffic_cannot_be_deleted(stack):
    stack.deploy("held", package("v1"))
    stack.deploy("held", package("v2"))
    call(stack, "PUT", "/v1/apps/held/traffic", {"versions": [{"version": 1, "percent": 0.01}, {"version": 2, "percent": 99.99}]})
    answer = call(stack, "DELETE", "/v1/apps/held/versions/1")
    assert answer.status == 409 and answer.json()["type"] == "/problems/conflict"
    call(stack, "PUT", "/v1/apps/held/traffic", {"versions": [{"version": 2, "percent": 100}]})
    assert call(stack, "DELETE", "/v1/apps/held/versions/1", Prefer="wait=20").status == 200
    assert [v["version"] for v in call(stack, "GET", "/v1/apps/held/versions").json()["items"]] == [2]
    stack.deploy("held", package("v3"))
    assert [v["version"] for v in call(stack, "GET", "/v1/apps/held/versions").json()["items"]] == [2, 3], "numbers are not used twice"


@pytest.mark.threads
def test_traffic_and_deletion_of_a_version_race_without_harm(stack):
    """Whoever comes first wins; a version that serves is never one that is being deleted."""
    stack.deploy("tussle", package("v1"))
    for turn in range(8):
        number = stack.deploy("tussle", package(f"n{turn}"), traffic="none")["result"]["version"]
        answers = {}
        wish = {"versions": [{"version": number, "percent": 100}]}
        threads = [threading.Thread(target=lambda: answers.__setitem__("put", call(stack, "PUT", "/v1/apps/tussle/traffic", wish))),
                   threading.Thread(target=lambda: answers.__setitem__("delete", call(stack, "DELETE", f"/v1/apps/tussle/versions/{number}", Prefer="wait=20")))]
        for thread in (threads if turn % 2 else reversed(threads)):
            thread.start()
        for thread in threads:
            thread.join()
        statuses = (answers["put"].status, answers["delete"].status)
        assert statuses in ((200, 409), (422, 200)), statuses
        assert stack.app("tussle").status == 200


def test_a_version_that_is_deleted_as_soon_as_it_is_ready_never_gets_traffic(stack):
    stack.deploy("hasty", package("v1"))
    for turn in range(6):
        accepted = stack.managerd.request("POST", "/v1/apps/hasty/deployments", body={"package": {"version": 1}})
        number, deleted = turn + 2, None
        while deleted is None or deleted.status == 409:
            deleted = call(stack, "DELETE", f"/v1/apps/hasty/versions/{number}")
            if deleted.status == 409 and "traffic" in deleted.json()["detail"]:
                break
        end = call(stack, "GET", accepted.header("Location"), Prefer="wait=30").json()
        assert end["state"] == ("failed" if deleted.status == 202 else "succeeded"), end
        if deleted.status == 202:
            assert "deleted" in end["problem"]["detail"]
            assert call(stack, "GET", deleted.header("Location"), Prefer="wait=30").json()["state"] == "succeeded"
        assert stack.app("hasty").text == "v1"


# -- activation -------------------------------------------------------------------------------------------------------


def test_a_deactivated_app_is_404_and_keeps_everything(stack):
    stack.deploy("asleep", package("awake"))
    off = call(stack, "POST", "/v1/apps/asleep/deactivate")
    assert off.status == 200 and off.json()["enabled"] is False and stack.app("asleep").status == 404
    again = call(stack, "POST", "/v1/apps/asleep/deactivate")
    assert again.header("ETag") == off.header("ETag"), "nothing has changed"
    assert call(stack, "GET", "/v1/apps/asleep/status").json()["status"] == "inactive"
    stack.deploy("asleep", package("new"))
    assert stack.app("asleep").status == 404, "deploying does not activate"
    assert call(stack, "POST", "/v1/apps/asleep/activate").status == 200 and stack.app("asleep").text == "new"
    assert call(stack, "PATCH", "/v1/apps/asleep", {"enabled": False}).status == 200 and stack.app("asleep").status == 404
    assert call(stack, "PATCH", "/v1/apps/asleep", {"enabled": True}).status == 200 and stack.app("asleep").text == "new"
    assert call(stack, "POST", "/v1/apps/nobody/activate").json()["type"] == "/problems/app-not-found"


def test_an_etag_guards_all_that_changes_an_app(stack):
    stack.deploy("guarded", package("v1"))
    etag = call(stack, "GET", "/v1/apps/guarded").header("ETag")
    assert call(stack, "PATCH", "/v1/apps/guarded", {"description": "moved on"}).status == 200
    for method, path, body in (("PUT", "", {}), ("PATCH", "", {}), ("DELETE", "", None), ("POST", "/activate", None), ("POST", "/deactivate", None),
                               ("POST", "/rollback", {"version": 1}), ("PUT", "/traffic", {"versions": [{"version": 1, "percent": 100}]}),
                               ("PUT", "/environment", {"variables": {}}), ("PATCH", "/environment", {"variables": {}}),
                               ("POST", "/deployments", {"package": {"version": 1}})):
        answer = call(stack, method, "/v1/apps/guarded" + path, body, If_Match=etag)
        assert answer.status == 412 and answer.json()["type"] == "/problems/precondition-failed", (method, path, answer)
    version = call(stack, "GET", "/v1/apps/guarded/versions/1").header("ETag")
    assert call(stack, "DELETE", "/v1/apps/guarded/versions/1", If_Match=version).status == 409
    new = call(stack, "PUT", "/v1/apps/guarded-new", {}, If_Match="*")
    assert new.status == 412 and "does not exist" in new.json()["detail"] and call(stack, "GET", "/v1/apps/guarded-new").status == 404
    assert stack.app("guarded").text == "v1"


@pytest.mark.threads
def test_of_many_that_create_the_same_app_exactly_one_does(stack):
    answers = []
    threads = [threading.Thread(target=lambda: answers.append(call(stack, "PUT", "/v1/apps/first-come", {}, If_None_Match="*").status))
               for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [201] + [412] * 15


# -- environment ------------------------------------------------------------------------------------------------------


def test_the_environment_is_set_for_the_next_deployment_and_comes_back_with_a_rollback(stack):
    stack.deploy("greeter", SLOW)
    put = call(stack, "PUT", "/v1/apps/greeter/environment", {"variables": {"GREETING": "first", "OTHER": "x"}})
    assert put.status == 200 and put.json()["names"] == ["GREETING", "OTHER"] and stack.app("greeter").text == "ok"
    stack.deploy("greeter", SLOW)
    assert stack.app("greeter").text == "first"
    assert call(stack, "PATCH", "/v1/apps/greeter/environment", {"variables": {"GREETING": "second", "OTHER": None}}).json()["names"] == ["GREETING"]
    stack.deploy("greeter", SLOW)
    assert stack.app("greeter").text == "second" and rollback(stack, "greeter") == {2: 100} and stack.app("greeter").text == "first"
    assert call(stack, "GET", "/v1/apps/greeter/versions/3").json()["environment"] == ["GREETING"]
    for name in ("AWS_REGION", "AWS_LAMBDA_X", "1X", "_X", "A-B", ""):
        wrong = call(stack, "PUT", "/v1/apps/greeter/environment", {"variables": {name: "v"}})
        assert wrong.status == 422 and wrong.json()["errors"][0]["pointer"] == f"/variables/{name}", name


# -- the route store --------------------------------------------------------------------------------------------------


def test_a_route_store_that_was_deleted_is_made_again_from_state(stack):
    stack.deploy("lasting", package("still here"))
    stack.managerd.stop()
    shutil.rmtree(stack.data / "routes")
    stack.managerd.start()
    stack.managerd.wait_ready()
    assert stack.app("lasting").text == "still here", "until it looks, proxyd serves from the store it has open"
    assert call(stack, "POST", "/v1/apps/lasting/deactivate").status == 200
    wait_for(lambda: stack.app("lasting").status == 404, 5, "proxyd reads the new store")
    assert call(stack, "POST", "/v1/apps/lasting/activate").status == 200
    assert stack.app("lasting").text == "still here"


# -- found by requests made by chance (test_api_properties.py) --------------------------------------------------------


@pytest.mark.parametrize("wrong", ["x", 1, [], True, 1.5])
def test_a_patch_whose_function_is_no_object_is_refused_and_hurts_nobody(stack, wrong):
    call(stack, "PUT", "/v1/apps/patched", {})
    for body in ({"function": wrong}, {"function": wrong, "nonsense": 1}, {"http": wrong, "function": wrong, "limits": wrong, "access": wrong}):
        answer = call(stack, "PATCH", "/v1/apps/patched", body)
        assert answer.status == 422 and "/function" in [error["pointer"] for error in answer.json()["errors"]], answer
    assert call(stack, "GET", "/v1/apps/patched").json()["function"] == {"name": "patched", "role": None}


def test_a_patch_that_takes_function_back_leaves_the_name_and_takes_the_role_away(stack):
    role = "arn:aws:iam::000000000000:role/other"
    call(stack, "PUT", "/v1/apps/taken-back", {"function": {"name": "its-own", "role": role}})
    assert call(stack, "PATCH", "/v1/apps/taken-back", {"function": {}}).json()["function"] == {"name": "its-own", "role": role}
    assert call(stack, "PATCH", "/v1/apps/taken-back", {"function": None}).json()["function"] == {"name": "its-own", "role": None}
    call(stack, "PATCH", "/v1/apps/taken-back", {"function": {"role": role}})
    assert call(stack, "PATCH", "/v1/apps/taken-back", {"function": {"role": None, "name": None}}).json()["function"] == {"name": "its-own", "role": None}


def test_an_answer_that_is_given_again_says_where_the_thing_is_too(stack):
    call(stack, "PUT", "/v1/apps/again", {})
    first, again = (call(stack, "POST", "/v1/apps/again/keys", {"name": "k"}, Idempotency_Key="where") for _ in range(2))
    assert first.status == again.status == 201 and again.header("Idempotency-Replayed") == "true"
    assert first.header("Location") == again.header("Location") == f"/v1/apps/again/keys/{first.json()['id']}"
    assert len(call(stack, "GET", "/v1/apps/again/keys").json()["items"]) == 1
