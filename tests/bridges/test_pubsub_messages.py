"""A CloudEvent becomes a Pub/Sub message and back without loss; names and limits are those of Pub/Sub."""

import pytest
from msgspec import structs

from pulsecart.bridges.pubsub.messages import outgoing
from pulsecart.bridges.pubsub.names import BadName, topic_of
from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.problem import Malformed
from pulsecart.runtime.subscription_partners import partners_of
from pulsecart.serving.message_events import of_message
from tests.broker.stage import event


@pytest.mark.parametrize(
    "made",
    [
        event("k", 1),
        structs.replace(event("größe 100 %", 2), subject="a,b%20c", time_text="2026-01-01T10:00:00+02:00"),
        structs.replace(event(), data=b"\xff\0", datacontenttype="application/octet-stream", time=None),
        structs.replace(event(), data=None, datacontenttype=None, subject=None),
        CloudEvent(id="1", source="/s", type="t", data=b"text", datacontenttype="text/plain; charset=utf-8"),
    ],
    ids=["plain", "unicode", "bytes", "no data", "text"],
)
def test_an_event_survives_the_way_through_a_message(made: CloudEvent) -> None:
    message = outgoing(made)
    read = of_message(message.attributes, message.data)
    assert read.attributes() == made.attributes()
    assert read.data == made.data
    assert message.ordering_key == made.partitionkey


@pytest.mark.parametrize("data", [b"x" * 10_000_001])
def test_too_much_data_is_malformed(data: bytes) -> None:
    with pytest.raises(Malformed, match="bytes of data"):
        outgoing(structs.replace(event(), data=data))


def test_too_many_attributes_are_malformed() -> None:
    with pytest.raises(Malformed, match="100 attributes"):
        outgoing(structs.replace(event(), extensions={f"a{n}": "x" for n in range(100)}))


@pytest.mark.parametrize(
    ("type", "prefix", "topic"),
    [
        ("ecommerce.order.order.paid.v1", "", "ecommerce.order.order.paid.v1"),
        ("ecommerce.order.order.paid.v1", "shop-", "shop-ecommerce.order.order.paid.v1"),
        ("with/slash é", "", "with%2Fslash%20%C3%A9"),
        ("tilde~plus+", "p", "ptilde~plus+"),
    ],
)
def test_a_topic_is_the_prefix_and_the_type(type: str, prefix: str, topic: str) -> None:
    assert topic_of(type, prefix) == topic


@pytest.mark.parametrize("type", ["ab", "1abc", "x" * 256, "google.thing", ".abc"])
def test_what_is_no_name_in_pub_sub_is_refused(type: str) -> None:
    with pytest.raises(BadName):
        topic_of(type, "")


def test_each_subscription_has_one_partner() -> None:
    assert partners_of(" a-b = acme , other=x y,") == {"a-b": "acme", "other": "x y"}
    for bad in ("a", "a=", "=x", "projects/p/subscriptions/s=x", "a=x,a=y"):
        with pytest.raises(ValueError, match=r"is not|two"):
            partners_of(bad)
