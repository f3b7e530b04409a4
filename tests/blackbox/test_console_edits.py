"""What is changed by the console: tokens, settings, variables, domains; conflicts with others, faults, answers that are lost."""
import os

import pytest

import console_browser
import console_scene
from console_scene import TOKEN
from harness import Stack
from secure_proxy import Authority


@pytest.fixture(scope="module")
def stack():
    from conftest import scene
    console_browser.need_browser()
    for stack in scene(lambda: Stack(managerd={"MANAGERD_TOKEN": TOKEN})):
        stack.deploy("shop", console_scene.package("one"))
        stack.deploy("shop", console_scene.package("two"))
        stack.deploy("mail", console_scene.package("one"))
        stack.managerd.request("PATCH", "/v1/apps/shop/environment", {"variables": {"GREETING": "hello"}})
        stack.managerd.request("PUT", "/v1/domains/shop.example.com", {"paths": [{"prefix": "/", "app": "shop"}]})
        yield stack


@pytest.fixture(scope="module")
def chromium(stack):
    browser = console_browser.Browser(stack.managerd.url)
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium):
    chromium.size(1280, 900)
    yield chromium
    assert not chromium.complaints()


def test_a_new_tokens_secret_is_shown_once_and_copied(stack, browser):
    browser.sign_in(TOKEN, "/tokens")
    browser.settled("Tokens")
    browser.field("Name").send_keys("made here")
    browser.field("Apps").send_keys("shop, team-*")
    browser.press("Make the token")
    secret = browser.wait(lambda: browser.js("const one = document.querySelector('.secret'); return one && one.value"), "the secret")
    assert stack.managerd.request("GET", "/v1/me", headers={"Authorization": f"Bearer {secret}"}).json()["apps"] == ["shop", "team-*"]
    browser.cdp("Browser.grantPermissions", permissions=["clipboardReadWrite", "clipboardSanitizedWrite"], origin=stack.managerd.url)
    browser.press("Copy")
    browser.wait(lambda: browser.named("button", "Copied"), "it is copied")
    assert browser.driver.execute_async_script("navigator.clipboard.readText().then(arguments[0], (error) => arguments[0](String(error)))") == secret
    browser.press("I have it")
    browser.wait(lambda: not browser.one(".secret"), "it is gone")
    browser.wait(lambda: "made here" in browser.text("tbody"), "the token is listed")
    assert browser.traces(secret) == []
    browser.press("Revoke made here")
    browser.press("Revoke", "dialog button")
    browser.wait_text("made here is revoked")
    assert stack.managerd.request("GET", "/v1/me", headers={"Authorization": f"Bearer {secret}"}).status == 401


def test_whoever_is_slower_is_told_and_loses_nobodys_change(stack, browser):
    browser.sign_in(TOKEN, "/apps/shop/settings")
    browser.settled("Settings")
    assert stack.managerd.request("PATCH", "/v1/apps/shop", {"description": "by somebody else"}).status == 200
    field = browser.field("Description")
    field.clear()
    field.send_keys("by me")
    browser.press("Save settings")
    browser.wait_text("Somebody changed this meanwhile", ".problem")
    assert stack.managerd.request("GET", "/v1/apps/shop").json()["description"] == "by somebody else"
    browser.press("Load what is there now")
    browser.wait(lambda: browser.field("Description").get_attribute("value") == "by somebody else", "what is there now")
    field = browser.field("Description")
    field.clear()
    field.send_keys("by me")
    browser.press("Save settings")
    browser.wait_text("The settings are saved")
    assert stack.managerd.request("GET", "/v1/apps/shop").json()["description"] == "by me"
    browser.press("History", "nav.tabs a")
    browser.settled("History")
    browser.press("Undo what patchApp changed")
    browser.press("Undo it", "dialog button")
    browser.wait_text("It is taken back")
    assert stack.managerd.request("GET", "/v1/apps/shop").json()["description"] == "by somebody else"


def test_each_fault_stands_at_its_field(stack, browser):
    browser.sign_in(TOKEN, "/apps/shop/settings")
    browser.settled("Settings")
    for label, wrong in (("Memory in MiB", "1"), ("Timeout in seconds", "9999"), ("Deadline in ms", "0"), ("Probe path", "no-slash")):
        browser.field(label).clear()
        browser.field(label).send_keys(wrong)
    browser.press("Save settings")
    browser.wait(lambda: len(browser.all("[aria-invalid]")) == 4, "four fields are marked")
    for label in ("Memory in MiB", "Timeout in seconds", "Deadline in ms", "Probe path"):
        told = browser.js("const one = arguments[0]; return one.getAttribute('aria-describedby').split(' ').map((id) => document.getElementById(id).textContent).join(' ')", browser.field(label))
        assert "must" in told, (label, told)


def test_variables_go_in_and_never_come_back(stack, browser):
    browser.sign_in(TOKEN, "/apps/mail/environment")
    browser.settled("Environment")
    browser.field("Name").send_keys("DATABASE_URL")
    browser.field("Value").send_keys("postgres://secret-place")
    browser.press("Set")
    browser.wait(lambda: "DATABASE_URL" in browser.text("tbody"), "the name is listed")
    assert browser.traces("secret-place") == []
    assert stack.managerd.request("GET", "/v1/apps/mail/environment").json()["names"] == ["DATABASE_URL"]
    browser.press("Remove DATABASE_URL")
    browser.press("Remove", "dialog button")
    browser.wait_text("No variable is set")


def test_a_domain_is_made_changed_deleted_and_brought_back(stack, browser, tmp_path):
    for name, text in zip(("chain.pem", "key.pem"), Authority().issue("api.example.com")):
        (tmp_path / name).write_text(text)
    browser.sign_in(TOKEN, "/domain/new")
    browser.settled("Add a domain")
    browser.field("Host").send_keys("api.example.com")
    browser.press("Add the domain")
    browser.settled("api.example.com")
    browser.press("Add a path")
    prefix = browser.js("return document.activeElement")
    prefix.clear()
    prefix.send_keys("/inner")
    browser.press("Save the paths")
    browser.wait(lambda: browser.focused() == "Paths", "the page is drawn anew")
    domain = stack.managerd.request("GET", "/v1/domains/api.example.com").json()
    assert [path["prefix"] for path in domain["paths"]] == ["/", "/inner"]
    browser.field("Certificate and chain").send_keys(str(tmp_path / "chain.pem"))
    browser.field("Private key").send_keys(str(tmp_path / "key.pem"))
    browser.press("Give it a certificate")
    browser.wait_text("api.example.com", ".facts")
    assert stack.managerd.request("GET", "/v1/domains/api.example.com").json()["tls"]["names"] == ["api.example.com"]
    browser.press("Remove it")
    browser.press("Remove", "dialog button")
    browser.wait_text("The certificate is removed")
    browser.press("Delete")
    browser.press("Delete", "dialog button")
    browser.wait_text("There is no such domain now")
    assert stack.managerd.request("GET", "/v1/domains/api.example.com").status == 404
    browser.press("Undo what deleteDomain changed")
    browser.press("Undo it", "dialog button")
    browser.wait_text("Save the paths")
    assert [path["prefix"] for path in stack.managerd.request("GET", "/v1/domains/api.example.com").json()["paths"]] == ["/", "/inner"]


def test_what_waits_for_a_lost_answer_is_sent_again_and_done_once(stack, browser):
    """The answer to a POST is thrown away by the browser's network; the console sends it again with the same Idempotency-Key."""
    browser.sign_in(TOKEN, "/tokens")
    browser.settled("Tokens")
    browser.js("""const real = window.fetch; let lost = 0; window.keys = [];
        window.fetch = async (path, options) => {
          if (options.method !== 'POST') return real(path, options);
          keys.push(options.headers['Idempotency-Key']);
          const answer = await real(path, options);
          if (lost++ === 0) throw new TypeError('lost');
          return answer;
        };""")
    browser.field("Name").send_keys("made once")
    browser.press("Make the token")
    browser.wait_text("made once", ".secret-box")
    assert browser.js("return keys.length === 2 && keys[0] === keys[1]")
    named = [one for one in stack.managerd.request("GET", "/v1/tokens?limit=500").json()["items"] if one["name"] == "made once"]
    assert len(named) == 1
    browser.wait_text("its secret was in the answer that was lost", ".secret-box")


def test_many_apps_are_shown_page_by_page_and_found_by_name(stack, browser):
    for number in range(52):
        assert stack.managerd.request("PUT", f"/v1/apps/many-{number:02d}", {"labels": {"of": "many"}}).status == 201
    browser.sign_in(TOKEN, "/apps?label=of%3Amany")
    browser.wait(lambda: len(browser.all("tbody tr")) == 50, "the first page")
    browser.press("Show more")
    browser.wait(lambda: len(browser.all("tbody tr")) == 52, "the second page")
    assert not browser.named("button", "Show more")
    browser.field("Name of an app").send_keys("many-07\n")
    browser.settled("many-07")
    browser.wait_text("Nothing serves yet")


def test_an_upload_can_be_cancelled_while_it_is_under_way(stack, browser, tmp_path):
    large = tmp_path / "large.zip"
    large.write_bytes(os.urandom(8 << 20))
    browser.sign_in(TOKEN, "/apps/shop/deploy")
    browser.settled("Deploy")
    browser.cdp("Network.enable")
    browser.cdp("Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=400_000)
    before = len(stack.managerd.request("GET", "/v1/operations?app=shop").json()["items"])
    try:
        browser.field("Package").send_keys(str(large))
        browser.press("Deploy")
        browser.wait(lambda: browser.js("const one = document.querySelector('progress'); return one && one.value > 2"), "some of it is sent")
        browser.press("Cancel the upload")
        browser.wait(lambda: not browser.one("progress"), "it is cancelled")
    finally:
        browser.cdp("Network.emulateNetworkConditions", offline=False, latency=0, downloadThroughput=-1, uploadThroughput=-1)
    assert not browser.one(".problem") and not browser.button("Deploy").get_attribute("aria-disabled")
    assert len(stack.managerd.request("GET", "/v1/operations?app=shop").json()["items"]) == before


def test_the_audit_is_filtered_by_what_is_asked_for(stack, browser):
    answer = stack.managerd.request("PATCH", "/v1/apps/mail", {"description": "for the audit"})
    browser.sign_in(TOKEN, "/audit")
    browser.wait_text("The chain is whole")
    assert len(browser.all("tbody tr")) > 3
    browser.field("Request id").send_keys(answer.header("X-Request-Id") + "\n")
    browser.wait(lambda: len(browser.all("tbody tr")) == 1, "that request alone")
    assert "patchApp" in browser.text("tbody") and "/v1/apps/mail" in browser.text("tbody")
    browser.press("1 record", "summary")
    browser.wait_text("for the audit", "tbody")
