"""Accepts events of partners: POST /events with a token, or POST /events/{sourceId} signed → partner.*.reported."""

from functools import partial

import msgspec

from functions.events.batch import Outcome, accept_all
from functions.events.consent import consent
from functions.events.signed import Signed
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import Unprocessable
from pulsecart.serving import cloudevents, event_batch
from pulsecart.serving.access import PARTNER_ALONE, PUBLIC, PUBLIC_RATE_LIMITED
from pulsecart.serving.asgi import TooLarge
from pulsecart.serving.auth import subject_of
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.operation import operation
from pulsecart.serving.policy import Policies
from pulsecart.serving.rate_limit import Limits
from pulsecart.serving.routes import options, post
from pulsecart.shop.partners.acceptance import CONNECTIONS, NAME, Acceptance
from pulsecart.shop.partners.events import FulfilmentReported, StockReported

EVENTS_MAX = 1000
BODY_MAX = 1024 * 1024


async def with_token(request: Request, deps: Deps) -> Reply:
    """Accept the events of the partner that the token names; raises as ``_accept``."""
    return await _accept(request, deps, subject_of(request))


async def with_signature(request: Request, deps: Deps) -> Reply:
    """
    Accept the events of the partner whose event source signed the request; raises as ``_accept``.

    Raises:
        Unauthorized: the signature is missing, wrong or too old.
        TooMany: the partner sent too many requests.
    """
    partner_id = await deps.singleton(Signed).partner_of(request, request.params["sourceId"])
    deps.singleton(Limits).count(request, f"partner {partner_id}", deps.clock.now().timestamp())
    return await _accept(request, deps, partner_id)


async def _accept(request: Request, deps: Deps, partner_id: str) -> Reply:
    """
    Write the event, or each good event of a batch, to the log; reply when all of them are durable.

    Raises:
        Malformed: the request is no event or batch, or its only event breaks its contract.
        Forbidden: the only event's source, type, order or product is not the partner's.
        TooLarge: the batch has more than EVENTS_MAX events.
        Unprocessable: at least one event of the batch is rejected; ``rejected`` has a reason for each.
    """
    accepting = deps.singleton(acceptance)
    check = partial(accepting.checked, partner_id=partner_id, extensions=_extensions(request))
    if not event_batch.is_batch(request.headers):
        outcome = Outcome()
        outcome.count(await accepting.reports.submit(check(cloudevents.decode(request.headers, request.body))))
        return _reply(outcome)
    members = event_batch.members(request.body)
    if len(members) > EVENTS_MAX:
        raise TooLarge("too-many-events", f"A batch has at most {EVENTS_MAX} events. Send several batches.")
    outcome = await accept_all(members, check, accepting)
    if outcome.rejected:
        raise _rejected(outcome, len(members))
    return _reply(outcome)


def acceptance(deps: Deps) -> Acceptance:
    """Create the process's Acceptance, for ``deps.singleton``."""
    return Acceptance(deps.share(NAME, CONNECTIONS).db, deps.clock.now, deps.singleton(Policies).verdict)


def _extensions(request: Request) -> dict[str, str]:
    named = {"correlationid": request.headers["correlation-id"]}
    if "traceparent" in request.headers:
        named["traceparent"] = request.headers["traceparent"]
    return named


def _reply(outcome: Outcome) -> Reply:
    return Reply(202, msgspec.json.encode({"accepted": outcome.accepted, "duplicates": outcome.duplicates}))


def _rejected(outcome: Outcome, total: int) -> Unprocessable:
    bad = len(outcome.rejected)
    return Unprocessable(
        "events-rejected",
        f"{bad} of {total} events were rejected; the others are accepted. Correct these and send them again: "
        "accepted ones, repeated, have no further effect.",
        accepted=outcome.accepted,
        duplicates=outcome.duplicates,
        rejected=outcome.rejected,
    )


events = operation(
    "events",
    routes=[
        post("/events", with_token, allow=PARTNER_ALONE, max_body_bytes=BODY_MAX),
        options("/events", consent, allow=PUBLIC),
        post("/events/{sourceId}", with_signature, allow=PUBLIC_RATE_LIMITED, max_body_bytes=BODY_MAX),
        options("/events/{sourceId}", consent, allow=PUBLIC),
    ],
    emits=[FulfilmentReported, StockReported],
    seals=True,
)
