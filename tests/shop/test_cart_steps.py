"""Compares a cart with a model: products are added, repriced, merged, expired or ordered, in any order."""

import asyncio
from collections import Counter
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
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
from pulsecart.runtime.settings import Settings
from tests.client import Answered, Client
from tests.turned_clock import TurnedClock, turned_deps

PRODUCTS = ("2", "3")
LIMIT = 1000  # of a line; the second product's own for each buyer is above it, the first has none
BUYER_LIMIT = 5000
BUYERS = count(1000)
products = st.sampled_from(PRODUCTS)
carts = st.sampled_from(["mine", "brought"])
Seen = dict[str, tuple[int, int]]  # product → quantity, and the price first shown


class TwoCarts(RuleBasedStateMachine):
    """Holds a buyer's own cart, and one filled before signing in; the model is their content."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.clock = TurnedClock()
        self.client = Client(self.runner.run(self._deps(settings)))
        self.carts: dict[str, str] = {}
        self.model: dict[str, Seen] = {}
        self.price: dict[str, int] = {}
        self.stock: dict[str, int] = {}
        self.bought: Counter[str] = Counter()
        self.spent = 0
        self.keys = count()

    async def _deps(self, settings: Settings) -> Deps:
        return turned_deps(settings, self.clock)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answered:
        return self.runner.run(self.client.ask(method, path, body, **headers))

    @initialize()
    def opened(self) -> None:
        self.buyer = next(BUYERS)
        for product in PRODUCTS:
            self.reprice(product, 5000)
            self.restock(product, 6)
        self._row("UPDATE stock SET buyer_limit = %s WHERE product_id = %s RETURNING 1", BUYER_LIMIT, PRODUCTS[1])
        self._open("mine")
        self._open("brought")

    def _open(self, which: str) -> None:
        opened = self.ask("POST", "/api/v1/carts", {"userId": self.buyer} if which == "mine" else None)
        self.carts[which], self.model[which] = opened.headers["location"], {}

    @rule(which=carts, lines=st.dictionaries(products, st.sampled_from([2, LIMIT, 1, 3, 0]), min_size=1))
    def put(self, which: str, lines: dict[str, int]) -> None:
        for product, qty in lines.items():
            assert self.ask("PUT", f"{self.carts[which]}/items/{product}", {"qty": qty}).status == 200
            _, seen = self.model[which].pop(product, (0, self.price[product]))
            if qty:
                self.model[which][product] = (qty, seen)

    @rule(product=products, minor=st.sampled_from([5000, 5500]))
    def reprice(self, product: str, minor: int) -> None:
        self._row("UPDATE products SET price_minor = %s WHERE product_id = %s RETURNING 1", minor, product)
        self.price[product] = minor

    @rule(product=products, units=st.sampled_from([6, 3, 1]))
    def restock(self, product: str, units: int) -> None:
        self.runner.run(self.client.restock(product, units))
        self.stock[product] = units

    @precondition(lambda self: self.model.get("brought"))
    @rule(times=st.integers(1, 2))
    def merge(self, times: int) -> None:
        for _ in range(times):
            assert self.ask("POST", f"{self.carts['brought']}/merge", {"userId": self.buyer}).status == 200
        for product, (qty, seen) in self.model["brought"].items():
            there = self.model["mine"].get(product, (0, 0))[0]
            self.model["mine"][product] = (min(there + qty, LIMIT), seen)
        self._open("brought")

    @precondition(lambda self: any(self.model.values()))
    @rule(which=carts, accepting=st.booleans())
    def check_out(self, which: str, accepting: bool) -> None:
        wanted, key = self.model[which], f"k{next(self.keys)}"
        accept = [{"productId": int(p), "price": self.price[p] / 100} for p in wanted] if accepting else []
        body = {"userId": self.buyer, "accept": accept}
        answers = [self.ask("POST", f"{self.carts[which]}/checkout", body, idempotency_key=key) for _ in range(2)]
        changed = {p for p, (_, seen) in wanted.items() if seen != self.price[p] and not accepting}
        short = {p for p, (qty, _) in wanted.items() if qty > self.stock[p]}
        assert answers[0].body == answers[1].body
        if not wanted or changed or short:
            assert answers[0].status == 409
            named = {(str(line["productId"]), line["reason"]) for line in answers[0].body.get("lines", [])}
            assert named == {(p, "PRICE_CHANGED") for p in changed} | {(p, "SHORT_STOCK") for p in short}
            return
        assert answers[0].status == 200
        total = sum(qty * self.price[p] for p, (qty, _) in wanted.items())
        assert round(answers[0].body["totalAmount"] * 100) == total
        self.spent += total
        for product, (qty, _) in wanted.items():
            self.stock[product] -= qty
            self.bought[product] += qty
        self._open(which)

    @precondition(lambda self: len(self.model.get("brought", ())) == len(PRODUCTS))
    @rule()
    def forget(self) -> None:
        self.clock.turn(timedelta(days=8).total_seconds())
        assert self.ask("GET", self.carts["brought"]).status == 404
        self._open("brought")

    @invariant()
    def carts_are_as_the_model_has_them(self) -> None:
        for which, cart in self.carts.items():
            shown = self.ask("GET", cart)
            if which == "mine" and shown.status == 404:  # a month without a change
                self._open("mine")
                continue
            seen = {str(i["productId"]): (i["qty"], round(i["seenPrice"] * 100)) for i in shown.body["items"]}
            assert seen == self.model[which]
            for item in shown.body["items"]:
                product = str(item["productId"])
                assert ("PRICE_CHANGED" in item["problems"]) == (seen[product][1] != self.price[product])
                assert ("SHORT_STOCK" in item["problems"]) == (item["qty"] > self.stock[product])

    @invariant()
    def units_and_money_are_those_of_the_orders(self) -> None:
        if not self.carts:
            return
        left = self.runner.run(
            self.client.rows("SELECT product_id, available FROM stock WHERE product_id = ANY(%s)", list(PRODUCTS))
        )
        assert dict(left) == self.stock
        mine = "FROM orders JOIN order_items USING (order_id) WHERE buyer_id = %s"
        sold = self.runner.run(self.client.rows(f"SELECT product_id, sum(qty)::int {mine} GROUP BY 1", str(self.buyer)))
        assert dict(sold) == +self.bought
        (spent,) = self._row(f"SELECT coalesce(sum(qty * accepted_minor), 0)::int {mine}", str(self.buyer))
        assert spent == self.spent

    def _row(self, sql: str, *params: object) -> tuple[Any, ...]:
        row: tuple[Any, ...] = self.runner.run(self.client.row(sql, *params))
        return row

    def teardown(self) -> None:
        self.runner.run(close_deps(self.client.deps))
        self.runner.close()


@pytest.mark.timeout(240)
def test_whatever_is_done_to_carts_they_and_their_orders_are_the_model_s(settings_of_shop: Settings) -> None:
    class InThisShop(TwoCarts):
        def __init__(self) -> None:
            super().__init__(settings_of_shop)

    run_state_machine_as_test(
        InThisShop,
        settings=settings(
            max_examples=12,
            stateful_step_count=15,
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
