"""Serves the catalogue: products, categories and price history; each create, change or delete → product.updated."""

from datetime import UTC, datetime
from typing import Any

import msgspec

from functions.products.bodies import ProductBody
from functions.products.query import cursor_of, wanted_of
from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import Cause
from pulsecart.runtime.moment import YEARS, is_kept
from pulsecart.runtime.problem import Gone, Malformed, NotFound, Unprocessable
from pulsecart.serving.access import ADMIN, PUBLIC
from pulsecart.serving.auth import subject_of
from pulsecart.serving.bodies import decoded
from pulsecart.serving.etag import check_match, is_current, required_match
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.idempotency import correlation_of, first_again, key_of
from pulsecart.serving.operation import operation
from pulsecart.serving.query import parameters
from pulsecart.serving.routes import delete, get, post, put
from pulsecart.shop.catalogue.cache import ProductCache
from pulsecart.shop.catalogue.db import listing
from pulsecart.shop.catalogue.db import products as rows
from pulsecart.shop.catalogue.events import ProductUpdated
from pulsecart.shop.catalogue.product import Product, product_document, product_etag, sale_member
from pulsecart.shop.money import decimal_amount, exact_price, wire_id
from pulsecart.shop.pricing.sale import sale_of_product

WHERE = "/api/v1/products/"
MOMENT_MAX = 40


async def show(request: Request, deps: Deps) -> Reply:
    """Show a product and its open or planned sale, from the cache; a stale copy is marked (Warning, Age)."""
    shown = await deps.singleton(ProductCache).read(request.params["id"])
    if is_current(request.headers.get("if-none-match"), shown.etag):
        return Reply(304, headers=shown.headers)
    return Reply(200, shown.body, headers=shown.headers)


async def page(request: Request, deps: Deps) -> Reply:
    """Show a page of the catalogue, from PostgreSQL."""
    wanted = wanted_of(request.query)
    async with deps.db.transaction() as tx:
        found, more = await listing.page(tx, wanted)
    document: dict[str, Any] = {"products": [_listed(one, tx.now) for one in found]}
    if more:
        document["next"] = cursor_of(found[-1], request.query)
    return Reply(200, msgspec.json.encode(document))


async def categories(request: Request, deps: Deps) -> Reply:
    """List the categories, each with its number of products."""
    async with deps.db.transaction() as tx:
        found = await listing.categories(tx)
    return Reply(200, msgspec.json.encode({"categories": [{"name": name, "products": n} for name, n in found]}))


async def price(request: Request, deps: Deps) -> Reply:
    """Show the list price, now or ``at`` another time."""
    product_id = request.params["id"]
    async with deps.db.transaction() as tx:
        at = _moment(request.query) or tx.now
        found = await rows.price_at(tx, product_id, at)
    if found is None:
        raise NotFound("no-price-then", f"Product {product_id[:64]} had no price at {at.isoformat()}.")
    document = {
        "productId": wire_id(product_id),
        "at": at,
        "price": decimal_amount(found.price_minor, found.currency),
        "currency": found.currency,
        "validFrom": found.valid_from,
        "validTo": found.valid_to,
    }
    return Reply(200, msgspec.json.encode(document))


async def create(request: Request, deps: Deps) -> Reply:
    """Create a product; a repeated Idempotency-Key gets the same reply."""
    key = key_of(request, subject_of(request))
    product = _product(decoded(request.body, ProductBody), deps.new_id(), deps.clock.now())
    first = await rows.create(deps.db, product, _cause(request), key, _created)
    return first_again(first, key, (("location", first.location), ("etag", product_etag(1))))


async def change(request: Request, deps: Deps) -> Reply:
    """Replace a product with its next version, if it still has If-Match's version."""
    if_match, body = required_match(request.headers), decoded(request.body, ProductBody)
    async with deps.db.transaction(_cause(request)) as tx:
        before = await _locked(tx, request.params["id"], if_match)
        if body.currency != before.currency:
            raise Unprocessable(
                "currency-fixed",
                f"The currency of this product stays {before.currency}. Create a new product for another currency.",
            )
        after = await rows.change(tx, before, _product(body, before.product_id, before.created_at))
    return Reply(200, msgspec.json.encode(product_document(after)), headers=(("etag", product_etag(after.version)),))


async def remove(request: Request, deps: Deps) -> Reply:
    """Delete a product from the catalogue; its orders stay readable."""
    if_match = required_match(request.headers)
    async with deps.db.transaction(_cause(request)) as tx:
        await rows.delete(tx, await _locked(tx, request.params["id"], if_match))
    return Reply(204)


async def _locked(tx: Tx, product_id: str, if_match: str) -> Product:
    product = await rows.lock(tx, product_id)
    if product is None:
        raise NotFound("unknown-product", f"There is no product {product_id[:64]}.")
    if product.deleted:
        raise Gone("product-deleted", f"Product {product_id[:64]} was removed from the catalogue.")
    check_match(if_match, product.version)
    return product


def _product(body: ProductBody, product_id: str, created_at: datetime) -> Product:
    return Product(
        product_id=product_id,
        sku=body.sku,
        name=body.name,
        description=body.description,
        category=body.category,
        price_minor=exact_price(body.price, body.currency),
        currency=body.currency,
        version=1,
        created_at=created_at,
        updated_at=created_at,
    )


def _created(product: Product) -> tuple[int, str, str]:
    return 201, msgspec.json.encode(product_document(product)).decode(), WHERE + product.product_id


def _listed(one: listing.Listed, now: datetime) -> dict[str, Any]:
    document = product_document(one.product) | {"available": one.units or 0}
    if one.sale:
        document[sale_member(one.sale.starts_at, now)] = sale_of_product(one.sale)
    return document


def _moment(query: str) -> datetime | None:
    given = parameters(query).get("at", "").replace(" ", "+")  # an unescaped + in the time zone
    if not given:
        return None
    try:
        if len(given) > MOMENT_MAX:
            raise ValueError(len(given))
        at = msgspec.convert(given, datetime)
    except ValueError:  # includes msgspec's error
        raise Malformed("moment-malformed", "at= must be an RFC 3339 time, e.g. 2100-01-01T08:00:00Z.") from None
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    if not is_kept(at):
        raise Malformed("moment-malformed", f"at= must be a time {YEARS}.")
    return at


def _cause(request: Request) -> Cause:
    return Cause(correlation_of(request), None, request.headers.get("traceparent"))


products = operation(
    "products",
    routes=[
        get("/api/v1/products", page, allow=PUBLIC),
        get("/api/v1/categories", categories, allow=PUBLIC),
        get("/api/v1/products/{id}", show, allow=PUBLIC),
        get("/api/v1/products/{id}/price", price, allow=PUBLIC),
        post("/api/v1/products", create, allow=ADMIN),
        put("/api/v1/products/{id}", change, allow=ADMIN),
        delete("/api/v1/products/{id}", remove, allow=ADMIN),
    ],
    emits=[ProductUpdated],
    concurrency=2048,
    redis=True,
)
