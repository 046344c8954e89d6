"""Waits until all applied objects are Ready, and reports progress and causes of delay."""

import time
from collections.abc import Callable, Collection, Sequence
from functools import partial
from typing import TypeVar

from tools.deploy.cluster import CannotDeploy, Object, condition, listed, named
from tools.deploy.time_budget import time_budget
from tools.deploy.why import reasons

KINDS = {
    "Service": "services.serving.knative.dev",
    "Broker": "brokers.eventing.knative.dev",
    "Trigger": "triggers.eventing.knative.dev",
    "PingSource": "pingsources.sources.knative.dev",
    "StatefulSet": "statefulsets.apps",
    "Job": "jobs.batch",
}
LOOK_S = 1.0
PATIENCE_S = 15.0  # a cold cluster takes as long to start its first pods: report no causes before
AGAIN_S = 5.0
WHY_S = 60.0
Say = Callable[[str], None]
Answer = TypeVar("Answer")


def watched(documents: Sequence[Object]) -> set[str]:
    """Return the names of the objects to wait for; a core Service is Ready at once."""
    return {named(one) for one in documents if one["kind"] in KINDS and one["apiVersion"] != "v1"}


def is_ready(thing: Object) -> bool:
    if thing["kind"] == "StatefulSet":
        status = thing.get("status") or {}
        return bool(
            status.get("observedGeneration") == thing["metadata"]["generation"]
            and status.get("updatedReplicas") == status.get("readyReplicas") == thing["spec"].get("replicas", 1)
        )
    if thing["kind"] == "Job":
        return bool(condition(thing, "Complete")["status"] == "True")
    seen = (thing.get("status") or {}).get("observedGeneration") == thing["metadata"]["generation"]
    return bool(seen and condition(thing)["status"] == "True")


def wait(names: Collection[str], namespace: str, say: Say) -> None:
    """
    Args:
        names: as ``watched`` returns them.

    Raises:
        CannotDeploy: an object is not Ready in the time left; the message has the causes that the cluster reports.
    """
    began = looked = time.monotonic()
    ready: set[str] = set()
    reported: set[str] = set()
    before: list[str] = []
    things: dict[str, Object] | None = None
    while True:
        things = _asked(partial(_there, namespace), things)
        now = {name for name in names if name in things and is_ready(things[name])}
        if now - ready:
            say(f"ready {len(now)} of {len(names)}: {', '.join(sorted(now - ready))}")
        ready = now
        if ready == set(names):
            return
        waiting = [thing for name, thing in sorted(things.items()) if name in names and name not in ready]
        elapsed = time.monotonic() - began
        if time_budget.left_s <= 0:
            time_budget.begin(WHY_S)  # extra time to query the causes
            raise CannotDeploy(_too_late(waiting, reasons(waiting, namespace), elapsed))
        if elapsed > PATIENCE_S and time.monotonic() - looked > AGAIN_S:
            causes = _asked(partial(reasons, waiting, namespace), before)
            for cause in causes:
                if cause in before and cause not in reported:
                    say(f"  {cause}")
                    reported.add(cause)
            before, looked = causes, time.monotonic()
        time.sleep(LOOK_S)


def _there(namespace: str) -> dict[str, Object]:
    return {named(one): one for one in listed(",".join(KINDS.values()), namespace)}


def _asked(question: Callable[[], Answer], before: Answer | None) -> Answer:
    """Return the query's answer; after the time limit, the previous answer, so that it is still reported."""
    try:
        return question()
    except CannotDeploy:
        if time_budget.left_s > 0 or before is None:
            raise
        return before


def _too_late(waiting: Sequence[Object], causes: Sequence[str], elapsed: float) -> str:
    names = ", ".join(named(thing) for thing in waiting)
    return "\n  ".join([f"after {elapsed:.0f} s not Ready: {names}", *causes])
