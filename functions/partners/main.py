"""PUT /api/v1/partners/{id}/products/{productId} → Say here what it does"""

from pulsecart.runtime.deps import Deps
from pulsecart.serving.access import ADMIN
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.operation import operation
from pulsecart.serving.routes import put


async def answer(request: Request, deps: Deps) -> Reply:
    """Say here what it answers, and which problems it raises."""
    # async with deps.db.transaction() as tx:
    # Load the rows, decide in a pure function (pulsecart/shop/partners/), store, emit:
    return Reply(204)


partners = operation("partners", routes=[put("/api/v1/partners/{id}/products/{productId}", answer, allow=ADMIN)])
