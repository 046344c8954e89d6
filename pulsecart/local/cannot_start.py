"""Defines the error for a shop that cannot start, with one sentence for the user of the command."""

from pathlib import Path

DISK_FULL = "No space left on device"


class CannotStart(Exception):
    """The shop cannot start; the message is one sentence: what is wrong, where, and what to do."""


def why(log: Path, otherwise: str) -> CannotStart:
    """Return the error for a server that ended unexpectedly, with the reason from the end of its log."""
    tail = log.read_text(errors="replace")[-4000:] if log.exists() else ""
    if DISK_FULL in tail:
        return CannotStart(f"the disk under {log.parent} is full: free some space or give another --data")
    lines = [line for line in tail.splitlines() if line.strip()]
    relevant = [line for line in lines if "FATAL" in line or "error" in line.lower()] or lines
    return CannotStart(f"{otherwise}; the last message in {log} is: {relevant[-1].strip() if relevant else 'nothing'}")
