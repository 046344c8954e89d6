"""Limits connections, per address and in total; survives the lack of file descriptors."""

import asyncio
import json
import logging
import os
import resource
import signal
import subprocess
import sys
from typing import Any

import pytest

from pulsecart.admin.which_shop import ROOT
from pulsecart.runtime.settings import Settings
from pulsecart.serving.server import open_files
from pulsecart.serving.server.bounds import Bounds, bounds_of
from tests.edge.conftest import eventually
from tests.serving.raw import HOST, WAIT_S, Echo, echoing, next_answer

GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
EVENTS = b"GET / HTTP/1.1\r\nAccept: text/event-stream\r\n" + HOST + b"\r\n"
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def opened(echo: Echo, count: int, *, speaking: bool) -> list[Pair]:
    pairs = [await echo.connect() for _ in range(count)]
    for reader, writer in pairs if speaking else ():
        writer.write(GET)
        assert (await next_answer(reader)).status == 200
    await eventually(lambda: len(echo.guard) >= count)
    return pairs


async def closed(pairs: list[Pair]) -> None:
    for _, writer in pairs:
        writer.close()
    await asyncio.gather(*(writer.wait_closed() for _, writer in pairs), return_exceptions=True)


async def test_one_address_has_a_share_and_is_informed() -> None:
    bounds = Bounds(connections_max=20, connections_per_address=0.25, trusted_proxies="")
    async with echoing(bounds) as echo:
        pairs = await opened(echo, 5, speaking=True)
        refused = await echo.answer(GET)
        assert (refused.status, refused.problem, refused.headers["retry-after"]) == (503, "too-many-connections", "1")
        for reader, writer in pairs:
            writer.write(GET)
            assert (await next_answer(reader)).status == 200
        await closed(pairs)
        await eventually(lambda: len(echo.guard) == 0)
        assert (await echo.answer(GET)).status == 200


async def test_an_event_source_for_which_there_is_no_place_comes_again() -> None:
    async with echoing(Bounds(connections_max=20, connections_per_address=0.1, trusted_proxies="")) as echo:
        pairs = await opened(echo, 2, speaking=True)
        later = await echo.answer(EVENTS)
        assert (later.status, later.headers["content-type"]) == (200, "text/event-stream")
        assert later.body.startswith(b"retry: ")
        await closed(pairs)


async def test_a_trusted_proxy_may_have_all_of_them() -> None:
    async with echoing(Bounds(connections_max=20, connections_per_address=0.1)) as echo:
        await closed(await opened(echo, 15, speaking=True))


async def test_where_all_are_taken_the_oldest_that_said_nothing_makes_room() -> None:
    async with echoing(Bounds(connections_max=10)) as echo:
        speaking = await opened(echo, 4, speaking=True)
        silent = await opened(echo, 6, speaking=False)
        assert (await echo.answer(GET)).status == 200
        async with asyncio.timeout(WAIT_S):
            with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
                await silent[0][0].readexactly(1)
        for reader, writer in speaking:
            writer.write(GET)
            assert (await next_answer(reader)).status == 200
        await closed([*speaking, *silent])


async def test_where_all_are_busy_one_more_is_503_and_idle_ones_are_closed_early(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    bounds = Bounds(connections_max=3, head_timeout_s=0.4)
    async with echoing(bounds) as echo:
        pairs = await opened(echo, 3, speaking=True)
        assert (await echo.answer(GET)).status == 503
        await eventually(lambda: len(echo.guard) == 0)
        assert (await echo.answer(GET)).status == 200
        await closed(pairs)
        assert [
            record.levelname
            for record in caplog.records
            if "this process has the maximum number of connections" in record.message
        ]


async def test_a_crowd_that_says_nothing_does_not_shut_the_shop() -> None:
    async with echoing(Bounds(connections_max=50)) as echo:
        crowd = await opened(echo, 50, speaking=False)
        for _ in range(60):
            crowd.append(await echo.connect())
            assert (await echo.answer(GET)).status == 200
        assert len(echo.guard) <= 51
        await closed(crowd)


SERVER = """
import asyncio, logging, resource, socket, sys, uvloop
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), int(sys.argv[3])))
from pulsecart.processes.function import accepting, server
from pulsecart.serving.server.bounds import Bounds
logging.basicConfig(level="INFO", stream=sys.stderr)
async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body"})
async def main():
    with socket.socket(fileno=int(sys.argv[1])) as listening:
        await server(app, bounds=Bounds(connections_max=int(sys.argv[4]))).serve(sockets=accepting(listening))
uvloop.run(main())
"""


class LowOnFiles:
    """A server in a process that may open few files."""

    def __init__(self, listening: Any, log: Any, soft: int, hard: int, connections_max: int = 0) -> None:
        numbers = [str(number) for number in (listening.fileno(), soft, hard, connections_max)]
        command = [sys.executable, "-c", SERVER, *numbers]
        self.process = subprocess.Popen(
            command, pass_fds=[listening.fileno()], cwd=ROOT, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=log
        )

    def __enter__(self) -> "LowOnFiles":
        return self

    def __exit__(self, *_: object) -> None:
        self.process.terminate()
        self.process.wait()


async def answered(port: int) -> int:
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        async with asyncio.timeout(WAIT_S):
            status = int((await reader.readline())[9:12] or 0)
        writer.close()
    except ConnectionError:
        return 0
    return status


async def recovered(port: int) -> bool:
    return await answered(port) == 204


async def test_where_few_files_are_allowed_the_log_says_so_and_a_silent_crowd_is_survived(
    tmp_path: Any, listening: Any
) -> None:
    with (tmp_path / "log").open("wb") as log, LowOnFiles(listening, log, 128, 128) as server:
        port = listening.getsockname()[1]
        assert await answered(port) == 204
        server.process.send_signal(signal.SIGSTOP)  # so that all of them arrive in one turn of its loop
        crowd = [await asyncio.open_connection("127.0.0.1", port) for _ in range(200)]
        server.process.send_signal(signal.SIGCONT)
        assert [await answered(port) for _ in range(5)] == [204] * 5
        await closed(crowd)
        assert "only 128 open files are allowed" in (tmp_path / "log").read_text()


async def test_where_files_run_out_all_the_same_it_is_said_and_the_server_lives_on(
    tmp_path: Any, listening: Any
) -> None:
    """The setting allows more connections than there are files."""
    with (tmp_path / "log").open("wb") as log, LowOnFiles(listening, log, 64, 64, connections_max=1000) as server:
        port = listening.getsockname()[1]
        assert await answered(port) == 204
        crowd = [await asyncio.open_connection("127.0.0.1", port) for _ in range(300)]
        await eventually(lambda: "no file could be opened" in (tmp_path / "log").read_text(), WAIT_S)
        await closed(crowd)
        await eventually(lambda: recovered(port), WAIT_S)
        assert server.process.poll() is None


async def test_a_server_takes_as_many_files_as_it_is_allowed(tmp_path: Any, listening: Any) -> None:
    hard = min(resource.getrlimit(resource.RLIMIT_NOFILE)[1], 5000)
    with (tmp_path / "log").open("wb") as log, LowOnFiles(listening, log, 128, hard) as server:
        assert await answered(listening.getsockname()[1]) == 204
        if sys.platform == "linux":
            assert resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE) == (hard, hard)
        assert ("open files are allowed" in (tmp_path / "log").read_text()) == (hard < open_files.LOW)


async def test_what_was_refused_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    from pulsecart.runtime.telemetry import metrics

    async with echoing() as echo:
        await echo.answers(b"GET / HTTP/1.1\r\n\r\n")
    shown = metrics.exposition()[0].decode()
    assert 'http_connections_ended_total{reason="host-missing"}' in shown
    assert json.dumps("host-missing") in shown


@pytest.fixture
def listening() -> Any:
    import socket

    with socket.create_server(("127.0.0.1", 0), backlog=512) as made:
        yield made


def test_bounds_without_settings_are_those_of_settings_that_say_nothing() -> None:
    assert Bounds() == bounds_of(Settings(database_url="", redis_url=""))
