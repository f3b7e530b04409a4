"""managerd whose stores are full, unreadable, cut, in others' use or of another release: one clear sentence, and nothing acknowledged is lost."""
import fcntl
import hashlib
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path

import pytest

from harness import Managerd, Stack, binary, make_zip, request, scratch, wait_for
from store_scene import AWS, PAGE, SOURCE, command, copy, fill, filled, refused, there  # noqa: F401 (fixtures)


# -- backup, check, restore -------------------------------------------------------------------------------------------


def test_backups_under_writes_are_whole_and_hold_all_that_was_acknowledged(tmp_path):
    daemon, written = Managerd(aws=AWS), 0
    with daemon:
        for turn in range(5):
            for _ in range(10):
                assert daemon.request("PUT", f"/v1/apps/app-{written}", {"description": f"number {written}"}).status == 201
                written += 1
            environment = daemon.environment()
            copying = subprocess.Popen([str(binary("managerd")), "--backup", str(tmp_path / f"backup-{turn}")], env=environment,
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            before, deadline = written, time.monotonic() + 60
            while copying.poll() is None and time.monotonic() < deadline:
                assert daemon.request("PUT", f"/v1/apps/app-{written}", {"description": f"number {written}"}).status == 201
                written += 1
            said, faults = copying.communicate(timeout=10)
            assert copying.returncode == 0 and "is a whole backup: " in said and faults == "", (said, faults)
            assert (tmp_path / f"backup-{turn}").stat().st_mode & 0o777 == 0o700
            assert (tmp_path / f"backup-{turn}" / "data.mdb").stat().st_mode & 0o777 == 0o600
            assert "is whole: " in command(daemon, "--verify", tmp_path / f"backup-{turn}").stdout
            restored = Managerd(aws=AWS)
            (restored.data / "state").mkdir(parents=True, mode=0o700)
            shutil.copy(tmp_path / f"backup-{turn}" / "data.mdb", restored.data / "state" / "data.mdb")
            with restored:
                found = there(restored)
                assert before <= len(found) <= written
                assert all(found[f"app-{n}"] == f"number {n}" for n in range(before))
                assert restored.request("GET", "/v1/audit/verification").json()["whole"] is True
                assert restored.request("PUT", "/v1/apps/after", {}).status == 201
        # A backup overwrites nothing.
        faults = command(daemon, "--backup", tmp_path / "backup-0", expect=1).stderr
        assert "cannot be made: File exists" in faults and "is whole" in command(daemon, "--verify", tmp_path / "backup-0").stdout
        assert there(daemon) == {f"app-{n}": f"number {n}" for n in range(written)}


def test_what_cannot_be_backed_up_or_checked_is_told(copy, tmp_path):
    for arguments, said in [(("--backup", "/proc/nowhere"), "cannot be made"), (("--verify", tmp_path), "holds no state"), (("--verify", "/nonexistent"), "holds no state")]:
        assert said in command(copy, *arguments, expect=1).stderr
    assert "only one at a time" in command(copy, "--backup", "/a", "--verify", "/b", expect=2).stderr
    shutil.rmtree(copy.data / "state")
    assert "state/data.mdb cannot be read" in command(copy, "--backup", tmp_path / "none", expect=1).stderr
    assert not (tmp_path / "none" / "data.mdb").exists()


# -- of another release, of others --------------------------------------------------------------------------------------


def test_state_of_a_newer_layout_is_refused_and_left_alone(copy):
    target = copy.data / "state" / "data.mdb"
    data, found = bytearray(target.read_bytes()), 0
    at = -1
    while (at := data.find(b"revision", at + 1)) >= 0:
        value = at + len(b"revision")
        if data[value + 8:value + 10] == b"1\0":
            data[value + 8:value + 9] = b"2"
            data[value + 10:value + 18] = hashlib.sha256(b"revision\0" + data[value:value + 10]).digest()[:8]
            found += 1
    assert found
    target.write_bytes(data)
    refused(copy, "was written by a newer managerd (layout 2", "a backup from before")
    assert target.read_bytes() == bytes(data)


def test_two_managers_do_not_share_a_folder(copy):
    with copy:
        second = Managerd(data=copy.data, aws=AWS)
        refused(second, "another managerd is using")
        assert there(copy) == copy.kept


def test_a_lock_file_of_another_kind_is_made_anew_or_told(copy):
    lock = copy.data / "state" / "lock.mdb"
    for content in (b"", b"garbage" * 2000, bytes(8192)):
        lock.write_bytes(content)
        with copy:
            assert there(copy) == copy.kept
    # One that another process uses, by another version of LMDB, is not ours to change.
    raw = bytearray(lock.read_bytes())
    raw[4:8] = struct.pack("<I", 0x7fffffff)
    lock.write_bytes(raw)
    with open(lock, "r+b") as held:
        fcntl.lockf(held, fcntl.LOCK_SH, 1, 0)
        refused(copy, "lock.mdb", "another version of LMDB")
    with copy:
        assert there(copy) == copy.kept


def test_things_in_the_way_are_named(copy):
    state = copy.data / "state"
    (state / "owner.lock").unlink()
    (state / "owner.lock").mkdir()
    refused(copy, "owner.lock cannot be opened")
    (state / "owner.lock").rmdir()
    os.rename(state / "data.mdb", state / "kept")
    (state / "data.mdb").mkdir()
    refused(copy, "state/data.mdb is no file")
    (state / "data.mdb").rmdir()
    os.rename(state / "kept", state / "data.mdb")
    os.rename(copy.data / "packages", copy.data / "packages.kept")
    (copy.data / "packages").write_text("a file")
    refused(copy, "packages", "cannot be made")
    (copy.data / "packages").unlink()
    with copy:
        assert there(copy) == copy.kept


# -- rights ------------------------------------------------------------------------------------------------------------


def as_nobody(daemon):
    """Root reads whatever it likes: the daemon runs as somebody else, who owns the folder."""
    if os.geteuid() != 0:
        return
    if not shutil.which("setpriv"):
        pytest.skip("as root rights can only be taken away by setpriv")
    for top in (daemon.directory, daemon.data):
        for path in (top, *top.rglob("*")):
            os.chown(path, 65534, 65534)
    daemon.directory.chmod(0o755)
    daemon.wrapper = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"]


def test_what_may_not_be_read_or_written_is_named(copy):
    as_nobody(copy)
    state = copy.data / "state"
    for path, mode, parts in [(state / "data.mdb", 0o000, ("state/data.mdb cannot be read",)), (state / "data.mdb", 0o400, ("state",)),
                              (state / "owner.lock", 0o000, ("owner.lock cannot be opened",)), (copy.data / "keys" / "environment.key", 0o000, ("environment.key",))]:
        before = path.stat().st_mode & 0o7777
        path.chmod(mode)
        refused(copy, *parts)
        path.chmod(before)
    for folder in (copy.data,):
        before = folder.stat().st_mode & 0o7777
        folder.chmod(0o000)
        refused(copy, "data")
        folder.chmod(before)
    with copy:
        assert there(copy) == copy.kept


# -- full disks --------------------------------------------------------------------------------------------------------


class Disk:
    """A small disk of its own, in a mount namespace that a sleeping process holds."""

    def __init__(self, megabytes):
        self.folder = scratch("disk.")
        self.holder = subprocess.Popen(["unshare", "-m", "sh", "-c", f"mount -t tmpfs -o size={megabytes}m,mode=755 none '{self.folder}' && echo ready && exec sleep 600"],
                                       stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        if self.holder.stdout.readline().strip() != "ready":
            why = self.holder.stderr.read().strip().splitlines()[-1:]
            self.close()
            pytest.skip(f"no disk can be mounted in a namespace here: {why}")
        self.inside = Path(f"/proc/{self.holder.pid}/root{self.folder}")
        self.wrapper = ["nsenter", "-t", str(self.holder.pid), "-m", f"--wd={self.folder}", "--"]

    def run(self, *arguments):
        subprocess.run([*self.wrapper, *map(str, arguments)], check=True, timeout=20, capture_output=True)

    def fill(self):
        filler = os.open(self.inside / "filler", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        try:
            while os.write(filler, bytes(4096)):
                pass
        except OSError:
            pass
        finally:
            os.close(filler)

    def free(self):
        (self.inside / "filler").unlink()

    def close(self):
        self.holder.kill()
        self.holder.wait(10)
        self.holder.stdout.close()
        self.holder.stderr.close()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.close()


def test_a_full_disk_is_a_clear_error_that_loses_nothing_and_ends_with_room():
    with Disk(24) as disk:
        daemon = Managerd(data=disk.folder / "data", aws=AWS, wrapper=disk.wrapper)
        with daemon:
            kept = fill(daemon, 20)
            disk.fill()
            statuses, number = [], 100
            while 507 not in statuses and number < 600:
                answer = daemon.request("PUT", f"/v1/apps/app-{number}", {"description": "y" * 900})
                statuses.append(answer.status)
                if answer.status == 201:
                    kept[f"app-{number}"] = "y" * 900
                number += 1
            assert answer.status == 507 and answer.json()["type"] == "/problems/storage-full", answer.text
            assert there(daemon) == kept and request(daemon.url + "/readyz").status == 503 and request(daemon.url + "/healthz").status == 200
            # A package finds no place, and leaves none of it.
            answer = daemon.request("POST", "/v1/apps/app-1/deployments?runtime=nodejs20.x&handler=index.handler",
                                    body=make_zip({"index.js": SOURCE.format("x"), "ballast": os.urandom(1_000_000)}), headers={"Content-Type": "application/zip"})
            assert answer.status == 507, answer.text
            assert os.listdir(disk.inside / "data" / "packages") == []
            # A crash on the full disk, and a start on it: everything is there.
            daemon.kill9()
            daemon.start()
            assert there(daemon) == kept
            daemon.stop(expect=0)
            disk.free()
            daemon.start()
            wait_for(lambda: request(daemon.url + "/readyz").status == 200, 20, "it is ready when there is room")
            assert there(daemon) == kept
            disk.fill()
            wait_for(lambda: daemon.request("PUT", "/v1/apps/once-more", {"description": "z" * 900}).status == 507
                     or daemon.request("DELETE", "/v1/apps/once-more", headers={"Prefer": "wait=5"}).status == 0, 30, "it is full again")
            disk.free()
            wait_for(lambda: request(daemon.url + "/readyz").status == 200, 20, "it comes back by itself")
            assert daemon.request("PUT", "/v1/apps/after", {}).status == 201
            kept["after"] = ""
            found = there(daemon)
            found.pop("once-more", None)
            assert found == kept
        assert "Sanitizer" not in daemon.log_text(all_starts=True)


def test_a_first_start_on_a_full_or_read_only_disk_is_told():
    with Disk(1) as disk:
        (disk.inside / "data").mkdir()
        disk.fill()
        daemon = Managerd(data=disk.folder / "data", aws=AWS, wrapper=disk.wrapper)
        refused(daemon)
        disk.free()
        disk.run("mount", "-o", "remount,ro", disk.folder)
        refused(daemon)


def test_a_disk_that_turns_read_only_loses_nothing():
    with Disk(48) as disk:
        daemon = Managerd(data=disk.folder / "data", aws=AWS, wrapper=disk.wrapper)
        with daemon:
            kept = fill(daemon, 10)
        disk.run("mount", "-o", "remount,ro", disk.folder)
        refused(daemon)
        disk.run("mount", "-o", "remount,rw", disk.folder)
        with daemon:
            assert there(daemon) == kept


def test_a_file_at_its_limit_is_an_error_and_no_end():
    daemon = Managerd(aws=AWS)
    with daemon:
        kept = fill(daemon, 10)
        size = max(path.stat().st_size for path in (daemon.data / "state").iterdir())
        subprocess.run(["prlimit", f"--pid={daemon.daemon_pid()}", f"--fsize={(daemon.data / 'state' / 'data.mdb').stat().st_blocks * 512}"], check=True, timeout=10)
        number, status = 100, 201
        while status == 201 and number < 2500:
            status = daemon.request("PUT", f"/v1/apps/app-{number}", {"description": "y" * 900}).status
            if status == 201:
                kept[f"app-{number}"] = "y" * 900
            number += 1
        assert status == 507 and size, status
        assert there(daemon) == kept
        daemon.kill9()
        daemon.start()
        assert there(daemon) == kept
        assert daemon.request("PUT", "/v1/apps/after", {}).status == 201


# -- packages ------------------------------------------------------------------------------------------------------------


def test_a_package_that_is_gone_or_changed_is_never_deployed():
    with Stack() as stack:
        stack.deploy("shop", {"index.js": SOURCE.format("zero")})
        stored = next((stack.managerd.data / "packages").iterdir())
        stack.deploy("shop", {"index.js": SOURCE.format("one")})
        assert stack.app("shop").text == "one"
        good = stored.read_bytes()
        other = make_zip({"index.js": SOURCE.format("changed by somebody")})

        def again():
            return stack.managerd.request("POST", "/v1/apps/shop/deployments", {"package": {"version": 1}, "environment": {"NUMBER": str(time.monotonic())}}, headers={"Prefer": "wait=30"}, timeout=40)

        for content in (other, good[:-10], b"", None):
            stored.write_bytes(content) if content is not None else stored.unlink()
            answer = again()
            assert answer.status >= 400 and "package" in answer.json()["detail"], answer.text
            assert stack.app("shop").text == "one"
        # Handed in again, it is healed, also in place of a damaged file.
        stored.write_bytes(other)
        stack.deploy("shop", {"index.js": SOURCE.format("zero")})
        assert stored.read_bytes() == good and stack.app("shop").text == "zero"
        stack.deploy("shop", {"index.js": SOURCE.format("one")})
        assert again().status == 200 and stack.app("shop").text == "zero"


# -- while it runs ---------------------------------------------------------------------------------------------------------


def test_a_file_that_is_cut_under_it_ends_it_with_a_sentence(copy):
    copy.start()
    assert there(copy) == copy.kept
    os.truncate(copy.data / "state" / "data.mdb", 2 * PAGE)
    try:
        for _ in range(3):
            copy.request("GET", "/v1/apps")
            copy.request("PUT", "/v1/apps/more", {"description": "x" * 900})
    except OSError:
        pass
    copy.wait(expect=1, seconds=20)
    assert "was cut, or its disk failed" in copy.log_text() and "AddressSanitizer" not in copy.log_text()
    refused(copy, "is damaged (")
