"""Audits a shop: reads PostgreSQL and the gate, on request after all work has finished, and checks every rule."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import redis

from pulsecart.shop.audit.db import questions as books
from pulsecart.shop.audit.verdict import GateReading, Report, gate_findings, judge
from pulsecart.shop.inventory.gate import keys

POLL_S = 0.25
GRACE_S = 10.0


def audit(
    database_url: str,
    redis_url: str = "",
    *,
    grace_s: float = GRACE_S,
    settle_timeout_s: float = 0.0,
    pause: Callable[[float], None] = time.sleep,
) -> Report:
    """
    Check every rule and return the report.

    Rules that cannot be checked, for example without a readable gate, are listed in the report; the others are checked.

    Args:
        redis_url: empty for none; the gate is then not read.
        grace_s: how long an order may make no progress before that is a finding.
        settle_timeout_s: how long to wait for work in progress, including repairs of the gate; unfinished work is then
            a finding. With 0, the check is immediate, and work in progress is only reported.

    Raises:
        CannotAsk: PostgreSQL cannot be reached, or the database is not a shop's.
    """
    if settle_timeout_s > 0:
        _wait(database_url, redis_url, settle_timeout_s, pause)
    before, _ = _gate(redis_url)
    with books.snapshot(database_url) as connection:
        found = books.read(connection, grace_s=grace_s)
    after, unchecked = _gate(redis_url)
    gate = _steady(before, after) if redis_url else None
    return judge(found, gate, gate_unchecked=unchecked, must_be_settled=settle_timeout_s > 0)


def _wait(database_url: str, redis_url: str, timeout_s: float, pause: Callable[[float], None]) -> None:
    until = time.monotonic() + timeout_s
    while not _is_settled(database_url, redis_url) and time.monotonic() < until:
        pause(POLL_S)


def _is_settled(database_url: str, redis_url: str) -> bool:
    """Whether no work is in progress and the gate needs no repair by settle; true also if that cannot be read."""
    gate, unchecked = _gate(redis_url)
    try:
        with books.snapshot(database_url) as connection:
            if books.unsettled(connection) or any(reading.claims for reading in gate.values()):
                return False
            return bool(unchecked) or not gate_findings(books.products(connection), gate)
    except books.CannotAsk:
        return True  # the report lists the rules that cannot be checked


def _gate(redis_url: str) -> tuple[dict[str, GateReading], list[str]]:
    """
    Return the gate's state of every product, and the reasons why some or all of it cannot be read.

    The keys are those of ``pulsecart.shop.inventory.gate.gate``.
    """
    if not redis_url:
        return {}, []
    try:
        with redis.Redis.from_url(redis_url, decode_responses=True, encoding_errors="backslashreplace") as client:
            products = sorted(client.smembers(keys.PRODUCTS))
            pipe = client.pipeline(transaction=True)
            for product in products:
                pipe.hmget(keys.level(product), ["epoch", "left"])
                pipe.zcard(keys.leases(product))
            replies = iter(pipe.execute(raise_on_error=False))
    except redis.ConnectionError as away:
        return {}, [f"Redis cannot be reached: {away}"]
    except redis.RedisError as error:
        return {}, [f"Redis answers with an error: {error}"]
    return _shelves(zip(products, replies, replies, strict=True))


def _shelves(replies: Iterable[tuple[str, Any, Any]]) -> tuple[dict[str, GateReading], list[str]]:
    readings, unchecked = {}, []
    for product, state, claims in replies:
        try:
            epoch, left = state
            if epoch is not None:
                readings[product] = GateReading(epoch=int(epoch), left=int(left), claims=int(claims))
        except (TypeError, ValueError):
            unchecked.append(f"product {product} cannot be read: {state!r}, {claims!r}")
    return readings, unchecked


def _steady(before: Mapping[str, GateReading], after: Mapping[str, GateReading]) -> dict[str, GateReading]:
    """Return the gate's state after PostgreSQL was read; a change since before counts as a claim in progress."""
    return {
        product: reading if before.get(product) == reading else replace(reading, claims=reading.claims or 1)
        for product, reading in after.items()
    }
