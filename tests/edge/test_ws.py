"""``/ws/orders`` works over a real socket."""

import asyncio
import io
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from functions.edge.main import edge as edge_function
from functions.edge.main import edge_app
from pulsecart.edge.streams.ws import MESSAGE_MAX, SUBSCRIPTIONS_MAX
from pulsecart.processes.function import Function, server
from pulsecart.runtime.settings import Settings
from pulsecart.runtime.telemetry import logs
from tests.edge.conftest import BUYER, Edge, eventually, running
from tests.listening import listen


@asynccontextmanager
async def socket(edge: Edge, origin: str | None = None, query: str = "") -> AsyncIterator[ClientConnection]:
    cookies = "; ".join(f"{name}={value}" for name, value in edge.client.cookies.items())
    headers = {"cookie": cookies} if cookies else {}
    url = edge.url.replace("http:", "ws:") + "/ws/orders" + query
    async with connect(url, additional_headers=headers, origin=origin, proxy=None) as opened:  # type: ignore[arg-type]  # its NewType
        yield opened


async def say(opened: ClientConnection, **command: Any) -> None:
    await opened.send(json.dumps(command))


async def next_message(opened: ClientConnection) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(await opened.recv())
    return message


async def test_a_subscriber_of_one_order_gets_its_history_and_its_news(edge: Edge) -> None:
    await edge.sign_in()
    order_id = await edge.add_order()
    await edge.publish_order(order_id, "PENDING", 1)
    async with socket(edge) as opened:
        await say(opened, type="subscribe", orderId=order_id)
        assert await next_message(opened) == {"event": "subscribed", "data": {"orderId": order_id}}
        assert [(await next_message(opened))["event"] for _ in range(2)] == ["order", "snapshot"]
        await edge.publish_order(order_id, "CONFIRMED", 2)
        news = await next_message(opened)
        assert (news["event"], news["id"], news["data"]["status"]) == ("order", "2-0", "CONFIRMED")


async def test_without_an_order_id_all_of_ones_own_orders_are_received_and_no_one_elses(edge: Edge) -> None:
    await edge.sign_in()
    mine, others = await edge.add_order(), await edge.add_order(buyer_id="somebody-else")
    async with socket(edge) as opened:
        await say(opened, type="subscribe")
        assert (await next_message(opened))["event"] == "subscribed"
        assert (await next_message(opened))["event"] == "snapshot"
        await edge.publish_order(others, "PENDING", 1, buyer_id="somebody-else")
        await edge.publish_order(mine, "PENDING", 1, buyer_id=BUYER)
        assert (await next_message(opened))["data"]["orderId"] == mine


async def test_a_client_that_comes_again_says_what_it_has(edge: Edge) -> None:
    await edge.sign_in()
    order_id = await edge.add_order("CONFIRMED", version=2)
    await edge.publish_order(order_id, "PENDING", 1)
    await edge.publish_order(order_id, "CONFIRMED", 2)
    async with socket(edge) as opened:
        await say(opened, orderId=order_id, lastEventId="1-0")
        assert [(await next_message(opened)).get("id") for _ in range(2)] == [None, "2-0"]
    async with socket(edge) as opened:
        await say(opened, orderId=order_id, lastEventId="9-0")
        assert [(await next_message(opened))["event"] for _ in range(3)] == ["subscribed", "gap", "snapshot"]


async def test_another_buyers_order_is_refused_in_words(edge: Edge) -> None:
    await edge.sign_in("somebody-else")
    order_id = await edge.add_order()
    async with socket(edge) as opened:
        await say(opened, type="subscribe", orderId=order_id)
        problem = await next_message(opened)
        assert (problem["event"], problem["data"]["status"]) == ("problem", 403)
        await say(opened, type="ping")
        assert (await next_message(opened))["event"] == "pong"


async def test_who_is_no_one_is_informed_and_closed(edge: Edge) -> None:
    async with socket(edge) as opened:
        assert (await next_message(opened))["data"]["status"] == 401
        with pytest.raises(ConnectionClosed) as closed:
            await opened.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1008


async def test_a_ticket_signs_in_where_no_cookie_can(edge: Edge) -> None:
    await edge.sign_in()
    ticket = (await edge.client.post("/api/v1/stream-tickets")).json()["ticket"]
    edge.client.cookies.clear()
    async with socket(edge, query=f"?ticket={ticket}") as opened:
        await say(opened, type="ping")
        assert (await next_message(opened))["event"] == "pong"


async def test_neither_a_ticket_nor_an_address_of_a_client_comes_into_the_log(
    edge: Edge, caplog: pytest.LogCaptureFixture
) -> None:
    written, root = io.StringIO(), logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        logs.start("DEBUG", written)
        logging.getLogger("uvicorn.access").propagate = False  # as a server leaves it that is made after logs.start()
        root.addHandler(caplog.handler)
        await edge.sign_in()
        session = edge.client.cookies["pulsecart_session"]
        tickets = [(await edge.client.post("/api/v1/stream-tickets")).json()["ticket"] for _ in range(3)]
        edge.client.cookies.clear()
        addresses = []
        for query in (f"?ticket={tickets[0]}", f"?ticket={tickets[0]}", f"?x=y&ticket={tickets[1]}"):
            async with socket(edge, query=query) as opened:
                addresses.append("{}:{}".format(*opened.local_address[:2]))
                await say(opened, type="ping")
                await next_message(opened)
        with pytest.raises(InvalidStatus):
            async with socket(edge, origin="https://evil.example", query=f"?ticket={tickets[2]}"):
                pass
        await edge.client.get(f"/sse/orders/1?ticket={tickets[2]}")
    finally:
        root.handlers = handlers
        root.setLevel(level)
    for secret in (*tickets, *addresses, session):
        assert secret not in written.getvalue()
        assert secret not in caplog.text


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://127.0.0.1.evil.example"])
async def test_another_sites_page_cannot_use_a_visitors_cookie(edge: Edge, origin: str) -> None:
    await edge.sign_in()
    with pytest.raises(InvalidStatus) as refused:
        async with socket(edge, origin=origin):
            pass
    assert refused.value.response.status_code == 403


async def test_the_shops_own_page_may_by_its_address_or_its_public_one(edge: Edge) -> None:
    await edge.sign_in()
    for origin in (edge.url, edge.deps.settings.public_url):
        async with socket(edge, origin=origin) as opened:
            await say(opened, type="ping")
            assert (await next_message(opened))["event"] == "pong"


async def test_nonsense_is_answered_and_the_socket_stays(edge: Edge) -> None:
    await edge.sign_in()
    async with socket(edge) as opened:
        for nonsense in ("{", "[]", '{"type": "dance"}', '{"orderId": 7}'):
            await opened.send(nonsense)
            assert (await next_message(opened))["data"]["status"] == 400
        await opened.send(b"bytes")
        assert (await next_message(opened))["data"]["status"] == 400
        await say(opened, type="ping")
        assert (await next_message(opened))["event"] == "pong"


async def test_a_message_too_long_closes_the_socket(edge: Edge) -> None:
    await edge.sign_in()
    async with socket(edge) as opened:
        await opened.send("x" * (MESSAGE_MAX + 1))
        with pytest.raises(ConnectionClosed) as closed:
            await opened.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009


async def test_one_socket_has_a_bounded_number_of_subscriptions(edge: Edge) -> None:
    await edge.sign_in()
    async with socket(edge) as opened:
        for _ in range(SUBSCRIPTIONS_MAX):
            await say(opened, orderId=await edge.add_order())
            assert [(await next_message(opened))["event"] for _ in range(2)] == ["subscribed", "snapshot"]
        await say(opened, orderId=await edge.add_order())
        assert (await next_message(opened))["data"]["status"] == 403


async def test_after_unsubscribing_nothing_is_received(edge: Edge) -> None:
    await edge.sign_in()
    order_id = await edge.add_order()
    async with socket(edge) as opened:
        await say(opened, orderId=order_id)
        assert [(await next_message(opened))["event"] for _ in range(2)] == ["subscribed", "snapshot"]
        await say(opened, type="unsubscribe", orderId=order_id)
        await eventually(lambda: edge.hub.listeners == 0)
        await edge.publish_order(order_id, "CONFIRMED", 2)
        await say(opened, type="ping")
        assert (await next_message(opened))["event"] == "pong"


async def test_a_client_that_leaves_is_forgotten(edge: Edge) -> None:
    await edge.sign_in()
    order_id = await edge.add_order()
    async with socket(edge) as opened:
        await say(opened, orderId=order_id)
        await next_message(opened)
        assert edge.hub.listeners == 1
    await eventually(lambda: edge.hub.listeners == 0)


async def test_a_socket_ends_by_itself_before_a_request_must(edge_settings: Settings) -> None:
    async with running(replace(edge_settings, stream_life_s=0.1)) as edge:
        await edge.sign_in()
        async with socket(edge) as opened:
            with pytest.raises(ConnectionClosed) as closed:
                await opened.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1001


async def test_the_edge_deployed_on_its_own_as_on_a_cluster_has_its_sockets_too(edge: Edge) -> None:
    await edge.sign_in()
    with listen() as listening:
        alone = server(Function(edge_function.operation, edge.deps, edge_app(edge.deps)))
        serving = asyncio.create_task(alone.serve(sockets=[listening]))
        await eventually(lambda: alone.started)
        there = replace(edge, url=f"http://127.0.0.1:{listening.getsockname()[1]}")
        async with socket(there) as opened:
            await say(opened, type="ping")
            assert (await next_message(opened))["event"] == "pong"
        alone.should_exit = True
        await serving


async def test_a_command_nested_deeper_than_anyone_reads_is_refused_in_words(edge: Edge) -> None:
    await edge.sign_in()
    async with socket(edge) as opened:
        await opened.send('{"type":"ping","more":' + "[" * 2000 + "]" * 2000 + "}")
        assert (await next_message(opened))["data"]["status"] == 400
        await say(opened, type="ping")
        assert (await next_message(opened))["event"] == "pong"


@pytest.mark.parametrize(
    "odd",
    [
        "",
        "[" * 3000,
        "{}" * 10,
        '{"orderId":"\\u0000"}',
        '{"\\u0000":1}',
        '{"orderId":"\\ud800"}',
        '{"orderId":"' + "x" * 3000 + '"}',
        '{"orderId":"' + "\u0663" * 32 + '","lastEventId":"\u0663-\u0663"}',
        '{"lastEventId":"' + "9" * 400 + '"}',
        '{"type":"\x85"}',
        '{"type":1e999}',
        b"\x00\xff",
    ],
)
async def test_an_odd_message_is_answered_in_words_and_its_socket_and_every_other_goes_on(
    edge: Edge, odd: str | bytes
) -> None:
    await edge.sign_in()
    order_id = await edge.add_order()
    async with socket(edge) as asking, socket(edge) as other:
        await asking.send(odd)
        await say(other, orderId=order_id)
        assert (await next_message(asking))["event"] == "problem"
        assert (await next_message(other))["event"] == "subscribed"
        await say(asking, type="ping")
        assert (await next_message(asking))["event"] == "pong"
