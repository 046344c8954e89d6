"""Checks a caller's rights on a resource by pulsecart/shop/policies/*.rego; caches each verdict in the process."""

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
REMEMBERED = 1024  # cached verdicts; a question has few distinct values, never an id


def check(request: Request, deps: Deps, policy: str, act: str, *, owner: str = "", status: str = "") -> None:
    """
    Check that the caller may do ``act`` to a resource; the demo permits callers that are not signed in.

    Args:
        policy: name of a file in pulsecart/shop/policies, e.g. ``order``.
        owner: the resource's owner.
        status: the resource's status, if the policy uses it.

    Raises:
        Forbidden: the policy's verdict is not ``allowed``; the verdict is the problem's type.
        Unauthorized: the caller is unknown, and this is not the demo.
    """
    caller = request.caller
    if caller is None:
        if deps.settings.accept_unsigned_buyers:
            return
        raise Unauthorized("not-signed-in", NOT_SIGNED_IN)
    question = (policy, act, caller.roles, caller.subject == owner, status)
    verdict = deps.singleton(Policies).verdict(*question)
    if verdict != "allowed":
        raise _refusal(verdict)


def _refusal(verdict: str) -> Forbidden:
    match verdict:
        case "not-yours":
            return Forbidden("not-yours", "This belongs to someone else.")
        case "not-pending":
            return Forbidden(
                "not-pending",
                "You can cancel an order only while it is PENDING, and it no longer is. Ask the shop to cancel it.",
            )
        case _:
            return Forbidden("not-allowed", "Your token or session does not allow this.")


class Policies:
    """Evaluates policies and caches verdicts; one per process, imports the library at the first uncached question."""

    def __init__(self, deps: Deps) -> None:
        self._engines: dict[str, Engine] = {}
        self._known: dict[tuple[str, str, frozenset[str], bool, str], str] = {}

    def verdict(self, policy: str, act: str, roles: frozenset[str], owner: bool, status: str) -> str:
        """Return ``allowed`` or the type of the problem."""
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
    """Create an engine with the given files of pulsecart/shop/policies."""
    from regorus import Engine

    engine = Engine()
    for policy in policies:
        engine.add_policy(policy, (FOLDER / f"{policy}.rego").read_text())
    return engine
