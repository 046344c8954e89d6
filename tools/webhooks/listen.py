"""
Forwards a partner's events to a URL of this machine, which the shop cannot reach.

A subscription is made that is paused from its start, so that the shop sends nothing: its messages are listed, oldest
first, and sent from here, signed with its secret. It is deleted at the end.
"""

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from aiohttp import ClientError, ClientTimeout

from functions.webhook_deliver.requests import signed_headers
from pulsecart.runtime.backoff import Backoff
from pulsecart.runtime.printable import printable
from pulsecart.serving import cloudevents
from pulsecart.shop.webhooks.signature import Secret
from tools.webhooks.shop import (
    SUBSCRIPTIONS,
    Document,
    Failed,
    Refused,
    Shop,
    Unreachable,
    message_path,
    subscription_path,
)

ENDPOINT = "https://listener.invalid/"  # no host has such a name: nothing is sent there, even after a resume
LOOK_S = 1.0
ANSWER_WITHIN_S = 30.0
BUSY = 503


class Shown(msgspec.Struct, rename="camel"):
    """A message with its event in the bytes that are sent."""

    message_id: str
    event_type: str
    event: msgspec.Raw
    subject: str = ""


@dataclass(frozen=True, slots=True)
class Forwarding:
    """
    Holds where events go.

    Args:
        to: the URL of this machine.
        patterns: of the event types.
        json: print each line as a JSON object.
    """

    to: str
    patterns: Sequence[str]
    json: bool = False


async def listen(shop: Shop, forwarding: Forwarding) -> int:
    """
    Forward events until Ctrl-C or SIGTERM, and return the exit status.

    Raises:
        Failed: the shop refused, or the temporary subscription could not be deleted.
    """
    stopped = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(name, stopped.set)
    await _mention_others(shop)
    body = {"url": ENDPOINT, "eventTypes": list(forwarding.patterns), "paused": True}
    made = await shop.post(SUBSCRIPTIONS, body)
    try:
        _say_ready(made, forwarding)
        return await _until(stopped, _forward_all(shop, made, forwarding))
    finally:
        await _delete(shop, made["subscriptionId"])


async def _until(stopped: asyncio.Event, work: Any) -> int:
    """Work until it fails or is stopped."""
    working, waiting = asyncio.ensure_future(work), asyncio.ensure_future(stopped.wait())
    try:
        await asyncio.wait((working, waiting), return_when=asyncio.FIRST_COMPLETED)
        if working.done():
            working.result()
        return 0
    finally:
        working.cancel()
        waiting.cancel()
        await asyncio.gather(working, waiting, return_exceptions=True)


async def _forward_all(shop: Shop, made: Document, forwarding: Forwarding) -> None:
    secret = Secret(made["secret"])
    async for message_id in _arriving(shop, made["subscriptionId"]):
        message = msgspec.json.decode(await _patiently(shop, message_path(message_id)), type=Shown)
        _say(message, forwarding, await _forward(shop, message, secret, forwarding.to))


async def _arriving(shop: Shop, subscription_id: str) -> AsyncIterator[str]:
    """Yield the ids of messages, in their order, as they are made."""
    path, cursor = subscription_path(subscription_id, "messages") + "?sort=created", ""
    while True:
        page = json.loads(await _patiently(shop, path + cursor))
        for message in page["messages"]:
            yield message["messageId"]
            cursor = f"&cursor={message['messageId']}"
        if "next" not in page:
            await asyncio.sleep(LOOK_S)


async def _patiently(shop: Shop, path: str) -> bytes:
    """
    Return the answer; while the shop is away or busy, ask again.

    Raises:
        Refused: for good, e.g. since the token expired.
    """
    pauses, failures = Backoff(LOOK_S, 30.0), 0
    while True:
        try:
            return await shop.raw("GET", path)
        except Failed as failed:
            if isinstance(failed, Refused) and failed.status not in (429, BUSY):
                raise
            if not failures:
                _write(f"waiting for the shop: {failed}\n", sys.stderr)
            failures += 1
            await asyncio.sleep(pauses.jittered_after(failures))


async def _forward(shop: Shop, message: Shown, secret: Secret, to: str) -> Document:
    """Send a message as the shop would; return how it was answered."""
    body, began = bytes(message.event), time.perf_counter()
    own = {"content-type": cloudevents.STRUCTURED}
    headers = signed_headers(own, body, message.message_id, datetime.now(UTC), [secret])
    timeout = ClientTimeout(total=ANSWER_WITHIN_S)
    try:
        async with shop.session.post(
            to, data=body, headers=dict(headers), timeout=timeout, allow_redirects=False
        ) as answer:
            await answer.read()
            outcome: Document = {"status": answer.status}
    except TimeoutError:
        outcome = {"error": f"no answer within {ANSWER_WITHIN_S:.0f} s"}
    except (ClientError, OSError) as error:
        outcome = {"error": str(error) or type(error).__name__}
    return outcome | {"durationMs": round((time.perf_counter() - began) * 1000, 1)}


async def _mention_others(shop: Shop) -> None:
    for one in await shop.subscriptions():
        if one["url"] == ENDPOINT:
            advice = f"unless it still runs elsewhere, delete it: ./scripts/webhooks delete {one['subscriptionId']}"
            _write(f"an earlier listener's subscription is still there; {advice}\n", sys.stderr)


async def _delete(shop: Shop, subscription_id: str) -> None:
    try:
        await shop.delete(subscription_path(subscription_id))
    except (Refused, Unreachable) as failed:
        if not (isinstance(failed, Refused) and failed.kind == "unknown-subscription"):
            advice = f"./scripts/webhooks delete {subscription_id}"
            raise Failed(f"the temporary subscription stays: {failed} Delete it with {advice}") from None


def _say_ready(made: Document, forwarding: Forwarding) -> None:
    if forwarding.json:
        ready = {"subscriptionId": made["subscriptionId"], "secret": made["secret"], "eventTypes": made["eventTypes"]}
        _write(json.dumps(ready) + "\n")
    else:
        names = ", ".join(made["eventTypes"])
        _write(f"Your signing secret is {made['secret']} (until Ctrl-C).\n")
        _write(f"Forwarding {printable(names)} to {printable(forwarding.to)}\n")


def _say(message: Shown, forwarding: Forwarding, outcome: Document) -> None:
    if forwarding.json:
        about = {"messageId": message.message_id, "eventType": message.event_type, "subject": message.subject}
        _write(json.dumps(about | outcome) + "\n")
    else:
        said = str(outcome.get("status") or printable(outcome["error"]))
        at, named = datetime.now(UTC).astimezone(), f"{printable(message.event_type)}  {printable(message.subject)}"
        _write(f"{at:%H:%M:%S}  {named}  {message.message_id}  → {said}  {outcome['durationMs']:.0f} ms\n")


def _write(text: str, to: Any = None) -> None:
    to = to or sys.stdout
    to.write(text)
    to.flush()
