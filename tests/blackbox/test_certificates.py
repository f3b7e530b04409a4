"""Certificates of domains: given to the API, checked, sealed, written for proxyd, served, replaced, lost and found again."""
import hashlib
import os
import re
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest

import harness
from harness import Stack, make_zip
from secure_proxy import Authority, lenient, openssl

HELLO = make_zip({"index.js": "exports.handler = async (event) => ({statusCode: 200, headers: {'content-type': 'text/plain'}, "
                              "body: event.headers['x-forwarded-proto'] + ' ' + event.headers.host});"})


@pytest.fixture(scope="module")
def authority():
    return Authority()


@pytest.fixture(scope="module")
def stack():
    options = {"PROXYD_TLS_LISTEN": "127.0.0.1:0"}
    with Stack(managerd={"MANAGERD_PUBLIC_URL": "https://localhost:8443"}, proxyd=options) as running:
        running.deploy("shop", HELLO)
        yield running


def call(stack, method, path, body=None, **headers):
    return stack.managerd.request(method, path, body, headers={name.replace("_", "-"): value for name, value in headers.items()})


def put(stack, host, tls="absent", status=None, **headers):
    body = {"paths": [{"app": "shop"}]}
    if isinstance(tls, tuple):
        body["tls"] = {"certificatePem": tls[0], "privateKeyPem": tls[1]}
    elif tls != "absent":
        body["tls"] = tls
    answer = call(stack, "PUT", f"/v1/domains/{host}", body, **headers)
    assert answer.status == status if status else answer.status in (200, 201), answer.text
    return answer


def faults(answer):
    told = {}
    for fault in answer.json()["errors"]:
        told[fault["pointer"]] = "; ".join([*filter(None, [told.get(fault["pointer"])]), fault["detail"]])
    return told


def leaf_print(chain):
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(chain.split("-----END CERTIFICATE-----")[0] + "-----END CERTIFICATE-----\n")).hexdigest()


def port(stack):
    return harness.split_address(stack.proxyd.ready_line["tlsListen"])[1]


def shown(stack, host):
    with socket.create_connection(("127.0.0.1", port(stack)), 10) as raw, lenient().wrap_socket(raw, server_hostname=host) as peer:
        return hashlib.sha256(peer.getpeercert(True)).hexdigest()


def until_shown(stack, host, tls, seconds=5):
    def looks():
        try:
            return shown(stack, host) == leaf_print(tls[0])
        except ssl.SSLError:
            return False
    harness.wait_for(looks, seconds, f"{host} shows its certificate")


def curl(stack, authority, host, path="/", *more):
    done = subprocess.run(["curl", "-sS", "--max-time", "20", "--cacert", str(authority.root_file), "--resolve", f"{host}:{port(stack)}:127.0.0.1",
                           *more, f"https://{host}:{port(stack)}{path}"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=30, text=True)
    return done.returncode, done.stdout, done.stderr


def files(stack):
    folder = stack.data / "secrets" / "tls"
    return sorted(name for name in os.listdir(folder)) if folder.exists() else []


def test_a_certificate_is_served_to_clients_that_verify_it(stack, authority):
    tls = authority.issue("shop.example.org", "www.shop.example.org")
    answer = put(stack, "shop.example.org", tls, status=201)
    until_shown(stack, "shop.example.org", tls)
    assert curl(stack, authority, "shop.example.org") == (0, f"https shop.example.org:{port(stack)}", "")
    told = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port(stack)}", "-servername", "shop.example.org", "-verify_hostname",
                           "shop.example.org", "-CAfile", str(authority.root_file)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=30, text=True).stdout
    assert "Verify return code: 0 (ok)" in told and "CN = Test Intermediate" in told
    read = call(stack, "GET", "/v1/domains/shop.example.org")
    assert read.json() == answer.json() and read.header("ETag") == answer.header("ETag")
    facts = read.json()["tls"]
    assert sorted(facts) == ["fingerprint", "issuer", "keyType", "names", "notAfter", "notBefore", "subject"]
    assert facts["fingerprint"] == leaf_print(tls[0]) and facts["keyType"] == "EC P-256" and facts["issuer"] == "CN=Test Intermediate"
    assert facts["names"] == ["shop.example.org", "www.shop.example.org"] and facts["subject"].endswith("O=Shop\\, Inc.")
    ends = openssl("x509", "-noout", "-enddate", "-dateopt", "iso_8601", input=tls[0].encode()).decode().split("=")[1].strip()
    assert facts["notAfter"][:19] == ends.replace(" ", "T")[:19]
    assert [one["tls"] for one in call(stack, "GET", "/v1/domains?app=shop").json()["items"] if one["host"] == "shop.example.org"] == [facts]
    assert read.json()["paths"] == [{"prefix": "/", "app": "shop", "stripPrefix": False, "url": "https://shop.example.org:8443/"}]
    figures = stack.managerd.request("GET", "/metrics").text
    harness.assert_lawful_metrics(figures)
    file = stack.data / "secrets" / "tls" / f"{facts['fingerprint']}.pem"
    assert file.stat().st_mode & 0o7777 == 0o640 and file.parent.stat().st_mode & 0o7777 == 0o2750
    assert file.stat().st_gid == file.parent.stat().st_gid
    harness.wait_for(lambda: f'managerd_certificate_not_after_seconds{{host="shop.example.org",fingerprint="{facts["fingerprint"]}"}}' in
                     stack.managerd.request("GET", "/metrics").text, 10, "its end is a figure")


def test_the_key_is_nowhere_but_in_the_file(stack, authority):
    tls = authority.issue("secret.example.org")
    answers = [put(stack, "secret.example.org", tls), call(stack, "GET", "/v1/domains/secret.example.org"), call(stack, "GET", "/v1/domains"),
               put(stack, "secret.example.org", (tls[0].replace("\nM", "\nN", 1), tls[1]), status=422),
               put(stack, "other.example.org", tls, status=422)]
    lines = [line for line in tls[1].splitlines() if "-----" not in line]
    raw = openssl("pkey", "-outform", "DER", input=tls[1].encode())
    secret = re.search(rb"\x04\x20(.{32})", raw, re.S)[1]
    texts = {answer.text for answer in answers} | {process.log_text() for process in stack.all()} | {
        process.access_log_path.read_text() for process in stack.all() if process.access_log_path.exists()}
    assert not any(line in text for line in lines for text in texts)
    for folder in ("state", "routes"):
        for path in (stack.data / folder).iterdir():
            content = path.read_bytes()
            assert secret not in content and not any(line.encode() in content for line in lines), path
    assert any(secret in openssl("pkey", "-in", path, "-outform", "DER") for path in (stack.data / "secrets" / "tls").glob("*.pem"))


def test_what_is_read_can_be_sent_back_and_null_removes(stack, authority):
    first, second = authority.issue("round.example.org"), authority.issue("round.example.org", days=9)
    read = put(stack, "round.example.org", first).json()
    for body in (read, {"paths": read["paths"]}, {**read, "tls": {}}, {**read, "tls": {"fingerprint": "stale", "subject": 1}}):
        answer = call(stack, "PUT", "/v1/domains/round.example.org", body)
        assert answer.status == 200 and answer.json()["tls"] == read["tls"]
    assert put(stack, "round.example.org", second).json()["tls"]["fingerprint"] == leaf_print(second[0])
    until_shown(stack, "round.example.org", second)  # though the first one ends later
    assert call(stack, "GET", "/v1/domains/round.example.org").json()["tls"]["fingerprint"] in "".join(files(stack))
    assert put(stack, "round.example.org", None).json()["tls"] is None
    assert call(stack, "GET", "/v1/domains/round.example.org").json()["tls"] is None
    assert put(stack, "round.example.org").json()["tls"] is None
    answer = put(stack, "round.example.org", {"fingerprint": leaf_print(first[0])}, status=422)
    assert list(faults(answer)) == ["/tls"]
    harness.wait_for(lambda: not any(leaf_print(one[0]) in "".join(files(stack)) for one in (first, second)), 25, "both files are gone")
    harness.wait_for(lambda: refused(stack, "round.example.org"), 5, "it is not served any more")
    with pytest.raises(AssertionError):
        put(stack, "round.example.org", first, If_Match='"1"')
    pem = f"{leaf_print(first[0])}.pem"
    harness.wait_for(lambda: pem not in files(stack), 25, "what was written for a call that failed goes again")


def refused(stack, host):
    try:
        shown(stack, host)
    except (ssl.SSLError, ConnectionError):
        return True
    return False


def test_two_domains_may_have_one_certificate(stack, authority):
    tls = authority.issue("one.example.org", "*.two.example.org")
    for host in ("one.example.org", "*.two.example.org"):
        put(stack, host, tls)
    until_shown(stack, "any.two.example.org", tls)
    assert call(stack, "GET", "/v1/domains/*.two.example.org").json()["paths"][0]["url"] is None
    assert call(stack, "DELETE", "/v1/domains/one.example.org").status == 204
    looked = time.monotonic() + 5
    short = tls[0].split("-----END CERTIFICATE-----\n")[0] + "-----END CERTIFICATE-----\n"
    put(stack, "*.two.example.org", (short, tls[1]))  # the same one with another chain
    time.sleep(max(0, looked - time.monotonic()))
    assert shown(stack, "any.two.example.org") == leaf_print(tls[0])
    path = stack.data / "secrets" / "tls" / f"{leaf_print(tls[0])}.pem"
    assert path.read_text().count("BEGIN CERTIFICATE") == 1
    stack.managerd.restart()
    stack.managerd.wait_ready()
    assert path.read_text().count("BEGIN CERTIFICATE") == 1


CERTIFICATE, KEY, PRIVATE = "/tls/certificatePem", "/tls/privateKeyPem", "PRIVATE KEY"


@pytest.fixture(scope="module")
def cases(authority):
    host = "bad.example.org"
    good, key = authority.issue(host)
    leaf, intermediate = good.split("-----END CERTIFICATE-----\n")[0] + "-----END CERTIFICATE-----\n", authority.intermediate
    other_key = authority.make_key()
    encrypted = openssl("pkey", "-aes256", "-passout", "pass:x", input=key.encode()).decode()
    traditional = openssl("ec", "-aes256", "-passout", "pass:x", input=key.encode()).decode()
    # The public half of one key and the private half of another.
    forged = bytearray(openssl("pkey", "-outform", "DER", input=key.encode()))
    forged[forged.index(b"\x04\x20") + 10] ^= 1
    forged = openssl("base64", input=bytes(forged)).decode()
    expired = authority.sign("/CN=old", key, authority.intermediate, authority.key, f"subjectAltName=DNS:{host}", days=-1)
    made = {
        "no PEM": ("nonsense", key, CERTIFICATE, "must hold a certificate"),
        "half a PEM": (leaf[:300], key, CERTIFICATE, "no whole PEM"),
        "damaged": (leaf.replace("MII", "AAA", 1), key, CERTIFICATE, "certificate 1 cannot be read"),
        "a key with it": (good + key, key, CERTIFICATE, "holds a private key"),
        "a request": (openssl("req", "-new", "-key", authority.file(key), "-subj", "/CN=x").decode(), key, CERTIFICATE, "something else"),
        "too many": (leaf + intermediate * 10, key, CERTIFICATE, "more than 10"),
        "wrong order": (intermediate + leaf, key, CERTIFICATE, "certificate 2 is the one of the key"),
        "chain of another": (leaf + authority.root, key, CERTIFICATE, "certificate 2 did not sign certificate 1"),
        "twice": (leaf + leaf, key, CERTIFICATE, "certificate 2"),
        "expired": (expired, key, CERTIFICATE, "expired: its notAfter is 20"),
        "other host": (authority.issue("else.example.org", key=key)[0], key, CERTIFICATE, "is not for bad.example.org; it is for else.example.org"),
        "wildcard over two labels": (authority.issue("*.org", key=key)[0], key, CERTIFICATE, "is not for bad.example.org"),
        "common name alone": (authority.sign(f"/CN={host}", key, authority.intermediate, authority.key, "basicConstraints=CA:FALSE"), key, CERTIFICATE,
                              "names no host"),
        "for clients": (authority.issue(host, key=key, extensions=["extendedKeyUsage=clientAuth"])[0], key, CERTIFICATE, "not meant for servers"),
        "weak digest": (authority.issue(host, key=key, digest="sha1")[0], key, CERTIFICATE, "cannot be served"),
        "no key": (good, "nonsense", KEY, "must hold a private key"),
        "encrypted key": (good, encrypted, KEY, "is encrypted"),
        "encrypted in the old way": (good, traditional, KEY, "is encrypted"),
        "key of another": (good, other_key, KEY, "does not belong"),
        "a forged key": (good, f"-----BEGIN {PRIVATE}-----\n{forged}-----END {PRIVATE}-----\n", KEY, ""),
        "two keys": (good, key + other_key, KEY, "more than one"),
        "a public key": (good, openssl("pkey", "-pubout", input=key.encode()).decode(), KEY, "something else"),
        "too long a key": (good, key + "x" * 17000, KEY, "at most 16384"),
        "too long a certificate": (good + "x" * 66000, key, CERTIFICATE, "at most 65536"),
    }
    for kind in ("rsa1024", "p224", "k256", "ed448"):
        own = authority.make_key(kind)
        made[kind] = (authority.issue(host, key=own)[0], own, CERTIFICATE, "")
    not_authority = authority.sign("/CN=Test Intermediate", authority.key, authority.root, authority.root_key, "basicConstraints=CA:FALSE")
    made["signed by none"] = (leaf + not_authority, key, CERTIFICATE, "")
    return made


def test_every_fault_of_a_certificate_is_told(stack, cases):
    for name, (certificate, key, pointer, words) in cases.items():
        answer = put(stack, "bad.example.org", (certificate, key), status=422)
        told = faults(answer)
        assert pointer in told and words in told[pointer], (name, told)
        assert PRIVATE not in answer.text, name
    assert call(stack, "GET", "/v1/domains/bad.example.org").status == 404
    for tls, pointers in (({"certificatePem": "x"}, [KEY]), ({"privateKeyPem": "x"}, [CERTIFICATE]), ({}, ["/tls"]), ({"pem": "x"}, ["/tls/pem"]),
                          ("x", ["/tls"]), ({"certificatePem": 1, "privateKeyPem": ""}, [CERTIFICATE, KEY]),
                          ({"certificatePem": "x", "privateKeyPem": "y"}, [CERTIFICATE, KEY])):
        assert sorted(faults(put(stack, "bad.example.org", tls, status=422))) == pointers
    answer = call(stack, "PUT", "/v1/domains/bad.example.org", {"paths": [{"app": "nobody"}], "tls": {"certificatePem": "x", "privateKeyPem": "y"}})
    assert sorted(faults(answer)) == ["/paths/0/app", CERTIFICATE, KEY], "all at once"


@pytest.mark.parametrize("kind, told", [("ec", "EC P-256"), ("p384", "EC P-384"), ("p521", "EC P-521"), ("rsa", "RSA 2048"), ("rsa3072", "RSA 3072"),
                                        ("ed25519", "Ed25519")])
def test_all_kinds_of_keys_are_served(stack, authority, kind, told):
    tls = authority.issue(f"{kind}.example.org", kind=kind)
    if kind == "ec":  # as openssl ecparam writes them, and with the root
        tls = (tls[0] + authority.root, openssl("ecparam", "-name", "prime256v1").decode() + openssl("ec", input=tls[1].encode()).decode())
    assert put(stack, f"{kind}.example.org", tls).json()["tls"]["keyType"] == told
    until_shown(stack, f"{kind}.example.org", tls)
    assert curl(stack, authority, f"{kind}.example.org")[0] == 0


@pytest.mark.threads
def test_a_domains_certificate_is_replaced_while_it_is_used(stack, authority):
    host, given, seen, failed, stop = "live.example.org", [], [], [], threading.Event()
    chosen = [authority.issue(host, days=30 - n) for n in range(8)]  # each ends before the one it replaces
    put(stack, host, chosen[0])
    until_shown(stack, host, chosen[0])

    def use():
        while not stop.is_set():
            try:
                begun = time.monotonic()
                seen.append((begun, shown(stack, host)))
                code, text, problem = curl(stack, authority, host)
                if code or not text.startswith("https "):
                    failed.append((code, text, problem))
            except Exception as problem:
                failed.append(repr(problem))
    threads = [threading.Thread(target=use) for _ in range(2)]
    for thread in threads:
        thread.start()
    for tls in chosen[1:]:
        put(stack, host, tls, status=200)
        given.append(time.monotonic())
        time.sleep(0.3)
    until_shown(stack, host, chosen[-1])
    stop.set()
    for thread in threads:
        thread.join(30)
    assert not failed and len(seen) > 8, failed[:3]
    order = [leaf_print(tls[0]) for tls in chosen]
    late = [begun - given[order.index(one)] for begun, one in seen if order.index(one) < len(given)]
    assert max(late) < 2 * float(os.environ.get("TEST_PATIENCE", "1")), "the new one comes within two seconds"


def test_of_many_that_replace_a_certificate_at_once_one_is_left_whole(stack, authority):
    host, chosen, answers = "race.example.org", [authority.issue("race.example.org") for _ in range(4)], []
    put(stack, host, chosen[0])
    threads = [threading.Thread(target=lambda tls=tls: answers.extend(put(stack, host, tls).status for _ in range(5))) for tls in [*chosen, None]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == [200] * 25
    put(stack, host, chosen[1])
    until_shown(stack, host, chosen[1])
    for n in range(3):  # looks at the folder come and go
        time.sleep(0.9)
        assert f"{leaf_print(chosen[1][0])}.pem" in files(stack)
    harness.wait_for(lambda: not [tls for tls in chosen if tls is not chosen[1] and f"{leaf_print(tls[0])}.pem" in files(stack)], 25,
                     "the others go")


def test_a_lost_folder_is_made_again_and_a_lost_key_is_told(authority):
    with Stack(proxyd={"PROXYD_TLS_LISTEN": "127.0.0.1:0"}) as stack:
        stack.deploy("shop", HELLO)
        tls, other = authority.issue("lost.example.org"), authority.issue("other.example.org")
        put(stack, "lost.example.org", tls)
        put(stack, "other.example.org", other)
        until_shown(stack, "lost.example.org", tls)
        folder = stack.data / "secrets" / "tls"
        (folder / "own.pem").write_text("the operator's")
        (folder / f".{'a' * 64}.pem.abcdef").write_text("written in part")
        (folder / f"{'b' * 64}.pem").write_text("nobody names it")
        (folder / f"{leaf_print(other[0])}.pem").write_text("damaged")
        stack.managerd.kill9()
        stack.managerd.start()
        stack.managerd.wait_ready()
        assert files(stack) == sorted([f"{leaf_print(one[0])}.pem" for one in (tls, other)] + ["own.pem", f"{'b' * 64}.pem"])
        harness.wait_for(lambda: f"{'b' * 64}.pem" not in files(stack), 25, "what nobody names goes")
        assert "own.pem" in files(stack)
        stack.managerd.stop()
        shutil.rmtree(stack.data / "secrets")
        assert shown(stack, "lost.example.org") == leaf_print(tls[0]), "proxyd goes on"
        stack.managerd.start()
        stack.managerd.wait_ready()
        assert files(stack) == sorted(f"{leaf_print(one[0])}.pem" for one in (tls, other))
        until_shown(stack, "other.example.org", other)
        stack.managerd.stop()
        (stack.data / "keys" / "environment.key").write_text("0" * 64 + "\n")
        (folder / f"{leaf_print(tls[0])}.pem").unlink()
        stack.managerd.start()
        stack.managerd.wait_ready()
        checks = {check["name"]: check for check in stack.managerd.request("GET", "/readyz").json()["checks"]}
        assert checks["certificates"] == {"name": "certificates", "ok": False,
                                          "detail": "lost.example.org: the certificate is lost. Give it again with PUT."}
        assert files(stack) == [f"{leaf_print(other[0])}.pem"], "what cannot be decrypted is not thrown away"
        put(stack, "lost.example.org", tls)
        until_shown(stack, "lost.example.org", tls)
        harness.wait_for(lambda: all(check["ok"] for check in stack.managerd.request("GET", "/readyz").json()["checks"]), 15, "all is well again")


def test_a_folder_that_cannot_be_written_changes_nothing(stack, authority):
    first, second = authority.issue("full.example.org"), authority.issue("full.example.org")
    put(stack, "full.example.org", first)
    until_shown(stack, "full.example.org", first)
    folder = stack.data / "secrets" / "tls"
    folder.rename(folder.parent / "away")
    try:
        answer = put(stack, "full.example.org", second, status=500)
        assert answer.json()["type"] == "/problems/storage-failed"
        assert call(stack, "GET", "/v1/domains/full.example.org").json()["tls"]["fingerprint"] == leaf_print(first[0])
    finally:
        (folder.parent / "away").rename(folder)
    put(stack, "full.example.org", second)
    until_shown(stack, "full.example.org", second)


def test_a_kill_at_any_moment_leaves_domain_and_file_agreed(authority):
    with Stack(proxyd={"PROXYD_TLS_LISTEN": "127.0.0.1:0"}) as stack:
        stack.deploy("shop", HELLO)
        chosen = [authority.issue("crash.example.org") for _ in range(4)]
        put(stack, "crash.example.org", chosen[0])
        prints = [leaf_print(tls[0]) for tls in chosen]
        for n in range(6):
            def change():
                try:
                    for tls in chosen * 50:
                        put(stack, "crash.example.org", tls)
                except (OSError, AssertionError, harness.http.client.HTTPException):
                    pass
            thread = threading.Thread(target=change)
            thread.start()
            time.sleep(0.02 + n * 0.017)
            stack.managerd.kill9()
            thread.join(30)
            stack.managerd.start()
            stack.managerd.wait_ready()
            now = call(stack, "GET", "/v1/domains/crash.example.org").json()["tls"]["fingerprint"]
            assert now in prints
            path = stack.data / "secrets" / "tls" / f"{now}.pem"
            assert now == leaf_print(path.read_text())
            assert openssl("pkey", "-in", path, "-pubout") == openssl("x509", "-in", path, "-noout", "-pubkey")
            assert not [name for name in files(stack) if name.startswith(".")]
            until_shown(stack, "crash.example.org", chosen[prints.index(now)])
        harness.wait_for(lambda: files(stack) == [f"{now}.pem"], 25, "the others go")
