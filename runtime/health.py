"""Health that tells the truth: what is asked is what buyers need."""

import asyncio
import logging
from typing import Protocol

import msgspec

from runtime.deps import Deps
from runtime.http import Reply
from shop.db import schema
from shop.problem import Unavailable

log = logging.getLogger(__name__)
ASK_S = 2.0


class Dispatching(Protocol):
    @property
    def running(self) -> bool: ...


async def ready(deps: Deps, knative: Dispatching) -> Reply:
    """200, or 503 with what is missing."""
    missing = await _missing(deps)
    if not knative.running:
        missing["broker"] = "triggers are not being dispatched"
    return _reply("READY" if not missing else "NOT READY", missing)


async def started(deps: Deps) -> Reply:
    """
    Whether this process can begin to work: 200 once PostgreSQL has answered with a schema that is new enough, and ever
    after. An outage later is answered to each request as such; a pod that is taken away for it would answer nothing.
    """
    start = deps.one(Start)
    if not start.done:
        missing = await _database(deps)
        start.done = not missing
        if missing != start.missing:
            log.warning("not ready: %s", "; ".join(missing.values())) if missing else log.info("ready")
        start.missing = missing
    return _reply("STARTED" if start.done else "NOT READY", start.missing)


class Start:
    """What kept this process from beginning when it was last asked."""

    def __init__(self, deps: Deps) -> None:
        self.done = False
        self.missing: dict[str, str] = {}


async def up(deps: Deps) -> Reply:
    """The seed's health: whether a purchase can succeed now."""
    missing = await _missing(deps)
    return _reply("UP" if not missing else "DOWN", missing)


async def _missing(deps: Deps) -> dict[str, str]:
    from runtime.redis_client import RedisError

    missing = await _database(deps)
    if not deps.settings.redis_url:  # an operation that does not use it
        return missing
    try:
        async with asyncio.timeout(ASK_S):
            await deps.redis.ping()
    except (RedisError, TimeoutError) as error:
        log.warning("the gate does not answer: %s", error or type(error).__name__)
        missing["gate"] = "does not answer"  # the error names addresses
    return missing


async def _database(deps: Deps) -> dict[str, str]:
    try:
        async with asyncio.timeout(ASK_S), deps.db.transaction() as tx:
            found = await schema.version(tx)
    except (Unavailable, TimeoutError) as error:
        return {"database": str(error) or "did not answer"}
    if found < schema.NEEDED:
        return {"database": f"schema {schema.NEEDED} needed, {found} found: has the migration been run?"}
    return {}


def _reply(status: str, missing: dict[str, str]) -> Reply:
    body = msgspec.json.encode({"status": status, **({"missing": missing} if missing else {})})
    return Reply(503 if missing else 200, body, headers=(("retry-after", "1"),) if missing else ())
