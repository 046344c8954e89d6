"""Creates, lists, rotates and ends the event sources of a partner; a secret is shown in one reply and stored sealed."""

from datetime import timedelta
from typing import Any
from urllib.parse import quote

import msgspec

from functions.partners.bodies import SecretBody
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import Unavailable
from pulsecart.runtime.sealing import sealing
from pulsecart.runtime.settings import MissingSetting
from pulsecart.serving.bodies import decoded
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.policy import check
from pulsecart.shop.partners.db import sources
from pulsecart.shop.partners.db.sources import EventSource
from pulsecart.shop.webhooks.new_secrets import new_secret

NO_STORE = ("cache-control", "no-store")


async def create(request: Request, deps: Deps) -> Reply:
    """
    Create an event source; this reply alone shows its secret.

    Raises:
        Forbidden: it would be another partner's.
        Refused: the partner has too many sources.
    """
    partner_id, source_id = _partner(request, deps), deps.new_id()
    secret = new_secret()
    sealed = _sealed(deps, secret, source_id)
    async with deps.db.transaction() as tx:
        source = await sources.create(tx, source_id, partner_id, deps.new_id(), sealed)
    headers = (("location", f"/api/v1/partners/{quote(partner_id, safe='')}/sources/{source_id}"), NO_STORE)
    return Reply(201, msgspec.json.encode(_document(source) | {"secret": secret}), headers=headers)


async def listed(request: Request, deps: Deps) -> Reply:
    """List the partner's event sources that are in use."""
    async with deps.db.transaction() as tx:
        found = await sources.listed(tx, _partner(request, deps))
    return Reply(200, msgspec.json.encode({"sources": [_document(source) for source in found]}))


async def rotate(request: Request, deps: Deps) -> Reply:
    """
    Make a new secret, which this reply alone shows; the earlier ones verify, too, until the overlap ends.

    Raises:
        NotFound: the partner has no such source.
        Refused: too many secrets would verify at the same time.
    """
    body, partner_id = decoded(request.body or b"{}", SecretBody), _partner(request, deps)
    source_id, secret = request.params["sourceId"], new_secret()
    sealed = _sealed(deps, secret, source_id)
    async with deps.db.transaction() as tx:
        source = await sources.locked(tx, partner_id, source_id)
        overlap = timedelta(seconds=body.overlapS)
        until = await sources.SECRETS.rotate(tx, source.source_id, deps.new_id(), sealed, overlap)
    document = {"sourceId": source_id, "secret": secret, "earlierUntil": until}
    return Reply(200, msgspec.json.encode(document), headers=(NO_STORE,))


async def end(request: Request, deps: Deps) -> Reply:
    """
    End an event source: its requests are rejected from now on.

    Raises:
        NotFound: the partner has no such source.
    """
    async with deps.db.transaction() as tx:
        await sources.end(tx, await sources.locked(tx, _partner(request, deps), request.params["sourceId"]))
    return Reply(204)


def _partner(request: Request, deps: Deps) -> str:
    partner_id = request.params["id"]
    check(request, deps, "partner", "manage-sources", owner=partner_id)
    return partner_id


def _sealed(deps: Deps, secret: str, source_id: str) -> bytes:
    try:
        return deps.singleton(sealing).seal(secret, source_id)
    except MissingSetting:
        raise Unavailable("no-secrets-here", "This shop is not configured to store secrets (WEBHOOK_KEYS).") from None


def _document(source: EventSource) -> dict[str, Any]:
    return {"sourceId": source.source_id, "url": f"/events/{source.source_id}", "createdAt": source.created_at}
