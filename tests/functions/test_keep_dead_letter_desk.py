"""scripts/dead-letters: selects by trigger and cause, stores operator and reason of a discard, fits 80 columns."""

import io
import json
from typing import Any

import pytest
from msgspec.structs import replace
from rich.cells import cell_len

from functions.keep_dead_letter.main import keep_dead_letter
from pulsecart.admin import dead_letters
from pulsecart.broker.dead_letters.table import open_ones
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import CloudEvent
from pulsecart.serving.http import Reply
from tests.broker.conftest import Start, bare, log, start  # noqa: F401  # fixtures
from tests.broker.stage import OK, Listener, Log, event, trigger
from tests.functions.test_keep_dead_letter import letter_of

keeper = keep_dead_letter.operation


class Desk:
    """Runs scripts/dead-letters on one database."""

    def __init__(self, log: Log, capsys: pytest.CaptureFixture[str]) -> None:  # noqa: F811
        self._where = ["--database-url", log.database_url]
        self._capsys = capsys

    def ask(self, *words: str, status: int = 0) -> str:
        assert dead_letters.main([*self._where, *words]) == status
        output = self._capsys.readouterr()
        return output.err if status else output.out

    def listed(self, *words: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.ask("list", "--json", *words))
        return found


@pytest.fixture
def desk(log: Log, capsys: pytest.CaptureFixture[str]) -> Desk:  # noqa: F811
    return Desk(log, capsys)


async def test_they_are_chosen_by_trigger_and_by_cause(bare: Deps, desk: Desk) -> None:  # noqa: F811
    for path, code, data in (
        ("/pay", 503, b"Gateway Timeout"),
        ("/pay", 500, b"it broke"),
        ("/notify", 500, b"100% ink_"),
    ):
        await keeper.handle_event(letter_of(event(), code, data), bare, path)
    for words, expected in (
        (["--trigger", "pay"], [1, 2]),
        (["--cause", "gateway"], [1]),
        (["--cause", "500"], [2, 3]),
        (["--trigger", "pay", "--cause", "500"], [2]),
        (["--cause", "100% INK_"], [3]),
        (["--cause", "%"], [3]),
        (["--trigger", "pa"], []),
    ):
        assert [item["id"] for item in desk.listed(*words)] == expected


async def test_what_is_discarded_stays_with_who_did_it_and_why_and_no_longer_counts(
    bare: Deps,  # noqa: F811
    log: Log,  # noqa: F811
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for _ in range(3):
        await keeper.handle_event(letter_of(event()), bare)
    monkeypatch.setenv("LOGNAME", "ada")
    desk.ask("discard", "1", "--why", "the gateway\x1b was away")
    desk.ask("discard", "2", "--why", "paid by hand", "--by", "grace")
    assert [item["id"] for item in desk.listed()] == [3]
    reported = desk.listed("--state", "discarded")
    assert [(item["discardedBy"], item["discardedWhy"], item["state"]) for item in reported] == [
        ("ada", "the gateway\x1b was away", "discarded"),
        ("grace", "paid by hand", "discarded"),
    ]
    shown = desk.ask("list", "--state", "discarded")
    assert "by ada: the gateway\\x1b was away" in shown
    async with bare.db.transaction() as tx:
        assert await open_ones(tx) == 1
    assert "1 stays as it is" in desk.ask("discard", "1", "--why", "again", status=1)
    with pytest.raises(SystemExit, match="2"):
        dead_letters.main(["--database-url", log.database_url, "discard", "3"])
    assert "give the reason" in desk.ask("discard", "3", "--why", " ", status=2)


async def test_one_that_was_discarded_and_fails_again_waits_again(bare: Deps, desk: Desk) -> None:  # noqa: F811
    sent = event()
    await keeper.handle_event(letter_of(sent), bare)
    desk.ask("discard", "1", "--why", "not needed")
    await keeper.handle_event(letter_of(sent, 500), bare)
    (waits,) = desk.listed()
    assert (waits["code"], waits["state"], waits["discardedWhy"]) == (500, "open", "not needed")


async def test_many_are_discarded_at_once_where_that_was_confirmed_or_said(
    bare: Deps,  # noqa: F811
    desk: Desk,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for path in ("/pay", "/pay", "/notify", "/reserve"):
        await keeper.handle_event(letter_of(event()), bare, path)
    assert "2 match; nothing was done. Use --all" in desk.ask("discard", "--trigger", "pay", "--why", "x", status=2)
    assert "give the ids" in desk.ask("discard", "--why", "x", status=2)
    assert "give either ids" in desk.ask("discard", "1", "--all", "--why", "x", status=2)
    for answer, left in (("n", 4), ("y", 2)):
        terminal = io.StringIO(f"{answer}\n")
        terminal.isatty = lambda: True  # type: ignore[method-assign]
        monkeypatch.setattr("sys.stdin", terminal)
        asked = desk.ask("discard", "--trigger", "pay", "--why", "x", status=0 if left == 2 else 2)
        assert left == 4 or "Discard 2 dead letters? [y/N] 2 of 2 were discarded" in asked
        assert len(desk.listed()) == left
    desk.ask("discard", "--all", "--cause", "not now", "--why", "x")
    assert desk.listed() == []
    assert "0 of 0" in desk.ask("discard", "--all", "--why", "x")


async def test_of_very_many_the_oldest_are_listed_and_the_rest_counted(bare: Deps, desk: Desk) -> None:  # noqa: F811
    for _ in range(5):
        await keeper.handle_event(letter_of(event(), data="绿茶 sold out ".encode() * 40), bare)
    listed = desk.ask("list", "--limit", "2")
    assert "5 open dead letters, the oldest 2" in listed
    assert max(map(cell_len, listed.splitlines())) <= 80
    assert "5 open dead letters\n" in desk.ask("list", "--limit", "0")


async def test_one_whose_id_is_too_long_for_an_index_is_replayed_all_the_same(
    start: Start,  # noqa: F811
    log: Log,  # noqa: F811
    desk: Desk,
) -> None:
    broken = True

    async def behave(event: CloudEvent) -> Reply:
        return Reply(400, b"broken") if broken else OK

    failing = Listener("failing", behave)
    await start(trigger("failing", "failing"), to=[failing, keeper])
    await log.write(replace(event("k", 1), id="x" * 10_000, data=b'{"a":"\\u0000"}'))
    await log.until("SELECT count(*) FROM dead_letters", 1)
    broken = False
    desk.ask("replay", "1")
    await failing.until_done(1)
