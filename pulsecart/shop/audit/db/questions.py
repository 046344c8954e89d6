"""
Runs the audit's queries on PostgreSQL.

The first line of each ``checks/<name>.sql`` states a rule; its query selects the rows that break the rule, none in a
clean shop. A check may use the queries of ``checks/parts/`` by their names.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import Any, Final, NamedTuple, TypeVar

from psycopg import Connection, Error, IsolationLevel, OperationalError, connect
from psycopg.errors import UndefinedColumn, UndefinedTable
from psycopg.rows import dict_row

from pulsecart.shop.audit.verdict import (
    DEAD_LETTERS,
    ORDERS,
    PRODUCTS,
    UNDER_WAY,
    Books,
    Finding,
    Product,
    Row,
    Unchecked,
    Unsettled,
)

T = TypeVar("T")
CHECKS_DIR: Final = Path(__file__).parent / "checks"
ROWS_MAX: Final = 20

_DEAD_LETTERS: Final = """
    SELECT trigger, type, count(*) AS total,
        count(*) FILTER (WHERE replayed_at IS NULL AND discarded_at IS NULL) AS waiting,
        count(*) FILTER (WHERE discarded_at IS NOT NULL) AS discarded,
        max(error_code) AS error_code, max(received_at) AS newest
    FROM dead_letters GROUP BY trigger, type ORDER BY trigger, type"""

_YET_TO_DELIVER: Final = """
    SELECT c.trigger, (
        SELECT count(*) FROM outbox o
        WHERE o.xid >= pg_snapshot_xmin(c.window_from)
            AND NOT pg_visible_in_snapshot(o.xid, c.window_from)
            AND NOT (pg_visible_in_snapshot(o.xid, c.window_to) AND o.position <= c.position)
    ) + (SELECT count(*) FROM trigger_backlog b WHERE b.trigger = c.trigger) AS events
    FROM trigger_cursors c
    UNION ALL
    SELECT 'anyone: no trigger reads the log', count(*) FROM outbox WHERE NOT EXISTS (SELECT FROM trigger_cursors)
    ORDER BY 1"""

_RESTLESS: Final = """
    SELECT count(*) FILTER (WHERE status = 'PENDING') AS pending,
        count(*) FILTER (WHERE status = 'CONFIRMED' AND pay_by < coalesce(%(now)s, now())) AS overdue
    FROM orders WHERE status IN ('PENDING', 'CONFIRMED')"""


class Check(NamedTuple):
    """``holds`` is the rule as a sentence; ``select`` finds the rows that break it."""

    name: str
    holds: str
    select: str


class CannotAsk(Exception):
    """The database is unreachable, is not a shop's database, or refuses the query; the message gives the reason."""


@contextmanager
def snapshot(database_url: str) -> Iterator[Connection[Row]]:
    """
    Open a read-only snapshot of the database: all queries on it see the same state.

    Raises:
        CannotAsk: the database cannot be reached, or lacks the shop's tables.
    """
    try:
        with connect(database_url, row_factory=dict_row, application_name="pulsecart-audit") as connection:
            connection.isolation_level = IsolationLevel.REPEATABLE_READ
            connection.read_only = True
            yield connection
    except OperationalError as away:
        raise CannotAsk(f"the database cannot be reached: {away}") from away
    except (UndefinedTable, UndefinedColumn) as other:
        raise CannotAsk(f"this is not a shop's database, or it is not migrated: {other}") from other
    except Error as other:
        raise CannotAsk(f"the database rejects the query: {other}") from other


class Asking:
    """Runs queries one after the other in one snapshot; records a failed query and continues with the next."""

    def __init__(self, connection: Connection[Row]) -> None:
        self.connection = connection
        self.unchecked: list[Unchecked] = []

    def ask(self, check: str, holds: str, question: Callable[[Connection[Row]], T], otherwise: T) -> T:
        """
        Return the query's result, or ``otherwise`` if it fails.

        Raises:
            OperationalError: the connection is lost.
        """
        try:
            with self.connection.transaction():  # a savepoint: keeps the snapshot after an error
                return question(self.connection)
        except Exception as error:  # a row may fail in PostgreSQL, the driver or a decoder
            if self.connection.broken or self.connection.closed:
                raise
            self.unchecked.append(Unchecked(check, holds, f"{type(error).__name__}: {error}".strip()))
            return otherwise


def read(connection: Connection[Row], *, grace_s: float, now: datetime | None = None) -> Books:
    """
    Run all checks and read all totals.

    Args:
        grace_s: seconds without progress after which an order counts as stuck.
        now: aware; defaults to the database's clock.
    """
    moment = now or _one(connection, "SELECT now()")["now"]
    # The checks join large tables on purpose; they need the memory for about a second.
    connection.execute("SET LOCAL work_mem = '64MB'")
    connection.execute("SELECT FROM orders, stock, outbox, trigger_cursors WHERE false")  # a shop's database?
    reader = Asking(connection)
    return Books(
        taken_at=moment,
        products=reader.ask(PRODUCTS, "the units of every product are known", products, []),
        orders=reader.ask(ORDERS, "the number of orders in each state is known", _orders, {}),
        findings=_findings(reader, {"now": moment, "grace": f"{grace_s} seconds"}),
        unsettled=reader.ask(UNDER_WAY, "the work in progress is known", lambda c: unsettled(c, moment), Unsettled()),
        dead_letters=reader.ask(
            DEAD_LETTERS, "the number of dead letters is known", lambda c: c.execute(_DEAD_LETTERS).fetchall(), []
        ),
        unchecked=reader.unchecked,
    )


@cache
def checks() -> tuple[Check, ...]:
    """Return every rule, ordered by name."""
    texts = ((path.stem, *path.read_text().split("\n", 1)) for path in sorted(CHECKS_DIR.glob("*.sql")))
    return tuple(Check(name, first.removeprefix("--").strip(), select) for name, first, select in texts)


@cache
def _parts() -> dict[str, str]:
    return {path.stem: path.read_text() for path in sorted((CHECKS_DIR / "parts").glob("*.sql"))}


def _used(queries: Sequence[str]) -> set[str]:
    """Return the names of the parts that these queries use; no part uses another."""
    return {name for name in _parts() if any(re.search(rf"\b{name}\b", sql) for sql in queries)}


def _question(checks: Sequence[Check]) -> str:
    """Combine the checks in one statement, so that shared parts (the log's histories) are read once."""
    used = _used([check.select for check in checks])
    parts = [f"{name} AS ({sql})" for name, sql in _parts().items() if name in used]
    bad = [f'"bad {check.name}" AS ({check.select})' for check in checks]
    # The window function counts all rows before the limit applies.
    columns = [
        f"(SELECT '{name}' AS name, total_of_bad, row_to_json(bad) AS found FROM ("
        f'SELECT count(*) OVER () AS total_of_bad, b.* FROM "bad {name}" AS b ORDER BY 2, 3 LIMIT {ROWS_MAX}) AS bad)'
        for name, _, _ in checks
    ]
    return f"WITH {', '.join([*parts, *bad])} {' UNION ALL '.join(columns)}"


def _findings(reader: Asking, given: dict[str, Any]) -> Sequence[Finding]:
    """Check all rules in one query; if it fails, check each rule separately."""
    nothing: Sequence[Finding] = ()
    every, at_once = checks(), Asking(reader.connection)
    found = at_once.ask("rules", "each rule holds", partial(_broken, checks=every, given=given), nothing)
    if not at_once.unchecked:
        return found
    apart = [
        reader.ask(check.name, check.holds, partial(_broken, checks=[check], given=given), nothing) for check in every
    ]
    return [finding for found in apart for finding in found]


def _broken(connection: Connection[Row], checks: Sequence[Check], given: dict[str, Any]) -> list[Finding]:
    by_check: dict[str, list[Row]] = {}
    for row in connection.execute(_question(checks).encode(), given):
        by_check.setdefault(row["name"], []).append(row["found"])
    return [
        Finding(
            check.name,
            check.holds,
            by_check[check.name][0]["total_of_bad"],
            [_plain(row) for row in by_check[check.name]],
        )
        for check in checks
        if check.name in by_check
    ]


def _orders(connection: Connection[Row]) -> dict[str, int]:
    rows = connection.execute("SELECT status, count(*) AS n FROM orders GROUP BY 1")
    return {row["status"]: row["n"] for row in rows}


def _plain(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "total_of_bad"}


def products(connection: Connection[Row]) -> list[Product]:
    """Return every product that was ever stocked, held or sold."""
    sql = f"{_parts()['shelves']} ORDER BY length(product_id), product_id"
    return [Product(**row) for row in connection.execute(sql.encode())]


def unsettled(connection: Connection[Row], now: datetime | None = None) -> Unsettled:
    """Return the work still in flight, without the gate's claims; ``now`` as in ``read``."""
    events = {row["trigger"]: row["events"] for row in connection.execute(_YET_TO_DELIVER) if row["events"]}
    restless = _one(connection, _RESTLESS, {"now": now})
    return Unsettled(events=events, pending=restless["pending"], overdue=restless["overdue"])


def _one(connection: Connection[Row], sql: str, given: dict[str, Any] | None = None) -> Row:
    row = connection.execute(sql.encode(), given).fetchone()
    return row or {}
