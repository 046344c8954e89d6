"""Migrates a database to this code's schema: applies numbered SQL files in order, each once."""

import os
import sys
from pathlib import Path
from typing import NamedTuple

import psycopg

from pulsecart.runtime.db import roles

MIGRATIONS = Path(__file__).parents[2] / "migrations"
LOCK = 0x50554C5345  # "PULSE": only one process migrates at a time
TABLE = """
CREATE TABLE IF NOT EXISTS schema_migrations (
    version     int PRIMARY KEY,
    name        text NOT NULL,
    applied_at  timestamptz NOT NULL DEFAULT now()
)"""


class CannotMigrate(Exception):
    """The database is unreachable, or a migration failed; the message is one sentence with the reason."""


class Migration(NamedTuple):
    version: int
    name: str
    path: Path


def migrate(database_url: str, operations_url: str = "") -> list[str]:
    """
    Apply missing migrations, each in its own transaction and under a lock, and grant rights to the operations' role.

    Args:
        operations_url: the URL that operations connect with. Its user may read and write rows, and no more.

    Returns:
        The names of migrations applied now, e.g. ``["0001_shop"]``; empty if the schema was current.

    Raises:
        CannotMigrate: the database is unreachable, or a file failed and was rolled back; earlier files stay applied.
    """
    try:
        connection = psycopg.connect(database_url, autocommit=True)
    except psycopg.OperationalError as failed:
        raise CannotMigrate(f"the database cannot be reached: {_first_line(failed)}") from failed
    applied = []
    with connection:
        connection.execute("SELECT pg_advisory_lock(%s)", (LOCK,))
        if _table_is_missing(connection):
            connection.execute(TABLE)
        done = {version for (version,) in connection.execute("SELECT version FROM schema_migrations")}
        for migration in known():
            if migration.version not in done:
                _apply(connection, migration)
                applied.append(migration.name)
        try:
            warning = roles.let_operate(connection, operations_url or database_url)
        except roles.CannotGrant as refused:
            raise CannotMigrate(str(refused)) from refused
    if warning:
        sys.stderr.write(f"{warning}\n")
    return applied


def current(database_url: str) -> int:
    """Return the schema version of the database; 0 for an empty one."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        if _table_is_missing(connection):
            return 0
        row = connection.execute("SELECT coalesce(max(version), 0) FROM schema_migrations").fetchone()
        return int(row[0]) if row else 0


def needed() -> int:
    """Return the schema version that this code requires."""
    return known()[-1].version


def known() -> list[Migration]:
    """
    List every migration of this code, in order.

    Raises:
        ValueError: two files share a number.
    """
    found = [Migration(int(path.stem[:4]), path.stem, path) for path in sorted(MIGRATIONS.glob("[0-9]*_*.sql"))]
    if len({migration.version for migration in found}) != len(found):
        raise ValueError(f"two migrations share a number in {MIGRATIONS}")
    return found


def _table_is_missing(connection: psycopg.Connection) -> bool:
    row = connection.execute("SELECT to_regclass('schema_migrations') IS NULL").fetchone()
    return bool(row and row[0])


def _apply(connection: psycopg.Connection, migration: Migration) -> None:
    try:
        with connection.transaction():
            connection.execute(migration.path.read_bytes())
            connection.execute(
                "INSERT INTO schema_migrations (version, name) VALUES (%s, %s)", (migration.version, migration.name)
            )
    except psycopg.Error as failed:
        raise CannotMigrate(f"migration {migration.name} failed: {_first_line(failed)}") from failed


def _first_line(failed: psycopg.Error) -> str:
    return str(failed).strip().splitlines()[0]


def main() -> int:
    """
    Run ``python -m pulsecart.runtime.db.migrate``: migrate MIGRATION_DATABASE_URL, or DATABASE_URL if the former is
    not set, and print the applied migrations.
    """
    operations_url = os.environ.get("DATABASE_URL", "")
    database_url = os.environ.get("MIGRATION_DATABASE_URL") or operations_url
    if not database_url:
        sys.stderr.write("DATABASE_URL is not set: set it to the database to migrate\n")
        return 2
    try:
        applied = migrate(database_url, operations_url)
    except CannotMigrate as reason:
        sys.stderr.write(f"{reason}\n")
        return 1
    sys.stdout.write(f"applied {', '.join(applied)}\n" if applied else f"schema {needed()} is current\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
