"""Line 1 of each .c says what happens there; each header has a purpose and a guard named after its path."""
import re

EXAMPLES = [
    {"proxyd/route.c": '#include "proxyd/route.h"\n'},
    {"proxyd/route.c": "/* Route. */\n"},
    {"proxyd/route.h": "/*\n * Finds the route.\n */\n#ifndef ROUTE_H\n#define ROUTE_H\n#endif\n"},
    {"proxyd/CMakeLists.txt": "add_library(proxyd_core STATIC route.c)\n"},
    {"tests/blackbox/test_x.py": "import os\n"},
]


def check(tree):
    findings = []
    for path, text in tree.matching(".c"):
        first = text.split("\n", 1)[0]
        if not first.startswith("/* ") or len(first.split()) < 4:
            findings.append(f"{path}:1: line 1 is not a sentence of what happens here: {first!r}")
    for path, text in tree.matching(".h"):
        if not text.startswith("/*"):
            findings.append(f"{path}:1: no comment of what this is for")
        guard = re.sub(r"[^A-Za-z0-9]", "_", path.removeprefix("deploy/")).upper()
        if f"#ifndef {guard}\n#define {guard}\n" not in text:
            findings.append(f"{path}: the include guard is not {guard}")
    for path, text in tree.matching("CMakeLists.txt", ".cmake"):
        if not text.startswith("# "):
            findings.append(f"{path}:1: no comment of what this is for")
    for path, text in tree.matching(".py", ".sh"):
        body = re.sub(r"^#![^\n]*\n", "", text)
        if not body.startswith(("# ", '"""')):
            findings.append(f"{path}: does not begin with what it is for")
    return findings
