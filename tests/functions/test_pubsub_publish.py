"""pubsub_publish: publishes each event on the topic of its type, keeps each key's order, and resumes a failed key."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from msgspec import structs

from pulsecart.runtime.deps import close_deps, open_deps
from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.settings import Settings
from pulsecart.serving.message_events import of_message
from pulsecart.serving.signatures import SIGNATURE
from pulsecart.shop.orders.events import OrderCreated
from tests.broker.stage import event
from tests.client import Client
from tests.pubsub import PubSub

TYPE = OrderCreated.TYPE


@pytest.fixture
async def client(settings: Settings, pubsub: PubSub) -> AsyncIterator[Client]:
    """Provide a shop that publishes to the test's project."""
    opened = open_deps(pubsub.settings(settings))
    yield Client(opened)
    await close_deps(opened)


def of_type(made: CloudEvent, type: str = TYPE, **more: str) -> CloudEvent:
    return structs.replace(made, type=type, extensions={**made.extensions, **more})


async def test_an_event_arrives_whole_on_the_topic_of_its_type(client: Client, pubsub: PubSub) -> None:
    subscription = pubsub.subscribe(pubsub.topic(TYPE), "subscriber")
    sent = of_type(event("größe", 1), correlationid="c, 1%")
    assert await client.handle_event("pubsub_publish", sent) == 204
    (got,) = await asyncio.to_thread(pubsub.receive, subscription, 1)
    assert of_message(got.attributes, got.data) == sent
    assert got.key == sent.partitionkey == "größe"
    assert {name for name in got.attributes if not name.startswith("ce-")} == {"content-type"}


async def test_a_topic_that_does_not_exist_is_created_where_the_settings_say_so(client: Client, pubsub: PubSub) -> None:
    assert await client.handle_event("pubsub_publish", of_type(event("k", 1))) == 204
    names = [topic.name for topic in pubsub.publisher.list_topics(request={"project": f"projects/{pubsub.project}"})]
    assert names == [f"projects/{pubsub.project}/topics/{TYPE}"]


async def test_it_fails_for_a_while_without_its_topic_and_then_goes_on_with_the_same_key(
    settings: Settings, pubsub: PubSub
) -> None:
    opened = open_deps(pubsub.settings(settings, pubsub_create_topics=False, pubsub_topic_prefix="shop-"))
    try:
        client = Client(opened)
        assert [await client.handle_event("pubsub_publish", of_type(event("k", n))) for n in (1, 1)] == [503, 503]
        subscription = pubsub.subscribe(pubsub.topic(f"shop-{TYPE}"), "subscriber")
        assert [await client.handle_event("pubsub_publish", of_type(event("k", n))) for n in (1, 2)] == [204, 204]
        got = await asyncio.to_thread(pubsub.receive, subscription, 2)
        assert [int(one.attributes["ce-sequence"]) for one in got] == [1, 2]
    finally:
        await close_deps(opened)


async def test_what_concerns_only_the_way_through_the_broker_is_not_published(client: Client, pubsub: PubSub) -> None:
    subscription = pubsub.subscribe(pubsub.topic(TYPE), "subscriber")
    sent = of_type(event("k", 1), **{SIGNATURE: "v1.abc", "knativearrivaltime": "now", "subtopic": ""})
    assert await client.handle_event("pubsub_publish", sent) == 204
    (got,) = await asyncio.to_thread(pubsub.receive, subscription, 1)
    assert not {f"ce-{SIGNATURE}", "ce-knativearrivaltime", "ce-subtopic"} & got.attributes.keys()


@pytest.mark.parametrize("name", ["subject", "longextension", "type"])
async def test_an_event_that_pub_sub_cannot_carry_is_malformed(client: Client, name: str) -> None:
    made = of_type(event("k", 1))
    long = "x" * 1025
    made = of_type(made, longextension=long) if name == "longextension" else structs.replace(made, **{name: long})
    assert await client.handle_event("pubsub_publish", made) == 400


async def test_without_a_server_it_is_unavailable_and_no_thread_waits(settings: Settings, pubsub: PubSub) -> None:
    opened = open_deps(replace(pubsub.settings(settings), pubsub_emulator_host="127.0.0.1:9"))
    try:
        assert await Client(opened).handle_event("pubsub_publish", of_type(event("k", 1))) == 503
    finally:
        await close_deps(opened)


async def test_without_a_project_it_is_unavailable(settings: Settings) -> None:
    opened = open_deps(settings)
    try:
        assert await Client(opened).handle_event("pubsub_publish", event("k", 1)) == 503
    finally:
        await close_deps(opened)
