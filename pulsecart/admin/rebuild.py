"""
scripts/rebuild: rebuilds the gate, projections, live streams and cached products from PostgreSQL.

It may run while the shop sells: a gate is loaded under the lock of its stock row, and consumers keep only the newest
sequence.
"""

import argparse
import asyncio
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from pulsecart.admin.which_shop import NoShop, connection_for_scripts
from pulsecart.edge.streams import forged
from pulsecart.processes import registry
from pulsecart.runtime.db.log import Cursor, LogReader, connect
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.printable import decoded, printable, shortened
from pulsecart.runtime.settings import Settings
from pulsecart.serving.http import Reply
from pulsecart.serving.operation import Operation
from pulsecart.shop.audit.db import versions
from pulsecart.shop.catalogue.copies.copies import Copies
from pulsecart.shop.catalogue.db import search
from pulsecart.shop.inventory.db import stock
from pulsecart.shop.inventory.gate.gate import gate_of
from pulsecart.shop.inventory.gate_rebuild import rebuild
from pulsecart.shop.orders.db import by_customer, history

PAUSES_S = (0.0, 0.2, 1.0, 3.0)
ID_SHOWN = 100
FIRST = "1:1:"  # the snapshot that sees no transaction
AT_ONCE = 256

Say = Callable[[str], None]


class Incomplete(Exception):
    """The rebuilt data is incomplete; the message lists the missing parts."""


class Lost(NamedTuple):
    """Numbers of events that an operation rejected for good, and that it could not process now."""

    refused: int
    failed: int


async def gate(deps: Deps, say: Say) -> int:
    """Rebuild the gate of every product; earlier claims can no longer commit. Return how many products."""
    opened = deps.singleton(gate_of)
    async with deps.db.transaction() as tx:
        product_ids = await stock.product_ids(tx)
    for product_id in product_ids:
        in_gate = await opened.look(product_id)
        await rebuild(deps.db, opened, product_id, in_gate.epoch if in_gate else -1)
    say(f"gate: {len(product_ids)} products")
    return len(product_ids)


async def orders_by_customer(deps: Deps, say: Say) -> int:
    """Clear the projection and replay the whole log into it; return how many events were processed."""
    async with deps.db.transaction() as tx:
        await by_customer.clear(tx)
    return await _replay(deps, registry.load("project_orders"), say)


async def order_history(deps: Deps, say: Say) -> int:
    """Add the missing steps of the status history from the log, and keep the others; return how many were added."""
    async with deps.db.transaction() as tx:
        added = await history.complete(tx)
    say(f"order-history: {added} steps")
    return added


async def streams(deps: Deps, say: Say) -> int:
    """
    Write the missing news to the live streams; return how many events were processed.

    A stream rejects ids that are not above its newest, so existing news are not repeated, and streams with an id that
    the shop never assigned are removed first.
    """
    if gone := await forged.remove(deps):
        say(f"streams: {gone} contained news that this shop never sent, and were rewritten")
    return await _replay(deps, registry.load("notify"), say)


async def catalogue(deps: Deps, say: Say) -> int:
    """
    Rebuild the search index, delete the cached products in Redis, and replay the log to refresh-products.

    Returns how many events were processed.
    """
    async with deps.db.transaction() as tx:
        rows = await search.rebuild(tx)
    await Copies(deps.redis).forget()
    say(f"product_search: {rows} products")
    return await _replay(deps, registry.load("refresh_products"), say)


async def _replay(deps: Deps, operation: Operation, say: Say) -> int:
    handled, refused, failed = 0, 0, 0
    connection = await connect(deps.settings.database_url)
    try:
        reader, cursor = LogReader(connection), Cursor.after(FIRST)
        end = (await reader.end()).window_to
        while (chunk := await reader.next(cursor, end)) is not None and chunk.end != cursor:
            wanted = [row.event for row in chunk.rows if row.event.type in operation.events]
            async with deps.db.transaction() as tx:
                true = await versions.possible(tx, wanted)
            taken = {id(event) for event in true}
            for event in wanted:
                if id(event) not in taken:
                    refused += 1
                    say(printable(f"{operation.dns_name}: our tables contradict {_about(event)}"))
            for at in range(0, len(true), AT_ONCE):
                lost = await _hand_over(deps, operation, true[at : at + AT_ONCE], say)
                refused, failed = refused + lost.refused, failed + lost.failed
            handled, cursor = handled + len(true), chunk.end
            say(f"{operation.dns_name}: {handled} events")
            if cursor.finished:
                break
    finally:
        await connection.close()
    if refused:
        say(
            f"{operation.dns_name}: {refused} of them were rejected again, as at their first delivery, and are left out"
        )
    if failed:
        raise Incomplete(f"{operation.dns_name}: {failed} events could not be handled and are missing; try again.")
    return handled


async def _hand_over(deps: Deps, operation: Operation, events: Sequence[CloudEvent], say: Say) -> "Lost":
    """Deliver events with retries; a failed event does not affect others, and each is reported."""
    left, lost = list(events), Lost(0, 0)
    for pause_s in PAUSES_S:
        await asyncio.sleep(pause_s)
        replies = await asyncio.gather(*(operation.handle_event(event, deps) for event in left))
        answered = [(event, reply) for event, reply in zip(left, replies, strict=True) if reply.status >= 300]
        for event, reply in answered:
            if reply.status < 500:
                say(_named(operation, event, reply))
        lost = lost._replace(refused=lost.refused + sum(reply.status < 500 for _, reply in answered))
        left = [event for event, reply in answered if reply.status >= 500]
        if not left:
            return lost
    for event, reply in answered:
        say(_named(operation, event, reply))
    return lost._replace(failed=len(left))


def _named(operation: Operation, event: CloudEvent, reply: Reply) -> str:
    answered = f"{operation.dns_name} answered {reply.status} to {_about(event)}"
    return printable(f"{answered}: {decoded(reply.body)}")


def _about(event: CloudEvent) -> str:
    return f"{event.type} {shortened(event.id, ID_SHOWN)}"


PARTS: dict[str, Callable[[Deps, Say], Awaitable[int]]] = {
    "gate": gate,
    "orders-by-customer": orders_by_customer,
    "order-history": order_history,
    "streams": streams,
    "catalogue": catalogue,
}


async def restore(settings: Settings, parts: Sequence[str], say: Say) -> None:
    deps = open_deps(settings)
    try:
        for part in parts:
            await PARTS[part](deps, say)
    finally:
        await close_deps(deps)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="scripts/rebuild", description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("part", choices=[*PARTS, "all"])
    parser.add_argument(
        "--data", type=Path, help="the running shop's data directory (default: DATABASE_URL, else .data)"
    )
    options = parser.parse_args(arguments)
    try:
        shop = connection_for_scripts(options.data)
    except NoShop as none:
        sys.stderr.write(f"{none}\n")
        return 2
    if not shop.redis_url:
        sys.stderr.write("REDIS_URL is not set: set it to the Redis to fill\n")
        return 2
    parts = list(PARTS) if options.part == "all" else [options.part]
    settings = Settings(database_url=shop.database_url, redis_url=shop.redis_url)
    try:
        asyncio.run(restore(settings, parts, lambda done: print(done, flush=True)))  # noqa: T201  # a command's progress
    except Incomplete as missing:
        sys.stderr.write(f"{missing}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
