"""Every C file is built by the CMakeLists.txt (or tests.cmake) of its folder or of one above it; dead files do not gather."""
import re
from pathlib import PurePosixPath

EXAMPLES = [{"proxyd/CMakeLists.txt": "# proxyd.\nadd_library(a main.c)\n", "proxyd/route.c": "/* Finds the route. */\n"}]


def words(text):
    return set(re.split(r"[^\w-]+", text))


def check(tree):
    findings = []
    for path, _ in tree.matching(".c"):
        file = PurePosixPath(path)
        named = False
        for folder in file.parents:
            lists = "".join(tree.files.get(str(folder / name), "") for name in ("CMakeLists.txt", "tests.cmake"))
            within = str(file.relative_to(folder))
            if within in lists or path.removeprefix("tests/unit/").removesuffix(".c") in lists or words(lists) & {file.stem, file.stem.removeprefix("test_")}:
                named = True
        if not named and not any(file.stem in text for name, text in tree.files.items() if name.endswith(".py") and name.startswith("tests/")):
            findings.append(f"{path}: no CMakeLists.txt lists it")
    return findings
