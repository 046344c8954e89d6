"""
Kills webhook_deliver again and again while it sends, pauses and resumes subscriptions, and checks that nothing is lost.

    scripts/python -m benchmarks.webhooks_soak [--messages 100000] [--kills 20] [--subscriptions 40] [--out FILE.json]

The deliverer is a process of its own: it receives the events over HTTP, as from a broker, and sends their messages to
an endpoint in this process. kill -9 comes at random moments, and the next process starts at once. Every other
subscription is ordered. The exit status is 1 if a check fails; the long form is ``--messages 1000000 --kills 100
--subscriptions 100``.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from bisect import bisect
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import uvloop
from aiohttp import ClientSession

from benchmarks.machine import described
from benchmarks.report import write_report
from benchmarks.webhook_deliverer import CLAIM_S, Deliverer, deliverer, session
from benchmarks.webhook_endpoints import Inbox, answers, endpoint, pause, resume, subscribe
from benchmarks.webhooks import DATA, PAID, say, shop
from benchmarks.webhooks_verdict import MESSAGES, Message, judge
from pulsecart.runtime.db.database import as_json
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import CloudEvent, new_id, padded

KEYS = 50  # lanes of each ordered subscription
FEEDERS = 10
CONCURRENCY = 100
ANSWER_S, PAUSED_S = 0.02, 1.0
AHEAD = 0.25  # of all messages: how many may be stored and not yet received
LAST_KILL = 0.9  # of all messages: received before the last kill
LOOK_S, SAY_S = 0.02, 5.0
STORED_WHILE_PAUSED = """
    SELECT count(*) FROM webhook_messages m
    JOIN json_to_recordset(%s::json) AS p (subscription_id uuid, since timestamptz, until timestamptz)
        ON m.subscription_id = p.subscription_id AND m.created_at BETWEEN p.since AND p.until
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """
    Bounds a run.

    Args:
        claim_s: how long a message stays claimed by a process that was killed.
        within_s: then the run ends, and what is missing counts as lost.
    """

    messages: int
    kills: int
    subscriptions: int
    claim_s: float = CLAIM_S
    within_s: float = 3600.0

    @property
    def events(self) -> int:
        return self.messages // self.subscriptions

    @property
    def sent(self) -> int:
        """Return the number of messages that there are: whole events."""
        return self.events * self.subscriptions


class Soak:
    """One run: events arrive, subscriptions are paused and resumed, and the process is killed, all at once."""

    def __init__(self, deps: Deps, size: Size, inbox: Inbox, process: Deliverer, ids: Sequence[str]) -> None:
        self._deps = deps
        self._size = size
        self._inbox = inbox
        self._process = process
        self._ids = ids
        self._stored = 0
        self._busy = True
        self.killed_at: list[datetime] = []
        self.pauses: list[dict[str, object]] = []

    @property
    def received(self) -> int:
        return len(self._inbox.first_at)

    async def run(self, http: ClientSession) -> None:
        """Return when every message was received and recorded."""
        self._process.start()
        async with asyncio.TaskGroup() as group:
            telling = group.create_task(self._tell())
            pausing = group.create_task(self._pause(http))
            async with asyncio.TaskGroup() as busy:
                busy.create_task(self._kill())
                for feeder in range(FEEDERS):
                    busy.create_task(self._feed(http, feeder))
            self._busy = False
            await pausing
            await until(partial(self._have_come, 1.0))
            await self._recorded()
            telling.cancel()

    async def _feed(self, http: ClientSession, feeder: int) -> None:
        """Post the events of some keys, those of a key one after the other."""
        keys = range(feeder, KEYS, FEEDERS)
        for number in range(feeder, self._size.events, FEEDERS):
            await until(lambda: self._stored * self._size.subscriptions <= self.received + AHEAD * self._size.sent)
            self._stored += 1
            await self._process.post(http, event(f"o-{keys[number // FEEDERS % len(keys)]}", number))

    def _have_come(self, share: float) -> bool:
        return self.received >= share * self._size.sent

    async def _kill(self) -> None:
        for share in sorted(random.uniform(0.01, LAST_KILL) for _ in range(self._size.kills)):
            await until(partial(self._have_come, share))
            await asyncio.sleep(random.uniform(0, LOOK_S))
            self._process.kill()
            self.killed_at.append(datetime.now(UTC))
            self._process.start()

    async def _pause(self, http: ClientSession) -> None:
        """Pause some subscriptions, and resume them, until all events are stored and all kills are done."""
        while self._busy:
            some = random.sample(self._ids, max(1, len(self._ids) // 4))
            await pause(self._deps, some)
            since = datetime.now(UTC)
            await asyncio.sleep(random.uniform(0, 2 * PAUSED_S))
            self.pauses += [{"subscription_id": id, "since": since, "until": datetime.now(UTC)} for id in some]
            await resume(self._deps, some)
            await self._process.wake(http)
            await asyncio.sleep(random.uniform(0, PAUSED_S))

    async def _recorded(self) -> None:
        while True:
            async with self._deps.db.transaction() as tx:
                if not await tx.row("SELECT 1 FROM webhook_messages WHERE status = 'PENDING' LIMIT 1"):
                    return
            await asyncio.sleep(10 * LOOK_S)

    async def _tell(self) -> None:
        while True:
            await asyncio.sleep(SAY_S)
            say(f"{self.received:,} of {self._size.sent:,} messages received, {len(self.killed_at)} kills")


async def until(holds: Callable[[], bool]) -> None:
    while True:
        if holds():
            return
        await asyncio.sleep(LOOK_S)


def event(key: str, number: int) -> CloudEvent:
    extensions = {"partitionkey": key, "sequence": padded(number + 1), "correlationid": key}
    return CloudEvent(id=new_id(), source="/pulsecart/pay", type=PAID, subject=key, data=DATA, extensions=extensions)


async def soak(deps: Deps, size: Size, log: Path) -> dict[str, Any]:
    """
    Run once on an empty database.

    Args:
        log: file for the output of the deliverers.

    Returns:
        Counts; ``problems`` names the checks that failed.
    """
    inbox = Inbox()
    with deliverer(deps.settings, log, size.claim_s) as process:
        async with endpoint(inbox, answers(ANSWER_S)) as url, session() as http:
            ids = [
                await subscribe(deps, url, PAID, ordered=at % 2 == 0, concurrency=CONCURRENCY)
                for at in range(size.subscriptions)
            ]
            one, began = Soak(deps, size, inbox, process, ids), time.monotonic()
            late: list[str] = []
            try:
                async with asyncio.timeout(size.within_s):
                    await one.run(http)
            except TimeoutError:
                late = [f"it did not end within {size.within_s:g} s"]
            took_s = time.monotonic() - began
            await process.stop()
    verdict = await judged(deps, size, inbox, one)
    return {
        "messages": size.sent,
        "kills": len(one.killed_at),
        "pauses": len(one.pauses),
        "subscriptions": size.subscriptions,
        "claim_s": size.claim_s,
        "took_s": round(took_s, 1),
        "requests_repeated": process.repeated,
        **verdict,
        "problems": late + verdict["problems"],
    }


async def judged(deps: Deps, size: Size, inbox: Inbox, one: Soak) -> dict[str, Any]:
    async with deps.db.transaction() as tx:
        messages = [Message(*row) for row in await tx.rows(MESSAGES)]
        paused = await tx.row(STORED_WHILE_PAUSED, (as_json(one.pauses),))
        opened = await tx.rows("SELECT began_at FROM webhook_delivery_attempts WHERE result IS NULL")
    kills, at_once = len(one.killed_at), size.subscriptions * CONCURRENCY
    by_kill = Counter(bisect(one.killed_at, row[0]) for row in opened)
    found = judge(messages, inbox.got, expected=size.sent, open_max=kills * at_once)
    found["problems"] += [f"attempts left open after the last kill: {by_kill[kills]}"] if by_kill[kills] else []
    found["problems"] += [f"only {kills} kills"] if kills < size.kills else []
    return {
        **found,
        "in_flight_at_each_kill": [by_kill[at] for at in range(kills)],
        "stored_while_paused": paused[0] if paused else 0,
    }


async def measure(size: Size) -> dict[str, Any]:
    machine = described()
    with tempfile.TemporaryDirectory(prefix="pulsecart-soak-") as directory:
        async with shop() as (deps, _):
            return {"machine": machine, **await soak(deps, size, Path(directory) / "log")}


def main() -> int:
    parser = argparse.ArgumentParser("benchmarks.webhooks_soak", description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--subscriptions", type=int, default=40, help="each gets every event")
    parser.add_argument("--within", dest="within_s", type=float, default=3600.0, help="seconds")
    parser.add_argument("--out", type=Path)
    options = vars(parser.parse_args())
    out = options.pop("out")
    found = uvloop.run(measure(Size(**options)))
    write_report(found, out)
    return 1 if found["problems"] else 0


if __name__ == "__main__":
    sys.exit(main())
