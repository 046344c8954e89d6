"""What keeps a shop from starting, said in a sentence for whoever typed the command."""

from pathlib import Path

DISK_FULL = "No space left on device"


class CannotStart(Exception):
    """The message is one clear sentence: what is wrong, where, and what to do about it."""


def why(log: Path, otherwise: str) -> CannotStart:
    """The sentence for a server that ended although it should run, read from the end of its log."""
    tail = log.read_text(errors="replace")[-4000:] if log.exists() else ""
    if DISK_FULL in tail:
        return CannotStart(f"the disk under {log.parent} is full: free some space or give another --data")
    lines = [line for line in tail.splitlines() if line.strip()]
    telling = [line for line in lines if "FATAL" in line or "error" in line.lower()] or lines
    return CannotStart(f"{otherwise}; the end of {log} says: {telling[-1].strip() if telling else 'nothing'}")
