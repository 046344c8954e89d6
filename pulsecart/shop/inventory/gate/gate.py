"""
The stock gate: Redis admits at most as many claims as there are units, each with a lease.

It is fast and may be wrong; PostgreSQL decides (``pulsecart.shop.orders.db.commit``). Keys, all in one slot:
``{gate}:p:<product>`` (hash: epoch, left, limit, version; sale, sale_limit, sale_until), ``b:`` (buyer → units, 0 once
given back), ``s:`` (buyer → units in that sale), ``c:`` (claim → qty, buyer, key, sale), ``k:`` (key → claim), ``z:``
(claim → lease's end, ms), ``{gate}:products``.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from pulsecart.shop.inventory.sale_limit import SaleLimit


NOW = "*"  # of a line: ordered at this moment, in the sale that is open
PACKAGE = __name__.rpartition(".")[0]
COPY_MAX_AGE_S = 0.1  # no process answers from a copy of the gate that is older


class Wish(Struct, frozen=True):
    """
    What is asked of the gate.

    Args:
        claim_id: new for each attempt; the same again answers the same.
        key: names the request, so that its repetition is seen; empty for none.
        lines: (product, units > 0), a product at most once.
        sales: per line the flash sale that it was ordered in, empty for none; left out where it is ordered now.
    """

    claim_id: str
    buyer_id: str
    key: str
    lines: tuple[tuple[str, int], ...]
    sales: tuple[str, ...] = ()


class Answer(Struct, frozen=True):
    """``epochs``, one per line, when WON; ``detail`` is the other claim's id when SEEN, else the product."""

    verdict: Literal["WON", "SEEN", "MISSING", "LIMIT", "SOLD_OUT"]
    detail: str = ""
    epochs: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Shelf:
    """One product as the gate has it."""

    epoch: int
    left: int
    version: int
    leases: int


def _script(name: str) -> str:
    return (files(PACKAGE) / f"{name}.lua").read_text()


class Gate:
    """The gate's commands; each raises ``redis.RedisError`` where Redis is away, and may then have been carried out."""

    def __init__(self, redis: "Redis", lease_s: float) -> None:
        self._redis = redis
        self._lease_ms = int(lease_s * 1000)
        self._claim = redis.register_script(_script("claim"))
        self._release = redis.register_script(_script("release"))
        self._forget = redis.register_script(_script("forget"))
        self._load = redis.register_script(_script("load"))

    async def claim(self, wishes: Sequence[Wish], won: Sequence[tuple[str, str]] = ()) -> list[Answer]:
        """One answer per wish, in order; one script call for all. ``won`` is confirmed on the way, see ``confirm``."""
        arguments: list[str | int] = [self._lease_ms, len(won)]
        for pair in won:
            arguments += pair
        for wish in wishes:
            arguments += (wish.claim_id, wish.buyer_id, wish.key, len(wish.lines))
            for at, line in enumerate(wish.lines):
                arguments += (*line, wish.sales[at] if wish.sales else NOW)
        told = iter(await self._claim(args=arguments))
        return [_answer(verdict.decode(), detail.decode()) for verdict, detail in zip(told, told, strict=True)]

    async def confirm(self, claims: Iterable[tuple[str, str]]) -> None:
        """End the leases of (product, claim) pairs that PostgreSQL has committed."""
        of_product: dict[str, list[str]] = {}
        for product_id, claim_id in claims:
            of_product.setdefault(product_id, []).append(claim_id)
        pipe = self._redis.pipeline(transaction=False)
        for product_id, ended in of_product.items():
            pipe.zrem(f"{{gate}}:z:{product_id}", *ended)  # a command for each claim cost a fifth of checkout
        await pipe.execute()

    async def release(self, claims: Iterable[tuple[str, str]]) -> int:
        """Give (product, claim) pairs back; how many the gate still held."""
        arguments = [part for pair in claims for part in pair]
        return int(await self._release(args=arguments)) if arguments else 0

    async def forget_keys(self, claims: Iterable[tuple[str, str]]) -> None:
        """The requests of these (product, claim) pairs are no longer SEEN; the claims stay."""
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
        Replace the product's gate; False where the gate is of this epoch or a newer one already.

        Args:
            buyers: (buyer, units counted against ``limit``).
            claims: (claim, units, buyer, sale or an empty text).
        """
        rows = [msgspec.json.encode(part) for part in (buyers, claims, sale.buyers if sale else ())]
        limited = (sale.sale_id, sale.units, int(sale.ends_at.timestamp() * 1000)) if sale else ("", 0, 0)
        return bool(await self._load(args=[product_id, epoch, left, limit, *rows, *limited]))

    async def look(self, product_id: str) -> Shelf | None:
        """The product as it stands, one moment; None where the gate does not know it."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.hmget(f"{{gate}}:p:{product_id}", ["epoch", "left", "version"])
        pipe.zcard(f"{{gate}}:z:{product_id}")
        (epoch, left, version), leases = await pipe.execute()
        return Shelf(int(epoch), int(left), int(version), int(leases)) if epoch is not None else None

    async def products(self) -> list[str]:
        """Every product the gate knows."""
        return sorted(_text(name) for name in await self._redis.smembers("{gate}:products"))

    async def leases(self, product_id: str) -> list[tuple[str, float]]:
        """Open leases: (claim, seconds until it ends; negative when it has), by Redis's own clock."""
        pipe = self._redis.pipeline(transaction=True)
        pipe.time()
        pipe.zrange(f"{{gate}}:z:{product_id}", 0, -1, withscores=True)
        (seconds, micros), rows = await pipe.execute()
        now_ms = seconds * 1000 + micros / 1000
        return [(claim.decode(), (deadline - now_ms) / 1000) for claim, deadline in rows]


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _answer(verdict: str, detail: str) -> Answer:
    if verdict == "WON":
        return Answer("WON", epochs=tuple(int(epoch) for epoch in detail.split(",")))
    return Answer(verdict, detail)  # type: ignore[arg-type]  # the script's own words
