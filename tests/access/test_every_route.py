"""Calls every route with every kind of caller, and compares the answers with contracts/http/access.yaml."""

import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, cast

import httpx
import pytest
import yaml
from starlette.routing import Route as StreamRoute
from starlette.routing import WebSocketRoute

from functions.edge.main import edge, edge_app
from pulsecart.local import issuer as dev_issuer
from pulsecart.processes import registry
from pulsecart.processes.host import own
from pulsecart.runtime.contracts import CONTRACTS_DIR
from pulsecart.serving import access
from pulsecart.serving.access import Allow
from pulsecart.serving.replies import EVENTS
from pulsecart.serving.routes import Route
from pulsecart.serving.tokens import issue_session
from pulsecart.shop.pricing.events import FlashSaleEnded
from tests.access.conftest import ServedShop

OPERATIONS = [*registry.load_all().values(), own(cast(Any, None))]  # nothing is dispatched by asking what there is
ROUTES = [route for operation in OPERATIONS for route in operation.routes]
NAMES = [f"{route.method} {route.path}" for route in ROUTES]
PAGE = yaml.safe_load((CONTRACTS_DIR / "http" / "access.yaml").read_text())
WORDS: dict[str, dict[str, Any]] = PAGE["words"]
TABLE: dict[str, str] = {name: word for routes in PAGE["routes"].values() for name, word in routes.items()}
SOCKETS = {"WS /ws/orders"}  # tested in tests/access/test_other_entrances.py
DECLARED = {name: value for name, value in vars(access).items() if isinstance(value, Allow)}
OWNER, ANY_ID = "the-owner", "1"
ORDERS = (
    "GET /api/v1/orders/{id}",
    "GET /api/v1/orders/{id}/status",
    "GET /api/v1/orders/{id}/passport",
    "POST /api/v1/orders/{id}/pay",
    "POST /api/v1/orders/{id}/cancel",
    "GET /api/v1/async/purchase/{trackingId}",
    "GET /sse/orders/{id}",
)
CUSTOMERS = ("GET /api/v1/customers/{id}/orders",)
PARTNERS = (
    "GET /api/v1/partners/{id}/products",
    "POST /api/v1/partners/{id}/sources",
    "GET /api/v1/partners/{id}/sources",
    "POST /api/v1/partners/{id}/sources/{sourceId}/secrets",
    "DELETE /api/v1/partners/{id}/sources/{sourceId}",
)
CARTS = (
    "GET /api/v1/carts/{id}",
    "PUT /api/v1/carts/{id}/items/{productId}",
    "POST /api/v1/carts/{id}/merge",
    "POST /api/v1/carts/{id}/checkout",
)
SUBSCRIPTIONS, MESSAGES = "/api/v1/webhook-subscriptions", "/api/v1/webhook-messages"
WEBHOOKS = (
    *(f"{method} {SUBSCRIPTIONS}/{{id}}" for method in ("GET", "PUT", "DELETE")),
    *(f"POST {SUBSCRIPTIONS}/{{id}}/{act}" for act in ("secret", "pause", "resume", "example", "resend")),
    *(f"GET {SUBSCRIPTIONS}/{{id}}/{part}" for part in ("messages", "attempts", "backlog")),
    f"GET {MESSAGES}/{{id}}",
    f"GET {MESSAGES}/{{id}}/attempts",
    f"POST {MESSAGES}/{{id}}/resend",
    f"POST {MESSAGES}/{{id}}/skip",
)
PARTNER, PAID = "a-partner", "ecommerce.order.order.paid.v1"
# The demo, too, allows these only to the buyer that the request names or that is signed in.
NAMED = ("/session", "/stream-tickets", "/merge", "/checkout", "GET /api/v1/orders")
EVENT = {
    "ce-specversion": "1.0",
    "ce-id": "somebody-s",
    "ce-source": "/somebody",
    "ce-type": FlashSaleEnded.TYPE,
}
UNKNOWN = ("unauthenticated", "expired", "for another shop", "forged")
SESSIONS = ("its owner's session", "another's session", "a session that is over")
KNOWN = {
    "owner": (OWNER, "customer"),
    "another": ("another", "customer"),
    "partner": (PARTNER, "partner"),
    "another-partner": ("another-partner", "partner"),
    "admin": ("an-admin", "admin"),
    "roleless": (OWNER, "janitor"),
}
EVERYBODY = (*UNKNOWN, *SESSIONS, *KNOWN)


def expected(word: str, asker: str) -> str:
    """Return ``in``, 401, 403 or 404, as access.yaml specifies it; independent of the code that enforces it."""
    reported = WORDS[word]
    inside = reported["in"]
    if reported.get("signature"):
        return "401"
    if reported.get("unasked"):
        return "in"
    if asker in SESSIONS and not reported["session"]:
        asker = "unauthenticated"
    if asker == "a session that is over":
        return "401"
    if asker in SESSIONS:
        asker = "owner" if asker.startswith("its owner") else "another"
    if asker in inside:
        return "in"
    if asker in reported.get("unknown", ()):
        return "404"
    if asker in UNKNOWN:
        return "403" if asker == "unauthenticated" and not inside else "401"
    return "403"


async def headers_of(open_shop: ServedShop, asker: str) -> dict[str, str]:
    match asker:
        case "unauthenticated":
            return {}
        case "its owner's session" | "another's session":
            user = OWNER if asker.startswith("its owner") else "another"
            session = issue_session(user, open_shop.deps.settings, open_shop.deps.clock.now())
            return {"cookie": f"pulsecart_session={session}"}
        case "a session that is over":
            long_ago = open_shop.deps.clock.now() - timedelta(days=2)
            return {"cookie": f"pulsecart_session={issue_session(OWNER, open_shop.deps.settings, long_ago)}"}
        case "expired":
            return open_shop.token(OWNER, "customer", "partner", "admin", ttl=timedelta(minutes=-1))
        case "for another shop":
            return open_shop.token(OWNER, "customer", "partner", "admin", audience="another-shop")
        case "forged":
            head, claims, _ = open_shop.token(OWNER, "admin")["authorization"].split(".")
            signature = open_shop.token("somebody-else", "admin")["authorization"].split(".")[-1]
            return {"authorization": f"{head}.{claims}.{signature}"}
    user, role = KNOWN[asker]
    return open_shop.token(user, role)


@dataclass
class Asked:
    """Holds a request to a route: a resource of the owner, and a body and headers that the route accepts."""

    path: str
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


async def place(open_shop: ServedShop, route: Route) -> Asked:
    """Return the route's path; if the resource has an owner, it is a new one of the owner."""
    name = f"{route.method} {route.path}"
    thing = ANY_ID
    if name in CARTS:
        return await cart(open_shop, route)
    if route.path.startswith((SUBSCRIPTIONS, MESSAGES)):
        return await webhook(open_shop, route)
    if route.path.startswith("/broker/"):
        return Asked("/broker/default/default", {"saleId": "s1", "productId": "1"}, EVENT)
    if name in ORDERS:
        body, kind = {"productId": 2, "userId": OWNER}, "sync" if name.endswith("/pay") else "async"
        owner = open_shop.token(OWNER, "customer")
        answered = await open_shop.http.post(f"/api/v1/{kind}/purchase", json=body, headers=owner)
        thing = answered.json()["orderId"]
    elif name in CUSTOMERS:
        thing = OWNER
    elif name in PARTNERS:
        return Asked(route.path.replace("{id}", KNOWN["partner"][0]).replace("{sourceId}", ANY_ID))
    return Asked(re.sub(r"{\w+}", thing, route.path))


async def cart(open_shop: ServedShop, route: Route) -> Asked:
    """Return a request for a new cart of the owner with one line."""
    owner = open_shop.token(OWNER, "customer")
    thing = (await open_shop.http.post("/api/v1/carts", headers=owner)).json()["cartId"]
    filled = await open_shop.http.put(f"/api/v1/carts/{thing}/items/2", json={"qty": 1}, headers=owner)
    assert filled.status_code == 200
    body = {"qty": 1} if route.method == "PUT" else {}
    path = route.path.replace("{id}", thing).replace("{productId}", "1")
    return Asked(path, body, {"idempotency-key": thing})


async def webhook(open_shop: ServedShop, route: Route) -> Asked:
    """The partner's own subscription, or the message of an example in it."""
    partner = open_shop.token(PARTNER, "partner")
    body: dict[str, Any] = {"partnerId": PARTNER, "url": "https://hooks.example/", "eventTypes": [PAID]}
    if "{id}" not in route.path:
        return Asked(route.path, {})
    made = await open_shop.http.post(SUBSCRIPTIONS, json=body, headers=partner)
    thing = made.json()["subscriptionId"]
    bodies = {"example": {"eventType": PAID}, "resend": {"since": "2026-01-01T00:00:00Z"}}
    asked = bodies.get(route.path.rpartition("/")[2], body if route.method == "PUT" else {})
    if route.path.startswith(MESSAGES):
        path = f"{SUBSCRIPTIONS}/{thing}/example"
        sent = await open_shop.http.post(path, json={"eventType": PAID}, headers=partner)
        thing = sent.json()["messageId"]
    return Asked(route.path.replace("{id}", thing), asked, {"if-match": made.headers["etag"]})


@pytest.mark.parametrize("route", ROUTES, ids=NAMES)
async def test_a_route_lets_who_the_page_says_and_no_one_else(open_shop: ServedShop, route: Route) -> None:
    word = TABLE[f"{route.method} {route.path}"]
    for asker in EVERYBODY:
        asked = await place(open_shop, route)
        sent = asked.headers | await headers_of(open_shop, asker)
        response = await open_shop.status(route.method, asked.path, sent, asked.body)
        check(response, expected(word, asker), word, asker)


@pytest.mark.parametrize("route", ROUTES, ids=NAMES)
def test_a_route_s_allow_is_the_one_that_its_word_on_the_page_stands_for(route: Route) -> None:
    name = f"{route.method} {route.path}"
    assert name in TABLE, "say in contracts/http/access.yaml who may call it"
    assert route.allow is DECLARED[WORDS[TABLE[name]]["allow"]], "the route and contracts/http/access.yaml differ"


def test_the_page_has_every_route_and_no_other_and_the_api_s_description_agrees() -> None:
    assert set(TABLE) == {*NAMES, *SOCKETS}
    assert len(TABLE) == sum(map(len, PAGE["routes"].values())), "a route stands there once"
    assert set(TABLE.values()) == set(WORDS), "a word that no route has"
    for operation, routes in PAGE["routes"].items():
        path = CONTRACTS_DIR / "http" / f"{operation}.yaml"
        described = yaml.safe_load(path.read_text()) if path.exists() else {}
        for name, reported in described.items():
            assert reported["caller"] == WORDS[routes[name]]["caller"], f"{path.name}: caller of {name}"


def test_the_table_is_of_all_that_the_host_answers(open_shop: ServedShop) -> None:
    """The host serves the listed routes and the edge's; tests/access/test_other_entrances.py tests the rest."""
    assert set(NAMES) == {
        *open_shop.host.router.names(),
        *(f"{one.method} {one.path}" for one in edge.operation.routes),
    }
    others = {(type(one), one.path) for one in edge_app(open_shop.deps).routes}
    assert others == {(StreamRoute, "/sse/{rest:path}"), (WebSocketRoute, "/ws/orders")}


def check(response: httpx.Response, wanted: str, word: str, asker: str) -> None:
    text = "" if response.headers.get("content-type") == EVENTS else response.text
    reported = (asker, response.status_code, text)
    if wanted == "in":
        assert response.status_code not in (401, 403), reported
        not_ready = "triggers are not being dispatched" in text  # as at the ingress
        about_a_thing = word.startswith("own") or "own-" in word
        done = response.status_code in ((200, 201, 202, 204) if word == "own-partner" else (200,))
        assert done if about_a_thing else response.status_code < 500 or not_ready, reported
        return
    assert response.status_code == int(wanted), reported
    assert ("www-authenticate" in response.headers) == (wanted == "401"), reported
    assert response.headers["content-type"] == "application/problem+json", reported
    assert OWNER not in text


@pytest.mark.parametrize("route", ROUTES, ids=NAMES)
def test_a_route_about_someone_s_thing_says_here_whose(route: Route) -> None:
    """Without this, the tests above would use a resource without an owner."""
    name = f"{route.method} {route.path}"
    owned = (*ORDERS, *CUSTOMERS, *WEBHOOKS, *PARTNERS)
    assert bool(route.allow.owners) == (name in owned), "add it to one of the lists, or mend allow"
    assert ("/carts/{id}" in route.path) == (name in CARTS), "add it to CARTS"


def test_what_changes_something_is_open_to_no_one_unknown() -> None:
    """Outside of the demo all mutations need a token, except those of an anonymous cart, and signing out."""
    open_to_all = [
        name for name, route in zip(NAMES, ROUTES, strict=True) if route.allow.roles is None or route.allow.anonymous
    ]
    assert [name for name in open_to_all if not name.startswith("GET ")] == [
        "POST /api/v1/carts",
        "PUT /api/v1/carts/{id}/items/{productId}",
        "DELETE /api/v1/session",
        "OPTIONS /events",
        "POST /events/{sourceId}",
        "OPTIONS /events/{sourceId}",
        "POST /pubsub/push",
    ]


def test_a_route_that_says_nothing_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="allow"):
        Route("GET", "/", ROUTES[0].handler)  # type: ignore[call-arg]  # what must not be possible


def test_the_page_distinguishes_its_words() -> None:
    """A page that gives the same answer for every word would prove nothing."""
    reported = {word: (*(expected(word, asker) for asker in EVERYBODY), *map(str, rest(word))) for word in WORDS}
    assert len(set(reported.values())) == len(reported)
    assert [expected("owner", asker) for asker in KNOWN] == ["in", "403", "403", "403", "in", "403"]
    assert [expected("owner", asker) for asker in (*UNKNOWN, *SESSIONS)] == [*["401"] * 4, "in", "403", "401"]


def rest(word: str) -> list[bool]:
    return [bool(WORDS[word].get(name)) for name in ("unsigned", "anonymous", "ticket", "token", "counted")]


async def test_in_the_demo_the_unsigned_do_what_the_page_says(demo: ServedShop) -> None:
    for name, route in zip(NAMES, ROUTES, strict=True):
        reported = WORDS[TABLE[name]]
        if (
            name.endswith(NAMED)
            or "anonymous" in reported
            or reported.get("unasked")
            or name.startswith("GET /sse/orders")
        ):
            continue
        asked = await place(demo, route)
        response = await demo.status(route.method, asked.path, asked.headers, asked.body)
        assert (response.status_code not in (401, 403)) == reported.get("unsigned", False), (name, response.text)
    sold = (await demo.http.post("/api/v1/sync/purchase", json={"productId": 1, "userId": 5})).json()
    assert (await demo.http.post(f"/api/v1/orders/{sold['orderId']}/cancel")).status_code == 200


async def test_in_the_demo_too_anyone_who_shows_a_token_is_held_to_it(demo: ServedShop) -> None:
    reset = "/api/v1/sync/stock/1/reset?stock=7"
    assert (await demo.http.put(reset)).status_code == 200
    assert (await demo.http.put(reset, headers=demo.token("7", "customer"))).status_code == 403
    assert (await demo.http.put(reset, headers=demo.token("7", "admin"))).status_code == 200
    expired = demo.token("7", "admin", ttl=timedelta(minutes=-1))
    assert (await demo.http.put(reset, headers=expired)).status_code == 401


async def test_a_session_is_a_customer_s_whatever_its_owner_s_token_may(open_shop: ServedShop) -> None:
    both = open_shop.token("7", "customer", "admin")
    made = await open_shop.http.post("/api/v1/session", headers=both)
    assert made.status_code == 204
    reset = "/api/v1/sync/stock/1/reset?stock=7"
    assert (await open_shop.http.put(reset)).status_code == 403
    assert (await open_shop.http.put(reset, headers=both)).status_code == 200


async def test_who_has_an_old_session_can_make_a_new_one(open_shop: ServedShop) -> None:
    old = {"cookie": "pulsecart_session=what-was-once-good"}
    assert (await open_shop.http.post("/api/v1/stream-tickets", headers=old)).status_code == 401
    assert (
        await open_shop.http.post("/api/v1/session", headers=old | open_shop.token("7", "customer"))
    ).status_code == 204


async def test_a_refused_token_is_named_as_invalid_and_an_absent_one_is_not(open_shop: ServedShop) -> None:
    path = "/api/v1/customers/7/orders"
    assert (await open_shop.http.get(path)).headers["www-authenticate"] == "Bearer"
    bad = await open_shop.http.get(path, headers={"authorization": "Bearer nonsense"})
    assert bad.headers["www-authenticate"] == 'Bearer error="invalid_token"'


async def test_when_the_issuer_begins_a_new_key_both_are_good_at_once(open_shop: ServedShop) -> None:
    before, path = open_shop.token("7", "customer"), "/api/v1/customers/7/orders"
    assert (await open_shop.http.get(path, headers=before)).status_code == 200
    dev_issuer.rotate(open_shop.jwks)
    after = open_shop.token("7", "customer")
    for token in (after, before):
        assert (await open_shop.http.get(path, headers=token)).status_code == 200
