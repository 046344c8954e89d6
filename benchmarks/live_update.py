"""
Measures the time from a saved file to the first answer that shows it, and a plain start of the same operation.

    scripts/python -m benchmarks.live_update [--operation checkout] [--times 7] [--out FILE.json]
"""

import argparse
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from urllib.error import URLError
from urllib.request import urlopen

from benchmarks.machine import described
from benchmarks.operation_start import GIVE_UP_S, LOOK_S, ROOT, UNREACHABLE, free_port, start
from benchmarks.report import write_report

ROOMS = ("contracts", "eventing", "functions", "pulsecart")
LOCK = ROOT / "requirements" / "live.lock"
CACHE = Path(tempfile.gettempdir()) / "pulsecart-live"
SAID = '"UP"'


def watcher(cache: Path) -> Path:
    """Return the directory with the packages of ``requirements/live.lock``, installed as the Dockerfile does."""
    made = cache / hashlib.sha256(LOCK.read_bytes()).hexdigest()[:12]
    if not (made / "ready").exists():
        venv.create(made, clear=True, with_pip=True)
        options = ("-q", "--no-deps", "--require-hashes", "--only-binary", ":all:", "--target", made / "live")
        subprocess.run([made / "bin" / "python", "-m", "pip", "install", *options, "-r", LOCK], check=True)
        (made / "ready").touch()
    return made / "live"


def live(directory: Path, packages: Path, *arguments: str) -> "subprocess.Popen[bytes]":
    """Start the entry point of the Dockerfile's live stage on a copy of the code in ``directory``."""
    stage = (ROOT / "Dockerfile").read_text().partition(" AS live\n")[2]
    found = re.search(r"^ENTRYPOINT (\[.*\])$", stage, re.MULTILINE)
    assert found, "the live stage has an entry point"
    entry: Sequence[str] = json.loads(found[1].replace(" /app", f" {directory}"))
    place = {"PYTHONPATH": f"{directory}:{packages}", "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    # A process whose lines are measured ends by a signal of its own.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE_")}
    return subprocess.Popen(
        [*entry, *arguments], cwd=directory, env={**kept, **UNREACHABLE, **place}, stderr=subprocess.DEVNULL
    )


def updates(operation: str, times: int) -> list[float]:
    """Return the seconds of each update."""
    with tempfile.TemporaryDirectory() as made:
        directory, port = Path(made), free_port()
        for room in ROOMS:
            shutil.copytree(ROOT / room, directory / room)
        served = directory / "pulsecart" / "processes" / "function.py"
        text = served.read_text()
        child = live(directory, watcher(CACHE), operation, "--port", str(port))
        try:
            _until_it_says(port, "UP")
            return [_update(served, text, f"UP{turn}", port) for turn in range(times)]
        finally:
            child.terminate()
            child.wait()


def _update(served: Path, text: str, word: str, port: int) -> float:
    served.write_text(text.replace(SAID, f'"{word}"'))
    return _until_it_says(port, word)


def _until_it_says(port: int, word: str) -> float:
    began = time.monotonic()
    while time.monotonic() - began < GIVE_UP_S:
        try:
            with urlopen(f"http://127.0.0.1:{port}/healthz", timeout=GIVE_UP_S) as answer:
                if f'"{word}"' in answer.read().decode():
                    return time.monotonic() - began
        except (URLError, ConnectionError):
            pass
        time.sleep(LOOK_S)
    raise RuntimeError(f"/healthz never returned {word}")


def main() -> int:
    parser = argparse.ArgumentParser("benchmarks.live_update", description=__doc__)
    parser.add_argument("--operation", default="checkout")
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    start(options.operation)  # writes bytecode
    took = updates(options.operation, options.times)
    starts = [start(options.operation).wall_ms / 1000 for _ in range(options.times)]
    found = {
        "machine": described(),
        "update_s": {"median": round(median(took), 2), "longest": round(max(took), 2)},
        "start_s": {"median": round(median(starts), 2), "longest": round(max(starts), 2)},
        "ratio": round(median(took) / median(starts), 2),
    }
    write_report(found, options.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
