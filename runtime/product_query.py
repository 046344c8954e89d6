"""What a page of the catalogue is asked for: the query's parameters, and the cursor that goes on with it."""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime
from urllib.parse import parse_qs

import msgspec

from runtime.bodies import check_currency, exact_minor
from shop.db.listing import KEYS, Listed, Place, Wanted
from shop.moment import is_kept
from shop.problem import Malformed

LIMIT, LIMIT_MAX = 20, 100
TEXT_MAX = 200
CURSOR_MAX = 1000
CURRENCY = "USD"
SORTS = ", ".join(f"{name}, -{name}" for name in KEYS)


def wanted_of(query: str) -> Wanted:
    """
    ``q``, ``category``, ``priceMin``, ``priceMax``, ``currency``, ``available``, ``sort``, ``limit``, ``cursor``.

    Raises:
        Malformed: one of them says nothing that can be done.
    """
    given = {name: values[-1].strip() for name, values in parse_qs(query).items()}
    words = _text(given, "q") or ""
    sort, descending = _sort(given.get("sort") or ("-relevance" if words else "created"))
    if sort == "relevance" and not words:
        raise Malformed("sort-malformed", "sort=relevance needs words to be relevant to: q=.")
    compares_prices = sort == "price" or "priceMin" in given or "priceMax" in given
    currency = given.get("currency") or (CURRENCY if compares_prices else None)
    if currency is not None:
        check_currency(currency)
    return Wanted(
        words=words,
        category=_text(given, "category"),
        currency=currency,
        price_min=_price(given, "priceMin", currency or CURRENCY),
        price_max=_price(given, "priceMax", currency or CURRENCY),
        available=_yes_or_no(given, "available"),
        sort=sort,
        descending=descending,
        after=_after(given.get("cursor"), given.get("sort", ""), KEYS[sort][1]),
        limit=_limit(given.get("limit")),
    )


def cursor_of(last: Listed, query: str) -> str:
    """Where the page after ``last`` begins; it goes on with this sort alone."""
    sort = parse_qs(query).get("sort", [""])[-1].strip()
    place = msgspec.json.encode((sort, last.key, last.product.product_id))
    return urlsafe_b64encode(place).decode().rstrip("=")


def _after(cursor: str | None, sort: str, kind: str) -> tuple[Place, str] | None:
    if not cursor:
        return None
    try:
        padded = cursor[:CURSOR_MAX] + "=" * (-len(cursor[:CURSOR_MAX]) % 4)
        of_sort, key, product_id = msgspec.json.decode(urlsafe_b64decode(padded), type=tuple[str, str, str])
        place = _place(key, product_id, kind)
    except (ValueError, msgspec.DecodeError):
        raise Malformed("cursor-malformed", "cursor= is what the page before gave as its next.") from None
    if of_sort != sort:
        raise Malformed("cursor-malformed", "This cursor goes on with another sort=; begin again without it.")
    return place, product_id


def _place(key: str, product_id: str, kind: str) -> Place:
    """
    The key of a cursor, as PostgreSQL is asked to compare it.

    Args:
        kind: PostgreSQL's name of its type, of KEYS.

    Raises:
        ValueError: no row has this key, or this id.
    """
    place: Place = key
    if kind == "bigint":
        place = int(key)
    elif kind == "float8":
        place = float(key)
    elif kind == "timestamptz":
        place = datetime.fromisoformat(key)
    if "\0" in key + product_id or not _is_held(place):
        raise ValueError(key)
    return place


def _is_held(place: Place) -> bool:
    """Whether a column has room for it."""
    if isinstance(place, datetime):
        return is_kept(place)
    return isinstance(place, str) or abs(place) < 2**63  # NaN is not


def _sort(given: str) -> tuple[str, bool]:
    name = given.removeprefix("-")
    if name not in KEYS:
        raise Malformed("sort-malformed", f"sort= is one of {SORTS}.")
    return name, given.startswith("-")


def _text(given: dict[str, str], name: str) -> str | None:
    text = given.get(name)
    if text is not None and (len(text) > TEXT_MAX or not text.isprintable()):
        raise Malformed("query-malformed", f"{name}= has at most {TEXT_MAX} printable characters.")
    return text


def _price(given: dict[str, str], name: str, currency: str) -> int | None:
    if name not in given:
        return None
    try:
        price = float(given[name])
    except ValueError:
        price = -1
    if not 0 <= price <= 10**9:
        raise Malformed("price-malformed", f"{name}= is a decimal amount, 0 or more.")
    return exact_minor(price, currency, name)


def _yes_or_no(given: dict[str, str], name: str) -> bool | None:
    if name not in given:
        return None
    if given[name] not in ("true", "false"):
        raise Malformed("query-malformed", f"{name}= is true or false.")
    return given[name] == "true"


def _limit(given: str | None) -> int:
    if given is None:
        return LIMIT
    if not (given.isdecimal() and given.isascii() and len(given) <= 3 and 1 <= int(given) <= LIMIT_MAX):
        raise Malformed("limit-malformed", f"limit= is a whole number from 1 to {LIMIT_MAX}.")
    return int(given)
