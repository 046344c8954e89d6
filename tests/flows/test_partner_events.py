"""Checks that a partner's report to a running shop, sent by other SDKs, reaches the order, its buyer and the stock."""

import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from cloudevents.conversion import to_binary, to_json, to_structured
from cloudevents.http import CloudEvent
from standardwebhooks import Webhook

from pulsecart.serving.cors import METHODS
from pulsecart.shop.partners.events import FulfilmentReported, StockReported
from tests.client import until
from tests.edge.conftest import Stream
from tests.local.running_shop import RunningShop
from tests.tokens import bearer

ORIGIN = "https://partner.example"
BATCH = {"content-type": "application/cloudevents-batch+json"}
ACCEPTED = {"accepted": 1, "duplicates": 0}


class Partner:
    """``acme``, whose products are 1 and 2, at a shop with the demo's goods."""

    def __init__(self, shop: RunningShop, http: httpx.AsyncClient) -> None:
        self.http = http
        self.admin = bearer(shop.data, "an-admin", "admin")
        self.token = bearer(shop.data, "acme", "partner")

    async def owns(self, *products: int) -> None:
        for product in products:
            given = await self.http.put(f"/api/v1/partners/acme/products/{product}", headers=self.admin)
            assert given.status_code == 204

    async def stock(self) -> int:
        return int((await self.http.get("/api/v1/sync/stock/2")).json()["stock"])

    async def paid(self, buyer: int) -> str:
        """An order of product 1 that is paid."""
        sold = await self.http.post("/api/v1/sync/purchase", json={"productId": 1, "userId": buyer})
        order_id = str(sold.json()["orderId"])
        await self.comes_to(order_id, "PAID")
        return order_id

    async def comes_to(self, order_id: str, status: str) -> None:
        async def there() -> bool:
            return bool((await self.http.get(f"/api/v1/orders/{order_id}/status")).json()["status"] == status)

        await until(there)


def report(type: str, data: dict[str, Any]) -> CloudEvent:
    return CloudEvent({"source": "/partners/acme", "type": type}, data)


@pytest.fixture
async def partner(start_shop: Callable[..., RunningShop]) -> AsyncIterator[Partner]:
    shop = start_shop(CORS_ORIGINS=ORIGIN)
    async with httpx.AsyncClient(base_url=shop.url, timeout=20, trust_env=False) as http:
        partner = Partner(shop, http)
        await partner.owns(1, 2)
        yield partner


async def test_a_fulfilment_leads_to_order_fulfilled_and_to_its_buyer_s_stream(partner: Partner) -> None:
    http = partner.http
    order_id = await partner.paid(7)
    assert (await http.post("/api/v1/session", json={"userId": 7})).status_code == 204
    async with http.stream("GET", f"/sse/orders/{order_id}", headers={"accept": "text/event-stream"}) as response:
        stream = Stream(response)
        headers, body = to_structured(report(FulfilmentReported.TYPE, {"orderId": order_id, "carrier": "ups"}))
        sent = await http.post("/events", content=body, headers={**headers, **partner.token})
        assert (sent.status_code, sent.json()) == (202, ACCEPTED)
        while (news := await stream.next(timeout_s=20)).data.get("status") != "FULFILLED":
            pass
    assert news.data["orderId"] == order_id
    await partner.comes_to(order_id, "FULFILLED")


async def test_an_sdk_s_events_are_accepted_in_each_mode_and_change_the_stock(partner: Partner) -> None:
    before = await partner.stock()
    events = [report(StockReported.TYPE, {"productId": "2", "delta": 1, "reason": "RECEIVED"}) for _ in range(4)]
    for (headers, body), event in zip((to_binary(events[0]), to_structured(events[1])), events[:2], strict=True):
        for duplicates in (0, 1):
            sent = await partner.http.post("/events", content=body, headers={**headers, **partner.token})
            assert (sent.status_code, sent.json()["duplicates"]) == (202, duplicates), event
    batch = json.dumps([json.loads(to_json(event)) for event in events])
    sent = await partner.http.post("/events", content=batch, headers={**BATCH, **partner.token})
    assert (sent.status_code, sent.json()) == (202, {"accepted": 4, "duplicates": 2})

    async def adjusted() -> bool:
        return await partner.stock() == before + len(events)

    await until(adjusted)


async def test_a_library_s_signature_is_accepted_and_a_changed_body_is_not(partner: Partner) -> None:
    made = (await partner.http.post("/api/v1/partners/acme/sources", headers=partner.token)).json()
    headers, body = to_structured(report(StockReported.TYPE, {"productId": "2", "delta": 2, "reason": "COUNTED"}))
    now = datetime.now(UTC)
    signature = Webhook(made["secret"]).sign("msg-1", now, body.decode())
    signed = {"webhook-id": "msg-1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
    assert (await partner.http.post(made["url"], content=body + b" ", headers={**headers, **signed})).status_code == 401
    sent = await partner.http.post(made["url"], content=body, headers={**headers, **signed})
    assert (sent.status_code, sent.json()) == (202, ACCEPTED)


async def test_a_thousand_events_with_ten_bad_ones_leave_990_in_the_log(partner: Partner) -> None:
    good = [report(StockReported.TYPE, {"productId": "2", "delta": 1, "reason": "RECEIVED"}) for _ in range(1000)]
    batch = [json.loads(to_json(event)) for event in good]
    for at in range(0, 1000, 100):
        batch[at]["data"]["delta"] = "many"
    sent = await partner.http.post("/events", json=batch, headers={**BATCH, **partner.token})
    assert (sent.status_code, sent.json()["accepted"]) == (422, 990)
    assert [one["pointer"] for one in sent.json()["rejected"]] == [f"/{at}/data/delta" for at in range(0, 1000, 100)]


@pytest.mark.parametrize("origin", [None, ORIGIN, "https://other.example"])
async def test_the_question_for_consent_gets_through_where_pages_of_other_sites_are_permitted(
    partner: Partner, origin: str | None
) -> None:
    asked = {"WebHook-Request-Origin": "partner.example"} | ({"origin": origin} if origin else {})
    answered = await partner.http.options("/events", headers=asked)
    assert (answered.status_code, answered.headers["webhook-allowed-origin"]) == (200, "partner.example")
    preflight = {"origin": ORIGIN, "access-control-request-method": METHODS[1]}
    assert (await partner.http.options("/events", headers=preflight)).headers["access-control-allow-origin"] == ORIGIN
