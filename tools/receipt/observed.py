"""Defines the timed observations of a cluster, the only input of the receipt."""

from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct


class PodSeen(Struct, tag="pod", frozen=True, omit_defaults=True):
    """
    The state of a pod when it was found or changed.

    Args:
        at: Unix time in seconds, as all times in this module.
        created: when the pod was created.
        leaving: the pod is terminating: it takes no new requests and ends within its grace period.
        gone: the pod no longer exists.
        exact: the creation was observed when it happened; else ``created`` is the cluster's time, in whole seconds.
    """

    at: float
    pod: str
    operation: str
    created: float
    ready: bool = False
    leaving: bool = False
    gone: bool = False
    exact: bool = False


class Counted(Struct, tag="counted", frozen=True, omit_defaults=True):
    """
    A pod's counters since its start.

    Args:
        requests: answered requests, including a broker's deliveries; None if not counted.
        events: events delivered by a broker; None if not counted.
    """

    at: float
    pod: str
    requests: int | None = None
    events: int | None = None


class Looked(Struct, tag="looked", frozen=True):
    """The recorder was running: the window of a recording spans from the first to the last of these."""

    at: float


Observation = PodSeen | Counted | Looked


def written(observation: Observation) -> str:
    """Encode an observation as one line of a recording."""
    return msgspec.json.encode(observation).decode()


def read(lines: Iterable[str]) -> Iterator[Observation]:
    """
    Raises:
        msgspec.DecodeError: a line was not written by ``written``.
    """
    for line in lines:
        if line.strip():
            yield msgspec.json.decode(line, type=Observation)
