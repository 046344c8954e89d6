"""pubsub_push: accepts what Pub/Sub pushes with Google's token, once; what it rejects has one cause on both sides."""

import asyncio
import json
from base64 import b64encode
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

from pulsecart.broker.dead_letters.letters import UNREADABLE
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.shop.partners.events import StockReported
from pulsecart.shop.partners.reports import source_of
from tests.client import Answered, Client
from tests.functions.partner_shop import PartnerShop, stock

PROJECT, SUBSCRIPTION, ACCOUNT = "a-project", "acme-reports", "pusher@a-project.iam.gserviceaccount.com"
ISSUER, AUDIENCE = "https://accounts.google.com", "http://127.0.0.1:8080/pubsub/push"
PATH = f"projects/{PROJECT}/subscriptions/{SUBSCRIPTION}"


class Google:
    """Issues tokens as Google does for push subscriptions."""

    def __init__(self, directory: Path) -> None:
        self.key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        document = json.loads(RSAAlgorithm.to_jwk(self.key.public_key()))
        self.jwks = directory / "google.json"
        self.jwks.write_text(json.dumps({"keys": [{**document, "kid": "g1", "alg": "RS256", "use": "sig"}]}))

    def token(self, now: Any, key: Any = None, **instead: Any) -> str:
        issued = int(now.timestamp())
        claims = {"iss": ISSUER, "aud": AUDIENCE, "sub": "1122", "email": ACCOUNT, "email_verified": True}
        named = {**claims, "iat": issued, "exp": issued + 3600, **instead}
        given = {name: value for name, value in named.items() if value is not None}
        return jwt.encode(given, key or self.key, algorithm="RS256", headers={"kid": "g1"})


@dataclass
class Pushed:
    """A shop with partners, to which Pub/Sub pushes."""

    client: Client
    shop: PartnerShop
    google: Google

    async def push(self, event: Any, *, attempt: int = 0, token: str | None = None, **more: Any) -> Answered:
        """Push a structured event, or a message given as a mapping with ``attributes`` or bytes as ``data``."""
        shown = self.google.token(self.client.deps.clock.now()) if token is None else token
        body = json.dumps(request(event, attempt, **more)).encode()
        return await self.client.ask("POST", "/pubsub/push", body, authorization=f"Bearer {shown}")

    async def letters(self) -> list[Any]:
        return await self.client.rows(
            "SELECT trigger, source, event_id, error_code, error_data, convert_from(raw, 'UTF8') FROM dead_letters"
        )


def request(event: Any, attempt: int = 0, message_id: str = "m1", subscription: str = PATH) -> Mapping[str, Any]:
    if isinstance(event, bytes):
        message: dict[str, Any] = {"data": b64encode(event).decode()}
    elif "attributes" in event:
        message = {"attributes": event["attributes"], "data": b64encode(event["data"]).decode()}
    else:
        raw = json.dumps(event).encode()
        message = {"attributes": {"content-type": "application/cloudevents+json"}, "data": b64encode(raw).decode()}
    message |= {"messageId": message_id, "message_id": message_id, "publishTime": "2026-11-30T08:00:00.5Z"}
    sent: dict[str, Any] = {"message": message, "subscription": subscription}
    return {**sent, "deliveryAttempt": attempt} if attempt else sent


def binary(event: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the event as a message in binary mode."""
    attributes = {f"ce-{name}": value for name, value in event.items() if name not in ("data", "datacontenttype")}
    attributes["content-type"] = event["datacontenttype"]
    return {"attributes": attributes, "data": json.dumps(event["data"]).encode()}


@pytest.fixture
async def pushed(deps: Deps, tmp_path: Path) -> AsyncIterator[Pushed]:
    google = Google(tmp_path)
    settings = replace(
        deps.settings,
        pubsub_project=PROJECT,
        pubsub_push=f"{SUBSCRIPTION}=acme",
        pubsub_push_accounts=f"{ACCOUNT},other@a-project.iam.gserviceaccount.com",
        pubsub_push_jwks_url=google.jwks.as_uri(),
    )
    opened = open_deps(settings)
    client = Client(opened)
    yield Pushed(client, await PartnerShop(client).own(), google)
    await close_deps(opened)


async def test_a_message_in_either_mode_is_in_the_log_when_it_is_acknowledged(pushed: Pushed) -> None:
    first, second = stock(delta=3), stock(delta=4)
    assert (await pushed.push(first)).status == 204
    assert (await pushed.push(binary(second), message_id="m2")).status == 204
    reports = await pushed.shop.reports()
    assert [(one.id, one.source, one.type) for one in reports] == [
        (sent["id"], source_of("acme"), StockReported.TYPE) for sent in (first, second)
    ]
    assert [one.extensions["correlationid"] for one in reports] == ["m1", "m2"]
    assert await pushed.letters() == []


async def test_a_message_that_comes_twice_or_by_another_way_too_is_logged_once(pushed: Pushed) -> None:
    event = stock()
    assert [(await pushed.push(event)).status for _ in range(3)] == [204] * 3
    assert (await pushed.shop.send(event)).body == {"accepted": 1, "duplicates": 1}
    assert len(await pushed.shop.reports()) == 1


async def test_messages_that_arrive_together_are_each_logged(pushed: Pushed) -> None:
    answers = await asyncio.gather(*(pushed.push(stock(), message_id=f"m{n}") for n in range(50)))
    assert {answer.status for answer in answers} == {204}
    assert len(await pushed.shop.reports()) == 50


@pytest.mark.parametrize(
    ("instead", "status"),
    [
        ({"aud": "https://other.example/pubsub/push"}, 401),
        ({"iss": "https://accounts.example.com"}, 401),
        ({"exp": 0}, 401),
        ({"exp": None}, 401),
        ({"sub": None}, 401),
        ({"email": "stranger@other.iam.gserviceaccount.com"}, 403),
        ({"email": None}, 403),
        ({"email_verified": False}, 403),
        ({"email_verified": None}, 403),
        ({"email_verified": "true"}, 403),
    ],
    ids=str,
)
async def test_a_token_that_google_does_not_issue_for_this_subscription_is_rejected(
    pushed: Pushed, instead: Mapping[str, Any], status: int
) -> None:
    token = pushed.google.token(pushed.client.deps.clock.now(), **instead)
    assert (await pushed.push(stock(), token=token)).status == status
    assert await pushed.shop.reports() == []


async def test_a_token_of_another_key_of_the_shop_s_own_issuer_or_none_is_rejected(pushed: Pushed) -> None:
    now, stranger = pushed.client.deps.clock.now(), rsa.generate_private_key(public_exponent=65537, key_size=2048)
    ours = pushed.client.signed("acme", "partner", "admin")["authorization"].removeprefix("Bearer ")
    for token in (pushed.google.token(now, key=stranger), ours, "", "x", pushed.google.token(now) + "x"):
        assert (await pushed.push(stock(), token=token)).status == 401
    assert await pushed.shop.reports() == []


async def test_google_s_token_signs_in_nobody_at_the_shop(pushed: Pushed) -> None:
    """Another issuer's token must not become a caller of the API."""
    token = pushed.google.token(pushed.client.deps.clock.now(), roles="admin", aud="pulsecart")
    body = {"orderId": "1"}
    answered = await pushed.client.ask("POST", "/events", body, authorization=f"Bearer {token}")
    assert answered.status == 401


@pytest.mark.parametrize(
    ("bad", "type"),
    [
        (stock("2"), "not-yours"),
        (stock(partner="other"), "wrong-source"),
        (stock() | {"type": "ecommerce.order.order.paid.v1"}, "not-allowed"),
        (stock() | {"type": "ecommerce.partner.nothing.v1"}, "unknown-type"),
        (stock(delta="many"), "contract-broken"),  # type: ignore[arg-type]  # what the contract refuses
    ],
    ids=["not-yours", "wrong-source", "not-allowed", "unknown-type", "contract-broken"],
)
async def test_a_rejected_event_goes_back_to_pub_sub_with_the_cause_that_our_dead_letter_has(
    pushed: Pushed, bad: Mapping[str, Any], type: str
) -> None:
    for attempt in range(1, 4):
        answered = await pushed.push(bad, attempt=attempt)
        assert answered.body["type"].endswith(type)
        assert answered.status in (400, 403)
    ((trigger, source, event_id, code, cause, _),) = await pushed.letters()
    assert (trigger, source, event_id, code) == ("pubsub-push", bad["source"], bad["id"], answered.status)
    assert json.loads(cause) == {**answered.body}
    assert await pushed.shop.reports() == []


async def test_without_a_dead_letter_topic_a_rejected_event_is_ours_alone(pushed: Pushed) -> None:
    assert (await pushed.push(stock("2"))).status == 204
    assert [letter[0] for letter in await pushed.letters()] == ["pubsub-push"]


async def test_a_message_that_is_no_event_is_known_by_its_id(pushed: Pushed) -> None:
    for attempt in (1, 2):
        assert (await pushed.push(b"{ no event \xff", attempt=attempt, message_id="m-9")).status == 400
    ((_, source, event_id, code, _, raw),) = await pushed.letters()
    assert (source, event_id, code) == (f"//pubsub.googleapis.com/{PATH}", "m-9", 400)
    assert json.loads(raw)[UNREADABLE]["body_base64"] == b64encode(b"{ no event \xff").decode()


@pytest.mark.parametrize(
    "path", [f"projects/{PROJECT}/subscriptions/unknown", f"projects/other/subscriptions/{SUBSCRIPTION}", "x"]
)
async def test_a_subscription_without_a_partner_is_rejected(pushed: Pushed, path: str) -> None:
    assert (await pushed.push(stock(), attempt=1, subscription=path)).body["type"].endswith("unbound-subscription")
    assert len(await pushed.letters()) == 1


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"message":{"messageId":"1","data":"*"},"subscription":"s"}'])
async def test_a_body_that_pub_sub_does_not_send_is_malformed(pushed: Pushed, body: bytes) -> None:
    token = pushed.google.token(pushed.client.deps.clock.now())
    answered = await pushed.client.ask("POST", "/pubsub/push", body, authorization=f"Bearer {token}")
    assert answered.body["type"].endswith("bad-push")


async def test_while_the_database_is_away_nothing_is_acknowledged(pushed: Pushed) -> None:
    settings = replace(pushed.client.deps.settings, database_url="postgresql://127.0.0.1:1/x")
    opened = open_deps(settings)
    try:
        away = Pushed(Client(opened), pushed.shop, pushed.google)
        assert [(await away.push(one, attempt=1)).status for one in (stock(), b"no event")] == [503, 503]
    finally:
        await close_deps(opened)


async def test_a_token_is_valid_for_its_time_by_the_shop_s_clock(pushed: Pushed) -> None:
    later = pushed.client.deps.clock.now() + timedelta(hours=2)
    assert (await pushed.push(stock(), token=pushed.google.token(later))).status == 204  # iat is not compared
    earlier = pushed.client.deps.clock.now() - timedelta(hours=2)
    assert (await pushed.push(stock(), token=pushed.google.token(earlier))).status == 401
