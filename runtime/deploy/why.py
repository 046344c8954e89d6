"""Why something is not Ready: what its condition, its pods, their events and their logs say, as sentences."""

import json
from collections.abc import Iterator, Sequence

from runtime.deploy.cluster import CannotDeploy, Object, condition, kubectl, listed, named

CLASS = "eventing.knative.dev/broker.class"
FAILING = {"Error", "CrashLoopBackOff", "RunContainerError", "StartError"}
NOT_THERE = {"ImagePullBackOff", "ErrImagePull", "ErrImageNeverPull", "InvalidImageName"}
LINES = 40


def reasons(waiting: Sequence[Object], namespace: str) -> list[str]:
    """One sentence for each cause found; what merely is on its way has none."""
    found = [sentence for thing in waiting for sentence in _of(thing)]
    if any(thing["kind"] in ("Service", "Job", "StatefulSet") for thing in waiting):
        for pod in listed("pods", namespace):
            found += _of_pod(pod, namespace)
    return list(dict.fromkeys(found))


def _of(thing: Object) -> Iterator[str]:
    said = condition(thing)
    if thing["kind"] == "Broker" and not (thing.get("status") or {}).get("conditions"):
        its = (thing["metadata"].get("annotations") or {}).get(CLASS, "none")
        yield (
            f"{named(thing)}: nothing on this cluster takes care of a Broker of the class {its}. Install that broker "
            "(MTChannelBasedBroker comes with Knative Eventing), or take another broker component in the overlay."
        )
    elif said["status"] == "False":
        yield f"{named(thing)}: {said.get('reason', '')}: {str(said.get('message', '')).strip()}"
    elif thing["kind"] == "Job" and (failed := condition(thing, "Failed"))["status"] == "True":
        yield f"{named(thing)} has failed: {failed.get('message', '')}"


def _of_pod(pod: Object, namespace: str) -> Iterator[str]:
    name = pod["metadata"]["name"]
    if pod["status"].get("phase") == "Pending" and condition(pod, "PodScheduled")["status"] == "False":
        yield f"pod {name} has no node: {condition(pod, 'PodScheduled').get('message', '')}"
    for container in pod["status"].get("containerStatuses", ()):
        state = container.get("state", {})
        waiting = state.get("waiting", {})
        reason, message = waiting.get("reason", ""), waiting.get("message", "")
        if reason == "CreateContainerConfigError":
            yield f"pod {name} cannot start: {message}. Make it, and the pod starts within a minute."
        elif reason in NOT_THERE:
            yield f"pod {name}: the node has no image {container['image']} and cannot pull it ({reason})."
        elif reason in FAILING or state.get("terminated", {}).get("exitCode"):
            yield f"pod {name} ends by itself: {_last_line(name, container['name'], namespace)}"
        elif "running" in state and not container.get("ready") and container["name"] != "queue-proxy":
            yield f"pod {name} is not Ready: {_last_line(name, container['name'], namespace) or 'its log is empty'}"


def _last_line(pod: str, container: str, namespace: str) -> str:
    """The last warning of its log, or else its last line; of the process before where this one has said nothing."""
    for previous in ((), ("--previous",)):
        try:
            said = kubectl("logs", pod, "-n", namespace, "-c", container, f"--tail={LINES}", *previous)
        except CannotDeploy:
            continue
        lines = [_sentence(line) for line in said.strip().splitlines() if line.strip()]
        grave = [text for level, text in lines if level in ("WARNING", "ERROR", "CRITICAL")]
        if lines:
            return grave[-1] if grave else lines[-1][1]
    return ""


def _sentence(line: str) -> tuple[str, str]:
    """Level and message of one line of a log: ours are JSON, PostgreSQL's are not."""
    try:
        said = json.loads(line)
        about = {key: value for key, value in said.items() if key in ("missing", "needed", "error", "reason")}
        return said.get("level", ""), f"{said.get('message', '')} {json.dumps(about) if about else ''}".strip()
    except (ValueError, AttributeError):
        return "", line.strip()
