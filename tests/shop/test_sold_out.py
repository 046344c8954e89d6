"""Sold out from memory: at most 100 ms old, never to the holder of a claim, never while units are left."""

import threading
import time
from collections.abc import Callable

import pytest
from redis import Redis

from pulsecart.runtime.deps import Deps
from pulsecart.shop.inventory.gate.gate import ClaimRequest, Gate
from pulsecart.shop.inventory.sold_out import FORGET_AFTER_S, MAX_AGE_S, SoldOut
from tests.client import until


class Turned:
    """Monotonic seconds that a test advances."""

    def __init__(self) -> None:
        self.at = 1000.0

    def __call__(self) -> float:
        return self.at


class Memory(SoldOut):
    """A memory whose thread can be delayed, as on a busy machine."""

    def __init__(self, redis_url: str, clock: Callable[[], float]) -> None:
        super().__init__(redis_url, clock)
        self.running = threading.Event()
        self.running.set()
        self.looks = 0

    def _refresh(self, client: Redis, product_id: str) -> None:
        self.running.wait()
        self.looks += 1
        super()._refresh(client, product_id)

    async def no(self, buyer: str = "anyone", qty: int = 1) -> bool:
        return self.says_no("1", qty, buyer)

    async def maybe(self, buyer: str = "anyone") -> bool:
        return not self.says_no("1", 1, buyer)

    async def looked(self, times: int) -> None:
        """Wait until the thread has read the gate this many times more."""
        wanted = self.looks + times

        async def done() -> bool:
            return self.looks >= wanted

        await until(done)


@pytest.fixture
async def gate(deps: Deps) -> Gate:
    """Provide the gate of product 1 with one unit, which buyer ``won`` has."""
    gate = Gate(deps.redis, 60)
    await gate.load("1", epoch=1, left=1, limit=0, buyers=[], claims=[])
    await gate.claim([ClaimRequest("c1", "won", "", (("1", 1),))])
    return gate


@pytest.fixture
def clock() -> Turned:
    return Turned()


@pytest.fixture
async def memory(gate: Gate, clock: Turned, redis_url: str) -> Memory:
    """Provide a memory in which product 1 is sold out."""
    memory = Memory(redis_url, clock)
    memory.remember("1")
    await until(memory.no)
    return memory


async def test_what_was_never_asked_is_not_known(gate: Gate, redis_url: str) -> None:
    assert not SoldOut(redis_url).says_no("1", 1, "anyone")


async def test_a_copy_that_cannot_be_kept_fresh_says_nothing_after_100_ms(memory: Memory, clock: Turned) -> None:
    memory.running.clear()
    clock.at += MAX_AGE_S - 0.001
    assert await memory.no()
    clock.at += 0.002
    assert await memory.maybe()
    memory.running.set()
    await until(memory.no)


async def test_who_holds_a_claim_is_never_answered_no(memory: Memory) -> None:
    assert await memory.maybe("won")
    assert await memory.no("other")


async def test_a_unit_that_came_back_is_seen_within_100_ms(gate: Gate, redis_url: str) -> None:
    memory = Memory(redis_url, time.monotonic)
    waited = []
    for round in range(5):
        memory.remember("1")
        await until(memory.no)
        await gate.release([("1", f"c{round + 1}")])
        back = time.monotonic()
        await until(memory.maybe)
        waited.append(time.monotonic() - back)
        await gate.claim([ClaimRequest(f"c{round + 2}", "won", "", (("1", 1),))])
    assert sorted(waited)[2] <= MAX_AGE_S, waited  # this machine may be busy with others


async def test_while_units_are_left_nothing_is_remembered(memory: Memory, gate: Gate) -> None:
    await gate.release([("1", "c1")])
    await until(memory.maybe)
    await gate.claim([ClaimRequest("c2", "new", "", (("1", 1),))])
    assert await memory.maybe()
    memory.remember("1")
    await until(memory.no)


async def test_a_winner_since_the_last_copy_is_in_the_next_one(memory: Memory, gate: Gate) -> None:
    await gate.release([("1", "c1")])
    await gate.claim([ClaimRequest("c2", "new", "", (("1", 1),))])
    memory.remember("1")
    await until(lambda: memory.maybe("new"))
    await until(memory.no)
    assert await memory.maybe("new")


async def test_with_too_many_buyers_to_copy_memory_never_says_no(
    gate: Gate, clock: Turned, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulsecart.shop.inventory.sold_out.BUYERS_MAX", 0)
    memory = Memory(redis_url, clock)
    memory.remember("1")
    await memory.looked(2)
    assert await memory.maybe()


async def test_a_gate_that_was_lost_or_is_away_is_not_remembered(memory: Memory, deps: Deps) -> None:
    await deps.redis.flushall()
    await until(memory.maybe)
    memory.remember("1")
    await memory.looked(1)
    assert await memory.maybe()


async def test_when_no_one_asks_any_more_the_thread_goes_home(memory: Memory, clock: Turned) -> None:
    clock.at += FORGET_AFTER_S + 0.001

    async def gone() -> bool:
        return memory._thread is None

    await until(gone)
    assert await memory.maybe()
    memory.remember("1")
    await until(memory.no)


@pytest.mark.parametrize("left", ["", "many", "1e3"])
async def test_a_gate_that_cannot_be_read_costs_its_own_product_only(
    memory: Memory, gate: Gate, deps: Deps, left: str, caplog: pytest.LogCaptureFixture
) -> None:
    await gate.load("2", epoch=1, left=0, limit=0, buyers=[], claims=[])
    memory.remember("2")
    await deps.redis.hset("{gate}:p:1", "left", left)
    await until(memory.maybe)
    await memory.looked(2)
    assert memory.says_no("2", 1, "anyone")
    assert "the sold-out state of product 1 could not be read into memory" in caplog.text
    await deps.redis.hset("{gate}:p:1", "left", "0")
    memory.remember("1")
    await until(memory.no)
