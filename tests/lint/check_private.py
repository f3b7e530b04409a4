"""No path of one machine, no address of a host that the project has nothing to do with, no secret."""
import re

PATHS = re.compile(r"(?<![\w.-])/(" + "|".join(["wo" + "rk", "ro" + "ot", "home/" + r"\w+", "Users/" + r"\w+"]) + r")/[\w.]")
LINKS = re.compile(r"\b(?:https?|git)://([A-Za-z0-9.-]+\.[A-Za-z]{2,})\b")
HOSTS = re.compile(r"(^|\.)(localhost|localdomain|test|invalid|example|internal)$|(^|\.)example\.(com|org|net)$|(^|\.)amazonaws\.com(\.cn|\.eu)?$"
                   r"|(^|\.)amazonwebservices\.com\.cn$|(^|\.)(sc2s\.sgov|c2s\.ic|cloud\.adc-e|csp\.hci\.ic)\.(gov|uk)$|(^|\.)on\.aws$|(^|\.)api\.aws$|(^|\.)amazonaws\.eu$|^(www\.)?rfc-editor\.org$|^docs\.aws\.amazon\.com$|^json-schema\.org$|^spec\.openapis\.org$"
                   r"|^www\.freedesktop\.org$|^prometheus\.io$|^www\.w3\.org$")  # the last: names of XML namespaces
KEYS = re.compile(r"\bAKIA[0-9A-Z]{12,}|-----BEGIN (RSA |EC )?PRIVATE KEY-----")
# AWS's own published examples.
PUBLISHED = ("AKIDEXAMPLE", "AKIAIOSFODNN7EXAMPLE")

EXAMPLES = [
    {"docs/a.md": "see /wo" + "rk/main\n"},
    {"deploy/a.sh": "curl http" + "://packages.somewhere.dev/x\n"},
    {"tests/a.txt": "AKI" + "AABCDEFGHIJKLMNOP\n"},
]


def check(tree):
    findings = []
    for path, text in sorted(tree.files.items()):
        if path.startswith("tests/vectors/"):
            text = KEYS.sub("", text) if "sigv4" in path else text
        for number, line in enumerate(text.splitlines(), 1):
            if PATHS.search(line):
                findings.append(f"{path}:{number}: a path of one machine: {line.strip()[:80]}")
            if not path.startswith("tests/vectors/"):
                for link in LINKS.finditer(line):
                    if not HOSTS.search(link[1].lower()):
                        findings.append(f"{path}:{number}: a host that is not ours to name: {link[1]}")
            key = KEYS.search(line)
            if key and not any(known in line for known in PUBLISHED):
                findings.append(f"{path}:{number}: looks like a secret")
    return findings
