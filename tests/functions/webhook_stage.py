"""A shop with subscriptions whose endpoints are receivers on this machine; import its fixtures."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch

import pytest

from functions.webhook_deliver import sender as sender_module
from functions.webhook_deliver.sender import Sender
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.runtime.event import CloudEvent, new_id, padded
from pulsecart.runtime.sealing import sealing
from pulsecart.runtime.settings import Settings
from pulsecart.shop.webhooks.new_secrets import new_secret
from pulsecart.shop.webhooks.subscription import SCHEDULE_S
from tests.client import Client, connect
from tests.receivers import Receiver
from tests.turned_clock import TurnedClock, turned_deps

PAID = "ecommerce.order.order.paid.v1"
SWEEP_S = 300


@dataclass
class Stage:
    """Subscribes receivers, delivers events to the operation, and lets it work."""

    client: Client
    clock: TurnedClock

    async def subscribe(self, url: str, *, consented: bool = True, secret: str = "", **given: Any) -> str:
        """A subscription, with every default but ``given``; no handshake is due if ``consented``."""
        id, now = new_id(), self.clock.now()
        row: dict[str, Any] = {
            "partner_id": "p-1",
            "url": url,
            "event_types": ["ecommerce.order.*"],
            "content_mode": "structured",
            "signature": "v1",
            "ordered": False,
            "concurrency": 10,
            "rate_per_s": None,
            "schedule_s": list(SCHEDULE_S),
            "consent": "optional",
            "status": "ACTIVE",
            **given,
        }
        names, marks = ", ".join(row), ", ".join(["%s"] * len(row))
        async with self.client.deps.db.transaction() as tx:
            await tx.execute(
                f"INSERT INTO webhook_subscriptions (subscription_id, {names}, status_since, version, created_at,"
                f" updated_at) VALUES (%s, {marks}, %s, 1, %s, %s)",
                (id, *row.values(), now, now, now),
            )
            await tx.execute(
                "INSERT INTO webhook_subscription_types SELECT unnest(%s::text[]), %s", (row["event_types"], id)
            )
            await tx.execute(
                "INSERT INTO webhook_queues (subscription_id, consent_at, consented) VALUES (%s, %s, %s)",
                (id, now if consented else None, True if consented else None),
            )
        await self.add_secret(id, secret or new_secret())
        return id

    async def add_secret(self, subscription_id: str, secret: str, ends_at: datetime | None = None) -> None:
        sealed = self.client.deps.singleton(sealing).seal(secret, subscription_id)
        async with self.client.deps.db.transaction() as tx:
            await tx.execute(
                "INSERT INTO webhook_secrets VALUES (%s, %s, %s, %s, %s)",
                (new_id(), subscription_id, sealed, self.clock.now(), ends_at),
            )

    async def secrets(self, subscription_id: str) -> list[str]:
        """The secrets of a subscription, the newest first."""
        rows = await self.client.rows(
            "SELECT sealed FROM webhook_secrets WHERE subscription_id = %s ORDER BY secret_id DESC", subscription_id
        )
        return [self.client.deps.singleton(sealing).open(bytes(row[0]), subscription_id) for row in rows]

    async def happens(self, *events: CloudEvent) -> None:
        """The broker delivers these events."""
        for event in events:
            assert await self.client.handle_event("webhook_deliver", event) == 204

    async def work(self) -> None:
        """Do what a wake-up starts; return when nothing is due before the next sweep."""
        wake = self.client.operations["webhook_deliver"].wake
        assert wake
        await wake(self.client.deps)

    async def work_once(self) -> None:
        """Work at this moment alone: later retries stay."""
        sender = self.client.deps.singleton(Sender)
        now = self.clock.now()
        with patch.object(sender_module, "QUIET_S", 0.0):
            await sender.stay_awake()
        assert self.clock.now() == now

    async def sweeps(self, seconds: float) -> None:
        """Sweeps for so long, as a cluster does that runs no process in between."""
        end = self.clock.now().timestamp() + seconds
        while self.clock.now().timestamp() < end:
            await self.work()
            self.clock.turn(SWEEP_S - self.clock.now().timestamp() % SWEEP_S)
        await self.work()

    async def messages(self) -> list[str]:
        """The status of each message, in their order."""
        return [row[0] for row in await self.client.rows("SELECT status FROM webhook_messages ORDER BY position")]

    async def attempts(self) -> list[Any]:
        """``began_at, result, status, next_try_at`` of every attempt, in their order."""
        return await self.client.rows(
            "SELECT began_at, result, status, next_try_at FROM webhook_delivery_attempts ORDER BY began_at, number"
        )

    async def change(self, sql: str, *params: Any) -> None:
        async with self.client.deps.db.transaction() as tx:
            await tx.execute(sql, params)

    async def owner(self, sql: str) -> None:
        """Execute a statement as the role that owns the tables."""
        with connect(self.client.deps.settings.database_url) as connection:
            connection.execute(sql.encode())

    async def queue(self, subscription_id: str, columns: str, *params: Any) -> Any:
        return await self.client.row(
            f"SELECT {columns} FROM webhook_queues JOIN webhook_subscriptions USING (subscription_id)"
            " WHERE subscription_id = %s",
            *params,
            subscription_id,
        )


class RunningClock(TurnedClock):
    """The time as it is, where several processes work at once: none may turn the time of the others."""

    def __init__(self, ahead: timedelta) -> None:
        super().__init__()
        self.ahead = ahead

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


@asynccontextmanager
async def running_stage(settings: Settings, ahead: timedelta = timedelta(0)) -> AsyncIterator[Stage]:
    """A process of a shop in real time, or so far ahead of it."""
    clock = RunningClock(ahead)
    deps = open_deps(replace(settings, accept_unsigned_buyers=True), clock)
    try:
        yield Stage(Client(deps), clock)
    finally:
        await close_deps(deps)


def event(key: str = "o-1", sequence: int = 1, type: str = PAID, **extensions: str) -> CloudEvent:
    return CloudEvent(
        id=new_id(),
        source="/pulsecart/pay",
        type=type,
        subject=key,
        data=json.dumps({"orderId": key, "sequence": sequence}).encode(),
        extensions={"partitionkey": key, "sequence": padded(sequence), **extensions},
    )


def posts(receiver: Receiver) -> list[Any]:
    """The data of the events that came, in structured mode."""
    return [json.loads(got.body)["data"] for got in receiver.got if got.method == "POST"]


@pytest.fixture
def clock() -> TurnedClock:
    return TurnedClock()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, outgoing_allow="127.0.0.1", public_url="https://shop.example")


@pytest.fixture
async def deps(settings: Settings, clock: TurnedClock) -> AsyncIterator[Deps]:
    opened = turned_deps(settings, clock)
    yield opened
    await close_deps(opened)


@pytest.fixture
def stage(client: Client, clock: TurnedClock) -> Stage:
    return Stage(client, clock)
