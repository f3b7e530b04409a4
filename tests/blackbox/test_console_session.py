"""Who uses the console: roles, scopes, tokens that end, and what stays of one (nothing)."""
import time

import pytest

import console_browser
import console_scene
from console_scene import TOKEN
from harness import Managerd, Stack

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


@pytest.mark.parametrize("keep", [True, False])
def test_nothing_of_a_token_is_left_after_signing_out(stack, browser, keep):
    secret = make_token(stack, "viewer")["secret"]
    browser.sign_in(secret, "/apps/shop", keep=keep)
    browser.settled("shop")
    assert browser.traces(secret) == (["session"] if keep else [])
    browser.driver.refresh()
    if keep:
        browser.settled("shop")
        browser.press("Sign out")
    browser.wait(lambda: browser.one("input[type=password]"), "the sign-in page")
    assert browser.traces(secret) == []
    assert "mail" not in browser.text() and browser.one("main#main") is None
    browser.driver.back()
    browser.driver.forward()
    browser.driver.refresh()
    browser.wait(lambda: browser.one("input[type=password]"), "the sign-in page")
    assert browser.traces(secret) == []


def test_a_wrong_token_is_refused_with_what_to_do(stack, browser):
    browser.open("/apps")
    field = browser.wait(lambda: browser.one("input[type=password]"), "the sign-in page")
    browser.press("Sign in")
    assert "Paste it first" in browser.text(".fault:not([hidden])")
    field.send_keys("aot_wrong\n")
    browser.wait_text("with a token of this installation", ".problem")
    assert browser.traces("aot_wrong") == ["fields"]


def test_a_token_that_ends_leads_back_to_sign_in_and_on_to_where_one_was(stack, browser):
    ends = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3))
    token = make_token(stack, "viewer", expiresAt=ends)
    browser.sign_in(token["secret"], "/apps/shop/environment")
    browser.settled("Environment")
    browser.wait(lambda: stack.managerd.request("GET", "/v1/me", headers={"Authorization": f"Bearer {token['secret']}"}).status == 401, "its end")
    browser.press("History", "nav.tabs a")
    browser.wait_text("The token has expired", ".problem")
    assert browser.traces(token["secret"]) == []
    browser.wait(lambda: browser.one("input[type=password]"), "the sign-in page").send_keys(TOKEN + "\n")
    browser.settled("History")


def test_a_revoked_token_ends_also_what_is_being_followed(stack, browser):
    token = make_token(stack, "viewer")
    browser.sign_in(token["secret"], "/apps/shop/logs")
    browser.settled("Logs")
    assert stack.managerd.request("DELETE", f"/v1/tokens/{token['id']}").status == 204
    browser.wait(lambda: browser.one("input[type=password]"), "the sign-in page", seconds=30)


def test_where_no_token_is_asked_for_none_is_asked_for(stack, browser):
    with Managerd(aws=stack.lambda_local) as managerd:
        before, browser.url = browser.url, managerd.url
        try:
            browser.open()
            browser.settled("Apps")
            assert "No token asked for" in browser.text(".who") and not browser.named("button", "Sign out")
            browser.go("/tokens", "Tokens")
            browser.field("Name").send_keys("the first")
            from selenium.webdriver.support.ui import Select
            Select(browser.field("Role")).select_by_value("admin")
            browser.press("Make the token")
            secret = browser.wait(lambda: browser.js("const one = document.querySelector('.secret'); return one && one.value"), "the secret")
            browser.press("I have it")
            field = browser.wait(lambda: browser.one("input[type=password]"), "from then on one is asked for")
            field.send_keys(secret + "\n")
            browser.settled("Tokens")
            assert "the first" in browser.text("tbody")
        finally:
            browser.url = before
