"""Prints `passed failed skipped` of a JUnit report (ctest's or pytest's); ends with 1 when there is none or it is empty."""
import sys
import xml.etree.ElementTree as ElementTree

try:
    suites = list(ElementTree.parse(sys.argv[1]).iter("testsuite"))
except (OSError, ElementTree.ParseError):
    sys.exit(1)
figure = {name: sum(int(suite.get(name) or 0) for suite in suites) for name in ("tests", "failures", "errors", "skipped", "disabled")}
failed = figure["failures"] + figure["errors"]
skipped = figure["skipped"] + figure["disabled"]
if figure["tests"] == 0:
    sys.exit(1)
print(figure["tests"] - failed - skipped, failed, skipped)
