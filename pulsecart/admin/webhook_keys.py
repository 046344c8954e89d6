"""
scripts/webhook-keys: seals partners' secrets again with the first key of WEBHOOK_KEYS, so that others can be removed.

It may run while the shop runs. Each secret is replaced in a transaction of its own, and only if it is still the one
that was read: no request of a partner waits for more than one row, and a secret that was deleted meanwhile stays so.
"""

import argparse
import asyncio
import os
import sys
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from functions.webhooks.creation import WHERE
from pulsecart.admin.which_shop import DATA, WEBHOOK_KEYS, NoShop, connection_for_scripts
from pulsecart.runtime.db import first_replies
from pulsecart.runtime.db.database import Tx
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.runtime.problem import Problem
from pulsecart.runtime.seal_keys import keys_of
from pulsecart.runtime.sealing import CannotOpen, sealing
from pulsecart.runtime.settings import MissingSetting, Settings
from pulsecart.shop.partners.db import sources
from pulsecart.shop.webhooks.db.secrets import SECRETS

AT_ONCE = 500  # secrets per page
Row = tuple[str, str, bytes]
Say = Callable[[str], None]


class Kind(NamedTuple):
    """
    Names one kind of sealed secret.

    Args:
        page: returns the next rows after an id: id, owner, sealed secret.
        replace: replaces a sealed secret if it is still the given one; returns whether it was.
    """

    name: str
    page: Callable[[Tx, str | None, int], Awaitable[list[Row]]]
    replace: Callable[[Tx, str, bytes, bytes], Awaitable[bool]]


@dataclass(slots=True)
class Counts:
    """Counts the secrets of one kind; ``left``: a sentence about each that could not be opened."""

    again: int = 0
    before: int = 0
    left: list[str] = field(default_factory=list)


async def _replies(tx: Tx, after: str | None, limit: int) -> list[Row]:
    rows = await first_replies.page(tx, WHERE, after, limit)
    return [(scope, location.removeprefix(WHERE), b64decode(body)) for scope, location, body in rows]


async def _replace_reply(tx: Tx, scope: str, before: bytes, after: bytes) -> bool:
    return await first_replies.replace(tx, scope, b64encode(before).decode(), b64encode(after).decode())


KINDS = (
    Kind("secrets of webhook subscriptions", SECRETS.page, SECRETS.replace),
    Kind("secrets of event sources", sources.SECRETS.page, sources.SECRETS.replace),
    Kind("replies to Idempotency-Keys", _replies, _replace_reply),
)


async def reseal(deps: Deps, kind: Kind) -> Counts:
    """Seal each secret of this kind with the first key, unless it is already."""
    opened, counts = deps.singleton(sealing), Counts()
    async for id, owner, sealed in _rows(deps, kind):
        if opened.is_newest(sealed):
            counts.before += 1
            continue
        try:
            again = opened.seal(opened.open(sealed, owner), owner)
        except CannotOpen as error:
            counts.left.append(f"{kind.name}: {id} of {owner} cannot be opened: {error}")
            continue
        async with deps.db.transaction() as tx:
            counts.again += await kind.replace(tx, id, sealed, again)
    return counts


async def _rows(deps: Deps, kind: Kind) -> AsyncIterator[Row]:
    after = None
    while True:
        async with deps.db.transaction() as tx:
            rows = await kind.page(tx, after, AT_ONCE)
        for row in rows:
            yield row
        if len(rows) < AT_ONCE:
            return
        after = rows[-1][0]


async def reseal_all(settings: Settings, say: Say) -> list[str]:
    """Seal the secrets of every kind again; return a sentence about each that could not be opened."""
    deps, left = open_deps(settings), []
    try:
        for kind in KINDS:
            counts = await reseal(deps, kind)
            found = f"{counts.again} sealed again, {counts.before} already were, {len(counts.left)} cannot be opened"
            say(f"{kind.name}: {found}")
            left += counts.left
    finally:
        await close_deps(deps)
    return left


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Exit status 0: done; 1: secrets are left; 2: wrong options, or no shop, database or keys."""
    options = _options(arguments)
    try:
        settings = _settings(options.data)
        left = asyncio.run(reseal_all(settings, lambda done: print(done, flush=True)))  # noqa: T201  # a command's output
    except (NoShop, MissingSetting, Problem) as reason:
        return _complain(str(reason), 2)
    for sentence in left:
        _complain(sentence, 1)
    return 1 if left else 0


def _settings(data: Path | None) -> Settings:
    """Return the shop's settings, with WEBHOOK_KEYS of the environment, else of the data directory."""
    shop, file = connection_for_scripts(data), (data or DATA) / WEBHOOK_KEYS
    keys = os.environ.get("WEBHOOK_KEYS") or (file.read_text() if file.exists() else "")
    try:
        keys_of(keys)
    except ValueError as error:
        raise MissingSetting(f"WEBHOOK_KEYS: {error}") from None
    return Settings(database_url=shop.database_url, redis_url=shop.redis_url, webhook_keys=keys)


def _complain(sentence: str, status: int) -> int:
    sys.stderr.write(f"webhook-keys: {sentence}\n")
    return status


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/webhook-keys", description=(__doc__ or "").strip().splitlines()[0])
    parser.add_argument("act", choices=["reseal"])
    parser.add_argument(
        "--data", type=Path, help="the running shop's data directory (default: DATABASE_URL, else .data)"
    )
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
