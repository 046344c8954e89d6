"""Converts Kubernetes objects to observations."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from msgspec.structs import replace
from prometheus_client.parser import text_string_to_metric_families

from tools.receipt.observed import Counted, PodSeen

OPERATION = "serving.knative.dev/service"
REQUESTS_OF_QUEUE_PROXY = ("kn_serving_invocation_duration_seconds_count", "revision_app_request_count")
REQUESTS_OF_OURS = ("http_requests_total", "event_deliveries_total")
EVENTS_OF_OURS = ("event_deliveries_total",)

Object = Mapping[str, Any]


def seen(pod: Object, at: float, *, gone: bool = False, new: bool = False) -> PodSeen:
    """
    Args:
        new: the pod was created just now: ``at`` is more exact than its timestamp in whole seconds.
    """
    about = pod["metadata"]
    return PodSeen(
        at=at,
        pod=about["name"],
        operation=about["labels"][OPERATION],
        created=at if new else seconds(about["creationTimestamp"]),
        ready=_since_ready(pod) is not None,
        leaving="deletionTimestamp" in about,
        gone=gone or pod.get("status", {}).get("phase") in ("Succeeded", "Failed"),
        exact=new,
    )


def remembered(pods: Iterable[Object], events: Iterable[Object]) -> list[PodSeen]:
    """
    Reconstruct the past from existing pods and from events about pods, including deleted ones.

    For a deleted pod no object states when it was Ready; the start of its last container is the nearest time.
    """
    found: list[PodSeen] = []
    here = {}
    for pod in pods:
        here[pod["metadata"]["name"]] = pod
        ready = _since_ready(pod)
        found.append(seen(pod, ready if ready is not None else seconds(pod["metadata"]["creationTimestamp"])))
    for name, moments in _of_pods(events).items():
        if name in here:
            continue
        created = min(at for _, at in moments)
        born = PodSeen(at=created, pod=name, operation=_operation_of(name), created=created)
        started = [at for reason, at in moments if reason == "Started"]
        killed = [at for reason, at in moments if reason == "Killing"]
        found.append(born)
        if len(started) > 1:
            found.append(replace(born, at=max(started), ready=True))
        if killed:
            found.append(replace(born, at=max(killed), ready=True, leaving=True, gone=True))
    return sorted(found, key=lambda one: one.at)


def counted(pod: str, at: float, queue_proxy: str = "", ours: str = "") -> Counted:
    """
    Args:
        queue_proxy, ours: the replies of both containers to ``/metrics``; empty without a reply.
    """
    requests = _sum(queue_proxy, REQUESTS_OF_QUEUE_PROXY)
    return Counted(
        at=at,
        pod=pod,
        requests=requests if requests is not None else _sum(ours, REQUESTS_OF_OURS),
        events=_sum(ours, EVENTS_OF_OURS),
    )


def seconds(timestamp: str) -> float:
    """Convert an RFC 3339 timestamp to Unix time."""
    return datetime.fromisoformat(timestamp).timestamp()


def _since_ready(pod: Object) -> float | None:
    for one in pod.get("status", {}).get("conditions", ()):
        if one["type"] == "Ready" and one["status"] == "True":
            return seconds(one["lastTransitionTime"])
    return None


def _of_pods(events: Iterable[Object]) -> dict[str, list[tuple[str, float]]]:
    moments: dict[str, list[tuple[str, float]]] = {}
    for event in events:
        about = event["involvedObject"]
        at = event.get("firstTimestamp") or event.get("eventTime")
        if about.get("kind") == "Pod" and at and "-deployment-" in about["name"]:
            whole_s = float(int(seconds(at)))  # only some have fractions of a second: compare whole seconds
            moments.setdefault(about["name"], []).append((event["reason"], whole_s))
    return moments


def _operation_of(pod: str) -> str:
    """``project-orders-00001-deployment-5868dd477b-dghv7`` → ``project-orders``"""
    return pod.partition("-deployment-")[0].rpartition("-")[0]


def _sum(exposition: str, names: Iterable[str]) -> int | None:
    """Sum the metrics with these names; None if none is present, 0 if nothing was counted yet."""
    values = [value for name, value in _samples(exposition) if name in names]
    return round(sum(values)) if values else None


def _samples(exposition: str) -> Iterator[tuple[str, float]]:
    for family in text_string_to_metric_families(exposition):
        if family.type == "counter" and not family.samples:
            yield f"{family.name}_total", 0.0
        for sample in family.samples:
            yield sample.name, sample.value
