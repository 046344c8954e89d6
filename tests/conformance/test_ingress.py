"""The ingress accepts valid events and rejects all others."""

import pytest

from tests.conformance.broker import BrokerUnderTest
from tests.conformance.conftest import Apply
from tests.conformance.subscriber import Subscriber

BINARY = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/test", "ce-type": "asked.v1"}
JSON = {**BINARY, "content-type": "application/json"}
STRUCTURED = {"content-type": "application/cloudevents+json; charset=UTF-8"}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        (JSON, b'{"a":1}'),
        (STRUCTURED, b'{"specversion":"1.0","id":"1","source":"/test","type":"asked.v1","data":{"a":1}}'),
        (STRUCTURED, b'{"specversion":"1.0","id":"1","source":"/test","type":"asked.v1","data_base64":"eyJhIjoxfQ=="}'),
    ],
    ids=["binary", "structured", "structured base64"],
)
async def test_an_event_is_taken_in_either_mode(
    apply: Apply, broker: BrokerUnderTest, subscriber: Subscriber, headers: dict[str, str], body: bytes
) -> None:
    await apply(t={})
    assert await broker.send(headers, body) == 202
    await subscriber.until(lambda got: len(got) == 1)
    assert subscriber.got[0].event.data == b'{"a":1}'


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"content-type": "application/json"}, b"{}"),
        ({name: value for name, value in JSON.items() if name != "ce-id"}, b"{}"),
        ({name: value for name, value in JSON.items() if name != "ce-source"}, b"{}"),
        ({name: value for name, value in JSON.items() if name != "ce-type"}, b"{}"),
        ({**JSON, "ce-specversion": "9.9"}, b"{}"),
        (STRUCTURED, b'{"specversion":"1.0","id":"1"}'),
        (STRUCTURED, b"not json"),
    ],
    ids=["no event", "no id", "no source", "no type", "unknown version", "half an event", "no JSON"],
)
async def test_what_is_no_event_is_refused_with_400(
    apply: Apply, broker: BrokerUnderTest, headers: dict[str, str], body: bytes
) -> None:
    await apply(t={})
    assert await broker.send(headers, body) == 400


async def test_a_broker_that_does_not_exist_is_404(apply: Apply, broker: BrokerUnderTest) -> None:
    await apply(t={})
    assert await broker.send(JSON, b"{}", to="nobody") == 404


async def test_a_batch_is_refused(apply: Apply, broker: BrokerUnderTest) -> None:
    await apply(t={})
    assert await broker.send({"content-type": "application/cloudevents-batch+json"}, b"[]") in (400, 415)


async def test_a_token_that_was_not_asked_for_changes_nothing_and_goes_no_further(
    apply: Apply, broker: BrokerUnderTest, subscriber: Subscriber
) -> None:
    """The broker does not authenticate senders here; test_event_policy.py has one that does."""
    await apply(t={})
    assert await broker.send({**JSON, "authorization": "Bearer forged"}, b"{}") == 202
    await subscriber.until(lambda got: len(got) == 1)
    assert "authorization" not in subscriber.got[0].headers
