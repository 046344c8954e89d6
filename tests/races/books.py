"""Checks the invariants of every race: no unit is lost or sold twice, and gate and table agree."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import psycopg

from functions.settle.settlement import Settlement
from pulsecart.runtime.problem import Unavailable
from pulsecart.shop.inventory.gate.gate import Gate
from tests.client import Client, until

IDENTITY = """
    SELECT s.product_id, s.available,
           (SELECT sum(a.delta) FROM inventory_adjustment a WHERE a.product_id = s.product_id) AS stocked,
           coalesce((SELECT sum(i.qty) FROM order_items i JOIN orders o USING (order_id)
                     WHERE i.product_id = s.product_id AND o.status IN ('CONFIRMED', 'PAID', 'FULFILLED')), 0) AS taken
    FROM stock s ORDER BY s.product_id
"""
COUNTERS = """
    SELECT u.product_id, u.buyer_id, u.units, coalesce(sum(i.qty), 0)
    FROM buyer_units u
    LEFT JOIN orders o ON o.buyer_id = u.buyer_id AND o.status IN ('CONFIRMED', 'PAID', 'FULFILLED')
    LEFT JOIN order_items i ON i.order_id = o.order_id AND i.product_id = u.product_id
    GROUP BY 1, 2, 3 HAVING u.units <> coalesce(sum(i.qty), 0)
"""
UNWON = """
    SELECT order_id::text, status, claim_id::text FROM orders o
    WHERE status IN ('CONFIRMED', 'PAID', 'FULFILLED')
      AND NOT EXISTS (SELECT FROM claims c WHERE c.claim_id = o.claim_id AND c.state = 'won')
"""
WAITING = (
    "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database() AND query LIKE %s"
)

SLOW_COMMIT = """
    CREATE FUNCTION wait_at_commit() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER wait_at_commit AFTER INSERT ON claims DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.state = 'won') EXECUTE FUNCTION wait_at_commit();
"""


class Books:
    """The tables and the gate of one shop."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.deps = client.deps
        self.gate = Gate(client.deps.redis, client.deps.settings.lease_s)

    async def balance(self) -> None:
        """
        Check that stocked = left + taken for every product, that each buyer's counter equals that buyer's units, and
        that each order that holds stock won its claim.
        """
        for product_id, available, stocked, taken in await self.client.rows(IDENTITY):
            assert stocked == available + taken, f"product {product_id}: {stocked} ≠ {available} left + {taken} taken"
        assert await self.client.rows(COUNTERS) == []
        assert await self.client.rows(UNWON) == []

    async def agree(self, *product_ids: str) -> None:
        """Wait until no lease is open, then check that gate and table have the same units left; a gate that does not
        know a product asks the table first."""
        await self.balance()
        await until(self.quiet)
        for product_id in product_ids:
            shelf = await self.gate.look(product_id)
            (available,) = await self.client.row("SELECT available FROM stock WHERE product_id = %s", product_id)
            assert shelf is None or shelf.left == available, (
                f"product {product_id}: the gate has {shelf.left}, the table {available}"
            )

    async def quiet(self) -> bool:
        return not [lease for product_id in await self.gate.products() for lease in await self.gate.leases(product_id)]

    async def settled(self) -> None:
        """Let every open lease end, and settle it."""
        settlement = Settlement(self.deps)

        async def done() -> bool:
            due = await settlement.next_due()
            if due is not None and due <= self.deps.clock.now():
                with suppress(Unavailable):  # rows locked by the test: it is called again, as after a wake-up
                    await settlement.act()
            return await self.quiet()

        await until(done)

    async def opened(self, user: int = 1) -> None:
        """Open the gate by a purchase, and wait until its lease has ended."""
        assert (await self.client.buy(user=user)).status == 200
        await until(self.quiet)

    async def left(self, product_id: str = "1") -> int:
        """Return the units left at the gate; -1 if the gate does not know the product."""
        shelf = await self.gate.look(product_id)
        return shelf.left if shelf else -1

    async def open_claim(self, product_id: str = "1") -> str:
        """Wait for a lease; return its claim."""
        leases: Sequence[tuple[str, float]] = await until(lambda: self.gate.leases(product_id))
        return leases[0][0]

    async def state_of(self, claim_id: str) -> str | None:
        row = await self.client.row("SELECT state FROM claims WHERE claim_id = %s", claim_id)
        return row[0] if row else None

    async def someone_waits(self, query: str = "%") -> None:
        """Wait until a statement like ``query`` waits for a lock."""
        await until(lambda: self.client.row(WAITING, query))

    @asynccontextmanager
    async def commits_held(self) -> AsyncIterator[None]:
        """Hold transactions that won a claim in their COMMIT, after all their writes, for the context."""
        async with self.deps.db.transaction() as tx:
            await tx.connection.execute(SLOW_COMMIT.encode(), prepare=False)
        async with self.holding("SELECT pg_advisory_lock(1)"):
            yield

    @asynccontextmanager
    async def holding(self, sql: str, *params: Any) -> AsyncIterator[None]:
        """Keep the rows that ``sql`` locks locked by another transaction."""
        connection = await psycopg.AsyncConnection.connect(self.deps.settings.database_url)
        try:
            await connection.execute(sql.encode(), params)
            yield
        finally:
            await connection.close()
