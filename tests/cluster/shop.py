"""Defines the requests and queries of tests to the deployed shop."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from random import randrange
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

import httpx
import psycopg
from websockets.asyncio.client import connect

from tests.cluster.kube import NAMESPACE, kubectl, listed, run, secret, service

LOOK_S = 0.2
OPEN_LETTERS = "SELECT 1 FROM dead_letters WHERE replayed_at IS NULL AND discarded_at IS NULL"
T = TypeVar("T")


async def until(holds: Callable[[], Awaitable[T]], within_s: float, what: str) -> T:
    """Call ``holds`` again and again; return its first true value."""
    try:
        async with asyncio.timeout(within_s):
            while not (value := await holds()):  # noqa: ASYNC110  # a cluster is asked
                await asyncio.sleep(LOOK_S)
            return value
    except TimeoutError:
        raise AssertionError(f"within {within_s:.0f} s: {what}") from None


async def gateway_of(operation: str) -> tuple[str, str]:
    """Return the gateway's URL on the node, and the Host header by which it routes to a public operation."""
    (wanted,) = [one for one in await listed("ksvc") if one["metadata"]["name"] == operation]
    (node, *_) = await listed("nodes")
    address = next(a["address"] for a in node["status"]["addresses"] if a["type"] == "InternalIP")
    ports = (await service("kourier", "kourier-system"))["ports"]
    port = next(p["nodePort"] for p in ports if p["port"] == 80)
    return f"http://{address}:{port}", wanted["status"]["url"].partition("://")[2]


class StreamEvent(NamedTuple):
    """One event of a stream."""

    id: str
    event: str
    data: Any


async def _events(lines: AsyncIterator[str]) -> AsyncIterator[StreamEvent]:
    fields: dict[str, str] = {}
    async for line in lines:
        name, _, value = line.partition(": ")
        if line and name:
            fields[name] = value
        elif not line and "data" in fields:
            yield StreamEvent(fields.get("id", ""), fields.get("event", ""), json.loads(fields["data"]))
        if not line:
            fields = {}


class Cluster:
    """
    Args:
        url: of the gateway; ``host`` is the Host header that leads to the edge.
        http: sends it.

    ``streams`` and ``sockets`` count how often a live stream was opened.
    """

    def __init__(self, url: str, host: str, http: httpx.AsyncClient) -> None:
        self.url = url
        self.host = host
        self.http = http
        self.streams = self.sockets = 0
        self._database_url = ""

    async def buy_later(self, user: int, product: str = "2") -> str:
        """Place an async purchase; return its order's id."""
        body = {"productId": product, "quantity": 1, "userId": user}
        answer = await self.http.post("/api/v1/async/purchase", json=body, headers={"idempotency-key": str(uuid4())})
        assert answer.status_code == 202, answer.text
        return str(answer.json()["orderId"])

    async def status_of(self, order_id: str) -> str | None:
        row = await self.row("SELECT status FROM orders WHERE order_id = %s", order_id)
        return row[0] if row else None

    async def becomes(self, order_id: str, status: str, within_s: float = 60.0) -> None:
        async def there() -> bool:
            return await self.status_of(order_id) == status

        await until(there, within_s, f"order {order_id} is {status}")

    async def gateway_behaves(self, mode: str) -> None:
        """Set the gateway's mode; send no request if it is set already, so that operations at zero stay there."""
        if await self.row("SELECT mode, share FROM simulated_gateway.behaviour") == (mode, 1.0):
            return
        answer = await self.http.put("/api/v1/payments/simulator", json={"mode": mode, "share": 1.0})
        assert answer.status_code == 200, answer.text

    async def news(self, path: str, headers: dict[str, str]) -> AsyncIterator[StreamEvent]:
        """Yield a stream's news; reconnect after a cut with the last id, as a browser's EventSource does."""
        last_id = ""
        while True:
            sent = {**headers, "accept": "text/event-stream"} | ({"last-event-id": last_id} if last_id else {})
            try:
                async with self.http.stream("GET", path, headers=sent) as stream:
                    assert (stream.status_code, stream.headers["content-type"]) == (200, "text/event-stream")
                    self.streams += 1
                    async for reported in _events(stream.aiter_lines()):
                        last_id = reported.id or last_id
                        yield reported
            except (httpx.RemoteProtocolError, httpx.ReadError):
                pass  # cut off without a word
            await asyncio.sleep(LOOK_S)

    async def socket_news(self, order_id: str, headers: dict[str, str]) -> AsyncIterator[StreamEvent]:
        """Yield the order's news over a WebSocket; reconnect after a cut with the last id."""
        gateway = httpx.URL(self.url)
        last: dict[str, str] = {}
        while True:
            opening = connect(
                f"ws://{self.host}/ws/orders",
                host=gateway.host,
                port=gateway.port,
                additional_headers=headers,
                proxy=None,
                open_timeout=30,
            )
            async with opening as socket:
                self.sockets += 1
                await socket.send(json.dumps({"type": "subscribe", "orderId": order_id, **last}))
                async for message in socket:
                    reported = json.loads(message)
                    if reported["event"] != "subscribed":
                        last = {"lastEventId": reported["id"]} if reported.get("id") else last
                        yield StreamEvent(reported.get("id", ""), reported["event"], reported["data"])
            await asyncio.sleep(LOOK_S)

    async def cookie_of(self, user: int) -> dict[str, str]:
        session = await self.http.post("/api/v1/session", json={"userId": user})
        assert session.status_code == 204, session.text
        self.http.cookies.clear()  # only who is given it is signed in
        return {"cookie": session.headers["set-cookie"].partition(";")[0]}

    async def row(self, sql: str, *params: Any) -> Any:
        rows = await self.rows(sql, *params)
        return rows[0] if rows else None

    async def rows(self, sql: str, *params: Any) -> Sequence[Any]:
        async with await psycopg.AsyncConnection.connect(await self.database_url(), autocommit=True) as connection:
            return await (await connection.execute(sql.encode(), params)).fetchall()

    async def database_url(self) -> str:
        """Return the operations' database URL with the pod's address: this machine cannot use the cluster's DNS."""
        if not self._database_url:
            self._database_url = await self._reached("pulsecart-database", "DATABASE_URL", "postgresql")
        return self._database_url

    async def redis_url(self) -> str:
        return await self._reached("pulsecart-redis", "REDIS_URL", "valkey")

    async def _reached(self, of: str, key: str, name: str) -> str:
        (pod,) = await self.pods(f"app.kubernetes.io/name={name}")
        return (await secret(of, key)).replace(f"@{name}", f"@{pod['status']['podIP']}")

    async def pods(self, selector: str, namespace: str = NAMESPACE) -> list[dict[str, Any]]:
        """Return the running pods that are not terminating."""
        found = await listed("pods", selector, namespace)
        return [p for p in found if p["status"]["phase"] == "Running" and "deletionTimestamp" not in p["metadata"]]

    async def pods_of(self, operation: str) -> list[dict[str, Any]]:
        return await self.pods(f"serving.knative.dev/service={operation}")

    async def awake(self) -> set[str]:
        """Return the operations that have a pod which is not terminating."""
        found = await self.pods("serving.knative.dev/service")
        return {pod["metadata"]["labels"]["serving.knative.dev/service"] for pod in found}

    async def at_zero(self, within_s: float = 240.0) -> None:
        """Waits until no operation has a pod."""

        async def asleep() -> bool:
            return not await self.awake()

        await until(asleep, within_s, "every operation is at zero")

    async def kill(self, selector: str, namespace: str = NAMESPACE) -> None:
        """Kill every matching pod at once (SIGKILL)."""
        await kubectl("delete", "pod", "-l", selector, "--grace-period=0", "--force", namespace=namespace)

    async def sale(self, *options: str) -> str:
        """Run ``scripts/sale`` through the gateway and return its report; fail if its own checks fail."""
        return await run(
            sys.executable, "-m", "tools.crowd", "--url", self.url, "--host", self.host, "--no-audit", *options
        )

    async def desk(self, *asked: str) -> str:
        """Run ``scripts/dead-letters`` and return its output."""
        return await run(
            sys.executable, "-m", "pulsecart.admin.dead_letters", "--database-url", await self.database_url(), *asked
        )

    async def mended(self) -> None:
        """Repair the gateway, replay the events that failed meanwhile, and require a clean audit."""
        await self.gateway_behaves("approve")
        for last in (False, True):
            if last or await self.row(OPEN_LETTERS):
                await self.replayed()
            try:
                await self.audited()
            except AssertionError:
                if last:
                    raise
            else:
                break

    async def replayed(self) -> None:
        await self.desk("replay", "--all")
        await self.becomes(await self.buy_later(randrange(10**9)), "FULFILLED")  # any commit wakes relay

    async def audited(self) -> None:
        await run(
            sys.executable,
            "-m",
            "pulsecart.admin.audit",
            "--database-url",
            await self.database_url(),
            "--redis-url",
            await self.redis_url(),
            "--settle-timeout",
            "90",
        )
