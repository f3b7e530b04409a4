"""A stack whose managerd is killed at chosen points, and what must hold after its next start.

A Kind (kill_kinds.py) is something that managerd does: how to prepare for it, and what is asked of it, in stages. It is first done without a
kill, and the image of everything stored about the app is kept after each stage. After a kill and a start the image must be that
of the stages that were acknowledged, or of one stage more; and doing the rest again must lead to the last image.
"""
import functools
import http.client
import json
import re
import threading
import time

import stored
from crash_point import CrashPoints, bootstrap
from harness import Stack, make_zip, request, wait_for
from relay import Relay

FINAL = ("succeeded", "failed", "cancelled")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}")
# What differs from one time to the next: times, chance, and how often a step was begun.
DROPPED = {"createdAt", "updatedAt", "trafficChangedAt", "startedAt", "finishedAt", "removedAt", "at", "expiresAtMs", "sealed", "slot", "attempts",
           "request", "requestId", "detail", "figures", "checkedAt", "picture", "lastModified", "hash", "start", "from", "revision", "sha256", "codeSha256", "bytes", "expiresAt", "prefix", "hint"}
RUNTIME = {"runtime": "provided.al2023", "handler": "bootstrap"}
QUERY = "runtime=provided.al2023&handler=bootstrap"


class Lost(Exception):
    """The answer did not come: managerd has died."""


@functools.lru_cache
def package(text, app=""):
    """Answers with the text; a text that is JSON is the whole reply. Each app has packages of its own."""
    return make_zip({"bootstrap": bootstrap(), "text": text, "of": app})


class Watcher:
    """Clients of two apps, all the time: one that nobody touches, and the one that is at stake."""

    def __init__(self, proxyd):
        self.proxyd, self.app, self.seen, self.over = proxyd, None, set(), threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        while not self.over.is_set():
            for app in ("steady", self.app):
                if app:
                    try:
                        answer = self.proxyd.app(app)
                    except OSError as problem:
                        self.seen.add((app, 0, "" if self.over.is_set() else repr(problem)))
                        continue
                    self.seen.add((app, answer.status, answer.text))
            self.over.wait(0.02)

    def watch(self, app):
        self.app, self.seen = app, set()

    def check(self, app, texts):
        """No 5xx, nothing of anybody else, only texts that served before or after."""
        self.app = None
        for who, status, text in self.seen:
            if who == "steady":
                assert (status, text) == (200, "steady"), (who, status, text)
            elif who == app:
                assert status in (404, 401) or text in texts or status in texts, (who, status, text, texts)

    def end(self):
        self.over.set()
        self.thread.join(20)


class KillScene(Stack):
    relay_class = Relay

    def __init__(self, **options):
        managerd = {"MANAGERD_TOKEN": "boss-of-this-test", "MANAGERD_DRAIN_MS": 100, "MANAGERD_AWS_CONTROL_RATE": 1000, "MANAGERD_AWS_GET_RATE": 1000,
                    "MANAGERD_KEEP_VERSIONS_FOR": 0, **options.pop("managerd", {})}
        lambda_local = {"LAMBDA_LOCAL_VERIFY_SIGNATURES": "false", **options.pop("lambda_local", {})}
        super().__init__(managerd=managerd, lambda_local=lambda_local, **options)
        self.foreign = set()  # functions that no app is to know
        self.points = CrashPoints(self.directory)
        self.managerd.options.update(self.points.variables())
        self.kills = self.names = 0
        self.last = {}  # of each app: an id that a stage remembers

    def start(self):
        self.lambda_local.start()
        self.relay = self.relay_class(self.lambda_local.url).__enter__()
        self.managerd.aws = {**self.lambda_local.aws_variables(), "AWS_ENDPOINT_URL_LAMBDA": self.relay.url}
        self.proxyd.start()
        self.managerd.options["MANAGERD_PROXIES"] = self.proxyd.admin
        self.managerd.start()
        for process in (self.managerd, self.proxyd):
            process.wait_ready()
        self.deploy("steady", package("steady"), **RUNTIME)
        # The proxy looks for the routes of a new environment now and then; what is learned before that were a 503.
        wait_for(lambda: self.proxyd.app("steady").status == 200, 10, "the proxy has routes")
        self.watcher = Watcher(self.proxyd)
        return self

    def close(self):
        self.watcher.end()
        super().close()
        self.relay.__exit__()

    def __exit__(self, kind, value, trace):
        super().__exit__(kind, value, trace)
        if kind is not None:
            self.watcher.over.set()
            self.relay.__exit__()

    # -- asking ---------------------------------------------------------------------------------------------------

    def ask(self, method, path, body=None, headers=None, expect=(200, 201, 202, 204), timeout=30):
        """An answer of the API; Lost when managerd died before it came."""
        try:
            answer = self.managerd.request(method, path, body, headers=headers, timeout=timeout)
        except (OSError, http.client.HTTPException) as problem:
            raise Lost(str(problem)) from None
        assert answer.status in expect, (method, path, answer.status, answer.text)
        return answer

    def upload(self, app, text, query="", headers=None, **more):
        return self.ask("POST", f"/v1/apps/{app}/deployments?{QUERY}{query}", package(text, app),
                        {"Content-Type": "application/zip", **(headers or {})}, **more)

    def done(self, answer):
        """Waits for the operation that an answer of 202 tells of."""
        identity = answer.json()["id"]
        return wait_for(lambda: (lambda o: o if o.get("state") in FINAL else None)(self.ask("GET", f"/v1/operations/{identity}").json()), 40,
                        "the operation ended")

    def deployed(self, app, *texts, query=""):
        for text in texts:
            ended = self.done(self.upload(app, text, query))
            assert ended["state"] == "succeeded", ended

    # -- what is there --------------------------------------------------------------------------------------------

    def start_again(self):
        self.points.disarm()
        self.relay.disarm()
        self.managerd.exit_code = self.managerd.process.wait(10)
        assert self.managerd.exit_code == -9, self.managerd.log_tail()
        self.kills += 1
        self.managerd.start()
        self.managerd.wait_ready()

    def busy(self):
        return any(self.ask("GET", f"/v1/operations?limit=1&state={state}").json()["items"] for state in ("queued", "running"))

    def settle(self, seconds=40):
        """Waits until no operation is unfinished; gives all records of state."""
        wait_for(lambda: not self.busy(), seconds, "all operations have ended")
        return stored.state(self.data)

    def settled(self):
        """Waits as settle(), while managerd may die: then it is false."""
        deadline, calm = time.monotonic() + 40, 0
        while calm < 2:  # what follows the end: routes, pruning
            try:
                calm = 0 if self.busy() else calm + 1
            except Lost:
                return False
            assert time.monotonic() < deadline, "the operations have not ended:\n" + self.managerd.log_tail()
            time.sleep(0.02)
        return True

    def image(self, kind, app, records):
        """All that is stored about an app, without what differs from one time to the next."""
        found = {}
        for key, (_, value) in records.items():
            by_value = key.startswith(("operations/", "tokens/", "queue/", "apply/")) and app in json.dumps(value)
            if app in key or by_value:
                key = key.split("/")[0] + "/…" if key.split("/")[0] in ("operations", "history", "tokens") else key
                found.setdefault(key.replace(app, "APP"), []).append(scrub(value, app))
        for name, function in stored.functions(self.lambda_local, app).items():
            found["function " + name.replace(app, "APP")] = scrub(function, app)
        for name, route in stored.routes(self.data).items():
            if app in name:
                found["route " + name.replace(app, "APP")] = scrub({k: v for k, v in route.items() if k not in ("sum", "access")}, app)
        mixed = len([v for v in found.get("route APP", {}).get("versions", []) if v["weight"]]) > 1
        served = self.proxyd.app(app)
        found["served"] = "a mix" if mixed and served.status == 200 else served.text if served.status == 200 else served.status
        return kind.view(json.loads(json.dumps(found, default=str)))


def scrub(value, app):
    if isinstance(value, dict):
        return {scrub(k, app): scrub(v, app) for k, v in value.items() if k not in DROPPED}
    if isinstance(value, list):
        return [scrub(v, app) for v in value]
    if isinstance(value, str):
        return UUID.sub("ID", value.replace(app, "APP"))
    return value


# -- one kill ---------------------------------------------------------------------------------------------------------


class Learned:
    """What a kind leaves behind when nobody kills: images[n] after n stages; how many writes and calls all of it takes."""

    def __init__(self, scene, kind):
        self.images, self.texts = [], set()
        for stages in range(len(kind.stages) + 1):
            app = name_of(scene, kind)
            kind.prepare(scene, app)
            scene.settle()
            scene.watcher.watch(app)
            scene.points.arm(0)
            scene.relay.count()
            for stage in kind.stages[:stages]:
                stage(scene, app)
            assert scene.settled(), "nobody killed it:\n" + scene.managerd.log_tail()
            scene.watcher.watch(None)
            self.writes, self.calls = scene.points.count, len(scene.relay.count())
            records = scene.settle()
            self.images.append(scene.image(kind, app, records))
            self.texts.add(self.images[-1]["served"])
        self.texts |= set(kind.texts)


def name_of(scene, kind):
    scene.names += 1
    return f"k{kind.short}{scene.names:04}x"


def differences(one, other):
    keys = [key for key in sorted({*one, *other}) if one.get(key) != other.get(key)]
    return "\n".join(f"  {key}:\n    {json.dumps(one.get(key))}\n    {json.dumps(other.get(key))}" for key in keys)


def act(scene, kind, app, first=0):
    """The stages from `first` on; how many were acknowledged."""
    for number, stage in enumerate(kind.stages[first:], first):
        try:
            stage(scene, app)
        except Lost:
            return number
    return len(kind.stages)


def kill_once(scene, kind, learned, arm, point):
    """Prepares, arms, acts; when it came to the kill: starts again and looks. False when it did not come to it."""
    app = name_of(scene, kind)
    kind.prepare(scene, app)
    scene.settle()
    scene.watcher.watch(app)
    arm()
    acknowledged = act(scene, kind, app)
    died = not scene.settled() if acknowledged == len(kind.stages) else True
    if not died:
        scene.points.disarm()
        scene.relay.disarm()
        scene.settle()
        return False
    scene.what = scene.points.what
    point = f"{point} ({scene.what})"
    allowed = learned.images[acknowledged:acknowledged + 2]
    try:
        scene.start_again()
        records = scene.settle()
        image = scene.image(kind, app, records)
        assert image in allowed, "neither before nor after:\n" + "\nor\n".join(differences(a, image) for a in allowed)
        untouched = kind.damaged and image == learned.images[0]
        faults = [] if untouched else stored.find_faults(scene, records, app)
        if faults and kind.waits:  # something went on by itself while we looked
            faults = stored.find_faults(scene, scene.settle(), app)
        assert not faults, faults
        reached = max(n for n, i in enumerate(learned.images) if i == image)
        again = acknowledged if kind.idempotent else reached
        if again < len(kind.stages) and kind.repeatable:
            assert act(scene, kind, app, again) == len(kind.stages), "it cannot be done again"
            scene.settle()
            image = scene.image(kind, app, scene.settle())
            assert image == learned.images[-1], "done again it is something else:\n" + differences(learned.images[-1], image)
        scene.watcher.check(app, learned.texts)
        assert scene.ask("GET", "/v1/audit/verification").json()["whole"], "the audit is torn"
    except BaseException:
        print(f"\n*** {kind.name}: killed {point}; {acknowledged} of {len(kind.stages)} stages were acknowledged")
        raise
    return True
