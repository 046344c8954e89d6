"""The double does what it says: twice, late, in any order, and nothing less."""

from collections import Counter

from tests.knative.conftest import Start
from tests.knative.double import Double
from tests.knative.stage import Listener, Log, event, trigger


async def test_every_event_comes_twice_and_out_of_order_within_its_key(start: Start, log: Log) -> None:
    double, listener = Double(seed=3), Listener("listener")
    await start(trigger("t"), to=[listener], deliver=double)
    await log.write(*[event("k", n) for n in range(30)])
    await listener.until_done(60)
    await double.quiet()
    assert set(Counter(listener.sequences("k")).values()) == {2}
    assert listener.sequences("k") != sorted(listener.sequences("k"))
    assert double.delivered == {"t": 60}
