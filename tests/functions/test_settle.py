"""settle: ends claims of processes that stopped, returns released units once, and compares gate and table."""

import asyncio
from dataclasses import replace
from functools import partial

import pytest
from msgspec import structs

from functions.settle.settlement import Settlement
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import CloudEvent, new_id
from pulsecart.runtime.settings import Settings
from pulsecart.shop.inventory.gate.gate import ClaimRequest, Gate
from tests.client import Client, until

ADJUSTED = "ecommerce.inventory.stock.adjusted.v1"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, lease_s=0.1)


@pytest.fixture
def gate(deps: Deps) -> Gate:
    return Gate(deps.redis, deps.settings.lease_s)


async def left(gate: Gate, product: str = "1") -> int:
    shelf = await gate.look(product)
    assert shelf
    return shelf.left


async def opened(client: Client, gate: Gate) -> None:
    """Open the gate, with 999 units left and no lease."""
    assert (await client.buy(user=1)).status == 200
    await until(lambda: no_lease(gate))


async def no_lease(gate: Gate, product: str = "1") -> bool:
    return not await gate.leases(product)


async def claim(gate: Gate, *lines: tuple[str, int], user: str = "9", key: str = "") -> str:
    claim_id = new_id()
    (answer,) = await gate.claim([ClaimRequest(claim_id, user, key, lines or (("1", 1),))])
    assert answer.verdict == "WON"
    return claim_id


async def released(client: Client, user: int, qty: int = 1) -> CloudEvent:
    order_id = (await client.buy(user=user, qty=qty)).body["orderId"]
    await client.ask("POST", f"/api/v1/orders/{order_id}/cancel")
    return (await client.log(ADJUSTED))[-1]


async def test_a_released_unit_is_back_at_the_gate_however_often_it_is_said(client: Client, gate: Gate) -> None:
    event = await released(client, user=1, qty=2)
    assert await left(gate) == 998
    assert [await client.handle_event("settle", event) for _ in range(3)] == [204] * 3
    assert await left(gate) == 1000


async def test_releases_said_late_and_out_of_order_end_the_same(client: Client, gate: Gate) -> None:
    events = [await released(client, user=user) for user in range(4)]
    for event in [*events[::-1], *events]:
        assert await client.handle_event("settle", event) == 204
    assert await left(gate) == 1000


async def test_a_buyer_whose_units_came_back_may_buy_again(client: Client, gate: Gate) -> None:
    event = await released(client, user=7, qty=2)
    assert (await client.buy(user=7)).body["type"].endswith("limit-reached")
    await client.handle_event("settle", event)
    assert (await client.buy(user=7, qty=2)).status == 200


async def test_adjustments_without_reservations_change_nothing_at_the_gate(client: Client, gate: Gate) -> None:
    await opened(client, gate)
    for event in await client.log(ADJUSTED):
        assert await client.handle_event("settle", event) == 204
    assert await left(gate) == 999


async def test_a_claim_whose_process_went_silent_is_void_after_its_lease(client: Client, gate: Gate) -> None:
    await opened(client, gate)
    claim_id = await claim(gate, ("1", 2))
    settlement = Settlement(client.deps)
    due = await settlement.next_due()
    assert due
    assert 0 < (due - client.deps.clock.now()).total_seconds() <= 0.1
    await settlement.act()
    assert await left(gate) == 997  # not before its end
    await settled(settlement, gate)
    assert await left(gate) == 999
    assert await client.row("SELECT state FROM claims WHERE claim_id = %s", claim_id) == ("void",)


async def settled(settlement: Settlement, gate: Gate) -> None:
    async def done() -> bool:
        await settlement.act()
        return await no_lease(gate)

    await until(done)


async def test_a_claim_on_several_products_ends_on_all_of_them(client: Client, gate: Gate) -> None:
    for product in ("1", "2", "3"):
        await client.restock(product, 10)
    await claim(gate, ("1", 1), ("2", 2), ("3", 3))
    settlement = Settlement(client.deps)
    for product in ("1", "2", "3"):
        await until(lambda product=product: done(settlement, gate, product))  # type: ignore[misc]
    assert [await left(gate, product) for product in ("1", "2", "3")] == [10, 10, 10]


async def done(settlement: Settlement, gate: Gate, product: str) -> bool:
    await settlement.act()
    return await no_lease(gate, product)


async def test_two_that_settle_at_once_are_harmless(client: Client, gate: Gate) -> None:
    await opened(client, gate)
    for _ in range(20):
        await claim(gate, user=new_id())
    one, other = Settlement(client.deps), Settlement(client.deps)
    await asyncio.gather(settled(one, gate), settled(other, gate))
    assert await left(gate) == 999


async def test_a_wake_up_ends_the_leases_at_their_time_and_then_goes_home(client: Client, gate: Gate) -> None:
    await opened(client, gate)
    await claim(gate)
    wake = client.operations["settle"].wake
    assert wake
    await wake(client.deps)
    assert await left(gate) == 999
    assert not client.deps.wake_ups.awake("settle")


async def test_a_gate_with_a_unit_too_few_or_too_many_is_rebuilt(client: Client, gate: Gate) -> None:
    await opened(client, gate)
    for wrong in (5, -5):
        await client.deps.redis.hincrby("{gate}:p:1", "left", wrong)
        settlement = Settlement(client.deps)
        await settlement.act()
        assert await left(gate) == 999 + wrong  # once may be a release on its way
        assert await settlement.next_due()
        await settlement.act()
        assert await left(gate) == 999
    assert (await client.buy(user=2)).status == 200


async def test_a_gate_that_differs_because_a_release_is_on_its_way_is_left_alone(client: Client, gate: Gate) -> None:
    await opened(client, gate)
    event = await released(client, user=2)
    settlement = Settlement(client.deps)
    epoch = await client.row("SELECT epoch FROM stock WHERE product_id = '1'")
    await settlement.act()
    await client.handle_event("settle", event)
    await settlement.act()
    assert await left(gate) == 999
    assert await client.row("SELECT epoch FROM stock WHERE product_id = '1'") == epoch


async def test_a_gate_of_an_older_epoch_is_rebuilt_at_the_first_look(client: Client, gate: Gate) -> None:
    await opened(client, gate)
    await client.rows("UPDATE stock SET epoch = epoch + 1 WHERE product_id = '1' RETURNING 1")
    await Settlement(client.deps).act()
    shelf = await gate.look("1")
    assert shelf
    assert (shelf.epoch,) == await client.row("SELECT epoch FROM stock WHERE product_id = '1'")


async def test_a_gate_that_is_ahead_of_its_database_is_overtaken(client: Client, gate: Gate) -> None:
    """The database was restored from a backup, and Redis was not."""
    await opened(client, gate)
    await client.rows("UPDATE stock SET epoch = 0 WHERE product_id = '1' RETURNING 1")
    await client.deps.redis.hset("{gate}:p:1", "epoch", "70")
    assert (await client.buy(user=2)).status == 200
    shelf = await gate.look("1")
    assert shelf
    assert shelf.epoch > 70
    assert (shelf.epoch,) == await client.row("SELECT epoch FROM stock WHERE product_id = '1'")


async def test_a_product_that_only_the_gate_knows_is_left_alone(client: Client, gate: Gate) -> None:
    await gate.load("ghost", epoch=1, left=5, limit=0, buyers=[], claims=[])
    await Settlement(client.deps).act()
    assert await left(gate, "ghost") == 5


async def test_data_that_breaks_the_contract_is_a_dead_letter_at_once(client: Client, gate: Gate) -> None:
    event = await released(client, user=1)
    for data in (b"", b"{", b"{}", b'{"productId": 1}'):
        assert await client.handle_event("settle", structs.replace(event, data=data)) == 400
    assert await client.handle_event("settle", structs.replace(event, type="ecommerce.inventory.stock.moved.v1")) == 400


async def test_a_product_that_cannot_be_settled_holds_back_no_other(client: Client, gate: Gate) -> None:
    for product in ("1", "2"):
        assert (await client.buy(product=product, user=1)).status == 200
        await until(partial(no_lease, gate, product))
        await claim(gate, (product, 1))
    settlement = client.deps.singleton(Settlement)
    odd = await gate.leases("1")
    await client.deps.redis.zadd("{gate}:z:1", {"no claim of ours": 1})
    await until(lambda: _ended(gate, "2"))
    await settlement.act()
    assert await gate.leases("2") == []
    assert len(await gate.leases("1")) == len(odd) + 1, "the odd one's product is left as it is"


async def _ended(gate: Gate, product: str) -> bool:
    return all(left <= 0 for _, left in await gate.leases(product))
