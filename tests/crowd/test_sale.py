"""The load generator's checks are correct, against a shop whose every answer is known."""

import asyncio
import io
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.crowd.fake_shop import FakeShop, Faults, open_shop
from tools.crowd.checks import checks
from tools.crowd.crowd import Habits
from tools.crowd.play import Plan, Played, play
from tools.crowd.report import document, show
from tools.crowd.verdict import Verdict

NONE = Habits(retry=0, double_click=0, give_up=0, cheat=0)


async def played(shop: FakeShop, **changes: Any) -> tuple[Plan, Played, dict[str, Any], set[str]]:
    """Play a sale; return the plan, the measurements, the report, and the names of the failed checks."""
    async with open_shop(shop) as url:
        plan = Plan(**{"url": url, "buyers": 400, "units": 30, "connections": 20, "habits": NONE, **changes})
        result = await play(plan, Console(file=io.StringIO()))
    found = checks(plan, result)
    return plan, result, document(plan, result, found), {check.name for check in found if not check.ok}


async def test_every_unit_is_sold_once_and_everyone_else_is_informed() -> None:
    shop = FakeShop()
    _, result, reported, failed = await played(shop)
    assert not failed
    assert reported["outcomes"] == {"sold": 30, "sold out": 370}
    assert reported["statuses"] == {"200": 30, "409": 370}
    assert reported["answers"] == shop.requests == 400
    assert result.stock_left == 0
    assert reported["latency_ms"]["all"]["count"] == 400
    assert 2 <= reported["latency_ms"]["all"]["p50"] <= reported["latency_ms"]["all"]["max"]
    assert reported["first_sold_out_s"] >= 0
    assert reported["last_order_s"] <= reported["seconds"]


async def test_winners_have_a_row_and_figures_of_their_own() -> None:
    _, result, reported, _ = await played(FakeShop(), habits=Habits(retry=1.0, double_click=0, give_up=0, cheat=0))
    assert reported["latency_ms"]["sold"]["count"] == 60
    winners = reported["winners_ms"]
    assert winners["count"] == 30  # the repeats are answers to a winner, but not its wait
    assert 2 <= winners["p50"] <= winners["p95"] <= winners["p99"] <= winners["max"]
    assert reported["winners_p99_per_all_p50"] == pytest.approx(
        winners["p99"] / reported["latency_ms"]["all"]["p50"], abs=0.01
    )
    assert reported["generator_lag_ms"]["count"] == len(result.lag.late_s) > 0
    screen = Console(file=io.StringIO(), width=120)
    show(screen, reported, result.ledger)
    first_screen = screen.file.getvalue().splitlines()[:24]  # type: ignore[attr-defined]  # it was given a StringIO
    row = next(line for line in first_screen if "winners" in line)
    assert all(f"{winners[name]:,.1f}" in row for name in ("p50", "p95", "p99"))


async def test_without_winners_nothing_is_said_of_them() -> None:
    _, result, reported, _ = await played(FakeShop(), units=0)
    assert reported["winners_p99_per_all_p50"] is None
    assert reported["winners_ms"]["count"] == 0
    screen = Console(file=io.StringIO(), width=120)
    show(screen, reported, result.ledger)
    assert "winners waited" not in screen.file.getvalue()  # type: ignore[attr-defined]  # as above


async def test_a_winner_who_was_asked_to_come_again_has_waited_from_the_first_request() -> None:
    _, result, reported, _ = await played(FakeShop(faults=Faults(busy_every=2)), buyers=30, connections=5)
    took = result.ledger.took
    assert len(took[Verdict.UNAVAILABLE]) > 10
    assert sum(result.ledger.winners) >= sum(took[Verdict.SOLD]) + sum(took[Verdict.UNAVAILABLE])
    assert reported["winners_ms"]["count"] == 30


async def test_a_winner_who_hung_up_waits_from_when_it_came_back() -> None:
    habits = Habits(retry=0, double_click=0, give_up=1.0, cheat=0)
    _, result, reported, failed = await played(FakeShop(), units=400, habits=habits)
    assert not failed
    assert reported["gave_up"] > reported["outcomes"]["abandoned"]
    assert sum(result.ledger.winners) == pytest.approx(sum(result.ledger.took[Verdict.SOLD]), abs=0.19)


async def test_buyers_have_ids_and_keys_of_their_own_in_every_run() -> None:
    shop = FakeShop()
    await played(shop, buyers=10)
    await played(shop, buyers=10)
    assert len(shop.orders) == 20


async def test_repeats_and_second_clicks_are_asked_and_agree() -> None:
    shop = FakeShop()
    _, result, reported, failed = await played(shop, units=400, habits=Habits(retry=0.3, double_click=0.3, cheat=0))
    assert not failed
    assert reported["outcomes"] == {"sold": 400}
    assert result.ledger.agreeing_repeats == shop.requests - 400 > 150


@pytest.mark.parametrize("habit", ["retry", "double_click"])
async def test_a_shop_that_gives_one_key_two_orders_is_found_out(habit: str) -> None:
    habits = Habits(**{"retry": 0, "double_click": 0, "give_up": 0, "cheat": 0, habit: 1.0})
    _, result, _, failed = await played(FakeShop(faults=Faults(forgets_keys=True)), units=4000, habits=habits)
    assert "one key, one order" in failed
    assert result.ledger.breach_count == 400


async def test_a_winner_answered_sold_out_at_the_second_asking_is_found_out() -> None:
    habits = Habits(retry=1.0, double_click=0, give_up=0, cheat=0)
    _, result, _, failed = await played(FakeShop(faults=Faults(forgets_winners=True)), habits=habits)
    assert "one key, one order" in failed
    assert result.ledger.breach_count == 30


async def test_one_order_for_two_buyers_is_found_out() -> None:
    *_, failed = await played(FakeShop(faults=Faults(gives_one_order_to_all=True)))
    assert "one key, one order" in failed


async def test_an_oversold_unit_is_found_out() -> None:
    *_, failed = await played(FakeShop(faults=Faults(oversells_by=1)))
    assert failed == {"units add up"}


async def test_a_unit_that_no_one_could_buy_is_found_out() -> None:
    *_, failed = await played(FakeShop(faults=Faults(keeps_back=1)))
    assert failed == {"sold out means sold out"}


async def test_buyers_who_hang_up_come_back_or_are_counted_as_gone() -> None:
    shop = FakeShop()
    _, _, reported, failed = await played(shop, habits=Habits(retry=0, double_click=0, give_up=1.0, cheat=0))
    assert not failed
    assert reported["gave_up"] >= reported["outcomes"]["abandoned"] > 0
    assert sum(reported["outcomes"].values()) == 400
    assert reported["connections_reopened"] == reported["gave_up"]


async def test_a_cheat_gets_as_many_as_the_limit_allows() -> None:
    shop = FakeShop(limit=2)
    habits = Habits(retry=0, double_click=0, give_up=0, cheat=1.0)
    _, result, reported, failed = await played(shop, buyers=5, units=1000, habits=habits)
    assert not failed
    assert reported["verdicts"] == {"sold": 10, "limited": 5}
    assert reported["outcomes"] == {"sold": 5}
    assert result.stock_left == 990


async def test_a_shop_that_ignores_its_limit_is_found_out() -> None:
    habits = Habits(retry=0, double_click=0, give_up=0, cheat=1.0)
    *_, failed = await played(FakeShop(faults=Faults(ignores_the_limit=True)), buyers=5, units=100, habits=habits)
    assert failed == {"no buyer over the limit"}


async def test_a_busy_shop_is_asked_again_until_it_answers() -> None:
    _, _, reported, failed = await played(FakeShop(faults=Faults(busy_every=3)))
    assert not failed
    assert reported["outcomes"] == {"sold": 30, "sold out": 370}
    assert reported["statuses"]["503"] == reported["verdicts"]["unavailable"] > 100
    assert reported["latency_ms"]["all"]["count"] == 400


async def test_a_lost_connection_is_counted_and_the_buyer_asks_again() -> None:
    _, _, reported, failed = await played(FakeShop(faults=Faults(hangs_up_every=50)))
    assert not failed
    assert reported["outcomes"] == {"sold": 30, "sold out": 370}
    assert sum(reported["errors"].values()) == reported["connections_reopened"] > 5


async def test_a_buyer_who_ends_with_a_server_error_fails_the_sale() -> None:
    *_, reported, failed = await played(FakeShop(faults=Faults(breaks_every=100)))
    assert failed == {"no buyer ended with an error"}
    assert reported["errors"] == {"status 500": 4}


async def test_what_the_async_path_accepts_is_followed_to_its_end() -> None:
    shop = FakeShop(asynchronous=True)
    habits = Habits(retry=0.1, double_click=0.1, give_up=0, cheat=0.1)
    _, _, reported, failed = await played(shop, path="async", habits=habits)
    assert not failed
    assert reported["acceptance"] == 1.0
    assert reported["outcomes"] == {"accepted": 400}
    assert reported["states"]["FULFILLED"] == 30
    assert reported["states"]["FULFILLED"] + reported["states"]["CANCELED"] == len(shop.states)


async def run_command(url: str, *options: str) -> tuple[int, str]:
    small = ("--url", url, "--buyers", "100", "--units", "10", "--connections", "10", "--no-audit", *options)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tools.crowd", *small, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    return process.returncode or 0, output.decode()


async def test_behind_a_gateway_every_request_names_the_shop() -> None:
    shop = FakeShop()
    async with open_shop(shop) as url:
        status, output = await run_command(url, "--host", "shop.example.com")
    assert (status, shop.hosts) == (0, {"shop.example.com"}), output


async def test_the_command_ends_with_0_and_leaves_a_report_and_a_picture(tmp_path: Path) -> None:
    async with open_shop(FakeShop()) as url:
        status, output = await run_command(url, "--json", str(tmp_path / "sale.json"), "--seed", "7")
    assert status == 0, output
    reported = json.loads((tmp_path / "sale.json").read_text())
    assert reported["passed"]
    assert reported["orders"] == 10
    assert (tmp_path / "sale.svg").read_text().startswith("<svg")
    assert "✓ units add up" in output


async def test_the_command_ends_with_1_when_the_sale_does_not_add_up() -> None:
    async with open_shop(FakeShop(faults=Faults(oversells_by=3))) as url:
        status, output = await run_command(url)
    assert status == 1
    assert "✗ units add up" in output


async def test_the_command_says_where_it_looked_when_no_one_answers() -> None:
    async with open_shop(FakeShop()) as url:
        pass
    status, output = await run_command(url)
    assert status == 2
    assert url in output
