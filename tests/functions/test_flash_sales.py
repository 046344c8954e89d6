"""flash_sales: sales are scheduled with price, units and limit; an admin's change applies completely or not at all."""

import asyncio
from datetime import datetime, timedelta
from typing import Any

import psycopg
import pytest

from pulsecart.runtime.event import rfc3339
from pulsecart.shop.audit.db.questions import read, snapshot
from pulsecart.shop.inventory.gate.gate import ClaimRequest, Gate
from pulsecart.shop.orders.db import orders
from pulsecart.shop.pricing.db import sales
from tests.client import Answered, Client
from tests.races.books import Books

SALES = "/api/v1/flash-sales"
CHANGED = "ecommerce.pricing.flash_sale.changed.v1"
ENDED = "ecommerce.pricing.flash_sale.ended.v1"
SCHEDULED = "ecommerce.pricing.flash_sale.scheduled.v1"


def at(client: Client, **after: float) -> str:
    return rfc3339(client.deps.clock.now() + timedelta(**after))


async def schedule(client: Client, product: int = 2, key: str = "", **members: Any) -> Answered:
    body = {"productId": product, "price": 20, "endsAt": at(client, hours=1)} | members
    return await client.ask("POST", SALES, body, **({"idempotency_key": key} if key else {}))


async def change(client: Client, sale: str = "flash-1", if_match: str = "", **members: Any) -> Answered:
    """Send the current ETag, unless the test gives another one."""
    read = await client.ask("GET", f"{SALES}/{sale}")
    return await client.ask("PUT", f"{SALES}/{sale}", members, if_match=if_match or read.headers.get("etag", "*"))


def over_the_limit(client: Client) -> list[str]:
    """Return the audit's findings about buyers and limits."""
    with snapshot(client.deps.settings.database_url) as connection:
        return [
            found.check
            for found in read(connection, grace_s=60).findings
            if found.check.startswith(("buyer-", "sale-"))
        ]


def kind(answered: Answered) -> str:
    """Return the problem's name."""
    return str(answered.body["type"]).rpartition("/")[2]


async def test_a_scheduled_sale_is_listed_and_sells_from_its_first_second_on(client: Client) -> None:
    answered = await schedule(client, startsAt=at(client, minutes=5))
    assert answered.status == 201
    assert (answered.body["status"], answered.body["price"], answered.body["productId"]) == ("SCHEDULED", 20, 2)
    assert (await client.ask("GET", answered.headers["location"])).body == answered.body
    listed = (await client.ask("GET", SALES)).body["sales"]
    assert [sale["productId"] for sale in listed] == [2, 1]
    assert kind(await client.buy(product=2)) == "sale-not-open"


async def test_a_sale_without_a_start_sells_at_once_at_its_price(client: Client) -> None:
    assert (await schedule(client)).status == 201
    assert (await client.buy(product=2)).body["totalAmount"] == 20


async def test_units_and_limit_are_in_table_and_gate_when_the_sale_is_answered(client: Client) -> None:
    await client.buy(product=2, user=1)
    assert (await schedule(client, units=3, buyerLimit=1)).status == 201
    shelf = await Gate(client.deps.redis, 1).look("2")
    assert shelf
    assert shelf.left == 3
    statuses = [(await client.buy(product=2, user=user)).status for user in (1, 1, 2, 2, 3, 4)]
    assert statuses == [200, 409, 200, 409, 200, 409]
    (adjusted,) = await client.rows(
        "SELECT delta FROM inventory_adjustment WHERE product_id = '2' AND reason = 'RESET'"
    )
    assert adjusted == (3 - 499,)


async def test_a_product_has_one_sale_that_is_not_over(client: Client) -> None:
    assert kind(await schedule(client, product=1)) == "sale-exists"
    answers = await asyncio.gather(*(schedule(client) for _ in range(5)))
    statuses = [answer.status for answer in answers]
    assert statuses.count(201) == 1
    assert set(statuses) <= {201, 409, 503}


async def test_the_same_key_schedules_one_sale_and_gets_one_reply(client: Client) -> None:
    ends = at(client, hours=1)
    answers = [await schedule(client, key="k", endsAt=ends) for _ in range(3)]
    assert [answer.status for answer in answers] == [201] * 3
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert kind(await schedule(client, key="k", endsAt=ends, price=1)) == "idempotency-key-reused"


@pytest.mark.parametrize(
    ("members", "status"),
    [
        ({"endsAt": "2020-01-01T00:00:00Z"}, 422),
        ({"endsAt": "2020-01-01T00:00:00"}, 400),
        ({"endsAt": "tomorrow"}, 400),
        ({"startsAt": "2999-01-01T00:00:00Z"}, 422),
        ({"endsAt": "9999-12-31T23:59:59-12:00"}, 400),
        ({"endsAt": "3000-01-01T00:00:00Z"}, 400),
        ({"startsAt": "0001-01-01T00:00:00+14:00"}, 400),
        ({"startsAt": "1999-12-31T23:59:59Z"}, 400),
        ({"price": -1}, 400),
        ({"price": 0.001}, 400),
        ({"units": -1}, 400),
        ({"buyerLimit": 1.5}, 400),
        ({"productId": "nope"}, 404),
    ],
)
async def test_a_sale_that_cannot_be_is_refused_and_leaves_nothing(
    client: Client, members: dict[str, Any], status: int
) -> None:
    assert (await schedule(client, **members)).status == status
    assert await client.row("SELECT count(*) FROM flash_sales") == (1,)
    assert (await client.buy(product=2)).status == 200


async def test_a_product_that_never_had_stock_needs_units(client: Client) -> None:
    made = await client.ask("POST", "/api/v1/products", {"sku": "NEW", "name": "New", "price": 5})
    product = made.body["productId"]
    assert kind(await schedule(client, product)) == "no-stock"
    assert (await schedule(client, product, units=2)).status == 201
    assert (await client.buy(product=product)).body["totalAmount"] == 20


async def test_a_deleted_product_has_no_sales(client: Client) -> None:
    await client.ask("DELETE", "/api/v1/products/2", if_match="*")
    assert (await schedule(client)).status == 410


async def test_another_price_holds_for_who_buys_from_now_on(client: Client) -> None:
    before = (await client.buy(user=1)).body
    changed = await change(client, price=39.9)
    assert (changed.status, changed.body["price"]) == (200, 39.9)
    after = (await client.buy(user=2)).body
    assert (before["totalAmount"], after["totalAmount"]) == (49.9, 39.9)
    assert (await client.ask("GET", f"/api/v1/orders/{before['orderId']}")).body["totalAmount"] == 49.9
    (reported,) = await client.log(CHANGED)
    assert b'"price":39.9' in (reported.data or b"")
    started = (await client.log("ecommerce.pricing.flash_sale.started.v1"))[0]
    assert (reported.subject, reported.sequence) == ("flash-1", started.sequence + 1)


async def test_a_change_that_changes_nothing_says_nothing(client: Client) -> None:
    assert (await change(client, price=49.9)).status == 200
    assert (await change(client)).status == 200
    assert await client.log(CHANGED) == []


@pytest.mark.parametrize("path", ["sync", "async"])
async def test_no_one_is_charged_another_price_than_the_one_they_accepted(client: Client, path: str) -> None:
    async def buy(user: int, price: float | None) -> Answered:
        body = {"productId": 1, "quantity": 1, "userId": user, "expectedPrice": price}
        return await client.ask("POST", f"/api/v1/{path}/purchase", body, idempotency_key=f"k{user}")

    assert (await buy(1, 49.9)).status < 300
    await change(client, price=59.9)
    refused = await buy(2, 49.9)
    assert (refused.status, kind(refused)) == (409, "price-changed")
    assert (refused.body["price"], refused.body["currency"], refused.body["productId"]) == (59.9, "USD", 1)
    assert (await buy(1, 49.9)).status < 300, "the first reply to its key, whatever the price is now"
    charged = dict(await client.rows("SELECT buyer_id, total_minor FROM orders"))
    assert charged == {"1": 4990}
    accepted = await client.ask(
        "POST", f"/api/v1/{path}/purchase", {"productId": 1, "userId": 2, "expectedPrice": 59.9}, idempotency_key="k3"
    )
    assert accepted.status < 300
    assert (await client.buy(user=3, path=path)).status < 300, "who says no price takes the one that holds"
    assert dict(await client.rows("SELECT buyer_id, total_minor FROM orders")) == {"1": 4990, "2": 5990, "3": 5990}


async def test_an_order_of_several_products_is_refused_for_one_price(client: Client) -> None:
    items: list[dict[str, Any]] = [
        {"productId": 1, "qty": 1, "expectedPrice": 49.9},
        {"productId": 2, "qty": 1, "expectedPrice": 58},
    ]
    refused = await client.ask("POST", "/api/v1/orders", {"userId": 1, "items": items}, idempotency_key="a")
    assert (kind(refused), refused.body["productId"], refused.body["price"]) == ("price-changed", 2, 59)
    items[1]["expectedPrice"] = 59
    assert (
        await client.ask("POST", "/api/v1/orders", {"userId": 1, "items": items}, idempotency_key="b")
    ).status == 201


async def test_prices_that_were_not_accepted_cost_neither_units_nor_a_new_gate(client: Client) -> None:
    await client.buy(user=0)
    gate = Gate(client.deps.redis, 1)
    before = await gate.look("1")
    body = {"productId": 1, "quantity": 2, "expectedPrice": 1}
    asked = [client.ask("POST", "/api/v1/sync/purchase", body | {"userId": user}) for user in range(1, 40)]
    assert {kind(answer) for answer in await asyncio.gather(*asked)} == {"price-changed"}
    after = await gate.look("1")
    assert before
    assert after
    assert (after.epoch, after.left) == (before.epoch, before.left)
    assert await client.row("SELECT available FROM stock WHERE product_id = '1'") == (999,)


async def test_while_the_price_changes_everyone_pays_what_they_accepted(client: Client) -> None:
    async def buy(user: int, price: float) -> None:
        body = {"productId": 1, "userId": user, "expectedPrice": price}
        answered = await client.ask("POST", "/api/v1/sync/purchase", body)
        assert answered.status in (200, 409), answered
        if answered.status == 200:
            assert answered.body["totalAmount"] == price

    buying = [buy(user, (49.9, 44.9)[user % 2]) for user in range(60)]
    await asyncio.gather(*buying[:30], change(client, price=44.9), *buying[30:])
    paid = dict(await client.rows("SELECT total_minor, count(*) FROM orders GROUP BY 1"))
    assert paid.keys() <= {4990, 4490}
    assert sum(paid.values()) >= 1


async def test_a_price_is_not_changed_in_a_queue(client: Client, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT 1 FROM flash_sales FOR UPDATE")
        refused = await change(client, price=1)
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert await client.row("SELECT price_minor FROM flash_sales") == (4990,)


async def test_a_sale_ended_early_is_over_and_the_list_price_holds(client: Client) -> None:
    ended = await change(client, endsAt=at(client, seconds=-1))
    assert (ended.status, ended.body["status"]) == (200, "ENDED")
    assert datetime.fromisoformat(ended.body["endsAt"]) <= client.deps.clock.now()
    assert (await client.buy()).body["totalAmount"] == 129
    assert kind(await change(client, price=1)) == "sale-over"
    assert len(await client.log(ENDED)) == 1
    assert (await schedule(client, product=1)).status == 201


async def test_a_sale_that_was_only_scheduled_can_be_withdrawn(client: Client) -> None:
    sale = (await schedule(client, startsAt=at(client, minutes=5))).body["saleId"]
    assert kind(await change(client, sale, endsAt=at(client, minutes=4))) == "sale-too-short"
    assert (await change(client, sale, price=15)).body["price"] == 15
    assert await client.log(CHANGED) == [], "it is not under way"
    assert [event.sequence for event in await client.log(SCHEDULED)] == [2, 3]
    assert (await change(client, sale, endsAt=at(client))).body["status"] == "ENDED"
    assert (await client.buy(product=2)).body["totalAmount"] == 59
    assert len(await client.log(ENDED)) == 1


@pytest.mark.parametrize(
    "ends", ["9999-12-31T23:59:59-12:00", "2999-12-31T23:59:59-00:01", "0001-01-01T00:00:00+14:00"]
)
async def test_an_end_that_no_one_could_read_is_refused_and_the_sale_goes_on(client: Client, ends: str) -> None:
    assert kind(await change(client, endsAt=ends)) == "moment-malformed"
    assert (await client.ask("GET", f"{SALES}/flash-1")).status == 200
    assert (await client.buy()).body["totalAmount"] == 49.9


async def test_an_end_in_the_last_year_that_can_be_kept_is_read_everywhere(client: Client) -> None:
    assert (await change(client, endsAt="2999-12-31T23:59:59-00:00")).status == 200
    for path in (SALES, f"{SALES}/flash-1", "/api/v1/products", "/api/v1/products/1", "/api/v1/sales"):
        assert (await client.ask("GET", path)).status == 200, path
    assert (await client.buy()).status == 200


async def test_a_change_needs_the_version_that_was_read_and_one_of_two_is_asked_to_read_again(client: Client) -> None:
    for sale in ("flash-1", (await schedule(client, startsAt=at(client, minutes=5))).body["saleId"]):
        path = f"{SALES}/{sale}"
        assert kind(await client.ask("PUT", path, {"price": 9})) == "if-match-missing"
        read = (await client.ask("GET", path)).headers["etag"]
        first, late = [await change(client, sale, if_match=read, price=price) for price in (15, 16)]
        assert (first.status, first.body["price"], kind(late), late.status) == (200, 15, "changed-meanwhile", 412)
        assert (await client.ask("GET", path)).body["price"] == 15
        again = await change(client, sale, if_match=first.headers["etag"], price=16)
        assert (again.status, again.body["version"]) == (200, first.body["version"] + 1)


async def test_a_sale_s_etag_is_of_its_version_wherever_it_is_reported(client: Client) -> None:
    made = await schedule(client, startsAt=at(client, minutes=5))
    read = await client.ask("GET", made.headers["location"])
    assert made.headers["etag"] == read.headers["etag"] == f'"{read.body["version"]}"'
    assert (await client.ask("GET", made.headers["location"], if_none_match=read.headers["etag"])).status == 304
    changed = await change(client, made.body["saleId"], price=15)
    assert (await client.ask("GET", made.headers["location"])).headers["etag"] == changed.headers["etag"]
    assert (await client.ask("GET", made.headers["location"], if_none_match=read.headers["etag"])).status == 200


async def test_a_sale_that_began_since_it_was_read_is_read_again_first(client: Client) -> None:
    sale = (await schedule(client)).body["saleId"]
    read = (await client.ask("GET", f"{SALES}/{sale}")).headers["etag"]
    async with client.deps.db.transaction() as tx:
        await sales.turn(tx, sale)
    assert (await change(client, sale, if_match=read, price=9)).status == 412


async def test_of_many_who_read_the_same_version_one_changes_it(client: Client) -> None:
    read = (await client.ask("GET", f"{SALES}/flash-1")).headers["etag"]
    asked = [client.ask("PUT", f"{SALES}/flash-1", {"price": 10 + n}, if_match=read) for n in range(8)]
    statuses = [answer.status for answer in await asyncio.gather(*asked)]
    assert statuses.count(200) == 1
    assert set(statuses) <= {200, 412, 503}


@pytest.mark.parametrize("how", ["ended early", "withdrawn"])
async def test_a_sale_s_limit_ends_with_it(client: Client, how: str) -> None:
    times: dict[str, Any] = {"startsAt": at(client, minutes=5)} if how == "withdrawn" else {}
    sale = (await schedule(client, buyerLimit=2, **times)).body["saleId"]
    if how == "ended early":
        assert (await client.buy(product=2, qty=2)).status == 200
        assert kind(await client.buy(product=2)) == "limit-reached"
    assert (await change(client, sale, endsAt=at(client))).body["status"] == "ENDED"
    assert (await client.buy(product=2, qty=3)).status == 200
    assert over_the_limit(client) == []


async def test_a_sale_s_limit_that_is_broken_is_found(client: Client) -> None:
    assert (await client.buy(product=2, qty=3)).status == 200
    assert (await schedule(client, buyerLimit=1)).status == 201
    assert (await client.buy(product=2, user=8)).status == 200
    assert over_the_limit(client) == []
    await client.rows("UPDATE order_items SET qty = 2 WHERE qty = 1 RETURNING 1")
    assert over_the_limit(client) == ["buyer-units", "sale-limit", "sale-units"]


async def test_the_product_s_own_limit_stays_beside_the_sale_s_and_counts_everything(client: Client) -> None:
    await client.rows("UPDATE stock SET buyer_limit = 3, epoch = epoch + 1 WHERE product_id = '2' RETURNING 1")
    assert (await client.buy(product=2)).status == 200
    sale = (await schedule(client, buyerLimit=5)).body["saleId"]
    assert (await client.buy(product=2, qty=2)).status == 200
    assert kind(await client.buy(product=2)) == "limit-reached"
    await change(client, sale, endsAt=at(client))
    assert await client.row("SELECT buyer_limit FROM stock WHERE product_id = '2'") == (3,)
    assert kind(await client.buy(product=2)) == "limit-reached"
    assert over_the_limit(client) == []


async def test_only_what_was_bought_in_a_sale_counts_against_its_limit(client: Client) -> None:
    assert (await client.buy(product=2, qty=3)).status == 200
    first = (await schedule(client, buyerLimit=2)).body["saleId"]
    assert (await client.buy(product=2, qty=2)).status == 200
    assert kind(await client.buy(product=2)) == "limit-reached"
    await change(client, first, endsAt=at(client))
    assert (await client.buy(product=2, qty=4)).status == 200
    await schedule(client, buyerLimit=2)
    assert (await client.buy(product=2, qty=2)).status == 200
    assert kind(await client.buy(product=2)) == "limit-reached"
    assert (await client.buy(product=2, user=8, qty=2)).status == 200
    assert over_the_limit(client) == []


async def test_a_canceled_order_gives_its_units_of_the_sale_back(client: Client) -> None:
    sale = (await schedule(client, buyerLimit=2)).body["saleId"]
    order = (await client.buy(product=2, qty=2)).body["orderId"]
    async with client.deps.db.transaction() as tx:
        await orders.cancel(tx, (await orders.locked(tx, [order]))[order], "BUYER")
    assert await client.row("SELECT units FROM sale_units WHERE sale_id = %s", sale) == (0,)
    claim = await client.row("SELECT claim_id::text FROM orders WHERE order_id = %s", order)
    assert claim
    await Books(client).gate.release([("2", claim[0])])
    assert (await client.buy(product=2, qty=2)).status == 200
    assert kind(await client.buy(product=2)) == "limit-reached"


async def test_a_rebuilt_gate_knows_what_was_bought_in_the_sale(client: Client) -> None:
    await schedule(client, buyerLimit=2)
    assert (await client.buy(product=2, qty=2)).status == 200
    await client.deps.redis.flushall()
    wish = ClaimRequest("another", "7", "", (("2", 1),))
    assert (await client.buy(product=2, user=8)).status == 200
    assert [answer.verdict for answer in await Books(client).gate.claim([wish])] == ["LIMIT"]


async def test_a_gate_that_forgot_the_sale_is_corrected_by_postgresql_and_loses_no_unit(client: Client) -> None:
    await schedule(client, units=5, buyerLimit=2)
    assert (await client.buy(product=2, qty=2)).status == 200
    await client.deps.redis.delete("{gate}:s:2")
    for _ in range(3):
        assert kind(await client.buy(product=2, qty=2)) == "limit-reached"
    shelf = await Books(client).gate.look("2")
    assert shelf
    assert (shelf.left, shelf.leases) == (3, 0)
    assert (await client.buy(product=2, user=8, qty=2)).status == 200


async def test_a_sale_that_is_made_longer_keeps_its_limit_to_the_new_end(client: Client) -> None:
    sale = (await schedule(client, endsAt=at(client, minutes=1), buyerLimit=1)).body["saleId"]
    assert (await client.buy(product=2)).status == 200
    assert (await change(client, sale, endsAt=at(client, minutes=9))).body["buyerLimit"] == 1
    level = await client.row("SELECT epoch FROM stock WHERE product_id = '2'")
    shelf = await Books(client).gate.look("2")
    assert shelf
    assert (shelf.epoch,) == level
    assert kind(await client.buy(product=2)) == "limit-reached"


async def test_a_sale_shows_its_limit(client: Client) -> None:
    made = await schedule(client, buyerLimit=3)
    assert made.body["buyerLimit"] == 3
    assert (await client.ask("GET", made.headers["location"])).body["buyerLimit"] == 3


async def test_while_a_sale_ends_no_one_has_more_than_the_limit_that_held(client: Client) -> None:
    sale = (await schedule(client, units=200, buyerLimit=2)).body["saleId"]
    buying = [client.buy(product=2, user=n % 10) for n in range(100)]
    ending = change(client, sale, endsAt=at(client))
    answers = await asyncio.gather(*buying[:50], ending, *buying[50:])
    assert {answer.status for answer in answers} <= {200, 409, 503}
    books = Books(client)
    await books.balance()
    shelf = await books.gate.look("2")
    level = await client.row("SELECT epoch FROM stock WHERE product_id = '2'")
    assert shelf
    assert (shelf.epoch,) == level
    assert (await client.buy(product=2, user=1, qty=5)).status == 200


async def test_an_unknown_sale_is_404(client: Client) -> None:
    assert (await client.ask("GET", f"{SALES}/nope")).status == 404
    assert (await change(client, "nope", price=1)).status == 404
