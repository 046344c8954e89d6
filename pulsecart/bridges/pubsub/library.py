"""Creates clients of google-cloud-pubsub, for the emulator too; imports it at first use, because that takes seconds."""

import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

LATENCY_S = 0.005  # messages within this time share a call; a key has one call in flight
NAME = "google.cloud.pubsub_v1"


def installed() -> bool:
    """Return whether the library can be imported; does not import it."""
    try:
        return importlib.util.find_spec(NAME) is not None
    except ModuleNotFoundError:
        return False


def publisher(emulator_host: str) -> "PublisherClient":
    """Create a publisher that keeps the order of messages with one key."""
    from google.cloud.pubsub_v1 import PublisherClient
    from google.cloud.pubsub_v1.types import BatchSettings, PublisherOptions
    from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

    options: dict[str, Any] = {}
    if emulator_host:
        options["transport"] = PublisherGrpcTransport(channel=_channel(emulator_host))
    return PublisherClient(
        BatchSettings(max_latency=LATENCY_S), PublisherOptions(enable_message_ordering=True), **options
    )


def subscriber(emulator_host: str) -> "SubscriberClient":
    """Create a client that pulls."""
    from google.cloud.pubsub_v1 import SubscriberClient
    from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

    if not emulator_host:
        return SubscriberClient()
    return SubscriberClient(transport=SubscriberGrpcTransport(channel=_channel(emulator_host)))


def _channel(host: str) -> Any:
    import grpc

    return grpc.insecure_channel(host)
