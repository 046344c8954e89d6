"""One trace covers the buyer's POST, the log, every delivery, and the message on the live stream."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from pulsecart.runtime.telemetry import tracing
from pulsecart.runtime.telemetry.otel import SdkTracer
from pulsecart.shop.orders.events import OrderConfirmed, OrderCreated, OrderFulfilled, OrderPaid
from tests.client import Client

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
GIVEN = f"00-{TRACE}-00f067aa0ba902b7-01"
BODY = {"productId": 1, "quantity": 1, "userId": 7}


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    memory = InMemorySpanExporter()
    tracing.record_with(SdkTracer(SimpleSpanProcessor(memory)))
    yield memory
    tracing.stop()


async def play(client: Client) -> str:
    """Purchase, and deliver every event that follows once."""
    sold = await client.ask("POST", "/api/v1/sync/purchase", BODY, traceparent=GIVEN)
    assert sold.status == 200
    subscriber_of = {OrderConfirmed.TYPE: "pay", OrderPaid.TYPE: "fulfil"}
    reported = 0
    while len(events := await client.log(OrderCreated.TYPE, *subscriber_of, OrderFulfilled.TYPE)) > reported:
        event, reported = events[reported], reported + 1
        assert await client.handle_event("notify", event) == 204
        if event.type in subscriber_of:
            assert await client.handle_event(subscriber_of[event.type], event) == 204
    return str(sold.body["orderId"])


async def news(client: Client, order_id: str) -> list[dict[str, str]]:
    entries: Any = await client.deps.redis.xrange(f"news:order:{order_id}")
    return [json.loads(entry[b"d"]) for _, entry in entries]


async def test_every_step_of_an_order_is_in_the_trace_of_its_post(client: Client, spans: InMemorySpanExporter) -> None:
    order_id = await play(client)
    finished = [s for s in spans.get_finished_spans() if not s.links]
    assert {f"{context(s)[0]:032x}" for s in finished} == {TRACE}
    by_id = {f"{context(s)[1]:016x}": s for s in finished}
    assert lineage(named(finished, "fulfil handles"), by_id) == ["fulfil handles", "pay handles", "checkout.purchase"]
    assert lineage(named(finished, "gateway.charge"), by_id) == ["gateway.charge", "pay handles", "checkout.purchase"]
    assert [s.name for s in finished].count("notify handles") == 4
    reported = await news(client, order_id)
    assert [message["status"] for message in reported] == ["CONFIRMED", "CONFIRMED", "PAID", "FULFILLED"]
    for message in reported:
        _, trace, notified, flags = message["traceparent"].split("-")
        assert (trace, flags) == (TRACE, "01")
        assert by_id[notified].name == "notify handles"


async def test_with_tracing_off_the_same_trace_id_still_reaches_the_stream(client: Client) -> None:
    order_id = await play(client)
    assert {tracing.trace_id(message["traceparent"]) for message in await news(client, order_id)} == {TRACE}


async def test_a_purchase_without_a_trace_gets_one_that_all_its_events_share(client: Client) -> None:
    await client.buy()
    order = [event for event in await client.log() if event.type.startswith("ecommerce.order")]
    assert len({tracing.trace_id(event.extensions["traceparent"]) for event in order}) == 1


def context(s: ReadableSpan) -> tuple[int, int]:
    found = s.get_span_context()
    assert found is not None
    return found.trace_id, found.span_id


def named(finished: list[ReadableSpan], name: str) -> ReadableSpan:
    return next(s for s in finished if s.name == name)


def lineage(s: ReadableSpan, by_id: dict[str, ReadableSpan]) -> list[str]:
    """Return the names from the span up to the first of ours."""
    names = [s.name]
    while s.parent is not None and (above := by_id.get(f"{s.parent.span_id:016x}")) is not None:
        s = above
        names.append(s.name)
    return names
