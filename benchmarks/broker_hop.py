"""
Measures a hop through the local broker: from the event's commit to the call of its subscriber.

    scripts/python -m benchmarks.broker_hop [--hops 500] [--events 40000] [--triggers 1] [--out FILE.json]

Unloaded: one event at a time, from the end of its commit to the call of a subscriber that does nothing. Saturated: a
writer commits as fast as it can in the same process, and a backlog is read after a start; both in events per second.
"""

import argparse
import asyncio
import json
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import uvloop

from benchmarks.machine import described
from benchmarks.report import write_report
from pulsecart.broker.local import LocalBroker
from pulsecart.local.servers import Stack
from pulsecart.runtime.db.migrate import migrate
from pulsecart.runtime.db.outbox import append
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.runtime.event import CloudEvent, new_id, padded
from pulsecart.runtime.settings import Settings
from pulsecart.serving.http import Reply

BATCH = 100  # events a transaction, as in a group commit
PAUSE_S = 0.01
MANIFEST = """
apiVersion: eventing.knative.dev/v1
kind: {kind}
metadata: {{name: {name}}}
spec: {spec}
"""
REF = "ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: subscriber}"
TYPE = "ecommerce.order.order.paid.v1"


class Subscriber:
    """A subscriber that counts events and sets an event when it has received enough."""

    dns_name = "subscriber"

    def __init__(self) -> None:
        self.count = 0
        self.called_at = 0.0
        self.enough = 0
        self.reached = asyncio.Event()

    async def handle_event(self, event: CloudEvent, deps: object, path: str) -> Reply:
        self.count += 1
        self.called_at = time.perf_counter()
        if self.count >= self.enough:
            self.reached.set()
        return Reply(204)

    def expect(self, more: int) -> None:
        """Set ``reached`` after this many further calls."""
        self.enough = self.count + more
        self.reached.clear()


def event() -> CloudEvent:
    order_id = new_id()
    body = {"orderId": order_id, "userId": "12345", "totalAmount": 49.9, "currency": "USD", "paymentId": new_id()}
    return CloudEvent(
        id=new_id(),
        source="/pulsecart/pay",
        type=TYPE,
        time=datetime.now(UTC),
        subject=order_id,
        data=json.dumps(body).encode(),
        extensions={"partitionkey": order_id, "sequence": padded(3), "correlationid": new_id()},
    )


def manifests(directory: Path, triggers: int) -> Path:
    directory.mkdir()
    documents = [("Broker", "default", f"{{delivery: {{deadLetterSink: {{{REF}}}}}}}")]
    for at in range(triggers):
        wants = f"filter: {{attributes: {{type: {TYPE}}}}}"
        documents.append(("Trigger", f"t{at}", f"{{broker: default, {wants}, subscriber: {{{REF}, uri: /t{at}}}}}"))
    text = "---".join(MANIFEST.format(kind=kind, name=name, spec=spec) for kind, name, spec in documents)
    (directory / "all.yaml").write_text(text, "utf-8")
    return directory


async def unloaded(
    writer: psycopg.AsyncConnection[Any], wake: Callable[[], None], to: Subscriber, hops: int
) -> list[float]:
    """Return the milliseconds of each hop, sorted."""
    took = []
    for _ in range(hops):
        to.expect(1)
        await append(writer, [event()])
        await writer.commit()
        committed = time.perf_counter()
        wake()
        await to.reached.wait()
        took.append((to.called_at - committed) * 1000)
        await asyncio.sleep(PAUSE_S)
    return sorted(took)


async def rate(act: Callable[[], Awaitable[None]], to: Subscriber, events: int, triggers: int) -> dict[str, float]:
    """Return the events per second from the beginning of ``act`` to the last call, and this process' CPU per event."""
    to.expect(events * triggers)
    began, cpu = time.perf_counter(), time.process_time()
    await act()
    await to.reached.wait()
    seconds = time.perf_counter() - began
    return {
        "events_per_s": round(events / seconds),
        "cpu_us_per_event": round((time.process_time() - cpu) / events * 1e6, 1),
    }


async def measure(stack: Stack, directory: Path, hops: int, events: int, triggers: int) -> dict[str, Any]:
    deps = open_deps(Settings(database_url=stack.database_url, redis_url=stack.redis_url))
    subscriber = Subscriber()
    async with await psycopg.AsyncConnection.connect(stack.database_url) as writer:
        broker = await started(subscriber, directory, deps)
        took = await unloaded(writer, broker.wake, subscriber, hops)

        async def write() -> None:
            for _ in range(events // BATCH):
                await append(writer, [event() for _ in range(BATCH)])
                await writer.commit()
                broker.wake()

        live = await rate(write, subscriber, events, triggers)
        await broker.stop()
        await write()
        again: list[LocalBroker] = []

        async def restart() -> None:
            again.append(await started(subscriber, directory, deps))

        backlog = await rate(restart, subscriber, events, triggers)
        await again[0].stop()
    await close_deps(deps)
    return {
        "triggers": triggers,
        "unloaded_ms": {
            "p50": round(statistics.median(took), 3),
            "p95": round(took[int(len(took) * 0.95)], 3),
            "p99": round(took[int(len(took) * 0.99)], 3),
        },
        "saturated_while_written": live,
        "saturated_backlog": backlog,
    }


async def started(subscriber: Subscriber, directory: Path, deps: Deps) -> LocalBroker:
    broker = LocalBroker({"subscriber": subscriber}, directory, deps)  # type: ignore[dict-item]  # all the broker sees
    await broker.start()
    await broker.ready()
    return broker


def main() -> int:
    parser = argparse.ArgumentParser("benchmarks.broker_hop", description=__doc__)
    parser.add_argument("--hops", type=int, default=500)
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--triggers", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    result: dict[str, Any] = {"machine": described()}
    with tempfile.TemporaryDirectory(prefix="pulsecart-hop-") as place, Stack(Path(place) / "data") as stack:
        migrate(stack.database_url)
        directory = manifests(Path(place) / "eventing", options.triggers)
        result |= uvloop.run(measure(stack, directory, options.hops, options.events, options.triggers))
    write_report(result, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
