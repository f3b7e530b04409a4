"""State and routes whose files are damaged in any way: refused in a sentence, or all there; what is whole can be saved."""
import os
import random
import shutil
import struct
import time

import pytest

from harness import Stack, wait_for
from store_scene import PAGE, SOURCE, command, copy, filled, refused, there  # noqa: F401 (fixtures)


def damage(path, chance):
    """One damage at a place that is in use: a page of zeros or of others' bytes, some bytes, a bit."""
    data = bytearray(path.read_bytes())
    pages = max(number for number in range(len(data) // PAGE) if any(data[number * PAGE:(number + 1) * PAGE])) + 1
    page, kind = chance.randrange(pages), chance.randrange(6)
    at = page * PAGE + (chance.randrange(200) if chance.random() < 0.5 else chance.randrange(PAGE))
    if kind == 0:
        data[page * PAGE:(page + 1) * PAGE] = bytes(PAGE)
    elif kind == 1:
        other = chance.randrange(pages)
        data[page * PAGE:(page + 1) * PAGE] = data[other * PAGE:(other + 1) * PAGE]
    elif kind == 2:
        data[at:at + 8] = os.urandom(8)
    elif kind == 3:
        data[at:at + 100] = bytes(len(data[at:at + 100]))
    elif kind == 4:
        data[at] ^= 1 << chance.randrange(8)
    else:
        data = data[:page * PAGE + chance.randrange(PAGE)]
    path.write_bytes(data)
    return f"kind {kind}, page {page}, byte {at}"


def look_at_damages(copy, filled, count, seed):
    """Each damage is refused with a sentence, or harms nothing: then everything is there, as it was."""
    chance, refusals, starts = random.Random(seed), 0, 0
    whole = (filled[0] / "state" / "data.mdb").read_bytes()
    target = copy.data / "state" / "data.mdb"
    for _ in range(count):
        target.write_bytes(whole)
        what = damage(target, chance)
        done = command(copy, "--verify", target.parent, expect=None)
        assert done.returncode in (0, 1), (what, done)
        if done.returncode == 1:
            refusals += 1
            assert "is damaged (" in done.stderr or "holds no state" in done.stderr, (what, done)
            if refusals % 8 == 1:
                damaged = target.read_bytes()
                if damaged:
                    refused(copy, "is damaged (", "restore a backup")
                    assert target.read_bytes() == damaged, "what is damaged is not touched"
        else:
            starts += 1
            copy.start()
            assert there(copy) == copy.kept, what
            assert copy.request("GET", "/v1/audit/verification").json()["whole"] is True, what
            assert copy.request("PUT", "/v1/apps/after", {}).status == 201
            copy.stop()
    return refusals, starts


def test_damaged_state_is_refused_or_is_all_there(copy, filled):
    refusals, starts = look_at_damages(copy, filled, 25, seed=7)
    assert refusals >= 8 and starts >= 1, (refusals, starts)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(4))
def test_much_damaged_state_is_refused_or_is_all_there(copy, filled, seed):
    look_at_damages(copy, filled, 150, seed)


def test_an_end_that_held_nothing_is_put_back(copy):
    """Free pages at the end may be missing: a full disk, a copy that cut them."""
    said = command(copy, "--verify", copy.data / "state").stdout
    target = copy.data / "state" / "data.mdb"
    whole = target.read_bytes()
    last = struct.unpack_from("<Q", whole, 16 + 120)[0]
    cut = 0
    for pages in range(last, last - 3, -1):
        target.write_bytes(whole[:pages * PAGE])
        done = command(copy, "--verify", target.parent, expect=None)
        if done.returncode:
            break
        cut += 1
        assert done.stdout == said
        with copy:
            assert there(copy) == copy.kept
    target.write_bytes(whole[:2 * PAGE])
    refused(copy, "is damaged (")
    assert cut, "the last pages are free"


def test_pages_of_zeros_are_refused_or_harm_nothing(copy, filled):
    target = copy.data / "state" / "data.mdb"
    whole = target.read_bytes()
    pages = max(number for number in range(len(whole) // PAGE) if any(whole[number * PAGE:(number + 1) * PAGE])) + 1
    verdicts = []
    for page in sorted({*range(20), *range(20, pages, 4)}):
        target.write_bytes(whole[:page * PAGE] + bytes(PAGE) + whole[(page + 1) * PAGE:])
        done = command(copy, "--verify", target.parent, expect=None)
        verdicts.append(done.returncode)
        assert done.returncode in (0, 1) and (done.returncode == 0 or "is damaged (" in done.stderr), (page, done)
    assert verdicts[0] == verdicts[1] == 1 and verdicts.count(1) > 3


def test_a_changed_byte_within_a_value_is_found(copy):
    """JSON that still reads, with another number in it: only the sum can tell."""
    target = copy.data / "state" / "data.mdb"
    data = target.read_bytes()
    at = data.index(b'"memoryMb":128')
    assert data.count(b'"memoryMb":128') > 10
    target.write_bytes(data.replace(b'"memoryMb":128', b'"memoryMb":129'))
    said = refused(copy, "is damaged (what \"", "holds is not what was written")
    assert "--rescue" in said and at


def test_what_is_whole_of_a_damaged_state_can_be_saved(copy, tmp_path):
    target = copy.data / "state" / "data.mdb"
    data = bytearray(target.read_bytes())
    broken = set()
    for name in list(copy.kept)[::7]:
        at, found = 0, False
        while (at := data.find(f'{{"name":"{name}"'.encode(), at)) >= 0:
            data[at + 3] ^= 0x20
            at, found = at + 1, True
        if found:
            broken.add(name)
    target.write_bytes(data)
    assert len(broken) >= 3
    refused(copy, "is damaged (")
    said = command(copy, "--rescue", tmp_path / "saved").stdout
    assert "holds what was whole" in said and "something was lost" in said
    assert target.read_bytes() == bytes(data)
    assert "holds a data.mdb already" in command(copy, "--rescue", tmp_path / "saved", expect=1).stderr
    assert "is whole" in command(copy, "--verify", tmp_path / "saved").stdout
    os.rename(copy.data / "state", copy.data / "state.damaged")
    shutil.copytree(tmp_path / "saved", copy.data / "state")
    with copy:
        assert there(copy) == {name: text for name, text in copy.kept.items() if name not in broken}
        assert copy.request("PUT", "/v1/apps/after", {}).status == 201


def test_a_damaged_route_store_is_made_anew(tmp_path):
    with Stack() as stack:
        stack.deploy("hello", {"index.js": SOURCE.format("hi")})
        assert stack.app("hello").text == "hi"
        for turn, spoil in enumerate((None, lambda d: d[:2 * PAGE] + os.urandom(len(d) - 2 * PAGE), lambda d: d[:5000])):
            stack.managerd.stop()
            routes = stack.managerd.data / "routes" / "data.mdb"
            # As a copy: proxyd goes on with the file that it has open, which is the point of a new one.
            new = routes.with_name("new")
            if spoil:
                new.write_bytes(spoil(routes.read_bytes()))
                shutil.copymode(routes, new)
                os.rename(new, routes)
            else:
                routes.unlink()
            time.sleep(1.2)  # proxyd looks each second: what it finds is no reason to stop serving
            assert stack.app("hello").text == "hi"
            stack.managerd.start()
            assert bool(stack.managerd.events("routes-damaged")) == bool(spoil), turn
            wait_for(lambda: stack.app("hello").status == 200 and stack.app("hello").text == "hi", 10, "the app is served again")
            assert stack.managerd.request("POST", "/v1/apps/hello/deactivate").status == 200
            wait_for(lambda: stack.app("hello").status == 404, 5, "changes arrive")
            assert stack.managerd.request("POST", "/v1/apps/hello/activate").status == 200
            wait_for(lambda: stack.app("hello").status == 200, 5, "changes arrive")
