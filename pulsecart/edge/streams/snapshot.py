"""Reads snapshots: a stream's current state from PostgreSQL, with the id of the newest event it includes."""

import asyncio
from collections.abc import Sequence

from pulsecart.edge.streams.news import News
from pulsecart.edge.streams.topics import SALES, Kind, Topic
from pulsecart.runtime.batch import Batcher
from pulsecart.runtime.deps import Deps

SALES_FRESH_S = 1.0


class Snapshots:
    """Reads snapshots; concurrent reads share one transaction. Made with ``deps.singleton(Snapshots)``."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._batch: Batcher[Topic, News | None] = Batcher(self._read)
        self._sales: tuple[float, bytes] = (0.0, b"")

    async def of(self, topic: Topic) -> News | None:
        """
        Read the snapshot of a topic.

        Returns:
            The current state as news, with an order's buyer; None if there is no such product or order.

        Raises:
            Unavailable: PostgreSQL cannot be reached.
        """
        return await self._batch.submit(topic)

    async def sales(self) -> bytes:
        """Return the sales as JSON, cached for at most SALES_FRESH_S; raises as ``of``."""
        read_at, body = self._sales
        if not body or asyncio.get_running_loop().time() - read_at > SALES_FRESH_S:
            started_at = asyncio.get_running_loop().time()
            news = await self.of(SALES.topic())
            assert news is not None, "sales always have a state"  # noqa: S101
            body = news.data
            self._sales = (started_at, body)
        return body

    async def _read(self, topics: list[Topic]) -> Sequence[News | None]:
        wanted: dict[Kind, set[str]] = {}
        for topic in topics:
            wanted.setdefault(topic.kind, set()).add(topic.id)
        async with self._deps.db.transaction() as tx:
            found = {kind: await kind.read(tx, ids) for kind, ids in wanted.items()}
        states = [found[topic.kind].get(topic.id) for topic in topics]
        return [
            News(topic.key, (state.sequence, 0), "snapshot", state.data, state.buyer_id) if state else None
            for topic, state in zip(topics, states, strict=True)
        ]
