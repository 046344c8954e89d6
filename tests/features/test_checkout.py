"""Defines the steps of checkout.feature, on a whole shop."""

import re
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from pytest_bdd import given, parsers, scenarios, then, when

from pulsecart.admin.demo import GOODS
from tests.client import Answered
from tests.features.conftest import awaited
from tests.flows.small_shop import SmallShop

scenarios("checkout.feature")
ADA, OTHER_BUYER = 815, 816
PRODUCTS = {product.name: product.product_id for product in GOODS}
WHOLE_STORY = ["CONFIRMED", "PAID", "FULFILLED"]


@dataclass
class Ada:
    """Holds the scenario's buyer: her cart, her newest answer, and whether the queue is held for her."""

    shop: SmallShop
    cart_id: str = ""
    accepts: list[dict[str, Any]] = field(default_factory=list)
    answer: Answered | None = None
    queue: ExitStack = field(default_factory=ExitStack)

    async def ask(self, method: str, path: str, body: Any = None, key: str = "") -> Any:
        headers = {"idempotency_key": key} if key else {}
        self.answer = await self.shop.client.ask(method, path, body, **headers)
        return self.answer.body

    async def put(self, product: str, qty: int) -> None:
        if not self.cart_id:
            self.cart_id = (await self.ask("POST", "/api/v1/carts", {"userId": ADA}))["cartId"]
        await self.ask("PUT", f"/api/v1/carts/{self.cart_id}/items/{PRODUCTS[product]}", {"qty": qty})
        self.answered(200)

    def answered(self, status: int) -> Any:
        """Return the body of her newest answer; require this status."""
        assert self.answer is not None
        assert self.answer.status == status, self.answer
        return self.answer.body

    async def check_out(self, key: str) -> None:
        body = {"userId": ADA, "accept": self.accepts}
        await self.ask("POST", f"/api/v1/carts/{self.cart_id}/checkout", body, key)

    async def orders(self) -> list[tuple[str, int]]:
        """Return each order from her cart or the queue: its id, and its total in cents."""
        return await self.shop.client.rows(
            "SELECT order_id::text, total_minor FROM orders WHERE buyer_id = %s AND path <> 'sync'", str(ADA)
        )

    async def order_id(self) -> str:
        ((order_id, _),) = await self.orders()
        return order_id

    async def steps(self) -> list[str]:
        rows = await self.shop.client.rows(
            "SELECT status FROM order_status_history WHERE order_id = %s ORDER BY sequence", await self.order_id()
        )
        return [status for (status,) in rows]

    async def refused_for(self, type: str, **line: Any) -> None:
        """Check that her newest answer is this problem, for one line, and that there is no order."""
        problem = self.answered(409)
        assert problem["type"].rpartition("/")[2] == type
        (found,) = problem["lines"]
        assert found.items() >= line.items()
        assert await self.orders() == []


@pytest.fixture
def ada(shop: SmallShop) -> Ada:
    return Ada(shop)


def lines(text: str) -> list[tuple[int, str]]:
    """Parse ``2 × "Desk lamp" and 1 × "Kettle"`` to pairs."""
    found = [(int(qty), name) for qty, name in re.findall(r'(\d+) × "([^"]+)"', text)]
    assert found, text
    return found


@given(parsers.parse('the shop sells a "{product}" for {price:f}, of which {units:d} are left'))
@awaited
async def sells(shop: SmallShop, product: str, price: float, units: int) -> None:
    shown = await shop.client.ask("GET", f"/api/v1/products/{PRODUCTS[product]}")
    assert shown.body["price"] == price
    await shop.client.restock(PRODUCTS[product], units)


@given(parsers.re(r"(Ada|she) has put (?P<what>.+) into her cart"))
@awaited
async def has_put(ada: Ada, what: str) -> None:
    for qty, product in lines(what):
        await ada.put(product, qty)


@given(parsers.parse('the price of "{product}" has changed to {price:f}'))
@awaited
async def price_changes(shop: SmallShop, product: str, price: float) -> None:
    path = f"/api/v1/products/{PRODUCTS[product]}"
    found = await shop.client.ask("GET", path)
    body = {name: found.body[name] for name in ("sku", "name", "description", "category", "currency")}
    changed = await shop.client.ask("PUT", path, body | {"price": price}, if_match=found.headers["etag"])
    assert changed.status == 200, changed


@given(parsers.parse('somebody else has bought {qty:d} × "{product}"'))
@awaited
async def others_buy(shop: SmallShop, qty: int, product: str) -> None:
    assert (await shop.client.buy(PRODUCTS[product], OTHER_BUYER, qty)).status == 200


@given(parsers.parse('one buyer may have {limit:d} × "{product}"'))
@awaited
async def limited(shop: SmallShop, limit: int, product: str) -> None:
    ends_at = (shop.clock.now() + timedelta(days=1)).isoformat()
    sale = {"productId": PRODUCTS[product], "price": 34.5, "endsAt": ends_at, "buyerLimit": limit}
    assert (await shop.client.ask("POST", "/api/v1/flash-sales", sale)).status == 201


@given(parsers.parse('Ada has bought {qty:d} × "{product}" before'))
@awaited
async def has_bought(shop: SmallShop, qty: int, product: str) -> None:
    assert (await shop.client.buy(PRODUCTS[product], ADA, qty)).status == 200
    await shop.ends(ADA, "FULFILLED")


@given("orders wait in the queue")
def queue_waits(ada: Ada) -> None:
    ada.queue.enter_context(ada.shop.hands.holding("reserve"))


@given(parsers.parse('Ada has ordered {qty:d} × "{product}"'))
@awaited
async def has_ordered(ada: Ada, qty: int, product: str) -> None:
    items = [{"productId": PRODUCTS[product], "qty": qty}]
    await ada.ask("POST", "/api/v1/orders", {"userId": ADA, "items": items}, "k")
    ada.answered(201)


@given("it is pending")
@awaited
async def is_pending(ada: Ada) -> None:
    assert (await ada.ask("GET", f"/api/v1/orders/{await ada.order_id()}"))["status"] == "PENDING"


@when("she checks out")
@awaited
async def checks_out(ada: Ada) -> None:
    await ada.check_out("first press")


@when(parsers.parse('she accepts {price:f} for "{product}" and checks out'))
@awaited
async def accepts(ada: Ada, price: float, product: str) -> None:
    ada.accepts = [{"productId": PRODUCTS[product], "price": price}]
    await ada.check_out("second press")


@when(parsers.parse('she takes "{product}" out and checks out'))
@awaited
async def takes_out(ada: Ada, product: str) -> None:
    await ada.put(product, 0)
    await ada.check_out("second press")


@when("the same request comes again")
@awaited
async def comes_again(ada: Ada) -> None:
    first = ada.answered(200)
    await ada.check_out("first press")
    assert ada.answered(200) == first


@when("she cancels it")
@awaited
async def cancels(ada: Ada) -> None:
    canceled = await ada.ask("POST", f"/api/v1/orders/{await ada.order_id()}/cancel")
    assert canceled["status"] == "CANCELED"


@when("the queue moves on")
@awaited
async def queue_moves(ada: Ada) -> None:
    ada.queue.close()
    await ada.shop.at_rest()


@then(parsers.parse("she has one order, of {total:f}"))
@awaited
async def has_one_order(ada: Ada, total: float) -> None:
    ((order_id, cents),) = await ada.orders()
    document = ada.answered(200)
    assert (document["orderId"], document["totalAmount"]) == (order_id, total)
    assert cents == round(total * 100)


@then("it is confirmed, paid and fulfilled")
@awaited
async def is_fulfilled(ada: Ada) -> None:
    await ada.shop.ends(ADA, "FULFILLED")
    assert await ada.steps() == WHOLE_STORY


@then(parsers.parse("she was charged {total:f}"))
@awaited
async def was_charged(ada: Ada, total: float) -> None:
    rows = await ada.shop.client.rows(
        "SELECT c.amount_minor, c.status FROM simulated_gateway.charges c"
        " JOIN payments p ON p.payment_id::text = c.idempotency_key WHERE p.order_id = %s",
        await ada.order_id(),
    )
    assert rows == [(round(total * 100), "CHARGED")]


@then("she was charged nothing")
@awaited
async def was_not_charged(ada: Ada) -> None:
    assert await ada.shop.client.rows("SELECT 1 FROM payments WHERE order_id = %s", await ada.order_id()) == []


@then(parsers.re(r"(?P<what>.+ × .+) are left"))
@awaited
async def are_left(shop: SmallShop, what: str) -> None:
    await shop.at_rest()
    for units, product in lines(what):
        assert await shop.client.row("SELECT available FROM stock WHERE product_id = %s", PRODUCTS[product]) == (units,)


@then("her next cart is empty")
@awaited
async def next_cart_is_empty(ada: Ada) -> None:
    cart = await ada.ask("POST", "/api/v1/carts", {"userId": ADA})
    assert (cart["items"], cart["cartId"] != ada.cart_id) == ([], True)


@then(parsers.parse('nothing is ordered, because "{product}" costs {price:f} and not {seen:f}'))
@awaited
async def price_stands_against_it(ada: Ada, product: str, price: float, seen: float) -> None:
    await ada.refused_for(
        "price-changed", productId=int(PRODUCTS[product]), reason="PRICE_CHANGED", price=price, accepted=seen
    )


@then(parsers.parse('nothing is ordered, because {units:d} × "{product}" are left'))
@awaited
async def stock_stands_against_it(ada: Ada, units: int, product: str) -> None:
    await ada.refused_for("short-stock", productId=int(PRODUCTS[product]), reason="SHORT_STOCK", available=units)


@then(parsers.parse('nothing is ordered, because she has as many "{product}" as she may have'))
@awaited
async def limit_stands_against_it(ada: Ada, product: str) -> None:
    await ada.refused_for("limit-reached", productId=int(PRODUCTS[product]), reason="LIMIT_REACHED")


@then("it was never confirmed, and ends canceled by its buyer")
@awaited
async def was_never_confirmed(ada: Ada) -> None:
    assert await ada.steps() == ["PENDING", "CANCELED"]
    order = await ada.ask("GET", f"/api/v1/orders/{await ada.order_id()}")
    assert (order["status"], order["reason"]) == ("CANCELED", "BUYER")
