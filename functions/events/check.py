"""Checks an event that a partner sends, by its bounds, its sender, its type and its contract."""

from collections.abc import Mapping

from pulsecart.runtime.bounds import check_event
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.problem import Forbidden, Problem
from pulsecart.serving.policy import Policies
from pulsecart.shop.partners.reports import POLICY, ROLE, Report, report_of, source_of

# The member of an event that a problem is about, as a JSON pointer; others are about the event as a whole.
PLACES: Mapping[str, str] = {"wrong-source": "/source", "unknown-type": "/type", "not-allowed": "/type"}


def checked(event: CloudEvent, partner_id: str, extensions: Mapping[str, str], deps: Deps) -> Report:
    """
    Return the report that the event is; whether its order or product is the partner's own is checked later.

    Raises:
        Malformed: the event exceeds a bound, has an unknown type, or breaks its contract.
        Forbidden: its source is not the partner's, or partners may not send events of its type.
    """
    from pulsecart.runtime.contracts import event_types, validate  # its library is not loaded before an event comes

    check_event(event)
    source = source_of(partner_id)
    if event.source != source:
        raise Forbidden("wrong-source", f"The source of your events is {source}, and not {event.source[:200]}.")
    if event.type in event_types() and not may_send(event.type, deps, own=True):
        raise Forbidden("not-allowed", f"Partners do not send {event.type}: the shop itself writes these events.")
    validate(event)
    return report_of(event, partner_id, extensions, deps.clock.now())


def may_send(event_type: str, deps: Deps, *, own: bool) -> bool:
    """Return the verdict of the policy about a partner's event."""
    return deps.singleton(Policies).verdict(POLICY, event_type, ROLE, own, "") == "allowed"


def not_yours(report: Report) -> Forbidden:
    """Return the problem of a report about someone else's thing; whether that thing exists is not disclosed."""
    thing = "an order of your products alone" if report.about_an_order else "one of your products"
    return Forbidden("not-yours", f"{report.key[:64]} is not {thing}.", pointer=f"/{report.member}")


def pointer_of(error: Problem) -> str:
    """Return the JSON pointer, within an event, of what is wrong with it; empty for the event as a whole."""
    if error.type in PLACES:
        return PLACES[error.type]
    return f"/data{error.extra['pointer']}" if "pointer" in error.extra else ""
