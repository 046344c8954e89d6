"""The outgoing client against receivers that behave well, badly and maliciously, on asyncio's loop and on uvloop."""

import asyncio
import gzip
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from pulsecart.bridges.outgoing_http.client import OutgoingHttp, outgoing_http
from pulsecart.bridges.outgoing_http.results import Answer, Failure, Limits, NotAllowed
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.runtime.outgoing_allow import Allowed, allowed_of
from pulsecart.runtime.settings import Settings
from tests import receivers as r
from tests.listening import listen
from tests.receivers import Receiver, receiving

HERE = allowed_of("127.0.0.1, localhost")
SHORT_S = 0.4
SOON_S = 10.0  # far below what the receivers would take, far above SHORT_S on a busy machine
LIMITS = Limits(total_s=SOON_S, connect_s=SOON_S)
OK = b"HTTP/1.1 200 OK\r\n"
EMPTY = OK + b"content-length: 0\r\n\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"
Run = Callable[[Coroutine[Any, Any, None]], None]


@pytest.fixture(params=[asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Run:
    runner: Run = request.param
    return runner


@asynccontextmanager
async def calling(allow: Allowed = HERE, limits: Limits = LIMITS, **given: Any) -> AsyncIterator[OutgoingHttp]:
    client = OutgoingHttp(allow, limits, **given)
    try:
        yield client
    finally:
        await client.close()


async def sent(receiver: Receiver, *, total_s: float | None = None, limits: Limits = LIMITS) -> Answer:
    """One call by a client of its own, which is closed."""
    async with calling(limits=limits) as client:
        return await client.send("POST", receiver.url(), [("webhook-id", "m-1")], b'{"a":1}', total_s=total_s)


def is_cut(answer: Answer) -> bool:
    return answer.cut and answer.status == 200


# (name, behaviour, total_s, expected): a Failure's reason, or what is true of the Answer.
BEHAVIOURS: list[tuple[str, r.Behaviour, float | None, str | Callable[[Answer], bool]]] = [
    ("answers", r.answers(201, [("X-A", "1")], b"done"), None, lambda a: a.body == b"done" and not a.cut),
    ("refuses", r.answers(410), None, lambda a: a.status == 410),
    ("busy", r.answers(503, [("retry-after", "7")]), None, lambda a: ("retry-after", "7") in a.headers),
    ("no content", r.raw(b"HTTP/1.1 204 No Content\r\n\r\n"), None, lambda a: (a.status, a.body) == (204, b"")),
    ("until close", r.closes(OK + b"\r\nabc"), None, lambda a: a.body == b"abc" and not a.cut),
    (
        "early hint",
        r.raw(b"HTTP/1.1 103 Early Hints\r\n\r\n" + OK + b"content-length: 0\r\n\r\n"),
        None,
        lambda a: True,
    ),
    ("hangs", r.hangs(), SHORT_S, "timeout"),
    ("hangs in its head", r.hangs(OK), SHORT_S, "timeout"),
    (
        "hangs in its body",
        r.hangs(OK + b"content-length: 5\r\n\r\nab"),
        SHORT_S,
        lambda a: is_cut(a) and a.body == b"ab",
    ),
    ("trickles its head", r.trickles_head(), SHORT_S, "timeout"),
    ("trickles its body", r.trickles_body(0.001), SHORT_S, is_cut),
    ("resets", r.resets(), None, "reset"),
    ("closes", r.closes(), None, "reset"),
    ("closes in its head", r.closes(b"HTTP/1.1 200 OK\r\nx: "), None, "reset"),
    ("closes in its body", r.closes(OK + b"content-length: 9\r\n\r\nab"), None, is_cut),
    ("redirects", r.redirects("http://127.0.0.1:1/"), None, lambda a: a.status == 307),
    ("huge body", r.huge_body(), None, lambda a: is_cut(a) and len(a.body) == LIMITS.body_bytes),
    ("endless body", r.endless_body(), None, lambda a: is_cut(a) and len(a.body) == LIMITS.body_bytes),
    ("tiny chunks", r.tiny_chunks(), None, lambda a: is_cut(a) and len(a.body) == LIMITS.body_bytes),
    ("endless chunk extension", r.long_chunk_extension(), SHORT_S, is_cut),
    ("endless trailers", r.endless_trailers(), SHORT_S, is_cut),
    ("gzip bomb", r.gzip_bomb(), None, lambda a: is_cut(a) and gzip.compress(bytes(99))[:2] == a.body[:2]),
    ("garbage", r.raw(b"\x00\x01garbage\r\n\r\n"), None, "protocol"),
    ("another protocol", r.raw(b"220 smtp.example ESMTP\r\n"), None, "protocol"),
    ("bad status line", r.raw(b"HTTP/1.1 abc OK\r\n\r\n"), None, "protocol"),
    ("bad header", r.raw(OK + b"no colon\r\n\r\n"), None, "protocol"),
    ("NUL in a header", r.raw(OK + b"x: a\x00b\r\n\r\n"), None, "protocol"),
    ("two lengths", r.raw(OK + b"content-length: 1\r\ncontent-length: 2\r\n\r\nab"), None, "protocol"),
    (
        "length and chunks",
        r.raw(OK + b"content-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n"),
        None,
        "protocol",
    ),
    ("bad chunk", r.raw(CHUNKED + b"zz\r\n"), None, "protocol"),
    ("switches", r.raw(b"HTTP/1.1 101 Switching\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n"), None, "protocol"),
    ("long header", r.long_header(), None, "protocol"),
    ("long header name", r.long_header(b"x" * 100_000), None, "protocol"),
    ("many headers", r.many_headers(), None, "protocol"),
    ("storm of interim answers", r.interim_storm(), None, "protocol"),
    ("storm with headers", r.interim_storm(b"link: </a>\r\n" * 9), None, "protocol"),
    ("interim answers, then nothing", r.hangs(b"HTTP/1.1 100 Continue\r\n\r\n" * 9), SHORT_S, "timeout"),
]


@pytest.mark.parametrize(
    ("behaviour", "total_s", "expected"), [case[1:] for case in BEHAVIOURS], ids=[case[0] for case in BEHAVIOURS]
)
def test_a_receiver_costs_no_more_than_its_time_and_bytes(
    run: Run, behaviour: r.Behaviour, total_s: float | None, expected: str | Callable[[Answer], bool]
) -> None:
    async def call() -> None:
        async with receiving(behaviour) as receiver:
            began = time.monotonic()
            if isinstance(expected, str):
                with pytest.raises(Failure) as failed:
                    await sent(receiver, total_s=total_s)
                assert failed.value.reason == expected
                assert "127.0.0.1" not in failed.value.detail
                assert failed.value.detail.isprintable()
            else:
                answer = await sent(receiver, total_s=total_s)
                assert expected(answer), answer
            assert time.monotonic() - began < SOON_S
            assert len(receiver.got) == 1
            await receiver.until(lambda it: it.open == 0)

    run(call())


async def test_the_bytes_that_were_given_are_sent_and_nothing_is_added_but_what_the_connection_needs() -> None:
    body = b'{"a": "\xc3\xa9"}\x00'
    async with receiving(r.answers()) as receiver, calling() as client:
        headers = [("Content-Type", "application/cloudevents+json"), ("X-Twice", "1"), ("X-Twice", "2")]
        await client.send("POST", receiver.url(path="/a%20b/../c?x=%2F&y=+"), headers, body)
    (got,) = receiver.got
    assert (got.method, got.path, got.body) == ("POST", "/a%20b/../c?x=%2F&y=+", body)
    assert got.headers == {
        "host": f"127.0.0.1:{receiver.port}",
        "content-type": "application/cloudevents+json",
        "x-twice": "2",
        "accept-encoding": "identity",
        "content-length": str(len(body)),
    }


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async with receiving(r.answers()) as proxy, receiving(r.answers()) as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "https_proxy"):
            monkeypatch.setenv(name, proxy.url())
        assert (await sent(receiver)).status == 200
    assert (proxy.connections, receiver.connections) == (0, 1)


async def test_a_redirect_to_another_receiver_is_not_followed_and_cookies_are_not_kept() -> None:
    async with receiving(r.answers()) as other:
        behaviour = r.answers(302, [("location", other.url()), ("set-cookie", "a=1")])
        async with receiving(behaviour) as receiver, calling() as client:
            for _ in range(2):
                assert (await client.send("POST", receiver.url("localhost"), [], b"{}")).status == 302
    assert other.connections == 0
    assert not any("cookie" in got.headers for got in receiver.got)


@pytest.mark.parametrize(
    "header",
    [
        ("host", "localhost"),
        ("Content-Length", "0"),
        ("transfer-encoding", "chunked"),
        ("Connection", "close"),
        ("expect", "100-continue"),
        ("proxy-authorization", "Basic YQ=="),
        ("x-a", "1\r\nx-b: 2"),
        ("x-a", "é"),
        ("x-a", "1\x00"),
        ("x a", "1"),
        ("x-a:", "1"),
        ("", "1"),
    ],
)
async def test_a_header_that_would_change_the_connection_is_refused(header: tuple[str, str]) -> None:
    async with calling() as client:
        with pytest.raises(NotAllowed) as refused:
            await client.send("POST", "http://127.0.0.1:1/", [header], b"")
        assert refused.value.reason == "header"


async def test_a_port_on_which_no_server_listens_is_a_failure_to_connect() -> None:
    with listen() as unused:
        port = unused.getsockname()[1]
    async with calling() as client:
        with pytest.raises(Failure) as failed:
            await client.send("POST", f"http://127.0.0.1:{port}/", [], b"")
        assert (failed.value.reason, failed.value.detail) == ("connect", "Connection refused")


async def test_an_address_that_answers_no_connection_is_given_up_after_the_time_for_connecting() -> None:
    full = listen(backlog=0)  # with its queue full, Linux drops further attempts
    waiting = [asyncio.create_task(asyncio.open_connection(*full.getsockname())) for _ in range(4)]
    try:
        await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        async with calling(limits=Limits(total_s=SOON_S, connect_s=SHORT_S)) as client:
            with pytest.raises(Failure, match="accepted no connection") as failed:
                await client.send("POST", f"http://127.0.0.1:{full.getsockname()[1]}/", [], b"")
            assert failed.value.reason == "timeout"
    finally:
        full.close()
        for task in waiting:
            task.cancel()
        for opened in await asyncio.gather(*waiting, return_exceptions=True):
            if isinstance(opened, tuple):
                opened[1].transport.abort()


async def test_calls_to_one_host_share_connections_and_a_long_body_ends_its_connection() -> None:
    behaviour = r.in_turn(r.answers(), r.answers(), r.answers(200, [], b"a" * 200_000), r.answers())
    async with receiving(behaviour) as receiver:
        async with calling() as client:
            counted = []
            for _ in range(4):
                await client.send("POST", receiver.url(), [], b"{}")
                counted.append(receiver.connections)
            assert counted == [1, 1, 1, 2]
        await receiver.until(lambda it: it.open == 0)


async def test_a_request_on_a_kept_connection_that_the_receiver_closed_is_sent_again() -> None:
    async with receiving(r.in_turn(r.answers(), r.closes(), r.answers(202))) as receiver, calling() as client:
        assert (await client.send("POST", receiver.url(), [], b"1")).status == 200
        assert (await client.send("POST", receiver.url(), [], b"2")).status == 202
    assert [got.body for got in receiver.got] == [b"1", b"2", b"2"]


async def test_a_request_whose_answer_had_begun_is_not_sent_again() -> None:
    async with receiving(r.in_turn(r.answers(), r.closes(b"HTTP/1.1 200 O"))) as receiver, calling() as client:
        await client.send("POST", receiver.url(), [], b"1")
        with pytest.raises(Failure) as failed:
            await client.send("POST", receiver.url(), [], b"2")
        assert failed.value.reason == "reset"
    assert [got.body for got in receiver.got] == [b"1", b"2"]


async def test_a_host_that_hangs_holds_its_own_places_and_no_others() -> None:
    behaviours = receiving(r.hangs()), receiving(r.answers())
    async with behaviours[0] as slow, behaviours[1] as quick, calling(connections_per_host=2) as client:
        held = [asyncio.create_task(client.send("POST", slow.url(), [], b"")) for _ in range(2)]
        await slow.until(lambda it: len(it.got) == 2)
        with pytest.raises(Failure) as failed:
            await client.send("POST", slow.url(path="/third"), [], b"", total_s=SHORT_S)
        assert failed.value.reason == "busy"
        assert (await client.send("POST", quick.url("localhost"), [], b"")).status == 200
        for task in held:
            task.cancel()
        await asyncio.gather(*held, return_exceptions=True)
        assert slow.connections == 2
        await slow.until(lambda it: it.open == 0)
        slow.behaviour = r.answers()
        assert (await client.send("POST", slow.url(), [], b"")).status == 200, "the places are free again"


async def test_the_number_of_hosts_with_idle_connections_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulsecart.bridges.outgoing_http.client.HOSTS_KEPT", 2)
    monkeypatch.setattr("pulsecart.bridges.outgoing_http.pools.KEPT_S", 60.0)
    names = [f"r{number}.test" for number in range(5)]

    async def resolve(_name: str) -> list[str]:
        return ["127.0.0.1"]

    async with receiving(r.answers()) as receiver, calling(allowed_of(",".join(names)), resolve=resolve) as client:
        for name in names:
            await client.send("POST", receiver.url(name), [], b"")
        await receiver.until(lambda it: it.open <= 2)
        assert receiver.connections == 5
        await client.send("POST", receiver.url(names[-1]), [], b"")
        assert receiver.connections == 5


async def test_calls_in_flight_fail_when_the_client_is_closed() -> None:
    async with receiving(r.hangs()) as receiver, calling() as client:
        flying = asyncio.create_task(client.send("POST", receiver.url(), [], b""))
        await receiver.until(lambda it: len(it.got) == 1)
        await client.close()
        with pytest.raises(Failure) as failed:
            await flying
        assert failed.value.reason == "reset"


async def test_the_deps_own_the_client_and_close_it(settings: Settings) -> None:
    deps: Deps = open_deps(settings)
    client = deps.singleton(outgoing_http)
    assert deps.share("other").singleton(outgoing_http) is client
    with pytest.raises(NotAllowed):
        await client.send("POST", "http://127.0.0.1:1/", [], b"")
    await close_deps(deps)
    with pytest.raises(RuntimeError, match="closed"):
        await client.send("POST", "https://hooks.example/", [], b"")
