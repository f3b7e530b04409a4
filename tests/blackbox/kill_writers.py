"""Clients that write while managerd is killed, and what they remember: for each thing the last value that was acknowledged, and those that
were asked for since without an answer. Whatever is read after a start must be one of these."""
import http.client
import json
import random
import threading
import time

from kill_scene import QUERY, package


class Register:
    """One thing that one client writes: `known` is what it must be, `maybe` what it may be."""

    def __init__(self, name, value=None):
        self.name, self.known, self.maybe, self.revision = name, value, [], 0

    def asked(self, value):
        self.maybe.append(value)

    def answered(self, value, revision=0):
        self.known, self.maybe, self.revision = value, [], revision

    def refused(self):
        """Nothing was changed by the last one."""
        self.maybe.pop()

    def found(self, value, revision=None):
        """After a start: what is there is what it is from now on."""
        assert value == self.known or value in self.maybe, f"{self.name} is {value!r}; acknowledged was {self.known!r}, asked for {self.maybe!r}"
        assert revision is None or revision >= self.revision, f"{self.name} has the revision {revision}; acknowledged was {self.revision}"
        self.known, self.maybe = value, []


class Writer(threading.Thread):
    """Each has an app of its own, a domain, tokens and a key, and its mark on apps that all of them write to."""

    def __init__(self, scene, number, seed, shared):
        super().__init__(daemon=True)
        self.scene, self.number, self.chance, self.shared = scene, number, random.Random(f"{seed} {number}"), shared
        self.app, self.over, self.fault = f"own{number}", threading.Event(), None
        self.pause, self.quiet = threading.Event(), threading.Event()
        self.written = self.acknowledged = 0
        self.description, self.enabled = Register("description", ""), Register("enabled", True)
        self.environment, self.traffic = Register("environment", ()), Register("traffic", 1)
        self.domain = Register("domain", None)
        self.labels = {app: Register(f"label of {app}", None) for app in shared}
        self.tokens = {}      # name: Register of True or False
        self.deployments = {}  # key: id of the operation, None: no answer yet
        self.versions = 2

    def ask(self, method, path, body=None, headers=None):
        """The answer; None when there was none."""
        self.written += 1
        try:
            answer = self.scene.managerd.request(method, path, body, headers=headers, timeout=30)
        except (OSError, http.client.HTTPException):
            return None
        if answer.status < 300:
            self.acknowledged += 1
        return answer

    def write(self, register, value, method, path, body=None, gone=False):
        register.asked(value)
        answer = self.ask(method, path, body)
        if answer is None or answer.status == 503:  # no answer; or saved, and not yet in force
            return
        if answer.status >= 300:
            assert answer.status in (404, 409, 412, 422), (method, path, body, answer)
            register.refused()
            return
        tag = answer.header("ETag")
        register.answered(value, int(tag.strip('"')) if tag else 0)

    # -- what it does -------------------------------------------------------------------------------------------------

    def describe(self):
        text = f"{self.number}-{self.written}"
        self.write(self.description, text, "PATCH", f"/v1/apps/{self.app}", {"description": text})

    def mark(self):
        app = self.chance.choice(self.shared)
        value = f"v{self.written}"
        self.write(self.labels[app], value, "PATCH", f"/v1/apps/{app}", {"labels": {f"w{self.number}": value}})

    def switch(self):
        value = not self.enabled.known
        self.write(self.enabled, value, "POST", f"/v1/apps/{self.app}/{'activate' if value else 'deactivate'}")

    def set_environment(self):
        names = tuple(sorted(self.chance.sample(["AA", "BB", "CC", "DD"], self.chance.randrange(4))))
        self.write(self.environment, names, "PUT", f"/v1/apps/{self.app}/environment", {"variables": {name: "x" for name in names}})

    def shift(self):
        version = self.chance.choice((1, 2))
        self.write(self.traffic, version, "PUT", f"/v1/apps/{self.app}/traffic", {"versions": [{"version": version, "percent": 100}]})

    def lead(self):
        host, app = f"d{self.number}.example.com", self.chance.choice([self.app, *self.shared, None])
        if app is None:
            if self.domain.known is not None and not self.domain.maybe:
                self.write(self.domain, None, "DELETE", f"/v1/domains/{host}")
        else:
            self.write(self.domain, app, "PUT", f"/v1/domains/{host}", {"paths": [{"app": app}]})

    def make_token(self):
        name = f"t{self.number}-{self.written}"
        self.tokens[name] = Register(f"token {name}", False)
        self.write(self.tokens[name], True, "POST", "/v1/tokens", {"name": name, "role": "viewer"})

    def deploy(self):
        """Without traffic, so that what serves is traffic's business; with a key, so that it can be asked for again."""
        key = f"k{self.number}-{self.written}"
        self.deployments[key] = None
        self.ask_for_deployment(key)

    def ask_for_deployment(self, key):
        answer = self.ask("POST", f"/v1/apps/{self.app}/deployments?{QUERY}&traffic=none", package(key, self.app),
                          {"Content-Type": "application/zip", "Idempotency-Key": key})
        self.unaccepted = answer
        if answer is not None and answer.status < 300:
            identity = answer.json()["id"]
            assert self.deployments[key] in (None, identity), "one key, two operations"
            self.deployments[key] = identity

    def run(self):
        work = [self.describe, self.mark, self.mark, self.switch, self.set_environment, self.shift, self.lead, self.make_token, self.deploy]
        weights = [6, 4, 4, 2, 3, 4, 3, 1, 2]
        try:
            while not self.over.is_set():
                if self.pause.is_set():
                    self.quiet.set()
                    time.sleep(0.01)
                    continue
                self.quiet.clear()
                self.chance.choices(work, weights)[0]()
                if not self.scene.managerd.running:
                    time.sleep(0.02)
        except BaseException as problem:  # a thread's own end would go unseen
            self.fault = problem
        self.quiet.set()

    # -- what must be there -------------------------------------------------------------------------------------------

    def check(self, records):
        """Against all records of state, read while no writer writes."""
        revision, app = records[f"apps/{self.app}"]
        internal = app["internal"]
        self.description.found(app["description"], revision)
        self.enabled.found(app["enabled"], revision)
        self.environment.found(tuple(sorted(internal["environment"]["names"])), revision)
        shares = internal["traffic"]["versions"]
        assert [share["percent"] for share in shares] == [100]
        self.traffic.found(shares[0]["version"], revision)
        domain = records.get(f"domains/d{self.number}.example.com")
        self.domain.found(domain[1]["paths"][0]["app"] if domain else None, domain and domain[0])
        for name, register in self.labels.items():
            revision, shared = records[f"apps/{name}"]
            register.found(shared["labels"].get(f"w{self.number}"), revision)
        there = {value["name"] for key, (_, value) in records.items() if key.startswith("tokens/")}
        for name, register in self.tokens.items():
            register.found(name in there)

    def check_deployments(self, records):
        """After the end: each key made exactly one operation, which succeeded, and exactly one version."""
        for key, identity in list(self.deployments.items()):
            self.ask_for_deployment(key)
        made = [json.loads(json.dumps(value)) for key, (_, value) in records.items() if key.startswith("operations/") and value["app"] == self.app]
        deployments = [operation for operation in made if operation["type"] == "deploy"]
        known = set(self.deployments.values())
        assert None not in known, f"a deployment was not accepted when it was asked for again: {self.unaccepted}"
        return len(deployments)
