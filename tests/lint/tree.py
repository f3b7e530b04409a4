"""What the checks look at: the tracked and about-to-be-tracked files of the repository, as path -> text."""
import os
import re
import subprocess
from pathlib import Path

TOP = Path(__file__).resolve().parents[2]


class Tree:
    def __init__(self, files, root=TOP):
        self.files = files  # path -> text; what is not UTF-8 is absent
        self.root = root

    def matching(self, *endings, below=("",)):
        for path, text in sorted(self.files.items()):
            if path.endswith(endings) and path.startswith(tuple(below)):
                yield path, text

    def sources(self, below=("",)):
        return self.matching(".c", ".h", below=below)


def read_tree():
    listed = subprocess.run(["git", "-c", f"safe.directory={TOP}", "ls-files", "-z", "-co", "--exclude-standard"],
                            cwd=TOP, stdout=subprocess.PIPE, check=True).stdout.decode().split("\0")
    files = {}
    for path in filter(None, listed):
        full = TOP / path
        if full.is_symlink() or not full.is_file():
            continue
        try:
            files[path] = full.read_text("utf-8")
        except UnicodeDecodeError:
            pass  # a vector of raw bytes
    return Tree(files)


def without_comments(text):
    """C text with comments and the insides of literals blanked, line ends kept."""
    def blank(match):
        found = match.group(0)
        if found[0] in "\"'":
            return found[0] + " " * (len(found) - 2) + found[-1]
        return re.sub(r"[^\n]", " ", found)
    return re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def build_dir():
    chosen = Path(os.environ.get("BUILD_DIR", "build/dev"))
    return chosen if chosen.is_absolute() else TOP / chosen
