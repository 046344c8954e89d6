"""Declares the metrics of the shop's business, with the names of seed 002 §10."""

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pulsecart.runtime.telemetry.batched import Counters, Histograms
from pulsecart.runtime.telemetry.metrics import DERIVED

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry, Metric

BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)

ORDERS_CREATED = Counters("orders_created_total", "Orders recorded", "path")
ORDER_CREATION_MS = Histograms("order_creation_latency_ms", "Request read to order committed, ms", "path")
RESERVATION_FAILURES = Counters("inventory_reservation_failures_total", "Reservations rejected", "reason")
PAYMENTS = Counters("payments_total", "Charges by outcome: the payment gateway's answer, or none", "outcome")
GROUP_COMMIT_ORDERS = Histograms("group_commit_batch_orders", "Orders in one transaction", bounds=BATCH_SIZES)
GROUP_COMMIT_MS = Histograms("group_commit_duration_ms", "Transaction of one batch, ms")
GATE_REBUILDS = Counters("gate_rebuilds_total", "Products whose gate was rebuilt from PostgreSQL", "reason")
CLAIMS_SETTLED = Counters("claims_settled_total", "Claims settled after their lease: won, void or released", "outcome")
PRODUCT_CACHE = Counters("product_cache_lookups_total", "Product reads: hit, miss, or miss and stale", "outcome")
PRODUCT_READS = Counters("product_reads_total", "Product queries that PostgreSQL answered")
WEBHOOK_ATTEMPTS = Histograms(
    "webhook_attempt_duration_ms",
    "Time of one attempt to send a webhook message, ms",
    "result",
    counted=("webhook_attempts_total", "Attempts to send a webhook message: delivered, http (refused), or no answer"),
)
WEBHOOK_RETRIES = Counters("webhook_retry_attempts_total", "Attempts after a message's first", "result")


def webhook_attempt(result: str, began: float, *, retried: bool) -> None:
    """
    Record one attempt to send a webhook message.

    Args:
        began: ``time.perf_counter()`` before it.
        retried: it was not the message's first attempt.
    """
    WEBHOOK_ATTEMPTS.of(result).add((time.perf_counter() - began) * 1000)
    if retried:
        WEBHOOK_RETRIES.of(result).add()


def order_created(path: str, began: float) -> None:
    """
    Record a committed order.

    Args:
        began: ``time.perf_counter()`` when its request was read.
    """
    ORDERS_CREATED.of(path).add()
    ORDER_CREATION_MS.of(path).add((time.perf_counter() - began) * 1000)


class HitRatio:
    """Derives ``product_cache_hit_ratio`` from the counters of all workers."""

    def __init__(self, counted: "CollectorRegistry") -> None:
        self._counted = counted

    def collect(self) -> "Iterator[Metric]":
        from prometheus_client.core import GaugeMetricFamily

        hits, misses = (
            self._counted.get_sample_value("product_cache_lookups_total", {"outcome": outcome}) or 0
            for outcome in ("hit", "miss")
        )
        if hits + misses:
            description = "Product reads answered from a copy ÷ product reads"
            yield GaugeMetricFamily("product_cache_hit_ratio", description, hits / (hits + misses))


DERIVED.append(HitRatio)
