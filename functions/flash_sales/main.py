"""Serves flash sales: schedules a sale with price, start, end, units and limit; shows sales; changes price or end."""

import logging
from datetime import datetime

import msgspec

from functions.flash_sales.bodies import SaleBody, SaleChangeBody
from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.db.first_replies import first_reply, keep
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import Cause
from pulsecart.runtime.first_replies import FirstReply, Key
from pulsecart.runtime.problem import Gone, NotFound, Refused, Unavailable, Unprocessable
from pulsecart.runtime.redis_error import RedisError
from pulsecart.serving.access import ADMIN, PUBLIC
from pulsecart.serving.auth import subject_of
from pulsecart.serving.bodies import decoded
from pulsecart.serving.etag import check_match, etag_of, is_current, required_match
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.idempotency import correlation_of, first_again, key_of
from pulsecart.serving.operation import operation
from pulsecart.serving.policy import check
from pulsecart.serving.routes import get, post, put
from pulsecart.shop.catalogue.db import products
from pulsecart.shop.inventory.db import stock
from pulsecart.shop.inventory.db.stock import Level
from pulsecart.shop.inventory.events import StockAdjusted
from pulsecart.shop.inventory.gate.gate import gate_of
from pulsecart.shop.inventory.gate_rebuild import changed, rebuild
from pulsecart.shop.money import exact_price, wire_id
from pulsecart.shop.pricing.db import sales
from pulsecart.shop.pricing.events import FlashSaleChanged, FlashSaleEnded, FlashSaleScheduled
from pulsecart.shop.pricing.sale import Sale, sale_document

log = logging.getLogger(__name__)
WHERE = "/api/v1/flash-sales/"


class Versioned(msgspec.Struct):
    """The version in a stored reply."""

    version: int = 0


async def schedule(request: Request, deps: Deps) -> Reply:
    """Schedule a sale, or start it at once. Its units and limit apply immediately, in PostgreSQL and in the gate."""
    check(request, deps, "price", "override")
    body, key = decoded(request.body, SaleBody), key_of(request, subject_of(request))
    first = await _answered(deps, key)
    if first is None:
        try:
            first = await _schedule(request, deps, body, key)
        except Refused:  # possibly because the same request was sent twice at once
            first = await _answered(deps, key)
            if first is None:
                raise
        deps.wake("open_sales")
    etag = etag_of(msgspec.json.decode(first.body, type=Versioned).version)
    return first_again(first, key, (("location", first.location), ("etag", etag)))


async def _answered(deps: Deps, key: Key | None) -> FirstReply | None:
    async with deps.db.transaction() as tx:
        return await first_reply(tx, key)


async def _schedule(request: Request, deps: Deps, body: SaleBody, key: Key | None) -> FirstReply:
    product_id, sale_id = str(body.productId), deps.new_id()
    kept: list[FirstReply] = []

    async def change(tx: Tx) -> Level:
        sale = await _sale(tx, body, sale_id)
        level = await _stocked(tx, product_id, body.units)
        document = _document(await sales.schedule(tx, sale))
        kept.append(await keep(tx, key, 201, msgspec.json.encode(document).decode(), WHERE + sale_id))
        return level

    await changed(deps.db, deps.singleton(gate_of), product_id, change, _cause(request))
    return kept[-1]


async def _sale(tx: Tx, body: SaleBody, sale_id: str) -> Sale:
    product_id = str(body.productId)
    product = await products.lock(tx, product_id)
    if product is None:
        raise NotFound("unknown-product", f"There is no product {product_id}.")
    if product.deleted:
        raise Gone("product-deleted", f"Product {product_id} was removed from the catalogue.")
    starts_at = max(body.startsAt or tx.now, tx.now)
    if body.endsAt <= starts_at:
        raise Unprocessable("sale-too-short", "endsAt must be in the future and after startsAt.")
    return Sale(
        sale_id=sale_id,
        product_id=product_id,
        price_minor=exact_price(body.price, product.currency),
        currency=product.currency,
        starts_at=starts_at,
        ends_at=body.endsAt,
        buyer_limit=body.buyerLimit or 0,
    )


async def _stocked(tx: Tx, product_id: str, units: int | None) -> Level:
    level = await stock.level(tx, product_id, lock=True)
    if level is None and units is None:
        raise Unprocessable("no-stock", "This product never had stock. Send the number of units in units.")
    if units is None and level is not None:
        return level
    return await stock.reset(tx, level, units or 0) if level else await stock.create(tx, product_id, units or 0)


async def listed(request: Request, deps: Deps) -> Reply:
    """List the sales, latest start first."""
    async with deps.db.transaction() as tx:
        found = await sales.newest(tx)
    return Reply(200, msgspec.json.encode({"sales": [_document(sale) for sale in found]}))


async def show(request: Request, deps: Deps) -> Reply:
    """Show one sale."""
    async with deps.db.transaction() as tx:
        sale = await sales.find(tx, request.params["id"])
    if sale is None:
        raise _unknown(request.params["id"])
    etag = etag_of(sale.version)
    if is_current(request.headers.get("if-none-match"), etag):
        return Reply(304, headers=(("etag", etag),))
    return Reply(200, msgspec.json.encode(_document(sale)), headers=(("etag", etag),))


async def change(request: Request, deps: Deps) -> Reply:
    """
    Change the price or the end if the sale still has If-Match's version. A concurrent change gets 503 at once instead
    of waiting for the row.

    Raises:
        Refused: the sale has ended.
    """
    check(request, deps, "price", "override")
    if_match, body = required_match(request.headers), decoded(request.body, SaleChangeBody)
    async with deps.db.transaction(_cause(request)) as tx:
        sale = await sales.lock(tx, request.params["id"])
        if sale is None:
            raise _unknown(request.params["id"])
        check_match(if_match, sale.version)
        sale = await _changed(tx, sale, body)
        shown = msgspec.json.encode(_document(sale))  # a sale that cannot be encoded is not committed
    deps.wake("open_sales")
    await _rebuilt(sale, deps)
    return Reply(200, shown, headers=(("etag", etag_of(sale.version)),))


async def _rebuilt(sale: Sale, deps: Deps) -> None:
    """Rebuild the gate if the change made its epoch stale; if Redis fails, ``settle`` detects the stale epoch."""
    if not sale.buyer_limit:
        return
    try:
        await rebuild(deps.db, deps.singleton(gate_of), sale.product_id)
    except (RedisError, Unavailable) as error:
        log.warning("gate of product %s could not be rebuilt: %s", sale.product_id, error)


async def _changed(tx: Tx, sale: Sale, body: SaleChangeBody) -> Sale:
    if sale.status == "ENDED" or sale.ends_at <= tx.now:
        raise Refused("sale-over", "This sale has ended. Schedule a new one.")
    price_minor = sale.price_minor if body.price is None else exact_price(body.price, sale.currency)
    ends_at: datetime = body.endsAt or sale.ends_at
    if ends_at <= tx.now:
        return await sales.end(tx, sale)
    if ends_at <= sale.starts_at:
        raise Unprocessable(
            "sale-too-short", "endsAt must be after startsAt. An endsAt that is now or earlier ends the sale."
        )
    if (price_minor, ends_at) == (sale.price_minor, sale.ends_at):
        return sale
    return await sales.change(tx, sale, price_minor, ends_at)


def _document(sale: Sale) -> dict[str, object]:
    members = {"buyerLimit": sale.buyer_limit, "status": sale.status, "version": sale.version}
    return sale_document(sale) | {"productId": wire_id(sale.product_id)} | members


def _unknown(sale_id: str) -> NotFound:
    return NotFound("unknown-sale", f"There is no sale {sale_id[:64]}.")


def _cause(request: Request) -> Cause:
    return Cause(correlation_of(request), None, request.headers.get("traceparent"))


flash_sales = operation(
    "flash_sales",
    routes=[
        post("/api/v1/flash-sales", schedule, allow=ADMIN),
        get("/api/v1/flash-sales", listed, allow=PUBLIC),
        get("/api/v1/flash-sales/{id}", show, allow=PUBLIC),
        put("/api/v1/flash-sales/{id}", change, allow=ADMIN),
    ],
    emits=[FlashSaleChanged, FlashSaleEnded, FlashSaleScheduled, StockAdjusted],
    redis=True,
)
