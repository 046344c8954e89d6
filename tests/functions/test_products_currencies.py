"""Every currency of ISO 4217 has its own digits, wherever an amount is read, stored, compared or shown."""

import re
import subprocess
import sys
from itertools import product
from string import ascii_uppercase
from typing import Any

import pytest
from psycopg.errors import CheckViolation

from pulsecart.edge.web.pages import FILES
from pulsecart.shop.audit.db.questions import read, snapshot
from pulsecart.shop.audit.verdict import Books
from pulsecart.shop.currencies import DIGITS
from pulsecart.shop.money import PRICE_MINOR_MAX, decimal_amount
from tests.client import Answered, Client
from tests.functions.money import deliver_all
from tests.functions.test_products import TEA


async def make(client: Client, price: Any, currency: str, **members: Any) -> Answered:
    sku = f"S-{currency.strip() or '-'}-{price}"
    sku = re.sub(r"[^A-Za-z0-9.-]", "-", sku)
    return await client.ask(
        "POST", "/api/v1/products", TEA | {"sku": sku, "price": price, "currency": currency} | members
    )


def kind(answered: Answered) -> str:
    return str(answered.body["type"]).rpartition("/")[2]


def test_the_code_has_what_the_maintained_list_has() -> None:
    asked = subprocess.run(
        [sys.executable, "-m", "tools.currencies", "--check"], capture_output=True, text=True, check=False
    )
    assert (asked.returncode, asked.stderr) == (0, "")


async def test_the_database_has_what_the_code_has(client: Client) -> None:
    codes = [*map("".join, product(ascii_uppercase, repeat=3)), "usd", ""]
    assert set(DIGITS) < set(codes)
    found = await client.rows("SELECT code, minor_units(code) FROM unnest(%s::text[]) AS code", codes)
    assert dict(found) == {code: DIGITS.get(code) for code in codes}


def test_the_page_has_what_the_code_has() -> None:
    named = dict(re.findall(r"([A-Z]{3}): (\d)", (FILES / "currencies.js").read_text()))
    assert {code: int(digits) for code, digits in named.items()} == {c: d for c, d in DIGITS.items() if d != 2}


async def test_a_fraction_that_the_currency_has_not_is_refused(client: Client) -> None:
    for price, currency in (
        (10.55, "VND"), (0.5, "CLP"), (1.1, "XOF"), (1.1255, "JOD"), (0.0001, "TND"), (1.00005, "CLF"), (12.345, "USD"),
    ):  # fmt: skip
        refused = await make(client, price, currency)
        assert (refused.status, kind(refused)) == (400, "amount-not-exact"), currency


async def test_what_is_no_currency_in_use_is_refused_in_a_body_and_in_a_query(client: Client) -> None:
    for currency in ("ZZZ", "XAU", "XAG", "XXX", "XTS", "XDR", "DEM", "FRF", "HRK", "ANG", "usd", "US", "USDX"):
        assert (await make(client, 5, currency)).status == 400, currency
        listed = await client.ask("GET", f"/api/v1/products?currency={currency}")
        assert (listed.status, kind(listed)) == (400, "currency-malformed")
    for currency in ("", "ＵＳＤ", "USD\n", "U\0D"):
        assert (await make(client, 5, currency)).status == 400, currency


async def test_the_database_refuses_an_invented_currency_from_every_writer(client: Client) -> None:
    for currency in ("ZZZ", "XAU", "XXX"):
        with pytest.raises(CheckViolation):
            await client.rows(f"UPDATE products SET currency = '{currency}' WHERE product_id = '1' RETURNING 1")


@pytest.mark.parametrize(
    ("price", "sale_price", "currency"),
    [
        (25000, 19000, "VND"),
        (10.55, 9.99, "EUR"),
        (1.125, 1.005, "JOD"),
        (3.375, 0.001, "IQD"),
        (1.2345, 0.0001, "UYW"),
        (37.0001, 36.9999, "CLF"),
    ],
)
async def test_a_price_is_listed_expected_charged_and_reported_alike(
    client: Client, price: float, sale_price: float, currency: str
) -> None:
    product = (await make(client, price, currency)).body["productId"]
    await client.ask("POST", f"/api/v1/sync/stock/init/{product}?stock=10")
    wrong = await client.ask(
        "POST", "/api/v1/sync/purchase", {"productId": product, "userId": 7, "expectedPrice": price + 1}
    )
    assert (wrong.status, kind(wrong), wrong.body["price"], wrong.body["currency"]) == (
        409,
        "price-changed",
        price,
        currency,
    )
    wish = {"productId": product, "userId": 7, "quantity": 3, "expectedPrice": wrong.body["price"]}
    bought = await client.ask("POST", "/api/v1/sync/purchase", wish)
    total = decimal_amount(3 * round(price * 10 ** DIGITS[currency]), currency)
    assert (bought.status, bought.body["totalAmount"], bought.body["currency"]) == (200, total, currency)
    await deliver_all(client)
    charged = await client.rows("SELECT amount_minor, currency FROM simulated_gateway.charges")
    assert charged == [(3 * round(price * 10 ** DIGITS[currency]), currency)]
    sale = {"productId": product, "price": sale_price, "endsAt": "2100-01-01T00:00:00Z"}
    assert (await client.ask("POST", "/api/v1/flash-sales", sale)).body["price"] == sale_price
    listed = await client.ask("GET", f"/api/v1/products?currency={currency}&priceMin={price}&priceMax={price}")
    assert [one["sale"]["price"] for one in listed.body["products"]] == [sale_price]
    assert _breaches(client) == []


async def test_a_price_that_the_dearest_order_could_not_say_exactly_is_refused(client: Client) -> None:
    for currency, digits in (("VND", 0), ("USD", 2), ("KWD", 3), ("CLF", 4)):
        most = min(PRICE_MINOR_MAX / 10**digits, 10**9)
        assert (await make(client, most, currency)).status == 201
        assert (await make(client, most + 1, currency)).status == 400


async def test_a_cart_accepts_no_price_that_its_currency_cannot_have(client: Client) -> None:
    product = (await make(client, 300, "VUV")).body["productId"]
    await client.ask("POST", f"/api/v1/sync/stock/init/{product}?stock=10")
    cart = (await client.ask("POST", "/api/v1/carts", {"userId": 7})).body["cartId"]
    await client.ask("PUT", f"/api/v1/carts/{cart}/items/{product}", {"qty": 1, "userId": 7})
    body = {"userId": 7, "accept": [{"productId": product, "price": 300.2}]}
    refused = await client.ask("POST", f"/api/v1/carts/{cart}/checkout", body, idempotency_key="one")
    assert (refused.status, kind(refused)) == (400, "amount-not-exact")


def _breaches(client: Client) -> list[str]:
    with snapshot(client.deps.settings.database_url) as connection:
        books: Books = read(connection, grace_s=0)
    return [finding.check for finding in books.findings]
