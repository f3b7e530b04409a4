"""Every page of the console: no violation that axe-core finds, light and dark; nothing sticks out at 360 pixels; text stays text."""
import pytest

import console_browser
import console_scene
from harness import Stack

AXE = "axe-core@4.10.2"
RUN_AXE = """const [only, done] = arguments;
axe.run(document, {resultTypes: ['violations'], ...(only ? {runOnly: {type: 'rule', values: only}} : {})}).then(({violations}) =>
  done(violations.map((one) => `${one.id}: ${one.help}: ${one.nodes.map((node) => node.html.slice(0, 160) + ' ' + node.failureSummary).slice(0, 3).join(' | ')}`)),
  (error) => done([String(error)]));"""


@pytest.fixture(scope="module")
def scene():
    from conftest import scene
    console_browser.need_browser()
    for stack in scene(lambda: Stack(managerd={"MANAGERD_TOKEN": console_scene.TOKEN})):
        stack.places = console_scene.places(*console_scene.build(stack))
        browser = console_browser.Browser(stack.managerd.url)
        try:
            browser.size(1280, 900)
            browser.sign_in(console_scene.TOKEN)
            yield stack, browser
        finally:
            browser.close()


def visit(browser, places, name):
    address, heading = places[name]
    browser.go("/none")
    browser.go(address, heading)
    if name == "logs":
        browser.wait(lambda: browser.one(".log-text"), "lines of the log")
    if name == "app":
        browser.wait_text("Against AWS")
    if name == "audit":
        browser.wait_text("The chain is whole")
    if browser.one(".states"):
        browser.wait(lambda: "…" not in browser.text(".states"), "the state")
    if name == "apps":
        browser.wait(lambda: "…" not in browser.text(".state-cell .pill"), "the states")


@pytest.fixture(scope="module")
def axe(scene, npm_packages):
    """Tells what axe-core finds on the page that is shown."""
    _, browser = scene
    source = (npm_packages(AXE) / "node_modules" / "axe-core" / "axe.min.js").read_text()

    def violations(only=None):
        if not browser.js("return Boolean(window.axe)"):
            browser.js(source)
        return browser.driver.execute_async_script(RUN_AXE, only)
    return violations


def test_axe_finds_no_violation_on_any_page_light_or_dark(scene, axe):
    stack, browser = scene
    found = {}
    for name in stack.places:
        visit(browser, stack.places, name)
        for theme in ("light", "dark"):
            browser.theme(theme)
            browser.wait(lambda theme=theme: browser.js("return document.documentElement.dataset.theme") == theme, theme)
            # All rules once; what changes with the colours again.
            violations = axe(None if theme == "light" else ["color-contrast", "link-in-text-block"])
            if violations:
                found[f"{name}, {theme}"] = violations
    browser.theme("light")
    assert not found, "\n".join(f"{where}:\n  " + "\n  ".join(what) for where, what in found.items())
    assert not browser.complaints()


def test_axe_finds_no_violation_in_what_only_shows_at_times(scene, axe):
    """A question, faults at fields, a page that is not there, an opened menu, a canary's fields, the sign-in page."""
    stack, browser = scene
    found = {}
    visit(browser, stack.places, "app")
    browser.press("Deactivate")
    browser.wait(lambda: browser.one("dialog"), "it asks")
    found["question"] = axe()
    browser.press("Keep it", "dialog button")
    visit(browser, stack.places, "first-deployment")
    browser.field("As a canary").click()
    browser.press("Deploy")
    browser.wait(lambda: len(browser.all("[aria-invalid]")) == 2, "the faults")
    found["faults"] = axe()
    browser.go("/apps/none-such", "Not found")
    found["not there"] = axe()
    browser.size(360, 740)
    browser.press("Menu")
    found["menu"] = axe()
    browser.press("Sign out")
    browser.wait(lambda: browser.one("input[type=password]"), "the sign-in page")
    for theme in ("light", "dark"):
        browser.theme(theme)
        found[f"sign-in, {theme}"] = axe()
    assert browser.overflow() is None
    browser.theme("light")
    browser.size(1280, 900)
    browser.sign_in(console_scene.TOKEN)
    assert not any(found.values()), found
    assert not browser.complaints()


def test_the_switch_of_colours_is_kept_and_wins_over_the_system(scene):
    stack, browser = scene
    shown = "return [document.documentElement.dataset.theme, getComputedStyle(document.documentElement).colorScheme]"
    browser.theme("light")
    browser.press("Switch to dark colours")
    assert browser.js(shown) == ["dark", "dark"]
    browser.driver.refresh()
    browser.settled()
    assert browser.js(shown) == ["dark", "dark"]
    browser.press("Switch to light colours")
    browser.theme("dark")
    assert browser.js(shown) == ["light", "light"]
    browser.js("localStorage.clear()")
    browser.driver.refresh()
    browser.settled()
    assert browser.js(shown) == ["dark", "dark"]
    browser.theme("light")


def test_axe_itself_would_find_a_violation(scene, axe):
    stack, browser = scene
    visit(browser, stack.places, "system")
    browser.js("document.querySelector('main').append(document.createElement('button'))")
    assert any("button-name" in one for one in axe())


def test_no_page_is_wider_than_a_narrow_window_and_the_menu_opens_there(scene):
    stack, browser = scene
    browser.size(360, 740)
    wide = {}
    for name in stack.places:
        visit(browser, stack.places, name)
        if browser.overflow():
            wide[name] = browser.overflow()
    assert not wide
    browser.press("Menu")
    browser.press("System", "nav a")
    browser.settled("System")
    assert not browser.js("return document.querySelector('#places').checkVisibility()"), "the menu stays over the page"
    browser.size(1280, 900)


def test_markup_in_names_log_lines_and_errors_is_shown_as_text(scene):
    stack, browser = scene
    for name in ("apps", "app", "logs", "history", "settings", "failed-operation", "tokens", "audit", "operations"):
        visit(browser, stack.places, name)
        if name == "history":
            browser.wait_text("onerror")
        assert browser.js("return document.querySelectorAll('script:not([src]), img, main iframe').length") == 0, name
        if name in ("apps", "app", "logs", "history", "failed-operation", "tokens"):
            shown = browser.js("return document.querySelector('main').textContent")
            assert "<script>window.injected" in shown, f"{name} does not show it as text"
    assert browser.js("return window.injected === undefined")
    assert not browser.complaints()


def test_the_policy_stops_what_the_modules_would_never_do(scene):
    _, browser = scene
    browser.go("/system", "System")
    browser.complaints()
    assert browser.js("try { document.querySelector('main').innerHTML = '<b>x</b>'; return 'done'; } catch (error) { return error.name; }") == "TypeError"
    browser.js("const one = document.createElement('script'); try { one.text = 'window.injected = 1'; document.body.append(one); } catch {}")
    browser.js("document.body.setAttribute('style', 'color: red')")
    assert browser.js("return window.injected === undefined")
    told = browser.complaints()
    assert any("require-trusted-types-for" in one for one in told) and any("style-src" in one for one in told), told
