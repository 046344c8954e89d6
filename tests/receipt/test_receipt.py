"""Computes the receipt from observations alone."""

from pathlib import Path

import pytest

from tools.receipt.observed import Counted, Looked, Observation, PodSeen, read, written
from tools.receipt.receipt import Line, Receipt, receipt
from tools.receipt.shown import svg

RECORDED = Path(__file__).parent / "recorded.jsonl"  # a redeployed shop of 15 operations, each started once


def looked(since: float, until: float, *seen: Observation) -> list[Observation]:
    return [Looked(since), *seen, Looked(until)]


def life(pod: str, operation: str, *moments: float | None, exact: bool = True) -> list[PodSeen]:
    """Return the observations of a pod: created, ready, leaving, gone; None: never."""
    created, ready, leaving, gone = moments
    assert created is not None
    seen = [PodSeen(created, pod, operation, created, exact=exact)]
    if ready is not None:
        seen.append(PodSeen(ready, pod, operation, float(int(created)), ready=True))
    if leaving is not None:
        seen.append(PodSeen(leaving, pod, operation, float(int(created)), ready=ready is not None, leaving=True))
    if gone is not None:
        seen.append(PodSeen(gone, pod, operation, float(int(created)), leaving=True, gone=True))
    return seen


def line(found: Receipt, operation: str) -> Line:
    return next(one for one in found.lines if one.operation == operation)


def test_a_pod_costs_from_its_creation_until_it_is_gone_and_its_leaving_is_distinguished() -> None:
    found = line(receipt(looked(100, 200, *life("a", "pay", 110.5, 112, 130, 160))), "pay")
    assert (found.pod_s, found.leaving_s, found.pods, found.cold_starts) == (49.5, 30.0, 1, 1)
    assert (found.start_p50_s, found.start_p95_s) == (1.5, 1.5)
    assert found.at_zero == pytest.approx(0.805)


def test_only_the_windows_part_of_a_life_is_charged() -> None:
    seen = [PodSeen(100.1, "old", "pay", 40.0, ready=True), *life("new", "pay", 190.0, None, None, None)]
    found = line(receipt(looked(100, 200, *seen)), "pay")
    assert (found.pod_s, found.pods) == (110.0, 1)


def test_a_second_pod_beside_one_at_work_is_no_cold_start() -> None:
    seen = [*life("a", "pay", 110.0, 111, None, None), *life("b", "pay", 120.0, 123, None, None)]
    found = line(receipt(looked(100, 200, *seen)), "pay")
    assert (found.pods, found.cold_starts, found.most_pods, found.start_p95_s) == (2, 1, 2, 1.0)


def test_a_pod_beside_one_that_only_leaves_is_a_cold_start() -> None:
    seen = [*life("a", "pay", 110.0, 111, 130, 160), *life("b", "pay", 140.0, 142, None, None)]
    found = line(receipt(looked(100, 200, *seen)), "pay")
    assert (found.cold_starts, found.most_pods) == (2, 1)


def test_pods_of_other_operations_answer_for_no_one() -> None:
    seen = [*life("a", "pay", 110.0, 111, None, None), *life("b", "reserve", 120.0, 121, None, None)]
    found = receipt(looked(100, 200, *seen))
    assert line(found, "reserve").cold_starts == 1
    assert (found.all.cold_starts, found.all.most_pods) == (2, 2)


def test_a_pod_that_was_never_ready_costs_and_has_no_start_time() -> None:
    found = line(receipt(looked(100, 200, *life("a", "pay", 110.0, None, 115, 120))), "pay")
    assert (found.cold_starts, found.start_p50_s, found.pod_s) == (1, None, 10.0)


def test_percentiles_are_those_of_the_nearest_rank() -> None:
    seen = [one for n in range(20) for one in life(f"p{n}", f"op{n}", 110.0, 110 + (n + 1) / 10, None, None)]
    found = receipt(looked(100, 200, *seen)).all
    assert (found.start_p50_s, found.start_p95_s) == (1.0, 1.9)


def test_counters_of_pods_that_are_gone_are_added_up() -> None:
    seen: list[Observation] = [
        *life("a", "pay", 110.0, 111, None, None),
        Counted(112, "a", requests=3, events=3),
        Counted(114, "a", requests=10, events=9),
        *life("b", "pay", 115.0, 116, None, None),
        Counted(117, "b", requests=1, events=1),
    ]
    found = line(receipt(looked(100, 200, *seen)), "pay")
    assert (found.requests, found.events) == (11, 10)


def test_what_was_counted_before_the_window_is_not_in_it() -> None:
    seen: list[Observation] = [
        PodSeen(100.1, "a", "pay", 40.0, ready=True),
        Counted(101, "a", requests=500),
        Counted(190, "a", requests=507),
    ]
    assert line(receipt(looked(100, 200, *seen)), "pay").requests == 7


def test_a_container_that_began_again_loses_nothing() -> None:
    counts = [Counted(112 + n, "a", requests=value) for n, value in enumerate((5, 8, 2, 4))]
    seen: list[Observation] = [*life("a", "pay", 110.0, 111, None, None), *counts]
    assert line(receipt(looked(100, 200, *seen)), "pay").requests == 12


def test_no_one_counting_is_not_zero() -> None:
    found = receipt(looked(100, 200, *life("a", "pay", 110.0, 111, None, None)), ["pay", "refund"])
    assert line(found, "pay").requests is None
    assert (line(found, "refund").requests, line(found, "refund").at_zero) == (0, 1.0)


def test_times_of_the_clusters_own_objects_are_called_inexact() -> None:
    assert receipt(looked(100, 200, *life("a", "pay", 110.0, 111, None, None))).exact
    assert not receipt(looked(100, 200, *life("a", "pay", 110.0, 111, None, None, exact=False))).exact


def test_without_a_look_there_is_no_window() -> None:
    with pytest.raises(ValueError, match="reading of the pods"):
        receipt(life("a", "pay", 110.0, 111, None, None))


def test_a_recording_is_read_as_it_was_written() -> None:
    seen = looked(100, 200, *life("a", "pay", 110.0, 111, 130, 160), Counted(112, "a", requests=3))
    assert list(read([written(one) for one in seen])) == seen


def test_a_recorded_roll_out_of_the_whole_shop() -> None:
    found = receipt(list(read(RECORDED.read_text().splitlines())))
    assert len(found.lines) == 15
    assert (found.all.cold_starts, found.all.pods, found.all.most_pods) == (15, 15, 15)
    assert (found.all.start_p50_s, found.all.start_p95_s) == (1.875, 3.307)
    assert found.exact


def test_the_picture_shows_every_pod_with_its_start() -> None:
    drawn = svg(list(read(RECORDED.read_text().splitlines())))
    assert drawn.startswith("<svg ")
    assert drawn.count("ready after") == 2 * 15 + 3  # starting and at work; of three pods the leaving too
