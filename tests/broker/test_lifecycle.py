"""Triggers are added, removed, restarted and lose their connection; their replies are routed as events."""

import asyncio
import logging
from collections import Counter

import pytest

from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.problem import Malformed
from pulsecart.serving import cloudevents
from pulsecart.serving.http import Reply
from pulsecart.serving.operation import operation
from pulsecart.serving.subscriptions import Received
from pulsecart.shop.orders.events import OrderPaid
from tests.broker.conftest import Start
from tests.broker.stage import OK, TYPE, Listener, Log, delivery, event, trigger

WAITING = "SELECT count(*) FROM trigger_backlog"


async def test_a_new_trigger_starts_at_the_logs_end(start: Start, log: Log) -> None:
    listener = Listener("listener")
    await log.write(event("before"))
    await start(trigger("t"), to=[listener])
    await log.write(event("after"))
    await listener.until_done(1)
    assert [e.partitionkey for e in listener.received] == ["after"]


async def test_a_restart_goes_on_where_the_last_run_stopped(start: Start, log: Log) -> None:
    listener = Listener("listener")
    first = await start(trigger("t"), to=[listener])
    await log.write(event("k", 1))
    await listener.until_done(1)
    await first.stop()
    await log.write(event("k", 2))
    await start(trigger("t"), to=[listener])
    await listener.until_done(2)
    assert [e.sequence for e in listener.received] == [1, 2]


async def test_stopping_lets_what_runs_finish(start: Start, log: Log) -> None:
    going_on = asyncio.Event()

    async def behave(event: CloudEvent) -> Reply:
        await going_on.wait()
        return OK

    listener = Listener("listener", behave)
    broker = await start(trigger("t"), to=[listener])
    await log.write(event())
    await listener.until(lambda listener: len(listener.received) == 1)
    stopping = asyncio.create_task(broker.stop())
    await asyncio.sleep(0)
    going_on.set()
    await stopping
    assert len(listener.done) == 1
    await log.until("SELECT window_from::text = window_to::text FROM trigger_cursors", True)


async def test_a_removed_triggers_waiting_rows_are_named_and_dropped(
    start: Start, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(event: CloudEvent) -> Reply:
        return Reply(503)

    first = await start(trigger("old", spec=delivery(delay="PT60S")), to=[Listener("listener", refuse)])
    await log.write(event(), event())
    await log.until(WAITING, 2)
    await first.stop()
    with caplog.at_level(logging.WARNING):
        await start(trigger("new"), to=[Listener("listener")])
        await log.until(WAITING, 0)
    assert "trigger old no longer exists; its 2 waiting events are dropped" in caplog.text
    assert await log.rows("SELECT trigger FROM trigger_cursors") == [("new",)]


async def test_a_row_put_into_the_backlog_is_delivered_to_that_trigger_alone(start: Start, log: Log) -> None:
    one, other = Listener("one"), Listener("other")
    await start(trigger("one", "one"), trigger("other", "other"), to=[one, other])
    await log.write(event("k", 1))
    await one.until_done(1)
    await other.until_done(1)
    await log.rows(
        """INSERT INTO trigger_backlog (trigger, position, partitionkey, due_at)
           SELECT 'one', position, partitionkey, now() FROM outbox RETURNING 1"""
    )
    await one.until_done(2)
    assert len(other.received) == 1
    await log.until(WAITING, 0)


async def test_a_lost_connection_is_replaced_and_nothing_is_lost(start: Start, log: Log) -> None:
    listener = Listener("listener")
    broker = await start(trigger("t"), to=[listener])
    written = [event(str(n % 5), n) for n in range(200)]
    for at in range(0, 200, 20):
        await log.write(*written[at : at + 20])
        await log.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pulsecart-log'"
        )
    await listener.until(lambda listener: len({e.id for e in listener.done}) == 200)
    assert broker.running
    for key in range(5):
        firsts = list(dict.fromkeys(listener.sequences(str(key))))
        assert firsts == sorted(firsts)


async def test_no_delivery_begins_once_the_locks_connection_is_lost(
    start: Start, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    """A delivery that is slow to be cancelled keeps the session open: retries that come due meanwhile wait."""
    lost, going_on = asyncio.Event(), asyncio.Event()

    async def behave(event: CloudEvent) -> Reply:
        if event.partitionkey != "slow":
            return Reply(503)
        try:
            await going_on.wait()
        except asyncio.CancelledError:
            lost.set()
            await going_on.wait()
            raise
        return OK

    listener = Listener("listener", behave)
    await start(trigger("t", spec=delivery(retry=2000, delay="PT0.005S", policy="linear")), to=[listener])
    await log.write(event("slow"), *(event(str(n)) for n in range(20)))
    await listener.until(lambda listener: len(listener.received) > 40)
    with caplog.at_level(logging.ERROR):
        await log.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'pulsecart-log'"
        )
        async with asyncio.timeout(20):
            await lost.wait()
        received = len(listener.received)
        await asyncio.sleep(0.3)  # many retries come due
        assert len(listener.received) == received
        going_on.set()
        await listener.until(lambda listener: len(listener.received) > received)
    assert caplog.messages == []


async def test_after_a_restore_into_a_younger_server_what_was_not_done_is_delivered(start: Start, log: Log) -> None:
    listener = Listener("listener")
    first = await start(trigger("t"), to=[listener])
    await log.write(event("k", 1))
    await listener.until_done(1)
    await first.stop()
    await log.write(event("k", 2))
    future = "(xid::text::bigint + 4000000000)::text::xid8"
    await log.rows(f"UPDATE outbox SET xid = {future} RETURNING 1")
    moved = "concat({0} + 4000000000, ':', {0} + 4000000000, ':')::pg_snapshot"
    ends = [moved.format(f"pg_snapshot_xmax({side})::text::bigint") for side in ("window_from", "window_to")]
    await log.rows(f"UPDATE trigger_cursors SET window_from = {ends[0]}, window_to = {ends[1]} RETURNING 1")
    await start(trigger("t"), to=[listener])
    await listener.until_done(2)  # what is written before the mending is taken for old
    await log.write(event("k", 3))
    await listener.until_done(3)
    assert listener.sequences("k") == [1, 2, 3]


async def test_a_reply_event_is_received_by_who_wants_it_and_keeps_its_id(start: Start, log: Log) -> None:
    reply = event("answer", 9, type="reply.v1")

    async def answer(event: CloudEvent) -> Reply:
        return cloudevents.reply(reply)

    asks = "  filter: {attributes: {type: %s}}"
    asked, reported = Listener("asked", answer), Listener("told")
    await start(
        trigger("asked", "asked", spec=asks % TYPE),
        trigger("told", "told", spec=asks % "reply.v1"),
        to=[asked, reported],
    )
    await log.write(event())
    await reported.until_done(1)
    assert reported.done[0].id == reply.id
    assert reported.done[0].extensions == reply.extensions


async def test_an_event_that_answers_itself_ends_after_255_rounds(start: Start, log: Log) -> None:
    async def echo(event: CloudEvent) -> Reply:
        return cloudevents.reply(event)

    listener = Listener("listener", echo)
    await start(trigger("t"), to=[listener])
    await log.write(event())
    await listener.until(lambda listener: len(listener.done) == 255, timeout_s=50)
    await log.until("SELECT window_from::text = window_to::text FROM trigger_cursors", True)
    assert len(listener.done) == 255
    assert "knativebrokerttl" not in listener.done[-1].extensions


async def test_a_reply_that_breaks_its_contract_ends_as_a_dead_letter(start: Start, log: Log) -> None:
    async def answer(event: CloudEvent) -> Reply:
        return cloudevents.reply(event)

    def validate(event: CloudEvent) -> None:
        raise Malformed("contract-broken", "price is missing")

    listener, dead_lettered = Listener("listener", answer), Listener("keep-dead-letter")
    await start(trigger("t", spec=delivery(retry=1, delay="PT0.01S")), to=[listener, dead_lettered], validate=validate)
    await log.write(event())
    await dead_lettered.until_done(1)
    assert len(listener.received) == 2
    assert dead_lettered.done[0].extensions["knativeerrorcode"] == "502"


@pytest.mark.parametrize(
    "sent", [event(type="nobody.knows.v1"), event(type=OrderPaid.TYPE)], ids=["unknown type", "contract violation"]
)
async def test_what_an_operation_cannot_read_is_a_dead_letter_at_once(start: Start, log: Log, sent: CloudEvent) -> None:
    async def ship(event: Received[OrderPaid], deps: object) -> None:
        raise AssertionError("not for this")

    from pulsecart.serving.subscriptions import on

    made = operation("listener", events=[on(OrderPaid, ship)]).operation
    dead_lettered = Listener("keep-dead-letter")
    await start(trigger("t"), to=[made, dead_lettered])
    await log.write(sent)
    await dead_lettered.until_done(1)
    assert dead_lettered.done[0].extensions["knativeerrorcode"] == "400"
    assert Counter(e.id for e in dead_lettered.received) == {sent.id: 1}


async def test_lag_in_flight_retries_and_dead_letters_are_reported(start: Start, log: Log) -> None:
    going_on = asyncio.Event()

    async def behave(event: CloudEvent) -> Reply:
        if event.partitionkey == "held":
            await going_on.wait()
        return Reply(400) if event.partitionkey == "bad" else OK

    listener, dead_lettered = Listener("listener", behave), Listener("keep-dead-letter")
    broker = await start(trigger("t"), to=[listener, dead_lettered])
    await log.write(event("held"), event("bad"), event("fine"))
    await dead_lettered.until_done(1)
    await listener.until_done(1)
    status = broker.status()["t"]
    assert (status.in_flight, status.delivered, status.failed, status.dead_letters) == (1, 1, 1, 1)
    assert status.lag_events == 1
    assert 0 < status.lag_s < 20
    going_on.set()
    await listener.until_done(2)
    assert broker.status()["t"].lag_events == 0
    assert not broker.pressure().overloaded
