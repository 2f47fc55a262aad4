"""A list that is looked at while records come: they are told, not asked for, and none is left out while nobody looks.

Records come as long as this runs, a new one each moment. Told: nothing.
"""

import re

from browser import expect, run

LISTS = re.compile(r"/v1/requests(\?|$)")


def look(looker):
    with looker.page() as page:
        streams, questions = [], []
        page.on("request", lambda request: (streams if "event-stream" in request.headers.get("accept", "") else questions).append(request) if LISTS.search(request.url) else None)
        page.goto(looker.base + "/?view=requests")
        expect(page.locator(".row").first).to_be_visible()
        wait_for_more(page, 20)
        assert len(streams) == 1, [stream.url for stream in streams]
        assert len(questions) <= 4, "they were asked for"
        # Nobody looks for a while: the stream is given up, and goes on later.
        page.evaluate(AWAY, True)
        page.wait_for_timeout(1500)
        page.evaluate(AWAY, False)
        wait_for_more(page, 20)
        assert any("last-event-id" in stream.headers for stream in streams), "it began anew, and did not go on"
        page.locator("#live").uncheck()
        ids = set(page.evaluate(SEEN))
        numbers = sorted(int(one, 16) for one in ids)
        assert numbers == list(range(numbers[0], numbers[-1] + 1)), "some were left out"


# What a browser does when another tab is shown.
AWAY = """away => {
  Object.defineProperty(document, 'hidden', { configurable: true, get: () => away });
  document.dispatchEvent(new Event('visibilitychange'));
}"""

# The ids of all rows, read by scrolling through them.
SEEN = """async () => {
  const place = document.querySelector('.scroll'), ids = new Set();
  for (place.scrollTop = 0; ; place.scrollTop += 200) {
    await new Promise(requestAnimationFrame); await new Promise(requestAnimationFrame);
    for (const link of document.querySelectorAll('.row a')) ids.add(new URL(link.href).searchParams.get('request'));
    if (place.scrollTop + place.clientHeight >= place.scrollHeight - 1) return [...ids];
  }
}"""


def wait_for_more(page, count):
    size = "() => parseInt(document.getElementById('counted').textContent.replace(',', ''))"
    before = page.evaluate(size)
    page.wait_for_function(f"(least) => ({size})() >= least", arg=before + count)


run(look)
