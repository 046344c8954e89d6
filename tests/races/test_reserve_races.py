"""reserve takes an order's stock once, however often and whenever its event is delivered."""

import asyncio

from pulsecart.runtime.event import CloudEvent, new_id
from pulsecart.shop.inventory.gate.gate import ClaimRequest
from pulsecart.shop.inventory.gate_rebuild import rebuild
from pulsecart.shop.orders.db import orders
from pulsecart.shop.orders.decide import Intent
from pulsecart.shop.orders.order import Order
from pulsecart.shop.orders.till import Till
from tests.client import Client, until
from tests.races.books import Books

CREATED = "ecommerce.order.order.created.v1"


async def accepted(client: Client, user: int, product: int = 1) -> CloudEvent:
    """Accept an order that waits for its stock; return its event."""
    order_id = (await client.buy(user=user, product=product, path="async")).body["orderId"]
    return next(event for event in await client.log(CREATED) if event.subject == order_id)


async def status_of(client: Client, event: CloudEvent) -> tuple[str, str | None]:
    row = await client.row("SELECT status, cancel_reason FROM orders WHERE order_id = %s", event.subject)
    return row[0], row[1]


async def insist(client: Client, event: CloudEvent) -> None:
    """Deliver as a broker does: repeat until the event is handled."""

    async def done() -> bool:
        return await client.handle_event("reserve", event) == 204

    await until(done)


async def test_an_event_delivered_to_two_workers_at_once_takes_the_stock_once(
    client: Client, other: Client, books: Books
) -> None:
    """Fails without the key at the gate and the order's lock: the stock is taken twice."""
    await books.opened(user=1)
    events = [await accepted(client, user) for user in range(2, 12)]
    received = await asyncio.gather(
        *(till.handle_event("reserve", event) for event in events for till in (client, other, client))
    )
    assert set(received) <= {204, 503}
    for event in events:
        await insist(client, event)
        assert await status_of(client, event) == ("CONFIRMED", None)
    assert await client.row("SELECT available FROM stock WHERE product_id = '1'") == (989,)
    await books.agree("1")


async def test_an_event_whose_first_delivery_crashed_with_an_open_lease_waits_for_settle(
    client: Client, books: Books, awake: None
) -> None:
    """Fails without ``settle``: the broker gives up while the dead claim holds the unit."""
    await books.opened(user=1)
    event = await accepted(client, 2)
    wish = ClaimRequest(new_id(), "2", f"order:{event.subject}", (("1", 1),))
    assert (await books.gate.claim([wish]))[0].verdict == "WON"  # and its process is gone
    assert await client.handle_event("reserve", event) == 503
    client.deps.wake("settle")
    await insist(client, event)
    assert await books.state_of(wish.claim_id) == "void"
    assert await status_of(client, event) == ("CONFIRMED", None)
    await books.agree("1")


async def test_an_order_canceled_by_its_buyer_while_reserve_was_at_the_gate_stays_canceled(
    client: Client, books: Books
) -> None:
    """Fails without the lock on the order's row in ``decide``: a canceled order holds stock for ever."""
    await books.opened(user=1)
    event = await accepted(client, 2)
    async with books.holding("SELECT 1 FROM orders WHERE order_id = %s FOR UPDATE", event.subject):
        handling = asyncio.create_task(client.handle_event("reserve", event))
        await books.open_claim()
        await books.someone_waits("%FOR UPDATE OF o%")
        canceling = asyncio.create_task(client.ask("POST", f"/api/v1/orders/{event.subject}/cancel"))
        await until(lambda: _waiters(books, 2))
    received, canceled = await asyncio.gather(handling, canceling)
    assert (received, canceled.status) == (204, 200)
    assert await status_of(client, event) == ("CANCELED", "BUYER")
    for released in await client.log("ecommerce.inventory.stock.adjusted.v1"):
        await client.handle_event("settle", released)
    assert await client.row("SELECT available FROM stock WHERE product_id = '1'") == (999,)
    await books.settled()
    await books.agree("1")


async def _waiters(books: Books, count: int) -> bool:
    row = await books.client.row(
        "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    return bool(row[0] >= count)


async def test_an_order_canceled_before_reserve_comes_takes_nothing(client: Client, books: Books) -> None:
    await books.opened(user=1)
    event = await accepted(client, 2)
    await client.ask("POST", f"/api/v1/orders/{event.subject}/cancel")
    assert await client.handle_event("reserve", event) == 204
    assert await status_of(client, event) == ("CANCELED", "BUYER")
    assert await books.left() == 999
    await books.agree("1")


async def test_a_claim_that_lost_against_a_cancel_rebuilds_its_product_s_gate(client: Client, books: Books) -> None:
    """Fails without that rebuild: a unit stays claimed at the gate by an order that PostgreSQL refused."""
    await books.opened(user=1)
    event = await accepted(client, 2)
    till = client.deps.singleton(Till)
    order = await _order(client, event)
    await client.ask("POST", f"/api/v1/orders/{event.subject}/cancel")
    assert str(await till.place(Intent(order=order, waiting=True), "")).startswith("Denied(reason='NOT_WAITING'")

    async def whole() -> bool:
        return await books.left() == 999

    await until(whole)
    await books.agree("1")


async def _order(client: Client, event: CloudEvent) -> Order:
    async with client.deps.db.transaction() as tx:
        order = await orders.find(tx, str(event.subject))
    assert order
    return order


async def test_sync_async_and_cart_orders_of_one_buyer_share_one_limit_under_contention(
    client: Client, other: Client, books: Books
) -> None:
    await books.opened(user=1)
    events = [await accepted(client, 2) for _ in range(4)]
    cart = {"userId": 2, "items": [{"productId": 1, "qty": 2}, {"productId": 2, "qty": 1}]}
    created = await client.ask("POST", "/api/v1/orders", cart, idempotency_key="cart")
    events += [e for e in await client.log(CREATED) if e.subject == created.body["orderId"]]
    work = [insist((client, other)[at % 2], event) for at, event in enumerate(events)]
    await asyncio.gather(*work, *(client.buy(user=2) for _ in range(3)))
    units = await client.row("SELECT units FROM buyer_units WHERE product_id = '1' AND buyer_id = '2'")
    assert units == (2,)
    assert await client.row("SELECT count(*) FROM orders WHERE status = 'PENDING'") == (0,)
    await books.agree("1", "2")


async def test_an_order_of_which_one_product_s_gate_was_rebuilt_meanwhile_is_not_stuck_behind_its_own_claim(
    client: Client, books: Books
) -> None:
    """Fails without returning the other line: 503 until the sweep, or a dead letter before it."""
    for product in (2, 3):
        await client.restock(product, 5)
    cart = {"userId": 2, "items": [{"productId": 2, "qty": 5}, {"productId": 3, "qty": 5}]}
    await client.ask("POST", "/api/v1/orders", cart, idempotency_key="cart")
    (event,) = await client.log(CREATED)
    async with books.holding("SELECT 1 FROM orders FOR UPDATE"):
        handling = asyncio.create_task(client.handle_event("reserve", event))
        await books.open_claim("3")
        await books.someone_waits("%FOR UPDATE OF o%")
        shelf = await books.gate.look("3")
        assert shelf
        assert await rebuild(client.deps.db, books.gate, "3", shelf.epoch)
    assert await handling == 204
    assert await status_of(client, event) == ("CONFIRMED", None)
    await books.agree("2", "3")
