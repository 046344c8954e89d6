"""``scripts/new`` makes everything that a new operation needs, a failing test included, and lists it everywhere."""

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tools.new_operation import files, lists
from tools.new_operation.wanted import NotPossible, Wanted, departments, wanted
from tools.operations_table import ROOT

EPILOG: Final = """
An event type is written short (order.paid) or in full (ecommerce.order.order.paid.v1). A new type gets
a Struct, and a contract that is a draft: it is frozen when its $comment is deleted. The route accepts
only admins until you change contracts/http/access.yaml and allow= in main.py. For an operation that
works at due times, use wake= and a PingSource, as functions/expire and eventing/expire.yaml do.
"""


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/new",
        description="Create all files of a new operation, including a failing test.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("operation", help="its name in snake case; a verb if it reacts to events (pack_order)")
    parser.add_argument("--department", required=True, metavar="D", help=f"one of {', '.join(departments())}")
    parser.add_argument(
        "--hears", nargs="+", default=[], action="extend", metavar="TYPE", help="event types that it subscribes to"
    )
    parser.add_argument(
        "--emits", nargs="+", default=[], action="extend", metavar="TYPE", help="event types that it emits"
    )
    parser.add_argument("--route", default="", metavar="'POST /api/v1/…'", help="an HTTP route of the operation")
    return parser.parse_args(given)


def write(new: Wanted, root: Path = ROOT) -> list[str]:
    """Writes new files and changed lists. Returns their paths below ``root``."""
    texts = files.texts(new) | lists.changed(new, root)
    for name, text in texts.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return sorted(texts)


def _tidy(root: Path, names: Sequence[str]) -> None:
    """
    Format the Python files and write the generated ones.

    Raises:
        subprocess.CalledProcessError: one of the commands failed, and has said why.
    """
    python = [sys.executable, "-m", "ruff"]
    sources = [name for name in names if name.endswith(".py")]
    for command in (
        ["./scripts/venv", "dev"],
        [*python, "check", "--quiet", "--fix", "--select", "I", *sources],
        [*python, "format", "--quiet", *sources],
        ["./scripts/generate"],
    ):
        subprocess.run(command, cwd=root, check=True, stdout=sys.stderr)


def main(given: Sequence[str] | None = None) -> int:
    options = arguments(given)
    try:
        new = wanted(options.operation, options.department, options.hears, options.emits, options.route)
        names = write(new)
    except NotPossible as refused:
        sys.stderr.write(f"{refused}\n")
        return 2
    try:
        _tidy(ROOT, names)
    except subprocess.CalledProcessError as failed:
        sys.stderr.write(f"{failed}\nThe files are written; correct this, then run ./scripts/generate.\n")
        return 1
    sys.stdout.write("".join(f"  {name}\n" for name in names))
    sys.stdout.write(
        f"Next: ./scripts/test {new.test}, which fails until functions/{new.name}/main.py is complete.\n"
        'Replace every text that begins with "Say here" (CONTRIBUTING.md, "Add an operation").\n'
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
