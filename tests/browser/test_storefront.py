"""The storefront works for a visitor, from list to product, cart and order."""

import json
import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from pulsecart.admin.demo import GOODS
from tests.browser.conftest import (
    PHONE,
    Visitor,
    admin,
    ask,
    buy,
    pending_order,
    restock,
    shelf_held,
    stock,
    tab_to,
)
from tests.client import connect
from tests.local.running_shop import RunningShop, eventually

LAMP, LAMP_PRICE = 3, 34.5
ANY = {"if-match": "*"}
FULFILLED = ".order li[data-status=FULFILLED]"


def reaches_its_end(page: Page) -> None:
    expect(page.locator(FULFILLED)).to_have_attribute("data-reached", "true")


def put_in_cart(page: Page, product: int, qty: int = 1) -> None:
    page.goto(f"{origin(page)}/products/{product}")
    expect(page.locator("#add")).to_be_enabled()
    page.fill("#qty", str(qty))
    page.click("#add")
    expect(page.locator("#message")).to_have_attribute("data-kind", "good")


def origin(page: Page) -> str:
    return str(page.evaluate("location.origin"))


@contextmanager
def priced(shop: RunningShop, product: int, price: float) -> Iterator[None]:
    """Change the list price as an admin."""
    before = change_price(shop, product, price)
    try:
        yield
    finally:
        change_price(shop, product, before)


def change_price(shop: RunningShop, product: int, price: float) -> float:
    """Change the price; return the previous one."""
    url = f"{shop.url}/api/v1/products/{product}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        found, etag = json.loads(answer.read()), answer.headers["etag"]
    kept = {name: found[name] for name in ("sku", "name", "description", "category", "currency")}
    raw = json.dumps(kept | {"price": price}).encode()
    headers = {"content-type": "application/json", "if-match": etag, **admin(shop)}
    with urllib.request.urlopen(urllib.request.Request(url, raw, headers, method="PUT"), timeout=10):
        pass
    eventually(lambda: ask(shop, "GET", f"/api/v1/products/{product}")["price"] == price, "the price is shown")
    return float(found["price"])


def orders_of(shop: RunningShop, page: Page) -> list[Any]:
    """Return the orders as PostgreSQL has them: a copy may be late."""
    buyer = page.evaluate("localStorage.buyer")
    with connect(shop.database_url) as connection:
        return connection.execute("SELECT order_id FROM orders WHERE buyer_id = %s", (buyer,)).fetchall()


def test_from_the_list_over_product_and_cart_to_an_order_on_its_way(shop: RunningShop, visit: Visitor) -> None:
    visitor = visit()
    page = visitor.page
    page.fill("#q", "lamp")
    page.press("#q", "Enter")
    expect(page.locator("#products > li")).to_have_count(1)
    page.click("#products a")
    expect(page.get_by_role("heading", level=1)).to_have_text("Desk lamp")
    expect(page.locator("#price")).to_have_text("$34.50")
    page.fill("#qty", "2")
    page.click("#add")
    page.click("#to-cart a")
    expect(page.locator("#lines li")).to_have_count(1)
    expect(page.locator("#total")).to_have_text("$69.00")
    page.click("#checkout")
    reaches_its_end(page)
    assert visitor.steps() == ["Ordered", "Reserved", "Paid", "On its way"]
    expect(page.locator("#lines a")).to_have_text("Desk lamp")
    expect(page.locator(".order .amount")).to_have_text("$69.00")
    page.click("nav a[href='/orders']")
    expect(page.locator("#orders li")).to_contain_text("is on its way")
    page.click("#orders a")
    page.click(".passport")
    expect(page.locator("#state")).to_contain_text("FULFILLED")
    page.click("nav a[href='/cart']")
    expect(page.locator("#empty")).to_be_visible()
    assert visitor.errors == []
    assert [url for url in visitor.requested if not url.startswith((shop.url, "data:"))] == []


def test_a_price_changed_meanwhile_is_shown_in_its_line_and_charged_only_when_accepted(
    shop: RunningShop, visit: Visitor
) -> None:
    page = visit().page
    put_in_cart(page, LAMP)
    page.goto(origin(page) + "/cart")
    expect(page.locator("#total")).to_have_text("$34.50")
    with priced(shop, LAMP, 39.9):
        page.click("#checkout")
        expect(page.locator(".problem")).to_contain_text("from $34.50 to $39.90")
        assert orders_of(shop, page) == []
        page.click("#checkout")
        expect(page.locator("#message")).to_contain_text("Accept the new price")
        expect(page.get_by_label("Accept the new price")).to_be_focused()
        assert orders_of(shop, page) == []
        page.keyboard.press("Space")
        page.click("#checkout")
        reaches_its_end(page)
        expect(page.locator(".order .amount")).to_have_text("$39.90")


def test_bought_at_once_only_at_the_price_beside_the_button(shop: RunningShop, visit: Visitor) -> None:
    page = visit().page
    page.goto(f"{origin(page)}/products/{LAMP}")
    expect(page.locator("#price")).to_have_text("$34.50")
    expect(page.locator("#buy")).to_be_enabled()
    with priced(shop, LAMP, 29.9):
        page.click("#buy")
        expect(page.locator("#message")).to_contain_text("The price is now $29.90")
        expect(page.locator("#price")).to_have_text("$29.90")
        assert orders_of(shop, page) == []
        page.click("#buy")
        reaches_its_end(page)
        expect(page.locator(".order .amount")).to_have_text("$29.90")


def test_the_sale_sells_only_at_the_price_beside_its_button(shop: RunningShop, visit: Visitor) -> None:
    restock(shop, 1000)
    page = visit().page
    expect(page.locator("#buy")).to_have_text("Buy now — $49.90")
    page.route("**/api/v1/sales", lambda route: route.abort())  # the event about the change is too late
    (sale,) = ask(shop, "GET", "/api/v1/flash-sales")["sales"]
    ask(shop, "PUT", f"/api/v1/flash-sales/{sale['saleId']}", {"price": 59.9}, admin(shop) | ANY)
    try:
        page.click("#buy")
        expect(page.locator("#message")).to_contain_text("The price is now $59.90")
        expect(page.locator("#price")).to_have_text("$59.90")
        assert orders_of(shop, page) == []
        page.click("#buy")
        reaches_its_end(page)
        expect(page.locator(".order .amount")).to_have_text("$59.90")
    finally:
        ask(shop, "PUT", f"/api/v1/flash-sales/{sale['saleId']}", {"price": 49.9}, admin(shop) | ANY)


def test_a_line_that_is_short_says_so_and_takes_what_is_left(shop: RunningShop, visit: Visitor) -> None:
    page = visit().page
    put_in_cart(page, 26, qty=5)
    ask(shop, "PUT", "/api/v1/sync/stock/26/reset?stock=3")
    page.goto(origin(page) + "/cart")
    expect(page.locator(".problem")).to_contain_text("only 3 are left")
    page.click("#checkout")
    expect(page.get_by_role("button", name="Take 3")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#total")).to_have_text("$267.00")
    page.click("#checkout")
    reaches_its_end(page)


def test_what_an_anonymous_visitor_put_in_is_theirs_after_signing_in(visit: Visitor) -> None:
    page = visit().page
    put_in_cart(page, LAMP)
    assert [one["name"] for one in page.context.cookies()] == ["pulsecart_cart"]
    page.goto(origin(page) + "/cart")
    expect(page.locator("#lines li")).to_have_count(1)
    assert [one["name"] for one in page.context.cookies()] == ["pulsecart_session"]
    put_in_cart(page, 4, qty=2)
    page.goto(origin(page) + "/cart")
    expect(page.locator("#lines li")).to_have_count(2)
    page.get_by_role("button", name="Remove Desk lamp").click()
    expect(page.locator("#lines li")).to_have_count(1)
    expect(page.locator("#message")).to_have_text("Desk lamp was taken out.")
    expect(page.locator("#title")).to_be_focused()


def test_a_session_that_the_shop_no_longer_knows_is_replaced(shop: RunningShop, visit: Visitor) -> None:
    page = visit().page
    page.context.add_cookies([{"name": "pulsecart_session", "value": "of.another.day", "url": shop.url}])
    put_in_cart(page, LAMP)
    page.goto(shop.url + "/cart")
    expect(page.locator("#lines li")).to_have_count(1)


def test_the_product_shows_its_stock_live_and_sold_out_at_once(shop: RunningShop, visit: Visitor) -> None:
    restock(shop, 1000)
    page = visit().page
    page.goto(origin(page) + "/products/1")
    expect(page.locator("#left")).to_have_text("1,000")
    expect(page.locator("#badge")).to_be_visible()
    buy(shop, 601)
    expect(page.locator("#left")).to_have_text("999")
    restock(shop, 0)
    expect(page.locator("#add")).to_have_text("Sold out")
    expect(page.locator("#add")).to_be_disabled()
    restock(shop, 1000)
    expect(page.locator("#add")).to_be_enabled()


def test_a_sale_to_come_is_said_wherever_its_product_is_and_sells_when_it_begins(
    shop: RunningShop, visit: Visitor
) -> None:
    goods = {"sku": "TENT-1", "name": "Tent for two", "price": 80}
    product = ask(shop, "POST", "/api/v1/products", goods, admin(shop))["productId"]
    product_page, cart = visit().page, visit().page
    begins = datetime.now(UTC) + timedelta(hours=1)
    times = {"startsAt": begins.isoformat(), "endsAt": "2100-01-01T00:00:00Z"}
    sale = {"productId": product, "price": 60, "units": 5, **times}
    sale_id = ask(shop, "POST", "/api/v1/flash-sales", sale, admin(shop))["saleId"]
    product_page.goto(f"{shop.url}/products/{product}")
    expect(product_page.locator("#begins")).to_contain_text("The sale starts at")
    expect(product_page.locator("#begins")).to_contain_text("at $60.00.")
    expect(product_page.locator("#add")).to_have_text("Not open yet")
    for button in ("#add", "#buy"):
        expect(product_page.locator(button)).to_be_disabled()
        expect(product_page.locator(button)).to_have_accessible_description(re.compile("The sale starts at"))
    cart.goto(shop.url + "/?sort=-created")
    expect(cart.locator("#products > li", has_text="Tent for two")).to_contain_text("Sale starts at")
    put_in_cart(cart, LAMP)
    held = f"/api/v1/carts/mine/items/{product}"
    put = "(path) => fetch(path, {method: 'PUT', body: JSON.stringify({qty: 1})})"
    cart.evaluate(put, held)
    cart.goto(shop.url + "/cart")
    expect(cart.locator(".problem")).to_contain_text("You can buy it when its sale starts at")
    with connect(shop.database_url) as connection:  # an hour later
        connection.execute("UPDATE flash_sales SET starts_at = now() WHERE sale_id = %s", (sale_id,))
    ask(shop, "PUT", f"/api/v1/flash-sales/{sale_id}", {"price": 55}, admin(shop) | ANY)
    expect(product_page.locator("#add")).to_have_text("Add to cart")
    expect(product_page.locator("#price")).to_have_text("$55.00")
    expect(product_page.locator("#begins")).to_be_hidden()
    expect(product_page.locator("#buy")).to_have_accessible_description("")


def test_the_list_is_searched_filtered_sorted_and_gone_on_with_and_its_address_says_how(
    shop: RunningShop, visit: Visitor
) -> None:
    for number in range(15):
        body = {"sku": f"CARD-{number:02}", "name": f"Postcard {number:02}", "price": 1 + number, "category": "Paper"}
        ask(shop, "POST", "/api/v1/products", body, admin(shop))
    page = visit().page
    page.goto(shop.url + "/?category=Paper&sort=-price")
    names = page.locator("#products h3")
    expect(names).to_have_count(12)
    expect(page.locator("#category")).to_have_value("Paper")
    kinds = sorted({*(product.category for product in GOODS), "Paper"})
    expect(page.locator("#category option")).to_have_text(["All", *kinds])
    page.click("#more")
    expect(names).to_have_count(15)
    assert names.all_inner_texts() == [f"Postcard {number:02}" for number in reversed(range(15))]
    expect(page.locator("#more")).to_be_hidden()
    expect(page.locator("#products a").nth(12)).to_be_focused()
    page.select_option("#sort", "price")
    expect(names.first).to_have_text("Postcard 00")
    assert page.url.endswith("/?category=Paper&sort=price")
    page.go_back()
    expect(names.first).to_have_text("Postcard 14")
    expect(page.locator("#sort")).to_have_value("-price")
    page.fill("#q", "nothing like it")
    page.press("#q", "Enter")
    expect(page.locator("#found")).to_contain_text("Try other words")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/products/no-such-thing", "There is no such product."),
        ("/orders/0192f000-0000-7000-8000-000000000000", "There is no such order."),
    ],
)
def test_what_is_not_there_is_said_in_a_sentence(visit: Visitor, path: str, words: str) -> None:
    page = visit().page
    page.goto(origin(page) + path)
    expect(page.locator("#message")).to_contain_text(words)
    expect(page.locator("#message")).to_have_attribute("data-kind", "bad")


def test_an_order_that_could_not_be_charged_is_paid_by_its_buyer_s_word(shop: RunningShop, visit: Visitor) -> None:
    page = visit().page
    ask(shop, "PUT", "/api/v1/payments/simulator", {"mode": "fail"})
    try:
        page.goto(f"{origin(page)}/products/{LAMP}")
        page.click("#buy")
        expect(page.locator(".order li[data-status=CONFIRMED]")).to_have_attribute("data-reached", "true")
        page.goto(origin(page) + str(page.locator(".order header a").get_attribute("href")))
        expect(page.locator("#pay")).to_be_visible()
        tab_to(page, "#pay")
    finally:
        ask(shop, "PUT", "/api/v1/payments/simulator", {"mode": "approve"})
    page.keyboard.press("Enter")
    expect(page.locator(FULFILLED)).to_have_attribute("data-reached", "true")
    expect(page.locator("#pay")).to_be_hidden()


def test_an_order_is_canceled_while_it_waits_for_its_stock_and_not_later(shop: RunningShop, visit: Visitor) -> None:
    page = visit().page
    with shelf_held(shop, LAMP):
        page.goto(origin(page) + pending_order(page, LAMP))
        page.click("#cancel")
        expect(page.locator(".order li[data-status=CANCELED]")).to_have_attribute("data-reached", "true")
    expect(page.locator(".outcome")).to_have_text("You canceled it.")
    expect(page.locator("#cancel")).to_be_hidden()
    page.goto(f"{origin(page)}/products/{LAMP}")
    page.click("#buy")
    reaches_its_end(page)
    expect(page.locator("#cancel")).to_be_hidden()


def test_the_keyboard_is_enough_from_the_list_to_the_order(visit: Visitor) -> None:
    page = visit().page
    expect(page.locator("#products > li")).not_to_have_count(0)
    tab_to(page, "#q")
    page.keyboard.type("notebook")
    page.keyboard.press("Enter")
    expect(page.locator("#products > li")).to_have_count(1)
    tab_to(page, "#products a")
    page.keyboard.press("Enter")
    expect(page.locator("#add")).to_be_enabled()
    tab_to(page, "#add")
    page.keyboard.press("Enter")
    expect(page.locator("#to-cart")).to_be_visible()
    expect(page.locator("#add")).to_be_focused()
    tab_to(page, "#to-cart a")
    page.keyboard.press("Enter")
    expect(page.locator("#checkout")).to_be_visible()
    tab_to(page, "#lines input")
    for _ in range(3):
        page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.locator("#total")).to_have_text("$51.60")
    expect(page.locator("#lines input")).to_be_focused()
    tab_to(page, "#checkout")
    page.keyboard.press("Enter")
    reaches_its_end(page)


def test_on_a_phone_no_page_scrolls_sideways(visit: Visitor) -> None:
    page = visit(PHONE).page
    assert fits(page)
    put_in_cart(page, 1)
    put_in_cart(page, LAMP)
    assert fits(page)
    page.goto(origin(page) + "/cart")
    expect(page.locator("#lines li")).to_have_count(2)
    assert fits(page)
    for button in page.get_by_role("button").all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 44
    page.click("#checkout")
    reaches_its_end(page)
    assert fits(page)
    page.goto(origin(page) + "/orders")
    expect(page.locator("#orders li")).to_have_count(1)
    assert fits(page)


def fits(page: Page) -> bool:
    width, shown = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
    return bool(width <= shown == PHONE["width"])


def test_product_and_cart_recover_by_themselves_after_the_server_was_killed(shop: RunningShop, visit: Visitor) -> None:
    restock(shop, 1000)
    product, cart = visit().page, visit().page
    product.goto(origin(product) + "/products/1")
    put_in_cart(cart, LAMP)
    cart.goto(origin(cart) + "/cart")
    for page in (product, cart):
        expect(page.locator("#connection")).to_have_text("Live")
    shop.kill("host")
    cart.click("#checkout")
    reaches_its_end(cart)
    assert len(orders_of(shop, cart)) == 1
    eventually(lambda: shop.get("/readyz") == 200, "the shop is ready again")
    buy(shop, 602)
    expect(product.locator("#left")).to_have_text(f"{stock(shop):,}")
    expect(product.locator("#connection")).to_have_text("Live")


def test_a_price_is_shown_with_the_digits_of_its_currency_and_bought_at_that(shop: RunningShop, visit: Visitor) -> None:
    page = visit().page
    for currency, price, shown in (
        ("VND", 25000, "₫25,000"),
        ("IQD", 1.125, "IQD\u00a01.125"),
        ("UYW", 1.2345, "UYW\u00a01.2345"),
    ):
        goods = {"sku": f"D-{currency}", "name": currency, "price": price, "currency": currency}
        product = ask(shop, "POST", "/api/v1/products", goods, headers=admin(shop))["productId"]
        ask(shop, "POST", f"/api/v1/sync/stock/init/{product}?stock=5", headers=admin(shop))
        page.goto(f"{origin(page)}/products/{product}")
        expect(page.locator("#price")).to_have_text(shown)
    page.click("#buy")
    expect(page.locator(".order .amount")).to_have_text(shown)
