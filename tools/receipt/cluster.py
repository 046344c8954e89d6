"""Reads a cluster's API through ``kubectl proxy``, which listens on a local port; needs only kubectl and KUBECONFIG."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import ClientError, ClientSession, ClientTimeout

from tools.receipt.pods import OPERATION

ASK_S = 10.0
LINE_MAX = 4 * 2**20  # one pod


class NoCluster(Exception):
    """The cluster cannot be used; the message has one or two sentences: the problem, and what to do."""


class Cluster:
    """
    Args:
        session: its base URL is the proxy's address.
    """

    def __init__(self, session: ClientSession, namespace: str) -> None:
        self._session = session
        self._there = f"/api/v1/namespaces/{namespace}"
        self.namespace = namespace

    async def pods(self) -> tuple[list[dict[str, Any]], str]:
        """Return every pod of an operation, and the resource version from which to continue watching."""
        reply = await self._get(f"{self._there}/pods", {"labelSelector": OPERATION})
        return reply["items"], reply["metadata"]["resourceVersion"]

    async def events(self) -> list[dict[str, Any]]:
        """Return the cluster's events, by default those of the last hour."""
        return list((await self._get(f"{self._there}/events", {}))["items"])

    async def operations(self) -> list[str]:
        """
        Return the names of the Knative Services.

        Raises:
            NoCluster: there are no Knative Services, or Knative is not installed.
        """
        where = f"/apis/serving.knative.dev/v1/namespaces/{self.namespace}/services"
        names = [one["metadata"]["name"] for one in (await self._get(where, {}, "Knative Serving"))["items"]]
        if not names:
            raise NoCluster(
                f"Namespace {self.namespace} has no Knative Service. Deploy the shop (./scripts/deploy), or give "
                "--namespace."
            )
        return sorted(names)

    async def changes(self, version: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Yield (ADDED, MODIFIED or DELETED, the pod) until the server ends the watch or ``version`` has expired."""
        query = {"labelSelector": OPERATION, "watch": "1", "resourceVersion": version}
        limit = ClientTimeout(total=None, sock_connect=ASK_S)
        try:
            async with self._session.get(f"{self._there}/pods", params=query, timeout=limit) as response:
                async for line in response.content:
                    event = json.loads(line)
                    if event["type"] in ("ADDED", "MODIFIED", "DELETED"):
                        yield event["type"], event["object"]
                    else:
                        return  # ERROR: the version has expired
        except (ClientError, TimeoutError):
            return

    async def metrics(self, pod: str, port: int) -> str:
        """Return the pod's reply to ``/metrics`` on this port; empty without a reply."""
        try:
            async with self._session.get(f"{self._there}/pods/{pod}:{port}/proxy/metrics") as response:
                return await response.text() if response.status == 200 else ""
        except (ClientError, TimeoutError):
            return ""

    async def _get(self, path: str, params: Mapping[str, str], what: str = "the cluster") -> Any:
        try:
            async with self._session.get(path, params=params) as response:
                if response.status == 404:
                    raise NoCluster(f"This cluster has no {what}: {path} is not found.")
                if response.status >= 300:
                    raise NoCluster(f"The cluster rejects {path}: {await response.text()}")
                return await response.json()
        except (ClientError, TimeoutError) as why:
            raise NoCluster(f"The cluster did not answer {path}: {why!r}") from None


@asynccontextmanager
async def connected(namespace: str) -> AsyncIterator[Cluster]:
    """
    Raises:
        NoCluster: kubectl or KUBECONFIG is missing, or the cluster does not answer.
    """
    await _reachable()
    proxy = await asyncio.create_subprocess_exec(
        "kubectl", "proxy", "--port=0", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert proxy.stdout is not None  # noqa: S101  # stdout=PIPE is set above
    try:
        first_line = (await proxy.stdout.readline()).decode()  # Starting to serve on 127.0.0.1:41683
        address = first_line.rpartition(" ")[2].strip()
        if not address:
            raise NoCluster("`kubectl proxy` ended at once; run it to see why.")
        limit = ClientTimeout(total=ASK_S)
        async with ClientSession(f"http://{address}", timeout=limit, read_bufsize=LINE_MAX) as session:
            yield Cluster(session, namespace)
    finally:
        if proxy.returncode is None:
            proxy.terminate()
        await proxy.wait()


async def _reachable() -> None:
    try:
        process = await asyncio.create_subprocess_exec(
            *("kubectl", "version", "--request-timeout=5s"),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except FileNotFoundError:
        raise NoCluster("kubectl is not installed: https://kubernetes.io/docs/tasks/tools/") from None
    _, output = await process.communicate()
    if process.returncode:
        why = output.decode(errors="replace").strip().splitlines()
        raise NoCluster(f"No cluster answers kubectl: {why[-1] if why else 'it printed nothing.'} Is KUBECONFIG set?")
