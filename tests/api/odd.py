"""Defines Hypothesis strategies for unusual text in all places where a client can send text."""

import json
from typing import Any, NamedTuple
from urllib.parse import quote

from hypothesis import strategies as st

from pulsecart.shop.catalogue.events import ProductUpdated
from pulsecart.shop.inventory.events import StockAdjusted
from pulsecart.shop.orders.events import OrderCreated, OrderPaid

AN_ID = "0199f3a2-7c41-7b02-9d1e-5f0c8a6b1e77"
PATHS = (
    "/{}",
    "/api/v1/products/{}",
    "/api/v1/products/{}/price?at={}",
    "/api/v1/products?q={}&category={}",
    "/api/v1/products?cursor={}",
    "/api/v1/products?limit={}&sort={}&currency={}",
    "/api/v1/products?priceMin={}&priceMax={}&available={}",
    "/api/v1/sync/stock/{}",
    "/api/v1/inventory/{}",
    "/api/v1/orders/{}",
    "/api/v1/orders/{}/status",
    "/api/v1/orders/{}/passport",
    "/api/v1/orders?userId={}&cursor={}&limit={}",
    "/api/v1/customers/{}/orders",
    "/api/v1/async/purchase/{}",
    "/api/v1/flash-sales/{}",
    "/api/v1/carts/{}",
    "/sse/stock/{}",
    "/sse/stock/1?last_event_id={}",
    "/sse/flash-sales?last_event_id={}&{}",
    "/sse/orders/{}?ticket={}&last_event_id={}",
    "/orders/{}",
    "/products/{}",
    "/static/{}",
    "/problems/{}",
)
HEADERS = (
    "accept",
    "authorization",
    "content-type",
    "cookie",
    "correlation-id",
    "idempotency-key",
    "if-match",
    "if-none-match",
    "last-event-id",
    "origin",
    "request-timeout",
    "traceparent",
    "x-forwarded-for",
)
ASKED = ("/api/v1/products/1", "/api/v1/orders?userId=7", "/api/v1/carts/mine", "/sse/stock/1")
GOODS = {"sku": "A", "name": "B", "price": 1, "currency": "USD", "description": "", "category": ""}
SALE = {"productId": 2, "price": 1, "endsAt": "2100-01-01T00:00:00Z", "units": 1, "buyerLimit": 1}
BODIES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("POST", "/api/v1/sync/purchase", {"productId": 1, "userId": 7, "quantity": 1, "expectedPrice": 1.5}),
    ("POST", "/api/v1/async/purchase", {"productId": 1, "userId": 7, "quantity": 1}),
    ("POST", "/api/v1/orders", {"userId": 7, "items": [{"productId": 1, "qty": 1, "expectedPrice": 2}]}),
    ("POST", "/api/v1/session", {"userId": 7}),
    ("POST", "/api/v1/carts", {"userId": 7}),
    ("PUT", "/api/v1/carts/mine/items/1", {"qty": 1}),
    ("POST", "/api/v1/products", GOODS),
    ("PUT", "/api/v1/products/2", GOODS),
    ("POST", "/api/v1/flash-sales", SALE),
    ("PUT", "/api/v1/payments/simulator", {"mode": "approve", "share": 1}),
)
CHARACTERS = ["\0", "a\0b", "\x01", "\n", "\x7f", "\x85", "\x9f", "\u2028", "\ufffe", "é", "绿茶", "👩\u200d🚀", "İ"]
DIGITS = ["٣", "²", "१२", "٣" * 32, "-1", "-0", "1_0", "1e999", "NaN", "Infinity", "9" * 19, "9" * 40, "9" * 400]
SYNTAX = ["%", "'", '"', "\\", "../..", "{}", "true", "null", "0" * 30 + "5", AN_ID, f"{{{AN_ID.replace('-', '')}}}"]
PLACES = ["18446744073709551615-1", "12-0", "١-0", "0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00"]
LONG = ["x" * 65, "x" * 256, "é" * 600, "x" * 3000, "茶" * 1000]
NASTY = st.sampled_from([*CHARACTERS, *DIGITS, *SYNTAX, *PLACES, *LONG])
TEXT = NASTY | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
RAW = TEXT.map(lambda text: quote(text, safe="")) | st.binary(max_size=8).map(lambda raw: quote(raw, safe=""))
RAW |= st.just("%ED%A0%80")  # half of a surrogate pair
NUMBERS = st.sampled_from([0, -1, 2**31, 2**53 + 1, 2**63, 2**64, 10**30, 1e300, 0.1, 1e-9, -0.5])
JUNK = TEXT | NUMBERS | st.none() | st.booleans() | st.lists(TEXT, max_size=3) | st.dictionaries(TEXT, TEXT, max_size=2)


class Sent(NamedTuple):
    method: str
    target: str
    headers: tuple[tuple[str, bytes], ...] = ()
    body: bytes = b""


@st.composite
def paths(draw: st.DrawFn) -> Sent:
    pattern = draw(st.sampled_from(PATHS))
    return Sent("GET", pattern.format(*(draw(RAW) for _ in range(pattern.count("{}")))))


@st.composite
def headers(draw: st.DrawFn) -> Sent:
    name = draw(st.sampled_from(HEADERS))
    value = draw(TEXT).encode(errors="replace")
    value = bytes(one for one in value if one in range(0x20, 0x7F) or one > 0x7F).strip()
    before = {"cookie": draw(st.sampled_from([b"pulsecart_session=", b"pulsecart_cart="])), "authorization": b"Bearer "}
    value = before.get(name, b"") + value
    target = draw(
        st.sampled_from(["/api/v1/products/1", "/api/v1/orders?userId=7", "/api/v1/carts/mine", "/sse/stock/1"])
    )
    return Sent("GET", target, ((name, value.strip() or b"x"),))


@st.composite
def bodies(draw: st.DrawFn) -> Sent:
    method, target, good = draw(st.sampled_from(BODIES))
    body = good | {draw(st.sampled_from(sorted(good))): draw(JUNK)}
    if draw(st.booleans()):
        body[draw(TEXT)] = draw(JUNK)
    more = (("if-match", b"*"),) if method == "PUT" else ()
    key = (("idempotency-key", str(draw(st.integers(0, 10**9))).encode()),) if method == "POST" else ()
    return Sent(method, target, (*more, *key), json.dumps(body).encode())


MONEY = {"totalAmount": 1, "currency": "USD"}
DATA: dict[str, dict[str, Any]] = {
    OrderPaid.TYPE: {"orderId": AN_ID, "userId": "7", **MONEY, "paymentId": "p"},
    OrderCreated.TYPE: {
        "orderId": AN_ID,
        "userId": "7",
        **MONEY,
        "status": "CONFIRMED",
        "path": "sync",
        "items": [{"productId": "1", "qty": 1, "price": 1}],
    },
    StockAdjusted.TYPE: {"productId": "x", "delta": 1, "available": 1, "reason": "RESET"},
    ProductUpdated.TYPE: {**GOODS, "productId": "x", "status": "ACTIVE"},
}
ATTRIBUTES = ("id", "source", "type", "subject", "time", "sequence", "partitionkey", "traceparent", "color")


@st.composite
def events(draw: st.DrawFn) -> Sent:
    kind = draw(st.sampled_from(sorted(DATA)))
    data = dict(DATA[kind]) | {draw(st.sampled_from([*DATA[kind], "more"])): draw(JUNK)}
    event: dict[str, Any] = {"specversion": "1.0", "id": "odd", "source": "/odd", "type": kind, "sequence": "1"}
    event[draw(st.sampled_from(ATTRIBUTES))] = draw(TEXT | NUMBERS)
    if draw(st.booleans()):
        body = json.dumps({**event, "datacontenttype": "application/json", "data": data}).encode()
        return Sent("POST", "/broker/default/default", (("content-type", b"application/cloudevents+json"),), body)
    named = tuple((f"ce-{name}", quote(str(value), safe="/").encode()) for name, value in event.items())
    named = (*named, ("content-type", b"application/json"))
    return Sent("POST", "/broker/default/default", named, json.dumps(data).encode())


EVERYTHING = paths() | headers() | bodies() | events()
