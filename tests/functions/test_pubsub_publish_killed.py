"""
Kills pubsub_publish again and again while it publishes: every key's order stays, and no event is lost.

PUBSUB_EVENTS and PUBSUB_KILLS give the long form: PUBSUB_EVENTS=100000 PUBSUB_KILLS=50 ./scripts/test <this file>.
"""

import asyncio
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pulsecart.runtime.settings import Settings
from pulsecart.shop.orders.events import OrderCreated
from tests.broker.stage import Log, event
from tests.pubsub import Got, PubSub

EVENTS = int(os.environ.get("PUBSUB_EVENTS", "2000"))
KILLS = int(os.environ.get("PUBSUB_KILLS", "5"))
KEYS = 50
WRITE = 1000
PER_EVENT_S, PER_KILL_S = 0.02, 15


class Bridge:
    """The process that publishes; ``kill`` ends it with SIGKILL and starts the next."""

    def __init__(self, settings: Settings, directory: Path) -> None:
        self._command = [sys.executable, "-m", "tests.functions.pubsub_process", str(directory)]
        self._environ = {
            **os.environ,
            "DATABASE_URL": settings.database_url,
            "REDIS_URL": settings.redis_url,
            "PUBSUB_PROJECT": settings.pubsub_project,
            "PUBSUB_EMULATOR_HOST": settings.pubsub_emulator_host,
        }

    @contextmanager
    def running(self) -> Iterator["Bridge"]:
        self._start()
        try:
            yield self
        finally:
            self._end()

    def kill(self) -> None:
        self._end()
        self._start()

    def _start(self) -> None:
        self._process = subprocess.Popen(self._command, env=self._environ, stdout=subprocess.PIPE)
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"started\n"

    def _end(self) -> None:
        self._process.kill()
        self._process.communicate()


@pytest.mark.timeout(60 + EVENTS * PER_EVENT_S * 2 + KILLS * PER_KILL_S)
async def test_the_order_of_each_key_stays_while_the_process_is_killed_and_nothing_is_lost(
    settings: Settings, pubsub: PubSub, database_url: str, tmp_path: Path
) -> None:
    subscription = pubsub.subscribe(pubsub.topic(OrderCreated.TYPE), "subscriber")
    log = Log(database_url)
    got: list[Got] = []
    with Bridge(pubsub.settings(settings), tmp_path / "eventing").running() as bridge:
        sent = [event(f"key {n % KEYS}", n + 1, OrderCreated.TYPE) for n in range(EVENTS)]
        for start in range(0, EVENTS, WRITE):
            await log.write(*sent[start : start + WRITE])
        known: set[tuple[str, str]] = set()
        for part in range(1, KILLS + 2):

            def enough(found: list[Got], part: int = part) -> bool:
                known.update(one.identity for one in found[-WRITE:])
                return len(known) >= EVENTS * part // (KILLS + 1)

            got += await asyncio.to_thread(pubsub.receive_until, subscription, enough, EVENTS * PER_EVENT_S + 60)
            if part <= KILLS:
                await asyncio.to_thread(bridge.kill)
    assert in_order(got) == {f"key {key}": list(range(key + 1, EVENTS + 1, KEYS)) for key in range(KEYS)}
    assert {one.identity for one in got} == {(one.source, one.id) for one in sent}
    assert await log.rows("SELECT trigger, error_data FROM dead_letters") == []


def in_order(got: list[Got]) -> dict[str, list[int]]:
    """Return each key's sequences in the order in which they came first, as a subscriber sees them."""
    seen: set[tuple[str, str]] = set()
    found: dict[str, list[int]] = defaultdict(list)
    for one in got:
        if one.identity not in seen:
            seen.add(one.identity)
            found[one.key].append(int(one.attributes["ce-sequence"]))
    return dict(found)
