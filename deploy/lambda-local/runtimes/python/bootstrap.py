"""Loads a function's handler and serves its invocations over the Lambda Runtime API.

One kept connection, read and written as a plain socket: http.client would cost more than the rest together."""
import importlib
import json
import logging
import os
import socket
import sys
import time
import traceback

API = "/2018-06-01/runtime"
ADDRESS = os.environ["AWS_LAMBDA_RUNTIME_API"]
TASK_ROOT = os.environ["LAMBDA_TASK_ROOT"]
COMMON = f"Host: {ADDRESS}\r\nUser-Agent: lambda-local-python/{sys.version_info[0]}.{sys.version_info[1]}\r\n"
NEXT = f"GET {API}/invocation/next HTTP/1.1\r\n{COMMON}\r\n".encode()


class Connection:
    def __init__(self):
        host, _, port = ADDRESS.rpartition(":")
        self.socket = socket.create_connection((host, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.bytes = bytearray()

    def send(self, data):
        self.socket.sendall(data)

    def more(self):
        piece = self.socket.recv(65536)
        if not piece:
            os._exit(0)  # lambda-local has gone, and with it all work
        self.bytes += piece

    def answer(self):
        """The next answer: status, headers (lower-case names), body."""
        end = self.bytes.find(b"\r\n\r\n")
        while end < 0:
            self.more()
            end = self.bytes.find(b"\r\n\r\n")
        lines = self.bytes[:end].decode("latin-1").split("\r\n")
        headers = {}
        for line in lines[1:]:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        whole = end + 4 + int(headers.get("content-length", 0))
        while len(self.bytes) < whole:
            self.more()
        body = bytes(self.bytes[end + 4:whole])
        del self.bytes[:whole]
        return int(lines[0][9:12]), headers, body


def post(where, body, extra=""):
    return (f"POST {API}{where} HTTP/1.1\r\n{COMMON}Content-Type: application/json\r\n{extra}"
            f"Content-Length: {len(body)}\r\n\r\n").encode() + body


def describe(kind, error, trace):
    frames = traceback.extract_tb(trace)
    while frames and frames[0].filename in (__file__, "<frozen importlib._bootstrap>"):
        frames = frames[1:]
    return {"errorMessage": str(error), "errorType": kind, "requestId": Request.id or "",
            "stackTrace": traceback.format_list(frames)}


def error_request(where, description):
    kind = "".join(c if "!" <= c <= "~" else "_" for c in description["errorType"])[:256]
    return post(where, json.dumps(description).encode(), f"Lambda-Runtime-Function-Error-Type: {kind}\r\n")


class Request:
    id = None


class LogHandler(logging.Handler):
    def emit(self, record):
        sys.stdout.write(self.format(record))


class LogFormatter(logging.Formatter):
    converter = time.gmtime

    def format(self, record):
        record.aws_request_id = Request.id or ""
        return super().format(record) + "\n"


class ClientContext:
    """What X-Amz-Client-Context held: client, custom, env."""

    def __init__(self, members):
        client = members.get("client")
        self.custom = members.get("custom")
        self.env = members.get("env")
        self.client = type("Client", (), {"__slots__": (), **client}) if isinstance(client, dict) else None


class Identity:
    def __init__(self, members):
        self.cognito_identity_id = members.get("cognitoIdentityId")
        self.cognito_identity_pool_id = members.get("cognitoIdentityPoolId")


class Context:
    def __init__(self, headers):
        self._deadline_ms = int(headers["lambda-runtime-deadline-ms"])
        self.aws_request_id = headers["lambda-runtime-aws-request-id"]
        self.invoked_function_arn = headers.get("lambda-runtime-invoked-function-arn")
        self.function_name = os.environ["AWS_LAMBDA_FUNCTION_NAME"]
        self.function_version = os.environ["AWS_LAMBDA_FUNCTION_VERSION"]
        self.memory_limit_in_mb = os.environ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
        self.log_group_name = os.environ["AWS_LAMBDA_LOG_GROUP_NAME"]
        self.log_stream_name = os.environ["AWS_LAMBDA_LOG_STREAM_NAME"]
        client = decode(headers.get("lambda-runtime-client-context"))
        self.client_context = ClientContext(client) if isinstance(client, dict) else None
        self.identity = Identity(decode(headers.get("lambda-runtime-cognito-identity")) or {})

    def get_remaining_time_in_millis(self):
        return max(int(self._deadline_ms - time.time() * 1000), 0)

    def log(self, message):
        sys.stdout.write(str(message))


def decode(text):
    return json.loads(text.encode("latin-1").decode()) if text else None


def find_handler():
    """The function that _HANDLER names, or what went wrong, as Lambda words it."""
    full = os.environ["_HANDLER"]
    module_name, dot, name = full.rpartition(".")
    if not dot:
        return None, {"errorMessage": f"Bad handler '{full}': not enough values to unpack (expected 2, got 1)",
                      "errorType": "Runtime.MalformedHandlerName", "requestId": "", "stackTrace": []}
    try:
        module = importlib.import_module(module_name.replace("/", "."))
    except ImportError as error:
        return None, {"errorMessage": f"Unable to import module '{module_name}': {error}",
                      "errorType": "Runtime.ImportModuleError", "requestId": "", "stackTrace": []}
    except SyntaxError as error:
        return None, {"errorMessage": f"Syntax error in module '{module_name}': {error}",
                      "errorType": "Runtime.UserCodeSyntaxError", "requestId": "",
                      "stackTrace": [f'  File "{error.filename}" Line {error.lineno}\n    {error.text}']}
    except Exception as error:  # whatever the module raises while it loads
        return None, describe(type(error).__name__, error, error.__traceback__)
    handler = getattr(module, name, None)
    if not callable(handler):
        return None, {"errorMessage": f"Handler '{name}' missing on module '{module_name}'",
                      "errorType": "Runtime.HandlerNotFound", "requestId": "", "stackTrace": []}
    return handler, None


def report(description):
    sys.stdout.write(f"[ERROR] {description['errorType']}: {description['errorMessage']}\n"
                     + (f"Traceback (most recent call last):\n{''.join(description['stackTrace'])}"
                        if description["stackTrace"] else ""))
    sys.stdout.flush()
    sys.stderr.flush()


def invoke(handler, headers, body):
    """Runs the handler once; gives the request that carries its result."""
    Request.id = headers["lambda-runtime-aws-request-id"]
    os.environ["_X_AMZN_TRACE_ID"] = headers.get("lambda-runtime-trace-id", "")
    where = f"/invocation/{Request.id}"
    try:
        result = handler(json.loads(body), Context(headers))
    except Exception as error:
        description = describe(type(error).__name__, error, error.__traceback__)
        report(description)
        return error_request(where + "/error", description)
    try:
        text = json.dumps(result, ensure_ascii=False, default=number).encode()
    except Exception as error:
        description = {"errorMessage": f"Unable to marshal response: {error}", "errorType": "Runtime.MarshalError",
                       "requestId": Request.id, "stackTrace": []}
        report(description)
        return error_request(where + "/error", description)
    sys.stdout.flush()
    sys.stderr.flush()
    return post(where + "/response", text)


def number(value):
    """Lambda writes Decimal as a number."""
    import decimal
    if isinstance(value, decimal.Decimal):
        return float(value)
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


def main():
    sys.path[0] = TASK_ROOT  # instead of this file's folder
    log_handler = LogHandler()
    log_handler.setFormatter(LogFormatter("[%(levelname)s]\t%(asctime)s.%(msecs)03dZ\t%(aws_request_id)s\t%(message)s",
                                          "%Y-%m-%dT%H:%M:%S"))
    logging.getLogger().addHandler(log_handler)
    connection = Connection()
    handler, fault = find_handler()
    if fault:
        report(fault)
        connection.send(error_request("/init/error", fault))
        connection.answer()
        os._exit(1)
    connection.send(NEXT)
    while True:
        status, headers, body = connection.answer()
        if status != 200:
            sys.stdout.write(f"lambda-local refused the question for the next event: {status} {body!r}\n")
            os._exit(1)
        connection.send(invoke(handler, headers, body) + NEXT)
        connection.answer()  # to the result


if __name__ == "__main__":
    main()
