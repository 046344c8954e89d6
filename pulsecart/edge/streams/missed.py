"""Reads the entries that a client missed after its last id, or the reason why they are no longer complete."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pulsecart.edge.streams.news import START, Id, News, dashed, id_of
from pulsecart.edge.streams.topics import Topic
from pulsecart.runtime.batch import Batcher
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.redis_error import RedisError

MISSED_MAX = 1_000


@dataclass(frozen=True)
class Missed:
    """``lost``: why entries may be missing, so that a snapshot is needed; None if ``news`` is complete."""

    news: Sequence[News] = ()
    lost: str | None = None


class History:
    """Reads missed entries; concurrent reads share one round trip. Made with ``deps.singleton(History)``."""

    def __init__(self, deps: Deps) -> None:
        self._redis = deps.redis
        self._batch: Batcher[tuple[Topic, Id], Missed] = Batcher(self._read)

    async def after(self, topic: Topic, last: Id) -> Missed:
        """Return the entries after ``last``, only the newest for a newest-only topic; a RedisError counts as lost."""
        try:
            return await self._batch.submit((topic, last))
        except RedisError:
            return Missed(lost="history-unavailable")

    async def _read(self, positions: list[tuple[Topic, Id]]) -> Sequence[Missed]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for topic, last in positions:
                pipe.xrange(topic.key, count=1)
                pipe.xrevrange(topic.key, count=1)
                pipe.xrange(topic.key, min=f"({dashed(last)}", count=1 if topic.kind.newest_only else MISSED_MAX)
            replies = await pipe.execute()
        return [
            _missed(topic, last, *([_news(topic, entry) for entry in reply] for reply in replies[at * 3 : at * 3 + 3]))
            for at, (topic, last) in enumerate(positions)
        ]


def _missed(topic: Topic, last: Id, oldest: list[News], newest: list[News], after: list[News]) -> Missed:
    if not oldest:
        return Missed(lost="history-empty")
    if last > newest[0].id:
        return Missed(lost="ahead-of-history")
    if last[0] < oldest[0].id[0] - 1:  # sequences have no gaps
        return Missed(lost="history-gone")
    if len(after) == MISSED_MAX:
        return Missed(lost="too-much-missed")
    return Missed(newest if after and topic.kind.newest_only else after)


def _news(topic: Topic, entry: tuple[bytes, dict[bytes, Any]]) -> News:
    return News(topic.key, id_of(entry[0].decode()) or START, entry[1][b"e"].decode(), entry[1][b"d"])
