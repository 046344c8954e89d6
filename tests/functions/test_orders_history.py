"""orders: writes one row per step, with actor, time and cause, in the step's own transaction."""

from typing import Any

import psycopg
import pytest

from tests.client import Client
from tests.functions.money import deliver_all, gateway

STEPS = """
    SELECT sequence, status, actor, caused_by, idempotency_key FROM order_status_history
    WHERE order_id = %s ORDER BY sequence
"""


async def steps(client: Client, order_id: str) -> list[Any]:
    return await client.rows(STEPS, order_id)


async def steps_of(client: Client, order_id: str) -> dict[str, str]:
    """Return the order's events: short name → id."""
    return {e.type.split(".")[3]: e.id for e in await client.log() if e.partitionkey == order_id}


async def test_a_purchase_s_history_begins_with_its_confirmation_and_names_buyer_and_key(client: Client) -> None:
    order_id = (await client.buy(user=7, key="k-1")).body["orderId"]
    assert await steps(client, order_id) == [(2, "CONFIRMED", "buyer:7", None, "k-1")]


async def test_an_order_that_waited_was_confirmed_by_reserve_because_of_its_creation(client: Client) -> None:
    order_id = (await client.buy(user=7, path="async")).body["orderId"]
    (created,) = await client.log("ecommerce.order.order.created.v1")
    assert await client.handle_event("reserve", created) == 204
    await deliver_all(client)
    ids = await steps_of(client, order_id)
    assert await steps(client, order_id) == [
        (1, "PENDING", "buyer:7", None, None),
        (2, "CONFIRMED", "operation:reserve", ids["created"], None),
        (3, "PAID", "operation:pay", ids["confirmed"], None),
        (4, "FULFILLED", "operation:fulfil", ids["paid"], None),
    ]


async def test_one_that_found_nothing_left_was_canceled_by_reserve(client: Client) -> None:
    await client.restock(1, 0)
    order_id = (await client.buy(user=7, path="async")).body["orderId"]
    (created,) = await client.log("ecommerce.order.order.created.v1")
    assert await client.handle_event("reserve", created) == 204
    assert (await steps(client, order_id))[1:] == [(2, "CANCELED", "operation:reserve", created.id, None)]


async def test_an_event_about_its_money_has_its_place_and_changes_no_status(client: Client) -> None:
    await gateway(client, "decline")
    order_id = (await client.buy(user=7)).body["orderId"]
    await deliver_all(client)
    ids = await steps_of(client, order_id)
    assert (await steps(client, order_id))[1:] == [
        (3, "CONFIRMED", "operation:pay", ids["confirmed"], None),
        (4, "CANCELED", "operation:pay", ids["confirmed"], None),
    ]


async def test_a_late_cancel_is_the_buyer_s_and_the_refund_is_refund_s(client: Client) -> None:
    order_id = (await client.buy(user=7)).body["orderId"]
    (confirmed,) = await client.log("ecommerce.order.order.confirmed.v1")
    await client.handle_event("pay", confirmed)
    assert (await client.ask("POST", f"/api/v1/orders/{order_id}/cancel")).status == 200
    await deliver_all(client)
    ids = await steps_of(client, order_id)
    assert (await steps(client, order_id))[2:] == [
        (4, "CANCELED", "buyer:7", None, None),
        (5, "CANCELED", "operation:refund", ids["canceled"], None),
    ]


async def test_step_and_row_are_one_transaction(client: Client) -> None:
    """A row that the history rejects also rejects the step."""
    order_id = (await client.buy(user=7)).body["orderId"]
    await client.rows(
        "INSERT INTO order_status_history (order_id, sequence, status, happened_at, actor)"
        " VALUES (%s, 3, 'PAID', now(), 'operation:test') RETURNING 1",
        order_id,
    )
    with pytest.raises(psycopg.errors.UniqueViolation):
        await _cancel(client, order_id)
    assert await client.row("SELECT status, version FROM orders") == ("CONFIRMED", 2)


async def _cancel(client: Client, order_id: str) -> None:
    from pulsecart.shop.orders.db import orders

    async with client.deps.db.transaction() as tx:
        order = await orders.find(tx, order_id, lock=True)
        assert order is not None
        await orders.cancel(tx, order, "BUYER")


async def test_each_row_names_the_transaction_of_its_events(client: Client) -> None:
    order_id = (await client.buy(user=7)).body["orderId"]
    await deliver_all(client)
    apart = await client.rows(
        """
        SELECT sequence FROM order_status_history h WHERE NOT EXISTS (
            SELECT FROM outbox o WHERE o.xid = h.xid AND o.partitionkey = h.order_id::text
                AND (o.extensions ->> 'sequence')::bigint = h.sequence)
        """
    )
    assert (len(await steps(client, order_id)), apart) == (3, [])
