"""Serves partners: the products that belong to a partner, and the event sources that it signs events with."""

import msgspec

from functions.partners import sources
from functions.partners.bodies import SecretBody as SecretBody
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import Malformed
from pulsecart.serving.access import ADMIN, OWN_PARTNER
from pulsecart.serving.bodies import names_somebody
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.operation import operation
from pulsecart.serving.policy import check
from pulsecart.serving.query import page_limit, parameters
from pulsecart.serving.routes import delete, get, post, put
from pulsecart.shop.money import wire_id
from pulsecart.shop.partners.db import products

PAGE = 100


async def assign(request: Request, deps: Deps) -> Reply:
    """
    Give a product to a partner; repeated, it changes nothing.

    Raises:
        Malformed: no token could name this partner.
        NotFound: there is no such product.
        Refused: the product belongs to another partner.
    """
    partner_id = request.params["id"]
    check(request, deps, "partner", "assign-product", owner=partner_id)
    if not names_somebody(partner_id):
        raise Malformed("partner-malformed", "A partner's id is 1 to 64 printable ASCII characters without a space.")
    async with deps.db.transaction() as tx:
        await products.assign(tx, partner_id, request.params["productId"])
    return Reply(204)


async def take_away(request: Request, deps: Deps) -> Reply:
    """
    Take a product from a partner.

    Raises:
        NotFound: it is not this partner's.
        Refused: paid orders wait for this partner's report.
    """
    partner_id = request.params["id"]
    check(request, deps, "partner", "assign-product", owner=partner_id)
    async with deps.db.transaction() as tx:
        await products.take_away(tx, partner_id, request.params["productId"])
    return Reply(204)


async def listed(request: Request, deps: Deps) -> Reply:
    """
    List the products of a partner in the order of their ids.

    Raises:
        Malformed: ``limit`` is malformed.
    """
    partner_id, given = request.params["id"], parameters(request.query)
    check(request, deps, "partner", "read-products", owner=partner_id)
    limit = page_limit(given, PAGE)
    async with deps.db.transaction() as tx:
        found = await products.listed(tx, partner_id, given.get("cursor", ""), limit + 1)
    page: dict[str, object] = {"partnerId": partner_id, "productIds": [wire_id(one) for one in found[:limit]]}
    if len(found) > limit:
        page["next"] = found[limit - 1]
    return Reply(200, msgspec.json.encode(page))


partners = operation(
    "partners",
    routes=[
        get("/api/v1/partners/{id}/products", listed, allow=OWN_PARTNER),
        put("/api/v1/partners/{id}/products/{productId}", assign, allow=ADMIN),
        delete("/api/v1/partners/{id}/products/{productId}", take_away, allow=ADMIN),
        post("/api/v1/partners/{id}/sources", sources.create, allow=OWN_PARTNER),
        get("/api/v1/partners/{id}/sources", sources.listed, allow=OWN_PARTNER),
        post("/api/v1/partners/{id}/sources/{sourceId}/secrets", sources.rotate, allow=OWN_PARTNER),
        delete("/api/v1/partners/{id}/sources/{sourceId}", sources.end, allow=OWN_PARTNER),
    ],
    seals=True,
)
