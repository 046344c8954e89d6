"""The limits of stored and compared values are the same for every entrance."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pulsecart.runtime.bounds import (
    ATTRIBUTE_BYTES,
    EXTENSION_BYTES,
    EXTENSIONS_MAX,
    SEQUENCE_MAX,
    check_event,
    check_json,
    check_query,
    is_sequence,
)
from pulsecart.runtime.event import CloudEvent, padded
from pulsecart.runtime.problem import Malformed, Unstorable

EVENT = CloudEvent(id="1", source="/s", type="t", subject="7", data=b"{}", extensions={"sequence": padded(1)})
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXTS,
    lambda values: st.lists(values, max_size=4) | st.dictionaries(TEXTS, values, max_size=4),
    max_leaves=12,
)


def has_nul(value: object) -> bool:
    if isinstance(value, str):
        return "\0" in value
    if isinstance(value, dict):
        return any(has_nul(part) for pair in value.items() for part in pair)
    return isinstance(value, list) and any(map(has_nul, value))


@given(JSON)
def test_json_with_u_0000_anywhere_is_refused_and_no_other_json(value: object) -> None:
    body = json.dumps(value).encode()
    if has_nul(value):
        with pytest.raises(Unstorable):
            check_json(body)
    else:
        check_json(body)


@pytest.mark.parametrize("text", ["\\u0000", "\\\\u0000", "a\\", "\\\\\\u0000 \\"])
def test_a_text_that_only_spells_the_escape_is_no_nul(text: str) -> None:
    check_json(json.dumps({text: [text]}).encode())
    with pytest.raises(Unstorable):
        check_json(json.dumps({text + "\0": 1}).encode())


@pytest.mark.parametrize("name", ["id", "source", "type", "subject", "dataschema", "datacontenttype"])
@pytest.mark.parametrize("bad", ["a\0", "a\n", "\x1f", "\x7f", "a\x85b", "\ud800", "x" * 1025, "é" * 513, "😀" * 257])
def test_an_attribute_without_control_characters_and_short_enough_for_an_index_is_taken(name: str, bad: str) -> None:
    with pytest.raises(Malformed) as refused:
        check_event(replace(EVENT, **{name: bad}))
    assert name in refused.value.detail
    check_event(replace(EVENT, **{name: "é😀\u200d" * (ATTRIBUTE_BYTES // 9)}))


@pytest.mark.parametrize("bad", ["a\0", "x" * (EXTENSION_BYTES + 1), "é" * EXTENSION_BYTES])
def test_extensions_have_their_own_bound_and_the_partition_key_that_of_an_id(bad: str) -> None:
    with pytest.raises(Malformed):
        check_event(replace(EVENT, extensions={"color": bad}))
    check_event(replace(EVENT, extensions={"color": "x" * EXTENSION_BYTES}))
    with pytest.raises(Malformed):
        check_event(replace(EVENT, extensions={"partitionkey": "x" * (ATTRIBUTE_BYTES + 1)}))
    with pytest.raises(Malformed):
        check_event(replace(EVENT, extensions={f"e{n}": "1" for n in range(EXTENSIONS_MAX + 1)}))


@pytest.mark.parametrize("bad", ["٣", "²", "१", "-1", "+1", " 1", "1.0", "0x1", "1e3", "9" * 20, "0" * 21, str(2**63)])
def test_a_sequence_is_ascii_digits_of_a_number_that_a_column_holds(bad: str) -> None:
    event = replace(EVENT, extensions={"sequence": bad})
    with pytest.raises(Malformed):
        check_event(event)
    assert event.sequence == 0, "whoever reads it from the log still gets a number"


@given(st.integers(0, SEQUENCE_MAX))
def test_every_sequence_of_a_column_passes_with_zeros_before_it_or_without(sequence: int) -> None:
    for text in (str(sequence), padded(sequence)):
        assert is_sequence(text)
        assert replace(EVENT, extensions={"sequence": text}).sequence == sequence


@pytest.mark.parametrize("time", [datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, tzinfo=UTC)])
def test_a_time_that_not_every_zone_can_show_is_refused(time: datetime) -> None:
    with pytest.raises(Malformed):
        check_event(replace(EVENT, time=time))


def test_data_that_is_no_json_may_hold_anything() -> None:
    check_event(replace(EVENT, datacontenttype="text/plain", data=b"\\u0000 \x00"))


@pytest.mark.parametrize("query", ["q=%00", "a=1&b=x%00y"])
def test_a_query_has_no_u_0000(query: str) -> None:
    with pytest.raises(Unstorable):
        check_query(query)
    check_query(query.replace("%00", "%2500"))
