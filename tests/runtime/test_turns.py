"""One turn of the event loop begins a bounded number of requests, so that what was begun gets its turns."""

import asyncio
import time
from array import array
from collections.abc import Coroutine, MutableMapping
from typing import Any

import pytest

from runtime.asgi import Receive, Scope, Send, request_of
from runtime.turns import REQUESTS_PER_TURN, Turns
from tests.client import Client

ANSWER_S = 0.0003  # of computing, as a "sold out" costs on a slow machine
CONNECTIONS = 400


async def receive() -> MutableMapping[str, Any]:
    return {"type": "http.request"}


async def send(message: MutableMapping[str, Any]) -> None: ...


class Answering:
    """An application that answers at once and remembers whom, in order."""

    def __init__(self) -> None:
        self.answered: list[int] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.answered.append(scope["n"])


def request(app: Turns, n: int) -> Coroutine[Any, Any, None]:
    return app({"n": n}, receive, send)


async def test_what_was_begun_gets_a_turn_after_each_few_requests() -> None:
    """An order takes some 25 turns: none of them may wait until a whole crowd has been answered."""
    app = Answering()
    turns = Turns(app)
    crowd = [asyncio.create_task(request(turns, n)) for n in range(5000)]
    for turn in range(1, 20):
        await asyncio.sleep(0)
        assert len(app.answered) <= (turn + 1) * REQUESTS_PER_TURN
    await asyncio.gather(*crowd)
    assert len(app.answered) == 5000


async def test_requests_are_begun_in_the_order_in_which_they_came() -> None:
    app = Answering()
    turns = Turns(app, size=3)
    await asyncio.gather(*(request(turns, n) for n in range(100)))
    assert app.answered == list(range(100))


async def test_a_request_that_comes_alone_waits_for_no_turn() -> None:
    app = Answering()
    turns = Turns(app, size=1)
    for n in range(3):
        with pytest.raises(StopIteration):  # it ended in its first step
            request(turns, n).send(None)
        assert app.answered[-1] == n
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_a_request_that_ended_while_it_waited_takes_no_place() -> None:
    app = Answering()
    turns = Turns(app, size=2)
    tasks = [asyncio.create_task(request(turns, n)) for n in range(9)]
    await asyncio.sleep(0)
    for waiting in tasks[4:7]:
        waiting.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert app.answered == [0, 1, 2, 3, 7, 8]


async def test_an_application_that_breaks_costs_its_own_request_only() -> None:
    async def breaking(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["n"] % 2:
            raise RuntimeError("odd")

    turns = Turns(breaking, size=2)
    ended = await asyncio.gather(*(request(turns, n) for n in range(10)), return_exceptions=True)
    assert [type(result) for result in ended] == [type(None), RuntimeError] * 5


async def test_waiting_for_a_turn_is_part_of_what_the_caller_waits() -> None:
    left: list[float] = []

    async def slow(scope: Scope, receive: Receive, send: Send) -> None:
        request = await request_of(scope, receive, 100)
        left.append(request.within(30.0))
        time.sleep(0.02)  # noqa: ASYNC251  # it stands for computing

    asked = {"method": "GET", "path": "/", "query_string": b"", "headers": [(b"request-timeout", b"0.05")]}
    turns = Turns(slow, size=1)
    await asyncio.gather(*(turns(dict(asked), receive, send) for _ in range(6)))
    assert left[0] == 0.05
    assert left == sorted(left, reverse=True)
    assert left[-1] == 0.0


class Crowd:
    """CONNECTIONS that ask again as soon as they are answered, each answer ANSWER_S of computing; and some winners."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.took: array[float] = array("d")
        self.ended = False
        self.turns = Turns(self._answer)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if "user" in scope:
            assert (await self.client.buy(user=scope["user"])).status == 200
        until = time.thread_time() + ANSWER_S
        while time.thread_time() < until:
            pass

    async def ask(self, scope: Scope) -> float:
        """Seconds until the answer."""
        began = time.monotonic()
        await asyncio.create_task(self.turns(scope, receive, send))
        return time.monotonic() - began

    async def keep_asking(self) -> None:
        while not self.ended:
            self.took.append(await self.ask({}))


async def test_a_group_commit_ends_while_the_loop_is_busy_answering_others(client: Client) -> None:
    """A winner may wait four times as long as half of all answers take: its turn, the gate, PostgreSQL, its answer."""
    crowd = Crowd(client)
    await crowd.ask({"user": 0})  # the gate is made, connections are open
    asking = [asyncio.create_task(crowd.keep_asking()) for _ in range(CONNECTIONS)]
    waits = [await crowd.ask({"user": user}) for user in range(1, 4)]
    crowd.ended = True
    await asyncio.gather(*asking)
    half = sorted(crowd.took)[len(crowd.took) // 2]
    assert sorted(waits)[len(waits) // 2] <= 4 * half, (waits, half)
