"""Whatever these tests make the operations emit keeps its contract; and the shop as it is outside of the demo."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from pulsecart.runtime import redis_breaker
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.serving.tokens import issue_session
from tests.client import Client
from tests.contracts.emitted import _contractual_outbox

__all__ = ["_contractual_outbox"]


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A slow machine is no reason to ask PostgreSQL where a test means a copy."""
    monkeypatch.setattr(redis_breaker, "LOOK_S", 20.0)


class Strict(Client):
    """A client whose shop requires tokens."""

    def as_buyer(self, user: str) -> dict[str, str]:
        """Headers of a signed-in buyer."""
        session = issue_session(user, self.deps.settings, self.deps.clock.now())
        return {"cookie": f"pulsecart_session={session}"}


@pytest.fixture
async def strict(deps: Deps) -> AsyncIterator[Strict]:
    """The same shop, without the demo's trust."""
    opened = open_deps(replace(deps.settings, accept_unsigned_buyers=False))
    yield Strict(opened)
    await close_deps(opened)
