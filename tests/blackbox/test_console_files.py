"""The console's files as managerd serves them: types, caching, compression, the policy, and what they may weigh."""
import gzip
import re
import subprocess

import pytest

from harness import TOP, request

MOST_BYTES = 150 * 1024  # all files together, as they are read by people


@pytest.fixture(scope="module")
def managerd():
    from conftest import scene
    from harness import LambdaLocal, Managerd
    for aws in scene(LambdaLocal):
        yield from scene(lambda: Managerd(aws=aws))


def page(managerd, **more):
    return request(managerd.url + "/", **more)


def files_of(managerd):
    """Every file that the page names, with those that their modules import."""
    found = sorted(set(re.findall(r'(?:href|src)="(/console/[^"]+)"', page(managerd).text)))
    assert len(found) > 20 and any(name.endswith("/main.js") for name in found), found
    return found


def test_the_page_is_served_at_the_root_and_asks_each_time_whether_it_is_still_the_same(managerd):
    answer = page(managerd)
    assert (answer.status, answer.header("Content-Type")) == (200, "text/html; charset=utf-8")
    assert answer.header("Cache-Control") == "no-cache"
    again = page(managerd, headers={"If-None-Match": answer.header("ETag")})
    assert (again.status, again.body, again.header("ETag")) == (304, b"", answer.header("ETag"))
    assert page(managerd, headers={"If-None-Match": '"another"'}).status == 200
    head = page(managerd, method="HEAD")
    assert (head.status, head.body, head.header("Content-Length")) == (200, b"", str(len(answer.body)))
    assert page(managerd, method="POST").status == 405


def test_its_files_may_be_kept_for_ever_and_come_compressed_when_asked_for(managerd):
    types = {"js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8", "svg": "image/svg+xml"}
    for path in files_of(managerd):
        plain = request(managerd.url + path)
        assert (plain.status, plain.header("Content-Type")) == (200, types[path.rsplit(".", 1)[1]]), path
        assert "immutable" in plain.header("Cache-Control") and plain.header("Content-Encoding") is None
        packed = request(managerd.url + path, headers={"Accept-Encoding": "br;q=1, gzip"})
        assert (packed.header("Content-Encoding"), packed.header("Vary")) == ("gzip", "Accept-Encoding")
        assert gzip.decompress(packed.body) == plain.body
        assert packed.header("ETag") != plain.header("ETag"), "two representations have one validator"
        assert request(managerd.url + path, headers={"If-None-Match": f'W/{plain.header("ETag")}, "x"'}).status == 304


def test_files_of_another_release_and_unknown_ones_are_not_there(managerd):
    base = files_of(managerd)[0].rsplit("/", 1)[0]
    for path in ("/console/0123456789abcdef/main.js", f"{base}/index.html", f"{base}/none.js", f"{base}/", "/console", f"{base}/..%2fmain.js"):
        assert request(managerd.url + path).status == 404, path


def test_every_answer_of_the_console_carries_a_strict_policy(managerd):
    for path in ["/", *files_of(managerd)]:
        answer = request(managerd.url + path)
        policy = dict(part.strip().partition(" ")[::2] for part in answer.header("Content-Security-Policy").split(";"))
        assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == policy["frame-ancestors"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == policy["img-src"] == "'self'"
        assert policy["require-trusted-types-for"] == "'script'"
        assert answer.header("X-Content-Type-Options") == "nosniff" and answer.header("Referrer-Policy") == "no-referrer"


def test_nothing_comes_from_elsewhere_and_nothing_is_written_as_markup(managerd):
    texts = {path: request(managerd.url + path).text for path in ["/", *files_of(managerd)]}
    for path, text in texts.items():
        foreign = [url for url in re.findall(r"""["'(](?:https?:)?//[^"')\s]+""", text) if "www.w3.org" not in url]
        assert not foreign, (path, foreign)
        assert not re.search(r"\b(innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function)", text), path
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\son\w+=|\sstyle=", texts["/"])
    imported = {name for text in texts.values() for name in re.findall(r"from '\./([^']+)'", text)}
    assert imported <= {path.rsplit("/", 1)[-1] for path in texts}, "a module is not preloaded"


def test_every_module_can_be_read_and_every_import_is_there_and_used(managerd):
    script = """const fs = require('fs'), vm = require('vm');
        for (const name of process.argv.slice(1)) new vm.SourceTextModule(fs.readFileSync(name, 'utf8'), {identifier: name});"""
    modules = sorted(map(str, (TOP / "managerd" / "console").glob("*.js")))
    done = subprocess.run(["node", "--experimental-vm-modules", "-e", script, *modules], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    texts = {path.rsplit("/", 1)[-1]: request(managerd.url + path).text for path in files_of(managerd)}
    for path, text in texts.items():
        for names, module in re.findall(r"import \{([^}]*)\} from '\./([^']+)'", text):
            for name in filter(None, map(str.strip, names.split(","))):
                assert re.search(rf"export (async )?(function\*?|const|let|class) {name}\b", texts[module]), f"{path}: {name} is not in {module}"
                assert len(re.findall(rf"\b{name}\b", text)) > 1, f"{path}: {name} is imported in vain"


def test_all_of_it_together_is_small(managerd):
    sizes = {path: len(request(managerd.url + path).body) for path in ["/", *files_of(managerd)]}
    packed = sum(len(request(managerd.url + path, headers={"Accept-Encoding": "gzip"}).body) for path in sizes)
    print(f"{len(sizes)} files, {sum(sizes.values())} bytes, {packed} compressed")
    assert sum(sizes.values()) <= MOST_BYTES, sizes
    assert packed <= MOST_BYTES * 0.4


def test_a_link_on_another_site_may_lead_to_the_console_but_no_other_site_drives_the_api(managerd):
    foreign = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}
    assert page(managerd, headers=foreign).status == 200
    assert request(managerd.url + "/v1/apps", headers=foreign).status == 403
    assert page(managerd, headers={"Origin": "https://elsewhere.example"}).status == 403
    assert page(managerd, host="console.example.com").status == 403


def test_whoever_calls_is_told_who_that_is(managerd):
    me = managerd.request("GET", "/v1/me").json()
    assert me == {"id": "local", "name": None, "role": "admin", "apps": None, "expiresAt": None}
