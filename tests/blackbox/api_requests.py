"""Requests made by chance from the OpenAPI document: lawful ones, of which the model knows what they do, and spoilt ones."""
import base64
import json
from urllib.parse import quote, urlencode

from harness import make_zip

ARCHIVE = base64.b64encode(make_zip({"index.js": "exports.handler = async () => ({statusCode: 200, body: 'hello'});"})).decode()
ODD_TEXTS = ["", " ", "\t", "a" * 300, "ä" * 40, "\U0001f600", "e\u0301", "\u202egnp", "\u200b", "../../etc/passwd", "%00", "%2e%2e", "null", "true",
             "0", "-1", "1e9", "' OR 1=1 --", "<script>", "${jndi:x}", "a/b", "a--b", "A", "_", "xn--nxasmq6b", "\u0085", "\ufeff", "\uffff", "\x7f", "\x01"]
ODD_VALUES = [None, True, False, 0, -1, 1, 1.5, -0.0, 1e308, 2**31, 2**53, 2**53 + 2, 2**64, 1e-9, "", "1", [], {}, [[]], [None], {"": ""}, {"a": None}] + ODD_TEXTS
RAW_BODIES = [b"", b" ", b"{", b"[]", b"null", b"1", b'"x"', b"{}x", b'{"a":1,"a":2}', b'{"description":"\xff"}', b'{"description":"\\ud800"}',
              b'{"description":"\\u0000"}', b"{'a':1}", b'{"memoryMb":0x80}', b'{"memoryMb":NaN}', b'{"memoryMb":1e999}', b'{"memoryMb":' + b"1" * 100 + b"}",
              b'{"a":' * 150 + b"1" + b"}" * 150, b"\xef\xbb\xbf{}", b"\x00", b'{"labels":{"a":"' + b"x" * 9000 + b'"}}', b'{"description":"' + b"y" * (1 << 20) + b'"}']
KINDS = ["text/plain", "application/x-www-form-urlencoded", "application/json-patch+json", "application/xml", "multipart/form-data; boundary=x", "application/jsonx"]


class Request:
    def __init__(self, call, values=None, query=None, headers=None, body=None, kind=None, then=None):
        self.call, self.values, self.query = call, values or {}, query or []
        self.headers, self.body, self.kind = dict(headers or {}), body, kind
        self.then = then      # what the model does when it succeeds
        self.must = None      # statuses that it must get; None: what the document has
        self.method = call.method
        self.why = "lawful"
        self.raw = None       # a body as it goes, instead of `body`

    @property
    def target(self):
        path = self.call.target({name: quote(str(value), safe="") for name, value in self.values.items()})
        return path + ("?" + urlencode(self.query, doseq=True) if self.query else "")

    @property
    def bytes(self):
        if self.raw is not None:
            return self.raw
        return None if self.body is None else json.dumps(self.body, ensure_ascii=False).encode("utf-8", "surrogatepass")

    def __repr__(self):
        shown = self.bytes if self.bytes is None or len(self.bytes) < 400 else self.bytes[:400] + b"..."
        return f"{self.method} {self.target} {self.headers} {shown!r} ({self.why})"


class Requests:
    def __init__(self, document, model, rng, names):
        self.document, self.model, self.rng = document, model, rng
        self.names = names                    # of apps, in this run
        self.hosts = [f"{name}.example.org" for name in names] + [f"*.{names[0]}.example.org"]
        self.calls = document.calls
        self.input = model.schema

    # -- values -------------------------------------------------------------------------------------------------------

    def some(self, things):
        things = sorted(things)
        return self.rng.choice(things) if things else None

    def app(self):
        """One that is there, mostly."""
        return self.some(name for name in self.names if name in self.model.apps) if self.rng.random() < 0.9 else None

    def value_for(self, schema, depth=0):
        """A lawful value of a schema of the document, at its edges quite often."""
        rng = self.rng
        if "enum" in schema:
            return rng.choice(schema["enum"])
        kind = schema.get("type")
        if isinstance(kind, list):
            if "null" in kind and rng.random() < 0.25:
                return None
            kind = next(one for one in kind if one != "null")
        if kind == "boolean":
            return rng.random() < 0.5
        if kind in ("integer", "number"):
            low, high = schema.get("minimum", 0), schema.get("maximum", 1000)
            if kind == "number" and rng.random() < 0.3:
                return round(rng.uniform(low, high), 2)
            return rng.choice([low, high, min(high, low + 1), max(low, high - 1), rng.randint(low, high)])
        if kind == "string":
            return self.text_for(schema)
        if kind == "array":
            count = rng.choice([schema.get("minItems", 0), schema.get("minItems", 0) + 1, schema.get("maxItems", 3)])
            return [self.value_for(schema["items"], depth + 1) for _ in range(count)]
        if kind == "object" and "properties" in schema:
            return self.object_for(schema, depth + 1)
        if kind == "object":
            return {name: rng.choice(["", "x", "ä\U0001f600", "y" * 100]) for name in rng.sample(["team", "a/b.c", "Z_9", "n-0"], rng.randint(0, 3))}
        return None

    def text_for(self, schema):
        low, high = schema.get("minLength", 0), min(schema.get("maxLength", 40), 1024)
        pattern = schema.get("pattern", "")
        if ":layer:" in pattern:
            return f"arn:aws:lambda:us-east-1:000000000000:layer:l{self.rng.getrandbits(40)}:{self.rng.randint(1, 9)}"
        if pattern.startswith("^arn:"):
            return "arn:aws:iam::000000000000:role/" + "r" * self.rng.randint(1, 200)
        if pattern.startswith("^/"):
            return "/" + "p" * self.rng.choice([0, 1, 1023])
        if "A-Za-z0-9" in pattern or "u0000" in pattern:
            return "x" * self.rng.choice([max(low, 1), high, min(high, 9)])
        return self.rng.choice(["x" * low, "x" * high, "ä" * (high // 2), "a \U0001f600 b"[:max(low, high // 4)] or "x" * low])

    def object_for(self, schema, depth=0):
        made = {}
        for name, member in schema["properties"].items():
            if member.get("readOnly") or name in ("access", "function"):
                continue
            if name == "concurrency":  # what lambda-local's account can afford
                if self.rng.random() < 0.1:
                    made[name] = self.rng.choice([{"reserved": 3}, {"reserved": 0}, {"reserved": None}, {"provisioned": None}, {"provisioned": 1, "reserved": 2}])
                continue
            if name in schema.get("required", []) or self.rng.random() < (0.3 if depth == 0 else 0.5):
                made[name] = self.value_for(member, depth)
        return made

    def settings(self):
        settings = self.object_for(self.input)
        if self.rng.random() < 0.1:
            settings["function"] = {"role": self.rng.choice([None, "arn:aws:iam::000000000000:role/other"])}
        return settings

    def condition(self, revision):
        """If-Match, lawful or not; with the statuses that must come of it."""
        chance = self.rng.random()
        if chance < 0.65 or not revision:
            return {}, None
        if chance < 0.85:
            return {"If-Match": self.rng.choice([f'"{revision}"', f'"1", "{revision}"', "*"])}, None
        return {"If-Match": self.rng.choice([f'"{revision + 1}"', f'W/"{revision}"', f"{revision}", '"x"', '""', f'"{revision}0"'])}, {412}

    # -- lawful requests ----------------------------------------------------------------------------------------------

    def lawful(self):
        makers = [self.put_app, self.patch_app, self.patch_app, self.environment, self.traffic, self.switch, self.domain, self.domain, self.end_domain,
                  self.key, self.end_key, self.token, self.end_token, self.read, self.read, self.listing, self.listing, self.rollback, self.check_plan,
                  self.put_app]
        if self.rng.random() < 0.03:
            makers = [self.deploy, self.deploy, self.end_app, self.end_version]
        return self.rng.choice(makers)()

    def changes_app(self, id, name, body, then, kind="application/json", values=None, must=None):
        headers, refused = self.condition(self.model.apps.get(name, {}).get("revision"))
        request = Request(self.calls[id], {"name": name, **(values or {})}, headers=headers, body=body, kind=kind if body is not None else None, then=then)
        request.must = refused or must
        return request

    def put_app(self):
        name, body = self.rng.choice(self.names), self.settings()
        if name in self.model.apps and self.rng.random() < 0.2:
            body.update(revision="1", urls=["x"], name=name, domains=[], createdAt="never")  # read-only members are taken back
        agrees = self.model.agrees(self.model.as_put(name, body))
        request = self.changes_app("putApp", name, body, lambda shown: self.model.put_app(name, body, int(shown["revision"])),
                                   must={422} if not agrees else {200} if name in self.model.apps else {201})
        if self.rng.random() < 0.1:
            request.headers["If-None-Match"] = "*"
            if name in self.model.apps:
                request.must = {412}
        return request

    def patch_app(self):
        name = self.app()
        if not name:
            return self.missing()
        body = self.settings()
        for member in list(body):
            if self.rng.random() < 0.2:
                body[member] = None
            elif isinstance(body[member], dict) and body[member] and self.rng.random() < 0.3 and member not in ("probe", "vpc"):
                body[member] = {**body[member], self.some(body[member]): None}
        kind = self.rng.choice(["application/json", "application/merge-patch+json", "application/merge-patch+json; charset=utf-8", "APPLICATION/JSON"])
        must = {200} if self.model.agrees(self.model.as_patched(name, body)) else {422}
        return self.changes_app("patchApp", name, body, lambda shown: self.model.patch_app(name, body, int(shown["revision"])), kind, must=must)

    def environment(self):
        name = self.app()
        if not name:
            return self.missing()
        names = self.rng.sample(["GREETING", "Path9", "a_b", "LONG_" + "X" * 100], self.rng.randint(0, 3))
        patch = self.rng.random() < 0.5
        body = {"variables": {one: None if patch and self.rng.random() < 0.4 else self.rng.choice(["", "x", "ä\n\U0001f600"]) for one in names}}

        def then(shown):
            app = self.model.apps[name]
            kept = (app["environment"] - set(names)) if patch else set()
            app["environment"] = kept | {one for one, value in body["variables"].items() if value is not None}
            app["revision"] = int(shown["revision"])
            assert set(shown["names"]) == app["environment"], shown
        return self.changes_app("patchEnvironment" if patch else "putEnvironment", name, body, then, must={200})

    def traffic(self):
        name = self.app()
        if not name:
            return self.missing()
        ready = sorted(self.model.apps[name]["versions"])
        chosen = self.rng.sample(ready, self.rng.randint(0, min(2, len(ready))))
        shares = {0: [], 1: [100], 2: self.rng.choice([[90, 10], [0.01, 99.99], [50.5, 49.5], [100, 0]])}[len(chosen)]
        body = {"versions": [{"version": n, "percent": p} for n, p in zip(chosen, shares)], "sticky": self.rng.choice(["none", "cookie", "address"])}

        def then(shown):
            self.model.apps[name].update(traffic=body, revision=int(shown["revision"]))
        lawful = chosen and 0 not in shares
        request = self.changes_app("putTraffic", name, body, then, must={200} if lawful else None)
        if not lawful and request.must:
            request.must = {412, 422}
        return request

    def rollback(self):
        name = self.app()
        ready = self.model.apps[name]["versions"] if name else ()
        if not ready:
            return self.missing()
        number = self.some(ready)

        def then(shown):
            self.model.apps[name].update(traffic={"versions": [{"version": number, "percent": 100}], "sticky": shown["sticky"]}, revision=int(shown["revision"]))
        return self.changes_app("rollback", name, {"version": number}, then, must={200})

    def switch(self):
        name = self.app()
        if not name:
            return self.missing()
        on = self.rng.random() < 0.5

        def then(shown):
            self.model.apps[name]["settings"]["enabled"] = on
            self.model.apps[name]["revision"] = int(shown["revision"])
        return self.changes_app("activate" if on else "deactivate", name, self.rng.choice([None, {}]), then, must={200})

    def key(self):
        name = self.app()
        if not name or len(self.model.apps[name]["keys"]) > 5:
            return self.missing()
        body = {"name": self.rng.choice(["k", "ä \U0001f600", "x" * 100]), **self.rng.choice([{}, {"expiresAt": None}, {"expiresAt": "2099-01-01T00:00:00Z"}])}

        def then(shown):
            assert shown["secret"].startswith("aok_") and shown["name"] == body["name"], shown
            self.model.apps[name]["keys"][shown["id"]] = body["name"]
            self.model.apps[name]["revision"] = int(shown["revision"])
        return self.changes_app("createKey", name, body, then, must={201})

    def end_key(self):
        name = self.app()
        key = self.some(self.model.apps[name]["keys"]) if name else None
        if not key:
            return self.missing()
        return self.changes_app("deleteKey", name, None, lambda shown: self.model.apps[name]["keys"].pop(key), values={"key": key}, must={204})

    def domain(self):
        host, there = self.rng.choice(self.hosts), [name for name in self.names if name in self.model.apps]
        if not there:
            return self.missing()
        prefixes = self.rng.sample(["/", "/api", "/a/b", "/%C3%A4", "/x.y"], self.rng.randint(1, 3))
        body = {"paths": [{"prefix": prefix, "app": self.rng.choice(there), **self.rng.choice([{}, {"stripPrefix": True}, {"url": None}])} for prefix in prefixes]}
        headers, refused = self.condition(self.model.domains.get(host, {}).get("revision"))

        def then(shown):
            self.model.domains[host] = {"paths": self.model.paths(body), "revision": int(shown["revision"])}
        request = Request(self.calls["putDomain"], {"host": host}, headers=headers, body=body, kind="application/json", then=then)
        request.must = refused or ({200} if host in self.model.domains else {201})
        return request

    def end_domain(self):
        host = self.some(host for host in self.hosts if host in self.model.domains)
        if not host:
            return self.missing()
        headers, refused = self.condition(self.model.domains[host]["revision"])
        request = Request(self.calls["deleteDomain"], {"host": host}, headers=headers, then=lambda shown: self.model.domains.pop(host))
        request.must = refused or {204}
        return request

    def token(self):
        if len(self.model.tokens) > 20:
            return self.end_token()
        body = {"name": self.rng.choice(["t", "ä"]), "role": self.rng.choice(["viewer", "deployer", "admin"]),
                **self.rng.choice([{}, {"apps": None}, {"apps": [self.names[0], "team-*"]}, {"expiresAt": "2099-01-01T00:00:00.5+02:00"}])}

        def then(shown):
            assert shown["secret"].startswith("aot_"), shown
            self.model.tokens[shown["id"]] = {"name": body["name"], "role": body["role"], "apps": body.get("apps")}
        request = Request(self.calls["createToken"], body=body, kind="application/json", then=then)
        request.must = {201}
        return request

    def end_token(self):
        id = self.some(self.model.tokens)
        if not id:
            return self.missing()
        request = Request(self.calls["revokeToken"], {"id": id}, then=lambda shown: self.model.tokens.pop(id))
        request.must = {204}
        return request

    def deploy(self):
        name = self.rng.choice(self.names)
        body = {"package": {"zip": ARCHIVE}, "runtime": "nodejs20.x", "handler": "index.handler", "probe": None, "timeoutSeconds": 30, "architecture": "x86_64", "snapStart": False,
                "memoryMb": self.rng.choice([128, 10240]), "traffic": self.rng.choice(["all", "none"]), **self.rng.choice([{}, {"environment": {"A1": "x"}}])}
        last = self.model.apps.get(name, {}).get("last", 0)

        def then(shown):
            assert shown["state"] == "succeeded" and shown["result"]["version"] == last + 1, shown
            self.model.deployed(name, body, last + 1)
        request = self.changes_app("deploy", name, body, then, must={200})
        request.headers["Prefer"] = "wait=60"
        return request

    def end_app(self):
        name = self.app()
        if not name:
            return self.missing()
        request = self.changes_app("deleteApp", name, None, lambda shown: self.model.apps.pop(name))
        request.must = request.must or ({409} if self.model.domains_of(name) else {200})
        if request.must == {412} and self.model.domains_of(name):
            request.must = {409, 412}
        request.headers["Prefer"] = "wait=60"
        return request

    def end_version(self):
        name = self.app()
        number = self.some(self.model.apps[name]["versions"]) if name else None
        if not number:
            return self.missing()
        serves = any(one["version"] == number and one["percent"] for one in self.model.apps[name]["traffic"]["versions"])
        request = Request(self.calls["deleteVersion"], {"name": name, "version": number}, headers={"Prefer": "wait=60"},
                          then=lambda shown: self.model.apps[name]["versions"].pop(number))
        request.must = {409} if serves else None
        return request

    def check_plan(self):
        """What changes nothing though it is a POST: plans."""
        if self.rng.random() < 0.5:
            name, settings = self.rng.choice(self.names), self.settings()
            request = Request(self.calls["apply"], query=[("dryRun", "true")], body={"apps": [{"name": name, **settings}]}, kind="application/json")
            request.must = {200} if self.model.agrees(self.model.as_put(name, settings)) else {422}
        else:
            request = Request(self.calls["deploy"], {"name": self.rng.choice(self.names)}, query=[("dryRun", "true")], body={"package": {"zip": ARCHIVE}}, kind="application/json")
            request.must = {200}
        return request

    def read(self):
        """Any GET of one thing: of what is there, 200 (or 304); of what is not, 404."""
        name = self.app()
        if not name:
            return self.missing()
        id = self.rng.choice(["getApp", "getAppStatus", "getEnvironment", "getTraffic", "getSystem", "export", "getHealth", "getReadiness", "explain", "getProblem", "verifyAudit"])
        call = self.calls[id]
        values = {"name": name, "slug": "conflict"}
        request = Request(call, {key: values[key] for key in call.segments}, query=[("url", f"http://{self.rng.choice(self.hosts + [name + '.localhost'])}/x")] if id == "explain" else [])
        request.must = {200}
        revision = self.model.apps[name]["revision"]
        if id in ("getApp", "getEnvironment", "getTraffic") and self.rng.random() < 0.4:
            request.headers["If-None-Match"] = self.rng.choice([f'"{revision}"', f'W/"{revision}"', "*", f'"1", "{revision}"', '"0"', f'"{revision}1"'])
            request.must = {200, 304}
        if self.rng.random() < 0.15:
            request.method, request.must = "HEAD", {200}
            request.headers.pop("If-None-Match", None)
        return request

    def listing(self):
        call = self.rng.choice([call for call in self.calls.values() if any(one["name"] == "cursor" for one in call.of("query"))])
        values = {"name": self.app(), "host": self.some(host for host in self.hosts if host in self.model.domains)}
        if any(values.get(key) is None for key in call.segments):
            return self.missing()
        query = []
        for parameter in call.of("query"):
            if parameter["name"] == "cursor" or self.rng.random() < 0.5:
                continue
            value = {"label": "team:x", "app": self.names[0]}.get(parameter["name"]) or parameter.get("example", "x")
            query.append((parameter["name"], self.rng.choice([1, 2, 500]) if parameter["name"] == "limit" else value))
        request = Request(call, {key: values[key] for key in call.segments}, query=query)
        request.must = {200}
        return request

    def missing(self):
        """Something that is not there."""
        uuid = "01890a5d-ac96-774b-bcce-b302099a8057"
        call = self.rng.choice([call for call in self.calls.values() if call.segments and call.id not in ("putApp", "putDomain", "deploy", "compatibilityDeploy", "getProblem", "getSchema")])
        values = {"name": "no-such-app", "host": "none.example.net", "version": 9, "id": uuid, "key": uuid, "change": uuid, "slug": "x", "file": "x"}
        kind = next(iter(call.body), None)
        body = self.document.resolved(call.body[kind]).get("example") if kind else None
        request = Request(call, {key: values[key] for key in call.segments}, body=body, kind=kind)
        request.must = {404}
        return request
