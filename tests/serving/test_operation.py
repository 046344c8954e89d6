"""An operation's HTTP and event entrances: bounds, problems, and status codes that decide about delivery."""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest
from msgspec import structs

from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.problem import Malformed, NotFound, Refused, Unavailable
from pulsecart.runtime.redis_error import RedisAway
from pulsecart.runtime.settings import Settings
from pulsecart.serving import cloudevents
from pulsecart.serving.access import PUBLIC
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.operation import Operation, operation
from pulsecart.serving.routes import get, post
from pulsecart.serving.subscriptions import Received, on, on_anything
from pulsecart.shop.pricing.events import FlashSaleEnded

Handler = Callable[[Request, Deps], Awaitable[Reply]]
ENDED = CloudEvent(
    id="e1",
    source="/test",
    type=FlashSaleEnded.TYPE,
    data=b'{"saleId":"s1","productId":"1"}',
    extensions={"sequence": "1"},
)


def asked(path: str = "/it", **headers: str) -> Request:
    return Request("GET", path, {name.replace("_", "-"): value for name, value in headers.items()})


def raising(error: Exception) -> Handler:
    async def handler(request: Request, deps: Deps) -> Reply:
        raise error

    return handler


async def answer_of(reply: Reply) -> tuple[int, str]:
    return reply.status, json.loads(reply.body)["type"].rsplit("/")[-1]


@pytest.mark.parametrize(
    ("error", "status", "problem"),
    [
        (Refused("sold-out", "No."), 409, "sold-out"),
        (Unavailable("busy", "Later.", 7), 503, "busy"),
        (RedisAway("gone"), 503, "redis-unavailable"),
        (TimeoutError(), 503, "too-slow"),
        (RuntimeError("the password is hunter2"), 500, "internal-error"),
    ],
)
async def test_an_error_is_a_problem_document(deps: Deps, error: Exception, status: int, problem: str) -> None:
    reply = await Operation("it", [get("/it", raising(error), allow=PUBLIC)]).answer(asked(), deps)
    assert await answer_of(reply) == (status, problem)
    assert reply.media_type == "application/problem+json"
    assert ("retry-after" in dict(reply.headers)) == (status == 503)
    assert b"hunter2" not in reply.body


async def test_what_no_one_expected_is_logged_with_its_trace(deps: Deps, caplog: pytest.LogCaptureFixture) -> None:
    await Operation("it", [get("/it", raising(RuntimeError("odd")), allow=PUBLIC)]).answer(asked(), deps)
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.exc_info


@pytest.mark.parametrize("given", ["corr-1", "x" * 255])
async def test_the_caller_s_correlation_id_comes_back(deps: Deps, given: str) -> None:
    async def handler(request: Request, deps: Deps) -> Reply:
        return Reply(200, request.headers["correlation-id"].encode())

    reply = await Operation("it", [get("/it", handler, allow=PUBLIC)]).answer(asked(correlation_id=given), deps)
    assert (dict(reply.headers)["correlation-id"], reply.body) == (given, given.encode())


@pytest.mark.parametrize("given", ["", "x" * 256, "a\tb", "\x7f"])
async def test_an_unfit_correlation_id_is_replaced_in_problems_too(deps: Deps, given: str) -> None:
    reply = await Operation("it", [get("/it", raising(Refused("no", "No.")), allow=PUBLIC)]).answer(
        asked(correlation_id=given), deps
    )
    made = dict(reply.headers)["correlation-id"]
    assert made != given
    assert len(made) == 36


async def test_more_at_once_than_an_operation_takes_are_asked_to_come_again(deps: Deps) -> None:
    leave = asyncio.Event()

    async def handler(request: Request, deps: Deps) -> Reply:
        await leave.wait()
        return Reply()

    slow = Operation("slow", [get("/it", handler, allow=PUBLIC)], concurrency=2)
    inside = [asyncio.create_task(slow.answer(asked(), deps)) for _ in range(2)]
    await asyncio.sleep(0)
    refused = await slow.answer(asked(), deps)
    assert await answer_of(refused) == (503, "busy")
    assert "retry-after" in dict(refused.headers)
    leave.set()
    assert [reply.status for reply in await asyncio.gather(*inside)] == [200, 200]
    assert (await slow.answer(asked(), deps)).status == 200


async def test_a_request_past_its_deadline_is_ended_and_says_what_that_means(deps: Deps) -> None:
    ended = asyncio.Event()

    async def handler(request: Request, deps: Deps) -> Reply:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return Reply()

    reply = await Operation("it", [get("/it", handler, allow=PUBLIC)], deadline_s=0.02).answer(asked(), deps)
    assert await answer_of(reply) == (503, "too-slow")
    assert ended.is_set()


async def test_a_route_it_does_not_have_is_404_in_its_own_words(deps: Deps) -> None:
    only = Operation("it", [get("/it", raising(Refused("no", "No.")), allow=PUBLIC)])
    assert await answer_of(await only.answer(asked("/other"), deps)) == (404, "no-such-route")


class Subscriber:
    """An operation that subscribes to one type, and behaves as configured."""

    def __init__(self, error: Exception | None = None, reply: CloudEvent | None = None) -> None:
        self.events: list[Received[FlashSaleEnded]] = []
        self.error, self.reply = error, reply
        self.operation = Operation("ears", subscriptions=[on(FlashSaleEnded, self.handle_event)])

    async def handle_event(self, event: Received[FlashSaleEnded], deps: Deps) -> CloudEvent | None:
        self.events.append(event)
        if self.error:
            raise self.error
        return self.reply


async def test_an_event_that_is_done_answers_an_empty_2xx(deps: Deps) -> None:
    subscriber = Subscriber()
    reply = await subscriber.operation.handle_event(ENDED, deps)
    assert (reply.status, reply.body) == (204, b"")
    assert subscriber.events[0].data == FlashSaleEnded(saleId="s1", productId="1")
    assert subscriber.events[0].envelope.id == "e1"


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (NotFound("x", "x"), 422),
        (Refused("x", "x"), 422),
        (Malformed("x", "x"), 400),
        (Unavailable("x", "x"), 503),
        (TimeoutError(), 503),
        (RedisAway("x"), 503),
        (RuntimeError("x"), 500),
    ],
)
async def test_an_event_s_status_is_a_delivery_decision_and_never_one_that_knative_repeats_by_mistake(
    deps: Deps, error: Exception, status: int
) -> None:
    assert (await Subscriber(error).operation.handle_event(ENDED, deps)).status == status


@pytest.mark.parametrize(
    ("error", "status"), [(NotFound("x", "x"), 503), (Malformed("x", "x"), 503), (RuntimeError("x"), 500)]
)
async def test_where_a_broker_drops_what_is_refused_it_is_retried_until_it_is_a_dead_letter(
    settings: Settings, error: Exception, status: int
) -> None:
    careful = open_deps(replace(settings, retry_refused=True))
    assert (await Subscriber(error).operation.handle_event(ENDED, careful)).status == status
    await close_deps(careful)


@pytest.mark.parametrize("data", [None, b"", b"{", b"[]", b"{}", b'{"saleId": 1, "productId": "1"}', b"\xff\xfe"])
async def test_data_that_breaks_the_contract_is_400_and_reaches_no_one(deps: Deps, data: bytes | None) -> None:
    subscriber = Subscriber()
    broken = CloudEvent(id="e", source="/test", type=FlashSaleEnded.TYPE, data=data)
    assert (await subscriber.operation.handle_event(broken, deps)).status == 400
    assert subscriber.events == []


async def test_data_nested_too_deep_is_a_dead_letter_and_not_tried_again(deps: Deps) -> None:
    deep = b'{"saleId":"s1","productId":"1","more":' + b"[" * 30_000 + b"]" * 30_000 + b"}"
    assert (await Subscriber().operation.handle_event(structs.replace(ENDED, data=deep), deps)).status == 400


async def test_a_failed_delivery_answers_in_no_more_bytes_than_knative_bears(deps: Deps) -> None:
    error = Malformed("too-long", 'ä"\x00' * 5000, errors=["x"] * 500)
    reply = await Subscriber(error).operation.handle_event(ENDED, deps)
    assert await answer_of(reply) == (400, "too-long")
    assert len(reply.body) <= 768


async def test_a_type_it_does_not_receive_is_400(deps: Deps) -> None:
    assert (
        await Subscriber().operation.handle_event(CloudEvent(id="e", source="/t", type="other.v1"), deps)
    ).status == 400


async def test_a_reply_event_goes_back_as_a_cloudevent(deps: Deps) -> None:
    subscriber = Subscriber(reply=CloudEvent(id="r1", source="/ears", type="other.v1", data=b"{}"))
    reply = await subscriber.operation.handle_event(ENDED, deps)
    assert 200 <= reply.status < 300
    reply_event = cloudevents.decode({**dict(reply.headers), "content-type": reply.media_type}, reply.body)
    assert (reply_event.id, reply_event.type) == ("r1", "other.v1")


async def test_by_http_a_body_that_is_no_event_is_400_and_an_unknown_format_415(deps: Deps) -> None:
    operation = Subscriber().operation
    garbage = await operation.answer(Request("POST", "/", {"content-type": "application/json"}, b"garbage"), deps)
    batch = {"content-type": "application/cloudevents-batch+json"}
    assert garbage.status == 400
    assert (await operation.answer(Request("POST", "/", batch, b"[]"), deps)).status == 415


async def test_an_operation_that_takes_anything_gets_the_bytes_as_they_came(deps: Deps) -> None:
    kept: list[bytes] = []

    async def keep(event: Received[bytes], deps: Deps) -> None:
        kept.append(event.data)

    anything = Operation("keep", subscriptions=[on_anything(keep)])
    for data in (b"\xff", b"", None):
        event = CloudEvent(id="e", source="/t", type="any.type", data=data)
        assert (await anything.handle_event(event, deps)).status == 204
    assert kept == [b"\xff", b"", b""]


async def test_a_wake_up_by_http_wakes_and_a_tick_does_the_same(deps: Deps) -> None:
    woken = 0

    async def wake(deps: Deps) -> None:
        nonlocal woken
        woken += 1

    sleeper = Operation("sleeper", wake=wake)
    assert (await sleeper.answer(Request("POST", "/poke", {}), deps)).status == 204
    tick = CloudEvent(id="p", source="/pings", type="dev.knative.sources.ping", data=b"{}")
    assert (await sleeper.handle_event(tick, deps)).status == 204
    assert woken == 2


def test_the_function_is_named_as_functions_framework_looks_it_up() -> None:
    made = operation("hold_it", routes=[post("/it", raising(Refused("no", "No.")), allow=PUBLIC)])
    assert getattr(made, "__name__", "") == "hold_it"
    assert (made.operation.name, made.operation.dns_name) == ("hold_it", "hold-it")
    assert asyncio.iscoroutinefunction(made)
