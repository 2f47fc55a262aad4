"""A person's way from a complaint to its cause, by keyboard alone, on real traffic.

Told: `minute` as HH:MM of the failures, `request_id` of one of them, `slow` as the path of a request whose connection
waited to be accepted.
"""

import re

from browser import expect, run, tab_to


# The address names the time from its beginning to its end.
BOTH_ENDS = re.compile(r"since=\d{4}-.*&until=\d{4}-")


def look(looker):
    from_503s_to_the_refused_connect(looker)
    from_a_slow_request_to_the_accept_queue(looker)
    from_an_id_in_a_log_to_the_record(looker)
    from_the_causes_to_an_example(looker)
    from_a_slow_minute_to_its_slowest_request(looker)
    a_link_shows_the_same_tomorrow(looker)
    a_filter_is_the_address(looker)


def heading(page, pattern):
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(pattern))


def from_503s_to_the_refused_connect(looker):
    with looker.page() as page:
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.keyboard.press("/")
        page.keyboard.type(f"503 {looker.told['minute']}")
        page.keyboard.press("Enter")
        heading(page, "^Requests$")
        row = page.get_by_role("row").filter(has_text="/dead").first
        expect(row).to_contain_text("refused the connection")
        tab_to(page, page.locator(".row a").first)
        page.keyboard.press("Enter")
        heading(page, "^503: the service at 127.0.0.1:9 refused the connection")
        connect = page.get_by_role("link", name=re.compile(r"→ 127\.0\.0\.1:9"))
        tab_to(page, connect)
        page.keyboard.press("Enter")
        heading(page, "refused the connection.*1 request")
        expect(page.get_by_role("link", name=re.compile(r"^GET \/dead"))).to_be_visible()
        looker.picture(page, "refused-connect")


def from_a_slow_request_to_the_accept_queue(looker):
    with looker.page("/?view=requests&min_wait_ms=200") as page:
        row = page.get_by_role("row").filter(has_text=looker.told["slow"]).first
        expect(row).to_be_visible()
        tab_to(page, page.locator(".row a").first)
        page.keyboard.press("Enter")
        expect(page.get_by_text("Kernel queues").first).to_be_visible()
        tab_to(page, page.get_by_text("The timeline as a table"))
        page.keyboard.press("Enter")
        expect(page.get_by_role("cell", name="waits to be accepted").first).to_be_visible()
        looker.picture(page, "accept-queue")


def from_an_id_in_a_log_to_the_record(looker):
    with looker.page() as page:
        page.keyboard.press("/")
        page.keyboard.type(looker.told["request_id"])
        page.keyboard.press("Enter")
        heading(page, "^503: ")
        expect(page.get_by_text(looker.told["request_id"])).to_be_visible()
        copy = page.get_by_role("button", name="Copy trace id")
        tab_to(page, copy)
        page.keyboard.press("Enter")
        expect(copy).to_have_text("Copied")
        trace_id = page.evaluate("navigator.clipboard.readText()")
        assert re.fullmatch("[0-9a-f]{32}", trace_id), trace_id
        page.keyboard.press("/")
        page.keyboard.type(trace_id)
        page.keyboard.press("Enter")
        expect(page.get_by_role("link", name=re.compile(r"^GET \/dead"))).to_be_visible()


def from_the_causes_to_an_example(looker):
    with looker.page() as page:
        heading(page, "^Most trouble is")
        cause = page.get_by_role("link", name="connect refused")
        tab_to(page, cause)
        page.keyboard.press("Enter")
        heading(page, "^Requests$")
        assert "cause=connect_refused" in page.url, page.url
        page.go_back()
        heading(page, "^Most trouble is")
        example = page.get_by_role("link", name=re.compile("^503: the service"))
        tab_to(page, example)
        page.keyboard.press("Enter")
        heading(page, "^503: the service")


def from_a_slow_minute_to_its_slowest_request(looker):
    with looker.page() as page:
        page.keyboard.press("/")
        page.keyboard.type(f"p99 {looker.told['minute']}")
        page.keyboard.press("Enter")
        heading(page, "^Requests$")
        expect(page.locator(".row")).to_have_count(1)
        expect(page.locator(".row")).to_contain_text(looker.told["slow"])


def a_link_shows_the_same_tomorrow(looker):
    """What leads on from the causes names its time, and so does the address of what was told from now."""
    with looker.page() as page:
        heading(page, "^Most trouble is")
        counted = page.locator(".figure").first.inner_text()
        page.get_by_role("link", name="Link to this time").click()
        page.wait_for_url(BOTH_ENDS)
        heading(page, "^Most trouble is")
        assert page.locator(".figure").first.inner_text().split(" in ")[0].split(" from ")[0] == counted.split(" in ")[0]
        looker.picture(page, "causes-of-a-time")
        whole = page.url
        page.locator(".chart .pick").first.click()
        page.wait_for_url(lambda url: url != whole)
        heading(page, "^Most trouble is")
        page.get_by_role("link", name="connect refused").click()
        heading(page, "^Requests$")
        assert BOTH_ENDS.search(page.url), page.url
        expect(page.locator(".row").first).to_contain_text("/dead")
    with looker.page("/?view=requests&since=15m") as page:
        expect(page.locator(".row").first).to_be_visible()
        assert re.search(r"since=\d{4}-", page.url), page.url


def a_filter_is_the_address(looker):
    with looker.page("/?view=connections&outcome=refused") as page:
        expect(page.get_by_label("Outcome")).to_have_value("refused")
        expect(page.locator(".row").first).to_contain_text("refused")
        page.get_by_label("Outcome").select_option("closed")
        page.wait_for_url(re.compile("outcome=closed"))
        expect(page.locator(".row").first).to_contain_text("closed")
    with looker.page("/?view=requests&status=nonsense") as page:
        expect(page.get_by_role("alert")).to_contain_text("status")


run(look)
