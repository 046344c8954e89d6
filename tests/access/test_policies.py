"""Runs the Rego policies' own tests by name, and checks how the operations apply a verdict."""

import re
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import Forbidden, Unauthorized
from pulsecart.serving.access import ROLES, Caller
from pulsecart.serving.http import Request
from pulsecart.serving.policy import FOLDER, Policies, check, read
from tests.functions.conftest import Strict, strict

__all__ = ["strict"]
HERE = Path(__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.rego"))
CASES = [
    (name, test)
    for name in NAMES
    for test in re.findall(r"^(test_\w+)", (HERE / f"{name}_test.rego").read_text(), re.M)
]
ORDER = {"owner": "7", "status": "CONFIRMED"}


def holds(rego: Any, rule: str) -> bool:
    return bool(rego.eval_rule(f"data.{rule}") is True)


@pytest.mark.parametrize(("policy", "test"), CASES)
def test_a_policy_keeps_its_promise(policy: str, test: str) -> None:
    rego = read(policy)
    rego.add_policy("test", (HERE / f"{policy}_test.rego").read_text())
    assert holds(rego, f"{policy}_test.{test}")


def test_a_test_in_rego_that_does_not_hold_is_seen() -> None:
    rego = read("order")
    rego.add_policy("test", 'package t\ntest_it if data.order.verdict == "allowed" with input.act as "read"')
    assert not holds(rego, "t.test_it")


def asked_by(user: str, *roles: str) -> Request:
    return Request("POST", "/", {}, caller=Caller(user, frozenset(roles)))


async def test_a_verdict_other_than_allowed_is_403_with_its_name(deps: Deps) -> None:
    with pytest.raises(Forbidden, match="not-yours"):
        check(asked_by("8", "customer"), deps, "order", "cancel", owner="7", status="PENDING")
    with pytest.raises(Forbidden, match="not-pending"):
        check(asked_by("7", "customer"), deps, "order", "cancel", owner="7", status="CONFIRMED")
    with pytest.raises(Forbidden, match="not-allowed"):
        check(asked_by("7", "partner"), deps, "price", "override")
    check(asked_by("7", "customer"), deps, "order", "cancel", owner="7", status="PENDING")
    check(asked_by("1", "admin"), deps, "price", "override")


async def test_no_one_passes_in_the_demo_alone(deps: Deps, strict: Strict) -> None:
    check(Request("POST", "/", {}), deps, "order", "cancel", owner="7", status="PAID")
    with pytest.raises(Unauthorized):
        check(Request("POST", "/", {}), strict.deps, "order", "cancel", owner="7", status="PENDING")


async def test_a_remembered_verdict_is_the_one_that_rego_gives(deps: Deps) -> None:
    policies, fresh = Policies(deps), read("order")
    acts, states = ("read", "list", "cancel"), ("", "PENDING", "CONFIRMED", "PAID", "FULFILLED", "CANCELED")
    roles = [
        frozenset(r for r, has in zip(sorted(ROLES), mask, strict=True) if has) for mask in product((0, 1), repeat=3)
    ]
    for act, held, owner, status in product(acts, roles, (True, False), states):
        first, again = (policies.verdict("order", act, held, owner, status) for _ in range(2))
        fresh.set_input({"act": act, "roles": sorted(held), "owner": owner, "status": status})
        assert first == again == fresh.eval_rule("data.order.verdict")
