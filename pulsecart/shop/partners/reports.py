"""Defines a report: an event of a partner about its own order or product, as the log keeps it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from urllib.parse import quote, unquote

import msgspec

from pulsecart.runtime.event import JSON, CloudEvent, Message, schema_of
from pulsecart.runtime.problem import Malformed
from pulsecart.shop.orders.order import Order
from pulsecart.shop.partners.events import FulfilmentReported, ReportRejected, StockReported

ROLE: Final = frozenset({"partner"})
POLICY: Final = "partner_event"
Verdict = Callable[[str, str, frozenset[str], bool, str], str]
SOURCE: Final = "/partners/"
BETWEEN_TWO: Final = "ecommerce.partner."  # types of events between one partner and the shop
ID_MAX: Final = 255  # of a report's id, which an event about it repeats
MEMBERS: Final[Mapping[type[Message], str]] = {FulfilmentReported: "orderId", StockReported: "productId"}
MESSAGES: Final = {message.TYPE: message for message in MEMBERS}


@dataclass(frozen=True, slots=True)
class Report:
    """
    Holds a checked report.

    Args:
        event: as it is written to the log.
        key: the id of the order or product that it is about.
    """

    event: CloudEvent
    partner_id: str
    key: str

    @property
    def about_an_order(self) -> bool:
        return self.event.type == FulfilmentReported.TYPE

    @property
    def member(self) -> str:
        """Return the data's member that holds the key."""
        return MEMBERS[MESSAGES[self.event.type]]


def may_report(verdict: Verdict, event_type: str, *, own: bool) -> bool:
    """
    Return whether a partner may report an event of this type.

    Args:
        verdict: evaluates a policy; ``pulsecart.serving.policy.Policies.verdict``.
        own: whether the event's order or product is the partner's own.
    """
    return verdict(POLICY, event_type, ROLE, own, "") == "allowed"


def source_of(partner_id: str) -> str:
    """Return the CloudEvents source of a partner's events."""
    return SOURCE + quote(partner_id, safe="")


def partner_of(source: str) -> str:
    """
    Return the partner of a report's source.

    Raises:
        Malformed: it is no partner's source.
    """
    partner_id = unquote(source.removeprefix(SOURCE))
    if not partner_id or source != source_of(partner_id):
        raise Malformed("wrong-source", f"{source[:200]} is no partner's source. Partners send events to /events.")
    return partner_id


def only_for(event: CloudEvent) -> str | None:
    """
    Return the only partner that may receive an event: the one that reported it, or whose report was rejected.

    Returns:
        None if every partner may receive it.

    Raises:
        Malformed: it is an event between a partner and the shop, and names no partner.
    """
    if not event.type.startswith(BETWEEN_TWO):
        return None
    if event.type != ReportRejected.TYPE:
        return partner_of(event.source)
    try:
        return msgspec.json.decode(event.data or b"", type=ReportRejected).partnerId
    except msgspec.MsgspecError as error:
        raise Malformed("bad-data", f"The event names no partner: {error}.") from None


def report_of(event: CloudEvent, partner_id: str, extensions: Mapping[str, str], now: datetime) -> Report:
    """
    Make the log's event of a partner's event whose contract was checked.

    Only what the contract describes is kept: other members and extensions could hold text about persons, which must
    not enter the log. Events about one order or product share its key, and so stay in order.

    Args:
        extensions: the log's own, e.g. ``correlationid``.
        now: the event's time if it carries none.

    Raises:
        Malformed: the id is too long, or the data does not match its message.
    """
    if len(event.id) > ID_MAX:
        raise Malformed("bad-attribute", f"id has more than {ID_MAX} characters. Send a shorter one.")
    message = MESSAGES[event.type]
    try:
        data = msgspec.json.decode(event.data or b"", type=message)
    except msgspec.DecodeError as error:
        raise Malformed("contract-broken", f"The data is no {event.type}: {error}.") from None
    key: str = getattr(data, MEMBERS[message])
    kept = CloudEvent(
        id=event.id,
        source=event.source,
        type=event.type,
        time=event.time or now,
        time_text=event.time_text,
        subject=key,
        dataschema=schema_of(event.type),
        datacontenttype=JSON,
        data=msgspec.json.encode(data),
        extensions={"partitionkey": key, **extensions},
    )
    return Report(kept, partner_id, key)


def owner_of(order: Order, owners: Mapping[str, str]) -> str | None:
    """
    Return the partner that ships an order: the one that all its products belong to; None if the shop ships it.

    Args:
        owners: product → its partner, if it has one.
    """
    partners = {owners.get(line.product_id) for line in order.lines}
    return partners.pop() if len(partners) == 1 else None


def rejected(event: CloudEvent, key: str, reason: str) -> ReportRejected:
    """Build the event that a report cannot be followed."""
    about = {MEMBERS[MESSAGES[event.type]]: key}
    return ReportRejected(
        reportId=event.id, partnerId=partner_of(event.source), reportType=event.type, reason=reason, **about
    )


def rejection_key(event: CloudEvent) -> str:
    """Return the key of a rejection: a report's source and id."""
    return f"{event.source} {event.id}"


REFUSED_STEPS: Final = {
    "PENDING": "NOT_PAID",
    "CONFIRMED": "NOT_PAID",
    "FULFILLED": "ALREADY_FULFILLED",
    "CANCELED": "CANCELED",
}


def why_not_fulfilled(order: Order | None, own: bool) -> str | None:
    """Return why a partner's report does not fulfil the order; None if it does."""
    if order is None or not own:
        return "NOT_YOURS"
    return REFUSED_STEPS.get(order.status)


def why_not_adjusted(available: int, delta: int, own: bool, units_max: int) -> str | None:
    """Return why a partner's report does not change the units of a product; None if it does."""
    if not own:
        return "NOT_YOURS"
    if available + delta < 0:
        return "BELOW_ZERO"
    return "TOO_MANY" if available + delta > units_max else None


def products_of(orders: Sequence[Order]) -> list[str]:
    """Return the products of orders, sorted."""
    return sorted({line.product_id for order in orders for line in order.lines})
