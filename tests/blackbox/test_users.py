"""Who may do what: tokens with roles and scopes, against every call of the API, as the API itself describes it."""
import base64
import json
import re
import socket
import threading
import time

import pytest

from harness import Managerd, Stack, make_zip, request, wait_for

BOSS = "token-of-the-boss-0123456789"
ROLES = ("none", "viewer", "deployer", "admin")
AWS = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_REGION": "us-east-1",
       "AWS_ENDPOINT_URL_LAMBDA": "http://127.0.0.1:9"}
SCOPES = {"all": None, "own": ["team-*"], "other": ["other", "others-*"]}
MINE, GHOST, OTHER = "team-shop", "team-ghost", "other"


def as_token(managerd, token, method, path, body=None, **headers):
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    if body is not None:
        body, headers["Content-Type"] = json.dumps(body).encode(), headers.get("Content-Type", "application/json")
    return request(managerd.url + path, method=method, body=body, headers=headers, timeout=60)


def make_token(managerd, role, apps=None, by=BOSS, **more):
    answer = as_token(managerd, by, "POST", "/v1/tokens", {"name": f"{role} of {apps}", "role": role, "apps": apps, **more})
    assert answer.status == 201, answer.text
    return answer.json()


def unknown(answer):
    """A token that nobody knows: 401, or 429 after many of them."""
    return answer.status in (401, 429)


def ended_operation(managerd, app):
    """The id of an operation of the app, which needs no AWS: that of an app that never had a function."""
    assert as_token(managerd, BOSS, "PUT", f"/v1/apps/{app}", {}).status in (200, 201)
    answer = as_token(managerd, BOSS, "DELETE", f"/v1/apps/{app}", Prefer="wait=20")
    assert answer.status == 200, answer.text
    return answer.json()["id"]


@pytest.fixture(scope="module")
def managerd():
    with Managerd(options={"MANAGERD_TOKEN": BOSS, "MANAGERD_DRAIN_MS": "0"}, aws=AWS) as running:
        running.wait_ready(running.url)
        for app in (MINE, OTHER):
            assert as_token(running, BOSS, "PUT", f"/v1/apps/{app}", {}).status == 201
        for host, apps in {"own.example.com": [MINE], "other.example.com": [OTHER], "mixed.example.com": [MINE, OTHER]}.items():
            paths = [{"prefix": "/" if n == 0 else f"/{n}", "app": app} for n, app in enumerate(apps)]
            assert as_token(running, BOSS, "PUT", f"/v1/domains/{host}", {"paths": paths}).status == 201
        yield running


def calls(managerd):
    """(method, pattern, role, scope) of every call, as /openapi.json describes it."""
    document = request(managerd.url + "/openapi.json").json()
    return [(method.upper(), pattern, call["x-required-role"], call["x-scope"])
            for pattern, methods in document["paths"].items() for method, call in methods.items()]


def body_for(method, pattern):
    if pattern == "/apps/deploy":
        return {"name": MINE, "archive": "AAAA"}
    if pattern == "/v1/domains/{host}" and method == "PUT":
        return {"paths": [{"prefix": "/", "app": MINE}]}
    if pattern == "/v1/tokens" and method == "POST":
        return {"name": "made by the matrix", "role": "viewer", "apps": [MINE]}
    return {} if method in ("PUT", "PATCH", "POST") else None


def paths_for(pattern, names):
    """What the pattern stands for: existing and missing apps alike, since a token must not tell which."""
    filled = pattern.replace("{host}", "own.example.com").replace("{version}", "1").replace("{key}", names["token"]).replace("{change}", names["token"])
    filled = filled.replace("{slug}", "forbidden").replace("{file}", "event-2.0.json")
    filled = filled.replace("{id}", names["operation"] if "/operations/" in pattern else names["token"])
    return [filled.replace("{name}", app) for app in (MINE, GHOST)] if "{name}" in pattern else [filled]


def expected(required, scope, role, reach):
    """The status that refuses the call, or None: it is allowed."""
    if ROLES.index(role) < ROLES.index(required):
        return 401 if role == "none" else 403
    if reach == "all" or role == "none" or scope in ("none", "list"):
        return None
    if scope == "all":
        return 403
    if reach == "own":
        return None
    return {"app": 403, "body": 403, "domain": 403, "operation": 404, "token": 404}[scope]


def test_every_call_is_for_exactly_the_roles_and_scopes_that_the_api_describes(managerd):
    names = {"operation": ended_operation(managerd, "team-gone"), "token": make_token(managerd, "viewer", ["team-a"])["id"]}
    tokens = {(role, reach): make_token(managerd, role, apps)["secret"]
              for role in ROLES[1:] for reach, apps in SCOPES.items()}
    tokens["none", "all"] = None
    tokens["none", "own"] = "aot_" + "0" * 48
    wrong, looked = [], 0
    table = calls(managerd)
    assert len(table) > 45
    for method, pattern, required, scope in table:
        for path in paths_for(pattern, names):
            for (role, reach), token in tokens.items():
                if (method, pattern) == ("DELETE", "/v1/tokens/{id}") and expected(required, scope, role, reach) is None:
                    continue  # has a test of its own: here the token is still needed
                if pattern == "/v1/tokens" and method == "POST" and reach == "other":
                    continue  # the same: what it may make depends on the body
                looked += 1
                # A revision that nothing has: what is allowed changes nothing.
                answer = as_token(managerd, token, method, path, body_for(method, pattern), If_Match='"999999999"')
                refusal = expected(required, scope, role, reach)
                good = unknown(answer) if refusal == 401 and token else answer.status == refusal if refusal else answer.status not in (401, 403)
                if refusal is None and scope in ("operation", "token"):
                    good = good and answer.status != 404
                if answer.status == 401:
                    good = good and answer.header("WWW-Authenticate", "").startswith("Bearer")
                if not good:
                    wrong.append((method, path, role, reach, refusal, answer.status, answer.text[:200]))
    assert not wrong, f"{len(wrong)} of {looked}: {wrong[:5]}"
    assert looked > 500


def test_a_path_that_does_not_exist_tells_nothing_to_nobody(managerd):
    assert as_token(managerd, None, "GET", "/v1/nothing").status == 401
    assert as_token(managerd, BOSS, "GET", "/v1/nothing").status == 404


def test_lists_leave_out_what_is_out_of_scope(managerd):
    ended_operation(managerd, "team-old")
    ended_operation(managerd, "others-old")
    own, other = (make_token(managerd, "admin", SCOPES[reach])["secret"] for reach in ("own", "other"))

    def listed(token, path, member):
        return {item[member] for item in as_token(managerd, token, "GET", path).json()["items"]}
    assert listed(BOSS, "/v1/apps", "name") == {MINE, OTHER}
    assert listed(own, "/v1/apps", "name") == {MINE}
    assert listed(other, "/v1/apps", "name") == {OTHER}
    assert "others-old" not in listed(own, "/v1/operations?limit=500", "app")
    assert "others-old" in listed(other, "/v1/operations?limit=500", "app")
    # A domain belongs to whoever has all of its apps.
    assert listed(own, "/v1/domains", "host") == {"own.example.com"}
    assert listed(BOSS, "/v1/domains", "host") == {"own.example.com", "other.example.com", "mixed.example.com"}
    for path in ("/v1/domains/mixed.example.com", "/v1/domains/other.example.com"):
        assert as_token(managerd, own, "GET", path).status == 403
    assert all(apps and all(a.startswith("team-") for a in apps)
               for apps in (t["apps"] for t in as_token(managerd, own, "GET", "/v1/tokens?limit=500").json()["items"]))
    # Pages are full although most of what lies between is left out.
    page = as_token(managerd, own, "GET", "/v1/apps?limit=1").json()
    assert [app["name"] for app in page["items"]] == [MINE] and page["nextCursor"] is None


def test_nobody_reaches_beyond_the_scope_by_what_a_body_says(managerd):
    own = make_token(managerd, "admin", ["team-*"])["secret"]
    zipped = base64.b64encode(make_zip({"index.js": "x"})).decode()
    assert as_token(managerd, own, "POST", "/apps/deploy", {"name": "others-app", "archive": zipped}).status == 403
    both = {"paths": [{"prefix": "/", "app": MINE}, {"prefix": "/x", "app": OTHER}]}
    assert as_token(managerd, own, "PUT", "/v1/domains/new.example.com", both).status == 403
    assert as_token(managerd, own, "PUT", "/v1/domains/other.example.com", {"paths": [{"prefix": "/", "app": MINE}]}).status == 403
    assert as_token(managerd, own, "DELETE", "/v1/domains/mixed.example.com").status == 403
    for apps in (None, ["team*"], ["team-a", "other"], ["t*"]):
        answer = as_token(managerd, own, "POST", "/v1/tokens", {"name": "more", "role": "viewer", "apps": apps})
        assert answer.status == 403, (apps, answer.text)
    assert make_token(managerd, "admin", ["team-b*"], by=own)["apps"] == ["team-b*"]
    assert as_token(managerd, BOSS, "GET", "/v1/domains/new.example.com").status == 404


def test_a_token_is_shown_once_and_kept_as_a_hash(managerd):
    made = as_token(managerd, BOSS, "POST", "/v1/tokens", {"name": "CI", "role": "deployer", "apps": ["shop", "team-*"],
                                                           "expiresAt": "2999-01-02T03:04:05Z"}, Idempotency_Key="once")
    token = made.json()
    assert made.status == 201 and made.header("Location") == f"/v1/tokens/{token['id']}"
    assert token["secret"].startswith("aot_") and len(token["secret"]) == 52
    assert token["role"] == "deployer" and token["apps"] == ["shop", "team-*"] and token["expiresAt"] == "2999-01-02T03:04:05.000Z"
    assert token["createdBy"] == "admin" and token["lastUsedAt"] is None
    again = as_token(managerd, BOSS, "POST", "/v1/tokens", {"name": "CI", "role": "deployer", "apps": ["shop", "team-*"],
                                                            "expiresAt": "2999-01-02T03:04:05Z"}, Idempotency_Key="once")
    assert again.header("Idempotency-Replayed") == "true" and again.json()["secret"] is None
    read = as_token(managerd, BOSS, "GET", f"/v1/tokens/{token['id']}")
    assert read.status == 200 and read.json() == {k: v for k, v in token.items() if k != "secret"}
    described = request(managerd.url + "/openapi.json").json()["paths"]["/v1/tokens/{id}"]["get"]
    assert read.header("ETag") is None and "304" not in described["responses"]
    assert token["secret"] not in as_token(managerd, BOSS, "GET", "/v1/tokens").text
    assert token["secret"].encode() not in (managerd.data / "state" / "data.mdb").read_bytes()
    # createdBy names the token that something was made with.
    assert as_token(managerd, token["secret"], "PUT", "/v1/apps/team-made", {}).status == 201
    key = as_token(managerd, token["secret"], "POST", "/v1/apps/team-made/keys", {"name": "k"}).json()
    assert key["createdBy"] == f"{token['id']} (CI)"
    used = as_token(managerd, BOSS, "GET", f"/v1/tokens/{token['id']}").json()
    assert used["lastUsedAt"] and used["lastUsedFrom"] == "127.0.0.1"


@pytest.mark.parametrize("body", [{}, {"name": "x"}, {"name": "x", "role": "root"}, {"name": "", "role": "viewer"},
                                  {"name": "a\nb", "role": "viewer"}, {"name": "x", "role": "viewer", "apps": []},
                                  {"name": "x", "role": "viewer", "apps": ["*"]}, {"name": "x", "role": "viewer", "apps": ["Team"]},
                                  {"name": "x", "role": "viewer", "apps": "team"}, {"name": "x", "role": "viewer", "apps": ["a"] * 101},
                                  {"name": "x", "role": "viewer", "expiresAt": "tomorrow"}, {"name": "x" * 101, "role": "viewer"},
                                  {"name": "x", "role": "viewer", "expiresAt": "2001-01-01T00:00:00Z"}])
def test_what_is_wrong_with_a_token_is_told(managerd, body):
    answer = as_token(managerd, BOSS, "POST", "/v1/tokens", body)
    assert answer.status == 422 and answer.json()["errors"], answer.text


def test_a_token_that_expires_or_is_revoked_is_none_from_then_on(managerd):
    soon = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 2))
    brief, other = make_token(managerd, "viewer", expiresAt=soon), make_token(managerd, "viewer")
    assert as_token(managerd, brief["secret"], "GET", "/v1/apps").status == 200
    answer = wait_for(lambda: [a for a in [as_token(managerd, brief["secret"], "GET", "/v1/apps")] if a.status == 401], 20,
                      "the token has expired")[0]
    assert "expired" in answer.json()["detail"]
    assert as_token(managerd, other["secret"], "GET", "/v1/apps").status == 200
    assert as_token(managerd, BOSS, "DELETE", f"/v1/tokens/{other['id']}").status == 204
    assert unknown(as_token(managerd, other["secret"], "GET", "/v1/apps"))
    assert as_token(managerd, BOSS, "DELETE", f"/v1/tokens/{other['id']}").status == 404
    # Also on a connection that it was used on before, and after a restart.
    managerd.restart()
    managerd.wait_ready(managerd.url)
    assert unknown(as_token(managerd, other["secret"], "GET", "/v1/apps"))


def test_last_uses_survive_a_restart(managerd):
    token = make_token(managerd, "viewer")
    assert as_token(managerd, token["secret"], "GET", "/v1/apps").status == 200
    before = as_token(managerd, BOSS, "GET", f"/v1/tokens/{token['id']}").json()
    managerd.restart()
    managerd.wait_ready(managerd.url)
    after = as_token(managerd, BOSS, "GET", f"/v1/tokens/{token['id']}").json()
    assert before["lastUsedAt"] and after == before


def test_nobody_can_lock_everybody_out():
    with Managerd(options={"MANAGERD_DRAIN_MS": "0"}, aws=AWS) as running:
        running.wait_ready(running.url)
        # Open to this machine: the first token closes it, so it must be one that can do everything, for ever.
        for body in ({"role": "viewer"}, {"role": "admin", "apps": ["a"]}, {"role": "admin", "expiresAt": "2999-01-01T00:00:00Z"}):
            answer = as_token(running, None, "POST", "/v1/tokens", {"name": "x", **body})
            assert answer.status == 409 and "locked out" in answer.json()["detail"]
        assert as_token(running, None, "GET", "/v1/apps").status == 200
        first = make_token(running, "admin", by=None)
        assert first["createdBy"] == "local"
        assert as_token(running, None, "GET", "/v1/apps").status == 401
        lasting = make_token(running, "admin", by=first["secret"])
        make_token(running, "admin", by=first["secret"], expiresAt="2999-01-01T00:00:00Z")
        make_token(running, "admin", apps=["a"], by=first["secret"])
        # Two at once, each relying on the other: one of them stays.
        statuses = []
        threads = [threading.Thread(target=lambda t=t: statuses.append(
            as_token(running, t["secret"], "DELETE", f"/v1/tokens/{t['id']}").status)) for t in (first, lasting)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [204, 409], statuses
        left = next(t for t in (first, lasting) if as_token(running, t["secret"], "GET", "/v1/apps").status == 200)
        assert as_token(running, left["secret"], "DELETE", f"/v1/tokens/{left['id']}").status == 409
        # A configured token is as good; when it is taken away again, the next start makes one.
        running.stop()
        running.options["MANAGERD_TOKEN"] = BOSS
        running.start()
        running.wait_ready(running.url)
        assert as_token(running, BOSS, "DELETE", f"/v1/tokens/{left['id']}").status == 204
        running.stop()
        del running.options["MANAGERD_TOKEN"]
        running.start()
        running.wait_ready(running.url)
        printed = wait_for(lambda: [line for line in running.log_text().splitlines() if "shown only this once" in line], 10,
                           "a token was made")[0].split()[-1]
        assert as_token(running, printed, "GET", "/v1/tokens/first").json()["role"] == "admin"
        assert as_token(running, None, "GET", "/v1/apps").status == 401
        assert as_token(running, printed, "DELETE", "/v1/tokens/first").status == 409


def guess(managerd, token="wrong", path="/v1/apps", body=None):
    return as_token(managerd, token, "POST" if body else "GET", path, body)


def test_guessing_is_slow_and_shuts_nobody_out_who_cannot_be_guessed():
    with Managerd(options={"MANAGERD_TOKEN": "shortish", "MANAGERD_DRAIN_MS": "0"}, aws=AWS) as running:
        running.wait_ready(running.url)
        made = make_token(running, "viewer", by="shortish")["secret"]
        statuses = [guess(running, f"wrong-{n}").status for n in range(30)]
        assert statuses[:10] == [401] * 10 and set(statuses[10:]) <= {401, 429} and statuses.count(429) > 10, statuses
        refused = guess(running)
        assert refused.status == 429 and refused.header("Retry-After") == "2" and "too-many" in refused.json()["type"]
        # The right one, which could be guessed, is told from a wrong one by nothing; one that cannot be is never refused.
        assert guess(running, "shortish").status == 429
        assert guess(running, made).status == 200
        # Neither is whoever brings none, nor what is open to all.
        assert as_token(running, None, "GET", "/v1/apps").status == 401
        assert guess(running, path="/healthz").status == 200
        large = {"name": "x", "archive": "A" * (2 << 20)}
        assert guess(running, "shortish", "/apps/deploy", large).status == guess(running, "wrong", "/apps/deploy", large).status == 401
        assert guess(running, made, "/apps/deploy", {"name": "x", "archive": "A"}).status == 403
        figures = as_token(running, made, "GET", "/metrics").text
        assert int(re.search(r"^managerd_authentication_limited_total (\d+)", figures, re.M).group(1)) > 10
        wait_for(lambda: guess(running, "shortish").status == 200, 20, "patience is rewarded")
        lines = running.events("token-unknown")
        assert lines and "wrong" not in json.dumps(lines) and "shortish" not in running.log_text(all_starts=True)


def test_a_long_configured_token_is_never_refused_for_the_guesses_of_others(managerd):
    assert [guess(managerd).status for _ in range(30)].count(429) > 5
    assert guess(managerd, BOSS).status == 200
    managerd.restart()
    managerd.wait_ready(managerd.url)


class Stream:
    """A GET whose answer is read as it comes."""

    def __init__(self, managerd, path, token):
        self.socket = socket.create_connection(managerd.address, timeout=60)
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        self.got = b""

    def read_until(self, text):
        while text not in self.got:
            more = self.socket.recv(65536)
            assert more, self.got
            self.got += more

    def read_to_end(self):
        try:
            while more := self.socket.recv(65536):
                self.got += more
        except ConnectionResetError:
            pass


def test_a_revoked_token_ends_the_streams_that_it_follows():
    with Stack(managerd={"MANAGERD_TOKEN": BOSS, "MANAGERD_DRAIN_MS": "0"},
               lambda_local={"LAMBDA_LOCAL_READY_DELAY_MS": "20000"}) as stack:
        managerd = stack.managerd
        watcher, stays = make_token(managerd, "viewer"), make_token(managerd, "viewer")
        begun = managerd.request("POST", "/v1/apps/slow/deployments?runtime=nodejs20.x&handler=index.handler",
                                 body=make_zip({"index.js": "exports.handler = async () => 1"}),
                                 headers={"Content-Type": "application/zip"})
        assert begun.status == 202, begun.text
        path = f"/v1/operations/{begun.json()['id']}/events"
        ended, other = Stream(managerd, path, watcher["secret"]), Stream(managerd, path, stays["secret"])
        ended.read_until(b"event: step")
        other.read_until(b"event: step")
        began = time.monotonic()
        assert as_token(managerd, BOSS, "DELETE", f"/v1/tokens/{watcher['id']}").status == 204
        ended.read_to_end()
        assert b"event: done" not in ended.got and time.monotonic() - began < 10
        # Whoever may still look sees the end.
        assert as_token(managerd, BOSS, "POST", f"/v1/operations/{begun.json()['id']}/cancel").status in (200, 202)
        other.read_until(b"event: done")


def test_the_key_of_environments_is_rotated_by_a_second_line(tmp_path):
    old, new, other = (f"{n:064x}" for n in (1, 2, 3))
    key = tmp_path / "key"
    key.write_text(old + "\n")
    with Stack(managerd={"MANAGERD_TOKEN": BOSS, "MANAGERD_DRAIN_MS": "0", "MANAGERD_SECRET_KEY_FILE": str(key)}) as stack:
        managerd = stack.managerd
        code = "exports.handler = async () => ({statusCode: 200, body: process.env.PASSWORD})"

        def served(password, text):
            """Deploys once more without saying the environment: it is read from where it is sealed."""
            if password:
                assert as_token(managerd, BOSS, "PUT", "/v1/apps/keeper/environment", {"variables": {"PASSWORD": password}}).status == 200
            managerd.deploy("keeper", {"index.js": code + ";" * len(text)})
            return stack.app("keeper").text

        def restart(*lines):
            managerd.stop()
            key.write_text("\n".join(lines) + "\n")
            managerd.start()
            managerd.wait_ready()
            return managerd.events("secrets-resealed")
        assert as_token(managerd, BOSS, "PUT", "/v1/apps/keeper", {}).status == 201
        assert served("one", "a") == "one"
        before = as_token(managerd, BOSS, "GET", "/v1/apps/keeper/environment").json()["names"]
        assert restart(new, old)[-1]["unreadable"] == 0 and managerd.events("secrets-resealed")[-1]["resealed"] >= 2
        restart(new)  # the old key is needed no more
        assert served(None, "bb") == "one"
        assert as_token(managerd, BOSS, "GET", "/v1/apps/keeper/environment").json()["names"] == before == ["PASSWORD"]
        # A change of before can still be taken back, since what was equal still is.
        changes = as_token(managerd, BOSS, "GET", "/v1/apps/keeper/history?limit=500").json()["items"]
        change = next(c for c in changes if c["action"] == "putEnvironment")
        undone = as_token(managerd, BOSS, "POST", f"/v1/apps/keeper/history/{change['id']}/undo")
        assert undone.status == 200, undone.text
        assert as_token(managerd, BOSS, "GET", "/v1/apps/keeper/environment").json()["names"] == []
        assert as_token(managerd, BOSS, "PUT", "/v1/apps/keeper/environment", {"variables": {"PASSWORD": "one"}}).status == 200
        # With a key that opens nothing this is said, and nothing is lost.
        assert restart(other)[-1]["unreadable"] >= 2
        restart(other, new)
        assert managerd.events("secrets-resealed")[-1]["unreadable"] == 0
        assert served(None, "ccc") == "one"
        assert as_token(managerd, BOSS, "GET", "/v1/audit/verification").json()["whole"]
        state = (managerd.data / "state" / "data.mdb").read_bytes()
        assert old.encode() not in state and new.encode() not in state


def test_the_key_is_rotated_while_an_operation_that_brings_values_is_queued(tmp_path):
    old, new = (f"{n:064x}" for n in (4, 5))
    key = tmp_path / "key"
    key.write_text(old + "\n")
    options = {"MANAGERD_DRAIN_MS": "600000", "MANAGERD_MAX_OPERATIONS": "1", "MANAGERD_SECRET_KEY_FILE": str(key)}
    code = {"index.js": "exports.handler = async () => ({statusCode: 200, body: process.env.PASSWORD})"}
    with Stack(managerd=options) as stack:
        managerd = stack.managerd

        def restart(*lines, **more):
            managerd.stop()
            key.write_text("\n".join(lines) + "\n")
            managerd.options.update(more)
            managerd.start()
            managerd.wait_ready()

        def operation(made):
            return as_token(managerd, None, "GET", f"/v1/operations/{made['id']}").json()
        managerd.deploy("going", {"index.js": "exports.handler = async () => 1"})
        going = as_token(managerd, None, "DELETE", "/v1/apps/going").json()  # waits for requests: it takes the only place
        names = [f"app-{n}" for n in range(60)]  # more than one commit's worth
        document = {"apps": [{"name": name, "environment": {"PASSWORD": f"of {name}"}} for name in names]}
        queued = as_token(managerd, None, "POST", "/v1/apply", document).json()
        assert operation(going)["state"] == "running" and operation(queued)["state"] == "queued"
        restart(new, old)
        told = managerd.events("secrets-resealed")[-1]
        assert told["unreadable"] == 0 and told["resealed"] == len(names)
        assert operation(queued)["state"] == "queued"
        restart(new, MANAGERD_DRAIN_MS="0")
        ended = as_token(managerd, None, "GET", f"/v1/operations/{queued['id']}", Prefer="wait=30").json()
        assert ended["state"] == "succeeded", ended
        managerd.deploy("app-59", code)
        assert stack.app("app-59").text == "of app-59"


def test_a_domain_tells_who_made_it_and_who_changed_it_last(managerd):
    token = make_token(managerd, "admin")
    other = f"{token['id']} ({token['name']})"

    def paths(prefix):
        return {"paths": [{"prefix": "/", "app": MINE}, {"prefix": prefix, "app": OTHER}]}
    path = "/v1/domains/signed.example.com"
    made = as_token(managerd, BOSS, "PUT", path, paths("/a"))
    assert made.status == 201 and (made.json()["createdBy"], made.json()["updatedBy"]) == ("admin", "admin")
    changed = as_token(managerd, token["secret"], "PUT", path, paths("/b")).json()
    assert (changed["createdBy"], changed["updatedBy"]) == ("admin", other) and changed["createdAt"] == made.json()["createdAt"]
    assert as_token(managerd, BOSS, "PUT", path, {**changed, "createdBy": "me", "updatedBy": "me"}).json()["updatedBy"] == "admin", "read only"
    # Also by a document, and by taking a change back; and one that is new is the token's.
    document = {"domains": [{"host": "signed.example.com", **paths("/c")}, {"host": "fresh.example.com", **paths("/c")}]}
    applied = as_token(managerd, token["secret"], "POST", "/v1/apply", document, Prefer="wait=20")
    assert applied.status == 200, applied.text
    read = as_token(managerd, BOSS, "GET", path).json()
    assert (read["createdBy"], read["updatedBy"]) == ("admin", other)
    assert as_token(managerd, BOSS, "GET", "/v1/domains/fresh.example.com").json()["createdBy"] == other
    change = as_token(managerd, BOSS, "GET", f"{path}/history").json()["items"][0]
    undone = as_token(managerd, BOSS, "POST", f"{path}/history/{change['id']}/undo")
    assert undone.status == 200 and undone.json()["updatedBy"] == "admin" and undone.json()["paths"][1]["prefix"] == "/b"
    assert {one["pointer"] for one in change["changes"]} == {"/paths"}
    for host in ("signed", "fresh"):
        assert as_token(managerd, BOSS, "DELETE", f"/v1/domains/{host}.example.com").status == 204
