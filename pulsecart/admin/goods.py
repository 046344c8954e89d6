"""``python -m pulsecart.admin.goods``: the schema, and the demo's goods in a catalogue that is empty; overlays/kind."""

import os
import sys

from pulsecart.admin.demo import seed
from pulsecart.runtime.db import migrate


def main() -> int:
    """What ``pulsecart.runtime.db.migrate`` answers; 0 when both are there."""
    if failed := migrate.main():
        return failed
    loaded = seed(os.environ.get("MIGRATION_DATABASE_URL") or os.environ["DATABASE_URL"])
    sys.stdout.write("the demo's goods are loaded\n" if loaded else "the catalogue has goods\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
