"""pubsub_pull: pulls until nothing is left, acknowledges after COMMIT, and gives back what it rejects."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest

from functions.pubsub_pull.main import Pulling, pubsub_pull
from pulsecart.bridges.pubsub import puller
from pulsecart.bridges.pubsub.puller import Leased, Puller
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.problem import Unavailable
from pulsecart.serving.subscriptions import PING
from tests.client import Client
from tests.functions.partner_shop import PartnerShop, stock
from tests.pubsub import ATTEMPTS, Got, PubSub

STRUCTURED = "application/cloudevents+json"


@dataclass
class Pulled:
    """A shop with partners that pulls acme's subscription."""

    client: Client
    shop: PartnerShop
    pubsub: PubSub
    topic: str
    subscription: str

    def publish(self, *events: Any, key: str = "1") -> None:
        for event in events:
            self.pubsub.publish(self.topic, json.dumps(event).encode(), key, **{"content-type": STRUCTURED})

    async def tick(self) -> int:
        """Deliver a PingSource's tick; return the status of the answer."""
        event = CloudEvent(id="t", source="/pings", type=PING)
        return (await pubsub_pull.operation.handle_event(event, self.client.deps)).status

    async def left(self) -> Sequence[Got]:
        """Return the messages that Pub/Sub still has, without those that are leased."""
        return await asyncio.to_thread(self.pubsub.pull, self.subscription)


@pytest.fixture(autouse=True)
def _brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait a moment for a message, and not seconds."""
    monkeypatch.setattr(puller, "PULL_S", 0.5)


@pytest.fixture
async def open_shop(deps: Deps, pubsub: PubSub) -> AsyncIterator[Callable[[], Client]]:
    """Provide a function that opens another process of the same shop."""
    opened: list[Deps] = []

    def open_one() -> Client:
        opened.append(open_deps(pubsub.settings(deps.settings, pubsub_pull="acme-reports=acme")))
        return Client(opened[-1])

    yield open_one
    for one in opened:
        await close_deps(one)


@pytest.fixture
async def pulled(open_shop: Callable[[], Client], pubsub: PubSub) -> Pulled:
    topic = pubsub.topic("acme-topic")
    client = open_shop()
    return Pulled(client, await PartnerShop(client).own(), pubsub, topic, pubsub.subscribe(topic, "acme-reports"))


async def test_a_tick_pulls_all_that_waits_in_its_order_and_then_ends(
    pulled: Pulled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(puller, "BATCH_MAX", 10)
    events = [stock(delta=n) for n in range(1, 36)]
    await asyncio.to_thread(pulled.publish, *events)
    assert await pulled.tick() == 204
    assert [one.id for one in await pulled.shop.reports()] == [event["id"] for event in events]
    assert await pulled.left() == []
    assert not pulled.client.deps.wake_ups.awake("pubsub_pull")


async def test_with_nothing_to_pull_it_ends_after_one_request(pulled: Pulled, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    real = Puller.pull

    async def counted(self: Puller, subscription: str) -> list[Leased]:
        calls.append(subscription)
        return await real(self, subscription)

    monkeypatch.setattr(Puller, "pull", counted)
    assert await pulled.tick() == 204
    assert calls == [pulled.subscription]


async def test_no_message_is_acknowledged_before_its_commit(pulled: Pulled, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    real = Puller.acknowledge

    async def look(self: Puller, subscription: str, leased: Sequence[Leased]) -> None:
        seen.append(len(await pulled.shop.reports()))  # by a connection of its own
        await real(self, subscription, leased)

    monkeypatch.setattr(Puller, "acknowledge", look)
    await asyncio.to_thread(pulled.publish, stock(), stock())
    assert await pulled.tick() == 204
    assert seen[0] == 2


async def test_a_process_that_ends_between_commit_and_acknowledgement_logs_nothing_twice(
    pulled: Pulled, open_shop: Callable[[], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        """The end of the process."""

    async def killed(self: Puller, subscription: str, leased: Sequence[Leased]) -> None:
        raise Killed

    await asyncio.to_thread(pulled.publish, stock(), stock())
    with monkeypatch.context() as patched:
        patched.setattr(Puller, "acknowledge", killed)
        with pytest.raises(Killed):
            await Pulling(pulled.client.deps).pull()
    assert len(await pulled.shop.reports()) == 2
    after = replace(pulled, client=open_shop())
    await until_delivered_again(after, monkeypatch)
    assert len(await pulled.shop.reports()) == 2
    assert await pulled.left() == []


async def until_delivered_again(pulled: Pulled, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pull until the messages come once more: Pub/Sub waits for the deadline of their acknowledgement."""
    acknowledged: list[Leased] = []
    real = Puller.acknowledge

    async def counted(self: Puller, subscription: str, leased: Sequence[Leased]) -> None:
        await real(self, subscription, leased)
        acknowledged.extend(leased)

    monkeypatch.setattr(Puller, "acknowledge", counted)
    async with asyncio.timeout(40):
        while len(acknowledged) < 2:
            assert await pulled.tick() == 204


async def test_while_the_database_is_away_nothing_is_acknowledged(
    pulled: Pulled, monkeypatch: pytest.MonkeyPatch
) -> None:
    called: list[Sequence[Leased]] = []

    async def record(self: Puller, subscription: str, leased: Sequence[Leased]) -> None:
        called.append(leased)

    monkeypatch.setattr(Puller, "acknowledge", record)
    monkeypatch.setattr(Puller, "give_back", record)
    opened = open_deps(replace(pulled.client.deps.settings, database_url="postgresql://127.0.0.1:1/x"))
    try:
        await asyncio.to_thread(pulled.publish, stock(), stock())
        assert await replace(pulled, client=Client(opened)).tick() == 503
    finally:
        await close_deps(opened)
    assert called == [[], []]


async def test_a_bad_message_delays_no_good_one_and_both_dead_letters_have_one_cause(pulled: Pulled) -> None:
    dead = pulled.pubsub.topic("dead-topic")
    dead_letters = pulled.pubsub.subscribe(dead, "dead-letters")
    more = {
        "dead_letter_policy": {"dead_letter_topic": dead, "max_delivery_attempts": ATTEMPTS},
        "enable_message_ordering": False,  # the emulator moves no message of an ordered subscription
    }
    subscription = pulled.pubsub.subscribe(pulled.topic, "with-policy", **more)
    opened = open_deps(replace(pulled.client.deps.settings, pubsub_pull="with-policy=acme"))
    try:
        shop = replace(pulled, client=Client(opened), subscription=subscription)
        bad, good = stock("2"), stock()
        await asyncio.to_thread(shop.publish, bad, key="2")
        await asyncio.to_thread(shop.publish, good)
        async with asyncio.timeout(30):
            while not (found := await asyncio.to_thread(pulled.pubsub.pull, dead_letters)):
                assert await shop.tick() == 204
    finally:
        await close_deps(opened)
    assert [one.id for one in await pulled.shop.reports()] == [good["id"]]
    ((trigger, event_id, cause),) = await pulled.client.rows("SELECT trigger, event_id, error_data FROM dead_letters")
    assert (trigger, event_id, json.loads(cause)["type"].rpartition("/")[2]) == ("pubsub-pull", bad["id"], "not-yours")
    assert [json.loads(one.data)["id"] for one in found] == [event_id]


async def test_without_a_dead_letter_topic_a_bad_message_is_ours_alone(pulled: Pulled) -> None:
    await asyncio.to_thread(pulled.publish, stock("2"), stock("3"), key="bad")
    await asyncio.to_thread(pulled.pubsub.publish, pulled.topic, b"no event")
    assert await pulled.tick() == 204
    letters = await pulled.client.rows("SELECT trigger, error_code FROM dead_letters ORDER BY error_code")
    assert letters == [("pubsub-pull", 400), ("pubsub-pull", 403), ("pubsub-pull", 403)]
    assert await pulled.left() == []


async def test_a_subscription_that_does_not_exist_is_reported_and_the_others_are_pulled(pulled: Pulled) -> None:
    opened = open_deps(replace(pulled.client.deps.settings, pubsub_pull="missing=acme,acme-reports=acme"))
    try:
        await asyncio.to_thread(pulled.publish, stock())
        with pytest.raises(Unavailable, match="missing"):
            await Pulling(opened).pull()
    finally:
        await close_deps(opened)
    assert len(await pulled.shop.reports()) == 1


async def test_without_subscriptions_it_has_nothing_to_do(client: Client) -> None:
    event = CloudEvent(id="t", source="/pings", type=PING)
    assert (await pubsub_pull.operation.handle_event(event, client.deps)).status == 204
    assert Pulling not in client.deps.singletons
