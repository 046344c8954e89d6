"""Records the fulfilment that a partner reports: partner.fulfilment.reported → order.fulfilled or report.rejected."""

from collections.abc import Sequence

from pulsecart.runtime.batch import Batcher
from pulsecart.runtime.db import consumed
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import Cause, CloudEvent
from pulsecart.serving.operation import operation
from pulsecart.serving.policy import Policies
from pulsecart.serving.subscriptions import Received, on
from pulsecart.shop.orders import events as announce
from pulsecart.shop.orders.db import orders
from pulsecart.shop.orders.events import OrderFulfilled
from pulsecart.shop.orders.order import Order, check_id, stepped
from pulsecart.shop.partners.db import products
from pulsecart.shop.partners.events import FulfilmentReported, ReportRejected
from pulsecart.shop.partners.reports import (
    may_report,
    owner_of,
    partner_of,
    products_of,
    rejected,
    rejection_key,
    why_not_fulfilled,
)


class Reports:
    """Records reports that arrive at about the same time in one transaction; one per process."""

    def __init__(self, deps: Deps) -> None:
        self._db = deps.share("record_fulfilment").db
        self._policies = deps.singleton(Policies)
        self.fulfilments: Batcher[Received[FulfilmentReported], None] = Batcher(self._record)

    async def _record(self, events: list[Received[FulfilmentReported]]) -> Sequence[None]:
        async with self._db.transaction() as tx:
            order_of = {event.envelope.identity: event.data.orderId for event in events}
            fresh = await consumed.first_time(tx, "record_fulfilment", [event.envelope for event in events])
            found = await orders.locked(tx, [order_of[event.identity] for event in fresh])
            owners = await products.owners(tx, products_of(list(found.values())))
            shipped = []
            for event in fresh:
                order_id = order_of[event.identity]
                order = found.get(order_id)
                reason = why_not_fulfilled(order, self._is_own(event, order, owners))
                if order is None or reason:
                    refusal = rejected(event, order_id, reason or "NOT_YOURS")
                    tx.emit(refusal, key=rejection_key(event), sequence=1, cause=Cause.of(event))
                    continue
                tx.causes[order_id] = event.identity
                found[order_id] = fulfilled = stepped(order, "FULFILLED")
                shipped.append(fulfilled)
                message, version = announce.fulfilled(fulfilled), fulfilled.version
                tx.emit(message, key=order_id, sequence=version, cause=Cause.of(event))
            await orders.move(tx, shipped)
        return [None] * len(events)

    def _is_own(self, event: CloudEvent, order: Order | None, owners: dict[str, str]) -> bool:
        """Check the permission again: the products may have changed hands since the event was accepted."""
        own = order is not None and owner_of(order, owners) == partner_of(event.source)
        return may_report(self._policies.verdict, event.type, own=own)


async def record(event: Received[FulfilmentReported], deps: Deps) -> None:
    """
    Fulfil the partner's own order if it is paid; otherwise report the reason and change nothing.

    Raises:
        Malformed: the source is no partner's, or the order's id is none of this shop; it did not come by /events.
    """
    partner_of(event.envelope.source)
    check_id(event.data.orderId)
    await deps.singleton(Reports).fulfilments.submit(event)


record_fulfilment = operation(
    "record_fulfilment", events=[on(FulfilmentReported, record)], emits=[OrderFulfilled, ReportRejected]
)
