"""CloudEvents over HTTP: encoded events can be decoded, and an invalid one is rejected with the correction."""

from datetime import UTC, datetime, timedelta
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.problem import Malformed
from pulsecart.serving.cloudevents import (
    STRUCTURED,
    UnknownFormat,
    binary,
    decode,
    reply,
    structured,
)

TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=1, max_size=40)
NAMES = st.from_regex(r"[a-z0-9]{1,40}", fullmatch=True).filter(
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
    datacontenttype=st.sampled_from([None, "application/json", "application/problem+json; charset=utf-8"]),
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
    ("headers", "body", "reported"),
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
        ({**BINARY, "ce-" + "x" * 101: "x"}, b"", "up to 100"),
        ({**BINARY, "ce-data": "x"}, b"", "data is not one"),
        ({**BINARY, "ce-time": "2026-01-31T12:00:60Z"}, b"", "RFC 3339"),
        ({**BINARY, "ce-time": "2026-01-31T09:30:00." + "1" * 101 + "Z"}, b"", "RFC 3339"),
        ({**BINARY, "ce-time": "2026-01-31T09:30:00+05:99"}, b"", "RFC 3339"),
        ({**BINARY, "ce-time": "\u0662026-01-31T09:30:00Z"}, b"", "plain UTF-8"),
        ({**BINARY, "ce-subject": "caf\u00e9"}, b"", "plain UTF-8"),
        ({**BINARY, "content-type": "not a media type"}, b"", "is not a media type"),
        ({**BINARY, "content-type": "text/plain; name=\u00e9"}, b"", "is not a media type"),
        ({"content-type": STRUCTURED}, json(datacontenttype=f'"{STRUCTURED}"'), "cannot be the data of another"),
        ({"content-type": STRUCTURED}, json(id="7"), "id is not text"),
        ({"content-type": STRUCTURED}, json(time="1767225600"), "time is not text"),
        ({"content-type": STRUCTURED}, json(many="1e3"), "put structured values into data"),
        ({**BINARY, "ce-subject": "%00"}, b"", "control character"),
        ({**BINARY, "ce-subject": "%ff"}, b"", "percent-encoded"),
        ({**BINARY, "ce-datacontenttype": "text/plain"}, b"", "Content-Type header"),
        ({"content-type": STRUCTURED}, b"{", "is JSON, but the body is not"),
        ({"content-type": STRUCTURED}, b"[]", "is JSON, but the body is not"),
        ({"content-type": STRUCTURED}, b"\xff", "is JSON, but the body is not"),
        ({"content-type": STRUCTURED}, json(subject='"a\\u0000"'), "control character"),
        ({"content-type": STRUCTURED}, json(Upper='"x"'), "1 to 20 of a-z"),
        ({"content-type": STRUCTURED}, json(nested="{}"), "put structured values into data"),
        ({"content-type": STRUCTURED}, json(half="1.5"), "put structured values into data"),
        ({"content-type": STRUCTURED}, json(data="1", data_base64='""'), "not both"),
        ({"content-type": STRUCTURED}, json(data_base64='"%"'), "not base64"),
        ({"content-type": STRUCTURED}, json(data_base64="7"), "not base64"),
    ],
)
def test_what_is_wrong_is_refused_with_what_to_mend(headers: dict[str, str], body: bytes, reported: str) -> None:
    with pytest.raises(Malformed) as error:
        decode(headers, body)
    assert error.value.status == 400
    assert reported in error.value.detail


@pytest.mark.parametrize(
    "content_type",
    [
        "application/cloudevents-batch+json",
        "application/cloudevents+avro",
        "application/cloudevents",
        f"{STRUCTURED}; charset=latin1",
    ],
)
def test_another_format_is_415(content_type: str) -> None:
    with pytest.raises(UnknownFormat) as error:
        decode({"content-type": content_type}, b"[]")
    assert error.value.status == 415


def test_json_nested_deeper_than_anyone_reads_is_malformed_and_not_an_error_of_ours() -> None:
    deep = b"[" * 30_000 + b"]" * 30_000
    event = b'{"specversion":"1.0","id":"1","source":"/a","type":"t","x":' + deep + b"}"
    with pytest.raises(Malformed):
        decode({"content-type": "application/cloudevents+json"}, event)


TIMES = [
    ("2026-01-31T09:30:00Z", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
    ("2026-01-31T09:30:00.5Z", datetime(2026, 1, 31, 9, 30, 0, 500_000, tzinfo=UTC)),
    ("2026-01-31T09:30:00.123456789Z", datetime(2026, 1, 31, 9, 30, 0, 123_456, tzinfo=UTC)),
    ("2026-01-31T09:30:00.1234567890123456Z", datetime(2026, 1, 31, 9, 30, 0, 123_456, tzinfo=UTC)),
    ("2026-01-31t09:30:00.25z", datetime(2026, 1, 31, 9, 30, 0, 250_000, tzinfo=UTC)),
    ("2026-01-31T15:00:00.000+05:30", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
    ("2026-01-31T09:30:00-00:00", datetime(2026, 1, 31, 9, 30, tzinfo=UTC)),
    ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, tzinfo=UTC) - timedelta(microseconds=1)),
    ("1990-12-31T15:59:60.75-08:00", datetime(1991, 1, 1, tzinfo=UTC) - timedelta(microseconds=1)),
]


@pytest.mark.parametrize(("text", "moment"), TIMES)
def test_a_time_is_known_as_a_moment_and_goes_on_as_its_senders_text(text: str, moment: datetime) -> None:
    event = decode({**BINARY, "ce-time": text}, b"")
    assert event.time == moment
    assert binary(event)[0]["ce-time"] == text
    assert decode({"content-type": STRUCTURED}, structured(event)) == event


@pytest.mark.parametrize(
    "text", ["a b", 'say "yes"', "100%", "50%25", "caf\u00e9", "\u7eff\u8336", "a\\b", "\U0001f600"]
)
def test_text_in_a_header_may_be_percent_encoded_or_plain_utf_8_and_leaves_percent_encoded(text: str) -> None:
    encoded = decode({**BINARY, "ce-subject": quote(text)}, b"")
    assert encoded.subject == text
    if "%2" not in text:  # which would be the encoding of something else
        assert decode({**BINARY, "ce-subject": text.encode().decode("latin-1")}, b"") == encoded
    value = binary(encoded)[0]["ce-subject"]
    assert decode({**BINARY, "ce-subject": value}, b"") == encoded
    assert not set(value) - {chr(code) for code in range(0x21, 0x7F)}
    assert " " not in value


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json; charset=utf-8",
        'multipart/mixed; boundary="a b%20c"',
        "TEXT/Plain;format=flowed",
        "text/plain;",
    ],
)
def test_a_content_type_is_never_percent_encoded(content_type: str) -> None:
    event = decode({**BINARY, "content-type": content_type}, b"x")
    assert event.datacontenttype == content_type
    assert binary(event)[0]["content-type"] == content_type


def test_an_event_without_a_content_type_stays_one() -> None:
    without = {name: value for name, value in BINARY.items() if name != "content-type"}
    for event in (decode(without, b"{}"), decode({"content-type": STRUCTURED}, json(data="{}"))):
        assert event.datacontenttype is None
        assert "content-type" not in binary(event)[0]
        assert structured(event) == json(data="{}")
        assert reply(event).media_type == ""


@pytest.mark.parametrize(
    ("members", "data"),
    [
        ({}, None),
        ({"data": "null"}, b"null"),
        ({"data_base64": '""'}, b""),
        ({"data": '{"b" : 1.50,\n "a":[ 1e3 ], "b":2}'}, b'{"b" : 1.50,\n "a":[ 1e3 ], "b":2}'),
        ({"data": '"text"'}, b'"text"'),
        ({"data": '"text"', "datacontenttype": '"text/plain"'}, b"text"),
        ({"data": '""', "datacontenttype": '"text/plain"'}, b""),
        ({"data_base64": '"AP8="', "datacontenttype": '"application/json"'}, b"\x00\xff"),
        ({"data_base64": '"IHt9IA=="'}, b" {} "),
    ],
)
def test_data_arrives_byte_by_byte(members: dict[str, str], data: bytes | None) -> None:
    event = decode({"content-type": STRUCTURED}, json(**members))
    assert event.data == data
    assert decode({"content-type": STRUCTURED}, structured(event)) == event
    assert binary(event)[1] == (data or b"")


def test_an_extensions_name_may_be_longer_than_the_specification_recommends() -> None:
    name = "a" * 100
    event = decode({**BINARY, f"ce-{name}": "x"}, b"")
    assert event.extensions == {name: "x"}
    assert decode({"content-type": STRUCTURED}, structured(event)) == event


def test_an_extension_may_be_empty() -> None:
    assert decode({**BINARY, "ce-note": ""}, b"").extensions == {"note": ""}


def test_integers_beyond_the_specifications_are_kept_to_the_last_digit() -> None:
    assert decode({"content-type": STRUCTURED}, json(at="12345678901234567890", low="-1")).extensions == {
        "at": "12345678901234567890",
        "low": "-1",
    }
