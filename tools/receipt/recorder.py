"""Records a cluster at work: a pod's counters end with it, and no object states the exact time when it was Ready."""

import asyncio
import time
from collections.abc import Callable

from tools.receipt.cluster import Cluster, NoCluster
from tools.receipt.observed import Looked, Observation, PodSeen
from tools.receipt.pods import counted, seen

QUEUE_PROXY, OURS = 9091, 8080
PAUSE_S = 0.5


class Recorder:
    """
    Args:
        note: receives every observation.
        every_s: seconds between two readings of each pod's counters. An idle pod exists for longer than that before it
            is removed, so its last counts are read.
    """

    def __init__(self, cluster: Cluster, note: Callable[[Observation], None], every_s: float) -> None:
        self._cluster = cluster
        self._note = note
        self._every_s = every_s
        self._pods: dict[str, PodSeen] = {}
        self._gone: set[str] = set()
        self._silent: set[str] = set()  # operations whose queue-proxy has no metrics: not read again

    async def run(self) -> None:
        """Record until cancelled."""
        self._note(Looked(time.time()))
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._watch())
                both.create_task(self._read())
        finally:
            self._note(Looked(time.time()))

    async def _watch(self) -> None:
        first = True
        while True:
            try:
                pods, version = await self._cluster.pods()
            except NoCluster:
                if first:
                    raise
                await asyncio.sleep(PAUSE_S)  # an API server may be restarting
                continue
            names = {pod["metadata"]["name"] for pod in pods}
            for missed in [one for name, one in self._pods.items() if name not in names]:
                self._saw(PodSeen(time.time(), missed.pod, missed.operation, missed.created, leaving=True, gone=True))
            for pod in pods:
                self._saw(seen(pod, time.time(), new=not first and pod["metadata"]["name"] not in self._pods))
            first = False
            async for kind, pod in self._cluster.changes(version):
                self._saw(seen(pod, time.time(), gone=kind == "DELETED", new=kind == "ADDED"))
            await asyncio.sleep(PAUSE_S)

    def _saw(self, pod: PodSeen) -> None:
        if pod.pod in self._gone:
            return
        before = self._pods.get(pod.pod)
        changed = before is None or _state(before) != _state(pod)
        if pod.gone:
            self._pods.pop(pod.pod, None)
            self._gone.add(pod.pod)
        else:
            self._pods[pod.pod] = pod
        if changed:
            self._note(pod)

    async def _read(self) -> None:
        while True:
            began = time.monotonic()
            await asyncio.gather(*(self._count(pod) for pod in list(self._pods.values()) if pod.ready))
            self._note(Looked(time.time()))
            await asyncio.sleep(max(0.1, self._every_s - (time.monotonic() - began)))

    async def _count(self, pod: PodSeen) -> None:
        proxy = ""
        if pod.operation not in self._silent:
            proxy = await self._cluster.metrics(pod.pod, QUEUE_PROXY)
            if not proxy and not pod.leaving:
                self._silent.add(pod.operation)
        found = counted(pod.pod, time.time(), proxy, await self._cluster.metrics(pod.pod, OURS))
        if found.requests is not None or found.events is not None:
            self._note(found)


def _state(pod: PodSeen) -> str:
    """Return the pod's state; a terminating pod is "leaving" whether or not it is still Ready."""
    return "gone" if pod.gone else "leaving" if pod.leaving else "ready" if pod.ready else "starting"
