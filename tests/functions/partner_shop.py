"""A shop with two partners: what they own, and the events that they send."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from pulsecart.runtime.event import CloudEvent
from pulsecart.shop.orders.events import OrderPaid
from pulsecart.shop.partners.events import FulfilmentReported, StockReported
from pulsecart.shop.partners.reports import source_of
from pulsecart.shop.webhooks.signature import Secret, signature_headers
from tests.client import Answered, Client
from tests.functions.money import confirmed

STRUCTURED, BATCH = "application/cloudevents+json", "application/cloudevents-batch+json"
numbers = itertools.count(1)


def fulfilment(order_id: str, partner: str = "acme", **instead: Any) -> dict[str, Any]:
    """A partner's event in JSON."""
    return event(FulfilmentReported.TYPE, {"orderId": order_id, "carrier": "ups"}, partner) | instead


def stock(product: str = "1", delta: int = 5, partner: str = "acme", **instead: Any) -> dict[str, Any]:
    return event(StockReported.TYPE, {"productId": product, "delta": delta, "reason": "RECEIVED"}, partner) | instead


def event(type: str, data: Any, partner: str = "acme") -> dict[str, Any]:
    named = {"specversion": "1.0", "id": f"r-{next(numbers)}", "source": source_of(partner), "type": type}
    return {**named, "time": "2100-01-01T08:00:00Z", "datacontenttype": "application/json", "data": data}


@dataclass
class PartnerShop:
    """``acme`` has product 1, ``other`` has product 2; product 3 has no partner."""

    client: Client
    secrets: dict[str, Secret] = field(default_factory=dict)

    async def own(self) -> "PartnerShop":
        for partner, product in (("acme", "1"), ("other", "2")):
            given = await self.client.ask("PUT", f"/api/v1/partners/{partner}/products/{product}")
            assert given.status == 204, given
        return self

    async def send(self, body: Any, partner: str = "acme", **headers: str) -> Answered:
        """Send it as a batch if ``body`` is a list, else in structured mode."""
        named = {"content-type": BATCH if isinstance(body, list) else STRUCTURED, **headers}
        return await self.client.ask("POST", "/events", body, **named, **self.client.signed(partner, "partner"))

    async def source(self, partner: str = "acme") -> str:
        """A new event source of the partner; its secret is remembered."""
        made = await self.client.ask("POST", f"/api/v1/partners/{partner}/sources")
        assert made.status == 201, made
        self.secrets[made.body["sourceId"]] = Secret(made.body["secret"])
        return str(made.body["sourceId"])

    async def sign(
        self, source_id: str, body: Any, *, secret: Secret | None = None, late_s: float = 0, **headers: str
    ) -> Answered:
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        at = self.client.deps.clock.now() - timedelta(seconds=late_s)
        signed = dict(signature_headers([secret or self.secrets[source_id]], "msg-1", at, raw))
        named = {"content-type": BATCH if isinstance(body, list) else STRUCTURED, **signed, **headers}
        return await self.client.ask("POST", f"/events/{source_id}", raw, **named)

    async def paid(self, user: int = 7) -> CloudEvent:
        """An order of product 1 that is paid, as its event."""
        assert await self.client.handle_event("pay", await confirmed(self.client, user)) == 204
        return (await self.client.log(OrderPaid.TYPE))[-1]

    async def reports(self) -> list[CloudEvent]:
        """All reports in the log."""
        return await self.client.log(FulfilmentReported.TYPE, StockReported.TYPE)


def kinds(answered: Answered) -> Mapping[str, str]:
    """Pointer → type of each rejected event."""
    return {one["pointer"]: one["type"].rpartition("/")[2] for one in answered.body["rejected"]}
