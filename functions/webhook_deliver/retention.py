"""Deletes old messages beside the sending of new ones, so that no message waits for it."""

import asyncio
import logging
from datetime import UTC, datetime, timedelta

from pulsecart.runtime.db.database import Database
from pulsecart.shop.webhooks.db import retention

log = logging.getLogger(__name__)
EVERY = timedelta(minutes=1)  # at most, in a process that stays awake; otherwise each sweep


class Retention:
    """Starts the checks of one process."""

    def __init__(self, db: Database, keep_days: int) -> None:
        self._db = db
        self._kept = timedelta(days=keep_days)
        self._not_before = datetime.min.replace(tzinfo=UTC)

    def start(self, tasks: asyncio.TaskGroup) -> None:
        """Start a check as one of these tasks, unless one began within EVERY."""
        now = self._db.now()
        if now >= self._not_before:
            self._not_before = now + EVERY
            tasks.create_task(self._check())

    async def _check(self) -> None:
        try:
            await retention.end_old(self._db, self._kept)
        except Exception as error:  # not raised in the group: it would cancel the attempts in flight
            log.warning("old webhook messages were not deleted; the next check tries it again: %s", error)
