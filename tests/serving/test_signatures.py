"""An operation handles a posted event only with the relay's signature, which is valid after all changes by brokers."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace as changed
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from msgspec.structs import replace
from prometheus_client import REGISTRY

from functions.keep_dead_letter.main import keep_dead_letter
from pulsecart.broker.dead_letters.desk import letter, waiting
from pulsecart.broker.dead_letters.letters import document
from pulsecart.processes import function, registry
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.runtime.event import CloudEvent, new_id, padded
from pulsecart.runtime.settings import Settings
from pulsecart.runtime.telemetry.batched import fold_all
from pulsecart.serving import cloudevents, signatures
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.operation import Operation
from pulsecart.serving.signatures import SIGNATURE, Keys
from pulsecart.serving.subscriptions import Received, on
from pulsecart.shop.pricing.events import FlashSaleEnded

OLD, NEW, OTHER = (f"the {which} key of 32 bytes or many more" for which in ("old", "new", "other"))
ENDED = CloudEvent(
    id="e1",
    source="/pulsecart/open-sales",
    type=FlashSaleEnded.TYPE,
    time=datetime(2026, 11, 29, 12, 0, 0, 120000, tzinfo=UTC),
    subject="s1",
    data=b'{"saleId":"s1","productId":"1"}',
    extensions={"sequence": padded(7), "partitionkey": "s1", "traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01"},
)


NOWHERE = Settings(database_url="postgresql:///nowhere", redis_url="redis://127.0.0.1:1")
ON_KNATIVE = changed(NOWHERE, function_url="http://{operation}.nowhere", event_keys=f"{NEW},{OLD}")
Keep = Callable[[CloudEvent], Awaitable[Reply]]


def keys(*given: str) -> Keys:
    return Keys([key.encode() for key in given])


def with_extension(name: str, value: str | None) -> Callable[[CloudEvent], CloudEvent]:
    def change(event: CloudEvent) -> CloudEvent:
        kept = {key: held for key, held in event.extensions.items() if key != name}
        return replace(event, extensions=kept | ({name: value} if value is not None else {}))

    return change


def posted(event: CloudEvent, path: str = "/ears") -> Request:
    headers, body = cloudevents.binary(event)
    return Request("POST", path, headers, body)


class Subscriber:
    """An operation that records the handled events."""

    def __init__(self, reply: CloudEvent | None = None) -> None:
        self.received: list[Received[FlashSaleEnded]] = []
        self.reply = reply
        self.operation = Operation("ears", subscriptions=[on(FlashSaleEnded, self.handle_event)])

    async def handle_event(self, event: Received[FlashSaleEnded], deps: Deps) -> CloudEvent | None:
        self.received.append(event)
        return self.reply


@pytest.fixture
async def on_knative() -> AsyncIterator[Deps]:
    """Provide an operation's Deps on a cluster, during a key rotation."""
    opened = open_deps(ON_KNATIVE)
    yield opened
    await close_deps(opened)


@pytest.mark.parametrize("key", [OLD, NEW])
async def test_an_event_signed_with_any_of_the_keys_is_handled(on_knative: Deps, key: str) -> None:
    subscriber = Subscriber()
    assert (await subscriber.operation.answer(posted(keys(key).signed(ENDED)), on_knative)).status == 204
    assert subscriber.received[0].signed


async def test_an_event_without_a_signature_is_401_and_is_counted_logged_and_not_handled(
    on_knative: Deps, caplog: pytest.LogCaptureFixture
) -> None:
    subscriber, before = Subscriber(), unsigned_counted()
    reply = await subscriber.operation.answer(posted(ENDED), on_knative)
    assert (reply.status, subscriber.received) == (401, [])
    assert unsigned_counted() == before + 1
    (record,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert (record.message, vars(record)["eventId"]) == ("ears rejected an event: unsigned-event", "e1")
    assert len(reply.body) <= 768, "a longer one ends Knative's dispatcher"


def unsigned_counted() -> int:
    fold_all()
    labels = {"operation": "ears", "reason": "unsigned-event"}
    return int(REGISTRY.get_sample_value("events_refused_total", labels) or 0)


@pytest.mark.parametrize("key", [OTHER, OLD + "x"])
async def test_an_event_signed_with_another_key_is_403(on_knative: Deps, key: str) -> None:
    subscriber = Subscriber()
    assert (await subscriber.operation.answer(posted(keys(key).signed(ENDED)), on_knative)).status == 403
    assert subscriber.received == []


@pytest.mark.parametrize(
    "change",
    [
        lambda event: replace(event, id="e2"),
        lambda event: replace(event, source="/pulsecart/pay"),
        lambda event: replace(event, subject="s2"),
        lambda event: replace(event, subject=None),
        lambda event: replace(event, time=event.time + timedelta(microseconds=1)),
        lambda event: replace(event, dataschema="https://elsewhere"),
        lambda event: replace(event, data=b'{"saleId":"s2","productId":"1"}'),
        lambda event: replace(event, data=None),
        lambda event: replace(event, data=b'{"saleId":"s1","productId":1}'),
        lambda event: replace(event, data=b'{"saleId":"s1","productId":"1","more":0}'),
        lambda event: replace(event, data=b"[" * 100_000),
        with_extension("sequence", padded(10**17)),
        with_extension("partitionkey", "s2"),
        with_extension("orderstatus", "pending"),
        with_extension("sequence", None),
        with_extension(SIGNATURE, ""),
        with_extension(SIGNATURE, "v1."),
        with_extension(SIGNATURE, "é"),
    ],
)
async def test_a_signed_event_that_was_changed_is_refused(
    on_knative: Deps, change: Callable[[CloudEvent], CloudEvent]
) -> None:
    subscriber = Subscriber()
    reply = await subscriber.operation.answer(posted(change(keys(NEW).signed(ENDED))), on_knative)
    assert (reply.status in (401, 403), subscriber.received) == (True, [])


@pytest.mark.parametrize(
    "change",
    [
        with_extension("traceparent", None),
        with_extension("traceparent", "00-" + "3" * 32 + "-" + "4" * 16 + "-00"),
        with_extension("knativearrivaltime", "2026-11-29T12:00:01Z"),
        with_extension("knativeerrordest", "http://ears.shop/ears"),
        lambda event: replace(event, time=event.time.astimezone(UTC)),
        lambda event: replace(event, datacontenttype="application/json; charset=utf-8"),
        lambda event: replace(event, data=b'{ "productId" : "\\u0031", "saleId":"s1" }'),
    ],
)
@pytest.mark.parametrize("structured", [False, True])
async def test_a_signature_survives_what_brokers_and_channels_do(
    on_knative: Deps, change: Callable[[CloudEvent], CloudEvent], structured: bool
) -> None:
    arrives = change(keys(NEW).signed(ENDED))
    request = posted(arrives)
    if structured:
        body = cloudevents.structured(arrives).replace(b":00.120000Z", b":00.12Z")  # as Go writes a time
        request = Request("POST", "/ears", {"content-type": cloudevents.STRUCTURED}, body)
    assert (await Subscriber().operation.answer(request, on_knative)).status == 204


async def test_a_channel_that_drops_what_is_refused_gets_503() -> None:
    careful = open_deps(changed(NOWHERE, event_keys=NEW, retry_refused=True))
    assert (await Subscriber().operation.answer(posted(ENDED), careful)).status == 503
    await close_deps(careful)


async def test_a_tick_and_a_wake_up_need_no_signature_and_do_only_what_is_due(on_knative: Deps) -> None:
    woken = 0

    async def wake(deps: Deps) -> None:
        nonlocal woken
        woken += 1

    sleeper = Operation("sleeper", subscriptions=[on(FlashSaleEnded, Subscriber().handle_event)], wake=wake)
    tick = CloudEvent(id="p", source="/anything", type="dev.knative.sources.ping", data=b'{"cancel":"every order"}')
    assert (await sleeper.answer(posted(tick), on_knative)).status == 204
    assert (await sleeper.answer(Request("POST", "/poke", {}, b'{"cancel":"every order"}'), on_knative)).status == 204
    assert woken == 2
    assert (await Subscriber().operation.answer(posted(tick), on_knative)).status == 401, (
        "for who does not sleep it is an event"
    )


async def test_a_reply_event_is_signed_since_the_broker_delivers_it_to_others(on_knative: Deps) -> None:
    answer = CloudEvent(id="r1", source="/ears", type="other.v1", data=b"{}")
    reply = await Subscriber(answer).operation.answer(posted(keys(NEW).signed(ENDED)), on_knative)
    came = cloudevents.decode({**dict(reply.headers), "content-type": reply.media_type}, reply.body)
    keys(NEW).verify(came)


async def test_with_peers_and_without_keys_no_event_is_handled() -> None:
    exposed = open_deps(changed(NOWHERE, function_url="http://{operation}.nowhere"))
    subscriber = Subscriber()
    for event in (ENDED, keys(NEW).signed(ENDED)):
        assert (await subscriber.operation.answer(posted(event), exposed)).status == 401
    assert subscriber.received == []
    await close_deps(exposed)


@pytest.mark.parametrize("name", [one.name for one in registry.load_all().values() if one.verifies_events] + ["relay"])
def test_with_peers_and_without_keys_an_operation_of_events_does_not_start(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, value in (("DATABASE_URL", "postgresql:///nowhere"), ("REDIS_URL", "redis://127.0.0.1:1")):
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("FUNCTION_URL", "http://{operation}.nowhere")
    for given, output in (
        ("", "EVENT_KEYS is not set"),
        ("short", "32 bytes or more"),
        (f"{NEW},short", "32 bytes or more"),
    ):
        monkeypatch.setenv("EVENT_KEYS", given)
        with pytest.raises(SystemExit, match=output):
            function.main([name, "--host", "127.0.0.1", "--port", "0"])


def test_what_answers_buyers_alone_needs_no_keys() -> None:
    silent = {name for name, one in registry.load_all().items() if not one.verifies_events}
    assert silent >= {"checkout", "edge", "orders", "cancel", "products", "stock", "carts", "flash_sales"}


def sales_of(database_url: str) -> list[str]:
    """Return the sales that the open dead letters are about."""
    return [kept_document(database_url, one.id)["data"]["saleId"] for one in waiting(database_url)]


def kept_document(database_url: str, id: int) -> Any:
    found = letter(database_url, id)
    assert found
    return document(found[1])


@pytest.fixture
async def keeper(database_url: str) -> AsyncIterator[Keep]:
    opened = open_deps(changed(ON_KNATIVE, database_url=database_url))

    async def keep(letter: CloudEvent) -> Reply:
        return await keep_dead_letter.operation.answer(posted(letter, "/reserve"), opened)

    yield keep
    await close_deps(opened)


async def test_an_unsigned_dead_letter_is_kept_to_be_seen_and_replaces_none(keeper: Keep, database_url: str) -> None:
    genuine = keys(NEW).signed(with_extension("knativeerrorcode", "503")(ENDED))
    forged = replace(ENDED, data=b'{"saleId":"forged","productId":"1"}')
    assert (await keeper(forged)).status == 204
    assert sales_of(database_url) == ["forged"]
    for sent in (genuine, forged):
        assert (await keeper(sent)).status == 204
    assert sales_of(database_url) == ["s1"]


async def test_only_so_many_unsigned_dead_letters_are_kept(
    keeper: Keep, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.keep_dead_letter.main.UNSIGNED_MAX", 3)
    answers = [(await keeper(replace(ENDED, id=new_id()))).status for _ in range(5)]
    assert answers == [204, 204, 204, 403, 403]
    assert (await keeper(keys(NEW).signed(ENDED))).status == 204
    assert len(waiting(database_url)) == 4


async def test_a_process_without_peers_and_keys_takes_every_event() -> None:
    signatures.require(NOWHERE)
    alone = open_deps(NOWHERE)
    assert (await Subscriber().operation.answer(posted(ENDED), alone)).status == 204
    await close_deps(alone)
