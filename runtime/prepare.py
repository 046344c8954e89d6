"""What a database needs before the host starts: the schema, and the demo's goods. A process of its own, so that the
supervisor stays small."""

import importlib.util
import os
import sys

from shop.db.migrate import CannotMigrate, migrate


def main() -> int:
    """``python -m runtime.prepare``: migrates DATABASE_URL, then loads the demo catalogue where it is missing."""
    database_url = os.environ["DATABASE_URL"]
    try:
        applied = migrate(database_url)
    except CannotMigrate as reason:
        sys.stderr.write(f"{reason}\n")
        return 1
    if applied:
        sys.stdout.write(f"  schema: applied {', '.join(applied)}\n")
    if importlib.util.find_spec("runtime.demo"):
        importlib.import_module("runtime.demo").seed(database_url)
    return 0


if __name__ == "__main__":
    sys.exit(main())
