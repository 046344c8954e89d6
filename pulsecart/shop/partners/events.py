"""Defines the data of the events about partners."""

from pulsecart.runtime.event import Message
from pulsecart.shop.event_fields import Id


class FulfilmentReported(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.partner.fulfilment.reported.v1"
    fulfilmentId: Id


class StockReported(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.partner.stock.reported.v1"
    stockId: Id


class ReportRejected(Message, frozen=True, kw_only=True):
    TYPE = "ecommerce.partner.report.rejected.v1"
    reportId: Id
