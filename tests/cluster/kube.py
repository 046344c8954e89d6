"""Queries the cluster through one ``kubectl proxy``, as a call of kubectl costs 0.1 s of CPU; changes it by kubectl."""

import asyncio
import atexit
import subprocess
from base64 import b64decode
from functools import cache
from typing import Any

import httpx

NAMESPACE = "pulsecart"
LISTS = {
    "brokers": "/apis/eventing.knative.dev/v1/namespaces/{}/brokers",
    "ksvc": "/apis/serving.knative.dev/v1/namespaces/{}/services",
    "nodes": "/api/v1/nodes",
    "pingsources": "/apis/sources.knative.dev/v1/namespaces/{}/pingsources",
    "pods": "/api/v1/namespaces/{}/pods",
}
ANSWER_S = 30.0


async def run(*command: str, given: str | None = None) -> str:
    """Return standard output; fail with all output of a command whose exit status is not 0."""
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE if given is not None else asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate(given.encode() if given is not None else None)
    assert process.returncode == 0, f"{' '.join(command)}\n{out.decode()}{err.decode()}"
    return out.decode()


async def kubectl(*arguments: str, namespace: str = NAMESPACE) -> str:
    return await run("kubectl", "-n", namespace, *arguments)


async def listed(kind: str, selector: str = "", namespace: str = NAMESPACE) -> list[dict[str, Any]]:
    """
    Args:
        kind: a key of LISTS.
        selector: of labels.
    """
    found: list[dict[str, Any]] = (await _got(LISTS[kind].format(namespace), labelSelector=selector))["items"]
    return found


async def service(name: str, namespace: str) -> dict[str, Any]:
    """Return the spec of a core Service."""
    spec: dict[str, Any] = (await _got(f"/api/v1/namespaces/{namespace}/services/{name}"))["spec"]
    return spec


async def secret(name: str, key: str) -> str:
    return b64decode((await _got(f"/api/v1/namespaces/{NAMESPACE}/secrets/{name}"))["data"][key]).decode()


async def _got(path: str, **params: str) -> Any:
    answer = await asyncio.to_thread(_api().get, path, params=params)
    assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
    return answer.json()


@cache
def _api() -> httpx.Client:
    """Start the proxy, which ends with this process."""
    proxy = subprocess.Popen(("kubectl", "proxy", "--port=0"), stdout=subprocess.PIPE, text=True)
    assert proxy.stdout
    address = proxy.stdout.readline().rpartition(" ")[2].strip()  # Starting to serve on 127.0.0.1:41683
    client = httpx.Client(base_url=f"http://{address}", timeout=ANSWER_S, trust_env=False)
    atexit.register(_end, proxy, client)
    return client


def _end(proxy: "subprocess.Popen[str]", client: httpx.Client) -> None:
    client.close()
    with proxy:
        proxy.terminate()
