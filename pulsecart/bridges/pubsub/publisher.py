"""Publishes messages to Google Pub/Sub, those of one key in order; a key that failed takes messages again at once."""

import asyncio
import logging
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING

from pulsecart.bridges.pubsub import library
from pulsecart.bridges.pubsub.messages import Outgoing
from pulsecart.runtime.problem import Malformed, Unavailable

if TYPE_CHECKING:
    from google.cloud.pubsub_v1 import PublisherClient

log = logging.getLogger(__name__)
PUBLISH_S = 10.0  # of one call; the library itself would retry an ordered message for ever
STUCK_S = PUBLISH_S + 5.0  # its thread ends without a result if it gets no credentials


class Publisher:
    """
    Publishes with one client, which is created at the first message, in a thread.

    Args:
        create_topics: creates a topic that does not exist.
    """

    def __init__(self, emulator_host: str, *, create_topics: bool) -> None:
        self._emulator_host = emulator_host
        self._create_topics = create_topics
        self._client: PublisherClient | None = None
        self._opening = asyncio.Lock()
        self._threads = ThreadPoolExecutor(2, "pubsub")

    async def publish(self, topic: str, message: Outgoing) -> str:
        """
        Publish and return the message's id, when Pub/Sub has stored the message.

        Args:
            topic: its full name, ``projects/…/topics/…``.

        Raises:
            Malformed: Pub/Sub rejects the message, whenever it is sent.
            Unavailable: it is not known whether Pub/Sub has the message; publish it again.
        """
        client = await self._opened()
        from google.api_core import exceptions
        from google.cloud.pubsub_v1.publisher.exceptions import (
            MessageTooLargeError,
            PublishError,
            PublishToPausedOrderingKeyException,
        )

        try:
            try:
                return await self._sent(client, topic, message)
            except PublishToPausedOrderingKeyException:  # an earlier message failed after its caller had left
                return await self._sent(client, topic, message)
            except exceptions.NotFound:
                if not self._create_topics:
                    raise
                await self._create(client, topic)
                return await self._sent(client, topic, message)
        except (exceptions.InvalidArgument, MessageTooLargeError) as error:
            raise Malformed("pubsub-rejected", f"Pub/Sub rejects the event: {error}.") from None
        except TimeoutError:
            self._client = None
            raise Unavailable("pubsub-away", "Pub/Sub did not answer in time.") from None
        except (exceptions.GoogleAPIError, PublishError, PublishToPausedOrderingKeyException) as error:
            raise Unavailable("pubsub-away", f"Pub/Sub did not take the event: {error}.") from None

    async def close(self) -> None:
        """Wait for messages in flight, and close the client."""
        client, self._client = self._client, None
        if client is not None:
            await asyncio.get_running_loop().run_in_executor(self._threads, client.stop)
        self._threads.shutdown(wait=False)

    async def _sent(self, client: "PublisherClient", topic: str, message: Outgoing) -> str:
        future = client.publish(
            topic,
            message.data,
            ordering_key=message.ordering_key,
            retry=None,  # any other value is changed to retries without end
            timeout=PUBLISH_S,
            **message.attributes,
        )
        try:
            async with asyncio.timeout(STUCK_S):
                sent: str = await asyncio.wrap_future(future)
            return sent
        except Exception:
            if message.ordering_key:
                with suppress(RuntimeError, ValueError):  # another message of the key has resumed it
                    client.resume_publish(topic, message.ordering_key)
            raise

    async def _opened(self) -> "PublisherClient":
        if self._client is not None:
            return self._client
        async with self._opening:
            if self._client is None:
                self._client = await self._in_thread_opened()
            return self._client

    async def _in_thread_opened(self) -> "PublisherClient":
        if not library.installed():
            raise Unavailable("pubsub-not-installed", "google-cloud-pubsub is not installed; see docs/pubsub.md.")
        run = asyncio.get_running_loop().run_in_executor
        try:
            return await run(self._threads, library.publisher, self._emulator_host)
        except Exception as error:  # such as credentials that are missing or cannot be read
            raise Unavailable("pubsub-away", f"The client of Pub/Sub cannot be created: {error}.") from error

    async def _create(self, client: "PublisherClient", topic: str) -> None:
        from google.api_core.exceptions import AlreadyExists

        def create() -> None:
            with suppress(AlreadyExists):
                client.create_topic(request={"name": topic}, timeout=PUBLISH_S)

        await asyncio.get_running_loop().run_in_executor(self._threads, create)
        log.info("created the topic %s", topic)
