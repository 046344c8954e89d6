"""
Events of one partitionkey keep their order: the local broker guarantees it (and Kafka's with delivery.order:
ordered); over the in-memory channel a sender keeps it that waits for each answer before it sends the key's next event,
as the relay does.
"""

import asyncio

from pulsecart.runtime.event import CloudEvent
from tests.conformance.broker import BrokerUnderTest
from tests.conformance.conftest import Apply, Send
from tests.conformance.differences import differs
from tests.conformance.subscriber import Subscriber


def numbered(key: str, n: int) -> CloudEvent:
    return CloudEvent(
        id=f"{key}-{n}", source="/test", type="n.v1", extensions={"partitionkey": key, "sequence": f"{n:020d}"}
    )


async def test_a_key_stays_in_order_even_over_retries(
    apply: Apply, send: Send, broker: BrokerUnderTest, subscriber: Subscriber, sink: Subscriber
) -> None:
    await apply(t={"delivery": {"retry": 5, "backoffPolicy": "exponential", "backoffDelay": "PT0.02S"}})
    failed: set[str] = set()

    def fail_every_third_once(got: object) -> int | None:
        event: CloudEvent = got.event  # type: ignore[attr-defined]  # Got
        if event.sequence % 3 == 0 and event.id not in failed:
            failed.add(event.id)
            return 503
        return None

    subscriber.choose = fail_every_third_once

    async def send_all(key: str) -> None:
        for n in range(12):
            await send(numbered(key, n))

    await asyncio.gather(*map(send_all, ("a", "b", "c")))
    await subscriber.until(lambda got: len(got) == 36 + 12)
    for key in ("a", "b", "c"):
        tries = [got.event.sequence for got in subscriber.got if got.event.partitionkey == key]
        assert tries == sorted(tries) or differs(broker, "Order per key")
    assert not sink.got
