"""Sends due messages: claims them, makes their attempts side by side, and records the results together."""

import asyncio
import logging
import random
import time
from collections.abc import Coroutine, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from functions.webhook_deliver.claims import LEASE, Claimed, claim
from functions.webhook_deliver.record import record
from functions.webhook_deliver.requests import USER_AGENT, Request, result_of
from pulsecart.bridges.outgoing_http.client import OutgoingHttp
from pulsecart.bridges.outgoing_http.results import Answer, Failure, NotAllowed
from pulsecart.runtime.away import is_away
from pulsecart.runtime.backoff import Backoff
from pulsecart.runtime.batch import Batcher
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.outgoing_allow import allowed_of
from pulsecart.runtime.sealing import sealing
from pulsecart.shop import metrics
from pulsecart.shop.webhooks import consent
from pulsecart.shop.webhooks.attempt import Result
from pulsecart.shop.webhooks.db import queue
from pulsecart.shop.webhooks.db.queue import Queue

log = logging.getLogger(__name__)
NAME = "webhook_deliver"
QUIET_S = 330.0  # longer than the sweep's interval, so that a process runs for every retry that is due in between
GATHER_S = 0.01
ROOM = 256  # attempts in flight in this process; half of them for endpoints whose last attempt failed
UNWELL_ROOM = 128
PER_HOST = 100  # the highest concurrency of a subscription
ASK_S = 10.0
RECORD_AGAIN = Backoff(0.2, 2.0)
LEAVE_S = 2.0  # to record what was canceled
CONNECTIONS = 2


def webhook_http(deps: Deps) -> OutgoingHttp:
    """Create the client of deliveries, for ``deps.singleton``: subscriptions bound the calls to their hosts."""
    client = OutgoingHttp(allowed_of(deps.settings.outgoing_allow), connections_per_host=PER_HOST)
    deps.closing.append(client.close)
    return client


class Sender:
    """Sends the messages of all subscriptions; one per process, several processes at once share the work."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps.share(NAME, CONNECTIONS)
        self._http = deps.singleton(webhook_http)
        self._sealing = deps.singleton(sealing)
        self._origin = consent.origin_of(deps.settings.public_url)
        self._results: Batcher[Result, None] = Batcher(self._record)
        self._tasks = asyncio.TaskGroup()
        self._open = False  # tasks may be added
        self._one = asyncio.Lock()
        self._in_flight = 0
        self._unwell = 0
        self._reserved = 0
        self._recording: set[asyncio.Task[None]] = set()
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
            NAME, self._next_due, self._act, QUIET_S, busy=lambda: self._in_flight > 0, gather_s=GATHER_S
        )

    async def _next_due(self) -> datetime | None:
        if self._room <= 0:
            return None  # the end of an attempt wakes this again
        async with self._deps.db.transaction() as tx:
            return await queue.first_due(tx, unwell=self._unwell < UNWELL_ROOM)

    async def _act(self) -> None:
        while await self._claim():
            pass

    async def _claim(self) -> bool:
        """Claim and start due work; return whether there may be more."""
        with self._reserve() as room:
            if room <= 0:
                return False
            async with self._deps.db.transaction() as tx:
                claimed = await claim(tx, self._sealing, room, UNWELL_ROOM - self._unwell)
            self._start(claimed)
        return claimed.more

    @property
    def _room(self) -> int:
        return ROOM - self._in_flight - self._reserved

    @contextmanager
    def _reserve(self) -> Iterator[int]:
        """Reserve all the room there is for one transaction, which then takes some of it."""
        room = max(0, self._room)
        self._reserved += room
        try:
            yield room
        finally:
            self._reserved -= room

    def _start(self, claimed: Claimed) -> None:
        for request in claimed.requests:
            self._begin(self._attempt(request), unwell=request.attempt.unwell)
        for one in claimed.asks:
            self._begin(self._ask(one), unwell=one.circuit.is_unwell)

    def _begin(self, work: Coroutine[Any, Any, None], *, unwell: bool) -> None:
        self._in_flight += 1
        self._unwell += unwell
        self._tasks.create_task(self._counted(work, unwell))

    async def _counted(self, work: Coroutine[Any, Any, None], unwell: bool) -> None:
        try:
            await work
        except Exception:
            log.exception("a webhook could not be sent or recorded; it is repeated after its claim ends")
        finally:
            was_full = self._room <= 0 or self._unwell >= UNWELL_ROOM
            self._in_flight -= 1
            self._unwell -= unwell
            if was_full or not self._in_flight:
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
        result = result_of(attempt, outcome, self._deps.clock.now())
        metrics.webhook_attempt(result.result, began, retried=attempt.number > 1)
        recording = asyncio.get_running_loop().create_task(self._recorded(result))
        self._recording.add(recording)
        recording.add_done_callback(self._recording.discard)
        await asyncio.shield(recording)

    async def _recorded(self, result: Result) -> None:
        """Record a result; while the database is away, as long as its claim lasts."""
        failures = 0
        while True:
            try:
                return await self._results.submit(result)
            except Exception as error:
                failures += 1
                if not is_away(error) or self._deps.clock.now() >= result.attempt.began_at + LEASE:
                    raise
                await asyncio.sleep(RECORD_AGAIN.jittered_after(failures))

    async def _record(self, results: list[Result]) -> Sequence[None]:
        """Record results, and claim what may follow them in the same transaction."""
        with self._reserve() as room:
            async with self._deps.db.transaction() as tx:
                await record(tx, results, random.random)
                claimed = Claimed()
                if room and self._open:
                    claimed = await claim(tx, self._sealing, room, UNWELL_ROOM - self._unwell)
            self._start(claimed)
        self._look()
        return [None] * len(results)

    async def _ask(self, one: Queue) -> None:
        """Ask an endpoint for its consent, and record its answer."""
        headers = (("user-agent", USER_AGENT), (consent.REQUEST_ORIGIN, self._origin))
        try:
            answer = await self._http.send("OPTIONS", one.url, headers, b"", total_s=ASK_S)
        except (Failure, NotAllowed) as error:
            log.info(
                "webhook subscription %s: the endpoint was not asked for its consent: %s", one.subscription_id, error
            )
            answered = None
        else:
            answered = {name.lower(): value for name, value in answer.headers}
        now = self._deps.clock.now()
        after = consent.consent_after(one.consent, answered, self._origin, now)
        not_before = None if after.allows(one.required) else now + consent.ASK_AGAIN
        async with self._deps.db.transaction() as tx:
            await queue.lock(tx, [one.subscription_id])
            await queue.write_consent(tx, one.subscription_id, one.url, after, not_before)
            await queue.recompute(tx, [one.subscription_id])
        self._look()

    async def _leave(self) -> None:
        """Record what ended last, and give back the claims of canceled attempts."""
        try:
            async with asyncio.timeout(LEAVE_S):
                await asyncio.gather(*self._recording, return_exceptions=True)
                if canceled := self._taken_canceled():
                    async with self._deps.db.transaction() as tx:
                        await record(tx, canceled, random.random)
        except Exception as error:
            log.warning("the claims of canceled webhooks were not given back; they end within a minute: %s", error)

    def _taken_canceled(self) -> list[Result]:
        canceled, self._canceled = self._canceled, []
        return canceled
