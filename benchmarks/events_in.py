"""
Measures the cost of a partner's event: POST /events (token, contract, own product, known ids) against the local
broker's ingress, which only checks the contract; both durable in the same PostgreSQL, in turns, the same event.

    scripts/python -m benchmarks.events_in [--seconds 5] [--pairs 3] [--connections 64] [--out FILE.json]
"""

import argparse
import sys
import tempfile
from base64 import b64encode
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from statistics import median
from typing import Any

import psycopg
import uvloop

from benchmarks.load import turn
from benchmarks.machine import described
from benchmarks.report import write_report
from benchmarks.sides import process
from pulsecart.admin.demo import GOODS, SALE
from pulsecart.admin.seed import load_catalogue
from pulsecart.local import issuer
from pulsecart.local.servers import Stack
from pulsecart.runtime.db.migrate import migrate
from pulsecart.runtime.event import new_id
from pulsecart.shop.partners.events import StockReported
from tools.crowd.ask import address

WANTED = 0.5
BATCH = 100
WARM_S = 1.0
ids = count()
RUN = new_id()


def event() -> str:
    """A new event of the partner, in JSON."""
    return (
        f'{{"specversion":"1.0","id":"{RUN}-{next(ids)}","source":"/partners/acme","type":"{StockReported.TYPE}",'
        '"time":"2100-01-01T08:00:00Z","datacontenttype":"application/json",'
        '"data":{"productId":"1","delta":1,"reason":"RECEIVED"}}'
    )


def requests(url: str, path: str, token: str = "", batch: int = 0) -> Callable[[], bytes]:
    """Each of one new event, or of ``batch`` new events."""
    host, port = address(url)
    media = "application/cloudevents-batch+json" if batch else "application/cloudevents+json"
    credential = f"Authorization: Bearer {token}\r\n" if token else ""
    head = f"POST {path} HTTP/1.1\r\nHost: {host}:{port}\r\nContent-Type: {media}\r\n{credential}"

    def request() -> bytes:
        body = "[" + ",".join(event() for _ in range(batch)) + "]" if batch else event()
        return f"{head}Content-Length: {len(body)}\r\n\r\n{body}".encode()

    return request


async def measure(stack: Stack, place: Path, seconds: float, pairs: int, connections: int) -> dict[str, Any]:
    jwks = issuer.jwks_of(place)
    issuer.ensure(jwks)
    token = issuer.token(jwks, "acme", ["partner"], timedelta(hours=1), issuer.AUDIENCE, datetime.now(UTC))
    environ = {
        "DATABASE_URL": stack.database_url,
        "REDIS_URL": stack.redis_url,
        "JWT_JWKS_URL": jwks.as_uri(),
        "JWT_ISSUER": issuer.ISSUER,
        "WEBHOOK_KEYS": b64encode(bytes(32)).decode(),
        "RATE_LIMIT": "0",
        "EVENT_KEYS": "of this benchmark alone, 32 bytes or more",
    }
    found: dict[str, list[float]] = {"ingress": [], "events": [], "batches": []}
    async with process("ingress", environ) as (broker, broker_pid), process("events", environ) as (ours, our_pid):
        sides = {
            "ingress": (broker, broker_pid, requests(broker, "/broker"), 1),
            "events": (ours, our_pid, requests(ours, "/events", token), 1),
            "batches": (ours, our_pid, requests(ours, "/events", token, BATCH), BATCH),
        }
        for pair in range(pairs):
            for name, (url, pid, request, each) in sides.items():
                lines = connections if each == 1 else 4
                one = await turn(url, request, {"server": [pid]}, connections=lines, seconds=seconds, warm_s=WARM_S)
                found[name].append(one.per_s * each)
                if set(one.statuses) != {202}:
                    raise RuntimeError(f"{name} answered {one.statuses}")
                rate = f"{one.per_s * each:8.0f} events/s"
                print(f"{pair + 1}/{pairs} {name:8} {rate} p95 {one.ms['p95']:6.1f} ms", file=sys.stderr, flush=True)
    ratios = [ours / broker for ours, broker in zip(found["events"], found["ingress"], strict=True)]
    return {
        "connections": connections,
        "events_per_s": {name: round(median(rates)) for name, rates in found.items()},
        "events_per_ingress": {"median": round(median(ratios), 2), "each": [round(ratio, 2) for ratio in ratios]},
        "wanted": WANTED,
    }


def main() -> int:
    parser = argparse.ArgumentParser("benchmarks.events_in", description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="pulsecart-events-") as name, Stack(Path(name) / "data") as stack:
        migrate(stack.database_url)
        uvloop.run(load_catalogue(stack.database_url, GOODS, SALE, datetime.now(UTC)))
        with psycopg.connect(stack.database_url) as connection:
            connection.execute("INSERT INTO partner_products VALUES ('1', 'acme', now())")
        made = measure(stack, Path(name), options.seconds, options.pairs, options.connections)
        write_report({"machine": described(), **uvloop.run(made)}, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
