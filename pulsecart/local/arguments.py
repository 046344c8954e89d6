"""Reads the command line of ``./scripts/up``."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from pulsecart.admin.which_shop import DATA
from pulsecart.local.profiles import NAMES


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse ``given``, by default the process's arguments; exit with a message if they are wrong."""
    parser = argparse.ArgumentParser(
        prog="./scripts/up",
        description="Start the whole shop on this machine, on 127.0.0.1 only, and keep it running until Ctrl-C.",
        epilog="If DATABASE_URL or REDIS_URL is set, that server is used instead of starting one.",
    )
    parser.add_argument("--port", type=int, default=8080, help="the shop's port; 0 chooses a free one (8080)")
    parser.add_argument("--data", type=Path, default=DATA, metavar="DIR", help="the shop's data directory (.data)")
    parser.add_argument("--workers", type=_count, default=1, metavar="N", help="the number of worker processes (1)")
    parser.add_argument(
        "--with",
        dest="profiles",
        type=_profiles,
        default=(),
        metavar="LIST",
        help=f"also install and start: {', '.join(NAMES)}",
    )
    return parser.parse_args(given)


def _profiles(text: str) -> tuple[str, ...]:
    names = tuple(filter(None, text.split(",")))
    if unknown := [name for name in names if name not in NAMES]:
        raise argparse.ArgumentTypeError(f"{unknown[0]} is none of {', '.join(NAMES)}")
    return names


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()) or int(text) < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return int(text)
