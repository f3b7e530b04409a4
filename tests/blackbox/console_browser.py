"""A headless Chromium for the console's tests and pictures: sign in, find things as people do, note what the browser complains of."""
import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import pytest

PATIENCE = float(os.environ.get("TEST_PATIENCE", "1"))
ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-background-networking", "--disable-component-update", "--disable-gpu",
             "--disable-dev-shm-usage", "--no-first-run", "--disable-sync", "--disable-extensions", "--hide-scrollbars"]

# Runs before anything of a page: what the policy forbids, and what fails unseen, is remembered.
LISTEN = """
window.complaints = [];
addEventListener('securitypolicyviolation', (event) => complaints.push(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`));
addEventListener('error', (event) => complaints.push(`error: ${event.message}`));
addEventListener('unhandledrejection', (event) => complaints.push(`rejection: ${event.reason && event.reason.stack}`));
"""


def need_browser():
    """Skips, with the reason, where a part is absent."""
    if shutil.which("chromium") is None or shutil.which("chromedriver") is None:
        pytest.skip("needs chromium and chromium-driver, which are not installed")
    pytest.importorskip("selenium", reason="needs python3-selenium, which is not installed")


class Browser:
    def __init__(self, url):
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service
        self.url = url
        self.temporary = tempfile.TemporaryDirectory(prefix="chromium.", ignore_cleanup_errors=True)  # it outlives each single test
        self.directory = Path(self.temporary.name)
        options = webdriver.ChromeOptions()
        for argument in [*ARGUMENTS, f"--user-data-dir={self.directory}/profile", f"--crash-dumps-dir={self.directory}"]:
            options.add_argument(argument)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        options.binary_location = shutil.which("chromium")
        self.driver = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver"), env=self.environment()))
        self.driver.set_page_load_timeout(30 * PATIENCE)
        self.driver.set_script_timeout(60 * PATIENCE)
        self.cdp("Page.addScriptToEvaluateOnNewDocument", source=LISTEN)
        self.heard = []

    def environment(self):
        return {**os.environ, "HOME": str(self.directory), "XDG_CONFIG_HOME": str(self.directory), "XDG_CACHE_HOME": str(self.directory)}

    def cdp(self, command, **parameters):
        return self.driver.execute_cdp_cmd(command, parameters)

    def close(self):
        self.driver.quit()
        self.temporary.cleanup()

    def js(self, script, *arguments):
        return self.driver.execute_script(script, *arguments)

    # -- going about --------------------------------------------------------------------------------------------

    def open(self, path="", fresh=True):
        """The page of an address after the #, as if it were typed into a new tab."""
        if fresh:
            self.hear()
            self.driver.get("about:blank")
        self.driver.get(f"{self.url}/{'#' + path if path else ''}")

    def sign_in(self, token, path="/apps", keep=True):
        self.open(path)
        self.wait(lambda: self.one("input[type=password]") or self.one("main header h1"), "the console is there")
        if self.one("header.side"):
            self.button("Sign out").click()
        field = self.wait(lambda: self.one("input[type=password]"), "the sign-in page")
        field.send_keys(token)
        box = self.one("input[type=checkbox]")
        if box.is_selected() != keep:
            box.click()
        self.button("Sign in").click()
        self.settled()

    def go(self, path, heading=None):
        self.js("location.hash = arguments[0]", path)
        self.settled(heading, path)

    def settled(self, heading=None, path=None):
        """Waits until a page is shown whole."""
        def done():
            return self.js("""const main = document.querySelector('main#main'), h1 = main && main.querySelector('h1');
                return Boolean(h1) && !main.hasAttribute('aria-busy') && (!arguments[0] || h1.textContent.includes(arguments[0]))""", heading)
        self.wait(done, f"the page {path or ''} is shown")
        return self

    def wait(self, condition, what, seconds=10):
        from selenium.common.exceptions import StaleElementReferenceException
        deadline = time.monotonic() + seconds * PATIENCE
        while True:
            try:
                found = condition()
            except StaleElementReferenceException:
                found = None  # it was drawn anew just now
            if found:
                return found
            assert time.monotonic() < deadline, f"not within {seconds} s: {what}; the page says:\n{self.text()[:3000]}\n{self.complaints()}"
            time.sleep(0.03)

    # -- finding things -----------------------------------------------------------------------------------------

    def all(self, css):
        from selenium.webdriver.common.by import By
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def one(self, css):
        found = self.all(css)
        return found[0] if found else None

    def text(self, css="body"):
        return self.js("const found = document.querySelector(arguments[0]); return found ? found.innerText : ''", css)

    def wait_text(self, text, css="body", seconds=10):
        return self.wait(lambda: text in self.text(css), f"{text!r} in {css}", seconds)

    def named(self, css, name):
        """The first visible element whose accessible name begins so."""
        return self.js("""return [...document.querySelectorAll(arguments[0])].find((one) => one.checkVisibility()
            && (one.getAttribute('aria-label') || one.textContent).trim().startsWith(arguments[1])) || null""", css, name)

    def press(self, name, css="button, a.button"):
        """Clicks it; a page that is drawn anew in that moment has it once more."""
        def click():
            found = self.named(css, name)
            if found:
                found.click()
            return found
        self.wait(click, f"{name!r} can be clicked")

    def button(self, name):
        return self.wait(lambda: self.named("button, a.button", name), f"a button {name!r}")

    def link(self, name):
        return self.wait(lambda: self.named("a", name), f"a link {name!r}")

    def field(self, label):
        """The control of a label."""
        return self.wait(lambda: self.js("""const label = [...document.querySelectorAll('label')].find((one) => one.checkVisibility()
            && one.textContent.trim().startsWith(arguments[0])); return label && label.htmlFor ? document.getElementById(label.htmlFor) : null""", label),
            f"a field {label!r}")

    # -- by keyboard alone --------------------------------------------------------------------------------------

    def keys(self, *keys):
        from selenium.webdriver.common.action_chains import ActionChains
        ActionChains(self.driver).send_keys(*keys).perform()

    def overwrite(self, text):
        """What the field with the focus holds is replaced."""
        from selenium.webdriver.common.action_chains import ActionChains
        from selenium.webdriver.common.keys import Keys
        ActionChains(self.driver).key_down(Keys.CONTROL).send_keys("a").key_up(Keys.CONTROL).send_keys(text).perform()

    def focused(self):
        return self.js("""const one = document.activeElement; if (!one || one === document.body) return '';
            const label = one.labels && one.labels.length ? one.labels[0].textContent : '';
            return (one.getAttribute('aria-label') || label || one.textContent || '').trim()""")

    def tab_to(self, name, most=80):
        """Presses Tab until what has the focus is named so."""
        from selenium.webdriver.common.keys import Keys
        seen = []
        for _ in range(most):
            self.keys(Keys.TAB)
            seen.append(self.focused())
            if seen[-1].startswith(name):
                outline = self.js("const style = getComputedStyle(document.activeElement); return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) >= 2")
                assert outline, f"{name!r} has the focus, and nobody sees it"
                return
        raise AssertionError(f"Tab does not come to {name!r}: {seen}")

    # -- what it complains of -----------------------------------------------------------------------------------

    def hear(self):
        """Keeps the complaints of the page that is left now."""
        self.heard += self.js("return window.complaints || []")

    def complaints(self):
        """What the policy forbade and what failed unseen, in all pages so far; answers such as 401 are the tests' own."""
        self.hear()
        self.js("window.complaints = []")
        logged = [json.dumps(line) for line in self.driver.get_log("browser")
                  if line["level"] == "SEVERE" and "Failed to load resource" not in line["message"]]
        found, self.heard = self.heard + logged, []
        return found

    def traces(self, secret):
        """Where the page, or the browser for it, holds the secret."""
        return self.js("""const secret = arguments[0], places = [];
            const fields = [...document.querySelectorAll('input, textarea')].map((one) => one.value).join('\\n');
            for (const [name, text] of Object.entries({fields, address: location.href, markup: document.documentElement.outerHTML, title: document.title,
                local: JSON.stringify({...localStorage}), session: JSON.stringify({...sessionStorage}), cookie: document.cookie, state: JSON.stringify(history.state)}))
              if (text.includes(secret)) places.push(name);
            return places;""", secret)

    # -- how it looks -------------------------------------------------------------------------------------------

    def size(self, width, height, scale=1):
        self.cdp("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=False)

    def theme(self, name):
        self.cdp("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": name}])

    def overflow(self):
        """By how many pixels the page is wider than the window, and what sticks out."""
        return self.js("""const width = document.documentElement.clientWidth, over = document.documentElement.scrollWidth - width;
            return over <= 0 ? null : [over, [...document.querySelectorAll('main *')].filter((one) => one.getBoundingClientRect().right > width + 1)
                .slice(0, 5).map((one) => one.outerHTML.slice(0, 120))]""")

    def picture(self, path, full=False):
        import base64
        shot = self.cdp("Page.captureScreenshot", format="png", captureBeyondViewport=full)
        path.write_bytes(base64.b64decode(shot["data"]))
