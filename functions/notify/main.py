"""Publishes order.*, payment.*, stock.adjusted, flash_sale.* to browsers' live streams; caches order_status:{id}."""

from typing import Any

from pulsecart.edge.streams.changes import ENDED_S, Change
from pulsecart.edge.streams.news import GONE, News, encode
from pulsecart.edge.streams.publish import Publisher
from pulsecart.edge.streams.topics import Topic, changes_of, messages
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import CloudEvent, rfc3339
from pulsecart.serving.operation import operation
from pulsecart.serving.subscriptions import Received, on

ENDED = frozenset({"FULFILLED", "CANCELED"})


async def publish(event: Received[Any], deps: Deps) -> None:
    """Publish an event to every topic that it changes."""
    for topic, change in changes_of(event.data):
        await _publish(event, deps, topic, change)


async def _publish(event: Received[Any], deps: Deps, topic: Topic, change: Change) -> None:
    """Publish to a stream; succeeds also when the stream has this sequence or a newer one (event repeated or late)."""
    envelope = event.envelope
    document = {**change.data, "sequence": envelope.sequence}
    if envelope.time:
        document["at"] = rfc3339(envelope.time)
    if traceparent := envelope.extensions.get("traceparent", ""):
        document["traceparent"] = traceparent
    buyer_id = getattr(event.data, "userId", "")
    status = _cached(document, buyer_id, _age_s(envelope, deps)) if change.event == "order" else ""
    id, data = (envelope.sequence, 0), encode(document)
    news = News(topic.key, id, change.event, data, buyer_id, traceparent, change.lasts_s, status)
    await deps.singleton(Publisher).publish(news)


def _age_s(envelope: CloudEvent, deps: Deps) -> float:
    return (deps.clock.now() - envelope.time).total_seconds() if envelope.time else ENDED_S


def _cached(document: dict[str, Any], buyer_id: str, age_s: float) -> str:
    """
    Return the value of ``order_status:{id}``: a deletion for an ended order; nothing for an event so late that the
    stream, which would reject it, may have expired.
    """
    if document["status"] in ENDED:
        return GONE
    if age_s >= ENDED_S:
        return ""
    named = {name: document[name] for name in ("orderId", "status", "sequence", "at") if name in document}
    return encode({**named, "userId": buyer_id}).decode()


notify = operation(
    "notify",
    events=[on(message, publish) for message in messages()],
    connections=1,
    redis=True,
)
