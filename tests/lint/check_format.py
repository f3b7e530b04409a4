"""Every C file is as clang-format 14 writes it (pinned, so that no two machines disagree); no line ends in blanks."""
import os
import shutil
import subprocess
import tempfile

EXAMPLES = [
    {"proxyd/route.c": "/* Finds the route. */\nint  a ( void ) { return 1;}\n"},
    {"docs/a.md": "blank at the end \n"},
    {"docs/a.md": "no line end"},
]
TEXT = (".c", ".h", ".py", ".sh", ".js", ".mjs", ".md", ".txt", ".cmake", ".yaml", ".yml", ".json", ".service", ".conf")


def check(tree):
    findings = []
    for path, text in tree.matching(*TEXT):
        if path.startswith("tests/vectors/"):
            continue
        for number, line in enumerate(text.split("\n"), 1):
            if line != line.rstrip() or "\r" in line:
                findings.append(f"{path}:{number}: blanks at the end of the line")
        if text and not text.endswith("\n"):
            findings.append(f"{path}: no line end at the end")
    return findings + clang_format(tree)


def clang_format(tree):
    sources = dict(tree.sources())
    if not sources:
        return []
    program = shutil.which("clang-format-14")
    if program is None:
        return ["clang-format-14 is not installed (deploy/dependencies.sh lists it)"]
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(tree.root / ".clang-format", folder)
        for path, text in sources.items():
            full = os.path.join(folder, path)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "w", encoding="utf-8") as file:
                file.write(text)
        done = subprocess.run([program, "--dry-run", "-Werror", "--style=file", *sources], cwd=folder,
                              stderr=subprocess.PIPE, text=True)
    wrong = sorted({line.split(":", 1)[0] for line in done.stderr.splitlines() if "[-Wclang-format-violations]" in line})
    return [f"{path}: run clang-format-14 -i on it" for path in wrong]
