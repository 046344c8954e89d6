"""
Keeps a trigger's unfinished events in order per key, and computes how far its cursor may move. Does no I/O.

A lane is the queue of one key's events. Its head is in flight, ready, or waiting for its retry. A head that fails or is
slow is parked: it and the events behind it get rows in the backlog, so that the cursor passes them and other keys
continue. A row is deleted when its event is done.
"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from pulsecart.runtime.db.log import Chunk, Cursor, Logged
from pulsecart.runtime.event import CloudEvent

KEPT_EVENTS = 2000  # parked events kept whole in memory; beyond that, only their positions


class Row(NamedTuple):
    """
    A row of the backlog.

    Args:
        due_at: seconds since 1970; None while (or, before a crash, when) another event of its key is ahead of it.
    """

    trigger: str
    position: int
    key: str
    attempts: int
    due_at: float | None
    code: int
    data: bytes


class Entry:
    """
    One event of one trigger.

    ``event`` is None when it must be read from the log again; ``lane`` equals ``key`` until the entry is set aside.
    """

    __slots__ = (
        "attempts",
        "chunk",
        "code",
        "data",
        "event",
        "key",
        "lane",
        "logged_at",
        "parked",
        "position",
        "settled",
        "slow",
        "started",
    )

    def __init__(
        self, key: str, position: int, event: CloudEvent | None, chunk: Chunk | None, logged_at: float
    ) -> None:
        self.key = self.lane = key
        self.position = position
        self.event = event
        self.chunk = chunk
        self.logged_at = logged_at
        self.attempts = 0
        self.code = 0
        self.data = b""
        self.parked = False
        self.settled = False
        self.slow = False
        self.started = 0.0


def aside(entry: Entry) -> str:
    """Return the name of a separate lane for an event that only awaits its dead letter; it equals no event key."""
    return f"\0{entry.position}"


class Lanes:
    """
    All lanes of one trigger.

    Args:
        trigger: name of the trigger.
    """

    def __init__(self, trigger: str) -> None:
        self.trigger = trigger
        self.ready: deque[Entry] = deque()
        self.parked: dict[int, Entry] = {}
        self.unsettled = 0
        self._lanes: dict[str, deque[Entry]] = {}
        self._order: deque[Entry] = deque()
        self._changes: dict[int, Row | None] = {}
        self._passed: Entry | None = None

    @property
    def oldest_logged_at(self) -> float | None:
        """Return when the event that holds the cursor back was logged, in seconds since 1970."""
        return self._order[0].logged_at if self._order else None

    def take(self, chunk: Chunk, wanted: Iterable[Logged]) -> None:
        """
        Add the rows of a chunk that pass the trigger's filter (``wanted``).

        After a crash the cursor can be before events that have backlog rows; those are already here and are skipped.
        """
        for position, event, logged_at in wanted:
            if position in self.parked:
                continue
            entry = Entry(event.partitionkey, position, event, chunk, logged_at)
            self._order.append(entry)
            self.unsettled += 1
            self._enter(entry)
        mark = Entry("", 0, None, chunk, 0.0)
        mark.settled = True
        self._order.append(mark)
        self._advance()

    def restore(self, entry: Entry) -> bool:
        """
        Add an entry read from the backlog, and return whether it is new and heads its lane.

        A row with a change that ``changes`` has not returned yet, such as its deletion, is stale and ignored.
        """
        if entry.position in self.parked or entry.position in self._changes:
            return False
        entry.parked = entry.settled = True
        self.parked[entry.position] = entry
        lane = self._lanes.get(entry.lane)
        if lane is None:
            self._lanes[entry.lane] = deque((entry,))
            return True
        later = next((at for at, other in enumerate(lane) if at and other.position > entry.position), len(lane))
        lane.insert(later, entry)
        return False

    def finish(self, entry: Entry) -> None:
        """Remove a finished event and make the next event of its key ready."""
        self._leave(entry)
        if entry.parked:
            del self.parked[entry.position]
            self._changes[entry.position] = None
        else:
            self._settle(entry)

    def set_aside(self, entry: Entry) -> None:
        """Move the head of a lane, which only awaits its dead letter, to a separate lane; the next event is ready."""
        separate = aside(entry)
        if entry.lane != separate:
            self._leave(entry)
            entry.lane = separate
            self._lanes[separate] = deque((entry,))

    def _leave(self, entry: Entry) -> None:
        lane = self._lanes[entry.lane]
        lane.popleft()
        if lane:
            self.ready.append(lane[0])
        else:
            del self._lanes[entry.lane]

    def park(self, entry: Entry, due_at: float) -> None:
        """Give the head of a lane and all events behind it backlog rows, so that the cursor can pass them."""
        for waiting in self._lanes[entry.lane]:
            if waiting is entry or not waiting.parked:
                self._park(waiting, due_at if waiting is entry else None)

    def changes(self) -> tuple[Cursor | None, dict[int, Row | None]]:
        """Return the changes since the last call, for one transaction: cursor if moved, rows to store or delete."""
        passed, changes = self._passed, self._changes
        self._passed, self._changes = None, {}
        if passed is None or passed.chunk is None:
            return None, changes
        return passed.chunk.at(passed.position) if passed.position else passed.chunk.end, changes

    def _enter(self, entry: Entry) -> None:
        lane = self._lanes.get(entry.key)
        if lane is None:
            self._lanes[entry.key] = deque((entry,))
            self.ready.append(entry)
            return
        lane.append(entry)
        if lane[0].parked:
            self._park(entry, None)

    def _park(self, entry: Entry, due_at: float | None) -> None:
        if not entry.parked:
            entry.parked = True
            self.parked[entry.position] = entry
            self._settle(entry)
            if len(self.parked) > KEPT_EVENTS and entry.started == 0.0:
                entry.event = None
        self._changes[entry.position] = Row(
            self.trigger, entry.position, entry.key, entry.attempts, due_at, entry.code, entry.data
        )

    def _settle(self, entry: Entry) -> None:
        entry.settled = True
        self.unsettled -= 1
        if self._order[0] is entry:
            self._advance()

    def _advance(self) -> None:
        order = self._order
        last = None
        while order and order[0].settled:
            last = order.popleft()
        if last is not None:
            self._passed = last
