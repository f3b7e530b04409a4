#!/usr/bin/env python3
"""Makes the zip packages beside it, good ones and nasty ones, byte by byte; run it again after a change here."""
import pathlib
import struct
import zlib

HERE = pathlib.Path(__file__).parent
FILE, FOLDER, LINK = 0o100644, 0o040755, 0o120777
ZEROS = bytes(20_000_000)


class Entry:
    """One entry; what a keyword sets is written down, true or not."""

    def __init__(self, name, data=b"", mode=FILE, method=8, system=3, flags=0, crc=None, size=None, local_name=None):
        self.name = name.encode() if isinstance(name, str) else name
        self.local_name = self.name if local_name is None else local_name.encode()
        self.mode, self.method, self.system, self.flags = mode, method, system, flags
        self.crc = zlib.crc32(data) if crc is None else crc
        self.size = len(data) if size is None else size
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        self.packed = packer.compress(data) + packer.flush() if method == 8 else data

    def local(self):
        streamed = self.flags & 8
        sums = (0, 0, 0) if streamed else (self.crc, len(self.packed), self.size)
        tail = struct.pack("<4sIII", b"PK\7\x08", self.crc, len(self.packed), self.size) if streamed else b""
        return struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 20, self.flags, self.method, 0, 0x5C22, *sums,
                           len(self.local_name), 0) + self.local_name + self.packed + tail

    def record(self, at):
        return struct.pack("<4sBBHHHHHIIIHHHHHII", b"PK\1\2", 20, self.system, 20, self.flags, self.method, 0, 0x5C22,
                           self.crc, len(self.packed), self.size, len(self.name), 0, 0, 0, 0, self.mode << 16, at) + self.name


def package(entries, count=None, comment=b"", zip64_count=None):
    body, directory = b"", b""
    for entry in entries:
        directory += entry.record(len(body))
        body += entry.local()
    at, many = len(body), len(entries) if count is None else count
    whole = body + directory
    if zip64_count is not None:
        end64 = len(whole)
        whole += struct.pack("<4sQHHIIQQQQ", b"PK\6\6", 44, 45, 45, 0, 0, zip64_count, zip64_count, len(directory), at)
        whole += struct.pack("<4sIQI", b"PK\6\7", 0, end64, 1)
        many = 0xFFFF
    return whole + struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, many, many, len(directory), at, len(comment)) + comment


INDEX = Entry("index.mjs", b'export const handler = async () => "hello";\n')
PACKAGES = {
    # accepted
    "good": package([INDEX, Entry("bin/", mode=FOLDER), Entry("bin/tool", b"#!/bin/sh\necho hello\n", 0o100755),
                     Entry("node_modules/.bin/tool", b"../../bin/tool", LINK),
                     Entry("caf\u00e9/\U0001F600.txt", b"x" * 300_000), Entry("empty", b"")]),
    "good-stored": package([Entry("index.mjs", b"exports", method=0)]),
    "good-streamed": package([Entry("index.mjs", b"exports", flags=8)]),
    "good-comment": package([INDEX], comment=b"made by hand"),
    "good-dos": package([Entry("a/index.mjs", b"exports", mode=0, system=0)]),
    "good-local-name": package([Entry("index.mjs", b"exports", local_name="../../oops")]),
    "good-zip64": package([INDEX], zip64_count=1),
    "good-link-to-link": package([Entry("a/b/c/up", b"../../..", LINK), Entry("t", b"a/b/c/up", LINK), INDEX]),
    # no archive, or a damaged one
    "not-a-zip": b"PK is how a zip begins, but this is a text\n" * 10,
    "empty": package([]),
    "truncated": package([INDEX])[:-1],
    "head-cut": package([INDEX, INDEX])[30:],
    "count-too-many": package([INDEX], count=5),
    "count-too-few": package([INDEX, Entry("b", b"x")], count=1),
    "zip64-count": package([INDEX], zip64_count=2**40),
    "trailing-bytes": package([INDEX]) + b"x",
    # names
    "name-absolute": package([Entry("/etc/passwd", b"x")]),
    "name-climbs": package([Entry("../oops", b"x")]),
    "name-climbs-later": package([Entry("a/../../oops", b"x")]),
    "name-back-slash": package([Entry("a\\..\\oops", b"x")]),
    "name-nul": package([Entry("index.mjs\0.txt", b"x")]),
    "name-control": package([Entry("index\n.mjs", b"x")]),
    "name-not-utf8": package([Entry(b"caf\xe9", b"x")]),
    "name-none": package([Entry("", b"x")]),
    "name-slash": package([Entry("/", mode=FOLDER)]),
    "name-dot": package([Entry("a/./b", b"x")]),
    "name-empty-part": package([Entry("a//b", b"x")]),
    "name-long": package([Entry("a/" * 512 + "b", b"x")]),
    "name-part-long": package([Entry("a" * 256, b"x")]),
    "name-twice": package([INDEX, Entry("a", b"1"), Entry("a", b"2")]),
    "folder-twice": package([Entry("a/", mode=FOLDER), Entry("a/", mode=FOLDER)]),
    "file-and-folder": package([Entry("a", b"1"), Entry("a/b", b"2")]),
    "file-and-folder-entry": package([Entry("a", b"1"), Entry("a/", mode=FOLDER)]),
    "file-and-folder-far": package([Entry("a", b"1"), Entry("a-b", b"2"), Entry("a.c", b"2"), Entry("a/d", b"3")]),
    "link-and-folder": package([Entry("a", b"b", LINK), Entry("a/x", b"1"), Entry("b/y", b"1")]),
    # kinds
    "device": package([Entry("null", b"", 0o020666)]),
    "pipe": package([Entry("pipe", b"", 0o010666)]),
    "folder-with-content": package([Entry("a/", b"content", FOLDER)]),
    "folder-without-slash": package([Entry("a", b"", FOLDER)]),
    "link-absolute": package([Entry("a", b"/etc/passwd", LINK)]),
    "link-climbs": package([Entry("a", b"../x", LINK)]),
    "link-climbs-deep": package([Entry("a/b/c", b"../../../x", LINK)]),
    "link-climbs-later": package([Entry("a/b/c/up", b"../../..", LINK), Entry("t", b"a/b/c/up/../..", LINK)]),
    "link-empty": package([Entry("a", b"", LINK)]),
    "link-nul": package([Entry("a", b"b\0c", LINK)]),
    "link-long": package([Entry("a", b"b/" * 1000, LINK)]),
    # contents
    "encrypted": package([Entry("index.mjs", b"0123456789abcdef", flags=1)]),
    "method-unknown": package([Entry("index.mjs", b"x", method=97)]),
    "crc-wrong": package([Entry("index.mjs", b"exports", crc=0x12345678)]),
    "size-too-small": package([Entry("index.mjs", b"exports" * 100, size=5)]),
    "size-too-large": package([Entry("index.mjs", b"exports", size=5000)]),
    "bomb": package([Entry("zeros", ZEROS)]),
    "bomb-that-lies": package([Entry("zeros", ZEROS, size=100)]),
    "bombs": package([Entry(f"zeros{i}", ZEROS[:700_000]) for i in range(3)]),
    "many": package([Entry(f"f{i}", b"", method=0) for i in range(1001)]),
}

for name, content in PACKAGES.items():
    (HERE / f"{name}.zip").write_bytes(content)
