"""Ten thousand connections in the list, and a record with as many requests as a record keeps.

Told: `connections`, how many there are; `busy`, the id of the connection with many requests, and `requests`, how many
its record keeps. Times depend on the machine, so they are printed; what is counted is asserted.
"""

import json

from browser import expect, run

WATCH = """
window.longest = 0;
new PerformanceObserver((list) => {
  for (const task of list.getEntries()) window.longest = Math.max(window.longest, task.duration);
}).observe({ type: 'longtask' });
"""


def look(looker):
    figures = {}
    with looker.page("/?view=connections") as page:
        expect(page.locator(".row").first).to_be_visible()
        paint = "performance.getEntriesByName('first-contentful-paint')[0].startTime"
        page.reload()
        expect(page.locator(".row").first).to_be_visible()
        figures["first_contentful_paint_ms"] = page.evaluate(paint)
        figures["rows_painted_ms"] = page.evaluate("performance.now()")
        page.evaluate(WATCH)
        page.locator(".row a").first.focus()
        expected = int(looker.told["connections"])
        while page.evaluate("document.getElementById('counted').textContent").find("more below") >= 0:
            page.keyboard.press("End")
            page.wait_for_timeout(20)
            page.keyboard.press("PageUp")
        expect(page.locator("#counted")).to_have_text(f"{expected:,} connections")
        page.keyboard.press("End")
        expect(page.locator(f'.row[aria-rowindex="{expected + 1}"] a')).to_be_focused()
        assert page.locator(".row").count() < 100, "only what is seen is in the document"
        page.mouse.move(600, 500)
        for _ in range(60):
            page.mouse.wheel(0, -900)
            page.wait_for_timeout(16)
        figures["longest_task_while_scrolling_ms"] = page.evaluate("longest")
        looker.picture(page, "large-list")
    with looker.page(f"/?connection={looker.told['busy']}") as page:
        expect(page.locator(".plot a").first).to_be_visible()
        page.reload()
        expect(page.locator(".plot a").nth(3)).to_be_visible()
        figures["record_drawn_ms"] = page.evaluate("performance.now()")
        assert page.locator(".plot a").count() < 100, "only what is seen is in the document"
        expect(page.locator(".facts").nth(1)).to_contain_text(f"{int(looker.told['requests']):,} requests")
        looker.picture(page, "large-record")
    print(json.dumps({name: round(value, 1) for name, value in figures.items()}))


run(look)
