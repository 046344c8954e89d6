"""Converts events to the news that live streams show of them. Pure functions of the event's data."""

from dataclasses import dataclass
from typing import Any

from pulsecart.shop.inventory.events import StockAdjusted
from pulsecart.shop.pricing.events import FlashSaleChanged, FlashSaleScheduled, FlashSaleStarted

OPEN_S = 24 * 3600
ENDED_S = 5 * 60  # a queued sale leaves 100,000 refused orders behind; PostgreSQL still has each


@dataclass(frozen=True, slots=True)
class Change:
    """
    Holds the news of an event for the clients of one topic.

    Args:
        id: the topic's.
        event: the event name for browsers.
        data: members of the JSON that clients receive.
        lasts_s: seconds until the whole stream expires; 0: never.
    """

    id: str
    event: str
    data: dict[str, Any]
    lasts_s: int = 0


def of_order(data: Any, *, lasts_s: int = OPEN_S, **state: Any) -> Change:
    """Return a step of an order, or with ``payment`` instead of ``status`` one of its payment."""
    event = "order" if "status" in state else "payment"
    return Change(data.orderId, event, {"orderId": data.orderId, **state}, lasts_s)


def of_stock(data: StockAdjusted) -> Change:
    """Return the stock level in full, so that a client needs only the newest."""
    members = {"productId": data.productId, "available": data.available, "delta": data.delta, "reason": data.reason}
    return Change(data.productId, "stock", members)


def of_sale(data: FlashSaleScheduled | FlashSaleStarted | FlashSaleChanged, status: str) -> Change:
    """Return a sale with all its current data."""
    members = {
        "saleId": data.saleId,
        "productId": data.productId,
        "status": status,
        "price": data.price,
        "currency": data.currency,
        "startsAt": data.startsAt,
        "endsAt": data.endsAt,
    }
    return Change("", "sale", members)


def of_ended_sale(data: Any) -> Change:
    """Return the end of a sale."""
    return Change("", "sale", {"saleId": data.saleId, "productId": data.productId, "status": "ENDED"})
