"""Runs one operation, restarts it when a file changes; for Tilt: ``python -m pulsecart.processes.reload checkout``."""

import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("contracts", "eventing", "functions", "pulsecart")
LOOK_S = 0.2
END_S = 1.0


def written() -> dict[Path, int]:
    """Return the modification time of every file in the image."""
    found: dict[Path, int] = {}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.*"):
            try:
                if path.suffix != ".pyc":
                    found[path] = path.stat().st_mtime_ns
            except FileNotFoundError:  # being replaced; the next scan finds the new file
                continue
    return found


def serve(arguments: Sequence[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "pulsecart.processes.function", *arguments], cwd=ROOT)


def end(child: "subprocess.Popen[bytes]") -> None:
    """Stop the process within END_S; open streams and requests are cut off, because the developer is waiting."""
    child.terminate()
    try:
        child.wait(END_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def main(arguments: Sequence[str]) -> None:
    """Run until SIGTERM. After an error in the code ends the process, it is restarted at the next file change."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise SystemExit

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    seen = written()
    child = serve(arguments)
    try:
        while True:
            time.sleep(LOOK_S)
            now = written()
            if now != seen:
                seen = now
                end(child)
                child = serve(arguments)
    finally:
        end(child)


if __name__ == "__main__":
    main(sys.argv[1:])
