"""axe-core reports no violation on any page, with light and dark colors."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import PHONE, Visitor, admin, ask, pending_order, restock, shelf_held
from tests.local.running_shop import RunningShop

pytestmark = pytest.mark.parametrize("scheme", ["light", "dark"])


def assert_accessible(page: Page) -> None:
    """Check the page by all rules of axe-core, and that at least those on contrast and names were applied."""
    results = Axe().run(page, options={"resultTypes": ["violations", "passes"]})
    assert results.violations_count == 0, results.generate_report()
    tried = {rule["id"] for rule in results.response["passes"]}
    assert {"color-contrast", "document-title", "page-has-heading-one"} <= tried


def test_the_sale_and_the_list(visit: Visitor, scheme: str) -> None:
    page = visit(scheme=scheme).page
    page.click("#buy")
    expect(page.locator(".order li[data-status=FULFILLED]")).to_have_attribute("data-reached", "true")
    expect(page.locator("#products > li")).not_to_have_count(0)
    assert_accessible(page)


def test_the_sale_when_it_is_sold_out_on_a_phone(shop: RunningShop, visit: Visitor, scheme: str) -> None:
    restock(shop, 0)
    try:
        page = visit(PHONE, scheme).page
        expect(page.locator("#buy")).to_have_text("Sold out")
        assert_accessible(page)
    finally:
        restock(shop, 1000)


def test_a_product(shop: RunningShop, visit: Visitor, scheme: str) -> None:
    page = visit(scheme=scheme).page
    page.goto(shop.url + "/products/1")
    expect(page.locator("#connection")).to_have_text("Live")
    expect(page.locator("#left")).not_to_have_text("–")
    page.click("#add")
    expect(page.locator("#to-cart")).to_be_visible()
    assert_accessible(page)
    page.goto(shop.url + "/products/28")
    expect(page.locator("#add")).to_have_text("Sold out")
    assert_accessible(page)


def test_a_product_whose_sale_is_to_come(shop: RunningShop, visit: Visitor, scheme: str) -> None:
    goods = {"sku": f"TO-COME-{scheme}", "name": "Something to come", "price": 5}
    product = ask(shop, "POST", "/api/v1/products", goods, admin(shop))["productId"]
    times = {"startsAt": "2100-01-01T00:00:00Z", "endsAt": "2100-01-02T00:00:00Z"}
    ask(shop, "POST", "/api/v1/flash-sales", {"productId": product, "price": 4, "units": 5, **times}, admin(shop))
    page = visit(PHONE, scheme).page
    page.goto(f"{shop.url}/products/{product}")
    expect(page.locator("#begins")).to_contain_text("The sale starts at")
    expect(page.locator("#left")).to_have_text("5")
    assert_accessible(page)


def test_a_product_that_is_not_there(shop: RunningShop, visit: Visitor, scheme: str) -> None:
    page = visit(scheme=scheme).page
    page.goto(shop.url + "/products/no-such-thing")
    expect(page.locator("#message")).to_contain_text("There is no such product.")
    assert_accessible(page)


def test_a_cart_with_a_line_that_is_short_and_an_empty_one(shop: RunningShop, visit: Visitor, scheme: str) -> None:
    page = visit(scheme=scheme).page
    page.goto(shop.url + "/products/25")
    page.fill("#qty", "201")
    page.click("#add")
    expect(page.locator("#to-cart")).to_be_visible()
    page.goto(shop.url + "/cart")
    expect(page.locator(".problem")).to_be_visible()
    expect(page.locator("#connection")).to_have_text("Live")
    page.click("#checkout")
    expect(page.locator("#message")).to_have_attribute("data-kind", "bad")
    assert_accessible(page)
    page.get_by_role("button", name="Remove").click()
    expect(page.locator("#empty")).to_be_visible()
    assert_accessible(page)


def test_an_order_the_list_of_orders_and_the_passport(shop: RunningShop, visit: Visitor, scheme: str) -> None:
    page = visit(scheme=scheme).page
    with shelf_held(shop, 3):
        page.goto(shop.url + pending_order(page, 3))
        expect(page.locator("#cancel")).to_be_visible()
        assert_accessible(page)
        page.click("#cancel")
        expect(page.locator(".order li[data-status=CANCELED]")).to_have_attribute("data-reached", "true")
    assert_accessible(page)
    order = page.url
    page.goto(shop.url + "/orders")
    expect(page.locator("#orders li")).to_have_count(1)
    assert_accessible(page)
    page.goto(order + "/passport")
    expect(page.locator("#state")).to_contain_text("CANCELED")
    assert_accessible(page)
