#!/usr/bin/env python3
"""Runs every check_*.py of this folder: first on its own bad EXAMPLE, which it must find fault with, then on the tree.

    tests/lint/run.py [NAME…]      the last line is `N passed, N failed`
"""
import importlib
import sys
import time
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent))
from tree import Tree, read_tree  # noqa: E402


def main(names):
    tree = read_tree()
    passed = failed = 0
    for file in sorted(Path(__file__).parent.glob("check_*.py")):
        name = file.stem.removeprefix("check_")
        if names and name not in names:
            continue
        started = time.monotonic()
        module = importlib.import_module(file.stem)
        findings = []
        for example in getattr(module, "EXAMPLES", []):
            if not module.check(Tree(example)):
                findings.append(f"the check itself is blind: it finds no fault with {str(example)[:100]}")
        findings += module.check(tree)
        if findings:
            failed += 1
            print(f"not ok {name}: {module.__doc__.strip().splitlines()[0]}")
            for finding in findings[:40]:
                print(f"    {finding}")
            if len(findings) > 40:
                print(f"    … and {len(findings) - 40} more")
        else:
            passed += 1
            print(f"ok {name} ({time.monotonic() - started:.1f} s)")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
