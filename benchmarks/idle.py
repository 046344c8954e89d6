"""
Measures an idle shop: memory (PSS) and CPU of all of its processes over some time.

    scripts/python -m benchmarks.idle [--seconds 60] [--workers 1] [--out FILE.json]
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from benchmarks.machine import described
from benchmarks.report import write_report
from benchmarks.shop import shop
from pulsecart.admin.which_shop import running
from tools.crowd.machine import cpu_s, pss_mb

SETTLE_S = 15.0  # the first moments still start connections, triggers and the autovacuum


def measure(seconds: float, workers: int) -> dict[str, Any]:
    """Return PSS in MB of 2^20 bytes per group and in all; CPU as a percentage of one core."""
    with shop(workers) as (here, data):
        run = running(data) or {}
        groups = {**here.processes, "supervisor": [run["pid"]]}
        time.sleep(SETTLE_S)
        before, began = cpu_s([run["pid"]]), time.monotonic()
        time.sleep(seconds)
        used, elapsed = cpu_s([run["pid"]]) - before, time.monotonic() - began
        memory_mb = pss_mb([run["pid"]])
        each = {name: round(pss_mb(pids), 1) for name, pids in groups.items() if name != "supervisor"}
    each["supervisor"] = round(memory_mb - sum(each.values()), 1)
    return {
        "workers": workers,
        "seconds": round(elapsed, 1),
        "pss_mb": round(memory_mb, 1),
        "pss_mb_of": each,
        "cpu_percent_of_a_core": round(used / elapsed * 100, 2),
    }


def main() -> int:
    parser = argparse.ArgumentParser("benchmarks.idle", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    result = {"machine": described(), **measure(options.seconds, options.workers)}
    write_report(result, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
