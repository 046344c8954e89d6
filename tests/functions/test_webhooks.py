"""webhooks: partners subscribe endpoints to events; secrets are shown once, and no partner sees another's."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from pulsecart.runtime.contracts import event_types
from pulsecart.runtime.db.rotated_secrets import VALID_MAX
from pulsecart.runtime.deps import close_deps, open_deps
from pulsecart.runtime.sealing import sealing
from pulsecart.shop.webhooks.db import subscriptions
from pulsecart.shop.webhooks.db.secrets import SECRETS
from pulsecart.shop.webhooks.db.subscriptions import PER_PARTNER
from pulsecart.shop.webhooks.patterns import sent_types
from pulsecart.shop.webhooks.subscription import SCHEDULE_S
from tests.client import Client
from tests.functions.webhook_rows import PAID, SUBSCRIPTIONS, URL, Partner, kind, message, queue, states

ADMIN = "an-admin"


@pytest.fixture
def partner(client: Client) -> Partner:
    return Partner(client)


@pytest.fixture
def other(client: Client) -> Partner:
    return Partner(client, "another-co")


async def secrets_of(client: Client, subscription: str) -> list[str]:
    """The secrets that sign now, the newest first."""
    async with client.deps.db.transaction() as tx:
        sealed = (await SECRETS.valid(tx, [subscription]))[subscription]
    return [client.deps.singleton(sealing).open(one, subscription) for one in sealed]


async def patterns(client: Client) -> list[tuple[str, str]]:
    return await client.rows("SELECT pattern, subscription_id::text FROM webhook_subscription_types ORDER BY pattern")


async def test_a_partner_subscribes_and_its_secret_is_in_that_reply_alone(client: Client, partner: Partner) -> None:
    made = await partner.create()
    assert made.status == 201
    secret = made.body.pop("secret")
    assert made.headers["cache-control"] == "no-store"
    shown = await partner.ask("GET", made.headers["location"])
    assert (shown.body, shown.headers["etag"]) == (made.body, made.headers["etag"])
    assert (shown.body["partnerId"], shown.body["status"]) == ("shipping-co", "ACTIVE")
    assert shown.body["scheduleS"] == list(SCHEDULE_S)
    assert await secrets_of(client, made.body["subscriptionId"]) == [secret]
    assert await patterns(client) == [(PAID, made.body["subscriptionId"])]


async def test_no_table_has_a_secret_that_can_be_read(client: Client, partner: Partner) -> None:
    made = await partner.create(key="k")
    dumped = str(await client.rows("SELECT s::text FROM webhook_secrets s"))
    dumped += str(await client.rows("SELECT k.body FROM catalogue_keys k"))
    key = made.body["secret"].removeprefix("whsec_")
    assert len(dumped) > 200
    assert key not in dumped


async def test_a_v1a_subscription_has_a_public_key_and_its_private_key_is_never_shown(
    client: Client, partner: Partner
) -> None:
    made = await partner.create(signature="v1a")
    assert made.body["publicKey"].startswith("whpk_")
    assert "secret" not in made.body
    (private,) = await secrets_of(client, made.body["subscriptionId"])
    assert private.startswith("whsk_")


async def test_a_repeated_key_gets_the_first_reply_and_makes_nothing(client: Client, partner: Partner) -> None:
    first, again = await asyncio.gather(partner.create(key="k"), partner.create(key="k"))
    assert first.status == again.status == 201
    assert first.body == again.body
    assert first.headers["etag"] == again.headers["etag"]
    assert await client.row("SELECT count(*) FROM webhook_subscriptions") == (1,)
    assert kind(await partner.create(key="k", ordered=True)) == "idempotency-key-reused"


async def test_an_admin_subscribes_for_a_partner_and_a_partner_for_itself_alone(
    client: Client, partner: Partner
) -> None:
    body = {"url": URL, "eventTypes": ["ecommerce.*"]}
    assert kind(await client.ask("POST", SUBSCRIPTIONS, body)) == "partner-missing"
    made = await client.ask("POST", SUBSCRIPTIONS, body | {"partnerId": "shipping-co"})
    assert (await partner.shown(made.body["subscriptionId"]))["partnerId"] == "shipping-co"
    refused = await partner.create(partnerId="another-co")
    assert (refused.status, kind(refused)) == (403, "not-yours")
    assert (await partner.create(partnerId="shipping-co")).status == 201


async def test_another_partner_s_subscription_is_unknown_and_unchanged(
    client: Client, partner: Partner, other: Partner
) -> None:
    made = await partner.create()
    path = made.headers["location"]
    for method, sub, body in (
        ("GET", "", None),
        ("PUT", "", {"url": URL, "eventTypes": [PAID]}),
        ("DELETE", "", None),
        ("POST", "/secret", {}),
        ("POST", "/pause", None),
        ("POST", "/resume", None),
        ("POST", "/example", {"eventType": PAID}),
        ("POST", "/resend", {"since": "2026-01-01T00:00:00Z"}),
        ("GET", "/messages", None),
    ):
        refused = await other.ask(method, path + sub, body, if_match="*")
        assert (refused.status, kind(refused)) == (404, "unknown-subscription"), (method, sub)
    made.body.pop("secret")
    assert (await partner.ask("GET", path)).body == made.body
    assert (await client.ask("GET", path)).body == made.body


async def test_a_partner_lists_its_own_in_pages_and_an_admin_all(
    client: Client, partner: Partner, other: Partner
) -> None:
    mine = [await partner.subscribed() for _ in range(3)]
    theirs = await other.subscribed()
    first = (await partner.ask("GET", f"{SUBSCRIPTIONS}?limit=2")).body
    rest = (await partner.ask("GET", f"{SUBSCRIPTIONS}?limit=2&cursor={first['next']}")).body
    assert [one["subscriptionId"] for one in first["subscriptions"] + rest["subscriptions"]] == mine[::-1]
    assert "next" not in rest
    everything = (await client.ask("GET", SUBSCRIPTIONS)).body["subscriptions"]
    assert [one["subscriptionId"] for one in everything] == [theirs, *mine[::-1]]
    named = (await client.ask("GET", f"{SUBSCRIPTIONS}?partnerId=another-co")).body["subscriptions"]
    assert [one["subscriptionId"] for one in named] == [theirs]
    assert kind(await partner.ask("GET", f"{SUBSCRIPTIONS}?partnerId=another-co")) == "not-yours"


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("limit=0", "limit-malformed"),
        ("limit=101", "limit-malformed"),
        ("cursor=1", "cursor-malformed"),
        ("partnerId=a%20b", "query-malformed"),
    ],
)
async def test_a_list_s_query_that_is_malformed_is_400(client: Client, query: str, problem: str) -> None:
    refused = await client.ask("GET", f"{SUBSCRIPTIONS}?{query}")
    assert (refused.status, kind(refused)) == (400, problem)


@pytest.mark.parametrize(
    ("members", "status", "problem"),
    [
        ({"url": "http://hooks.example/"}, 422, "url-not-allowed"),
        ({"url": "https://127.0.0.1/"}, 422, "url-not-allowed"),
        ({"url": "https://user:word@hooks.example/"}, 422, "url-not-allowed"),
        ({"url": "https://hooks.example/" + "a" * 2048}, 400, "body-invalid"),
        ({"eventTypes": []}, 400, "body-invalid"),
        ({"eventTypes": ["*"]}, 400, "body-invalid"),
        ({"eventTypes": [PAID, "ecommerce.order.order.sold.v1"]}, 422, "unknown-event-type"),
        ({"eventTypes": ["ecommerce.ord.*"]}, 422, "unknown-event-type"),
        ({"eventTypes": ["ecommerce.webhook.*"]}, 422, "unknown-event-type"),
        ({"eventTypes": ["ecommerce.webhook.delivery.failed.v1"]}, 422, "unknown-event-type"),
        ({"concurrency": 0}, 400, "body-invalid"),
        ({"concurrency": 101}, 400, "body-invalid"),
        ({"ratePerS": 0}, 400, "body-invalid"),
        ({"scheduleS": [0]}, 400, "body-invalid"),
        ({"scheduleS": [7 * 86_400 + 1]}, 400, "body-invalid"),
        ({"scheduleS": [1] * 21}, 400, "body-invalid"),
        ({"contentMode": "batch"}, 400, "body-invalid"),
        ({"signature": "v2"}, 400, "body-invalid"),
        ({"consent": "never"}, 400, "body-invalid"),
        ({"partnerId": ""}, 400, "body-invalid"),
    ],
)
async def test_what_could_never_work_is_refused(
    client: Client, partner: Partner, members: dict[str, Any], status: int, problem: str
) -> None:
    refused = await partner.create(**members)
    assert (refused.status, kind(refused)) == (status, problem)
    assert await client.row("SELECT count(*) FROM webhook_subscriptions") == (0,)


def test_every_type_with_a_contract_can_be_subscribed_to_but_those_about_webhooks() -> None:
    assert sent_types(["ecommerce.webhook.delivery.failed.v1", PAID]) == {PAID}
    assert sent_types(event_types()) == {one for one in event_types() if not one.startswith("ecommerce.webhook.")}


async def test_repeated_types_count_once_and_the_bounds_themselves_are_taken(client: Client, partner: Partner) -> None:
    made = await partner.create(
        eventTypes=[PAID, "ecommerce.order.*", PAID], scheduleS=[1, 604_800], concurrency=100, ratePerS=0.5
    )
    assert made.body["eventTypes"] == [PAID, "ecommerce.order.*"]
    assert (made.body["scheduleS"], made.body["ratePerS"]) == ([1, 604_800], 0.5)
    assert (await partner.create(scheduleS=[])).body["scheduleS"] == []


async def test_a_partner_has_at_most_so_many_also_when_it_asks_for_two_at_once(
    client: Client, partner: Partner, other: Partner, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert PER_PARTNER == 50
    monkeypatch.setattr(subscriptions, "PER_PARTNER", 2)
    gone = await partner.subscribed()
    await partner.ask("DELETE", f"{SUBSCRIPTIONS}/{gone}", if_match="*")
    await partner.subscribed()
    two = await asyncio.gather(partner.create(), partner.create())
    assert sorted(one.status for one in two) == [201, 409]
    assert [kind(one) for one in two if one.status == 409] == ["too-many-webhooks"]
    await other.subscribed()


async def test_a_change_replaces_what_the_owner_chooses_and_needs_the_current_version(
    client: Client, partner: Partner
) -> None:
    subscription = await partner.subscribed(concurrency=3)
    changed = await partner.change(subscription, '"1"', eventTypes=["ecommerce.product.*"], ordered=True)
    assert (changed.status, changed.headers["etag"]) == (200, '"2"')
    assert (changed.body["concurrency"], changed.body["ordered"], changed.body["version"]) == (10, True, 2)
    assert await partner.shown(subscription) == changed.body
    assert await patterns(client) == [("ecommerce.product.*", subscription)]
    assert kind(await partner.change(subscription, '"1"')) == "changed-meanwhile"
    same = await partner.change(subscription, '"2"', eventTypes=["ecommerce.product.*"], ordered=True)
    assert same.body["version"] == 2
    bare = await partner.ask("PUT", f"{SUBSCRIPTIONS}/{subscription}", {"url": URL, "eventTypes": [PAID]})
    assert (bare.status, kind(bare)) == (428, "if-match-missing")
    current = await partner.ask("GET", f"{SUBSCRIPTIONS}/{subscription}", if_none_match='"2"')
    assert (current.status, current.body) == (304, None)


async def test_another_url_forgets_what_was_learned_about_the_old_one(client: Client, partner: Partner) -> None:
    subscription = await partner.subscribed()
    await message(client, subscription)
    learned = (
        "consent_at = now(), consented = true, allowed_per_min = 5, not_before = now() + interval '1 h', slowed = 3"
    )
    asked = "SELECT consent_at, consented, allowed_per_min, not_before, slowed FROM webhook_queues"
    async with client.deps.db.transaction() as tx:
        await tx.execute(f"UPDATE webhook_queues SET {learned}")
    await partner.change(subscription, concurrency=2)
    assert None not in await client.row(asked)
    assert await queue(client, subscription) == (False, False)
    await partner.change(subscription, url="https://new.example/")
    assert await client.row(asked) == (None, None, None, None, 0)
    assert await queue(client, subscription) == (False, True)


async def test_messages_leave_their_lanes_when_the_order_is_not_wanted_any_more(
    client: Client, partner: Partner
) -> None:
    subscription = await partner.subscribed(ordered=True)
    failed = await message(client, subscription, "FAILED", lane="o-1")
    waiting = await message(client, subscription, lane="o-1", due=False)
    await partner.change(subscription, ordered=False)
    assert await states(client, failed, waiting) == [("FAILED", False), ("PENDING", True)]
    assert await client.row("SELECT count(lane) FROM webhook_messages") == (0,)
    assert await queue(client, subscription) == (False, True)


async def test_a_deleted_one_is_unknown_and_matches_and_sends_nothing(client: Client, partner: Partner) -> None:
    subscription = await partner.subscribed()
    waiting, path = await message(client, subscription), f"{SUBSCRIPTIONS}/{subscription}"
    assert kind(await partner.ask("DELETE", path, if_match='"7"')) == "changed-meanwhile"
    assert (await partner.ask("DELETE", path, if_match='"1"')).status == 204
    assert kind(await partner.ask("GET", path)) == "unknown-subscription"
    assert kind(await partner.ask("GET", f"/api/v1/webhook-messages/{waiting}")) == "unknown-message"
    assert (await partner.ask("GET", SUBSCRIPTIONS)).body == {"subscriptions": []}
    assert await patterns(client) == []
    assert await queue(client, subscription) == (True, False)
    assert await secrets_of(client, subscription) == []


async def test_a_rotated_secret_signs_for_the_overlap_and_the_new_one_is_shown_once(
    client: Client, partner: Partner
) -> None:
    made = await partner.create()
    subscription, old = made.body["subscriptionId"], made.body["secret"]
    path = f"{SUBSCRIPTIONS}/{subscription}/secret"
    rotated = await partner.ask("POST", path, idempotency_key="k")
    again = await partner.ask("POST", path, idempotency_key="k")
    assert (rotated.status, rotated.body) == (201, again.body)
    assert await secrets_of(client, subscription) == [rotated.body["secret"], old]
    ends = "SELECT extract(epoch FROM ends_at - created_at)::int FROM webhook_secrets ORDER BY secret_id"
    assert [row[0] for row in await client.rows(ends)] == [pytest.approx(86_400, abs=60), None]
    at_once = await partner.ask("POST", path, {"overlapS": 0})
    assert await secrets_of(client, subscription) == [at_once.body["secret"]]
    assert await client.row("SELECT count(*) FROM webhook_secrets") == (1,)


async def test_a_longer_overlap_does_not_prolong_the_end_of_an_earlier_secret(client: Client, partner: Partner) -> None:
    subscription = await partner.subscribed()
    for overlap in (60, 3600):
        await partner.ask("POST", f"{SUBSCRIPTIONS}/{subscription}/secret", {"overlapS": overlap})
    ends = "SELECT round(extract(epoch FROM ends_at - created_at) / 60)::int FROM webhook_secrets ORDER BY secret_id"
    assert [row[0] for row in await client.rows(ends)] == [1, 60, None]


async def test_a_rotation_may_change_the_kind_of_signature(client: Client, partner: Partner) -> None:
    subscription = await partner.subscribed()
    path = f"{SUBSCRIPTIONS}/{subscription}/secret"
    rotated = await partner.ask("POST", path, {"signature": "v1a"})
    assert (rotated.body["signature"], rotated.body["version"]) == ("v1a", 2)
    assert rotated.body["publicKey"].startswith("whpk_")
    assert (await partner.shown(subscription))["signature"] == "v1a"
    assert (await partner.ask("POST", path)).body["signature"] == "v1a"


async def test_so_many_secrets_sign_at_once_and_no_more(client: Client, partner: Partner) -> None:
    subscription = await partner.subscribed()
    path = f"{SUBSCRIPTIONS}/{subscription}/secret"
    replies = [await partner.ask("POST", path) for _ in range(VALID_MAX)]
    assert [one.status for one in replies] == [201] * (VALID_MAX - 1) + [409]
    assert kind(replies[-1]) == "too-many-secrets"
    assert (await partner.ask("POST", path, {"overlapS": 0})).status == 201
    for refused in ({"overlapS": -1}, {"overlapS": 7 * 86_400 + 1}, {"signature": "v3"}):
        assert kind(await partner.ask("POST", path, refused)) == "body-invalid"


async def test_a_paused_one_keeps_its_messages_until_it_is_resumed(client: Client, partner: Partner) -> None:
    subscription = await partner.subscribed()
    waiting, path = await message(client, subscription), f"{SUBSCRIPTIONS}/{subscription}"
    paused = await partner.ask("POST", f"{path}/pause")
    assert (paused.status, paused.body["status"], paused.headers["etag"]) == (200, "PAUSED", '"2"')
    assert paused.body["statusReason"]
    assert (await queue(client, subscription))[0] is True
    assert (await partner.ask("POST", f"{path}/pause")).body == paused.body
    resumed = await partner.ask("POST", f"{path}/resume")
    assert (resumed.body["status"], resumed.body["version"]) == ("ACTIVE", 3)
    assert "statusReason" not in resumed.body
    assert await queue(client, subscription) == (False, True)
    assert (await partner.ask("POST", f"{path}/resume")).body == resumed.body
    assert await states(client, waiting) == [("PENDING", True)]


@pytest.mark.parametrize("status", ["FAILING", "DISABLED"])
async def test_a_failing_or_disabled_one_is_resumed_by_hand_and_sends_at_once(
    client: Client, partner: Partner, status: str
) -> None:
    subscription = await partner.subscribed()
    await message(client, subscription)
    async with client.deps.db.transaction() as tx:
        await tx.execute("UPDATE webhook_subscriptions SET status = %s, status_reason = 'x'", (status,))
        await tx.execute(
            "UPDATE webhook_queues SET held = %s, failures = 9, slowed = 2, not_before = now() + interval '1 h'",
            (status == "DISABLED",),
        )
    resumed = await partner.ask("POST", f"{SUBSCRIPTIONS}/{subscription}/resume")
    assert resumed.body["status"] == "ACTIVE"
    assert await client.row("SELECT failures, slowed, not_before FROM webhook_queues") == (0, 0, None)
    assert await queue(client, subscription) == (False, True)


async def test_a_disabled_one_is_not_paused(client: Client, partner: Partner) -> None:
    subscription = await partner.subscribed()
    async with client.deps.db.transaction() as tx:
        await tx.execute("UPDATE webhook_subscriptions SET status = 'DISABLED'")
    refused = await partner.ask("POST", f"{SUBSCRIPTIONS}/{subscription}/pause")
    assert (refused.status, kind(refused)) == (409, "subscription-disabled")


@pytest.mark.parametrize("named", ["1", "0199e3a4-7c1e-7d2a-9b7e-2f6f0d1c3a60", "%"])
async def test_an_id_that_is_none_is_unknown(partner: Partner, named: str) -> None:
    for path, problem in ((SUBSCRIPTIONS, "unknown-subscription"), ("/api/v1/webhook-messages", "unknown-message")):
        assert kind(await partner.ask("GET", f"{path}/{named}")) == problem


async def test_a_message_is_delivered_to_the_allowed_private_host_in_development_alone(client: Client) -> None:
    opened = open_deps(replace(client.deps.settings, outgoing_allow="127.0.0.1"))
    made = await Partner(Client(opened)).create(url="http://127.0.0.1:9999/hook")
    assert made.status == 201
    assert kind(await Partner(client).create(url="http://127.0.0.1:9999/hook")) == "url-not-allowed"
    await close_deps(opened)
