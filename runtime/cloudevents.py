"""CloudEvents 1.0 over HTTP ⇄ CloudEvent (HTTP protocol binding and JSON format, https://github.com/cloudevents/spec)."""

import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from runtime.http import Reply
from shop.bounds import is_clean
from shop.event import CloudEvent
from shop.problem import Malformed

STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"
UNREADABLE = ("bad-json", "unknown-format")  # types of Malformed: no event at all, good or bad
_ANY_CLOUDEVENT = "application/cloudevents"
_NAME = re.compile(r"[a-z0-9]{1,20}")
_HEADER_SAFE = re.compile(r"[!#$&-~]*")  # all of U+0021 to U+007E but the double quote and the percent sign
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)")
_KNOWN = frozenset(("specversion", "id", "source", "type", "time", "subject", "dataschema", "datacontenttype"))
_Members = dict[str, msgspec.Raw]
_decode_members = msgspec.json.Decoder(_Members).decode
_decode_batch = msgspec.json.Decoder(list[_Members]).decode


class UnknownFormat(Malformed):
    """A content type that says CloudEvent, in a format not spoken here."""

    status = 415
    title = "Unknown event format"


def decode(headers: Mapping[str, str], body: bytes) -> CloudEvent:
    """
    The event of one HTTP message, binary or structured.

    Args:
        headers: names in lower case.

    Raises:
        Malformed: it is no CloudEvent 1.0; the detail says what to mend.
        UnknownFormat: a batch, or a format other than JSON (415).
    """
    content_type = headers.get("content-type", "")
    if content_type[:23].lower() == _ANY_CLOUDEVENT:
        if _media(content_type) != STRUCTURED:
            raise UnknownFormat("unknown-format", f"Send one event as {STRUCTURED}, not {content_type}.")
        return _from_members(_parsed(_decode_members, body))
    return _from_headers(headers, content_type, body)


def decode_batch(headers: Mapping[str, str], body: bytes) -> list[CloudEvent]:
    """The events of a batch; one event alone is a batch of one. Raises as ``decode`` does."""
    if _media(headers.get("content-type", "")) != BATCH:
        return [decode(headers, body)]
    return [_from_members(members) for members in _parsed(_decode_batch, body)]


def carries_event(headers: Mapping[str, str]) -> bool:
    """Whether an HTTP message says that it is a CloudEvent, well-formed or not."""
    return "ce-specversion" in headers or headers.get("content-type", "")[:23].lower() == _ANY_CLOUDEVENT


def binary(event: CloudEvent) -> tuple[dict[str, str], bytes]:
    """Headers (``content-type`` and ``ce-…``, lower case) and body in binary mode."""
    headers = {f"ce-{name}": _to_header(value) for name, value in event.attributes().items()}
    headers["content-type"] = headers.pop("ce-datacontenttype")
    return headers, event.data or b""


def structured(event: CloudEvent) -> bytes:
    """The body in structured mode; its content type is STRUCTURED."""
    return msgspec.json.encode(document(event))


def document(event: CloudEvent) -> dict[str, Any]:
    """The members of the JSON format: JSON data as ``data``, UTF-8 not needed of anything else, as ``data_base64``."""
    members: dict[str, Any] = {**event.attributes()}
    if event.data is None:
        return members
    if _is_json(event.datacontenttype) and _well_formed(event.data):
        members["data"] = msgspec.Raw(event.data)
    else:
        members["data_base64"] = event.data
    return members


def reply(event: CloudEvent) -> Reply:
    """A 200 that carries ``event``, in binary mode."""
    headers, body = binary(event)
    return Reply(200, body, headers.pop("content-type"), tuple(headers.items()))


def _from_headers(headers: Mapping[str, str], content_type: str, body: bytes) -> CloudEvent:
    attributes = {}
    for name, value in headers.items():
        if name.startswith("ce-"):
            attributes[name[3:]] = _from_header(name, value)
    if "specversion" not in attributes:
        raise Malformed("no-event", f"Send ce-specversion, ce-id, ce-source and ce-type, or a body as {STRUCTURED}.")
    if attributes.pop("datacontenttype", content_type) != content_type:
        raise Malformed("bad-attribute", "In binary mode datacontenttype is the Content-Type header; leave ce- away.")
    return _event(attributes, content_type, body or None)


def _from_members(members: _Members) -> CloudEvent:
    data, data_base64 = members.pop("data", None), members.pop("data_base64", None)
    attributes = {}
    for name, raw in members.items():
        if (value := _scalar(name, raw)) is not None:
            attributes[name] = value
    content_type = attributes.pop("datacontenttype", "")
    return _event(attributes, content_type, _data(data, data_base64, content_type))


def _event(attributes: dict[str, str], content_type: str, data: bytes | None) -> CloudEvent:
    take = attributes.pop
    if (version := take("specversion", "")) != "1.0":
        raise Malformed("bad-specversion", f"specversion is {version!r}; only '1.0' is spoken here.")
    required = take("id", ""), take("source", ""), take("type", "")
    if not all(required):
        missing = [name for name, value in zip(("id", "source", "type"), required, strict=True) if not value]
        raise Malformed("missing-attribute", f"Every event needs {', '.join(missing)}, not empty.")
    return CloudEvent(
        id=_clean("id", required[0]),
        source=_clean("source", required[1]),
        type=_clean("type", required[2]),
        time=_time(take("time", "")),
        subject=_clean("subject", take("subject", "")) or None,
        dataschema=_clean("dataschema", take("dataschema", "")) or None,
        datacontenttype=_clean("datacontenttype", content_type) or "application/json",
        data=data,
        extensions={_name(name): _clean(name, value) for name, value in attributes.items() if value},
    )


def _name(name: str) -> str:
    if _NAME.fullmatch(name):
        return name
    raise Malformed("bad-attribute-name", f"{name[:40]!r}: attribute names are 1 to 20 of a-z and 0-9.")


def _clean(name: str, value: str) -> str:
    if is_clean(value):
        return value
    raise Malformed("bad-attribute", f"{name} holds a control character; take it out.")


def _time(text: str) -> datetime | None:
    if not text:
        return None
    try:
        if _RFC3339.fullmatch(text):
            return datetime.fromisoformat(text.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise Malformed("bad-time", f"time {text[:40]!r} is not RFC 3339 with an offset, like 2026-01-31T09:30:00.000Z.")


def _scalar(name: str, raw: msgspec.Raw) -> str | None:
    value = _parsed(msgspec.json.decode, bytes(raw))
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    raise Malformed("bad-attribute", f"{name[:40]} is neither text, integer nor boolean; put structure into data.")


def _data(data: msgspec.Raw | None, data_base64: msgspec.Raw | None, content_type: str) -> bytes | None:
    if data is not None and data_base64 is not None:
        raise Malformed("two-data", "Give data or data_base64, not both.")
    if data_base64 is not None:
        try:
            return b64decode(msgspec.json.decode(data_base64, type=str), validate=True)
        except (NotBase64, ValueError, msgspec.ValidationError):
            raise Malformed("bad-data", "data_base64 is not base64 text.") from None
    if data is None:
        return None
    if content_type and not _is_json(content_type):
        value = _parsed(msgspec.json.decode, bytes(data))
        return value.encode() if isinstance(value, str) else bytes(data)
    return bytes(data)


def _parsed(decoder: Any, body: bytes) -> Any:
    try:
        return decoder(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed("bad-json", f"The body is not the JSON that its content type says: {error}.") from None


def _from_header(name: str, value: str) -> str:
    if value[:1] == '"' == value[-1:] and len(value) > 1:
        value = re.sub(r"\\(.)", r"\1", value[1:-1])
    if "%" not in value:
        return value
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        raise Malformed("bad-header", f"{name} is not percent-encoded UTF-8.") from None


def _to_header(value: str) -> str:
    return value if _HEADER_SAFE.fullmatch(value) else quote(value, safe="!#$&'()*+,-./:;<=>?@[\\]^_`{|}~")


def _media(content_type: str) -> str:
    media, _, parameters = content_type.lower().partition(";")
    return media.strip() if "charset" not in parameters or "utf-8" in parameters else content_type


def _is_json(content_type: str) -> bool:
    media = content_type.partition(";")[0].strip().lower()
    return media in ("application/json", "text/json") or media.endswith("+json")


def _well_formed(data: bytes) -> bool:
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
