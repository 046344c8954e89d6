"""events: what a partner reports about its own orders and products is in the log before it is answered, once."""

import asyncio
import json
from typing import Any

import pytest
from msgspec.structs import replace

from pulsecart.runtime.event import CloudEvent, schema_of
from pulsecart.shop.orders.events import OrderPaid
from pulsecart.shop.partners.events import ReportRejected, StockReported
from tests.client import Client
from tests.functions.partner_shop import BATCH, STRUCTURED, PartnerShop, event, fulfilment, kinds, stock

ONE = {"accepted": 1, "duplicates": 0}
AGAIN = {"accepted": 1, "duplicates": 1}


@pytest.fixture
async def shop(client: Client) -> PartnerShop:
    return await PartnerShop(client).own()


async def test_an_accepted_event_is_in_the_log_as_the_partner_s(shop: PartnerShop) -> None:
    sent = stock(id="count-1", data={"productId": "1", "delta": -2, "reason": "DAMAGED"})
    answered = await shop.send(sent, correlation_id="c-1")
    assert (answered.status, answered.body) == (202, ONE)
    (logged,) = await shop.reports()
    assert (logged.source, logged.id, logged.type) == ("/partners/acme", "count-1", StockReported.TYPE)
    assert (logged.subject, logged.partitionkey, logged.dataschema) == ("1", "1", schema_of(StockReported.TYPE))
    assert json.loads(logged.data or b"") == sent["data"]
    assert logged.extensions["correlationid"] == "c-1"


async def test_only_what_the_contract_describes_is_kept(shop: PartnerShop) -> None:
    sent = stock(
        data={"productId": "1", "delta": 1, "reason": "LOST", "note": "call Ann"}, subject="Ann", customer="Ann"
    )
    assert (await shop.send(sent)).status == 202
    (logged,) = await shop.reports()
    assert "Ann" not in str(logged)


async def test_all_three_modes_are_accepted(shop: PartnerShop) -> None:
    binary = {"ce-specversion": "1.0", "ce-id": "b", "ce-source": "/partners/acme", "ce-type": StockReported.TYPE}
    data = {"productId": "1", "delta": 1, "reason": "LOST"}
    partner = shop.client.signed("acme", "partner")
    sent = await shop.client.ask("POST", "/events", data, **binary, **partner, content_type="application/json")
    assert (sent.status, sent.body) == (202, ONE)
    assert (await shop.send(stock(id="s"))).body == ONE
    assert (await shop.send([stock(id="x"), stock(id="y")])).body == {"accepted": 2, "duplicates": 0}
    assert (await shop.send([])).body == {"accepted": 0, "duplicates": 0}
    assert [one.id for one in await shop.reports()] == ["b", "s", "x", "y"]


@pytest.mark.parametrize("media", ["application/cloudevents+avro", "application/cloudevents-batch+xml"])
async def test_another_format_is_415(shop: PartnerShop, media: str) -> None:
    answered = await shop.send(stock(), content_type=media)
    assert (answered.status, answered.body["type"].rpartition("/")[2]) == (415, "unknown-format")


async def test_a_repeated_event_does_nothing_and_counts_as_accepted(shop: PartnerShop) -> None:
    sent = stock()
    assert (await shop.send(sent)).body == ONE
    assert (await shop.send(sent)).body == AGAIN
    assert (await shop.send([sent, stock(), sent])).body == {"accepted": 3, "duplicates": 2}
    twice = stock()
    assert (await shop.send([twice, twice])).body == {"accepted": 2, "duplicates": 1}
    assert len(await shop.reports()) == 3


async def test_the_same_event_many_times_at_once_is_logged_once(shop: PartnerShop) -> None:
    sent = stock()
    answers = await asyncio.gather(*(shop.send(sent if at % 2 else [sent]) for at in range(40)))
    assert {answer.status for answer in answers} == {202}
    assert sorted(answer.body["duplicates"] for answer in answers) == [0] + [1] * 39
    assert len(await shop.reports()) == 1


async def test_one_id_of_two_partners_is_two_events(shop: PartnerShop) -> None:
    assert (await shop.send(stock(id="1"))).body == ONE
    assert (await shop.send(stock("2", partner="other", id="1"), "other")).body == ONE


async def test_an_id_whose_event_was_rejected_can_be_used_again(shop: PartnerShop) -> None:
    foreign, own = stock("2", id="again"), stock("1", id="again")
    assert (await shop.send(foreign)).status == 403
    assert kinds(await shop.send([foreign, own])) == {"/0/data/productId": "not-yours"}
    assert (await shop.send(own)).body == AGAIN


async def test_an_event_that_was_accepted_stays_so_when_the_product_is_taken_away(shop: PartnerShop) -> None:
    sent = stock()
    assert (await shop.send(sent)).body == ONE
    assert (await shop.client.ask("DELETE", "/api/v1/partners/acme/products/1")).status == 204
    assert (await shop.send(sent)).body == AGAIN
    assert (await shop.send(stock())).status == 403


BAD: list[tuple[dict[str, Any], int, str]] = [
    ({"source": "/partners/other"}, 403, "wrong-source"),
    ({"source": "/pulsecart/pay"}, 403, "wrong-source"),
    ({"type": "ecommerce.nowhere.nothing.happened.v1"}, 400, "unknown-type"),
    ({"type": OrderPaid.TYPE}, 403, "not-allowed"),
    ({"type": ReportRejected.TYPE}, 403, "not-allowed"),
    ({"data": {"productId": "1", "delta": 0, "reason": "LOST"}}, 400, "contract-broken"),
    ({"data": {"productId": "1", "delta": 1, "reason": "BORED"}}, 400, "contract-broken"),
    ({"data": {"productId": "1", "reason": "LOST"}}, 400, "contract-broken"),
    ({"data": {"productId": "2", "delta": 1, "reason": "LOST"}}, 403, "not-yours"),
    ({"data": {"productId": "3", "delta": 1, "reason": "LOST"}}, 403, "not-yours"),
    ({"data": {"productId": "no-such", "delta": 1, "reason": "LOST"}}, 403, "not-yours"),
    ({"id": "x" * 256}, 400, "bad-attribute"),
    ({"time": "yesterday"}, 400, "bad-time"),
    ({"specversion": "0.3"}, 400, "bad-specversion"),
]


@pytest.mark.parametrize(("instead", "status", "type"), BAD)
async def test_a_bad_event_is_refused_with_its_reason(
    shop: PartnerShop, instead: dict[str, Any], status: int, type: str
) -> None:
    answered = await shop.send(stock(**instead))
    assert (answered.status, answered.body["type"].rpartition("/")[2]) == (status, type)
    batch = await shop.send([stock(), stock(**instead)])
    assert (batch.status, batch.body["accepted"], list(kinds(batch).values())) == (422, 1, [type])
    assert len(await shop.reports()) == 1


async def test_of_a_thousand_with_ten_bad_ones_990_are_durable_and_each_bad_one_has_its_reason(
    shop: PartnerShop,
) -> None:
    batch: list[Any] = [stock(id=f"e-{at}") for at in range(1000)]
    bad: dict[int, tuple[Any, str, str]] = {
        0: (stock(source="/partners/other"), "/source", "wrong-source"),
        99: (7, "", "bad-json"),
        100: (stock(data={"productId": "1", "delta": "5", "reason": "LOST"}), "/data/delta", "contract-broken"),
        101: (stock(data={"productId": "1"}), "/data", "contract-broken"),
        255: (stock("2"), "/data/productId", "not-yours"),
        256: (fulfilment("0199f3a2-7c41-7b02-9d1e-5f0c8a6b1e77"), "/data/orderId", "not-yours"),
        500: (event("nothing.v1", {}), "/type", "unknown-type"),
        501: (event(OrderPaid.TYPE, {}), "/type", "not-allowed"),
        998: ({"specversion": "1.0"}, "", "missing-attribute"),
        999: (stock(time="yesterday"), "", "bad-time"),
    }
    for at, (sent, _, _) in bad.items():
        batch[at] = sent
    answered = await shop.send(batch)
    assert (answered.status, answered.body["accepted"], answered.body["duplicates"]) == (422, 990, 0)
    assert kinds(answered) == {f"/{at}{place}": type for at, (_, place, type) in bad.items()}
    assert all(one["detail"] for one in answered.body["rejected"])
    assert answered.body["rejected"][0]["id"] == batch[0]["id"]
    assert [one.id for one in await shop.reports()] == [f"e-{at}" for at in range(1000) if at not in bad]
    again = await shop.send(batch)
    assert (again.status, again.body["accepted"], again.body["duplicates"]) == (422, 990, 990)


async def test_a_batch_has_a_thousand_events_at_most(shop: PartnerShop) -> None:
    answered = await shop.send([stock() for _ in range(1001)])
    assert (answered.status, answered.body["type"].rpartition("/")[2]) == (413, "too-many-events")
    assert (await shop.send({"events": []}, content_type=BATCH)).status == 400
    assert await shop.reports() == []


async def test_a_big_batch_delays_the_events_of_others_by_a_part_of_it(shop: PartnerShop) -> None:
    async with asyncio.TaskGroup() as group:
        big = group.create_task(shop.send([stock() for _ in range(1000)]))
        while not await shop.reports():  # noqa: ASYNC110  # the first commit has no event of its own
            await asyncio.sleep(0)
        assert (await shop.send(stock("2", partner="other"), "other")).body == ONE
        assert not big.done(), "the other waited for the whole batch"
    assert big.result().body == {"accepted": 1000, "duplicates": 0}


async def test_one_that_cannot_be_stored_fails_alone(shop: PartnerShop, monkeypatch: pytest.MonkeyPatch) -> None:
    """A surrogate is refused before; here one gets as far as the database."""
    from pulsecart.shop.partners.acceptance import Acceptance

    def broken(self: Acceptance, event: CloudEvent, **given: Any) -> Any:
        report = checked(self, event, **given)
        bad = replace(report.event, time_text="\0") if event.id == "bad" else report.event
        return type(report)(bad, report.partner_id, report.key)

    checked = Acceptance.checked
    monkeypatch.setattr(Acceptance, "checked", broken)
    answered = await shop.send([stock(), stock(id="bad"), stock()])
    assert (answered.body["accepted"], kinds(answered)) == (2, {"/1": "unstorable"})


async def test_a_database_that_is_away_is_503_for_the_whole_request(shop: PartnerShop) -> None:
    from dataclasses import replace as changed

    from pulsecart.runtime.deps import close_deps, open_deps

    opened = open_deps(changed(shop.client.deps.settings, database_url="postgresql://127.0.0.1:1/x"))
    try:
        away = PartnerShop(Client(opened))
        for body in (stock(), [stock(), stock()]):
            assert (await away.send(body)).status == 503
    finally:
        await close_deps(opened)


OWNERS = {"1": "acme", "2": "other", "3": ""}


@pytest.mark.parametrize("partner", ["acme", "other", "third"])
@pytest.mark.parametrize("product", OWNERS)
async def test_a_partner_adjusts_its_own_stock_and_no_other(shop: PartnerShop, partner: str, product: str) -> None:
    answered = await shop.send(stock(product, partner=partner), partner)
    assert answered.status == (202 if OWNERS[product] == partner else 403)


ORDERS = [(1,), (2,), (3,), (1, 2), (1, 3), (2, 3)]


@pytest.mark.parametrize("partner", ["acme", "other", "third"])
@pytest.mark.parametrize("products", ORDERS, ids=str)
async def test_a_partner_fulfils_orders_of_its_products_alone(
    shop: PartnerShop, partner: str, products: tuple[int, ...]
) -> None:
    body = {"userId": 7, "items": [{"productId": product, "qty": 1} for product in products]}
    order = await shop.client.ask("POST", "/api/v1/orders", body, idempotency_key="k")
    answered = await shop.send(fulfilment(order.body["orderId"], partner), partner)
    assert answered.status == (202 if all(OWNERS[str(product)] == partner for product in products) else 403)


async def test_whether_another_s_order_exists_is_not_disclosed(shop: PartnerShop) -> None:
    body = {"userId": 7, "items": [{"productId": 2, "qty": 1}]}
    order = await shop.client.ask("POST", "/api/v1/orders", body, idempotency_key="k")
    texts = []
    for order_id in (order.body["orderId"], "0199f3a2-7c41-7b02-9d1e-5f0c8a6b1e77", "no-id"):
        answered = await shop.send(fulfilment(order_id))
        assert answered.status == 403
        texts.append(answered.body["detail"].replace(order_id, ""))
    assert len(set(texts)) == 1


async def test_only_a_partner_s_token_is_accepted(shop: PartnerShop) -> None:
    for roles, status in ((("customer",), 403), (("admin",), 403), (("partner", "customer"), 202)):
        headers = shop.client.signed("acme", *roles)
        sent = await shop.client.ask("POST", "/events", stock(), content_type=STRUCTURED, **headers)
        assert sent.status == status
    sent = await shop.client.ask("POST", "/events", stock(), content_type=STRUCTURED, authorization="Bearer x")
    assert sent.status == 401


async def test_a_partner_s_id_is_percent_encoded_in_its_source(shop: PartnerShop) -> None:
    partner = "a|c:1"
    assert (await shop.client.ask("PUT", f"/api/v1/partners/{partner}/products/3")).status == 204
    assert (await shop.send(stock("3", source="/partners/a%7Cc%3A1"), partner)).status == 202
    assert (await shop.send(stock("3", source=f"/partners/{partner}"), partner)).status == 403
