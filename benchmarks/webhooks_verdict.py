"""Compares what an endpoint received with the messages and attempts in the database."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

MESSAGES = """
    SELECT m.message_id::text, m.subscription_id::text, m.lane, m.position, m.status, m.attempts, count(a.number),
        coalesce(max(a.number), 0), count(*) FILTER (WHERE a.number IS NOT NULL AND a.result IS NULL)
    FROM webhook_messages m LEFT JOIN webhook_delivery_attempts a USING (message_id) GROUP BY m.message_id
"""


@dataclass(frozen=True, slots=True)
class Message:
    """
    Holds a message and its attempts as the database has them.

    Args:
        attempts: as the message counts them.
        rows: of its attempts; ``last`` is their highest number.
        open: attempts without a result: they were in flight when their process was killed.
    """

    message_id: str
    subscription_id: str
    lane: str | None
    position: int
    status: str
    attempts: int
    rows: int
    last: int
    open: int


def judge(messages: Sequence[Message], got: Sequence[str], *, expected: int, open_max: int) -> dict[str, Any]:
    """
    Return counts, and ``problems``: those that must be 0 and are not.

    Args:
        got: the ids of the requests, in their order.
        expected: the number of messages.
        open_max: the most attempts that all kills together can have ended in flight.
    """
    requests = Counter(got)
    known = {one.message_id for one in messages}
    open_attempts = sum(one.open for one in messages)
    wrong = {
        "messages_missing": expected - len(messages),
        "not_delivered": sum(one.status != "DELIVERED" for one in messages),
        "lost": sum(one.message_id not in requests for one in messages),
        "unknown": sum(id not in known for id in requests),
        "attempts_missing": sum(_lacks_attempts(one, requests) for one in messages),
        "duplicates_without_a_kill": sum(requests[one.message_id] - 1 > one.open for one in messages),
        "out_of_order": out_of_order({one.message_id: one for one in messages}, got),
        "more_in_flight_than_allowed": max(0, open_attempts - open_max),
    }
    return {
        **wrong,
        "duplicates": len(got) - len(requests),
        "attempts_in_flight_at_kills": open_attempts,
        "problems": [f"{name}: {count}" for name, count in wrong.items() if count],
    }


def out_of_order(messages: Mapping[str, Message], got: Sequence[str]) -> int:
    """Count the requests that came after a later message of their lane."""
    found, last = 0, dict[tuple[str, str], int]()
    for id in got:
        one = messages.get(id)
        if one is None or one.lane is None:
            continue
        lane = one.subscription_id, one.lane
        found += one.position < last.get(lane, 0)
        last[lane] = max(one.position, last.get(lane, 0))
    return found


def _lacks_attempts(one: Message, requests: Mapping[str, int]) -> bool:
    """Return whether an attempt was counted or received and has no row; the numbers have no gap."""
    return not (one.attempts == one.rows == one.last >= max(1, requests.get(one.message_id, 0)))
