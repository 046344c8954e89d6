"""
scripts/audit: proves that no unit was sold twice, nothing was lost or left unfinished, and the gate agrees.

Exit status 0: clean; 1: a rule is violated, and the rows are shown; 2: one or all rules could not be checked.
"""

import argparse
import json
import sys
from pathlib import Path

from rich.console import Console

from pulsecart.admin.audit.audit import GRACE_S, audit
from pulsecart.admin.audit.picture import show
from pulsecart.admin.which_shop import Connection, NoShop, connection_for_scripts
from pulsecart.shop.audit.db.questions import CannotAsk


def main(arguments: list[str] | None = None) -> int:
    options = _options(arguments)
    try:
        shop = _where(options)
        report = audit(
            shop.database_url, shop.redis_url, grace_s=options.grace, settle_timeout_s=options.settle_timeout
        )
    except (NoShop, CannotAsk) as reason:
        return _could_not(str(reason))
    if options.json:
        sys.stdout.write(json.dumps(report.document(), default=str) + "\n")
    else:
        show(report, Console())
    return 2 if report.unchecked else 0 if report.clean else 1


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/audit", description=__doc__.strip().splitlines()[0])
    add = parser.add_argument
    add("--json", action="store_true", help="print the report as one JSON object")
    add("--data", type=Path, help="the running shop's data directory (default: DATABASE_URL, else .data)")
    add("--database-url", default="", help="audit this database (with --redis-url, else without a gate)")
    add("--redis-url", default="", help="compare with the gate in this Redis")
    add("--settle-timeout", type=float, default=0.0, metavar="S", help="wait up to S seconds for work in progress")
    add(
        "--grace",
        type=float,
        default=GRACE_S,
        metavar="S",
        help="seconds that an order may stay unchanged (default: %(default)s)",
    )
    return parser.parse_args(arguments)


def _where(options: argparse.Namespace) -> Connection:
    if options.database_url:
        return Connection("", options.database_url, options.redis_url)
    found = connection_for_scripts(options.data)
    return Connection(found.url, found.database_url, options.redis_url or found.redis_url)


def _could_not(sentence: str) -> int:
    sys.stderr.write(f"audit: {sentence.strip()}\n")
    return 2


if __name__ == "__main__":
    sys.exit(main())
