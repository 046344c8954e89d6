"""One iteration of the event loop starts a bounded number of requests, so that started ones can continue."""

import asyncio
import time
from array import array
from collections import Counter
from collections.abc import Callable
from functools import partial

import pytest

from pulsecart.serving.asgi import Receive, Scope, Send, request_of, send_reply
from pulsecart.serving.http import Reply
from pulsecart.serving.server.start_limit import STARTS_PER_ITERATION, StartLimit
from tests.client import Client
from tests.edge.conftest import eventually
from tests.serving.raw import HOST, Echo, echoing, next_answer

ANSWER_S = 0.0003  # of computing, as a "sold out" costs on a slow machine
CONNECTIONS = 400


GET = b"GET / HTTP/1.1\r\nRequest-Timeout: 5\r\n" + HOST + b"\r\n"


async def in_turn(turns: StartLimit) -> None:
    """Return in the loop iteration in which a request that arrives now starts."""
    loop = asyncio.get_running_loop()
    if not turns.take(loop):
        begun = loop.create_future()
        turns.wait(lambda: begun.set_result(None))
        await begun


class Counted:
    """An application that counts the iterations of its loop, and records in which each request started."""

    def __init__(self) -> None:
        self.turn = 0
        self.begun_in: list[int] = []
        self.left_s: list[float] = []
        self.answered = 0
        asyncio.get_running_loop().call_soon(self._count)

    def _count(self) -> None:
        self.turn += 1
        asyncio.get_running_loop().call_soon(self._count)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.begun_in.append(self.turn)
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        request = await request_of(scope, receive, 100)
        self.left_s.append(request.within(30.0))
        time.sleep(0.0005)  # noqa: ASYNC251  # it stands for computing
        await send_reply(send, Reply(200))
        self.answered += 1


async def crowd(echo: Echo, sent: bytes, count: int) -> list[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Open connections whose requests arrive at once."""
    pairs = [await echo.connect() for _ in range(count)]
    await eventually(lambda: len(echo.guard) == count)
    for _, writer in pairs:
        writer.write(sent)
    return pairs


def most_in_a_turn(counted: Counted) -> int:
    return max(Counter(counted.begun_in).values())


async def test_a_turn_begins_no_more_than_a_few_requests_of_a_crowd() -> None:
    """An order takes some 25 iterations: none of them may wait until all other requests have been answered."""
    counted = Counted()
    async with echoing(handler=counted) as echo:
        pairs = await crowd(echo, GET, CONNECTIONS)
        for reader, writer in pairs:
            assert (await next_answer(reader)).status == 200
            writer.close()
    assert len(counted.begun_in) == CONNECTIONS
    assert most_in_a_turn(counted) <= STARTS_PER_ITERATION


async def test_websockets_take_their_turns_too() -> None:
    counted = Counted()
    asking = (
        b"GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        b"Sec-WebSocket-Key: AQIDBAUGBwgJCgsMDQ4PEA==\r\n" + HOST + b"\r\n"
    )
    async with echoing(handler=counted) as echo:
        pairs = await crowd(echo, asking, 3 * STARTS_PER_ITERATION)
        for reader, writer in pairs:
            assert (await next_answer(reader)).status == 403
            writer.close()
    assert len(counted.begun_in) == 3 * STARTS_PER_ITERATION
    assert most_in_a_turn(counted) <= STARTS_PER_ITERATION


async def test_waiting_for_a_turn_is_part_of_what_the_caller_waits() -> None:
    counted = Counted()
    async with echoing(handler=counted) as echo:
        for reader, writer in await crowd(echo, GET, CONNECTIONS):
            await next_answer(reader)
            writer.close()
    assert counted.left_s[0] == 5.0
    assert min(counted.left_s) < 4.99


async def test_a_client_that_left_while_it_waited_is_not_served(monkeypatch: pytest.MonkeyPatch) -> None:
    counted = Counted()
    waiting: list[Callable[[], None]] = []
    async with echoing(handler=counted) as echo:
        with monkeypatch.context() as patched:
            patched.setattr(StartLimit, "take", lambda *_: False)
            patched.setattr(StartLimit, "wait", lambda _, begin: waiting.append(begin))
            pairs = await crowd(echo, GET, 2)
            await eventually(lambda: len(waiting) == 2)
        pairs[0][1].close()
        await eventually(lambda: len(echo.guard) == 1)
        for begin in waiting:
            begin()
        assert (await next_answer(pairs[1][0])).status == 200
        assert counted.answered == len(counted.begun_in) == 1
        pairs[1][1].close()


async def test_requests_are_begun_in_the_order_in_which_they_came() -> None:
    turns, begun = StartLimit(size=3), []

    async def request(n: int) -> None:
        await in_turn(turns)
        begun.append(n)

    await asyncio.gather(*(request(n) for n in range(100)))
    assert begun == list(range(100))


async def test_a_request_that_comes_alone_waits_for_no_turn() -> None:
    turns, loop = StartLimit(size=1), asyncio.get_running_loop()
    for _ in range(3):
        assert turns.take(loop)
        assert not turns.take(loop)
        await asyncio.sleep(0)
        await asyncio.sleep(0)


async def test_one_that_cannot_begin_keeps_no_one_else_from_it() -> None:
    turns, loop, begun = StartLimit(size=2), asyncio.get_running_loop(), []
    raised: list[object] = []
    loop.set_exception_handler(lambda _, context: raised.append(context["exception"]))
    while turns.take(loop):
        pass

    def begin(n: int) -> None:
        if n == 1:
            raise RuntimeError("odd")
        begun.append(n)

    for n in range(7):
        turns.wait(partial(begin, n))
    await eventually(lambda: len(begun) == 6)
    assert begun == [0, 2, 3, 4, 5, 6]
    assert [str(error) for error in raised] == ["odd"]


class Crowd:
    """CONNECTIONS that ask again after each answer, which costs ANSWER_S of computing; and some winners."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.took: array[float] = array("d")
        self.ended = False
        self.turns = StartLimit()

    async def ask(self, user: int | None = None) -> float:
        """Return the seconds until the answer; with ``user`` the request is a purchase."""
        began = time.monotonic()
        await asyncio.create_task(self._answer(user))
        return time.monotonic() - began

    async def _answer(self, user: int | None) -> None:
        await in_turn(self.turns)
        if user is not None:
            assert (await self.client.buy(user=user)).status == 200
        until = time.thread_time() + ANSWER_S
        while time.thread_time() < until:
            pass

    async def keep_asking(self) -> None:
        while not self.ended:
            self.took.append(await self.ask())


async def test_a_group_commit_ends_while_the_loop_is_busy_answering_others(client: Client) -> None:
    """A winner waits at most four times the median of all answers: for its start, the gate, PostgreSQL, its answer."""
    crowd = Crowd(client)
    await crowd.ask(0)  # the gate is made, connections are open
    asking = [asyncio.create_task(crowd.keep_asking()) for _ in range(CONNECTIONS)]
    waits = [await crowd.ask(user) for user in range(1, 4)]
    crowd.ended = True
    await asyncio.gather(*asking)
    half = sorted(crowd.took)[len(crowd.took) // 2]
    assert sorted(waits)[len(waits) // 2] <= 4 * half, (waits, half)
