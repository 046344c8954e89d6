"""notify: publishes each event to the live streams once, in order, with little load for Redis."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest_asyncio
import yaml

from functions.notify.main import notify
from pulsecart.edge.streams.changes import ENDED_S, OPEN_S
from pulsecart.edge.streams.publish import STREAM_MAX
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.runtime.event import Cause, CloudEvent, Message, enveloped
from pulsecart.runtime.settings import Settings
from pulsecart.shop.inventory.events import StockAdjusted
from pulsecart.shop.orders.events import OrderCanceled, OrderConfirmed, OrderFulfilled
from pulsecart.shop.payments.events import PaymentFailed
from pulsecart.shop.pricing.events import FlashSaleEnded, FlashSaleScheduled
from tools.messages import MESSAGES

ORDER = "00000000-0000-4000-8000-000000000001"
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
# Buyers see products through the catalogue, and nothing of partners and their webhooks.
NOT_SHOWN = ("ecommerce.product.", "ecommerce.partner.", "ecommerce.webhook.")


@pytest_asyncio.fixture
async def deps(settings: Settings) -> AsyncIterator[Deps]:
    opened = open_deps(settings)
    yield opened
    await close_deps(opened)


def confirmed(sequence: int) -> CloudEvent:
    money: dict[str, Any] = {"totalAmount": 49.9, "currency": "USD"}
    return event_of(
        OrderConfirmed(orderId=ORDER, userId="7", payBy="2026-01-01T12:00:30.000000Z", **money), ORDER, sequence
    )


def adjusted(available: int, sequence: int, product_id: str = "1") -> CloudEvent:
    message = StockAdjusted(productId=product_id, delta=-1, available=available, reason="RESERVED")
    return event_of(message, product_id, sequence)


def event_of(message: Message, key: str, sequence: int) -> CloudEvent:
    cause = Cause("c", "e", TRACE)
    return enveloped(message, source="/t", key=key, sequence=sequence, time=NOON, cause=cause, extensions={})


async def handle(deps: Deps, *events: CloudEvent) -> None:
    replies = await asyncio.gather(*(notify.operation.handle_event(event, deps) for event in events))
    assert [reply.status for reply in replies] == [204] * len(events)


async def stream(deps: Deps, key: str) -> list[tuple[str, dict[str, Any]]]:
    entries: Any = await deps.redis.xrange(key)
    return [(id.decode(), json.loads(fields[b"d"])) for id, fields in entries]


async def test_an_orders_step_is_reported_under_its_sequence(deps: Deps) -> None:
    await handle(deps, confirmed(2))
    assert await stream(deps, f"news:order:{ORDER}") == [
        (
            "2-0",
            {
                "orderId": ORDER,
                "status": "CONFIRMED",
                "payBy": "2026-01-01T12:00:30.000000Z",
                "sequence": 2,
                "at": "2026-01-01T12:00:00.000000Z",
                "traceparent": TRACE,
            },
        )
    ]


async def test_the_same_event_twice_is_reported_once(deps: Deps) -> None:
    await handle(deps, confirmed(2), confirmed(2))
    await handle(deps, confirmed(2))
    assert len(await stream(deps, f"news:order:{ORDER}")) == 1
    assert await deps.redis.xlen("news") == 1


async def test_a_late_event_is_a_success_that_changes_nothing(deps: Deps) -> None:
    await handle(deps, adjusted(5, 3))
    await handle(deps, adjusted(6, 2))
    assert [data["available"] for _, data in await stream(deps, "news:stock:1")] == [5]
    assert await deps.redis.xlen("news") == 1


async def test_all_events_of_one_burst_share_a_few_round_trips(deps: Deps) -> None:
    await handle(deps, adjusted(1000, 1))
    await deps.redis.config_resetstat()
    await handle(deps, *(adjusted(1000, 1, product_id=f"p{number}") for number in range(200)))
    stats: Any = await deps.redis.info("commandstats")
    assert stats["cmdstat_evalsha"]["calls"] <= 2


async def test_the_firehose_counts_every_first_write(deps: Deps) -> None:
    await handle(deps, adjusted(9, 1))
    await handle(deps, adjusted(9, 1), adjusted(8, 2), confirmed(1))
    entries: Any = await deps.redis.xrange("news")
    assert [int(fields[b"n"]) for _, fields in entries] == [1, 2, 3]
    assert {fields[b"b"] for _, fields in entries} == {b"", b"7"}


async def test_an_orders_stream_is_forgotten_after_a_day_and_an_ended_ones_soon(deps: Deps) -> None:
    await handle(deps, confirmed(2))
    key = f"news:order:{ORDER}"
    assert OPEN_S - 60 < await deps.redis.ttl(key) <= OPEN_S
    await handle(deps, event_of(OrderFulfilled(orderId=ORDER, userId="7"), ORDER, 3))
    assert ENDED_S - 60 < await deps.redis.ttl(key) <= ENDED_S


async def test_a_products_stream_is_bounded(deps: Deps) -> None:
    for first in range(1, 4 * STREAM_MAX, 500):
        await handle(deps, *(adjusted(1, sequence) for sequence in range(first, first + 500)))
    assert await deps.redis.xlen("news:stock:1") < 2 * STREAM_MAX
    assert await deps.redis.ttl("news:stock:1") == -1


async def test_money_has_its_place_among_its_orders_steps(deps: Deps) -> None:
    failed = PaymentFailed(orderId=ORDER, paymentId=ORDER, reason="DECLINED")
    canceled = OrderCanceled(orderId=ORDER, userId="7", reason="PAYMENT_DECLINED", previousStatus="CONFIRMED")
    await handle(deps, event_of(failed, ORDER, 3))
    await handle(deps, event_of(canceled, ORDER, 4))
    reported = await stream(deps, f"news:order:{ORDER}")
    assert [(id, data.get("payment"), data.get("status")) for id, data in reported] == [
        ("3-0", "FAILED", None),
        ("4-0", None, "CANCELED"),
    ]


async def test_sales_share_one_stream(deps: Deps) -> None:
    times = {"startsAt": "2026-11-27T08:00:00Z", "endsAt": "2026-11-27T08:05:00Z"}
    planned = FlashSaleScheduled(saleId="s2", productId="2", price=5, currency="USD", **times)
    await handle(deps, event_of(planned, "s2", 3), event_of(FlashSaleEnded(saleId="s1", productId="1"), "s1", 4))
    assert [(id, data["saleId"], data["status"]) for id, data in await stream(deps, "news:flash-sales")] == [
        ("3-0", "s2", "SCHEDULED"),
        ("4-0", "s1", "ENDED"),
    ]


async def test_an_event_without_a_sequence_breaks_its_contract(deps: Deps) -> None:
    assert (await notify.operation.handle_event(adjusted(1, 0), deps)).status == 400


async def test_one_bad_event_does_not_fail_those_it_arrived_with(deps: Deps) -> None:
    events = [adjusted(1, 0), adjusted(5, 1, product_id="2")]
    replies = await asyncio.gather(*(notify.operation.handle_event(event, deps) for event in events))
    assert [reply.status for reply in replies] == [400, 204]


async def test_without_redis_the_broker_is_asked_to_come_again(settings: Settings) -> None:
    from dataclasses import replace

    away = open_deps(replace(settings, redis_url="redis://127.0.0.1:1"))
    assert (await notify.operation.handle_event(confirmed(1), away)).status == 503
    await close_deps(away)


def test_its_trigger_brings_every_event_that_a_stream_shows() -> None:
    manifest = yaml.safe_load((Path(__file__).parents[2] / "eventing" / "notify.yaml").read_text())
    brought = {part["exact"]["type"] for part in manifest["spec"]["filters"][0]["any"]}
    shown = {message.TYPE for message in MESSAGES if not message.TYPE.startswith(NOT_SHOWN)}
    assert brought == set(notify.operation.events) == shown
