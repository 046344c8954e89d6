"""Reads the news of all streams over one Redis connection per process, and detects every gap."""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from pulsecart.edge.streams.news import COUNT_KEY, FIREHOSE, News, id_of
from pulsecart.runtime.backoff import Backoff
from pulsecart.runtime.redis_client import Redis
from pulsecart.runtime.redis_error import RedisError

log = logging.getLogger(__name__)
NUMBER = b"n"
BLOCK_S = 20
COUNT = 512
CONNECT_S = 2.0
RECONNECT = Backoff(0.1, 1.0)


@dataclass
class Place:
    """The last entry read from one Redis run (``run_id``): its id and number."""

    run_id: str
    id: str
    number: int


async def follow(redis_url: str) -> AsyncGenerator[list[News] | None, None]:
    """
    Yield batches of news without end; while Redis runs, an empty batch after BLOCK_S s without news.

    None means that news before it may be missing, and none after it. It comes first, after Redis restarted, and when
    entries were trimmed before they were read.
    """
    place: Place | None = None
    failures = 0
    while True:
        client = Redis.from_url(redis_url, socket_timeout=BLOCK_S + CONNECT_S, socket_connect_timeout=CONNECT_S)
        redis = cast(Redis, client)  # redis-py declares its own class
        try:
            resumed = await _resumed(redis, place)
            if resumed is not place:
                place = resumed
                yield None
            async with aclosing(_read(redis, place)) as items:
                async for item in items:
                    failures = 0
                    yield item
        except (RedisError, OSError) as error:
            failures += 1
            if failures == 1:
                log.warning("live streams wait for Redis: %s", error)
        finally:
            await redis.aclose()
        await asyncio.sleep(RECONNECT.jittered_after(failures))


async def _resumed(redis: Redis, place: Place | None) -> Place:
    """Return the same place if Redis has not restarted, else the end of the new firehose."""
    run_id = str((await redis.info("server"))["run_id"])
    if place is not None and place.run_id == run_id:
        return place
    async with redis.pipeline(transaction=True) as pipe:
        pipe.xrevrange(FIREHOSE, count=1)
        pipe.get(COUNT_KEY)
        newest, number = await pipe.execute()
    return Place(run_id, newest[0][0].decode() if newest else "0-0", int(number or 0))


async def _read(redis: Redis, place: Place) -> AsyncGenerator[list[News] | None, None]:
    while True:
        reply: Any = await redis.xread({FIREHOSE: place.id}, count=COUNT, block=int(BLOCK_S * 1000))
        entries = reply[0][1] if reply else []
        place.id = entries[-1][0].decode() if entries else place.id
        ours = [fields for _, fields in entries if NUMBER in fields]
        if ours:
            expected = place.number + 1
            place.number = int(ours[-1][NUMBER])
            if int(ours[0][NUMBER]) != expected:
                yield None
        yield [_news(fields) for fields in ours]


def _news(fields: dict[bytes, bytes]) -> News:
    id = id_of(fields[b"i"].decode())
    assert id is not None, "the publisher writes no other"  # noqa: S101
    key, event, buyer_id, traceparent = (fields[name].decode() for name in (b"k", b"e", b"b", b"t"))
    return News(key, id, event, fields[b"d"], buyer_id, traceparent)
