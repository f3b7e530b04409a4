#!/usr/bin/env python3
"""Makes the cases beside it, frame by frame. What a good one means comes from botocore's decoder; a bad one must fail there too,
but for the rules that are ours alone. Run it again after a change here."""
import base64
import json
import pathlib
import struct
import zlib

from botocore.eventstream import EventStreamBuffer

HERE = pathlib.Path(__file__).parent
BINARY, JSON = "application/octet-stream", "application/json"


def text(name, value):
    value = value if isinstance(value, bytes) else value.encode()
    return header(name, 7, struct.pack(">H", len(value)) + value)


def header(name, kind, value=b""):
    name = name if isinstance(name, bytes) else name.encode()
    return bytes([len(name)]) + name + bytes([kind]) + value


def frame(headers, payload=b"", prelude_xor=0, message_xor=0):
    headers = b"".join(headers)
    lengths = struct.pack(">II", 16 + len(headers) + len(payload), len(headers))
    message = lengths + struct.pack(">I", zlib.crc32(lengths) ^ prelude_xor) + headers + payload
    return message + struct.pack(">I", zlib.crc32(message) ^ message_xor)


def lengths(total, headers):
    """A prelude that says so, with the right CRC."""
    numbers = struct.pack(">II", total, headers)
    return numbers + struct.pack(">I", zlib.crc32(numbers))


def event(kind, payload, content_type=BINARY, more=(), **wrong):
    return frame([text(":message-type", "event"), text(":event-type", kind), text(":content-type", content_type), *more], payload, **wrong)


def chunk(payload, **more):
    return event("PayloadChunk", payload, **more)


def complete(payload=b"{}", **more):
    return event("InvokeComplete", payload if isinstance(payload, bytes) else json.dumps(payload, separators=(",", ":")).encode(), JSON, **more)


def exception(payload, kind="ServiceException"):
    return frame([text(":message-type", "exception"), *([text(":exception-type", kind)] if kind else []), text(":content-type", JSON)], payload)


TYPED = [header("a-true", 0), header("a-false", 1), header("a-byte", 2, b"\xff"), header("a-short", 3, b"\x80\x00"), header("an-integer", 4, b"\0\0\1\0"),
         header("a-long", 5, b"\x80" + bytes(7)), header("bytes", 6, b"\0\3\0\xff\0"), text("string", "\u00fc\U0001f600"), header("a-time", 8, bytes(6) + b"\1\2"),
         header("a-uuid", 9, bytes(range(16)))]
EVENT = [text(":message-type", "event"), text(":event-type", "PayloadChunk")]
REFERENCE = bytes.fromhex(
    "0000006f0000005af5fe871f0d3a6d6573736167652d747970650700056576656e740b3a6576656e742d7479706507000c5061796c6f61644368756e6b0d3a636f6e74656e"
    "742d747970650700186170706c69636174696f6e2f6f637465742d73747265616d68656c6c6f4fe061f2"
    "00000066000000541f56c8690d3a6d6573736167652d747970650700056576656e740b3a6576656e742d7479706507000e496e766f6b65436f6d706c6574650d3a636f6e74"
    "656e742d747970650700106170706c69636174696f6e2f6a736f6e7b7dface259a")
EMPTY_MESSAGE = bytes.fromhex("000000100000000005c248eb7d98c8ff")

# Name: bytes, note.
GOOD = {
    "hello": (REFERENCE, "the frames of the reference, as botocore's own tests have them"),
    "chunks": (chunk(b"one,") + chunk(b"") + chunk(b"two,") + chunk(b"three") + complete(), "an empty chunk is nothing"),
    "binary": (chunk(bytes(range(256))) + complete(), "every byte"),
    "no-output": (complete(), "a function may say nothing"),
    "looks-like-a-frame": (chunk(REFERENCE) + complete(), "output is never looked into"),
    "complete-without-payload": (chunk(b"x") + complete(b""), "the payload may be empty"),
    "complete-with-nulls": (chunk(b"x") + complete(b'{"ErrorCode":null,"ErrorDetails":null,"LogResult":null}'), "null is absent"),
    "complete-with-blanks": (complete(b' {\n"LogResult" : "TE9H" }\t'), "JSON as anyone may write it"),
    "complete-unknown-members": (complete(b'{"New":{"ErrorCode":"x"},"LogResult":"TE9H"}'), "what we do not know is passed over"),
    "failed": (chunk(b"half") + complete({"ErrorCode": "Unhandled", "ErrorDetails": "{\"errorMessage\":\"b\u00f6\u00f6m\\n\"}", "LogResult": "TE9H"}),
               "the function failed after its first bytes; escapes of all kinds"),
    "failed-in-utf-8": (chunk(b"half") + complete('{"ErrorCode":"Unhandled","ErrorDetails":"{\\"errorMessage\\":\\"b\u00f6\u00f6m\\\\n\\"}","LogResult":"TE9H"}'.encode()),
                        "the same as our encoder writes it"),
    "failed-escaped-name": (complete(b'{"\\u0045rrorCode":"Unhandled"}'), "a name with an escape is the name"),
    "failed-twice-named": (complete(b'{"ErrorCode":"A\\n","ErrorCode":"B\\n"}'), "the last of two members counts"),
    "failed-empty-code": (complete({"ErrorCode": "", "ErrorDetails": "x"}), "an empty code is no failure"),
    "exception": (chunk(b"x") + exception(b'{"message":"try again"}'), "an error of Lambda's API"),
    "exception-large-message": (exception(b'{"Message":"try\\tagain"}', "TooManyRequestsException"), "the other spelling"),
    "exception-no-json": (exception(b"<html>"), "shown as it is"),
    "exception-no-type": (exception(b'{"message":"x"}', None), "failed, whatever its name"),
    "exception-no-payload": (exception(b""), "nothing more is known"),
    "error": (chunk(b"x") + frame([text(":message-type", "error"), text(":error-code", "InternalError"), text(":error-message", "sorry")]),
              "an error that is not of Lambda's API"),
    "unknown-event": (event("initial-response", b"{}", JSON) + chunk(b"x") + event("Progress", b"PayloadChunk") + chunk(b"y") + complete(), "passed over"),
    "unknown-event-after-the-end": (chunk(b"x") + complete() + event("Trailer", b"x"), "passed over as well"),
    "header-types": (chunk(b"x", more=TYPED) + complete(more=TYPED), "all ten types of header values"),
    "headers-in-other-order": (frame([text(":content-type", BINARY), *TYPED, text(":event-type", "PayloadChunk"), text(":message-type", "event")], b"x") + complete(),
                               "order means nothing"),
    "header-name-of-255-bytes": (chunk(b"x", more=[text("n" * 255, "v")]) + complete(), "the longest name"),
    "header-names-in-two-cases": (chunk(b"x", more=[text(":Event-Type", "InvokeComplete")]) + complete(), "case matters: another header"),
    "headers-64": (chunk(b"x", more=[header(f"h{i}", 0) for i in range(61)]) + complete(), "as many as may be"),
}
TRUNCATED = {
    "truncated-empty": (b"", "nothing at all"),
    "truncated-before-the-end": (chunk(b"x"), "whole frames, but the function's end is missing"),
    "truncated-in-the-lengths": (chunk(b"x") + complete()[:7], ""),
    "truncated-in-the-headers": (chunk(b"x") + complete()[:40], ""),
    "truncated-in-the-payload": (chunk(b"hello")[:-6], "what came is handed out"),
    "truncated-in-the-last-crc": (chunk(b"x") + complete()[:-1], ""),
    "truncated-behind-the-end": (complete() + event("Trailer", b"x")[:-1], "a message is open"),
}
BAD = {
    "crc-of-the-lengths": (chunk(b"x") + chunk(b"y", prelude_xor=1), ""),
    "crc-of-the-message": (chunk(b"x") + chunk(b"y", message_xor=0x80000000) + complete(), "the output before the CRC is out already"),
    "crc-of-the-end": (chunk(b"x") + complete(message_xor=1), "an end that cannot be trusted is none"),
    "crc-of-an-unknown-event": (event("Progress", b"x", message_xor=1) + complete(), "what is passed over is checked, too"),
    "header-twice": (chunk(b"x", more=[text("a", "1"), header("a", 0)]), "whatever the types"),
    "header-of-type-10": (chunk(b"x", more=[header("a", 10)]), ""),
    "header-not-utf-8": (chunk(b"x", more=[text("a", b"\xff")]), ""),
    "header-name-not-utf-8": (chunk(b"x", more=[text(b"\xc0\x80", "a")]), ""),
    "headers-too-long": (lengths(16 + 131073, 131073), "refused before they come"),
    "payload-too-long": (lengths(16 + 24 * 1024 * 1024 + 1, 0), "refused before it comes"),
}
# Rules that botocore does not have.
STRICTER = {
    "lengths-total-15": (lengths(15, 0) + bytes(20), "shorter than the shortest message"),
    "lengths-contradict": (lengths(100, 85) + bytes(100), "no room for the CRC"),
    "lengths-total-0": (lengths(0, 0) + bytes(20), ""),
    "header-cut-in-the-name": (frame([*EVENT, b"\5abc"], b"x"), "a header must lie within the headers"),
    "header-cut-in-the-type": (frame([*EVENT, b"\3abc"], b"x"), ""),
    "header-cut-in-the-length": (frame([*EVENT, b"\3abc\7\0"], b"x"), ""),
    "header-cut-in-the-value": (frame([*EVENT, b"\3abc\7\0\5hell"], b"x"), ""),
    "header-cut-in-a-number": (frame([*EVENT, b"\3abc\5\0\0\0\0"], b"x"), ""),
    "header-without-a-name": (chunk(b"x", more=[text("", "v")]), "a name has a byte at least"),
    "headers-65": (chunk(b"x", more=[header(f"h{i}", 0) for i in range(62)]), "more than anybody sends"),
    "no-type": (frame([text(":content-type", BINARY)], b"x"), "a message that does not say what it is"),
    "no-headers": (EMPTY_MESSAGE, "well-formed, but says nothing; the reference's bytes"),
    "type-is-no-string": (frame([header(":message-type", 6, b"\0\5event"), text(":event-type", "PayloadChunk")], b"x"), ""),
    "type-unknown": (frame([text(":message-type", "command"), text(":event-type", "PayloadChunk")], b"x"), ""),
    "event-without-type": (frame([text(":message-type", "event")], b"x"), ""),
    "output-after-the-end": (chunk(b"x") + complete() + chunk(b"y"), "two streams in one"),
    "two-ends": (complete() + complete(), ""),
    "exception-after-the-end": (complete() + exception(b"{}"), ""),
    "complete-no-json": (complete(b"{"), "whether the function failed is not known"),
    "complete-no-object": (complete(b"[]"), ""),
    "complete-not-utf-8": (complete(b'{"ErrorCode":"\xff"}'), ""),
    "complete-code-no-string": (complete({"ErrorCode": 7}), ""),
    "complete-too-long": (complete(bytes(262145))[:-262149], "an end is held whole, so it has a limit; refused before it comes"),
}
TOO_BIG = {"headers-too-long", "payload-too-long", "complete-too-long"}


def as_text(data):
    try:
        return data.decode("ascii")
    except UnicodeDecodeError:
        return data.decode("utf-8")


def decode(stream):
    """What botocore makes of it: output, end, and whether it failed."""
    output, end, failed = b"", None, False
    buffer = EventStreamBuffer()
    buffer.add_data(stream)
    try:
        for message in buffer:
            kind, payload = message.headers.get(":message-type"), message.payload
            if kind == "event" and message.headers[":event-type"] == "PayloadChunk":
                output += payload
            elif kind == "event" and message.headers[":event-type"] == "InvokeComplete":
                said = {name: value or "" for name, value in json.loads(payload or b"{}").items()}
                end = ["complete", said.get("ErrorCode", ""), said.get("ErrorDetails", ""), said.get("LogResult", "")]
            elif kind == "exception":
                try:
                    said = json.loads(payload)
                    said = said.get("message") or said.get("Message") or ""
                except ValueError:
                    said = as_text(payload)
                end = ["exception", message.headers.get(":exception-type", ""), said, ""]
            elif kind == "error":
                end = ["error", message.headers[":error-code"], message.headers[":error-message"], ""]
    except Exception:
        failed = True
    return output, end, failed


def write(name, stream, note, output, **more):
    folder = HERE / name
    folder.mkdir(exist_ok=True)
    digits = stream.hex()
    (folder / "stream.hex").write_text("".join(digits[i:i + 128] + "\n" for i in range(0, len(digits), 128)))
    try:
        output = output.decode("ascii")
        assert "\0" not in output
    except (UnicodeDecodeError, AssertionError):
        output = {"base64": base64.b64encode(output).decode()}
    expected = {"note": note} if note else {}
    (folder / "expected.json").write_text(json.dumps({**expected, "output": output, **more}, indent=2, ensure_ascii=False) + "\n")


def main():
    for name, (stream, note) in {**GOOD, **TRUNCATED}.items():
        output, end, failed = decode(stream)
        assert not failed and (end is not None or name in TRUNCATED), name
        if name == "truncated-in-the-payload":
            output = b"hel"  # botocore waits for the whole frame; we do not
        write(name, stream, note, output, **({"end": dict(zip(("kind", "code", "details", "log"), end))} if end else {}), ended=name in GOOD)
    for name, (stream, note) in {**BAD, **STRICTER}.items():
        output, end, failed = decode(stream)
        assert failed or name in STRICTER, name
        if name in STRICTER:
            output, end = (b"x", ["complete", "", "", ""]) if name == "output-after-the-end" else \
                (b"", ["complete", "", "", ""]) if name in ("two-ends", "exception-after-the-end") else (b"", None)
        if name == "crc-of-the-message":
            output += b"y"  # handed out before its CRC came
        write(name, stream, note, output, **({"end": dict(zip(("kind", "code", "details", "log"), end))} if end else {}), ended=False,
              error="too-big" if name in TOO_BIG else "invalid")


if __name__ == "__main__":
    main()
