"""
Measures on a cluster with the shop deployed: the time from request to answer from zero, and memory when warm, of
every operation and of functions-framework's hello-world, in turns and in a namespace of their own.

    scripts/python -m benchmarks.cold_start --loader tests/cluster/load-image [--rounds 5] [--out FILE.json]

The services are copies of the shop's, with the shop's database and Redis; hello-world's have the same base image, the
same packages and functions-framework's, the same limits and probes. The loader is that of ``scripts/deploy``. It is run
where cluster addresses can be reached: on a node.
"""

import argparse
import http.client
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.machine import described
from benchmarks.report import write_report
from tools.deploy.cluster import found, kubectl, listed
from tools.deploy.image import LOCAL, _run

HERE = Path(__file__).parent
NAMESPACE = f"cold-start-{int(time.time())}"  # of this run alone: one that is being deleted takes nothing new
SHOP = "pulsecart"
HELLO = "hello-{}"  # one for each operation, asked beside it: what else the machine does touches both
STORES = ("postgresql", "valkey")
GIVE_UP_S = 120.0
WARM_REQUESTS = 300
MEMORY_S = 25.0  # the kubelet looks at memory every 10 to 15 s
MIB = 2**20


def hello_image(loader: str) -> str:
    """Build the image by the shop's own loader; its files have the names of the shop's."""
    image = f"{LOCAL}/pulsecart-hello:{int(time.time())}"
    with tempfile.TemporaryDirectory() as directory:
        package, lock = Path(directory) / "pulsecart" / "processes", Path(directory) / "requirements"
        package.mkdir(parents=True)
        lock.mkdir()
        shutil.copy(HERE / "hello" / "main.py", package / "main.py")
        shutil.copy(HERE / "hello" / "serve.py", package / "function.py")
        for folder in (package, package.parent):
            (folder / "__init__.py").touch()
        shutil.copy(HERE.parent / "requirements" / "runtime.lock", lock / "image.lock")
        _run([*loader.split(), image, directory])
    return image


def manifests(image: str) -> list[dict[str, Any]]:
    """Return copies of the shop's services, settings and secrets, names for its stores, and hello-world's services."""
    shop = listed("services.serving.knative.dev", SHOP)
    labels = (found("namespace", SHOP) or {})["metadata"]["labels"]
    kept = {name: value for name, value in labels.items() if name.startswith("pod-security")}
    made: list[dict[str, Any]] = [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": kept}}
    ]
    for kind in ("secrets", "configmaps", "serviceaccounts"):
        made += [
            _copied(one)
            for one in listed(kind, SHOP)
            if one["metadata"]["name"].startswith("pulsecart-") or kind == "serviceaccounts"
        ]
    for name in STORES:
        target = f"{name}.{SHOP}.svc.cluster.local"
        made.append(
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {"type": "ExternalName", "externalName": target},
            }
        )
    services = [_copied(one) for one in shop]
    made += services
    plain = next(one for one in services if one["metadata"]["name"] == "pay")
    return made + [_hello(plain, HELLO.format(one["metadata"]["name"]), image) for one in services]


def _copied(thing: Mapping[str, Any]) -> dict[str, Any]:
    about = thing["metadata"]
    made = {key: value for key, value in thing.items() if key not in ("metadata", "status")}
    labels = {**about.get("labels", {}), "networking.knative.dev/visibility": "cluster-local"}
    made["metadata"] = {"name": about["name"], "namespace": NAMESPACE, "labels": labels}
    return json.loads(json.dumps(made))  # type: ignore[no-any-return]


def _hello(service: Mapping[str, Any], name: str, image: str) -> dict[str, Any]:
    made = json.loads(json.dumps(service))
    made["metadata"]["name"] = name
    (container,) = made["spec"]["template"]["spec"]["containers"]
    container |= {"image": image, "args": [], "envFrom": [], "env": []}
    return made  # type: ignore[no-any-return]


def ask(address: str, name: str) -> float:
    """Return the seconds from the request to its whole answer."""
    began = time.perf_counter()
    connection = http.client.HTTPConnection(address, timeout=GIVE_UP_S)
    try:
        connection.request("GET", "/healthz", headers={"Host": f"{name}.{NAMESPACE}.svc.cluster.local"})
        answer = connection.getresponse()
        answer.read()
    finally:
        connection.close()
    if answer.status != 200:
        raise RuntimeError(f"{name} answered {answer.status}")
    return time.perf_counter() - began


def wait_for_zero() -> None:
    """Wait until every service's pods are terminating, and a little longer, as these use the machine too."""
    deadline = time.monotonic() + GIVE_UP_S
    while any("deletionTimestamp" not in pod["metadata"] for pod in listed("pods", NAMESPACE)):
        if time.monotonic() > deadline:
            raise RuntimeError(f"after {GIVE_UP_S:.0f} s there are still pods in {NAMESPACE}")
        time.sleep(1)
    time.sleep(2)


def cold(address: str, names: Sequence[str], rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Return the seconds of each operation and of the hello-world beside it; the first to start changes each round."""
    took: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    for turn in range(rounds):
        wait_for_zero()
        for name in names if turn % 2 == 0 else names[::-1]:
            pair = (name, HELLO.format(name))
            seconds_of = {one: round(ask(address, one), 3) for one in (pair if turn % 2 == 0 else pair[::-1])}
            took[name].append((seconds_of[pair[0]], seconds_of[pair[1]]))
        print(f"{turn + 1}/{rounds}", {name: took[name][-1] for name in names}, flush=True)
    return took


def memory(address: str, names: Sequence[str]) -> dict[str, float]:
    """Return the MiB of each one's own container, working set as the kubelet reports it, after WARM_REQUESTS."""
    of: dict[str, float] = {}
    batch = [HELLO.format(names[0]), *names]
    for name in batch:
        for _ in range(WARM_REQUESTS):
            ask(address, name)
    until = time.monotonic() + MEMORY_S
    while time.monotonic() < until:
        for name in batch:  # none goes to zero meanwhile
            ask(address, name)
        time.sleep(1)
    (node, *_) = listed("nodes", "")
    summary = json.loads(kubectl("get", "--raw", f"/api/v1/nodes/{node['metadata']['name']}/proxy/stats/summary"))
    for pod in summary["pods"]:
        if pod["podRef"]["namespace"] == NAMESPACE:
            for container in pod["containers"]:
                if container["name"] == "user-container" and container.get("memory"):
                    name = pod["podRef"]["name"].partition("-deployment-")[0].rpartition("-")[0]
                    of[name] = round(container["memory"]["workingSetBytes"] / MIB, 1)
    return of


def main() -> int:
    parser = argparse.ArgumentParser("benchmarks.cold_start", description=__doc__)
    parser.add_argument("--loader", required=True)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keep", action="store_true", help="do not delete the namespace")
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    names = sorted(one["metadata"]["name"] for one in listed("services.serving.knative.dev", SHOP))
    kubectl(
        "apply",
        "-f",
        "-",
        given=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests(hello_image(options.loader))}),
    )
    try:
        for name in (*names, *map(HELLO.format, names)):
            kubectl("wait", "--for=condition=Ready", f"ksvc/{name}", "-n", NAMESPACE, "--timeout=55s")
        gateway = (found("service", "kourier-internal", "kourier-system") or {})["spec"]["clusterIP"]
        took = cold(gateway, names, options.rounds)
        warm = memory(gateway, names)
    finally:
        if not options.keep:
            kubectl("delete", "namespace", NAMESPACE, "--wait=false")
    write_report({"machine": described(), **_summary(names, took, warm)}, options.out)
    return 0


def _summary(
    names: Sequence[str], took: Mapping[str, Sequence[tuple[float, float]]], warm: Mapping[str, float]
) -> dict[str, Any]:
    plain = warm[HELLO.format(names[0])]
    return {
        "hello": {"cold_s": median(b for name in names for _, b in took[name]), "memory_mib": plain},
        "all": {"cold_ratio": round(median(a / b for name in names for a, b in took[name]), 2)},
        **{
            name: {
                "cold_s": median(a for a, _ in took[name]),
                "cold_ratio": round(median(a / b for a, b in took[name]), 2),
                "memory_mib": warm.get(name),
                "memory_ratio": round(warm[name] / plain, 2) if name in warm else None,
                "pairs_s": took[name],
            }
            for name in names
        },
    }


if __name__ == "__main__":
    sys.exit(main())
