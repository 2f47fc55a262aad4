"""Every view, light and dark, wide and narrow: no barrier for anyone, and a picture of each."""

import json
import urllib.request

from browser import NARROW, WIDE, expect, run


def look(looker):
    def ask(path):
        with urllib.request.urlopen(looker.base + path) as answer:
            return json.load(answer)

    failed = ask("/v1/requests?cause=connect_refused&limit=1")["requests"][0]
    refused = failed["opened"]["connection"]
    downstream = failed["received_on"]["connection"]
    busy = max(ask("/v1/connections?role=downstream")["connections"], key=lambda one: len(one["requests"]))
    views = {
        "causes": "/",
        "requests": "/?view=requests",
        "connections": "/?view=connections",
        "coverage": "/?view=coverage",
        "request": f"/?request={failed['id']}",
        "refused": f"/?connection={refused}",
        "downstream": f"/?connection={downstream}",
        "connection": f"/?connection={busy['id']}",
        "trace": f"/?trace={busy['trace_id']}",
        "not-found": "/?q=nothing-is-called-so",
        "not-known": "/?connection=nonsense",
        "no-meaning": "/?view=requests&status=nonsense",
        "none-fit": "/?view=requests&status=299",
    }
    for scheme in ("light", "dark"):
        for width, viewport in (("wide", WIDE), ("narrow", NARROW)):
            with looker.page("/", viewport, scheme, for_axe=True) as page:
                for name, path in views.items():
                    page.goto(looker.base + path)
                    expect(page.locator("h1, .empty h2").first).to_be_visible()
                    page.wait_for_function("document.querySelector('.timeline') === null || document.querySelector('.plot svg') !== null")
                    looker.without_barriers(page)
                    looker.picture(page, f"{name}-{scheme}-{width}")
                    overflow = page.evaluate("document.documentElement.scrollWidth - innerWidth")
                    assert overflow <= 0, f"{path} is {overflow} px wider than a {width} screen"


run(look)
