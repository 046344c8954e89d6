"""The ingress: 202 only for durable events, group commit, contracts, and 503 under overload."""

import asyncio
import json

import pytest

from pulsecart.broker import status
from pulsecart.broker.local import LocalBroker
from pulsecart.broker.status import Pressure
from pulsecart.runtime import contracts
from pulsecart.runtime.event import CloudEvent
from pulsecart.serving import cloudevents
from pulsecart.serving.http import Reply, Request
from tests.broker.conftest import Start
from tests.broker.stage import OK, Listener, Log, event, trigger


async def post(broker: LocalBroker, event: CloudEvent, method: str = "POST") -> Reply:
    headers, body = cloudevents.binary(event)
    return await broker.ingress(Request(method, "/broker/default/default", headers, body), "default", "default")


async def test_an_event_is_durable_when_it_is_taken_and_then_delivered(start: Start, log: Log) -> None:
    listener = Listener("listener")
    broker = await start(trigger("t"), to=[listener])
    sent = event()
    reply = await post(broker, sent)
    assert (reply.status, reply.body) == (202, b"")
    assert await log.rows("SELECT id FROM outbox") == [(sent.id,)]
    await listener.until_done(1)
    assert listener.done == [sent]


async def test_events_posted_together_share_transactions(start: Start, log: Log) -> None:
    broker = await start(trigger("t"), to=[Listener("listener")])
    replies = await asyncio.gather(*[post(broker, event(str(n))) for n in range(200)])
    assert {reply.status for reply in replies} == {202}
    transactions, events = (await log.rows("SELECT count(DISTINCT xid::text), count(*) FROM outbox"))[0]
    assert events == 200
    assert transactions < 20


async def test_an_event_that_breaks_its_contract_is_refused_with_the_reason(start: Start, log: Log) -> None:
    broker = await start(trigger("t"), to=[Listener("listener")], validate=contracts.validate)
    unknown = await post(broker, event(type="nobody.knows.it.v1"))
    broken = await post(broker, event(type="ecommerce.order.order.paid.v1"))
    for reply, kind in ((unknown, "unknown-type"), (broken, "contract-broken")):
        document = json.loads(reply.body)
        assert (reply.status, reply.media_type) == (400, "application/problem+json")
        assert document["type"].endswith(kind)
    assert await log.rows("SELECT count(*) FROM outbox") == [(0,)]


async def test_other_methods_are_405(start: Start) -> None:
    broker = await start(to=[])
    assert (await post(broker, event(), "GET")).status == 405


async def test_under_pressure_it_answers_503_with_retry_after(
    start: Start, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "LAG_EVENTS_MAX", 3)
    going_on = asyncio.Event()

    async def behave(event: CloudEvent) -> Reply:
        await going_on.wait()
        return OK

    listener = Listener("listener", behave)
    broker = await start(trigger("t"), to=[listener])
    await log.write(*[event(str(n)) for n in range(4)])
    await listener.until(lambda listener: len(listener.received) == 4)
    assert broker.pressure().overloaded
    refused = await post(broker, event())
    assert refused.status == 503
    assert int(dict(refused.headers)["retry-after"]) >= 1
    going_on.set()
    await listener.until_done(4)
    assert (await post(broker, event())).status == 202


async def test_without_its_database_it_answers_503_and_goes_on_when_it_is_back(start: Start, log: Log) -> None:
    listener = Listener("listener")
    broker = await start(trigger("t"), to=[listener])
    name = (await log.rows("SELECT current_database()"))[0][0]
    assert (await post(broker, event("k", 1))).status == 202
    await log.rows(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND pid <> pg_backend_pid()", name
    )
    answers = [(await post(broker, event("k", n))).status for n in (2, 3)]
    assert set(answers) <= {202, 503}
    assert answers[-1] == 202
    await listener.until(lambda listener: {1, 3} <= set(listener.sequences("k")))


@pytest.mark.parametrize(
    ("lag_s", "events", "overloaded", "retry"),
    [(0.0, 0, False, 1), (1.9, 20_000, False, 2), (2.1, 0, True, 2), (0, 20_001, True, 1), (500, 0, True, 30)],
)
def test_pressure_says_when_and_for_how_long(lag_s: float, events: int, overloaded: bool, retry: int) -> None:
    pressure = Pressure(lag_s, events)
    assert (pressure.overloaded, pressure.retry_after_s) == (overloaded, retry)


async def test_events_that_are_not_even_read_count_as_pressure(
    start: Start, log: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(status, "LAG_EVENTS_MAX", 1200)
    going_on = asyncio.Event()

    async def behave(event: CloudEvent) -> Reply:
        await going_on.wait()
        return OK

    listener = Listener("listener", behave)
    broker = await start(trigger("t"), to=[listener])
    await log.write(*[event(str(n)) for n in range(3000)])
    async with asyncio.timeout(10):
        while broker.pressure().lag_events <= 1200:  # noqa: ASYNC110  # it is measured once a second
            await asyncio.sleep(0.01)
    going_on.set()
    await listener.until_done(3000)
    async with asyncio.timeout(10):
        while broker.pressure().overloaded:  # noqa: ASYNC110  # as above
            await asyncio.sleep(0.01)
