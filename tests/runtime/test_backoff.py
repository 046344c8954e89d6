"""Retries are delayed at least as stated, longer after each failure, and not all at once."""

from pulsecart.runtime.backoff import Backoff, jittered


def test_a_wait_is_as_long_as_it_says_or_up_to_half_as_long_again() -> None:
    waits = [jittered(2.0) for _ in range(1000)]
    assert min(waits) >= 2.0
    assert max(waits) <= 3.0
    assert len(set(waits)) > 900
    assert jittered(0.0) == 0.0
    assert jittered(2.0, lambda least, most: least) == 2.0
    assert jittered(2.0, lambda least, most: most) == 3.0


def test_a_delay_doubles_with_each_failure_up_to_its_maximum() -> None:
    backoff = Backoff(0.1, 1.0)
    assert [backoff.after(failures) for failures in range(7)] == [0.0, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]
    assert backoff.after(10**6) == 1.0, "failures are counted for as long as an outage lasts"


def test_without_a_maximum_a_delay_goes_on_doubling() -> None:
    assert [Backoff(0.5).after(failures) for failures in range(1, 6)] == [0.5, 1.0, 2.0, 4.0, 8.0]


def test_delays_after_failures_are_spread() -> None:
    waits = [Backoff(0.1, 1.0).jittered_after(3) for _ in range(1000)]
    assert 0.4 <= min(waits) < max(waits) <= 0.4 * 1.5
    assert len(set(waits)) > 900
