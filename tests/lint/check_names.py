"""No junk drawers (util, misc, helpers), and nothing at the top level but what was decided."""
import re

JUNK = re.compile(r"(^|[/_.-])(utils?|misc|helpers?|stuff|common_functions)([/_.-]|$)", re.I)
TOP = {"proxyd", "managerd", "common", "tests", "deploy", "docs", "CMakeLists.txt", "CMakePresets.json", "Dockerfile.proxy",
       "Dockerfile.manager", "README.md"}

EXAMPLES = [
    {"common/base/util.c": "/* Does many things. */\n"},
    {"proxyd/request_helpers.h": "/* Helps requests. */\n"},
    {"scripts/x.sh": "# Something.\n"},
]


def check(tree):
    findings = [f"{path}: a name that says nothing" for path in tree.files if JUNK.search(path)]
    for path in tree.files:
        first = path.split("/", 1)[0]
        if first not in TOP and not first.startswith("."):
            findings.append(f"{path}: the top level is fixed, {first} has no place there")
    return findings
