"""Publishes order.*, payment.*, stock.adjusted, flash_sale.* to browsers' live streams; caches order_status:{id}."""

from typing import Any

from pulsecart.edge.streams.news import GONE, SALES, News, encode, order_topic, stock_topic
from pulsecart.edge.streams.publish import Publisher
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import CloudEvent, rfc3339
from pulsecart.serving.operation import Received, on, operation
from pulsecart.shop.messages import (
    FlashSaleChanged,
    FlashSaleEnded,
    FlashSaleScheduled,
    FlashSaleStarted,
    OrderCanceled,
    OrderConfirmed,
    OrderCreated,
    OrderFulfilled,
    OrderPaid,
    PaymentFailed,
    PaymentRefunded,
    RefundRequested,
    StockAdjusted,
)

OPEN_S = 24 * 3600
ENDED = frozenset({"FULFILLED", "CANCELED"})
ENDED_S = 5 * 60  # a queued sale leaves 100,000 refused orders behind; PostgreSQL still has each


async def order_created(event: Received[OrderCreated], deps: Deps) -> None:
    await _tell_order(event, deps, status=event.data.status, totalAmount=event.data.totalAmount)


async def order_confirmed(event: Received[OrderConfirmed], deps: Deps) -> None:
    await _tell_order(event, deps, status="CONFIRMED", payBy=event.data.payBy)


async def order_paid(event: Received[OrderPaid], deps: Deps) -> None:
    await _tell_order(event, deps, status="PAID")


async def order_fulfilled(event: Received[OrderFulfilled], deps: Deps) -> None:
    await _tell_order(event, deps, status="FULFILLED", lasts_s=ENDED_S)


async def order_canceled(event: Received[OrderCanceled], deps: Deps) -> None:
    await _tell_order(event, deps, status="CANCELED", reason=event.data.reason, lasts_s=ENDED_S)


async def payment_failed(event: Received[PaymentFailed], deps: Deps) -> None:
    await _tell_order(event, deps, payment="FAILED", reason=event.data.reason)


async def refund_requested(event: Received[RefundRequested], deps: Deps) -> None:
    await _tell_order(event, deps, payment="REFUND_REQUESTED", reason=event.data.reason)


async def payment_refunded(event: Received[PaymentRefunded], deps: Deps) -> None:
    await _tell_order(event, deps, payment="REFUNDED", lasts_s=ENDED_S)


async def stock_adjusted(event: Received[StockAdjusted], deps: Deps) -> None:
    """Publish the stock level; each event contains it in full, so a client needs only the newest."""
    data = event.data
    news = {"productId": data.productId, "available": data.available, "delta": data.delta, "reason": data.reason}
    await _tell(event, deps, stock_topic(data.productId).key, "stock", news)


async def sale_scheduled(event: Received[FlashSaleScheduled], deps: Deps) -> None:
    await _tell_sale(event, deps, "SCHEDULED")


async def sale_started(event: Received[FlashSaleStarted] | Received[FlashSaleChanged], deps: Deps) -> None:
    """Publish a started or changed sale with all its current data."""
    await _tell_sale(event, deps, "STARTED")


async def _tell_sale(event: Received[Any], deps: Deps, status: str) -> None:
    data = event.data
    news = {
        "saleId": data.saleId,
        "productId": data.productId,
        "status": status,
        "price": data.price,
        "currency": data.currency,
        "startsAt": data.startsAt,
        "endsAt": data.endsAt,
    }
    await _tell(event, deps, SALES.key, "sale", news)


async def sale_ended(event: Received[FlashSaleEnded], deps: Deps) -> None:
    news = {"saleId": event.data.saleId, "productId": event.data.productId, "status": "ENDED"}
    await _tell(event, deps, SALES.key, "sale", news)


async def _tell_order(event: Received[Any], deps: Deps, *, lasts_s: int = OPEN_S, **state: Any) -> None:
    news = {"orderId": event.data.orderId, **state}
    kind = "order" if "status" in state else "payment"
    await _tell(event, deps, order_topic(event.data.orderId).key, kind, news, lasts_s)


async def _tell(
    event: Received[Any], deps: Deps, key: str, kind: str, document: dict[str, Any], lasts_s: int = 0
) -> None:
    """Publish to a stream; succeeds also when the stream has this sequence or a newer one (event repeated or late)."""
    envelope = event.envelope
    document["sequence"] = envelope.sequence
    if envelope.time:
        document["at"] = rfc3339(envelope.time)
    if traceparent := envelope.extensions.get("traceparent", ""):
        document["traceparent"] = traceparent
    buyer_id = getattr(event.data, "userId", "")
    status = _cached(document, buyer_id, _age_s(envelope, deps)) if kind == "order" else ""
    news = News(key, (envelope.sequence, 0), kind, encode(document), buyer_id, traceparent, lasts_s, status)
    await deps.one(Publisher).tell(news)


def _age_s(envelope: CloudEvent, deps: Deps) -> float:
    return (deps.clock.now() - envelope.time).total_seconds() if envelope.time else ENDED_S


def _cached(document: dict[str, Any], buyer_id: str, age_s: float) -> str:
    """
    Return the value of ``order_status:{id}``: a deletion for an ended order; nothing for an event so late that the
    stream, which would reject it, may have expired.
    """
    if document["status"] in ENDED:
        return GONE
    if age_s >= ENDED_S:
        return ""
    named = {name: document[name] for name in ("orderId", "status", "sequence", "at") if name in document}
    return encode({**named, "userId": buyer_id}).decode()


notify = operation(
    "notify",
    events=[
        on(OrderCreated, order_created),
        on(OrderConfirmed, order_confirmed),
        on(OrderPaid, order_paid),
        on(OrderFulfilled, order_fulfilled),
        on(OrderCanceled, order_canceled),
        on(PaymentFailed, payment_failed),
        on(RefundRequested, refund_requested),
        on(PaymentRefunded, payment_refunded),
        on(StockAdjusted, stock_adjusted),
        on(FlashSaleScheduled, sale_scheduled),
        on(FlashSaleStarted, sale_started),
        on(FlashSaleChanged, sale_started),
        on(FlashSaleEnded, sale_ended),
    ],
    connections=1,
    redis=True,
)
