"""Delivery to a Trigger's subscriber: in order per key, concurrent across keys, retried, parked, dead-lettered."""

import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest

from pulsecart.broker.key_lanes import Row
from pulsecart.broker.store import Store
from pulsecart.runtime.event import CloudEvent
from pulsecart.serving.http import Reply
from tests.broker.conftest import Start
from tests.broker.stage import OK, Listener, Log, delivery, event, trigger

CURSOR_DONE = "SELECT position = 0 AND window_from::text = window_to::text FROM trigger_cursors"
WAITING = "SELECT count(*) FROM trigger_backlog"


def answering(*statuses: int) -> Listener:
    """Return a listener that gives these answers to each event in turn, then 204."""
    tries: Counter[str] = Counter()

    async def behave(event: CloudEvent) -> Reply:
        tries[event.id] += 1
        turn = tries[event.id] - 1
        return Reply(statuses[turn], b"no" if statuses[turn] >= 300 else b"") if turn < len(statuses) else OK

    return Listener("listener", behave)


async def test_every_trigger_receives_what_its_filter_wants(start: Start, log: Log) -> None:
    all_of_it, some = Listener("all"), Listener("some")
    wanted = "  filter: {attributes: {type: wanted.v1}}"
    await start(trigger("all", "all"), trigger("some", "some", spec=wanted), to=[all_of_it, some])
    events = [event("a"), event("b", type="wanted.v1"), event("c")]
    await log.write(*events)
    await all_of_it.until_done(3)
    await some.until_done(1)
    assert [e.id for e in some.done] == [events[1].id]
    assert {e.id for e in all_of_it.done} == {e.id for e in events}


async def test_what_succeeds_leaves_no_row_and_moves_the_cursor(start: Start, log: Log) -> None:
    listener = Listener("listener")
    await start(trigger("t"), to=[listener])
    before = (await log.rows("SELECT window_to::text FROM trigger_cursors"))[0][0]
    await log.write(*[event(str(n)) for n in range(20)])
    await listener.until_done(20)
    await log.until(
        f"SELECT window_to::text <> '{before}' AND window_from::text = window_to::text FROM trigger_cursors", True
    )
    assert (await log.rows(WAITING))[0][0] == 0


async def test_events_of_one_key_run_one_after_another_and_keys_side_by_side(start: Start, log: Log) -> None:
    running: Counter[str] = Counter()
    most: Counter[str] = Counter()

    async def behave(event: CloudEvent) -> Reply:
        key = event.partitionkey
        for name in (key, "all"):
            running[name] += 1
            most[name] = max(most[name], running[name])
        await asyncio.sleep(0.002)
        running[key] -= 1
        running["all"] -= 1
        return OK

    listener = Listener("listener", behave)
    await start(trigger("t"), to=[listener])
    await log.write(*[event(f"key {n % 20}", n) for n in range(200)])
    await listener.until_done(200)
    for n in range(20):
        assert most[f"key {n}"] == 1
        assert listener.sequences(f"key {n}") == list(range(n, 200, 20))
    assert most["all"] > 10


async def test_no_more_events_run_than_the_trigger_allows(start: Start, log: Log) -> None:
    running, most = 0, 0

    async def behave(event: CloudEvent) -> Reply:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.001)
        running -= 1
        return OK

    listener = Listener("listener", behave)
    await start(trigger("t", annotations='{pulsecart.dev/concurrency: "3"}'), to=[listener])
    await log.write(*[event(str(n)) for n in range(100)])
    await listener.until_done(100)
    assert most == 3


async def test_a_failing_event_holds_back_its_key_alone(start: Start, log: Log) -> None:
    mend = asyncio.Event()

    async def behave(event: CloudEvent) -> Reply:
        return Reply(503) if event.partitionkey == "bad" and event.sequence == 1 and not mend.is_set() else OK

    listener = Listener("listener", behave)
    await start(trigger("t", spec=delivery(retry=50, policy="linear", delay="PT0.01S")), to=[listener])
    await log.write(*[event("bad", n) for n in (1, 2, 3)], *[event("good", n) for n in (1, 2, 3)])
    await listener.until_done(3)
    assert listener.sequences("good") == [1, 2, 3]
    await log.until(WAITING, 3)
    await log.until("SELECT window_from::text = window_to::text FROM trigger_cursors", True)
    mend.set()
    await listener.until_done(6)
    assert listener.sequences("bad") == [1, 2, 3]
    await log.until(WAITING, 0)


async def test_a_function_that_answers_500_five_times_is_asked_a_sixth_time(start: Start, log: Log) -> None:
    listener, dead_lettered = answering(500, 500, 500, 500, 500), Listener("keep-dead-letter")
    await start(trigger("t", spec=delivery(retry=5, delay="PT0.01S")), to=[listener, dead_lettered])
    await log.write(event())
    await listener.until_done(1)
    assert len(listener.received) == 6
    assert not dead_lettered.received
    await log.until(WAITING, 0)


async def test_what_failed_together_does_not_come_again_together(start: Start, log: Log) -> None:
    at: dict[str, list[float]] = {}

    async def behave(event: CloudEvent) -> Reply:
        times = at.setdefault(event.partitionkey, [])
        times.append(asyncio.get_running_loop().time())
        return Reply(503) if len(times) == 1 else OK

    listener = Listener("listener", behave)
    await start(trigger("t", spec=delivery(retry=2, delay="PT0.2S")), to=[listener])
    await log.write(*[event(f"k{n}") for n in range(40)])
    await listener.until_done(40)
    waits = [again - first for first, again in at.values()]
    assert min(waits) >= 0.2
    assert max(waits) - min(waits) > 0.02, "each has a wait of its own"


async def test_after_the_last_retry_the_event_is_a_dead_letter_and_its_key_goes_on(start: Start, log: Log) -> None:
    async def behave(event: CloudEvent) -> Reply:
        return Reply(503, b"not now") if event.sequence == 1 else OK

    listener, dead_lettered = Listener("listener", behave), Listener("keep-dead-letter")
    await start(trigger("t", spec=delivery(retry=2, delay="PT0.01S")), to=[listener, dead_lettered])
    first = event("k", 1)
    await log.write(first, event("k", 2))
    await listener.until_done(1)
    assert [e.sequence for e in listener.received] == [1, 1, 1, 2]
    letter = dead_lettered.done[0]
    assert (letter.id, letter.source, letter.data) == (first.id, first.source, first.data)
    assert letter.extensions["knativeerrordest"] == "http://listener.default.svc.cluster.local/t"
    assert letter.extensions["knativeerrorcode"] == "503"
    assert letter.extensions["knativeerrordata"] == "bm90IG5vdw=="
    await log.until(WAITING, 0)


async def test_a_poison_event_is_a_dead_letter_at_once(start: Start, log: Log) -> None:
    listener, dead_lettered = answering(400), Listener("keep-dead-letter")
    await start(trigger("t"), to=[listener, dead_lettered])
    await log.write(event())
    await dead_lettered.until_done(1)
    assert len(listener.received) == 1
    assert dead_lettered.done[0].extensions["knativeerrorcode"] == "400"


async def test_a_function_that_hangs_fails_by_timeout_until_it_is_a_dead_letter(start: Start, log: Log) -> None:
    async def hang(event: CloudEvent) -> Reply:
        if event.partitionkey == "hangs":
            await asyncio.Event().wait()
        return OK

    listener, dead_lettered = Listener("listener", hang), Listener("keep-dead-letter")
    await start(trigger("t", spec=delivery(retry=1, delay="PT0.01S", timeout="PT0.1S")), to=[listener, dead_lettered])
    await log.write(event("hangs"), event("works"))
    await listener.until_done(1)
    await dead_lettered.until_done(1)
    assert Counter(e.partitionkey for e in listener.received) == {"hangs": 2, "works": 1}
    assert dead_lettered.done[0].extensions["knativeerrorcode"] == "500"


async def test_a_reply_that_is_no_event_is_retried_and_then_a_dead_letter_with_502(start: Start, log: Log) -> None:
    async def garbage(event: CloudEvent) -> Reply:
        return Reply(200, b"OK", "text/plain")

    listener, dead_lettered = Listener("listener", garbage), Listener("keep-dead-letter")
    await start(trigger("t", spec=delivery(retry=2, delay="PT0.01S")), to=[listener, dead_lettered])
    await log.write(event())
    await dead_lettered.until_done(1)
    assert len(listener.received) == 3
    assert dead_lettered.done[0].extensions["knativeerrorcode"] == "502"


async def test_a_dead_letter_is_offered_until_it_is_kept(start: Start, log: Log) -> None:
    full = asyncio.Event()

    async def refuse_the_first(event: CloudEvent) -> Reply:
        return Reply(400) if event.sequence == 1 else OK

    async def keep_when_full(event: CloudEvent) -> Reply:
        return OK if full.is_set() else Reply(503)

    listener, dead_lettered = Listener("listener", refuse_the_first), Listener("keep-dead-letter", keep_when_full)
    first = await start(trigger("t"), to=[listener, dead_lettered])
    await log.write(event("k", 1), event("k", 2))
    await dead_lettered.until(lambda b: len(b.received) >= 1)
    await log.until("SELECT count(*) FROM trigger_backlog WHERE attempts > 2 AND error_code = 400", 1)
    await first.stop()  # what was to become a dead letter is not delivered again by the next one, only stored
    full.set()
    await start(trigger("t"), to=[listener, dead_lettered])
    await dead_lettered.until_done(1)
    await listener.until_done(1)
    assert [e.sequence for e in listener.received] == [1, 2]
    await log.until(WAITING, 0)


async def test_an_event_that_takes_long_delays_neither_the_cursor_nor_other_keys(start: Start, log: Log) -> None:
    finish = asyncio.Event()

    async def behave(event: CloudEvent) -> Reply:
        if event.partitionkey == "slow":
            await finish.wait()
        return OK

    listener = Listener("listener", behave)
    await start(trigger("t", annotations='{pulsecart.dev/concurrency: "1"}'), to=[listener])
    await log.write(event("slow", 1), event("slow", 2), *[event("quick", n) for n in range(5)])
    await listener.until_done(5)
    assert listener.sequences("quick") == list(range(5))
    await log.until(WAITING, 2)
    await log.until("SELECT window_from::text = window_to::text FROM trigger_cursors", True)
    finish.set()
    await listener.until_done(7)
    assert listener.sequences("slow") == [1, 2]
    assert len(listener.received) == 7
    await log.until(WAITING, 0)


async def test_a_row_found_while_its_event_ends_is_not_delivered_again(
    start: Start, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The query of the backlog is in flight when the slow event ends."""
    finish, found = asyncio.Event(), asyncio.Event()
    looks = Store.due

    async def slowly(store: Store, triggers: Sequence[str], limit: int = 1000) -> list[Row]:
        rows = await looks(store, triggers, limit)
        if rows and not found.is_set():
            found.set()
            finish.set()
            await listener.until_done(1)
        return rows

    async def behave(event: CloudEvent) -> Reply:
        await finish.wait()
        return OK

    monkeypatch.setattr(Store, "due", slowly)
    listener = Listener("listener", behave)
    await start(trigger("t"), to=[listener])
    await log.write(event("k", 1))
    async with asyncio.timeout(20):
        await found.wait()
    await log.until(WAITING, 0)
    await log.write(event("k", 2))
    await listener.until_done(2)
    assert [e.sequence for e in listener.received] == [1, 2]


async def test_an_event_that_no_one_announced_is_found_by_the_poll(start: Start, log: Log) -> None:
    listener = Listener("listener")
    await start(trigger("t"), to=[listener])
    log.on_commit = lambda: None
    await log.write(event())
    await listener.until_done(1)


async def test_thousands_of_events_that_were_waiting_at_the_start_are_delivered_in_order(
    start: Start, log: Log
) -> None:
    listener = Listener("listener")
    broker = await start(trigger("t"), trigger("u"), to=[listener])
    await broker.stop()
    for part in range(4):
        await log.write(*[event(str(n % 50), part * 700 + n) for n in range(700)])
    listener.done.clear()
    await start(trigger("t"), trigger("u"), to=[listener])
    await listener.until_done(2 * 2800)
    assert max(Counter(e.id for e in listener.done).values()) == 2
    await log.until("SELECT bool_and(window_from::text = window_to::text) FROM trigger_cursors", True)


async def test_events_without_a_key_wait_for_no_one(start: Start, log: Log) -> None:
    listener = answering(500)
    await start(trigger("t", spec=delivery(retry=3, delay="PT1S")), to=[listener])
    plain = [CloudEvent(id=str(n), source="/elsewhere", type="x.y") for n in range(3)]
    await log.write(*plain)
    await listener.until(lambda listener: len(listener.received) >= 3)
    assert {e.id for e in listener.received} == {"0", "1", "2"}


async def test_an_event_without_a_key_waits_for_no_other_of_its_id(start: Start, log: Log) -> None:
    async def behave(event: CloudEvent) -> Reply:
        return Reply(503, b"no") if event.source == "/broken" else OK

    listener = Listener("listener", behave)
    await start(trigger("t", spec=delivery(retry=3, delay="PT60S")), to=[listener])
    await log.write(*[CloudEvent(id="1", source=source, type="t") for source in ("/broken", "/whole", "/other")])
    await listener.until_done(2)
    assert {event.source for event in listener.done} == {"/whole", "/other"}
    assert [event.extensions for event in listener.done] == [{}, {}]
