"""Converts the data of Kubernetes and Prometheus to observations."""

from typing import Any

from tools.receipt.observed import Counted, PodSeen
from tools.receipt.pods import counted, remembered, seconds, seen

POD = "project-orders-00002-deployment-5868dd477b-bp69z"
NOON = seconds("2026-11-21T12:00:00Z")
QUEUE_PROXY = """\
# HELP kn_serving_invocation_duration_seconds The duration of task execution
# TYPE kn_serving_invocation_duration_seconds histogram
kn_serving_invocation_duration_seconds_bucket{http_response_status_code="200",le="+Inf"} 40
kn_serving_invocation_duration_seconds_sum{http_response_status_code="200"} 1.5
kn_serving_invocation_duration_seconds_count{http_response_status_code="200"} 40
kn_serving_invocation_duration_seconds_count{http_response_status_code="503"} 2
"""
OURS = """\
# HELP http_requests_total Requests answered
# TYPE http_requests_total counter
http_requests_total{operation="orders",route="/api/v1/orders",status="2xx"} 7.0
# HELP event_deliveries_total Events handed to an operation
# TYPE event_deliveries_total counter
event_deliveries_total{operation="orders",outcome="done"} 30.0
event_deliveries_total{operation="orders",outcome="retry"} 1.0
"""
NOTHING_YET = """\
# HELP event_deliveries_total Events handed to an operation
# TYPE event_deliveries_total counter
"""


def pod(*, ready: str = "", leaving: str = "", phase: str = "Running") -> dict[str, Any]:
    about = {
        "name": POD,
        "labels": {"serving.knative.dev/service": "project-orders"},
        "creationTimestamp": "2026-11-21T12:00:00Z",
    }
    conditions = [{"type": "Ready", "status": "True", "lastTransitionTime": ready}] if ready else []
    return {
        "metadata": about | ({"deletionTimestamp": leaving} if leaving else {}),
        "status": {"phase": phase, "conditions": conditions},
    }


def event(reason: str, at: str, name: str = POD, kind: str = "Pod") -> dict[str, Any]:
    return {"involvedObject": {"kind": kind, "name": name}, "reason": reason, "firstTimestamp": at}


def test_a_pod_that_has_just_come_was_created_when_it_was_seen() -> None:
    assert seen(pod(), NOON + 0.4, new=True) == PodSeen(NOON + 0.4, POD, "project-orders", NOON + 0.4, exact=True)


def test_a_pod_that_was_there_has_the_clusters_own_time() -> None:
    found = seen(pod(ready="2026-11-21T12:00:02Z"), NOON + 9)
    assert (found.created, found.ready, found.exact) == (NOON, True, False)


def test_a_pod_that_was_asked_to_stop_leaves_and_one_that_has_ended_is_gone() -> None:
    assert seen(pod(leaving="2026-11-21T12:05:00Z"), NOON + 9).leaving
    assert seen(pod(phase="Succeeded"), NOON + 9).gone


def test_events_show_a_pod_that_is_no_more() -> None:
    reported = [
        event("Scheduled", "2026-11-21T12:00:00Z"),
        event("Started", "2026-11-21T12:00:01Z"),
        event("Started", "2026-11-21T12:00:02Z"),
        event("Killing", "2026-11-21T12:00:40Z"),
        event("SuccessfulCreate", "2026-11-21T11:59:00Z", kind="ReplicaSet"),
        event("Scheduled", "2026-11-21T12:00:00Z", name="postgresql-0"),
    ]
    born = PodSeen(NOON, POD, "project-orders", NOON)
    assert remembered([], reported) == [
        born,
        PodSeen(NOON + 2, POD, "project-orders", NOON, ready=True),
        PodSeen(NOON + 40, POD, "project-orders", NOON, ready=True, leaving=True, gone=True),
    ]


def test_of_a_pod_that_is_there_its_own_conditions_count() -> None:
    (found,) = remembered([pod(ready="2026-11-21T12:00:03Z")], [event("Started", "2026-11-21T12:00:01Z")])
    assert (found.at, found.ready) == (NOON + 3, True)


def test_requests_are_the_queue_proxys_where_it_counts() -> None:
    assert counted(POD, NOON, QUEUE_PROXY, OURS) == Counted(NOON, POD, requests=42, events=31)


def test_without_it_they_are_the_functions_own() -> None:
    assert counted(POD, NOON, "", OURS) == Counted(NOON, POD, requests=38, events=31)


def test_a_function_that_counts_and_had_nothing_had_nothing() -> None:
    assert counted(POD, NOON, "", NOTHING_YET) == Counted(NOON, POD, requests=0, events=0)


def test_a_function_that_counts_nothing_is_not_known() -> None:
    assert counted(POD, NOON, "", "") == Counted(NOON, POD)
