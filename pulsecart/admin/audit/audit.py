"""The audit: PostgreSQL's books and the gate, read at rest where that was asked for, and judged."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import redis

from pulsecart.shop.audit.db import questions as books
from pulsecart.shop.audit.verdict import Report, Shelf, gate_findings, judge

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
    Args:
        redis_url: empty for none: then the gate is not looked at.
        grace_s: how long an order may rest before its lack of progress is wrong.
        settle_timeout_s: waits this long for what is under way, repairs of the gate included, to end; what has not
            by then is a finding. 0 judges at once, and what is under way is only reported.

    What cannot be asked is named in the report, and the rest is judged: a gate that cannot be read, too.

    Raises:
        CannotAsk: PostgreSQL cannot be reached, or the database is not a shop's.
    """
    if settle_timeout_s > 0:
        _wait(database_url, redis_url, settle_timeout_s, pause)
    before, _ = _gate(redis_url)
    with books.snapshot(database_url) as connection:
        found = books.read(connection, grace_s=grace_s)
    after, unasked = _gate(redis_url)
    gate = _steady(before, after) if redis_url else None
    return judge(found, gate, gate_unasked=unasked, must_be_settled=settle_timeout_s > 0)


def _wait(database_url: str, redis_url: str, timeout_s: float, pause: Callable[[float], None]) -> None:
    until = time.monotonic() + timeout_s
    while not _is_settled(database_url, redis_url) and time.monotonic() < until:
        pause(POLL_S)


def _is_settled(database_url: str, redis_url: str) -> bool:
    """Nothing is under way, and what settle would repair in the gate is repaired; or waiting cannot tell."""
    gate, unasked = _gate(redis_url)
    try:
        with books.snapshot(database_url) as connection:
            if books.unsettled(connection) or any(shelf.claims for shelf in gate.values()):
                return False
            return bool(unasked) or not gate_findings(books.products(connection), gate)
    except books.CannotAsk:
        return True  # the report names what cannot be asked


def _gate(redis_url: str) -> tuple[dict[str, Shelf], list[str]]:
    """
    Every product that the gate knows, and why some or all of it cannot be read; its keys are
    ``pulsecart.shop.inventory.gate.gate``'s.
    """
    if not redis_url:
        return {}, []
    try:
        with redis.Redis.from_url(redis_url, decode_responses=True, encoding_errors="backslashreplace") as client:
            products = sorted(client.smembers("{gate}:products"))
            pipe = client.pipeline(transaction=True)
            for product in products:
                pipe.hmget(f"{{gate}}:p:{product}", ["epoch", "left"])
                pipe.zcard(f"{{gate}}:z:{product}")
            told = iter(pipe.execute(raise_on_error=False))
    except redis.ConnectionError as away:
        return {}, [f"Redis cannot be reached: {away}"]
    except redis.RedisError as error:
        return {}, [f"Redis cannot be asked: {error}"]
    return _shelves(zip(products, told, told, strict=True))


def _shelves(told: Iterable[tuple[str, Any, Any]]) -> tuple[dict[str, Shelf], list[str]]:
    shelves, unasked = {}, []
    for product, state, claims in told:
        try:
            epoch, left = state
            if epoch is not None:
                shelves[product] = Shelf(epoch=int(epoch), left=int(left), claims=int(claims))
        except (TypeError, ValueError):
            unasked.append(f"product {product} cannot be read: {state!r}, {claims!r}")
    return shelves, unasked


def _steady(before: Mapping[str, Shelf], after: Mapping[str, Shelf]) -> dict[str, Shelf]:
    """The gate after the books were read; what moved meanwhile counts as a claim under way."""
    return {
        product: shelf if before.get(product) == shelf else replace(shelf, claims=shelf.claims or 1)
        for product, shelf in after.items()
    }
