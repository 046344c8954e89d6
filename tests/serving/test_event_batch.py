"""A batch of events is split into members, each decoded by itself."""

import pytest

from pulsecart.runtime.problem import Malformed
from pulsecart.serving import cloudevents, event_batch

GOOD = b'{"specversion":"1.0","id":"1","source":"/s","type":"t.v1","data":{"a": 1}}'


@pytest.mark.parametrize(
    ("media", "batch"),
    [
        ("application/cloudevents-batch+json", True),
        ("Application/CloudEvents-Batch+JSON; charset=UTF-8", True),
        ("application/cloudevents-batch+json; charset=latin-1", False),
        ("application/cloudevents+json", False),
        ("application/json", False),
        ("", False),
    ],
)
def test_a_batch_is_named_by_its_media_type(media: str, batch: bool) -> None:
    assert event_batch.is_batch({"content-type": media}) is batch


def test_a_member_is_kept_byte_by_byte_and_fails_alone() -> None:
    members = event_batch.members(b"[" + GOOD + b', 7, {"id": 1}, [' + GOOD + b"]]")
    assert len(members) == 4
    assert cloudevents.from_json(members[0]).data == b'{"a": 1}'
    for member in members[1:]:
        with pytest.raises(Malformed):
            cloudevents.from_json(member)


@pytest.mark.parametrize("body", [b"", b"{}", GOOD, b"[", b"[1,]", b"null", b"\xff", b"[" * 100_000])
def test_a_body_that_is_no_array_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        event_batch.members(body)
