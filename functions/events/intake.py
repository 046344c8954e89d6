"""Writes reports that arrive together to the log, in one transaction; each that cannot be written fails alone."""

from collections.abc import Sequence

from functions.events.check import may_send, not_yours
from pulsecart.runtime.batch import Batcher
from pulsecart.runtime.db import consumed
from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import Problem
from pulsecart.shop.partners.db import products
from pulsecart.shop.partners.reports import Report

NAME = "events"
CONNECTIONS = 2
COMMIT_MAX = 256


class Intake:
    """
    Groups reports of all requests; one per process. A report's result is whether it is new to the log.

    One transaction at a time: events of one order or product are logged in the order in which they were accepted.
    """

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._db = deps.share(NAME, CONNECTIONS).db
        self.reports: Batcher[Report, bool] = Batcher(self._commit, size_max=COMMIT_MAX)

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
            if not may_send(report.event.type, self._deps, own=is_own)
        }
        known = await consumed.known(tx, NAME, [one.event for one in foreign.values()]) if foreign else set()
        return {at: not_yours(report) for at, report in foreign.items() if report.event.identity not in known}
