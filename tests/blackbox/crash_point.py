"""Where a daemon dies: at the n-th of all that it writes to files (or sockets), before it, in its middle or after it; found by counting.

    points = CrashPoints(folder)
    managerd.options.update(points.variables())          # loads crash_at.c; without a plan it only counts
    points.arm(17, "torn")                               # the 17th write from now on, half of it
    points.count                                         # how many there were since
"""
import mmap
import struct
import subprocess
from pathlib import Path

import harness

HERE = Path(__file__).parent
MANNERS = ("before", "torn", "after")
FILES, SOCKETS = 1, 2
LAYOUT = struct.Struct("<QQII240s")
built = {}


def build(name, source, *flags):
    """A small C program of the tests, compiled once a run."""
    if name not in built or not built[name].exists():
        folder = harness.scratch("built.")
        harness.directories[folder] = True  # for the whole run, whatever becomes of the test
        subprocess.run(["cc", "-std=gnu11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", *flags, "-o", folder / name, source], check=True,
                       timeout=60)
        built[name] = folder / name
    return built[name]


def bootstrap():
    """A custom runtime that answers with the text in the package: functions/text_bootstrap.c."""
    return build("bootstrap", HERE / "functions" / "text_bootstrap.c", "-Os", "-s").read_bytes()


class CrashPoints:
    def __init__(self, folder):
        self.path = Path(folder) / "crash-at"
        self.path.write_bytes(bytes(LAYOUT.size))
        with open(self.path, "r+b") as file:
            self.memory = mmap.mmap(file.fileno(), LAYOUT.size)
        self.library = build("crash_at.so", HERE / "crash_at.c", "-O2", "-shared", "-fPIC")

    def variables(self):
        # The sanitizer's library is content to be second: nothing here is meant for it.
        options = harness.clean_environment("/")["ASAN_OPTIONS"]
        return {"LD_PRELOAD": self.library, "CRASH_AT": self.path, "ASAN_OPTIONS": options + ":verify_asan_link_order=0"}

    def arm(self, last, manner="before", kinds=FILES):
        """Dies at the last-th event from now; 0: counts only."""
        self.memory[:] = LAYOUT.pack(0, last, MANNERS.index(manner), kinds, b"")

    def disarm(self):
        self.arm(0)

    @property
    def count(self):
        return LAYOUT.unpack(self.memory[:])[0]

    @property
    def what(self):
        """The event that was the last; "" when it has not come to that."""
        return LAYOUT.unpack(self.memory[:])[4].rstrip(b"\0").decode("utf-8", "replace")
