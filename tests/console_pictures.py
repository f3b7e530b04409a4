#!/usr/bin/env python3
"""Draws the pictures of docs/console.md anew: each page of the console, from a real stack, by headless Chromium.

    apt-get install pngquant
    BUILD_DIR=build/release /usr/bin/python3 tests/console_pictures.py [NAME…]
"""
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "blackbox"))

import console_browser
import console_scene
from harness import TOP, Stack

OUT = TOP / "docs" / "pictures"
WIDTH = 1200
# The name of a picture: the page's, or the page's with what is special about it.
HEIGHTS = {"app": 1480, "deploy": 900, "settings": 1000, "logs": 860, "tokens": 620, "system": 860, "environment": 640, "domains": 480,
           "apps": 480, "operations": 560}
SPECIAL = {"app-dark": ("app", WIDTH, 820, "dark"), "app-narrow": ("app", 360, 820, "light"), "operation-dark-narrow": ("operation", 360, 820, "dark")}


def shrink(path):
    subprocess.run(["pngquant", "--force", "--strip", "--speed", "1", "--nofs", "--ext", ".png", "48", str(path)], check=True)


def draw(browser, places, name):
    page, width, height, theme = SPECIAL.get(name, (name, WIDTH, HEIGHTS.get(name, 700), "light"))
    browser.size(width, height)
    browser.theme(theme)
    browser.go("/none")
    address, heading = places[page]
    browser.go(address, heading)
    if page == "app":
        browser.wait_text("Against AWS")
    if page == "logs":
        browser.wait(lambda: len(browser.all(".log-text")) > 8, "the log")
    if page == "audit":
        browser.wait_text("The chain is whole")
    if page == "apps":
        browser.wait(lambda: "…" not in browser.text(".states"), "the states")
    browser.js("document.querySelector('.cards').replaceChildren(); document.activeElement.blur()")
    browser.picture(OUT / f"console-{name}.png")
    shrink(OUT / f"console-{name}.png")


def main(wanted):
    if shutil.which("pngquant") is None:
        sys.exit("pngquant is not installed: apt-get install pngquant")
    OUT.mkdir(exist_ok=True)
    with Stack(managerd={"MANAGERD_TOKEN": console_scene.TOKEN}) as stack:
        stack.managerd.options["MANAGERD_PROXIES"] = stack.proxyd.admin
        stack.managerd.restart().wait_ready()
        places = console_scene.places(*console_scene.build(stack, text=""))
        browser = console_browser.Browser(stack.managerd.url)
        try:
            if not wanted or "sign-in" in wanted:
                browser.size(WIDTH, 640)
                browser.open()
                browser.wait(lambda: browser.one("input[type=password]"), "the sign-in page")
                browser.picture(OUT / "console-sign-in.png")
                shrink(OUT / "console-sign-in.png")
            browser.sign_in(console_scene.TOKEN)
            for name in wanted or [*places, *SPECIAL]:
                if name != "sign-in":
                    draw(browser, places, name)
        finally:
            browser.close()
    for picture in sorted(OUT.glob("console-*.png")):
        print(f"{picture.name}: {picture.stat().st_size} bytes")


if __name__ == "__main__":
    main(sys.argv[1:])
