"""Filters out events that the tables contradict: their entity must exist and have reached their sequence."""

from collections.abc import Iterable, Mapping, Sequence

import msgspec

from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.event import CloudEvent, is_id


class About(msgspec.Struct):
    """The ids in an event's data."""

    orderId: str = ""
    userId: str = ""
    productId: str = ""
    saleId: str = ""


Key = tuple[str, str]
"""``("order", its id)``, ``("stock", a product's)``, ``("product", …)`` or ``("sale", …)``."""


class Known(msgspec.Struct, frozen=True):
    """``version`` is the newest sequence assigned; ``belongs_to`` is an order's buyer, or a sale's product."""

    version: int
    belongs_to: str = ""


_about = msgspec.json.Decoder(About).decode
_KINDS = {
    "ecommerce.order.": "order",
    "ecommerce.payment.": "order",
    "ecommerce.inventory.": "stock",
    "ecommerce.product.": "product",
    "ecommerce.pricing.": "sale",
}
_READ = {
    "order": "SELECT order_id::text, version, buyer_id FROM orders WHERE order_id = ANY(%s::uuid[])",
    "stock": "SELECT product_id, version, '' FROM stock WHERE product_id = ANY(%s)",
    "product": "SELECT product_id, version, '' FROM products WHERE product_id = ANY(%s)",
    "sale": "SELECT sale_id, version, product_id FROM flash_sales WHERE sale_id = ANY(%s)",
}


async def possible(tx: Tx, events: Sequence[CloudEvent]) -> list[CloudEvent]:
    """
    Return the events that our tables do not contradict. This shop did not publish an event about an entity that does
    not exist, about another buyer's order, or with a sequence that was never assigned.
    """
    named = [(event, *_named(event)) for event in events]
    known = await versions(tx, [key for _, key, _ in named if key is not None])
    return [event for event, key, about in named if _fits(event, known.get(key) if key else None, about)]


async def versions(tx: Tx, keys: Iterable[Key]) -> Mapping[Key, Known]:
    """Return the tables' versions of these keys; keys without a row are absent."""
    wanted: dict[str, set[str]] = {}
    for kind, id in keys:
        if kind != "order" or is_id(id):
            wanted.setdefault(kind, set()).add(id)
    found: dict[Key, Known] = {}
    for kind, ids in wanted.items():
        for id, version, belongs_to in await tx.rows(_READ[kind], (sorted(ids),)):
            found[kind, id] = Known(version, belongs_to)
    return found


def _named(event: CloudEvent) -> tuple[Key | None, About]:
    kind = next((kind for start, kind in _KINDS.items() if event.type.startswith(start)), None)
    try:
        about = _about(event.data or b"")
    except (msgspec.DecodeError, RecursionError):
        return None, About()
    ids = {"order": about.orderId, "stock": about.productId, "product": about.productId, "sale": about.saleId}
    return ((kind, ids[kind]) if kind else None), about


def _fits(event: CloudEvent, known: Known | None, about: About) -> bool:
    if known is None or event.sequence > known.version:
        return False
    return not known.belongs_to or known.belongs_to in (about.userId, about.productId)


async def of_sales(tx: Tx) -> int:
    """Return the newest sequence of any sale; all sales share one counter."""
    row = await tx.row(
        "SELECT greatest((SELECT max(version) FROM flash_sales), (SELECT max(version) FROM sale_calendar))"
    )
    return int(row[0] or 0) if row else 0
