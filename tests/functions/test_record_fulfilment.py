"""record_fulfilment: a partner's report fulfils its own paid order, once; any other report is rejected."""

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from pulsecart.runtime.event import CloudEvent
from pulsecart.shop.orders.events import OrderFulfilled
from pulsecart.shop.partners.events import FulfilmentReported, ReportRejected
from tests.client import Client
from tests.functions.money import cancel, confirmed, events_of, state
from tests.functions.partner_shop import PartnerShop, fulfilment


@pytest.fixture
async def shop(client: Client) -> PartnerShop:
    return await PartnerShop(client).own()


async def reported(shop: PartnerShop, order_id: str) -> CloudEvent:
    """The partner's report, as it is in the log."""
    assert (await shop.send(fulfilment(order_id))).status == 202
    return (await shop.client.log(FulfilmentReported.TYPE))[-1]


async def rejections(shop: PartnerShop) -> list[Any]:
    return [json.loads(event.data or b"") for event in await shop.client.log(ReportRejected.TYPE)]


async def test_the_report_of_its_partner_fulfils_a_paid_order(shop: PartnerShop) -> None:
    paid = await shop.paid()
    report = await reported(shop, paid.partitionkey)
    assert await shop.client.handle_event("record_fulfilment", report) == 204
    (fulfilled,) = await shop.client.log(OrderFulfilled.TYPE)
    assert (fulfilled.partitionkey, fulfilled.sequence) == (paid.partitionkey, 4)
    assert fulfilled.extensions["causationid"] == report.id
    step = "SELECT actor, caused_by, caused_by_source FROM order_status_history WHERE status = 'FULFILLED'"
    assert await shop.client.row(step) == ("operation:record_fulfilment", report.id, "/partners/acme")


async def test_the_shop_leaves_such_an_order_to_its_partner(shop: PartnerShop) -> None:
    paid = await shop.paid()
    assert await shop.client.handle_event("fulfil", paid) == 204
    assert (await state(shop.client, paid.partitionkey))[0] == "PAID"


async def test_the_same_report_twice_and_at_once_fulfils_once(shop: PartnerShop) -> None:
    report = await reported(shop, (await shop.paid()).partitionkey)
    await asyncio.gather(*(shop.client.handle_event("record_fulfilment", report) for _ in range(5)))
    assert await events_of(shop.client, report.partitionkey) == [
        "created",
        "confirmed",
        "paid",
        "reported",
        "fulfilled",
    ]
    assert await rejections(shop) == []


async def test_a_report_about_an_order_in_another_state_is_rejected(shop: PartnerShop) -> None:
    unpaid = await confirmed(shop.client, 1)
    early = await reported(shop, unpaid.partitionkey)
    canceled = await confirmed(shop.client, 2)
    await cancel(shop.client, canceled.partitionkey)
    late = await reported(shop, canceled.partitionkey)
    first, second = [await reported(shop, (await shop.paid(3)).partitionkey) for _ in range(1)] * 2
    second = replace(second, id="second")
    for report in (early, late, first, second):
        assert await shop.client.handle_event("record_fulfilment", report) == 204
    assert [(one["reason"], one["orderId"]) for one in await rejections(shop)] == [
        ("NOT_PAID", unpaid.partitionkey),
        ("CANCELED", canceled.partitionkey),
        ("ALREADY_FULFILLED", first.partitionkey),
    ]
    assert (await state(shop.client, unpaid.partitionkey))[0] == "CONFIRMED"


async def test_two_reports_in_one_batch_fulfil_once(shop: PartnerShop) -> None:
    report = await reported(shop, (await shop.paid()).partitionkey)
    both = [report, replace(report, id="other")]
    await asyncio.gather(*(shop.client.handle_event("record_fulfilment", one) for one in both))
    assert len(await shop.client.log(OrderFulfilled.TYPE)) == 1
    assert [one["reason"] for one in await rejections(shop)] == ["ALREADY_FULFILLED"]


async def test_a_report_is_rejected_if_the_product_has_changed_hands_meanwhile(shop: PartnerShop) -> None:
    report = await reported(shop, (await shop.paid()).partitionkey)
    await shop.client.rows("UPDATE partner_products SET partner_id = 'other' WHERE product_id = '1' RETURNING 1")
    assert await shop.client.handle_event("record_fulfilment", report) == 204
    assert [one["reason"] for one in await rejections(shop)] == ["NOT_YOURS"]
    assert (await state(shop.client, report.partitionkey))[0] == "PAID"


async def test_a_report_that_did_not_come_by_the_entrance_is_a_dead_letter(shop: PartnerShop) -> None:
    report = await reported(shop, (await shop.paid()).partitionkey)
    for source in ("/pulsecart/pay", "/partners/", "/partners/a b"):
        assert await shop.client.handle_event("record_fulfilment", replace(report, source=source)) == 400


@pytest.mark.parametrize(
    ("products", "shipped"), [((1,), False), ((2,), False), ((3,), True), ((1, 2), True), ((1, 3), True)]
)
async def test_the_shop_fulfils_what_is_not_of_one_partner_alone(
    shop: PartnerShop, products: tuple[int, ...], shipped: bool
) -> None:
    body = {"userId": 7, "items": [{"productId": product, "qty": 1} for product in products]}
    order_id = (await shop.client.ask("POST", "/api/v1/orders", body, idempotency_key="k")).body["orderId"]
    for operation, step in (("reserve", "created"), ("pay", "confirmed"), ("fulfil", "paid")):
        (event,) = await shop.client.log(f"ecommerce.order.order.{step}.v1")
        assert await shop.client.handle_event(operation, event) == 204
    assert (await state(shop.client, order_id))[0] == ("FULFILLED" if shipped else "PAID")
