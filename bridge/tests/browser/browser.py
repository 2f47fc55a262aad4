"""A headless Chromium in front of the page: every script here is run as SCRIPT BASE_URL PICTURES [NAME=VALUE...].

A script fails where the page writes an error to its console, breaks its own policy, or has a barrier that axe-core
finds. Pictures go to the folder PICTURES, for a person to look at.
"""

import contextlib
import pathlib
import re
import shutil
import sys
import time

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect, sync_playwright

WIDE = {"width": 1280, "height": 860}
NARROW = {"width": 390, "height": 844}

# What a page that cannot be had makes Chromium write itself; the page says it in words.
EXPECTED = ("Failed to load resource",)

expect.set_options(timeout=20_000)


class Looker:
    """What a script works with: the address of the bridge, the pages it opens, and what it was told."""

    def __init__(self, browser, arguments):
        self.browser = browser
        self.base, pictures, *named = arguments
        self.pictures = pathlib.Path(pictures)
        self.pictures.mkdir(parents=True, exist_ok=True)
        self.told = dict(argument.split("=", 1) for argument in named)
        self.errors = []

    @contextlib.contextmanager
    def page(self, path="/", viewport=WIDE, scheme="light", for_axe=False):
        """Opens an address of the page; `for_axe` lets a script of ours past the page's policy."""
        context = self.browser.new_context(
            viewport=viewport, color_scheme=scheme, bypass_csp=for_axe, permissions=["clipboard-read", "clipboard-write"]
        )
        page = context.new_page()
        page.on("console", lambda message: self._heard(message))
        page.on("pageerror", lambda error: self.errors.append(f"{page.url}: {error}"))
        page.goto(self.base + path)
        yield page
        context.close()

    def _heard(self, message):
        if message.type in ("error", "warning") and not message.text.startswith(EXPECTED):
            self.errors.append(message.text)

    def picture(self, page, name):
        page.screenshot(path=self.pictures / f"{name}.png")

    def without_barriers(self, page):
        """Lets axe-core look; the page must have been opened for it."""
        found = Axe().run(page).response["violations"]
        said = [f"{one['id']}: {one['help']}: {[node['target'] for node in one['nodes']][:3]}" for one in found]
        assert not said, f"{page.url}: {said}"
        slips = re.findall(r"\b(?:false|null|undefined|NaN|\[object)\b", page.inner_text("main"))
        assert not slips, f"{page.url}: {slips}"


def run(script):
    """Runs `script` with a browser, and prints what it returns."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        looker = Looker(browser, sys.argv[1:])
        started = time.monotonic()
        script(looker)
        browser.close()
        assert not looker.errors, looker.errors
        print(f"{sys.argv[0]}: {time.monotonic() - started:.1f} s")


def tab_to(page, locator, most=80):
    """Moves the focus by Tab alone until `locator` has it."""
    for _ in range(most):
        if locator.evaluate("element => element === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"no way by Tab to {locator}")
