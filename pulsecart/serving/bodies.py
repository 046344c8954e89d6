"""Decodes and validates request bodies; errors name the position and the reason."""

import re
from collections.abc import Iterable
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

from pulsecart.runtime.bounds import check_json
from pulsecart.runtime.problem import Malformed

# Patterns end in $(?!\n): in Python, $ alone also matches before a trailing newline.
ID_MAX = 64
Id = (
    Annotated[str, Meta(min_length=1, max_length=ID_MAX, pattern=r"^[\x21-\x7e]+$(?!\n)")]
    | Annotated[int, Meta(ge=0, lt=10**15)]
)
Quantity = Annotated[int, Meta(ge=1, le=1000)]
Price = Annotated[float, Meta(ge=0, le=10**9)]
LINES_MAX = 20
DEPTH_MAX = 16
VALUES_MAX = 4096


def names_somebody(text: str) -> bool:
    """Return whether ``text`` is a valid Id by the rule for bodies; used for ids in queries and tokens."""
    return len(text) <= ID_MAX and re.fullmatch(r"[\x21-\x7e]+", text) is not None


Body = TypeVar("Body")
_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def decoded(body: bytes, kind: type[Body]) -> Body:
    """
    Decode and validate a JSON body.

    Raises:
        Malformed: the body is not JSON, too deep, has too many values, or does not match ``kind``.
        Unstorable: a member holds U+0000.
    """
    check_extent(body)
    decoder = _decoders.get(kind)
    if decoder is None:
        decoder = _decoders[kind] = msgspec.json.Decoder(kind)
    try:
        result: Body = decoder.decode(body)
    except msgspec.ValidationError as error:
        raise Malformed("body-invalid", f"The body does not match its schema: {error}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed("body-not-json", f"The body is not JSON: {error}.") from None
    check_json(body)
    return result


def check_extent(body: bytes) -> None:
    """
    Reject a body nested deeper than DEPTH_MAX or with more than VALUES_MAX values, unknown members included.

    Brackets and commas are counted first, those in strings included: almost every body passes by that alone.

    Raises:
        Malformed: the body exceeds a limit.
    """
    if body.count(b"[") + body.count(b"{") <= DEPTH_MAX and body.count(b",") + body.count(b":") < VALUES_MAX:
        return
    try:
        level: list[Any] = [msgspec.json.decode(body)]
    except RecursionError:
        raise _too_deep() from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        return  # ``decoded`` reports the error
    depth = values = 0
    while level := [part for value in level for part in _parts(value)]:
        depth += 1
        values += len(level)
        if depth > DEPTH_MAX:
            raise _too_deep()
        if values > VALUES_MAX:
            raise Malformed("body-too-long", f"The body has more than {VALUES_MAX} values.")


def _parts(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _too_deep() -> Malformed:
    return Malformed("body-too-deep", f"The body is nested deeper than {DEPTH_MAX} levels.")
