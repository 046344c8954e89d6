"""scripts/dead-letters: events that a trigger gave up; see them, mend the cause, replay them to that trigger alone."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from runtime.stack.running import NoShop, connection_for_scripts
from shop.db.dead_letter_desk import CannotAsk, Letter, letter, replay, waiting


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status 0: done; 1: some of it could not be done; 2: it could not be asked."""
    options = _options(arguments)
    try:
        url = options.database_url or connection_for_scripts(options.data).database_url
        done: int = options.act(url, options)
        return done
    except (NoShop, CannotAsk) as reason:
        sys.stderr.write(f"dead-letters: {str(reason).strip()}\n")
        return 2


def _list(url: str, options: argparse.Namespace) -> int:
    letters = waiting(url)
    if options.json:
        sys.stdout.write(_json([_summary(item) for item in letters]))
    elif letters:
        Console().print(_table(letters))
    else:
        sys.stdout.write("No dead letters are waiting.\n")
    return 0


def _show(url: str, options: argparse.Namespace) -> int:
    found = letter(url, options.id)
    if found is None:
        sys.stderr.write(f"dead-letters: there is no dead letter {options.id}; see `scripts/dead-letters list`.\n")
        return 1
    sys.stdout.write(_json({**_summary(found), "source": found.source, "event": found.event}))
    return 0


def _replay(url: str, options: argparse.Namespace) -> int:
    if bool(options.ids) == options.all:
        sys.stderr.write("dead-letters: give the ids to replay, or --all.\n")
        return 2
    ids = [item.id for item in waiting(url)] if options.all else options.ids
    done = replay(url, ids)
    for id in ids:
        if id not in done:
            sys.stderr.write(f"dead-letters: {id} stays: it, its event or its trigger is no more.\n")
    sys.stdout.write(f"{len(done)} of {len(ids)} are on their way to the trigger that failed.\n")
    return 0 if len(done) == len(ids) else 1


def _summary(item: Letter) -> dict[str, Any]:
    return {
        "id": item.id,
        "trigger": item.trigger,
        "type": item.type,
        "eventId": item.event_id,
        "code": item.error_code,
        "error": item.error_data,
        "receivedAt": item.received_at.isoformat(),
        "replayedAt": item.replayed_at.isoformat() if item.replayed_at else None,
    }


def _table(letters: Sequence[Letter]) -> Table:
    table = Table(title=f"{len(letters)} dead letters", title_justify="left")
    for column in ("Id", "Trigger", "Type", "Code", "Received", "What it answered"):
        table.add_column(column, overflow="fold")
    for item in letters:
        received = item.received_at.strftime("%Y-%m-%d %H:%M:%S")
        cells = (item.id, item.trigger, item.type, item.error_code, received, (item.error_data or "")[:120])
        table.add_row(*[escape(str(cell)) for cell in cells])
    return table


def _json(document: Any) -> str:
    return msgspec.json.format(msgspec.json.encode(document)).decode() + "\n"


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/dead-letters", description=__doc__)
    parser.add_argument(
        "--data", type=Path, help="the running shop's data directory (default: DATABASE_URL, else .data)"
    )
    parser.add_argument("--database-url", default="", help="this database")
    acts = parser.add_subparsers(required=True)
    listing = acts.add_parser("list", help="those that wait")
    listing.add_argument("--json", action="store_true", help="for machines")
    listing.set_defaults(act=_list)
    showing = acts.add_parser("show", help="one, with its whole event")
    showing.add_argument("id", type=int)
    showing.set_defaults(act=_show)
    replaying = acts.add_parser("replay", help="send them to the trigger that failed once more")
    replaying.add_argument("ids", type=int, nargs="*", metavar="ID")
    replaying.add_argument("--all", action="store_true", help="all that wait")
    replaying.set_defaults(act=_replay)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
