"""A client's buffer in the fan-out is bounded, and no other client waits for it."""

import asyncio
from typing import Any

from pulsecart.edge.streams import topics
from pulsecart.edge.streams.client_buffer import ROOM, DirectOutlet, Outlet
from pulsecart.edge.streams.hub import Hub, Listener
from pulsecart.edge.streams.news import News
from tests.edge.conftest import eventually

ORDER = topics.ORDER.topic("00000000-0000-4000-8000-000000000000")
STOCK = topics.STOCK.topic("1")


class Socket:
    """An ASGI ``send`` whose client reads on demand."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.readable = asyncio.Event()
        self.readable.set()

    async def send(self, message: dict[str, Any]) -> None:
        await self.readable.wait()
        self.written.append(message["body"])


def frame(number: int) -> bytes:
    return b"%d" % number


async def test_a_ready_socket_is_written_to_at_once() -> None:
    socket = Socket()
    outlet = DirectOutlet(socket.send)
    for number in range(3):
        outlet.put(frame(number))
    assert socket.written == [b"0", b"1", b"2"]


async def test_what_finds_the_socket_full_follows_in_order_when_it_empties() -> None:
    socket = Socket()
    outlet = DirectOutlet(socket.send)
    socket.readable.clear()
    for number in range(5):
        outlet.put(frame(number))
    assert socket.written == []
    socket.readable.set()
    await eventually(lambda: len(socket.written) == 5)
    assert socket.written == [frame(number) for number in range(5)]
    outlet.put(b"5")
    assert socket.written[-1] == b"5"


async def test_a_slow_client_skips_to_the_newest_stock() -> None:
    socket = Socket()
    outlet = DirectOutlet(socket.send)
    socket.readable.clear()
    for number in range(1000):
        outlet.put(frame(number), newest_only=True)
    socket.readable.set()
    await eventually(lambda: len(socket.written) == 2)
    assert socket.written == [b"0", b"999"]


async def test_a_client_too_slow_for_its_orders_news_is_disconnected() -> None:
    socket = Socket()
    outlet = DirectOutlet(socket.send)
    ended = asyncio.Event()
    outlet.when_ended(ended.set)
    socket.readable.clear()
    for number in range(ROOM + 2):
        outlet.put(frame(number))
    assert ended.is_set()
    outlet.close()
    socket.readable.set()
    await asyncio.sleep(0)
    assert socket.written == []


async def test_closing_leaves_no_task_and_writes_no_more() -> None:
    socket = Socket()
    outlet = DirectOutlet(socket.send)
    socket.readable.clear()
    outlet.put(b"0")
    assert len(asyncio.all_tasks()) == 2
    outlet.close()
    outlet.put(b"1")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1
    assert socket.written == []


async def test_a_heartbeat_does_not_queue_behind_what_waits_already() -> None:
    outlet = Outlet(heartbeat=b":\n\n")
    outlet.put(b"0")
    outlet.beat()
    assert await outlet.take() == [b"0"]
    outlet.beat()
    assert await outlet.take() == [b":\n\n"]
    assert await outlet.take(timeout_s=0.01) is None


async def test_a_mailbox_that_overflows_is_ended() -> None:
    outlet = Outlet()
    for number in range(ROOM + 1):
        outlet.put(frame(number))
    assert await outlet.take() is None


async def test_what_is_reported_while_a_client_is_brought_up_to_date_follows_once() -> None:
    outlet = Outlet()
    listener = Listener(ORDER, outlet)
    for sequence in (1, 2, 3):
        listener.offer(News(ORDER.key, (sequence, 0), "order", b"{}"))
    listener.begin((2, 0))
    listener.offer(News(ORDER.key, (3, 0), "order", b"{}"))
    listener.offer(News(ORDER.key, (4, 0), "order", b"{}"))
    frames = await outlet.take()
    assert frames is not None
    assert [frame.split(b"\n")[0] for frame in frames] == [b"id: 3-0", b"id: 4-0"]


async def test_a_burst_of_stock_levels_reaches_a_client_as_the_first_and_the_last() -> None:
    hub = Hub.__new__(Hub)
    hub._topics, hub._newest, hub._tasks = {}, {}, set()
    outlet = Outlet()
    listener = Listener(STOCK, outlet)
    listener.begin((0, 0))
    hub._topics[STOCK.key] = {listener}
    await hub._send([News(STOCK.key, (1, 0), "stock", b"{}")])
    first = await outlet.take()
    await hub._send([News(STOCK.key, (sequence, 0), "stock", b"{}") for sequence in range(2, 100)])
    last = await outlet.take(timeout_s=1)
    assert first is not None
    assert last is not None
    assert [frame.split(b"\n")[0] for frame in (*first, *last)] == [b"id: 1-0", b"id: 99-0"]
    await asyncio.gather(*hub._tasks)
