"""Simulates the buyers: their order, double clicks, hang-ups, repeats, and attempts to exceed the limit."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from time import monotonic

from tools.crowd.ledger import Ledger
from tools.crowd.verdict import Verdict, read
from tools.crowd.wire import Answer, Connection

RETRY_AFTER_MAX_S = 5.0
TRIES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """Shares of the buyers, 0 to 1; together at most 1. All others send one request and accept its answer."""

    retry: float = 0.05
    double_click: float = 0.03
    give_up: float = 0.02
    cheat: float = 0.01


class Purchase:
    """
    One buyer's purchase under one Idempotency-Key; the purchase marked ``first`` determines the buyer's outcome.

    Attributes:
        asked_at: monotonic seconds of the first request, or of the first after a hang-up; 0 before.
    """

    __slots__ = ("asked_at", "buyer", "first", "habit", "key", "sent", "tries")

    def __init__(self, buyer: int, key: bytes, habit: str, first: bool) -> None:
        self.buyer = buyer
        self.key = key
        self.habit = habit
        self.first = first
        self.tries = 0
        self.sent = False
        self.asked_at = 0.0


class Crowd:
    """
    Assigns the purchases of ``buyers`` to free connections, in order; repeats go before new buyers.

    Args:
        first_user: userId of buyer 0; ten digits, so that all requests have the same length.
        request: (userId, Idempotency-Key) -> bytes.
        limit: purchases that a buyer may make, 0 for any number: a cheat tries one more.

    Attributes:
        served: the number of buyers with an outcome.
    """

    def __init__(
        self,
        *,
        buyers: int,
        first_user: int,
        request: Callable[[int, bytes], bytes],
        habits: Habits,
        limit: int,
        ledger: Ledger,
        random: Random,
        on_lost: Callable[[Connection[Purchase]], None],
    ) -> None:
        self._buyers, self._first_user, self._request = buyers, first_user, request
        self._limit, self._ledger, self._random, self._on_lost = limit, ledger, random, on_lost
        h = habits
        steps = (("retry", h.retry), ("double-click", h.double_click), ("give-up", h.give_up), ("cheat", h.cheat))
        self._habits: list[tuple[float, str]] = []
        edge = 0.0
        for name, share in steps:
            edge += share
            self._habits.append((edge, name))
        self._eager = edge
        self._next = 0
        self._due: deque[Purchase] = deque()
        self._parked: dict[Connection[Purchase], None] = {}
        self._open = 0
        self._started = False
        self.served = 0
        self.done = asyncio.Event()

    def start(self) -> None:
        """Start sending on the connections that wait."""
        self._started = True
        self._send_parked()

    def free(self, line: Connection[Purchase]) -> None:
        purchase = self._pick() if self._started else None
        if purchase is None:
            self._parked[line] = None
            return
        if purchase.habit == "double-click" and not purchase.sent:
            self._again(Purchase(purchase.buyer, purchase.key, "second click", first=False))
        purchase.sent = True
        purchase.tries += 1
        if not purchase.asked_at:
            purchase.asked_at = monotonic()
        line.send(purchase, self._request(self._first_user + purchase.buyer, purchase.key))
        if purchase.habit == "give-up" and purchase.tries == 1:
            asyncio.get_running_loop().call_later(self._random.random() * 0.1, self._give_up, line, purchase)

    def _pick(self) -> Purchase | None:
        if self._due:
            return self._due.popleft()
        if self._next == self._buyers:
            return None
        buyer = self._next
        self._next += 1
        self._open += 1
        return Purchase(buyer, b"%d-%d" % (self._first_user, buyer), self._habit(), first=True)

    def _habit(self) -> str:
        drawn = self._random.random()
        if drawn < self._eager:
            for edge, name in self._habits:
                if drawn < edge:
                    return name
        return ""

    def answered(self, line: Connection[Purchase], purchase: Purchase, answer: Answer) -> None:
        verdict, order = read(answer.status, answer.body)
        self._ledger.answer(purchase.key, purchase.buyer, verdict, order, answer, purchase.asked_at)
        if verdict is Verdict.UNAVAILABLE:
            self._try_later(purchase, "unavailable", _retry_after_s(answer, self._random))
        elif verdict is Verdict.IN_FLIGHT and purchase.habit != "second click":
            self._try_later(purchase, "in flight for good", 0.1 + self._random.random() * 0.2)
        else:
            self._finish(purchase, verdict)

    def lost(self, line: Connection[Purchase], purchase: Purchase | None, reason: str) -> None:
        self._parked.pop(line, None)
        self._on_lost(line)
        if purchase is None:
            return
        if reason == "gave up":
            self._ledger.gave_up += 1
            purchase.asked_at = 0.0
            if self._random.random() < 0.5:
                self._end(purchase, "abandoned")
            else:
                self._try_later(purchase, "gave up", 0.2 + self._random.random())
        else:
            self._ledger.error(reason)
            self._try_later(purchase, reason, 0.05 + self._random.random() * 0.2)

    def _give_up(self, line: Connection[Purchase], purchase: Purchase) -> None:
        if line.purchase is purchase:
            line.hang_up("gave up")

    def _try_later(self, purchase: Purchase, reason: str, wait_s: float) -> None:
        if purchase.tries >= TRIES:
            self._end(purchase, reason)
        else:
            asyncio.get_running_loop().call_later(wait_s, self._enqueue, purchase)

    def _enqueue(self, purchase: Purchase) -> None:
        self._due.append(purchase)
        self._send_parked()

    def _send_parked(self) -> None:
        while self._parked and (self._due or self._next < self._buyers):
            self.free(self._parked.popitem()[0])

    def _again(self, purchase: Purchase) -> None:
        """Queue another purchase of an active buyer; the next free connection takes it."""
        self._open += 1
        self._due.appendleft(purchase)
        if self._parked:
            asyncio.get_running_loop().call_soon(self._send_parked)

    def _finish(self, purchase: Purchase, verdict: Verdict) -> None:
        if purchase.habit == "retry":
            self._again(Purchase(purchase.buyer, purchase.key, "repeat", first=False))
        elif purchase.habit == "cheat" and verdict in (Verdict.SOLD, Verdict.ACCEPTED) and self._limit:
            bought = self._ledger.bought(purchase.buyer)
            if bought <= self._limit:
                self._again(Purchase(purchase.buyer, purchase.key + b"-%d" % bought, "cheat", first=False))
        self._end(purchase, verdict.value)

    def _end(self, purchase: Purchase, outcome: str) -> None:
        if purchase.first:
            self.served += 1
            self._ledger.outcome(outcome)
        self._open -= 1
        if self._open == 0 and self._next == self._buyers:
            self.done.set()


def _retry_after_s(answer: Answer, random: Random) -> float:
    """Return the server's Retry-After plus up to half of it, so that retries do not arrive all at once."""
    try:
        delay_s = float(answer.header("retry-after") or 1)
    except ValueError:
        delay_s = 1.0
    return min(delay_s, RETRY_AFTER_MAX_S) * (1 + random.random() / 2)
