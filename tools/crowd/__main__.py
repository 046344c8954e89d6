"""``scripts/sale``: plays a sale against a running shop and checks the results. Exit status 1 when a check fails."""

import argparse
import gc
import json
import os
import resource
import sys
from pathlib import Path
from secrets import randbelow

import uvloop
from rich.console import Console

from pulsecart.admin.which_shop import DATA, DEFAULT_URL
from tools.crowd.ask import NotThere
from tools.crowd.audit import audit
from tools.crowd.checks import checks
from tools.crowd.crowd import Habits
from tools.crowd.play import Plan, play
from tools.crowd.report import document, picture, show
from tools.crowd.running import Running, find

USUAL = Habits()


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("scripts/sale", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    add("--url", help=f"the shop's URL; default: the shop that runs on --data, else {DEFAULT_URL}")
    add("--host", default="", help="the Host header, if a gateway needs another one than the URL's")
    add("--data", type=Path, default=DATA, help="the shop's data directory, as for scripts/up")
    add("--product", default="1")
    add("--buyers", type=_count, default=100_000)
    add("--units", type=int, default=1000, help="units to which the stock is set before the sale")
    add("--no-reset", dest="reset", action="store_false", help="leave the stock as it is")
    add("--connections", type=_count, default=2000, help="keep-alive connections that the buyers share")
    add("--path", choices=("sync", "async"), default="sync")
    add(
        "--retry-share",
        type=_share,
        default=USUAL.retry,
        help="share of the buyers who repeat the request with the same key after the answer",
    )
    add(
        "--double-click-share",
        type=_share,
        default=USUAL.double_click,
        help="share who send the request twice at once with the same key",
    )
    add("--give-up-share", type=_share, default=USUAL.give_up, help="share who disconnect early; half of them retry")
    add("--cheat-share", type=_share, default=USUAL.cheat, help="share who buy again with new keys until rejected")
    add("--seed", type=int, default=None, help="seed of the buyers' behaviour; their ids are new in every run")
    add("--settle-timeout", type=float, default=120.0, help="seconds that the shop has to finish the accepted orders")
    add("--tracked", type=int, default=2000, help="orders whose state is read afterwards")
    add("--json", type=Path, metavar="FILE", help="write the report to this file, and a picture beside it (.svg)")
    add("--no-audit", dest="audit", action="store_false", help="skip the audit; run only the checks of this program")
    return parser


def _share(text: str) -> float:
    if not 0 <= (share := float(text)) <= 1:
        raise argparse.ArgumentTypeError("a share is between 0 and 1")
    return share


def _count(text: str) -> int:
    if (count := int(text)) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return count


def plan_of(options: argparse.Namespace, running: Running) -> Plan:
    return Plan(
        url=(options.url or running.url or DEFAULT_URL).rstrip("/"),
        named=options.host,
        path=options.path,
        product=options.product,
        buyers=options.buyers,
        units=options.units,
        connections=options.connections,
        habits=Habits(
            retry=options.retry_share,
            double_click=options.double_click_share,
            give_up=options.give_up_share,
            cheat=options.cheat_share,
        ),
        seed=randbelow(2**32) if options.seed is None else options.seed,
        reset=options.reset,
        settle_timeout_s=options.settle_timeout,
        tracked=options.tracked,
        processes=running.processes if options.url in (None, running.url) else {},
    )


def allow_connections(count: int) -> None:
    """
    Raises:
        NotThere: the system does not allow one process that many open files.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and count + 100 > hard:
        raise NotThere(f"{count} connections need more open files than the limit of {hard}; lower --connections")
    resource.setrlimit(resource.RLIMIT_NOFILE, (count + 100 if hard == resource.RLIM_INFINITY else hard, hard))


def audited(running: Running, plan: Plan) -> bool | None:
    """Return whether the audit is clean; None when the database of the shop at the address is unknown."""
    if running.url == plan.url:
        return audit(running.environment, plan.settle_timeout_s)
    if "DATABASE_URL" in os.environ:
        return audit({}, plan.settle_timeout_s)
    sys.stdout.write("the audit cannot run: give the shop's --data directory, or set DATABASE_URL and REDIS_URL\n")
    return None


def main() -> int:
    options = arguments().parse_args()
    running = find(options.data)
    plan, console = plan_of(options, running), Console()
    gc.disable()  # few cycles are created here, and a pause would be measured as the shop's
    try:
        allow_connections(plan.connections)
        played = uvloop.run(play(plan, console))
    except NotThere as refusal:
        console.print(f"[red]{refusal}[/]", highlight=False)
        return 2
    found = checks(plan, played)
    result = document(plan, played, found)
    show(console, result, played.ledger)
    result["audit"] = audited(running, plan) if options.audit else None
    result["passed"] = all(check.ok for check in found) and result["audit"] is not False
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
        options.json.with_suffix(".svg").write_text(picture(result, played.ledger))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    sys.exit(main())
