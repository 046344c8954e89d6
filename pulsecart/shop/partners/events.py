"""Defines the data of the events that partners report, and of the shop's answer to a report that it cannot follow."""

from typing import Annotated

from msgspec import Meta

from pulsecart.runtime.event import Message
from pulsecart.shop.event_fields import Id, Word

DELTA_MAX = 10_000_000
Code = Annotated[str, Meta(max_length=40, pattern=r"^[A-Za-z0-9-]*$(?!\n)")]


class FulfilmentReported(Message, frozen=True, kw_only=True, omit_defaults=True):
    """``carrier`` and ``trackingNumber`` are codes, never text: the log keeps no personal data."""

    TYPE = "ecommerce.partner.fulfilment.reported.v1"
    orderId: Id
    carrier: Code = ""
    trackingNumber: Code = ""


class StockReported(Message, frozen=True, kw_only=True):
    """``delta`` is added to the units that can be sold; it is not 0."""

    TYPE = "ecommerce.partner.stock.reported.v1"
    productId: Id
    delta: Annotated[int, Meta(ge=-DELTA_MAX, le=DELTA_MAX)]
    reason: Word


class ReportRejected(Message, frozen=True, kw_only=True, omit_defaults=True):
    """A business refusal of an accepted report; ``orderId`` or ``productId`` is the subject of the report."""

    TYPE = "ecommerce.partner.report.rejected.v1"
    reportId: Id
    partnerId: Id
    reportType: Id
    reason: Word
    orderId: Annotated[str, Meta(max_length=255)] = ""
    productId: Annotated[str, Meta(max_length=255)] = ""
