"""
Kills each of the shop's processes in turn during a sale, many times, and checks after each that nothing was lost.

    python -m tests.faults.rounds [--rounds 50] [--seed S] [--workers 2]

Exit status 1 at the first round that is not clean, with the offending rows; its data directory is kept.
"""

import argparse
import asyncio
import json
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from secrets import randbelow
from statistics import median
from typing import Any

from pulsecart.admin.audit.audit import audit
from tests.faults import promises
from tests.faults.crowd import ANSWER_WITHIN_S, FLASH, SHELF, TIMED_OUT, Buyer, Crowd, invent
from tests.faults.victims import Shop, strike
from tests.local.running_shop import eventually

VICTIMS = ("host", "postgres", "a backend", "redis", "redis emptied", "supervisor", "everything")
BUYERS, UNITS, SHELF_UNITS = 600, 200, 120
PROBED = 3  # a product that no other buyer orders
SETTLE_S = 90.0
MOODS = (("approve", 0.0), ("approve", 0.0), ("decline", 0.2), ("timeout", 0.3), ("fail", 0.3))


@dataclass
class Round:
    """
    Holds the result of one sale during which one process was killed.

    Args:
        killed_at: buyers that had their end answer by then.
        recovered_s: from the kill to the first order committed by what was started in the victim's place.
        settled_s: from the last buyer's end answer until every order had its end and the audit was clean.
        late: units that were left, and that latecomers could buy.
        findings: rows that should not be; empty when clean.
    """

    number: int
    victim: str
    mood: str
    killed_at: int = 0
    recovered_s: float = 0.0
    settled_s: float = 0.0
    took_s: float = 0.0
    late: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    noted: Counter[str] = field(default_factory=Counter)
    findings: list[dict[str, Any]] = field(default_factory=list)


async def play(shop: Shop, number: int, victim: str, random: Random, buyers: int = BUYERS, units: int = UNITS) -> Round:
    """Play one round on a running shop; the shop runs again at its end."""
    began = time.monotonic()
    mood, share = random.choice(MOODS)
    reported = Round(number, victim, mood)
    people = invent(buyers, number * 1_000_000, random)
    async with Crowd(shop.url, random) as crowd:
        await _open(crowd, units, mood, share)
        buying = asyncio.create_task(crowd.buy(people))
        await crowd.until_served(random.randrange(int(buyers * 0.7)))
        reported.killed_at = crowd.served
        reported.recovered_s = await _killed(shop, crowd, victim, random, number)
        await buying
        await crowd.insist("PUT", "/api/v1/payments/simulator", {"mode": "approve", "share": 1.0})
        ended = time.monotonic()
        await _ended(shop)
        reported.findings += await _audited(shop)
        reported.settled_s = time.monotonic() - ended
        if not reported.findings:
            late = await _latecomers(shop, crowd, number)
            reported.late = sum(buyer.end == "taken" for buyer in late)
            people += late
            await _ended(shop)
            reported.findings += await _audited(shop) + promises.broken(shop.running.database_url, people)
            reported.findings += await promises.contradicted(shop.url, shop.running.database_url, people)
            reported.findings += promises.dead_letters(shop.running.database_url)
        reported.findings += shop.errors()
        if crowd.noted[TIMED_OUT]:
            reported.findings.append(
                {"broken": f"{crowd.noted[TIMED_OUT]} times no answer for {ANSWER_WITHIN_S:.0f} s"}
            )
        reported.noted = crowd.noted
    reported.ends = Counter(buyer.end for buyer in people)
    reported.took_s = time.monotonic() - began
    return reported


async def _open(crowd: Crowd, units: int, mood: str, share: float) -> None:
    await crowd.insist("PUT", "/api/v1/payments/simulator", {"mode": mood, "share": share})
    for product, stock in ((FLASH, units), (SHELF, SHELF_UNITS), (PROBED, 100)):
        await crowd.insist("PUT", f"/api/v1/sync/stock/{product}/reset?stock={stock}")


async def _killed(shop: Shop, crowd: Crowd, victim: str, random: Random, number: int) -> float:
    """Kill, wait for the replacement, and buy something; return the seconds that this took."""
    killed = time.monotonic()
    replaced = strike(shop, victim, random)
    await asyncio.to_thread(eventually, replaced, f"another {victim} runs", SETTLE_S)
    body = {"productId": PROBED, "quantity": 1, "userId": number * 1_000_000 + 999_999}
    await crowd.insist("POST", "/api/v1/sync/purchase", body)
    return time.monotonic() - killed


async def _ended(shop: Shop) -> None:
    """Wait until every order is finished; one that is not by SETTLE_S counts as a broken promise."""
    until = time.monotonic() + SETTLE_S
    while time.monotonic() < until:
        if await asyncio.to_thread(promises.open_orders, shop.running.database_url) == 0:
            break
        await asyncio.sleep(0.1)


async def _audited(shop: Shop) -> list[dict[str, Any]]:
    urls = shop.running.database_url, shop.running.redis_url
    report = await asyncio.to_thread(audit, *urls, settle_timeout_s=SETTLE_S)
    return [{"audit": found.check, "holds": found.holds, **row} for found in report.findings for row in found.rows]


async def _latecomers(shop: Shop, crowd: Crowd, number: int) -> list[Buyer]:
    """Buy all remaining units, one each, and one more: no unit is left, and the last answer is "sold out"."""
    stock = (await crowd.insist("GET", f"/api/v1/sync/stock/{FLASH}"))["stock"]
    late = [Buyer(number * 1_000_000 + 500_000 + n, f"late-{number}-{n}", "sync", 1) for n in range(stock + 1)]
    for some in (late[:-1], late[-1:]):
        await crowd.buy(some)
    for buyer in late[:-1]:
        if buyer.end == "sold-out":
            buyer.end = "sold out, though a unit was left"
    if late[-1].end == "taken":
        late[-1].end = "sold, though none was left"
    return late


def run(
    rounds: int, seed: int, data: Path, workers: int, victims: Sequence[str], say: Callable[[str], None], **sizes: int
) -> list[Round]:
    """Play rounds on one shop until one fails; ``sizes`` as in ``play``."""
    random = Random(seed)
    say(f"seed {seed}: starting a shop with {workers} worker{'s' * (workers > 1)} on {data}")
    shop = Shop(data, workers)
    played: list[Round] = []
    try:
        for number in range(1, rounds + 1):
            victim = victims[(number - 1) % len(victims)]
            played.append(asyncio.run(play(shop, number, victim, random, **sizes)))
            say(line(played[-1], rounds))
            if played[-1].findings:
                break
    finally:
        shop.stop()
    return played


def line(reported: Round, rounds: int) -> str:
    """Format one round as a line of text."""
    ends = ", ".join(f"{n} {end}" for end, n in reported.ends.most_common())
    noted = ", ".join(f"{n}× {what}" for what, n in reported.noted.most_common() if not what.startswith("409 "))
    verdict = "clean" if not reported.findings else f"NOT CLEAN: {len(reported.findings)} rows"
    return (
        f"{reported.number:3}/{rounds} {reported.victim:13} gateway {reported.mood:7}"
        f" killed at {reported.killed_at:3} buyers,"
        f" next order {reported.recovered_s:5.2f} s · {ends} · {noted or 'no error seen'} · all settled"
        f" {reported.settled_s:4.1f} s later · {reported.took_s:5.1f} s · {verdict}"
    )


def summary(played: Sequence[Round]) -> str:
    """Format a table by victim, in Markdown."""
    rows = [
        "| killed | rounds | back after: p50 | max | all settled after: p50 | max | not clean |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for victim in dict.fromkeys(reported.victim for reported in played):
        its = [reported for reported in played if reported.victim == victim]
        back, ended = [reported.recovered_s for reported in its], [reported.settled_s for reported in its]
        rows.append(
            f"| {victim} | {len(its)} | {median(back):.2f} s | {max(back):.2f} s | {median(ended):.1f} s"
            f" | {max(ended):.1f} s | {sum(bool(reported.findings) for reported in its)} |"
        )
    return "\n".join(rows)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.rounds", description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--buyers", type=int, default=BUYERS)
    parser.add_argument("--units", type=int, default=UNITS)
    parser.add_argument("--victims", default=",".join(VICTIMS), help="in turn; default: %(default)s")
    options = parser.parse_args()
    seed = randbelow(2**32) if options.seed is None else options.seed
    data = Path(tempfile.mkdtemp(prefix="faults-")) / "shop"
    began = time.monotonic()
    victims, sizes = options.victims.split(","), {"buyers": options.buyers, "units": options.units}
    played = run(
        options.rounds, seed, data, options.workers, victims, lambda output: print(output, flush=True), **sizes
    )
    print(f"\n{len(played)} rounds in {time.monotonic() - began:.0f} s, seed {seed}\n\n{summary(played)}")
    for row in played[-1].findings:
        print(json.dumps(row, default=str))
    if played[-1].findings:
        print(f"\nnot clean; its data and logs: {data.parent}")
        return 1
    shutil.rmtree(data.parent)
    return 0


if __name__ == "__main__":
    sys.exit(main())
