"""Which schema a database has, asked by who is to work on it."""

from psycopg.errors import UndefinedTable

from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.db.migrate import needed

NEEDED = needed()


async def version(tx: Tx) -> int:
    """The newest migration applied; 0 for an empty database."""
    try:
        row = await tx.row("SELECT coalesce(max(version), 0) FROM schema_migrations")
    except UndefinedTable:
        return 0
    return int(row[0]) if row else 0
