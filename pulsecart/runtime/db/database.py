"""Manages connections and transactions; an operation's writes and its events commit together."""

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
# libpq options, TCP only: without them a reply that never arrives blocks its batch, and the queue behind it, for hours.
GONE_WITHIN_10_S = {"tcp_user_timeout": 10_000, "keepalives_idle": 4, "keepalives_interval": 2, "keepalives_count": 3}
_encode = msgspec.json.Encoder().encode


def as_json(rows: Sequence[Any]) -> str:
    """Encode many rows as one JSON parameter: half the time of the driver's arrays."""
    return _encode(rows).decode()


@dataclass(slots=True)
class Tx:
    """
    Holds one open transaction.

    Args:
        now: aware UTC, the same time for every write of the transaction.
        cause: the cause that emitted events carry by default.
        seen: the event was handled before; there is nothing left to do.
        has_events: events were written.
        causes: order → the event that caused its step, where one transaction has many causes.
        collected: statement → the rows that it writes at the end.
    """

    connection: AsyncConnection[TupleRow]
    source: str
    now: datetime
    cause: Cause = field(default_factory=Cause)
    seen: bool = False
    has_events: bool = False
    events: list[CloudEvent] = field(default_factory=list)
    causes: dict[str, Identity] = field(default_factory=dict)
    collected: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    writes: list[tuple[str, Sequence[Any]]] = field(default_factory=list)
    guards: list[tuple[int, int]] = field(default_factory=list)

    @property
    def actor(self) -> str:
        """Return the operation as the actor, for changes that no user requested."""
        return f"operation:{self.source.rpartition('/')[2]}"

    async def execute(self, sql: str, params: Params = ()) -> AsyncCursor[TupleRow]:
        return await self.connection.execute(sql.encode(), params)

    def later(self, sql: str, params: Sequence[Any] = (), *, exactly: int | None = None) -> None:
        """
        Defer a write to the end of the transaction, into one statement with all deferred writes and the events.

        Args:
            sql: INSERT or UPDATE of rows that no other statement of this transaction writes or reads back.
            exactly: required number of written rows; any other number rolls the transaction back (division by zero).
        """
        if exactly is not None:
            self.guards.append((len(self.writes), exactly))
        self.writes.append((sql, params))

    def collect(self, sql: str, row: tuple[Any, ...]) -> None:
        """
        Defer ``row`` to the end of the transaction, where all rows of the same statement are written at once.

        Args:
            sql: as for ``later``; its parameters are ``now`` and a JSON array that holds one array per row.
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
        Emit an event at the end of the transaction. ``key`` is the id of the aggregate, whose row this transaction
        has locked; ``source`` is set only where the transaction does another operation's work.
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
        """Write all deferred statements, collected rows and events."""
        for sql, rows in self.collected.items():
            self.later(sql, (self.now, as_json(rows)))
        if self.events:
            self.has_events = True
            self.later(outbox.INSERT_SQL, (outbox.rows_for(self.events),))
        if self.writes:
            parts = ", ".join(f"write_{at} AS ({sql} RETURNING 1)" for at, (sql, _) in enumerate(self.writes))
            guards = ", ".join(f"1 / ((SELECT count(*) FROM write_{at}) = %s)::int" for at, _ in self.guards)
            values = [value for _, params in self.writes for value in params]
            await self.execute(f"WITH {parts} SELECT {guards}", [*values, *(rows for _, rows in self.guards)])


class Database:
    """
    Opens connections and transactions for one operation, within its share of a pool.

    Args:
        pool: connections to PostgreSQL; none is opened before the first use.
        operation: its name; its events have the CloudEvents ``source`` ``/pulsecart/<operation>``.
        share: this operation's share of the pool.
        committed: called after each commit that emitted events, to wake the log's readers.
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
        Borrow a connection from the pool, and turn PostgreSQL's errors into problems.

        Raises:
            Unavailable: no connection was free within CONNECT_WAIT_S, or the connection was lost.
            Busy: required rows stayed locked.
            Unstorable: PostgreSQL rejected a value.
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
        Open a transaction: commit at the end of the block; on an exception, roll back and re-raise it.

        Args:
            pipelined: send statements together until a result is fetched. An error may then surface at a later
                statement or at the commit, and a cursor's ``rowcount`` is not known immediately.

        Raises:
            Unavailable: PostgreSQL is unreachable. If the commit itself raises it, the commit's outcome is unknown.
        """
        async with self.connection() as connection, AsyncExitStack() as opened:
            if pipelined:
                await opened.enter_async_context(connection.pipeline())
            await opened.enter_async_context(connection.transaction())
            tx = Tx(connection, f"/pulsecart/{self.operation}", self.now(), cause or Cause())
            yield tx
            await tx.finish()
        if tx.has_events:
            self._wake_readers()

    def _wake_readers(self) -> None:
        """Call ``committed``; log its errors, because raising them would suggest that the commit failed."""
        try:
            self.committed()
        except Exception:
            log.exception("%s: committed, but woke no reader of the log; their next poll finds it", self.operation)

    @asynccontextmanager
    async def once(self, event: CloudEvent) -> AsyncIterator[Tx]:
        """Open a transaction that marks ``event`` as handled by this operation; ``tx.seen`` if it already was."""
        async with self.transaction(Cause.of(event)) as tx:
            claimed = await tx.execute(
                "INSERT INTO consumed (operation, source, event_id) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
                (self.operation, event.source, event.id),
            )
            tx.seen = claimed.rowcount == 0
            yield tx


def new_pool(url: str, size_max: int, lock_wait_s: float = 2.0) -> Pool:
    """Create an empty pool that opens at its first use: needs no event loop, and can be dropped unclosed until then."""
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
