"""keep-dead-letter: stores every event that was given up with its cause; a replay reaches the failed subscriber."""

import json
from dataclasses import replace as dataclass_replace

import pytest
from msgspec.structs import replace

from functions.keep_dead_letter.main import keep_dead_letter
from pulsecart.admin import dead_letters
from pulsecart.broker.dead_letters import letters
from pulsecart.broker.dead_letters.letters import dead_letter
from pulsecart.broker.delivery import Destination
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.settings import Settings
from pulsecart.serving import cloudevents
from pulsecart.serving.http import Reply, Request
from tests.broker.conftest import Start, bare, log, start  # noqa: F401  # fixtures
from tests.broker.stage import OK, Listener, Log, event, trigger

FAILED = Destination("reserve", "http://reserve.default.svc.cluster.local/reserve-order")
keeper = keep_dead_letter.operation


def letter_of(sent: CloudEvent, code: int = 503, data: bytes = b"not now") -> CloudEvent:
    return dead_letter(sent, FAILED, code, data)


async def test_it_is_kept_with_trigger_code_and_what_was_answered(bare: Deps, log: Log) -> None:  # noqa: F811
    sent = event("order-1")
    assert (await keeper.handle_event(letter_of(sent), bare)).status == 204
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
        assert (await keeper.handle_event(letter, bare)).status == 204
    assert (await log.rows("SELECT count(*) FROM dead_letters"))[0][0] == 1


async def test_one_that_was_replayed_and_fails_again_waits_again(bare: Deps, log: Log) -> None:  # noqa: F811
    sent = event()
    await keeper.handle_event(letter_of(sent), bare)
    await log.rows("UPDATE dead_letters SET replayed_at = now() RETURNING 1")
    await keeper.handle_event(letter_of(sent, 500), bare)
    assert await log.rows("SELECT replayed_at, error_code FROM dead_letters") == [(None, 500)]


@pytest.mark.parametrize("data", [b"\x00\xff binary", b"x" * 5000, b""])
async def test_whatever_the_subscriber_answered_it_can_be_kept(bare: Deps, log: Log, data: bytes) -> None:  # noqa: F811
    sent = replace(event(), data=b"\x00\xff", datacontenttype="application/octet-stream")
    assert (await keeper.handle_event(letter_of(sent, data=data), bare)).status == 204
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
    assert len(other.received) == 2
    assert dead_letters.main([*command, "list"]) == 0
    assert "No dead letters are waiting." in capsys.readouterr().out


async def test_what_cannot_be_replayed_is_named_and_stays(
    bare: Deps,  # noqa: F811
    log: Log,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
) -> None:
    await keeper.handle_event(letter_of(event()), bare)
    assert dead_letters.main(["--database-url", log.database_url, "replay", "1", "77"]) == 1
    output = capsys.readouterr()
    assert "1 stays" in output.err
    assert "77 stays" in output.err
    assert (await log.rows("SELECT count(*) FROM dead_letters WHERE replayed_at IS NULL"))[0][0] == 1


NAMED = {"ce-specversion": "1.0", "ce-id": "a", "ce-source": "/s", "ce-type": "t"}
LONE = json.loads('"half a pair: \\udc80"')
ODD = {
    "an id of a megabyte": replace(event(), id="x" * 1_000_000),
    "a source of a megabyte": replace(event(), source="/é" * 500_000),
    "NUL in its id": replace(event(), id="a\0b"),
    "NUL in its key": event("a\0b"),
    "half a surrogate pair in its source": replace(event(), source=LONE),
    "a type of control characters": replace(event(), type="\x1b[31m\x9b1m"),
    "JSON that PostgreSQL cannot read": replace(event(), data=b'{"a":"\\u0000"}'),
    "half a surrogate pair in its data": replace(event(), data=b'{"a":"\\ud800"}'),
    "data that is not UTF-8": replace(event(), data=b'{"a":"\xff"}'),
    "data that is not JSON": replace(event(), data=b"{"),
    "data nested too deep": replace(event(), data=b"[" * 20_000 + b"]" * 20_000),
    "a number without end": replace(event(), data=b"9" * 20_000),
    "no data": replace(event(), data=None),
}


@pytest.mark.parametrize("sent", ODD.values(), ids=ODD.keys())
async def test_whatever_the_event_is_it_is_kept_listed_shown_and_discarded(
    bare: Deps,  # noqa: F811
    log: Log,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    sent: CloudEvent,
) -> None:
    for _ in range(2):
        assert (await keeper.handle_event(letter_of(sent), bare, "/pay")).status == 204
    assert (await log.rows("SELECT count(*) FROM dead_letters"))[0][0] == 1
    command = ["--database-url", log.database_url]
    assert dead_letters.main([*command, "list"]) == 0
    listed = capsys.readouterr().out
    assert "not now" in listed
    assert max(map(len, listed.splitlines())) <= 80
    assert all(line.isprintable() for line in listed.splitlines())
    assert dead_letters.main([*command, "show", "1"]) == 0
    shown = capsys.readouterr().out
    assert all(line.isprintable() for line in shown.splitlines())
    assert json.loads(shown)["error"] == "not now"
    assert dead_letters.main([*command, "discard", "1", "--why", "odd"]) == 0
    assert dead_letters.main([*command, "list"]) == 0
    assert "No dead letters are waiting." in capsys.readouterr().out


@pytest.mark.parametrize("sent", ODD.values(), ids=ODD.keys())
def test_what_is_kept_of_an_event_is_the_event(sent: CloudEvent) -> None:
    raw = letters.raw_of(letter_of(sent))
    document = json.loads(raw) if len(raw) < 15_000 else None
    if document:
        assert (document["id"], document["source"]) == (sent.id, sent.source)
    message = letters.message(raw)
    if not any(char in sent.id + sent.source + sent.type + sent.partitionkey for char in "\0\x1b" + LONE[-1]):
        assert message == letters.Message(*cloudevents.binary(sent))


async def test_events_that_differ_only_behind_a_thousand_characters_are_two(bare: Deps, log: Log) -> None:  # noqa: F811
    for end in "ab":
        assert (await keeper.handle_event(letter_of(replace(event(), id="x" * 5000 + end)), bare)).status == 204
    assert (await log.rows("SELECT count(*) FROM dead_letters"))[0][0] == 2


@pytest.mark.parametrize(
    ("extensions", "trigger_name", "code"),
    [
        ({"knativeerrordest": "http://[::1"}, "pay", None),
        ({"knativeerrordest": "http://[/x", "knativeerrorcode": "9" * 40}, "pay", None),
        ({"knativeerrorcode": "٥٠٠", "knativeerrordata": "no base64 \0"}, "pay", None),
        ({"knativeerrorcode": "-1", "knativeerrordata": "/w=="}, "pay", None),
        ({"knativeerrorcode": "503", "knativeerrordata": "A" * 4_000_000}, "pay", 503),
    ],
)
async def test_whatever_the_cause_is_it_is_kept(
    bare: Deps,  # noqa: F811
    log: Log,  # noqa: F811
    extensions: dict[str, str],
    trigger_name: str,
    code: int | None,
) -> None:
    letter = replace(event(), extensions=extensions)
    assert (await keeper.handle_event(letter, bare, "/pay")).status == 204
    found = await log.rows("SELECT trigger, error_code, length(error_data) <= 65536 FROM dead_letters")
    assert found == [(trigger_name, code, True)]


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"ce-id": "a", "ce-source": "/s", "ce-type": "t"}, b"{}"),  # no specversion
        ({"ce-specversion": "0.3", "ce-id": "a", "ce-source": "/s", "ce-type": "t"}, b"{}"),
        ({"ce-specversion": "1.0", "ce-id": "a%00", "ce-source": "/s", "ce-type": "t"}, b"\x00\xff"),
        ({"ce-specversion": "1.0", "ce-id": "%ff", "ce-source": "/s", "ce-type": "t"}, b""),
        (
            {"ce-specversion": "1.0", "ce-id": "a", "ce-source": "/s", "ce-type": "t", f"ce-{'long' * 26}": "1"},
            b"",
        ),
        ({"content-type": "application/cloudevents+xml"}, b"<event/>"),
        ({"content-type": cloudevents.STRUCTURED}, b"{" * 100),
    ],
)
async def test_what_is_no_event_as_we_read_them_is_kept_too(
    bare: Deps,  # noqa: F811
    log: Log,  # noqa: F811
    capsys: pytest.CaptureFixture[str],
    headers: dict[str, str],
    body: bytes,
) -> None:
    """Knative's broker delivers more than our operations accept, and an event that the sink rejects is lost."""
    for _ in range(2):
        assert (await keeper.answer(Request("POST", "/pay", dict(headers), body), bare)).status == 204
    assert dead_letters.main(["--database-url", log.database_url, "show", "1"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["trigger"], shown["event"][letters.UNREADABLE]["headers"]) == ("pay", headers)
    (raw,) = (await log.rows("SELECT raw FROM dead_letters"))[0]
    assert letters.message(raw) == (headers, body)


async def test_on_a_cluster_the_log_says_which_trigger_gave_up_and_why(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    opened = open_deps(dataclass_replace(settings, broker_url="http://broker.invalid"))
    sent = event()
    assert (await keeper.handle_event(letter_of(sent, data=b"no\nink\x1b"), opened)).status == 204
    await close_deps(opened)
    (record,) = [record for record in caplog.records if "dead letter" in record.getMessage()]
    assert record.levelname == "WARNING"
    assert record.getMessage() == f"reserve-order: {sent.id} is a dead letter, status 503: no\\nink\\x1b"
