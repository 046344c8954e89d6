"""Compares every event that these tests emit with its contract, and provides a shop outside of the demo."""

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
    """Wait longer for Redis, so that a slow machine does not replace an expected copy by PostgreSQL."""
    monkeypatch.setattr(redis_breaker, "LOOK_S", 20.0)


class Strict(Client):
    """Sends requests to a shop that requires tokens."""

    def as_buyer(self, user: str) -> dict[str, str]:
        """Return headers of a signed-in buyer."""
        session = issue_session(user, self.deps.settings, self.deps.clock.now())
        return {"cookie": f"pulsecart_session={session}"}


@pytest.fixture
async def strict(deps: Deps) -> AsyncIterator[Strict]:
    """Provide the same shop outside of the demo."""
    opened = open_deps(replace(deps.settings, accept_unsigned_buyers=False))
    yield Strict(opened)
    await close_deps(opened)
