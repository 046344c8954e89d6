"""Does what the sub-commands of scripts/webhooks say, except ``listen``."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import chain

from pulsecart.runtime.contracts import event_types
from pulsecart.runtime.event import rfc3339
from pulsecart.runtime.printable import printable
from pulsecart.shop.webhooks.patterns import sent_types
from pulsecart.shop.webhooks.subscription import matches
from tools.webhooks import shown
from tools.webhooks.event_names import full_type
from tools.webhooks.moments import since_of
from tools.webhooks.shop import Document, Failed, Refused, Shop, message_path, subscription_path

Options = argparse.Namespace


class Declined(Exception):
    """Nothing was done; the message states which options are needed."""


async def listed(shop: Shop, options: Options) -> int:
    """List the subscriptions with their backlogs."""
    found = await shop.subscriptions()
    backlogs = await shop.backlogs(found)
    if options.json:
        return _print(shown.as_json([one | {"backlog": of} for one, of in zip(found, backlogs, strict=True)]))
    if not found:
        return _print("You have no webhook subscriptions.\n")
    return _print(shown.text_of(chain.from_iterable(map(shown.subscription_lines, found, backlogs))))


async def show(shop: Shop, options: Options) -> int:
    """Show a subscription or a message, as JSON."""
    try:
        found = await shop.get(subscription_path(options.id))
    except Refused as refused:
        if refused.kind != "unknown-subscription":
            raise
        found = await shop.get(message_path(options.id))
    return _print(shown.as_json(found))


async def messages(shop: Shop, options: Options) -> int:
    """List the newest messages of a subscription."""
    status = f"?status={options.status}" if options.status else ""
    found = await shop.pages(subscription_path(options.id, "messages") + status, "messages", options.limit)
    if options.json:
        return _print(shown.as_json(found))
    return _print(shown.text_of(map(shown.message_line, found)) or "There are no such messages.\n")


async def attempts(shop: Shop, options: Options) -> int:
    """List the newest attempts of a message, with --full as they were on the wire, or of a subscription."""
    try:
        found = await shop.pages(message_path(options.id, "attempts"), "attempts", options.limit, most=20)
        lines = chain.from_iterable(shown.attempt_lines(one, whole=options.full) for one in found)
    except Refused as refused:
        if refused.kind != "unknown-message":
            raise
        found = await shop.pages(subscription_path(options.id, "attempts"), "attempts", options.limit)
        lines = chain.from_iterable((shown.logged_line(one),) for one in found)
    if options.json:
        return _print(shown.as_json(found))
    return _print(shown.text_of(lines) or "There were no attempts yet.\n")


async def resend(shop: Shop, options: Options) -> int:
    """Send messages again: those that are named, or all that failed since a time."""
    if bool(options.ids) == bool(options.failed_since):
        raise Declined("give either messages, or --failed-since.")
    if options.failed_since:
        return await _resend_failed(shop, options)
    sent = [await shop.post(message_path(id, "resend")) for id in options.ids]
    if options.json:
        return _print(shown.as_json(sent))
    return _print(f"{shown.counted(len(sent), 'message')} will be sent again.\n")


async def pause(shop: Shop, options: Options) -> int:
    """Keep a subscription's messages back."""
    return await _turned(shop, options, "pause")


async def resume(shop: Shop, options: Options) -> int:
    """Send a subscription's messages again."""
    return await _turned(shop, options, "resume")


async def delete(shop: Shop, options: Options) -> int:
    """Delete a subscription."""
    await shop.delete(subscription_path(options.id))
    return _print(shown.as_json({"deleted": options.id}) if options.json else f"{options.id} is deleted.\n")


async def send_example(shop: Shop, options: Options) -> int:
    """Send an example to one subscription."""
    return await _sent_examples(shop, options, [options.id])


async def trigger(shop: Shop, options: Options) -> int:
    """Send an example to one subscription, or to each of the caller's that gets events of this type."""
    event_type = full_type(options.type, sent_types(event_types()))
    if options.subscription:
        return await _sent_examples(shop, options, [options.subscription])
    found = await shop.subscriptions()
    ids = [one["subscriptionId"] for one in found if matches(event_type, one["eventTypes"])]
    if not ids:
        raise Failed(f"none of your subscriptions gets {printable(event_type)}; name one with --subscription.")
    return await _sent_examples(shop, options, ids)


async def _sent_examples(shop: Shop, options: Options, ids: Sequence[str]) -> int:
    body = {"eventType": full_type(options.type, sent_types(event_types()))}
    sent = [await shop.post(subscription_path(id, "example"), body) for id in ids]
    if options.json:
        return _print(shown.as_json(sent))
    lines = (f"{one['messageId']}  {printable(one['eventType'])}  for {one['subscriptionId']}" for one in sent)
    return _print(shown.text_of(lines))


async def _resend_failed(shop: Shop, options: Options) -> int:
    try:
        since = rfc3339(since_of(options.failed_since, datetime.now(UTC)))
    except (ValueError, OverflowError) as reason:
        raise Declined(f"--failed-since: {reason}.") from None
    one = options.subscription
    found = [await shop.get(subscription_path(one))] if one else await shop.subscriptions()
    counts = await asyncio.gather(*(_resent(shop, one, since, dry_run=True) for one in found))
    failed = [(one, count) for one, count in zip(found, counts, strict=True) if count]
    total = sum(counts)
    if total and not options.json:
        _print(shown.text_of(f"{count:>8,}  {one['subscriptionId']}  {printable(one['url'])}" for one, count in failed))
    if total and not options.yes and not _confirmed(f"Send {shown.counted(total, 'failed message')} again?"):
        raise Declined(f"{shown.counted(total, 'message')} failed since then; nothing was done. Use --yes to confirm.")
    sent = [(one, await _resent(shop, one, since, dry_run=False)) for one, _ in failed]
    if options.json:
        return _print(shown.as_json([{"subscriptionId": one["subscriptionId"], "count": count} for one, count in sent]))
    return _print(f"{shown.counted(sum(count for _, count in sent), 'message')} will be sent again.\n")


async def _resent(shop: Shop, subscription: Document, since: str, *, dry_run: bool) -> int:
    path = subscription_path(subscription["subscriptionId"], "resend")
    return int((await shop.post(path, {"since": since, "dryRun": dry_run}))["count"])


async def _turned(shop: Shop, options: Options, act: str) -> int:
    after = await shop.post(subscription_path(options.id, act))
    return _print(shown.as_json(after) if options.json else f"{after['subscriptionId']} is {after['status']}.\n")


def _confirmed(question: str) -> bool:
    if not sys.stdin.isatty():
        return False
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _print(text: str) -> int:
    sys.stdout.write(text)
    return 0
