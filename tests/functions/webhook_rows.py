"""Subscriptions made over REST, and messages and attempts written as webhook_deliver leaves them."""

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from pulsecart.runtime.event import new_id
from tests.client import Answered, Client

SUBSCRIPTIONS, MESSAGES = "/api/v1/webhook-subscriptions", "/api/v1/webhook-messages"
PAID = "ecommerce.order.order.paid.v1"
URL = "https://hooks.example/pulsecart"
Headers = dict[str, str]


@dataclass
class Partner:
    """A partner's requests."""

    client: Client
    name: str = "shipping-co"

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answered:
        return await self.client.ask(method, path, body, **headers, **self.client.signed(self.name, "partner"))

    async def subscribed(self, **members: Any) -> str:
        """The id of a new subscription."""
        made = await self.create(**members)
        assert made.status == 201, made
        return str(made.body["subscriptionId"])

    async def create(self, key: str = "", **members: Any) -> Answered:
        headers = {"idempotency_key": key} if key else {}
        return await self.ask("POST", SUBSCRIPTIONS, {"url": URL, "eventTypes": [PAID]} | members, **headers)

    async def change(self, subscription: str, if_match: str = "*", **members: Any) -> Answered:
        body = {"url": URL, "eventTypes": [PAID]} | members
        return await self.ask("PUT", f"{SUBSCRIPTIONS}/{subscription}", body, if_match=if_match)

    async def shown(self, subscription: str) -> Any:
        return (await self.ask("GET", f"{SUBSCRIPTIONS}/{subscription}")).body


def kind(answered: Answered) -> str:
    """The problem's name."""
    return str(answered.body["type"]).rpartition("/")[2]


async def message(
    client: Client,
    subscription: str,
    status: str = "PENDING",
    *,
    lane: str | None = None,
    due: bool = True,
    ended_at: datetime | None = None,
    retries: int = 0,
    in_flight: bool = False,
) -> str:
    """The id of a new message; one that is due was due a minute ago."""
    now = client.deps.clock.now()
    event = {"specversion": "1.0", "id": new_id(), "source": "/test", "type": PAID, "data": {"orderId": "o-1"}}
    body = json.dumps(event | {"datacontenttype": "application/json"}).encode()
    message_id, ended = new_id(), None if status == "PENDING" else ended_at or now
    async with client.deps.db.transaction() as tx:
        await tx.execute(
            """
            WITH event AS (
                INSERT INTO webhook_events (source, event_id, type, subject, body, created_at)
                VALUES ('/test', %s, %s, 'o-1', %s, %s) RETURNING event_key
            )
            INSERT INTO webhook_messages (message_id, subscription_id, event_key, lane, status, retries, due_at,
                claimed_until, created_at, ended_at)
            SELECT %s, %s, event_key, %s, %s, %s, %s, %s, %s, %s FROM event
            """,
            (
                *(event["id"], PAID, body, now, message_id, subscription, lane, status, retries),
                now - timedelta(minutes=1) if status == "PENDING" and due else None,
                now + timedelta(minutes=1) if in_flight else None,
                *(now, ended),
            ),
        )
    return message_id


async def attempt(client: Client, message_id: str, number: int, **columns: Any) -> None:
    """An attempt of a message, in flight unless the columns say how it ended."""
    stored = {
        "message_id": message_id,
        "number": number,
        "subscription_id": new_id(),
        "probe": False,
        "url": URL,
        "content_mode": "structured",
        "began_at": client.deps.clock.now(),
        "request_headers": json.dumps({"webhook-id": message_id}),
    } | columns
    names = ", ".join(stored)
    values = ", ".join(f"%({name})s" for name in stored)
    async with client.deps.db.transaction() as tx:
        await tx.execute(f"INSERT INTO webhook_delivery_attempts ({names}) VALUES ({values})", stored)


async def states(client: Client, *messages: str) -> list[tuple[str, bool]]:
    """Status of each message, and whether it is due."""
    rows = await client.rows(
        "SELECT status, due_at <= %s FROM unnest(%s::uuid[]) WITH ORDINALITY AS asked (message_id, place)"
        " JOIN webhook_messages USING (message_id) ORDER BY place",
        client.deps.clock.now(),
        list(messages),
    )
    return [(status, bool(due)) for status, due in rows]


async def queue(client: Client, subscription: str) -> Any:
    """Whether the subscription's queue is held, and whether a message of it can be claimed now."""
    held, due = await client.row(
        "SELECT held, due_at <= %s FROM webhook_queues WHERE subscription_id = %s",
        client.deps.clock.now(),
        subscription,
    )
    return held, bool(due)
