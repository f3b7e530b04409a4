#!/usr/bin/python3
"""Measures proxyd beside nginx, nginx with Lua and HAProxy, in turn, in one run; prints tables of figures and ratios.

    tests/bench/run.sh                          installs what is missing, builds release, measures everything
    tests/bench/run.sh cpu latency              a part: cpu bodies latency waiting memory tls workers apps streams lambda-local
    tests/bench/run.sh --rounds 9 --quick …     more rounds; shorter ones
    tests/bench/run.sh --write docs/performance-table.md

One server at a time works, on processor 0; the load and the function that it calls are on processor 1. CPU is what the scheduler
counted for the server's process, kernel included. Each round runs all servers, every second one in the opposite order; the first is
dropped, and the middle one of the rest counts. Latencies at a fixed rate count from when a request was due.
"""
import argparse
import base64
import datetime
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import sys
import time

import bench
import harness
import peers
from costs import anonymous_bytes, certificate, close_all, cpu_seconds, in_flight, open_many, settle

KB, MB = 1000, 1000 * 1000
GOALS_MISSED = []


class Proxyd:
    """proxyd as one of the servers."""
    name = "proxyd"

    def __init__(self, aws, workers=1, apps=1, variables=None, **options):
        cpus = "0" if workers == 1 else "0,1"
        options = {"PROXYD_WORKERS": workers, "PROXYD_MAX_CONNECTIONS": 30000, "PROXYD_IDLE_TIMEOUT": "600s", **options}
        self.daemon = bench.proxy(aws, apps=apps, options=options, wrapper=["taskset", "-c", cpus])
        self.daemon.aws = {**self.daemon.aws, **(variables or {})}

    def start(self):
        self.daemon.start()
        self.address = "{}:{}".format(*self.daemon.address)
        return self

    @property
    def pid(self):
        return self.daemon.process.pid

    def close(self):
        self.daemon.close()


class Direct:
    """The function itself: what no server at all would cost."""
    name, pid = "direct", os.getpid()

    def __init__(self, aws):
        self.address = f"127.0.0.1:{aws.port}"

    def start(self):
        return self

    def close(self):
        pass


def servers(aws, tls=None):
    secure = {"PROXYD_TLS_LISTEN": "127.0.0.1:0", "PROXYD_TLS_CERTIFICATE_FILE": tls[0], "PROXYD_TLS_KEY_FILE": tls[1]} if tls else {}
    ours = Proxyd(aws, **secure).start()
    if tls:
        ours.address = ours.daemon.ready_line["tlsListen"]
    return [kind(aws.port, tls).start() for kind in (peers.Nginx, peers.NginxLua, peers.Haproxy)] + [ours]


def request_file(method="POST", body=None, kind="application/json"):
    path = harness.scratch("request.") / "request"
    path.write_bytes(bench.request_bytes(method, body=body).replace(b"Content-Type: application/json", b"Content-Type: " + kind.encode()))
    return path


def load(server, request, *options, **named):
    """One run of the load generator; its figures, with the CPU that each answer cost the server."""
    words = [word for name, value in named.items() for word in (f"--{name}", str(value))]
    before = cpu_seconds(server.pid)
    done = subprocess.run(["taskset", "-c", "1", harness.build_dir() / "bin/bench/load", "--request", request, *options, *words, server.address],
                          stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0, f"{server.name}: {done.stdout}"
    found = json.loads(done.stdout)
    found["cpu"] = (cpu_seconds(server.pid) - before) / found["requests"] * 1e6
    return found


def rounds_of(running, run, rounds):
    """server's name -> the figures of each round, all servers in turn."""
    found = {server.name: [] for server in running}
    for number in range(rounds + 1):
        for server in running if number % 2 else reversed(running):
            found[server.name].append(run(server))
    return {name: figures[1:] for name, figures in found.items()}


def middle(figures, *path):
    def of(one):
        for key in path:
            one = one[key]
        return one
    return statistics.median(of(one) for one in figures)


def spread(figures, *path):
    return f"{min(one[path[0]] for one in figures):.1f}–{max(one[path[0]] for one in figures):.1f}"


def judge(what, value, most):
    """A goal's line: what was measured, and whether it is met."""
    if value > most:
        GOALS_MISSED.append(f"{what}: {value:.2f}, at most {most:g}")
    return f"{what}: **{value:.2f}** (goal {most:g}{'' if value <= most else ', **missed**'})"


class Report:
    def __init__(self):
        self.lines = []

    def say(self, text=""):
        print(text, flush=True)
        self.lines.append(text)

    def table(self, heading, rows):
        self.say("| " + " | ".join(heading) + " |")
        self.say("| " + " | ".join("---" for _ in heading) + " |")
        for row in rows:
            self.say("| " + " | ".join(str(cell) for cell in row) + " |")
        self.say()


# ---- CPU a request --------------------------------------------------------------------------------------------------

def cost_table(report, running, request, chosen, requests, goals=(), connections=32):
    figures = rounds_of(running, lambda server: load(server, request, connections=connections, requests=requests), chosen.rounds)
    cost = {name: middle(runs, "cpu") for name, runs in figures.items()}
    rows = [(name, f"{cost[name]:.1f}", spread(runs, "cpu"), f"{cost[name] / cost['nginx']:.2f}", f"{cost[name] / cost['nginx+lua']:.2f}",
             f"{middle(runs, 'perSecond'):,.0f}", f"{middle(runs, 'us', 'p50'):,.0f}", f"{middle(runs, 'us', 'p99'):,.0f}")
            for name, runs in figures.items()]
    report.table(["server", "CPU µs", "least–most", "x nginx", "x nginx+lua", "requests/s, one core", "p50 µs", "p99 µs"], rows)
    for peer, most in goals:
        report.say("- " + judge(f"proxyd / {peer}", cost["proxyd"] / cost[peer], most))
    report.say()
    return figures


def measure_cpu(report, chosen):
    count = 5000 if chosen.quick else 40000
    with bench.FastLambda() as aws:
        running = servers(aws)
        report.say("### POST, 1 KB in, 0.8 KB out, 32 connections\n")
        cost_table(report, running, request_file(), chosen, count, [("nginx", 2.0), ("nginx+lua", 0.85)])
        report.say("### GET\n")
        cost_table(report, running, request_file("GET"), chosen, count, [("nginx+lua", 0.90)])
        for server in running:
            server.close()


def text_of(size):
    """JSON's hard case: a quote or a line's end every few characters."""
    return ('{"name": "value\\n", "text": "so it goes"},\n' * (size // 40 + 1))[:size]


def payload(body, base64_encoded):
    return json.dumps({"statusCode": 200, "headers": {"content-type": "application/octet-stream" if base64_encoded else "application/json"},
                       "body": body, "isBase64Encoded": base64_encoded}).encode()


def measure_bodies(report, chosen):
    few = 4 if chosen.quick else 1
    ups = [("100 KB text", text_of(100 * KB).encode(), "application/json", 4000, []), ("100 KB binary", os.urandom(100 * KB), "image/png", 4000, []),
           ("4 MB text", text_of(4 * MB).encode(), "application/json", 120, [("nginx+lua", 0.40)]),
           ("4 MB binary", os.urandom(4 * MB), "image/png", 120, [("nginx+lua", 0.40)])]
    with bench.FastLambda() as aws:
        running = servers(aws)
        for what, body, kind, count, goals in ups:
            report.say(f"### Upload, {what}\n")
            cost_table(report, running, request_file("POST", body, kind), chosen, count // few, goals, 8)
        for server in running:
            server.close()
    downs = [("100 KB escaped text", payload(text_of(100 * KB), False), 4000, []),
             ("100 KB base64", payload(base64.b64encode(os.urandom(100 * KB)).decode(), True), 4000, []),
             ("4 MB escaped text", payload(text_of(4 * MB), False), 120, [("nginx+lua", 0.75)]),
             ("4 MB base64", payload(base64.b64encode(os.urandom(4 * MB)).decode(), True), 120, [("nginx+lua", 0.15)])]
    for what, answer, count, goals in downs:
        with bench.FastLambda(answer) as aws:
            running = servers(aws)
            report.say(f"### Download, {what}\n")
            cost_table(report, running, request_file("GET"), chosen, count // few, goals, 8)
            for server in running:
                server.close()


# ---- latency --------------------------------------------------------------------------------------------------------

def latency_table(report, running, chosen, rate, seconds):
    request = request_file()
    figures = rounds_of(running, lambda server: load(server, request, connections=32, rate=rate, seconds=seconds), chosen.rounds)
    report.table(["server", "p50 µs", "p90", "p99", "p99.9", "CPU µs"],
                 [(name, *(f"{middle(runs, 'us', share):,.0f}" for share in ("p50", "p90", "p99", "p999")),
                   "" if name == "direct" else f"{middle(runs, 'cpu'):.1f}") for name, runs in figures.items()])
    return figures


def measure_latency(report, chosen):
    seconds = 1 if chosen.quick else 4
    with bench.FastLambda() as aws:
        running = [Direct(aws), *servers(aws)]
        report.say("### 4,000 requests/s, POST 1 KB, 32 connections\n")
        found = latency_table(report, running, chosen, 4000, seconds)
        report.say("- " + judge("p50, µs more than nginx", middle(found["proxyd"], "us", "p50") - middle(found["nginx"], "us", "p50"), 25) + "\n")
        peak = load(running[-1], request_file(), connections=32, requests=10000)["perSecond"]
        report.say(f"### {peak / 2:,.0f} requests/s: half of proxyd's peak\n")
        found = latency_table(report, running, chosen, peak / 2, seconds)
        report.say("- " + judge("p99.9 / nginx's", middle(found["proxyd"], "us", "p999") / middle(found["nginx"], "us", "p999"), 2) + "\n")
        for server in running:
            server.close()


def measure_waiting(report, chosen):
    """Functions that take their time: many requests in flight."""
    with bench.FastLambda(delay_ms=50) as aws:
        running = servers(aws)
        report.say("### A function of 50 ms, 1,000 at once\n")
        request = request_file()
        figures = rounds_of(running, lambda server: load(server, request, connections=1000, requests=20000), max(1, chosen.rounds // 2))
        report.table(["server", "CPU µs", "requests/s", "p50 ms", "p99 ms"],
                     [(name, f"{middle(runs, 'cpu'):.1f}", f"{middle(runs, 'perSecond'):,.0f}", f"{middle(runs, 'us', 'p50') / 1000:.1f}",
                       f"{middle(runs, 'us', 'p99') / 1000:.1f}") for name, runs in figures.items()])
        for server in running:
            server.close()


# ---- memory ---------------------------------------------------------------------------------------------------------

def idle_bytes(server, count):
    close_all(open_to(server, 200, bench.request_bytes("GET"), True))
    settle(server.pid)
    before = anonymous_bytes(server.pid)
    held = open_to(server, count, bench.request_bytes("GET"), True)
    settle(server.pid)
    found = (anonymous_bytes(server.pid) - before) / count
    close_all(held)
    return found


def open_to(server, count, request, answered):
    class Target:
        address = harness.split_address(server.address)
    return open_many(Target, count, request, answered)


def measure_memory(report, chosen):
    rows = {}
    with bench.FastLambda() as aws:
        for server in servers(aws):
            rows[server.name] = [idle_bytes(server, 8000)]
            server.close()
    with bench.FastLambda(delay_ms=6000) as aws:
        for server in servers(aws):
            settle(server.pid)
            before = anonymous_bytes(server.pid)
            held = open_to(server, 2000, bench.request_bytes("POST"), False)
            if server.name == "proxyd":
                harness.wait_for(lambda: in_flight(server.daemon) == 2000, 20, "all are in flight")
            else:
                time.sleep(2)
            rows[server.name].append((anonymous_bytes(server.pid) - before) / 2000)
            close_all(held)
            server.close()
    report.say("### Anonymous memory\n")
    report.table(["server", "idle connection (8,000), bytes", "in flight, 1 KB (2,000), bytes"],
                 [(name, f"{idle:,.0f}", f"{flying:,.0f}") for name, (idle, flying) in rows.items()])
    report.say("- " + judge("idle connection, KB", rows["proxyd"][0] / 1024, 3.2))
    report.say("- " + judge("in flight, KB", rows["proxyd"][1] / 1024, 32) + "\n")
    both_at_once(report)


def both_at_once(report):
    with bench.FastLambda(delay_ms=8000) as aws:
        server = Proxyd(aws).start()
        idle = open_to(server, 7900 if hard_limit() < 30000 else 10000, b"", False)
        flying = open_to(server, 2000, bench.request_bytes("POST"), False)
        harness.wait_for(lambda: in_flight(server.daemon) == 2000, 20, "all are in flight")
        for peer in flying:
            with peer.makefile("rb", buffering=0) as stream:
                assert bench.answer_of(stream)[0] == 200
        report.say(f"- {len(idle):,} idle connections and 2,000 requests in flight at once: all answered 200\n")
        close_all(idle + flying)
        server.close()


def hard_limit():
    return resource.getrlimit(resource.RLIMIT_NOFILE)[1]


# ---- TLS, workers, apps ---------------------------------------------------------------------------------------------

def measure_tls(report, chosen):
    options = certificate()
    pair = (options["PROXYD_TLS_CERTIFICATE_FILE"], options["PROXYD_TLS_KEY_FILE"])
    count = 3000 if chosen.quick else 20000
    with bench.FastLambda() as aws:
        running = servers(aws, pair)
        report.say("### TLS to clients, kept alive, POST 1 KB\n")
        request = request_file()
        figures = rounds_of(running, lambda server: load(server, request, "--tls", connections=32, requests=count), chosen.rounds)
        report.table(["server", "CPU µs", "x nginx", "x nginx+lua"],
                     [(name, f"{middle(runs, 'cpu'):.1f}", f"{middle(runs, 'cpu') / middle(figures['nginx'], 'cpu'):.2f}",
                       f"{middle(runs, 'cpu') / middle(figures['nginx+lua'], 'cpu'):.2f}") for name, runs in figures.items()])
        for server in running:
            server.close()
        report.say("### TLS to Lambda, kept alive, POST 1 KB\n")
        front = peers.Nginx(aws.port, pair, cpu=1).start()
        plain = Proxyd(aws).start()
        secure = Proxyd(aws, variables={"AWS_ENDPOINT_URL_LAMBDA": f"https://localhost:{front.port}", "AWS_CA_BUNDLE": str(pair[0])}).start()
        plain_front = peers.Nginx(aws.port, None, cpu=1).start()
        plain.close()
        plain = Proxyd(aws, variables={"AWS_ENDPOINT_URL_LAMBDA": f"http://localhost:{plain_front.port}"}).start()
        plain.name, secure.name = "plain", "TLS"
        figures = rounds_of([plain, secure], lambda server: load(server, request, connections=32, requests=count), chosen.rounds)
        report.table(["to Lambda", "CPU µs"], [(name, f"{middle(runs, 'cpu'):.1f}") for name, runs in figures.items()])
        report.say("- " + judge("TLS adds, µs", middle(figures["TLS"], "cpu") - middle(figures["plain"], "cpu"), 4) + "\n")
        for server in (plain, secure, front, plain_front):
            server.close()


def compare_own(report, chosen, heading, variants, goal, request, **load_options):
    """Several of our own, held against the first."""
    report.say(f"### {heading}\n")
    figures = rounds_of(variants, lambda server: load(server, request, requests=3000 if chosen.quick else 30000, **load_options), chosen.rounds)
    base = middle(figures[variants[0].name], "cpu")
    report.table(["", "CPU µs", "least–most", "x the first"], [(name, f"{middle(runs, 'cpu'):.1f}", spread(runs, "cpu"), f"{middle(runs, 'cpu') / base:.3f}")
                                                              for name, runs in figures.items()])
    for server in variants[1:]:
        report.say("- " + judge(f"{server.name} / {variants[0].name}", middle(figures[server.name], "cpu") / base, goal))
    report.say()
    for server in variants:
        server.close()


def named(server, name):
    server.name = name
    return server


def measure_workers(report, chosen):
    with bench.FastLambda() as aws:
        variants = [named(Proxyd(aws, workers=count).start(), f"{count} worker{'s' * (count > 1)}") for count in (1, 2)]
        compare_own(report, chosen, "Workers", variants, 1.05, request_file(), connections=64)


def measure_apps(report, chosen):
    request = request_file("GET")
    numbered = request.parent / "numbered"
    numbered.write_bytes(request.read_bytes().replace(b"hello.localhost", b"app@@@@@@@.localhost"))
    most = 20_000 if chosen.quick else 1_000_000
    with bench.FastLambda() as aws:
        variants = [named(Proxyd(aws, apps=count).start(), f"{count:,} apps") for count in (1, 1000, most)]
        compare_own(report, chosen, "Apps in the store, one of them asked", variants, 1.05, request, connections=32)


# ---- streams --------------------------------------------------------------------------------------------------------

def measure_streams(report, chosen):
    with bench.FastLambda(streams=True) as aws:
        server = streaming(aws)
        request = request_file("GET")
        rows = []
        for rate in (200, 1000):
            runs = [load(server, request, "--stamped", connections=16, rate=rate, seconds=2) for _ in range(max(1, chosen.rounds // 2) + 1)][1:]
            rows.append((f"{rate:,} streams/s", *(f"{middle(runs, 'firstByteUs', share):,.0f}" for share in ("p50", "p90", "p99"))))
            first = middle(runs, "firstByteUs", "p50") if rate == 200 else first
        report.say("### From Lambda's first byte to the client's\n")
        report.table(["", "p50 µs", "p90", "p99"], rows)
        report.say("- " + judge("first byte, p50 µs", first, 100) + "\n")
        server.close()


def streaming(aws):
    server = Proxyd(aws)
    bench.publish(server.daemon.data, routes=[bench.app("hello", [bench.version("hello", response_mode=1)])])
    return server.start()


def measure_lambda_local(report, chosen):
    """The embedded default: a warm Node function through proxyd."""
    done = subprocess.run([sys.executable, str(peers.HERE / "lambda_local_warm.py")], stdout=subprocess.PIPE, text=True, check=True).stdout
    report.say("### lambda-local\n\n```\n" + done.strip() + "\n```\n")


# ---- all of it ------------------------------------------------------------------------------------------------------

PARTS = {"cpu": measure_cpu, "bodies": measure_bodies, "latency": measure_latency, "waiting": measure_waiting, "memory": measure_memory, "tls": measure_tls,
         "workers": measure_workers, "apps": measure_apps, "streams": measure_streams, "lambda-local": measure_lambda_local}


def head(report):
    commit = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=harness.TOP, stdout=subprocess.PIPE, text=True).stdout.strip()
    found = re.search(r"model name\s*: (.*)", open("/proc/cpuinfo").read())
    model = found[1] if found else platform.machine()
    report.say(f"{datetime.date.today()}, {commit or 'no commit'}; {model}, {os.cpu_count()} processors, Linux {platform.release().split('-')[0]}; "
               f"nginx {peers.version('nginx', '-v', r'nginx/([0-9.]+)')}, HAProxy {peers.version('haproxy', '-v', r'version ([0-9.]+)')}; "
               f"load at the start {os.getloadavg()[0]:.2f}\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("parts", nargs="*", help=" ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="short runs: to see that it works")
    parser.add_argument("--write", metavar="FILE", help="also there")
    chosen = parser.parse_args()
    if not set(chosen.parts) <= set(PARTS):
        parser.error("parts are: " + " ".join(PARTS))
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit(), hard_limit()))
    bench.settle_build()
    peers.unpack()
    report = Report()
    try:
        head(report)
        for name in chosen.parts or PARTS:
            PARTS[name](report, chosen)
        report.say("Goals missed: " + ("; ".join(GOALS_MISSED) if GOALS_MISSED else "none") + "\n")
    finally:
        for process in harness.processes:
            process.kill9()
        harness.sweep()
    if chosen.write:
        with open(chosen.write, "w", encoding="utf-8") as out:
            out.write("\n".join(report.lines))


if __name__ == "__main__":
    main()
