"""Reads the backlog of each subscription at a scrape of the metrics."""

from collections.abc import Sequence

from pulsecart.runtime.deps import Deps
from pulsecart.runtime.telemetry.metrics import READERS, Reading
from pulsecart.shop.webhooks.db.backlog import backlogs

LABELS = ("subscription", "status")  # an id, because there are few of them: only those with a backlog, at most 100


async def read_backlogs(deps: Deps) -> Sequence[Reading]:
    """Return the number of messages that wait for each subscription, and the age of the oldest."""
    async with deps.db.transaction() as tx:
        found = await backlogs(tx)
    messages: dict[tuple[str, ...], float] = {(one.subscription_id, one.status): one.messages for one in found}
    ages: dict[tuple[str, ...], float] = {(one.subscription_id, one.status): max(0.0, one.age_s) for one in found}
    return [
        Reading("webhook_backlog_messages", "Messages of a subscription that wait, at most 10,000", LABELS, messages),
        Reading("webhook_backlog_age_seconds", "Age of the oldest of them", LABELS, ages),
    ]


READERS.append(read_backlogs)
