"""orders: events write order_status:{id}, the last one removes it, and requests only read it (seed 002 §7)."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pulsecart.runtime.deps import close_deps, open_deps
from tests.client import Client
from tests.functions.conftest import Strict

ORDER = "ecommerce.order.order."


async def tell(client: Client, *names: str) -> None:
    """Deliver the order events of these names to notify, as often as the log has them."""
    for name in names:
        for event in await client.log(f"{ORDER}{name}.v1"):
            assert await client.handle_event("notify", event) == 204


async def cached(client: Client) -> list[str]:
    return [key.decode() async for key in client.deps.redis.scan_iter("order_status:*")]


async def status(client: Client, order_id: str) -> tuple[str, int, str]:
    """Return status and sequence as shown, and their source."""
    answered = await client.ask("GET", f"/api/v1/orders/{order_id}/status")
    assert answered.status == 200
    assert set(answered.body) <= {"orderId", "status", "sequence", "at"}
    return answered.body["status"], answered.body["sequence"], answered.headers["cache-status"].partition("; ")[2]


async def test_an_event_writes_the_status_and_a_request_reads_it(client: Client) -> None:
    order_id = (await client.buy()).body["orderId"]
    await tell(client, "created", "confirmed")
    await client.rows("UPDATE orders SET status = 'PAID' RETURNING 1")  # what PostgreSQL says is not asked
    assert await status(client, order_id) == ("CONFIRMED", 2, "hit")


async def test_a_request_never_writes_it(client: Client) -> None:
    order_id = (await client.buy()).body["orderId"]
    for path in ("", "/status", "/status"):
        assert (await client.ask("GET", f"/api/v1/orders/{order_id}{path}")).status == 200
    assert await status(client, order_id) == ("CONFIRMED", 2, "fwd=miss")
    assert await cached(client) == []


@pytest.mark.parametrize("ending", ["fulfilled", "canceled"])
async def test_its_end_removes_it(client: Client, ending: str) -> None:
    order_id = (await client.buy()).body["orderId"]
    await tell(client, "created", "confirmed")
    assert await cached(client) == [f"order_status:{order_id}"]
    if ending == "canceled":
        await client.ask("POST", f"/api/v1/orders/{order_id}/cancel")
    else:
        await client.ask("POST", f"/api/v1/orders/{order_id}/pay")
        await tell(client, "paid")
        assert await status(client, order_id) == ("PAID", 3, "hit")
        for event in await client.log(f"{ORDER}paid.v1"):
            await client.handle_event("fulfil", event)
    await tell(client, ending)
    assert await cached(client) == []
    assert (await status(client, order_id))[::2] == (ending.upper(), "fwd=miss")


async def test_what_comes_twice_or_late_changes_nothing(client: Client) -> None:
    order_id = (await client.buy()).body["orderId"]
    await tell(client, "confirmed", "created", "confirmed")
    assert await status(client, order_id) == ("CONFIRMED", 2, "hit")
    await client.ask("POST", f"/api/v1/orders/{order_id}/cancel")
    await tell(client, "canceled", "confirmed", "created", "canceled")
    assert await cached(client) == []


async def test_what_comes_after_its_stream_was_forgotten_is_not_remembered(client: Client) -> None:
    await client.buy()
    (event,) = await client.log(f"{ORDER}confirmed.v1")
    assert event.time is not None
    assert await client.handle_event("notify", replace_time(event, -timedelta(minutes=5))) == 204
    assert await cached(client) == []
    assert await client.deps.redis.exists(f"news:order:{event.subject}") == 1


def replace_time(event: Any, by: timedelta) -> Any:
    from msgspec.structs import replace as changed

    return changed(event, time=event.time + by)


async def test_without_redis_postgresql_answers(client: Client) -> None:
    order_id = (await client.buy()).body["orderId"]
    away = open_deps(replace(client.deps.settings, redis_url="redis://127.0.0.1:1/0"))
    assert await status(Client(away), order_id) == ("CONFIRMED", 2, "fwd=miss")
    await close_deps(away)


async def test_a_cached_status_is_its_owner_s_alone_too(client: Client, strict: Strict) -> None:
    order_id = (await client.buy(user=7)).body["orderId"]
    path = f"/api/v1/orders/{order_id}/status"
    for _ in range(2):
        assert (await strict.ask("GET", path)).status == 401
        assert (await strict.ask("GET", path, **strict.as_buyer("8"))).status == 403
        assert (await strict.ask("GET", path, **strict.as_buyer("7"))).status == 200
        await tell(client, "created", "confirmed")
    assert (await strict.ask("GET", path, **strict.as_buyer("7"))).headers["cache-status"].endswith("hit")


async def test_an_order_that_is_not_there_has_no_status(client: Client) -> None:
    for order_id in ("0192f000-0000-7000-8000-000000000000", "7", "é" * 36):
        assert (await client.ask("GET", f"/api/v1/orders/{order_id}/status")).status == 404
