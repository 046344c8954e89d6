"""Provides the broker's tests with events, recording listeners, a log to write to, and manifests."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg

from pulsecart.runtime.db.outbox import append
from pulsecart.runtime.event import CloudEvent, new_id, padded
from pulsecart.serving.http import Reply

TYPE = "test.thing.happened.v1"
BROKER = """
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: default}
spec:
  delivery:
    deadLetterSink: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: keep-dead-letter}}
    retry: 2
    backoffPolicy: exponential
    backoffDelay: PT0.05S
"""
OK = Reply(204)


def event(key: str = "k", sequence: int = 1, type: str = TYPE, **extensions: str) -> CloudEvent:
    return CloudEvent(
        id=new_id(),
        source="/test",
        type=type,
        time=datetime.now(UTC),
        subject=key,
        data=b'{"n":%d}' % sequence,
        extensions={"partitionkey": key, "sequence": padded(sequence), **extensions},
    )


def trigger(name: str, service: str = "listener", *, spec: str = "", annotations: str = "{}") -> str:
    return f"""
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {{name: {name}, annotations: {annotations}}}
spec:
  broker: default
  subscriber:
    ref: {{apiVersion: serving.knative.dev/v1, kind: Service, name: {service}}}
    uri: /{name}
{spec}
"""


def delivery(retry: int = 2, delay: str = "PT0.05S", timeout: str = "PT5S", policy: str = "exponential") -> str:
    return f"""
  delivery:
    deadLetterSink: {{ref: {{apiVersion: serving.knative.dev/v1, kind: Service, name: keep-dead-letter}}}}
    retry: {retry}
    backoffPolicy: {policy}
    backoffDelay: {delay}
    timeout: {timeout}
"""


def manifests(directory: Path, *documents: str) -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "all.yaml").write_text("---".join((BROKER, *documents)), "utf-8")
    return directory


class Listener:
    """An operation that records its events; ``behave`` returns the answer, by default 204."""

    def __init__(self, name: str, behave: Callable[[CloudEvent], Awaitable[Reply]] | None = None) -> None:
        self.dns_name = name
        self.behave = behave
        self.received: list[CloudEvent] = []
        self.done: list[CloudEvent] = []
        self._changed = asyncio.Condition()

    async def handle_event(self, event: CloudEvent, deps: Any, path: str = "/") -> Reply:
        self.received.append(event)
        await self._tell()
        reply = await self.behave(event) if self.behave else OK
        if reply.status < 300:
            self.done.append(event)
        await self._tell()
        return reply

    async def until(self, condition: Callable[["Listener"], bool], timeout_s: float = 20.0) -> None:
        """Wait until the condition holds of this listener."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: condition(self))

    async def until_done(self, count: int) -> None:
        await self.until(lambda listener: len(listener.done) >= count)

    def sequences(self, key: str) -> list[int]:
        """Return the sequences of this key's handled events, in order."""
        return [event.sequence for event in self.done if event.partitionkey == key]

    async def _tell(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class Log:
    """Writes to the outbox as operations do, in one transaction per call."""

    def __init__(self, database_url: str) -> None:
        self.database_url = database_url
        self.on_commit: Callable[[], None] = lambda: None

    async def write(self, *events: CloudEvent) -> None:
        async with self.transaction() as connection:
            await append(connection, events)
        self.on_commit()

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
        connection = await psycopg.AsyncConnection.connect(self.database_url)
        try:
            async with connection.transaction():
                yield connection
        finally:
            await connection.close()

    async def rows(self, sql: str, *params: Any) -> Sequence[Any]:
        async with self.transaction() as connection:
            return await (await connection.execute(sql.encode(), params)).fetchall()

    async def until(self, sql: str, expected: Any, timeout_s: float = 20.0) -> None:
        """Wait until the query's first value is ``expected``."""
        async with asyncio.timeout(timeout_s):
            while (await self.rows(sql))[0][0] != expected:  # noqa: ASYNC110  # the database sends no notification
                await asyncio.sleep(0.01)
