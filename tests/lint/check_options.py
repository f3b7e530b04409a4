#!/usr/bin/env python3
"""docs/configuration.md holds every option of each program, as the program itself prints them."""
import re
import subprocess
import sys

from tree import TOP, build_dir, read_tree

PAGE = "docs/configuration.md"
PROGRAMS = ["proxyd", "managerd", "lambda-local"]

EXAMPLES = [{PAGE: "nothing\n"}]


def printed(program):
    """What `program --help-markdown` prints, or None when it is not built."""
    path = build_dir() / "bin" / program
    if not path.exists():
        return None
    return subprocess.run([str(path), "--help-markdown"], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                          timeout=20, check=True).stdout.strip()


def section(program):
    return re.compile(rf"(<!-- {program}: begin -->\n)(.*?)(\n<!-- {program}: end -->)", re.S)


def check(tree):
    findings = []
    page = tree.files.get(PAGE, "")
    for program in PROGRAMS:
        table = printed(program)
        written = section(program).search(page)
        if table is None:
            findings.append(f"{build_dir()}/bin/{program} is not built, so {PAGE} cannot be checked")
        elif not written or written[2].strip() != table:
            findings.append(f"{PAGE}: the table of {program} is not what it prints; run tests/lint/check_options.py --write")
    return findings


def write():
    page = read_tree().files[PAGE]
    for program in PROGRAMS:
        table = printed(program)
        if table is not None:
            page = section(program).sub(lambda found: found[1] + "\n" + table + "\n" + found[3], page)
    (TOP / PAGE).write_text(page)


if __name__ == "__main__" and sys.argv[1:] == ["--write"]:
    write()
