"""What the page says when something is missing.

Told: `case`, one of `empty`, `token` (with `token`), `no-filter`, `no-probe`, `gone` (with `pid` to end), `unattributed` (with
`connection` that had trouble of its own), `incomplete`, `backend` (with `request` and `link`, where its trace is to be seen).
"""

import os
import re
import signal

from browser import expect, run


def look(looker):
    {"empty": empty, "token": token, "no-filter": no_filter, "no-probe": no_probe, "gone": gone, "unattributed": unattributed, "backend": backend, "incomplete": incomplete}[looker.told["case"]](looker)


def empty(looker):
    with looker.page(for_axe=True) as page:
        expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("^No requests"))
        expect(page.get_by_text("syntrace-probe run --cgroup")).to_be_visible()
        expect(page.locator("#notices")).to_contain_text("Neither the probe nor the filter has reported")
        looker.without_barriers(page)
        looker.picture(page, "state-empty")
        page.get_by_role("link", name="Connections").click()
        expect(page.get_by_role("heading", name="No connections yet")).to_be_visible()
        looker.without_barriers(page)


def token(looker):
    with looker.page("/?view=connections", for_axe=True) as page:
        expect(page.get_by_role("heading", level=1)).to_have_text("A token is needed")
        looker.without_barriers(page)
        looker.picture(page, "state-token")
        page.get_by_label("Token").fill("wrong")
        page.keyboard.press("Enter")
        expect(page.get_by_text("does not accept this token")).to_be_visible()
        page.get_by_label("Token").fill(looker.told["token"])
        page.keyboard.press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text("Connections")
        assert looker.told["token"] not in page.url and looker.told["token"] not in page.content()


def no_filter(looker):
    with looker.page("/?view=connections", for_axe=True) as page:
        expect(page.locator("#notices")).to_contain_text("The proxy’s view is missing")
        expect(page.locator(".row").first).to_be_visible()
        looker.without_barriers(page)
        looker.picture(page, "state-no-filter")


def no_probe(looker):
    with looker.page("/?view=requests", for_axe=True) as page:
        expect(page.locator("#notices")).to_contain_text("The kernel’s view is missing")
        page.locator(".row a").first.click()
        expect(page.get_by_text("not joined: no probe has reported").first).to_be_visible()
        looker.without_barriers(page)
        looker.picture(page, "state-no-probe")


def unattributed(looker):
    with looker.page(for_axe=True) as page:
        expect(page.get_by_role("heading", level=1)).to_have_text(re.compile("^No request failed or was slow.*; trouble on 1 connection"))
        card = page.locator(".card").filter(has_text="Not in any request’s time")
        expect(card).to_contain_text("Trouble on 1 of 2 connections: 1 retransmitted")
        looker.without_barriers(page)
        looker.picture(page, "state-unattributed")
        card.get_by_role("link", name="1 retransmitted").click()
        expect(page.locator(".row")).to_have_count(1)
        page.go_back()
        card.get_by_role("link", name="The latest").click()
        page.wait_for_url(re.compile(re.escape(f"connection={looker.told['connection']}")))


def incomplete(looker):
    left_out = re.compile(r"\d+ settled records, of \d.* to \d.*, cannot be read until rebuilt from the log")
    with looker.page("/?view=requests", for_axe=True) as page:
        expect(page.locator("#counted")).to_have_text(left_out)
        expect(page.get_by_role("heading", name="Not all requests can be read")).to_be_visible()
        looker.without_barriers(page)
        looker.picture(page, "state-incomplete")
    with looker.page(for_axe=True) as page:
        expect(page.locator("main .note")).to_have_text(left_out)
        looker.without_barriers(page)


def gone(looker):
    with looker.page("/?view=connections", for_axe=True) as page:
        expect(page.locator(".row").first).to_be_visible()
        os.kill(int(looker.told["pid"]), signal.SIGKILL)
        expect(page.locator("#notices")).to_contain_text("The bridge does not answer")
        # What was there can still be read.
        expect(page.locator(".row").first).to_be_visible()
        page.get_by_role("link", name="Coverage").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("The bridge does not answer")
        expect(page.get_by_role("button", name="Try again")).to_be_visible()
        looker.without_barriers(page)
        looker.picture(page, "state-gone")


def backend(looker):
    with looker.page(f"/?request={looker.told['request']}", for_axe=True) as page:
        link = page.get_by_role("link", name="Open in the tracing backend")
        expect(link).to_have_attribute("href", looker.told["link"])
        assert link.get_attribute("rel") == "noreferrer", "the backend need not know where one came from"
        looker.without_barriers(page)


run(look)
