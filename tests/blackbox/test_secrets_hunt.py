"""Secrets with names of their own go through every call and door, well and badly; then they are looked for in all that is said and kept."""
import base64
import binascii
import json
import re
import secrets
import subprocess
from pathlib import Path
from urllib.parse import quote

import pytest

import harness
from harness import Stack, make_zip, request, wait_for
from issuer import Issuer
from secure_proxy import Authority, make_certificate

HANDLER = """
exports.handler = async (event) => {
  if (event.rawPath === '/throw') throw new Error('it failed with ' + (event.body || ''));
  if (event.rawPath === '/bad') return {statusCode: 'none ' + process.env.PASSWORD, headers: {'x-a': process.env.PASSWORD}, body: process.env.PASSWORD};
  return {statusCode: 200, headers: {'content-type': 'text/plain', 'x-token': 'answer-' + (event.headers['x-token'] || '')}, body: 'said ' + (event.body || '')};
};
"""


def marker(name):
    return f"{name}-{secrets.token_hex(12)}"


def forms(text):
    """How a secret may be written: as it is, in hex, in base64 wherever it begins, in a URL, in JSON."""
    raw = text.encode()
    found = {raw, binascii.hexlify(raw), binascii.hexlify(raw).upper(), quote(text, safe="").encode(), json.dumps(text)[1:-1].encode()}
    for before in range(3):
        whole = base64.b64encode(b"\0" * before + raw)
        middle = whole[(before * 8 + 5) // 6:len(raw) * 8 // 6 - 2]
        found |= {middle, middle.replace(b"+", b"-").replace(b"/", b"_")}
    return found


class Hunt:
    """Secrets by name, and where they were found against the rules."""

    def __init__(self):
        self.secrets, self.findings, self.looked = {}, [], 0

    def add(self, name, text):
        self.secrets[name] = (text, forms(text))
        return text

    def new(self, name):
        return self.add(name, marker(name))

    def add_key(self, name, pem):
        """Some lines of a private key, each by itself."""
        lines = [line for line in pem.split("PRIVATE KEY-----")[1].splitlines() if len(line) > 40]
        for number in sorted({0, len(lines) // 2, len(lines) - 1}):
            self.add(f"{name} line {number}", lines[number])

    def look(self, place, data, but=()):
        data = data.encode() if isinstance(data, str) else data
        self.looked += len(data)
        data = data.rstrip(b"\0")
        for name, (_, written) in self.secrets.items():
            if not name.startswith(tuple(but) or ("\0",)):
                self.findings += [f"{name} is in {place}" for form in written if form in data][:1]

    def look_below(self, folder, but=()):
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                self.look(str(path), path.read_bytes(), but)


class Caller:
    """Calls the API, and looks at each answer."""

    def __init__(self, hunt, daemon):
        self.hunt, self.daemon, self.statuses = hunt, daemon, {}

    def __call__(self, method, path, body=None, headers=None, shows=(), **more):
        more.setdefault("timeout", 60)
        answer = self.daemon.request(method, path, body=body, headers=headers, **more)
        self.statuses.setdefault(answer.status, []).append(f"{method} {path}")
        if not shows:
            self.hunt.look(f"the answer to {method} {path}", f"{answer.headers}\n".encode() + answer.body)
        return answer


def open_stack(hunt, folder, authority):
    key_file = folder / "sealing.key"
    key_file.write_text(hunt.add("sealing key", secrets.token_hex(32)) + "\n")
    front = make_certificate(folder / "front.pem", "*.localhost")
    hunt.add_key("the front's key", front.read_text())
    aws = {"AWS_SESSION_TOKEN": hunt.new("session-token")}
    return Stack(lambda_local={"LAMBDA_LOCAL_SECRET_ACCESS_KEY": hunt.new("aws-key"), "LAMBDA_LOCAL_LOG_LEVEL": "debug"},
                 managerd={"MANAGERD_TOKEN": hunt.new("admin-token"), "MANAGERD_LOG_LEVEL": "debug", "MANAGERD_SECRET_KEY_FILE": key_file,
                           "MANAGERD_DRAIN_MS": "0", "MANAGERD_JWKS_ALLOW": "loopback", **aws},
                 proxyd={"PROXYD_LOG_LEVEL": "debug", "PROXYD_TLS_LISTEN": "127.0.0.1:0", "PROXYD_TLS_CERTIFICATE_FILE": front, **aws}, proxies=1)


def deploy_and_seal(hunt, call):
    """Environments by every way they come in, kept answers among them."""
    zipped = base64.b64encode(make_zip({"index.js": HANDLER})).decode()
    wish = {"package": {"zip": zipped}, "runtime": "nodejs20.x", "handler": "index.handler", "environment": {"PASSWORD": hunt.new("env-deployed")}}
    key = {"Idempotency-Key": hunt.new("idempotency-key"), "Prefer": "wait=30"}
    assert [call("POST", "/v1/apps/shop/deployments", wish, key).status for _ in range(2)] == [200, 200]
    assert call("POST", "/v1/apps/shop/deployments", {**wish, "memoryMb": 256}, key).status == 422
    assert call("PUT", "/v1/apps/shop/environment", {"variables": {"PASSWORD": hunt.new("env-put"), "OTHER": hunt.new("env-other")}}).status == 200
    assert call("PATCH", "/v1/apps/shop/environment", {"variables": {"OTHER": hunt.new("env-patched")}}).status == 200
    assert call("PATCH", "/v1/apps/shop/environment", {"variables": {"OTHER": None}}).status == 200
    assert call("POST", "/v1/apps/shop/deployments", {"package": {"version": 1}}, {"Prefer": "wait=30"}).status == 200
    big = hunt.new("env-large") * 150  # AWS takes 4 KiB in all: refused there, or here
    assert call("POST", "/v1/apps/shop/deployments", {"package": {"version": 1}, "environment": {"PASSWORD": big}}, {"Prefer": "wait=30"}).status >= 400
    assert call("PUT", "/v1/apps/shop/environment", {"variables": {"A B": hunt.new("env-name"), "OK": [hunt.new("env-list")]}}).status == 422
    assert call("PUT", "/v1/apps/shop/environment", ('{"variables": {"X": "' + hunt.new("env-cut")).encode(), {"Content-Type": "application/json"}).status == 400
    assert call("PUT", "/v1/apps/shop/environment", f"X={hunt.new('env-form')}".encode(), {"Content-Type": "application/x-www-form-urlencoded"}).status == 415
    assert call("PUT", "/v1/apps/shop/environment", {"variables": {"X": hunt.new("env-huge") * 40000}}).status == 413
    document = {"apps": [{"name": "applied", "environment": {"X": hunt.new("env-applied")}}, {"name": "shop", "environmentVariables": hunt.new("env-unknown")}]}
    assert call("POST", "/v1/apply", document, {"Prefer": "wait=30"}).status == 422
    assert call("POST", "/apps/deploy", {"name": "first", "archive": hunt.new("archive"), "environment": hunt.new("env-first")}).status >= 400


def give_credentials(hunt, call):
    """Tokens and keys are shown once; made again by the same Idempotency-Key they are not."""
    for path, wish in (("/v1/tokens", {"name": "one", "role": "deployer", "apps": ["shop"]}), ("/v1/apps/shop/keys", {"name": "one"})):
        key = {"Idempotency-Key": hunt.new(f"key-of-{wish['name']}-{len(path)}")}
        made = call("POST", path, wish, key, shows=("it is shown once",))
        assert made.status == 201, made.text
        hunt.add(f"secret of {path}", made.json()["secret"])
        assert call("POST", path, wish, key).header("Idempotency-Replayed") == "true"
        one = made.json()["id"]
        assert call("GET", f"{path}/{one}").status == 200
    token = hunt.secrets["secret of /v1/tokens"][0]
    assert call("GET", "/v1/apps/shop", headers={"Authorization": f"Bearer {token}"}).status == 200
    assert call("GET", "/v1/apps/else", headers={"Authorization": f"Bearer {token}"}).status == 403
    assert call("DELETE", "/v1/apps/shop", headers={"Authorization": f"Bearer {token}"}).status == 403
    assert call("PUT", "/v1/domains/keyed.example", {"paths": [{"prefix": "/", "app": "shop"}], "tls": {"certificatePem": "x", "privateKeyPem": hunt.new("pem-bad")}}).status == 422


def give_certificates(hunt, call, authority):
    for number in range(2):
        chain, key = authority.issue("shop.example", kind="rsa")
        hunt.add_key(f"domain key {number}", key)
        wish = {"paths": [{"prefix": "/", "app": "shop"}], "tls": {"certificatePem": chain, "privateKeyPem": key}}
        assert call("PUT", "/v1/domains/shop.example", wish).status in (200, 201)
    _, stranger = authority.issue("other.example", kind="rsa")
    hunt.add_key("key of another", stranger)
    assert call("PUT", "/v1/domains/shop.example", {"paths": [{"prefix": "/", "app": "shop"}], "tls": {"certificatePem": chain, "privateKeyPem": stranger}}).status == 422
    assert call("GET", "/v1/domains/shop.example").status == 200


def call_everything(hunt, call):
    """Each call of the API with secrets where they do not belong: no token, a wrong one, in the query, in bodies of all kinds."""
    paths = call("GET", "/openapi.json").json()["paths"]
    count = 0
    for path, item in paths.items():
        target = re.sub(r"\{(\w+)\}", lambda m: {"name": "shop", "host": "shop.example", "version": "1"}.get(m[1], "00000000-0000-7000-8000-000000000000"), path)
        for method in [name.upper() for name in item if name in ("get", "put", "post", "patch", "delete")]:
            if method == "DELETE" or target.endswith(("/remove", "/events", "/logs")):
                continue  # what goes is asked for below
            count += 1
            value = hunt.secrets["body-value"][0]
            json_type = {"Content-Type": "application/json"}
            for body, headers in (
                (None, {"Authorization": f"Bearer {hunt.secrets['guessed'][0]}"}),
                (None, {"Authorization": f"Basic {hunt.secrets['guessed'][0]}", "Cookie": f"session={value}", "X-Api-Key": value}),
                (json.dumps({"description": [value], "labels": {"a": {"b": value}}, "environment": value, "variables": value, "name": [value], "unknown": value}).encode(), json_type),
                (f'"{value}'.encode(), json_type),
                (json.dumps(value).encode(), json_type),
                (value.encode(), {"Content-Type": "application/zip"}),
            ):
                if body is None or method != "GET":
                    call(method, target, body=body, headers=headers)
            call(method, f"{target}?limit={value}&token={value}&traffic={value}&runtime={value}&wait={value}&since={value}", headers={"Prefer": f"wait={value}", "If-Match": f'"{value}"'})
    assert count > 30, "the API has calls"


def knock_at_apps(hunt, stack, issuer, call):
    """Through the front door: keys, tokens, cookies, bodies, of the good and the bad kind; what apps answer is theirs."""
    key = hunt.secrets["secret of /v1/apps/shop/keys"][0]
    proxy = stack.proxies[0]

    def knock(path="/", answers=True, **more):
        answer = proxy.app("shop", path, **more)
        if not answers:
            hunt.look(f"proxyd's answer to {path}", f"{answer.headers}\n".encode() + answer.body)
        return answer

    talk = {"method": "POST", "body": hunt.new("app-body").encode(),
            "headers": {"Cookie": f"session={hunt.new('app-cookie')}", "X-Token": hunt.new("app-header"), "Authorization": f"Bearer {hunt.new('app-bearer')}"}}
    query = f"/?password={hunt.new('app-query')}"
    assert knock(query, **talk).status == 200
    assert knock("/throw", answers=False, **talk).status == 502
    assert knock("/bad", answers=False, **talk).status == 502
    assert call("PATCH", "/v1/apps/shop", {"access": {"apiKeys": {}}}).status == 200
    assert wait_for(lambda: knock("/", answers=False).status == 401, 5)
    assert knock(headers={"X-Api-Key": key}).status == 200
    assert knock(answers=False, headers={"X-Api-Key": hunt.new("key-guess")}).status == 401
    rule = {"issuer": issuer.issuer, "audience": ["shop"]}
    assert call("PATCH", "/v1/apps/shop", {"access": {"apiKeys": None, "jwt": rule}}).status == 200
    call("POST", "/v1/apps/shop/jwt/refresh")
    good = issuer.token(aud="shop", sub="user-1")
    hunt.add("jwt signature", good.rsplit(".", 1)[1])
    bad = issuer.token(aud="another", sub="user-2")
    hunt.add("refused jwt signature", bad.rsplit(".", 1)[1])
    assert wait_for(lambda: knock(headers={"Authorization": f"Bearer {good}"}).status == 200, 10)
    assert knock(answers=False, headers={"Authorization": f"Bearer {bad}"}).status in (401, 403)
    for header in (f"Authorization: Bearer {good}", f"X-Api-Key: {key}", f"Cookie: a={hunt.secrets['app-cookie'][0]}"):
        assert call("GET", f"/v1/explain?url={quote('http://shop.localhost/' + query, safe='')}&header={quote(header, safe='')}").status == 200
    call("PATCH", "/v1/apps/shop", {"access": None})
    # What the guard refuses, on both doors.
    for daemon, address in ((proxy, proxy.address), (stack.managerd, stack.managerd.address)):
        for message in (f"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nAuthorization: Bearer {hunt.secrets['guessed'][0]}\r\n\r\n", f"GET / HTTP/9\r\nCookie: {hunt.secrets['guessed'][0]}\r\n\r\n",
                        f"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n{hunt.secrets['body-value'][0]}"):
            hunt.look(f"the refusal of {daemon.name}", harness.raw(address, message.encode()))


def undo_and_remove(hunt, call):
    changes = call("GET", "/v1/apps/shop/history?limit=500").json()["items"]
    for change in changes[:4]:
        call("GET", f"/v1/apps/shop/history/{change['id']}")
        call("POST", f"/v1/apps/shop/history/{change['id']}/undo")
    for change in call("GET", "/v1/domains/shop.example/history").json()["items"]:
        call("GET", f"/v1/domains/shop.example/history/{change['id']}")
    call("POST", "/v1/apps/shop/check", {}, {"Prefer": "wait=30"})
    for operation in call("GET", "/v1/operations?limit=500").json()["items"]:
        call("GET", f"/v1/operations/{operation['id']}")
        call("GET", f"/v1/operations/{operation['id']}/events", headers={"Accept": "text/event-stream"})


READ = ["/v1/apps", "/v1/apps/shop", "/v1/apps/shop/environment", "/v1/apps/shop/status", "/v1/apps/shop/versions?limit=500", "/v1/apps/shop/versions/1", "/v1/apps/shop/history?limit=500",
        "/v1/apps/shop/keys", "/v1/apps/shop/traffic", "/v1/tokens", "/v1/me", "/v1/audit?limit=500", "/v1/audit/verification", "/v1/operations?limit=500", "/v1/export", "/v1/system", "/v1/domains",
        "/metrics", "/openapi.json", "/readyz", "/healthz"]


def look_everywhere(hunt, stack):
    domain_keys = ("domain key",)
    for daemon in (stack.managerd, stack.lambda_local, *stack.proxies):
        hunt.look(f"the log of {daemon.name}", daemon.log_text(all_starts=True))
        if daemon.access_log_path.exists():
            hunt.look(f"the lines of {daemon.name}", daemon.access_log_path.read_bytes())
    for proxy in stack.proxies:
        for path in ("/metrics", "/stats", "/stats?app=shop", "/readyz"):
            hunt.look(f"{path} of {proxy.name}", request(proxy.admin_url + path).body)
    for folder in ("state", "routes", "packages"):
        hunt.look_below(stack.data / folder)
    hunt.look_below(stack.data / "keys")
    hunt.look_below(stack.data / "secrets", but=domain_keys)  # proxyd serves with them


def memory_of(process):
    """What a core of it would hold, but for code and maps of files."""
    pid = process.daemon_pid()
    try:
        memory = open(f"/proc/{pid}/mem", "rb", buffering=0)
    except PermissionError:
        pytest.skip("other processes' memory may not be read here")
    with memory:
        for line in Path(f"/proc/{pid}/maps").read_text().splitlines():
            span, rights, _, _, _, *name = line.split(maxsplit=5)
            begin, end = (int(part, 16) for part in span.split("-"))
            if not rights.startswith("rw") or end - begin > 1 << 30 or (name and name[0].startswith("[v")):
                continue
            try:
                memory.seek(begin)
                while begin < end:
                    piece = memory.read(min(end - begin, 64 << 20))
                    if not piece:
                        break
                    begin += len(piece)
                    yield piece, (name or [""])[0]
            except OSError:
                continue


# What a daemon was configured with it holds as long as it lives.
CONFIGURED = ("admin-token", "aws-key", "session-token")
# What proxyd has nothing to do with.
OF_MANAGERD = ("admin-token", "secret of /v1/tokens", "env-deployed", "env-other", "env-patched", "env-applied", "sealing key", "idempotency-key", "key-of-", "domain key", "key of another")


def look_at_memory(hunt, stack):
    """What was passed on, hashed or sealed is gone from managerd's memory; proxyd never had what is not its business."""
    found = set()
    for daemon, wanted in ((stack.managerd, lambda name: not name.startswith(CONFIGURED)), *((proxy, lambda name: name.startswith(OF_MANAGERD)) for proxy in stack.proxies)):
        searched = 0
        for piece, region in memory_of(daemon):
            searched += len(piece)
            for name, (text, _) in hunt.secrets.items():
                at = piece.find(text.encode()) if wanted(name) else -1
                if at >= 0:
                    found.add(f"{name} is in the memory of {daemon.name} {region}: {piece[max(0, at - 60):at].decode('latin-1')!r} …")
        assert searched > 1_000_000, "there is memory to look at"
    hunt.findings += sorted(found)


def assert_no_core(stack):
    for daemon in (stack.managerd, *stack.proxies):
        limits = Path(f"/proc/{daemon.daemon_pid()}/limits").read_text()
        assert re.search(r"Max core file size +0 +0 ", limits), f"{daemon.name} may leave a core"


def test_no_secret_is_where_it_does_not_belong(tmp_path):
    hunt, authority = Hunt(), Authority()
    for name in ("guessed", "body-value"):
        hunt.new(name)
    with Issuer() as issuer, open_stack(hunt, tmp_path, authority) as stack:
        issuer.add("k1", "ES256")
        call = Caller(hunt, stack.managerd)
        deploy_and_seal(hunt, call)
        give_credentials(hunt, call)
        give_certificates(hunt, call, authority)
        knock_at_apps(hunt, stack, issuer, call)
        call_everything(hunt, call)
        undo_and_remove(hunt, call)
        for path in READ:
            assert call("GET", path).status == 200, path
        look_everywhere(hunt, stack)
        look_at_memory(hunt, stack)
        assert_no_core(stack)
        subprocess.run([str(harness.binary("managerd")), "--backup", str(tmp_path / "backup")], env=stack.managerd.environment(), check=True, capture_output=True, timeout=60)
        hunt.look_below(tmp_path / "backup")
        # What is sealed anew by another key, and what a crash leaves.
        stack.managerd.kill9()
        key_file = tmp_path / "sealing.key"
        key_file.write_text(hunt.add("sealing key 2", secrets.token_hex(32)) + "\n" + key_file.read_text())
        stack.managerd.start()
        stack.managerd.wait_ready()
        for path in READ:
            assert call("GET", path).status == 200, path
        assert call("DELETE", "/v1/domains/shop.example").status == 204
        assert call("DELETE", "/v1/apps/shop", headers={"Prefer": "wait=30"}).status == 200
        look_everywhere(hunt, stack)
        assert hunt.looked > 1_000_000 and len(hunt.secrets) > 40
    assert not hunt.findings, "\n".join(sorted(set(hunt.findings)))
