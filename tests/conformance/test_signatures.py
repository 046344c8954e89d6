"""A signature arrives with its event through all brokers and channels; an event without one becomes a dead letter."""

from datetime import UTC, datetime

import pytest
from msgspec.structs import replace

from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.problem import Forbidden, Unauthorized
from pulsecart.serving import cloudevents
from pulsecart.serving.signatures import SIGNATURE, Keys
from tests.conformance.asked import event, quick
from tests.conformance.broker import BrokerUnderTest
from tests.conformance.conftest import Apply, Send
from tests.conformance.subscriber import Answer, Got, Subscriber

KEYS = Keys([b"the suite's key of 32 bytes or more"])
SHAPES = [
    event(sequence="00000000000000000007"),
    replace(event(), time=datetime(2026, 11, 29, 12, 0, 0, 120000, tzinfo=UTC), subject="s", dataschema="https://d"),
    replace(event(), data='{"name": "<b>é & 绿茶</b>", "price": 10.50, "n":[1, 2 ]}'.encode()),
    replace(event(), data=b"\x00\xff\xfe", datacontenttype="application/octet-stream"),
    replace(event(), data=None),
    event(correlationid='é 100% "quoted"'),
]


def as_an_operation(got: Got) -> Answer | None:
    """Return the operation's error status; None if it may handle the event."""
    try:
        KEYS.verify(got.event)
    except (Unauthorized, Forbidden) as refused:
        return refused.status
    return None


@pytest.mark.parametrize(
    "sent", SHAPES, ids=["plain", "all attributes", "spaced JSON", "binary", "no data", "odd text"]
)
async def test_a_signed_event_is_verified_where_it_arrives(
    apply: Apply, send: Send, subscriber: Subscriber, sent: CloudEvent
) -> None:
    await apply(t=quick())
    await send(KEYS.signed(sent))
    await subscriber.until(lambda got: len(got) == 1)
    KEYS.verify(subscriber.got[0].event)


async def test_it_is_verified_in_a_dead_letter_too(
    apply: Apply, send: Send, subscriber: Subscriber, sink: Subscriber
) -> None:
    subscriber.answer = 400
    await apply(t=quick(retry=0))
    await send(KEYS.signed(SHAPES[1]))
    await sink.until(lambda got: len(got) == 1)
    KEYS.verify(sink.got[0].event)
    assert SIGNATURE in sink.got[0].event.extensions


async def test_what_is_unsigned_or_changed_is_a_dead_letter_at_once(
    apply: Apply, broker: BrokerUnderTest, subscriber: Subscriber, sink: Subscriber
) -> None:
    if broker.flavour == "jetstream":
        pytest.skip("drops an event at its first 4xx: operations answer 503 there (RETRY_REFUSED)")
    subscriber.choose = as_an_operation
    await apply(t=quick())
    signed = KEYS.signed(event("signed"))
    changed = replace(signed, id="changed")
    for sent in (event("unsigned"), changed, signed):
        assert await broker.send(*cloudevents.binary(sent)) == 202
    await sink.until(lambda got: len(got) == 2)
    await subscriber.until(lambda got: len(got) == 3)
    assert {(got.event.id, got.event.extensions["knativeerrorcode"]) for got in sink.got} == {
        ("unsigned", "401"),
        ("changed", "403"),
    }
