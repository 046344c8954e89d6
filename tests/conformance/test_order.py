"""Order: promised per partitionkey by the local broker (and by Kafka's with delivery.order: ordered)."""

from shop.event import CloudEvent
from tests.conformance.conftest import Apply, Send
from tests.conformance.subscriber import Subscriber


def numbered(key: str, n: int) -> CloudEvent:
    return CloudEvent(
        id=f"{key}-{n}", source="/test", type="n.v1", extensions={"partitionkey": key, "sequence": f"{n:020d}"}
    )


async def test_a_key_stays_in_order_even_over_retries(
    apply: Apply, send: Send, subscriber: Subscriber, sink: Subscriber
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
    for n in range(12):
        for key in ("a", "b", "c"):
            await send(numbered(key, n))
    await subscriber.until(lambda got: len(got) == 36 + 12)
    for key in ("a", "b", "c"):
        tries = [got.event.sequence for got in subscriber.got if got.event.partitionkey == key]
        assert tries == sorted(tries)
    assert not sink.got
