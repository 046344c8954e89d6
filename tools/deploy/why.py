"""Explains why an object is not Ready, from its condition, its pods, their events and their logs."""

import json
import re
from collections.abc import Iterator, Sequence

from tools.deploy.cluster import CannotDeploy, Object, condition, kubectl, listed, named

CLASS = "eventing.knative.dev/broker.class"
FAILING = {"Error", "CrashLoopBackOff", "RunContainerError", "StartError"}
NOT_THERE = {"ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName"}
LINES = 40


def reasons(waiting: Sequence[Object], namespace: str) -> list[str]:
    """Return one sentence per cause, with the objects it stops; objects that are only starting have no cause."""
    stopped: dict[str, list[str]] = {}
    for thing in waiting:
        for cause in _of(thing):
            stopped.setdefault(cause, []).append(named(thing))
    for pod in listed("pods", namespace):
        of = pod["metadata"].get("labels", {}).get("serving.knative.dev/service")
        for cause in _of_pod(pod, namespace):
            stopped.setdefault(cause, []).append(f"Service {of}" if of else f"Pod {pod['metadata']['name']}")
    return [f"{cause}  ({', '.join(dict.fromkeys(things))})" for cause, things in stopped.items()]


def _of(thing: Object) -> Iterator[str]:
    stated = condition(thing)
    message = str(stated.get("message", "")).strip()
    if thing["kind"] == "Broker" and not (thing.get("status") or {}).get("conditions"):
        its = (thing["metadata"].get("annotations") or {}).get(CLASS, "none")
        yield (
            f"no controller on this cluster handles a Broker of the class {its}: install that broker "
            "(MTChannelBasedBroker is part of Knative Eventing), or use another broker component in the overlay"
        )
    elif thing["kind"] == "Job" and (failed := condition(thing, "Failed"))["status"] == "True":
        yield f"failed: {failed.get('message', '')}"
    elif (
        stated["status"] == "False" and message and stated.get("reason") != "RevisionMissing"
    ):  # its pods have the cause
        yield re.sub(r'^Revision "\S+" failed with message: ', "", message).rstrip(".")


def _of_pod(pod: Object, namespace: str) -> Iterator[str]:
    name = pod["metadata"]["name"]
    if "deletionTimestamp" in pod["metadata"] or condition(pod)["status"] == "True":
        return
    if (scheduled := condition(pod, "PodScheduled"))["status"] == "False":
        yield str(scheduled.get("message", "no node can run it")).strip().rstrip(".")
    for container in pod["status"].get("containerStatuses", ()):
        state = container.get("state", {})
        reason, message = (state.get("waiting", {}).get(key, "") for key in ("reason", "message"))
        ended = state.get("terminated", {})
        if reason == "CreateContainerConfigError":
            yield f"{message}: create it, and the pod starts within a minute"
        elif reason in NOT_THERE:
            yield f"the node has no image {container['image']} and cannot pull it ({reason})"
        elif reason in FAILING or ended.get("exitCode"):
            yield f"exits by itself: {_last_line(name, container['name'], namespace)}"
        elif "running" in state and container["name"] != "queue-proxy":
            yield f"runs but is not Ready: {_last_line(name, container['name'], namespace) or 'its log is empty'}"


def _last_line(pod: str, container: str, namespace: str) -> str:
    """Return the log's last warning, else its last line; of the previous process if this one has logged nothing."""
    for previous in ((), ("--previous",)):
        try:
            output = kubectl("logs", pod, "-n", namespace, "-c", container, f"--tail={LINES}", *previous)
        except CannotDeploy:
            continue
        lines = [_sentence(line) for line in output.strip().splitlines() if line.strip()]
        grave = [text for level, text in lines if level in ("WARNING", "ERROR", "CRITICAL")]
        if lines:
            return grave[-1] if grave else lines[-1][1]
    return ""


def _sentence(line: str) -> tuple[str, str]:
    """Return level and message of a log line: our logs are JSON, PostgreSQL's are not."""
    try:
        entry = json.loads(line)
        about = {key: value for key, value in entry.items() if key in ("missing", "needed", "error", "reason")}
        return entry.get("level", ""), f"{entry.get('message', '')} {json.dumps(about) if about else ''}".strip()
    except (ValueError, AttributeError):
        return "", line.strip()
