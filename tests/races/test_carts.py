"""Two workers order whole carts of the same few products at once: all lines of a cart or none, and never too much."""

import asyncio
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import count

import psycopg
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from pulsecart.admin.audit.audit import audit
from pulsecart.admin.demo import GOODS, SALE
from pulsecart.admin.seed import load_catalogue
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.runtime.settings import Settings
from tests.client import Client, until
from tests.races.books import Books

PRODUCTS = ("1", "2", "3", "4")
USERS = count(1)
Cart = dict[str, int]

carts_of_buyers = st.lists(
    st.dictionaries(st.sampled_from(PRODUCTS), st.integers(1, 2), min_size=1, max_size=4), min_size=2, max_size=24
)
units_of_products = st.fixed_dictionaries({product: st.integers(0, 8) for product in PRODUCTS})


async def fill(client: Client, cart: Cart, chance: random.Random) -> str:
    """Create a cart with these lines, added in random order; return its path."""
    path = (await client.ask("POST", "/api/v1/carts")).headers["location"]
    for product in chance.sample(sorted(cart), len(cart)):
        assert (await client.ask("PUT", f"{path}/items/{product}", {"qty": cart[product]})).status == 200
    return str(path)


async def check_out(client: Client, path: str, user: int) -> int:
    """Check the cart out, again after each 503 (the first attempt may still be open); return the final status."""

    async def answered() -> int:
        answer = await client.ask("POST", f"{path}/checkout", {"userId": user}, idempotency_key=f"u{user}")
        again = answer.status == 503 or answer.body.get("type", "").endswith("request-in-flight")
        return 0 if again else answer.status

    status: int = await until(answered, within_s=30)
    return status


async def contest(tills: tuple[Client, Client], wanted: list[Cart], units: Cart, chance: random.Random) -> None:
    """Order all carts at once; check that only whole carts were sold, and as many as the units allow."""
    client = tills[0]
    for product, count_of in units.items():
        await client.restock(product, count_of)
    users = [next(USERS) for _ in wanted]
    paths = [await fill(client, cart, chance) for cart in wanted]
    statuses = await asyncio.gather(
        *(check_out(tills[at % 2], path, user) for at, (path, user) in enumerate(zip(paths, users, strict=True)))
    )
    assert set(statuses) <= {200, 409}
    won = {user: cart for user, cart, status in zip(users, wanted, statuses, strict=True) if status == 200}
    rows = await client.rows(
        "SELECT buyer_id::int, product_id, qty FROM orders JOIN order_items USING (order_id)"
        " WHERE buyer_id::int = ANY(%s)",
        users,
    )
    sold: dict[int, Cart] = {}
    for user, product, qty in rows:
        sold.setdefault(user, {})[product] = qty
    assert sold == won, "all lines or none"
    left = dict(await client.rows("SELECT product_id, available FROM stock WHERE product_id = ANY(%s)", list(PRODUCTS)))
    taken = sum((Counter(cart) for cart in won.values()), Counter())
    assert left == {product: units[product] - taken[product] for product in PRODUCTS}
    lost = [cart for cart, status in zip(wanted, statuses, strict=True) if status == 409]
    assert not [cart for cart in lost if all(qty <= left[p] for p, qty in cart.items())], "undersold"
    await Books(client).balance()


@pytest.mark.timeout(240)
@examples(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(wanted=carts_of_buyers, units=units_of_products, seed=st.integers(0, 99))
def test_carts_ordered_at_once_are_whole_and_never_more_than_there_is(
    shop: Settings, wanted: list[Cart], units: Cart, seed: int
) -> None:
    async def play() -> None:
        opened = (await _open(shop), await _open(shop))
        try:
            await contest((Client(opened[0]), Client(opened[1])), wanted, units, random.Random(seed))
        finally:
            for deps in opened:
                await close_deps(deps)

    asyncio.run(play())


async def _open(settings: Settings) -> Deps:
    from dataclasses import replace

    return open_deps(replace(settings, accept_unsigned_buyers=True))


@pytest.fixture
def shop(request: pytest.FixtureRequest) -> Settings:
    opened: Settings = request.getfixturevalue("settings")
    asyncio.run(load_catalogue(opened.database_url, GOODS, SALE, datetime.now(UTC) - timedelta(minutes=1)))
    return opened


@pytest.mark.timeout(240)
async def test_two_hundred_carts_with_purchases_and_cancels_between_them_never_deadlock(
    client: Client, other: Client, books: Books, database_url: str
) -> None:
    """Carts have their products in any order: without sorted locks, PostgreSQL aborts a transaction."""
    for product in PRODUCTS:
        await client.restock(product, 150)
    await client.rows("UPDATE stock SET buyer_limit = 0 RETURNING 1")
    chance, tills = random.Random(5), (client, other)
    wanted = [{p: chance.randint(1, 2) for p in chance.sample(PRODUCTS, chance.randint(2, 4))} for _ in range(200)]
    paths = [await fill(client, cart, chance) for cart in wanted]
    buying = [tills[at % 2].buy(product=PRODUCTS[at % 4], user=5000 + at) for at in range(100)]
    ordering = [_order_and_think_again(tills[at % 2], path, 1000 + at) for at, path in enumerate(paths)]
    await asyncio.gather(*ordering, *buying)
    await books.balance()
    for till in tills:
        await close_deps(till.deps)
    with psycopg.connect(database_url, autocommit=True) as connection:
        found = connection.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")
        assert found.fetchone() == (0,)
    broken = {finding.check for finding in audit(database_url).findings}
    assert broken <= {"endings"}, broken  # no events are delivered here


async def _order_and_think_again(client: Client, path: str, user: int) -> None:
    if await check_out(client, path, user) == 200 and user % 3 == 0:
        (order_id,) = await client.row("SELECT order_id::text FROM orders WHERE buyer_id = %s", str(user))

        async def canceled() -> bool:
            return (await client.ask("POST", f"/api/v1/orders/{order_id}/cancel")).status == 200

        await until(canceled, within_s=30)
