"""
Prepares the database before the host starts: the schema, the demo's goods, and the cursor of every trigger.

It runs as a separate process, so that the supervisor stays small.
"""

import asyncio
import importlib.util
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from pulsecart.broker import store
from pulsecart.broker.manifests.eventing import load_all
from pulsecart.broker.manifests.strict_yaml import Misconfigured
from pulsecart.runtime.algorithms import named
from pulsecart.runtime.db.migrate import CannotMigrate, migrate


def main() -> int:
    """
    Migrate the database, load the demo if it is missing, and create the triggers' cursors.

    The migration uses MIGRATION_DATABASE_URL, the other steps use DATABASE_URL, as operations do. Run as
    ``python -m pulsecart.local.prepare``.
    """
    database_url = os.environ["DATABASE_URL"]
    try:
        applied = migrate(os.environ.get("MIGRATION_DATABASE_URL") or database_url, database_url)
    except CannotMigrate as reason:
        sys.stderr.write(f"{reason}\n")
        return 1
    if applied:
        sys.stdout.write(f"  schema: applied {', '.join(applied)}\n")
    _make_issuer(os.environ.get("JWT_JWKS_URL", ""))
    if importlib.util.find_spec("pulsecart.admin.demo"):
        importlib.import_module("pulsecart.admin.demo").seed(database_url)
    try:
        asyncio.run(place_triggers(database_url))
    except Misconfigured as reason:
        sys.stderr.write(f"{reason}\n")
        return 1
    return 0


def _make_issuer(jwks_url: str) -> None:
    if jwks_url.startswith("file:"):
        from pulsecart.local.issuer import ensure

        ensure(Path(url2pathname(urlsplit(jwks_url).path)))


async def place_triggers(database_url: str) -> None:
    """
    Create the cursors of new triggers at the end of the log, before the first purchase.

    An event committed before its trigger has a cursor, while the worker is still starting, would never be delivered.

    Raises:
        Misconfigured: a manifest in ``eventing/`` is invalid or not supported.
    """
    async with store.session(database_url) as opened:
        if (mended := await opened.mend_restored()) is not None:  # before writes with lower numbers
            sys.stdout.write(f"  this database was restored from a dump; {mended} events are delivered again\n")
        await opened.cursors([trigger.name for trigger in load_all(named(os.environ.get("PROFILES", ""))).triggers])


if __name__ == "__main__":
    sys.exit(main())
