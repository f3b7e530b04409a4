"""Holds requests against AWS's own description of its APIs: the service models that Debian's botocore carries.

    found = look("lambda", "POST", "/2015-03-31/functions", headers, body)
    found.operation, found.members, found.faults        # "CreateFunction", {"FunctionName": "hello", …}, []

A request is held against the operation that its method, path and query choose: parameters of path and query, headers,
members of the body, each for its type, pattern, length, range and enumeration; what is required and absent, and what is
there and unknown. Values are never part of a fault: they may be secrets. NEWER is what AWS has learned since that model.
"""
import base64
import binascii
import functools
import json
import re
from pathlib import Path
from urllib.parse import parse_qsl, unquote
from xml.etree import ElementTree

DATA = Path("/usr/lib/python3/dist-packages/botocore/data")
MODELS = {"lambda": "lambda/2015-03-31", "s3": "s3/2006-03-01", "sts": "sts/2011-06-15", "logs": "logs/2014-03-28"}

# Later than botocore 1.29 (2022-12). To each its source.
NEWER_OPERATIONS = {
    # Lambda API reference, InvokeWithResponseStream (2023-04): Invoke's members but for its InvocationType, which has no Event.
    ("lambda", "InvokeWithResponseStream"): ("Invoke", "POST", "/2021-11-15/functions/{FunctionName}/response-streaming-invocations"),
}
NEWER_PATHS = {
    # botocore 1.43: the slash at the end is gone; AWS takes both.
    ("lambda", "ListFunctions"): "/2015-03-31/functions",
    ("lambda", "GetAccountSettings"): "/2016-08-19/account-settings",
}
# Lambda Developer Guide, "Lambda runtimes": the set grows each year; these are the shapes of the names.
NEWER_VALUES = {
    ("lambda", "Runtime"): re.compile(r"(nodejs|python|java|dotnet|ruby|provided)[0-9a-z.]*"),
}
# Lambda API reference: LoggingConfig (2023-11), VpcConfig.Ipv6AllowedForDualStack (2023-10), SourceKMSKeyArn (2024-11).
NEWER_SHAPES = {
    "lambda": {
        "LoggingConfig": {"type": "structure", "members": {
            "LogFormat": {"shape": "LogFormat"}, "ApplicationLogLevel": {"shape": "ApplicationLogLevel"},
            "SystemLogLevel": {"shape": "SystemLogLevel"}, "LogGroup": {"shape": "LogGroup"}}},
        "LogFormat": {"type": "string", "enum": ["JSON", "Text"]},
        "ApplicationLogLevel": {"type": "string", "enum": ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"]},
        "SystemLogLevel": {"type": "string", "enum": ["DEBUG", "INFO", "WARN"]},
        "LogGroup": {"type": "string", "min": 1, "max": 512, "pattern": r"[\.\-_/#A-Za-z0-9]+"},
        "NullableBoolean": {"type": "boolean"},
    },
}
NEWER_MEMBERS = {
    ("lambda", "CreateFunctionRequest"): {"LoggingConfig": {"shape": "LoggingConfig"}},
    ("lambda", "UpdateFunctionConfigurationRequest"): {"LoggingConfig": {"shape": "LoggingConfig"}},
    ("lambda", "VpcConfig"): {"Ipv6AllowedForDualStack": {"shape": "NullableBoolean"}},
    ("lambda", "FunctionCode"): {"SourceKMSKeyArn": {"shape": "KMSKeyArn"}},
    ("lambda", "UpdateFunctionCodeRequest"): {"SourceKMSKeyArn": {"shape": "KMSKeyArn"}},
}

# Headers of signing, transport and tracing, which no model lists.
SIGNING = {"x-amz-date", "x-amz-security-token", "x-amz-content-sha256"}
# The models' own patterns are Java's; what Python reads otherwise is left out.
JAVA_ONLY = re.compile(r"\\p\{|\[\[:|&&")


class Found:
    def __init__(self, service, operation, members, faults):
        self.service, self.operation, self.members, self.faults = service, operation, members, faults


@functools.lru_cache(None)
def model(service):
    text = json.loads((DATA / MODELS[service] / "service-2.json").read_text())
    for (owner, name), (like, method, path) in NEWER_OPERATIONS.items():
        if owner == service:
            text["operations"].setdefault(name, {**text["operations"][like], "name": name,
                                                 "http": {"method": method, "requestUri": path}})
    text["shapes"] = {**NEWER_SHAPES.get(service, {}), **text["shapes"]}
    for (owner, shape), members in NEWER_MEMBERS.items():
        if owner == service:
            text["shapes"][shape]["members"] = {**members, **text["shapes"][shape]["members"]}
    return text


@functools.lru_cache(None)
def pattern(text):
    return None if JAVA_ONLY.search(text) else re.compile(text)


@functools.lru_cache(None)
def routes(service):
    """(method, path's expression, what its query must have, operation's name), of services that tell operations by path."""
    found = []
    for name, operation in model(service)["operations"].items():
        method, uri = operation["http"]["method"], operation["http"]["requestUri"]
        path, _, query = uri.partition("?")
        path = NEWER_PATHS.get((service, name), path)
        expression = "".join(
            (f"(?P<{part[1:-1].rstrip('+')}>{'.+' if part.endswith('+}') else '[^/]+'})" if part.startswith("{") else re.escape(part))
            for part in re.split(r"(\{[^}]*\})", path))
        found.append((method, re.compile(expression + ("/?" if service == "lambda" else "")), dict(parse_qsl(query, True)), name))
    return found


class Check:
    """One request against one operation."""

    def __init__(self, service, operation):
        self.service, self.shapes, self.faults = service, model(service)["shapes"], []
        self.operation = operation

    def fault(self, where, what):
        self.faults.append(f"{self.service} {self.operation}: {where or 'the request'} {what}")

    def bounded(self, shape, size, where, of):
        if size < shape.get("min", size) or size > shape.get("max", size):
            self.fault(where, f"has {of} {size}, which is not {shape.get('min', '')} to {shape.get('max', '')}")

    def value(self, name, value, where):
        shape = self.shapes[name]
        kind = shape["type"]
        {"structure": self.structure, "list": self.list, "map": self.map}.get(kind, self.scalar)(name, shape, value, where)

    def structure(self, name, shape, value, where):
        if not isinstance(value, dict):
            return self.fault(where, "is no object")
        for member in sorted(set(shape.get("required", ())) - set(value)):
            self.fault(where, f"lacks {member}")
        for member, inner in value.items():
            if member not in shape["members"]:
                self.fault(where, f"has the unknown member {member}")
            else:
                self.value(shape["members"][member]["shape"], inner, f"{where}.{member}".lstrip("."))

    def list(self, name, shape, value, where):
        if not isinstance(value, list):
            return self.fault(where, "is no list")
        self.bounded(shape, len(value), where, "the length")
        for number, inner in enumerate(value):
            self.value(shape["member"]["shape"], inner, f"{where}[{number}]")

    def map(self, name, shape, value, where):
        if not isinstance(value, dict):
            return self.fault(where, "is no map")
        self.bounded(shape, len(value), where, "the size")
        for key, inner in value.items():
            self.value(shape["key"]["shape"], key, f"a key of {where}")
            self.value(shape["value"]["shape"], inner, f"{where}[…]")

    def scalar(self, name, shape, value, where):
        kind = shape["type"]
        if kind in ("integer", "long"):
            if isinstance(value, bool) or not isinstance(value, int):
                return self.fault(where, f"is no {kind}")
            self.bounded(shape, value, where, "the value")
        elif kind in ("float", "double", "timestamp"):
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                self.fault(where, "is no number")
        elif kind == "boolean":
            if not isinstance(value, bool):
                self.fault(where, "is no boolean")
        elif kind == "blob":
            self.blob(shape, value, where)
        elif not isinstance(value, str):
            self.fault(where, "is no string")
        else:
            self.string(name, shape, value, where)

    def blob(self, shape, value, where):
        try:
            self.bounded(shape, len(base64.b64decode(value, validate=True)), where, "the length")
        except (TypeError, binascii.Error):
            self.fault(where, "is not base64")

    def string(self, name, shape, value, where):
        self.bounded(shape, len(value), where, "the length")
        newer = NEWER_VALUES.get((self.service, name))
        if "enum" in shape and value not in shape["enum"] and not (newer and newer.fullmatch(value)):
            self.fault(where, "is none of its enumeration")
        compiled = pattern(shape["pattern"]) if "pattern" in shape else None
        if compiled and not compiled.fullmatch(value):
            self.fault(where, f"does not match {shape['pattern']}")

    # -- what came as text: path, query, headers, forms, XML --

    def from_text(self, name, text, where):
        """The value that the text stands for, as the shape wants it."""
        kind = self.shapes[name]["type"]
        if kind in ("integer", "long") and re.fullmatch(r"-?\d+", text):
            return int(text)
        if kind == "boolean" and text in ("true", "false"):
            return text == "true"
        if kind in ("float", "double") and re.fullmatch(r"-?\d+(\.\d+)?", text):
            return float(text)
        if kind == "timestamp":  # HTTP's dates in headers, ISO 8601 elsewhere: what is neither, AWS refuses
            return 0 if re.search(r"\d\d:\d\d:\d\d", text) or re.fullmatch(r"\d+(\.\d+)?", text) else text
        return text

    def from_xml(self, name, element):
        shape = self.shapes[name]
        if shape["type"] == "structure":
            return self.structure_from_xml(shape, element)
        if shape["type"] == "list":
            return [self.from_xml(shape["member"]["shape"], inner) for inner in element]
        return self.from_text(name, element.text or "", element.tag)

    def structure_from_xml(self, shape, element):
        value, by_tag = {}, {}
        for member, definition in shape["members"].items():
            by_tag[definition.get("locationName", member)] = (member, definition["shape"])
        for inner in element:
            tag = inner.tag.rpartition("}")[2]
            member, inner_name = by_tag.get(tag, (tag, None))
            if inner_name is None:
                value[member] = inner.text
            elif self.shapes[inner_name].get("flattened"):
                value.setdefault(member, []).append(self.from_xml(self.shapes[inner_name]["member"]["shape"], inner))
            else:
                value[member] = self.from_xml(inner_name, inner)
        return value

    def from_form(self, name, pairs, prefix=""):
        """Of the query protocol: Tags.member.1.Key=…"""
        shape, value = self.shapes[name], {}
        if shape["type"] == "structure":
            groups = {}
            for key, text in pairs:
                head, _, rest = key.partition(".")
                groups.setdefault(head, []).append((rest, text))
            for member, inner in groups.items():
                known = shape["members"].get(member)
                value[member] = self.from_form(known["shape"], inner, member) if known else ""
            return value
        if shape["type"] == "list":
            groups = {}
            for key, text in pairs:
                word, _, rest = key.partition(".")
                number, _, rest = rest.partition(".")
                groups.setdefault(number if word == "member" else key, []).append((rest, text))
            return [self.from_form(shape["member"]["shape"], inner) for _, inner in sorted(groups.items())]
        return self.from_text(name, pairs[0][1], prefix)


def choose(service, method, path, query, headers):
    """The operation whose path fits and whose query and headers have most of what was sent; None: there is none."""
    best = None
    names = dict(parse_qsl(query, True))
    for wanted_method, expression, literal, name in routes(service):
        match = wanted_method == method and expression.fullmatch(path)
        if not match or any(names.get(key) != value for key, value in literal.items()):
            continue
        shape = model(service)["shapes"][model(service)["operations"][name]["input"]["shape"]] \
            if "input" in model(service)["operations"][name] else {"members": {}}
        located = {d.get("locationName", m): m for m, d in shape["members"].items() if d.get("location") == "querystring"}
        required = {n for n, m in located.items() if m in shape.get("required", ())}
        wanted = {d["locationName"].lower() for m, d in shape["members"].items()
                  if d.get("location") == "header" and m in shape.get("required", ())}
        if required - set(names) or wanted - set(headers):
            continue
        unknown = len(set(names) - set(located) - set(literal))
        rank = (-unknown, len(literal) + len(required) + len(wanted), -len(located))
        if best is None or rank > best[0]:
            best = (rank, name, match.groupdict(), literal)
    return best[1:] if best else None


def look(service, method, target, headers, body=None):
    """`headers`: names in lower case -> value (empty: not shown). `body`: bytes, str, or None when it was not kept."""
    path, _, query = target.partition("?")
    body = body.decode("utf-8", "replace") if isinstance(body, bytes) and service != "s3" else body
    if "authorization" not in headers and service != "sts":
        return Found(service, None, {}, [f"{service}: a request without a signature"])
    if service == "logs":
        return look_json(headers, body)
    if service == "sts":
        return look_form(body)
    chosen = choose(service, method, path, query, headers)
    if chosen is None:
        return Found(service, None, {}, [f"{service}: no operation is {method} {re.sub('[0-9]', 'N', path)}"])
    name, labels, literal = chosen
    return look_rest(service, name, labels, literal, query, headers, body)


def look_json(headers, body):
    prefix, _, name = headers.get("x-amz-target", "").partition(".")
    meta = model("logs")["metadata"]
    if prefix != meta["targetPrefix"] or name not in model("logs")["operations"]:
        return Found("logs", None, {}, ["logs: X-Amz-Target names no operation"])
    check = Check("logs", name)
    if headers.get("content-type") != f"application/x-amz-json-{meta['jsonVersion']}":
        check.fault("Content-Type", "is not the protocol's")
    members = json_body(check, body)
    check.value(model("logs")["operations"][name]["input"]["shape"], members, "")
    return Found("logs", name, members, check.faults)


def look_form(body):
    pairs = parse_qsl(body or "", True)
    name = dict(pairs).get("Action")
    if name not in model("sts")["operations"]:
        return Found("sts", None, {}, ["sts: Action names no operation"])
    check = Check("sts", name)
    if dict(pairs).get("Version") != model("sts")["metadata"]["apiVersion"]:
        check.fault("Version", "is not the API's")
    shape = model("sts")["operations"][name]["input"]["shape"]
    members = check.from_form(shape, [pair for pair in pairs if pair[0] not in ("Action", "Version")])
    check.value(shape, members, "")
    return Found("sts", name, members, check.faults)


def json_body(check, body):
    try:
        members = json.loads(body or "{}")
    except ValueError:
        members = None
    if not isinstance(members, dict):
        check.fault("the body", "is no JSON object")
        members = {}
    return members


def look_rest(service, name, labels, literal, query, headers, body):
    check = Check(service, name)
    operation = model(service)["operations"][name]
    shape = model(service)["shapes"][operation["input"]["shape"]] if "input" in operation else {"members": {}}
    located = {"uri": {}, "querystring": {}, "header": {}, "headers": {}, None: {}}
    for member, definition in shape["members"].items():
        located[definition.get("location")][definition.get("locationName", member)] = (member, definition["shape"])
    members = {}
    for label, text in labels.items():
        member, inner = located["uri"][label]
        members[member] = check.from_text(inner, unquote(text), member)
    for key, text in parse_qsl(query, True):
        if key not in located["querystring"]:
            if key not in literal:
                check.fault("the query", f"has the unknown parameter {key}")
            continue
        member, inner = located["querystring"][key]
        if check.shapes[inner]["type"] == "list":
            members.setdefault(member, []).append(text)
        else:
            members[member] = check.from_text(inner, text, member)
    headers_of(check, located, headers, members)
    body_of(check, service, shape, located, headers, body, members)
    kept = body is not None
    required = [m for m in shape.get("required", ()) if kept or shape["members"][m].get("location")]
    for member in sorted(set(required) - set(members)):
        check.fault("", f"lacks {member}")
    for member, value in members.items():
        if member in shape["members"]:
            check.value(shape["members"][member]["shape"], value, member)
    return Found(service, name, members, check.faults)


def headers_of(check, located, headers, members):
    known = {name.lower(): where for name, where in located["header"].items()}
    for header, text in headers.items():
        if header in known:
            member, inner = known[header]
            members[member] = check.from_text(inner, text, member)
        elif header.startswith("x-amz-") and header not in SIGNING and \
                not any(header.startswith(prefix.lower()) for prefix in located["headers"]):
            check.fault("", f"has the unknown header {header}")


def body_of(check, service, shape, located, headers, body, members):
    payload = shape.get("payload")
    if payload:
        inner = shape["members"][payload]["shape"]
        if check.shapes[inner]["type"] == "structure" and body:
            members[payload] = check.from_xml(inner, ElementTree.fromstring(body))
        return  # bytes as they are; the schema has nothing to say of them
    if service == "s3":
        if body:
            check.fault("the body", "is of an operation that takes none")
        return
    if not body:
        return
    if not located[None]:
        if body != "{}":
            check.fault("the body", "is of an operation that takes none")
        return
    if headers.get("content-type") != "application/json":
        check.fault("Content-Type", "is not application/json")
    for name, value in json_body(check, body).items():
        if name in located[None]:
            members[located[None][name][0]] = value
        else:
            check.fault("the body", f"has the unknown member {name}")
