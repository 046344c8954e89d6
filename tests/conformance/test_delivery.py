"""A subscriber's status decides a delivery: done, retry, or dead letter."""

import asyncio
from base64 import b64decode
from itertools import pairwise

import pytest

from pulsecart.runtime.event import CloudEvent
from pulsecart.serving import cloudevents
from tests.conformance.asked import assert_cause, event, quick
from tests.conformance.broker import BrokerUnderTest
from tests.conformance.conftest import Apply, Send
from tests.conformance.differences import IN_MEMORY, differs
from tests.conformance.subscriber import Answer, Subscriber

ARRIVAL_S = 0.05  # a request may take so much longer than the one before it
FORM = {"content-type": "text/plain"}


async def test_an_event_arrives_as_it_was_sent(
    apply: Apply, send: Send, broker: BrokerUnderTest, subscriber: Subscriber
) -> None:
    await apply(t={})
    sent = CloudEvent(
        id='ä % "1"',
        source="/test",
        type="asked.v1",
        subject="s",
        dataschema="https://example.com/x",
        datacontenttype="application/json",
        data=b'{"a": 1}',
        extensions={"partitionkey": "k", "traceparent": "00-1-2-01"},
    )
    await send(sent)
    await subscriber.until(lambda got: len(got) == 1)
    arrived = subscriber.got[0].event
    kept = sent.attributes()
    if differs(broker, "An event arrives as it was sent"):
        del kept["traceparent"]
    assert {**arrived.attributes(), **kept} == arrived.attributes()  # a broker may add attributes
    assert arrived.data == sent.data


@pytest.mark.parametrize("answer", [200, 202, 204, (202, FORM, b"")])
async def test_an_empty_2xx_is_done(
    apply: Apply, send: Send, subscriber: Subscriber, sink: Subscriber, answer: Answer
) -> None:
    await apply(t={}, other={})
    subscriber.choose = lambda got: answer if got.path == "/t" else None
    await send(event("1"))
    await send(event("2"))
    await subscriber.until(lambda got: len(got) == 4)
    assert [got.event.id for got in subscriber.of("t")] == ["1", "2"]
    assert not sink.got


@pytest.mark.parametrize("code", [500, 502, 503, 504, 404, 408, 409, 429])
async def test_these_codes_are_retried(
    apply: Apply, send: Send, broker: BrokerUnderTest, subscriber: Subscriber, sink: Subscriber, code: int
) -> None:
    await apply(t=quick())
    subscriber.answers = [code, code]
    await send(event("1"))
    if code in (404, 409) and differs(broker, "404 and 409 are retried"):
        await subscriber.until(lambda got: len(got) == 1)  # the channel drops the event for good
    else:
        await subscriber.until(lambda got: len(got) == 3)
    assert not sink.got


@pytest.mark.parametrize("code", [400, 401, 403, 405, 410, 413, 415, 422])
async def test_these_codes_are_final(
    apply: Apply, send: Send, broker: BrokerUnderTest, subscriber: Subscriber, sink: Subscriber, code: int
) -> None:
    lost = differs(broker, "A final status is a dead letter at once")  # but on the last attempt
    await apply(t={"delivery": {"retry": 0}} if lost else quick())
    subscriber.answers = [code]
    await send(event("1"))
    await sink.until(lambda got: len(got) == 1)
    assert len(subscriber.got) == 1
    assert sink.got[0].headers["ce-knativeerrorcode"] == str(code)


async def test_after_one_attempt_and_its_retries_the_sink_gets_the_event_and_the_cause(
    apply: Apply, send: Send, subscriber: Subscriber, sink: Subscriber
) -> None:
    await apply(t=quick())
    subscriber.answer = (503, FORM, b"out of order")
    await send(event("1", orderstatus="pending"))
    await sink.until(lambda got: len(got) == 1)
    letter = sink.got[0].event
    assert len(subscriber.got) == 3
    assert (letter.id, letter.type, letter.data) == ("1", "asked.v1", b'{"a":1}')
    assert letter.extensions["orderstatus"] == "pending"
    assert letter.extensions["knativeerrordest"] == subscriber.url("t")
    assert letter.extensions["knativeerrorcode"] == "503"
    assert b64decode(letter.extensions["knativeerrordata"]) == b"out of order"


async def test_a_triggers_delivery_replaces_the_brokers(
    apply: Apply, send: Send, subscriber: Subscriber, sink: Subscriber
) -> None:
    await apply(brokers={}, own={"delivery": {"retry": 0}})
    subscriber.answer = 503
    await send(event("1"))
    await sink.until(lambda got: len(got) == 2)
    assert len(subscriber.of("own")) == 1
    assert len(subscriber.of("brokers")) == 3


async def test_a_subscriber_that_does_not_answer_in_time_is_asked_again_and_ends_in_the_sink(
    apply: Apply, send: Send, broker: BrokerUnderTest, subscriber: Subscriber, sink: Subscriber
) -> None:
    await apply(t=quick(timeout="PT0.2S"))
    subscriber.hold = asyncio.Event()
    await send(event("1"))
    await sink.until(lambda got: len(got) == 1)
    subscriber.hold.set()
    assert len(subscriber.got) == 3
    assert_cause(broker, sink, subscriber.url("t"), "500")


@pytest.mark.parametrize(("policy", "least"), [("exponential", [0.1, 0.2, 0.4]), ("linear", [0.0, 0.1, 0.2])])
async def test_retries_wait_as_the_policy_says(
    apply: Apply, send: Send, subscriber: Subscriber, sink: Subscriber, policy: str, least: list[float]
) -> None:
    await apply(t={"delivery": {"retry": 3, "backoffPolicy": policy, "backoffDelay": "PT0.1S"}})
    subscriber.answer = 503
    await send(event("1"))
    await sink.until(lambda got: len(got) == 1)
    times = [got.at for got in subscriber.got]
    waits = [later - earlier for earlier, later in pairwise(times)]
    assert len(waits) == 3
    assert all(wait >= expected - ARRIVAL_S for wait, expected in zip(waits, least, strict=True))
    assert sum(waits) < sum(least) + 2.0


async def test_a_subscriber_that_cannot_be_reached_ends_in_the_sink(
    apply: Apply, send: Send, subscriber: Subscriber, sink: Subscriber
) -> None:
    await apply(gone={"subscriber": {"uri": "http://127.0.0.1:9/gone"}, **quick()})
    await send(event("1"))
    await sink.until(lambda got: len(got) == 1)
    assert sink.got[0].event.id == "1"
    assert sink.got[0].event.extensions["knativeerrordest"] == "http://127.0.0.1:9/gone"
    assert sink.got[0].event.extensions["knativeerrorcode"] == "500"


async def test_of_a_failed_answer_the_sink_gets_768_bytes(
    apply: Apply, send: Send, subscriber: Subscriber, sink: Subscriber
) -> None:
    await apply(t={"delivery": {"retry": 0}})
    subscriber.answer = (500, FORM, b"x" * 768)  # one more and Knative's dispatcher ends: see docs/conformance.md
    await send(event("1"))
    await sink.until(lambda got: len(got) == 1)
    assert b64decode(sink.got[0].event.extensions["knativeerrordata"]) == b"x" * 768


async def test_each_trigger_fails_for_itself(
    apply: Apply, send: Send, subscriber: Subscriber, sink: Subscriber
) -> None:
    await apply(bad={"delivery": {"retry": 0}}, good={})
    subscriber.choose = lambda got: 400 if got.path == "/bad" else None
    await send(event("1"))
    await subscriber.until(lambda got: any(g.path == "/good" for g in got))
    await sink.until(lambda got: len(got) == 1)
    assert len(subscriber.of("good")) == 1
    assert sink.got[0].event.extensions["knativeerrordest"].endswith("/bad")


async def test_a_dead_letter_that_its_sink_refuses_is_not_taken_for_done(
    apply: Apply, broker: BrokerUnderTest, subscriber: Subscriber, sink: Subscriber
) -> None:
    await apply(t={"delivery": {"retry": 0}})
    subscriber.answer = 500
    sink.answers = [503, 503]
    status = await broker.send(*cloudevents.binary(event("1")))
    if not differs(broker, "A dead letter that its sink rejects"):
        await sink.until(lambda got: len(got) == 3)  # tried until it is taken
    elif broker.flavour == IN_MEMORY:
        assert status == 500  # the sender has to send again


async def test_the_ingress_answers_before_its_subscribers(
    apply: Apply, broker: BrokerUnderTest, subscriber: Subscriber
) -> None:
    await apply(t={})
    subscriber.hold = asyncio.Event()
    sending = asyncio.ensure_future(broker.send(*cloudevents.binary(event("1"))))
    await subscriber.until(lambda got: len(got) == 1)
    if differs(broker, "202 at once"):
        assert not sending.done()
        subscriber.hold.set()
    assert await sending == 202
    subscriber.hold.set()
