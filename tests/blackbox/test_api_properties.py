"""Thousands of requests made by chance, lawful and spoilt, in sequences: each answer is what the OpenAPI document says, none is a 5xx, and what
GETs tell afterwards is what a model of the API says."""
import gzip
import http.client
import os
import random

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from api_model import Model
from api_requests import Requests
from api_spoiling import spoil
from harness import LambdaLocal, Managerd, send
from openapi import Document

TOKEN = "properties-of-the-api"
STEPS = 50
LONG = bool(os.environ.get("TEST_LONG"))


class World:
    """managerd, a connection that is kept, and the model."""

    def __init__(self, aws):
        self.managerd = Managerd(aws=aws, options={"MANAGERD_TOKEN": TOKEN, "MANAGERD_DRAIN_MS": "0"})
        self.managerd.start()
        self.connection = http.client.HTTPConnection(*self.managerd.address, timeout=90)
        self.document = Document(self.ask("GET", "/openapi.json").body)
        self.model = Model(self.document)
        self.runs = self.sent = 0

    def ask(self, method, target, body=None, headers=None):
        headers = {"Authorization": f"Bearer {TOKEN}", **(headers or {})}
        try:
            answer = send(self.connection, method, target, body, headers)
        except (http.client.HTTPException, OSError):
            self.connection.close()
            raise
        if (answer.header("Connection") or "").lower() == "close":
            self.connection.close()
        return answer

    def close(self):
        self.connection.close()
        self.managerd.close()

    # -- one request --------------------------------------------------------------------------------------------------

    def send(self, request):
        headers = dict(request.headers)
        if request.kind:
            headers["Content-Type"] = request.kind
        self.sent += 1
        try:
            answer = self.ask(request.method, request.target, request.bytes, headers)
        except (http.client.HTTPException, OSError) as fault:
            raise AssertionError(f"{request}: no answer: {fault!r}\n{self.managerd.log_tail()}") from None
        self.check(request, answer)
        return answer

    def check(self, request, answer):
        status = answer.status
        assert status < 500, f"{request}: {answer}"
        assert answer.header("X-Request-Id"), f"{request}: {answer}"
        if request.must is not None:
            assert status in request.must, f"{request}: {answer} instead of {request.must}"
        if status == 405:
            have = {call.method for call in self.document.calls.values() if call.path == request.call.path}
            assert set(answer.header("Allow").split(", ")) == have | {"OPTIONS"} | ({"HEAD"} if "GET" in have else set()), answer
        elif request.method not in ("OPTIONS", "HEAD") and (status != 404 or "in the path" not in request.why):
            body = gzip.decompress(answer.body) if answer.header("Content-Encoding") == "gzip" else answer.body
            faults = self.document.faults(request.call, status, answer.header("Content-Type"), body, answer.headers.keys())
            assert not faults, f"{request}: {faults}: {answer}"
        if status >= 400 and request.method != "HEAD":
            self.check_problem(request, answer)
        elif answer.header("ETag") and status == 200 and request.method != "HEAD":
            assert answer.header("ETag") == f'"{answer.json()["revision"]}"', f"{request}: {answer}"

    def check_problem(self, request, answer):
        problem = answer.json()
        assert answer.header("Content-Type") == "application/problem+json", f"{request}: {answer}"
        assert problem["type"].startswith("/problems/") and problem["status"] == answer.status and problem["title"] and problem["detail"], answer
        for error in problem.get("errors", []):
            assert ("pointer" in error) != ("parameter" in error), f"{request}: {answer}"
            assert not error.get("pointer") or error["pointer"].startswith("/"), f"{request}: {answer}"
        if problem["type"] == "/problems/invalid":
            assert problem["errors"], f"{request}: {answer}"
        assert (answer.header("WWW-Authenticate") is not None) == (answer.status == 401), f"{request}: {answer}"

    # -- sequences ----------------------------------------------------------------------------------------------------

    def step(self, number, names):
        """One request of which the number decides everything, and what can be seen afterwards."""
        maker = Requests(self.document, self.model, random.Random(number), names)
        request = maker.lawful()
        if maker.rng.random() < 0.55:
            spoil(maker, request)
        elif request.method == "POST" and maker.rng.random() < 0.3 and request.must != {412}:
            request.headers["Idempotency-Key"] = f"key {self.sent}"
        answer = self.send(request)
        if 200 <= answer.status < 300 and request.then and request.method == request.call.method:
            request.then(answer.json() if answer.body else None)
            if "Idempotency-Key" in request.headers:
                self.again(request, answer)
        self.look(request, names)

    def again(self, request, first):
        request.then = None
        second = self.send(request)
        assert second.status == first.status and second.header("Idempotency-Replayed") == "true", f"{request}: {second}"
        shown = {**first.json(), "secret": None} if "secret" in first.json() else first.json()
        assert second.json() == shown, f"{request}: {second} after {first}"
        assert (second.header("ETag"), second.header("Location")) == (first.header("ETag"), first.header("Location")), f"{request}: {second.headers} after {first.headers}"

    def look(self, request, names):
        name, host = request.values.get("name"), request.values.get("host")
        if name in self.model.apps:
            self.look_at_app(name, request)
        for app in names if host else ():  # domains are told by their apps, too
            if app in self.model.apps:
                self.look_at_app(app, request)
        if host in self.model.domains:
            shown = self.ask("GET", f"/v1/domains/{host}").json()
            assert not self.model.differences_of_domain(host, shown), f"after {request}: {self.model.differences_of_domain(host, shown)}"
        elif host and host.endswith(".example.org"):
            assert self.ask("GET", f"/v1/domains/{host}").status == 404, f"after {request}"

    def look_at_app(self, name, request):
        answer = self.ask("GET", f"/v1/apps/{name}")
        assert answer.status == 200, f"after {request}: {answer}"
        wrong = self.model.differences_of_app(name, answer.json())
        assert not wrong, f"after {request}: {wrong}"
        app = self.model.apps[name]
        revision = int(answer.json()["revision"])
        assert answer.status == 200 and revision <= max(self.model.revision, revision)
        app["revision"] = revision

    def list_of(self, path):
        """All of a list, by pages of a size that chance gives."""
        found, cursor = [], None
        while True:
            answer = self.ask("GET", f"{path}{'&' if '?' in path else '?'}limit={random.choice([1, 2, 3, 500])}" + (f"&cursor={cursor}" if cursor else ""))
            assert answer.status == 200, answer
            found += answer.json()["items"]
            cursor = answer.json()["nextCursor"]
            if not cursor:
                return found

    def look_at_everything(self, names):
        model = self.model
        shown = {one["name"]: one for one in self.list_of("/v1/apps") if one["name"] in names}
        assert list(shown) == sorted(name for name in names if name in model.apps)
        for name, app in shown.items():
            assert not model.differences_of_app(name, app), model.differences_of_app(name, app)
            assert app == self.ask("GET", f"/v1/apps/{name}").json()
            kept = model.apps[name]
            traffic = self.ask("GET", f"/v1/apps/{name}/traffic").json()
            assert sorted(traffic["versions"], key=str) == sorted(kept["traffic"]["versions"], key=str) and traffic["sticky"] == kept["traffic"]["sticky"], (traffic, kept["traffic"])
            assert set(self.ask("GET", f"/v1/apps/{name}/environment").json()["names"]) == kept["environment"]
            versions = self.list_of(f"/v1/apps/{name}/versions")
            assert [one["version"] for one in versions] == sorted(kept["versions"])
            assert not sum((model.differences_of_version(name, one) for one in versions), [])
            assert {one["id"]: one["name"] for one in self.list_of(f"/v1/apps/{name}/keys")} == kept["keys"]
        domains = {one["host"]: one for one in self.list_of("/v1/domains")}
        assert set(domains) == set(model.domains)
        assert not sum((model.differences_of_domain(host, one) for host, one in domains.items()), [])
        tokens = {one["id"]: {key: one[key] for key in ("name", "role", "apps")} for one in self.list_of("/v1/tokens")}
        assert tokens == model.tokens

    def run(self, numbers):
        self.runs += 1
        names = [f"run{self.runs}-{letter}" for letter in "ab"]
        before = self.sent
        for number in numbers:
            if number:  # 0 is what hypothesis makes of steps that a fault does not need
                self.step(number, names)
        self.look_at_everything(names)
        for host in [host for host in self.model.domains if any(path["app"] in names for path in self.model.domains[host]["paths"])]:
            assert self.ask("DELETE", f"/v1/domains/{host}").status == 204
            del self.model.domains[host]
        return self.sent - before


@pytest.fixture(scope="module")
def world():
    with LambdaLocal() as aws:
        running = World(aws)
        try:
            yield running
        finally:
            running.close()


def explore(world, examples, chosen):
    @settings(max_examples=examples, deadline=None, database=None, phases=[Phase.generate, Phase.shrink] if LONG else [Phase.generate], suppress_health_check=list(HealthCheck), print_blob=False)
    @seed(chosen)
    @given(st.lists(st.integers(0, 2**48), min_size=STEPS, max_size=STEPS))
    def sequences(numbers):
        world.run(numbers)

    sequences()


def test_five_thousand_requests_by_chance_are_answered_as_documented_and_leave_what_the_model_says(world):
    before = world.sent
    explore(world, 120, 20261124)
    assert world.sent - before >= 5000


@pytest.mark.long
def test_requests_by_another_chance_each_time(world):
    chosen = random.SystemRandom().getrandbits(32)
    print(f"seed {chosen}")
    explore(world, 1000, chosen)
