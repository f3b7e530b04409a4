"""Thirty-two clients change the same app at once, each by the ETag that it read: of those that go by the same one exactly one wins."""
import collections
import http.client
import json
import random
import threading

import pytest

from harness import Stack, make_zip, send

CLIENTS = 32
HELLO = {"index.js": "exports.handler = async () => ({statusCode: 200, body: 'hello'});"}


@pytest.fixture(scope="module")
def stack():
    with Stack(managerd={"MANAGERD_DRAIN_MS": "0"}) as running:
        yield running


class Client:
    def __init__(self, stack):
        self.connection = http.client.HTTPConnection(*stack.managerd.address, timeout=60)

    def call(self, method, path, body=None, **headers):
        headers = {name.replace("_", "-"): value for name, value in headers.items()}
        if isinstance(body, dict):
            body, headers["Content-Type"] = json.dumps(body).encode(), "application/json"
        elif body is not None:
            headers["Content-Type"] = "application/zip"
        return send(self.connection, method, path, body, headers)


def at_once(stack, work):
    """Runs work(client, number) on all clients, which begin together; gives what each returned."""
    barrier, results = threading.Barrier(CLIENTS), [None] * CLIENTS

    def run(number):
        client = Client(stack)
        barrier.wait(30)
        try:
            results[number] = work(client, number)
        except BaseException as fault:  # told by the one who waits
            results[number] = fault
        finally:
            client.connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    faults = [one for one in results if isinstance(one, BaseException)]
    assert not faults, faults
    return results


# Each changes the app in every case, so that a win is a new revision.
CHANGES = {
    "put": lambda unique, versions: ("PUT", "", {"description": unique}),
    "patch": lambda unique, versions: ("PATCH", "", {"labels": {"who": unique}}),
    "environment": lambda unique, versions: ("PUT", "/environment", {"variables": {"WHO": unique}}),
    "one variable": lambda unique, versions: ("PATCH", "/environment", {"variables": {"WHO": unique}}),
    "traffic": lambda unique, versions: ("PUT", "/traffic", {"versions": [{"version": 1, "percent": versions}, {"version": 2, "percent": 100 - versions}]}),
    "key": lambda unique, versions: ("POST", "/keys", {"name": unique}),
}


def test_of_clients_that_change_an_app_by_the_same_revision_exactly_one_wins_whatever_they_do(stack):
    for _ in range(2):
        stack.deploy("raced", HELLO)
    starting = int(Client(stack).call("GET", "/v1/apps/raced").json()["revision"])

    def work(client, number):
        rng, done = random.Random(number), []
        for turn in range(12):
            etag = client.call("GET", "/v1/apps/raced").header("ETag")
            kind = rng.choice(sorted(CHANGES))
            method, path, body = CHANGES[kind](f"{number}-{turn}", round(rng.uniform(1, 99), 2))
            answer = client.call(method, "/v1/apps/raced" + path, body, If_Match=etag)
            assert answer.status in (200, 201, 412) or (kind == "key" and answer.status == 409), (kind, answer)
            if answer.status < 300:
                done.append((int(etag.strip('"')), int(answer.header("ETag").strip('"')), kind))
        return done

    wins = [win for done in at_once(stack, work) for win in done]
    twice = [before for before, count in collections.Counter(before for before, _, _ in wins).items() if count > 1]
    assert not twice, f"several changes were based on the same revision: {[win for win in wins if win[0] in twice]}"
    chain = {before: after for before, after, _ in wins}
    revision, length = starting, 0
    while revision in chain:
        assert chain[revision] > revision
        revision, length = chain[revision], length + 1
    assert length == len(wins) >= 8, "the changes make one chain from the first revision to the last"
    assert revision == int(Client(stack).call("GET", "/v1/apps/raced").json()["revision"])
    assert len({kind for _, _, kind in wins}) >= 3


@pytest.mark.parametrize("action, body, path", [("deactivate", None, ""), ("activate", None, ""), ("rollback", {"version": 1}, ""), ("undo", None, "history")])
def test_of_clients_that_act_on_an_app_by_the_same_revision_exactly_one_wins(stack, action, body, path):
    client = Client(stack)
    if client.call("GET", "/v1/apps/acted/versions/2").status != 200:
        for _ in range(2):
            stack.deploy("acted", HELLO)
    # What the action changes is otherwise before.
    client.call("POST", "/v1/apps/acted/" + {"deactivate": "activate", "activate": "deactivate"}.get(action, "activate"))
    client.call("PUT", "/v1/apps/acted/traffic", {"versions": [{"version": 2, "percent": 100}]})
    client.call("PATCH", "/v1/apps/acted", {"description": f"before {action}"})
    change = client.call("GET", "/v1/apps/acted/history?limit=1").json()["items"][0]["id"]
    target = f"/v1/apps/acted/history/{change}/undo" if action == "undo" else f"/v1/apps/acted/{action}"
    etag = client.call("GET", "/v1/apps/acted").header("ETag")
    answers = at_once(stack, lambda client, number: client.call("POST", target, body, If_Match=etag).status)
    assert sorted(answers) == [200] + [412] * (CLIENTS - 1)


def test_of_deployments_by_the_same_revision_exactly_one_begins(stack):
    stack.deploy("begun", HELLO)
    etag = Client(stack).call("GET", "/v1/apps/begun").header("ETag")
    package = make_zip(HELLO)
    answers = at_once(stack, lambda client, number: client.call("POST", "/v1/apps/begun/deployments?traffic=none", package, If_Match=etag, Prefer="wait=60").status)
    assert sorted(answers) == [200] + [412] * (CLIENTS - 1)
    assert len(Client(stack).call("GET", "/v1/apps/begun/versions").json()["items"]) == 2


def test_a_deletion_and_changes_by_the_same_revision_have_one_winner(stack):
    for turn in range(4):
        name = f"ended-{turn}"
        etag = Client(stack).call("PUT", f"/v1/apps/{name}", {}).header("ETag")

        def work(client, number):
            if number % 2:
                return "DELETE", client.call("DELETE", f"/v1/apps/{name}", If_Match=etag).status
            return "PATCH", client.call("PATCH", f"/v1/apps/{name}", {"description": str(number)}, If_Match=etag).status

        answers = at_once(stack, work)
        assert len([status for _, status in answers if status < 300]) == 1, answers
        # Who comes after a deletion may hear that it is being deleted, or that it is gone.
        assert {status for _, status in answers if status >= 300} <= {404, 409, 412}, answers


def test_of_clients_that_change_a_domain_by_the_same_revision_exactly_one_wins(stack):
    client = Client(stack)
    client.call("PUT", "/v1/apps/target", {})
    etag = client.call("PUT", "/v1/domains/raced.example.com", {"paths": [{"app": "target"}]}).header("ETag")
    answers = at_once(stack, lambda client, number: client.call("PUT", "/v1/domains/raced.example.com", {"paths": [{"prefix": f"/{number}", "app": "target"}]}, If_Match=etag).status)
    assert sorted(answers) == [200] + [412] * (CLIENTS - 1)
    etag = client.call("GET", "/v1/domains/raced.example.com").header("ETag")
    answers = at_once(stack, lambda client, number: client.call("DELETE", "/v1/domains/raced.example.com", If_Match=etag).status)
    assert answers.count(204) == 1 and set(answers) <= {204, 404, 412}
    answers = at_once(stack, lambda client, number: client.call("PUT", "/v1/domains/made.example.com", {"paths": [{"app": "target"}]}, If_None_Match="*").status)
    assert sorted(answers) == [201] + [412] * (CLIENTS - 1)
