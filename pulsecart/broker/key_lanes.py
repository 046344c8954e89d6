"""
A trigger's events that are not done: one lane a key, each in order, and how far the cursor may go. Nothing waits here.

The head of a lane runs, is ready to, or waits for its time. An event that fails or takes long gets a row in the
backlog, and so do those behind it: the cursor passes them, other keys go on, and the row goes when the event is done.
"""

from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

from pulsecart.runtime.db.log import Chunk, Cursor, Logged
from pulsecart.runtime.event import CloudEvent

KEPT_EVENTS = 2000  # parked events kept in memory whole; of more only their positions


class Row(NamedTuple):
    """
    A row of the backlog.

    Args:
        due_at: seconds since 1970; None while another event of its key is (or was, before a crash) ahead of it.
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
    One event of one trigger. ``event`` is None where it has to be read again; ``lane`` is its key until it is set
    aside.
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
    """The lane of its own of an event that is only to become a dead letter: no event's key is like it."""
    return f"\0{entry.position}"


class Lanes:
    """
    Args:
        trigger: its name.
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
        """Of what the cursor waits for."""
        return self._order[0].logged_at if self._order else None

    def take(self, chunk: Chunk, wanted: Iterable[Logged]) -> None:
        """
        A chunk was read; ``wanted`` are those of its rows that the trigger's filter lets through.

        After a crash the cursor may stand before events that have rows in the backlog: those are here already.
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
        An entry of the backlog, found in the database. Answers whether it is news and heads its lane: what ``changes``
        has yet to tell is newer than what was found, such as a row on its way out.
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
        """Done for good: the next of its key is ready."""
        self._leave(entry)
        if entry.parked:
            del self.parked[entry.position]
            self._changes[entry.position] = None
        else:
            self._settle(entry)

    def set_aside(self, entry: Entry) -> None:
        """Of the head of a lane only a dead letter is to be made: it gets a lane of its own, and the next is ready."""
        alone = aside(entry)
        if entry.lane != alone:
            self._leave(entry)
            entry.lane = alone
            self._lanes[alone] = deque((entry,))

    def _leave(self, entry: Entry) -> None:
        lane = self._lanes[entry.lane]
        lane.popleft()
        if lane:
            self.ready.append(lane[0])
        else:
            del self._lanes[entry.lane]

    def park(self, entry: Entry, due_at: float) -> None:
        """The head of a lane will take longer: it and all behind it get rows, and the cursor goes on."""
        for waiting in self._lanes[entry.lane]:
            if waiting is entry or not waiting.parked:
                self._park(waiting, due_at if waiting is entry else None)

    def changes(self) -> tuple[Cursor | None, dict[int, Row | None]]:
        """What to write in one transaction, since the last call: the cursor if it moved, rows to store or delete."""
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
