"""News: one thing a live stream says, its place in that stream, and the bytes that every client gets."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any
from uuid import UUID

import msgspec

from pulsecart.serving.query import whole

encode = msgspec.json.Encoder().encode

Id = tuple[int, int]
"""A stream id ``<sequence>-<part>``; the sequence is the aggregate's version."""
START: Id = (0, 0)
BIGGEST = 2**63 - 1

FIREHOSE = "news"
COUNT_KEY = "news:count"  # of the firehose's entries, ever
ORDER_KEY = "news:order:"
STOCK_KEY = "news:stock:"
SALES_KEY = "news:flash-sales"
BUYER_KEY = "news:buyer:"
STATUS_KEY = "order_status:"
GONE = "gone"  # the script of pulsecart.edge.streams.publish knows it


@dataclass(frozen=True)
class Topic:
    """
    One live stream.

    Args:
        kind: ``order``, ``stock``, ``sales``, or ``buyer``: all orders of one.
        key: its stream in Redis; a buyer's has none, it is only passed on.
        id: the order, product or buyer; empty for the sales.
    """

    kind: str
    key: str
    id: str = ""

    @property
    def newest_only(self) -> bool:
        """A client that reads slowly loses nothing by skipping to the newest."""
        return self.kind == "stock"


SALES = Topic("sales", SALES_KEY)


def stock_topic(product_id: str) -> Topic:
    return Topic("stock", STOCK_KEY + product_id, product_id)


def buyer_topic(buyer_id: str) -> Topic:
    return Topic("buyer", BUYER_KEY + buyer_id, buyer_id)


def order_topic(order_id: str) -> Topic:
    """An id that is no UUID names no order, and makes a topic that stays empty."""
    try:
        order_id = str(UUID(order_id))
    except ValueError:
        order_id = ""
    return Topic("order", ORDER_KEY + order_id, order_id)


@dataclass(frozen=True)
class News:
    """
    Args:
        key: the stream in Redis.
        event: what a browser listens for: ``order``, ``payment``, ``stock``, ``sale``, ``snapshot``.
        data: JSON in one line.
        buyer_id: whose order it is about; empty for nobody's.
        traceparent: of the trace that led to it, empty for none.
        lasts_s: seconds until the whole stream may be forgotten; 0: never.
        status: of an order that is under way, for ``order_status:{id}``; GONE once it has ended, empty where this news
            says nothing of it.
    """

    key: str
    id: Id
    event: str
    data: bytes
    buyer_id: str = ""
    traceparent: str = ""
    lasts_s: int = 0
    status: str = ""

    @cached_property
    def frame(self) -> bytes:
        """For an EventSource; encoded once, the same bytes to all."""
        return b"id: %b\nevent: %b\ndata: %b\n\n" % (dashed(self.id).encode(), self.event.encode(), self.data)

    @cached_property
    def message(self) -> bytes:
        """For a WebSocket."""
        return b'{"event":"%b","id":"%b","data":%b}' % (self.event.encode(), dashed(self.id).encode(), self.data)


def dashed(id: Id) -> str:
    """As Redis and ``Last-Event-ID`` have it: ``12-0``."""
    return f"{id[0]}-{id[1]}"


def id_of(text: str) -> Id | None:
    """``12-0`` or ``12``; None where it is neither, or greater than any stream's id."""
    sequence, _, part = text.partition("-")
    numbers = whole(sequence, BIGGEST), whole(part or "0", BIGGEST)
    return None if numbers[0] is None or numbers[1] is None else (numbers[0], numbers[1])


def frame(event: str, document: Any, *, id: str | None = None) -> bytes:
    """An event outside a stream's order (``gap``, ``problem``); without ``id`` the client keeps the one it has."""
    head = f"id: {id}\n" if id is not None else ""
    return b"%bevent: %b\ndata: %b\n\n" % (head.encode(), event.encode(), encode(document))


def message(event: str, document: Any) -> bytes:
    """The same for a WebSocket."""
    return encode({"event": event, "data": document})
