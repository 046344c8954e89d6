"""
Measures webhook deliveries, durable and signed, against a bare loop of the same client to the same receiver, in turns.

    scripts/python -m benchmarks.webhooks [--messages 2000] [--pairs 5] [--many 10000] [--out FILE.json]

``ratio``: deliveries per second of ten subscriptions ÷ requests per second of the bare loop, with as many in flight.
``growth``: time of a delivery with MANY subscriptions ÷ with ten, once with the messages of the same ten (``others``),
and once with one message for each of them (``spread``). The receiver is a process of its own; the events are stored
before the time starts.
"""

import argparse
import asyncio
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
import uvloop

from benchmarks.machine import described
from benchmarks.report import tell
from functions.webhook_deliver.fan_out import FanOut
from functions.webhook_deliver.sender import Sender
from pulsecart.bridges.outgoing_http.client import OutgoingHttp
from pulsecart.local.servers import Stack
from pulsecart.runtime.db.migrate import migrate
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.runtime.event import CloudEvent, new_id, padded
from pulsecart.runtime.outgoing_allow import allowed_of
from pulsecart.runtime.sealing import sealing
from pulsecart.runtime.settings import Settings
from pulsecart.serving import cloudevents
from pulsecart.shop.webhooks.new_secrets import new_secret

TEN, CONCURRENCY = 10, 25
WANTED_RATIO, WANTED_GROWTH = 0.5, 1.2
PAID, OTHER, ALL = (f"ecommerce.order.order.{step}.v1" for step in ("paid", "created", "canceled"))
KEY = "b2YgdGhlIGJlbmNobWFyayBhbG9uZSwgMzIgYnl0ZXM="
DATA = b'{"orderId":"0199f3a2-7c41-7b02-9d1e-5f0c8a6b1e77","amount":49.9,"currency":"USD","status":"PAID"}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


class Receiving(asyncio.Protocol):
    """Answers each request with 200 as soon as it is whole."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport, self._read = transport, b""

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            found = re.search(rb"(?i)content-length: (\d+)", self._read[:end])
            whole = end + 4 + (int(found[1]) if found else 0)
            if len(self._read) < whole:
                return
            self._read = self._read[whole:]
            self._transport.write(ANSWER)  # type: ignore[attr-defined]  # a TCP transport


async def receive() -> None:
    server = await asyncio.get_running_loop().create_server(Receiving, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


@contextmanager
def receiver() -> Iterator[str]:
    """The URL of a receiver in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.webhooks", "--receiver"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield f"http://127.0.0.1:{process.stdout.readline().strip()}/hook"
        finally:
            process.terminate()


@asynccontextmanager
async def shop() -> AsyncIterator[tuple[Deps, str]]:
    """The dependencies of a process, and the URL of the tables' owner, on servers of the benchmark's own."""
    with tempfile.TemporaryDirectory(prefix="pulsecart-bench-") as directory, Stack(Path(directory)) as stack:
        migrate(stack.database_url, stack.operations_url)
        settings = Settings(database_url=stack.operations_url, redis_url=stack.redis_url)
        deps = open_deps(replace(settings, outgoing_allow="127.0.0.1", webhook_keys=KEY))
        try:
            yield deps, stack.database_url
        finally:
            await close_deps(deps)


async def subscribe(deps: Deps, url: str, type: str, count: int) -> None:
    async with deps.db.transaction() as tx:
        for _ in range(count):
            id = new_id()
            await tx.execute(
                "INSERT INTO webhook_subscriptions VALUES (%s, 'p', %s, %s, 'structured', 'v1', false, %s, NULL,"
                " '{30}', 'optional', 'ACTIVE', '', %s, 1, %s, %s, NULL)",
                (id, url, [type], CONCURRENCY, tx.now, tx.now, tx.now),
            )
            await tx.execute("INSERT INTO webhook_subscription_types VALUES (%s, %s)", (type, id))
            await tx.execute("INSERT INTO webhook_queues (subscription_id, consent_at) VALUES (%s, %s)", (id, tx.now))
            sealed = deps.singleton(sealing).seal(new_secret(), id)
            await tx.execute("INSERT INTO webhook_secrets VALUES (%s, %s, %s, %s)", (new_id(), id, sealed, tx.now))


def event(type: str) -> CloudEvent:
    key = new_id()
    return CloudEvent(
        id=new_id(),
        source="/pulsecart/pay",
        type=type,
        subject=key,
        data=DATA,
        extensions={"partitionkey": key, "sequence": padded(3), "correlationid": key},
    )


async def deliveries_per_s(deps: Deps, type: str, events: int, messages: int) -> float:
    """
    Store events, and then send their messages.

    Raises:
        RuntimeError: not all were delivered at their first attempt.
    """
    fan_out = deps.singleton(FanOut).events
    await asyncio.gather(*(fan_out.submit(event(type)) for _ in range(events)))
    began = time.perf_counter()
    await deps.singleton(Sender).stay_awake()
    took = time.perf_counter() - began
    async with deps.db.transaction() as tx:
        row = await tx.row(
            "SELECT count(*) FILTER (WHERE result = 'delivered' AND number = 1), count(*)"
            " FROM webhook_delivery_attempts WHERE began_at > now() - make_interval(secs => %s)",
            (time.perf_counter() - began + 1,),
        )
    if row != (messages, messages):
        raise RuntimeError(f"{messages} messages should be delivered at once, but {row} attempts were (and made)")
    await asyncio.sleep(1.1)
    return messages / took


def vacuum(owner_url: str) -> None:
    """Between turns, as autovacuum does it in time."""
    with psycopg.connect(owner_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


async def bare_per_s(http: OutgoingHttp, url: str, messages: int) -> float:
    """Send as many requests of the same size, as many at once, without a database and unsigned."""
    left = iter(range(messages))
    body = cloudevents.structured(event(PAID))
    headers = (("content-type", cloudevents.STRUCTURED),)

    async def loop() -> None:
        for _ in left:
            answer = await http.send("POST", url, headers, body)
            if answer.status != 200:
                raise RuntimeError(f"the receiver answered {answer.status}")

    began = time.perf_counter()
    await asyncio.gather(*(loop() for _ in range(TEN * CONCURRENCY)))
    return messages / (time.perf_counter() - began)


async def measure(messages: int, pairs: int, many: int) -> dict[str, Any]:
    bare, few, others, spread = [], [], [], []
    http = OutgoingHttp(allowed_of("127.0.0.1"), connections_per_host=TEN * CONCURRENCY)
    events = messages // TEN
    with receiver() as url:
        async with shop() as (deps, owner_url):
            await subscribe(deps, url, PAID, TEN)
            await deliveries_per_s(deps, PAID, TEN, TEN * TEN)  # the first execution of code takes longer
            for _ in range(pairs):
                vacuum(owner_url)
                bare.append(await bare_per_s(http, url, messages))
                few.append(await deliveries_per_s(deps, PAID, events, events * TEN))
                say(f"bare {bare[-1]:,.0f}/s, delivered {few[-1]:,.0f}/s")
            await subscribe(deps, url, OTHER, many)
            for _ in range(pairs):
                vacuum(owner_url)
                others.append(await deliveries_per_s(deps, PAID, events, events * TEN))
                vacuum(owner_url)
                spread.append(await deliveries_per_s(deps, OTHER, 1, many))
                say(f"among {many:,} subscriptions {others[-1]:,.0f}/s, to each of them {spread[-1]:,.0f}/s")
        await http.close()
    return {
        "machine": described(),
        "messages": messages,
        "bare_per_s": shown(bare),
        "delivered_per_s": shown(few),
        "ratio": round(median(mine / theirs for mine, theirs in zip(few, bare, strict=True)), 3),
        "wanted_ratio": WANTED_RATIO,
        "others_per_s": shown(others),
        "spread_per_s": shown(spread),
        "growth_others": round(median(few) / median(others), 3),
        "growth_spread": round(median(few) / median(spread), 3),
        "wanted_growth": WANTED_GROWTH,
    }


def shown(rates: Sequence[float]) -> list[float]:
    return [round(rate, 1) for rate in rates]


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure webhook deliveries against a bare loop of the same client.")
    parser.add_argument("--messages", type=int, default=2000)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--many", type=int, default=10_000)
    parser.add_argument("--receiver", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    if options.receiver:
        uvloop.run(receive())
    else:
        tell(uvloop.run(measure(options.messages, options.pairs, options.many)), options.out)


if __name__ == "__main__":
    main()
