"""Compares the buyers' answers with PostgreSQL and with the shop's current answers."""

from collections.abc import Iterable, Sequence
from typing import Any

import psycopg
from psycopg.rows import dict_row

from tests.faults.crowd import FLASH, NO, SHELF, Buyer
from tools.crowd.ask import ask_all

ENDS = ("FULFILLED", "CANCELED")
ORDERS = """
    SELECT order_id::text, buyer_id, status, path,
           (SELECT json_object_agg(product_id, qty) FROM order_items i WHERE i.order_id = o.order_id) AS items
    FROM orders o WHERE buyer_id = ANY(%s)
"""
OPEN = "SELECT count(*) FROM orders WHERE status NOT IN ('FULFILLED', 'CANCELED')"
Row = dict[str, Any]


def open_orders(database_url: str) -> int:
    """Count the orders that are not finished; -1 if PostgreSQL does not answer."""
    try:
        with psycopg.connect(database_url, connect_timeout=5) as connection:
            row = connection.execute(OPEN).fetchone()
            return row[0] if row else -1
    except psycopg.OperationalError:
        return -1


def dead_letters(database_url: str) -> list[Row]:
    """Return the dead letters; each is an error, as these rounds send no invalid event."""
    with psycopg.connect(database_url, row_factory=dict_row) as connection:
        return connection.execute("SELECT trigger, type, event_id, error_code, error_data FROM dead_letters").fetchall()


def broken(database_url: str, buyers: Sequence[Buyer]) -> list[Row]:
    """
    Return one row for each broken promise.

    An answer that named an order is kept by an order of that buyer with these goods that came to an end; a key has one
    order; what is sold out for a buyer is not bought by it; an order without an answer is a row, too.
    """
    orders = _orders(database_url, {str(buyer.user) for buyer in buyers})
    reported = {order_id for buyer in buyers for _, order_id in buyer.answers}
    rows = [row for buyer in buyers for row in _of_buyer(buyer, orders)]
    unreported = [
        order for order in orders.values() if order["order_id"] not in reported and order["status"] != "CANCELED"
    ]
    return rows + [{"broken": "an order that its buyer never got", **order} for order in unreported]


async def contradicted(url: str, database_url: str, buyers: Sequence[Buyer]) -> list[Row]:
    """Return the orders for which the API's answer differs from the tables."""
    orders = _orders(database_url, {str(buyer.user) for buyer in buyers})
    answers = await ask_all(url, [("GET", f"/api/v1/orders/{order_id}") for order_id in orders], 4)
    rows = []
    for order, (status, document) in zip(orders.values(), answers, strict=True):
        shown = (document or {}).get("status"), str((document or {}).get("userId"))
        if status != 200 or shown != (order["status"], order["buyer_id"]):
            rows.append({"broken": "the API answers another state", "answer": status, "shown": shown, **order})
    return rows


def _of_buyer(buyer: Buyer, orders: dict[str, Row]) -> Iterable[Row]:
    about = {"user": buyer.user, "key": buyer.key, "path": buyer.path, "answers": buyer.answers, "end": buyer.end}
    if buyer.end not in ("taken", *NO):
        yield {"broken": "no final answer, or one that must not occur", **about}
    if len({order_id for _, order_id in buyer.answers}) > 1:
        yield {"broken": "one key, two orders", **about}
    if buyer.answers and buyer.end in NO:
        yield {"broken": "sold, and then sold out under the same key", **about}
    order = orders.get(buyer.order_id) if buyer.answers else None
    if buyer.answers and (order is None or order["buyer_id"] != str(buyer.user) or order["path"] != buyer.path):
        yield {"broken": "no such order of this buyer", "order": order, **about}
    if order is not None and order["items"] != _goods(buyer):
        yield {"broken": "other goods", "order": order, **about}
    if order is not None and order["status"] not in ENDS:
        yield {"broken": "accepted without an end", "order": order, **about}
    if order is not None and buyer.canceled and order["status"] != buyer.canceled:
        yield {"broken": f"answered {buyer.canceled} when it canceled", "order": order, **about}


def _goods(buyer: Buyer) -> dict[str, int]:
    return {str(FLASH): buyer.qty} | ({str(SHELF): 1} if buyer.path == "orders" else {})


def _orders(database_url: str, users: set[str]) -> dict[str, Row]:
    with psycopg.connect(database_url, row_factory=dict_row) as connection:
        return {row["order_id"]: row for row in connection.execute(ORDERS, (list(users),))}
