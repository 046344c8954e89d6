"""
Measures the deployed shop on a cluster: the cost of gateway and edge for a purchase, and an order's time to
FULFILLED, with everything warm and from zero.

    KUBECONFIG=… scripts/python -m benchmarks.cluster_order [--pairs 5] [--orders 20] [--cold 3] [--out FILE.json]
"""

import argparse
import asyncio
import sys
import time
from pathlib import Path
from random import randrange
from statistics import median
from typing import Any
from uuid import uuid4

import httpx

from benchmarks.machine import described
from benchmarks.report import write_report
from tests.cluster.shop import Cluster, gateway_of, until

AT_ONCE = 32
PER_TURN = 1500
PRODUCT, SOLD_OUT = "2", "3"
STEPS = ("order.created", "order.confirmed", "order.paid", "order.fulfilled")


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--orders", type=int, default=20)
    parser.add_argument("--cold", type=int, default=3)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    url, host = await gateway_of("edge")
    limits = httpx.Limits(max_connections=AT_ONCE)
    async with httpx.AsyncClient(base_url=url, headers={"host": host}, timeout=60, limits=limits) as http:
        cluster = Cluster(url, host, http)
        answer = await http.put(f"/api/v1/sync/stock/{PRODUCT}/reset?stock=1000000")
        assert answer.status_code == 200, answer.text
        found: dict[str, Any] = {"machine": described()}
        found["sold_out"] = await _ways(cluster, options.pairs)
        sys.stderr.write(f"{found['sold_out']}\n")
        found["warm_s"] = await _orders(cluster, options.orders)
        sys.stderr.write(f"warm: {found['warm_s']}\n")
        found["from_zero_s"] = [await _from_zero(cluster) for _ in range(options.cold)]
        await http.put(f"/api/v1/sync/stock/{PRODUCT}/reset?stock=500")
    write_report(found, options.out)


async def _orders(cluster: Cluster, count: int) -> dict[str, float]:
    """Return medians of orders placed one after another; the first, which starts idle operations, is not counted."""
    timed = [await _order(cluster) for _ in range(count + 1)][1:]
    return {step: round(median(one[step] for one in timed), 3) for step in timed[0]}


async def _from_zero(cluster: Cluster) -> dict[str, float]:
    await cluster.at_zero()
    return await _order(cluster)


async def _order(cluster: Cluster) -> dict[str, float]:
    """Return the seconds from the POST to its answer, and to each event's commit by the database's own clock."""
    began, epoch = time.perf_counter(), time.time()
    order_id = await cluster.buy_later(randrange(10**9), PRODUCT)
    answered = time.perf_counter() - began
    await cluster.becomes(order_id, "FULFILLED", 120)
    rows = await cluster.rows("SELECT type, time FROM outbox WHERE subject = %s", order_id)
    steps = {
        kind.removeprefix("ecommerce.order.").removesuffix(".v1"): moment.timestamp() - epoch for kind, moment in rows
    }
    return {"answered": round(answered, 3)} | {step: round(steps[step], 3) for step in STEPS}


async def _ways(cluster: Cluster, pairs: int) -> dict[str, Any]:
    """
    Measure "sold out" through gateway and edge, and directly at checkout's own pod, in turns: an order would start work
    on the whole cluster, which would dominate the measurement.
    """
    answer = await cluster.http.put(f"/api/v1/sync/stock/{SOLD_OUT}/reset?stock=0")
    assert answer.status_code == 200, answer.text
    await _turn(cluster.http)  # wakes them
    (pod, *_) = await until(lambda: cluster.pods_of("checkout"), 30, "checkout is awake")
    async with httpx.AsyncClient(base_url=f"http://{pod['status']['podIP']}:8080", timeout=60) as direct:
        turns: dict[str, list[tuple[float, float]]] = {"gateway and edge": [], "pod": []}
        for pair in range(pairs):
            for name, http in (("gateway and edge", cluster.http), ("pod", direct)):
                turns[name].append(await _turn(http))
                sys.stderr.write(f"{pair + 1}/{pairs} {name}: {turns[name][-1][0]:,.0f}/s\n")
    result = {n: {"per_s": round(median(t[0] for t in taken)), "p50_ms": round(median(t[1] for t in taken), 1)}
            for n, taken in turns.items()}  # fmt: skip
    result["ratio"] = round(median(a[0] / b[0] for a, b in zip(*turns.values(), strict=True)), 2)
    return result


async def _turn(http: httpx.AsyncClient) -> tuple[float, float]:
    """Return the answers per second, and the median in ms, of this many purchases at once."""
    waits: list[float] = []
    left = iter(range(PER_TURN))

    async def buyer() -> None:
        for _ in left:
            body = {"productId": SOLD_OUT, "quantity": 1, "userId": randrange(10**9)}
            began = time.perf_counter()
            answer = await http.post("/api/v1/sync/purchase", json=body, headers={"idempotency-key": str(uuid4())})
            waits.append(time.perf_counter() - began)
            assert answer.status_code == 409, answer.text

    began = time.perf_counter()
    await asyncio.gather(*(buyer() for _ in range(AT_ONCE)))
    return PER_TURN / (time.perf_counter() - began), median(waits) * 1000


if __name__ == "__main__":
    asyncio.run(main())
