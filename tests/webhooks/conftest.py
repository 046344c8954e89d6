"""A running shop that may call this machine, and scripts/webhooks as a process of its own."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from pulsecart.admin.which_shop import ROOT
from tests.client import until
from tests.local.running_shop import RunningShop
from tests.tokens import bearer

PAID = "ecommerce.order.order.paid.v1"
WITHIN_S = 30.0


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    running = RunningShop(tmp_path_factory.mktemp("partners") / "shop", environ={"OUTGOING_ALLOW": "127.0.0.1"})
    yield running.wait_ready()
    running.stop()


@dataclass
class Said:
    """Holds the output of an ended command, and its exit status."""

    status: int
    out: str
    errors: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class Listener:
    """A running ``listen``, with the lines that it wrote so far."""

    process: asyncio.subprocess.Process
    lines: list[Any] = field(default_factory=list)

    async def line(self) -> Any:
        """The next line, as JSON."""
        assert self.process.stdout
        raw = await asyncio.wait_for(self.process.stdout.readline(), WITHIN_S)
        assert raw, (await self.process.communicate())[1].decode()
        self.lines.append(json.loads(raw))
        return self.lines[-1]

    async def end(self, how: signal.Signals = signal.SIGINT) -> tuple[int | None, str]:
        """Stop it; return its exit status and errors."""
        self.process.send_signal(how)
        _, errors = await asyncio.wait_for(self.process.communicate(), WITHIN_S)
        return self.process.returncode, errors.decode()


@dataclass
class Desk:
    """A partner with the command and an HTTP client."""

    shop: RunningShop
    partner: str

    async def run(self, *arguments: str, stdin: bytes = b"", token: str = "") -> Said:
        process = await self.started(*arguments, token=token)
        out, errors = await asyncio.wait_for(process.communicate(stdin), WITHIN_S)
        assert process.returncode is not None
        return Said(process.returncode, out.decode(), errors.decode())

    @asynccontextmanager
    async def listening(self, *arguments: str) -> AsyncIterator[Listener]:
        """``listen`` with --json; it is killed at the end if it still runs."""
        process = await self.started("listen", "--json", *arguments)
        try:
            yield Listener(process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()

    async def ask(self, method: str, path: str, body: Any = None) -> Any:
        headers = bearer(self.shop.data, self.partner, "partner")
        async with httpx.AsyncClient(base_url=self.shop.url, trust_env=False) as http:
            answered = await http.request(method, f"/api/v1{path}", json=body, headers=headers)
        assert answered.status_code < 300, answered.text
        return answered.json() if answered.content else None

    async def subscribed(self, url: str, **members: Any) -> str:
        body = {"url": url, "eventTypes": ["ecommerce.order.*"], "scheduleS": []} | members
        return str((await self.ask("POST", "/webhook-subscriptions", body))["subscriptionId"])

    async def example(self, subscription: str) -> str:
        path = f"/webhook-subscriptions/{subscription}/example"
        return str((await self.ask("POST", path, {"eventType": PAID}))["messageId"])

    async def until_status(self, message: str, status: str) -> None:
        async def has_it() -> bool:
            return bool((await self.ask("GET", f"/webhook-messages/{message}"))["status"] == status)

        await until(has_it)

    async def started(self, *arguments: str, token: str = "") -> asyncio.subprocess.Process:
        chosen = [] if token else ["--data", str(self.shop.data), "--partner", self.partner]
        environ = {name: value for name, value in os.environ.items() if name != "PULSECART_TOKEN"}
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "tools.webhooks", *chosen, *arguments),
            cwd=ROOT,
            env=environ | ({"PULSECART_TOKEN": token} if token else {}),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )


@pytest.fixture
def desk(shop: RunningShop, request: pytest.FixtureRequest) -> Desk:
    """Provide a partner of this test alone."""
    return Desk(shop, f"partner-of-{abs(hash(request.node.nodeid)) % 10**9}")
