"""Simulates one round's buyers: each repeats a request under its Idempotency-Key until it gets a final answer."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Literal

import httpx

Path = Literal["sync", "async", "orders"]
FLASH, SHELF = 1, 2
PATHS: dict[Path, str] = {
    "sync": "/api/v1/sync/purchase",
    "async": "/api/v1/async/purchase",
    "orders": "/api/v1/orders",
}
TAKEN = {"sync": 200, "async": 202, "orders": 201}
NO = ("sold-out", "limit-reached")
NOT_NOW = (429, 503)
BUYERS_AT_ONCE = 32
ANSWER_WITHIN_S = 20.0
END_WITHIN_S = 90.0
LOST, TIMED_OUT = "no answer", "timed out"


@dataclass
class Buyer:
    """
    Holds one buyer's purchase under one key.

    Args:
        habit: what it does beside asking: click twice at once, ask again afterwards, cancel what it got.
        answers: every order id that an answer named, with the answer's status.
        end: "taken", one of NO, or an answer that must never occur.
    """

    user: int
    key: str
    path: Path
    qty: int
    habit: Literal["", "double-click", "again", "cancel"] = ""
    answers: list[tuple[int, str]] = field(default_factory=list)
    end: str = ""
    canceled: str = ""

    @property
    def order_id(self) -> str:
        return self.answers[0][1] if self.answers else ""


def invent(count: int, first_user: int, random: Random) -> list[Buyer]:
    """Make the buyers: half use the synchronous path; one in twenty is the previous buyer, beyond the limit of 2."""
    buyers: list[Buyer] = []
    for number in range(count):
        greedy = bool(buyers) and random.random() < 0.05
        buyers.append(
            Buyer(
                user=buyers[-1].user if greedy else first_user + number,
                key=f"key-{first_user + number}",
                path=random.choices(("sync", "async", "orders"), (50, 30, 20))[0],
                qty=2 if greedy else random.choice((1, 1, 2)),
                habit=random.choices(("", "double-click", "again", "cancel"), (75, 10, 10, 5))[0],
            )
        )
    return buyers


class Crowd:
    """
    Admits buyers, at most ``BUYERS_AT_ONCE`` at a time.

    Attributes:
        served: buyers that have their end answer.
        noted: what else came back, counted: statuses, and connections that were lost.
    """

    def __init__(self, url: str, random: Random) -> None:
        limits = httpx.Limits(max_connections=2 * BUYERS_AT_ONCE)
        self.served = 0
        self.noted: Counter[str] = Counter()
        self._random = random
        self._http = httpx.AsyncClient(base_url=url, timeout=ANSWER_WITHIN_S, limits=limits, trust_env=False)
        self._admitted = asyncio.Semaphore(BUYERS_AT_ONCE)
        self._moved = asyncio.Event()

    async def __aenter__(self) -> "Crowd":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def buy(self, buyers: Iterable[Buyer]) -> None:
        """Wait until every buyer has its final answer, or has waited END_WITHIN_S for it."""
        await asyncio.gather(*(self._visit(buyer) for buyer in buyers))

    async def until_served(self, count: int) -> None:
        while self.served < count:
            self._moved.clear()
            await self._moved.wait()

    async def insist(self, method: str, path: str, body: Any = None) -> Any:
        """Repeat the request until it gets 200; return the document."""
        async with asyncio.timeout(END_WITHIN_S):
            while True:
                status, document = await self._ask(method, path, body)
                if status == 200:
                    return document
                await self._breathe()

    async def _visit(self, buyer: Buyer) -> None:
        async with self._admitted:
            clicks = 2 if buyer.habit == "double-click" else 1
            await asyncio.gather(*(self._until_end(buyer) for _ in range(clicks)))
            if buyer.habit == "again":
                await self._until_end(buyer)
            if buyer.habit == "cancel" and buyer.answers:
                await self._cancel(buyer)
        self.served += 1
        self._moved.set()

    async def _until_end(self, buyer: Buyer) -> None:
        until = time.monotonic() + END_WITHIN_S
        while time.monotonic() < until:
            status, document = await self._ask("POST", PATHS[buyer.path], _wish(buyer), buyer.key)
            if end := _end_of(buyer, status, document):
                buyer.end = end if buyer.end in ("", "taken", *NO) else buyer.end
                return
            await self._breathe()
        buyer.end = f"nothing but {dict(self.noted)} for {END_WITHIN_S:.0f} s"

    async def _cancel(self, buyer: Buyer) -> None:
        until = time.monotonic() + END_WITHIN_S
        while time.monotonic() < until:
            status, document = await self._ask("POST", f"/api/v1/orders/{buyer.order_id}/cancel")
            if status in (200, 409):
                buyer.canceled = str(document.get("status") if status == 200 else document.get("orderStatus"))
                return
            await self._breathe()

    async def _ask(self, method: str, path: str, body: Any = None, key: str = "") -> tuple[int, dict[str, Any]]:
        """Return status and document; 0 if the connection was lost before an answer."""
        headers = {"idempotency-key": key} if key else {}
        try:
            answer = await self._http.request(method, path, json=body, headers=headers)
        except httpx.TransportError as error:
            self.noted[TIMED_OUT if isinstance(error, httpx.TimeoutException) else LOST] += 1
            return 0, {}
        if answer.status_code >= 400:
            self.noted[f"{answer.status_code} {_slug(answer.json())}"] += 1
        return answer.status_code, answer.json()

    async def _breathe(self) -> None:
        await asyncio.sleep(0.05 + self._random.random() * 0.2)


def _wish(buyer: Buyer) -> dict[str, Any]:
    if buyer.path == "orders":
        items = [{"productId": FLASH, "qty": buyer.qty}, {"productId": SHELF, "qty": 1}]
        return {"userId": buyer.user, "items": items}
    return {"productId": FLASH, "quantity": buyer.qty, "userId": buyer.user}


def _end_of(buyer: Buyer, status: int, document: dict[str, Any]) -> str:
    """Return the final answer; empty if the buyer must ask again."""
    slug = _slug(document)
    if status == TAKEN[buyer.path]:
        buyer.answers.append((status, str(document["orderId"])))
        return "taken"
    if status == 0 or status in NOT_NOW or (status, slug) == (409, "request-in-flight"):
        return ""
    return slug if status == 409 and slug in NO else f"{status} {slug}"


def _slug(document: dict[str, Any]) -> str:
    return str(document.get("type", "")).rpartition("/")[2]
