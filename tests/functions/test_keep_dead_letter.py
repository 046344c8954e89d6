"""keep-dead-letter: every event that was given up is kept with its cause, and can be sent again to who failed."""

import json

import pytest
from msgspec.structs import replace

from functions.keep_dead_letter.main import keep_dead_letter
from runtime import cloudevents, dead_letters
from runtime.deps import Deps
from runtime.http import Reply, Request
from runtime.knative.delivery import Destination, dead_letter
from shop.event import CloudEvent
from tests.knative.conftest import Start, bare, log, start  # noqa: F401  # fixtures
from tests.knative.stage import OK, Listener, Log, event, trigger

FAILED = Destination("reserve", "http://reserve.default.svc.cluster.local/reserve-order")
keeper = keep_dead_letter.operation


def letter_of(sent: CloudEvent, code: int = 503, data: bytes = b"not now") -> CloudEvent:
    return dead_letter(sent, FAILED, code, data)


async def test_it_is_kept_with_trigger_code_and_what_was_answered(bare: Deps, log: Log) -> None:  # noqa: F811
    sent = event("order-1")
    assert (await keeper.hear(letter_of(sent), bare)).status == 204
    found = await log.rows("SELECT trigger, event_id, type, error_code, error_data, event FROM dead_letters")
    assert found[0][:5] == ("reserve-order", sent.id, sent.type, 503, "not now")
    assert found[0][5]["data"] == {"n": 1}
    assert found[0][5]["knativeerrordest"] == FAILED.url


async def test_without_a_cause_it_is_kept_under_the_trigger_of_its_path(bare: Deps, log: Log) -> None:  # noqa: F811
    sent = event("order-1")
    headers, body = cloudevents.binary(sent)
    for trigger_name in ("pay", "notify"):
        assert (await keeper.answer(Request("POST", f"/{trigger_name}", headers, body), bare)).status == 204
    found = await log.rows("SELECT trigger, event_id, error_code, error_dest FROM dead_letters ORDER BY trigger")
    assert found == [("notify", sent.id, None, ""), ("pay", sent.id, None, "")]


async def test_delivered_twice_it_is_kept_once(bare: Deps, log: Log) -> None:  # noqa: F811
    letter = letter_of(event())
    for _ in range(2):
        assert (await keeper.hear(letter, bare)).status == 204
    assert (await log.rows("SELECT count(*) FROM dead_letters"))[0][0] == 1


async def test_one_that_was_replayed_and_fails_again_waits_again(bare: Deps, log: Log) -> None:  # noqa: F811
    sent = event()
    await keeper.hear(letter_of(sent), bare)
    await log.rows("UPDATE dead_letters SET replayed_at = now() RETURNING 1")
    await keeper.hear(letter_of(sent, 500), bare)
    assert await log.rows("SELECT replayed_at, error_code FROM dead_letters") == [(None, 500)]


@pytest.mark.parametrize("data", [b"\x00\xff binary", b"x" * 5000, b""])
async def test_whatever_the_subscriber_answered_it_can_be_kept(bare: Deps, log: Log, data: bytes) -> None:  # noqa: F811
    sent = replace(event(), data=b"\x00\xff", datacontenttype="application/octet-stream")
    assert (await keeper.hear(letter_of(sent, data=data), bare)).status == 204
    assert (await log.rows("SELECT length(error_data) < 1000 FROM dead_letters"))[0][0] in (True, None)


async def test_replayed_it_reaches_the_trigger_that_failed_and_no_other(
    start: Start,  # noqa: F811
    log: Log,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    broken = True

    async def behave(event: CloudEvent) -> Reply:
        return Reply(400, b"broken") if broken else OK

    failing, other = Listener("failing", behave), Listener("other")
    await start(trigger("failing", "failing"), trigger("other", "other"), to=[failing, other, keeper])
    await log.write(event("k", 1), event("k", 2))
    await log.until("SELECT count(*) FROM dead_letters", 2)
    command = ["--database-url", log.database_url]
    assert dead_letters.main([*command, "list", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [(item["trigger"], item["code"], item["error"]) for item in listed] == [("failing", 400, "broken")] * 2
    assert dead_letters.main([*command, "show", str(listed[0]["id"])]) == 0
    assert json.loads(capsys.readouterr().out)["event"]["partitionkey"] == "k"
    broken = False
    assert dead_letters.main([*command, "replay", "--all"]) == 0
    await failing.until_done(2)
    assert failing.sequences("k") == [1, 2]
    assert len(other.heard) == 2
    assert dead_letters.main([*command, "list"]) == 0
    assert "No dead letters are waiting." in capsys.readouterr().out


async def test_what_cannot_be_replayed_is_named_and_stays(
    bare: Deps,  # noqa: F811
    log: Log,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    await keeper.hear(letter_of(event()), bare)
    assert dead_letters.main(["--database-url", log.database_url, "replay", "1", "77"]) == 1
    said = capsys.readouterr()
    assert "1 stays" in said.err
    assert "77 stays" in said.err
    assert (await log.rows("SELECT count(*) FROM dead_letters WHERE replayed_at IS NULL"))[0][0] == 1
