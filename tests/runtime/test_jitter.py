"""Retries come no earlier than they say, and not all at once."""

from pulsecart.runtime.jitter import jittered


def test_a_wait_is_as_long_as_it_says_or_up_to_half_as_long_again() -> None:
    waits = [jittered(2.0) for _ in range(1000)]
    assert min(waits) >= 2.0
    assert max(waits) <= 3.0
    assert len(set(waits)) > 900
    assert jittered(0.0) == 0.0
