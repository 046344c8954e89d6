"""A stream or socket ends when the session, token or ticket's session that opened it does, to the second."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import time
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from functions.edge.main import edge as edge_function
from pulsecart.local import issuer as dev_issuer
from pulsecart.serving import tokens
from pulsecart.serving.http import Request
from tests.edge.conftest import BUYER, Edge

LIFE_S = 3
LATE_S = 5.0  # of a busy machine; the end itself has no jitter


def token(jwks: Path, life_s: float = LIFE_S, user: str = BUYER) -> dict[str, str]:
    made = dev_issuer.token(jwks, user, ["customer"], timedelta(seconds=life_s), "pulsecart", datetime.now(UTC))
    return {"authorization": f"Bearer {made}"}


@asynccontextmanager
async def socket(edge: Edge, query: str = "", **headers: str) -> AsyncIterator[ClientConnection]:
    url = edge.url.replace("http:", "ws:") + "/ws/orders" + query
    async with connect(url, additional_headers=headers, proxy=None) as opened:
        yield opened


async def ticket(edge: Edge, **headers: str) -> str:
    answered = await edge.client.post("/api/v1/stream-tickets", headers=headers)
    assert answered.status_code == 200
    return str(answered.json()["ticket"])


async def lasts_until(edge: Edge, path: str, **headers: str) -> float:
    """Open a stream, and return the time at which it ended."""
    async with edge.stream(path, **headers) as stream:
        assert (await stream.next()).event in ("order", "snapshot")
        rest = await stream.until_end()
        assert rest == [], "news of the order or nothing, and no problem"
        return time()


async def socket_lasts_until(edge: Edge, query: str = "", **headers: str) -> float:
    async with socket(edge, query, **headers) as opened:
        await opened.send('{"type": "ping"}')
        assert json.loads(await opened.recv())["event"] == "pong"
        output = json.loads(await opened.recv())
        assert (output["event"], output["data"]["type"].rsplit("/")[-1]) == ("problem", "bad-token")
        with pytest.raises(ConnectionClosed) as closed:
            await opened.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008
        return time()


async def test_what_a_session_a_token_or_a_ticket_opened_ends_with_it(
    edge: Edge, jwks: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = f"/sse/orders/{await edge.add_order()}"
    monkeypatch.setattr(tokens, "SESSION_S", LIFE_S)
    began = time()
    await edge.sign_in()
    session = {"cookie": "; ".join(f"{name}={value}" for name, value in edge.client.cookies.items())}
    edge.client.cookies.clear()
    bearer = token(jwks)
    tickets = [await ticket(edge, **session), await ticket(edge, **bearer)]
    async with edge.stream("/sse/flash-sales") as everybody:
        ends = await asyncio.gather(
            lasts_until(edge, path, **session),
            lasts_until(edge, path, **bearer),
            lasts_until(edge, f"{path}?ticket={tickets[0]}"),
            socket_lasts_until(edge, **session),
            socket_lasts_until(edge, **bearer),
            socket_lasts_until(edge, f"?ticket={tickets[1]}"),
        )
        assert all(began + LIFE_S - 1 <= at <= began + LIFE_S + LATE_S for at in ends), [at - began for at in ends]
        assert (await everybody.next()).event == "snapshot"
        with pytest.raises(TimeoutError):  # public streams have not ended with it
            await everybody.next(timeout_s=0.1)
    for headers in (session, bearer):
        async with edge.stream(path, **headers) as again:
            (problem,) = await again.until_end()
            assert (problem.event, problem.id, problem.data["status"]) == ("problem", "stop", 401)
        async with edge.stream(path, last_id="stop", **headers) as stopped:
            assert stopped.response.status_code == 204


async def test_within_the_leeway_of_other_requests_no_stream_begins_again(edge: Edge, jwks: Path) -> None:
    path, late = f"/sse/orders/{await edge.add_order()}", token(jwks, life_s=-3)
    assert (await edge.client.post("/api/v1/stream-tickets", headers=late)).status_code == 200, "a clock may be wrong"
    assert (await edge.client.get(path, headers=late)).status_code == 401
    spent = await ticket(edge, **late)
    assert (await edge.client.get(f"{path}?ticket={spent}")).status_code == 401
    async with socket(edge, **late) as opened:
        assert json.loads(await opened.recv())["data"]["status"] == 401


async def test_a_longer_session_does_not_lengthen_a_stream_and_its_jitter_stays(edge: Edge, jwks: Path) -> None:
    from pulsecart.edge.streams.sse import _life_s
    from pulsecart.edge.streams.subscribe import Opening

    now, life_s = edge.deps.clock.now().timestamp(), edge.deps.settings.stream_life_s
    lives = {_life_s(edge.deps, Opening(None, (), (0, 0), now + 86_400)) for _ in range(20)}
    assert len(lives) > 10
    assert all(0.9 * life_s <= one <= life_s for one in lives)
    assert all(9 < _life_s(edge.deps, Opening(None, (), (0, 0), now + 10)) <= 10 for _ in range(20))
    assert _life_s(edge.deps, Opening(None, (), (0, 0), now - 10)) == 0


async def test_a_reply_with_a_stream_ends_so_too(edge: Edge, jwks: Path) -> None:
    """The stream is served as by functions-framework."""
    path = f"/sse/orders/{await edge.add_order()}"
    headers: dict[str, Any] = {"accept": "text/event-stream"} | token(jwks)
    began = time()
    reply = await edge_function.operation.answer(Request("GET", path, headers), edge.deps)
    assert reply.stream is not None
    assert b"snapshot" in b"".join([chunk async for chunk in reply.stream])
    assert began + LIFE_S - 1 <= time() <= began + LIFE_S + LATE_S
    assert edge.hub.listeners == 0
