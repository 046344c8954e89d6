"""CloudEvents over HTTP: what is written can be read, and what is wrong is refused with what to mend."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.cloudevents import BATCH, STRUCTURED, UnknownFormat, binary, decode, decode_batch, reply, structured
from shop.event import CloudEvent
from shop.problem import Malformed

TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40)
NAMES = st.from_regex(r"[a-z0-9]{1,20}", fullmatch=True).filter(
    lambda name: name not in CloudEvent.__struct_fields__ and name not in ("specversion", "extensions")
)
EVENTS = st.builds(
    CloudEvent,
    id=TEXT,
    source=TEXT,
    type=TEXT,
    time=st.none() | st.datetimes(timezones=st.just(UTC), min_value=datetime(1970, 1, 1)),  # noqa: DTZ001
    subject=st.none() | TEXT,
    dataschema=st.none() | TEXT,
    datacontenttype=st.sampled_from(["application/json", "application/problem+json"]),
    data=st.none() | st.sampled_from([b'{"a": 1}', b"[]", b'"\xc3\xbc"', b"0"]),
    extensions=st.dictionaries(NAMES, TEXT, max_size=4),
)
BINARY = {"ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t", "content-type": "application/json"}


@given(EVENTS)
def test_what_is_written_in_binary_mode_is_read_as_it_was(event: CloudEvent) -> None:
    headers, body = binary(event)
    assert all(value.isascii() and value.isprintable() for value in headers.values())
    assert decode(headers, body) == event


@given(EVENTS)
def test_what_is_written_in_structured_mode_is_read_as_it_was(event: CloudEvent) -> None:
    assert decode({"content-type": STRUCTURED}, structured(event)) == event


@pytest.mark.parametrize("data", [b"\x00\xff", b"not json", b""])
def test_data_that_is_no_json_travels_as_base64(data: bytes) -> None:
    event = CloudEvent(id="1", source="/s", type="t", datacontenttype="application/octet-stream", data=data)
    assert b"data_base64" in structured(event)
    assert decode({"content-type": STRUCTURED}, structured(event)) == event


def test_text_in_the_json_format_is_the_text_itself() -> None:
    body = b'{"specversion":"1.0","id":"1","source":"/s","type":"t","datacontenttype":"text/plain","data":"a\\u00fc"}'
    assert decode({"content-type": STRUCTURED}, body).data == "aü".encode()


def test_attributes_may_be_numbers_and_booleans_in_the_json_format() -> None:
    body = b'{"specversion":"1.0","id":"1","source":"/s","type":"t","n":7,"yes":true,"gone":null}'
    assert decode({"content-type": STRUCTURED}, body).extensions == {"n": "7", "yes": "true"}


def test_headers_may_be_quoted() -> None:
    assert decode({**BINARY, "ce-subject": '"a \\"b\\""'}, b"").subject == 'a "b"'


def test_a_reply_carries_its_event_in_binary_mode() -> None:
    event = CloudEvent(id="1", source="/s", type="t", data=b"{}", extensions={"partitionkey": "k"})
    made = reply(event)
    assert (made.status, made.media_type) == (200, "application/json")
    assert decode({**dict(made.headers), "content-type": made.media_type}, made.body) == event


def json(**members: str) -> bytes:
    given = {"specversion": '"1.0"', "id": '"1"', "source": '"/s"', "type": '"t"', **members}
    return ("{" + ",".join(f'"{name}":{value}' for name, value in given.items()) + "}").encode()


@pytest.mark.parametrize(
    ("headers", "body", "told"),
    [
        ({}, b"{}", "Send ce-specversion"),
        ({**BINARY, "ce-specversion": "0.3"}, b"", "only '1.0'"),
        ({**BINARY, "ce-id": "", "ce-type": ""}, b"", "needs id, type"),
        ({**BINARY, "ce-time": "yesterday"}, b"", "RFC 3339"),
        ({**BINARY, "ce-time": "2026-02-31T00:00:00Z"}, b"", "RFC 3339"),
        ({**BINARY, "ce-time": "2026-01-31T00:00:00"}, b"", "RFC 3339"),
        ({**BINARY, "ce-time": "9999-12-31T23:59:59-12:00"}, b"", "RFC 3339"),
        ({**BINARY, "ce-time": "0001-01-01T00:00:00+14:00"}, b"", "RFC 3339"),
        ({**BINARY, "ce-under_score": "x"}, b"", "1 to 20 of a-z"),
        ({**BINARY, "ce-" + "x" * 21: "x"}, b"", "1 to 20 of a-z"),
        ({**BINARY, "ce-subject": "%00"}, b"", "control character"),
        ({**BINARY, "ce-subject": "%ff"}, b"", "percent-encoded"),
        ({**BINARY, "ce-datacontenttype": "text/plain"}, b"", "Content-Type header"),
        ({"content-type": STRUCTURED}, b"{", "not the JSON"),
        ({"content-type": STRUCTURED}, b"[]", "not the JSON"),
        ({"content-type": STRUCTURED}, b"\xff", "not the JSON"),
        ({"content-type": STRUCTURED}, json(subject='"a\\u0000"'), "control character"),
        ({"content-type": STRUCTURED}, json(Upper='"x"'), "1 to 20 of a-z"),
        ({"content-type": STRUCTURED}, json(nested="{}"), "put structure into data"),
        ({"content-type": STRUCTURED}, json(half="1.5"), "put structure into data"),
        ({"content-type": STRUCTURED}, json(data="1", data_base64='""'), "not both"),
        ({"content-type": STRUCTURED}, json(data_base64='"%"'), "not base64"),
        ({"content-type": STRUCTURED}, json(data_base64="7"), "not base64"),
    ],
)
def test_what_is_wrong_is_refused_with_what_to_mend(headers: dict[str, str], body: bytes, told: str) -> None:
    with pytest.raises(Malformed) as error:
        decode(headers, body)
    assert error.value.status == 400
    assert told in error.value.detail


@pytest.mark.parametrize(
    "content_type", [BATCH, "application/cloudevents+avro", "application/cloudevents", f"{STRUCTURED}; charset=latin1"]
)
def test_another_format_is_415(content_type: str) -> None:
    with pytest.raises(UnknownFormat) as error:
        decode({"content-type": content_type}, b"[]")
    assert error.value.status == 415


def test_a_batch_is_read_where_it_was_asked_for() -> None:
    first, second = CloudEvent(id="1", source="/s", type="t"), CloudEvent(id="2", source="/s", type="t", data=b"{}")
    assert decode_batch({"content-type": BATCH}, b"[" + structured(first) + b"," + structured(second) + b"]") == [
        first,
        second,
    ]
    assert decode_batch(*binary(first)) == [first]


def test_json_nested_deeper_than_anybody_reads_is_malformed_and_not_an_error_of_ours() -> None:
    deep = b"[" * 30_000 + b"]" * 30_000
    event = b'{"specversion":"1.0","id":"1","source":"/a","type":"t","x":' + deep + b"}"
    with pytest.raises(Malformed):
        decode({"content-type": "application/cloudevents+json"}, event)
