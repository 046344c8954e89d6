"""Provides Google's emulator of Pub/Sub, and its topics and subscriptions as a subscriber or partner uses them."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from pulsecart.bridges.pubsub.names import subscription_path, topic_path
from pulsecart.local.pubsub_emulator import PubSubEmulator, installed
from pulsecart.runtime.settings import Settings

DEADLINE_S = 10
ATTEMPTS = 5  # the least that a dead-letter policy may have


@pytest.fixture(scope="session")
def pubsub_emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Provide the address of an emulator for this test session alone."""
    if installed(os.environ) is None:
        pytest.skip("Google's emulator of Pub/Sub is not installed: gcloud components install pubsub-emulator")
    emulator = PubSubEmulator(tmp_path_factory.mktemp("pubsub") / "emulator.log")
    emulator.prepare()
    emulator.spawn()
    try:
        emulator.wait_ready()
        yield emulator.host
    finally:
        emulator.stop()


@pytest.fixture
def pubsub(pubsub_emulator: str) -> Iterator["PubSub"]:
    """Provide a project of the emulator for this test alone."""
    made = PubSub(pubsub_emulator)
    yield made
    made.close()


@dataclass
class Got:
    """A received message."""

    data: bytes
    attributes: Mapping[str, str]
    key: str
    ack_id: str = field(repr=False)
    attempt: int = 0

    @property
    def identity(self) -> tuple[str, str]:
        return self.attributes["ce-source"], self.attributes["ce-id"]


class PubSub:
    """Uses one project, with the library's plain calls."""

    def __init__(self, host: str) -> None:
        from pulsecart.bridges.pubsub.library import publisher, subscriber

        self.host = host
        self.project = f"test-{os.urandom(6).hex()}"
        self.publisher = publisher(host)
        self.subscriber = subscriber(host)

    def settings(self, settings: Settings, **more: Any) -> Settings:
        """Return settings of a shop that uses this project."""
        named = {"pubsub_project": self.project, "pubsub_emulator_host": self.host, "pubsub_create_topics": True}
        return replace(settings, **{**named, **more})

    def topic(self, name: str) -> str:
        self.publisher.create_topic(request={"name": topic_path(self.project, name)})
        return topic_path(self.project, name)

    def subscribe(self, topic: str, name: str, **more: Any) -> str:
        path = subscription_path(self.project, name)
        request = {"name": path, "topic": topic, "enable_message_ordering": True, "ack_deadline_seconds": DEADLINE_S}
        self.subscriber.create_subscription(request={**request, **more})
        return path

    def publish(self, topic: str, data: bytes, key: str = "", **attributes: str) -> str:
        sent: str = self.publisher.publish(topic, data, ordering_key=key, **attributes).result(10)
        return sent

    def pull(self, subscription: str, within_s: float = 1.0) -> list[Got]:
        """Return messages that wait, without acknowledging them."""
        from google.api_core.exceptions import DeadlineExceeded

        try:
            reply = self.subscriber.pull(
                request={"subscription": subscription, "max_messages": 1000}, retry=None, timeout=within_s
            )
        except DeadlineExceeded:
            return []
        return [
            Got(m.message.data, dict(m.message.attributes), m.message.ordering_key, m.ack_id, m.delivery_attempt or 0)
            for m in reply.received_messages
        ]

    def acknowledge(self, subscription: str, got: list[Got]) -> None:
        if got:
            ids = [one.ack_id for one in got]
            self.subscriber.acknowledge(request={"subscription": subscription, "ack_ids": ids})

    def receive(self, subscription: str, count: int, within_s: float = 20.0) -> list[Got]:
        """Receive and acknowledge until ``count`` messages have come."""
        return self.receive_until(subscription, lambda got: len(got) >= count, within_s)

    def receive_until(
        self, subscription: str, enough: Callable[[list[Got]], bool], within_s: float = 20.0
    ) -> list[Got]:
        found: list[Got] = []
        until = time.monotonic() + within_s
        while not enough(found):
            assert time.monotonic() < until, f"{len(found)} messages came within {within_s:.0f} s"
            got = self.pull(subscription)
            self.acknowledge(subscription, got)
            found += got
        return found

    def close(self) -> None:
        closing = [threading.Thread(target=self.publisher.stop), threading.Thread(target=self.subscriber.close)]
        for thread in closing:
            thread.start()
        for thread in closing:
            thread.join()
