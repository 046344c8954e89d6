"""Connections and transactions: what an operation writes and what it says about it commit together."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from psycopg import AsyncConnection, AsyncCursor, Error
from psycopg.rows import TupleRow
from psycopg_pool import AsyncConnectionPool

from pulsecart.runtime.db import outbox
from pulsecart.runtime.db.errors import Busy as Busy
from pulsecart.runtime.db.errors import problem_of
from pulsecart.runtime.db.shares import Share
from pulsecart.runtime.event import Cause, CloudEvent, Identity, Message, enveloped
from pulsecart.runtime.problem import Unavailable

log = logging.getLogger(__name__)
Params = Sequence[Any] | Mapping[str, Any]
Pool = AsyncConnectionPool[AsyncConnection[TupleRow]]
CONNECT_WAIT_S = 5.0
IDLE_S = 30.0
# Of libpq, for TCP only: an answer that never comes would hold its batch, and all that queue behind it, for hours.
GONE_WITHIN_10_S = {"tcp_user_timeout": 10_000, "keepalives_idle": 4, "keepalives_interval": 2, "keepalives_count": 3}


_encode = msgspec.json.Encoder().encode


def as_json(rows: Sequence[Any]) -> str:
    """Many rows as one parameter: half the time of arrays through the driver."""
    return _encode(rows).decode()


@dataclass(slots=True)
class Tx:
    """
    One open transaction.

    Args:
        now: aware UTC, one moment for all that it writes.
        cause: what its events are about to name as their cause.
        causes: order → the event that its step was caused by, where one transaction has many causes.
        collected: statement → the rows that it writes at the end.
        seen: this event was finished before; there is nothing left to do.
        told: events were written.
    """

    connection: AsyncConnection[TupleRow]
    source: str
    now: datetime
    cause: Cause = field(default_factory=Cause)
    seen: bool = False
    told: bool = False
    events: list[CloudEvent] = field(default_factory=list)
    causes: dict[str, Identity] = field(default_factory=dict)
    collected: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    writes: list[tuple[str, Sequence[Any]]] = field(default_factory=list)
    guards: list[tuple[int, int]] = field(default_factory=list)

    @property
    def actor(self) -> str:
        """Who does this where nobody asked for it: the operation."""
        return f"operation:{self.source.rpartition('/')[2]}"

    async def execute(self, sql: str, params: Params = ()) -> AsyncCursor[TupleRow]:
        return await self.connection.execute(sql.encode(), params)

    def later(self, sql: str, params: Sequence[Any] = (), *, exactly: int | None = None) -> None:
        """
        Write at the end of the transaction, in one statement with all that is written later, the events included.

        Args:
            sql: INSERT or UPDATE of rows that nothing else of this transaction writes or reads back.
            exactly: how many rows it must write: any other number undoes the transaction (a division by zero).
        """
        if exactly is not None:
            self.guards.append((len(self.writes), exactly))
        self.writes.append((sql, params))

    def collect(self, sql: str, row: tuple[Any, ...]) -> None:
        """
        Write ``row`` at the end of the transaction, with all others of the same statement.

        Args:
            sql: as for ``later``; its parameters are ``now`` and a JSON array with an array for each row.
        """
        self.collected.setdefault(sql, []).append(row)

    async def row(self, sql: str, params: Params = ()) -> TupleRow | None:
        return await (await self.execute(sql, params)).fetchone()

    async def rows(self, sql: str, params: Params = ()) -> list[TupleRow]:
        return await (await self.execute(sql, params)).fetchall()

    def emit(
        self,
        message: Message,
        *,
        key: str,
        sequence: int,
        cause: Cause | None = None,
        source: str | None = None,
        **extensions: str,
    ) -> None:
        """
        Record an event; ``key`` is the aggregate's id, whose row this transaction has locked. ``source`` stands where
        this transaction does another operation's work.
        """
        self.events.append(
            enveloped(
                message,
                source=source or self.source,
                key=key,
                sequence=sequence,
                time=self.now,
                cause=cause or self.cause,
                extensions=extensions,
            )
        )

    async def finish(self) -> None:
        """Write what was left for later, the collected rows and the events included."""
        for sql, rows in self.collected.items():
            self.later(sql, (self.now, as_json(rows)))
        if self.events:
            self.told = True
            self.later(outbox.INSERT_SQL, (outbox.rows_for(self.events),))
        if self.writes:
            parts = ", ".join(f"write_{at} AS ({sql} RETURNING 1)" for at, (sql, _) in enumerate(self.writes))
            guards = ", ".join(f"1 / ((SELECT count(*) FROM write_{at}) = %s)::int" for at, _ in self.guards)
            values = [value for _, params in self.writes for value in params]
            await self.execute(f"WITH {parts} SELECT {guards}", [*values, *(rows for _, rows in self.guards)])


class Database:
    """
    One operation's share of a pool.

    Args:
        url: of PostgreSQL; nothing connects before the first use.
        operation: its name; what it emits has the CloudEvents ``source`` ``/pulsecart/<operation>``.
        share: of the pool's connections.
        now: the clock.
        committed: called after each commit that emitted events, to wake who reads the log.
    """

    def __init__(
        self,
        pool: Pool,
        *,
        operation: str,
        now: Callable[[], datetime],
        share: Share,
        committed: Callable[[], None] = lambda: None,
    ) -> None:
        self.pool = pool
        self.operation = operation
        self.now = now
        self.committed = committed
        self._share = share

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection[TupleRow]]:
        """
        Raises:
            Unavailable: no connection within CONNECT_WAIT_S, or it was lost.
            Busy: what is needed stayed locked.
            Unstorable: PostgreSQL refused a value.
        """
        try:
            async with asyncio.timeout(CONNECT_WAIT_S):
                await self._share.acquire()
        except TimeoutError:
            raise Unavailable("database-busy", "All database connections of this operation are in use.") from None
        try:
            await self.pool.open()
            async with self.pool.connection() as connection:
                yield connection
        except (Error, UnicodeEncodeError) as error:
            problem = problem_of(error)
            if problem is None:
                raise
            raise problem from error
        finally:
            self._share.release()

    @asynccontextmanager
    async def transaction(self, cause: Cause | None = None, *, pipelined: bool = False) -> AsyncIterator[Tx]:
        """
        Commits at the end; rolls back and raises what was raised inside.

        Args:
            pipelined: statements travel together until a result is fetched, and so does what went wrong: an error
                may be raised at a later statement, or at the commit. A cursor's ``rowcount`` is not known at once.

        Raises:
            Unavailable: PostgreSQL is away. Where this comes from the commit itself, its outcome is unknown.
        """
        async with self.connection() as connection, AsyncExitStack() as opened:
            if pipelined:
                await opened.enter_async_context(connection.pipeline())
            await opened.enter_async_context(connection.transaction())
            tx = Tx(connection, f"/pulsecart/{self.operation}", self.now(), cause or Cause())
            yield tx
            await tx.finish()
        if tx.told:
            self._wake_readers()

    def _wake_readers(self) -> None:
        """It is committed: what goes wrong from here on must not look as if it were not."""
        try:
            self.committed()
        except Exception:
            log.exception("%s: committed; who reads the log was not told, and looks by itself", self.operation)

    @asynccontextmanager
    async def once(self, event: CloudEvent) -> AsyncIterator[Tx]:
        """A transaction in which this operation finishes ``event``; where it has before, ``tx.seen``."""
        async with self.transaction(Cause.of(event)) as tx:
            claimed = await tx.execute(
                "INSERT INTO consumed (operation, source, event_id) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                (self.operation, event.source, event.id),
            )
            tx.seen = claimed.rowcount == 0
            yield tx


def new_pool(url: str, size_max: int, lock_wait_s: float = 2.0) -> Pool:
    """An empty pool, opened at its first use: made without an event loop, and safe to drop."""
    return AsyncConnectionPool(
        url,
        min_size=0,
        max_size=size_max,
        open=False,
        timeout=CONNECT_WAIT_S,
        max_idle=IDLE_S,
        kwargs={
            "autocommit": False,
            "application_name": "pulsecart",
            "options": f"-c lock_timeout={lock_wait_s * 1000:.0f}",
            **GONE_WITHIN_10_S,
        },
        reconnect_timeout=CONNECT_WAIT_S,
    )
