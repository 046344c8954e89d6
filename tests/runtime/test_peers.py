"""Wake-ups over HTTP are not awaited, few at once, and at least one arrives after every commit."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from typing import Any

import pytest

from pulsecart.runtime.bare_post import post_without_body
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.runtime.peers import UNANSWERED_MAX, PeerWaker
from pulsecart.runtime.settings import Settings
from pulsecart.serving.asgi import request_of, send_reply
from pulsecart.serving.http import Reply
from tests.edge.conftest import eventually, served


class Sleeper:
    """An operation that holds its wake-ups until the test lets it answer."""

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.statuses: list[int] = []
        self.held = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        request = await request_of(scope, receive, 1000)
        self.paths.append(f"{request.method} {request.path}")
        if not self.statuses:
            await self.held.wait()
        await send_reply(send, Reply(self.statuses.pop(0) if self.statuses else 204))


@pytest.fixture
async def sleeper(settings: Settings) -> AsyncIterator[tuple[Sleeper, Deps]]:
    app = Sleeper()
    async with served(app) as url:
        deps = open_deps(replace(settings, function_url=f"{url}/{{operation}}"))
        yield app, deps
        app.held.set()
        await close_deps(deps)


async def test_a_commit_that_emits_wakes_relay_and_does_not_wait(sleeper: tuple[Sleeper, Deps]) -> None:
    app, deps = sleeper
    deps.committed()
    deps.wake("expire")
    await eventually(lambda: sorted(app.paths) == ["POST /expire/poke", "POST /relay/poke"])


async def test_a_process_that_goes_wakes_its_own_operation_first(sleeper: tuple[Sleeper, Deps]) -> None:
    app, deps = sleeper
    assert deps.peers is not None
    await deps.peers.hand_over("project_orders")
    assert app.paths == ["POST /project-orders/poke"]


async def test_a_wake_up_that_failed_on_its_way_is_sent_again(sleeper: tuple[Sleeper, Deps]) -> None:
    app, deps = sleeper
    app.statuses = [503, 502, 204]
    deps.wake("settle")
    await eventually(lambda: app.paths == ["POST /settle/poke"] * 3)


async def test_what_was_wanted_leaves_even_when_the_process_ends(sleeper: tuple[Sleeper, Deps]) -> None:
    app, deps = sleeper
    app.held.set()
    deps.wake("settle")
    await close_deps(deps)
    assert app.paths == ["POST /settle/poke"]


Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def answered_by(talk: Talk) -> AsyncIterator[str]:
    """Serve one client and yield the URL; the context ends after the server has answered that client."""
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            await talk(reader, writer)
            writer.close()
            await writer.wait_closed()
        over.set()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as listening:
        yield f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}/poke"
        await over.wait()


def saying(answer: bytes) -> Talk:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in (answer[:9], answer[9:]):
            writer.write(part)
            await writer.drain()

    return talk


async def test_a_post_reads_the_status_of_an_answer_that_comes_in_pieces() -> None:
    async with answered_by(saying(b"HTTP/1.1 204 No Content\r\n\r\n")) as url:
        assert await post_without_body(url, 5.0) == 204


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 20", b"SSH-2.0-OpenSSH_9.2\r\n"])
async def test_a_post_that_no_whole_answer_came_to_may_not_have_arrived(answer: bytes) -> None:
    async with answered_by(saying(answer)) as url:
        with pytest.raises(ConnectionError):
            await post_without_body(url, 5.0)


async def test_a_post_that_is_held_has_arrived() -> None:
    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with answered_by(hold) as url:
        with pytest.raises(TimeoutError):
            await post_without_body(url, 0.05)


async def test_a_post_to_a_closed_port_is_refused(unused_tcp_port: int) -> None:
    with pytest.raises(ConnectionRefusedError):
        await post_without_body(f"http://127.0.0.1:{unused_tcp_port}/poke", 5.0)


class Line:
    """Counts the requests sent; the test determines when each is answered."""

    def __init__(self) -> None:
        self.left = 0
        self.commits = 0
        self.seen = 0
        self.answers: list[asyncio.Future[int]] = []

    async def post(self) -> int:
        self.left += 1
        self.seen = self.commits
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.answers.append(answer)
        return await answer


async def test_many_commits_cost_few_wakes_and_the_last_one_is_seen() -> None:
    line = Line()
    waker = PeerWaker(line.post, "relay")

    def commit() -> None:
        line.commits += 1
        waker.wake()

    for _ in range(1000):
        commit()
        await asyncio.sleep(0)
    await eventually(lambda: line.seen == 1000)
    assert line.left <= UNANSWERED_MAX
    while line.left < UNANSWERED_MAX:
        commit()
        await eventually(_sent(line, line.left))
    commit()  # all are unanswered: this one waits for an answer
    line.answers[0].set_result(204)
    await eventually(lambda: line.seen == line.commits)
    for answer in line.answers[1:]:
        answer.set_result(204)
    await waker.close()


def _sent(line: Line, before: int) -> Callable[[], bool]:
    return lambda: line.left > before
