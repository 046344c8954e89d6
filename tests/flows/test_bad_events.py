"""Invalid events and failing consumers lead to the results that the tables of status codes list."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from pulsecart.admin import dead_letters
from pulsecart.broker.manifests.eventing import EVENTING_DIR
from pulsecart.processes.registry import load
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import CloudEvent, new_id, padded
from pulsecart.serving import cloudevents
from pulsecart.serving.http import Reply, Request
from pulsecart.shop.orders.events import OrderPaid
from tests.client import until
from tests.flows.hands import Hands
from tests.flows.small_shop import SmallShop, opened
from tests.turned_clock import TurnedClock

RETRY = 5
WITHIN_S = 20.0
IMPATIENT = "    timeout: PT1S\n"
DECODING_PAID = {"fulfil", "notify", "project-orders"}
SUBSCRIBED_TO_PAID = {*DECODING_PAID, "webhook-deliver"}  # which keeps the bytes of an event as they are
Answers = Callable[[CloudEvent, Deps], Awaitable[Reply]]
Open = Callable[..., AbstractAsyncContextManager[SmallShop]]


class Fulfil:
    """Replaces fulfil: fails as configured, and behaves like the real one once it is repaired."""

    dns_name = "fulfil"

    def __init__(self, broken: Answers) -> None:
        self._broken = broken
        self.tries = 0
        self.mended = False

    async def handle_event(self, event: CloudEvent, deps: Deps, path: str) -> Reply:
        self.tries += 1
        return await (load("fulfil").handle_event if self.mended else self._broken)(event, deps)


@pytest.fixture
def eventing(tmp_path: Path) -> Path:
    """Provide the product's triggers with immediate and fewer retries."""
    made = tmp_path / "eventing"
    made.mkdir()
    for source in EVENTING_DIR.glob("*.yaml"):
        text = source.read_text().replace("retry: 10", f"retry: {RETRY}").replace("PT0.2S", "PT0.01S")
        if source.name == "fulfil.yaml":
            text += IMPATIENT
        (made / source.name).write_text(text)
    return made


@pytest.fixture
def shop(deps: Deps, eventing: Path) -> Open:
    return lambda **instead: opened(deps, TurnedClock(datetime.now(UTC)), Hands(), eventing, **instead)


def paid(data: Any, key: str = "") -> CloudEvent:
    """Return an order.paid as another system could have sent it."""
    key = key or new_id()
    body = data if isinstance(data, bytes) else json.dumps(data).encode()
    about = {"partitionkey": key, "sequence": padded(3), "correlationid": key}
    return CloudEvent(
        id=new_id(),
        source="/elsewhere",
        type=OrderPaid.TYPE,
        time=datetime.now(UTC),
        subject=key,
        data=body,
        extensions=about,
    )


def good(order_id: str = "") -> dict[str, Any]:
    order_id = order_id or new_id()
    return {"orderId": order_id, "userId": "7", "totalAmount": 49.9, "currency": "USD", "paymentId": new_id()}


async def write(shop: SmallShop, event: CloudEvent) -> None:
    """Write to the log itself, without the ingress."""
    async with shop.client.deps.db.transaction() as tx:
        tx.events.append(event)
    shop.knative.wake()


async def ingress(shop: SmallShop, event: CloudEvent) -> tuple[int, dict[str, Any]]:
    headers, body = cloudevents.binary(event)
    reply = await shop.knative.ingress(Request("POST", "/broker/default/default", headers, body), "default", "default")
    return reply.status, json.loads(reply.body) if reply.body else {}


async def letters(shop: SmallShop, count: int) -> dict[str, Any]:
    """Wait for this many dead letters; return by trigger: event, code, answer, address, the whole event."""
    columns = "trigger, event_id, error_code, error_data, error_dest, event"

    async def there() -> list[Any]:
        found = await shop.client.rows(f"SELECT {columns} FROM dead_letters WHERE replayed_at IS NULL")
        return found if len(found) >= count else []

    found = await until(there, WITHIN_S)
    assert len(found) == count, found
    return {trigger: rest for trigger, *rest in found}


async def desk(shop: SmallShop, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """Run scripts/dead-letters and return its output."""
    where = ["--database-url", shop.client.deps.settings.database_url]
    assert await asyncio.to_thread(dead_letters.main, [*where, *words]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("broken", "status", "why"),
    [
        (paid(b"{"), 400, "contract-broken"),
        (paid({**good(), "totalAmount": "a lot"}), 400, "contract-broken"),
        (paid({name: value for name, value in good().items() if name != "paymentId"}), 400, "contract-broken"),
        (replace(paid(good()), type="ecommerce.order.order.painted.v1"), 400, "unknown-type"),
        (replace(paid(good()), id=""), 400, "missing-attribute"),
    ],
    ids=["no JSON", "a wrong type", "a missing member", "an unknown type", "no CloudEvent"],
)
async def test_the_ingress_refuses_what_breaks_its_contract_and_keeps_nothing_of_it(
    shop: Open, broken: CloudEvent, status: int, why: str
) -> None:
    async with shop() as open_shop:
        answered, problem = await ingress(open_shop, broken)
        assert (answered, problem["status"]) == (status, status)
        assert problem["type"].endswith(why), problem
        assert [event for event in await open_shop.client.log() if event.source == broken.source] == []


async def test_what_is_broken_in_the_log_is_a_dead_letter_at_once_for_each_who_receives_it(shop: Open) -> None:
    async with shop() as open_shop:
        event = paid({**good(), "orderId": 7})
        await write(open_shop, event)
        found = await letters(open_shop, len(DECODING_PAID))
        await open_shop.at_rest()
        assert found.keys() == DECODING_PAID
        for trigger, (event_id, code, output, dest, whole) in found.items():
            assert (event_id, code, len(open_shop.hands.tried[trigger])) == (event.id, 400, 1)
            assert json.loads(output)["type"].endswith("contract-broken")
            assert dest.endswith(f"/{trigger}")
            assert whole["knativeerrorcode"] == "400"
            assert whole["knativeerrordest"] == dest
            assert whole["data"] == json.loads(event.data or b"")


async def test_a_poison_event_holds_back_no_one_of_its_key(shop: Open) -> None:
    """The event names an unknown order; the events after it on its key are handled."""
    async with shop() as open_shop:
        key = new_id()
        await write(open_shop, paid({**good(), "orderId": "no order"}, key))
        second = paid({**good(), "orderId": "no order either"}, key)
        await write(open_shop, second)
        assert (await letters(open_shop, 4)).keys() == {"fulfil", "project-orders"}
        await open_shop.at_rest()
        assert open_shop.hands.arrived["notify"][-1].id == second.id
        assert len(open_shop.hands.tried["fulfil"]) == 2


async def test_a_type_that_no_trigger_wants_is_no_ones_and_one_let_through_by_mistake_is_a_dead_letter(
    shop: Open, eventing: Path
) -> None:
    fulfil = (eventing / "fulfil.yaml").read_text()
    wide = fulfil.replace("type: ecommerce.order.order.paid.v1", "source: /elsewhere").replace("fulfil", "too-wide")
    (eventing / "too-wide.yaml").write_text(wide.replace("name: too-wide\n    uri", "name: fulfil\n    uri"))
    async with shop() as open_shop:
        unknown = replace(paid(good()), type="elsewhere.order.order.painted.v1")
        await write(open_shop, unknown)
        found = await letters(open_shop, 1)
        await open_shop.at_rest()
        event_id, code, output, *_ = found["too-wide"]
        assert (event_id, code) == (unknown.id, 400)
        assert "Correct the Trigger's filter" in output
        tried = {trigger: [event.id for event in events] for trigger, events in open_shop.hands.tried.items()}
        assert tried == {"too-wide": [unknown.id]}


async def hangs(event: CloudEvent, deps: Deps) -> Reply:
    await asyncio.Event().wait()
    raise AssertionError("nobody sets it")


async def breaks(event: CloudEvent, deps: Deps) -> Reply:
    return Reply(500, b'{"title":"it broke"}', "application/problem+json")


async def babbles(event: CloudEvent, deps: Deps) -> Reply:
    return Reply(200, b"OK", "text/plain")


async def replies_a_broken_event(event: CloudEvent, deps: Deps) -> Reply:
    return Reply(200, b'{"specversion":"1.0","id":"1"}', "application/cloudevents+json")


@pytest.mark.parametrize(
    ("broken", "code", "output", "tries"),
    [
        (hangs, 500, "no answer within 1 s", RETRY + 1),
        (breaks, 500, "it broke", RETRY + 1),
        (babbles, 502, "OK", RETRY + 1),
        (replies_a_broken_event, 400, "", 1),  # the broker rejects it for good, as from any sender
    ],
)
async def test_an_event_of_a_function_that_goes_on_failing_is_given_up_and_replayed_to_it_alone(
    shop: Open, capsys: pytest.CaptureFixture[str], broken: Answers, code: int, output: str, tries: int
) -> None:
    fulfil = Fulfil(broken)
    async with shop(fulfil=fulfil) as open_shop:
        await open_shop.client.buy(user=1)
        event_id, found_code, answer, *_ = (await letters(open_shop, 1))["fulfil"]
        assert (found_code, fulfil.tries) == (code, tries)
        assert output in answer
        await open_shop.ends(1, "PAID")
        await open_shop.at_rest()
        others = {name: len(tried) for name, tried in open_shop.hands.tried.items() if name != "fulfil"}

        (listed,) = json.loads(await desk(open_shop, capsys, "list", "--json"))
        assert (listed["trigger"], listed["eventId"], listed["code"]) == ("fulfil", event_id, code)
        fulfil.mended = True
        await desk(open_shop, capsys, "replay", str(listed["id"]))
        await open_shop.ends(1, "FULFILLED")
        await open_shop.at_rest()
        again = [event.id for name, tried in open_shop.hands.tried.items() if name != "fulfil" for event in tried]
        assert again.count(event_id) == len(SUBSCRIBED_TO_PAID) - 1
        assert sum(map(len, open_shop.hands.tried.values())) == sum(others.values()) + tries + 1 + 3
        assert await desk(open_shop, capsys, "list") == "No dead letters are waiting.\n"


async def test_a_function_that_answers_500_five_times_is_asked_a_sixth_time_and_nothing_is_given_up(shop: Open) -> None:
    fulfil = Fulfil(breaks)

    async def fifth(event: CloudEvent, deps: Deps) -> Reply:
        fulfil.mended = fulfil.tries == RETRY
        return await breaks(event, deps)

    fulfil._broken = fifth
    async with shop(fulfil=fulfil) as open_shop:
        await open_shop.client.buy(user=1)
        await open_shop.ends(1, "FULFILLED")
        await open_shop.at_rest()
        assert fulfil.tries == RETRY + 1
        assert await open_shop.client.rows("SELECT * FROM dead_letters") == []


async def test_what_fails_again_after_its_replay_waits_again(shop: Open, capsys: pytest.CaptureFixture[str]) -> None:
    fulfil = Fulfil(breaks)
    async with shop(fulfil=fulfil) as open_shop:
        await open_shop.client.buy(user=1)
        await letters(open_shop, 1)
        await desk(open_shop, capsys, "replay", "--all")
        await letters(open_shop, 1)
        assert fulfil.tries == 2 * (RETRY + 1)
        assert len(await open_shop.client.rows("SELECT * FROM dead_letters")) == 1
