"""products: text of every script can be stored, searched, filtered, sorted, and paged through to the end."""

import re
import unicodedata
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from functions.products.bodies import CATEGORY_MAX, NAME_MAX
from functions.products.query import CURSOR_MAX, cursor_of, wanted_of
from pulsecart.shop.catalogue.db.listing import Listed
from pulsecart.shop.catalogue.db.words import Term, alternatives_of
from tests.client import Client
from tests.functions.test_products import made
from tests.functions.test_products_pages import handle_updates, names
from tools.openapi.document import document

# What has made trouble elsewhere: four bytes a character, joiners, marks, letters whose case is special, signs of SQL.
HARD = "𠮷𩸽😀👩\u200d💻می\u200cخواهمÅßẞİıΣςǅﬁ１ｱ有机绿茶ไทยน้ำहिन्दी녹차\u00a0\u3000\u2028%_'\"\\;-&|!():*<>aZ09é"
some_names = st.text(
    st.sampled_from(HARD) | st.characters(exclude_categories=("Cc", "Cs")), min_size=1, max_size=NAME_MAX
).filter(lambda name: bool(name.strip()) and not re.fullmatch(r"\s*", name))


async def insert(client: Client, **rows: dict[str, str]) -> None:
    """Insert products without a request; ``rows`` by id."""
    for product_id, row in rows.items():
        members = {"description": "", "category": ""} | row
        await client.rows(
            "WITH p AS (INSERT INTO products (product_id, sku, name, category, description, price_minor)"
            " VALUES (%s, %s, %s, %s, %s, 100) RETURNING *)"
            " INSERT INTO product_search (product_id, sequence, deleted, sku, name, category, description)"
            " SELECT product_id, 1, false, sku, name, category, description FROM p RETURNING 1",
            product_id, product_id, members["name"], members["category"], members["description"],
        )  # fmt: skip


async def found(client: Client, q: str) -> list[str]:
    return await names(client, f"q={quote(q)}")


BAND = [
    "The Who",
    "The The",
    "Who's Next",
    "To Be or Not",
    "AC/DC",
    "Éclair au café",
    "ОДЕССА чай",
    "ΟΔΥΣΣΕΥΣ",
    "STRASSENLAMPE",
]
TEAS = ["有机绿茶 礼盒", "日本　抹茶ラテ", "ﾐﾙｸﾃｨｰ", "ชาเขียวไทย", "می\u200cخواهم", "हिन्दी किताब", "제주 녹차를", "茶"]
SIGNS = [
    "50% off_sale",
    "back\\slash",
    'the "quoted" one',
    "it's 'single'",
    "C++ primer",
    "★ star ★",
    "👟 runner",
    "👩\u200d💻 desk",
    "~",
    "100 %",
]


async def test_every_name_is_found_by_its_words_whatever_script_and_case_they_have(client: Client) -> None:
    await insert(client, **{f"n{at}": {"name": name} for at, name in enumerate([*BAND, *TEAS, *SIGNS])})
    for q, name in {
        "the who": "The Who", "THE": "The The", "who": "The Who", "who's": "Who's Next", "not to be": "To Be or Not",
        "ac/dc": "AC/DC", "dc": "AC/DC", "ÉCLAIR": "Éclair au café", "cafe\u0301": "Éclair au café",
        "одесса": "ОДЕССА чай",
        "ЧАЙ": "ОДЕССА чай", "οδυσσευς": "ΟΔΥΣΣΕΥΣ", "Straßenlampe": "STRASSENLAMPE", "ｅｃｌａｉｒ": None,
    }.items():  # fmt: skip
        assert (name in await found(client, q)) == (name is not None), q
    for q, name in {
        "绿茶": TEAS[0], "机绿茶": TEAS[0], "礼盒": TEAS[0], "有机 礼盒": TEAS[0], "抹茶": TEAS[1], "ラテ": TEAS[1],
        "日本": TEAS[1], "ミルクティー": TEAS[2], "ﾃｨｰ": TEAS[2], "เขียว": TEAS[3], "ไทย": TEAS[3], "میخواهم": TEAS[4],
        "می\u200cخواهم": TEAS[4], "हिन्दी": TEAS[5], "किताब": TEAS[5], "녹차": TEAS[6], "차": TEAS[6], "茶": TEAS[7],
    }.items():  # fmt: skip
        assert name in await found(client, q), q
    assert set(await found(client, "茶")) >= {TEAS[0], TEAS[1], TEAS[7]}
    assert TEAS[0] not in await found(client, "茶绿")
    for name in SIGNS:
        for q in {name, *name.split()}:
            assert name in await found(client, f'"{q}"' if q.startswith("-") else q), q
    for sign in ("%", "_", "\\", "'", "★", "👟", "👩\u200d💻", "~", '"'):
        ours = {name for name in await found(client, sign) if name in (*BAND, *TEAS, *SIGNS)}
        assert ours == {name for name in (*BAND, *TEAS, *SIGNS) if sign in name}, sign


async def test_a_search_leaves_out_what_it_is_asked_to(client: Client) -> None:
    teas = {"a": "绿茶 bags", "b": "绿茶 loose", "c": "Lamp light", "d": "Lamp oil"}
    await insert(client, **{key: {"name": name} for key, name in teas.items()})
    assert await found(client, "绿茶 -bag") == ["绿茶 loose"]
    assert set(await found(client, "bag or oil")) >= {"绿茶 bags", "Lamp oil"}
    assert "Lamp light" not in await found(client, "lamp -lights")
    assert await found(client, 'loose -"绿茶"') == []
    assert "Lamp oil" in await found(client, "the oil for a lamp"), "English's stop words are in no one's way"


@pytest.mark.parametrize(
    ("typed", "terms"),
    [
        ('tea "green leaf" -bag', [["tea", "green leaf", "-bag"]]),
        ("tea OR coffee -milk", [["tea"], ["coffee", "-milk"]]),
        ("or", [["or"]]), ("or tea or", [["or", "tea", "or"]]),
        ('"open', [["open"]]), ('"', [['"']]), ("-", [["-"]]), ('""', [['""']]),
    ],
)  # fmt: skip
def test_the_search_box_is_read_as_search_boxes_are(typed: str, terms: list[list[str]]) -> None:
    expected = [
        [Term(one.removeprefix("-"), True) if len(one) > 1 and one[0] == "-" else Term(one, False) for one in all_of]
        for all_of in terms
    ]
    assert alternatives_of(typed) == expected


@settings(max_examples=12, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(some_names, min_size=3, max_size=12))
async def test_pages_reach_the_end_of_every_catalogue_and_whatever_is_in_it_is_found(
    client: Client, given_names: list[str]
) -> None:
    await client.rows("WITH s AS (DELETE FROM product_search) UPDATE products SET deleted_at = now() RETURNING 1")
    await client.rows("DELETE FROM product_search WHERE true RETURNING 1")
    await client.rows("DELETE FROM products p WHERE product_id LIKE 'g%%' RETURNING 1")
    await insert(
        client, **{f"g{at}": {"name": name, "category": name[:CATEGORY_MAX]} for at, name in enumerate(given_names)}
    )
    for sort in ("name", "-name"):
        listed: list[str] = []
        cursor = ""
        while True:
            answered = await client.ask("GET", f"/api/v1/products?sort={sort}&limit=2{cursor}")
            assert answered.status == 200, answered
            listed += [product["name"] for product in answered.body["products"]]
            if "next" not in answered.body:
                break
            cursor = f"&cursor={answered.body['next']}"
        assert sorted(listed) == sorted(given_names)
    for name in given_names:
        category = name[:CATEGORY_MAX]
        assert name in await names(client, f"category={quote(category)}"), ascii(category)
        for word in _words(name):
            assert name in await found(client, f'"{word}"'), (ascii(word), ascii(name))


def _words(name: str) -> list[str]:
    """Return the text as a user types it: its parts between spaces, without quotes, which have another meaning."""
    return [
        word for word in re.split(r'[\s"]+', name)[:3] if word and any(unicodedata.category(c)[0] in "LN" for c in word)
    ]


async def test_names_sort_by_the_code_points_of_their_lower_case(client: Client) -> None:
    given_names = ["éclair", "Zebra", "apple", "Éclat", "ångström", "Banana", "茶", "𠮷", "\uff5e", "ÖL", "zoo"]
    await insert(client, **{f"s{at}": {"name": name, "category": "sorted"} for at, name in enumerate(given_names)})
    assert await names(client, "category=sorted&sort=name") == sorted(given_names, key=str.lower)
    assert await names(client, "category=sorted&sort=-name") == sorted(given_names, key=str.lower, reverse=True)


async def test_joiners_and_wide_spaces_are_text_and_control_characters_are_not(client: Client) -> None:
    for text in ("می\u200cخواهم", "👩\u200d💻", "a\u00a0b", "日本　茶", "\u2028x", "e\u0301", "\ufeffx", "\U0001f9d1"):
        await made(client, sku=f"T-{ord(text[0])}", name=text, category=text, description=text)
        assert await names(client, f"category={quote(text)}") == [text]
        assert (await client.ask("GET", f"/api/v1/products?q={quote(text)}")).status == 200
    await handle_updates(client)
    for text in ("a\0b", "a\x07b", "a\x7fb", "a\x85b", "a\x9bb", "\x1b[2J"):
        for where in ("name", "category", "description"):
            refused = await client.ask("POST", "/api/v1/products", {"sku": "X", "name": "x", "price": 1, where: text})
            assert refused.status == 400, (where, ascii(text))
        for where in ("q", "category"):
            assert (await client.ask("GET", f"/api/v1/products?{where}={quote(text)}")).status == 400, ascii(text)
    for blank in ("\u3000", "\u00a0 ", " "):
        assert (await client.ask("POST", "/api/v1/products", {"sku": "X", "name": blank, "price": 1})).status == 400


def test_the_longest_cursor_fits_its_bound_and_the_bound_is_described() -> None:
    described = document()["components"]["parameters"]["page-cursor"]["schema"]["anyOf"][0]["maxLength"]
    assert described == CURSOR_MAX
    for letter in ("\U00020bb7", '"', "\\", "Ⱥ"):
        last: Any = type("P", (), {"product_id": "x" * 64})
        cursor = cursor_of(Listed(last, None, None, (letter * NAME_MAX).lower()), "sort=-name")
        assert wanted_of(f"sort=-name&cursor={cursor}").after == ((letter * NAME_MAX).lower(), "x" * 64)


async def test_every_number_in_a_query_is_refused_by_the_same_rule(client: Client) -> None:
    paths = (
        "/api/v1/products?limit={}", "/api/v1/orders?userId=7&limit={}",
        "/api/v1/products?priceMin={}", "/api/v1/products?priceMax={}",
    )  # fmt: skip
    for number in ("000000001000", "9" * 4301, "٣", "１", "1_0", "+1", "0x1", "1%0A", "%201", "-1", "1e400", "²"):
        for path in paths:
            answered = await client.ask("GET", path.format(number if number.isascii() else quote(number)))
            assert answered.status == 400, (path, number[:20])
        for path in ("/api/v1/sync/stock/1/reset", "/api/v1/sync/stock/init/1"):
            method = "PUT" if "reset" in path else "POST"
            assert (await client.ask(method, f"{path}?stock={quote(number, safe='%')}")).status == 400, number[:20]
    assert (
        await client.ask("GET", f"/api/v1/products/1/price?at=2026-11-27T08:00:00.{'0' * 40}%2B05:00")
    ).status == 400
