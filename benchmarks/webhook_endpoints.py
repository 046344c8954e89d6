"""Makes endpoints of partners in this process, and subscribes them to events."""

import asyncio
import random
import re
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, cast

from pulsecart.runtime.db.database import Busy, Tx
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import new_id
from pulsecart.runtime.sealing import sealing
from pulsecart.shop.webhooks.db import subscriptions
from pulsecart.shop.webhooks.db.secrets import SECRETS
from pulsecart.shop.webhooks.new_secrets import new_secret
from pulsecart.shop.webhooks.subscription import WebhookSubscription

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
TRICKLE = b"HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n"
HANG_S = 30.0
PACE_S = 0.1  # between two bytes of a trickle
Behaviour = Callable[[asyncio.Transport], None]


class Inbox:
    """
    Holds what endpoints received.

    Args:
        got: the ids of the requests, in the order in which they came, duplicates included.
        first_at: message id → the time at which it first came, in seconds since 1970.
    """

    def __init__(self) -> None:
        self.got: list[str] = []
        self.first_at: dict[str, float] = {}

    def add(self, message_id: str) -> None:
        self.got.append(message_id)
        self.first_at.setdefault(message_id, time.time())


class Endpoint(asyncio.Protocol):
    """One connection to an endpoint: it notes each request when it is whole, and then behaves."""

    def __init__(self, inbox: Inbox, behave: Behaviour) -> None:
        self._inbox = inbox
        self._behave = behave
        self._read = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._read += data
        while (end := self._read.find(b"\r\n\r\n")) >= 0:
            head = self._read[:end]
            length = re.search(rb"(?i)\r\ncontent-length: (\d+)", head)
            whole = end + 4 + (int(length[1]) if length else 0)
            if len(self._read) < whole:
                return
            self._read = self._read[whole:]
            found = re.search(rb"(?i)\r\nwebhook-id: (\S+)", head)
            if found:
                self._inbox.add(found[1].decode())
            self._behave(self._transport)


def answers(delay_s: float = 0.0) -> Behaviour:
    """Answer 200 after a random delay, up to twice ``delay_s``."""

    def behave(transport: asyncio.Transport) -> None:
        if delay_s:
            asyncio.get_running_loop().call_later(random.uniform(0, 2 * delay_s), _write, transport, ANSWER)
        else:
            _write(transport, ANSWER)

    return behave


def hangs(transport: asyncio.Transport) -> None:
    """Answer 200 after HANG_S, which is later than a sender waits."""
    asyncio.get_running_loop().call_later(HANG_S, _write, transport, ANSWER)


def trickles(transport: asyncio.Transport) -> None:
    """Answer 200 at once, and its body byte by byte."""
    _write(transport, TRICKLE)

    def go_on() -> None:
        if not transport.is_closing():
            transport.write(b"a")
            asyncio.get_running_loop().call_later(PACE_S, go_on)

    go_on()


def _write(transport: asyncio.Transport, said: bytes) -> None:
    if not transport.is_closing():
        transport.write(said)


@asynccontextmanager
async def endpoint(inbox: Inbox, behave: Behaviour, host: str = "127.0.0.1") -> AsyncIterator[str]:
    """Serve an endpoint on a free port, and yield its URL."""
    server = await asyncio.get_running_loop().create_server(lambda: Endpoint(inbox, behave), host, 0)
    try:
        yield f"http://{host}:{server.sockets[0].getsockname()[1]}/hook"
    finally:
        server.close()


@contextmanager
def dead(host: str) -> Iterator[str]:
    """Yield the URL of a port that accepts no connection."""
    with socket.socket() as bound:
        bound.bind((host, 0))
        yield f"http://{host}:{bound.getsockname()[1]}/hook"


async def subscribe(deps: Deps, url: str, type: str, **given: Any) -> str:
    """Subscribe an endpoint whose consent was asked for; return the subscription's id."""
    async with deps.db.transaction() as tx:
        id = new_id()
        times: dict[str, Any] = {"status_since": tx.now, "created_at": tx.now, "updated_at": tx.now}
        await subscriptions.create(
            tx,
            WebhookSubscription(subscription_id=id, partner_id=id, url=url, event_types=(type,), **times, **given),
        )
        await SECRETS.add(tx, id, new_id(), deps.singleton(sealing).seal(new_secret(), id))
        await tx.execute("UPDATE webhook_queues SET consent_at = %s WHERE subscription_id = %s", (tx.now, id))
    return id


async def pause(deps: Deps, ids: Sequence[str]) -> None:
    """Pause subscriptions, one transaction each, as the operation ``webhooks`` does."""
    await _each(deps, ids, lambda tx, one: subscriptions.pause(tx, one, "Paused by the benchmark."))


async def resume(deps: Deps, ids: Sequence[str]) -> None:
    await _each(deps, ids, subscriptions.resume)


async def _each(deps: Deps, ids: Sequence[str], turn: Callable[[Tx, WebhookSubscription], Any]) -> None:
    for id in ids:
        while True:
            with suppress(Busy):
                async with deps.db.transaction() as tx:
                    await turn(tx, await subscriptions.require(tx, id, lock=True))
                break
