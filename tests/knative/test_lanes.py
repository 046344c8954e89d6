"""The lanes alone, from places where only a crash leaves them."""

from runtime.knative.lanes import Entry, Lanes
from runtime.log import Chunk, Cursor, Logged
from tests.knative.stage import event

BEFORE, AFTER = Cursor.after("1:1:"), Cursor.after("9:9:")


def test_an_event_behind_the_cursor_that_has_a_row_already_is_not_taken_a_second_time() -> None:
    """The cursor waits for the slow event of another key; without the look at the rows this one is delivered twice."""
    lanes = Lanes("t", BEFORE)
    assert lanes.restore(Entry("failed", 2, None, None, 0.0))
    rows = [Logged(n, event(key), 0.0) for n, key in ((1, "slow"), (2, "failed"), (3, "failed"))]
    lanes.take(Chunk(BEFORE, AFTER, rows), rows)
    assert [entry.position for entry in lanes.ready] == [1]
    lanes.finish(lanes.parked[2])
    lanes.finish(lanes.parked[3])
    lanes.finish(lanes.ready[0])
    cursor, changes = lanes.changes()
    assert (cursor, changes, lanes.parked, lanes.unsettled) == (AFTER, {2: None, 3: None}, {}, 0)
