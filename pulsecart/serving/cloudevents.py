"""
Decodes and encodes CloudEvents 1.0 over HTTP (HTTP protocol binding and JSON format,
https://github.com/cloudevents/spec).
"""

import re
from base64 import b64decode
from binascii import Error as NotBase64
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from pulsecart.runtime.bounds import is_clean
from pulsecart.runtime.event import CloudEvent, rfc3339
from pulsecart.runtime.moment import of_rfc3339
from pulsecart.runtime.problem import Malformed
from pulsecart.serving import header_text
from pulsecart.serving.http import Reply

STRUCTURED = "application/cloudevents+json"
UNREADABLE = ("bad-json", "unknown-format")  # types of Malformed: the body is no event at all
_ANY_CLOUDEVENT = "application/cloudevents"
NAME_MAX = 100  # the specification recommends 20
_NAME = re.compile(rf"[a-z0-9]{{1,{NAME_MAX}}}")
_WORD = "[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_MEDIA_TYPE = re.compile(rf"{_WORD}(/{_WORD})?([ \t]*;([\t -~]*[!-~])?)?")
_INTEGER = re.compile(rb"-?[0-9]{1,32}")
_TEXTS = frozenset(("specversion", "id", "source", "type", "time", "subject", "dataschema", "datacontenttype"))
_decode_members = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode


class UnknownFormat(Malformed):
    """The content type names a CloudEvents format that is not supported."""

    status = 415
    title = "Unknown event format"


def decode(headers: Mapping[str, str], body: bytes) -> CloudEvent:
    """
    Decode the event of one HTTP message, in binary or structured mode.

    Args:
        headers: names in lower case; values are the ASGI bytes decoded as latin-1.

    Raises:
        Malformed: the message is no CloudEvent 1.0; the detail states the correction.
        UnknownFormat: a batch, or a format other than JSON (415).
    """
    content_type = headers.get("content-type", "")
    if content_type[:23].lower() == _ANY_CLOUDEVENT:
        if media_of(content_type) != STRUCTURED:
            raise UnknownFormat("unknown-format", f"Send one event as {STRUCTURED}, not {content_type}.")
        return from_json(body)
    return _from_headers(headers, content_type, body)


def from_json(body: bytes | msgspec.Raw) -> CloudEvent:
    """Decode one event of the JSON format; raises Malformed as ``decode`` does."""
    return _from_members(parsed(_decode_members, body))


def carries_event(headers: Mapping[str, str]) -> bool:
    """Return whether an HTTP message claims to be a CloudEvent, well-formed or not."""
    return "ce-specversion" in headers or headers.get("content-type", "")[:23].lower() == _ANY_CLOUDEVENT


def binary(event: CloudEvent) -> tuple[dict[str, str], bytes]:
    """Encode in binary mode: return headers (``content-type`` and ``ce-…``, lower case) and body."""
    attributes = event.attributes()
    content_type = attributes.pop("datacontenttype", None)
    headers = {f"ce-{name}": header_text.encode(value) for name, value in attributes.items()}
    if content_type is not None:
        headers["content-type"] = content_type
    return headers, event.data or b""


def structured(event: CloudEvent) -> bytes:
    """Encode in structured mode: return the body, whose content type is STRUCTURED."""
    return msgspec.json.encode(document(event))


def document(event: CloudEvent) -> dict[str, Any]:
    """Return the members of the JSON format: JSON data unchanged as ``data``, all other data as ``data_base64``."""
    members: dict[str, Any] = {**event.attributes()}
    if event.data is None:
        return members
    if _is_json(event.datacontenttype) and _well_formed(event.data):
        members["data"] = msgspec.Raw(event.data)
    else:
        members["data_base64"] = event.data
    return members


def reply(event: CloudEvent) -> Reply:
    """Create a 200 reply that carries ``event`` in binary mode."""
    headers, body = binary(event)
    content_type = headers.pop("content-type", "")
    if content_type and not body:  # a reply without a body is sent without its media type
        headers["content-type"] = content_type
    return Reply(200, body, content_type, tuple(headers.items()))


def _from_headers(headers: Mapping[str, str], content_type: str, body: bytes) -> CloudEvent:
    attributes = {}
    for name, value in headers.items():
        if name.startswith("ce-"):
            attributes[name[3:]] = header_text.decode(name, value)
    if "specversion" not in attributes:
        raise Malformed("no-event", f"Send ce-specversion, ce-id, ce-source and ce-type, or a body as {STRUCTURED}.")
    if attributes.pop("datacontenttype", content_type) != content_type:
        raise Malformed(
            "bad-attribute", "In binary mode datacontenttype is the Content-Type header; send no ce-datacontenttype."
        )
    return _event(attributes, content_type, body or None)


def _from_members(members: dict[str, msgspec.Raw]) -> CloudEvent:
    data, data_base64 = members.pop("data", None), members.pop("data_base64", None)
    attributes = {}
    for name, raw in members.items():
        if (value := _text(name, bytes(raw))) is not None:
            attributes[name] = value
    content_type = attributes.pop("datacontenttype", "")
    return _event(attributes, content_type, _data(data, data_base64, content_type))


def _event(attributes: dict[str, str], content_type: str, data: bytes | None) -> CloudEvent:
    take = attributes.pop
    if (version := take("specversion", "")) != "1.0":
        raise Malformed("bad-specversion", f"specversion is {version!r}; only '1.0' is supported.")
    required = take("id", ""), take("source", ""), take("type", "")
    if not all(required):
        missing = [name for name, value in zip(("id", "source", "type"), required, strict=True) if not value]
        raise Malformed("missing-attribute", f"Every event needs {', '.join(missing)}, not empty.")
    time, time_text = _time(take("time", ""))
    return CloudEvent(
        id=_clean("id", required[0]),
        source=_clean("source", required[1]),
        type=_clean("type", required[2]),
        time=time,
        time_text=time_text,
        subject=_clean("subject", take("subject", "")) or None,
        dataschema=_clean("dataschema", take("dataschema", "")) or None,
        datacontenttype=_content_type(content_type),
        data=data,
        extensions={_name(name): _clean(name, value) for name, value in attributes.items()},
    )


def _name(name: str) -> str:
    if _NAME.fullmatch(name) and name != "data":
        return name
    reason = f"attribute names are 1 to 20 of a-z and 0-9, up to {NAME_MAX} are taken, and data is not one"
    raise Malformed("bad-attribute-name", f"{name[:40]!r}: {reason}.")


def _clean(name: str, value: str) -> str:
    if is_clean(value):
        return value
    raise Malformed("bad-attribute", f"{name} has a control character. Remove it.")


def _content_type(text: str) -> str | None:
    """Validate a data content type: deliveries send it as Content-Type, where it can be neither encoded nor nested."""
    if not text:
        return None
    if not _MEDIA_TYPE.fullmatch(text):
        raise Malformed("bad-attribute", f"{text[:80]!r} is not a media type, such as text/plain; charset=utf-8.")
    if text[: len(_ANY_CLOUDEVENT)].lower() == _ANY_CLOUDEVENT:
        raise Malformed(
            "bad-attribute", f"An event cannot be the data of another as {text[:80]}; use a JSON media type."
        )
    return text


def _time(text: str) -> tuple[datetime | None, str | None]:
    """Parse a time; also return the text if the parsed value does not preserve it."""
    if not text:
        return None, None
    at = of_rfc3339(text)
    if at is None:
        raise Malformed(
            "bad-time", f"time {text[:40]!r} is not RFC 3339 with an offset, such as 2026-01-31T09:30:00.5Z."
        )
    return at, text if text != rfc3339(at) else None


def _text(name: str, raw: bytes) -> str | None:
    """Return an attribute's canonical text; None if it is null, which means absent."""
    if raw[:1] == b'"':
        return str(parsed(msgspec.json.decode, raw))
    if raw == b"null":
        return None
    if name in _TEXTS:
        raise Malformed("bad-attribute", f"{name} is not text; put it in quotes.")
    if raw in (b"true", b"false") or _INTEGER.fullmatch(raw):
        return raw.decode()
    raise Malformed(
        "bad-attribute", f"{name[:40]} is neither text, integer nor boolean; put structured values into data."
    )


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
    if not _is_json(content_type):
        value = parsed(msgspec.json.decode, bytes(data))
        return value.encode() if isinstance(value, str) else bytes(data)
    return bytes(data)


def parsed(decoder: Any, body: bytes | msgspec.Raw) -> Any:
    """Call a JSON decoder; raises Malformed if the body is not JSON or another value."""
    try:
        return decoder(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed("bad-json", f"The content type is JSON, but the body is not: {error}.") from None


def media_of(content_type: str) -> str:
    """Return a media type in lower case; with its parameters if they name another charset than UTF-8."""
    media, _, parameters = content_type.lower().partition(";")
    return media.strip() if "charset" not in parameters or "utf-8" in parameters else content_type


def _is_json(content_type: str | None) -> bool:
    if not content_type:
        return True
    media = content_type.partition(";")[0].strip().lower()
    return media in ("application/json", "text/json") or media.endswith("+json")


def _well_formed(data: bytes) -> bool:
    if data != data.strip():  # a decoder would drop the whitespace around the value
        return False
    try:
        msgspec.json.decode(data, type=msgspec.Raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True
