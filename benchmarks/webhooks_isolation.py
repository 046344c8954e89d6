"""
Measures the delay of all other partners' deliveries by endpoints that hang, endpoints that trickle, and dead ones.

    scripts/python -m benchmarks.webhooks_isolation [--partners 100] [--events 75] [--pairs 3] [--per-second 2]
        [--bad 1] [--bad-concurrency 10] [--out FILE.json]

Every event goes to each partner, at a steady rate. Turns without and with the bad endpoints alternate; in turns without
them their subscriptions are paused. ``latency``: from the transaction that stored the event to the whole
request at the endpoint, of the healthy partners alone. ``ratio``: p95 with ÷ p95 without. Each partner has a host of
its own (127.0.0.0/8, Linux). The long form is ``--events 10000``.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any

import uvloop
from aiohttp import ClientSession

from benchmarks.machine import described
from benchmarks.report import write_report
from benchmarks.sse_client import percentiles
from benchmarks.webhook_deliverer import Deliverer, deliverer, session
from benchmarks.webhook_endpoints import Inbox, answers, dead, endpoint, hangs, pause, resume, subscribe, trickles
from benchmarks.webhooks import PAID, event, say, shop
from pulsecart.runtime.deps import Deps

WANTED = 1.05
CONCURRENCY = 10
WARM = 3  # events of each turn that are not counted
LAST_S = 60.0  # for the messages that are still on their way when the last event was stored
LOOK_S = 0.02
STORED = """
    SELECT m.message_id::text, extract(epoch FROM m.created_at)::float8
    FROM webhook_messages m JOIN webhook_events e USING (event_key)
    WHERE e.event_id = ANY(%s) AND m.subscription_id = ANY(%s::uuid[])
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """
    Holds the size of a run.

    Args:
        partners: healthy ones.
        events: for each partner on each side, in all its turns together.
        bad: endpoints of each kind.
    """

    partners: int
    events: int
    pairs: int
    per_second: float
    bad: int
    bad_concurrency: int


@dataclass(frozen=True, slots=True)
class Turn:
    """Holds the latencies of one turn in ms, and the number of requests that the bad endpoints got in it."""

    ms: list[float] = field(repr=False)
    bad_requests: int


@dataclass(frozen=True, slots=True)
class Stage:
    """Holds the partners, healthy and bad, with what they received, and the process that sends to them."""

    deps: Deps
    process: Deliverer
    http: ClientSession
    healthy: Sequence[str]
    bad: Sequence[str]
    inbox: Inbox
    bad_inbox: Inbox

    async def turn(self, events: int, per_second: float, *, bad: bool) -> Turn:
        """
        Start a process, send events at their pace, and stop it; the bad endpoints' attempts end with it.

        Raises:
            RuntimeError: a healthy partner's message did not arrive within LAST_S.
        """
        await (resume if bad else pause)(self.deps, self.bad)
        before = len(self.bad_inbox.got)
        self.process.start()
        await self._post(WARM, per_second)
        ids = await self._post(events, per_second)
        ms = await self._latencies(ids)
        bad_requests = len(self.bad_inbox.got) - before
        await self.process.stop()
        return Turn(ms, bad_requests)

    async def _post(self, count: int, per_second: float) -> list[str]:
        events = [event(PAID) for _ in range(count)]
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            for number, one in enumerate(events):
                await asyncio.sleep(began + number / per_second - time.monotonic())
                group.create_task(self.process.post(self.http, one))
        return [one.id for one in events]

    async def _latencies(self, event_ids: list[str]) -> list[float]:
        async with self.deps.db.transaction() as tx:
            stored = await tx.rows(STORED, (event_ids, list(self.healthy)))
        wanted, until = {id for id, _ in stored}, time.monotonic() + LAST_S
        while not wanted <= self.inbox.first_at.keys():
            if time.monotonic() > until:
                lost = len(wanted - self.inbox.first_at.keys())
                raise RuntimeError(f"{lost} of {len(wanted)} messages did not arrive within {LAST_S:g} s")
            await asyncio.sleep(LOOK_S)
        return [(self.inbox.first_at[id] - at) * 1000 for id, at in stored]


@asynccontextmanager
async def opened(size: Size, log: Path) -> AsyncIterator[Stage]:
    """Start the servers and endpoints, and subscribe all partners."""
    inbox, bad_inbox = Inbox(), Inbox()
    async with AsyncExitStack() as stack:
        deps, _ = await stack.enter_async_context(shop())
        settings = replace(deps.settings, outgoing_allow="127.0.0.0/8")
        hosts = [f"127.0.{1 + at // 250}.{1 + at % 250}" for at in range(size.partners)]
        healthy = [await stack.enter_async_context(endpoint(inbox, answers(), host)) for host in hosts]
        bad = [
            url
            for at in range(size.bad)
            for url in (
                await stack.enter_async_context(endpoint(bad_inbox, hangs, f"127.1.1.{1 + at}")),
                await stack.enter_async_context(endpoint(bad_inbox, trickles, f"127.1.2.{1 + at}")),
                stack.enter_context(dead(f"127.1.3.{1 + at}")),
            )
        ]
        yield Stage(
            deps,
            stack.enter_context(deliverer(settings, log)),
            await stack.enter_async_context(session()),
            [await subscribe(deps, url, PAID, concurrency=CONCURRENCY) for url in healthy],
            [await subscribe(deps, url, PAID, concurrency=size.bad_concurrency) for url in bad],
            inbox,
            bad_inbox,
        )


async def measure(size: Size) -> dict[str, Any]:
    machine = described()
    without, beside = list[Turn](), list[Turn]()
    with tempfile.TemporaryDirectory(prefix="pulsecart-isolation-") as directory:
        async with opened(size, Path(directory) / "log") as stage:
            for pair in range(size.pairs):
                sides = (without, False), (beside, True)
                for turns, bad in sides if pair % 2 == 0 else sides[::-1]:  # a load that rises or falls affects both
                    turns.append(await stage.turn(size.events // size.pairs, size.per_second, bad=bad))
                    figures = f"{'with' if bad else 'without'} the bad ones: {shown(turns[-1].ms)}"
                    say(f"{pair + 1}/{size.pairs} {figures}, load {os.getloadavg()[0]:.1f}")
    all_without, all_beside = (percentiles([ms for turn in turns for ms in turn.ms]) for turns in (without, beside))
    each = [p95(b) / p95(a) for a, b in zip(without, beside, strict=True)]
    return {
        "machine": machine,
        **asdict(size),
        "without": all_without,
        "with": all_beside,
        "bad_requests": [turn.bad_requests for turn in beside],
        "ratio_p50": round(all_beside["p50_ms"] / all_without["p50_ms"], 3),
        "ratio_p95": round(all_beside["p95_ms"] / all_without["p95_ms"], 3),
        "ratio_p95_of_pairs": {"median": round(median(each), 3), "each": [round(ratio, 3) for ratio in each]},
        "wanted": WANTED,
    }


def p95(turn: Turn) -> float:
    return percentiles(turn.ms)["p95_ms"]


def shown(ms: list[float]) -> str:
    found = percentiles(ms)
    return f"p50 {found['p50_ms']} p95 {found['p95_ms']} ms"


def main() -> int:
    parser = argparse.ArgumentParser("benchmarks.webhooks_isolation", description=__doc__)
    parser.add_argument("--partners", type=int, default=100, help="healthy ones")
    parser.add_argument("--events", type=int, default=75, help="for each partner, on each side")
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--per-second", type=float, default=2.0, help="events; each goes to every partner")
    parser.add_argument("--bad", type=int, default=1, help="endpoints of each kind: hanging, trickling, dead")
    parser.add_argument("--bad-concurrency", type=int, default=CONCURRENCY)
    parser.add_argument("--out", type=Path)
    options = vars(parser.parse_args())
    out = options.pop("out")
    write_report(uvloop.run(measure(Size(**options))), out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
