"""scripts/receipt reports the cost of a purchase from zero, as recorded on the cluster."""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.shop import Cluster

pytestmark = pytest.mark.timeout(420)
USER = 720_001
COUNTED_S = 5.0  # five readings of the counters
BUSY = ("edge", "checkout", "relay", "reserve", "pay", "fulfil")


async def test_a_purchase_from_zero_is_on_the_receipt(cluster: Cluster, tmp_path: Path) -> None:
    await cluster.at_zero()
    found = tmp_path / "receipt.json"
    command = ("tools.receipt", "--for", "45s", "--every", "1s", "--json", str(found))
    recorder = await asyncio.create_subprocess_exec(sys.executable, "-m", *command, stdout=asyncio.subprocess.PIPE)
    assert recorder.stdout
    assert b"Recording" in await recorder.stdout.readline()
    await cluster.becomes(await cluster.buy_later(USER), "FULFILLED", 40)
    await asyncio.sleep(COUNTED_S)
    if recorder.returncode is None:
        recorder.send_signal(signal.SIGINT)  # as Ctrl-C does: the rest of the 45 s would show pods that only wait
    output = (await recorder.communicate())[0].decode()
    assert recorder.returncode == 0, output
    lines: dict[str, dict[str, Any]] = {line["operation"]: line for line in json.loads(found.read_bytes())["lines"]}
    for operation in BUSY:
        line = lines[operation]
        assert line["cold_starts"] >= 1, (operation, output)
        assert 0 < line["start_p50_s"] < 40
        assert 0 < line["pod_s"] - line["leaving_s"] <= 46 * line["most_pods"]
    for operation in ("reserve", "pay", "fulfil"):
        assert lines[operation]["events"] >= 1, (operation, output)
    for operation in ("edge", "checkout"):
        assert lines[operation]["requests"] >= 1, (operation, output)
    assert lines["cancel"]["cold_starts"] == 0
    assert lines["cancel"]["at_zero"] == 1.0
