#!/usr/bin/python3
"""Counts proxyd's instructions for a request, by step and by function, with callgrind.

    tests/bench/instructions.py [GET] [POST] [--format 2.0|1.0] [--top N]     builds build/bench first
    BUILD_DIR=/somewhere/build tests/bench/instructions.py …                  measures that build as it is

Two runs of different length are taken from each other, so that what starts and ends the process does not count. One
request at a time over one connection: the figure is the same within 0.5 % from run to run, whatever else the machine
does. The C libraries' choice of code is pinned to what most machines have; SHA-256 is done in software (callgrind knows no
SHA extensions), shown apart. The access line is on, as in production: `record_request` tells its share.
"""
import argparse
import os
import re
import socket
import subprocess
from collections import Counter

import bench
import harness

FEW, MANY = 200, 1200
STEPS = ["accept", "route", "authorize", "admit", "encode", "sign", "invoke", "decode", "respond", "record"]
PINNED = {"OPENSSL_ia32cap": ":0", "GLIBC_TUNABLES": "glibc.cpu.hwcaps=-AVX2,-BMI2,-ERMS,-FSRM,-AVX_Fast_Unaligned_Load"}
LINE = re.compile(r"^ *([\d,]+) \([ \d.]+%\) +(?:\* +)?(?:\S*:)?(\S+)(?: \[.*/([^/\]]+)\])?$")


def run(method, payload_format, count):
    """The callgrind file of a proxyd that answered `count` requests."""
    with bench.FastLambda() as aws:
        directory = harness.scratch("callgrind.")
        out = directory / "out"
        wrapper = ["valgrind", "--quiet", "--tool=callgrind", "--separate-threads=no", f"--callgrind-out-file={out}"]
        with bench.proxy(aws, payload_format, wrapper=wrapper, options=PINNED) as proxyd:
            request = bench.request_bytes(method)
            with socket.create_connection(proxyd.address) as peer, peer.makefile("rb") as stream:
                for _ in range(count):
                    peer.sendall(request)
                    assert bench.answer_of(stream)[0] == 200
        return out


def figures(path, inclusive):
    """function -> instructions."""
    text = subprocess.run(["callgrind_annotate", f"--inclusive={'yes' if inclusive else 'no'}", "--threshold=100",
                           "--auto=no", str(path)], stdout=subprocess.PIPE, text=True, check=True).stdout
    found, objects = Counter(), {}
    for line in text.splitlines():
        match = LINE.match(line)
        if match:
            name, value = f"{match[2]} [{match[3] or objects.get(match[2], 'proxyd')}]", int(match[1].replace(",", ""))
            objects.setdefault(match[2], match[3] or "proxyd")  # named with the first line of a function only
            found[name] = max(found[name], value) if inclusive else found[name] + value
    return found


def per_request(few, many, inclusive):
    before, after = figures(few, inclusive), figures(many, inclusive)
    return Counter({name: (after[name] - before[name]) / (MANY - FEW) for name in after})


def show(title, counter, top):
    print(f"  {title}")
    for name, value in counter.most_common(top):
        print(f"    {value:9,.0f}  {name}")


def measure(method, payload_format, top):
    few, many = run(method, payload_format, FEW), run(method, payload_format, MANY)
    own, whole = per_request(few, many, False), per_request(few, many, True)
    total = sum(own.values())
    hashing = max((value for name, value in own.items() if "libcrypto" in name), default=0)  # it has no names for its own
    print(f"{method} {payload_format}: {total:,.0f} instructions a request; {total - hashing:,.0f} without SHA-256's blocks")
    print("  steps, with what they call")
    for step in STEPS:
        value = max((value for name, value in whole.items() if name.split(" ")[0].split("'")[0] == f"{step}_request"), default=0)
        print(f"    {value:9,.0f}  {step}")
    if top:
        objects = Counter()
        for name, value in own.items():
            objects[name.rsplit("[", 1)[1].rstrip("]") if "[" in name else "?"] += value
        show("libraries, on their own", objects, 10)
        show("functions, on their own", own, top)
        show("functions, with what they call", whole, top * 2)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("methods", nargs="*", default=["GET", "POST"], help="GET, POST")
    parser.add_argument("--format", default="2.0", choices=["2.0", "1.0"])
    parser.add_argument("--top", type=int, default=25, help="functions to show; 0: none")
    chosen = parser.parse_args()
    bench.settle_build()
    os.environ.setdefault("TEST_PATIENCE", "5")
    try:
        for method in chosen.methods or ["GET", "POST"]:
            measure(method, chosen.format, chosen.top)
    finally:
        for process in harness.processes:
            process.kill9()
        harness.sweep()


if __name__ == "__main__":
    main()
