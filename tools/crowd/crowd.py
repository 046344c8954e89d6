"""Simulates the buyers: their order, double clicks, hang-ups, repeats, and attempts to exceed the limit."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from time import monotonic

from tools.crowd.ledger import Ledger
from tools.crowd.verdict import Verdict, read
from tools.crowd.wire import Answer, Line

RETRY_AFTER_MAX_S = 5.0
TRIES = 40


@dataclass(frozen=True, slots=True, kw_only=True)
class Habits:
    """Shares of the buyers, 0 to 1; together at most 1. All others send one request and accept its answer."""

    retry: float = 0.05
    double_click: float = 0.03
    give_up: float = 0.02
    cheat: float = 0.01


class Errand:
    """
    One buyer's purchase under one Idempotency-Key; the errand marked ``first`` determines the buyer's outcome.

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
    Assigns the errands of ``buyers`` to free connections, in order; repeats go before new buyers.

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
        on_lost: Callable[[Line[Errand]], None],
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
        self._due: deque[Errand] = deque()
        self._parked: dict[Line[Errand], None] = {}
        self._open = 0
        self._started = False
        self.served = 0
        self.done = asyncio.Event()

    def start(self) -> None:
        """Start sending on the connections that wait."""
        self._started = True
        self._send_parked()

    def free(self, line: Line[Errand]) -> None:
        errand = self._pick() if self._started else None
        if errand is None:
            self._parked[line] = None
            return
        if errand.habit == "double-click" and not errand.sent:
            self._again(Errand(errand.buyer, errand.key, "second click", first=False))
        errand.sent = True
        errand.tries += 1
        if not errand.asked_at:
            errand.asked_at = monotonic()
        line.send(errand, self._request(self._first_user + errand.buyer, errand.key))
        if errand.habit == "give-up" and errand.tries == 1:
            asyncio.get_running_loop().call_later(self._random.random() * 0.1, self._give_up, line, errand)

    def _pick(self) -> Errand | None:
        if self._due:
            return self._due.popleft()
        if self._next == self._buyers:
            return None
        buyer = self._next
        self._next += 1
        self._open += 1
        return Errand(buyer, b"%d-%d" % (self._first_user, buyer), self._habit(), first=True)

    def _habit(self) -> str:
        drawn = self._random.random()
        if drawn < self._eager:
            for edge, name in self._habits:
                if drawn < edge:
                    return name
        return ""

    def answered(self, line: Line[Errand], errand: Errand, answer: Answer) -> None:
        verdict, order = read(answer.status, answer.body)
        self._ledger.answer(errand.key, errand.buyer, verdict, order, answer, errand.asked_at)
        if verdict is Verdict.UNAVAILABLE:
            self._try_later(errand, "unavailable", _retry_after_s(answer, self._random))
        elif verdict is Verdict.IN_FLIGHT and errand.habit != "second click":
            self._try_later(errand, "in flight for good", 0.1 + self._random.random() * 0.2)
        else:
            self._finish(errand, verdict)

    def lost(self, line: Line[Errand], errand: Errand | None, reason: str) -> None:
        self._parked.pop(line, None)
        self._on_lost(line)
        if errand is None:
            return
        if reason == "gave up":
            self._ledger.gave_up += 1
            errand.asked_at = 0.0
            if self._random.random() < 0.5:
                self._end(errand, "abandoned")
            else:
                self._try_later(errand, "gave up", 0.2 + self._random.random())
        else:
            self._ledger.error(reason)
            self._try_later(errand, reason, 0.05 + self._random.random() * 0.2)

    def _give_up(self, line: Line[Errand], errand: Errand) -> None:
        if line.errand is errand:
            line.hang_up("gave up")

    def _try_later(self, errand: Errand, reason: str, wait_s: float) -> None:
        if errand.tries >= TRIES:
            self._end(errand, reason)
        else:
            asyncio.get_running_loop().call_later(wait_s, self._enqueue, errand)

    def _enqueue(self, errand: Errand) -> None:
        self._due.append(errand)
        self._send_parked()

    def _send_parked(self) -> None:
        while self._parked and (self._due or self._next < self._buyers):
            self.free(self._parked.popitem()[0])

    def _again(self, errand: Errand) -> None:
        """Queue another errand of an active buyer; the next free connection takes it."""
        self._open += 1
        self._due.appendleft(errand)
        if self._parked:
            asyncio.get_running_loop().call_soon(self._send_parked)

    def _finish(self, errand: Errand, verdict: Verdict) -> None:
        if errand.habit == "retry":
            self._again(Errand(errand.buyer, errand.key, "repeat", first=False))
        elif errand.habit == "cheat" and verdict in (Verdict.SOLD, Verdict.ACCEPTED) and self._limit:
            bought = self._ledger.bought(errand.buyer)
            if bought <= self._limit:
                self._again(Errand(errand.buyer, errand.key + b"-%d" % bought, "cheat", first=False))
        self._end(errand, verdict.value)

    def _end(self, errand: Errand, outcome: str) -> None:
        if errand.first:
            self.served += 1
            self._ledger.outcome(outcome)
        self._open -= 1
        if self._open == 0 and self._next == self._buyers:
            self.done.set()


def _retry_after_s(answer: Answer, random: Random) -> float:
    """Return the server's Retry-After plus up to half of it, so that retries do not arrive all at once."""
    try:
        asked = float(answer.header("retry-after") or 1)
    except ValueError:
        asked = 1.0
    return min(asked, RETRY_AFTER_MAX_S) * (1 + random.random() / 2)
