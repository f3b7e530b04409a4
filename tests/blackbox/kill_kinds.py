"""The kinds of things that managerd does, for the tests that kill it: a row here, and it is killed at each of its points.

A stage takes (scene, app), asks the API, and raises Lost when managerd dies. Whatever is about the app must have its name in it.
"""
import base64
import functools
import json
from dataclasses import dataclass, field
from typing import Callable
from urllib.parse import quote

from harness import make_zip, request, scratch, wait_for
from kill_scene import FINAL, package
from secure_proxy import make_certificate


def nothing(scene, app):
    pass


@dataclass
class Kind:
    name: str
    stages: list
    prepare: Callable = nothing
    waits: bool = False           # whether something goes on by itself afterwards
    damaged: bool = False         # what was prepared is not whole
    slow: bool = False            # only in the long tier
    repeatable: bool = True       # whether a stage that was not done can be done after the restart as it was before
    texts: tuple = ()             # what may be served on the way, besides what is at the ends
    idempotent: bool = False      # stages carry a key: what had no answer is asked for again as it was
    view: Callable = lambda image: image  # what of the image counts
    options: dict = field(default_factory=dict)  # of the daemons

    @property
    def short(self):
        return "".join(word[0] for word in self.name.lower().split())


def deployed(*texts, query=""):
    return lambda scene, app: scene.deployed(app, *texts, query=query)


def upload(text, query="", **headers):
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda scene, app: scene.upload(app, text, query, {name: value.replace("APP", app) for name, value in sent.items()})


def call(method, path, body=None, **more):
    """APP in path, body and headers is the app's name."""
    def stage(scene, app):
        fill = lambda value: json.loads(json.dumps(value).replace("APP", app))  # noqa: E731
        target = path.replace("APP", app).replace("LAST", scene.last.get(app, ""))
        return scene.ask(method, target, None if body is None else fill(body), **fill(more))
    return stage


def both(*parts):
    def prepare(scene, app):
        for part in parts:
            part(scene, app)
    return prepare


TWO = deployed("one", "two")
ALL_OF_ONE = {"versions": [{"version": 1, "percent": 100}]}
HALF = {"versions": [{"version": 1, "percent": 50}, {"version": 2, "percent": 50}]}

NODE = base64.b64encode(make_zip({"index.js": "exports.handler = async () => ({statusCode: 200, body: 'one'});"})).decode()
PATHS = {"paths": [{"prefix": "/", "app": "APP"}]}
MORE_PATHS = {"paths": [{"prefix": "/", "app": "APP"}, {"prefix": "/steady", "app": "steady"}]}
SLOW = {"lambda_local": {"LAMBDA_LOCAL_READY_DELAY_MS": 300}}
BAD = '{"statusCode":500,"body":"bad"}'


def remembered(stage):
    """LAST in a later path is the id that this one was answered with."""
    def asked(scene, app):
        answer = stage(scene, app)
        scene.last[app] = answer.json()["id"]
        return answer
    return asked


def keep_function(scene, app):
    scene.foreign.add(app)
    return scene.ask("DELETE", f"/v1/apps/{app}?keepFunction=true")


def foreign_function(scene, app):
    scene.lambda_local.boto3().create_function(FunctionName=app, Runtime="provided.al2023", Handler="bootstrap", Code={"ZipFile": package("foreign", app)},
                                               Role="arn:aws:iam::000000000000:role/apps")
    scene.foreign.add(app)


@functools.lru_cache
def pair(name):
    """A certificate for *.example.com and its key."""
    text = make_certificate(scratch("pair.") / "pair.pem", "*.example.com", name + ".example").read_text()
    at = text.index("-----BEGIN PRIV")
    return {"certificatePem": text[:at], "privateKeyPem": text[at:]}


def certified(name):
    return lambda scene, app: call("PUT", "/v1/domains/APP.example.com", {**PATHS, "tls": pair(name)})(scene, app)


def undo(path):
    def stage(scene, app):
        at = path.replace("APP", app)
        latest = scene.ask("GET", f"{at}/history?limit=1").json()["items"][0]["id"]
        return scene.ask("POST", f"{at}/history/{latest}/undo")
    return stage


def cancel(scene, app):
    """Accepted means: it will not take effect."""
    return scene.ask("POST", f"/v1/operations/{scene.last[app]}/cancel")


def essentials(image):
    """Without what depends on how far something came before it was ended."""
    operations = [(o["type"], o["state"]) for o in image.get("operations/…", [])]
    return {"served": image["served"], "route": image.get("route APP"), "operations": operations}


def prepare_apply(scene, app):
    """APP is changed, APPa is created, APPb ends; one domain of each fate."""
    scene.deployed(app, "one", "two")
    scene.deployed(app + "b", "one")
    for host in ("changed", "gone"):
        scene.ask("PUT", f"/v1/domains/{host}.{app}.example.com", {"paths": [{"app": app}]})


def apply_changes(scene, app):
    document = scene.ask("GET", "/v1/export").json()
    document["apps"] = [one for one in document["apps"] if one["name"] != app + "b"] + [{"name": app + "a", "memoryMb": 512}]
    for one in document["apps"]:
        one.pop("package", None)  # traffic goes back to another one
        if one["name"] == app:
            one.update({"memoryMb": 256, "environment": {"AA": "1"}, "traffic": {"versions": [{"version": 1, "percent": 100}]}})
    document["domains"] = [one for one in document["domains"] if one["host"] != f"gone.{app}.example.com"]
    for one in document["domains"]:
        if one["host"] == f"changed.{app}.example.com":
            one["paths"] = [{"prefix": "/", "app": app}, {"prefix": "/a", "app": app + "a"}]
    document["domains"].append({"host": f"new.{app}.example.com", "paths": [{"prefix": "/", "app": app + "a"}]})
    return scene.ask("POST", "/v1/apply?prune=true", document)


def by_hand(method, path, body=None):
    """What somebody does to the function behind managerd's back."""
    def stage(scene, app):
        answer = request(f"{scene.lambda_local.url}/2015-03-31/functions/{app}{path}", method, None if body is None else json.dumps(body))
        assert answer.status in (200, 204), answer
    return stage


def pruned(scene, app):
    """Version 1 ends by itself, when nobody needs it any more."""
    path = f"/v1/apps/{app}/versions/1"
    wait_for(lambda: scene.ask("GET", path, expect=(200, 404)).status == 404, 40, "the old version has ended")


def canary(text, **more):
    wish = {"steps": [50, 100], "intervalSeconds": 1, "minRequests": 3, "maxErrorRate": 0.4, **more}
    return lambda scene, app: scene.upload(app, text, f"&canary={quote(json.dumps(wish))}")


def ended(state):
    def stage(scene, app):
        operations = lambda: scene.ask("GET", f"/v1/operations?app={app}&limit=500").json()["items"]  # noqa: E731
        last = wait_for(lambda: (lambda o: o if o["state"] in FINAL else None)(operations()[-1]), 60, "the canary has ended")
        assert last["state"] == state, last
    return stage


succeeded, failed = ended("succeeded"), ended("failed")


def cancel_canary(scene, app):
    watches = lambda: [s for s in scene.ask("GET", f"/v1/operations/{scene.last[app]}").json()["steps"] if s["name"] == "watch-canary"]  # noqa: E731
    wait_for(lambda: watches()[0]["state"] == "running", 20, "the canary watches")
    return cancel(scene, app)


UNPROBED = both(deployed("one"), call("PATCH", "/v1/apps/APP", {"probe": None}))

KINDS = [
    Kind("first deployment", [upload("one")]),
    Kind("redeployment", [upload("two")], deployed("one")),
    Kind("deployment without traffic", [upload("two", "&traffic=none")], deployed("one")),
    Kind("deployment of an old version", [call("POST", "/v1/apps/APP/deployments", {"package": {"version": 1}})], TWO),
    Kind("deployment of a share", [call("POST", "/v1/apps/APP/deployments", {"package": {"version": 1}, "traffic": {"percent": 10}})], TWO,
         texts=("one", "two")),
    Kind("plan of a deployment", [upload("two", "&dryRun=true")], deployed("one")),
    Kind("app created", [call("PUT", "/v1/apps/APP", {"memoryMb": 256, "labels": {"a": "b"}})]),
    Kind("app replaced", [call("PUT", "/v1/apps/APP", {"memoryMb": 256}), call("PATCH", "/v1/apps/APP", {"labels": {"c": "d"}})], deployed("one")),
    Kind("environment", [call("PUT", "/v1/apps/APP/environment", {"variables": {"AA": "1"}}),
                         call("PATCH", "/v1/apps/APP/environment", {"variables": {"BB": "2"}})], deployed("one")),
    Kind("traffic and rollback", [call("PUT", "/v1/apps/APP/traffic", HALF), call("POST", "/v1/apps/APP/rollback")], TWO, texts=("one", "two")),
    Kind("deactivation", [call("POST", "/v1/apps/APP/deactivate"), call("POST", "/v1/apps/APP/activate")], deployed("one"), texts=("one",)),
    Kind("end of an app", [call("DELETE", "/v1/apps/APP")], TWO),
    Kind("end of an app without its function", [keep_function], TWO),
    Kind("end of a version", [call("DELETE", "/v1/apps/APP/versions/1")], TWO),
    Kind("taking over a function", [upload("one", "&adopt=true")], foreign_function),
    Kind("first service", [call("POST", "/apps/deploy", {"name": "APP", "archive": NODE}), call("POST", "/apps/APP/deactivate"),
                           call("POST", "/apps/APP/remove")]),
    Kind("deployment with a key", [upload("two", Idempotency_Key="APP")], deployed("one"), idempotent=True),
    Kind("API keys with a key", [call("POST", "/v1/apps/APP/keys", {"name": "a"}, headers={"Idempotency-Key": "APP"}),
                                 call("POST", "/v1/apps/APP/keys", {"name": "b"}, headers={"Idempotency-Key": "APP-b"})],
         deployed("one"), idempotent=True),
    Kind("API keys", [remembered(call("POST", "/v1/apps/APP/keys", {"name": "a"})), call("DELETE", "/v1/apps/APP/keys/LAST")], deployed("one"), repeatable=False),
    Kind("tokens", [remembered(call("POST", "/v1/tokens", {"name": "APP", "role": "viewer"})), call("DELETE", "/v1/tokens/LAST")], repeatable=False),
    Kind("domain", [call("PUT", "/v1/domains/APP.example.com", PATHS), call("PUT", "/v1/domains/APP.example.com", MORE_PATHS),
                    call("DELETE", "/v1/domains/APP.example.com")], deployed("one")),
    Kind("certificate of a domain", [certified("one"), certified("two"), call("PUT", "/v1/domains/APP.example.com", {**PATHS, "tls": None})],
         deployed("one")),
    Kind("change taken back", [undo("/v1/apps/APP")], both(deployed("one"), call("PATCH", "/v1/apps/APP", {"memoryMb": 256, "enabled": False}))),
    Kind("end of a domain taken back", [undo("/v1/domains/APP.example.com")],
         both(deployed("one"), certified("one"), call("DELETE", "/v1/domains/APP.example.com"))),
    Kind("document applied", [apply_changes], prepare_apply),
    Kind("repair of a function", [call("POST", "/v1/apps/APP/sync?policy=repair")],
         both(deployed("one"), by_hand("PUT", "/configuration", {"Timeout": 77, "Handler": "wrong"}))),
    Kind("repair of a lost version", [call("POST", "/v1/apps/APP/sync?policy=repair")],
         both(TWO, call("PUT", "/v1/apps/APP/traffic", ALL_OF_ONE), by_hand("DELETE", "?Qualifier=1")), damaged=True),
    Kind("acceptance of a change", [call("POST", "/v1/apps/APP/sync?policy=accept")], both(deployed("one"), by_hand("PUT", "/configuration", {"Timeout": 77}))),
    Kind("cancelled deployment", [remembered(upload("two")), cancel], deployed("one"), repeatable=False, view=essentials, options=SLOW),
    Kind("rollback while deployments are queued", [upload("three"), upload("four"), call("POST", "/v1/apps/APP/rollback")], TWO, repeatable=False,
         slow=True, texts=("one", "two", "three", "four"), view=essentials, options=SLOW),
    Kind("old versions", [upload("three"), pruned], both(TWO, call("PATCH", "/v1/apps/APP", {"keepVersions": 1})), repeatable=False, waits=True,
         options={"managerd": {"MANAGERD_DRAIN_MS": 0}}),
    Kind("canary", [canary("two"), succeeded], UNPROBED, texts=("one", "two"), repeatable=False, slow=True),
    Kind("canary that goes back", [canary(BAD), failed], UNPROBED, texts=("one", "bad"), repeatable=False, slow=True),
    Kind("canary that is cancelled", [remembered(canary("two", intervalSeconds=2)), cancel_canary], UNPROBED, texts=("one", "two"),
         repeatable=False, slow=True, view=essentials),
]
