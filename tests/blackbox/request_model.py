"""Holds requests to Lambda against botocore's service model: which operation each is, and whether every member is one that it has.

    operation, parameters = RequestModel(client).read(call)     # a relay.Call; AssertionError tells what is wrong
"""
import json
import re
from urllib.parse import parse_qs, unquote, urlsplit

from botocore.validate import ParamValidator

from lambda_functions import knowing_logs


class RequestModel:
    def __init__(self, client):
        self.model = knowing_logs(client).meta.service_model
        self.operations = []
        for name in self.model.operation_names:
            operation = self.model.operation_model(name)
            path, _, query = operation.http["requestUri"].partition("?")
            pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(path.rstrip("/")))
            self.operations.append((operation, operation.http["method"], re.compile(pattern), parse_qs(query)))

    def read(self, call):
        parts = urlsplit(call.target)
        query = parse_qs(parts.query, keep_blank_values=True)
        found = [(operation, match, more) for operation, method, pattern, more in self.operations
                 if method == call.method and (match := pattern.fullmatch(parts.path)) and all(query.get(name) == value for name, value in more.items())]
        assert found, f"{call} is no operation of Lambda's"
        operation, match, more = max(found, key=lambda one: len(one[2]))
        shape = operation.input_shape
        parameters = json.loads(call.body) if call.body and shape.serialization.get("payload") is None else {}
        by_place = {member.serialization.get("name", name): name for name, member in shape.members.items() if member.serialization.get("location")}
        parameters.update({by_place[name]: unquote(value) for name, value in match.groupdict().items()})
        for name, values in query.items():
            if name not in more:
                assert name in by_place, f"{operation.name} has no parameter {name}"
                listed = shape.members[by_place[name]].type_name == "list"
                parameters[by_place[name]] = values if listed else values[0]
        report = ParamValidator().validate(parameters, shape)
        assert not report.has_errors(), f"{operation.name}: {report.generate_report()}"
        return operation.name, parameters
