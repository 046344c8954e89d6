"""Migrates the schema, and loads the demo's goods into an empty catalogue; overlays/kind runs this module."""

import os
import sys

from pulsecart.admin.demo import seed
from pulsecart.runtime.db import migrate


def main() -> int:
    """Return the exit status: 0, or that of ``pulsecart.runtime.db.migrate`` after an error."""
    if failed := migrate.main():
        return failed
    loaded = seed(os.environ.get("MIGRATION_DATABASE_URL") or os.environ["DATABASE_URL"])
    sys.stdout.write("the demo's products are loaded\n" if loaded else "the catalogue already has products\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
