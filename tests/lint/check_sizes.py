"""A file is one sitting (600 lines), a function one screen or so (80 lines, tables aside)."""
import re

FILE_LINES = 600
FUNCTION_LINES = 80

EXAMPLES = [
    {"proxyd/route.c": "/* Finds the route. */\n" + "int a;\n" * FILE_LINES},
    {"proxyd/route.c": "/* Finds the route. */\nint a(void)\n{\n" + "    b();\n" * (FUNCTION_LINES + 1) + "}\n"},
]


def check(tree):
    findings = []
    for path, text in tree.sources(below=("common/", "proxyd/", "managerd/", "deploy/")):
        lines = text.splitlines()
        if len(lines) > FILE_LINES:
            findings.append(f"{path}: {len(lines)} lines; look for the second noun")
        start = None
        for number, line in enumerate(lines, 1):
            if line == "{":
                start = number
            elif line == "}" and start is not None:
                if number - start - 1 > FUNCTION_LINES:
                    head = next((l for l in reversed(lines[:start - 1]) if re.match(r"\w", l)), "")
                    findings.append(f"{path}:{start}: {number - start - 1} lines in {head.split('(')[0]}")
                start = None
    return findings
