"""managerd is killed at each write of a start: the very first, one after a crash, one that seals everything anew; the next start makes it whole."""
import os
import random
import secrets

import pytest

import stored
from crash_point import MANNERS, CrashPoints
from harness import Managerd, request, scratch, wait_for
from kill_scene import KillScene, package
from secure_proxy import make_certificate

SEED = int(os.environ.get("KILL_SEED", "1"))
AWS = {"AWS_ENDPOINT_URL_LAMBDA": "http://127.0.0.1:9", "AWS_REGION": "us-east-1", "AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x"}
APPS = 30


def start_to_be_killed(managerd, points, number, manner):
    """False when it was ready before it came to that."""
    points.arm(number, manner)
    managerd.launch()
    wait_for(lambda: not managerd.running or managerd.events("ready"), 20, "it is ready, or dead")
    if managerd.running:
        wait_for(lambda: not managerd.running or request(managerd_url(managerd) + "/readyz").status == 200, 20, "all is ready, or it is dead")
    died = not managerd.running
    if not died:
        managerd.signal(9)
    managerd.exit_code = managerd.process.wait(10)
    assert managerd.exit_code == -9, managerd.log_tail()
    points.disarm()
    return died


def goes_on_until_killed(scene, number, manner):
    """False when all was done before it came to that."""
    scene.points.arm(number, manner)
    scene.managerd.launch()
    wait_for(lambda: not scene.managerd.running or scene.managerd.events("ready"), 20, "it is ready, or dead")
    if scene.managerd.running and scene.settled():
        scene.points.disarm()
        return False
    scene.managerd.exit_code = scene.managerd.process.wait(10)
    assert scene.managerd.exit_code == -9, scene.managerd.log_tail()
    return True


def managerd_url(managerd):
    return "http://" + managerd.events("ready")[0]["listen"]


def each_point(kill, count):
    """All points in the long tier, some by chance in the quick one; gives how many came to pass."""
    if os.environ.get("TEST_LONG"):
        return sum(all_points(kill, manner) for manner in MANNERS)
    print(f"KILL_SEED={SEED}")
    chance = random.Random(SEED)
    return sum(kill(chance.randrange(1, count), chance.choice(MANNERS)) for _ in range(4))


def all_points(kill, manner):
    number = 1
    while kill(number, manner):
        number += 1
        assert number < 500
    return number - 1


def test_killed_at_any_write_of_the_first_start_the_second_is_the_first():
    def kill(number, manner):
        folder = scratch("first.")
        points = CrashPoints(folder)
        managerd = Managerd(folder, aws=AWS, options={**points.variables(), "MANAGERD_TOKEN": "boss-of-this-test"})
        died = start_to_be_killed(managerd, points, number, manner)
        managerd.start()
        managerd.wait_ready()
        assert managerd.request("PUT", "/v1/apps/first/environment", {"variables": {}}).status == 404
        assert managerd.request("PUT", "/v1/apps/first", {}).status == 201
        assert managerd.request("PUT", "/v1/apps/first/environment", {"variables": {"AA": "x"}}).status in (200, 201)
        assert managerd.request("GET", "/v1/audit/verification").json()["whole"]
        installation = managerd.request("GET", "/v1/system").json()["installation"]
        managerd.restart()
        assert managerd.request("GET", "/v1/system").json()["installation"] == installation
        assert managerd.request("GET", "/v1/apps/first/environment").json()["names"] == ["AA"]
        left = [str(path) for path in managerd.data.rglob(".*.??????")]
        managerd.stop()
        assert not left, f"{manner} {number} ({points.what}): files that were being written are left behind: {left}"
        return died
    assert each_point(kill, 12) >= 2


@pytest.mark.parametrize("manner", MANNERS)
def test_killed_while_it_goes_on_after_a_crash_it_goes_on_again(manner):
    """Three deployments under way, the routes gone: each start is killed at a later write than the one before, until all is done."""
    with KillScene(lambda_local={"LAMBDA_LOCAL_READY_DELAY_MS": 100}) as scene:
        apps = [f"app{n}" for n in range(3)]
        for app in apps:
            scene.deployed(app, "one")
        for app in apps:
            scene.upload(app, "two")
        scene.managerd.signal(9)
        scene.managerd.process.wait(10)
        kills, number, step = 0, 1, 1 if os.environ.get("TEST_LONG") else 5
        scene.managerd.exit_code = -9
        while goes_on_until_killed(scene, number, manner):
            kills, number = kills + 1, number + step
        records = scene.settle()
        for app in apps:
            assert scene.proxyd.app(app).text == "two"
        assert stored.find_faults(scene, records) == [] and kills >= 3


def test_killed_at_any_write_while_everything_is_sealed_anew_nothing_is_lost():
    folder = scratch("sealed.")
    points, key_file = CrashPoints(folder), folder / "keys.txt"
    keys = [secrets.token_hex(32)]
    key_file.write_text(keys[0] + "\n")
    options = {**points.variables(), "MANAGERD_TOKEN": "boss-of-this-test", "MANAGERD_SECRET_KEY_FILE": key_file}
    managerd = Managerd(folder / "managerd", aws=AWS, options=options).start()
    for number in range(APPS):
        assert managerd.request("PUT", f"/v1/apps/app{number}", {}).status == 201
        assert managerd.request("PUT", f"/v1/apps/app{number}/environment", {"variables": {"AA": f"value {number}"}}).status in (200, 201)
    text = make_certificate(folder / "pair.pem", "shop.example.com").read_text()
    at = text.index("-----BEGIN PRIV")
    pair = {"certificatePem": text[:at], "privateKeyPem": text[at:]}
    assert managerd.request("PUT", "/v1/domains/shop.example.com", {"paths": [{"app": "app1"}], "tls": pair}).status == 201
    managerd.stop()

    def kill(number, manner):
        """Another key each time; that the one before opens all there is shows in the next round."""
        keys.insert(0, secrets.token_hex(32))
        key_file.write_text("".join(key + "\n" for key in keys[:2]))
        managerd.exit_code = 0
        died = start_to_be_killed(managerd, points, number, manner)
        first = managerd.events("secrets-resealed")
        managerd.start()
        told = (managerd.events("secrets-resealed") or first)[-1]
        assert told["unreadable"] == 0, (number, manner, told)
        assert managerd.request("GET", "/v1/apps/app7/environment").json()["names"] == ["AA"]
        assert managerd.request("GET", "/v1/domains/shop.example.com").json()["tls"] is not None
        managerd.stop()
        return died
    assert each_point(kill, 10) >= 2


def test_a_crash_forgets_no_package_of_a_deployment_that_was_accepted():
    """What is stored and named is there; what was stored and not named goes at the next start, and so does what was half stored."""
    with KillScene() as scene:
        scene.deployed("packed", "one")
        for number in range(1, 9):
            scene.points.arm(number, MANNERS[number % 3])
            try:
                scene.managerd.request("POST", "/v1/apps/packed/deployments?traffic=none", package(f"text {number}", "packed"),
                                       {"Content-Type": "application/zip"})
            except Exception as problem:  # it dies while it answers
                assert type(problem).__module__ in ("http.client", "builtins"), problem
            wait_for(lambda: not scene.managerd.running, 20, "it is dead")
            scene.start_again()
            records = scene.settle()
            assert stored.find_faults(scene, records) == []
            named = {value["package"]["sha256"] + ".zip" for key, (_, value) in records.items() if key.startswith("versions/")}
            assert named == {path.name for path in (scene.data / "packages").iterdir()}, scene.points.what
