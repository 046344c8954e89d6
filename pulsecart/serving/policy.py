"""What a caller may do to a thing: pulsecart/shop/policies/*.rego decide, each distinct question once in a process."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import Forbidden, Unauthorized
from pulsecart.serving.auth import NOT_SIGNED_IN
from pulsecart.serving.http import Request

if TYPE_CHECKING:
    from regorus import Engine

FOLDER = Path(__file__).parents[2] / "pulsecart" / "shop" / "policies"
REMEMBERED = 1024  # a question is made of few values, never of an id


def check(request: Request, deps: Deps, policy: str, act: str, *, owner: str = "", status: str = "") -> None:
    """
    Args:
        policy: a file of pulsecart/shop/policies, ``order``.
        owner: whose the thing is.
        status: the thing's, where the policy asks for it.

    Raises:
        Forbidden: the policy's verdict is not ``allowed``; it is the problem's type.
        Unauthorized: nobody known asks, and this is not the demo, which asks the unsigned nothing.
    """
    caller = request.caller
    if caller is None:
        if deps.settings.accept_unsigned_buyers:
            return
        raise Unauthorized("not-signed-in", NOT_SIGNED_IN)
    question = (policy, act, caller.roles, caller.subject == owner, status)
    verdict = deps.one(Policies).verdict(*question)
    if verdict != "allowed":
        raise _refusal(verdict)


def _refusal(verdict: str) -> Forbidden:
    match verdict:
        case "not-yours":
            return Forbidden("not-yours", "This belongs to another buyer.")
        case "not-pending":
            return Forbidden(
                "not-pending",
                "You may cancel it while it is PENDING; it is further. Ask the shop to cancel it.",
            )
        case _:
            return Forbidden("not-allowed", "What you are signed in with may not do this.")


class Policies:
    """One per process. The library is loaded by the first question."""

    def __init__(self, deps: Deps) -> None:
        self._engines: dict[str, Engine] = {}
        self._known: dict[tuple[str, str, frozenset[str], bool, str], str] = {}

    def verdict(self, policy: str, act: str, roles: frozenset[str], owner: bool, status: str) -> str:
        """``allowed``, or the type of the problem."""
        question = (policy, act, roles, owner, status)
        known = self._known.get(question)
        if known is None:
            if len(self._known) >= REMEMBERED:
                self._known.clear()
            known = self._known[question] = self._asked(
                policy, {"act": act, "roles": sorted(roles), "owner": owner, "status": status}
            )
        return known

    def _asked(self, policy: str, about: Mapping[str, Any]) -> str:
        engine = self._engines.get(policy)
        if engine is None:
            engine = self._engines[policy] = read(policy)
        engine.set_input(about)
        return str(engine.eval_rule(f"data.{policy}.verdict"))


def read(*policies: str) -> "Engine":
    """An engine with these files of pulsecart/shop/policies."""
    from regorus import Engine

    engine = Engine()
    for policy in policies:
        engine.add_policy(policy, (FOLDER / f"{policy}.rego").read_text())
    return engine
