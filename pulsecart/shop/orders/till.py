"""
Processes purchases: claims units at the gate, then commits orders in groups.

Each process and event loop has one till. ``checkout`` submits new orders to it, ``reserve`` PENDING orders.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from msgspec.structs import replace

from pulsecart.runtime.batch import Batcher
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import new_id
from pulsecart.runtime.first_replies import FirstReply
from pulsecart.runtime.problem import Unavailable
from pulsecart.runtime.redis_error import RedisError
from pulsecart.runtime.telemetry.tracing import shared
from pulsecart.shop import metrics
from pulsecart.shop.inventory.gate.gate import Answer, ClaimRequest, gate_of
from pulsecart.shop.inventory.gate_rebuild import NEVER, rebuild
from pulsecart.shop.inventory.sold_out import SoldOut
from pulsecart.shop.orders.db import facts
from pulsecart.shop.orders.db.commit import commit
from pulsecart.shop.orders.decide import Denied, Held, Intent, Outcome
from pulsecart.shop.pricing.openings import Openings
from pulsecart.shop.pricing.terms import StockRow

log = logging.getLogger(__name__)
TRIES = 4
CONNECTIONS = 4
COMMITS = 2  # while one waits for PostgreSQL, Python prepares the other: a fifth more orders per second than with 1
CONFIRM_AFTER_S = 0.02
AGAIN = frozenset({"STALE", "VOID", "SOLD_OUT", "LIMIT_REACHED"})
# Another price, a deleted product or a changed cart: the claim is returned to the gate, which is not rebuilt.
# A sale's limit: around the sale's last second the gate's clock may differ.
GATES_WERE_RIGHT = frozenset(
    {"PRICE_CHANGED", "UNKNOWN_PRODUCT", "CART_CHANGED", "MIXED_CURRENCIES", "SALE_LIMIT_REACHED"}
)


def _start(row: StockRow | None) -> datetime | LookupError | None:
    if row is None:
        return LookupError("no such product")
    return row.sale.starts_at if row.sale else None


class Till:
    """
    Claims and commits orders, many at a time.

    Every method raises ``Unavailable`` or ``RedisError`` when PostgreSQL or the gate cannot be reached; ``settle``
    then ends the open claims.
    """

    def __init__(self, deps: Deps) -> None:
        settings = deps.settings
        self._deps = deps.share("checkout", CONNECTIONS)
        self._pay_within = timedelta(seconds=settings.pay_within_s)
        self.gate = deps.singleton(gate_of)
        self.sold_out = SoldOut(settings.redis_url)
        self.claims: Batcher[ClaimRequest, Answer] = Batcher(
            self._claim, size_max=settings.batch_max, queue_max=settings.queue_max, drop_abandoned=True
        )
        self.commits: Batcher[Intent, Outcome] = Batcher(
            self._commit,
            size_max=settings.batch_max,
            queue_max=settings.queue_max,
            parallel=COMMITS,
            drop_abandoned=True,
        )
        self._replies: Batcher[bytes, FirstReply | None] = Batcher(self._stored)
        self._ended: Batcher[tuple[bytes, str], bool] = Batcher(self._have_ended)
        self._starts: Batcher[str, datetime | None] = Batcher(self._read_starts)
        self.openings = Openings(self._starts.submit)
        self._rebuilding: dict[tuple[str, int], asyncio.Task[bool]] = {}
        self._won: list[tuple[str, str]] = []
        self._confirming: asyncio.TimerHandle | None = None
        self._looking_again: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        deps.closing.append(self._close)

    async def place(self, intent: Intent, request_key: str) -> Outcome | Answer:
        """
        Claim and commit one order.

        Args:
            request_key: identifies the request at the gate; empty for none.

        Returns:
            PostgreSQL's outcome, or the gate's answer when the gate did not admit the claim (SEEN, LIMIT, SOLD_OUT).
        """
        try:
            return await self._place(intent, request_key)
        except (Exception, asyncio.CancelledError):
            self._leave_to_settle()
            raise

    async def _place(self, intent: Intent, request_key: str) -> Outcome | Answer:
        lines = tuple((line.product_id, line.qty) for line in intent.order.lines)
        if not intent.waiting:
            for product_id, _ in lines:
                if await self.openings.is_closed(product_id, intent.order.created_at):
                    return Denied("SALE_NOT_OPEN", product_id)
        sales = tuple(line.sale_id or "" for line in intent.order.lines) if intent.waiting else ()
        claim_id = intent.order.claim_id or new_id()
        for _ in range(TRIES):
            answer = await self.claims.submit(ClaimRequest(claim_id, intent.order.buyer_id, request_key, lines, sales))
            if answer.verdict == "MISSING":
                if not await self.rebuilt(answer.detail):
                    return Denied("UNKNOWN_PRODUCT", answer.detail)
                continue
            if answer.verdict == "SEEN" and intent.key and await self._ended.submit((intent.key.scope, answer.detail)):
                await self.gate.forget_keys((product, answer.detail) for product, _ in lines)
                continue
            if answer.verdict != "WON":
                return answer
            order = replace(intent.order, claim_id=claim_id)
            outcome = await self.commits.submit(replace(intent, order=order, epochs=answer.epochs))
            if isinstance(outcome, Denied) and outcome.reason in GATES_WERE_RIGHT:
                await self.gate.release((product, claim_id) for product, _ in lines)
                return outcome
            if not (isinstance(outcome, Denied) and outcome.reason in AGAIN):
                return outcome
            if outcome.reason != "VOID":  # a claim of another epoch, or refused: the gate may be wrong
                epochs = dict(zip((product for product, _ in lines), answer.epochs, strict=True))
                await self.rebuilt(outcome.product_id, epochs[outcome.product_id])
            if len(lines) > 1:  # the gates of the other products were right and still hold the claim
                await self.gate.release((product, claim_id) for product, _ in lines)
            claim_id = new_id()
        raise Unavailable("gate-rebuilding", "The stock gate is being rebuilt. Try again in a second.")

    @property
    def has_queue(self) -> bool:
        """Whether orders wait for a transaction: the maximum number of commits already runs."""
        return self.commits.waiting > 0

    async def refuse(self, intent: Intent) -> Outcome:
        """Cancel a PENDING order that the gate refused, in the next group commit."""
        return await self.commits.submit(intent)

    async def first_reply(self, scope: bytes) -> FirstReply | None:
        """Return the first reply stored under this Idempotency-Key; None if there is none."""
        return await self._replies.submit(scope)

    async def rebuilt(self, product_id: str, wrong_epoch: int = NEVER) -> bool:
        """Rebuild the product's gate, once for concurrent callers; False when PostgreSQL has no stock row for it."""
        which = product_id, wrong_epoch  # a rebuild running for another epoch may have loaded the wrong gate
        task = self._rebuilding.get(which)
        if task is None:
            task = asyncio.get_running_loop().create_task(rebuild(self._deps.db, self.gate, product_id, wrong_epoch))
            metrics.GATE_REBUILDS.of("missing" if wrong_epoch == NEVER else "refused").add()
            self._rebuilding[which] = task
            task.add_done_callback(lambda _: self._rebuilding.pop(which, None))
        return await asyncio.shield(task)

    async def _claim(self, requests: list[ClaimRequest]) -> Sequence[Answer]:
        won, self._won = self._won, []
        return await self.gate.claim(requests, won)

    async def _read_starts(self, product_ids: list[str]) -> Sequence[datetime | LookupError | None]:
        async with self._deps.db.transaction() as tx:
            found = await facts.stock_rows(tx.connection, product_ids)
        return [_start(found.get(product_id)) for product_id in product_ids]

    async def _stored(self, scopes: list[bytes]) -> Sequence[FirstReply | None]:
        async with self._deps.db.transaction() as tx:
            found = await facts.stored_keys(tx.connection, scopes)
        return [found.get(scope) for scope in scopes]

    async def _have_ended(self, keys: list[tuple[bytes, str]]) -> Sequence[bool]:
        async with self._deps.db.transaction() as tx:
            return await facts.ended_keys(tx.connection, keys)

    async def _commit(self, intents: list[Intent]) -> Sequence[Outcome]:
        began = time.perf_counter()
        with shared("group commit", (intent.order.traceparent for intent in intents)):
            outcomes = await commit(self._deps.db, intents, self._pay_within)
        metrics.GROUP_COMMIT_MS.of().add((time.perf_counter() - began) * 1000)
        metrics.GROUP_COMMIT_ORDERS.of().add(len(intents))
        try:
            for intent, outcome in zip(intents, outcomes, strict=True):
                self._note(intent, outcome)
        except Exception:  # the orders are committed: an error raised here would repeat them
            log.exception("the work after the commit of these orders failed and is left to settle")
            self._leave_to_settle()
        return outcomes

    def _note(self, intent: Intent, outcome: Outcome) -> None:
        if isinstance(outcome, Held):
            if not self._confirming:
                self._deps.wake("expire")
                self._confirming = asyncio.get_running_loop().call_later(CONFIRM_AFTER_S, self._confirm)
            self._won += [(line.product_id, str(outcome.order.claim_id)) for line in outcome.order.lines]
            return
        if isinstance(outcome, Denied) and outcome.reason == "SALE_NOT_OPEN":
            self.openings.forget(outcome.product_id)
        if intent.epochs and not (isinstance(outcome, Denied) and outcome.reason in AGAIN | GATES_WERE_RIGHT):
            for line, epoch in zip(intent.order.lines, intent.epochs, strict=True):
                self._soon(partial(self._rebuild, line.product_id, epoch))  # a refused claim is not released

    async def _rebuild(self, product_id: str, wrong_epoch: int) -> None:
        await self.rebuilt(product_id, wrong_epoch)

    def _confirm(self) -> None:
        self._confirming = None
        won, self._won = self._won, []
        if won:  # no later claim call has confirmed them
            self._soon(partial(self.gate.confirm, won))

    async def _close(self) -> None:
        if self._looking_again:
            self._looking_again.cancel()
        if self._confirming:
            self._confirming.cancel()
            self._confirm()
        await asyncio.gather(*self._tasks)

    def _soon(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        task = asyncio.get_running_loop().create_task(self._quietly(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _quietly(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        try:
            await work()
        except (RedisError, Unavailable) as error:
            log.warning("left to settle: %s", error)
            self._leave_to_settle()

    def _leave_to_settle(self) -> None:
        """Wake ``settle`` now and again after one lease: a claim may be open or still on its way to the gate."""
        self._deps.wake("settle")
        if self._looking_again is None:
            loop = asyncio.get_running_loop()
            self._looking_again = loop.call_later(self._deps.settings.lease_s, self._look_again)

    def _look_again(self) -> None:
        self._looking_again = None
        self._deps.wake("settle")
