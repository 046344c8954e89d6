"""Reads a database's schema version, so that a process can compare it with the one it needs."""

from psycopg.errors import UndefinedTable

from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.db.migrate import needed

NEEDED = needed()


async def version(tx: Tx) -> int:
    """Return the number of the newest applied migration; 0 for an empty database."""
    try:
        row = await tx.row("SELECT coalesce(max(version), 0) FROM schema_migrations")
    except UndefinedTable:
        return 0
    return int(row[0]) if row else 0
