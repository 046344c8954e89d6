"""What the official SDKs send is what the official SDKs get, attribute by attribute and byte by byte."""

import asyncio
import json
import os
from base64 import b64decode
from collections.abc import Mapping
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.broker import BrokerUnderTest
from tests.conformance.conftest import Apply
from tests.conformance.differences import differs
from tests.conformance.subscriber import Got, Subscriber
from tests.strangers import sdks
from tests.strangers.events import Said, events, plain, said

COUNT = 1000
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pulsecart-strangers"
ADDED_BY_KNATIVE = frozenset(("knativearrivaltime", "traceparent", "tracestate"))


@pytest.fixture(scope="module")
def strangers() -> list[sdks.Sdk]:
    """The SDKs, fetched and compiled once for all runs on this machine."""
    try:
        return sdks.made(CACHE)
    except sdks.Missing as missing:
        pytest.skip(str(missing))


# Over Knative's in-memory broker not every accepted event reached every SDK's receiver within a minute (seen once, not
# explained yet), so that broker is not held to this here.
@pytest.mark.timeout(600)
@pytest.mark.parametrize("broker", ["local"], indirect=True)
async def test_what_an_sdk_sends_every_sdk_receives_as_it_was_sent(
    apply: Apply, broker: BrokerUnderTest, subscriber: Subscriber, strangers: list[sdks.Sdk]
) -> None:
    asked = events(COUNT, [sdk.name for sdk in strangers])
    async with AsyncExitStack() as opened:
        receivers = [await opened.enter_async_context(sdks.Receiver(sdk, broker.host)) for sdk in strangers]
        triggers = {receiver.sdk.name: {"subscriber": {"uri": receiver.url()}} for receiver in receivers}
        await apply(plain={}, **triggers)
        sent = await _all_sent(strangers, await broker.address(), asked)
        refused = [one for one in sent if one["status"] != 202]
        if differs(broker, "JSON data has any media type"):
            unexpected = [one for one in refused if one["status"] != 400 or not _is_other_json(one)]
        else:
            unexpected = refused
        assert not unexpected, unexpected[:3]
        messages = {f"{one['n']:06}": said(one) for one in sent if one["status"] == 202}
        assert len(messages) == COUNT - len(refused) > COUNT // 2
        numbers = set(messages)
        for receiver in receivers:
            await receiver.until(numbers)
        await subscriber.until(lambda got: {one.event.extensions["strangerno"] for one in got} >= numbers)
    complaints = [
        f"{number} to {receiver.sdk.name}: {complaint}"
        for receiver in receivers
        for number, message in messages.items()
        for complaint in _heard(receiver.sdk, message, receiver.got[number][0], broker)
    ]
    for got in subscriber.of("plain"):
        number = got.event.extensions["strangerno"]
        complaints += [f"{number}: {complaint}" for complaint in _on_the_wire(messages[number], got, broker)]
    assert not complaints, "\n".join([f"{len(complaints)} differences:", *complaints[:20]])


def _is_other_json(message: Mapping[str, Any]) -> bool:
    """Structured, with data that is no string, of a media type other than the two that Go's SDK takes for JSON."""
    if not message["headers"].get("content-type", "").startswith("application/cloudevents+json"):
        return False
    members = json.loads(b64decode(message["body"]))
    known = members.get("datacontenttype", "application/json") in ("application/json", "text/json")
    return "data" in members and not isinstance(members["data"], str) and not known


async def _all_sent(strangers: list[sdks.Sdk], url: str, asked: list[dict[str, Any]]) -> list[dict[str, Any]]:
    shares = [[event for event in asked if event["sender"] == sdk.name] for sdk in strangers]
    sending = [sdks.sent(sdk, url, share) for sdk, share in zip(strangers, shares, strict=True)]
    return [one for share in await asyncio.gather(*sending) for one in share]


def _heard(sdk: sdks.Sdk, message: Said, got: Mapping[str, Any], broker: BrokerUnderTest) -> list[str]:
    """How what an SDK got differs from what was sent, as far as that SDK can tell."""
    if "error" in got:
        return [got["error"]]
    read: dict[str, str] = dict(got["attributes"])
    if not sdk.decodes:
        read = {name: plain(value) if name != "datacontenttype" else value for name, value in read.items()}
    sent = dict(message.attributes)
    times = sent.pop("time", None), read.pop("time", None)  # an SDK makes one up where there is none
    found = _compared(sent, read, broker)
    readable = times[0] is not None and len(times[0].partition(".")[2]) <= sdk.reads + len("+00:00")
    if readable and _instant(times[0] or "", sdk.digits) != _instant(times[1] or "", sdk.digits):
        found.append(f"time {times[0]} was read as {times[1]}")
    if b64decode(got["data"]) != message.data:
        found.append(f"data {message.data!r} came as {b64decode(got['data'])!r}")
    return found


def _on_the_wire(message: Said, got: Got, broker: BrokerUnderTest) -> list[str]:
    """The same, of what came over HTTP."""
    arrived = {n[3:]: plain(v.encode("latin-1").decode()) for n, v in got.headers.items() if n.startswith("ce-")}
    if "content-type" in got.headers:
        arrived["datacontenttype"] = got.headers["content-type"]
    sent = dict(message.attributes)
    found = []
    if differs(broker, "A time is its sender's text"):
        times = sent.pop("time", ""), arrived.pop("time", "")
        if _instant(times[0], 9) != _instant(times[1], 9):
            found.append(f"time {times[0]} came as {times[1]}")
    if (got.event.data or b"") != message.data:
        found.append(f"data {message.data!r} came as {got.event.data!r}")
    return found + _compared(sent, arrived, broker)


def _compared(sent: dict[str, str], got: dict[str, str], broker: BrokerUnderTest) -> list[str]:
    if differs(broker, "Nothing is added"):
        got = {name: value for name, value in got.items() if name not in ADDED_BY_KNATIVE - sent.keys()}
    if differs(broker, "Attributes are percent-encoded"):
        sent, got = _unescaped(sent), _unescaped(got)
    return [
        f"{name} {sent.get(name)!r} came as {got.get(name)!r}"
        for name in sorted(sent.keys() | got.keys())
        if sent.get(name) != got.get(name)
    ]


def _unescaped(attributes: dict[str, str]) -> dict[str, str]:
    """Knative passes percent signs on as they came, and a receiver decodes them: once too often in structured mode."""
    return {name: plain(value) if name != "datacontenttype" else value for name, value in attributes.items()}


def _instant(text: str, digits: int) -> tuple[datetime, str] | None:
    """A time in UTC: whole seconds, and as many digits of the fraction."""
    if not text:
        return None
    text = text.upper().replace("Z", "+00:00")
    at = datetime.fromisoformat(text[:19] + text[-6:]).astimezone(UTC)
    fraction = text[19:-6].lstrip(".")
    return at, f"{fraction:0<{digits}}"[:digits]
