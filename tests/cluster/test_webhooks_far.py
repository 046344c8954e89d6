"""A retry that is further away than webhook-deliver stays awake for: nothing runs until then. Takes 8 minutes."""

import pytest

from tests.cluster.shop import Cluster
from tests.cluster.test_webhooks import is_retried_on_time

pytestmark = pytest.mark.timeout(900)
FAR_S = 400


async def test_nothing_runs_until_a_retry_that_is_far_away_and_it_comes_at_its_second(cluster: Cluster) -> None:
    await is_retried_on_time(cluster, FAR_S, from_zero=True)
