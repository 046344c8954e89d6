"""Claims due messages and writes their attempts, in the transaction before they are sent."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import lru_cache

from functions.webhook_deliver.requests import Request, request_of
from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.sealing import CannotOpen, Sealing
from pulsecart.shop.webhooks.attempt import Attempt
from pulsecart.shop.webhooks.db import attempts, messages, queue
from pulsecart.shop.webhooks.db.messages import Room, Taken
from pulsecart.shop.webhooks.db.queue import Queue
from pulsecart.shop.webhooks.db.secrets import SECRETS
from pulsecart.shop.webhooks.room import next_free, rate_of, room_of
from pulsecart.shop.webhooks.signature import Secret

log = logging.getLogger(__name__)
QUEUES_MAX = 256  # in one transaction
SECRETS_KEPT = 10_000
LEASE = timedelta(seconds=60)  # three times the longest attempt; then its process is considered gone
ASK_LEASE = timedelta(seconds=15)
NO_SECRET = timedelta(minutes=1)  # until a subscription is looked at again whose secrets do not open


@dataclass(slots=True)
class Claimed:
    """
    Holds the work that one transaction claimed.

    Args:
        requests: to send; ``asks``: subscriptions to ask for their consent.
        more: more queues may be due than one transaction locks.
        dues: when the next message of a subscription can be claimed, where that has changed.
    """

    requests: list[Request] = field(default_factory=list)
    asks: list[Queue] = field(default_factory=list)
    more: bool = False
    dues: dict[str, datetime | None] = field(default_factory=dict)


class OpenSecrets:
    """Opens the secrets of subscriptions, and keeps those that were used last."""

    def __init__(self, sealing: Sealing) -> None:
        self._open = lru_cache(maxsize=SECRETS_KEPT)(lambda sealed, id: Secret(sealing.open(sealed, id)))

    def of(self, subscription_id: str, sealed: Sequence[bytes]) -> list[Secret]:
        """Open a subscription's secrets; one that does not open is logged and left out."""
        secrets = []
        for one in sealed:
            try:
                secrets.append(self._open(one, subscription_id))
            except (CannotOpen, ValueError) as error:
                log.error("a secret of webhook subscription %s cannot sign: %s", subscription_id, error)
        return secrets


@dataclass(slots=True)
class Plan:
    """
    Holds the decisions about locked queues.

    Args:
        left: how many messages may be claimed; more may be planned, since some queues have fewer than they may send.
        unwell_left: of them for endpoints whose last attempt failed.
        paces: subscription → ``next_free_at``, ``not_before``.
    """

    left: int
    unwell_left: int
    now: datetime
    rooms: list[Room] = field(default_factory=list)
    asks: list[Queue] = field(default_factory=list)
    paces: dict[str, tuple[datetime | None, datetime | None]] = field(default_factory=dict)

    def add(self, one: Queue, secrets: Sequence[Secret]) -> None:
        """Decide about a queue: send messages, ask for consent, or neither."""
        later = [at for at in (one.circuit.not_before, one.next_free_at) if at is not None and at > self.now]
        if one.held or later or self.left <= 0:
            return
        if not secrets:
            self.paces[one.subscription_id] = one.next_free_at, self.now + NO_SECRET
        elif one.consent.is_to_be_asked(one.required, self.now):
            self.asks.append(one)
            self.left -= 1
            self.paces[one.subscription_id] = one.next_free_at, self.now + ASK_LEASE
        else:
            self._send(one)

    def _send(self, one: Queue) -> None:
        rate = rate_of(one.rate_per_s, one.consent.allowed_per_min)
        room = room_of(one.circuit, one.concurrency, one.in_flight, rate)
        if one.circuit.is_unwell:
            room = min(room, self.unwell_left)
            self.unwell_left -= room
        if room > 0:
            self.rooms.append(Room(one.subscription_id, room, one.circuit.status == "FAILING"))


async def claim(tx: Tx, open_secrets: OpenSecrets, room: int, unwell_room: int) -> Claimed:
    """
    Claim due work.

    Args:
        room: maximum number of attempts and handshakes.
        unwell_room: of attempts for endpoints whose last attempt failed.
    """
    ids = await queue.lock_due(tx, min(room, QUEUES_MAX), min(room, unwell_room, QUEUES_MAX))
    if not ids:
        return Claimed()
    states = await queue.states(tx, ids)
    sealed = await SECRETS.valid(tx, ids)
    secrets = {id: open_secrets.of(id, sealed[id]) for id in ids}
    plan = Plan(room, unwell_room, tx.now)
    for id in ids:
        plan.add(states[id], secrets[id])
    taken = await messages.take(tx, plan.rooms, plan.left, tx.now + LEASE) if plan.rooms else []
    requests = [
        request_of(_attempt(one, states[one.subscription_id], tx.now), secrets[one.subscription_id]) for one in taken
    ]
    if requests:
        await attempts.begin(tx, [(one.attempt, dict(one.headers)) for one in requests])
    paces = plan.paces | _paces(taken, states, tx.now)
    if paces:
        await queue.write_pace(tx, paces)
    dues = await queue.recompute(tx, _served(ids, plan, taken))
    return Claimed(requests, plan.asks, more=len(ids) >= QUEUES_MAX, dues=dues)


def _served(ids: Sequence[str], plan: Plan, taken: Sequence[Taken]) -> Collection[str]:
    """Return the queues whose turn it was; where not all could be served, the others keep their places."""
    if len(taken) < plan.left:
        return ids
    return set(ids) - {one.subscription_id for one in plan.rooms} | {one.subscription_id for one in taken}


def _attempt(taken: Taken, state: Queue, now: datetime) -> Attempt:
    return Attempt(
        message_id=taken.message_id,
        number=taken.number,
        subscription_id=taken.subscription_id,
        retries=taken.retries,
        lane=taken.lane,
        probe=state.circuit.status == "FAILING",
        unwell=state.circuit.is_unwell,
        url=state.url,
        content_mode=state.content_mode,
        schedule_s=state.schedule_s,
        event_type=taken.event_type,
        body=taken.body,
        began_at=now,
    )


def _paces(
    taken: Sequence[Taken], states: Mapping[str, Queue], now: datetime
) -> dict[str, tuple[datetime | None, datetime | None]]:
    """Return the new paces of the subscriptions that have a rate."""
    counts: dict[str, int] = {}
    for one in taken:
        counts[one.subscription_id] = counts.get(one.subscription_id, 0) + 1
    paces = {}
    for id, count in counts.items():
        state = states[id]
        rate = rate_of(state.rate_per_s, state.consent.allowed_per_min)
        if rate is not None:
            paces[id] = next_free(state.next_free_at, count, rate, now), state.circuit.not_before
    return paces
