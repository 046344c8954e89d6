"""While the payment gateway does not answer, its orders wait, and no other request does."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from pulsecart.runtime.deps import Deps
from pulsecart.shop.payments.simulated_gateway import Ask, Charge, SimulatedGateway
from tests.client import Client, until
from tests.flows.hands import Hands
from tests.flows.small_shop import opened
from tests.turned_clock import TurnedClock

BUYERS = range(1, 301)  # more orders than pay has events under way, or the process connections
LATER = 1000


class Silent:
    """Replaces the gateway; answers only when the test permits it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.asked = asyncio.Event()
        self.speaks = asyncio.Event()
        charge = SimulatedGateway.charge_all

        async def charge_all(gateway: SimulatedGateway, asks: Sequence[Ask]) -> Sequence[Charge | Exception]:
            self.asked.set()
            await self.speaks.wait()
            return await charge(gateway, asks)

        monkeypatch.setattr(SimulatedGateway, "charge_all", charge_all)


async def order_of(client: Client, user: int) -> str:
    (order_id,) = await client.row("SELECT order_id::text FROM orders WHERE buyer_id = %s", str(user))
    return str(order_id)


async def test_while_the_gateway_is_silent_everything_but_payment_goes_on(
    deps: Deps, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateway = Silent(monkeypatch)
    async with opened(deps, TurnedClock(datetime.now(UTC)), Hands()) as shop:
        client = shop.client
        await client.restock(1, 2 * len(BUYERS))
        bought = await asyncio.gather(*[client.buy(user=user) for user in BUYERS])
        assert {answer.status for answer in bought} == {200}
        async with asyncio.timeout(20):
            await gateway.asked.wait()

        assert (await client.buy(user=LATER)).status == 200
        cart = (await client.ask("POST", "/api/v1/carts", {"userId": LATER + 1})).body["cartId"]
        put = await client.ask("PUT", f"/api/v1/carts/{cart}/items/2", {"qty": 1})
        assert put.status == 200
        ordered = await client.ask(
            "POST", f"/api/v1/carts/{cart}/checkout", {"userId": LATER + 1}, idempotency_key="cart"
        )
        assert ordered.status == 200
        for path in ("products/1", "products", f"customers/{LATER}/orders", f"orders/{await order_of(client, LATER)}"):
            assert (await client.ask("GET", f"/api/v1/{path}")).status == 200
        await shop.cancel(LATER)
        for status, user in (("CANCELED", LATER), ("CONFIRMED", LATER + 1)):
            await shop.ends(user, status)
            view = "SELECT 1 FROM orders_by_customer WHERE customer_id = %s AND status = %s"
            await until(lambda: client.row(view, str(user), status), 20)  # noqa: B023  # ends before the next turn
        assert await client.row("SELECT count(*) FROM orders WHERE status IN ('PAID', 'FULFILLED')") == (0,)

        gateway.speaks.set()
        for user in (*BUYERS, LATER + 1):
            await shop.ends(user, "FULFILLED")
