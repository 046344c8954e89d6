"""
Admits, in Redis, at most as many claims as there are units, each with a lease: the stock gate.

The gate is fast and may be wrong; PostgreSQL decides (``pulsecart.shop.orders.db.commit``).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import Struct

from pulsecart.shop.inventory.gate import keys

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from pulsecart.runtime.deps import Deps
    from pulsecart.shop.inventory.sale_limit import SaleLimit


NOW = "*"  # sale of a line that is ordered now: the open sale applies
PACKAGE = __name__.rpartition(".")[0]
COPY_MAX_AGE_S = 0.1  # no process answers from an older copy of the gate


class ClaimRequest(Struct, frozen=True):
    """
    A request to the gate for one claim.

    Args:
        claim_id: new for each attempt; a repeated id gets the same answer.
        key: identifies the request, so that a repeat is detected; empty for none.
        lines: (product, units > 0), each product at most once.
        sales: per line, the flash sale in which it was ordered, empty for none; omitted for lines ordered now.
    """

    claim_id: str
    buyer_id: str
    key: str
    lines: tuple[tuple[str, int], ...]
    sales: tuple[str, ...] = ()


class Answer(Struct, frozen=True):
    """``epochs``: one per line, when WON; ``detail``: the other claim's id when SEEN, else the product."""

    verdict: Literal["WON", "SEEN", "MISSING", "LIMIT", "SOLD_OUT"]
    detail: str = ""
    epochs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class GateLevel:
    """The gate level of one product."""

    epoch: int
    left: int
    version: int
    leases: int


def _script(name: str) -> str:
    return (files(PACKAGE) / f"{name}.lua").read_text()


def gate_of(deps: "Deps") -> "Gate":
    """Create the process's gate, for ``deps.singleton``."""
    return Gate(deps.redis, deps.settings.lease_s)


class Gate:
    """Runs the gate's commands; each raises ``RedisError`` if Redis fails, and may still have been executed."""

    def __init__(self, redis: "Redis", lease_s: float) -> None:
        self._redis = redis
        self._lease_ms = int(lease_s * 1000)
        self._claim = redis.register_script(_script("claim"))
        self._release = redis.register_script(_script("release"))
        self._forget = redis.register_script(_script("forget"))
        self._load = redis.register_script(_script("load"))

    async def claim(self, requests: Sequence[ClaimRequest], won: Sequence[tuple[str, str]] = ()) -> list[Answer]:
        """Answer each request, in order, with one script call. The call also confirms ``won``, as ``confirm`` does."""
        arguments: list[str | int] = [self._lease_ms, len(won)]
        for pair in won:
            arguments += pair
        for request in requests:
            arguments += (request.claim_id, request.buyer_id, request.key, len(request.lines))
            for at, line in enumerate(request.lines):
                arguments += (*line, request.sales[at] if request.sales else NOW)
        replies = iter(await self._claim(args=arguments))
        return [_answer(verdict.decode(), detail.decode()) for verdict, detail in zip(replies, replies, strict=True)]

    async def confirm(self, claims: Iterable[tuple[str, str]]) -> None:
        """End the leases of (product, claim) pairs that PostgreSQL has committed."""
        of_product: dict[str, list[str]] = {}
        for product_id, claim_id in claims:
            of_product.setdefault(product_id, []).append(claim_id)
        pipe = self._redis.pipeline(transaction=False)
        for product_id, ended in of_product.items():
            pipe.zrem(keys.leases(product_id), *ended)  # a command for each claim cost a fifth of checkout
        await pipe.execute()

    async def release(self, claims: Iterable[tuple[str, str]]) -> int:
        """Give (product, claim) pairs back; return how many of them the gate still held."""
        arguments = [part for pair in claims for part in pair]
        return int(await self._release(args=arguments)) if arguments else 0

    async def forget_keys(self, claims: Iterable[tuple[str, str]]) -> None:
        """Delete the request keys of these (product, claim) pairs, so that they are not SEEN; the claims stay."""
        await self._forget(args=[part for pair in claims for part in pair])

    async def load(
        self,
        product_id: str,
        *,
        epoch: int,
        left: int,
        limit: int,
        buyers: Sequence[tuple[str, int]],
        claims: Sequence[tuple[str, int, str, str]],
        sale: "SaleLimit | None" = None,
    ) -> bool:
        """
        Replace the product's gate; False when the gate already has this epoch or a newer one.

        Args:
            buyers: (buyer, units counted against ``limit``).
            claims: (claim, units, buyer, sale or an empty string).
        """
        rows = [msgspec.json.encode(part) for part in (buyers, claims, sale.buyers if sale else ())]
        limited = (sale.sale_id, sale.units, int(sale.ends_at.timestamp() * 1000)) if sale else ("", 0, 0)
        return bool(await self._load(args=[product_id, epoch, left, limit, *rows, *limited]))

    async def look(self, product_id: str) -> GateLevel | None:
        """Return the product's current state, read atomically; None when the gate does not have the product."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.hmget(keys.level(product_id), ["epoch", "left", "version"])
        pipe.zcard(keys.leases(product_id))
        (epoch, left, version), leases = await pipe.execute()
        return GateLevel(int(epoch), int(left), int(version), int(leases)) if epoch is not None else None

    async def products(self) -> list[str]:
        """Return every product that the gate has."""
        return sorted(_text(name) for name in await self._redis.smembers(keys.PRODUCTS))

    async def leases(self, product_id: str) -> list[tuple[str, float]]:
        """Return open leases: (claim, seconds until it expires; negative when expired), by Redis's clock."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.time()
        pipe.zrange(keys.leases(product_id), 0, -1, withscores=True)
        (seconds, micros), rows = await pipe.execute()
        now_ms = seconds * 1000 + micros / 1000
        return [(claim.decode(), (deadline - now_ms) / 1000) for claim, deadline in rows]


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _answer(verdict: str, detail: str) -> Answer:
    if verdict == "WON":
        return Answer("WON", epochs=tuple(int(epoch) for epoch in detail.split(",")))
    return Answer(verdict, detail)  # type: ignore[arg-type]  # the script returns only these verdicts
