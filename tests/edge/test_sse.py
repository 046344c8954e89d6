"""Live streams work over a real socket."""

import asyncio
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from pulsecart.edge.streams.news import COUNT_KEY, FIREHOSE, News, encode
from pulsecart.edge.streams.publish import Publisher
from pulsecart.edge.streams.topics import ORDER
from pulsecart.local.valkey import Valkey
from pulsecart.runtime.db import database
from pulsecart.runtime.settings import Settings
from pulsecart.shop.pricing.events import FlashSaleEnded
from tests.edge.conftest import Edge, Stream, envelope, eventually, running


async def test_a_new_listener_gets_a_snapshot_and_then_the_news(edge: Edge) -> None:
    await edge.add_product(available=10, version=4)
    async with edge.stream("/sse/stock/1") as stream:
        assert stream.response.headers["content-type"] == "text/event-stream"
        first = await stream.next()
        assert (first.event, first.id) == ("snapshot", "4-0")
        assert first.data == {"productId": "1", "available": 10, "sequence": 4}
        await edge.publish_stock(9, 5)
        news = await stream.next()
        assert (news.event, news.id, news.data["available"]) == ("stock", "5-0", 9)


async def test_news_that_the_snapshot_contains_already_are_not_reported_again(edge: Edge) -> None:
    await edge.add_product(available=10, version=4)
    async with edge.stream("/sse/stock/1") as stream:
        await stream.next()
        await edge.publish_stock(11, 3)
        await edge.publish_stock(10, 4)
        await edge.publish_stock(9, 5)
        assert (await stream.next()).id == "5-0"


async def test_a_stream_and_what_comes_instead_of_one_carry_the_headers_that_are_described(edge: Edge) -> None:
    async with edge.stream("/sse/flash-sales", **{"correlation-id": "mine"}) as stream:
        assert stream.response.headers["correlation-id"] == "mine"
    for path, last_id in (("/sse/flash-sales", None), ("/sse/flash-sales", "stop"), ("/sse/stock/none", None)):
        async with edge.stream(path, last_id) as stream:
            assert 0 < len(stream.response.headers["correlation-id"]) <= 255
    refused = await edge.client.get("/sse/stock/none")
    assert (refused.status_code, len(refused.headers["correlation-id"]) > 0) == (404, True)


async def test_every_stream_says_when_to_come_again(edge: Edge) -> None:
    async with edge.stream("/sse/flash-sales") as stream:
        first = await stream.next(comments=True)
        assert first.retry is not None
        assert 1_000 <= first.retry <= 3_000


async def test_a_client_that_comes_again_with_its_id_gets_what_it_missed_and_no_gap(edge: Edge) -> None:
    await edge.sign_in()
    order_id = await edge.add_order(version=3)
    for sequence, status in enumerate(("PENDING", "CONFIRMED", "PAID"), 1):
        await edge.publish_order(order_id, status, sequence)
    async with edge.stream(f"/sse/orders/{order_id}", last_id="1-0") as stream:
        missed = [await stream.next(), await stream.next()]
        assert [(news.event, news.id, news.data["status"]) for news in missed] == [
            ("order", "2-0", "CONFIRMED"),
            ("order", "3-0", "PAID"),
        ]


async def test_the_id_may_come_in_the_query_because_a_first_connection_can_set_no_header(edge: Edge) -> None:
    await edge.add_product(version=6)
    await edge.publish_stock(999, 6)
    async with edge.stream("/sse/stock/1?last_event_id=5-0") as stream:
        assert (await stream.next()).id == "6-0"


async def test_of_many_missed_stock_levels_only_the_newest_is_reported(edge: Edge) -> None:
    await edge.add_product(version=9)
    for sequence in range(1, 10):
        await edge.publish_stock(1000 - sequence, sequence)
    async with edge.stream("/sse/stock/1", last_id="2-0") as stream:
        assert (await stream.next()).id == "9-0"


@pytest.mark.parametrize(
    ("reported", "last_id", "reason"),
    [
        ((), "4-0", "history-empty"),
        ((7, 8), "4-0", "history-gone"),
        ((1, 2), "400-0", "ahead-of-history"),
        ((1, 2), "nonsense", "unknown-id"),
        ((1, 2), "99999999999999999999999-0", "unknown-id"),
    ],
)
async def test_a_client_whose_history_is_gone_is_informed_and_gets_a_snapshot(
    edge: Edge, reported: tuple[int, ...], last_id: str, reason: str
) -> None:
    await edge.add_product(available=5, version=8)
    for sequence in reported:
        await edge.publish_stock(5, sequence)
    async with edge.stream("/sse/stock/1", last_id=last_id) as stream:
        gap, snapshot = await stream.next(), await stream.next()
        assert (gap.event, gap.data["reason"], gap.id) == ("gap", reason, None)
        assert (snapshot.event, snapshot.id, snapshot.data["available"]) == ("snapshot", "8-0", 5)


@pytest.mark.parametrize("reported", [(), (1, 2)])
async def test_a_client_that_has_the_present_misses_nothing_though_redis_is_behind(
    edge: Edge, reported: tuple[int, ...]
) -> None:
    await edge.add_product(available=5, version=8)
    for sequence in reported:
        await edge.publish_stock(5, sequence)
    async with edge.stream("/sse/stock/1", last_id="8-0") as stream:
        await edge.publish_stock(4, 9)
        assert (await stream.next()).id == "9-0"


async def test_an_order_without_an_id_begins_with_its_history_and_ends_in_the_present(edge: Edge) -> None:
    await edge.sign_in()
    order_id = await edge.add_order("CONFIRMED", version=2)
    await edge.publish_order(order_id, "PENDING", 1)
    await edge.publish_order(order_id, "CONFIRMED", 2)
    async with edge.stream(f"/sse/orders/{order_id}") as stream:
        events = [await stream.next() for _ in range(3)]
        assert [(e.event, e.data["status"]) for e in events] == [
            ("order", "PENDING"),
            ("order", "CONFIRMED"),
            ("snapshot", "CONFIRMED"),
        ]
        await edge.publish_order(order_id, "PAID", 3)
        assert (await stream.next()).data["status"] == "PAID"


async def test_a_browser_that_asks_for_what_is_not_there_is_answered_once_and_then_asked_to_stop(edge: Edge) -> None:
    async with edge.stream("/sse/stock/404") as stream:
        assert stream.response.status_code == 200
        (problem,) = await stream.until_end()
        assert (problem.event, problem.data["status"], problem.id) == ("problem", 404, "stop")
    async with edge.stream("/sse/stock/404", last_id="stop") as stream:
        assert stream.response.status_code == 204


@pytest.mark.parametrize("order_id", ["00000000-0000-4000-8000-000000000000", "not-a-uuid"])
async def test_an_unknown_order_is_a_problem_too(edge: Edge, order_id: str) -> None:
    await edge.sign_in()
    async with edge.stream(f"/sse/orders/{order_id}") as stream:
        (problem,) = await stream.until_end()
        assert problem.data["type"].endswith("/unknown-order")


async def test_an_orders_stream_is_its_owners_alone(edge: Edge) -> None:
    order_id = await edge.add_order()
    async with edge.stream(f"/sse/orders/{order_id}") as stream:
        (problem,) = await stream.until_end()
        assert problem.data["status"] == 401
    await edge.sign_in("somebody-else")
    async with edge.stream(f"/sse/orders/{order_id}") as stream:
        (problem,) = await stream.until_end()
        assert problem.data["status"] == 403
    assert edge.hub.listeners == 0


async def test_a_program_that_is_no_browser_gets_the_plain_status(edge: Edge) -> None:
    order_id = await edge.add_order()
    assert (await edge.client.get(f"/sse/orders/{order_id}")).status_code == 401
    await edge.sign_in("somebody-else")
    assert (await edge.client.get(f"/sse/orders/{order_id}")).status_code == 403
    assert (await edge.client.get("/sse/stock/404")).status_code == 404
    assert (await edge.client.get("/sse/elsewhere")).status_code == 404


async def test_a_ticket_opens_one_stream_once(edge: Edge) -> None:
    order_id = await edge.add_order()
    await edge.sign_in()
    ticket = (await edge.client.post("/api/v1/stream-tickets")).json()["ticket"]
    edge.client.cookies.clear()
    async with edge.stream(f"/sse/orders/{order_id}?ticket={ticket}") as stream:
        assert (await stream.next()).event == "snapshot"
    async with edge.stream(f"/sse/orders/{order_id}?ticket={ticket}") as stream:
        (problem,) = await stream.until_end()
        assert problem.data["status"] == 401


async def test_an_idle_stream_is_kept_open_by_comments(edge_settings: Settings) -> None:
    beating = replace(edge_settings, stream_heartbeat_s=0.02)
    async with running(beating) as edge, edge.stream("/sse/flash-sales") as stream:
        await stream.next()
        for _ in range(3):
            beat = await stream.next(comments=True)
            assert (beat.event, beat.data) == ("", None)


async def test_a_stream_ends_by_itself_before_a_request_must_and_continues_from_its_id(edge_settings: Settings) -> None:
    async with running(replace(edge_settings, stream_life_s=0.2)) as edge:
        await edge.add_product(version=1)
        async with edge.stream("/sse/stock/1") as stream:
            await stream.next()
            await edge.publish_stock(999, 2)
            assert [event.id for event in await stream.until_end()] == ["2-0"]
        await edge.publish_stock(998, 3)
        async with edge.stream("/sse/stock/1", last_id=stream.last_id) as again:
            assert (await again.next()).id == "3-0"


async def test_sales_are_reported_as_they_start_and_end(edge: Edge) -> None:
    async with edge.stream("/sse/flash-sales") as stream:
        assert (await stream.next()).data["sales"] == []
        await edge.publish(envelope(FlashSaleEnded(saleId="s1", productId="1"), "s1", 1))
        ended = await stream.next()
        assert (ended.event, ended.data["saleId"], ended.data["status"]) == ("sale", "s1", "ENDED")


async def test_a_client_that_leaves_leaves_nothing_behind(edge: Edge) -> None:
    await edge.add_product()
    async with edge.stream("/sse/flash-sales") as warm:  # what the first client starts stays a while
        await warm.next()
        before = len(asyncio.all_tasks())
        for _ in range(3):
            async with edge.stream("/sse/stock/1") as stream:
                await stream.next()
                assert edge.hub.listeners == 2
            await eventually(lambda: edge.hub.listeners == 1)
        await eventually(lambda: len(asyncio.all_tasks()) <= before)


async def test_a_client_that_stops_reading_loses_its_orders_stream_and_holds_no_one_up(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pulsecart.edge.streams.sse.CLOSE_S", 0.05)
    await edge.sign_in()
    order_id = await edge.add_order()
    cookie = "; ".join(f"{name}={value}" for name, value in edge.client.cookies.items())
    _, writer = await asyncio.open_connection("127.0.0.1", httpx.URL(edge.url).port, limit=1)
    writer.write(f"GET /sse/orders/{order_id} HTTP/1.1\r\nHost: shop\r\nCookie: {cookie}\r\n\r\n".encode())
    await eventually(lambda: edge.hub.listeners == 1)
    async with edge.stream("/sse/flash-sales") as other:
        await other.next()
        big = encode({"padding": "x" * 100_000})
        for sequence in range(2, 300):
            await edge.deps.singleton(Publisher).publish(News(ORDER.topic(order_id).key, (sequence, 0), "order", big))
        await eventually(lambda: edge.hub.listeners == 1)
        await edge.publish(envelope(FlashSaleEnded(saleId="s1", productId="1"), "s1", 1))
        assert (await other.next()).event == "sale"
    writer.close()


async def test_a_thousand_clients_cost_redis_one_connection(edge: Edge) -> None:
    await edge.add_product()
    async with asyncio.TaskGroup() as group:
        ready = asyncio.Barrier(201)
        got = []

        async def listen() -> None:
            async with edge.stream("/sse/stock/1") as stream:
                await stream.next()
                await ready.wait()
                got.append((await stream.next()).id)

        for _ in range(200):
            group.create_task(listen())
        await ready.wait()
        clients = await edge.deps.redis.client_list()
        assert sum(client["cmd"] == "xread" for client in clients) == 1
        assert len(clients) <= 20
        await edge.publish_stock(999, 1)
    assert got == ["1-0"] * 200


async def test_no_one_reads_redis_while_no_one_listens(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pulsecart.edge.streams.reader.BLOCK_S", 0.05)

    async def readers() -> int:
        return sum(client["cmd"] == "xread" for client in await edge.deps.redis.client_list())

    async with edge.stream("/sse/flash-sales") as stream:
        await stream.next()
        assert await readers() == 1
    await eventually(lambda: edge.hub.listeners == 0)

    async def none_left() -> bool:
        return await readers() == 0

    await eventually(none_left)
    async with edge.stream("/sse/flash-sales") as stream:
        await stream.next()
        assert await readers() == 1


async def test_news_lost_with_redis_data_are_a_gap_and_a_snapshot_for_everyone(edge: Edge) -> None:
    await edge.add_product(available=10, version=4)
    async with edge.stream("/sse/stock/1") as stream:
        await stream.next()
        await edge.publish_stock(9, 5)
        await stream.next()
        await edge.set_stock(2, 12)
        await edge.deps.redis.flushall()
        await edge.publish_stock(1, 13)
        gap, snapshot, news = [await stream.next() for _ in range(3)]
        assert gap.event == "gap"
        assert (snapshot.event, snapshot.data["available"]) == ("snapshot", 2)
        assert news.id == "13-0"


async def test_a_redis_that_was_restarted_is_a_gap_and_a_snapshot_for_everyone(
    edge_settings: Settings, tmp_path: Path
) -> None:
    valkey = Valkey(tmp_path / "v", tmp_path, tmp_path / "log")
    valkey.prepare()
    valkey.spawn()
    valkey.wait_ready()
    try:
        async with running(replace(edge_settings, redis_url=valkey.url)) as edge:
            await edge.add_product(available=10, version=4)
            async with edge.stream("/sse/stock/1") as stream, edge.stream("/sse/flash-sales") as sales:
                assert [(await one.next()).event for one in (stream, sales)] == ["snapshot", "snapshot"]
                await edge.set_stock(7, 5)
                valkey.stop()
                valkey.spawn()
                valkey.wait_ready()
                assert [(await stream.next()).event for _ in range(2)] == ["gap", "snapshot"]
                assert [(await sales.next()).event for _ in range(2)] == ["gap", "snapshot"]
                await edge.publish_stock(6, 6)
                assert (await stream.next()).data["available"] == 6
    finally:
        valkey.stop()


async def test_what_others_write_into_our_stream_disturbs_no_one(edge: Edge) -> None:
    await edge.add_product(version=1)
    async with edge.stream("/sse/stock/1") as stream:
        await stream.next()
        await edge.deps.redis.xadd(FIREHOSE, {"unheard": "of"})
        await edge.publish_stock(999, 2)
        assert (await stream.next()).id == "2-0"


async def test_a_reader_that_fails_for_no_known_reason_sends_its_clients_to_come_again(edge: Edge) -> None:
    await edge.add_product(version=1)
    async with edge.stream("/sse/stock/1") as stream:
        await stream.next()
        await edge.deps.redis.xadd(FIREHOSE, {"n": "no number"})
        assert await stream.until_end() == []
    async with edge.stream("/sse/stock/1") as stream:
        await stream.next()
        await edge.publish_stock(999, 2)
        assert (await stream.next()).id == "2-0"


async def test_news_trimmed_before_they_were_read_are_a_gap_and_a_snapshot(edge: Edge) -> None:
    await edge.add_product(available=10, version=4)
    async with edge.stream("/sse/stock/1") as stream:
        await stream.next()
        await edge.set_stock(3, 20)
        await edge.deps.redis.set(COUNT_KEY, 50)
        await edge.publish_stock(2, 21)
        assert [(await stream.next()).event for _ in range(3)] == ["gap", "snapshot", "stock"]


async def test_without_redis_a_stream_still_begins_with_the_truth(edge_settings: Settings) -> None:
    async with running(replace(edge_settings, redis_url="redis://127.0.0.1:1")) as edge:
        await edge.add_product(available=3, version=2)
        async with edge.stream("/sse/stock/1") as stream:
            assert (await stream.next()).data["available"] == 3


async def test_without_postgres_a_browser_is_asked_to_come_again_and_never_refused(
    edge_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "CONNECT_WAIT_S", 0.3)
    away = replace(edge_settings, database_url="postgresql://nobody@127.0.0.1:1/none?connect_timeout=1")
    async with running(away) as edge, edge.stream("/sse/stock/1") as stream:
        assert stream.response.status_code == 200
        first = await stream.next(comments=True, timeout_s=15)
        assert first.retry is not None
        assert first.retry >= 5_000
        with pytest.raises(StopAsyncIteration):
            await stream.next()


async def test_closing_the_hub_ends_every_stream_cleanly(edge: Edge) -> None:
    async with edge.stream("/sse/flash-sales") as stream:
        await stream.next()
        await edge.hub.close()
        assert await stream.until_end() == []
    async with edge.stream("/sse/flash-sales") as refused:
        assert (await refused.next(comments=True)).retry is not None
        assert await refused.until_end() == []


async def test_a_server_that_stops_does_not_wait_for_its_streams(edge_settings: Settings) -> None:
    loop = asyncio.get_running_loop()
    async with httpx.AsyncClient(trust_env=False) as visitor:
        async with running(edge_settings) as edge:
            request = visitor.build_request("GET", edge.url + "/sse/flash-sales")
            stream = Stream(await visitor.send(request, stream=True))
            await stream.next()
            stopping_at = loop.time()
        assert loop.time() - stopping_at < 2
        assert await stream.until_end() == []
