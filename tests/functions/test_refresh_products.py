"""refresh_products: copies and the search index follow the events, for any order and number."""

import asyncio
import json
import random
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest
from msgspec import structs

from pulsecart.admin import rebuild
from pulsecart.runtime.db import database
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.telemetry import metrics
from pulsecart.shop.catalogue import cache as product_cache
from pulsecart.shop.catalogue.cache import ProductCache, document_of
from pulsecart.shop.catalogue.copies.copies import UNKNOWN_S, Copies
from pulsecart.shop.catalogue.db import products
from tests.client import Answered, Client, until

UPDATED = "ecommerce.product.product.updated.v1"
INDEX = "SELECT product_id, sequence, deleted, sku, name, category, description FROM product_search ORDER BY 1"
KETTLE = {"sku": "PC-KETTLE", "name": "Kettle", "price": 60}


@pytest.fixture
def copies(deps: Deps) -> Copies:
    return Copies(deps.redis)


@pytest.fixture
async def other(deps: Deps) -> AsyncIterator[Client]:
    """Provide another process of the same shop."""
    opened = open_deps(deps.settings)
    yield Client(opened)
    await close_deps(opened)


async def show(client: Client, product: int = 2) -> Answered:
    return await client.ask("GET", f"/api/v1/products/{product}")


async def rename(client: Client, name: str, product: int = 2) -> CloudEvent:
    """Write a new version, and return its event, which is not delivered yet."""
    answered = await client.ask("PUT", f"/api/v1/products/{product}", KETTLE | {"name": name}, if_match="*")
    assert answered.status == 200, answered
    return [event for event in await client.log(UPDATED) if event.subject == str(product)][-1]


async def reads() -> float:
    """Return the number of product queries so far, of all processes here."""
    from prometheus_client import REGISTRY

    metrics.exposition()
    return REGISTRY.get_sample_value("product_reads_total") or 0


async def test_a_copy_is_what_is_read_until_the_event_says_otherwise(client: Client) -> None:
    await show(client)
    event = await rename(client, "Better kettle")
    assert (await show(client)).body["name"] == "Gooseneck kettle"
    assert await client.handle_event("refresh_products", event) == 204
    assert (await show(client)).body["name"] == "Better kettle"


async def test_however_many_ask_at_once_postgresql_is_read_once(
    client: Client, other: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(product_cache, "PATIENCE_S", 20.0)  # a slow machine is no reason for an old copy here
    before = await reads()
    answers = await asyncio.gather(*(show(asking) for asking in (client, other) for _ in range(100)))
    assert {answer.status for answer in answers} == {200}
    assert await reads() - before == 1
    for event in (await rename(client, "Kettle two"), await rename(client, "Kettle three")):
        assert await client.handle_event("refresh_products", event) == 204
    answers = await asyncio.gather(*(show(asking) for asking in (other, client) for _ in range(100)))
    assert {answer.body["name"] for answer in answers} == {"Kettle three"}
    assert await reads() - before == 2


async def test_who_gets_the_turn_after_another_read_does_not_read_again(client: Client, copies: Copies) -> None:
    async with client.deps.db.transaction() as tx:
        product = (await products.by_ids(tx, ["2"]))["2"]
    assert await copies.lock("2", "another process")
    before = await reads()
    asking = asyncio.create_task(show(client))
    await until(lambda: _is_filling(client, "2"))
    await copies.put("2", product.version, client.deps.clock.now(), document_of(product))
    await copies.free("2", "another process")
    assert (await asking).status == 200
    assert await reads() == before


async def _is_filling(client: Client, product_id: str) -> bool:
    return product_id in client.deps.singleton(ProductCache)._filling


async def test_a_reader_that_died_with_the_lock_holds_no_one_up_for_long(client: Client, copies: Copies) -> None:
    assert await copies.lock("2", "of one that is gone")
    assert (await show(client)).status == 200


async def test_a_read_that_began_before_an_update_is_not_taken_for_what_came_after(
    client: Client, copies: Copies
) -> None:
    async with client.deps.db.transaction() as tx:
        old = (await products.by_ids(tx, ["2"]))["2"]
        read_at = tx.now
    event = await rename(client, "Newer")
    assert await client.handle_event("refresh_products", event) == 204
    await copies.put("2", old.version, read_at, document_of(old))
    assert (await show(client)).body["name"] == "Newer"
    await copies.put("2", old.version, read_at, document_of(old))
    (held,) = await copies.look(["2"])
    assert held
    assert json.loads(held.document)["name"] == "Newer"


async def test_who_asks_after_an_event_is_not_given_a_read_that_began_before_it(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, was_read, may_end = client.deps.singleton(ProductCache), asyncio.Event(), asyncio.Event()
    put = cache._copies.put

    async def slow(*given: Any) -> bool:
        was_read.set()
        await may_end.wait()
        return await put(*given)

    monkeypatch.setattr(cache._copies, "put", slow)
    early = asyncio.create_task(show(client))
    await was_read.wait()
    assert await client.handle_event("refresh_products", await rename(client, "Newer")) == 204
    late = asyncio.create_task(show(client))
    await until(lambda: _has_looked(cache, 2))
    may_end.set()
    assert [(await asked).body["name"] for asked in (early, late)] == ["Gooseneck kettle", "Newer"]


async def _has_looked(cache: ProductCache, times: int) -> bool:
    """Return whether this many callers wait for the one read in flight."""
    (task,) = cache._filling.values()
    return len(task._callbacks or ()) > times


async def test_a_deleted_product_is_gone_when_its_event_has_come(client: Client) -> None:
    await show(client)
    assert (await client.ask("DELETE", "/api/v1/products/2", if_match="*")).status == 204
    assert (await show(client)).status == 200
    event = [event for event in await client.log(UPDATED) if event.subject == "2"][-1]
    assert await client.handle_event("refresh_products", event) == 204
    assert (await show(client)).status == 410
    before = await reads()
    assert (await show(client)).status == 410
    assert await reads() == before


async def test_an_old_event_that_comes_again_makes_no_copy_stale(client: Client) -> None:
    first, second = await rename(client, "One"), await rename(client, "Two")
    for event in (second, first):
        assert await client.handle_event("refresh_products", event) == 204
    await show(client)
    before = await reads()
    for event in (first, second, first):
        assert await client.handle_event("refresh_products", event) == 204
    assert (await show(client)).body["name"] == "Two"
    assert await reads() == before


@pytest.fixture
async def cut_off(deps: Deps, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Client]:
    """Provide a process that reaches Redis but not PostgreSQL, and that stops trying soon."""
    monkeypatch.setattr(database, "CONNECT_WAIT_S", 0.3)
    opened = open_deps(replace(deps.settings, database_url="postgresql://shop@127.0.0.1:1/shop"))
    yield Client(opened)
    await close_deps(opened)


async def test_while_postgresql_is_away_an_old_copy_is_shown_as_such(client: Client, cut_off: Client) -> None:
    await show(client)
    fresh = await show(cut_off)
    assert (fresh.status, "warning" in fresh.headers) == (200, False)
    assert await client.handle_event("refresh_products", await rename(client, "Newer")) == 204
    for _ in range(2):
        old = await show(cut_off)
        assert (old.status, old.body["name"]) == (200, "Gooseneck kettle")
        assert old.headers["warning"].startswith("110")
        assert int(old.headers["age"]) >= 0
    assert (await show(cut_off, 3)).status == 503
    assert (await show(client)).body["name"] == "Newer"
    assert (await show(cut_off)).headers.get("warning") is None


async def test_while_redis_is_away_products_come_from_postgresql(deps: Deps) -> None:
    opened = open_deps(replace(deps.settings, redis_url="redis://127.0.0.1:1/0"))
    try:
        answered = await show(Client(opened), 1)
        assert (answered.status, answered.body["sale"]["price"]) == (200, 49.9)
    finally:
        await close_deps(opened)


async def test_what_is_warm_is_not_read_again(client: Client) -> None:
    await client.deps.singleton(ProductCache).warm(["1", "2", "3", "no such product"])
    before = await reads()
    assert [(await show(client, product)).status for product in (1, 2, 3)] == [200] * 3
    assert await reads() == before


async def test_that_there_is_no_such_product_is_read_once_and_known_for_a_short_while(
    client: Client, other: Client, copies: Copies
) -> None:
    before = await reads()
    answers = await asyncio.gather(*(show(client, 999) for _ in range(50)))
    assert {answer.status for answer in answers} == {404}
    assert [(await show(asking, 999)).status for asking in (client, other)] == [404, 404]
    assert await reads() - before == 1
    assert 0 < await client.deps.redis.pttl("product:999") <= UNKNOWN_S * 1000


async def test_a_product_that_is_made_later_is_there_when_its_event_has_come(client: Client, copies: Copies) -> None:
    assert (await show(client, 999)).status == 404
    await client.rows(
        "INSERT INTO products (product_id, sku, name, price_minor) VALUES ('999', 'NEW', 'New', 100) RETURNING 1"
    )
    assert (await show(client, 999)).status == 404
    (event, *_) = await client.log(UPDATED)
    data = json.loads(event.data or b"") | {"productId": "999"}
    extensions = {**event.extensions, "sequence": f"{1:020}", "partitionkey": "999"}
    first = structs.replace(event, subject="999", data=json.dumps(data).encode(), extensions=extensions)
    assert await client.handle_event("refresh_products", first) == 204
    assert (await show(client, 999)).body["name"] == "New"
    assert await copies.put_unknown("999", client.deps.clock.now()) is False


async def test_who_asks_after_the_first_event_is_not_answered_no_such_product(
    client: Client, copies: Copies, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, was_read, may_end = client.deps.singleton(ProductCache), asyncio.Event(), asyncio.Event()
    put = cache._copies.put_unknown

    async def slow(*given: Any) -> bool:
        was_read.set()
        await may_end.wait()
        return await put(*given)

    monkeypatch.setattr(cache._copies, "put_unknown", slow)
    early = asyncio.create_task(show(client, 999))
    await was_read.wait()
    await client.rows(
        "INSERT INTO products (product_id, sku, name, price_minor) VALUES ('999', 'NEW', 'New', 100) RETURNING 1"
    )
    assert await copies.demand("999", 1)
    late = asyncio.create_task(show(client, 999))
    await until(lambda: _has_looked(cache, 2))
    may_end.set()
    assert [(await asked).status for asked in (early, late)] == [404, 200]


async def test_the_hit_ratio_is_measured(client: Client) -> None:
    def counted() -> dict[str, float]:
        text = metrics.exposition()[0].decode()
        lines = [line.split() for line in text.splitlines() if line.startswith("product_cache")]
        return {name: float(value) for name, value in lines}

    await show(client)
    before = counted()
    await asyncio.gather(*(show(client) for _ in range(50)))
    after = counted()
    hits, misses = (f'product_cache_lookups_total{{outcome="{outcome}"}}' for outcome in ("hit", "miss"))
    assert (after[hits] - before[hits], after[misses]) == (50, before[misses])
    assert after["product_cache_hit_ratio"] == pytest.approx(after[hits] / (after[hits] + after[misses]))


async def _history(client: Client) -> list[CloudEvent]:
    for n in range(3):
        await rename(client, f"Kettle {n}")
        made = await client.ask("POST", "/api/v1/products", {"sku": f"S-{n}", "name": f"Thing {n}", "price": n})
        if n:
            await client.ask("DELETE", made.headers["location"], if_match="*")
    return await client.log(UPDATED)


@pytest.mark.parametrize("seed", range(4))
async def test_old_state_and_events_in_any_order_and_twice_are_the_rebuilt_state(client: Client, seed: int) -> None:
    events = await _history(client)
    chance = random.Random(seed)
    shuffled = [*events, *chance.sample(events, len(events) // 2)]
    chance.shuffle(shuffled)
    received = await asyncio.gather(*(client.handle_event("refresh_products", event) for event in shuffled))
    assert set(received) == {204}
    grown = await client.rows(INDEX)
    assert len(grown) == await _count(client)
    await client.rows("UPDATE product_search SET name = 'wrong', sequence = 99 RETURNING 1")
    await client.deps.redis.set("product:2", "9 9 0 {}")
    assert await rebuild.catalogue(client.deps, lambda output: None) >= len(events)
    assert await client.rows(INDEX) == grown
    assert (await show(client)).body["name"] == "Kettle 2"


async def _count(client: Client) -> Any:
    return (await client.row("SELECT count(*) FROM products"))[0]


@pytest.mark.parametrize("data", [b"", b"{", b"{}", b'{"productId": 1}'])
async def test_data_that_breaks_the_contract_is_a_dead_letter_at_once(client: Client, data: bytes) -> None:
    event = (await client.log(UPDATED))[0]
    assert await client.handle_event("refresh_products", structs.replace(event, data=data)) == 400


async def test_a_copy_is_read_again_when_it_has_its_age(client: Client) -> None:
    await show(client)
    await client.rows("UPDATE products SET name = 'Told by nobody' WHERE product_id = '2' RETURNING 1")
    now = client.deps.clock.now()
    aged = now.replace(year=now.year + 1)
    client.deps.clock.now = lambda: aged  # type: ignore[method-assign]
    assert (await until(lambda: show(client))).body["name"] == "Told by nobody"
