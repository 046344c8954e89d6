"""
What the audit asks PostgreSQL.

Each ``checks/<name>.sql`` selects the rows that break one rule, its first line; a clean shop answers with none.
It may use the queries of ``checks/parts/`` by their names.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from psycopg import Connection, IsolationLevel, connect
from psycopg.rows import dict_row

from shop.audit import Books, Finding, Product, Row, Unsettled

CHECKS_DIR: Final = Path(__file__).parent / "checks"
ROWS_MAX: Final = 20

_DEAD_LETTERS: Final = """
    SELECT trigger, type, count(*) AS total, count(*) FILTER (WHERE replayed_at IS NULL) AS waiting,
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
    """``holds`` is the rule as a sentence, ``sql`` what selects the rows that break it."""

    name: str
    holds: str
    sql: str


@contextmanager
def snapshot(database_url: str) -> Iterator[Connection[Row]]:
    """
    One moment of the database, read only: all that is asked through it agrees.

    Raises:
        psycopg.OperationalError: it cannot be reached.
    """
    with connect(database_url, row_factory=dict_row, application_name="pulsecart-audit") as connection:
        connection.isolation_level = IsolationLevel.REPEATABLE_READ
        connection.read_only = True
        yield connection


def read(connection: Connection[Row], *, grace_s: float, now: datetime | None = None) -> Books:
    """
    Ask everything.

    Args:
        grace_s: how long an order may rest before its lack of progress is wrong.
        now: aware; the database's clock when not given.
    """
    moment = now or _one(connection, "SELECT now()")["now"]
    given = {"now": moment, "grace": f"{grace_s} seconds"}
    # Big joins are meant here, and worth their memory for the second that they take.
    connection.execute("SET LOCAL work_mem = '64MB'")
    findings = [_ask(connection, check, given) for check in checks()]
    return Books(
        taken_at=moment,
        products=_products(connection),
        orders={
            row["status"]: row["n"] for row in connection.execute("SELECT status, count(*) AS n FROM orders GROUP BY 1")
        },
        findings=[finding for finding in findings if finding.total],
        unsettled=unsettled(connection, moment),
        dead_letters=connection.execute(_DEAD_LETTERS).fetchall(),
    )


@cache
def checks() -> tuple[Check, ...]:
    """Every rule, by name."""
    return tuple(_check(path) for path in sorted(CHECKS_DIR.glob("*.sql")))


@cache
def _parts() -> dict[str, str]:
    return {path.stem: path.read_text() for path in sorted((CHECKS_DIR / "parts").glob("*.sql"))}


def _check(path: Path) -> Check:
    first, _, select = path.read_text().partition("\n")
    used = [f"{name} AS MATERIALIZED ({sql})" for name, sql in _parts().items() if re.search(rf"\b{name}\b", select)]
    common = ", ".join([*used, f"bad AS ({select})"])
    # The window counts all of them before the limit takes the first.
    sql = f"WITH {common} SELECT count(*) OVER () AS total_of_bad, bad.* FROM bad ORDER BY 2, 3 LIMIT {ROWS_MAX}"
    return Check(path.stem, first.removeprefix("--").strip(), sql)


def _ask(connection: Connection[Row], check: Check, given: dict[str, Any]) -> Finding:
    rows = connection.execute(check.sql.encode(), given).fetchall()
    total = rows[0]["total_of_bad"] if rows else 0
    return Finding(check.name, check.holds, total, [_plain(row) for row in rows])


def _plain(row: Row) -> Row:
    """Without our own count, its values such as JSON has them."""
    return {k: v if isinstance(v, int | None) else _text(v) for k, v in row.items() if k != "total_of_bad"}


def _text(value: Any) -> str | int:
    return int(value) if isinstance(value, Decimal) else str(value)


def _products(connection: Connection[Row]) -> list[Product]:
    sql = f"{_parts()['shelves']} ORDER BY length(product_id), product_id"
    return [Product(**row) for row in connection.execute(sql.encode())]


def unsettled(connection: Connection[Row], now: datetime | None = None) -> Unsettled:
    """What is still under way, without the gate's claims; ``now`` as in ``read``."""
    events = {row["trigger"]: row["events"] for row in connection.execute(_YET_TO_DELIVER) if row["events"]}
    restless = _one(connection, _RESTLESS, {"now": now})
    return Unsettled(events=events, pending=restless["pending"], overdue=restless["overdue"])


def _one(connection: Connection[Row], sql: str, given: dict[str, Any] | None = None) -> Row:
    row = connection.execute(sql.encode(), given).fetchone()
    return row or {}
