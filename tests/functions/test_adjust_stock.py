"""adjust_stock: a partner's report changes the stock of its own product, once and never below zero."""

import asyncio
import json
from dataclasses import replace as changed
from typing import Any

import pytest
from msgspec.structs import replace

from pulsecart.runtime.deps import close_deps, open_deps
from pulsecart.runtime.event import CloudEvent
from pulsecart.shop.inventory.events import StockAdjusted
from pulsecart.shop.inventory.gate.gate import Gate
from pulsecart.shop.partners.events import ReportRejected, StockReported
from tests.client import Client
from tests.functions.partner_shop import PartnerShop, stock


@pytest.fixture
async def shop(client: Client) -> PartnerShop:
    return await PartnerShop(client).own()


async def reported(shop: PartnerShop, delta: int, product: str = "1") -> CloudEvent:
    """The partner's report, as it is in the log."""
    assert (await shop.send(stock(product, delta))).status == 202
    return (await shop.client.log(StockReported.TYPE))[-1]


async def adjust(shop: PartnerShop, event: CloudEvent) -> None:
    assert await shop.client.handle_event("adjust_stock", event) == 204


async def available(shop: PartnerShop) -> int:
    return int((await shop.client.row("SELECT available FROM stock WHERE product_id = '1'"))[0])


async def rejections(shop: PartnerShop) -> list[Any]:
    return [json.loads(event.data or b"")["reason"] for event in await shop.client.log(ReportRejected.TYPE)]


@pytest.mark.parametrize(("delta", "left"), [(5, 1005), (-5, 995), (-1000, 0)])
async def test_a_report_changes_the_stock_and_the_gate_as_a_reset_does(
    shop: PartnerShop, delta: int, left: int
) -> None:
    report = await reported(shop, delta)
    await adjust(shop, report)
    assert await available(shop) == left
    in_gate = await Gate(shop.client.deps.redis, 5.0).look("1")
    assert in_gate is not None
    assert in_gate.left == left
    adjusted = (await shop.client.log(StockAdjusted.TYPE))[-1]
    assert json.loads(adjusted.data or b"")["delta"] == delta
    assert adjusted.extensions["causationid"] == report.id
    recorded = "SELECT delta, reason FROM inventory_adjustment ORDER BY adjustment_id DESC LIMIT 1"
    assert await shop.client.row(recorded) == (delta, "RESET")


async def test_the_same_report_twice_and_at_once_counts_once(shop: PartnerShop) -> None:
    report = await reported(shop, 5)
    await asyncio.gather(*(adjust(shop, report) for _ in range(5)))
    assert await available(shop) == 1005


async def test_reports_at_once_all_count(shop: PartnerShop) -> None:
    reports = [await reported(shop, delta) for delta in (5, -7, 11, -13)]
    await asyncio.gather(*(adjust(shop, report) for report in reports))
    assert await available(shop) == 996


async def test_a_report_below_zero_is_rejected_and_changes_nothing(shop: PartnerShop) -> None:
    for _ in range(2):
        await adjust(shop, await reported(shop, -600))
    assert await available(shop) == 400
    assert await rejections(shop) == ["BELOW_ZERO"]


async def test_units_that_are_sold_cannot_be_taken(shop: PartnerShop) -> None:
    await shop.client.restock(1, 2)
    report = await reported(shop, -2)
    assert (await shop.client.buy(user=8)).status == 200
    await adjust(shop, report)
    assert (await available(shop), await rejections(shop)) == (1, ["BELOW_ZERO"])


async def test_more_than_the_column_holds_is_rejected(shop: PartnerShop) -> None:
    await shop.client.rows("UPDATE stock SET available = 2147483647 WHERE product_id = '1' RETURNING 1")
    await adjust(shop, await reported(shop, 1))
    assert await rejections(shop) == ["TOO_MANY"]
    await shop.client.rows("UPDATE stock SET available = 1000 WHERE product_id = '1' RETURNING 1")


async def test_a_product_without_stock_gets_its_first_units(shop: PartnerShop) -> None:
    made = await shop.client.ask("POST", "/api/v1/products", {"sku": "NEW", "name": "New", "price": 3})
    product = str(made.body["productId"])
    assert (await shop.client.ask("PUT", f"/api/v1/partners/acme/products/{product}")).status == 204
    reports = [await reported(shop, 4, product) for _ in range(2)]
    await asyncio.gather(*(adjust(shop, report) for report in reports))
    assert await shop.client.row("SELECT available FROM stock WHERE product_id = %s", product) == (8,)


async def test_a_report_is_rejected_if_the_product_has_changed_hands_meanwhile(shop: PartnerShop) -> None:
    report = await reported(shop, 5)
    assert (await shop.client.ask("DELETE", "/api/v1/partners/acme/products/1")).status == 204
    await adjust(shop, report)
    assert (await available(shop), await rejections(shop)) == (1000, ["NOT_YOURS"])


async def test_a_rejected_report_leaves_the_gate_as_it_is(shop: PartnerShop) -> None:
    before = await shop.client.row("SELECT epoch FROM stock WHERE product_id = '1'")
    report = await reported(shop, -5000)
    for _ in range(2):
        await adjust(shop, report)
    assert await shop.client.row("SELECT epoch FROM stock WHERE product_id = '1'") == before
    assert await rejections(shop) == ["BELOW_ZERO"]


async def test_without_redis_nothing_is_changed_and_the_broker_repeats_it(shop: PartnerShop) -> None:
    report = await reported(shop, 5)
    opened = open_deps(changed(shop.client.deps.settings, redis_url="redis://127.0.0.1:1/0"))
    try:
        assert await Client(opened).handle_event("adjust_stock", report) == 503
    finally:
        await close_deps(opened)
    assert await available(shop) == 1000
    await adjust(shop, report)
    assert await available(shop) == 1005


async def test_a_report_that_did_not_come_by_the_entrance_is_a_dead_letter(shop: PartnerShop) -> None:
    report = replace(await reported(shop, 5), source="/pulsecart/stock")
    assert await shop.client.handle_event("adjust_stock", report) == 400
