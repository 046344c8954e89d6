"""Generates request bodies of orders: any bytes, any JSON, and orders that are almost valid."""

import json
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as some

PATHS = ("/api/v1/orders", "/api/v1/sync/purchase", "/api/v1/async/purchase")
EDGES = (0, 1, -1, 2, 20, 21, 64, 65, 1000, 1001, 10**9, 10**15 - 1, 10**15, 2**31, 2**63, 2**64, 10**400, 1e308, -0.0)
EVIL = ("", " ", "\x00", "1", "01", "1\u0000", "\ud800", "\u202e", "é" * 64, "a" * 65, "'; --", "{}", "mine", "٣")
values = some.recursive(
    some.none()
    | some.booleans()
    | some.integers()
    | some.sampled_from(EDGES)
    | some.floats()  # NaN and Infinity too, which JSON does not have
    | some.text()
    | some.sampled_from(EVIL),
    lambda inner: some.lists(inner, max_size=4) | some.dictionaries(some.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


ids = some.sampled_from([1, 2, 3, "1", 999, *EVIL]) | values
amounts = some.sampled_from([None, 49.9, 0, 1e9, 1e-7, *EDGES]) | values
quantities = some.integers(0, 3) | some.sampled_from(EDGES) | values
users = some.integers(1, 10**6)
good_lines = some.fixed_dictionaries({"productId": some.integers(1, 3), "qty": some.integers(1, 2)})
good_orders = some.fixed_dictionaries({"userId": users, "items": some.lists(good_lines, min_size=1, max_size=3)})
good_purchases = some.fixed_dictionaries({"productId": some.just(1), "userId": users})
any_lines = some.fixed_dictionaries({"productId": ids, "qty": quantities}, optional={"expectedPrice": amounts})
instead = {"userId": ids, "quantity": quantities, "expectedPrice": amounts, "productId": ids}
orders = some.builds(dict.__or__, good_orders, some.fixed_dictionaries({"items": some.lists(any_lines, max_size=22)}))
others = some.fixed_dictionaries({}, optional=instead) | some.dictionaries(some.text(max_size=8), values, max_size=2)
purchases = some.builds(dict.__or__, good_purchases | good_orders, others)


def _as_json(value: Any) -> bytes:
    return json.dumps(value).encode()


def _torn(body: bytes, cuts: Iterable[tuple[int, bytes]]) -> bytes:
    """Replace some bytes by others."""
    torn = bytearray(body)
    for at, instead in cuts:
        place = at % (len(torn) + 1)
        torn[place : place + len(instead)] = instead
    return bytes(torn)


nested = some.integers(1, 3000).flatmap(
    lambda deep: some.sampled_from([b"[" * deep, b'{"a":' * deep, b"[" * deep + b"]" * deep])
)
good = (good_orders | good_purchases).map(_as_json)
whole = good | (orders | purchases | values).map(_as_json)
cuts = some.lists(some.tuples(some.integers(0, 400), some.binary(max_size=4)), min_size=1, max_size=4)
bodies = good | whole | some.builds(_torn, whole, cuts) | some.binary(max_size=200) | nested
keys = some.uuids().map(str) | some.none() | some.sampled_from(["a-key", "", "x" * 255, "x" * 256, "\x00", "é"])
