"""Sends the log to Knative's broker, each key in order; idle when the broker reads the log itself."""

import asyncio
import logging
from collections.abc import Iterable
from datetime import UTC, datetime

from pulsecart.broker.courier import Courier
from pulsecart.broker.dead_letters import letters, table
from pulsecart.broker.dead_letters.replays import replay
from pulsecart.broker.delivery import Delivery, Destination, Outcome
from pulsecart.broker.dispatch import Dispatcher
from pulsecart.broker.filters import everything
from pulsecart.broker.manifests.eventing import Trigger, load_all
from pulsecart.broker.store import session
from pulsecart.runtime.algorithms import named
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import CloudEvent
from pulsecart.serving import signatures
from pulsecart.serving.operation import operation

log = logging.getLogger(__name__)
CURSOR = "/relay"  # not a valid Trigger name
HERE = Destination(None, "http://relay/relay")
CONCURRENCY = 256  # keys in flight: an in-memory channel answers after its subscribers, cold starts included
FOR_EVER = 2**31 - 2
BACKOFF_S = 0.1  # linear: 8 s between attempts after ten minutes of outage
MARGIN_S = 5.0
LOOK_S = 0.02
GIVE_WAY_S = 3.0
NOT_KNOWN = frozenset((401, 403))  # the broker rejects the relay's token, whatever the event


async def stay_awake(deps: Deps) -> None:
    """Send the log's events until none are left. A wake-up makes a running relay read the log again."""
    if deps.settings.broker_url:
        relaying = deps.singleton(Relay)
        await deps.wake_ups.stay_awake("relay", relaying.oldest, relaying.send_all)


class Relay:
    """
    Sends events to its only subscriber, the broker, and retries without limit: during an outage, or while the broker
    rejects the relay's identity, events wait in the log. An event that the broker rejects as malformed becomes a dead
    letter of ``relay``. Every event is sent with a signature, which operations verify.
    """

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._keys = deps.singleton(signatures.keys)
        self._courier = Courier({}, deps)
        self._broker = Destination(None, deps.settings.broker_url, deps.settings.broker_token_file)
        sender = Delivery(dead_letter_sink=HERE, retry=FOR_EVER, exponential=False, backoff_delay_s=BACKOFF_S)
        self._trigger = Trigger(
            name=CURSOR,
            namespace="",
            broker="",
            wants=everything,
            subscriber=HERE,
            delivery=sender,
            concurrency=CONCURRENCY,
            where=__file__,
        )
        wired = load_all(named(deps.settings.profiles)).triggers
        self._subscribers = {trigger.name: _reached(trigger.subscriber, deps) for trigger in wired}
        self._timeout_s = post_timeout_s(wired)
        self._refused = False

    async def oldest(self) -> datetime | None:
        """Return when the oldest event that can be sent now was logged, or when a replay was requested, if earlier."""
        async with self._deps.db.transaction() as tx:
            due = await table.next_replay(tx)
        async with session(self._deps.settings.database_url) as store:
            cursor = (await store.cursors([CURSOR], whole_log=True))[CURSOR]
            count, since = await store.log.unread(cursor, 1)
            waiting = await store.backlog([CURSOR])
        moments = [since] * count + [row.due_at or 0.0 for row in waiting] + ([due.timestamp()] if due else [])
        return datetime.fromtimestamp(min(moments), UTC) if moments else None

    async def send_all(self) -> None:
        """Send until nothing is left, or return early when another relay holds the lock."""
        await replay(self._deps.db, self._signed, self._courier, self._subscribers, self._timeout_s)
        dispatcher = Dispatcher(
            self._deps.settings.database_url,
            [self._trigger],
            deliver=self._post,
            send_dead_letter=self._keep,
            whole_log=True,
        )
        sending = asyncio.create_task(dispatcher.run())
        try:
            began = asyncio.get_running_loop().time()
            while not dispatcher.idle:  # nothing signals the log's end, so it is polled
                await asyncio.sleep(LOOK_S)
                if not dispatcher.status() and asyncio.get_running_loop().time() - began > GIVE_WAY_S:
                    break
            dispatcher.stop()
            await sending
        finally:
            sending.cancel()

    async def _post(self, trigger: Trigger, event: CloudEvent) -> Outcome:
        outcome = await self._courier(self._broker, self._signed(event), self._timeout_s)
        refused, before = outcome.code in NOT_KNOWN, self._refused
        self._refused = refused
        if refused and not before:  # log once: every key retries
            log.warning("the broker rejects the relay's identity (status %d); see docs/kubernetes.md", outcome.code)
        return outcome._replace(verdict="again") if refused else outcome

    def _signed(self, event: CloudEvent) -> CloudEvent:
        return self._keys.signed(event) if self._keys else event

    async def _keep(self, trigger: Trigger, letter: CloudEvent) -> bool:
        async with self._deps.db.transaction() as tx:
            await table.keep(tx, letter, letters.raw_of(letter))
        return True


def _reached(subscriber: Destination, deps: Deps) -> Destination:
    if subscriber.service is None or deps.peers is None:
        return subscriber
    return Destination(None, deps.peers.url(subscriber.service) + subscriber.path)


def post_timeout_s(wired: Iterable[Trigger]) -> float:
    """
    Return a timeout longer than all of the broker's retries: an in-memory channel answers only after its subscribers,
    and a sender that gives up earlier makes it abandon the remaining retries.
    """
    return max(trigger.delivery.longest_s for trigger in wired) + MARGIN_S


relay = operation("relay", wake=stay_awake)
