"""webhook_deliver's metrics: attempts by result, retries, and the backlog of each subscription that has one."""

from pulsecart.runtime.telemetry import metrics
from tests.functions.webhook_stage import Stage, clock, deps, event, settings, stage
from tests.receivers import answers, in_turn, receiving

__all__ = ["clock", "deps", "settings", "stage"]


async def shown(stage: Stage) -> dict[str, float]:
    text = metrics.exposition(await metrics.readings(stage.client.deps))[0].decode()
    lines = [line.rpartition(" ") for line in text.splitlines() if line.startswith("webhook_")]
    return {name: float(value) for name, _, value in lines}


async def test_attempts_are_counted_by_result_and_retries_apart(stage: Stage) -> None:
    before = await shown(stage)
    async with receiving(in_turn(answers(500), answers(500), answers())) as receiver:
        await stage.subscribe(receiver.url())
        await stage.happens(event())
        await stage.work()
    after = await shown(stage)

    def more(name: str) -> float:
        return after[name] - before.get(name, 0)

    assert more('webhook_attempts_total{result="http"}') == 2
    assert more('webhook_attempts_total{result="delivered"}') == 1
    assert more('webhook_retry_attempts_total{result="http"}') == 1
    assert more('webhook_retry_attempts_total{result="delivered"}') == 1
    assert not [name for name in after if name.startswith("webhook_backlog")], "nothing waits"


async def test_the_backlog_and_its_age_are_shown_while_there_is_one(stage: Stage) -> None:
    id = await stage.subscribe("http://127.0.0.1:1/", ordered=True, status="PAUSED")
    await stage.change("UPDATE webhook_queues SET held = true")
    await stage.happens(event("o-1", 1))
    stage.clock.turn(60)
    await stage.happens(event("o-1", 2), event("o-2", 1))
    stage.clock.turn(40)
    now = await shown(stage)
    assert now[f'webhook_backlog_messages{{status="PAUSED",subscription="{id}"}}'] == 3
    assert now[f'webhook_backlog_age_seconds{{status="PAUSED",subscription="{id}"}}'] == 100


async def test_without_a_database_a_scrape_shows_the_rest(stage: Stage) -> None:
    await stage.owner("ALTER TABLE webhook_queues RENAME TO gone")
    assert b"http_requests_total" in metrics.exposition(await metrics.readings(stage.client.deps))[0]
