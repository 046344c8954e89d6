"""Health that tells the truth: what is asked is what buyers need."""

import asyncio
from typing import Protocol

import msgspec
from redis.exceptions import RedisError

from runtime.deps import Deps
from runtime.http import Reply
from shop.db import schema
from shop.problem import Unavailable

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


async def up(deps: Deps) -> Reply:
    """The seed's health: whether a purchase can succeed now."""
    missing = await _missing(deps)
    return _reply("UP" if not missing else "DOWN", missing)


async def _missing(deps: Deps) -> dict[str, str]:
    missing = {}
    try:
        async with asyncio.timeout(ASK_S), deps.db.transaction() as tx:
            found = await schema.version(tx)
        if found < schema.NEEDED:
            missing["database"] = f"schema {schema.NEEDED} needed, {found} found"
    except (Unavailable, TimeoutError) as error:
        missing["database"] = str(error) or "did not answer"
    try:
        async with asyncio.timeout(ASK_S):
            await deps.redis.ping()
    except (RedisError, TimeoutError) as error:
        missing["gate"] = str(error) or "did not answer"
    return missing


def _reply(status: str, missing: dict[str, str]) -> Reply:
    body = msgspec.json.encode({"status": status, **({"missing": missing} if missing else {})})
    return Reply(503 if missing else 200, body, headers=(("retry-after", "1"),) if missing else ())
