"""Compares the gate's scripts with a plain model of them, on a real Valkey."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, invariant, rule, run_state_machine_as_test
from redis.asyncio import Redis

from pulsecart.shop.inventory.gate.gate import Answer, ClaimRequest, Gate
from pulsecart.shop.inventory.sale_limit import SaleLimit

PRODUCTS = ("1", "a b", "{x}")
BUYERS = ("7", "ann")
SALES = ("monday", "tuesday")
KEYS = ("", "k1", "k2")
LEASE_S = 60.0


@dataclass
class Shelf:
    """Models one product's data in the gate."""

    epoch: int
    left: int
    limit: int
    buyers: dict[str, int]
    claims: dict[str, tuple[int, str, str, str]] = field(default_factory=dict)
    sale: str = ""
    sale_limit: int = 0
    sale_open: bool = False
    in_sale: dict[str, int] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    leases: set[str] = field(default_factory=set)


class Model:
    """Models the scripts in plain Python."""

    def __init__(self) -> None:
        self.shelves: dict[str, Shelf] = {}

    def claim(self, wish: ClaimRequest) -> Answer:
        for at, (product, qty) in enumerate(wish.lines):
            refusal = self._refusal(wish, at, product, qty)
            if refusal:
                return refusal
        for at, (product, qty) in enumerate(wish.lines):
            self._take(wish, at, self.shelves[product], qty)
        return Answer("WON", epochs=tuple(self.shelves[product].epoch for product, _ in wish.lines))

    def _sale(self, wish: ClaimRequest, at: int, shelf: Shelf) -> str:
        """Return the sale against whose limit a line counts; empty if none limits it."""
        if not shelf.sale_limit:
            return ""
        if wish.sales:
            return shelf.sale if wish.sales[at] == shelf.sale else ""
        return shelf.sale if shelf.sale_open else ""

    def _refusal(self, wish: ClaimRequest, at: int, product: str, qty: int) -> Answer | None:
        shelf = self.shelves.get(product)
        if shelf is None:
            return Answer("MISSING", product)
        if wish.claim_id in shelf.claims:
            return None
        other = shelf.keys.get(wish.key) if wish.key else None
        if other not in (None, wish.claim_id):
            return Answer("SEEN", str(other))
        if shelf.limit and shelf.buyers.get(wish.buyer_id, 0) + qty > shelf.limit:
            return Answer("LIMIT", product)
        if self._sale(wish, at, shelf) and shelf.in_sale.get(wish.buyer_id, 0) + qty > shelf.sale_limit:
            return Answer("LIMIT", product)
        return Answer("SOLD_OUT", product) if shelf.left < qty else None

    def _take(self, wish: ClaimRequest, at: int, shelf: Shelf, qty: int) -> None:
        if wish.claim_id in shelf.claims:
            return
        shelf.left -= qty
        shelf.buyers[wish.buyer_id] = shelf.buyers.get(wish.buyer_id, 0) + qty
        sale = self._sale(wish, at, shelf)
        if sale:
            shelf.in_sale[wish.buyer_id] = shelf.in_sale.get(wish.buyer_id, 0) + qty
        shelf.claims[wish.claim_id] = (qty, wish.buyer_id, wish.key, sale)
        shelf.leases.add(wish.claim_id)
        if wish.key:
            shelf.keys[wish.key] = wish.claim_id

    def release(self, product: str, claim_id: str) -> int:
        shelf = self.shelves.get(product)
        if shelf is None or claim_id not in shelf.claims:
            return 0
        qty, buyer, key, sale = shelf.claims.pop(claim_id)
        shelf.left += qty
        if sale and sale == shelf.sale:
            shelf.in_sale[buyer] = shelf.in_sale.get(buyer, 0) - qty
        shelf.leases.discard(claim_id)
        shelf.buyers[buyer] = shelf.buyers.get(buyer, 0) - qty
        shelf.keys.pop(key, None)
        return 1

    def forget_key(self, product: str, claim_id: str) -> None:
        shelf = self.shelves.get(product)
        if shelf is not None and claim_id in shelf.claims:
            qty, buyer, key, sale = shelf.claims[claim_id]
            shelf.claims[claim_id] = (qty, buyer, "", sale)
            shelf.keys.pop(key, None)

    def confirm(self, product: str, claim_id: str) -> None:
        if product in self.shelves:
            self.shelves[product].leases.discard(claim_id)


class GateMachine(RuleBasedStateMachine):
    wishes = Bundle("wishes")

    def __init__(self, redis_url: str) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.redis = Redis.from_url(redis_url)
        self.gate = Gate(self.redis, LEASE_S)
        self.model = Model()
        self.made = 0
        self.stocked: dict[str, int] = {}
        self.runner.run(_awaited(self.redis.flushall()))

    @rule(
        product=st.sampled_from(PRODUCTS),
        epoch=st.integers(0, 4),
        left=st.integers(0, 6),
        limit=st.integers(0, 3),
        buyers=st.dictionaries(st.sampled_from(BUYERS), st.integers(1, 2)),
        held=st.booleans(),
        sale=st.sampled_from(["", *SALES]),
        sale_limit=st.integers(1, 2),
        sale_open=st.booleans(),
    )
    def load(
        self,
        product: str,
        epoch: int,
        left: int,
        limit: int,
        buyers: dict[str, int],
        held: bool,
        sale: str,
        sale_limit: int,
        sale_open: bool,
    ) -> None:
        claims = [(f"held-{product}-{buyer}", units, buyer, sale) for buyer, units in buyers.items() if held]
        ends_at = datetime.now(UTC) + timedelta(days=1 if sale_open else -1)
        limited = SaleLimit(sale, sale_limit, ends_at, tuple(buyers.items())) if sale else None
        loaded = self.gate.load(
            product, epoch=epoch, left=left, limit=limit, buyers=list(buyers.items()), claims=claims, sale=limited
        )
        newer = product not in self.model.shelves or epoch > self.model.shelves[product].epoch
        assert self.runner.run(loaded) == newer
        if newer:
            kept = {claim_id: (units, buyer, "", sale) for claim_id, units, buyer, sale in claims}
            terms = (sale, sale_limit, sale_open, dict(buyers)) if sale else ("", 0, False, {})
            shelf = Shelf(epoch, left, limit, dict(buyers), kept)
            shelf.sale, shelf.sale_limit, shelf.sale_open, shelf.in_sale = terms
            self.model.shelves[product] = shelf
            self.stocked[product] = left + sum(units for _, units, _, _ in claims)

    @rule(
        target=wishes,
        buyer=st.sampled_from(BUYERS),
        key=st.sampled_from(KEYS),
        lines=st.lists(
            st.tuples(st.sampled_from(PRODUCTS), st.integers(1, 3)),
            min_size=1,
            max_size=3,
            unique_by=lambda line: line[0],
        ),
        waiting_of=st.none() | st.sampled_from(["", *SALES]),
    )
    def wish(self, buyer: str, key: str, lines: list[tuple[str, int]], waiting_of: str | None) -> ClaimRequest:
        """Make a claim request for a new order, or for an order that waited, accepted in a sale or outside of one."""
        self.made += 1
        sales = () if waiting_of is None else (waiting_of,) * len(lines)
        return ClaimRequest(f"claim-{self.made}", buyer, key, tuple(lines), sales)

    @rule(asked=st.lists(wishes, min_size=1, max_size=4), won=st.lists(wishes, max_size=2))
    def claim(self, asked: list[ClaimRequest], won: list[ClaimRequest]) -> None:
        """Claim several at once, some for the second time; earlier leases are confirmed in the same call."""
        committed = [(product, wish.claim_id) for wish in won for product, _ in wish.lines]
        answers = self.runner.run(self.gate.claim(asked, committed))
        for pair in committed:
            self.model.confirm(*pair)
        assert answers == [self.model.claim(wish) for wish in asked]

    @rule(given_back=st.lists(wishes, min_size=1, max_size=3))
    def release(self, given_back: list[ClaimRequest]) -> None:
        pairs = [(product, wish.claim_id) for wish in given_back for product, _ in wish.lines]
        pairs += [(product, f"held-{product}-7") for product, _ in given_back[0].lines]
        assert self.runner.run(self.gate.release(pairs)) == sum(self.model.release(*pair) for pair in pairs)

    @rule(wish=wishes)
    def forget_keys(self, wish: ClaimRequest) -> None:
        pairs = [(product, wish.claim_id) for product, _ in wish.lines]
        self.runner.run(self.gate.forget_keys(pairs))
        for pair in pairs:
            self.model.forget_key(*pair)

    @rule(wish=wishes)
    def confirm(self, wish: ClaimRequest) -> None:
        pairs = [(product, wish.claim_id) for product, _ in wish.lines]
        self.runner.run(self.gate.confirm(pairs))
        for pair in pairs:
            self.model.confirm(*pair)

    @invariant()
    def the_gate_is_as_the_model(self) -> None:
        assert set(self.runner.run(self.gate.products())) == set(self.model.shelves)
        for product, shelf in self.model.shelves.items():
            seen = self.runner.run(self.gate.look(product))
            assert seen
            assert (seen.epoch, seen.left, seen.leases) == (shelf.epoch, shelf.left, len(shelf.leases))
            buyers: Any = self.runner.run(_awaited(self.redis.hkeys(f"{{gate}}:b:{product}")))
            assert {buyer.decode() for buyer in buyers} == set(shelf.buyers)
            in_sale: Any = self.runner.run(_awaited(self.redis.hgetall(f"{{gate}}:s:{product}")))
            assert {buyer.decode(): int(units) for buyer, units in in_sale.items()} == shelf.in_sale
            leases = self.runner.run(self.gate.leases(product))
            assert {claim_id for claim_id, _ in leases} == shelf.leases
            assert all(0 < left <= LEASE_S for _, left in leases)

    @invariant()
    def no_more_is_admitted_than_was_stocked(self) -> None:
        for product, shelf in self.model.shelves.items():
            assert shelf.left >= 0
            assert shelf.left + sum(qty for qty, _, _, _ in shelf.claims.values()) == self.stocked[product]

    def teardown(self) -> None:
        self.runner.run(self.redis.aclose())
        self.runner.close()


async def _awaited(sent: Awaitable[Any]) -> Any:
    return await sent


def test_the_gate_s_scripts_do_what_the_model_does(redis_url: str) -> None:
    class OnThisRedis(GateMachine):
        def __init__(self) -> None:
            super().__init__(redis_url)

    run_state_machine_as_test(
        OnThisRedis,
        settings=settings(
            max_examples=60, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
