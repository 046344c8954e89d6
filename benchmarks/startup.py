"""
Measures the time from ``scripts/up`` to the first answered purchase, with an existing virtual environment.

    scripts/python -m benchmarks.startup [--times 5] [--out FILE.json]

Each time twice: on an empty data directory (the database is made first), and on the one that the first start left.
"""

import argparse
import http.client
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.machine import described
from benchmarks.report import write_report

ROOT = Path(__file__).parent.parent
GIVE_UP_S = 120.0
BODY = '{"productId":1,"quantity":1,"userId":%d}'


def start_to_purchase(data: Path, buyer: int) -> float:
    """Return the seconds; the shop is stopped again before that."""
    port = _free_port()
    command = [str(ROOT / "scripts" / "up"), "--port", str(port), "--data", str(data)]
    began = time.monotonic()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        try:
            while not _bought(port, buyer):
                if process.poll() is not None or time.monotonic() - began > GIVE_UP_S:
                    raise RuntimeError("the shop did not start")
                time.sleep(0.01)
            return time.monotonic() - began
        finally:
            process.send_signal(signal.SIGINT)


def _bought(port: int, buyer: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=GIVE_UP_S)
    try:
        connection.request("POST", "/api/v1/sync/purchase", BODY % buyer, {"Content-Type": "application/json"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port: int = taken.getsockname()[1]
    return port


def measure(times: int) -> dict[str, Any]:
    """Return the medians and all values, seconds."""
    found: dict[str, list[float]] = {"first_start_s": [], "later_start_s": []}
    for n in range(times):
        with tempfile.TemporaryDirectory(prefix="pulsecart-bench-") as directory:
            for name, buyer in (("first_start_s", 1), ("later_start_s", 2)):
                found[name].append(round(start_to_purchase(Path(directory) / "data", buyer), 2))
                print(f"{n + 1}/{times} {name} {found[name][-1]}", flush=True)
    return {name: {"median": median(values), "all": values} for name, values in found.items()}


def main() -> int:
    parser = argparse.ArgumentParser("benchmarks.startup", description=__doc__)
    parser.add_argument("--times", type=int, default=5)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    write_report({"machine": described(), **measure(options.times)}, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
