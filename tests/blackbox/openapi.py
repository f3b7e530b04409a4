"""managerd's OpenAPI document as the tests use it: which call a request is for, and whether an answer is what it says."""
import json
import re

import jsonschema

PROBLEM = "application/problem+json"


class Call:
    """One call of the document."""

    def __init__(self, document, path, method, described):
        self.document, self.path, self.method, self.described = document, path, method.upper(), described
        self.id = described["operationId"]
        self.parameters = described["parameters"]
        self.pattern = re.compile("/".join("[^/]+" if part.startswith("{") else re.escape(part) for part in path.split("/")))
        self.segments = [name for name in re.findall(r"\{(\w+)\}", path)]

    def of(self, place):
        return [parameter for parameter in self.parameters if parameter["in"] == place]

    @property
    def body(self):
        """The media types of its body, each with schema and example; empty: it takes none."""
        return self.described.get("requestBody", {}).get("content", {})

    def answer(self, status):
        """What the document says of that status; None: nothing."""
        return self.document.resolved(self.described["responses"].get(str(status)))

    def target(self, values):
        """Its path with those values."""
        return re.sub(r"\{(\w+)\}", lambda match: str(values[match.group(1)]), self.path)


class Document:
    def __init__(self, text):
        self.raw = json.loads(text) if isinstance(text, (str, bytes)) else text
        self.calls = {}
        for path, methods in self.raw["paths"].items():
            for method, described in methods.items():
                call = Call(self, path, method, described)
                self.calls[call.id] = call
        self.validators = {}

    def resolved(self, value):
        """With what its references stand for in their places (there is no recursion in it)."""
        if isinstance(value, list):
            return [self.resolved(one) for one in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            found = self.raw
            for part in value["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            return self.resolved(found)
        return {name: self.resolved(one) for name, one in value.items()}

    def find(self, method, path):
        """The call that a request is for; None: the document has none. Literal parts count more than parameters."""
        method = "GET" if method == "HEAD" else method
        found = [call for call in self.calls.values() if call.method == method and call.pattern.fullmatch(path)]
        return min(found, key=lambda call: len(call.segments), default=None)

    def validator(self, key, schema):
        if key not in self.validators:
            self.validators[key] = jsonschema.Draft202012Validator(self.resolved(schema))
        return self.validators[key]

    def faults(self, call, status, content_type, body, headers=()):
        """What of an answer is not as the document says, as sentences. `headers` are the names of those that came."""
        described = call.answer(status)
        if described is None:
            return [f"{call.id} answered {status}, which the document does not have"]
        names = {name.lower() for name in headers}
        missing = [name for name in ("X-Request-Id", "ETag") if name in described.get("headers", {}) and name.lower() not in names]
        faults = [f"{call.id} answered {status} without {name}" for name in missing if headers]
        content = described.get("content")
        if not content:
            return faults + ([f"{call.id} answered {status} with a body"] if body else [])
        kind = (content_type or "").split(";")[0]
        if kind not in content:
            return faults + [f"{call.id} answered {status} as {content_type!r}, not {list(content)}"]
        if "json" not in kind:
            return faults
        try:
            values = [json.loads(line) for line in (body.splitlines() if "ndjson" in kind else [body])]
        except ValueError:
            return faults + [f"{call.id} answered {status} with what is no JSON: {body[:200]!r}"]
        validator = self.validator((call.id, status), content[kind]["schema"])
        found = [fault for value in values for fault in validator.iter_errors(value)]
        value = values[0] if values else {}
        faults += [f"{call.id} answered {status}: {'/'.join(map(str, fault.absolute_path))}: {fault.message}" for fault in found]
        if kind == PROBLEM and value.get("status") != status:
            faults.append(f"{call.id} answered {status} with a problem of status {value.get('status')}")
        return faults
