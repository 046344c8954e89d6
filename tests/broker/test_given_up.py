"""An event that is given up: the reason is logged, and a dead letter that cannot be stored blocks no other event."""

from typing import Any

import pytest

from pulsecart.broker import trigger as trigger_module
from pulsecart.runtime.backoff import Backoff
from pulsecart.runtime.event import CloudEvent
from pulsecart.serving.http import Reply
from tests.broker.conftest import Start
from tests.broker.stage import OK, Listener, Log, event, trigger
from tests.client import until


async def test_a_dead_letter_that_cannot_be_stored_is_tried_again_and_holds_back_nothing_of_its_key(
    start: Start,
    log: Log,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(trigger_module, "DEAD_LETTER_RETRY", Backoff(0.05, 30.0))
    away = True

    async def refuse_the_first(event: CloudEvent) -> Reply:
        return Reply(400, b"broken") if event.sequence == 1 else OK

    async def store(event: CloudEvent) -> Reply:
        return Reply(500 if away else 204)

    listener, sink = Listener("listener", refuse_the_first), Listener("keep-dead-letter", store)
    await start(trigger("t"), to=[listener, sink])
    await log.write(*[event("k", n) for n in (1, 2, 3)])
    await listener.until_done(2)
    assert listener.sequences("k") == [2, 3]
    await sink.until(lambda sink: len(sink.received) >= 3)
    assert await log.rows("SELECT partitionkey FROM trigger_backlog") == [("k",)]
    away = False
    await sink.until_done(1)
    await log.until("SELECT count(*) FROM trigger_backlog", 0)
    await log.write(event("k", 4))
    await listener.until_done(3)


async def test_after_a_restart_a_dead_letter_that_is_not_stored_yet_holds_back_nothing_either(
    start: Start,
    log: Log,
) -> None:
    async def refuse_the_first(event: CloudEvent) -> Reply:
        return Reply(400, b"broken") if event.sequence == 1 else OK

    async def never(event: CloudEvent) -> Reply:
        return Reply(500)

    listener, sink = Listener("listener", refuse_the_first), Listener("keep-dead-letter", never)
    first = await start(trigger("t"), to=[listener, sink])
    await log.write(event("k", 1))
    await log.until("SELECT count(*) FROM trigger_backlog WHERE attempts > 2", 1)
    await first.stop()
    await log.write(event("k", 2))
    stored = Listener("keep-dead-letter")
    await start(trigger("t"), to=[listener, stored])
    await listener.until_done(1)
    assert listener.sequences("k") == [2]
    await stored.until_done(1)


async def test_the_log_line_of_a_dead_letter_says_the_reason(
    start: Start,
    log: Log,
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def refuse(event: CloudEvent) -> Reply:
        return Reply(400, b"the printer\nis out of ink \xff")

    await start(trigger("t"), to=[Listener("listener", refuse)])
    sent = event("k", 1)
    await log.write(sent)
    await until(lambda: some([r for r in caplog.records if "dead letter" in r.getMessage()]))
    (record,) = [record for record in caplog.records if "dead letter" in record.getMessage()]
    assert record.levelname == "WARNING"
    output = record.getMessage()
    assert output == f"t: {sent.id} is a dead letter, status 400: the printer\\nis out of ink \\xff"


async def some(found: list[Any]) -> list[Any]:
    return found
