"""Parses the query of a catalogue page, and encodes the cursor for the next page."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime

import msgspec

from functions.products.bodies import CATEGORY_MAX, NAME_MAX
from pulsecart.runtime.moment import is_kept
from pulsecart.runtime.problem import Malformed
from pulsecart.runtime.text import BYTES_MAX, is_text
from pulsecart.serving.bodies import ID_MAX
from pulsecart.serving.query import cursor_malformed, decimal, page_limit, parameters, parse_integer
from pulsecart.shop.catalogue.db.listing import KEYS, Listed, Place, Wanted
from pulsecart.shop.money import check_currency, exact_minor

LIMIT, LIMIT_MAX = 20, 100
WORDS_MAX = 200
PRICE_MAX = 10**9
# In ASCII characters: base64 turns three bytes of the position into four. The position is JSON of the sort's name, a
# product's id and the sort key; the longest key is a name in lower case, with as many characters as the name.
CURSOR_MAX = 4 * (BYTES_MAX * NAME_MAX + ID_MAX + 64) // 3
CURRENCY = "USD"
SORTS = ", ".join(f"{name}, -{name}" for name in KEYS)


def wanted_of(query: str) -> Wanted:
    """
    ``q``, ``category``, ``priceMin``, ``priceMax``, ``currency``, ``available``, ``sort``, ``limit``, ``cursor``.

    Raises:
        Malformed: a parameter has an invalid value.
    """
    given = parameters(query)
    words = (_text(given, "q", WORDS_MAX) or "").strip()
    sort, descending = _sort(given.get("sort") or ("-relevance" if words else "created"))
    if sort == "relevance" and not words:
        raise Malformed("sort-malformed", "sort=relevance needs search words in q=.")
    compares_prices = sort == "price" or "priceMin" in given or "priceMax" in given
    currency = given.get("currency") or (CURRENCY if compares_prices else None)
    if currency is not None:
        check_currency(currency)
    return Wanted(
        words=words,
        category=_text(given, "category", CATEGORY_MAX),
        currency=currency,
        price_min=_price(given, "priceMin", currency or CURRENCY),
        price_max=_price(given, "priceMax", currency or CURRENCY),
        available=_yes_or_no(given, "available"),
        sort=sort,
        descending=descending,
        after=_after(given.get("cursor"), given.get("sort", ""), KEYS[sort][1]),
        limit=page_limit(given, LIMIT_MAX, LIMIT),
    )


def cursor_of(last: Listed, query: str) -> str:
    """Encode the position after ``last``; the cursor is valid only with the same sort."""
    sort = parameters(query).get("sort", "")
    place = msgspec.json.encode((sort, last.key, last.product.product_id))
    return urlsafe_b64encode(place).decode().rstrip("=")


def _after(cursor: str | None, sort: str, kind: str) -> tuple[Place, str] | None:
    if not cursor:
        return None
    try:
        if len(cursor) > CURSOR_MAX:
            raise ValueError(len(cursor))
        padded = cursor + "=" * (-len(cursor) % 4)
        of_sort, key, product_id = msgspec.json.decode(urlsafe_b64decode(padded), type=tuple[str, str, str])
        place = _place(key, product_id, kind)
    except (ValueError, msgspec.DecodeError):
        raise cursor_malformed() from None
    if of_sort != sort:
        raise Malformed("cursor-malformed", "This cursor belongs to another sort=. Start again without cursor=.")
    return place, product_id


def _place(key: str, product_id: str, kind: str) -> Place:
    """
    Convert a cursor's sort key to the type that PostgreSQL compares.

    Args:
        kind: PostgreSQL's name of the type, from KEYS.

    Raises:
        ValueError: no row can have this key or this id.
    """
    place: Place = key
    if kind == "bigint":
        number = parse_integer(key, 2**63 - 1)
        if number is None:
            raise ValueError(key)
        place = number
    elif kind == "float8":
        rank = decimal(key, float("inf"))
        if rank is None:
            raise ValueError(key)
        place = rank
    elif kind == "timestamptz":
        place = datetime.fromisoformat(key)
    if "\0" in key + product_id or not _is_held(place):
        raise ValueError(key)
    return place


def _is_held(place: Place) -> bool:
    """Whether a column can store the value."""
    if isinstance(place, datetime):
        return is_kept(place)
    return isinstance(place, str) or abs(place) < 2**63  # False for NaN


def _sort(given: str) -> tuple[str, bool]:
    name = given.removeprefix("-")
    if name not in KEYS:
        raise Malformed("sort-malformed", f"sort= must be one of {SORTS}.")
    return name, given.startswith("-")


def _text(given: dict[str, str], name: str, most: int) -> str | None:
    text = given.get(name)
    if text is not None and not is_text(text, most):
        raise Malformed("query-malformed", f"{name}= must have at most {most} characters and no control characters.")
    return text


def _price(given: dict[str, str], name: str, currency: str) -> int | None:
    if name not in given:
        return None
    price = decimal(given[name], PRICE_MAX)
    if price is None:
        raise Malformed("price-malformed", f"{name}= must be a decimal amount from 0 to {PRICE_MAX}, e.g. 26.50.")
    return exact_minor(price, currency, name)


def _yes_or_no(given: dict[str, str], name: str) -> bool | None:
    if name not in given:
        return None
    if given[name] not in ("true", "false"):
        raise Malformed("query-malformed", f"{name}= must be true or false.")
    return given[name] == "true"
