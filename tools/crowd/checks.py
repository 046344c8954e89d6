"""Checks a sale from the buyers' answers alone; the audit checks it from the database."""

from collections import Counter
from dataclasses import dataclass

from tools.crowd.play import Plan, Played
from tools.crowd.verdict import Verdict

ENDED = {"CONFIRMED", "PAID", "FULFILLED", "CANCELED"}


@dataclass(frozen=True, slots=True)
class Check:
    """``detail`` contains the compared figures."""

    name: str
    ok: bool
    detail: str


def checks(plan: Plan, played: Played) -> list[Check]:
    """Return every check that the collected data allows."""
    found = [_same_key_same_order(played), _everybody_was_answered(plan, played), _no_errors(played)]
    if plan.reset and played.stock_left is not None:
        if plan.path == "sync":
            found += [_units_add_up(plan, played), _none_refused_in_vain(played)]
        else:
            found.append(_nothing_oversold(plan, played))
    if played.limit:
        found.append(_limit_held(played))
    if plan.path == "async":
        found.append(_all_ended(played))
    return found


def _same_key_same_order(played: Played) -> Check:
    ledger = played.ledger
    details = f"{ledger.agreeing_repeats:,} repeated answers agree, {ledger.breach_count:,} contradict an earlier one"
    return Check("one key, one order", ledger.breach_count == 0, details)


def _everybody_was_answered(plan: Plan, played: Played) -> Check:
    known = sum(played.ledger.outcomes.values())
    return Check("every buyer has an outcome", known == plan.buyers, f"{known:,} of {plan.buyers:,}")


def _no_errors(played: Played) -> Check:
    """Lost connections and 503s that a retry recovered are in the report, but do not fail the check."""
    fine = {v.value for v in (Verdict.SOLD, Verdict.ACCEPTED, Verdict.SOLD_OUT, Verdict.LIMITED)} | {"abandoned"}
    bad = {name: n for name, n in played.ledger.outcomes.items() if name not in fine}
    return Check(
        "no buyer ended with an error", not bad, ", ".join(f"{name}: {n:,}" for name, n in bad.items()) or "none"
    )


def _canceled(played: Played) -> int:
    return sum(state == "CANCELED" for state in played.states.values())


def _units_add_up(plan: Plan, played: Played) -> Check:
    """Units − left − sold must be the units sold to buyers who did not wait for their answer."""
    left, sold = played.stock_left or 0, len(played.ledger.orders) - _canceled(played)
    unseen, abandoned = plan.units - left - sold, played.ledger.outcomes["abandoned"]
    details = (
        f"{plan.units:,} units, {sold:,} sold, {left:,} left, {unseen:,} bought by the {abandoned:,} who disconnected"
    )
    return Check("units add up", left >= 0 and 0 <= unseen <= abandoned, details)


def _none_refused_in_vain(played: Played) -> Check:
    """Every “sold out” answer must be correct, except for units that were returned later."""
    refused, left = len(played.ledger.took[Verdict.SOLD_OUT]), played.stock_left or 0
    came_back = _canceled(played) + played.ledger.outcomes["abandoned"]
    details = f"{refused:,} refused, {left:,} units left"
    return Check("sold out means sold out", not refused or left <= came_back, details)


def _nothing_oversold(plan: Plan, played: Played) -> Check:
    left = played.stock_left or 0
    held = sum(state in ENDED - {"CANCELED"} for state in played.states.values())
    complete = len(played.states) >= len(played.ledger.orders)
    details = f"{plan.units:,} units, {left:,} left, {held:,} sold among {len(played.states):,} orders checked"
    return Check(
        "nothing oversold", held <= plan.units and 0 <= left <= plan.units - (held if complete else 0), details
    )


def _limit_held(played: Played) -> Check:
    kept: Counter[int] = Counter()
    for order, state in played.states.items():
        if state in ENDED - {"CANCELED"} and (buyer := played.ledger.buyer_of(order)) is not None:
            kept[buyer] += 1
    most = max(kept.values(), default=0)
    return Check("no buyer over the limit", most <= played.limit, f"at most {most} units, {played.limit} allowed")


def _all_ended(played: Played) -> Check:
    open_states = Counter(state for state in played.states.values() if state not in ENDED)
    details = f"{len(played.states):,} checked" + "".join(f", {n:,} {state}" for state, n in open_states.items())
    return Check("every accepted purchase ended", played.drained and not open_states, details)
