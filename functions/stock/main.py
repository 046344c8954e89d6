"""Serves a product's stock and its cached level; init and reset write recorded adjustments."""

import msgspec

from pulsecart.runtime.batch import Batcher
from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import Malformed, NotFound
from pulsecart.runtime.redis_breaker import Breaker
from pulsecart.runtime.redis_error import RedisError
from pulsecart.serving.access import ADMIN_OR_DEMO, PUBLIC
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.operation import operation
from pulsecart.serving.query import parameters, parse_integer
from pulsecart.serving.routes import get, post, put
from pulsecart.shop.catalogue.copies.copies import Copies, stock_document
from pulsecart.shop.inventory.db import stock as rows
from pulsecart.shop.inventory.db.stock import Level
from pulsecart.shop.inventory.events import StockAdjusted
from pulsecart.shop.inventory.gate_rebuild import changed
from pulsecart.shop.money import wire_id
from pulsecart.shop.orders.till import Till

UNITS_DEFAULT = 1000
UNITS_MAX = 10_000_000
PRODUCT_ID_MAX = 64


def copies(deps: Deps) -> Copies:
    """Create the process's instance, for ``deps.singleton``."""
    return Copies(deps.redis)


class Levels:
    """Reads stock once for concurrent requests."""

    def __init__(self, deps: Deps) -> None:
        self._db = deps.share("stock").db
        self.reads: Batcher[str, Level | None] = Batcher(self._read)

    async def _read(self, product_ids: list[str]) -> list[Level | None]:
        async with self._db.transaction() as tx:
            found = await rows.levels(tx, product_ids)
        return [found.get(product_id) for product_id in product_ids]


async def show(request: Request, deps: Deps) -> Reply:
    """Show the available units, from PostgreSQL."""
    product_id = request.params["productId"]
    level = await deps.singleton(Levels).reads.submit(product_id)
    if level is None:
        raise _no_stock(product_id)
    return _reply(product_id, level.available)


async def snapshot(request: Request, deps: Deps) -> Reply:
    """
    Show the available units from the cache, which stock events update; from PostgreSQL when nothing is cached or
    Redis fails.
    """
    product_id = request.params["productId"]
    if len(product_id) > PRODUCT_ID_MAX:
        raise _no_stock(product_id)
    try:
        document = await deps.singleton(Breaker).ask(lambda: deps.singleton(copies).stock(product_id))
    except RedisError:
        document = None
    if document is None:
        level = await deps.singleton(Levels).reads.submit(product_id)
        if level is None:
            raise _no_stock(product_id)
        document = stock_document(product_id, level.available, level.version)
    return Reply(200, document)


async def init(request: Request, deps: Deps) -> Reply:
    """Create a product's stock, or keep existing stock; the gate is rebuilt either way."""
    product_id, units = request.params["productId"], _units(request)

    async def change(tx: Tx) -> Level:
        await _check_product(tx, product_id)
        return await rows.level(tx, product_id, lock=True) or await rows.create(tx, product_id, units)

    level = await changed(deps.db, deps.singleton(Till).gate, product_id, change)
    return _reply(product_id, level.available)


async def reset(request: Request, deps: Deps) -> Reply:
    """Set the available units; the difference is recorded as an adjustment, which the audit counts."""
    product_id, units = request.params["productId"], _units(request)

    async def change(tx: Tx) -> Level:
        await _check_product(tx, product_id)
        before = await rows.level(tx, product_id, lock=True)
        return await rows.reset(tx, before, units) if before else await rows.create(tx, product_id, units)

    level = await changed(deps.db, deps.singleton(Till).gate, product_id, change)
    return _reply(product_id, level.available)


async def _check_product(tx: Tx, product_id: str) -> None:
    if not await rows.lock_product(tx, product_id):
        raise NotFound("unknown-product", f"There is no product {product_id[:64]}.")


def _no_stock(product_id: str) -> NotFound:
    return NotFound("unknown-product", f"There is no stock of product {product_id[:64]}.")


def _units(request: Request) -> int:
    given = parameters(request.query, blank=True).get("stock")
    units = UNITS_DEFAULT if given is None else parse_integer(given, UNITS_MAX)
    if units is None:
        raise Malformed(
            "stock-malformed", f"stock= must be a whole number from 0 to {UNITS_MAX}, without leading zeros."
        )
    return units


def _reply(product_id: str, units: int) -> Reply:
    return Reply(200, msgspec.json.encode({"productId": wire_id(product_id), "stock": units}))


stock = operation(
    "stock",
    routes=[
        get("/api/v1/sync/stock/{productId}", show, allow=PUBLIC),
        get("/api/v1/inventory/{productId}", snapshot, allow=PUBLIC),
        post("/api/v1/sync/stock/init/{productId}", init, allow=ADMIN_OR_DEMO),
        put("/api/v1/sync/stock/{productId}/reset", reset, allow=ADMIN_OR_DEMO),
    ],
    emits=[StockAdjusted],
    redis=True,
)
