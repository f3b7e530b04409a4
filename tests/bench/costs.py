#!/usr/bin/python3
"""Measures proxyd with clients: CPU and memory a request, stalls, idle connections, many apps.

    tests/bench/costs.py [cpu] [stalls] [memory] [idle] [apps]      all of them when none is named
    OTHER=/somewhere/build tests/bench/costs.py cpu                 that build's proxyd beside ours, in turn

CPU is what the kernel counted for the process, so what else the machine does matters less; times on the clock are for
finding stalls only. Memory is anonymous (RssAnon): the store's pages are files.
"""
import json
import os
import re
import resource
import socket
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import bench
import harness

ROUNDS, SECONDS, CONNECTIONS = 5, 3, 32
SIZES = [0, 1, 1000, 16383, 16384, 65536, 100_000, 262_144, 1_000_000, 4_000_000, 5_000_000]
STALL_MS = 38  # Nagle's algorithm against delayed acknowledgements: 40 ms


def cpu_seconds(pid):
    """Of all threads, as the scheduler counts it."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def anonymous_bytes(pid):
    found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{pid}/status").read_text())
    return int(found[1]) * 1024


def settle(pid):
    """Waits until the process sleeps."""
    before = -1.0
    while cpu_seconds(pid) - before > 0.0005:
        before = cpu_seconds(pid)
        time.sleep(0.2)


# ---- CPU a request -----------------------------------------------------------------------------------------------

def wrk_script(method):
    lines = [f'wrk.headers["{name}"] = "{value}"' for name, value in bench.HEADERS]
    lines += ['wrk.headers["Host"] = "hello.localhost"', f'wrk.method = "{method}"']
    if method == "POST":
        lines += [f"wrk.body = {json.dumps(bench.BODY.decode())}", 'wrk.headers["Content-Type"] = "application/json"']
    script = Path(tempfile.mkstemp(suffix=".lua")[1])
    script.write_text("\n".join(lines))
    return script


def wrk(proxyd, script):
    """(requests, bad answers)"""
    done = subprocess.run(["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}", "-s", str(script), f"{proxyd.url}/orders?page=2&sort=date"],
                          stdout=subprocess.PIPE, text=True, check=True).stdout
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", done)
    return int(re.search(r"(\d+) requests in", done)[1]), int(bad[1]) if bad else 0


def started(aws, build):
    """proxyd of that build, with a store that its own tool wrote."""
    os.environ["BUILD_DIR"] = build
    return bench.proxy(aws).start()


def measure_cpu():
    ours = os.environ["BUILD_DIR"]
    builds = {"ours": ours, **({"other": os.environ["OTHER"]} if os.environ.get("OTHER") else {})}
    with bench.FastLambda() as aws:
        running = {name: started(aws, build) for name, build in builds.items()}
        os.environ["BUILD_DIR"] = ours
        for method in ("GET", "POST"):
            script, costs = wrk_script(method), {name: [] for name in running}
            for _ in range(ROUNDS + 1):
                for name, proxyd in running.items():
                    before = cpu_seconds(proxyd.process.pid)
                    count, bad = wrk(proxyd, script)
                    assert bad == 0, f"{bad} bad answers"
                    costs[name].append((cpu_seconds(proxyd.process.pid) - before) / count * 1e6)
            script.unlink()
            for name, values in costs.items():
                values = sorted(values[1:])  # the first warms up
                print(f"cpu {method:4} {name:6} {statistics.median(values):6.1f} us a request ({values[0]:.1f} to {values[-1]:.1f})")
        for proxyd in running.values():
            proxyd.close()


# ---- stalls ------------------------------------------------------------------------------------------------------

def connect(proxyd, tls):
    peer = socket.create_connection(proxyd.address if not tls else harness.split_address(proxyd.ready_line["tlsListen"]), timeout=20)
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if tls:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        peer = context.wrap_socket(peer, server_hostname="hello.localhost")
    return peer


def times_ms(proxyd, request, tls, count):
    times = []
    with connect(proxyd, tls) as peer, peer.makefile("rb") as stream:
        for _ in range(count):
            start = time.perf_counter()
            peer.sendall(request)
            status, _ = bench.answer_of(stream)
            times.append((time.perf_counter() - start) * 1000)
            assert status == 200, status
    return sorted(times)


def certificate():
    directory = harness.scratch("certificate.")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", "/CN=localhost", "-keyout", str(directory / "key.pem"), "-out", str(directory / "cert.pem")],
                   check=True, stderr=subprocess.DEVNULL)
    return {"PROXYD_TLS_LISTEN": "127.0.0.1:0", "PROXYD_TLS_CERTIFICATE_FILE": directory / "cert.pem",
            "PROXYD_TLS_KEY_FILE": directory / "key.pem"}


def judge(direction, tls, size, times):
    """A stall hits most exchanges of a size, a busy machine a few: the quarter that was fastest must be free of it."""
    quarter, median = times[len(times) // 4], statistics.median(times)
    stalled = quarter > STALL_MS and size < 1_000_000
    print(f"stalls {direction:8} {'TLS' if tls else 'plain':5} {size:9} bytes: fastest {times[0]:7.2f}, median {median:7.2f}, "
          f"slowest {times[-1]:7.2f} ms{'  STALLS' if stalled else ''}")


def measure_stalls():
    secure = certificate()
    with bench.FastLambda() as aws, bench.proxy(aws, options=secure) as proxyd:
        for tls in (False, True):
            for size in SIZES:
                request = bench.request_bytes("POST", body=b"x" * size)
                judge("up", tls, size, times_ms(proxyd, request, tls, 20))
    for size in SIZES:
        payload = json.dumps({"statusCode": 200, "body": "x" * size}).encode()
        with bench.FastLambda(payload) as aws, bench.proxy(aws, options=secure) as proxyd:
            for tls in (False, True):
                judge("down", tls, size, times_ms(proxyd, bench.request_bytes("GET"), tls, 20))


# ---- memory and idle connections ---------------------------------------------------------------------------------

def open_many(proxyd, count, request, answered):
    """Connections that sent a request each, and had an answer or wait for it."""
    peers = []
    for start in range(0, count, 100):
        batch = [socket.create_connection(proxyd.address) for _ in range(min(100, count - start))]
        for peer in batch:
            peer.sendall(request)
        for peer in batch if answered else []:
            with peer.makefile("rb", buffering=0) as stream:
                assert bench.answer_of(stream)[0] == 200
        peers += batch
    return peers


def close_all(peers):
    for peer in peers:
        peer.close()


def measure_memory():
    many = {"PROXYD_MAX_CONNECTIONS": 20000, "PROXYD_IDLE_TIMEOUT": "600s"}
    with bench.FastLambda() as aws, bench.proxy(aws, options=many) as proxyd:
        close_all(open_many(proxyd, 200, bench.request_bytes("GET"), True))
        settle(proxyd.process.pid)
        before = anonymous_bytes(proxyd.process.pid)
        peers = open_many(proxyd, 5000, bench.request_bytes("GET"), True)
        settle(proxyd.process.pid)
        print(f"memory idle connection: {(anonymous_bytes(proxyd.process.pid) - before) / len(peers):,.0f} bytes")
        close_all(peers)
    for count in (1000, 2000):
        with bench.FastLambda(delay_ms=6000) as aws, bench.proxy(aws, options=many) as proxyd:
            settle(proxyd.process.pid)
            before = anonymous_bytes(proxyd.process.pid)
            peers = open_many(proxyd, count, bench.request_bytes("POST"), False)
            harness.wait_for(lambda: in_flight(proxyd) == count, 20, "all are in flight")
            during = anonymous_bytes(proxyd.process.pid)
            print(f"memory {count} in flight, 1 KB: {(during - before) / count:,.0f} bytes each")
            close_all(peers)


def in_flight(proxyd):
    text = harness.request(proxyd.admin_url + "/metrics").text
    return float(re.search(r"^proxyd_requests_in_flight (\S+)$", text, re.M)[1])


def measure_idle():
    with bench.FastLambda() as aws, bench.proxy(aws, options={"PROXYD_MAX_CONNECTIONS": 20000, "PROXYD_IDLE_TIMEOUT": "600s"}) as proxyd:
        most = min(10000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 200)
        before = cpu_seconds(proxyd.process.pid)
        time.sleep(5)
        alone = cpu_seconds(proxyd.process.pid) - before
        peers = open_many(proxyd, most, bench.request_bytes("GET"), True)
        settle(proxyd.process.pid)
        before = cpu_seconds(proxyd.process.pid)
        time.sleep(10)
        used = cpu_seconds(proxyd.process.pid) - before
        print(f"idle {most} connections: {used * 100:.2f} ms of CPU a second, without any {alone * 200:.2f}")
        close_all(peers)


# ---- many apps ---------------------------------------------------------------------------------------------------

def measure_apps():
    script = wrk_script("GET")
    with bench.FastLambda() as aws:
        for apps in (1, 1000, 100_000):
            with bench.proxy(aws, apps=apps) as proxyd:
                values = []
                for _ in range(ROUNDS):
                    before = cpu_seconds(proxyd.process.pid)
                    count, bad = wrk(proxyd, script)
                    assert bad == 0
                    values.append((cpu_seconds(proxyd.process.pid) - before) / count * 1e6)
                print(f"apps {apps:7}: {statistics.median(values):6.1f} us a request ({min(values):.1f} to {max(values):.1f})")
    script.unlink()


def main():
    kinds = {"cpu": measure_cpu, "stalls": measure_stalls, "memory": measure_memory, "idle": measure_idle, "apps": measure_apps}
    chosen = sys.argv[1:] or list(kinds)
    if not set(chosen) <= set(kinds):
        sys.exit(__doc__)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    bench.settle_build()
    try:
        for name in chosen:
            kinds[name]()
            sys.stdout.flush()
    finally:
        for process in harness.processes:
            process.kill9()
        harness.sweep()


if __name__ == "__main__":
    main()
