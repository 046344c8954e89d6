"""A subscriber's response is routed as an event if it is one, and is a failure if it is not."""

import pytest

from pulsecart.serving import cloudevents
from tests.conformance.asked import assert_cause, event, quick
from tests.conformance.broker import BrokerUnderTest
from tests.conformance.conftest import Apply, Send
from tests.conformance.subscriber import Answer, Subscriber

FORM = {"content-type": "text/plain"}
JSON_EVENT = {"content-type": cloudevents.STRUCTURED}


@pytest.mark.parametrize("status", [200, 201, 202])
async def test_a_2xx_with_an_event_sends_that_event_to_who_wants_it(
    apply: Apply, send: Send, subscriber: Subscriber, status: int
) -> None:
    reply = event("reply-1", type="answered.v1")
    wants = {"filter": {"attributes": {"type": "asked.v1"}}}
    await apply(asked=wants, answered={"filter": {"attributes": {"type": "answered.v1"}}})
    subscriber.choose = lambda got: (status, *cloudevents.binary(reply)) if got.path == "/asked" else None
    await send(event("1"))
    await subscriber.until(lambda got: any(g.path == "/answered" for g in got))
    assert [got.event.id for got in subscriber.of("answered")] == ["reply-1"]


async def test_a_structured_reply_is_an_event_too(apply: Apply, send: Send, subscriber: Subscriber) -> None:
    reply = cloudevents.structured(event("reply-2", type="answered.v1"))
    await apply(answered={"filter": {"attributes": {"type": "answered.v1"}}}, asked={})
    subscriber.choose = lambda got: (200, JSON_EVENT, reply) if got.event.type == "asked.v1" else None
    await send(event("1"))
    await subscriber.until(lambda got: any(g.path == "/answered" for g in got))


@pytest.mark.parametrize("answer", [(200, FORM, b"OK"), (202, FORM, b"{}"), (200, JSON_EVENT, b"{")])
async def test_a_2xx_with_what_is_no_event_is_a_failure(
    apply: Apply, send: Send, broker: BrokerUnderTest, subscriber: Subscriber, sink: Subscriber, answer: Answer
) -> None:
    await apply(t=quick())
    subscriber.answer = answer
    await send(event("1"))
    await sink.until(lambda got: len(got) == 1)
    assert len(subscriber.got) == 3
    assert_cause(broker, sink, subscriber.url("t"), "502")


HALF = b'{"specversion":"1.0","id":"1"}'


@pytest.mark.parametrize("answer", [(200, {"ce-specversion": "1.0"}, b""), (200, JSON_EVENT, HALF)])
async def test_a_reply_that_is_half_an_event_is_refused_for_good(
    apply: Apply, send: Send, subscriber: Subscriber, sink: Subscriber, answer: Answer
) -> None:
    await apply(t=quick())
    subscriber.answer = answer
    await send(event("1"))
    await sink.until(lambda got: len(got) == 1)
    assert len(subscriber.got) == 1
    assert sink.got[0].event.id == "1"
    assert sink.got[0].event.extensions["knativeerrorcode"] == "400"
