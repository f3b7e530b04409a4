"""Nothing is left open in the tree: no notes to do it later, no switched-off code or tests."""
import re

WORDS = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" + "XX", "HA" + "CK", "not yet " + "implemented"]) + r")\b")
OFF = re.compile(r"^\s*#\s*if\s+0\b", re.M)
SKIPPED = re.compile(r"@pytest\.mark\.(xfail|skip\b)|\bskip\(\)")

EXAMPLES = [
    {"proxyd/route.c": "/* Finds the route. */\n/* TO" + "DO later */\n"},
    {"proxyd/route.c": "/* Finds the route. */\n#if 0\nint a;\n#endif\n"},
    {"tests/blackbox/test_a.py": '"""A."""\n@pytest.mark.' + "xfail\ndef test_a(): pass\n"},
]


def check(tree):
    findings = []
    for path, text in sorted(tree.files.items()):
        if path.startswith("tests/vectors/"):
            continue
        for number, line in enumerate(text.splitlines(), 1):
            if WORDS.search(line):
                findings.append(f"{path}:{number}: left open: {line.strip()[:80]}")
            if path.endswith((".c", ".h")) and OFF.match(line):
                findings.append(f"{path}:{number}: switched-off code")
            if path.startswith("tests/blackbox/") and SKIPPED.search(line):
                findings.append(f"{path}:{number}: a test switched off without a condition")
    return findings
