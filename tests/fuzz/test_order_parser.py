"""
For any bytes sent as an order, the answer is 2xx, or 4xx as problem+json, and no unexpected error is logged.

Seconds here, the same examples each time. Longer, with others each time:

    FUZZ_S=600 ./scripts/test tests/fuzz
"""

import asyncio
import json
import logging
import os
import time

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as some

from pulsecart.serving.http import PROBLEM, Reply, Request
from pulsecart.serving.operation import Operation
from tests.client import Client
from tests.fuzz.orders import PATHS, bodies, keys

FUZZ_S = float(os.environ.get("FUZZ_S", "0"))
EXAMPLES = 300


class Counter(logging.Handler):
    """Counts unexpected log records."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(self.format(record))


@pytest.mark.timeout(FUZZ_S + 300)
async def test_any_bytes_as_an_order_are_answered_and_never_by_an_error_of_ours(client: Client) -> None:
    await client.restock(1, 10_000_000)
    unexpected, began, tried = Counter(), time.monotonic(), dict[int, int]()
    logging.getLogger().addHandler(unexpected)
    loop = asyncio.get_running_loop()
    fuzzing = settings(
        max_examples=EXAMPLES,
        derandomize=not FUZZ_S,
        database=None,
        deadline=None,
        phases=[Phase.explicit, Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )

    @fuzzing
    @given(path=some.sampled_from(PATHS), body=bodies, key=keys)
    def one(path: str, body: bytes, key: str | None) -> None:
        reply = asyncio.run_coroutine_threadsafe(_asked(client, path, body, key), loop).result(60)
        tried[reply.status] = tried.get(reply.status, 0) + 1
        assert 200 <= reply.status < 500, (reply.status, reply.body)
        assert unexpected.seen == []
        if reply.status >= 400:
            document = json.loads(reply.body)
            assert reply.media_type == PROBLEM
            assert document["status"] == reply.status
            assert document["detail"]

    try:
        await asyncio.to_thread(one)
        while time.monotonic() - began < FUZZ_S:
            await asyncio.to_thread(one)
    finally:
        logging.getLogger().removeHandler(unexpected)
        print(f"\n{sum(tried.values())} executions in {time.monotonic() - began:.0f} s, by status: {tried}")
    assert tried.keys() >= {400}
    assert tried.keys() & {200, 201, 202}, "some of them must be orders"


async def _asked(client: Client, path: str, body: bytes, key: str | None) -> Reply:
    operation: Operation = client.operations["checkout"]
    headers = {} if key is None else {"idempotency-key": key}
    return await operation.answer(Request("POST", path, headers, body), client.deps)
