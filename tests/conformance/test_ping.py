"""PingSource: an event at each tick, straight to the sink."""

from tests.conformance.broker import BrokerUnderTest
from tests.conformance.conftest import Apply
from tests.conformance.subscriber import Subscriber


async def test_a_ping_source_sends_its_data_at_each_tick(
    apply: Apply, broker: BrokerUnderTest, subscriber: Subscriber
) -> None:
    spec = {
        "schedule": "* * * * * *",
        "timezone": "UTC",
        "contentType": "application/json",
        "data": '{"sweep": true}',
        "sink": {"uri": subscriber.url("sweep")},
    }
    source = {"apiVersion": "sources.knative.dev/v1", "kind": "PingSource", "metadata": {"name": "often"}, "spec": spec}
    await apply(source)
    await subscriber.until(lambda got: len(got) >= 2)
    first, second = (got.event for got in subscriber.got[:2])
    assert first.type == "dev.knative.sources.ping"
    assert first.source == f"/apis/v1/namespaces/{broker.namespace}/pingsources/{broker.named('often')}"
    assert first.data == b'{"sweep": true}'
    assert first.datacontenttype == "application/json"
    assert first.id != second.id
