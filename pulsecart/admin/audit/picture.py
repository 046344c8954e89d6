"""Prints the audit's report on a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pulsecart.runtime.printable import printable
from pulsecart.shop.audit.verdict import Finding, GateReading, Product, Report, Unchecked


def show(report: Report, console: Console) -> None:
    """Print units, findings with their first rows, work in progress, dead letters, and the verdict."""
    console.print(_units(report.books.products, report.gate))
    counts = ", ".join(f"{n:,} {status}" for status, n in sorted(report.books.orders.items())) or "none"
    console.print(f"Orders: {counts}")
    for finding in report.findings:
        _finding(finding, console)
    for unchecked in report.unchecked:
        console.print(
            f"\n[bold yellow]? {escape(unchecked.check)}[/]: could not be checked: {escape(unchecked.holds)}:"
            f" {escape(printable(unchecked.reason))}"
        )
    _under_way(report, console)
    _dead_letters(report, console)
    console.print(_verdict(report))


def _units(products: Sequence[Product], gate: Mapping[str, GateReading] | None) -> Table:
    table = Table(title="Units per product", title_justify="left")
    table.add_column("Product")
    for column in ("Stocked", "Left", "Held", "Sold", "Sum", "Gate"):
        table.add_column(column, justify="right")
    for product in products:
        right = product.left + product.held + product.sold == product.initial
        cells = [f"{n:,}" for n in (product.initial, product.left, product.held, product.sold)]
        reading = (gate or {}).get(product.product_id)
        table.add_row(
            escape(printable(product.product_id)), *cells, "[green]✓[/]" if right else "[red]✗[/]", _shelf(reading)
        )
    return table


def _shelf(reading: GateReading | None) -> str:
    if reading is None:
        return "–"
    return f"{reading.left:,}" + (f" + {reading.claims:,} claimed" if reading.claims else "")


def _finding(finding: Finding, console: Console) -> None:
    more = f", the first {len(finding.rows)}" if finding.total > len(finding.rows) else ""
    console.print(f"\n[bold red]✗ {finding.check}[/]: this rule is broken: {escape(finding.holds)}.")
    table = Table(title=f"{finding.total:,} rows{more}", title_justify="left")
    columns = list(dict.fromkeys(name for row in finding.rows for name in row))
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in finding.rows:
        table.add_row(*(escape(_cell(row.get(name))) for name in columns))
    console.print(table)


def _cell(value: Any) -> str:
    return "–" if value is None else printable(str(value))


def _under_way(report: Report, console: Console) -> None:
    now = report.unsettled
    parts = [f"{n:,} events for {escape(printable(trigger))}" for trigger, n in now.events.items()]
    parts += [f"{n:,} claims on product {escape(printable(product))}" for product, n in now.claims.items()]
    parts += [f"{now.pending:,} orders PENDING"] if now.pending else []
    parts += [f"{now.overdue:,} orders past their pay_by"] if now.overdue else []
    if parts:
        console.print(f"[yellow]Still in progress:[/] {', '.join(parts)}")


def _dead_letters(report: Report, console: Console) -> None:
    if not report.books.dead_letters:
        return
    table = Table(title="Dead letters", title_justify="left")
    for column in ("Trigger", "Type", "Open", "Discarded", "All", "Code"):
        table.add_column(column)
    for row in report.books.dead_letters:
        named = (printable(row["trigger"]), printable(row["type"]))
        counted = (f"{row['waiting']:,}", f"{row['discarded']:,}", f"{row['total']:,}")
        table.add_row(*map(escape, (*named, *counted, _cell(row["error_code"]))))
    console.print(table)
    console.print("./scripts/dead-letters lists the open ones; use it to replay or discard them.")


def _verdict(report: Report) -> str:
    unchecked = f"; could not be checked: {_names(report.unchecked)}" if report.unchecked else ""
    if report.findings:
        return f"[bold red]Not clean:[/] {_names(report.findings)}{unchecked}"
    if unchecked:
        return f"[bold yellow]Not known[/]: every rule that could be checked holds{unchecked}"
    if report.unsettled:
        return "[bold green]Clean so far[/]; --settle-timeout S waits for the rest"
    return "[bold green]Clean[/]: nothing oversold, nothing lost, nothing left unfinished"


def _names(judged: Sequence[Finding | Unchecked]) -> str:
    return ", ".join(dict.fromkeys(escape(one.check) for one in judged))
