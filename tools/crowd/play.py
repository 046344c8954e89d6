"""Runs the sale: sets the stock, opens connections, starts the buyers, and waits until the shop has finished."""

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from secrets import randbelow
from time import monotonic, process_time
from typing import Any

from rich.console import Console

from tools.crowd.ask import NotThere, address, ask, ask_all
from tools.crowd.crowd import Crowd, Habits, Purchase
from tools.crowd.lag import Lag
from tools.crowd.ledger import Ledger
from tools.crowd.live import Screen
from tools.crowd.machine import Meter
from tools.crowd.wire import Lines, purchase_maker

TICK_S = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """
    Args:
        named: the Host header, if a gateway needs another name than the URL's; else empty.
        path: ``sync`` or ``async``.
        reset: set the stock to ``units`` before the sale.
        answer_within_s: a later answer counts as lost.
        settle_timeout_s: how long accepted purchases may take to finish.
        tracked: how many orders are read by their tracking id afterwards.
    """

    url: str
    named: str = ""
    path: str = "sync"
    product: str = "1"
    buyers: int = 100_000
    units: int = 1000
    connections: int = 2000
    habits: Habits = field(default_factory=Habits)
    seed: int = 1
    reset: bool = True
    answer_within_s: float = 30.0
    settle_timeout_s: float = 120.0
    tracked: int = 2000
    processes: Mapping[str, list[int]] = field(default_factory=dict)


@dataclass(slots=True)
class Played:
    """
    The measurements; seconds, MB of 2^20 bytes.

    Args:
        states: order → its final state, for the orders read afterwards.
        endings: the number of orders per state, with the reason if there is one.
    """

    ledger: Ledger
    lag: Lag = field(default_factory=Lag)
    limit: int = 0
    seconds: float = 0.0
    drain_s: float | None = None
    drained: bool = False
    stock_left: int | None = None
    reopened: int = 0
    generator_cpu_s: float = 0.0
    cpu_s: dict[str, float] = field(default_factory=dict)
    cpu_drained_s: dict[str, float] = field(default_factory=dict)
    peak_mb: dict[str, float] = field(default_factory=dict)
    others_cores: float = 0.0
    states: dict[str, str] = field(default_factory=dict)
    endings: Counter[str] = field(default_factory=Counter)


async def play(plan: Plan, console: Console) -> Played:
    """
    Raises:
        NotThere: no shop answers at the address, or it has no such product.
    """
    if plan.reset:
        await _reset(plan)
    played = Played(Ledger(), limit=await _limit(plan))
    meter = Meter(plan.processes)
    await _sell(plan, played, meter, console)
    await _drain(plan, played, meter, console)
    await _look_back(plan, played)
    return played


async def _reset(plan: Plan) -> None:
    status, body = await ask(plan.url, "PUT", f"/api/v1/sync/stock/{plan.product}/reset?stock={plan.units}", plan.named)
    if status != 200:
        raise NotThere(f"{plan.url} answered {status} when the stock of {plan.product} was to be reset: {body}")


async def _limit(plan: Plan) -> int:
    """Return how many units one buyer may have; 0 for any number or if unknown."""
    _, body = await ask(plan.url, "GET", "/api/v1/sales", plan.named)
    sales = body.get("sales", []) if isinstance(body, dict) else []
    return next((int(s.get("buyerLimit") or 0) for s in sales if str(s.get("productId")) == plan.product), 0)


async def _sell(plan: Plan, played: Played, meter: Meter, console: Console) -> None:
    host, port = address(plan.url)
    random = Random(plan.seed)  # noqa: S311 - habits are not secret
    maker = purchase_maker(plan.named or f"{host}:{port}", f"/api/v1/{plan.path}/purchase", plan.product, 1)
    lines: Lines[Purchase]
    crowd = Crowd(
        buyers=plan.buyers,
        first_user=10**9 + randbelow(8 * 10**9),  # not from the seed: a second run needs new buyers
        request=maker,
        habits=plan.habits,
        limit=played.limit,
        ledger=played.ledger,
        random=random,
        on_lost=lambda line: lines.replace(line),
    )
    lines = Lines(host, port, min(plan.connections, plan.buyers), crowd)
    console.print(f"opening {plan.connections:,} connections to {plan.url}", highlight=False)
    try:
        await lines.open()
    except OSError as error:
        raise NotThere(f"only a part of {plan.connections} connections could be opened: {error}") from error
    played.ledger.start()
    cpu = process_time()
    played.lag.start()
    crowd.start()
    with Screen(console, lambda: _figures(played.ledger), lambda: crowd.served / plan.buyers) as screen:
        while not await _happens(crowd.done, TICK_S):
            lines.hang_up_older_than(plan.answer_within_s)
            meter.sample()
            screen.redraw()
    played.seconds = monotonic() - played.ledger.started
    played.generator_cpu_s = process_time() - cpu
    played.lag.stop()
    played.cpu_s, played.others_cores = meter.cpu_s(), meter.others_cores()
    meter.sample()
    lines.close()
    played.reopened = lines.reopened


async def _happens(event: asyncio.Event, within_s: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), within_s)
    except TimeoutError:
        return False
    return True


def _figures(ledger: Ledger) -> dict[str, str]:
    elapsed = max(monotonic() - ledger.started, 0.001)
    counts = {verdict.value: len(took) for verdict, took in ledger.took.items() if took}
    return {
        "seconds": f"{elapsed:.1f}",
        "answers/s": f"{ledger.answers / elapsed:,.0f}",
        **{name: f"{n:,}" for name, n in counts.items()},
        **{name: f"{n:,}" for name, n in ledger.errors.items()},
    }


async def _drain(plan: Plan, played: Played, meter: Meter, console: Console) -> None:
    """Wait until every event has been handled and no order is PENDING."""
    began = monotonic()
    body: Any = None
    with Screen(console, lambda: {"still to do": f"{_undone(body):,}"}, lambda: 1.0) as screen:
        while monotonic() - began < plan.settle_timeout_s:
            status, body = await ask(plan.url, "GET", "/api/v1/async/queue/status", plan.named)
            if status == 404:
                return
            if status == 200 and isinstance(body, dict) and _undone(body) == 0:
                played.drained = True
                break
            meter.sample()
            screen.redraw()
            await asyncio.sleep(TICK_S / 2)
    played.drain_s = monotonic() - began
    played.cpu_drained_s = meter.cpu_s()
    meter.sample()
    played.peak_mb = meter.peak_mb


def _undone(body: Any) -> int:
    if not isinstance(body, dict):
        return 0
    return int(body.get("pending") or 0) + sum(int(n or 0) for n in (body.get("lag") or {}).values())


async def _look_back(plan: Plan, played: Played) -> None:
    """Read the stock left, and the states of a sample of the orders and of all orders of the cheats."""
    _, body = await ask(plan.url, "GET", f"/api/v1/sync/stock/{plan.product}", plan.named)
    if isinstance(body, dict) and isinstance(body.get("stock"), int):
        played.stock_left = body["stock"]
    orders = list(played.ledger.orders.values())
    dice = Random(plan.seed)  # noqa: S311 - a sample is not secret
    sample = set(orders if len(orders) <= plan.tracked else dice.sample(orders, plan.tracked))
    sample |= played.ledger.orders_of_buyers_with_more_than(1)
    chosen = sorted(sample)
    where = "async/purchase" if plan.path == "async" else "orders"
    answers = await ask_all(plan.url, [("GET", f"/api/v1/{where}/{order}") for order in chosen], 16, plan.named)
    for order, (status, body) in zip(chosen, answers, strict=True):
        known = status == 200 and isinstance(body, dict)
        played.states[order] = str(body.get("status")) if known else f"HTTP {status}"
        played.endings[" ".join([played.states[order], str(body.get("reason") or "") if known else ""]).strip()] += 1
