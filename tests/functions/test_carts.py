"""carts: filled without sign-in, merged on sign-in, and ordered completely at the seen prices, or not at all."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pulsecart.admin.demo import GOODS, SALE
from pulsecart.admin.seed import load_catalogue
from pulsecart.runtime.deps import Deps, close_deps
from pulsecart.runtime.settings import Settings
from tests.client import Answered, Client, until
from tests.functions.conftest import Strict
from tests.functions.money import deliver_all
from tests.turned_clock import TurnedClock, turned_deps

DAY_S = 24 * 3600


async def new_cart(client: Client, *lines: tuple[int, int], **who: str) -> str:
    """Create a cart with these (product, quantity); return its path."""
    opened = await client.ask("POST", "/api/v1/carts", **who)
    assert opened.status in (200, 201)
    for product, qty in lines:
        assert (await put(client, opened.headers["location"], product, qty, **who)).status == 200
    return str(opened.headers["location"])


async def put(client: Client, cart: str, product: int, qty: int, **who: str) -> Answered:
    return await client.ask("PUT", f"{cart}/items/{product}", {"qty": qty}, **who)


async def check_out(client: Client, cart: str, user: int = 7, key: str = "k", **more: Any) -> Answered:
    return await client.ask("POST", f"{cart}/checkout", {"userId": user, **more}, idempotency_key=key)


async def insist(client: Client, cart: str, **more: Any) -> Answered:
    """Repeat the checkout until the gate has no claim that PostgreSQL refused: until then the key is in flight."""

    async def ordered() -> Answered | None:
        answered = await check_out(client, cart, **more)
        assert answered.status == 200 or kind(answered) == "request-in-flight", answered
        return answered if answered.status == 200 else None

    answered: Answered = await until(ordered)
    return answered


async def lines(client: Client, cart: str, **who: str) -> dict[int, Any]:
    return {line["productId"]: line for line in (await client.ask("GET", cart, **who)).body["items"]}


async def reprice(client: Client, product: int, minor: int) -> None:
    await client.rows("UPDATE products SET price_minor = %s WHERE product_id = %s RETURNING 1", minor, str(product))


async def taken(client: Client) -> dict[str, int]:
    """Return the units that orders hold, per product."""
    return dict(
        await client.rows(
            "SELECT product_id, sum(qty)::int FROM order_items JOIN orders USING (order_id)"
            " WHERE status IN ('CONFIRMED', 'PAID', 'FULFILLED') GROUP BY 1"
        )
    )


def kind(answered: Answered) -> str:
    return str(answered.body["type"].rsplit("/")[-1])


# Filling it


async def test_an_anonymous_cart_is_its_holder_s_by_a_cookie_that_no_script_reads(client: Client) -> None:
    opened = await client.ask("POST", "/api/v1/carts")
    assert opened.status == 201
    cookie = opened.headers["set-cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= set(cookie.split("; "))
    assert cookie.startswith(f"pulsecart_cart={opened.body['cartId']};")
    mine = await client.ask("GET", "/api/v1/carts/mine", cookie=cookie.split(";")[0])
    assert (mine.status, mine.body["cartId"]) == (200, opened.body["cartId"])
    assert (await client.ask("GET", "/api/v1/carts/mine")).status == 404
    assert "userId" not in mine.body


async def test_no_two_carts_have_ids_that_reveal_each_other(client: Client) -> None:
    """The ids are completely random: an id that sorts by time would let others be guessed."""
    ids = [(await client.ask("POST", "/api/v1/carts")).body["cartId"] for _ in range(8)]
    assert {id[14] for id in ids} == {"4"}
    assert len({id[:8] for id in ids}) == 8


async def test_lines_are_set_changed_and_taken_out_again(client: Client) -> None:
    cart = await new_cart(client, (2, 1), (3, 2), (2, 5))
    shown = (await client.ask("GET", cart)).body
    assert [(line["productId"], line["qty"], line["price"]) for line in shown["items"]] == [(2, 5, 59.0), (3, 2, 34.5)]
    assert (shown["totalAmount"], shown["currency"], shown["status"]) == (364.0, "USD", "OPEN")
    assert list(await lines(client, cart)) == [2, 3]
    assert (await put(client, cart, 2, 0)).status == 200
    assert list(await lines(client, cart)) == [3]


async def test_each_line_says_what_changed_and_what_is_short(client: Client) -> None:
    cart = await new_cart(client, (2, 5), (3, 1), (4, 1))
    await reprice(client, 2, 6100)
    await client.restock(2, 4)
    await client.rows("DELETE FROM cart_items WHERE product_id = '4' RETURNING 1")
    shown = await lines(client, cart)
    assert shown[2] == {
        "productId": 2,
        "name": "Gooseneck kettle",
        "qty": 5,
        "seenPrice": 59.0,
        "price": 61.0,
        "available": 4,
        "problems": ["PRICE_CHANGED", "SHORT_STOCK"],
    }
    assert shown[3]["problems"] == []


async def test_what_cannot_be_put_in_is_refused_and_changes_nothing(client: Client) -> None:
    cart = await new_cart(client, (2, 1))
    assert kind(await put(client, cart, 99, 1)) == "unknown-product"
    assert kind(await put(client, cart, 1, 3)) == "limit-reached"  # two for each buyer
    for qty in (-1, 1001, "2", None):
        assert (await client.ask("PUT", f"{cart}/items/2", {"qty": qty})).status == 400
    assert {product: line["qty"] for product, line in (await lines(client, cart)).items()} == {2: 1}


async def test_lines_put_in_at_once_are_all_there(client: Client) -> None:
    cart = await new_cart(client)
    for _ in range(5):
        await asyncio.gather(*(put(client, cart, product, 0) for product in (2, 3, 4)))
        assert await lines(client, cart) == {}
        assert {answer.status for answer in await asyncio.gather(*(put(client, cart, p, p) for p in (2, 3, 4)))} == {
            200
        }
        assert {product: line["qty"] for product, line in (await lines(client, cart)).items()} == {2: 2, 3: 3, 4: 4}


async def test_a_cart_has_twenty_lines_and_one_currency(client: Client) -> None:
    for number in range(100, 121):
        await client.rows(
            "WITH p AS (INSERT INTO products (product_id, sku, name, price_minor, currency) VALUES (%s, %s, '-', 1, %s)"
            " RETURNING 1) SELECT 1 FROM p",
            str(number),
            f"S-{number}",
            "EUR" if number == 120 else "USD",
        )
        await client.restock(number, 5)
    cart = await new_cart(client, *((number, 1) for number in range(100, 119)))
    assert kind(await put(client, cart, 120, 1)) == "mixed-currencies"
    assert (await put(client, cart, 119, 1)).status == 200
    assert kind(await put(client, cart, 2, 1)) == "cart-full"
    assert (await put(client, cart, 119, 2)).status == 200


async def test_who_is_signed_in_has_one_cart_that_no_one_else_sees(client: Client, strict: Strict) -> None:
    me, other = strict.as_buyer("7"), strict.as_buyer("8")
    cart = await new_cart(strict, (2, 1), **me)
    assert (await strict.ask("POST", "/api/v1/carts", **me)).status == 200
    assert await new_cart(strict, **me) == cart
    assert (await strict.ask("GET", "/api/v1/carts/mine", **me)).body["cartId"] == cart.rsplit("/")[-1]
    assert (await strict.ask("GET", cart)).status == 401
    for method, path, body in (
        ("GET", cart, None),
        ("PUT", f"{cart}/items/2", {"qty": 2}),
        ("POST", f"{cart}/merge", None),
    ):
        assert (await strict.ask(method, path, body, **other)).status == 403
    stolen = await strict.ask("POST", f"{cart}/checkout", {}, idempotency_key="k", **other)
    assert stolen.status == 403
    assert {product: line["qty"] for product, line in (await lines(strict, cart, **me)).items()} == {2: 1}


async def test_ten_first_carts_of_one_buyer_at_once_are_one(strict: Strict) -> None:
    me = strict.as_buyer("7")
    opened = await asyncio.gather(*(strict.ask("POST", "/api/v1/carts", **me) for _ in range(10)))
    assert len({one.body["cartId"] for one in opened}) == 1


async def test_a_cart_that_is_not_there_is_404_whatever_its_id_looks_like(client: Client) -> None:
    for cart_id in ("0192f000-0000-4000-8000-000000000000", "7", "mine", "é" * 36, "' OR 1=1"):
        assert (await client.ask("GET", f"/api/v1/carts/{cart_id}")).status == 404
        assert (await client.ask("PUT", f"/api/v1/carts/{cart_id}/items/2", {"qty": 1})).status == 404
        assert (await client.ask("POST", f"/api/v1/carts/{cart_id}/merge", {"userId": 7})).status == 404
        assert (await check_out(client, f"/api/v1/carts/{cart_id}")).status == 404


# Merging


async def test_signing_in_brings_the_cart_along_and_quantities_add_up_to_the_limit(strict: Strict) -> None:
    me = strict.as_buyer("7")
    mine = await new_cart(strict, (1, 1), (2, 600), (3, 1), **me)
    brought = await new_cart(strict, (1, 2), (2, 600), (4, 3))
    for _ in range(2):  # a repetition adds nothing
        merged = await strict.ask("POST", f"{brought}/merge", **me)
        assert (merged.status, merged.body["cartId"]) == (200, mine.rsplit("/")[-1])
        assert {line["productId"]: line["qty"] for line in merged.body["items"]} == {1: 2, 2: 1000, 3: 1, 4: 3}
    assert "Max-Age=0" in merged.headers["set-cookie"]
    assert (await strict.ask("GET", brought)).body["status"] == "MERGED"
    assert kind(await put(strict, brought, 2, 1)) == "cart-closed"


async def test_a_cart_brought_along_by_ten_requests_at_once_is_added_once(strict: Strict) -> None:
    me = strict.as_buyer("7")
    await new_cart(strict, (2, 1), **me)
    brought = await new_cart(strict, (2, 1))
    answers = await asyncio.gather(*(strict.ask("POST", f"{brought}/merge", **me) for _ in range(10)))
    assert [answer.body["items"][0]["qty"] for answer in answers] == [2] * 10


async def test_a_price_seen_before_signing_in_is_the_one_that_was_seen_last(client: Client, strict: Strict) -> None:
    me = strict.as_buyer("7")
    await new_cart(strict, (2, 1), **me)
    await reprice(client, 2, 6100)
    brought = await new_cart(strict, (2, 1))
    merged = await strict.ask("POST", f"{brought}/merge", **me)
    assert (merged.body["items"][0]["seenPrice"], merged.body["items"][0]["problems"]) == (61.0, [])


async def test_a_buyer_s_cart_is_merged_into_no_one_else_s_in_the_demo_too(client: Client) -> None:
    mine = (await client.ask("POST", "/api/v1/carts", {"userId": 7})).headers["location"]
    await put(client, mine, 2, 1)
    assert (await client.ask("POST", f"{mine}/merge", {"userId": 8})).status == 403
    assert list(await lines(client, mine)) == [2]


async def test_merging_needs_someone_to_merge_it_for(strict: Strict) -> None:
    brought = await new_cart(strict, (2, 1))
    assert (await strict.ask("POST", f"{brought}/merge")).status == 401


# Ordering it


async def test_a_cart_becomes_one_order_of_all_lines_and_is_closed(client: Client) -> None:
    cart = await new_cart(client, (1, 2), (2, 3), (3, 1))
    ordered = await check_out(client, cart)
    assert (ordered.status, ordered.body["status"], ordered.body["totalAmount"]) == (200, "CONFIRMED", 311.3)
    assert [(item["productId"], item["qty"]) for item in ordered.body["items"]] == [(1, 2), (2, 3), (3, 1)]
    assert await taken(client) == {"1": 2, "2": 3, "3": 1}
    closed = (await client.ask("GET", cart)).body
    assert (closed["status"], closed["orderId"]) == ("ORDERED", ordered.body["orderId"])
    assert kind(await put(client, cart, 2, 1)) == "cart-closed"
    await deliver_all(client)
    shown = await client.ask("GET", f"/api/v1/orders/{ordered.body['orderId']}")
    assert shown.body["status"] == "FULFILLED"
    passport = (await client.ask("GET", f"/api/v1/orders/{ordered.body['orderId']}/passport")).body["request"]
    assert (passport["request"], passport["idempotencyKey"]) == (f"POST {cart}/checkout", "k")
    assert passport["reply"]["status"] == 200


async def test_a_repetition_gets_the_stored_reply_and_another_key_is_refused_as_closed(
    client: Client, strict: Strict
) -> None:
    cart = await new_cart(client, (2, 1))
    first = await check_out(client, cart)
    assert (await check_out(client, cart)).body == first.body
    assert kind(await check_out(client, cart, accept=[{"productId": 2, "price": 1}])) == "idempotency-key-reused"
    assert kind(await check_out(client, cart, key="other")) == "cart-closed"
    assert await taken(client) == {"2": 1}
    me = strict.as_buyer("7")
    await new_cart(strict, (2, 1), **me)
    mine = [await strict.ask("POST", "/api/v1/carts/mine/checkout", {}, idempotency_key="m", **me) for _ in range(2)]
    assert mine[0].status == 200
    assert mine[0].body == mine[1].body


async def test_ten_checkouts_of_one_cart_at_once_are_one_order(client: Client) -> None:
    cart = await new_cart(client, (2, 1), (3, 1))
    answers = await asyncio.gather(*(check_out(client, cart, key=f"k{at}") for at in range(10)))
    assert sorted(answer.status for answer in answers) == [200] + [409] * 9
    assert await client.row("SELECT count(*) FROM orders") == (1,)
    assert await taken(client) == {"2": 1, "3": 1}


async def test_an_empty_cart_is_no_order_and_a_key_is_needed(client: Client) -> None:
    assert kind(await check_out(client, await new_cart(client))) == "cart-empty"
    missing = await client.ask("POST", f"{await new_cart(client, (2, 1))}/checkout", {"userId": 7})
    assert kind(missing) == "idempotency-key-missing"


async def test_a_price_that_changed_is_refused_by_name_until_it_is_accepted(client: Client) -> None:
    cart = await new_cart(client, (2, 2), (3, 1))
    await reprice(client, 2, 6100)
    refused = await check_out(client, cart)
    assert (refused.status, kind(refused)) == (409, "price-changed")
    assert refused.body["lines"] == [
        {"productId": 2, "reason": "PRICE_CHANGED", "accepted": 59.0, "price": 61.0, "currency": "USD"}
    ]
    assert await client.row("SELECT count(*) FROM orders") == (0,)
    wrong = await check_out(client, cart, key="w", accept=[{"productId": 2, "price": 60.0}])
    assert wrong.body["lines"][0]["accepted"] == 60.0
    ordered = await check_out(client, cart, key="a", accept=[{"productId": 2, "price": 61.0}])
    assert (ordered.status, ordered.body["totalAmount"]) == (200, 156.5)
    prices = await client.rows("SELECT price_minor, accepted_minor FROM order_items ORDER BY product_id")
    assert prices == [(6100, 6100), (3450, 3450)]


async def test_a_price_that_changes_after_the_look_is_not_charged(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The price changes between check and transaction: without the comparison under lock it would be charged."""
    from pulsecart.shop.orders.till import Till

    cart, place = await new_cart(client, (2, 1), (3, 1)), Till.place

    async def slow(till: Till, *given: Any) -> Any:
        await reprice(client, 3, 9999)
        return await place(till, *given)

    monkeypatch.setattr(Till, "place", slow)
    refused = await check_out(client, cart)
    assert (kind(refused), [line["productId"] for line in refused.body["lines"]]) == ("price-changed", [3])
    assert await client.row("SELECT count(*) FROM orders") == (0,)
    monkeypatch.undo()
    await insist(client, cart, accept=[{"productId": 3, "price": 99.99}])
    assert await taken(client) == {"2": 1, "3": 1}


async def test_a_cart_that_changes_after_the_look_is_not_ordered_as_it_was(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pulsecart.shop.orders.till import Till

    cart, place = await new_cart(client, (2, 1)), Till.place

    async def slow(till: Till, *given: Any) -> Any:
        await put(client, cart, 2, 5)
        return await place(till, *given)

    monkeypatch.setattr(Till, "place", slow)
    assert kind(await check_out(client, cart)) == "cart-changed"
    monkeypatch.undo()
    ordered = await insist(client, cart)
    assert ordered.body["items"][0]["qty"] == 5


async def test_short_stock_refuses_all_lines_and_names_the_short_one(client: Client) -> None:
    cart = await new_cart(client, (2, 3), (3, 1))
    await client.restock(2, 2)
    refused = await check_out(client, cart)
    assert (refused.status, kind(refused)) == (409, "short-stock")
    assert refused.body["lines"] == [{"productId": 2, "reason": "SHORT_STOCK", "qty": 3, "available": 2}]
    assert await taken(client) == {}
    await client.restock(2, 3)
    assert (await check_out(client, cart)).status == 200  # the same key: nothing had happened


async def test_a_product_that_is_no_longer_sold_stays_in_its_line_and_refuses_all(client: Client) -> None:
    cart = await new_cart(client, (2, 1), (4, 1))
    assert (await client.ask("DELETE", "/api/v1/products/4", if_match="*")).status == 204
    assert (await lines(client, cart))[4]["problems"] == ["UNKNOWN_PRODUCT"]
    refused = await check_out(client, cart)
    assert (refused.status, kind(refused)) == (409, "product-gone")
    assert refused.body["lines"] == [{"productId": 4, "reason": "UNKNOWN_PRODUCT"}]
    assert (await put(client, cart, 4, 0)).status == 200
    assert (await check_out(client, cart)).status == 200


async def test_a_buyer_s_limit_counts_what_was_bought_before_and_refuses_all_lines(client: Client) -> None:
    assert (await client.buy(product=1, user=7, qty=1)).status == 200
    refused = await check_out(client, await new_cart(client, (2, 1), (1, 2)))
    assert (refused.status, kind(refused)) == (409, "limit-reached")
    assert refused.body["lines"] == [{"productId": 1, "reason": "LIMIT_REACHED"}]
    assert await taken(client) == {"1": 1}


async def test_without_the_demo_s_trust_only_who_is_signed_in_orders(strict: Strict) -> None:
    cart = await new_cart(strict, (2, 1))
    assert (await check_out(strict, cart)).status == 401
    me = strict.as_buyer("7")
    other = await strict.ask("POST", f"{cart}/checkout", {"userId": 8}, idempotency_key="k", **me)
    assert other.status == 403
    ordered = await strict.ask("POST", f"{cart}/checkout", idempotency_key="k", **me)
    assert (ordered.status, ordered.body["userId"]) == (200, 7)


# Its end


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
async def later(settings: Settings, clock: TurnedClock) -> AsyncIterator[Client]:
    """Provide a shop whose clock the test turns."""
    await load_catalogue(settings.database_url, GOODS, SALE, clock.now() - timedelta(minutes=1))
    deps: Deps = turned_deps(settings, clock)
    yield Client(deps)
    await close_deps(deps)


async def test_a_cart_expires_seven_days_after_its_last_change_and_is_removed_by_who_makes_the_next(
    later: Client, clock: TurnedClock
) -> None:
    cart = await new_cart(later, (2, 1))
    clock.turn(6 * DAY_S)
    assert (await put(later, cart, 3, 1)).status == 200
    clock.turn(6 * DAY_S)
    assert (await later.ask("GET", cart)).status == 200
    clock.turn(DAY_S)
    assert (await later.ask("GET", cart)).status == 404
    assert (await put(later, cart, 3, 1)).status == 404
    assert (await check_out(later, cart)).status == 404
    assert await later.row("SELECT count(*) FROM cart_items") == (2,)
    await new_cart(later)
    assert await later.row("SELECT count(*) FROM carts") == (1,)
    assert await later.row("SELECT count(*) FROM cart_items") == (0,)


async def test_a_buyer_s_cart_lasts_a_month_and_then_there_is_a_new_one(later: Client, clock: TurnedClock) -> None:
    await later.ask("POST", "/api/v1/carts", {"userId": 7})
    (old,) = await later.row("SELECT cart_id::text FROM carts")
    clock.turn(29 * DAY_S)
    assert (await later.ask("POST", "/api/v1/carts", {"userId": 7})).body["cartId"] == old
    clock.turn(2 * DAY_S)
    renewed = await later.ask("POST", "/api/v1/carts", {"userId": 7})
    assert (renewed.status, renewed.body["cartId"] == old) == (201, False)


async def test_behind_https_the_cart_s_cookie_is_for_this_host_alone(deps: Deps) -> None:
    shop = Client(replace(deps, settings=replace(deps.settings, public_url="https://shop.example"), singletons={}))
    opened = await shop.ask("POST", "/api/v1/carts")
    pair = opened.headers["set-cookie"].split(";")[0]
    assert pair == f"__Host-pulsecart_cart={opened.body['cartId']}"
    assert (await shop.ask("GET", "/api/v1/carts/mine", cookie=pair)).body["cartId"] == opened.body["cartId"]
    assert (await shop.ask("GET", "/api/v1/carts/mine", cookie=pair.removeprefix("__Host-"))).status == 404


async def test_one_address_makes_so_many_anonymous_carts_and_then_waits(deps: Deps) -> None:
    few = Client(replace(deps, settings=replace(deps.settings, carts_per_address=2)))
    asked = [await few.ask("POST", "/api/v1/carts", x_forwarded_for="198.51.100.1") for _ in range(3)]
    assert [answer.status for answer in asked] == [201, 201, 429]
    assert asked[2].body["type"].endswith("/too-many-carts")
    assert 0 < int(asked[2].headers["retry-after"]) <= 3600
    assert (await few.ask("POST", "/api/v1/carts", x_forwarded_for="198.51.100.2")).status == 201
    signed_in = few.signed("7", "customer") | {"x_forwarded_for": "198.51.100.1"}
    assert (await few.ask("POST", "/api/v1/carts", **signed_in)).status == 201
    assert await few.row("SELECT count(*) FROM carts WHERE buyer_id IS NULL") == (3,)
