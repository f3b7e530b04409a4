"""What the tests of canaries share: a stack whose managerd asks the proxies, versions that tell who they are, load."""
import collections
import json
import threading
import time

from harness import Stack, free_port, make_zip, wait_for
from open_loop import OpenLoop

FINAL = ("succeeded", "failed", "cancelled")

# Says its name, its event's version and its environment; misbehaves at /work alone, which no probe asks.
HANDLER = """
let calls = 0;
exports.handler = async (event) => {
  const path = event.rawPath || event.path;
  if (path === '/work') {
    calls++;
    if (BAD && calls % BAD === 0) return {statusCode: 500, headers: {'x-seen': 'NAME'}, body: 'no'};
    if (SLOW) await new Promise(done => setTimeout(done, SLOW));
  }
  return {statusCode: 200, headers: {'x-seen': 'NAME ' + (event.httpMethod ? '1.0' : '2.0') + ' ' + (process.env.SETTING || '-')}, body: 'NAME'};
};
"""


def package(name, bad=0, slow=0):
    return make_zip({"index.js": HANDLER.replace("NAME", name).replace("BAD", str(bad)).replace("SLOW", str(slow))})


class CanaryStack(Stack):
    """Admin addresses are known before managerd starts; `more` adds to the list of proxies."""

    def __init__(self, proxies=1, more="", managerd=None, **options):
        ports = [free_port() for _ in range(proxies)]
        listed = ",".join([f"127.0.0.1:{port}" for port in ports] + ([more] if more else []))
        super().__init__(proxies=proxies, managerd={"MANAGERD_PROXIES": listed, **(managerd or {})}, **options)
        for proxy, port in zip(self.proxies, ports):
            proxy.options["PROXYD_ADMIN_LISTEN"] = f"127.0.0.1:{port}"

    def begin(self, app, zipped, canary=None, **settings):
        """Asks for a deployment; gives the operation's id."""
        query = {"runtime": "nodejs20.x", "handler": "index.handler", **settings}
        if canary is not None:
            query["canary"] = json.dumps(canary)
        from urllib.parse import urlencode
        answer = self.managerd.request("POST", f"/v1/apps/{app}/deployments?{urlencode(query)}", body=zipped,
                                       headers={"Content-Type": "application/zip"})
        assert answer.status == 202, answer.text
        return answer.json()["id"]

    def operation(self, identity):
        return self.managerd.request("GET", f"/v1/operations/{identity}").json()

    def ended(self, identity, seconds=60):
        return wait_for(lambda: (lambda o: o if o["state"] in FINAL else None)(self.operation(identity)), seconds,
                        "the operation ended")

    def step(self, identity, name, percent):
        return next(s for s in self.operation(identity)["steps"] if s["name"] == name and s.get("percent") == percent)

    def watching(self, identity, percent, seconds=30):
        """Waits until the canary watches that share."""
        return wait_for(lambda: (lambda s: s if s["state"] == "running" else None)(self.step(identity, "watch-canary", percent)),
                        seconds, f"{percent} % is watched")

    def shares(self, app):
        return {s["version"]: s["percent"] for s in self.managerd.request("GET", f"/v1/apps/{app}/traffic").json()["versions"]}


class Load:
    """Requests at a steady rate in the background, until the block ends; `answers` afterwards: (at, status, seen)."""

    def __init__(self, proxyd, app, rate, path="/work"):
        self.loop, self.rate, self.answers, self.over = OpenLoop(proxyd.address, app, path), rate, [], threading.Event()
        self.thread = threading.Thread(target=self._run)

    def _run(self):
        while not self.over.is_set():
            self.answers += [(a.at, a.status, (a.headers or {}).get("x-seen", "")) for a in self.loop.run(self.rate, 0.5)]

    def __enter__(self):
        self.loop.__enter__()
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.over.set()
        self.thread.join(60)
        self.loop.__exit__()

    def by_version(self, since=0):
        return collections.Counter((seen.split(" ")[0], status) for at, status, seen in self.answers if at >= since)
