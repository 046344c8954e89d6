"""reserve: takes every line of a PENDING order, or none, and names the line that failed."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import CloudEvent
from pulsecart.serving import cloudevents
from pulsecart.serving.http import Request
from pulsecart.shop.inventory.gate.gate import Gate
from tests.client import Client, until

CREATED = "ecommerce.order.order.created.v1"
CART = {"userId": 7, "items": [{"productId": 2, "qty": 2}, {"productId": 3, "qty": 1}]}


async def accepted(client: Client, user: int = 7, product: int = 1, qty: int = 1) -> CloudEvent:
    """Accept an order without its stock; return its event."""
    body = (await client.buy(product=product, user=user, qty=qty, path="async")).body
    return await created_of(client, body["orderId"])


async def created_of(client: Client, order_id: str) -> CloudEvent:
    return next(event for event in await client.log(CREATED) if event.subject == order_id)


async def told_of(client: Client, event: CloudEvent) -> list[tuple[str, int]]:
    events = [reported for reported in await client.log() if reported.subject == event.subject]
    return [(reported.type.split(".")[-2], reported.sequence) for reported in events]


async def state(client: Client, event: CloudEvent) -> Any:
    return await client.row("SELECT status, cancel_reason FROM orders WHERE order_id = %s", event.subject)


async def test_a_pending_order_is_confirmed_and_its_units_are_held(client: Client) -> None:
    event = await accepted(client, qty=2)
    assert await client.handle_event("reserve", event) == 204
    assert await state(client, event) == ("CONFIRMED", None)
    assert await told_of(client, event) == [("created", 1), ("confirmed", 2)]
    assert (await client.ask("GET", "/api/v1/sync/stock/1")).body["stock"] == 998
    pay_by, created = await client.row("SELECT pay_by, created_at FROM orders")
    assert 29 < (pay_by - created).total_seconds() < 40


async def test_what_it_reports_names_the_event_and_the_request_that_caused_it(client: Client) -> None:
    body = {"productId": 1, "userId": 7}
    taken = await client.ask("POST", "/api/v1/async/purchase", body, correlation_id="corr-1")
    event = await created_of(client, taken.body["orderId"])
    await client.handle_event("reserve", event)
    (confirmed,) = await client.log("ecommerce.order.order.confirmed.v1")
    assert confirmed.extensions["correlationid"] == "corr-1"


async def test_the_same_event_again_changes_nothing(client: Client) -> None:
    event = await accepted(client)
    assert [await client.handle_event("reserve", event) for _ in range(3)] == [204] * 3
    assert await told_of(client, event) == [("created", 1), ("confirmed", 2)]
    assert await client.row("SELECT available FROM stock WHERE product_id = '1'") == (999,)


async def test_an_event_that_comes_after_the_order_has_moved_on_changes_nothing(client: Client) -> None:
    event = await accepted(client)
    await client.handle_event("reserve", event)
    await client.ask("POST", f"/api/v1/orders/{event.subject}/cancel")
    assert await client.handle_event("reserve", event) == 204
    assert await state(client, event) == ("CANCELED", "BUYER")
    assert await client.row("SELECT available FROM stock WHERE product_id = '1'") == (1000,)


async def test_the_event_of_a_synchronous_purchase_changes_nothing(client: Client) -> None:
    sold = await client.buy()
    assert await client.handle_event("reserve", await created_of(client, sold.body["orderId"])) == 204
    assert await client.row("SELECT available FROM stock WHERE product_id = '1'") == (999,)


async def test_an_order_that_finds_nothing_left_is_canceled_as_sold_out(client: Client) -> None:
    await client.restock(1, 1)
    first, second = await accepted(client, 1), await accepted(client, 2)
    assert [await client.handle_event("reserve", event) for event in (first, second)] == [204, 204]
    assert await state(client, second) == ("CANCELED", "SOLD_OUT")
    assert await told_of(client, second) == [("created", 1), ("canceled", 2)]
    tracked = await client.ask("GET", f"/api/v1/async/purchase/{second.subject}")
    assert (tracked.body["status"], tracked.body["reason"]) == ("CANCELED", "SOLD_OUT")


async def test_an_order_over_the_buyer_s_limit_is_canceled_with_that_reason(client: Client) -> None:
    await client.buy(user=7, qty=2)
    event = await accepted(client, 7)
    await client.handle_event("reserve", event)
    assert await state(client, event) == ("CANCELED", "LIMIT_REACHED")


async def test_a_cart_holds_every_line_or_none(client: Client) -> None:
    await client.restock(3, 0)
    created = await client.ask("POST", "/api/v1/orders", CART, idempotency_key="o1")
    event = await created_of(client, created.body["orderId"])
    await client.handle_event("reserve", event)
    assert await state(client, event) == ("CANCELED", "SOLD_OUT")
    assert await client.rows("SELECT available FROM stock WHERE product_id IN ('2', '3') ORDER BY 1 DESC") == [
        (500,),
        (0,),
    ]
    gate = Gate(client.deps.redis, 1)
    assert [shelf and shelf.left for shelf in (await gate.look("2"), await gate.look("3"))] == [500, 0]


async def test_a_cart_keeps_the_prices_it_was_created_with(client: Client) -> None:
    created = await client.ask("POST", "/api/v1/orders", CART, idempotency_key="o1")
    await client.rows("UPDATE products SET price_minor = 1 RETURNING 1")
    await client.handle_event("reserve", await created_of(client, created.body["orderId"]))
    shown = await client.ask("GET", created.headers["location"])
    assert shown.body == created.body | {"status": "CONFIRMED"}


async def test_hundreds_of_events_at_once_are_a_few_transactions_and_sell_what_there_is(client: Client) -> None:
    await client.restock(1, 50)
    await asyncio.gather(*(client.buy(user=user, path="async") for user in range(120)))
    events = await client.log(CREATED)
    assert set(await asyncio.gather(*(client.handle_event("reserve", event) for event in events))) == {204}
    counts = dict(await client.rows("SELECT coalesce(cancel_reason, status), count(*) FROM orders GROUP BY 1"))
    assert counts == {"CONFIRMED": 50, "SOLD_OUT": 70}
    reported = await client.log("ecommerce.inventory.stock.adjusted.v1")
    assert len([event for event in reported if event.extensions["stockreason"] == "reserved"]) < 20


async def test_an_order_that_no_one_knows_is_a_dead_letter_at_once(client: Client) -> None:
    event = await accepted(client)
    for order_id in ("0192f000-0000-7000-8000-000000000000", "nonsense", "-" * 4 + "a" * 32, "a\0b"):
        data = (event.data or b"").replace(str(event.subject).encode(), order_id.replace("\0", "\\u0000").encode())
        assert await client.handle_event("reserve", replace(event, id="other", data=data)) == 400


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"{}", b'{"orderId": 7}', b"\xff"])
async def test_data_that_breaks_the_contract_is_a_dead_letter_at_once(client: Client, data: bytes) -> None:
    event = await accepted(client)
    assert await client.handle_event("reserve", replace(event, data=data)) == 400


async def test_an_event_of_a_type_it_does_not_receive_is_refused_for_good(client: Client) -> None:
    event = await accepted(client)
    assert await client.handle_event("reserve", replace(event, type="ecommerce.order.order.shipped.v1")) == 400


async def test_by_http_it_takes_binary_and_structured_events_and_answers_nothing(client: Client, deps: Deps) -> None:
    operation = client.operations["reserve"]
    one, other = await accepted(client, 1), await accepted(client, 2)
    headers, body = cloudevents.binary(one)
    binary = await operation.answer(Request("POST", "/reserve", headers, body), deps)
    wrapped = Request("POST", "/", {"content-type": cloudevents.STRUCTURED}, cloudevents.structured(other))
    structured = await operation.answer(wrapped, deps)
    assert [(reply.status, reply.body) for reply in (binary, structured)] == [(204, b"")] * 2
    assert [await state(client, event) for event in (one, other)] == [("CONFIRMED", None)] * 2


async def test_a_sold_unit_that_came_back_is_held_by_who_still_waits(client: Client) -> None:
    await client.restock(1, 1)
    first = (await client.buy(user=1)).body["orderId"]
    waiting = await accepted(client, 2)
    await client.ask("POST", f"/api/v1/orders/{first}/cancel")
    for event in await client.log("ecommerce.inventory.stock.adjusted.v1"):
        await client.handle_event("settle", event)

    async def held() -> bool:
        return await client.handle_event("reserve", waiting) == 204 and await state(client, waiting) == (
            "CONFIRMED",
            None,
        )

    await until(held)
