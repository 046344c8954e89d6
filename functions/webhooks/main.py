"""POST /api/v1/webhook-subscriptions → Say here what it does"""

from pulsecart.runtime.deps import Deps
from pulsecart.serving.access import ADMIN
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.operation import operation
from pulsecart.serving.routes import post


async def answer(request: Request, deps: Deps) -> Reply:
    """Say here what it answers, and which problems it raises."""
    # async with deps.db.transaction() as tx:
    # Load the rows, decide in a pure function (pulsecart/shop/webhooks/), store, emit:
    return Reply(204)


webhooks = operation("webhooks", routes=[post("/api/v1/webhook-subscriptions", answer, allow=ADMIN)])
