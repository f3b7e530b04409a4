"""What managerd's API must answer, kept by the test: apps, settings, environment, traffic, versions, keys, domains and tokens after each
call that succeeded. Defaults come from the OpenAPI document, so that the document, the program and this are held against each other."""
import copy
import json

READ_ONLY_APP = {"name", "domains", "urls", "createdAt", "updatedAt", "revision"}


def defaults(schema):
    """An object with every default of its schema, at every depth."""
    made = {}
    for name, member in schema.get("properties", {}).items():
        if member.get("readOnly"):
            continue
        if "default" in member:
            made[name] = copy.deepcopy(member["default"])
        if isinstance(made.get(name), dict) and "properties" in member:
            made[name] = fill(member, made[name])
    return made


def fill(schema, value):
    """The value with the defaults of what it does not have."""
    filled = {**defaults(schema), **value}
    for name, member in schema.get("properties", {}).items():
        if isinstance(filled.get(name), dict) and "properties" in member:
            filled[name] = fill(member, filled[name])
    return filled


def merge(schema, target, patch):
    """RFC 7396; what null takes away gets its default, where it may not be null."""
    merged = dict(target)
    for name, value in patch.items():
        member = schema["properties"].get(name, {})
        if value is None and "null" not in member.get("type", []):
            merged.pop(name, None)
            if "default" in member:
                merged[name] = copy.deepcopy(member["default"])
        elif isinstance(value, dict) and isinstance(merged.get(name), dict) and "properties" in member:
            merged[name] = merge(member, merged[name], value)
        elif isinstance(value, dict) and isinstance(merged.get(name), dict):
            merged[name] = {key: one for key, one in {**merged[name], **value}.items() if one is not None}
        elif value is not None or "null" in member.get("type", []):
            merged[name] = value
    return fill(schema, merged)


class Model:
    def __init__(self, document):
        self.schema = document.resolved(document.raw["components"]["schemas"]["AppInput"])
        self.versioned = set(document.raw["components"]["schemas"]["Version"]["properties"]) & set(self.schema["properties"])
        self.versioned -= {"environment", "description", "revision", "createdAt"}
        self.apps, self.domains, self.tokens = {}, {}, {}
        self.revision = 0  # the greatest that was seen

    # -- what calls do ------------------------------------------------------------------------------------------------

    @staticmethod
    def agrees(settings):
        """Whether no member forbids another: levels want JSON, snapshots want small storage and nothing provisioned."""
        logging = settings["logging"]
        levels = logging["format"] == "json" or not (logging["applicationLevel"] or logging["systemLevel"])
        reserved, provisioned = settings["concurrency"]["reserved"], settings["concurrency"]["provisioned"]
        room = provisioned is None or reserved is None or provisioned <= reserved
        return levels and room and not (settings["snapStart"] and (settings["ephemeralStorageMb"] > 512 or provisioned))

    def as_put(self, name, body):
        settings = {key: value for key, value in body.items() if key not in READ_ONLY_APP}
        present = self.apps.get(name)
        function = {"name": present["settings"]["function"]["name"] if present else name, "role": None, **settings.get("function", {})}
        return {**fill(self.schema, settings), "function": function}

    def put_app(self, name, body, revision):
        settings, present = self.as_put(name, body), self.apps.get(name)
        if present:
            present["settings"] = settings
        else:
            self.apps[name] = {"settings": settings, "environment": set(), "traffic": {"versions": [], "sticky": "none"}, "versions": {}, "keys": {},
                               "last": 0}
        self.apps[name]["revision"] = revision

    def as_patched(self, name, body):
        return merge(self.schema, self.apps[name]["settings"], {key: value for key, value in body.items() if key not in READ_ONLY_APP})

    def patch_app(self, name, body, revision):
        app = self.apps[name]
        patch = {key: value for key, value in body.items() if key not in READ_ONLY_APP}
        function = app["settings"]["function"]
        app["settings"] = self.as_patched(name, body)
        app["settings"]["function"] = {**function, **app["settings"].get("function", {})}
        if "function" in patch and (patch["function"] is None or patch["function"].get("role", 0) is None):
            app["settings"]["function"]["role"] = None
        app["settings"]["function"]["name"] = function["name"]
        app["revision"] = revision

    def deployed(self, name, body, number):
        """A deployment that has succeeded: its settings are the app's, its version has the traffic."""
        if name not in self.apps:
            self.put_app(name, {}, 0)
        app = self.apps[name]
        settings = {key: value for key, value in body.items() if key in self.versioned}
        app["settings"] = merge(self.schema, app["settings"], settings)
        if "environment" in body:
            app["environment"] = set(body["environment"])
        frozen = {key: app["settings"][key] for key in self.versioned}
        app["versions"][number] = {**frozen, "environment": set(app["environment"]), "description": body.get("description", ""), "state": "ready"}
        assert number == app["last"] + 1, "numbers of versions leave none out and are never given twice"
        app["last"] = number
        if body.get("traffic", "all") == "all":
            app["traffic"]["versions"] = [{"version": number, "percent": 100}]

    def domains_of(self, name):
        return {host for host, domain in self.domains.items() if any(path["app"] == name for path in domain["paths"])}

    @staticmethod
    def paths(body):
        return [{"prefix": path.get("prefix", "/"), "app": path["app"], "stripPrefix": path.get("stripPrefix", False)} for path in body["paths"]]

    # -- what GETs must tell ------------------------------------------------------------------------------------------

    def differences_of_app(self, name, shown):
        app = self.apps[name]
        wrong = [f"{name}: {key} is {shown.get(key)!r}, not {value!r}" for key, value in app["settings"].items() if shown.get(key) != value]
        wrong += [f"{name}: has {key}" for key in set(shown) - set(app["settings"]) - READ_ONLY_APP]
        if set(shown["domains"]) != self.domains_of(name):
            wrong.append(f"{name}: domains are {shown['domains']}, not {self.domains_of(name)}")
        if int(shown["revision"]) < app["revision"]:
            wrong.append(f"{name}: its revision went from {app['revision']} to {shown['revision']}")
        return wrong

    def differences_of_version(self, name, shown):
        kept = self.apps[name]["versions"].get(shown["version"])
        if kept is None:
            return [f"{name}: version {shown['version']} should not be there ({shown['state']})"]
        shown = {**shown, "environment": set(shown["environment"])}
        return [f"{name}: {key} of version {shown['version']} is {shown[key]!r}, not {value!r}" for key, value in kept.items() if shown[key] != value]

    def differences_of_domain(self, host, shown):
        paths = [{key: path[key] for key in ("prefix", "app", "stripPrefix")} for path in shown["paths"]]
        return [] if paths == self.domains[host]["paths"] and shown["host"] == host else [f"{host}: {paths} instead of {self.domains[host]['paths']}"]

    def saw(self, revision):
        self.revision = max(self.revision, int(revision))


def canonical(value):
    return json.dumps(value, sort_keys=True)
