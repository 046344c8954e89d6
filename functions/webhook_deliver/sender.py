"""Sends due messages: claims them, makes their attempts side by side, and records the results together."""

import asyncio
import logging
import random
import time
from collections.abc import Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from functions.webhook_deliver import handshake
from functions.webhook_deliver.claims import LEASE, Claimed, OpenSecrets, claim
from functions.webhook_deliver.record import record
from functions.webhook_deliver.requests import Request, result_of
from functions.webhook_deliver.retention import Retention
from functions.webhook_deliver.slots import Slots
from pulsecart.bridges.outgoing_http.client import outgoing_http
from pulsecart.bridges.outgoing_http.results import Answer, Failure, NotAllowed
from pulsecart.runtime.away import is_away
from pulsecart.runtime.backoff import Backoff
from pulsecart.runtime.batch import Batcher
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.sealing import sealing
from pulsecart.shop import metrics
from pulsecart.shop.webhooks.attempt import Result
from pulsecart.shop.webhooks.consent import origin_of
from pulsecart.shop.webhooks.db import queue
from pulsecart.shop.webhooks.db.queue import Queue

log = logging.getLogger(__name__)
NAME = "webhook_deliver"
QUIET_S = 330.0  # longer than the sweep's interval, so that a process runs for every retry that is due in between
GATHER_S = 0.01
RECORD_AGAIN = Backoff(0.2, 2.0)
LEAVE_S = 2.0  # to record what was canceled
CONNECTIONS = 2
EARLIEST, NEVER = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


class Sender:
    """Sends the messages of all subscriptions; one per process, several processes at once share the work."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps.share(NAME, CONNECTIONS)
        self._http = deps.singleton(outgoing_http)
        self._secrets = OpenSecrets(deps.singleton(sealing))
        self._origin = origin_of(deps.settings.public_url)
        self._results: Batcher[Result, None] = Batcher(self._record)
        self._slots = Slots()
        self._retention = Retention(deps.share(NAME, 1).db, deps.settings.webhook_keep_days)
        self._one = asyncio.Lock()
        self._tasks = asyncio.TaskGroup()
        self._open = False  # tasks may be added
        self._working = 0  # of these tasks
        self._looks_at = NEVER  # when ``stay_awake`` looks again by itself
        self._recording: set[asyncio.Future[None]] = set()
        self._canceled: list[Result] = []

    async def stay_awake(self) -> None:
        """
        Send what is due, and stay awake while something is due before the next sweep, or in flight.

        Every attempt is a task of one group: when this is canceled, so are they, and their claims are given back.
        """
        if self._deps.wake_ups.stays(NAME):
            await self._stay()
            return
        async with self._one:
            try:
                await self._run()
            finally:
                await self._leave()

    async def _run(self) -> None:
        failed: Exception | None = None
        async with asyncio.TaskGroup() as self._tasks:
            self._open = True
            try:
                await self._stay()
            except Exception as error:  # not raised in the group: it would cancel the attempts in flight
                failed = error
            finally:
                self._open = False
        if failed is not None:
            raise failed

    async def _stay(self) -> None:
        await self._deps.wake_ups.stay_awake(
            NAME, self._next_due, self._act, QUIET_S, busy=lambda: self._working > 0, gather_s=GATHER_S
        )

    async def _next_due(self) -> datetime | None:
        self._retention.start(self._tasks)
        if not self._slots.free:
            self._looks_at = EARLIEST  # the next record claims what is due
            return None
        async with self._deps.db.transaction() as tx:
            due = await queue.first_due(tx, unwell=self._slots.free_unwell > 0)
        self._looks_at = due or NEVER
        return due

    async def _act(self) -> None:
        while await self._claim():
            pass

    async def _claim(self) -> bool:
        """Claim and start due work; return whether there may be more."""
        with self._slots.reserve() as room:
            if not room[0]:
                return False
            async with self._deps.db.transaction(pipelined=True) as tx:
                claimed = await claim(tx, self._secrets, *room)
            self._start(claimed)
        return claimed.more

    def _start(self, claimed: Claimed) -> None:
        for request in claimed.requests:
            self._begin(self._attempt(request), unwell=request.attempt.unwell)
        for one in claimed.asks:
            self._begin(self._ask(one), unwell=one.circuit.is_unwell)

    def _begin(self, work: Coroutine[Any, Any, None], *, unwell: bool) -> None:
        self._slots.take(unwell=unwell)
        self._working += 1
        self._tasks.create_task(self._counted(work))

    async def _counted(self, work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception:
            log.exception("a webhook could not be sent or recorded; it is repeated after its claim ends")
        finally:
            self._working -= 1
            if not self._working:
                self._look()

    def _look(self) -> None:
        """Let ``stay_awake`` look again what is due, unless this is ending."""
        if self._deps.wake_ups.stays(NAME):
            self._deps.wake(NAME)

    async def _attempt(self, request: Request) -> None:
        attempt, began = request.attempt, time.perf_counter()
        try:
            outcome: Answer | Exception = await self._http.send("POST", attempt.url, request.headers, request.body)
        except (Failure, NotAllowed) as error:
            outcome = error
        except Exception as error:
            log.exception("webhook message %s could not be sent", attempt.message_id)
            outcome = error
        except asyncio.CancelledError:
            now = self._deps.clock.now()
            self._canceled.append(Result(attempt=attempt, result="canceled", ended_at=now, error="the shop stopped"))
            raise
        finally:
            self._slots.give_back(unwell=attempt.unwell)
        result = result_of(attempt, outcome, self._deps.clock.now())
        metrics.webhook_attempt(result.result, began, retried=attempt.number > 1)
        await self._recorded(result)

    async def _recorded(self, result: Result) -> None:
        """Record a result, also if this is canceled; while the database is away, as long as the claim lasts."""
        failures = 0
        while True:
            try:
                recording = self._results.submit(result)
                self._recording.add(recording)
                recording.add_done_callback(self._recording.discard)
                return await asyncio.shield(recording)
            except Exception as error:
                failures += 1
                if not is_away(error) or self._deps.clock.now() >= result.attempt.began_at + LEASE:
                    raise
                await asyncio.sleep(RECORD_AGAIN.jittered_after(failures))

    async def _record(self, results: list[Result]) -> Sequence[None]:
        """Record results, and claim what may follow them in the same transaction."""
        with self._slots.reserve() as room:
            claims = room[0] > 0 and self._open
            async with self._deps.db.transaction(pipelined=True) as tx:
                dues = await record(tx, results, random.random)
                claimed = await claim(tx, self._secrets, *room) if claims else Claimed()
            self._start(claimed)
        if not claims or claimed.more or self._is_earlier(dues | claimed.dues):
            self._look()
        return [None] * len(results)

    def _is_earlier(self, dues: Mapping[str, datetime | None]) -> bool:
        """Return whether something is due before ``stay_awake`` looks again."""
        return any(due is not None and due < self._looks_at for due in dues.values())

    async def _ask(self, one: Queue) -> None:
        try:
            answered = await handshake.ask(self._http, self._origin, one)
        finally:
            self._slots.give_back(unwell=one.circuit.is_unwell)
        await handshake.write(self._deps.db, self._origin, one, answered)
        self._look()

    async def _leave(self) -> None:
        """Wait until all results are recorded, and give back the claims of canceled attempts."""
        canceled, self._canceled = self._canceled, []
        try:
            async with asyncio.timeout(LEAVE_S):
                await asyncio.gather(*self._recording, return_exceptions=True)
                if canceled:
                    async with self._deps.db.transaction() as tx:
                        await record(tx, canceled, random.random)
        except Exception as error:
            log.warning("the claims of canceled webhooks were not given back; they end within a minute: %s", error)
