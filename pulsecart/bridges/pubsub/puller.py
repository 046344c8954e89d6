"""Pulls messages of Google Pub/Sub in batches, and acknowledges them or gives them back."""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from typing import TYPE_CHECKING, Any, TypeVar

from pulsecart.bridges.pubsub import library
from pulsecart.bridges.pubsub.messages import Incoming
from pulsecart.runtime.event import rfc3339
from pulsecart.runtime.problem import Unavailable

if TYPE_CHECKING:
    from google.cloud.pubsub_v1 import SubscriberClient

T = TypeVar("T")
BATCH_MAX = 100
PULL_S = 5.0  # Pub/Sub keeps an unanswered request open until there is a message
CALL_S = 10.0


class Leased:
    """A pulled message; until the subscription's deadline for acknowledgements, Pub/Sub delivers it to no other."""

    def __init__(self, ack_id: str, message: Incoming) -> None:
        self.ack_id = ack_id
        self.message = message


class Puller:
    """Pulls with one client, which is created at the first call; each call runs in a thread."""

    def __init__(self, emulator_host: str) -> None:
        self._emulator_host = emulator_host
        self._client: SubscriberClient | None = None
        self._threads = ThreadPoolExecutor(2, "pubsub")

    async def pull(self, subscription: str) -> list[Leased]:
        """
        Return up to BATCH_MAX messages; none if there was none for PULL_S.

        Args:
            subscription: its full name, ``projects/…/subscriptions/…``.

        Raises:
            Unavailable: Pub/Sub cannot be reached, or has no such subscription for us.
        """

        def pull(client: "SubscriberClient") -> list[Leased]:
            from google.api_core.exceptions import DeadlineExceeded

            request = {"subscription": subscription, "max_messages": BATCH_MAX}
            try:
                response = client.pull(request=request, retry=None, timeout=PULL_S)
            except DeadlineExceeded:
                return []
            return [_leased(subscription, one) for one in response.received_messages]

        return await self._call(subscription, pull)

    async def acknowledge(self, subscription: str, leased: Sequence[Leased]) -> None:
        """
        Acknowledge messages: Pub/Sub does not deliver them again, unless their deadline has passed.

        Raises:
            Unavailable: they may be delivered again.
        """
        request = {"subscription": subscription, "ack_ids": [one.ack_id for one in leased]}
        if leased:
            await self._call(
                subscription, lambda client: client.acknowledge(request=request, retry=None, timeout=CALL_S)
            )

    async def give_back(self, subscription: str, leased: Sequence[Leased]) -> None:
        """
        Let Pub/Sub deliver messages again now, or move them to the dead-letter topic after their last attempt.

        Raises:
            Unavailable: they are delivered again when their deadline has passed.
        """
        ids = [one.ack_id for one in leased]
        request = {"subscription": subscription, "ack_ids": ids, "ack_deadline_seconds": 0}
        if leased:
            await self._call(
                subscription, lambda client: client.modify_ack_deadline(request=request, retry=None, timeout=CALL_S)
            )

    async def close(self) -> None:
        """Close the client."""
        client, self._client = self._client, None
        if client is not None:
            await asyncio.get_running_loop().run_in_executor(self._threads, client.close)
        self._threads.shutdown(wait=False)

    async def _call(self, subscription: str, call: "Callable[[SubscriberClient], T]") -> T:
        if not library.installed():
            raise Unavailable("pubsub-not-installed", "google-cloud-pubsub is not installed; see docs/pubsub.md.")

        def run() -> T:
            from google.api_core.exceptions import GoogleAPIError
            from google.auth.exceptions import GoogleAuthError

            try:
                if self._client is None:
                    self._client = library.subscriber(self._emulator_host)
                return call(self._client)
            except (GoogleAPIError, GoogleAuthError) as error:
                raise Unavailable("pubsub-away", f"Pub/Sub does not serve {subscription}: {error}.") from None

        return await asyncio.get_running_loop().run_in_executor(self._threads, run)


def _leased(subscription: str, received: Any) -> Leased:
    message = received.message
    published = rfc3339(message.publish_time.astimezone(UTC)) if message.publish_time else ""
    incoming = Incoming(
        subscription,
        message.message_id,
        message.data,
        dict(message.attributes),
        message.ordering_key,
        published,
        received.delivery_attempt or 0,
    )
    return Leased(received.ack_id, incoming)
