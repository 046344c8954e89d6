"""Any pod reaches a cluster-local operation and the broker; its forged events change nothing, and are reported."""

import json
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest
from msgspec.structs import replace

from pulsecart.runtime.event import CloudEvent, new_id, padded
from pulsecart.serving import cloudevents
from pulsecart.shop.inventory.events import StockAdjusted
from pulsecart.shop.orders.events import OrderCreated
from tests.cluster.kube import service
from tests.cluster.shop import Cluster, until

pytestmark = pytest.mark.timeout(240)  # its end waits for a purchase, from zero
SUBSCRIBED = ("reserve", "project-orders", "notify", "webhook-deliver")


def order(sequence: int = 10**17, status: str = "PENDING") -> CloudEvent:
    order_id = new_id()
    data = {"orderId": order_id, "userId": "victim", "totalAmount": 1, "currency": "USD", "items": [], "status": status}
    return CloudEvent(
        id=new_id(),
        source="/pulsecart/checkout",
        type=OrderCreated.TYPE,
        subject=order_id,
        data=json.dumps(data | {"path": "sync"}).encode(),
        extensions={"sequence": padded(sequence), "partitionkey": order_id, "orderstatus": status.lower()},
    )


async def post(cluster: Cluster, event: CloudEvent, to: str, namespace: str, host: str, path: str, **more: str) -> int:
    address = (await service(to, namespace))["clusterIP"]
    headers, body = cloudevents.binary(event)
    answer = await cluster.http.post(f"http://{address}{path}", headers={**headers, **more, "host": host}, content=body)
    return answer.status_code


async def to_operation(cluster: Cluster, event: CloudEvent, operation: str) -> int:
    host = f"{operation}.pulsecart.svc.cluster.local"
    return await post(cluster, event, "kourier-internal", "kourier-system", host, f"/{operation}")


async def to_broker(cluster: Cluster, event: CloudEvent, **headers: str) -> int:
    host = "broker-ingress.knative-eventing.svc.cluster.local"
    return await post(cluster, event, "broker-ingress", "knative-eventing", host, "/pulsecart/default", **headers)


@pytest.fixture
async def forged(cluster: Cluster) -> AsyncIterator[list[CloudEvent]]:
    """Provide a list for forged events; delete their dead letters afterwards, as no log has them for a replay."""
    made: list[CloudEvent] = []
    yield made
    await cluster.rows("DELETE FROM dead_letters WHERE event_id = ANY(%s) RETURNING 1", [event.id for event in made])


async def traces(cluster: Cluster, event: CloudEvent) -> list[Any]:
    return [
        *await cluster.rows("SELECT 1 FROM orders_by_customer WHERE order_id = %s", event.subject),
        *await cluster.rows("SELECT 1 FROM consumed WHERE event_id = %s", event.id),
    ]


async def test_an_operation_takes_no_event_that_the_relay_did_not_sign(cluster: Cluster) -> None:
    signed = replace(event := order(), extensions={**event.extensions, "eventsignature": "v1." + "A" * 43})
    for operation in SUBSCRIBED:
        assert await to_operation(cluster, event, operation) == 401
        assert await to_operation(cluster, signed, operation) == 403
    assert await traces(cluster, event) == []


async def test_an_event_that_was_posted_to_the_broker_is_a_dead_letter_and_nothing_else(
    cluster: Cluster, forged: list[CloudEvent]
) -> None:
    forged.append(event := order())
    assert await to_broker(cluster, event) == 202

    async def kept() -> bool:
        found = await cluster.rows(
            "SELECT trigger, signed FROM dead_letters WHERE event_id = %s ORDER BY trigger", event.id
        )
        return found == [(trigger, False) for trigger in sorted(SUBSCRIBED)]

    await until(kept, 90, "a dead letter of each Trigger, without a valid signature")
    assert await traces(cluster, event) == []


async def test_stock_cannot_be_frozen_by_a_sequence_that_was_made_up(
    cluster: Cluster, forged: list[CloudEvent]
) -> None:
    data = {"productId": "3", "delta": 1, "available": 123456, "reason": "RELEASED"}
    event = replace(order(), type=StockAdjusted.TYPE, data=json.dumps(data).encode(), subject="3")
    forged.append(event)
    assert await to_operation(cluster, event, "refresh-products") == 401
    assert (await cluster.http.get("/api/v1/inventory/3")).json().get("available") != 123456
    await cluster.becomes(await cluster.buy_later(77, "3"), "FULFILLED")


async def test_operations_connect_as_a_role_that_cannot_change_the_schema(cluster: Cluster) -> None:
    for statement in ("CREATE TABLE mine (x int)", "ALTER TABLE orders ADD COLUMN mine int", "DROP TABLE outbox"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            await cluster.rows(statement)
