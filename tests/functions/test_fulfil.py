"""fulfil: ships a paid order once, and an order canceled meanwhile never."""

import asyncio

from msgspec.structs import replace

from pulsecart.runtime.event import CloudEvent
from pulsecart.shop.orders.events import OrderFulfilled, OrderPaid
from tests.client import Client
from tests.functions.money import cancel, confirmed, events_of, state


async def paid(client: Client, user: int = 7) -> CloudEvent:
    assert await client.handle_event("pay", await confirmed(client, user)) == 204
    return (await client.log(OrderPaid.TYPE))[-1]


async def test_a_paid_order_is_fulfilled_and_says_so(client: Client) -> None:
    event = await paid(client)
    assert await client.handle_event("fulfil", event) == 204
    assert (await state(client, event.partitionkey))[0] == "FULFILLED"
    (fulfilled,) = await client.log(OrderFulfilled.TYPE)
    assert fulfilled.sequence == 4
    assert fulfilled.extensions["causationid"] == event.id


async def test_the_same_event_twice_and_at_once_fulfils_once(client: Client) -> None:
    event = await paid(client)
    await asyncio.gather(*(client.handle_event("fulfil", event) for _ in range(5)))
    assert await client.handle_event("fulfil", event) == 204
    assert await events_of(client, event.partitionkey) == ["created", "confirmed", "paid", "fulfilled"]


async def test_an_order_canceled_meanwhile_is_not_shipped(client: Client) -> None:
    event = await paid(client)
    assert await cancel(client, event.partitionkey) == 200
    assert await client.handle_event("fulfil", event) == 204
    assert (await state(client, event.partitionkey))[0] == "CANCELED"


async def test_a_shipped_order_cannot_be_canceled(client: Client) -> None:
    event = await paid(client)
    await client.handle_event("fulfil", event)
    assert await cancel(client, event.partitionkey) == 409


async def test_events_of_one_id_from_different_sources_are_different_events(client: Client) -> None:
    events = [
        replace(event, id="1", source=f"/{at}")
        for at, event in enumerate([await paid(client, user) for user in range(3)])
    ]
    statuses = await asyncio.gather(*(client.handle_event("fulfil", event) for event in [*events, *events]))
    assert statuses == [204] * 6
    assert [(await state(client, event.partitionkey))[0] for event in events] == ["FULFILLED"] * 3
    assert await client.rows("SELECT source FROM consumed WHERE event_id = '1' ORDER BY 1") == [
        ("/0",),
        ("/1",),
        ("/2",),
    ]
    noted = "SELECT caused_by_source FROM order_status_history WHERE caused_by = '1' ORDER BY 1"
    assert await client.rows(noted) == [("/0",), ("/1",), ("/2",)]


async def test_of_two_events_about_one_order_the_one_that_shipped_it_is_its_cause(client: Client) -> None:
    event = await paid(client)
    events = [event, *(replace(event, id=f"{at}", source=f"/other/{at}") for at in range(3))]
    await asyncio.gather(*(client.handle_event("fulfil", one) for one in events))
    (fulfilled,) = await client.log(OrderFulfilled.TYPE)
    noted = "SELECT caused_by_source, caused_by FROM order_status_history WHERE status = 'FULFILLED'"
    cause = await client.row(noted)
    assert cause in [one.identity for one in events]
    assert cause[1] == fulfilled.extensions["causationid"]
