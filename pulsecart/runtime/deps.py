"""Builds the dependencies of operations: the only place where database, Redis and HTTP clients are created."""

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
from pulsecart.runtime.peers import Peers
from pulsecart.runtime.settings import Settings, read
from pulsecart.runtime.wakeups import WakeUps

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from pulsecart.runtime.redis_client import Redis

T = TypeVar("T")
DEFAULT_SHARE = 2


class Clock:
    """Reads the current time; tests replace it."""

    def now(self) -> datetime:
        """Return the current time, aware UTC."""
        return datetime.now(UTC)


@dataclass(slots=True)
class Deps:
    """
    Holds the clients and services that an operation's handlers use.

    Args:
        db: this operation's share of the connection pool.
        shares: divides the pool between operations.
        wake_ups: wakes the operations of this process that have due work.
        peers: wakes operations in other processes; None unless each operation is deployed on its own.
        committed: wakes the log's readers after a commit that wrote events.
        singletons: objects that ``singleton`` has created, by the function that created them.
        before_shutdown: callbacks that run before the server waits for its requests to end; they end live streams.
        closing: callbacks that run before connections close.
    """

    settings: Settings
    db: Database
    clock: Clock
    pool: Pool
    shares: Shares
    wake_ups: WakeUps
    peers: Peers | None = None
    committed: Callable[[], None] = lambda: None
    new_id: Callable[[], str] = new_id
    singletons: dict[Any, Any] = field(default_factory=dict)
    before_shutdown: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    closing: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    @property
    def redis(self) -> "Redis":
        """Return the Redis client, created at first use: half of the operations never need it and start without it."""
        return self.singleton(redis_client)

    @property
    def http(self) -> "ClientSession":
        """Return the client for frequent calls to other servers, created at first use: its import is slow."""
        return self.singleton(http_session)

    def wake(self, operation: str) -> None:
        """Wake an operation that has due work; returns without waiting."""
        self.wake_ups.wake(operation)

    def singleton(self, make: "Callable[[Deps], T]") -> T:
        """Return the result of the first ``make(self)``: one instance per process and event loop."""
        if make not in self.singletons:
            self.singletons[make] = make(self)
        instance: T = self.singletons[make]
        return instance

    def share(self, operation: str, connections: int = DEFAULT_SHARE) -> "Deps":
        """Return a copy limited to ``connections`` of the pool: a slow operation cannot starve the others."""
        db = Database(
            self.pool,
            operation=operation,
            now=self.clock.now,
            share=self.shares.of(connections),
            committed=lambda: self.committed(),
        )
        return replace(self, db=db)


def redis_client(deps: Deps) -> "Redis":
    """Create the process's Redis client, for ``Deps.redis``."""
    from pulsecart.runtime.redis_client import new_redis

    return new_redis(deps.settings.redis_url)


def http_session(_deps: Deps) -> "ClientSession":
    """Create the process's HTTP client session, for ``Deps.http``."""
    from pulsecart.runtime.http_client import new_session

    return new_session()


def open_deps(settings: Settings, clock: Clock | None = None) -> Deps:
    """Create this process's Deps; each client connects at its first use."""
    clock = clock or Clock()
    pool = new_pool(settings.database_url, settings.pool_max, settings.lock_wait_s)
    shares = Shares(settings.pool_max)
    db = Database(pool, operation="host", now=clock.now, share=shares.of(settings.pool_max))
    peers = Peers(settings.function_url) if settings.function_url else None
    wake_ups = WakeUps(clock, elsewhere=peers.wake if peers else None)
    deps = Deps(settings=settings, db=db, clock=clock, pool=pool, shares=shares, wake_ups=wake_ups, peers=peers)
    if peers:
        deps.committed = lambda: wake_ups.wake("relay")
    return deps


_by_loop: "WeakKeyDictionary[asyncio.AbstractEventLoop, Deps]" = WeakKeyDictionary()


def deps_of_loop() -> Deps:
    """Return the running event loop's Deps, created at the first request: functions-framework has no startup hook."""
    loop = asyncio.get_running_loop()
    if loop not in _by_loop:
        _by_loop[loop] = open_deps(read(os.environ))
    return _by_loop[loop]


async def close_deps(deps: Deps) -> None:
    """Run the ``closing`` callbacks, then close every connection."""
    for finish in deps.closing:
        await finish()
    if deps.peers:
        await deps.peers.close()
    if http_session in deps.singletons:
        await deps.http.close()
    if redis_client in deps.singletons:
        await deps.redis.aclose(close_connection_pool=True)  # by default, a pool passed in stays open
    await deps.pool.close()
