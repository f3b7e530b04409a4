"""What the daemons have stored, read from the files by others' tools: state and routes (mdb_dump), packages, certificates, functions.

    find_faults(stack)        # [] when all of it fits together: nothing orphaned, nothing half done, nothing left behind
"""
import hashlib
import json
import re
import struct
import subprocess
from urllib.parse import quote

from harness import request

TAGS = {  # common/store/layout.h
    "route": {1: "app", 2: "slot", 3: "enabled", 4: "version", 5: "max_in_flight", 6: "rate_milli", 7: "burst", 8: "deadline_ms", 9: "max_body_bytes",
              10: "sticky", 11: "revision", 12: "previews", 13: "version_header", 14: "respond_async", 15: "sum", 0x8001: "access"},
    "version": {1: "number", 2: "weight", 3: "function", 4: "qualifier", 5: "payload_format", 6: "response_mode", 7: "multi_value", 8: "timeout_s"},
    "domain": {1: "host", 2: "path", 3: "fingerprint"},
    "meta": {1: "generation", 2: "installation", 3: "published_at"},
}
TEXTS = {"app", "function", "qualifier", "host", "fingerprint", "installation"}
BYTES = {"sum", "access", "path"}


def dump(folder, database):
    """{key: value} of one database, as bytes; a reader beside the one who writes."""
    done = subprocess.run(["mdb_dump", "-s", database, str(folder)], capture_output=True, timeout=20)
    assert done.returncode == 0, (folder, database, done.stderr)
    lines = [line[1:] for line in done.stdout.split(b"\n") if line.startswith(b" ")]
    return {bytes.fromhex(key.decode()): bytes.fromhex(value.decode()) for key, value in zip(lines[::2], lines[1::2])}


def state(data):
    """{key: (revision, value)}."""
    return {key.decode(): (struct.unpack(">Q", value[:8])[0], json.loads(value[8:].split(b"\0")[0])) for key, value in dump(data / "state", "records").items()}


def fields(value, kind):
    """One record of the route store; anything that is not as layout.h says is an AssertionError."""
    assert kind == "version" or value[:1] == b"\1", "the format byte"
    at, found = 0 if kind == "version" else 1, {}
    while at < len(value):
        tag, length = struct.unpack_from(">HI", value, at)
        body = value[at + 6:at + 6 + length]
        assert len(body) == length, "a field is cut off"
        name = TAGS[kind].get(tag)
        assert name, f"the tag {tag}"
        if name == "sum":
            assert at + 6 + length == len(value) and hashlib.sha256(value[:at]).digest()[:8] == body, "the sum"
        if name == "version":
            found.setdefault("versions", []).append(fields(body, "version"))
        else:
            found[name] = body.decode() if name in TEXTS else body if name in BYTES else int.from_bytes(body, "big")
        at += 6 + length
    return found


def routes(data):
    return {name.decode(): fields(value, "route") for name, value in dump(data / "routes", "routes").items()}


def domains(data):
    return {host.decode(): fields(value, "domain") for host, value in dump(data / "routes", "domains").items()}


def generation(data):
    return fields(dump(data / "routes", "meta")[b"meta"], "meta")["generation"]


def control(lambda_local, path, version="2015-03-31"):
    """One answer of lambda-local's API, which is asked without a signature here."""
    answer = request(f"{lambda_local.url}/{version}/{path}")
    assert answer.status == 200, (path, answer)
    return answer.json()


def pages(lambda_local, path, member):
    """All items of a list, over all its pages."""
    items, marker = [], ""
    while marker is not None:
        page = control(lambda_local, path + (f"?Marker={quote(marker)}" if marker else ""))
        items += page[member]
        marker = page.get("NextMarker")
    return items


def function_names(lambda_local):
    return [function["FunctionName"] for function in pages(lambda_local, "functions/", "Functions")]


def functions(lambda_local, about=""):
    """{name: {"description", "tags", "versions": {number: description}, "aliases"}} of the functions with `about` in their names."""
    found = {}
    for name in function_names(lambda_local):
        if about in name:
            whole = control(lambda_local, f"functions/{name}")
            versions = pages(lambda_local, f"functions/{name}/versions", "Versions")
            found[name] = {"description": whole["Configuration"]["Description"], "tags": whole.get("Tags") or {},
                           "versions": {v["Version"]: v["Description"] for v in versions if v["Version"] != "$LATEST"},
                           "aliases": [a["Name"] for a in pages(lambda_local, f"functions/{name}/aliases", "Aliases")]}
    return found


def parts(key):
    return key.split("/")


def faults_of_state(records):
    """Records that name others which are not there, and records that nobody names."""
    kinds = {}
    for key, (_, value) in records.items():
        kinds.setdefault(parts(key)[0], {})["/".join(parts(key)[1:])] = value
    of = lambda kind: kinds.get(kind, {})  # noqa: E731
    apps, operations = of("apps"), of("operations")
    for key in of("queue"):
        if operations.get(parts(key)[1], {}).get("state") not in ("queued", "running"):
            yield f"queue/{key}: its operation is not unfinished"
    for key, operation in operations.items():
        if operation["state"] in ("queued", "running") and f"{operation['app']}/{key}" not in of("queue"):
            yield f"operations/{key} is {operation['state']}, and not in the queue: nobody will end it"
    for key in of("apply"):
        if operations.get(parts(key)[0], {}).get("state") not in ("queued", "running"):
            yield f"apply/{key} is left behind"
    for key in [*of("cancels")]:
        if operations.get(key, {}).get("state") not in ("queued", "running"):
            yield f"cancels/{key} is left behind"
    for kind, name_of in (("slots", lambda app: str(app["internal"]["slot"])), ("functions", lambda app: app["function"]["name"])):
        told = {key.lstrip("0") or "0": value["app"] for key, value in of(kind).items()}
        wanted = {name_of(app): name for name, app in apps.items()}
        if told != wanted:
            yield f"{kind}: {set(told.items()) ^ set(wanted.items())}"
    for key, version in of("versions").items():
        app = apps.get(parts(key)[0])
        if app is None:
            yield f"versions/{key} has no app"
        elif int(parts(key)[1]) > app["internal"]["lastVersion"]:
            yield f"versions/{key} is beyond the app's last version"
        busy = {"pending", "deleting"} & {version["state"]}
        if busy and not any(o["app"] == parts(key)[0] and o["state"] in ("queued", "running") for o in operations.values()):
            yield f"versions/{key} is {version['state']}, and nothing goes on with it"
    for name, app in apps.items():
        internal = app["internal"]
        if internal.get("deleting") and operations[internal["deleting"]]["state"] not in ("queued", "running"):
            yield f"apps/{name} is being deleted by an operation that has ended"
        if internal.get("canary") and operations[internal["canary"]["operation"]]["state"] not in ("queued", "running"):
            yield f"apps/{name} has the mark of a canary that has ended"
        for host in internal.get("domains") or []:
            if host not in of("domains"):
                yield f"apps/{name} lists the domain {host}, which is not there"
        for share in (internal.get("traffic") or {}).get("versions") or []:
            if (of("versions").get(f"{name}/{share['version']:010}") or {}).get("state") != "ready":
                yield f"apps/{name} gives traffic to version {share['version']}, which is not ready"
    for host, domain in of("domains").items():
        for path in domain["paths"]:
            if host not in (apps.get(path["app"], {"internal": {}})["internal"].get("domains") or []):
                yield f"domains/{host} leads to {path['app']}, which does not know"
        if bool(domain.get("tls")) != (host in of("certificates")):
            yield f"domains/{host} and its certificate do not belong together"
    for host in set(of("certificates")) - set(of("domains")):
        yield f"certificates/{host} has no domain"


def faults_of_routes(data, records):
    """Every record whole, and each what state says."""
    found, apps = routes(data), {parts(k)[1]: (r, v) for k, (r, v) in records.items() if k.startswith("apps/")}
    wanted = {name for name, (_, app) in apps.items() if not app["internal"].get("deleting") and
              any(share["percent"] > 0 for share in (app["internal"].get("traffic") or {}).get("versions") or [])}
    if set(found) != wanted:
        yield f"routes: {set(found) ^ wanted}"
    for name in set(found) & wanted:
        route, (revision, app) = found[name], apps[name]
        shares = {share["version"]: round(share["percent"] * 100) for share in app["internal"]["traffic"]["versions"] if share["percent"] > 0}
        if {v["number"]: v["weight"] for v in route["versions"] if v["weight"]} != shares or sum(shares.values()) != 10000:
            yield f"routes/{name} has the traffic {route['versions']} instead of {shares}"
        same = (route["app"], bool(route["enabled"]), route["slot"]) == (name, app["enabled"], app["internal"]["slot"])
        if not same or route["revision"] > revision:  # what changes no route is not published
            yield f"routes/{name} is not what state says: {route}, revision {revision}"
        for version in route["versions"]:
            record = records[f"versions/{name}/{version['number']:010}"][1]
            if (version["function"], version["qualifier"]) != (record["function"]["name"], record["lambdaVersion"]):
                yield f"routes/{name} calls {version} instead of {record['lambdaVersion']}"
    told = {host: d.get("fingerprint") for host, d in domains(data).items()}
    meant = {parts(k)[1]: (v.get("tls") or {}).get("fingerprint") for k, (_, v) in records.items() if k.startswith("domains/")}
    if told != meant:
        yield f"the domains of the route store are {told} instead of {meant}"


def faults_of_files(data, records):
    packages = {value["package"]["sha256"] + ".zip" for key, (_, value) in records.items() if key.startswith("versions/")}
    there = {path.name for path in (data / "packages").iterdir()}
    if packages - there:
        yield f"packages that are gone: {packages - there}"
    left = [str(path) for folder in ("packages", "secrets", "state", "routes", "keys") for path in (data / folder).rglob(".*.??????")]
    if left:
        yield f"files that were being written are left behind: {left}"


def faults_of_functions(found, records, installation, about="", foreign=()):
    """Every function of ours belongs to an app that is there, every Lambda version and the mark on it to a version that is there."""
    owners = {parts(k)[1]: v["app"] for k, (_, v) in records.items() if k.startswith("functions/")}
    for name, function in found.items():
        if function["tags"].get("app-orchestrator:installation") != installation or name in foreign:
            continue
        app = function["tags"]["app-orchestrator:app"]
        if owners.get(name) != app:
            yield f"the function {name} of {app} is an orphan"
            continue
        known = {v["lambdaVersion"]: int(parts(k)[2]) for k, (_, v) in records.items() if k.startswith(f"versions/{app}/") and v.get("lambdaVersion")}
        for number, description in function["versions"].items():
            stamp = re.fullmatch(r"app-orchestrator (\S+) (\S+) version (\d+)(?: publication \d+)?", description)
            if number not in known and stamp and records.get(f"versions/{app}/{int(stamp[3]):010}", (0, {"state": ""}))[1]["state"] == "failed":
                continue  # it was never heard of, but who ends the version finds it by its mark
            if number not in known or not stamp or stamp.groups() != (installation, app, str(known[number])):
                yield f"the Lambda version {name}:{number} ({description!r}) is an orphan; known are {known}"
        for number in set(known) - set(function["versions"]):
            yield f"the Lambda version {name}:{number} of version {known[number]} is gone"
        if function["aliases"]:
            yield f"{name} has aliases: {function['aliases']}"
    for key, (_, version) in records.items():
        name = version.get("function", {}).get("name", "") if key.startswith("versions/") else ""
        if name and about in name and version["state"] == "ready" and name not in found:
            yield f"{key} has no function"


def find_faults(stack, records=None, about=""):
    """`about`: only functions with this in their names are looked into; all functions must have an app in any case."""
    records = records or state(stack.data)
    installation = records["system"][1]["installation"]
    owned = {parts(key)[1] for key in records if key.startswith("functions/")}
    orphans = [f"the function {name} is an orphan" for name in function_names(stack.lambda_local) if name not in owned and name not in stack.foreign]
    return [*orphans, *faults_of_state(records), *faults_of_routes(stack.data, records), *faults_of_files(stack.data, records),
            *faults_of_functions(functions(stack.lambda_local, about), records, installation, about, stack.foreign)]
