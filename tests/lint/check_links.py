"""Links between our own pages resolve, headings included; files that pages name are there."""
import os
import re

EXAMPLES = [
    {"docs/a.md": "[b](b.md)\n"},
    {"docs/a.md": "# A\n[b](#nowhere)\n"},
    {"docs/a.md": "read `proxyd/gone.c` first\n"},
]
NAMED = re.compile(r"`((?:proxyd|managerd|common|tests|deploy|docs)/[\w./-]+\.(?:c|h|py|sh|md|txt|yaml|js|env))`")
GIT_IGNORES = {"deploy/aws.env"}


def check(tree):
    findings = []
    folders = {os.path.dirname(path) for path in tree.files}
    folders |= {parent for folder in list(folders) for parent in parents(folder)}
    for path, text in tree.matching(".md"):
        for named in NAMED.findall(text):
            if named not in tree.files and named not in GIT_IGNORES:
                findings.append(f"{path}: names {named}, which is not there")
        plain = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.S)
        for target in re.findall(r"\]\(([^)\s]+)\)", plain):
            if re.match(r"[a-z]+:", target):
                continue
            file, _, heading = target.partition("#")
            wanted = os.path.normpath(os.path.join(os.path.dirname(path), file)) if file else path
            if wanted.endswith(".png") and (tree.root / wanted).is_file():
                continue  # a picture is no text, so it is not among the files
            if wanted not in tree.files and wanted.rstrip("/") not in folders:
                findings.append(f"{path}: links to {target}, which is not there")
            elif heading and wanted in tree.files and heading not in headings(tree.files[wanted]):
                findings.append(f"{path}: links to {target}, which has no such heading")
    return findings


def parents(folder):
    while folder:
        yield folder
        folder = os.path.dirname(folder)


def headings(text):
    found = set()
    for title in re.findall(r"^#+ +(.*)$", text, flags=re.M):
        found.add(re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-"))
    return found
