"""An order's passport is correct for its buyer, also with a screen reader."""

from playwright.sync_api import expect

from tests.browser.conftest import PHONE, Visitor


def test_a_buyer_reads_the_order_s_whole_story(visit: Visitor) -> None:
    visitor = visit()
    page = visitor.page
    page.click("#buy")
    expect(page.locator(".order li[data-status=FULFILLED]")).to_have_attribute("data-reached", "true")
    page.click(".order .passport")
    expect(page.locator("#state")).to_contain_text("FULFILLED")
    assert page.locator("#steps tbody td:nth-child(2)").all_inner_texts() == ["CONFIRMED", "PAID", "FULFILLED"]
    assert page.locator("#events tbody td:nth-child(2)").all_inner_texts() == [
        "order.created",
        "order.confirmed",
        "order.paid",
        "order.fulfilled",
    ]
    assert page.locator("#deliveries tbody tr").count() >= 10
    expect(page.locator("#request")).to_contain_text("POST /api/v1/sync/purchase")
    page.set_viewport_size(PHONE)  # its tables scroll, the page does not
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
    assert visitor.errors == []


def test_it_can_be_read_without_eyes_and_without_a_mouse(visit: Visitor) -> None:
    visitor = visit()
    page = visitor.page
    page.goto(page.url.rstrip("/") + "/orders/0192f000-0000-7000-8000-000000000000/passport")
    expect(page.get_by_role("status")).to_have_text("There is no such order.")
    assert page.get_by_role("heading", level=1).count() == 1
    assert page.get_by_role("heading", level=2).count() == 4
    for table in page.get_by_role("table").all():
        assert table.locator("caption").inner_text()
        assert table.locator("thead th:not([scope=col])").count() == 0
    reached = []
    for _ in range(8):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.getAttribute('aria-labelledby')"))
    assert list(filter(None, reached)) == ["steps-title", "events-title", "deliveries-title"]
