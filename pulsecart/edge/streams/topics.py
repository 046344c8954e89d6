"""Declares the topics of the live streams: one row for each kind, which the modules beside this one read."""

from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final
from uuid import UUID

from pulsecart.edge.streams import current
from pulsecart.edge.streams.changes import ENDED_S, Change, of_ended_sale, of_order, of_sale, of_stock
from pulsecart.edge.streams.current import State
from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.event import Message
from pulsecart.runtime.problem import NotFound
from pulsecart.serving.access import CUSTOMER, OWNER_ONLY, PUBLIC, Allow
from pulsecart.serving.routes import RouteTable
from pulsecart.shop.inventory.events import StockAdjusted
from pulsecart.shop.orders.events import OrderCanceled, OrderConfirmed, OrderCreated, OrderFulfilled, OrderPaid
from pulsecart.shop.payments.events import PaymentFailed, PaymentRefunded, RefundRequested
from pulsecart.shop.pricing.events import FlashSaleChanged, FlashSaleEnded, FlashSaleScheduled, FlashSaleStarted


@dataclass(frozen=True, kw_only=True, eq=False)
class Kind:
    """
    Declares one kind of topic.

    Args:
        key: the key of its stream in Redis; a topic's id is appended.
        allow: the permitted callers, as for a route; OWNER_ONLY: only the buyer in the snapshot.
        read: reads the current states by id, for snapshots.
        path: its path under ``/sse``, with at most one placeholder, the id; empty: only a WebSocket subscribes to it.
        changes: message → the change for clients; without any there is no stream in Redis, news are only fanned out.
        unknown: returns the problem for an id without a state.
        aggregate: whose version is the sequence of its entries (``pulsecart.shop.audit.db.versions``); empty: the
            sales' common counter.
        normal: returns an id's normal form; empty if it can be none.
        newest_only: whether a slow client may skip to the newest entry without a loss.
        from_start: whether a client without an id gets the stored entries before the snapshot.
        in_order: whether sequences grow along the stream; otherwise each entry counts by itself.
    """

    key: str
    allow: Allow
    read: Callable[[Tx, Collection[str]], Awaitable[dict[str, State]]]
    path: str = ""
    changes: Mapping[type[Message], Callable[[Any], Change]] = field(default_factory=dict)
    unknown: Callable[[], NotFound] = lambda: NotFound("no-such-stream", "There is no such live stream.")
    aggregate: str = ""
    normal: Callable[[str], str] = str
    newest_only: bool = False
    from_start: bool = False
    in_order: bool = True

    def topic(self, id: str = "") -> "Topic":
        """Return the topic of one id; without id, the only one of its kind."""
        normal = self.normal(id)
        return Topic(self, self.key + normal, normal)

    @property
    def owned(self) -> bool:
        """Whether only the buyer in the snapshot may subscribe."""
        return self.allow is OWNER_ONLY


@dataclass(frozen=True)
class Topic:
    """
    One live stream.

    Args:
        key: its stream in Redis.
        id: the order, product or buyer; empty for the sales.
    """

    kind: Kind
    key: str
    id: str = ""


def _uuid(text: str) -> str:
    try:
        return str(UUID(text))
    except ValueError:  # a topic that stays empty
        return ""


ORDER: Final = Kind(
    key="news:order:",
    path="/sse/orders/{id}",
    allow=OWNER_ONLY,
    read=current.orders,
    changes={
        OrderCreated: lambda data: of_order(data, status=data.status, totalAmount=data.totalAmount),
        OrderConfirmed: lambda data: of_order(data, status="CONFIRMED", payBy=data.payBy),
        OrderPaid: lambda data: of_order(data, status="PAID"),
        OrderFulfilled: lambda data: of_order(data, status="FULFILLED", lasts_s=ENDED_S),
        OrderCanceled: lambda data: of_order(data, status="CANCELED", reason=data.reason, lasts_s=ENDED_S),
        PaymentFailed: lambda data: of_order(data, payment="FAILED", reason=data.reason),
        RefundRequested: lambda data: of_order(data, payment="REFUND_REQUESTED", reason=data.reason),
        PaymentRefunded: lambda data: of_order(data, payment="REFUNDED", lasts_s=ENDED_S),
    },
    unknown=lambda: NotFound("unknown-order", "There is no such order."),
    aggregate="order",
    normal=_uuid,
    from_start=True,
)
STOCK: Final = Kind(
    key="news:stock:",
    path="/sse/stock/{productId}",
    allow=PUBLIC,
    read=current.stock,
    changes={StockAdjusted: of_stock},
    unknown=lambda: NotFound("unknown-stock", "There is no stock of this product."),
    aggregate="stock",
    newest_only=True,
)
SALES: Final = Kind(
    key="news:flash-sales",
    path="/sse/flash-sales",
    allow=PUBLIC,
    read=current.sales,
    changes={
        FlashSaleScheduled: lambda data: of_sale(data, "SCHEDULED"),
        FlashSaleStarted: lambda data: of_sale(data, "STARTED"),
        FlashSaleChanged: lambda data: of_sale(data, "STARTED"),
        FlashSaleEnded: of_ended_sale,
    },
)
BUYER: Final = Kind(key="news:buyer:", allow=CUSTOMER, read=current.buyers, in_order=False)  # all orders of one buyer

KINDS: Final = (ORDER, STOCK, SALES, BUYER)
STREAMED: Final = tuple(kind for kind in KINDS if kind.path)
_by_path: RouteTable[Kind] = RouteTable()
for _kind in STREAMED:
    _by_path.add("GET", _kind.path, _kind)


def topic_at(path: str) -> Topic:
    """
    Return the topic of a path such as ``/sse/orders/{id}``.

    Raises:
        NotFound: there is no such stream.
    """
    found = _by_path.find("GET", path)
    if found is None:
        raise NotFound("no-such-stream", f"{path[:200]} is not a live stream.")
    kind, params = found
    return kind.topic(*params.values())


def messages() -> Iterable[type[Message]]:
    """Return the messages that change a topic, each once."""
    return dict.fromkeys(message for kind in KINDS for message in kind.changes)


def changes_of(data: Message) -> list[tuple[Topic, Change]]:
    """Return the topics that an event changes, and how."""
    changes = [(kind, kind.changes[type(data)](data)) for kind in KINDS if type(data) in kind.changes]
    return [(kind.topic(change.id), change) for kind, change in changes]
