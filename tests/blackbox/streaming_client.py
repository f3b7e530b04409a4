"""InvokeWithResponseStream for boto3 of any age: the operation's model, as newer botocore has it, and a reader."""
import copy
import functools
import json
from collections import namedtuple

OPERATION = {
    "name": "InvokeWithResponseStream",
    "http": {"method": "POST", "requestUri": "/2021-11-15/functions/{FunctionName}/response-streaming-invocations"},
    "input": {"shape": "InvokeWithResponseStreamRequest"},
    "output": {"shape": "InvokeWithResponseStreamResponse"},
    "errors": [],
}
SHAPES = {
    "InvokeWithResponseStreamRequest": {
        "type": "structure", "required": ["FunctionName"], "payload": "Payload",
        "members": {
            "FunctionName": {"shape": "NamespacedFunctionName", "location": "uri", "locationName": "FunctionName"},
            "InvocationType": {"shape": "String", "location": "header", "locationName": "X-Amz-Invocation-Type"},
            "LogType": {"shape": "LogType", "location": "header", "locationName": "X-Amz-Log-Type"},
            "ClientContext": {"shape": "String", "location": "header", "locationName": "X-Amz-Client-Context"},
            "Qualifier": {"shape": "Qualifier", "location": "querystring", "locationName": "Qualifier"},
            "Payload": {"shape": "Blob"}}},
    "InvokeWithResponseStreamResponse": {
        "type": "structure", "payload": "EventStream",
        "members": {
            "StatusCode": {"shape": "Integer", "location": "statusCode"},
            "ExecutedVersion": {"shape": "Version", "location": "header", "locationName": "X-Amz-Executed-Version"},
            "EventStream": {"shape": "InvokeWithResponseStreamResponseEvent"},
            "ResponseStreamContentType": {"shape": "String", "location": "header", "locationName": "Content-Type"}}},
    "InvokeWithResponseStreamResponseEvent": {
        "type": "structure", "eventstream": True,
        "members": {"PayloadChunk": {"shape": "InvokeResponseStreamUpdate"},
                    "InvokeComplete": {"shape": "InvokeWithResponseStreamCompleteEvent"}}},
    "InvokeResponseStreamUpdate": {
        "type": "structure", "event": True, "members": {"Payload": {"shape": "Blob", "eventpayload": True}}},
    "InvokeWithResponseStreamCompleteEvent": {
        "type": "structure", "event": True,
        "members": {name: {"shape": "String"} for name in ("ErrorCode", "ErrorDetails", "LogResult")}},
}

Streamed = namedtuple("Streamed", "status version body chunks code details log")


@functools.lru_cache(1)
def teach_botocore():
    from botocore.loaders import Loader
    load = Loader.load_service_model

    def load_service_model(self, service, kind, api_version=None):
        model = load(self, service, kind, api_version)
        if (service, kind) == ("lambda", "service-2") and OPERATION["name"] not in model["operations"]:
            model = copy.deepcopy(model)
            model["operations"][OPERATION["name"]] = OPERATION
            model["shapes"].update(SHAPES)
        return model
    Loader.load_service_model = load_service_model


def open_stream(client, name, event=None, **more):
    """The answer of boto3; its EventStream yields {"PayloadChunk": …} and {"InvokeComplete": …}."""
    return client.invoke_with_response_stream(FunctionName=name, Payload=json.dumps(event or {}).encode(), **more)


def stream(client, name, event=None, **more):
    """Reads a stream to its end."""
    answer = open_stream(client, name, event, **more)
    chunks, complete = [], None
    for item in answer["EventStream"]:
        assert complete is None, "something follows the end"
        if "PayloadChunk" in item:
            chunks.append(item["PayloadChunk"]["Payload"])
        else:
            complete = item["InvokeComplete"]
    assert complete is not None, "the stream has no end"
    details = complete.get("ErrorDetails")
    return Streamed(answer["StatusCode"], answer["ExecutedVersion"], b"".join(chunks), chunks, complete.get("ErrorCode"),
                    json.loads(details) if details else None, complete.get("LogResult"))
