"""Compares the lanes with a plain model: no event is lost and no key is out of order, for any steps in any order."""

from hypothesis import example, given
from hypothesis import strategies as st

from pulsecart.broker.key_lanes import Entry, Lanes, Row
from pulsecart.runtime.db.log import Chunk, Cursor, Logged
from tests.broker.stage import event

KEYS = "abc"
STEPS = st.lists(
    st.tuples(st.sampled_from(["take", "finish", "park", "flush", "resume", "look"]), st.integers(0, 50)), max_size=60
)


class Model:
    """Models a log of twenty chunks, the stored rows, and the handled events."""

    def __init__(self, keys: list[str]) -> None:
        self.chunks: list[Chunk] = []
        self.place: dict[Cursor, int] = {Cursor.after("0:0:"): 0}
        done = 0
        for number in range(20):
            rows = [
                Logged(done + at + 1, event(keys[(done + at) % len(keys)], done + at + 1), 1.0)
                for at in range(number % 4)
            ]
            done += len(rows)
            chunk = Chunk(Cursor.after(f"{number}:{number}:"), Cursor.after(f"{number + 1}:{number + 1}:"), rows)
            self.chunks.append(chunk)
            self.place |= {chunk.at(row.position): row.position for row in rows} | {chunk.end: done}
        self.lanes = Lanes("t")
        self.cursor = Cursor.after("0:0:")
        self.rows: dict[int, Row] = {}
        self.taken = 0
        self.finished: list[Entry] = []
        self.waiting: list[Entry] = []

    def act(self, step: str, choice: int) -> None:
        ready = self.lanes.ready
        if step == "take" and self.taken < len(self.chunks):
            chunk = self.chunks[self.taken]
            self.taken += 1
            self.lanes.take(chunk, chunk.rows)
        elif step == "finish" and ready:
            self.finish(choice)
        elif step == "park" and ready:
            ready.rotate(-choice % len(ready))
            entry = ready.popleft()
            self.lanes.park(entry, 5.0)
            self.waiting.append(entry)
        elif step == "resume" and self.waiting:
            ready.append(self.waiting.pop(choice % len(self.waiting)))
        elif step == "flush":
            self.flush()
        elif step == "look":
            self.look()

    def finish(self, choice: int = 0) -> None:
        ready = self.lanes.ready
        ready.rotate(-choice % len(ready))
        entry = ready.popleft()
        self.lanes.finish(entry)
        self.finished.append(entry)

    def look(self) -> None:
        """Check that the stored rows can be read again, as they were last written."""
        for row in sorted(self.rows.values(), key=lambda row: row.position):
            entry = Entry(row.key, row.position, None, None, 0.0)
            if self.lanes.restore(entry):
                self.waiting.append(entry)

    def flush(self) -> None:
        cursor, changes = self.lanes.changes()
        self.cursor = cursor or self.cursor
        for position, row in changes.items():
            if row is None:
                self.rows.pop(position, None)
            else:
                self.rows[position] = row


@given(STEPS, st.lists(st.sampled_from(KEYS), min_size=1, max_size=6))
def test_a_crash_at_any_moment_loses_nothing(steps: list[tuple[str, int]], keys: list[str]) -> None:
    model = Model(keys)
    for step, choice in steps:
        model.act(step, choice)
    finished = {entry.position for entry in model.finished}
    read = {row.position for chunk in model.chunks[: model.taken] for row in chunk.rows}
    after_cursor = {position for position in read if position > model.place[model.cursor]}
    assert read - finished <= after_cursor | model.rows.keys()


@given(STEPS, st.lists(st.sampled_from(KEYS), min_size=1, max_size=6))
@example([(step, 0) for step in ("take", "take", "park", "flush", "resume", "finish", "look")], ["a"])
def test_keys_stay_in_order_and_in_the_end_nothing_is_left(steps: list[tuple[str, int]], keys: list[str]) -> None:
    model = Model(keys)
    for step, choice in steps:
        model.act(step, choice)
    while model.lanes.ready or model.waiting:
        if model.lanes.ready:
            model.finish()
        else:
            model.act("resume", 0)
    model.flush()
    read = [row.position for chunk in model.chunks[: model.taken] for row in chunk.rows]
    assert sorted(entry.position for entry in model.finished) == read
    for key in keys:
        positions = [entry.position for entry in model.finished if entry.key == key]
        assert positions == sorted(positions)
    assert not model.rows
    assert not model.lanes.parked
    assert model.lanes.unsettled == 0
    assert model.place[model.cursor] == len(read)


@given(STEPS, st.lists(st.sampled_from(KEYS), min_size=1, max_size=6))
def test_what_is_stored_is_enough_to_go_on_in_order(steps: list[tuple[str, int]], keys: list[str]) -> None:
    model = Model(keys)
    for step, choice in steps:
        model.act(step, choice)
    again = Lanes("t")
    for row in sorted(model.rows.values(), key=lambda row: row.position):
        entry = Entry(row.key, row.position, event(row.key), None, 0.0)
        if again.restore(entry):
            again.ready.append(entry)
    place = model.place[model.cursor]
    for chunk in model.chunks[: model.taken]:
        rows = [row for row in chunk.rows if row.position > place]
        if rows:
            again.take(chunk, rows)
    done: dict[str, list[int]] = {}
    while again.ready:
        entry = again.ready.popleft()
        done.setdefault(entry.key, []).append(entry.position)
        again.finish(entry)
    for key, positions in done.items():
        assert positions == sorted(positions)
        missing = [e.position for e in model.finished if e.key == key]
        read = [r.position for c in model.chunks[: model.taken] for r in c.rows if r.event.partitionkey == key]
        assert sorted({*missing, *positions}) == read
