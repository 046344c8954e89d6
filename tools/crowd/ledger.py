"""Records the load generator's answers and their times, and checks that the answers agree with each other."""

from array import array
from collections import Counter
from time import monotonic

from tools.crowd.verdict import Verdict
from tools.crowd.wire import Answer

BREACHES_KEPT = 50


class Ledger:
    """
    Attributes:
        orders: Idempotency-Key -> the order in its first answer.
        took: seconds per answer, by verdict.
        winners: seconds from a buyer's first request under a key to the answer that named its order, including busy
            answers and lost connections in between.
        breaches: sentences, one for each answer that contradicts an earlier one.
    """

    def __init__(self) -> None:
        self.orders: dict[bytes, str] = {}
        self.took: dict[Verdict, array[float]] = {verdict: array("d") for verdict in Verdict}
        self.winners: array[float] = array("d")
        self.statuses: Counter[int] = Counter()
        self.errors: Counter[str] = Counter()
        self.outcomes: Counter[str] = Counter()
        self.breaches: list[str] = []
        self.breach_count = 0
        self.agreeing_repeats = 0
        self.gave_up = 0
        self.started = monotonic()
        self.first_sold_out_s: float | None = None
        self.last_sold_s: float | None = None
        self._owner_of: dict[str, bytes] = {}
        self._known_at: dict[bytes, float] = {}
        self._bought: Counter[int] = Counter()

    def start(self) -> None:
        self.started = monotonic()

    def answer(self, key: bytes, buyer: int, verdict: Verdict, order: str, answer: Answer, sent_at: float) -> None:
        self.statuses[answer.status] += 1
        self.took[verdict].append(answer.took_s)
        if order:
            self._order(key, buyer, order, answer, sent_at)
        elif verdict is Verdict.SOLD_OUT or verdict is Verdict.LIMITED:
            if self.first_sold_out_s is None and verdict is Verdict.SOLD_OUT:
                self.first_sold_out_s = monotonic() - self.started
            if self._known_at.get(key, answer.sent_at) < answer.sent_at:
                self._breach(f"key {key.decode()} has order {self.orders[key]} and then got the answer {verdict.value}")
        elif verdict is Verdict.BROKEN or verdict is Verdict.REFUSED:
            self.error(f"status {answer.status}")

    def _order(self, key: bytes, buyer: int, order: str, answer: Answer, sent_at: float) -> None:
        known = self.orders.get(key)
        if known is None:
            owner = self._owner_of.setdefault(order, key)
            if owner != key:
                self._breach(f"order {order} was returned to key {owner.decode()} and to key {key.decode()}")
            self.orders[key] = order
            self._bought[buyer] += 1
            self._known_at[key] = answer.sent_at + answer.took_s
            self.winners.append(self._known_at[key] - sent_at)
            self.last_sold_s = self._known_at[key] - self.started
        elif known != order:
            self._breach(f"key {key.decode()} got the order {known} and then the order {order}")
        else:
            self.agreeing_repeats += 1

    def _breach(self, sentence: str) -> None:
        self.breach_count += 1
        if len(self.breaches) < BREACHES_KEPT:
            self.breaches.append(sentence)

    def error(self, kind: str) -> None:
        """Count an answer that never arrived or is unusable."""
        self.errors[kind] += 1

    def outcome(self, outcome: str) -> None:
        """Count a buyer's final outcome; each buyer has exactly one."""
        self.outcomes[outcome] += 1

    def bought(self, buyer: int) -> int:
        """Return the number of orders of this buyer, each under its own key."""
        return self._bought[buyer]

    def buyer_of(self, order: str) -> int | None:
        """Return the buyer who first received the order."""
        key = self._owner_of.get(order)
        return None if key is None else int(key.split(b"-")[1])

    def orders_of_buyers_with_more_than(self, n: int) -> set[str]:
        return {order for order in self._owner_of if self._bought[self.buyer_of(order) or 0] > n}

    @property
    def answers(self) -> int:
        return sum(map(len, self.took.values()))


def percentiles_ms(*samples: "array[float]") -> dict[str, float]:
    """Return count, p50, p95, p99 and max of all samples together, in milliseconds; zeros without samples."""
    ranked = sorted(t for sample in samples for t in sample)
    n = len(ranked)
    at = {"p50": n // 2, "p95": n * 95 // 100, "p99": n * 99 // 100, "max": n - 1}
    return {"count": n, **{name: ranked[i] * 1000 if n else 0.0 for name, i in at.items()}}
