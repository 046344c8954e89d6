"""An event of a failing operation becomes a dead letter with its cause; a replay reaches that operation alone."""

import json

import pytest

from tests.cluster.shop import Cluster, until

pytestmark = pytest.mark.timeout(300)
USER = 710_001


async def test_a_failing_operations_event_is_kept_with_its_cause_and_replayed(cluster: Cluster) -> None:
    await cluster.gateway_behaves("fail")
    order_id = await cluster.buy_later(USER)

    async def kept() -> list[dict[str, object]]:
        letters = json.loads(await cluster.desk("list", "--json"))
        return [letter for letter in letters if letter["trigger"] == "pay"]

    letter, *_ = await until(kept, 60, "pay's event is a dead letter")
    assert letter["code"] == 503
    assert "gateway" in str(letter["error"])
    await cluster.gateway_behaves("approve")
    await cluster.desk("replay", str(letter["id"]))
    other = await cluster.buy_later(USER + 1)  # any commit wakes relay
    await cluster.becomes(order_id, "FULFILLED", 60)
    await cluster.becomes(other, "FULFILLED", 60)
    assert await kept() == []
