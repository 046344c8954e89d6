"""Which operation takes a pool's next connection: each has a bound, and the last ones are for those that have none."""

import asyncio
import os
from collections import deque

from psycopg import AsyncConnection, OperationalError

POOLED = 0.75  # of what PostgreSQL admits; the rest is for readers of the log and for commands
PER_CORE = 14
LEAST = 2
ADMITTED = "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"


async def pool_size(database_url: str, workers: int) -> int:
    """
    Connections of one worker's pool: what PostgreSQL admits and the cores are good for, shared by the workers.

    Returns:
        Judged by the cores alone where PostgreSQL does not answer within 2 s.
    """
    most = PER_CORE * (os.cpu_count() or 1)
    try:
        async with await AsyncConnection.connect(database_url, connect_timeout=2) as connection:
            found = await connection.execute(ADMITTED)
            row = await found.fetchone()
    except OperationalError:
        row = None
    admitted = int(row[0] * POOLED) if row else most
    return max(LEAST, min(most, admitted) // workers)


class Shares:
    """
    The connections of one pool, shared by operations.

    A quarter of them is kept for operations that hold none, so that slow operations, up to their bounds, leave some for
    the others: many more operations than connections can run.

    Args:
        size: connections of the pool, at least 1.
    """

    def __init__(self, size: int) -> None:
        self._free = size
        self._kept = size // 4
        self._waiting: deque[Share] = deque()  # each once, in turns

    def of(self, bound: int) -> "Share":
        """A share for one operation, which holds ``bound`` connections at most."""
        return Share(self, bound)

    def take(self, share: "Share") -> bool:
        """Take a connection where this share may have one now."""
        if share.held >= share.bound or self._free <= (self._kept if share.held else 0):
            return False
        self._free -= 1
        share.held += 1
        return True

    def give_back(self, share: "Share") -> None:
        """Return one connection; the operation whose turn it is takes it."""
        self._free += 1
        share.held -= 1
        for _ in range(len(self._waiting)):
            first = self._waiting.popleft()
            served = first.serve()
            if first.waiting:
                self._waiting.append(first)
            if served:
                return

    def queue(self, share: "Share") -> None:
        """``share`` has a waiter."""
        if share not in self._waiting:
            self._waiting.append(share)


class Share:
    """One operation's share; made by ``Shares.of``. Belongs to the loop of its pool."""

    def __init__(self, shares: Shares, bound: int) -> None:
        self.bound = bound
        self.held = 0
        self.waiting: deque[asyncio.Future[None]] = deque()
        self._shares = shares

    async def acquire(self) -> None:
        """Wait for a connection; what asks first gets it first, within the operation."""
        if not self.waiting and self._shares.take(self):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if not self.waiting:
            self._shares.queue(self)
        self.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.cancelled():
                self.waiting.remove(turn)
            else:  # it was given in the same turn of the loop
                self._shares.give_back(self)
            raise

    def release(self) -> None:
        """Return a connection."""
        self._shares.give_back(self)

    def serve(self) -> bool:
        """Give its first waiter a connection, where there is one for it."""
        first = next((turn for turn in self.waiting if not turn.done()), None)
        if first is None or not self._shares.take(self):
            return False
        self.waiting.remove(first)
        first.set_result(None)
        return True
