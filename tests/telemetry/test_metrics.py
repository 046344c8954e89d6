"""Metrics are exact, have the seed's names, cost little, and are summed over workers."""

import os
import random
import subprocess
import sys
import threading
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Histogram

from pulsecart.runtime.telemetry import batched as counting
from pulsecart.runtime.telemetry import metrics
from pulsecart.shop import metrics as business


def sample(name: str, **labels: str) -> float:
    counting.fold()
    return REGISTRY.get_sample_value(name, labels) or 0.0


def test_an_order_created_is_counted_under_the_seeds_name() -> None:
    before = sample("orders_created_total", path="sync")
    business.ORDERS_CREATED.of("sync").add()
    business.ORDERS_CREATED.of("sync").add(256)
    assert sample("orders_created_total", path="sync") - before == 257


def test_a_refused_reservation_is_counted_by_its_reason() -> None:
    before = sample("inventory_reservation_failures_total", reason="SOLD_OUT")
    business.RESERVATION_FAILURES.of("SOLD_OUT").add()
    assert sample("inventory_reservation_failures_total", reason="SOLD_OUT") - before == 1


def test_batched_observations_land_in_the_buckets_the_library_would_choose() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    batched = counting.Histograms("spread_ms", "x", "op", registry=ours).of("a")
    plain = Histogram("spread_ms", "x", ["op"], buckets=counting.LATENCY_MS, registry=theirs).labels("a")
    dice = random.Random(7)
    values = [dice.choice((0.0, 1.0, 2.0, 10000.0, 10001.0, dice.uniform(0, 12000))) for _ in range(5000)]
    for value in values:
        batched.add(value)
        plain.observe(value)
    batched.fold()
    for bound in (*(f"{float(b)}" for b in counting.LATENCY_MS), "+Inf"):
        at = {"op": "a", "le": bound}
        assert ours.get_sample_value("spread_ms_bucket", at) == theirs.get_sample_value("spread_ms_bucket", at)
    assert ours.get_sample_value("spread_ms_count", {"op": "a"}) == 5000
    total, expected = (r.get_sample_value("spread_ms_sum", {"op": "a"}) for r in (ours, theirs))
    assert total is not None
    assert expected is not None
    assert abs(total - expected) < 1e-3


def test_a_request_is_counted_and_timed_by_operation_route_and_status_class() -> None:
    at = {"operation": "orders", "route": "/api/v1/orders/{id}"}
    before = (
        sample("http_requests_total", status="4xx", **at),
        sample("http_request_duration_ms_sum", status="4xx", **at),
    )
    seen = metrics.Requests("orders", "/api/v1/orders/{id}")
    seen.add(404, 3.0)
    seen.add(409, 4.0)
    seen.add(200, 1.0)
    assert sample("http_requests_total", status="4xx", **at) - before[0] == 2
    assert sample("http_request_duration_ms_sum", status="4xx", **at) - before[1] == 7.0


def test_a_delivery_is_named_by_what_the_broker_does_next() -> None:
    outcomes = {status: metrics.delivery("pay", status) for status in (200, 202, 400, 422, 404, 409, 429, 500, 503)}
    named = {status: next(k for k, v in metrics.DELIVERIES._bound.items() if v is m) for status, m in outcomes.items()}
    assert {s for s, labels in named.items() if labels[1] == "done"} == {200, 202}
    assert {s for s, labels in named.items() if labels[1] == "refused"} == {400, 422}
    assert {s for s, labels in named.items() if labels[1] == "retry"} == {404, 409, 429, 500, 503}


def test_nothing_is_lost_or_counted_twice_when_threads_add_while_others_fold() -> None:
    registry = CollectorRegistry()
    counted = counting.Counters("busy", "x", registry=registry).of()

    def count() -> None:
        for _ in range(20_000):
            counted.add()

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        counted.fold()
    for thread in threads:
        thread.join()
    counted.fold()
    assert registry.get_sample_value("busy_total") == 80_000


def test_memory_stays_bounded_when_no_one_scrapes() -> None:
    counted = counting.Counters("unseen", "x", registry=CollectorRegistry()).of()
    for _ in range(counting.BATCH * 3 + 5):
        counted.add()
    assert len(counted._pending) == 5


def test_the_exposition_is_prometheus_text() -> None:
    body, media_type = metrics.exposition()
    assert media_type.startswith("text/plain; version=")
    assert b"# TYPE orders_created_total counter" in body
    assert b"# TYPE order_creation_latency_ms histogram" in body
    assert b"_created{" not in body


WORKER = """
import sys
from pulsecart.runtime.telemetry import batched as counting, metrics
from pulsecart.shop.metrics import ORDERS_CREATED
ORDERS_CREATED.of("sync").add(int(sys.argv[1]))
metrics.Requests("checkout", "/r").add(200, 5.0)
counting.fold()
if sys.argv[2:]:
    sys.stdout.buffer.write(metrics.exposition()[0])
"""


def test_any_worker_answers_for_all_of_them(tmp_path: Path) -> None:
    (tmp_path / "gauge_livesum_999999999.db").write_bytes(b"left by a killed worker")
    environ = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}

    def worker(*arguments: str) -> str:
        run = [sys.executable, "-c", WORKER, *arguments]
        return subprocess.run(run, env=environ, check=True, capture_output=True, text=True).stdout

    worker("3")
    text = worker("4", "scrape")
    assert 'orders_created_total{path="sync"} 7.0' in text
    assert 'http_requests_total{operation="checkout",route="/r",status="2xx"} 2.0' in text
    assert 'http_request_duration_ms_sum{operation="checkout",route="/r",status="2xx"} 10.0' in text
