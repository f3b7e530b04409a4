"""Spoils lawful requests in one place, and tells what must come of it."""
import copy
import re

import jsonschema

from api_requests import KINDS, ODD_TEXTS, ODD_VALUES, RAW_BODIES

SHAPED = {"putApp", "patchApp", "putEnvironment", "patchEnvironment", "putTraffic", "createKey", "putDomain", "createToken", "rollback"}
TOGETHER = {"layers", "vpc", "logging", "snapStart", "ephemeralStorageMb", "concurrency"}  # members whose values depend on one another
WAYS = ["value", "value", "value", "unknown", "raw", "kind", "method", "query", "header", "path", "missing-member", "duplicate-query"]


def places(schema, value, path=()):
    """Where a value may be replaced: members that are not read-only, at every depth, those that are absent too."""
    found = []
    for name, member in schema.get("properties", {}).items():
        if member.get("readOnly"):
            continue
        found.append((*path, name))
        inner = value.get(name) if isinstance(value, dict) else None
        if isinstance(inner, dict):
            found += places(member, inner, (*path, name)) + [(*path, name, key) for key in inner if "properties" not in member]
        if isinstance(inner, list) and inner and isinstance(inner[0], dict):
            found += places(member.get("items", {}), inner[0], (*path, name, 0))
    return found


def replace(value, path, new):
    for step in path[:-1]:
        value = value[step]
    value[path[-1]] = new


def odd_value(rng, schema):
    edges = [schema[edge] + more for edge in ("minimum", "maximum") if edge in schema for more in (-1, 0, 1, 0.5)]
    edges += ["x" * max(0, schema[edge] + more) for edge in ("minLength", "maxLength") if edge in schema and schema[edge] < 5000 for more in (-1, 0, 1)]
    return rng.choice(edges) if edges and rng.random() < 0.4 else copy.deepcopy(rng.choice(ODD_VALUES))


def schema_at(schema, path):
    for step in path:
        schema = schema.get("items", {}) if step == 0 else schema.get("properties", {}).get(step, {})
    return schema


def plain(value):
    """Whether lengths in bytes and in characters are the same, everywhere."""
    if isinstance(value, str):
        return value.isascii()
    if isinstance(value, dict):
        return all(plain(key) and plain(one) for key, one in value.items())
    return all(map(plain, value)) if isinstance(value, list) else True


def spoil(maker, request):
    """Spoils the request, when it has something to spoil in the way that chance gives."""
    before = request.must
    spoil_somewhere(maker, request, maker.rng.choice(WAYS))
    if before and request.must and min(before) >= 400:
        request.must = request.must | before  # which of two faults is told first is not promised
    if request.call.path.startswith("/apps/") and request.must and 422 in request.must:
        request.must = request.must | {400}  # the first service knew no other


def spoil_somewhere(maker, request, way):
    rng = maker.rng
    kind = (request.kind or "application/json").split(";")[0].lower()
    content = request.call.body.get(kind)
    if way in ("value", "unknown", "missing-member") and content and request.call.id in SHAPED and isinstance(request.body, dict):
        spoil_body(maker, request, content["schema"], way)
        return
    if way == "raw" and content and request.call.described["requestBody"]["required"] and request.call.id != "deploy":
        request.raw = rng.choice(RAW_BODIES)
        request.must, request.why = {400, 413, 422}, "raw body"
    elif way == "kind" and request.body:
        request.kind, request.must, request.why = rng.choice(KINDS), {415}, "type of the body"
    elif way == "method":
        have = {call.method for call in maker.calls.values() if call.path == request.call.path}
        request.method = rng.choice(sorted({"GET", "PUT", "PATCH", "POST", "DELETE"} - have) + ["OPTIONS"])
        request.must, request.why = ({204} if request.method == "OPTIONS" else {405}), "another method"
    elif way == "query" or way == "duplicate-query":
        spoil_query(rng, request, way)
    elif way == "header":
        spoil_header(rng, request)
    elif way == "path" and request.call.segments:
        spoil_path(rng, request)


def spoil_body(maker, request, schema, way):
    rng, resolved = maker.rng, maker.document.resolved(schema)
    if way == "unknown":
        odd = rng.choice(["nonsense", "Name", "runtime ", "__proto__", "ä", "a/b~c", "x" * 3000])
        inside = [path for path in places(resolved, request.body) if "properties" in schema_at(resolved, path) and isinstance(value_at(request.body, path), dict)]
        target = value_at(request.body, rng.choice(inside)) if inside and rng.random() < 0.5 else request.body
        target[odd] = rng.choice([1, None, "x", {}])
        request.must, request.why = {422}, "an unknown member"
        return
    if way == "missing-member":
        required = [name for name in resolved.get("required", []) if name in request.body]
        if required:
            del request.body[rng.choice(required)]
            request.must, request.why = {422}, "a missing member"
        return
    path = rng.choice(places(resolved, request.body) or [()])
    if not path or path[0] == "access":
        return
    new = odd_value(rng, schema_at(resolved, path))
    replace(request.body, path, new)
    good = jsonschema.Draft202012Validator(resolved).is_valid(request.body)
    request.why = f"{'/'.join(map(str, path))} = {str(new)[:40]!r}"
    if not good:
        request.must = {400, 422}
    elif path[0] in TOGETHER:
        request.must = None
    elif request.call.id in ("putApp", "patchApp") and plain(request.body) and path[0] != "function" and request.must != {412}:
        pass  # what fits the document's schema is taken
    else:
        request.must = None


def value_at(value, path):
    for step in path:
        value = value[step] if isinstance(value, list) or step in value else None
        if value is None:
            return None
    return value


def spoil_query(rng, request, way):
    known = {one["name"] for one in request.call.of("query")}
    if way == "duplicate-query" and request.query:
        request.query.append((request.query[0][0], request.query[0][1]))
    elif "cursor" in known and rng.random() < 0.7:
        name = rng.choice(["limit", "cursor"])
        request.query = [(key, value) for key, value in request.query if key != name]
        request.query.append((name, rng.choice(["0", "501", "-1", "1.5", "abc", "", "1e1", "+1", "%", "\x00", "ä", "9" * 30] if name == "limit" else
                                               ["zz", "%", "2f2f", "ä", "g" * 600, "61 ", "\x00", "0"])))
    else:
        request.query.append((rng.choice(["nonsense", "Limit", "ä", "x[]", "limit "]), rng.choice(ODD_TEXTS)))
    request.must, request.why = {422}, "the query"
    if any(isinstance(value, str) and "\x00" in value for _, value in request.query):
        request.must = {400, 422}


def spoil_header(rng, request):
    choices = [("X-Request-Id", "a b", None), ("X-Request-Id", "x" * 129, None), ("Prefer", "wait=;;,=", None), ("Accept", "image/png", None), ("Range", "bytes=0-1", None),
               ("Authorization", "Bearer wrong", {401, 429}), ("Authorization", "Basic eDp5", {401, 429}), ("Authorization", "", {401, 429}),
               ("If-Modified-Since", "Sat, 01 Jan 2050 00:00:00 GMT", None), ("Cookie", "a=b", None), ("X-Http-Method-Override", "DELETE", None)]
    if request.method == "POST":
        choices += [("Idempotency-Key", "k" * 256, {422}), ("Idempotency-Key", "\xe4", {422, 400}), ("Idempotency-Key", "a\tb", {422})]
    name, value, must = rng.choice(choices)
    if name == "Prefer" and "Prefer" in request.headers:
        return
    request.headers[name] = value
    if must and (name != "Authorization" or request.call.described.get("security") != []):
        request.must = must
    request.why = f"{name}: {value[:20]}"


def spoil_path(rng, request):
    name = rng.choice(request.call.segments)
    odd = rng.choice([text for text in ODD_TEXTS if text and not re.fullmatch("[A-Za-z0-9.-]+", text)] + ["a" * 64, "..", ".", "%", "1" * 40 + "-", "-1", "a--b.-"])
    request.values = {**request.values, name: odd}
    request.must, request.why = {400, 404, 422, 414}, f"{name} in the path is {odd[:30]!r}"
