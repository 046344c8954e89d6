"""The sale page works for a visitor."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import PHONE, Visitor, ask, buy, restock, stock, tab_to
from tests.local.running_shop import RunningShop, eventually

WHOLE_STORY = ["Ordered", "Reserved", "Paid", "On its way"]


@pytest.mark.parametrize("path", ["sync", "async"])
def test_a_buyer_watches_the_order_go_all_the_way(visit: Visitor, path: str) -> None:
    visitor = visit()
    page = visitor.page
    page.check(f"input[value={path}]")
    page.click("#buy")
    expect(page.locator("#message")).to_have_attribute("data-kind", "good")
    expect(page.locator(".order li[data-status=FULFILLED]")).to_have_attribute("data-reached", "true")
    assert visitor.steps() == WHOLE_STORY
    times = page.locator(".order li[data-reached=true] time").evaluate_all("all => all.map(one => one.dateTime)")
    assert all(times)
    assert times == sorted(times)
    expect(page.locator("#spoken")).to_have_text("Your order is on its way.")
    assert visitor.errors == []


def test_a_declined_payment_ends_the_story_with_its_reason_and_the_unit_comes_back(
    shop: RunningShop, visit: Visitor
) -> None:
    restock(shop, 1000)
    ask(shop, "PUT", "/api/v1/payments/simulator", {"mode": "decline"})
    try:
        visitor = visit()
        visitor.page.click("#buy")
        expect(visitor.page.locator(".order li[data-status=CANCELED]")).to_be_visible()
        expect(visitor.page.locator(".order .outcome")).to_have_text("The payment was declined.")
        expect(visitor.page.locator("#message")).to_have_attribute("data-kind", "bad")
        assert visitor.steps() == ["Ordered", "Reserved", "Canceled"]
        expect(visitor.page.locator("#left")).to_have_text("1,000")
    finally:
        ask(shop, "PUT", "/api/v1/payments/simulator", {"mode": "approve"})


def test_an_order_is_still_there_after_reloading_the_page(visit: Visitor) -> None:
    visitor = visit()
    visitor.page.click("#buy")
    expect(visitor.page.locator(".order li[data-status=FULFILLED]")).to_have_attribute("data-reached", "true")
    before = visitor.page.inner_text(".order")
    visitor.page.reload()
    expect(visitor.page.locator(".order li[data-status=FULFILLED]")).to_have_attribute("data-reached", "true")
    assert visitor.page.inner_text(".order") == before


def test_the_stock_bar_moves_when_someone_else_buys(shop: RunningShop, visit: Visitor) -> None:
    restock(shop, 1000)
    visitor = visit()
    expect(visitor.page.locator("#left")).to_have_text("1,000")
    buy(shop, 501)
    expect(visitor.page.locator("#left")).to_have_text("999")
    expect(visitor.page.locator("#bar")).to_have_attribute("aria-valuenow", "999")
    expect(visitor.page.locator("#bar")).to_have_attribute("data-low", "false")
    # A reset makes the page ask again how many units there ever were; one of six is few before and after its answer.
    restock(shop, 6)
    expect(visitor.page.locator("#left")).to_have_text("6")
    for buyer in range(502, 507):
        buy(shop, buyer)
    expect(visitor.page.locator("#left")).to_have_text("1")
    expect(visitor.page.locator("#bar")).to_have_attribute("data-low", "true")


def test_sold_out_is_seen_at_once_and_so_is_a_unit_that_comes_back(shop: RunningShop, visit: Visitor) -> None:
    restock(shop, 1)
    visitor = visit()
    expect(visitor.page.locator("#buy")).to_be_enabled()
    buy(shop, 502)
    expect(visitor.page.locator("#buy")).to_be_disabled()
    expect(visitor.page.locator("#buy")).to_have_text("Sold out")
    expect(visitor.page.locator("#left")).to_have_text("0")
    restock(shop, 1000)
    expect(visitor.page.locator("#buy")).to_be_enabled()


def test_signing_out_ends_the_session_and_forgets_the_buyer(shop: RunningShop, visit: Visitor) -> None:
    page = visit().page
    page.click("#buy")
    expect(page.locator("#message")).to_have_attribute("data-kind", "good")
    before = page.inner_text("#buyer")
    assert any(cookie["name"] == "pulsecart_session" for cookie in page.context.cookies())
    tab_to(page, "#sign-out")
    page.keyboard.press("Enter")
    expect(page.locator("#buyer")).not_to_have_text(before)
    expect(page.locator("#connection")).to_have_text("Live")
    expect(page.locator("#none")).to_be_visible()
    assert not any(cookie["name"] == "pulsecart_session" for cookie in page.context.cookies())
    for path in ("/cart", "/orders"):
        page.goto(shop.url + path)
        expect(page.get_by_role("button", name="Sign out")).to_be_visible()


def test_a_tab_buys_as_the_buyer_that_it_shows_though_another_tab_became_another(
    shop: RunningShop, visit: Visitor
) -> None:
    restock(shop, 1000)
    page = visit().page
    page.click("#buy")
    expect(page.locator("#message")).to_have_attribute("data-kind", "good")
    other = page.context.new_page()
    other.goto(shop.url)
    expect(other.locator("#again")).to_be_enabled()
    other.click("#again")
    expect(other.locator("#message")).to_have_attribute("data-kind", "good")
    assert other.inner_text("#buyer") != page.inner_text("#buyer")
    page.click("#buy")
    expect(page.locator(".order")).to_have_count(2)
    expect(page.locator("#message")).to_have_attribute("data-kind", "good")


def test_more_than_one_buyer_may_have_is_refused_in_words_and_a_new_buyer_may(visit: Visitor) -> None:
    visitor = visit()
    page = visitor.page
    for count in (1, 2):
        page.click("#buy")
        expect(page.locator(".order")).to_have_count(count)
        expect(page.locator("#buy")).to_be_enabled()
    page.click("#buy")
    expect(page.locator("#message")).to_have_attribute("data-kind", "bad")
    assert page.inner_text("#message").strip()
    first = page.inner_text("#buyer")
    page.click("#again")
    expect(page.locator(".order")).to_have_count(3)
    assert page.inner_text("#buyer") != first
    expect(page.locator(".order").first.locator("li[data-status=FULFILLED]")).to_have_attribute("data-reached", "true")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_scrolls_sideways(visit: Visitor, scheme: str) -> None:
    visitor = visit(PHONE, scheme)
    visitor.page.click("#buy")
    expect(visitor.page.locator(".order li[data-status=FULFILLED]")).to_have_attribute("data-reached", "true")
    width, shown = visitor.page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    assert width <= shown == PHONE["width"]
    for selector in ("#buy", "#again"):
        box = visitor.page.locator(selector).bounding_box()
        assert box is not None
        assert box["height"] >= 44


def test_the_keyboard_is_enough(visit: Visitor) -> None:
    visitor = visit()
    page = visitor.page
    page.keyboard.press("Tab")
    expect(page.locator(".skip").first).to_be_focused()
    tab_to(page, "input[value=sync]")
    page.keyboard.press("ArrowDown")
    expect(page.locator("input[value=async]")).to_be_checked()
    page.keyboard.press("Tab")
    expect(page.locator("#buy")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator(".order")).to_have_count(1)


def test_what_is_on_the_page_has_an_accessible_name(visit: Visitor) -> None:
    page = visit().page
    expect(page.get_by_role("meter", name="Units left")).to_be_visible()
    expect(page.get_by_role("group", name="How do you want to buy?")).to_be_visible()
    expect(page.get_by_role("radio", name="At once")).to_be_visible()
    expect(page.get_by_role("button", name="Buy now")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("Pulse One headphones")
    assert page.locator("#connection").get_attribute("role") == "status"


def test_the_page_asks_no_one_but_its_shop(shop: RunningShop, visit: Visitor) -> None:
    visitor = visit()
    visitor.page.click("#buy")
    expect(visitor.page.locator(".order")).to_have_count(1)
    assert [url for url in visitor.requested if not url.startswith((shop.url, "data:"))] == []


def test_a_page_no_one_looks_at_holds_no_connection(visit: Visitor) -> None:
    visitor = visit()
    assert visitor.open_streams == 2
    for hidden, streams in (("true", 0), ("false", 2)):
        visitor.page.evaluate(
            f"Object.defineProperty(document, 'hidden', {{value: {hidden}, configurable: true}});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        assert visitor.open_streams == streams
    expect(visitor.page.locator("#connection")).to_have_text("Live")


def test_after_the_server_was_killed_the_page_recovers_by_itself_and_shows_the_truth(
    shop: RunningShop, visit: Visitor
) -> None:
    restock(shop, 1000)
    visitor = visit()
    shop.kill("host")
    eventually(lambda: shop.get("/readyz") == 200, "the shop is ready again")
    buy(shop, 503)
    expect(visitor.page.locator("#left")).to_have_text(f"{stock(shop):,}")
    expect(visitor.page.locator("#connection")).to_have_text("Live")
    visitor.page.click("#buy")
    expect(visitor.page.locator(".order li[data-status=FULFILLED]")).to_have_attribute("data-reached", "true")
    expect(visitor.page.locator("#left")).to_have_text(f"{stock(shop):,}")


def test_after_redis_was_killed_the_page_shows_the_truth_again(shop: RunningShop, visit: Visitor) -> None:
    restock(shop, 1000)
    visitor = visit()
    shop.kill("valkey")
    eventually(lambda: shop.get("/readyz") == 200, "the shop is ready again")
    restock(shop, 700)
    expect(visitor.page.locator("#left")).to_have_text("700")


def test_a_purchase_whose_answers_are_lost_is_made_once(shop: RunningShop, visit: Visitor) -> None:
    restock(shop, 1000)
    visitor = visit()
    page = visitor.page
    page.evaluate(
        "const real = window.fetch; let lost = 0;"
        "window.fetch = async (...all) => {"
        "  const answer = await real(...all);"
        "  if (String(all[0]).includes('purchase') && lost++ < 2) throw new TypeError('the answer was lost');"
        "  return answer; }"
    )
    page.click("#buy")
    expect(page.locator("#message")).to_have_text("Your purchase succeeded.")
    expect(page.locator(".order")).to_have_count(1)
    assert stock(shop) == 999
    buyer = page.inner_text("#buyer")
    expect(page.locator(".order li[data-status=FULFILLED]")).to_have_attribute("data-reached", "true")
    assert len(ask(shop, "GET", f"/api/v1/customers/{buyer}/orders")["orders"]) == 1
