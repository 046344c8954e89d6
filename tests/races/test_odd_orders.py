"""PostgreSQL rejects one order in a group commit, and accepts the others."""

import asyncio
from collections.abc import Sequence

import pytest

from functions.checkout.main import Intake
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import new_id
from pulsecart.runtime.problem import Exhausted
from pulsecart.shop.orders.db import intake
from pulsecart.shop.orders.decide import Held, Outcome
from pulsecart.shop.orders.order import Line, Order
from tests.client import Client

ODD = 13


@pytest.mark.parametrize("path", ["sync", "async"])
async def test_a_buyer_whose_order_cannot_be_written_costs_no_other_buyer_theirs(client: Client, path: str) -> None:
    async with client.deps.db.transaction() as tx:
        await tx.execute(f"ALTER TABLE orders ADD CONSTRAINT odd CHECK (buyer_id <> '{ODD}')")
    answers = await asyncio.gather(*(client.buy(user=user, path=path) for user in range(1, 41)))
    statuses = {user: answer.status for user, answer in enumerate(answers, 1)}
    assert statuses == dict.fromkeys(range(1, 41), 200 if path == "sync" else 202) | {ODD: 500}
    assert await client.row("SELECT count(*), count(DISTINCT buyer_id) FROM orders") == (39, 39)
    if path == "sync":
        assert await client.row("SELECT available FROM stock WHERE product_id = '1'") == (1000 - 39,)
        assert await client.row("SELECT count(*) FROM claims WHERE state = 'won'") == (39,)


async def test_an_order_whose_id_is_taken_is_refused_alone(deps: Deps) -> None:
    def request(order_id: str) -> intake.Request:
        order = Order(
            order_id=order_id,
            buyer_id="7",
            status="PENDING",
            lines=(Line("1", 1),),
            currency="",
            path="async",
            version=1,
            created_at=deps.clock.now(),
        )
        return intake.Request(order, None, lambda order: (202, "{}"))

    ids = [new_id() for _ in range(9)]
    requests = deps.singleton(Intake).requests
    await requests.submit(request(ids[4]))
    reported: Sequence[Outcome | BaseException] = await asyncio.gather(
        *(requests.submit(request(order_id)) for order_id in ids), return_exceptions=True
    )
    assert [type(outcome) for outcome in reported] == [Held] * 4 + [Exhausted] + [Held] * 4
