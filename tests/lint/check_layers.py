"""Includes point down only: daemons -> aws -> net -> base; contract, store -> base; the daemons never meet."""
import re

# Who may include whom. A folder may always include itself.
MAY = {
    "common/base": [],
    "common/contract": ["common/base"],
    "common/store": ["common/base"],
    "common/net": ["common/base"],
    "common/aws": ["common/net", "common/base"],
    "proxyd": ["common"],
    "managerd": ["common"],
    "deploy/lambda-local": ["common/base", "common/contract", "common/net", "common/aws"],
}
# The daemons' words have no place in what both stand on.
WORDS = re.compile(r"\b(proxyd|managerd)\b", re.I)

EXAMPLES = [
    {"common/store/store.c": '/* Stores. */\n#include "common/net/guard.h"\n'},
    {"managerd/call.c": '/* Calls. */\n#include "proxyd/request.h"\n'},
    {"common/base/log.h": "/* What proxyd says. */\n"},
    {"proxyd/route.c": '/* Routes. */\n#include "route.h"\n'},
    {"common/extra/new.c": "/* A shelf that nobody decided on. */\n"},
]


def check(tree):
    findings = []
    for path, text in tree.sources(below=("common/", "proxyd/", "managerd/", "deploy/")):
        home = next((folder for folder in MAY if path.startswith(folder + "/")), None)
        if home is None:
            findings.append(f"{path}: no shelf has this name; see MAY in check_layers.py")
            continue
        allowed = [home, *MAY[home]]
        for number, line in enumerate(text.splitlines(), 1):
            included = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
            if included and not any(included[1].startswith(folder + "/") for folder in allowed):
                findings.append(f"{path}:{number}: {home} may not include {included[1]}")
            if home.startswith("common/") and WORDS.search(line):
                findings.append(f"{path}:{number}: names a daemon: {line.strip()}")
    for path, text in tree.matching("CMakeLists.txt", below=("common/",)):
        for number, line in enumerate(text.splitlines(), 1):
            if WORDS.search(line):
                findings.append(f"{path}:{number}: names a daemon: {line.strip()}")
    return findings
