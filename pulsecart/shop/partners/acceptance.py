"""Accepts the events of partners, whatever brings them: checks each, and writes it to the log once by (source, id)."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from pulsecart.runtime.batch import Batcher
from pulsecart.runtime.bounds import check_event
from pulsecart.runtime.db import consumed
from pulsecart.runtime.db.database import Database, Tx
from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.problem import Forbidden, Problem
from pulsecart.shop.partners.db import products
from pulsecart.shop.partners.reports import Report, Verdict, may_report, report_of, source_of

NAME = "events"  # one for all that accept: an event that arrives two ways is written once
CONNECTIONS = 2
COMMIT_MAX = 256


class Acceptance:
    """
    Checks events, and groups the reports of all requests; one per process and operation.

    One transaction at a time: events of one order or product are logged in the order in which they were accepted.

    Args:
        now: returns the current time, aware UTC.
        verdict: evaluates a policy; ``pulsecart.serving.policy.Policies.verdict``.
    """

    def __init__(self, db: Database, now: Callable[[], datetime], verdict: Verdict) -> None:
        self._db = db
        self._now = now
        self._verdict = verdict
        self.reports: Batcher[Report, bool] = Batcher(self._commit, size_max=COMMIT_MAX)

    async def accept(self, event: CloudEvent, partner_id: str, extensions: Mapping[str, str]) -> bool:
        """
        Write an event to the log, if it is not there; return whether it is new, when it is durable.

        Raises:
            Malformed, Forbidden: as ``checked``; or its order or product is not the partner's.
            Unavailable: PostgreSQL cannot be reached; the event may be durable. To repeat it is safe.
        """
        return await self.reports.submit(self.checked(event, partner_id, extensions))

    def checked(self, event: CloudEvent, partner_id: str, extensions: Mapping[str, str]) -> Report:
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
        if event.type in event_types() and not self._may_send(event.type, own=True):
            raise Forbidden("not-allowed", f"Partners do not send {event.type}: the shop itself writes these events.")
        validate(event)
        return report_of(event, partner_id, extensions, self._now())

    async def _commit(self, reports: list[Report]) -> Sequence[bool | Exception]:
        async with self._db.transaction() as tx:
            refused = await self._refused(tx, reports)
            wanted = [report.event for at, report in enumerate(reports) if at not in refused]
            new = {event.identity for event in await consumed.first_time(tx, NAME, wanted)}
            results: list[bool | Exception] = []
            for at, report in enumerate(reports):
                is_new = at not in refused and report.event.identity in new
                if is_new:
                    new.remove(report.event.identity)
                    tx.events.append(report.event)
                results.append(refused.get(at, is_new))
        return results

    async def _refused(self, tx: Tx, reports: list[Report]) -> dict[int, Problem]:
        """Return position → problem of reports about things of others, except those that are in the log already."""
        own = await products.are_own(tx, [(one.partner_id, one.about_an_order, one.key) for one in reports])
        foreign = {
            at: report
            for at, (report, is_own) in enumerate(zip(reports, own, strict=True))
            if not self._may_send(report.event.type, own=is_own)
        }
        known = await consumed.known(tx, NAME, [one.event for one in foreign.values()]) if foreign else set()
        return {at: _not_yours(report) for at, report in foreign.items() if report.event.identity not in known}

    def _may_send(self, event_type: str, *, own: bool) -> bool:
        """Return the verdict of the policy about a partner's event."""
        return may_report(self._verdict, event_type, own=own)


def _not_yours(report: Report) -> Forbidden:
    """Return the problem of a report about someone else's thing; whether that thing exists is not disclosed."""
    thing = "an order of your products alone" if report.about_an_order else "one of your products"
    return Forbidden("not-yours", f"{report.key[:64]} is not {thing}.", pointer=f"/{report.member}")
