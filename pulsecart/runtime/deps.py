"""What an operation is given: the one place where clients are made."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from pulsecart.runtime.db.database import Database, Pool, new_pool
from pulsecart.runtime.db.shares import Shares
from pulsecart.runtime.event import new_id
from pulsecart.runtime.peers import Neighbours
from pulsecart.runtime.settings import Settings, read
from pulsecart.runtime.wakeups import Pokes

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from pulsecart.runtime.redis_client import Redis

T = TypeVar("T")
DEFAULT_SHARE = 2


class Clock:
    """The time; tests give another."""

    def now(self) -> datetime:
        """Aware UTC."""
        return datetime.now(UTC)


@dataclass(slots=True)
class Deps:
    """
    Args:
        db: this operation's share of the connection pool.
        shares: how operations share the pool.
        pokes: who is awake in this process because something is due.
        neighbours: the other operations, where each is served alone.
        committed: tells who reads the log that there is something new.
        closing: what to finish before connections end.
        ending: what to call before a server waits for its requests to end: live streams never would by themselves.
    """

    settings: Settings
    db: Database
    clock: Clock
    pool: Pool
    shares: Shares
    pokes: Pokes
    neighbours: Neighbours | None = None
    committed: Callable[[], None] = lambda: None
    new_id: Callable[[], str] = new_id
    made: dict[Any, Any] = field(default_factory=dict)
    ending: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    closing: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    @property
    def redis(self) -> "Redis":
        """The client, made at its first use: half of the operations never need one, and start without it."""
        return self.one(redis_client)

    @property
    def http(self) -> "ClientSession":
        """The client of what calls other servers all the time, made at its first use: its import takes its while."""
        return self.one(http_session)

    def poke(self, operation: str) -> None:
        """Wake an operation that has something due; returns at once."""
        self.pokes.poke(operation)

    def one(self, make: "Callable[[Deps], T]") -> T:
        """What ``make`` answered the first time: one per process and event loop."""
        if make not in self.made:
            self.made[make] = make(self)
        made: T = self.made[make]
        return made

    def share(self, operation: str, connections: int = DEFAULT_SHARE) -> "Deps":
        """The same, with ``connections`` of the pool at most: a slow operation cannot take another's."""
        db = Database(
            self.pool,
            operation=operation,
            now=self.clock.now,
            share=self.shares.of(connections),
            committed=lambda: self.committed(),
        )
        return replace(self, db=db)


def redis_client(deps: Deps) -> "Redis":
    """The process's own, for ``Deps.redis``."""
    from pulsecart.runtime.redis_client import new_redis

    return new_redis(deps.settings.redis_url)


def http_session(_deps: Deps) -> "ClientSession":
    """The process's own, for ``Deps.http``."""
    from pulsecart.runtime.http_client import new_session

    return new_session()


def open_deps(settings: Settings, clock: Clock | None = None) -> Deps:
    """Deps of this process; nothing connects before its first use."""
    clock = clock or Clock()
    pool = new_pool(settings.database_url, settings.pool_max, settings.lock_wait_s)
    shares = Shares(settings.pool_max)
    db = Database(pool, operation="host", now=clock.now, share=shares.of(settings.pool_max))
    neighbours = Neighbours(settings.function_url) if settings.function_url else None
    pokes = Pokes(clock, elsewhere=neighbours.poke if neighbours else None)
    deps = Deps(settings=settings, db=db, clock=clock, pool=pool, shares=shares, pokes=pokes, neighbours=neighbours)
    if neighbours:
        deps.committed = lambda: pokes.poke("relay")
    return deps


_by_loop: "WeakKeyDictionary[asyncio.AbstractEventLoop, Deps]" = WeakKeyDictionary()


def deps_of_loop() -> Deps:
    """Deps of the running loop, made at the first request: functions-framework has no start hook."""
    loop = asyncio.get_running_loop()
    if loop not in _by_loop:
        _by_loop[loop] = open_deps(read(os.environ))
    return _by_loop[loop]


async def close_deps(deps: Deps) -> None:
    """Finish what must be, and end every connection."""
    for finish in deps.closing:
        await finish()
    if deps.neighbours:
        await deps.neighbours.close()
    if http_session in deps.made:
        await deps.http.close()
    if redis_client in deps.made:
        await deps.redis.aclose(close_connection_pool=True)  # a pool given to a client is not the client's to close
    await deps.pool.close()
