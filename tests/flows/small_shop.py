"""Runs a whole shop in this process: every operation, the product's eventing, and buyers that follow a script."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg

from pulsecart.broker.local import LocalBroker
from pulsecart.broker.manifests.eventing import EVENTING_DIR
from pulsecart.runtime.deps import Deps
from pulsecart.shop.audit.db.questions import snapshot, unsettled
from pulsecart.shop.partners.events import ReportRejected
from tests.client import Client, until
from tests.flows.hands import Hands
from tests.functions.partner_shop import BATCH, fulfilment, stock
from tests.turned_clock import TurnedClock

WITHIN_S = 20.0


@dataclass
class SmallShop:
    client: Client
    hands: Hands
    clock: TurnedClock
    knative: LocalBroker

    async def follow_the_script(self) -> None:
        """Play every kind of purchase and of end, one after the other, so that each run decides the same."""
        for step in (
            self.catalogue,
            self.bought,
            self.canceled,
            self.declined,
            self.expired,
            self.sold_out,
            self.over_the_limit,
            self.partnered,
        ):
            await step()
        await self.at_rest()
        await self.hands.let_go()
        await self.at_rest()

    async def catalogue(self) -> None:
        """Change one product twice, delete one, and change the price of a sale for some time."""
        for name in ("Kettle", "Better kettle"):
            body = {"sku": "PC-KETTLE", "name": name, "price": 59}
            assert (await self.client.ask("PUT", "/api/v1/products/2", body, if_match="*")).status == 200
        assert (await self.client.ask("DELETE", "/api/v1/products/28", if_match="*")).status == 204
        for price in (39.9, 49.9):
            changed = await self.client.ask("PUT", "/api/v1/flash-sales/flash-1", {"price": price}, if_match="*")
            assert changed.status == 200

    async def bought(self) -> None:
        """Buy on each path, on the last one two products; send each request twice."""
        for user, path in ((1, "sync"), (2, "async")):
            first, again = [await self.client.buy(user=user, qty=2, key="k", path=path) for _ in range(2)]
            assert first.body == again.body
        for _ in range(2):
            await self.order(3, {1: 1, 2: 2})
        for user in (1, 2, 3):
            await self.ends(user, "FULFILLED")

    async def canceled(self) -> None:
        """Cancel one order before its payment is requested, and one after it was charged."""
        with self.hands.holding("pay"):
            await self.client.buy(user=4)
            await self.cancel(4)
        with self.hands.holding("fulfil"):
            await self.client.buy(user=5)
            await self.ends(5, "PAID")
            await self.cancel(5)
        await self.pays(4, None)
        await self.pays(5, "REFUNDED")

    async def declined(self) -> None:
        await self.gateway("decline")
        await self.client.buy(user=6, path="async")
        await self.ends(6, "CANCELED")
        await self.gateway("approve")

    async def expired(self) -> None:
        """Let an order expire while the gateway is down, so that it is unknown whether the order was charged."""
        await self.gateway("fail")
        await self.client.buy(user=7)
        await self.pays(7, "INTENDED")
        with self.hands.holding("pay"):
            await until(self._pay_is_idle, WITHIN_S)
            self.clock.turn(31)
            self.client.deps.wake("expire")
            await self.ends(7, "CANCELED")
            await self.gateway("approve")
            await self.pays(7, "VOIDED")

    async def sold_out(self) -> None:
        """Refuse one buyer at the gate and one in the queue; then a unit is released and sold to another buyer."""
        await self.at_rest()  # what was given back before is back
        await self.client.restock(1, 1)
        with self.hands.holding("fulfil"):
            assert (await self.client.buy(user=8)).status == 200
            assert (await self.client.buy(user=9)).status == 409
            await self.client.buy(user=10, path="async")
            await self.ends(10, "CANCELED")
            await self.ends(8, "PAID")
            await self.cancel(8)
        await until(self._nine_buys, WITHIN_S)
        await self.ends(9, "FULFILLED")

    async def over_the_limit(self) -> None:
        await self.client.restock(1, 5)
        for path in ("sync", "async"):
            await self.client.buy(user=11, qty=2, path=path)
            await self.has(11, {"sync": 1, "async": 2}[path])

    async def partnered(self) -> None:
        """A partner ships an order of its product, adjusts its stock, and reports more than there is."""
        assert (await self.client.ask("PUT", "/api/v1/partners/acme/products/3")).status == 204
        assert (await self.client.buy(product=3, user=12)).status == 200
        await self.ends(12, "PAID")
        (order_id,) = await self.client.row("SELECT order_id::text FROM orders WHERE buyer_id = '12'")
        sent = [stock("3", 5, id="s-1"), stock("3", -1_000_000, id="s-2"), fulfilment(order_id, id="f-1")]
        headers = {"content-type": BATCH, **self.client.signed("acme", "partner")}
        assert (await self.client.ask("POST", "/events", sent, **headers)).status == 202
        await self.ends(12, "FULFILLED")
        await self._holds("SELECT 1 FROM outbox WHERE type = %s", ReportRejected.TYPE)

    async def order(self, user: int, items: dict[int, int]) -> None:
        body = {"userId": user, "items": [{"productId": product, "qty": qty} for product, qty in items.items()]}
        answer = await self.client.ask("POST", "/api/v1/orders", body, idempotency_key="cart")
        assert answer.status == 201, answer

    async def cancel(self, user: int) -> None:
        (order_id,) = await self.client.row("SELECT order_id::text FROM orders WHERE buyer_id = %s", str(user))
        answer = await self.client.ask("POST", f"/api/v1/orders/{order_id}/cancel")
        assert (answer.status, answer.body["status"]) == (200, "CANCELED")

    async def gateway(self, mode: str) -> None:
        assert (await self.client.ask("PUT", "/api/v1/payments/simulator", {"mode": mode})).status == 200

    async def ends(self, user: int, status: str) -> None:
        """Wait until the buyer's only order has this status."""
        await self._holds("SELECT 1 FROM orders WHERE buyer_id = %s AND status = %s", str(user), status)

    async def has(self, user: int, count: int) -> None:
        """Wait until this many orders of the buyer are finished."""
        ended = "SELECT 1 FROM orders WHERE buyer_id = %s AND status IN ('FULFILLED', 'CANCELED') HAVING count(*) = %s"
        await self._holds(ended, str(user), count)

    async def pays(self, user: int, status: str | None) -> None:
        """Wait until the payment of the buyer's only order has this status; None for no payment."""
        sql = "SELECT 1 FROM orders LEFT JOIN payments p USING (order_id) WHERE buyer_id = %s AND p.status"
        await self._holds(f"{sql} IS NOT DISTINCT FROM %s", str(user), status)

    async def at_rest(self) -> None:
        """Wait until all events are handled."""
        await until(self._at_rest, WITHIN_S)

    async def _at_rest(self) -> bool:
        await self.hands.empty()
        delivered = sum(map(len, self.hands.tried.values()))
        under_way = await asyncio.to_thread(self._under_way)
        await self.hands.empty()
        return not under_way and sum(map(len, self.hands.tried.values())) == delivered

    def _under_way(self) -> bool:
        with snapshot(self.client.deps.settings.database_url) as connection:
            return bool(unsettled(connection, self.clock.now()))

    async def _pay_is_idle(self) -> bool:
        return not self.hands.under_way["pay"]

    async def _nine_buys(self) -> bool:
        return (await self.client.buy(user=9)).status == 200

    async def _holds(self, sql: str, *params: Any) -> None:
        await until(lambda: self.client.row(sql, *params), WITHIN_S)


@asynccontextmanager
async def opened(
    deps: Deps, clock: TurnedClock, hands: Hands, eventing: Path = EVENTING_DIR, **instead: Any
) -> AsyncIterator[SmallShop]:
    """
    Open the shop on ``deps``, with its broker running.

    Args:
        instead: what the broker calls in the place of the operation of that name.
    """
    client = Client(deps)
    knative = LocalBroker({**client.operations, **instead}, eventing, deps, deliver=hands.wrap)
    deps.committed = knative.wake
    for operation in client.operations.values():
        if operation.wake is not None:
            own = deps.share(operation.name, operation.connections)
            deps.wake_ups.register(operation.name, _waking(operation.wake, own))
    await knative.start()
    try:
        await until(lambda: _reads(client, len(knative.eventing.triggers)), WITHIN_S)
        yield SmallShop(client, hands, clock, knative)
    finally:
        await deps.wake_ups.close()
        await knative.stop()


def _waking(wake: Callable[[Deps], Any], own: Deps) -> Callable[[], Any]:
    return lambda: wake(own)


async def _reads(client: Client, triggers: int) -> bool:
    try:
        return bool((await client.row("SELECT count(*) FROM trigger_cursors")) == (triggers,))
    except psycopg.Error:
        return False
