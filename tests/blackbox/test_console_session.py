"""Who uses the console: roles, scopes, tokens that end, conflicts with others, and what stays of a secret (nothing)."""
import time

import pytest

import console_browser
import console_scene
from console_scene import TOKEN
from harness import Stack
from secure_proxy import Authority

RANKS = ["none", "viewer", "deployer", "admin"]


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


def make_token(stack, role, **more):
    return stack.managerd.request("POST", "/v1/tokens", {"name": f"a {role}", "role": role, **more}).json()


@pytest.mark.parametrize("role", ["viewer", "deployer", "admin"])
def test_what_the_role_may_not_do_is_off_and_says_why(stack, browser, role):
    """By what the API says of itself: each control names its call, /openapi.json the role of that call."""
    document = stack.managerd.request("GET", "/openapi.json").json()
    roles = {one["operationId"]: one["x-required-role"] for path in document["paths"].values() for one in path.values()}
    browser.sign_in(make_token(stack, role)["secret"])
    seen = set()
    for address, heading in [("/apps/shop", "shop"), ("/apps/shop/deploy", "Deploy"), ("/apps/shop/environment", "Environment"), ("/apps/shop/history", "History"),
                             ("/apps/shop/settings", "Settings"), ("/domains/shop.example.com", "shop.example.com"), ("/domain/new", "Add")]:
        browser.go(address, heading)
        controls = browser.js("return [...document.querySelectorAll('[data-call]')].map((one) => [one.dataset.call, one.getAttribute('aria-disabled') === 'true', one.title, one.textContent])")
        for call, off, title, text in controls:
            allowed = RANKS.index(role) >= RANKS.index(roles[call])
            assert off != allowed, f"{text!r} ({call}) at {address} is {'off' if off else 'on'} for {role}"
            assert allowed or (f"needs the role {roles[call]}" in title and title in text)
            seen.add(call)
    assert {"rollback", "deploy", "putTraffic", "patchEnvironment", "undoAppChange", "patchApp", "deleteApp", "deleteVersion", "putDomain", "deleteDomain"} <= seen
    places = browser.text("nav")
    assert ("Tokens" in places and "Audit" in places) == (role == "admin")
    browser.go("/tokens")
    if role == "admin":
        assert browser.text("h1") == "Tokens"
    else:
        assert browser.text("h1") == "Not for this token" and f"needs the role admin; the token has {role}" in browser.text("main")
    if role == "viewer":
        before = stack.managerd.request("GET", "/v1/apps/shop").json()["revision"]
        browser.go("/apps/shop", "shop")
        browser.js("for (const one of document.querySelectorAll('[data-call]')) one.click()")
        browser.go("/apps", "Apps")
        assert stack.managerd.request("GET", "/v1/apps/shop").json()["revision"] == before, "a control that is off did something"


def test_a_token_of_some_apps_sees_these_and_is_told_so_elsewhere(stack, browser):
    browser.sign_in(make_token(stack, "deployer", apps=["sho*"])["secret"])
    browser.wait(lambda: "serving" in browser.text("main"), "the state")
    assert "shop" in browser.text("tbody") and "mail" not in browser.text("tbody")
    assert "deployer, sho*" in browser.text(".who")
    browser.go("/apps/mail")
    assert browser.text("h1") == "Not for this token" and "not among those of the token" in browser.text("main")
    browser.go("/apps/none-such")
    assert browser.text("h1") == "Not for this token"
    browser.go("/domains/shop.example.com", "shop.example.com")
    assert "needs a token of all apps" in browser.text("main"), "the domain's history says why it is not there"
    browser.go("/apps/shop/none")
    assert browser.text("h1") == "Not found"


def traces(browser, secret):
    """Where the page, or the browser for it, holds the secret."""
    return browser.js("""const secret = arguments[0], places = [];
        const values = [...document.querySelectorAll('input, textarea')].map((one) => one.value).join('\\n');
        for (const [name, text] of Object.entries({address: location.href, markup: document.documentElement.outerHTML, fields: values, title: document.title,
            local: JSON.stringify({...localStorage}), session: JSON.stringify({...sessionStorage}), cookie: document.cookie, state: JSON.stringify(history.state)}))
          if (text.includes(secret)) places.push(name);
        return places;""", secret)


@pytest.mark.parametrize("keep", [True, False])
def test_nothing_of_a_token_is_left_after_signing_out(stack, browser, keep):
    secret = make_token(stack, "viewer")["secret"]
    browser.sign_in(secret, "/apps/shop", keep=keep)
    browser.settled("shop")
    assert traces(browser, secret) == (["session"] if keep else [])
    browser.driver.refresh()
    if keep:
        browser.settled("shop")
        browser.press("Sign out")
    browser.wait(lambda: browser.one("input[type=password]"), "the sign-in page")
    assert traces(browser, secret) == []
    assert "mail" not in browser.text() and browser.one("main#main") is None
    browser.driver.back()
    browser.driver.forward()
    browser.driver.refresh()
    browser.wait(lambda: browser.one("input[type=password]"), "the sign-in page")
    assert traces(browser, secret) == []


def test_a_wrong_token_is_refused_with_what_to_do(stack, browser):
    browser.open("/apps")
    field = browser.wait(lambda: browser.one("input[type=password]"), "the sign-in page")
    browser.press("Sign in")
    assert "Paste it first" in browser.text(".fault:not([hidden])")
    field.send_keys("aot_wrong\n")
    browser.wait_text("with a token of this installation", ".problem")
    assert traces(browser, "aot_wrong") == ["fields"]


def test_a_token_that_ends_leads_back_to_sign_in_and_on_to_where_one_was(stack, browser):
    ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3))
    token = make_token(stack, "viewer", expiresAt=ends)
    browser.sign_in(token["secret"], "/apps/shop/environment")
    browser.settled("Environment")
    browser.wait(lambda: stack.managerd.request("GET", "/v1/me", headers={"Authorization": f"Bearer {token['secret']}"}).status == 401, "its end")
    browser.press("History", "nav.tabs a")
    browser.wait_text("The token has expired", ".problem")
    assert traces(browser, token["secret"]) == []
    browser.wait(lambda: browser.one("input[type=password]"), "the sign-in page").send_keys(TOKEN + "\n")
    browser.settled("History")


def test_a_revoked_token_ends_also_what_is_being_followed(stack, browser):
    token = make_token(stack, "viewer")
    browser.sign_in(token["secret"], "/apps/shop/logs")
    browser.settled("Logs")
    assert stack.managerd.request("DELETE", f"/v1/tokens/{token['id']}").status == 204
    browser.wait(lambda: browser.one("input[type=password]"), "the sign-in page", seconds=30)


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
    assert traces(browser, secret) == []
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
    assert traces(browser, "secret-place") == []
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
