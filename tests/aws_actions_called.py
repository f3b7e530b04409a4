#!/usr/bin/env python3
"""Says whether the black-box tests made use of every action that the policies in deploy/iam allow.

    tests/aws_actions_called.py FOLDER...      what TEST_AWS_CALLS left; the last line is `PASSED FAILED`
"""
import json
import sys
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).parent))
import aws_actions  # noqa: E402


def main(folders):
    calls, seconds, called = 0, 0.0, {policy: set() for policy in aws_actions.POLICY_NAMES}
    for file in (file for folder in folders for file in Path(folder).glob("*.json")):
        left = json.loads(file.read_text())
        calls, seconds = calls + left["calls"], seconds + left["seconds"]
        for policy, actions in left["actions"].items():
            called[policy] |= set(actions)
    idle = [f"deploy/iam/{policy}.json allows {action}, and no test called it"
            for policy, actions in called.items() for action in sorted(aws_actions.allowed(policy) - actions)]
    for sentence in idle:
        print(sentence)
    print(f"{calls} calls of the daemons were held against AWS's model and the policies, in {seconds:.1f} s")
    passed = calls > 0 and not idle
    print("1 0" if passed else "0 1")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
