"""Answers health checks by testing the dependencies that a purchase needs: PostgreSQL, Redis and the broker."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from pulsecart.runtime.db import schema
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.fresh import Fresh
from pulsecart.runtime.problem import Unavailable
from pulsecart.runtime.redis_error import RedisError
from pulsecart.serving.http import Reply

log = logging.getLogger(__name__)
ASK_S = 2.0


class Dispatching(Protocol):
    @property
    def running(self) -> bool: ...


async def ready(deps: Deps, dead_letters: Callable[[], Awaitable[int]], knative: Dispatching | None = None) -> Reply:
    """
    Reply 200, or 503 with the missing dependencies. Open dead letters are only counted: they wait for an operator, and
    purchases succeed meanwhile.

    Args:
        dead_letters: counts the open ones.
        knative: the local broker; None if a cluster's broker dispatches events.
    """
    missing = dict(await deps.singleton(Readiness).missing.get())
    if knative is not None and not knative.running:
        missing["broker"] = "triggers are not being dispatched"
    waiting = 0 if "database" in missing else await dead_letters()
    if knative is None:
        return _reply("UP" if not missing else "DOWN", missing, waiting)
    return _reply("READY" if not missing else "NOT READY", missing, waiting)


async def started(deps: Deps) -> Reply:
    """
    Reply 200 from the time that PostgreSQL first answers with a sufficiently new schema, 503 before.

    A later outage does not change it: each request then gets an error reply, and a pod removed for it could not reply.
    """
    start = deps.singleton(Start)
    if not start.done:
        missing = await _database(deps)
        start.done = not missing
        if missing != start.missing:
            log.warning("not ready: %s", "; ".join(missing.values())) if missing else log.info("ready")
        start.missing = missing
    return _reply("STARTED" if start.done else "NOT READY", start.missing)


class Start:
    """Remembers whether the process has started, and the dependencies missing at the last check."""

    def __init__(self, deps: Deps) -> None:
        self.done = False
        self.missing: dict[str, str] = {}


async def up(deps: Deps) -> Reply:
    """Reply whether a purchase can succeed now; the health check that the seed specifies."""
    missing = await deps.singleton(Readiness).missing.get()
    return _reply("UP" if not missing else "DOWN", missing)


class Readiness:
    """Shares one check of PostgreSQL and Redis between concurrent health requests; one per process."""

    def __init__(self, deps: Deps) -> None:
        self.missing = Fresh(lambda: _missing(deps), keep_s=0)


async def _missing(deps: Deps) -> dict[str, str]:

    missing = await _database(deps)
    if not deps.settings.redis_url:  # this operation does not use Redis
        return missing
    try:
        async with asyncio.timeout(ASK_S):
            await deps.redis.ping()
    except (RedisError, TimeoutError) as error:
        log.warning("the gate does not answer: %s", error or type(error).__name__)
        missing["gate"] = "does not answer"  # the error's text would disclose addresses
    return missing


async def _database(deps: Deps) -> dict[str, str]:
    try:
        async with asyncio.timeout(ASK_S), deps.db.transaction() as tx:
            found = await schema.version(tx)
    except (Unavailable, TimeoutError) as error:
        return {"database": str(error) or "did not answer"}
    if found < schema.NEEDED:
        return {"database": f"schema {schema.NEEDED} is required, {found} found: run the migrations"}
    return {}


def _reply(status: str, missing: dict[str, str], waiting: int = 0) -> Reply:
    document: dict[str, object] = {"status": status}
    document |= {"missing": missing} if missing else {}
    document |= {"deadLetters": waiting} if waiting else {}
    body = msgspec.json.encode(document)
    return Reply(503 if missing else 200, body, headers=(("retry-after", "1"),) if missing else ())
