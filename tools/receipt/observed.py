"""What was seen of a cluster and when; the receipt is made of this alone."""

from collections.abc import Iterable, Iterator

import msgspec
from msgspec import Struct


class PodSeen(Struct, tag="pod", frozen=True, omit_defaults=True):
    """
    A pod as it was found, or as it changed.

    Args:
        at: Unix time, s, as are all others here.
        created: when it was first there.
        leaving: it was told to stop; it takes no new requests and ends within its grace time.
        gone: it is no more.
        exact: ``created`` was seen as it happened; else it is the cluster's own time, which has whole seconds.
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
    What a pod had counted since it began.

    Args:
        requests: answered, with what a broker delivers; None where nobody counts.
        events: delivered by a broker; None where nobody counts.
    """

    at: float
    pod: str
    requests: int | None = None
    events: int | None = None


class Looked(Struct, tag="looked", frozen=True):
    """Somebody was looking: the window of a recording is from the first to the last of these."""

    at: float


Observation = PodSeen | Counted | Looked


def written(observation: Observation) -> str:
    """One line of a recording."""
    return msgspec.json.encode(observation).decode()


def read(lines: Iterable[str]) -> Iterator[Observation]:
    """
    Raises:
        msgspec.DecodeError: a line is not one that ``written`` wrote.
    """
    for line in lines:
        if line.strip():
            yield msgspec.json.decode(line, type=Observation)
