"""What a database needs before the host starts: the schema, the demo's goods, and every trigger's place in the log. A
process of its own, so that the supervisor stays small."""

import asyncio
import importlib.util
import os
import sys
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import url2pathname

from pulsecart.broker import store
from pulsecart.broker.manifests.eventing import load
from pulsecart.broker.manifests.strict_yaml import Misconfigured
from pulsecart.processes import registry
from pulsecart.runtime.db.migrate import CannotMigrate, migrate

EVENTING = Path(__file__).parents[2] / "eventing"


def main() -> int:
    """
    ``python -m pulsecart.local.prepare``: migrates the database, loads the demo where it is missing, and places
    triggers: the first as MIGRATION_DATABASE_URL says, the others as operations do (DATABASE_URL).
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
        asyncio.run(place_triggers(database_url, EVENTING))
    except Misconfigured as reason:
        sys.stderr.write(f"{reason}\n")
        return 1
    return 0


def _make_issuer(jwks_url: str) -> None:
    if jwks_url.startswith("file:"):
        from pulsecart.local.issuer import ensure

        ensure(Path(url2pathname(urlsplit(jwks_url).path)))


async def place_triggers(database_url: str, eventing: Path) -> None:
    """
    Stand new triggers at the log's end before anybody can buy: an event committed before its trigger had a place, while
    its worker was still starting, would never be heard.

    Raises:
        Misconfigured: ``eventing`` holds something that cannot be done.
    """
    services = [name.replace("_", "-") for name in registry.names()]
    async with store.session(database_url) as opened:
        if (mended := await opened.mend_restored()) is not None:  # before anybody writes with younger numbers
            sys.stdout.write(f"  this database came from a dump; {mended} events are delivered again\n")
        await opened.cursors([trigger.name for trigger in load(eventing, services).triggers])


if __name__ == "__main__":
    sys.exit(main())
