"""webhook_deliver loses nothing while it is killed again and again and its subscriptions are paused and resumed."""

from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.webhooks_soak import Size, soak
from benchmarks.webhooks_verdict import Message, judge
from pulsecart.runtime.deps import close_deps, open_deps
from pulsecart.runtime.settings import Settings

# The long forms: python -m benchmarks.webhooks_soak
SIZE = Size(messages=2400, kills=4, subscriptions=8, claim_s=8.0, within_s=120.0)


@pytest.mark.timeout(180)
async def test_no_message_is_lost_while_processes_are_killed_and_subscriptions_paused(
    settings: Settings, tmp_path: Path
) -> None:
    deps = open_deps(replace(settings, outgoing_allow="127.0.0.1"))
    try:
        found = await soak(deps, SIZE, tmp_path / "log")
    finally:
        await close_deps(deps)
    assert found["problems"] == [], f"{found}\n{(tmp_path / 'log').read_text()}"
    assert (found["messages"], found["kills"]) == (2400, 4)
    assert found["stored_while_paused"] > 0
    assert found["duplicates"] <= found["attempts_in_flight_at_kills"]


def message(id: str, position: int, *, lane: str | None = "o-1", status: str = "DELIVERED", **given: int) -> Message:
    counts = {"attempts": 1, "rows": 1, "last": 1, "open": 0} | given
    return Message(id, "s-1", lane, position, status, **counts)


def problems(messages: list[Message], got: list[str], expected: int = 2, open_max: int = 10) -> list[str]:
    found: list[str] = judge(messages, got, expected=expected, open_max=open_max)["problems"]
    return found


REPEATED = message("a", 1, attempts=2, rows=2, last=2, open=1)
LATER = message("b", 2)


def test_a_request_that_was_in_flight_at_a_kill_may_come_twice() -> None:
    assert problems([REPEATED, LATER], ["a", "a", "b"]) == []
    assert problems([REPEATED, LATER], ["a", "b"]) == []


@pytest.mark.parametrize(
    ("messages", "got", "problem"),
    [
        ([message("a", 1), LATER], ["a"], "lost: 1"),
        ([LATER], ["b"], "messages_missing: 1"),
        ([message("a", 1, status="PENDING"), LATER], ["a", "b"], "not_delivered: 1"),
        ([message("a", 1, attempts=2, rows=2, last=2), LATER], ["a", "a", "b"], "duplicates_without_a_kill: 1"),
        ([REPEATED, LATER], ["a", "b", "a"], "out_of_order: 1"),
        ([message("a", 1, attempts=2), LATER], ["a", "b"], "attempts_missing: 1"),
        ([message("a", 1, attempts=2, rows=2, last=3), LATER], ["a", "b"], "attempts_missing: 1"),
        ([message("a", 1, open=1), LATER], ["a", "a", "b"], "attempts_missing: 1"),
        ([message("a", 1), LATER], ["a", "b", "c"], "unknown: 1"),
    ],
)
def test_a_loss_is_found(messages: list[Message], got: list[str], problem: str) -> None:
    assert problems(messages, got) == [problem]


def test_more_attempts_in_flight_than_the_subscriptions_allow_are_found() -> None:
    assert problems([REPEATED, LATER], ["a", "b"], open_max=0) == ["more_in_flight_than_allowed: 1"]


def test_lanes_do_not_wait_for_each_other() -> None:
    assert problems([message("a", 1, lane="o-1"), message("b", 2, lane="o-2")], ["b", "a"]) == []
    assert problems([message("a", 1, lane=None), message("b", 2, lane=None)], ["b", "a"]) == []
