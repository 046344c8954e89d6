"""An order's state machine agrees with PostgreSQL."""

import asyncio
from datetime import timedelta
from itertools import pairwise, product
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from pulsecart.admin.demo import GOODS, SALE
from pulsecart.admin.seed import load_catalogue
from pulsecart.runtime.deps import Deps, close_deps
from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.settings import Settings
from pulsecart.shop.orders.db import due
from pulsecart.shop.orders.order import HOLDS_STOCK, STEPS, may_become, refuse_step
from tests.client import Client
from tests.turned_clock import TurnedClock, turned_deps

HISTORY = "SELECT sequence, status, caused_by FROM order_status_history WHERE order_id = %s ORDER BY sequence"
PATHS = {
    ("PENDING", "CONFIRMED"),
    ("PENDING", "CANCELED"),
    ("CONFIRMED", "PAID"),
    ("CONFIRMED", "CANCELED"),
    ("PAID", "FULFILLED"),
    ("PAID", "CANCELED"),
}


def test_the_machine_has_the_steps_of_the_design_and_no_others() -> None:
    assert {(old, new) for old, new in product(STEPS, STEPS) if may_become(old, new)} == PATHS


@pytest.mark.parametrize(("old", "new"), sorted(set(product(STEPS, STEPS)) - PATHS))
def test_a_step_that_is_not_there_is_refused_with_what_is_allowed(old: str, new: str) -> None:
    refused = refuse_step("o1", old, new)
    assert refused.status == 409
    assert refused.extra["orderStatus"] == old
    assert refused.extra["allowed"] == sorted(STEPS[old])
    assert all(allowed in refused.detail for allowed in STEPS[old])


class OneOrder(RuleBasedStateMachine):
    """Applies all steps to one order in any order, twice; the model is its status and its events' names."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = TurnedClock()
        self.client = Client(self.runner.run(self._deps(settings)))
        self.status = ""
        self.order_id = ""
        self.told: list[str] = []

    async def _deps(self, settings: Settings) -> Deps:
        return turned_deps(settings, self.clock)

    @initialize()
    def ordered(self) -> None:
        body = self.runner.run(self.client.buy(product=2, user=1, path="async")).body
        self.order_id, self.status, self.told = body["orderId"], "PENDING", ["created"]

    def _event(self, name: str) -> CloudEvent:
        events = self.runner.run(self.client.log(f"ecommerce.order.order.{name}.v1"))
        return next(event for event in events if event.subject == self.order_id)

    def _hear(self, operation: str, event: CloudEvent) -> None:
        assert self.runner.run(self.client.handle_event(operation, event)) == 204

    def _step(self, old: str, new: str, name: str) -> None:
        if self.status == old:
            self.status = new
            self.told.append(name)

    @rule()
    def reserve(self) -> None:
        self._hear("reserve", self._event("created"))
        self._step("PENDING", "CONFIRMED", "confirmed")

    @precondition(lambda self: "confirmed" in self.told)
    @rule()
    def charge(self) -> None:
        self._hear("pay", self._event("confirmed"))
        self._step("CONFIRMED", "PAID", "paid")

    @precondition(lambda self: "paid" in self.told)
    @rule()
    def ship(self) -> None:
        self._hear("fulfil", self._event("paid"))
        self._step("PAID", "FULFILLED", "fulfilled")

    @rule()
    def cancel(self) -> None:
        answered = self.runner.run(self.client.ask("POST", f"/api/v1/orders/{self.order_id}/cancel"))
        assert answered.status == (409 if self.status == "FULFILLED" else 200)
        if may_become(self.status, "CANCELED"):
            self._step(self.status, "CANCELED", "canceled")

    @rule()
    def expire(self) -> None:
        self.clock.turn(31)
        self.runner.run(self._expire())
        self._step("CONFIRMED", "CANCELED", "canceled")

    async def _expire(self) -> None:
        async with self.client.deps.db.transaction() as tx:
            await due.cancel(tx, await due.overdue(tx))

    @precondition(lambda self: "canceled" in self.told)
    @rule()
    def refund(self) -> None:
        self._hear("refund", self._event("canceled"))

    @invariant()
    def holds(self) -> None:
        if not self.order_id:
            return
        status, version = self._row("SELECT status, version FROM orders WHERE order_id = %s", self.order_id)
        assert status == self.status
        events = [e for e in self.runner.run(self.client.log()) if e.subject == self.order_id]
        steps = [e.type.split(".")[-2] for e in events if ".order.order." in e.type]
        assert steps == self.told
        assert [event.sequence for event in events] == list(range(1, version + 1))
        noted = self.runner.run(self.client.rows(HISTORY, self.order_id))
        assert [sequence for sequence, _, _ in noted] == list(range(1, version + 1))
        assert noted[-1][1] == status
        assert all(was == now or may_become(was, now) for (_, was, _), (_, now, _) in pairwise(noted))
        assert {caused_by for _, _, caused_by in noted if caused_by} <= {event.id for event in events}

    @invariant()
    def units_follow(self) -> None:
        if self.order_id:
            (stocked,) = self._row("SELECT sum(delta) FROM inventory_adjustment WHERE product_id = '2'")
            (left,) = self._row("SELECT available FROM stock WHERE product_id = '2'")
            (elsewhere,) = self._row(
                "SELECT count(*) FROM orders WHERE order_id <> %s AND status = ANY(%s)",
                self.order_id,
                list(HOLDS_STOCK),
            )
            assert stocked - left == elsewhere + (self.status in HOLDS_STOCK)

    def _row(self, sql: str, *params: object) -> tuple[Any, ...]:
        row: tuple[Any, ...] = self.runner.run(self.client.row(sql, *params))
        return row

    def teardown(self) -> None:
        self.runner.run(close_deps(self.client.deps))
        self.runner.close()


def test_whatever_happens_to_an_order_and_however_often_its_steps_are_the_machine_s(settings_of_shop: Settings) -> None:
    class InThisShop(OneOrder):
        def __init__(self) -> None:
            super().__init__(settings_of_shop)

    run_state_machine_as_test(
        InThisShop,
        settings=settings(
            max_examples=12,
            stateful_step_count=12,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


@pytest.fixture
def settings_of_shop(request: pytest.FixtureRequest) -> Settings:
    shop: Settings = request.getfixturevalue("settings")
    began = TurnedClock().now() - timedelta(minutes=1)
    asyncio.run(load_catalogue(shop.database_url, GOODS, SALE, began))
    return shop
