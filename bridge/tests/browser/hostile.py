"""Strings of an attacker in every field that a sender fills: they are read, and nothing else.

Told: `request` and `connection`, ids of records that have them.
"""

from browser import expect, run

VIEWS = ("/", "/?view=requests", "/?view=connections", "/?view=coverage")


def look(looker):
    records = (f"/?request={looker.told['request']}", f"/?connection={looker.told['connection']}", f"/?q={'<script>' * 9}")
    for path in VIEWS + records:
        with looker.page(path) as page:
            page.on("dialog", lambda dialog: looker.errors.append(f"a dialog: {dialog.message}"))
            expect(page.locator("h1").first).to_be_visible()
            page.wait_for_timeout(300)
            assert page.evaluate("window.hit === undefined"), f"{path}: a string became a script"
            assert page.locator("main img, main script, main iframe, main object").count() == 0, f"{path}: a string became markup"
            links = page.eval_on_selector_all("main a", "links => links.map((link) => new URL(link.getAttribute('href'), location.href).protocol)")
            assert set(links) <= {"http:"}, f"{path}: {links}"
            text = page.inner_text("main")
            assert "\u202e" not in text and "\u0007" not in text, f"{path}: an invisible character"
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path}: it is too wide"
            if path in records[:2]:
                assert "<img src=x onerror" in text, f"{path}: the string is not shown"
                looker.picture(page, "hostile-" + path[2:9].strip("=/"))


run(look)
