"""Publishes the shop's events to Google Pub/Sub, a topic for each type; a key's messages keep their order."""

from collections.abc import Mapping

from msgspec.structs import replace

from pulsecart.bridges.pubsub.messages import outgoing
from pulsecart.bridges.pubsub.names import BadName, topic_of, topic_path
from pulsecart.bridges.pubsub.publisher import Publisher
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import Malformed, Unavailable
from pulsecart.serving.operation import operation
from pulsecart.serving.signatures import ADDED_BY_KNATIVE, SIGNATURE
from pulsecart.serving.subscriptions import Received, on_anything


async def publish(event: Received[bytes], deps: Deps) -> None:
    """
    Publish the event; return when Pub/Sub has stored it.

    A repeated delivery publishes it again: subscribers recognize it by ``ce-source`` and ``ce-id``.

    Raises:
        Malformed: Pub/Sub cannot carry the event.
        Unavailable: Pub/Sub did not acknowledge it; the broker retries.
    """
    settings = deps.settings
    if not settings.pubsub_project:
        raise Unavailable("pubsub-not-configured", "PUBSUB_PROJECT is not set, so no event can be published.")
    try:
        topic = topic_of(event.envelope.type, settings.pubsub_topic_prefix)
    except BadName as error:
        raise Malformed("pubsub-limit", f"The event's type has no topic: {error}.") from None
    envelope = replace(event.envelope, extensions=_public(event.envelope.extensions))
    await deps.singleton(publisher).publish(topic_path(settings.pubsub_project, topic), outgoing(envelope))


def publisher(deps: Deps) -> Publisher:
    """Create the process's Publisher, for ``deps.singleton``."""
    settings = deps.settings
    made = Publisher(settings.pubsub_emulator_host, create_topics=settings.pubsub_create_topics)
    deps.closing.append(made.close)
    return made


def _public(extensions: Mapping[str, str]) -> dict[str, str]:
    """Return an event's extensions without those that concern only the way through this shop's broker."""
    return {
        name: value
        for name, value in extensions.items()
        if value and name != SIGNATURE and not name.startswith(ADDED_BY_KNATIVE)
    }


pubsub_publish = operation("pubsub_publish", events=[on_anything(publish)], connections=1)
