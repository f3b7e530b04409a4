"""Functions that overrun, lose errors or are not thread-safe are not called."""
import re

from tree import line_of, without_comments

WHY = {
    **dict.fromkeys(["strcpy", "strcat", "stpcpy", "sprintf", "vsprintf", "gets", "strncat", "scanf", "sscanf", "alloca"], "has no bound; use buffers and views"),
    **dict.fromkeys(["strtok", "strtok_r", "atoi", "atol", "atoll", "atof"], "hides errors; use the parsers of common/base"),
    **dict.fromkeys(["strncpy"], "may leave out the terminator"),
    **dict.fromkeys(["asctime", "ctime", "gmtime", "localtime", "getpwnam", "gethostbyname", "readdir_r", "rand", "srand"], "is not thread-safe, or weak"),
    **dict.fromkeys(["system", "popen", "mktemp", "tmpnam", "tempnam"], "runs a shell, or races"),
    **dict.fromkeys(["setjmp", "longjmp"], "skips clean-up"),
}
CALL = re.compile(r"(?<![\w.>])(" + "|".join(WHY) + r")\s*\(")

EXAMPLES = [
    {"proxyd/route.c": "/* Finds the route. */\nint a(char *b) { strcpy(b, \"x\"); return 0; }\n"},
    {"managerd/a.c": "/* A thing happens. */\nint a(void) { return atoi(\"1\"); }\n"},
]


def check(tree):
    findings = []
    for path, text in tree.sources(below=("common/", "proxyd/", "managerd/", "deploy/")):
        code = without_comments(text)
        for call in CALL.finditer(code):
            findings.append(f"{path}:{line_of(code, call.start())}: {call[1]}() {WHY[call[1]]}")
    return findings
