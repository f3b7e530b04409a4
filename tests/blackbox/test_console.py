"""The console in a real browser: an app is deployed, shifted, rolled back and read, by mouse and by keyboard alone."""
import base64
import re
import subprocess
from urllib.parse import urlencode

import pytest

import console_browser
from harness import TOP, Stack, make_zip

# As if a file were dragged from the desktop.
DROP = """const bytes = Uint8Array.from(atob(arguments[0]), (one) => one.charCodeAt(0)), given = new DataTransfer();
given.items.add(new File([bytes], 'dropped.zip', {type: 'application/zip'}));
document.querySelector('.drop').dispatchEvent(new DragEvent('drop', {dataTransfer: given, bubbles: true, cancelable: true}));"""
CONSOLE = TOP / "managerd" / "console"
TOKEN = "correct-horse-battery-staple"
HANDLER = """exports.handler = async (event) => {
  console.log('served ' + event.rawPath);
  return {statusCode: 200, headers: {'content-type': 'text/plain'}, body: 'release %s'};
};"""


@pytest.fixture(scope="module")
def stack():
    from conftest import scene
    console_browser.need_browser()
    yield from scene(lambda: Stack(managerd={"MANAGERD_TOKEN": TOKEN}))


@pytest.fixture(scope="module")
def chromium(stack):
    browser = console_browser.Browser(stack.managerd.url)
    yield browser
    browser.close()


@pytest.fixture
def browser(chromium):
    """Of the module; what it complained of fails the test."""
    chromium.size(1280, 900)
    yield chromium
    assert not chromium.complaints()


def package(browser, name, release):
    path = browser.directory / f"{name}.zip"
    path.write_bytes(make_zip({"index.js": HANDLER % release}))
    return str(path)


def shares(browser):
    """What the bar of the traffic shows, as {version: percent}."""
    text = browser.text(".traffic-bar").replace("\u00a0", " ")
    return {int(version): float(percent) for version, percent in re.findall(r"v(\d+) ([\d.]+) %", text)}


def test_an_app_is_deployed_shifted_and_rolled_back_by_mouse(stack, browser):
    browser.sign_in(TOKEN)
    browser.press("Deploy an app")
    browser.settled("Deploy an app")
    browser.field("App").send_keys("mouse")
    browser.field("Package").send_keys(package(browser, "one", "one"))
    browser.wait_text("one.zip")
    browser.press("Deploy")
    browser.wait_text("Version 1 is there", seconds=30)
    assert browser.js("return document.querySelectorAll('.step.done').length") >= 7
    assert stack.app("mouse").text == "release one"

    browser.go("/apps/mouse/deploy", "Deploy")
    browser.js(DROP, base64.b64encode(make_zip({"index.js": HANDLER % "two"})).decode())
    browser.wait_text("dropped.zip")
    browser.press("Deploy")
    browser.wait_text("Version 2 is there", seconds=30)
    browser.press("To mouse", "a")
    browser.wait(lambda: shares(browser) == {2: 100}, "version 2 serves")
    browser.press("Add it")
    first = browser.named("input[type=number]", "Percent of version 1")
    first.clear()
    first.send_keys("25\t")
    assert shares(browser) == {1: 25, 2: 75}
    browser.press("Shift traffic")
    browser.wait_text("Traffic is shifted")
    assert {one["version"]: one["percent"] for one in stack.managerd.request("GET", "/v1/apps/mouse/traffic").json()["versions"]} == {1: 25, 2: 75}

    browser.press("Roll back")
    browser.wait_text("Rolled back")
    browser.wait(lambda: shares(browser) == {1: 100}, "what served before serves again")
    assert stack.app("mouse").text == "release one"
    browser.press("Give version 2 all traffic")
    browser.wait_text("Version 2 has all traffic")
    browser.wait(lambda: shares(browser) == {2: 100}, "the bar shows it")
    assert stack.app("mouse").text == "release two"
    browser.press("Deactivate")
    browser.press("Deactivate", "dialog button")
    browser.wait_text("answers 404 now")
    assert stack.app("mouse").status == 404
    browser.press("Activate")
    browser.wait_text("mouse serves again")
    assert stack.app("mouse").status == 200

    browser.press("Logs", "nav.tabs a")
    browser.wait(lambda: "served /" in browser.text(".log"), "the log is shown")
    assert stack.app("mouse", "/seen-live").status == 200
    browser.wait(lambda: "served /seen-live" in browser.text(".log"), "the log is followed", seconds=20)
    one = browser.js("return [...document.querySelectorAll('.log-line')].find((one) => one.textContent.includes('/seen-live')).querySelector('button')")
    one.click()
    browser.wait(lambda: "/seen-live" in browser.text(".log") and "served /\n" not in browser.text(".log"), "only that request is shown")


def test_the_same_by_keyboard_alone(stack, browser):
    from selenium.webdriver.common.keys import Keys
    browser.open()
    browser.wait(lambda: browser.one("input[type=password]") or browser.one("header.side"), "the console")
    if browser.one("header.side"):
        browser.tab_to("Sign out")
        browser.keys(Keys.ENTER)
        browser.wait(lambda: browser.one("input[type=password]"), "the sign-in page")
    browser.wait(lambda: browser.focused().startswith("Token"), "the field has the focus")
    browser.keys(TOKEN, Keys.ENTER)
    browser.settled("Apps")
    browser.open("/apps")
    browser.settled("Apps")
    browser.tab_to("Skip to the content")
    browser.keys(Keys.ENTER)
    browser.tab_to("Deploy an app", most=3)
    browser.keys(Keys.ENTER)
    browser.settled("Deploy an app")
    assert browser.focused() == "Deploy an app", "the new page's heading has the focus"
    browser.tab_to("App")
    browser.keys("keys")
    browser.tab_to("Package")
    browser.js("return document.activeElement").send_keys(package(browser, "keys", "one"))  # what a file picker would do
    browser.tab_to("Memory in MiB")
    browser.overwrite("64")
    browser.tab_to("Deploy")
    browser.keys(Keys.ENTER)
    browser.wait(lambda: browser.focused().startswith("Memory in MiB"), "the field that is wrong has the focus")
    assert "128" in browser.text(".fault:not([hidden])") and browser.js("return document.activeElement.getAttribute('aria-invalid')") == "true"
    browser.overwrite("256")
    browser.keys(Keys.ENTER)
    browser.wait_text("Version 1 is there", seconds=30)
    assert "Deploy keys" in browser.focused()
    browser.tab_to("To keys")
    browser.keys(Keys.ENTER)
    browser.settled("keys")
    browser.tab_to("Deploy the package of version 1 again")
    browser.keys(Keys.ENTER)
    browser.wait_text("Version 2 is there", seconds=30)
    browser.tab_to("To keys")
    browser.keys(Keys.ENTER)
    browser.wait(lambda: shares(browser) == {2: 100}, "version 2 serves")

    browser.tab_to("Add it")
    browser.keys(Keys.ENTER)
    assert browser.focused().startswith("Version 1"), "the slider of the added version has the focus"
    browser.keys(*[Keys.ARROW_RIGHT] * 3, *[Keys.PAGE_UP] * 2)
    assert shares(browser)[1] == 23 and sum(shares(browser).values()) == 100
    browser.tab_to("Shift traffic")
    browser.keys(Keys.ENTER)
    browser.wait_text("Traffic is shifted")
    browser.wait(lambda: browser.focused() == "Traffic", "the heading of what was changed has the focus")
    told = {one["version"]: one["percent"] for one in stack.managerd.request("GET", "/v1/apps/keys/traffic").json()["versions"]}
    assert told == {1: 23, 2: 77}
    browser.tab_to("Skip to the content")
    browser.tab_to("Roll back")
    browser.keys(Keys.SPACE)
    browser.wait_text("Rolled back")
    browser.wait(lambda: shares(browser) == {1: 100}, "what served before serves again")

    browser.tab_to("Deactivate")
    browser.keys(Keys.ENTER)
    browser.wait(lambda: browser.one("dialog"), "it asks")
    assert browser.focused() == "Keep it"
    browser.keys(Keys.ESCAPE)
    browser.wait(lambda: not browser.one("dialog") and browser.focused().startswith("Deactivate"), "the focus is back where it was")
    assert stack.app("keys").status == 200
    browser.tab_to("Logs")
    browser.keys(Keys.ENTER)
    browser.settled("Logs")
    browser.wait(lambda: "served /" in browser.text(".log"), "the log is shown")
    browser.tab_to("Log of keys")


def test_a_canary_is_followed_step_by_step_and_cancelled(stack, browser):
    stack.deploy("bird", {"index.js": HANDLER % "one"})
    browser.sign_in(TOKEN)
    browser.go("/apps/bird/deploy", "Deploy")
    browser.field("Package").send_keys(package(browser, "bird", "two"))
    browser.field("As a canary").click()
    steps = browser.field("Shares in percent")
    steps.clear()
    steps.send_keys("50, 5")
    browser.press("Deploy")
    browser.wait_text("rising percents", ".way-more .fault")
    assert browser.js("return document.activeElement === arguments[0]", steps)
    steps.clear()
    steps.send_keys("5, 100")
    browser.press("Deploy")
    browser.settled("Deploy bird")
    browser.wait(lambda: "Watch canary to 5" in browser.text(".step.running"), "the step that runs is shown", seconds=30)
    assert browser.text(".page-title .pill") == "running"
    told = {one["version"]: one["percent"] for one in stack.managerd.request("GET", "/v1/apps/bird/traffic").json()["versions"]}
    assert told == {1: 95, 2: 5}
    # managerd crashes and comes back: what is followed is followed on.
    stack.managerd.kill9()
    stack.managerd.start()
    operation = browser.js("return location.hash").rsplit("/", 1)[1]
    browser.wait(lambda: stack.managerd.request("GET", f"/v1/operations/{operation}").json()["state"] == "running", "it goes on")
    browser.press("Cancel")
    browser.press("Cancel it", "dialog button")
    browser.wait(lambda: browser.text(".page-title .pill") == "cancelled", "it is told that it ended", seconds=30)
    assert not browser.named("button", "Cancel")
    browser.press("bird", ".crumbs a")
    browser.wait(lambda: shares(browser) == {1: 100}, "the traffic from before")


def test_the_page_of_an_app_tells_when_what_was_under_way_has_ended(stack, browser):
    stack.deploy("wait", {"index.js": HANDLER % "one"})
    canary = '{"steps":[50,100],"intervalSeconds":1,"minRequests":1}'
    begun = stack.managerd.request("POST", "/v1/apps/wait/deployments?" + urlencode({"runtime": "nodejs20.x", "handler": "index.handler", "canary": canary}),
                                   body=make_zip({"index.js": HANDLER % "two"}), headers={"Content-Type": "application/zip"}).json()["id"]
    browser.sign_in(TOKEN, "/apps/wait")
    browser.wait_text("Under way: the canary")
    assert stack.managerd.request("POST", f"/v1/operations/{begun}/cancel", headers={"Prefer": "wait=20"}).status == 200
    browser.wait_text("What was under way has ended", seconds=20)
    browser.press("Show what is there now")
    browser.wait(lambda: "Under way" not in browser.text("main") and "has ended" not in browser.text("main"), "it is drawn anew")
    assert shares(browser) == {1: 100}


def test_shares_add_up_whatever_is_pulled():
    """shares.js by itself, in node: any order of pulls on any number of sliders."""
    script = """
    import { WHOLE, balance, fromPercents } from './shares.js';
    let seed = 7;
    const chance = (below) => (seed = (seed * 48271) % 2147483647) % below;
    for (let round = 0; round < 3000; round++) {
      const count = 1 + chance(6);
      let shares = fromPercents(Array.from({ length: count }, () => chance(101)));
      for (let pull = 0; pull < 8; pull++) {
        const index = chance(count), value = chance(WHOLE + 1), before = shares;
        shares = balance(shares, index, value);
        if (shares.reduce((a, b) => a + b, 0) !== WHOLE) throw new Error(`${before} ${index} ${value} gives ${shares}`);
        if (count > 1 && shares[index] !== value) throw new Error(`the pulled one is ${shares[index]}, not ${value}`);
        if (shares.some((one) => one < 0 || !Number.isInteger(one))) throw new Error(String(shares));
      }
    }
    const same = (a, b) => { if (String(a) !== String(b)) throw new Error(`${a} is not ${b}`); };
    same(balance([7500, 2500], 1, 5000), [5000, 5000]);
    same(balance([6000, 3000, 1000], 0, 2000), [2000, 6000, 2000]);
    same(balance([10000, 0, 0], 0, 4000), [4000, 6000, 0]);
    same(balance([3333, 3333, 3334], 2, 0), [5000, 5000, 0]);
    same(fromPercents([33.33, 33.33, 33.34]), [3333, 3333, 3334]);
    same(fromPercents([]), []);
    """
    done = subprocess.run(["node", "--input-type=module", "-"], input=script.replace("./shares.js", (CONSOLE / "shares.js").as_uri()),
                          capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
