"""Divides a pool's connections between operations: each has a limit, and the last ones go to operations without any."""

import asyncio
import os
from collections import deque

from psycopg import AsyncConnection, OperationalError

POOLED = 0.75  # of PostgreSQL's connection limit; the rest serves the log's readers and commands
PER_CORE = 14
LEAST = 2
ADMITTED = "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"


async def pool_size(database_url: str, workers: int) -> int:
    """
    Calculate the pool size of one worker from PostgreSQL's connection limit and the number of cores.

    Returns:
        A size based on the cores alone if PostgreSQL does not answer within 2 s.
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
    Divides the connections of one pool between operations.

    A quarter of them is reserved for operations that hold none, so that slow operations at their limits leave some
    for the others: many more operations than connections can run.

    Args:
        size: number of connections in the pool, at least 1.
    """

    def __init__(self, size: int) -> None:
        self._free = size
        self._kept = size // 4
        self._waiting: deque[Share] = deque()  # each once, served round-robin

    def of(self, bound: int) -> "Share":
        """Create the share of one operation, which holds at most ``bound`` connections."""
        return Share(self, bound)

    def take(self, share: "Share") -> bool:
        """Take a connection if this share may have one now; return whether it did."""
        if share.held >= share.bound or self._free <= (self._kept if share.held else 0):
            return False
        self._free -= 1
        share.held += 1
        return True

    def give_back(self, share: "Share") -> None:
        """Return one connection; the next waiting operation takes it."""
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
        """Queue ``share``, which has a waiting caller."""
        if share not in self._waiting:
            self._waiting.append(share)


class Share:
    """Limits one operation's connections; created by ``Shares.of``, used on its pool's event loop only."""

    def __init__(self, shares: Shares, bound: int) -> None:
        self.bound = bound
        self.held = 0
        self.waiting: deque[asyncio.Future[None]] = deque()
        self._shares = shares

    async def acquire(self) -> None:
        """Wait for a connection, first come first served within the operation."""
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
            else:  # the connection was granted in the same loop iteration
                self._shares.give_back(self)
            raise

    def release(self) -> None:
        """Return a connection."""
        self._shares.give_back(self)

    def serve(self) -> bool:
        """Grant a connection to the first waiting caller if one is free; return whether it did."""
        first = next((turn for turn in self.waiting if not turn.done()), None)
        if first is None or not self._shares.take(self):
            return False
        self.waiting.remove(first)
        first.set_result(None)
        return True
