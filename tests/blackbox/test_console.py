"""The console in a real browser: an app is deployed, shifted, rolled back and read, by mouse and by keyboard alone."""
import re

import pytest

import console_browser
from harness import Stack, make_zip

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
    browser.field("Package").send_keys(package(browser, "two", "two"))
    browser.field("Not yet").click()
    browser.press("Deploy")
    browser.wait_text("Version 2 is there", seconds=30)
    browser.press("To mouse", "a")
    browser.settled("mouse")
    assert shares(browser) == {1: 100}
    browser.press("Add it")
    second = browser.named("input[type=number]", "Percent of version 2")
    second.clear()
    second.send_keys("25\t")
    assert shares(browser) == {1: 75, 2: 25}
    browser.press("Shift traffic")
    browser.wait_text("Traffic is shifted")
    assert [one["percent"] for one in stack.managerd.request("GET", "/v1/apps/mouse/traffic").json()["versions"]] == [75, 25]

    browser.press("Give version 2 all traffic")
    browser.wait_text("Version 2 has all traffic")
    assert stack.app("mouse").text == "release two"
    browser.wait(lambda: shares(browser) == {2: 100}, "the bar shows it")
    browser.press("Deactivate")
    browser.press("Deactivate", "dialog button")
    browser.wait_text("answers 404 now")
    assert stack.app("mouse").status == 404
    browser.press("Activate")
    browser.wait_text("serves again")
    assert stack.app("mouse").status == 200
