"""Packages on their way in: into a file, never into memory; and what is left of those that do not come whole."""
import base64
import ctypes
import hashlib
import json
import os
import random
import re
import socket
import subprocess
import threading
import time
import zipfile
from io import BytesIO

import pytest

import harness
from harness import LambdaLocal, Managerd, make_zip, receive_all, split_address, wait_for

SOURCE = "exports.handler = async () => ({statusCode: 200, body: 'x'});"
SETTINGS = "runtime=nodejs20.x&handler=index.handler&traffic=none"


def package(megabytes, seed=1):
    """A lawful package that no compression makes smaller."""
    out = BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo("index.js", (2020, 1, 1, 0, 0, 0)), SOURCE)
        archive.writestr(zipfile.ZipInfo("data", (2020, 1, 1, 0, 0, 0)), random.Random(seed).randbytes(int(megabytes * (1 << 20))))
    return out.getvalue()


def sha256_of(data):
    return hashlib.sha256(data).hexdigest()


def digest_of(data):
    return f"sha-256=:{base64.b64encode(hashlib.sha256(data).digest()).decode()}:"


def names(managerd):
    return sorted(path.name for path in (managerd.data / "packages").iterdir())


def half_uploads(managerd):
    return [name for name in names(managerd) if not re.fullmatch(r"[0-9a-f]{64}\.zip", name)]


def figure(managerd, name):
    return next(float(line.split()[1]) for line in managerd.request("GET", "/metrics").text.splitlines() if line.startswith(name + " "))


def deploy(managerd, app, data, wait=40, query=SETTINGS, **headers):
    return managerd.request("POST", f"/v1/apps/{app}/deployments?{query}", body=data, timeout=60,
                            headers={"Content-Type": "application/zip", "Prefer": f"wait={wait}",
                                     **{name.replace("_", "-"): value for name, value in headers.items()}})


class Upload:
    """A client that sends its body bit by bit, over a socket of its own."""

    def __init__(self, managerd, app, length, head="", token=None, kind="application/zip"):
        self.managerd, self.sent = managerd, 0
        self.peer = socket.create_connection(split_address(managerd.listen), 20)
        framing = f"Content-Length: {length}\r\n" if length is not None else "Transfer-Encoding: chunked\r\n"
        token = token or managerd.token
        head += f"Authorization: Bearer {token}\r\n" if token else ""
        self.peer.sendall(f"POST /v1/apps/{app}/deployments?{SETTINGS} HTTP/1.1\r\nHost: localhost\r\nPrefer: wait=30\r\n"
                          f"Content-Type: {kind}\r\n{framing}{head}\r\n".encode())

    def send(self, data):
        self.peer.sendall(data)

    def answer(self, seconds=30):
        """Status, head and body of the answer, however it ends."""
        received, deadline = b"", time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.peer.settimeout(max(0.1, deadline - time.monotonic()))
            try:
                got = self.peer.recv(65536)
            except OSError:
                break
            received += got
            head, found, body = received.partition(b"\r\n\r\n")
            length = re.search(rb"content-length: (\d+)", head.lower())
            if not got or (found and length and len(body) >= int(length[1])):
                break
        assert received.startswith(b"HTTP/1.1 "), f"no answer: {received[:200]}"
        head, _, body = received.partition(b"\r\n\r\n")
        return int(head.split()[1]), head.decode(), body.decode()

    def close(self):
        self.peer.close()

    def __enter__(self):
        return self

    def __exit__(self, *ignored):
        self.close()


@pytest.fixture
def make(lambda_local):
    started = []

    def start(**options):
        managerd = Managerd(aws=lambda_local, options={"MANAGERD_DRAIN_MS": "0", **options}).start()
        started.append(managerd)
        managerd.wait_ready(managerd.url)
        return managerd

    yield start
    for managerd in started:
        managerd.close()


@pytest.mark.threads
def test_a_package_is_stored_once_however_it_comes(make):
    managerd = make()
    data = package(1)
    text = base64.b64encode(data).decode()
    escaped = text.replace("/", "\\/").replace("+", "\\u002B")
    settings = '"runtime":"nodejs20.x","handler":"index.handler","traffic":"none"'
    first = deploy(managerd, "zip", data, Content_Digest=digest_of(data))
    assert first.status == 200, first.text
    chunked = Upload(managerd, "chunked", None)
    for start in range(0, len(data), 100_000):
        piece = data[start:start + 100_000]
        chunked.send(b"%x\r\n%b\r\n" % (len(piece), piece))
    chunked.send(b"0\r\n\r\n")
    assert chunked.answer()[0] == 200
    for app, base64_text in (("json", text), ("escaped", escaped)):
        body = f'{{"package": {{"zip":"{base64_text}"}}, {settings}}}'
        answer = managerd.request("POST", f"/v1/apps/{app}/deployments", body=body, timeout=60,
                                  headers={"Content-Type": "application/json", "Prefer": "wait=40", "Repr-Digest": digest_of(body.encode())})
        assert answer.status == 200, answer.text
    answer = managerd.request("POST", "/apps/deploy", body={"name": "first", "archive": text}, timeout=60)
    assert (answer.status, answer.json()["status"]) == (200, "ACTIVE")
    for app in ("zip", "chunked", "json", "escaped", "first"):
        assert managerd.request("GET", f"/v1/apps/{app}/versions/1").json()["package"]["sha256"] == sha256_of(data)
    assert names(managerd) == [sha256_of(data) + ".zip"]
    assert (managerd.data / "packages" / names(managerd)[0]).read_bytes() == data
    assert figure(managerd, "managerd_uploads_running") == 0 == figure(managerd, "managerd_upload_bytes")
    assert figure(managerd, "managerd_uploads_total") == 5


def test_bad_packages_are_told_and_leave_nothing(make):
    managerd = make()
    noise = random.Random(3).randbytes(200_000)
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("../escape", noise)
    damaged = bytearray(package(0.3))
    damaged[200_000] ^= 1
    bad = {"noise": noise, "dots": out.getvalue(), "absolute": make_zip({"/etc/x": noise}), "short": package(0.3)[:-100],
           "damaged": bytes(damaged), "bomb": make_zip({f"{n}": b"\0" * 100_000_000 for n in range(3)})}
    for what, data in bad.items():
        answer = deploy(managerd, "bad", data)
        wanted = ("too-large", 413) if what == "bomb" else ("package-invalid", 422)
        assert answer.status == wanted[1] and answer.json()["type"].endswith(wanted[0]), (what, answer.text)
        text = base64.b64encode(data).decode()
        answer = managerd.request("POST", "/v1/apps/bad/deployments", body={"package": {"zip": text}, "runtime": "nodejs20.x"})
        assert answer.status == wanted[1], (what, answer.text)
        answer = managerd.request("POST", "/apps/deploy", body={"name": "bad", "archive": text})
        assert answer.status == (413 if what == "bomb" else 400), (what, answer.text)
    for body, status in ((b'{"package":{"zip":"' + b"QUJD" * 50_000, 400), (b'{"package":{"zip":"' + b"QU*D" * 50_000 + b'"}}', 422),
                         (b'{"package":{"zip":"' + b"QUJD" * 50_000 + b'"},"nonsense":1}', 422),
                         (b'{"pack\\u0061ge":{"zip":"' + b"QUJD" * 500_000 + b'"}}', 413),
                         (b'{"package":{"zip":"' + b"QUJD" * 50_000 + b'"},}', 400)):
        answer = managerd.request("POST", "/v1/apps/bad/deployments", body=body, headers={"Content-Type": "application/json"})
        assert answer.status == status, answer.text
        if body.endswith(b",}"):
            assert f"byte {len(body) - 1}" in answer.json()["detail"] or f"byte {len(body) - 2}" in answer.json()["detail"]
    assert managerd.request("GET", "/v1/apps/bad").status == 404
    wait_for(lambda: names(managerd) == [], what="nothing is left of what was refused")


def test_a_digest_that_is_given_must_be_that_of_the_body(make):
    managerd = make()
    data = package(0.5)
    other = digest_of(data + b"x")
    for name in ("Content-Digest", "Repr-Digest"):
        wrong = deploy(managerd, "app", data, **{name: other})
        assert (wrong.status, wrong.json()["type"]) == (400, "/problems/digest-mismatch"), wrong.text
        malformed = deploy(managerd, "app", data, **{name: "sha-256=abc"})
        assert malformed.status == 422 and malformed.json()["errors"][0]["parameter"] == name, malformed.text
    assert deploy(managerd, "app", data, Content_Digest="sha-512=:YWJj:").status == 200, "others are nobody's business"
    small = managerd.request("PUT", "/v1/apps/small", body=b"{}", headers={"Content-Type": "application/json", "Content-Digest": other})
    assert small.status == 400, small.text
    good = managerd.request("PUT", "/v1/apps/small", body=b"{}", headers={"Content-Type": "application/json", "Content-Digest": digest_of(b"{}")})
    assert good.status == 201, good.text
    assert names(managerd) == [sha256_of(data) + ".zip"]


def test_an_upload_can_be_made_again_with_its_key(make):
    managerd = make()
    data = package(0.5)
    first = deploy(managerd, "app", data, Idempotency_Key="one")
    again = deploy(managerd, "app", data, Idempotency_Key="one")
    assert (first.status, again.status) == (200, 200), again.text
    assert first.json()["id"] == again.json()["id"] and again.header("Idempotency-Replayed") == "true"
    other = deploy(managerd, "app", package(0.5, seed=2), Idempotency_Key="one")
    assert (other.status, other.json()["type"]) == (422, "/problems/idempotency-key-reused")
    assert len(managerd.request("GET", "/v1/apps/app/versions").json()["items"]) == 1


@pytest.mark.threads
def test_a_client_that_leaves_leaves_nothing(make):
    managerd = make()
    data = package(2)
    with Upload(managerd, "gone", len(data)) as upload:
        upload.send(data[:len(data) // 2])
        wait_for(lambda: half_uploads(managerd), what="the first bytes lie in a file")
        assert figure(managerd, "managerd_uploads_running") == 1
        # One that is slow holds nobody up.
        assert deploy(managerd, "other", package(1, seed=2)).status == 200
    wait_for(lambda: not half_uploads(managerd), what="its file is gone")
    wait_for(lambda: figure(managerd, "managerd_uploads_running") == 0, what="its place is free")
    assert managerd.request("GET", "/v1/apps/gone").status == 404


@pytest.mark.threads
def test_only_so_many_come_at_once(make):
    managerd = make(MANAGERD_MAX_UPLOADS="2", MANAGERD_MAX_UPLOAD_BYTES="3M")
    data = package(1)
    with Upload(managerd, "a", len(data)) as first, Upload(managerd, "b", len(data)) as second:
        wait_for(lambda: figure(managerd, "managerd_uploads_running") == 2, what="both are let in")
        with Upload(managerd, "c", len(data), "Expect: 100-continue\r\n") as third:
            status, head, body = third.answer()
        assert status == 503 and "Retry-After: " in head and json.loads(body)["type"] == "/problems/too-many-uploads", head
        first.send(data)
        assert first.answer()[0] == 200
        with Upload(managerd, "c", None) as third: # chunked: as much as there may be, and that is too much
            assert third.answer()[0] == 503
        small = managerd.request("POST", f"/v1/apps/small/deployments?{SETTINGS}", body=make_zip({"index.js": SOURCE}),
                                 headers={"Content-Type": "application/zip", "Prefer": "wait=30"})
        assert small.status == 200, "what is small needs no place"
        second.send(data)
        assert second.answer()[0] == 200
    assert figure(managerd, "managerd_uploads_refused_total") == 2


def test_who_may_not_deploy_fills_no_disk(make):
    managerd = make(MANAGERD_TOKEN="the-admin-token", MANAGERD_MAX_PACKAGE_BYTES="2M")
    managerd.token = "the-admin-token"
    tokens = {}
    for name, more in {"viewer": {"role": "viewer"}, "limited": {"role": "deployer", "apps": ["mine"]}}.items():
        answer = managerd.request("POST", "/v1/tokens", body={"name": name, **more})
        assert answer.status == 201, answer.text
        tokens[name] = answer.json()["secret"]
    data = package(1.5)
    waits = "Expect: 100-continue\r\n"
    for app, token, status in (("mine", "nobody-knows-this", 401), ("mine", tokens["viewer"], 413), ("other", tokens["limited"], 413)):
        with Upload(managerd, app, len(data), waits, token=token) as upload:
            assert upload.answer()[0] == status
    with Upload(managerd, "mine", 3 << 20, waits) as upload:
        assert upload.answer()[0] == 413
    with Upload(managerd, "mine", None) as upload: # one that does not say how much comes
        upload.send(b"%x\r\n" % (4 << 20))
        try:
            for _ in range(64):
                upload.send(b"x" * 65536)
        except OSError:
            pass # refused meanwhile
        assert upload.answer()[0] == 413
    wait_for(lambda: not half_uploads(managerd), what="nothing is left")
    with Upload(managerd, "mine", len(data), waits, token=tokens["limited"]) as upload:
        assert b"100 Continue" in upload.peer.recv(100)
        upload.send(data)
        assert upload.answer()[0] == 200


@pytest.mark.parametrize("moment", ["half", "whole"])
def test_what_a_killed_managerd_leaves_is_removed_at_the_next_start(make, moment):
    managerd = make()
    data = package(2)
    kept = deploy(managerd, "kept", package(0.5, seed=9))
    assert kept.status == 200
    with Upload(managerd, "half", len(data)) as upload:
        upload.send(data[:len(data) // 2] if moment == "half" else data[:-1])
        wait_for(lambda: half_uploads(managerd), what="the first bytes lie in a file")
        managerd.kill9()
        assert half_uploads(managerd)
    managerd.start()
    managerd.wait_ready(managerd.url)
    assert half_uploads(managerd) == [] and len(names(managerd)) == 1
    assert managerd.request("GET", "/v1/apps/half").status == 404
    assert deploy(managerd, "half", data).status == 200


@pytest.mark.long
def test_a_managerd_that_stops_waits_only_so_long_for_those_who_upload(make):
    managerd = make()
    with Upload(managerd, "half", 4 << 20) as upload:
        upload.send(b"x" * (1 << 20))
        wait_for(lambda: half_uploads(managerd), what="the first bytes lie in a file")
        managerd.stop(seconds=20)
    assert names(managerd) == []


class SmallDisk:
    """A file system of its own on packages/; needs root."""

    def __init__(self, megabytes):
        self.size, self.path = megabytes << 20, None

    def mount(self, path):
        path.mkdir(parents=True, exist_ok=True)
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"none", str(path).encode(), b"tmpfs", 0, f"size={self.size}".encode()) != 0:
            pytest.skip(f"no file system can be mounted here: {os.strerror(ctypes.get_errno())}")
        self.path = path
        return self

    def fill(self):
        with open(self.path / "filler", "ab", buffering=0) as file:
            try:
                while file.write(b"x" * (1 << 20)):
                    pass
            except OSError:
                pass # full

    def close(self):
        if self.path:
            subprocess.run(["umount", "--lazy", str(self.path)], check=True, timeout=20)


@pytest.fixture
def small_disk():
    disk = SmallDisk(24)
    yield disk
    disk.close()


def test_a_disk_that_is_full_is_told_before_and_in_the_middle_and_nothing_is_lost(lambda_local, small_disk):
    with_folder = harness.scratch("small-disk.")
    disk = small_disk.mount(with_folder / "data" / "packages")
    managerd = Managerd(directory=with_folder, aws=lambda_local,
                        options={"MANAGERD_DRAIN_MS": "0", "MANAGERD_UPLOAD_FREE_BYTES": "1M"}).start()
    try:
        managerd.wait_ready(managerd.url)
        kept = package(4)
        assert deploy(managerd, "kept", kept).status == 200
        with Upload(managerd, "large", 40 << 20, "Expect: 100-continue\r\n") as upload:
            status, head, body = upload.answer()
            assert status == 507 and "Retry-After: " in head and json.loads(body)["type"] == "/problems/storage-full", head
        data = package(8, seed=2)
        with Upload(managerd, "other", len(data)) as upload:
            upload.send(data[:1 << 20])
            wait_for(lambda: half_uploads(managerd), what="it was let in")
            disk.fill()
            try:
                upload.send(data[1 << 20:])
            except OSError:
                pass # refused meanwhile
            status, head, body = upload.answer()
            assert status == 507 and json.loads(body)["type"] == "/problems/storage-full", head
        wait_for(lambda: [name for name in half_uploads(managerd) if name != "filler"] == [], what="its file is gone")
        assert figure(managerd, "managerd_uploads_failed_total") == 1
        disk.fill()
        text = base64.b64encode(package(0.04)).decode() # too small for a file of its own; decoded into one
        answer = managerd.request("POST", "/v1/apps/json/deployments", body={"package": {"zip": text}, "runtime": "nodejs20.x"})
        assert answer.status == 507, answer.text
        assert deploy(managerd, "kept", kept, query=SETTINGS + "&memoryMb=256").status in (200, 507)
        (disk.path / "filler").unlink()
        assert deploy(managerd, "other", data).status == 200
        assert (disk.path / (sha256_of(kept) + ".zip")).read_bytes() == kept
        assert managerd.request("POST", "/v1/apps/kept/deployments", body={"package": {"version": 1}, "traffic": "none"},
                                headers={"Prefer": "wait=30"}).status == 200
    finally:
        managerd.close()


def test_what_is_deployed_while_old_packages_go_is_there(make):
    managerd = make()
    data = [package(0.2, seed=n) for n in range(6)]
    failures = []

    def churn(app, rounds):
        """Deploys, and deletes again, the very packages that others deploy."""
        for n in range(rounds):
            answer = deploy(managerd, app, data[n % len(data)])
            if answer.status != 200:
                failures.append((app, n, answer.text))
                return
            version = answer.json()["result"]["version"]
            gone = managerd.request("DELETE", f"/v1/apps/{app}/versions/{version}", headers={"Prefer": "wait=20"}, timeout=40)
            if gone.status not in (200, 202):
                failures.append((app, n, gone.text))

    threads = [threading.Thread(target=churn, args=(f"churn-{n}", 5)) for n in range(4)]
    for thread in threads:
        thread.start()
    kept = [deploy(managerd, f"kept-{n}", data[n]) for n in range(6)]
    for thread in threads:
        thread.join(120)
    assert not failures, failures[0]
    assert [answer.status for answer in kept] == [200] * 6
    for n in range(6):
        again = managerd.request("POST", f"/v1/apps/kept-{n}/deployments", body={"package": {"version": 1}, "traffic": "none"},
                                 headers={"Prefer": "wait=30"}, timeout=40)
        assert again.status == 200, again.text


def anonymous_bytes(process):
    for line in open(f"/proc/{process.daemon_pid()}/status", encoding="ascii"):
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon")


def upload_together(managerd, count, megabytes):
    """So many at once, each of them a package of its own; gives the answers and the most memory that was seen."""
    shared = package(megabytes)
    answers, stop, peak = [None] * count, threading.Event(), [anonymous_bytes(managerd)]

    def watch():
        while not stop.wait(0.01):
            peak[0] = max(peak[0], anonymous_bytes(managerd))

    def one(n):
        # Another comment at the end makes it another package.
        comment = b"%06d" % n
        data = shared[:-2] + len(comment).to_bytes(2, "little") + comment
        answers[n] = deploy(managerd, f"app-{n}", data, wait=120)

    watcher = threading.Thread(target=watch)
    watcher.start()
    threads = [threading.Thread(target=one, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(280)
    stop.set()
    watcher.join()
    return answers, peak[0]


@pytest.mark.long
def test_packages_never_lie_in_memory(make):
    options = harness.clean_environment("/")["ASAN_OPTIONS"]
    managerd = make(ASAN_OPTIONS=options + ":quarantine_size_mb=1")
    before = anonymous_bytes(managerd)
    answers, peak = upload_together(managerd, 8, 40)
    assert [answer.status for answer in answers] == [200] * 8, next(a.text for a in answers if a.status != 200)
    print(f"RssAnon {before >> 20} MiB before, {peak >> 20} MiB at most")
    assert peak - before < 64 << 20, f"{(peak - before) >> 20} MiB more for 320 MiB of packages"


@pytest.mark.long
def test_a_client_that_hardly_sends_is_cut(make):
    managerd = make()
    with Upload(managerd, "slow", 1 << 20) as upload:
        upload.send(b"x" * 100_000)
        status, _, _ = upload.answer(seconds=60)
        assert status == 408
    wait_for(lambda: not half_uploads(managerd), what="its file is gone")
