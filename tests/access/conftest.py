"""Starts a shop that requires tokens on a real server with every operation, and makes tokens of each role."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from functions.edge.main import edge_app
from pulsecart.broker.local import LocalBroker
from pulsecart.broker.manifests.eventing import EVENTING_DIR
from pulsecart.local import issuer as dev_issuer
from pulsecart.processes import registry
from pulsecart.processes.host import Host
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.serving.replies import EVENTS
from tests.edge.conftest import served

HOUR = timedelta(hours=1)


@dataclass
class ServedShop:
    """Serves the whole shop over HTTP; its broker dispatches nothing, so that a PENDING order stays PENDING."""

    http: httpx.AsyncClient
    jwks: Path
    host: Host
    deps: Deps

    def token(self, user: str, *roles: str, ttl: timedelta = HOUR, audience: str = "pulsecart") -> dict[str, str]:
        made = dev_issuer.token(self.jwks, user, roles, ttl, audience, datetime.now(UTC))
        return {"authorization": f"Bearer {made}"}

    async def status(self, method: str, path: str, headers: dict[str, str], body: Any = None) -> httpx.Response:
        """Return the head of the response; an endless body is not awaited."""
        sent = {"accept": "application/json", **headers}
        async with self.http.stream(method, path, headers=sent, json=body or {}) as response:
            if response.headers.get("content-type") != EVENTS:
                await response.aread()
            return response


async def served_shop(deps: Deps, jwks: Path) -> AsyncIterator[ServedShop]:
    operations = registry.load_all()
    host = Host(deps, list(operations.values()), LocalBroker(operations, EVENTING_DIR, deps), edge_app(deps))
    async with (
        served(host, deps.before_shutdown) as url,
        httpx.AsyncClient(base_url=url, timeout=20, trust_env=False) as http,
    ):
        yield ServedShop(http, jwks, host, deps)


@pytest.fixture
async def open_shop(deps: Deps, jwks: Path) -> AsyncIterator[ServedShop]:
    """Serve a shop that requires tokens, as outside of the demo."""
    opened = open_deps(replace(deps.settings, accept_unsigned_buyers=False))
    async for open_shop in served_shop(opened, jwks):
        yield open_shop
    await close_deps(opened)


@pytest.fixture
async def demo(deps: Deps, jwks: Path) -> AsyncIterator[ServedShop]:
    """Serve a demo, as ./scripts/up starts it."""
    async for open_shop in served_shop(deps, jwks):
        yield open_shop
