"""Renders the results of a sale as a JSON document, as text, and as a picture."""

from array import array
from collections.abc import Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from tools.crowd.checks import Check
from tools.crowd.ledger import Ledger, percentiles_ms
from tools.crowd.picture import histogram, in_terminal, svg
from tools.crowd.play import Plan, Played
from tools.crowd.verdict import Verdict

MEANINGFUL = (Verdict.SOLD, Verdict.ACCEPTED, Verdict.SOLD_OUT, Verdict.LIMITED)


def document(plan: Plan, played: Played, found: list[Check]) -> dict[str, Any]:
    """Return the report for programs. Names that end in ``_s`` are in seconds, in ``_ms`` in milliseconds."""
    ledger = played.ledger
    return {
        "url": plan.url,
        "path": plan.path,
        "product": plan.product,
        "buyers": plan.buyers,
        "units": plan.units if plan.reset else None,
        "connections": plan.connections,
        "seed": plan.seed,
        "seconds": round(played.seconds, 3),
        "answers": ledger.answers,
        "answers_per_s": round(ledger.answers / played.seconds, 1),
        "orders": len(ledger.orders),
        "outcomes": dict(ledger.outcomes),
        "verdicts": {verdict.value: len(took) for verdict, took in ledger.took.items() if took},
        "statuses": {str(status): n for status, n in sorted(ledger.statuses.items())},
        "errors": dict(ledger.errors),
        "gave_up": ledger.gave_up,
        "connections_reopened": played.reopened,
        "latency_ms": latencies(ledger),
        "winners_ms": rounded(percentiles_ms(ledger.winners)),
        "winners_p99_per_all_p50": winners_per_all(ledger),
        "generator_lag_ms": rounded(percentiles_ms(played.lag.late_s)),
        "first_sold_out_s": ledger.first_sold_out_s,
        "last_order_s": ledger.last_sold_s,
        "stock_left": played.stock_left,
        "acceptance": acceptance(ledger),
        "drain_s": played.drain_s,
        "states": dict(played.endings),
        "server": server(played),
        "generator_cpu_us_per_answer": round(played.generator_cpu_s / max(ledger.answers, 1) * 1e6, 1),
        "checks": [{"name": check.name, "ok": check.ok, "detail": check.detail} for check in found],
        "breaches": ledger.breaches,
    }


def latencies(ledger: Ledger) -> dict[str, dict[str, float]]:
    """Return the percentiles of all usable answers, and of each kind."""
    measured = {"all": percentiles_ms(*(ledger.took[verdict] for verdict in MEANINGFUL))}
    measured |= {v.value: percentiles_ms(ledger.took[v]) for v in MEANINGFUL if ledger.took[v]}
    return {name: rounded(figures) for name, figures in measured.items()}


def rounded(figures: dict[str, float]) -> dict[str, float]:
    """Round milliseconds to microseconds."""
    return {name: round(value, 3) for name, value in figures.items()}


def winners_per_all(ledger: Ledger) -> float | None:
    """Return the winners' p99 divided by the p50 of all answers; None without winners."""
    all_p50 = percentiles_ms(*(ledger.took[verdict] for verdict in MEANINGFUL))["p50"]
    return round(percentiles_ms(ledger.winners)["p99"] / all_p50, 2) if ledger.winners and all_p50 else None


def acceptance(ledger: Ledger) -> float | None:
    """Return 202 answers ÷ all answers and lost requests, for the async path; buyers' hang-ups are not counted."""
    accepted = len(ledger.took[Verdict.ACCEPTED])
    requests = ledger.answers + sum(n for name, n in ledger.errors.items() if not name.startswith("status "))
    return accepted / requests if accepted else None


def server(played: Played) -> dict[str, Any]:
    """Return the shop's CPU during the purchases and until the last event was handled, and its peak memory (PSS)."""
    if not played.cpu_s:
        return {}
    answers = max(played.ledger.answers, 1)
    total, drained = sum(played.cpu_s.values()), sum(played.cpu_drained_s.values())
    return {
        "cpu_s": {name: round(s, 2) for name, s in played.cpu_s.items()},
        "cpu_until_drained_s": {name: round(s, 2) for name, s in played.cpu_drained_s.items()},
        "cpu_us_per_answer": round(total / answers * 1e6, 1),
        "cpu_us_per_answer_until_drained": round(drained / answers * 1e6, 1),
        "peak_mb": {name: round(mb, 1) for name, mb in played.peak_mb.items()},
        "others_cores": round(played.others_cores, 2),
    }


def show(console: Console, result: dict[str, Any], ledger: Ledger) -> None:
    """Print the report."""
    console.print(_outcomes(result), _latencies(result))
    took: array[float] = array("d")
    for verdict in MEANINGFUL:
        took += ledger.took[verdict]
    console.print(f"\nwaiting time of {len(took):,} answers\n{in_terminal(histogram(took))}\n", highlight=False)
    for line in sentences(result):
        console.print(line, highlight=False)
    for check in result["checks"]:
        mark = "[green]✓[/]" if check["ok"] else "[red]✗[/]"
        console.print(f"{mark} {check['name']}: {check['detail']}", highlight=False)
    for breach in result["breaches"]:
        console.print(f"  [red]{breach}[/]", highlight=False)


def _outcomes(result: dict[str, Any]) -> Table:
    table = Table("buyers", "", title=f"{result['path']} path, {result['buyers']:,} buyers")
    for name, n in sorted(result["outcomes"].items(), key=lambda item: -item[1]):
        table.add_row(name, f"{n:,}")
    return table


def _latencies(result: dict[str, Any]) -> Table:
    table = Table("answers", "count", "p50 ms", "p95 ms", "p99 ms", "max ms", title="waiting time")
    rows = {
        "all": result["latency_ms"]["all"],
        "winners, until their order": result["winners_ms"],
        **result["latency_ms"],
    }
    for name, f in rows.items():
        table.add_row(name, f"{f['count']:,}", *(f"{f[q]:,.1f}" for q in ("p50", "p95", "p99", "max")))
    return table


def sentences(result: dict[str, Any]) -> list[str]:
    """Return the remaining figures, one line each."""
    lines = [
        f"{result['answers']:,} answers in {result['seconds']:.2f} s: {result['answers_per_s']:,.0f}/s "
        f"over {result['connections']:,} connections; "
        f"CPU of this program: {result['generator_cpu_us_per_answer']:.0f} µs each"
    ]
    if result["winners_p99_per_all_p50"] is not None:
        w, lag = result["winners_ms"], result["generator_lag_ms"]
        lines.append(
            f"winners waited p50 {w['p50']:,.0f}, p95 {w['p95']:,.0f}, p99 {w['p99']:,.0f} ms for their order: "
            f"p99 is {result['winners_p99_per_all_p50']:.1f} × the p50 of all answers; "
            f"the delay of this program in each wait is p50 {lag['p50']:.0f}, p99 {lag['p99']:.0f} ms"
        )
    if result["last_order_s"] is not None:
        lines.append(f"last order accepted after {result['last_order_s']:.2f} s")
    if result["first_sold_out_s"] is not None:
        lines.append(f"first “sold out” after {result['first_sold_out_s']:.2f} s")
    errors = ", ".join(f"{name} {n:,}" for name, n in result["errors"].items()) or "none"
    lines.append(f"errors: {errors}; buyers who disconnected: {result['gave_up']:,}")
    if result["acceptance"] is not None:
        lines.append(f"accepted: {result['acceptance']:.3%} of all requests")
    if result["drain_s"] is not None:
        states = ", ".join(f"{n:,} {state}" for state, n in sorted(result["states"].items()))
        lines.append(
            f"all events handled {result['drain_s']:.1f} s later; states of the checked orders: {states or 'none'}"
        )
    return lines + _server_sentences(result["server"])


def _server_sentences(cost: dict[str, Any]) -> list[str]:
    if not cost:
        return []
    parts = ", ".join(f"{name} {s:.2f} s" for name, s in cost["cpu_s"].items())
    peak = ", ".join(f"{name} {mb:.0f} MB" for name, mb in cost["peak_mb"].items())
    others = cost["others_cores"]
    warning = [f"other programs used {others:.1f} cores meanwhile, which slows the sale down"] if others > 0.3 else []
    return [
        f"the shop's CPU: {cost['cpu_us_per_answer']:.0f} µs per answered purchase ({parts}), "
        f"{cost['cpu_us_per_answer_until_drained']:.0f} µs including all events that follow",
        f"the shop's peak memory: {peak}",
        *warning,
    ]


def picture(result: dict[str, Any], ledger: Ledger) -> str:
    """Return an SVG with one row of bars per kind of answer."""
    series: dict[str, Sequence[tuple[float, int]]] = {
        f"{v.value}: {len(ledger.took[v]):,}": histogram(ledger.took[v]) for v in MEANINGFUL if ledger.took[v]
    }
    title = f"{result['buyers']:,} buyers, {result['connections']:,} connections, {result['path']} path: waiting time"
    return svg(title, series)
