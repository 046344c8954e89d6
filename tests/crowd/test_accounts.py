"""Computes percentiles, buckets, verdicts and CPU figures of the load generator without a shop."""

import os
import time
from array import array
from pathlib import Path

import pytest

from pulsecart.admin.which_shop import publish
from tools.crowd.ledger import percentiles_ms
from tools.crowd.machine import Meter, cpu_s, family, pss_mb
from tools.crowd.picture import histogram, in_terminal, svg
from tools.crowd.running import find
from tools.crowd.verdict import Verdict, read


def test_percentiles_are_taken_over_all_samples_together() -> None:
    reported = percentiles_ms(
        array("d", [i / 1000 for i in range(1, 51)]), array("d", [i / 1000 for i in range(51, 101)])
    )
    assert reported == pytest.approx({"count": 100, "p50": 51, "p95": 96, "p99": 100, "max": 100})


def test_no_samples_have_percentiles_of_nought() -> None:
    assert percentiles_ms(array("d")) == {"count": 0, "p50": 0, "p95": 0, "p99": 0, "max": 0}


def test_every_answer_is_in_the_one_bucket_that_covers_it() -> None:
    buckets = histogram([0.0009, 0.0011, 0.1])
    assert sum(n for _, n in buckets) == 3
    assert [n for edge, n in buckets if edge == pytest.approx(1)] == [1]
    assert "1 ms" in in_terminal(buckets)


def test_the_picture_names_its_series_and_escapes_them() -> None:
    drawn = svg("a < b", {"sold & told": [(1.0, 3)]})
    assert "a &lt; b" in drawn
    assert "sold &amp; told" in drawn


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (200, b'{"orderId":"o-1"}', Verdict.SOLD),
        (202, b'{"trackingId":"o-1","orderId":"o-1"}', Verdict.ACCEPTED),
        (200, b"{}", Verdict.BROKEN),
        (200, b"OK", Verdict.BROKEN),
        (409, b'{"type":"https://pulsecart.dev/problems/sold-out"}', Verdict.SOLD_OUT),
        (409, b'{"type":"https://pulsecart.dev/problems/limit-reached"}', Verdict.LIMITED),
        (409, b'{"type":"https://pulsecart.dev/problems/request-in-flight"}', Verdict.IN_FLIGHT),
        (409, b'{"type":"https://pulsecart.dev/problems/sale-not-open"}', Verdict.REFUSED),
        (422, b'{"type":"about:blank"}', Verdict.REFUSED),
        (429, b"", Verdict.UNAVAILABLE),
        (503, b"<html>", Verdict.UNAVAILABLE),
        (500, b'{"type":"about:blank"}', Verdict.BROKEN),
    ],
)
def test_an_answer_means(status: int, body: bytes, verdict: Verdict) -> None:
    assert read(status, body)[0] is verdict


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells")


@needs_proc
def test_a_process_is_metered_with_its_descendants() -> None:
    me = os.getpid()
    meter = Meter({"me": [me], "gone": [2**22 + 1]})
    until = time.process_time() + 0.05
    while time.process_time() < until:
        pass
    meter.sample()
    assert meter.cpu_s()["me"] >= 0.02
    assert meter.cpu_s()["gone"] == 0
    assert meter.peak_mb["me"] > 5
    assert pss_mb([2**22 + 1]) == 0
    assert me in family([os.getppid()])
    assert cpu_s([me]) > 0


def test_a_shop_that_is_not_here_has_no_processes(tmp_path: Path) -> None:
    assert find(tmp_path).processes == {}


def test_a_running_shop_is_found_by_its_file(tmp_path: Path) -> None:
    me = os.getpid()
    workers = [{"worker": 0, "pid": me}]
    run = {"pid": me, "url": "http://127.0.0.1:1", "workers": workers, "postgres_pid": 7, "valkey_pid": None}
    publish(tmp_path, {**run, "database_url": "d", "redis_url": "r"})
    running = find(tmp_path)
    assert running.url == "http://127.0.0.1:1"
    assert running.processes == {"workers": [me], "postgres": [7]}
    assert running.environment == {"DATABASE_URL": "d", "REDIS_URL": "r", "PUBLIC_URL": "http://127.0.0.1:1"}
