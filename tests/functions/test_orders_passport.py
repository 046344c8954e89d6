"""orders: an order's passport shows the tables' data on its request, steps, events and deliveries."""

from collections.abc import Iterable
from typing import Any

import pytest
from msgspec.structs import replace

from pulsecart.broker import store
from pulsecart.broker.dead_letters import table
from pulsecart.local.prepare import place_triggers
from pulsecart.runtime.db.log import Cursor
from pulsecart.serving import cloudevents
from tests.client import Client
from tests.functions.conftest import Strict
from tests.functions.money import cancel, deliver_all


@pytest.fixture
async def placed(client: Client) -> None:
    """Create the cursor of every trigger, at the log's end."""
    await place_triggers(client.deps.settings.database_url)


async def passport(client: Client, order_id: str) -> Any:
    answered = await client.ask("GET", f"/api/v1/orders/{order_id}/passport")
    assert answered.status == 200
    return answered.body


def results(document: Any) -> dict[tuple[str, str], str]:
    """Return (event's short name, trigger) → result."""
    return {
        (event["type"].split(".")[3], delivery["trigger"]): delivery["result"]
        for event in document["events"]
        for delivery in event["deliveries"]
    }


def deliveries(document: Any) -> dict[tuple[int, str], Any]:
    """Return (event's sequence, trigger) → the delivery."""
    return {(event["sequence"], one["trigger"]): one for event in document["events"] for one in event["deliveries"]}


async def pass_all(client: Client, triggers: Iterable[str]) -> None:
    """Move the cursors of these triggers to the log's end."""
    async with store.session(client.deps.settings.database_url) as opened:
        end = (await opened.log.end()).window_to
        await opened.write({name: (Cursor(end, end, 0), 0.0) for name in triggers}, {})


@pytest.mark.usefixtures("placed")
async def test_it_shows_request_steps_events_and_stream_of_a_purchase(client: Client) -> None:
    sold = await client.ask(
        "POST",
        "/api/v1/sync/purchase",
        {"productId": 1, "userId": 7},
        idempotency_key="k-7",
        correlation_id="c-7",
    )
    order_id = sold.body["orderId"]
    await deliver_all(client)
    for event in await client.log():
        if event.type in client.operations["notify"].events:
            assert await client.handle_event("notify", event) == 204
    shown = await passport(client, order_id)
    assert shown["order"]["status"] == "FULFILLED"
    request = shown["request"]
    assert (request["request"], request["idempotencyKey"]) == ("POST /api/v1/sync/purchase", "k-7")
    assert (request["correlationId"], request["reply"]["status"]) == ("c-7", 200)
    assert [(step["sequence"], step["status"], step["actor"]) for step in shown["steps"]] == [
        (2, "CONFIRMED", "buyer:7"),
        (3, "PAID", "operation:pay"),
        (4, "FULFILLED", "operation:fulfil"),
    ]
    log = [event for event in await client.log() if event.partitionkey == order_id]
    assert [(event["id"], event["type"], event["sequence"]) for event in shown["events"]] == [
        (event.id, event.type, event.sequence) for event in log
    ]
    assert [(event["streamId"], event["inStream"]) for event in shown["events"]] == [
        (f"{at}-0", True) for at in range(1, 5)
    ]
    assert shown["steps"][1]["causedBy"] == shown["events"][1]["id"]
    assert shown["steps"][1]["causedBySource"] == shown["events"][1]["source"]
    assert shown["payment"]["status"] == "CHARGED"


@pytest.mark.usefixtures("placed")
async def test_a_delivery_that_was_finished_says_when_and_the_others_are_to_come_until_the_cursor_passes(
    client: Client,
) -> None:
    order_id = (await client.buy()).body["orderId"]
    (confirmed,) = await client.log("ecommerce.order.order.confirmed.v1")
    before = results(await passport(client, order_id))
    assert before == {
        ("created", "notify"): "to-come",
        ("created", "project-orders"): "to-come",
        ("created", "webhook-deliver"): "to-come",
        ("confirmed", "webhook-deliver"): "to-come",
        ("confirmed", "notify"): "to-come",
        ("confirmed", "project-orders"): "to-come",
        ("confirmed", "pay"): "to-come",
    }
    assert await client.handle_event("pay", confirmed) == 204
    await pass_all(client, ["notify"])
    shown = await passport(client, order_id)
    after = results(shown)
    assert after["confirmed", "pay"] == "finished"
    assert {after[name, "notify"] for name in ("created", "confirmed", "paid")} == {"delivered"}
    assert after["created", "project-orders"] == "to-come"
    (pay,) = [d for e in shown["events"] for d in e["deliveries"] if d["trigger"] == "pay"]
    (at,) = await client.row("SELECT consumed_at FROM consumed WHERE operation = 'pay'")
    assert pay["at"].startswith(at.strftime("%Y-%m-%dT%H:%M:%S.%f"))


@pytest.mark.usefixtures("placed")
async def test_what_is_tried_again_and_what_was_given_up_are_reported_with_their_cause(client: Client) -> None:
    order_id = (await client.buy()).body["orderId"]
    await pass_all(client, ["pay", "notify", "project-orders"])
    await client.rows(
        "INSERT INTO trigger_backlog (trigger, position, partitionkey, attempts, due_at, error_code)"
        " SELECT 'pay', position, partitionkey, 3, now(), 503 FROM outbox"
        " WHERE type LIKE '%%order.confirmed.v1' RETURNING 1"
    )
    await client.rows(
        "INSERT INTO dead_letters (trigger, event_id, source, type, event, error_code, error_data)"
        " SELECT 'notify', id, source, type, '{}', 500, 'out of ink' FROM outbox"
        " WHERE type LIKE '%%order.created.v1' RETURNING 1"
    )
    shown = await passport(client, order_id)
    reported = results(shown)
    assert (reported["confirmed", "pay"], reported["created", "notify"]) == ("waiting", "given-up")
    deliveries_shown = deliveries(shown)
    assert (deliveries_shown[2, "pay"]["attempts"], deliveries_shown[2, "pay"]["errorCode"]) == (3, 503)
    assert deliveries_shown[1, "notify"]["errorCode"] == 500
    await client.rows("DELETE FROM trigger_backlog RETURNING 1")
    await client.rows("UPDATE dead_letters SET replayed_at = received_at + interval '1 hour' RETURNING 1")
    replayed = deliveries(await passport(client, order_id))[1, "notify"]
    assert (replayed["result"], replayed["givenUpAt"] < replayed["replayedAt"]) == ("delivered", True)


async def test_what_a_failing_operation_said_is_shown_to_an_admin_alone(client: Client, strict: Strict) -> None:
    order_id = (await client.buy(user=7)).body["orderId"]
    await client.rows(
        "INSERT INTO dead_letters (trigger, event_id, source, type, event, error_code, error_data)"
        " SELECT 'notify', id, source, type, '{}', 500, 'relation \"ink\" is empty' FROM outbox"
        " WHERE type LIKE '%%order.created.v1' RETURNING 1"
    )
    path = f"/api/v1/orders/{order_id}/passport"
    for unsigned_or_owner in ((client, {}), (client, strict.as_buyer("7")), (strict, strict.as_buyer("7"))):
        asking, headers = unsigned_or_owner
        shown = (await asking.ask("GET", path, **headers)).body
        assert results(shown)["created", "notify"] == "given-up"
        assert "ink" not in str(shown)
    shown = (await strict.ask("GET", path, **strict.signed("1", "admin"))).body
    assert deliveries(shown)[1, "notify"]["error"] == 'relation "ink" is empty'


@pytest.mark.usefixtures("placed")
async def test_a_step_that_reserve_took_says_when_its_event_was_done(client: Client) -> None:
    order_id = (await client.buy(path="async")).body["orderId"]
    (created,) = await client.log("ecommerce.order.order.created.v1")
    assert deliveries(await passport(client, order_id))[1, "reserve"]["result"] == "to-come"
    assert await client.handle_event("reserve", created) == 204
    shown = await passport(client, order_id)
    reserved = deliveries(shown)[1, "reserve"]
    assert (reserved["result"], reserved["at"]) == ("finished", shown["steps"][1]["at"])


async def test_where_a_cluster_s_broker_delivers_it_says_what_was_handed_to_it(client: Client) -> None:
    order_id = (await client.buy()).body["orderId"]
    async with store.session(client.deps.settings.database_url) as opened:
        await opened.cursors(["/relay"], whole_log=True)
    assert set(results(await passport(client, order_id)).values()) == {"to-come"}
    await pass_all(client, ["/relay"])
    assert set(results(await passport(client, order_id)).values()) == {"with-the-broker"}


async def test_a_restored_log_whose_transactions_have_other_numbers_is_read_all_the_same(client: Client) -> None:
    order_id = (await client.buy()).body["orderId"]
    before = (await passport(client, order_id))["events"]
    await client.rows("UPDATE outbox SET xid = '3'::xid8 RETURNING 1")
    assert (await passport(client, order_id))["events"] == before
    assert len(before) == 2


async def test_a_canceled_order_s_money_is_among_its_events(client: Client) -> None:
    order_id = (await client.buy()).body["orderId"]
    await client.ask("POST", f"/api/v1/orders/{order_id}/pay")
    await cancel(client, order_id)
    await deliver_all(client)
    shown = await passport(client, order_id)
    assert [event["type"].split(".")[3] for event in shown["events"]][-1] == "refunded"
    assert shown["payment"]["status"] == "REFUNDED"


async def test_it_is_its_owner_s_alone_in_the_demo_too(client: Client, strict: Strict) -> None:
    path = f"/api/v1/orders/{(await client.buy(user=7)).body['orderId']}/passport"
    assert (await strict.ask("GET", path)).status == 401
    assert (await strict.ask("GET", path, **strict.as_buyer("8"))).status == 403
    assert (await client.ask("GET", path, **strict.as_buyer("8"))).status == 403
    shown = await strict.ask("GET", path, **strict.as_buyer("7"))
    assert (shown.status, shown.headers["cache-control"]) == (200, "no-store")


async def test_an_order_that_is_not_there_has_no_passport(client: Client) -> None:
    for order_id in ("0192f000-0000-7000-8000-000000000000", "7", "é" * 36):
        assert (await client.ask("GET", f"/api/v1/orders/{order_id}/passport")).status == 404


@pytest.mark.parametrize(
    ("data", "extensions"),
    [
        (b"{", '{"sequence": "2"}'),
        (b"\xff\0", '{"sequence": "\\u0000"}'),
        (b'{"a": "\\u0000"}', '{"sequence": "\\ud800", "causationid": "\\ud800"}'),
        (b'{"a": "\\ud800"}', "[]"),
        (b"[" * 5000 + b"]" * 5000, '{"sequence": 7, "causationid": {}}'),
        (b"9" * 5000, '{"sequence": "\u00b2"}'),
        (None, "null"),
    ],
)
async def test_an_order_with_an_odd_event_has_a_passport_all_the_same(
    client: Client, data: bytes | None, extensions: str
) -> None:
    order_id = (await client.buy()).body["orderId"]
    await client.rows(
        "UPDATE outbox SET data = %s, extensions = %s, time = 'infinity' WHERE type LIKE '%%confirmed.v1' RETURNING 1",
        data,
        extensions,
    )
    shown = await passport(client, order_id)
    assert [event["type"].split(".")[3] for event in shown["events"]] == ["created", "confirmed"]
    assert shown["events"][0]["data"]["orderId"] == order_id
    await client.rows("DELETE FROM outbox RETURNING 1")  # no contract allows them


async def test_what_was_discarded_says_so(client: Client) -> None:
    order_id = (await client.buy()).body["orderId"]
    await client.rows(
        "INSERT INTO dead_letters (trigger, event_id, source, type, discarded_at)"
        " SELECT 'notify', id, source, type, now() FROM outbox WHERE type LIKE '%%order.created.v1' RETURNING 1"
    )
    reported = deliveries(await passport(client, order_id))[1, "notify"]
    assert (reported["result"], "discardedAt" in reported) == ("given-up", True)


@pytest.mark.usefixtures("placed")
async def test_what_became_of_an_event_is_not_shown_at_another_of_the_same_id(client: Client) -> None:
    order_id = (await client.buy()).body["orderId"]
    (confirmed,) = await client.log("ecommerce.order.order.confirmed.v1")
    foreign = replace(confirmed, source="/elsewhere", time_text="2026-01-31T09:30:00.123456789+01:00")
    async with client.deps.db.transaction() as tx:
        tx.events.append(foreign)
    async with client.deps.db.transaction() as tx:  # an order's events are found by the transactions of its steps
        await tx.execute("UPDATE outbox SET xid = (SELECT xid FROM outbox WHERE source <> %s LIMIT 1)", ("/elsewhere",))
    assert await client.handle_event("pay", confirmed) == 204
    async with client.deps.db.transaction() as tx:
        await table.keep(tx, foreign, cloudevents.structured(foreign).decode(), "/notify")
    await pass_all(client, ["notify", "pay"])
    shown = {
        event["source"]: event for event in (await passport(client, order_id))["events"] if event["id"] == confirmed.id
    }
    reported = {
        source: {one["trigger"]: one["result"] for one in event["deliveries"] if one["trigger"] in ("pay", "notify")}
        for source, event in shown.items()
    }
    assert reported == {
        confirmed.source: {"pay": "finished", "notify": "delivered"},
        "/elsewhere": {"pay": "delivered", "notify": "given-up"},
    }
    assert shown["/elsewhere"]["time"] == "2026-01-31T09:30:00.123456789+01:00"
