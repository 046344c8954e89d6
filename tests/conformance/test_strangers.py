"""The official SDKs receive the events of the official SDKs unchanged, each attribute and each byte."""

import asyncio
from base64 import b64decode
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.conformance.broker import BrokerUnderTest
from tests.conformance.conftest import FLAVOURS, Apply
from tests.conformance.differences import differs
from tests.conformance.subscriber import Got, Subscriber
from tests.strangers import sdks
from tests.strangers.events import Said, described, events, plain

COUNT = 1000
ADDED_BY_KNATIVE = frozenset(("knativearrivaltime", "traceparent", "tracestate"))


@pytest.fixture(scope="module")
def strangers() -> list[sdks.Sdk]:
    """Provide the SDKs, fetched and compiled once for all runs on this machine."""
    try:
        return sdks.made(sdks.CACHE)
    except sdks.Missing as missing:
        pytest.skip(str(missing))


# A JetStream channel takes two events of one id for one event, whatever their sources.
@pytest.mark.parametrize("broker", [name for name in FLAVOURS if name != "jetstream"], indirect=True)
@pytest.mark.timeout(600)
async def test_what_an_sdk_sends_every_sdk_receives_as_it_was_sent(
    apply: Apply, broker: BrokerUnderTest, subscriber: Subscriber, sink: Subscriber, strangers: list[sdks.Sdk]
) -> None:
    asked = events(COUNT, [sdk.name for sdk in strangers])
    async with AsyncExitStack() as opened:
        receivers = [await opened.enter_async_context(sdks.Receiver(sdk, broker.host)) for sdk in strangers]
        triggers = {receiver.sdk.name: {"subscriber": {"uri": receiver.url()}} for receiver in receivers}
        await apply(plain={}, **triggers)
        sent = {f"{one['n']:06}": one for one in await _all_sent(strangers, await broker.address(), asked)}
        messages = {number: described(one) for number, one in sent.items()}
        refused = {number: one["status"] for number, one in sent.items() if one["status"] != 202}
        assert refused == {number: 400 for number, message in messages.items() if _is_refused(message, broker)}
        taken = {number: message for number, message in messages.items() if number not in refused}
        assert len(taken) > COUNT // 2
        try:
            for receiver in receivers:
                await receiver.until(set(taken))
            await subscriber.until(lambda got: {_number(one) for one in got} >= taken.keys())
        except TimeoutError:
            pytest.fail(_lost(receivers, subscriber, sink, set(taken)))
    assert not sink.got, _lost(receivers, subscriber, sink, set(taken))
    complaints = [
        f"{number} to {receiver.sdk.name}: {complaint}"
        for receiver in receivers
        for number, message in taken.items()
        for got in receiver.got[number]
        for complaint in _heard(receiver.sdk, message, got, broker)
    ]
    for got in subscriber.of("plain"):
        complaints += [f"{_number(got)}: {complaint}" for complaint in _on_the_wire(taken[_number(got)], got, broker)]
    assert not complaints, "\n".join([f"{len(complaints)} differences:", *complaints[:20]])


def _number(got: Got) -> str:
    return got.event.extensions["strangerno"]


def _lost(receivers: list[sdks.Receiver], subscriber: Subscriber, sink: Subscriber, taken: set[str]) -> str:
    """Describe the accepted events that a subscriber did not receive, and the dead letters."""
    causes = "knativeerrordest", "knativeerrorcode"
    dead = sorted((_number(got), *(got.event.extensions.get(cause) for cause in causes)) for got in sink.got)
    arrived = {receiver.sdk.name: set(receiver.got) for receiver in receivers}
    arrived["plain"] = {_number(got) for got in subscriber.got}
    missing = {name: sorted(taken - numbers) for name, numbers in arrived.items() if taken - numbers}
    return f"not arrived: {missing}; dead letters: {dead}"


async def _all_sent(strangers: list[sdks.Sdk], url: str, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    shares = [[event for event in asked if event["sender"] == sdk.name] for sdk in strangers]
    sending = [sdks.sent(sdk, url, share) for sdk, share in zip(strangers, shares, strict=True)]
    return [one for share in await asyncio.gather(*sending) for one in share]


def _is_refused(message: Said, broker: BrokerUnderTest) -> bool:
    """Return whether it is in structured mode, with JSON that is no string where Go's SDK expects text."""
    is_json = message.written is not None and message.content is None
    return is_json and not _is_json_to_go(message) and differs(broker, "JSON data has any media type")


def _is_json_to_go(message: Said) -> bool:
    media_type = message.attributes.get("datacontenttype", "").partition(";")[0]
    return media_type in ("", "application/json", "text/json")


def _data(message: Said, broker: BrokerUnderTest) -> bytes:
    """Return the data as a receiver gets it through this broker."""
    if message.content is not None and not _is_json_to_go(message) and differs(broker, "JSON data has any media type"):
        return message.content
    if message.written is not None and differs(broker, "JSON data begins with its value"):
        return message.written
    return message.data


def _heard(sdk: sdks.Sdk, message: Said, got: Mapping[str, Any], broker: BrokerUnderTest) -> list[str]:
    """Return the differences between the sent event and the SDK's, as far as that SDK can show them."""
    data = _data(message, broker)
    found = [] if b64decode(got["data"]) == data else [f"data {data!r} came as {b64decode(got['data'])!r}"]
    sent = _attributes(message, broker)
    if "error" in got:
        is_known = data[:1].isspace() and sent.get("datacontenttype") in sdk.refuses_space
        return found if is_known else [got["error"]]
    read: dict[str, str] = dict(got["attributes"]) if sdk.decodes else _decoded(got["attributes"])
    sent.pop("time", None)
    times = message.attributes.get("time", ""), read.pop("time", "")  # an SDK makes one up where there is none
    readable = times[0] and len(times[0].partition(".")[2]) <= sdk.reads + len("+00:00")
    if readable and _instant(times[0], sdk.digits) != _instant(times[1], sdk.digits):
        found.append(f"time {times[0]} was read as {times[1]}")
    return found + _compared(sent, read, broker)


def _on_the_wire(message: Said, got: Got, broker: BrokerUnderTest) -> list[str]:
    """Return the differences between the sent event and the received HTTP request."""
    arrived = {n[3:]: plain(v.encode("latin-1").decode()) for n, v in got.headers.items() if n.startswith("ce-")}
    if "content-type" in got.headers:
        arrived["datacontenttype"] = got.headers["content-type"]
    found = _compared(_attributes(message, broker), arrived, broker)
    data = _data(message, broker)
    if (got.event.data or b"") != data:
        found.append(f"data {data!r} came as {got.event.data!r}")
    return found


def _attributes(message: Said, broker: BrokerUnderTest) -> dict[str, str]:
    """Return the attributes as read by a receiver that decodes percent signs once."""
    sent = dict(message.attributes)
    if message.structured and differs(broker, "Attributes are percent-encoded"):
        sent = _decoded(sent)
    if "time" in sent and differs(broker, "A time keeps its sender's text"):
        at, fraction = _instant(sent["time"], 9)
        sent["time"] = f"{at:%Y-%m-%dT%H:%M:%S}.{fraction}".rstrip("0").rstrip(".") + "Z"
    return sent


def _decoded(attributes: dict[str, str]) -> dict[str, str]:
    return {name: plain(value) if name != "datacontenttype" else value for name, value in attributes.items()}


def _compared(sent: dict[str, str], got: dict[str, str], broker: BrokerUnderTest) -> list[str]:
    if differs(broker, "Nothing is added"):
        got = {name: value for name, value in got.items() if name not in ADDED_BY_KNATIVE - sent.keys()}
    return [
        f"{name} {sent.get(name)!r} came as {got.get(name)!r}"
        for name in sorted(sent.keys() | got.keys())
        if sent.get(name) != got.get(name)
    ]


def _instant(text: str, digits: int) -> tuple[datetime, str]:
    """Return a time as UTC whole seconds, and this many digits of its fraction."""
    text = text.upper().replace("Z", "+00:00")
    at = datetime.fromisoformat(text[:19] + text[-6:]).astimezone(UTC)
    fraction = text[19:-6].lstrip(".")
    return at, f"{fraction:0<{digits}}"[:digits]
