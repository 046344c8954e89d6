"""Invalid events among many valid ones share transactions with them, and only the invalid ones fail."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, ExitStack
from datetime import UTC, datetime
from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from functions.fulfil.main import Shipping
from functions.project_orders.main import Projection
from functions.refresh_products.main import Index
from pulsecart.edge.streams.news import News
from pulsecart.edge.streams.publish import Publisher
from pulsecart.edge.streams.snapshot import Snapshots
from pulsecart.edge.streams.topics import BUYER, SALES, STOCK
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import CloudEvent, new_id, padded
from pulsecart.runtime.problem import Malformed, Unstorable
from pulsecart.serving import cloudevents, operation
from pulsecart.serving.http import Request
from pulsecart.serving.subscriptions import Received
from pulsecart.shop.catalogue.db import search
from pulsecart.shop.orders.db.by_customer import Row
from pulsecart.shop.orders.events import OrderConfirmed, OrderCreated, OrderPaid
from tests.client import until
from tests.flows.hands import Hands
from tests.flows.small_shop import SmallShop, opened
from tests.turned_clock import TurnedClock

BUYERS, BAD = 60, 12
WITHIN_S = 30.0
LONG = "".join(chr(0x4E00 + n * 7 % 20000) for n in range(3000))  # not to be compressed into an index row
MONEY: dict[str, Any] = {"userId": "7", "totalAmount": 49.9, "currency": "USD"}
Open = Callable[[], AbstractAsyncContextManager[SmallShop]]


def event(type: str, data: dict[str, Any], **attributes: Any) -> CloudEvent:
    key = new_id()
    about = {"partitionkey": key, "sequence": padded(3)} | attributes.pop("extensions", {})
    made = CloudEvent(
        id=new_id(), source="/elsewhere", type=type, time=datetime.now(UTC), subject=key, data=b"", extensions=about
    )
    return replace(made, data=json.dumps(data).encode(), **attributes)


def bad_events(dice: Random) -> Iterator[CloudEvent]:
    """Yield invalid events of every type that operations of orders subscribe to, each with another error."""
    while True:
        order = {"orderId": new_id(), **MONEY}
        kind, data = dice.choice(
            [
                (OrderPaid.TYPE, order | {"paymentId": new_id()}),
                (OrderConfirmed.TYPE, order | {"payBy": "2026-01-01T00:00:00Z"}),
                (OrderCreated.TYPE, order | {"items": [], "status": "PENDING", "path": "async"}),
            ]
        )
        wrong: dict[str, Any] = dice.choice(
            [
                {"id": LONG},
                {"source": f"/{LONG}"},
                {"id": "x" * 100_000},
                {"extensions": {"sequence": "٣"}},
                {"extensions": {"sequence": "²"}},
                {"extensions": {"sequence": "9" * 40}},
                {"data": json.dumps(data | {"userId": "a\x85"}).encode()},
                {"data": json.dumps(data | {"more": "\0"}).encode()},
                {"data": json.dumps(data | {"totalAmount": 1e300}).encode()},
                {"data": json.dumps(data | {"totalAmount": 10**30}).encode()},
                {"data": b'"\xff"'},
                {"data": b"[" * 100_000},
            ]
        )
        yield replace(event(kind, data, **{k: v for k, v in wrong.items() if k != "data"}), **wrong_data(wrong))


def wrong_data(wrong: dict[str, Any]) -> dict[str, Any]:
    return {"data": wrong["data"]} if "data" in wrong else {}


async def write(shop: SmallShop, events: list[CloudEvent]) -> None:
    """Write to the log itself, without the ingress."""
    async with shop.client.deps.db.transaction() as tx:
        tx.events.extend(events)
    shop.knative.wake()


async def ingress(shop: SmallShop, event: CloudEvent) -> int:
    request = Request("POST", "/broker/default/default", *cloudevents.binary(event))
    return (await shop.knative.ingress(request, "default", "default")).status


@pytest.fixture
def shop(deps: Deps) -> Open:
    return lambda: opened(deps, TurnedClock(datetime.now(UTC)), Hands())


@pytest.mark.parametrize("checked", [True, False], ids=["checked on arrival", "met by the database alone"])
async def test_twelve_events_that_cannot_be_stored_keep_no_paid_order_from_shipping(
    shop: Open, monkeypatch: pytest.MonkeyPatch, checked: bool
) -> None:
    if not checked:
        monkeypatch.setattr(operation, "check_event", lambda event: None)
    bad = bad_events(Random(7))
    triggers = ("reserve", "pay", "fulfil", "project-orders", "notify")
    async with shop() as open_shop:
        client, hands = open_shop.client, open_shop.hands
        await client.restock(1, BUYERS)
        with ExitStack() as held:
            for trigger in triggers:
                held.enter_context(hands.holding(trigger))
            for at, path in enumerate(("sync", "async")):
                buyers = range(1 + at * BUYERS // 2, 1 + (at + 1) * BUYERS // 2)
                answered = await asyncio.gather(*(client.buy(user=user, path=path) for user in buyers))
                assert {answer.status for answer in answered} == {(200, 202)[at]}
                await write(open_shop, [next(bad) for _ in range(BAD // 2)])
        with hands.holding("fulfil"):
            await until(lambda: _have_come_to(open_shop, "PAID"), WITHIN_S)
            await write(open_shop, [next(bad) for _ in range(BAD)])
        await until(lambda: _have_come_to(open_shop, "FULFILLED"), WITHIN_S)
        good = {event.id for event in hands.tried["fulfil"] if event.source == "/pulsecart/pay"}
        tried = [event.id for event in hands.tried["fulfil"] if event.id in good]
        assert len(good) == len(tried) == BUYERS, "none was tried a second time"
        projected = f"SELECT 1 FROM orders_by_customer WHERE status = 'FULFILLED' HAVING count(*) = {BUYERS}"
        await until(lambda: client.row(projected), WITHIN_S)


async def _have_come_to(shop: SmallShop, status: str) -> Any:
    return await shop.client.row("SELECT 1 FROM orders WHERE status = %s HAVING count(*) = %s", status, BUYERS)


async def test_the_ingress_refuses_each_of_them_and_takes_what_comes_beside_them(shop: Open) -> None:
    bad = bad_events(Random(11))
    good = {"orderId": new_id(), **MONEY, "paymentId": new_id()}
    async with shop() as open_shop:
        answers = await asyncio.gather(
            *(ingress(open_shop, next(bad)) for _ in range(BAD * 2)),
            *(ingress(open_shop, event(OrderPaid.TYPE, good)) for _ in range(BAD)),
        )
        assert answers == [400] * BAD * 2 + [202] * BAD
        kept = await open_shop.client.rows("SELECT 1 FROM outbox WHERE source = '/elsewhere'")
        assert len(kept) == BAD


async def test_what_shares_a_write_fails_alone_in_every_operation_that_writes_together(deps: Deps) -> None:
    """Writes values that the check of incoming events would reject."""
    now = datetime.now(UTC)
    projection, index, publisher = (
        deps.singleton(Projection).rows,
        deps.singleton(Index).rows,
        deps.singleton(Publisher),
    )
    rows = [Row(f"buyer-{n}", new_id(), "PAID", now, 1) for n in range(20)]
    rows[3] = Row("a\0b", new_id(), "PAID", now, 1)
    rows[11] = Row("huge", new_id(), "PAID", now, 2**63)
    rows[17] = Row(LONG, new_id(), "PAID", now, 1)
    words = [search.Row(f"product-{n}", 1, False, "sku", "name", "", "") for n in range(20)]
    words[5] = search.Row("product-5", 2**70, False, "sku", "name", "", "")
    words[6] = search.Row(LONG, 1, False, "sku", "name", "", "")
    news = [News(STOCK.topic(f"p{n}").key, (n, 0), "stock", b"{}") for n in range(20)]  # the first has no sequence
    reported = await asyncio.gather(
        *map(projection.submit, rows), *map(index.submit, words), *map(publisher.publish, news), return_exceptions=True
    )
    wrong = {n: type(outcome) for n, outcome in enumerate(reported) if isinstance(outcome, Exception)}
    assert wrong == dict.fromkeys([3, 11, 17, 25, 26], Unstorable) | {40: Malformed}


async def test_an_event_whose_claim_cannot_be_stored_is_refused_for_good_and_those_beside_it_are_done(
    deps: Deps,
) -> None:
    shipping = deps.singleton(Shipping).paid
    envelopes = [event(OrderPaid.TYPE, {}) for _ in range(8)]
    envelopes[4] = replace(envelopes[4], id=LONG)
    data = OrderPaid(orderId=new_id(), paymentId="p", **MONEY)
    outcomes = await asyncio.gather(
        *(shipping.submit(Received(envelope, data)) for envelope in envelopes), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [type(None)] * 4 + [Unstorable] + [type(None)] * 3


async def test_a_snapshot_of_an_odd_stream_fails_alone_and_the_sales_beside_it_are_read(deps: Deps) -> None:
    snapshots = deps.singleton(Snapshots)
    topics = [STOCK.topic("1"), STOCK.topic("a\0b"), SALES.topic(), STOCK.topic("2"), BUYER.topic("a\0b")]
    reported = await asyncio.gather(*map(snapshots.of, topics), return_exceptions=True)
    assert [type(outcome) for outcome in reported] == [News, Unstorable, News, News, Unstorable]
