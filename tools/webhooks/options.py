"""Reads the command's options; those about the shop may stand before or after the sub-command."""

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

from pulsecart.admin.which_shop import DATA, DEFAULT_URL
from tools.webhooks import commands
from tools.webhooks.credentials import TOKEN_VARIABLE

SHOWN = 20
STATES = ("PENDING", "DELIVERED", "FAILED", "SKIPPED")
TYPE = "an event type, short (order.paid) or in full (ecommerce.order.order.paid.v1)"
SUBSCRIPTION = "a subscription's id"
DESCRIPTION = "scripts/webhooks: shows a partner's webhooks, sends messages again, and forwards events to this machine."
Command = Callable[[str, object, str], argparse.ArgumentParser]


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Parse the arguments; ``act`` is the sub-command's function, None for ``listen``."""
    parser = argparse.ArgumentParser(prog="scripts/webhooks", description=DESCRIPTION, allow_abbrev=False)
    _add_common(parser, left_out=False)
    common = argparse.ArgumentParser(add_help=False)
    _add_common(common, left_out=True)
    acts = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, act: object, about: str) -> argparse.ArgumentParser:
        made = acts.add_parser(name, help=about, description=about, parents=[common], allow_abbrev=False)
        made.set_defaults(act=act)
        return made

    _add_watching(command)
    _add_sending(command)
    listening = command("listen", None, "forward events to a URL of this machine until Ctrl-C, signed as a delivery is")
    listening.add_argument(
        "--forward-to", required=True, type=_url, metavar="URL", help="e.g. localhost:3000/webhook; http:// is added"
    )
    listening.add_argument(
        "--events", action="append", metavar="TYPES", help="types or prefixes, separated by commas: order.* (all types)"
    )
    return parser.parse_args(arguments)


def _add_watching(command: Command) -> None:
    command("list", commands.listed, "list your subscriptions: status, messages that wait, messages that failed")
    showing = command("show", commands.show, "print a subscription, or a message with its event, as JSON")
    showing.add_argument("id", metavar="ID")
    listing = command("messages", commands.messages, "list a subscription's messages, newest first")
    listing.add_argument("id", metavar="SUBSCRIPTION")
    listing.add_argument("--status", choices=STATES, help="only those of this status")
    trying = command("attempts", commands.attempts, "list the attempts of a message or of a subscription, newest first")
    trying.add_argument("id", metavar="ID")
    trying.add_argument("--full", action="store_true", help="of a message: with headers and bodies")
    for one in (listing, trying):
        one.add_argument("--limit", type=_count, default=SHOWN, metavar="N", help="how many (%(default)s)")


def _add_sending(command: Command) -> None:
    again = command("resend", commands.resend, "send messages again: those named, or all that failed since a time")
    again.add_argument("ids", nargs="*", metavar="MESSAGE")
    again.add_argument(
        "--failed-since", metavar="T", help="90m, 2h or 1d ago, or a time like 2026-11-30T08:00:00Z; counts them first"
    )
    again.add_argument("--subscription", metavar="ID", help="only those of this subscription (all of yours)")
    again.add_argument("--yes", action="store_true", help="without confirmation")
    for name, act, about in (
        ("pause", commands.pause, "keep a subscription's messages back until it is resumed; nothing is lost"),
        ("resume", commands.resume, "send a subscription's messages again, also those it kept back"),
        ("delete", commands.delete, "delete a subscription; its messages are not sent any more"),
    ):
        command(name, act, about).add_argument("id", metavar="SUBSCRIPTION", help=SUBSCRIPTION)
    example = command("send-example", commands.send_example, "send an example of an event to one subscription")
    example.add_argument("id", metavar="SUBSCRIPTION", help=SUBSCRIPTION)
    example.add_argument("type", metavar="TYPE", help=TYPE)
    firing = command("trigger", commands.trigger, "send an example to each of your subscriptions that gets such events")
    firing.add_argument("type", metavar="TYPE", help=TYPE)
    firing.add_argument("--subscription", metavar="ID", help="only to this one, whatever its event types are")


def _add_common(parser: argparse.ArgumentParser, *, left_out: bool) -> None:
    """
    Add the options about the shop.

    Args:
        left_out: an absent option sets nothing, so that it keeps the value given before the sub-command.
    """

    def add(name: str, default: object, **given: object) -> None:
        parser.add_argument(name, default=argparse.SUPPRESS if left_out else default, **given)  # type: ignore[arg-type]  # argparse's own

    add("--url", "", help=f"the shop's URL; default: the shop that runs on --data, else {DEFAULT_URL}")
    add("--token", "", help=f"your partner's token; better in {TOKEN_VARIABLE}, which other users cannot see")
    add("--data", DATA, type=Path, metavar="DIR", help="the data directory of the shop on this machine (.data)")
    add(
        "--partner",
        "demo-partner",
        metavar="NAME",
        help="without a token, for the shop on --data: make one for this partner (demo-partner)",
    )
    add("--json", False, action="store_true", help="print JSON")


def _url(text: str) -> str:
    url = text if "://" in text else f"http://{text}"
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise argparse.ArgumentTypeError(f"{text!r} is no URL like http://localhost:3000/webhook")
    return url


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError("a whole number from 1")
    return int(text)
