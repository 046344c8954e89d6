"""Asks an endpoint for its consent, and records its answer."""

import logging

from functions.webhook_deliver.requests import USER_AGENT
from pulsecart.bridges.outgoing_http.client import OutgoingHttp
from pulsecart.bridges.outgoing_http.results import Failure, NotAllowed
from pulsecart.runtime.db.database import Database
from pulsecart.shop.webhooks.consent import ASK_AGAIN, REQUEST_ORIGIN, consent_after
from pulsecart.shop.webhooks.db import queue
from pulsecart.shop.webhooks.db.queue import Queue

log = logging.getLogger(__name__)
ASK_S = 10.0


async def ask(http: OutgoingHttp, origin: str, one: Queue) -> dict[str, str] | None:
    """Return the headers of the answer to OPTIONS, names in lower case; None if none came."""
    headers = (("user-agent", USER_AGENT), (REQUEST_ORIGIN, origin))
    try:
        answer = await http.send("OPTIONS", one.url, headers, b"", total_s=ASK_S)
    except (Failure, NotAllowed) as error:
        log.info("the endpoint of webhook subscription %s gave no consent: %s", one.subscription_id, error)
        return None
    return {name.lower(): value for name, value in answer.headers}


async def write(db: Database, origin: str, one: Queue, answered: dict[str, str] | None) -> None:
    """Write the endpoint's consent, and when it is asked again if messages need it."""
    async with db.transaction() as tx:
        after = consent_after(one.consent, answered, origin, tx.now)
        not_before = None if after.allows(one.required) else tx.now + ASK_AGAIN
        await queue.lock(tx, [one.subscription_id])
        await queue.write_consent(tx, one.subscription_id, one.url, after, not_before)
        await queue.recompute(tx, [one.subscription_id])
