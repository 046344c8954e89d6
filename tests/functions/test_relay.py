"""relay: sends the log to the broker, each key in order, loses no event, and runs once at a time."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from msgspec import structs

from functions.relay.main import CURSOR, post_timeout_s, relay
from pulsecart.broker.dead_letters import table
from pulsecart.broker.dead_letters.desk import replay, waiting
from pulsecart.broker.dead_letters.letters import dead_letter
from pulsecart.broker.delivery import Destination
from pulsecart.broker.manifests.eventing import load_all
from pulsecart.broker.store import session
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.runtime.problem import Unauthorized
from pulsecart.runtime.settings import Settings
from pulsecart.runtime.wakeups import WAKE_PATH
from pulsecart.serving import cloudevents, signatures
from pulsecart.serving.http import Request
from tests.broker.stage import Log, event
from tests.conformance.subscriber import Subscriber


@pytest.fixture
async def broker() -> AsyncIterator[Subscriber]:
    async with Subscriber() as server:
        yield server


@pytest.fixture
async def on_knative(settings: Settings, broker: Subscriber) -> AsyncIterator[Deps]:
    opened = open_deps(
        replace(settings, broker_url=broker.url("default/default"), function_url=broker.url("").rstrip("/"))
    )
    yield opened
    await close_deps(opened)


@pytest.fixture
def log(database_url: str) -> Log:
    return Log(database_url)


async def wake(deps: Deps) -> int:
    return (await relay.operation.answer(Request("POST", WAKE_PATH, {}), deps)).status


async def test_it_sends_the_whole_log_once_and_each_key_in_order(
    on_knative: Deps, broker: Subscriber, log: Log
) -> None:
    await log.write(*[event(f"key {n % 7}", n) for n in range(700)])
    assert await wake(on_knative) == 204
    assert len(broker.got) == 700
    for key in range(7):
        assert [got.event.sequence for got in broker.got if got.event.partitionkey == f"key {key}"] == list(
            range(key, 700, 7)
        )
    await log.write(event("more", 701))
    assert await wake(on_knative) == 204
    assert len(broker.got) == 701


async def test_an_outage_of_the_broker_delays_and_loses_nothing(on_knative: Deps, broker: Subscriber, log: Log) -> None:
    broker.answers = [503] * 5
    await log.write(*[event("k", n) for n in range(10)])
    assert await wake(on_knative) == 204
    assert list(dict.fromkeys(got.event.sequence for got in broker.got)) == list(range(10))
    assert (await log.rows("SELECT count(*) FROM trigger_backlog"))[0][0] == 0


async def test_what_the_broker_calls_malformed_is_kept_as_a_dead_letter(
    on_knative: Deps, broker: Subscriber, log: Log
) -> None:
    broker.answers = [400]
    bad = event("k", 1)
    await log.write(bad, event("k", 2))
    assert await wake(on_knative) == 204
    assert [got.event.sequence for got in broker.got] == [1, 2]
    assert await log.rows("SELECT trigger, event_id, error_code FROM dead_letters") == [("relay", bad.id, 400)]


@pytest.mark.parametrize("code", [401, 403])
async def test_a_broker_that_does_not_accept_its_identity_is_an_outage_and_no_event_is_a_dead_letter(
    on_knative: Deps, broker: Subscriber, log: Log, code: int
) -> None:
    broker.answers = [code] * 3
    await log.write(event("k", 1), event("k", 2))
    assert await wake(on_knative) == 204
    assert [got.event.sequence for got in broker.got] == [1, 1, 1, 1, 2]
    assert await log.rows("SELECT 1 FROM dead_letters") == []


async def test_a_second_relay_answers_at_once_and_the_first_sends_what_it_was_woken_for(
    on_knative: Deps, broker: Subscriber, log: Log
) -> None:
    broker.hold = asyncio.Event()
    await log.write(event("k", 1))
    working = asyncio.create_task(wake(on_knative))
    await broker.until(lambda got: len(got) == 1)
    await log.write(event("other", 2))
    assert await wake(on_knative) == 204
    assert not working.done()
    broker.hold.set()
    assert await working == 204
    assert Counter(got.event.sequence for got in broker.got) == {1: 1, 2: 1}


async def test_while_another_process_relays_nothing_is_sent(
    on_knative: Deps, broker: Subscriber, log: Log, database_url: str
) -> None:
    await log.write(event("k", 1))
    async with session(database_url) as other:
        assert await other.lock([CURSOR]) == [CURSOR]
        working = asyncio.create_task(wake(on_knative))
        done, _ = await asyncio.wait([working], timeout=0.3)
        assert not done
        assert not broker.got
    await working
    assert len(broker.got) == 1


async def test_without_a_broker_it_has_nothing_to_do(settings: Settings, log: Log) -> None:
    deps = open_deps(settings)
    await log.write(event())
    assert await wake(deps) == 204
    assert not await log.rows("SELECT 1 FROM trigger_cursors")
    await close_deps(deps)


async def test_a_dead_letter_is_replayed_to_the_subscriber_that_failed_and_to_no_other(
    on_knative: Deps, broker: Subscriber, log: Log, database_url: str
) -> None:
    failed = event("k", 1)
    await log.write(failed)
    assert await wake(on_knative) == 204
    async with on_knative.db.transaction() as tx:
        letter = dead_letter(failed, Destination(None, broker.url("pay")), 503, b"gateway away")
        await table.keep(tx, letter, cloudevents.structured(letter).decode())
    (waits,) = waiting(database_url)
    for answer, left in ((500, [("pay", 500, "still away")]), (204, [])):
        broker.answers = [(answer, {}, b"still away" if answer == 500 else b"")]
        assert replay(database_url, [waits.id]) == {waits.id}
        assert await wake(on_knative) == 204
        assert [(one.trigger, one.error_code, one.error_data) for one in waiting(database_url)] == left
    assert [got.path for got in broker.got] == ["/default/default", "/pay", "/pay"]
    assert broker.of("pay")[-1].event == failed
    assert (await log.rows("SELECT count(*) FROM trigger_backlog"))[0][0] == 0


async def test_what_failed_without_a_cause_is_replayed_too_and_what_no_trigger_wants_any_more_says_so(
    on_knative: Deps, broker: Subscriber, log: Log, database_url: str
) -> None:
    failed = event("k", 1)
    await log.write(failed)
    assert await wake(on_knative) == 204
    async with on_knative.db.transaction() as tx:
        for trigger in ("pay", "gone"):
            await table.keep(tx, failed, cloudevents.structured(failed).decode(), trigger)
    ids = {letter.id for letter in waiting(database_url)}
    assert replay(database_url, sorted(ids)) == ids
    assert await wake(on_knative) == 204
    assert broker.of("pay")[-1].event == failed
    (left,) = waiting(database_url)
    assert (left.trigger, left.error_data) == ("gone", "The Trigger does not exist any more, so nothing was delivered.")
    assert (await log.rows("SELECT count(*) FROM trigger_backlog"))[0][0] == 0


async def test_what_leaves_is_signed_and_a_replay_signs_what_was_signed_and_nothing_else(
    settings: Settings, broker: Subscriber, log: Log, database_url: str
) -> None:
    ingress, others = broker.url("default/default"), broker.url("").rstrip("/")
    key, older = "a key of 32 bytes or more for this test", "another key of 32 bytes, of some time before"
    signing = open_deps(replace(settings, broker_url=ingress, function_url=others, event_keys=key))
    sent = event("k", 1)
    await log.write(sent)
    assert await wake(signing) == 204
    genuine = signatures.Keys([older.encode()]).signed(event("k", 2))
    forged = structs.replace(sent, id="forged", data=b'{"forged":true}', extensions={"sequence": "9" * 18})
    async with signing.db.transaction() as tx:
        for letter, signed in ((genuine, True), (forged, False)):
            await table.keep(tx, letter, cloudevents.structured(letter).decode(), "pay", signed=signed)
    letters = [one.id for one in waiting(database_url)]
    assert replay(database_url, letters) == set(letters)
    assert await wake(signing) == 204
    keys = signatures.Keys([key.encode()])
    at_the_operation = [got.event for got in broker.got if got.path == "/pay"]
    assert [got.id for got in at_the_operation] == [genuine.id, "forged"]
    keys.verify(at_the_operation[0])
    with pytest.raises(Unauthorized):
        keys.verify(at_the_operation[1])
    await close_deps(signing)


async def test_the_broker_is_shown_the_token_that_the_file_holds_and_operations_are_not(
    settings: Settings, broker: Subscriber, log: Log, database_url: str, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    ingress, others = broker.url("default/default"), broker.url("").rstrip("/")
    deps = open_deps(replace(settings, broker_url=ingress, function_url=others, broker_token_file=str(token)))
    for n, shown in enumerate(("the first", "the next")):
        token.write_text(f"{shown}\n")
        await log.write(event("k", n + 1))
        assert await wake(deps) == 204
    failed = broker.got[0].event
    async with deps.db.transaction() as tx:
        await table.keep(tx, failed, cloudevents.structured(failed).decode(), "pay")
    replay(database_url, [letter.id for letter in waiting(database_url)])
    assert await wake(deps) == 204
    shown_to = [(got.path, got.headers.get("authorization")) for got in broker.got]
    assert shown_to == [
        ("/default/default", "Bearer the first"),
        ("/default/default", "Bearer the next"),
        ("/pay", None),
    ]
    await close_deps(deps)


def test_its_post_waits_longer_than_the_broker_retries() -> None:
    assert post_timeout_s(load_all().triggers) > 204 + 11 * 30
