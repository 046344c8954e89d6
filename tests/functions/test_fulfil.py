"""fulfil: what is paid is shipped once; what was canceled meanwhile is not."""

import asyncio

from shop.event import CloudEvent
from shop.messages import OrderFulfilled, OrderPaid
from tests.client import Client
from tests.functions.money import cancel, confirmed, state, told


async def paid(client: Client) -> CloudEvent:
    assert await client.hear("pay", await confirmed(client)) == 204
    return (await client.log(OrderPaid.TYPE))[-1]


async def test_a_paid_order_is_fulfilled_and_says_so(client: Client) -> None:
    event = await paid(client)
    assert await client.hear("fulfil", event) == 204
    assert (await state(client, event.partitionkey))[0] == "FULFILLED"
    (fulfilled,) = await client.log(OrderFulfilled.TYPE)
    assert fulfilled.sequence == 4
    assert fulfilled.extensions["causationid"] == event.id


async def test_the_same_event_twice_and_at_once_fulfils_once(client: Client) -> None:
    event = await paid(client)
    await asyncio.gather(*(client.hear("fulfil", event) for _ in range(5)))
    assert await client.hear("fulfil", event) == 204
    assert await told(client, event.partitionkey) == ["created", "confirmed", "paid", "fulfilled"]


async def test_an_order_canceled_meanwhile_is_not_shipped(client: Client) -> None:
    event = await paid(client)
    assert await cancel(client, event.partitionkey) == 200
    assert await client.hear("fulfil", event) == 204
    assert (await state(client, event.partitionkey))[0] == "CANCELED"


async def test_a_shipped_order_cannot_be_canceled(client: Client) -> None:
    event = await paid(client)
    await client.hear("fulfil", event)
    assert await cancel(client, event.partitionkey) == 409
