"""webhook_deliver: sends each event to the endpoints that subscribe to it, signed, and once although events repeat."""

import asyncio
import hmac
from base64 import b64decode
from datetime import UTC, datetime, timedelta

import pytest
from msgspec import structs
from standardwebhooks import Webhook, WebhookVerificationError

from pulsecart.runtime.event import CloudEvent
from pulsecart.serving import cloudevents
from pulsecart.shop.partners.events import FulfilmentReported, ReportRejected, StockReported
from pulsecart.shop.webhooks.new_secrets import new_private_key, new_secret
from pulsecart.shop.webhooks.signature import Secret, verify
from tests.client import until
from tests.functions.webhook_stage import PAID, Stage, clock, deps, event, posts, settings, stage
from tests.receivers import answers, in_turn, receiving
from tests.turned_clock import TurnedClock

__all__ = ["clock", "deps", "settings", "stage"]


@pytest.fixture
def _now(clock: TurnedClock) -> None:
    """The time of the standardwebhooks library, which takes no other."""
    clock.at = datetime.now(UTC)


async def test_an_event_reaches_the_endpoints_that_subscribe_to_it(stage: Stage) -> None:
    async with receiving(answers(204)) as orders, receiving(answers()) as paid, receiving(answers()) as stock:
        await stage.subscribe(orders.url())
        await stage.subscribe(paid.url(), event_types=[PAID])
        await stage.subscribe(stock.url(), event_types=["ecommerce.inventory.*"])
        await stage.happens(event())
        await stage.work()
    assert [posts(one) for one in (orders, paid, stock)] == [[{"orderId": "o-1", "sequence": 1}]] * 2 + [[]]
    assert await stage.messages() == ["DELIVERED"] * 2


async def test_two_patterns_that_match_are_one_message(stage: Stage) -> None:
    async with receiving(answers()) as receiver:
        await stage.subscribe(receiver.url(), event_types=[PAID, "ecommerce.order.*", "ecommerce.*"])
        await stage.happens(event())
        await stage.work()
    assert len(posts(receiver)) == 1


@pytest.mark.parametrize(
    "private",
    [
        structs.replace(event(type=FulfilmentReported.TYPE), source="/partners/p%2F1"),
        structs.replace(event(type=StockReported.TYPE), source="/partners/p%2F1"),
        structs.replace(
            event(type=ReportRejected.TYPE),
            data=b'{"reportId": "r", "partnerId": "p/1", "reportType": "t", "reason": "NOT_YOURS"}',
        ),
    ],
    ids=lambda one: one.type,
)
async def test_an_event_between_a_partner_and_the_shop_reaches_no_other_partner(
    stage: Stage, private: CloudEvent
) -> None:
    async with receiving(answers()) as own, receiving(answers()) as other:
        await stage.subscribe(own.url(), event_types=["ecommerce.*"], partner_id="p/1")
        await stage.subscribe(other.url(), event_types=[private.type, "ecommerce.*"], partner_id="p-2")
        await stage.happens(private)
        await stage.work()
    assert (len(posts(own)), posts(other)) == (1, [])


@pytest.mark.usefixtures("_now")
async def test_a_message_is_the_event_as_the_shop_sent_it_and_a_stranger_verifies_it(stage: Stage) -> None:
    async with receiving(answers()) as receiver:
        id = await stage.subscribe(receiver.url())
        sent = event(eventsignature="v1.internal", knativearrivaltime="now", correlationid="c-1")
        await stage.happens(sent)
        await stage.work()
    got = receiver.got[0]
    (secret,) = await stage.secrets(id)
    assert got.headers["content-type"] == "application/cloudevents+json"
    assert Webhook(secret).verify(got.body, got.headers)["id"] == sent.id
    extensions = {"partitionkey": "o-1", "sequence": f"{1:020}", "correlationid": "c-1"}
    assert cloudevents.decode(got.headers, got.body) == structs.replace(sent, extensions=extensions)
    with pytest.raises(WebhookVerificationError):
        Webhook(new_secret()).verify(got.body, got.headers)


@pytest.mark.usefixtures("_now")
async def test_in_binary_mode_the_attributes_are_headers_and_the_data_is_the_body(stage: Stage) -> None:
    async with receiving(answers()) as receiver:
        id = await stage.subscribe(receiver.url(), content_mode="binary")
        sent = structs.replace(event("bücher 1"), time=datetime(2026, 1, 1, tzinfo=UTC))
        await stage.happens(sent)
        await stage.work()
    got = receiver.got[0]
    (secret,) = await stage.secrets(id)
    assert Webhook(secret).verify(got.body, got.headers) == {"orderId": "bücher 1", "sequence": 1}
    assert got.body == sent.data
    assert cloudevents.decode(got.headers, got.body) == sent


async def test_beside_the_standard_signature_is_that_of_the_seed(stage: Stage) -> None:
    async with receiving(answers()) as receiver:
        id = await stage.subscribe(receiver.url())
        await stage.happens(event())
        await stage.work()
    got, (secret,) = receiver.got[0], await stage.secrets(id)
    key = b64decode(secret.removeprefix("whsec_"))
    assert got.headers["x-bv-signature"] == hmac.new(key, got.body, "sha256").hexdigest()


@pytest.mark.usefixtures("_now")
async def test_while_a_secret_rotates_both_sign_and_after_its_end_the_new_one_alone(stage: Stage) -> None:
    async with receiving(answers()) as receiver:
        id = await stage.subscribe(receiver.url())
        old = (await stage.secrets(id))[0]
        await stage.change("UPDATE webhook_secrets SET ends_at = %s", stage.clock.now() + timedelta(minutes=2))
        await stage.add_secret(id, new := new_secret())
        await stage.happens(event())
        await stage.work()
        stage.clock.turn(121)
        await stage.happens(event())
        await stage.work()
    during, after = receiver.got
    for secret in (old, new):
        Webhook(secret).verify(during.body, during.headers)
    assert during.headers["webhook-signature"].count("v1,") == 2
    Webhook(new).verify(after.body, after.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(after.body, after.headers)


async def test_a_private_key_signs_with_ed25519(stage: Stage) -> None:
    async with receiving(answers()) as receiver:
        id = await stage.subscribe(receiver.url(), signature="v1a", secret=(key := new_private_key()))
        await stage.happens(event())
        await stage.work()
    got = receiver.got[0]
    assert got.headers["webhook-signature"].startswith("v1a,")
    assert verify([Secret(Secret(key).public)], got.headers, got.body, stage.clock.now())
    assert await stage.queue(id, "status") == ("ACTIVE",)


async def test_each_attempt_of_a_message_has_its_id_and_a_time_of_its_own(stage: Stage) -> None:
    async with receiving(in_turn(answers(500), answers())) as receiver:
        await stage.subscribe(receiver.url())
        await stage.happens(event())
        await stage.work()
    first, second = receiver.got
    assert first.headers["webhook-id"] == second.headers["webhook-id"]
    assert 30 <= int(second.headers["webhook-timestamp"]) - int(first.headers["webhook-timestamp"]) <= 33
    assert first.body == second.body


async def test_an_event_that_is_delivered_again_is_one_message(stage: Stage) -> None:
    async with receiving(answers()) as receiver:
        await stage.subscribe(receiver.url())
        repeated = event()
        await asyncio.gather(*(stage.happens(repeated) for _ in range(5)))
        await stage.work()
        await stage.happens(repeated)
        await stage.work()
    assert len(receiver.got) == 1
    assert await stage.messages() == ["DELIVERED"]


async def test_an_event_that_no_endpoint_wants_writes_nothing(stage: Stage) -> None:
    await stage.subscribe("http://127.0.0.1:1/", event_types=["ecommerce.inventory.*"])
    await stage.happens(event())
    assert await stage.client.row("SELECT count(*) FROM webhook_events") == (0,)
    assert await stage.client.row("SELECT count(*) FROM consumed") == (0,)


async def test_the_shops_own_events_about_webhooks_are_not_sent(stage: Stage) -> None:
    await stage.subscribe("http://127.0.0.1:1/", event_types=["ecommerce.*"])
    await stage.happens(event(type="ecommerce.webhook.delivery.failed.v1"))
    assert await stage.messages() == []


async def test_a_new_subscription_gets_no_event_from_before(stage: Stage) -> None:
    await stage.happens(event())
    async with receiving(answers()) as receiver:
        await stage.subscribe(receiver.url())
        await stage.work()
    assert receiver.got == []


async def test_a_tick_is_no_event_and_sends_what_is_due(stage: Stage) -> None:
    async with receiving(answers()) as receiver:
        await stage.subscribe(receiver.url(), event_types=["dev.knative.*", "ecommerce.*"])
        await stage.happens(event())
        tick = CloudEvent(id="t", source="/apis/v1/pingsources/webhook-deliver-sweep", type="dev.knative.sources.ping")
        await stage.happens(tick)
    assert len(receiver.got) == 1


async def test_an_attempt_keeps_what_was_sent_and_what_was_answered(stage: Stage) -> None:
    long = b"x" * 10_000
    async with receiving(answers(200, [("X-Said", "yes\x01")], long)) as receiver:
        id = await stage.subscribe(receiver.url(path="/hook?token=t"))
        await stage.happens(event())
        await stage.work()
    row = await stage.client.row(
        "SELECT subscription_id::text, number, url, request_headers, result, status, response_headers, response_body,"
        " error, next_try_at, probe FROM webhook_delivery_attempts"
    )
    got = receiver.got[0]
    assert row[:3] == (id, 1, receiver.url(path="/hook?token=t"))
    assert {name: got.headers[name] for name in row[3]} == row[3]
    assert {"webhook-id", "webhook-signature", "x-bv-signature", "content-type"} <= row[3].keys()
    assert (*row[4:6], row[6]["x-said"], row[7]) == ("delivered", 200, "yes\x01", long[:4096])
    assert row[8:] == (None, None, False)


async def test_a_secret_that_does_not_open_sends_nothing_and_loses_nothing(stage: Stage) -> None:
    async with receiving(answers()) as receiver:
        await stage.subscribe(receiver.url())
        ((sealed,),) = await stage.client.rows("SELECT sealed FROM webhook_secrets")
        await stage.change("UPDATE webhook_secrets SET sealed = 'damaged'")
        await stage.happens(event())
        work = asyncio.create_task(stage.work())
        await until(lambda: stage.client.row("SELECT 1 FROM webhook_queues WHERE not_before IS NOT NULL"))
        await stage.change("UPDATE webhook_secrets SET sealed = %s", sealed)
        await work
    assert len(receiver.got) == 1
