"""scripts/dead-letters: lists and shows events that a trigger could not deliver; replays or discards them."""

import argparse
import getpass
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pulsecart.admin.letter_list import listed
from pulsecart.admin.which_shop import NoShop, connection_for_scripts
from pulsecart.broker.dead_letters import letters
from pulsecart.broker.dead_letters.desk import CannotAsk, Letter, Wanted, count, discard, found, letter, replay
from pulsecart.runtime.printable import printable

SHOWN = 100
Options = argparse.Namespace


class Declined(Exception):
    """Nothing was done; the message states which options are needed."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Exit status 0: done; 1: done in part or not at all; 2: wrong options, or no shop or database."""
    options = _options(arguments)
    try:
        url = options.database_url or connection_for_scripts(options.data).database_url
        done: int = options.act(url, options)
        return done
    except (NoShop, CannotAsk, Declined) as reason:
        return _complain(str(reason).strip(), 2)


def _list(url: str, options: Options) -> int:
    wanted = Wanted(options.state, options.trigger, options.cause)
    limit = None if options.json or options.limit <= 0 else options.limit
    items = found(url, wanted, limit)
    if options.json:
        sys.stdout.write(_json([_summary(item) for item in items]))
    elif items:
        total = len(items) if limit is None or len(items) < limit else count(url, wanted)
        sys.stdout.write(listed(items, total, options.state))
    else:
        sys.stdout.write(f"No dead letters are {'waiting' if options.state == 'open' else 'found'}.\n")
    return 0


def _show(url: str, options: Options) -> int:
    one = letter(url, options.id)
    if one is None:
        return _complain(f"there is no dead letter {options.id}; see `scripts/dead-letters list`.", 1)
    shown, raw = one
    sys.stdout.write(_json({**_summary(shown), "source": shown.source, "event": letters.document(raw)}))
    return 0


def _replay(url: str, options: Options) -> int:
    ids = _chosen(url, options, "replay")
    done = replay(url, ids)
    for id in (id for id in ids if id not in done):
        _complain(f"{id} stays: it, its event or its trigger no longer exists.", 1)
    sys.stdout.write(f"{len(done)} of {len(ids)} were queued for the trigger that failed.\n")
    return 0 if len(done) == len(ids) else 1


def _discard(url: str, options: Options) -> int:
    if not options.why.strip():
        raise Declined("give the reason: --why 'what happened, and why the event is not needed'.")
    ids = _chosen(url, options, "discard")
    done = discard(url, ids, by=options.by or _user(), why=options.why)
    for id in (id for id in ids if id not in done):
        _complain(f"{id} stays as it is: there is no open dead letter with this id.", 1)
    sys.stdout.write(f"{len(done)} of {len(ids)} were discarded; `list --state discarded` shows them.\n")
    return 0 if len(done) == len(ids) else 1


def _chosen(url: str, options: Options, act: str) -> list[int]:
    """Return the given ids, or the ids of all open dead letters that match, after confirmation."""
    filtered = options.trigger is not None or options.cause is not None
    if options.ids and (filtered or options.all):
        raise Declined("give either ids, or --trigger, --cause and --all.")
    if options.ids:
        return list(dict.fromkeys(options.ids))
    if not filtered and not options.all:
        raise Declined(f"give the ids to {act}, or --trigger or --cause, or --all.")
    ids = [item.id for item in found(url, Wanted("open", options.trigger, options.cause))]
    if ids and not options.all and not _confirmed(f"{act.capitalize()} {len(ids)} dead letters?"):
        raise Declined(f"{len(ids)} match; nothing was done. Use --all to confirm.")
    return ids


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        return False
    sys.stdout.write(f"{question} [y/N] ")
    sys.stdout.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return "unknown"


def _summary(item: Letter) -> dict[str, Any]:
    return {
        "id": item.id,
        "state": item.state,
        "trigger": item.trigger,
        "type": item.type,
        "eventId": item.event_id,
        "code": item.error_code,
        "error": item.error_data,
        "receivedAt": item.received_at.isoformat(),
        "replayedAt": item.replayed_at.isoformat() if item.replayed_at else None,
        "discardedAt": item.discarded_at.isoformat() if item.discarded_at else None,
        "discardedBy": item.discarded_by,
        "discardedWhy": item.discarded_why,
    }


def _json(document: Any) -> str:
    """Format as indented JSON with every unprintable character escaped."""
    text = json.dumps(document, indent=2, ensure_ascii=False)
    return "".join(char if char.isprintable() or char == "\n" else _escaped(char) for char in text) + "\n"


def _escaped(char: str) -> str:
    units = char.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


def _complain(sentence: str, status: int) -> int:
    sys.stderr.write(f"dead-letters: {printable(sentence)}\n")
    return status


def _options(arguments: Sequence[str] | None) -> Options:
    parser = argparse.ArgumentParser(prog="scripts/dead-letters", description=__doc__)
    parser.add_argument(
        "--data", type=Path, help="the running shop's data directory (default: DATABASE_URL, else .data)"
    )
    parser.add_argument("--database-url", default="", help="use the shop in this database")
    acts = parser.add_subparsers(required=True)
    listing = acts.add_parser("list", help="list the open dead letters")
    listing.add_argument("--json", action="store_true", help="print all of them as JSON")
    listing.add_argument("--state", choices=("open", "replayed", "discarded", "all"), default="open")
    listing.add_argument("--limit", type=int, default=SHOWN, metavar="N", help="0 shows all (default: %(default)s)")
    listing.set_defaults(act=_list)
    showing = acts.add_parser("show", help="print one with its full reason and event, as JSON")
    showing.add_argument("id", type=int)
    showing.set_defaults(act=_show)
    replaying = acts.add_parser("replay", help="send dead letters to the trigger that failed again")
    replaying.set_defaults(act=_replay)
    discarding = acts.add_parser("discard", help="discard dead letters for good; they stay listed with user and reason")
    discarding.add_argument("--why", required=True, help="the reason")
    discarding.add_argument(
        "--by", default="", metavar="NAME", help="the user who discards them (default: this system's user)"
    )
    discarding.set_defaults(act=_discard)
    for act in (replaying, discarding):
        act.add_argument("ids", type=int, nargs="*", metavar="ID")
        act.add_argument("--all", action="store_true", help="all open ones that match, without confirmation")
    for act in (listing, replaying, discarding):
        act.add_argument("--trigger", metavar="NAME", help="only those of this Trigger")
        act.add_argument("--cause", metavar="TEXT", help="only those with TEXT in their reason, or as their status")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
