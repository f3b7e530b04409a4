"""The JSON Schemas that managerd serves, held against every vector of events, replies and preludes."""
import json
from pathlib import Path

import jsonschema
import pytest

import harness

VECTORS = Path(__file__).resolve().parents[1] / "vectors"
NAMES = ["event-1.0", "event-2.0", "event-alb", "event-alb-multi-value", "reply-1.0", "reply-2.0", "reply-alb", "reply-prelude"]
# What no schema can say: how many headers there are, how long they are together, how deep it is nested.
UNSAID = {"headers-201", "headers-many-dropped", "headers-too-long", "not-json-too-deep"}


@pytest.fixture(scope="module")
def schemas():
    with harness.Managerd(options={"MANAGERD_TOKEN": "token-of-the-tests"}, aws={
            "AWS_ENDPOINT_URL_LAMBDA": "http://127.0.0.1:1", "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "a",
            "AWS_SECRET_ACCESS_KEY": "b"}) as managerd:
        listed = harness.request(managerd.url + "/schemas").json()["schemas"]
        answers = {path: harness.request(managerd.url + path) for path in listed}
        assert harness.request(managerd.url + "/schemas/event-3.0.json").status == 404
        assert {"/schemas", "/schemas/{file}"} <= set(harness.request(managerd.url + "/openapi.json").json()["paths"])
    assert sorted(listed) == sorted(f"/schemas/{name}.json" for name in NAMES)
    assert all(a.status == 200 and a.header("Content-Type") == "application/schema+json" for a in answers.values()), "no token is asked for"
    return {path[len("/schemas/"):-len(".json")]: answer.json() for path, answer in answers.items()}


def validator(schema):
    return jsonschema.Draft202012Validator(schema)


def closed(schema):
    """The same, but what it does not name is refused: events may get members, the schemas must name those that there are."""
    if isinstance(schema, list):
        return [closed(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    out = {key: closed(value) for key, value in schema.items()}
    if schema.get("type") == "object" and "properties" in schema:
        out["additionalProperties"] = False
    return out


def test_they_are_schemas_of_2020_12_that_describe_themselves(schemas):
    for name, schema in schemas.items():
        jsonschema.Draft202012Validator.check_schema(schema)
        assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema" and schema["$id"] == f"urn:app-orchestrator:schema:{name}"
        assert schema["title"] and schema["description"]


def test_every_event_is_as_its_schema_says_member_by_member(schemas):
    checked, used = 0, set()
    validators = {name: validator(closed(schema)) for name, schema in schemas.items()}
    for folder in sorted((VECTORS / "events").iterdir()):
        request = json.loads((folder / "request.json").read_text())
        name = "event-" + request.get("format", "2.0")
        name += "-multi-value" if name == "event-alb" and request.get("multiValue") else ""
        faults = [fault.message for fault in validators[name].iter_errors(json.loads((folder / "event.json").read_text()))]
        assert not faults, (folder.name, faults)
        used.add(name)
        checked += 1
    assert checked >= 168 and used == {name for name in NAMES if name.startswith("event")}


def test_events_of_another_format_or_with_a_member_less_are_refused(schemas):
    event = json.loads((VECTORS / "events" / "account-known-2_0" / "event.json").read_text())
    assert validator(schemas["event-2.0"]).is_valid(event)
    for name in ("event-1.0", "event-alb", "event-alb-multi-value"):
        assert not validator(schemas[name]).is_valid(event)
    for member in ("version", "rawPath", "headers", "requestContext", "isBase64Encoded"):
        assert not validator(schemas["event-2.0"]).is_valid({key: value for key, value in event.items() if key != member})


def not_a_number(text):
    raise ValueError(text)


def read(data):
    """A payload as JSON by RFC 8259; None when it is none."""
    try:
        return [json.loads(data.decode("utf-8"), parse_constant=not_a_number)]
    except (ValueError, RecursionError):
        return None


def test_replies_that_are_taken_are_valid_and_those_that_are_refused_are_not(schemas):
    taken = refused = 0
    for folder in sorted((VECTORS / "replies").iterdir()):
        payload = read((folder / "reply.json").read_bytes())
        expected = json.loads((folder / "expected.json").read_text())
        for form in ("2.0", "1.0", "alb"):
            if form not in expected:
                continue
            if payload is None:
                assert "error" in expected[form], folder.name
                continue
            if folder.name in UNSAID:
                continue
            faults = [fault.message for fault in validator(schemas["reply-" + form]).iter_errors(payload[0])]
            assert bool(faults) == ("error" in expected[form]), (folder.name, form, faults)
            taken += not faults
            refused += bool(faults)
    assert taken >= 100 and refused >= 60, (taken, refused)


def test_preludes_that_are_taken_are_valid_and_those_that_are_refused_are_not(schemas):
    taken = refused = 0
    for folder in sorted((VECTORS / "preludes").iterdir()):
        data = (folder / "stream").read_bytes()
        expected = json.loads((folder / "expected.json").read_text())
        expected = expected.get("required", expected.get("any"))
        head, nuls, _ = data.partition(b"\0" * 8)
        payload = read(head) if nuls and data.startswith(b"{") and b"\0" not in head else None
        if payload is None or expected is None or len(head) + 8 > 16384 or folder.name in UNSAID:
            continue
        valid = validator(schemas["reply-prelude"]).is_valid(payload[0])
        assert valid == ("error" not in expected), (folder.name, expected)
        taken += valid
        refused += not valid
    assert taken >= 5 and refused >= 3, (taken, refused)
