"""Defines the entries of live streams (news), their ids, and their encoding for clients."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import msgspec

from pulsecart.serving.query import parse_integer

encode = msgspec.json.Encoder().encode

Id = tuple[int, int]
"""A stream id ``<sequence>-<part>``; the sequence is the aggregate's version."""
START: Id = (0, 0)
BIGGEST = 2**63 - 1

FIREHOSE = "news"
COUNT_KEY = "news:count"  # number of entries ever added to the firehose
STATUS_KEY = "order_status:"  # with the order's id: its cached status
GONE = "gone"  # also used in the script of pulsecart.edge.streams.publish


@dataclass(frozen=True)
class News:
    """
    An entry of a live stream.

    Args:
        key: the stream in Redis.
        event: the event name for browsers: ``order``, ``payment``, ``stock``, ``sale``, ``snapshot``.
        data: JSON in one line.
        buyer_id: the buyer of the order; empty if the news concern no order.
        traceparent: of the trace that caused it; empty for none.
        lasts_s: seconds until the whole stream expires; 0: never.
        status: status of an open order, for ``order_status:{id}``; GONE once the order has ended, empty if the news
            do not change it.
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
        """Return the frame for an EventSource, encoded once for all clients."""
        return b"id: %b\nevent: %b\ndata: %b\n\n" % (dashed(self.id).encode(), self.event.encode(), self.data)

    @cached_property
    def message(self) -> bytes:
        """Return the message for a WebSocket."""
        return b'{"event":"%b","id":"%b","data":%b}' % (self.event.encode(), dashed(self.id).encode(), self.data)


def dashed(id: Id) -> str:
    """Format an id as in Redis and ``Last-Event-ID``: ``12-0``."""
    return f"{id[0]}-{id[1]}"


def id_of(text: str) -> Id | None:
    """Parse ``12-0`` or ``12``; None for any other text, or an id greater than any stream's."""
    sequence, _, part = text.partition("-")
    numbers = parse_integer(sequence, BIGGEST), parse_integer(part or "0", BIGGEST)
    return None if numbers[0] is None or numbers[1] is None else (numbers[0], numbers[1])


def frame(event: str, document: Any, *, id: str | None = None) -> bytes:
    """Encode an event that is no stream entry (``gap``, ``problem``); without ``id`` the client keeps its last id."""
    head = f"id: {id}\n" if id is not None else ""
    return b"%bevent: %b\ndata: %b\n\n" % (head.encode(), event.encode(), encode(document))


def message(event: str, document: Any) -> bytes:
    """Encode the same event for a WebSocket."""
    return encode({"event": event, "data": document})
