"""Calls operations by their routes, in this process, and delivers the log's events to them: a shop without a host."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg

from pulsecart.local.issuer import token
from pulsecart.processes import registry
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import CloudEvent
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.operation import Operation
from pulsecart.serving.router import Router
from tests.contracts.described import check_described
from tools.messages import MESSAGES


@dataclass
class Answered:
    status: int
    body: Any
    headers: Mapping[str, str]


@dataclass
class Client:
    """Sends requests without credentials, as in the demo; where required, as an admin or as the test's caller."""

    deps: Deps
    operations: dict[str, Operation] = field(default_factory=registry.load_all)

    def __post_init__(self) -> None:
        self._router = Router(self.operations.values())

    async def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Answered:
        path, _, query = path.partition("?")
        found = self._router.find(method, path)
        assert found, f"no route {method} {path}"
        entry, params = found
        raw = body if isinstance(body, bytes) else json.dumps(body).encode() if body is not None else b""
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        if not entry.route.allow.unsigned and not names.keys() & {"authorization", "cookie"}:
            names |= self.signed("an-admin", "admin")
        request = Request(method, path, names, raw, query, params)
        reply = await entry.operation.respond(entry.route, request, self.deps)
        check_described(method, entry.route.path, reply)
        return _answered(reply)

    def signed(self, user: str, *roles: str) -> dict[str, str]:
        """Return headers of a caller with these roles."""
        jwks, ttl = Path(self.deps.settings.jwt_jwks_url.removeprefix("file://")), timedelta(hours=1)
        return {"authorization": f"Bearer {token(jwks, user, roles, ttl, 'pulsecart', self.deps.clock.now())}"}

    async def buy(
        self, product: str | int = 1, user: str | int = 7, qty: int = 1, key: str = "", path: str = "sync"
    ) -> Answered:
        headers = {"idempotency_key": key} if key else {}
        body = {"productId": product, "quantity": qty, "userId": user}
        return await self.ask("POST", f"/api/v1/{path}/purchase", body, **headers)

    async def restock(self, product: str | int, units: int) -> None:
        answered = await self.ask("PUT", f"/api/v1/sync/stock/{product}/reset?stock={units}")
        assert answered.status == 200, answered

    async def handle_event(self, operation: str, event: CloudEvent) -> int:
        return (await self.operations[operation].handle_event(event, self.deps)).status

    async def log(self, *types: str) -> list[CloudEvent]:
        """Return every event so far, in the log's order, of these types or of all."""
        async with self.deps.db.transaction() as tx:
            rows = await tx.rows(
                "SELECT id, source, type, time, subject, dataschema, data, extensions, partitionkey FROM outbox"
                " ORDER BY position"
            )
        return [_event(row) for row in rows if not types or row[2] in types]

    async def row(self, sql: str, *params: Any) -> Any:
        async with self.deps.db.transaction() as tx:
            return await tx.row(sql, params)

    async def rows(self, sql: str, *params: Any) -> list[Any]:
        async with self.deps.db.transaction() as tx:
            return await tx.rows(sql, params)


def _answered(reply: Reply) -> Answered:
    return Answered(reply.status, json.loads(reply.body) if reply.body else None, dict(reply.headers))


def _event(row: tuple[Any, ...]) -> CloudEvent:
    id, source, type, time, subject, dataschema, data, extensions, key = row
    named = {**extensions, "partitionkey": key}
    return CloudEvent(
        id=id, source=source, type=type, time=time, subject=subject, dataschema=dataschema, data=data, extensions=named
    )


KINDS = {message.__name__: message.TYPE for message in MESSAGES}


def connect(url: str) -> psycopg.Connection[Any]:
    return psycopg.connect(url, autocommit=True)


async def until(holds: Callable[[], Awaitable[Any]], within_s: float = 20.0) -> Any:
    """Call ``holds`` again and again; return its first true value."""
    async with asyncio.timeout(within_s):
        while not (value := await holds()):  # noqa: ASYNC110  # what is waited for has no event of its own
            await asyncio.sleep(0.005)
    return value
