"""orders: lists a caller's own orders, page by page, from the projection orders_by_customer."""

import pytest

from tests.client import Client
from tests.functions.conftest import Strict


async def bought(client: Client, user: int, count: int) -> list[str]:
    """Place orders; return the ids of those in the projection, newest first."""
    ids = [(await client.buy(user=user, product=2)).body["orderId"] for _ in range(count)]
    for event in await client.log():
        if event.type in client.operations["project_orders"].events:
            await client.handle_event("project_orders", event)
    return ids[::-1]


async def pages(client: Client, limit: int, **who: str) -> list[list[str]]:
    found, cursor = [], ""
    while True:
        page = (await client.ask("GET", f"/api/v1/orders?limit={limit}{cursor}", **who)).body
        found.append([order["orderId"] for order in page["orders"]])
        if "next" not in page:
            return found
        cursor = f"&cursor={page['next']}"


@pytest.mark.parametrize(("limit", "sizes"), [(2, [2, 2, 1]), (5, [5]), (4, [4, 1]), (100, [5])])
async def test_pages_hold_every_order_once_newest_first(
    client: Client, strict: Strict, limit: int, sizes: list[int]
) -> None:
    ids = await bought(client, 7, 5)
    await bought(client, 8, 2)
    found = await pages(strict, limit, **strict.as_buyer("7"))
    assert [len(page) for page in found] == sizes
    assert [order_id for page in found for order_id in page] == ids


async def test_an_order_made_while_one_reads_shifts_no_page(client: Client, strict: Strict) -> None:
    ids, me = await bought(client, 7, 4), strict.as_buyer("7")
    first = (await strict.ask("GET", "/api/v1/orders?limit=2", **me)).body
    await bought(client, 7, 1)
    second = (await strict.ask("GET", f"/api/v1/orders?limit=2&cursor={first['next']}", **me)).body
    assert [order["orderId"] for order in first["orders"] + second["orders"]] == ids


async def test_they_are_the_caller_s_own(client: Client, strict: Strict) -> None:
    await bought(client, 7, 2)
    assert (await strict.ask("GET", "/api/v1/orders")).status == 401
    assert (await strict.ask("GET", "/api/v1/orders?userId=7")).status == 401
    assert (await strict.ask("GET", "/api/v1/orders?userId=7", **strict.as_buyer("8"))).status == 403
    assert (await strict.ask("GET", "/api/v1/orders", **strict.as_buyer("8"))).body == {"orders": []}


async def test_another_s_cursor_shows_nothing_of_theirs(client: Client, strict: Strict) -> None:
    other = (await bought(client, 8, 2))[0]
    answered = await strict.ask("GET", f"/api/v1/orders?cursor={other}", **strict.as_buyer("7"))
    assert (answered.status, answered.body) == (200, {"orders": []})


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "limit=-1", "limit=²", "cursor=7", "cursor=%00"])
async def test_what_is_no_page_is_malformed(strict: Strict, query: str) -> None:
    assert (await strict.ask("GET", f"/api/v1/orders?{query}", **strict.as_buyer("7"))).status == 400
