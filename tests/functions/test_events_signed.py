"""events: a sender without tokens signs its requests with the secret of its event source."""

from datetime import timedelta

import pytest

from pulsecart.serving.csrf import OTHER_SITES
from pulsecart.shop.webhooks.new_secrets import new_secret
from pulsecart.shop.webhooks.signature import Secret, signature_headers
from tests.client import Answered, Client
from tests.functions.partner_shop import STRUCTURED, PartnerShop, stock

UNKNOWN = "0199f3a2-7c41-7b02-9d1e-5f0c8a6b1e77"


@pytest.fixture
async def shop(client: Client) -> PartnerShop:
    return await PartnerShop(client).own()


def refused(answered: Answered) -> bool:
    return answered.status == 401 and answered.body["type"].endswith("/bad-signature")


async def test_a_signed_event_is_its_partner_s(shop: PartnerShop) -> None:
    source = await shop.source("acme")
    assert (await shop.sign(source, stock())).status == 202
    assert (await shop.sign(source, [stock(), stock()])).body == {"accepted": 2, "duplicates": 0}
    assert {one.source for one in await shop.reports()} == {"/partners/acme"}


async def test_a_token_and_a_signature_share_the_memory_of_what_was_sent(shop: PartnerShop) -> None:
    source, sent = await shop.source("acme"), stock()
    assert (await shop.send(sent)).body["duplicates"] == 0
    assert (await shop.sign(source, sent)).body["duplicates"] == 1


async def test_a_source_s_events_are_its_partner_s_alone(shop: PartnerShop) -> None:
    source = await shop.source("acme")
    assert (await shop.sign(source, stock("2", partner="other"))).status == 403
    assert (await shop.sign(source, stock("2"))).status == 403


async def test_a_wrong_signature_is_refused(shop: PartnerShop) -> None:
    mine, others = await shop.source("acme"), await shop.source("other")
    assert refused(await shop.sign(mine, stock(), secret=Secret(new_secret())))
    assert refused(await shop.sign(mine, stock(), secret=shop.secrets[others]))
    assert refused(await shop.sign(mine, stock(), webhook_signature="v1,AAAA"))
    assert refused(await shop.sign(mine, stock(), webhook_signature="nonsense"))
    assert refused(await shop.sign(mine, stock(), webhook_id="msg-2"))
    assert refused(await shop.client.ask("POST", f"/events/{mine}", stock(), content_type=STRUCTURED))
    assert await shop.reports() == []


async def test_a_changed_body_is_refused(shop: PartnerShop) -> None:
    source = await shop.source()
    at = shop.client.deps.clock.now()
    signed = dict(signature_headers([shop.secrets[source]], "m", at, b'{"a": 1}'))
    assert refused(await shop.client.ask("POST", f"/events/{source}", stock(), content_type=STRUCTURED, **signed))


@pytest.mark.parametrize("late_s", [-301, 301, 86_400])
async def test_a_timestamp_more_than_five_minutes_from_now_is_refused(shop: PartnerShop, late_s: float) -> None:
    assert refused(await shop.sign(await shop.source(), stock(), late_s=late_s))


@pytest.mark.parametrize("late_s", [-290, 290])
async def test_a_timestamp_within_five_minutes_is_accepted(shop: PartnerShop, late_s: float) -> None:
    assert (await shop.sign(await shop.source(), stock(), late_s=late_s)).status == 202


async def test_a_replayed_request_within_the_window_does_nothing(shop: PartnerShop) -> None:
    source, sent = await shop.source(), stock()
    for duplicates in (0, 1, 1):
        assert (await shop.sign(source, sent, late_s=60)).body["duplicates"] == duplicates
    assert len(await shop.reports()) == 1


@pytest.mark.parametrize("source", [UNKNOWN, "no-id", "%00"])
async def test_an_unknown_source_is_refused_as_a_wrong_signature_is(shop: PartnerShop, source: str) -> None:
    mine = await shop.source()
    wrong = await shop.sign(mine, stock(), secret=Secret(new_secret()))
    unknown = await shop.sign(source, stock(), secret=shop.secrets[mine])
    assert refused(unknown)
    assert unknown.body == wrong.body


async def test_a_rotated_secret_is_valid_until_its_end(shop: PartnerShop) -> None:
    source = await shop.source()
    path = f"/api/v1/partners/acme/sources/{source}/secrets"
    old = shop.secrets[source]
    rotated = await shop.client.ask("POST", path, {"overlapS": 60})
    new = Secret(rotated.body["secret"])
    for secret in (old, new):
        assert (await shop.sign(source, stock(), secret=secret)).status == 202
    latest = Secret((await shop.client.ask("POST", path, {"overlapS": 0})).body["secret"])
    for secret in (old, new):
        assert refused(await shop.sign(source, stock(), secret=secret))
    assert (await shop.sign(source, stock(), secret=latest)).status == 202


async def test_an_ended_source_is_refused(shop: PartnerShop) -> None:
    source = await shop.source()
    assert (await shop.client.ask("DELETE", f"/api/v1/partners/acme/sources/{source}")).status == 204
    assert refused(await shop.sign(source, stock()))


async def test_a_large_body_is_verified_too(shop: PartnerShop) -> None:
    source, batch = await shop.source(), [stock(padding="x" * 500) for _ in range(500)]
    assert (await shop.sign(source, batch)).body["accepted"] == 500
    assert refused(await shop.sign(source, batch, secret=Secret(new_secret())))


async def ask(shop: PartnerShop, path: str, **headers: str) -> Answered:
    return await shop.client.ask("OPTIONS", path, **headers)


@pytest.mark.parametrize("path", ["/events", f"/events/{UNKNOWN}"])
async def test_who_asks_for_consent_gets_it_with_the_rate(shop: PartnerShop, path: str) -> None:
    asked = {"webhook_request_origin": "events.partner.example", "webhook_request_rate": "9000"}
    answered = await ask(shop, path, **asked, webhook_request_callback="https://partner.example/cb")
    assert answered.status == 200
    assert answered.headers["webhook-allowed-origin"] == "events.partner.example"
    assert answered.headers["webhook-allowed-rate"] == "1200"
    assert answered.headers["allow"] == "OPTIONS, POST"


async def test_an_origin_that_is_no_name_gets_no_consent(shop: PartnerShop) -> None:
    answered = await ask(shop, "/events", webhook_request_origin="a b")
    assert "webhook-allowed-origin" not in answered.headers


async def test_options_without_the_question_is_what_it_is_elsewhere(shop: PartnerShop) -> None:
    answered = await ask(shop, "/events", origin="https://shop.example", sec_fetch_site=min(OTHER_SITES))
    assert (answered.status, answered.headers["allow"]) == (405, "OPTIONS, POST")


def test_the_window_is_five_minutes() -> None:
    from pulsecart.shop.webhooks.signature import TOLERANCE

    assert timedelta(minutes=5) == TOLERANCE
