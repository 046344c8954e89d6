"""One operation, served anew when a file is written, for Tilt: ``python -m pulsecart.processes.reload checkout``."""

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
    """Every file that the image holds, and when it was written."""
    found: dict[Path, int] = {}
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.*"):
            try:
                if path.suffix != ".pyc":
                    found[path] = path.stat().st_mtime_ns
            except FileNotFoundError:  # replaced in this moment: the next look sees what came
                continue
    return found


def serve(arguments: Sequence[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen([sys.executable, "-m", "pulsecart.processes.function", *arguments], cwd=ROOT)


def end(child: "subprocess.Popen[bytes]") -> None:
    """Streams and requests under way are cut off: whoever writes code is waiting."""
    child.terminate()
    try:
        child.wait(END_S)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def main(arguments: Sequence[str]) -> None:
    """Until SIGTERM. A process that ended over a mistake in the code is started when the next file is written."""

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
