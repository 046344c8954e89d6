"""Makes events for foreign SDKs to send, as JSON documents, the same in each run; and decodes messages on the wire."""

import json
from base64 import b64decode, b64encode
from random import Random
from typing import Any, NamedTuple
from urllib.parse import unquote, unquote_to_bytes

SEED = 20261129
ASCII = ["42", "a-b_c.d", "a  b", 'say "yes"', "50% off", "100%", "%41 is A", "a;b,c=d", "back\\slash", "(x)", "~|^`"]
BEYOND = ["café", "Ünïcode straße", "绿茶", "Привет мир", "emoji 😀", "e\u0301", "a\u00a0b", "٣"]
TYPES: dict[str, list[str | None]] = {
    "json": [None, "application/json", "application/json; charset=utf-8", "application/vnd.order+json"],
    "text": ["text/plain", "text/plain; charset=utf-8", 'text/markdown; variant="GFM"; charset=UTF-8'],
    "bytes": ["application/octet-stream", "image/png", 'multipart/mixed; boundary="a b%20c"'],
    "none": [None, "application/json", "text/plain"],
}
JSON = [
    '{"a":1}',
    '{ "b" : [ 1,2.50, 1e3 ],\n\t"a" : "\\u00e9\\/" }',
    '["x", null, true, {}]',
    '{"price": 10.00, "big": 9007199254740993}',
    '{"名":"茶"}',
]
SPACE = " \t\r\n"  # of JSON
OFFSETS = ["Z", "+00:00", "-08:00", "+05:30"]


def events(count: int, senders: list[str]) -> list[dict[str, Any]]:
    """Return ``count`` events, divided among senders and both modes; each id occurs with several sources."""
    random = Random(SEED)
    return [
        _event(random, n, senders[n % len(senders)], ("binary", "structured")[n // len(senders) % 2])
        for n in range(count)
    ]


def _event(random: Random, n: int, sender: str, mode: str) -> dict[str, Any]:
    # Node's HTTP client refuses header text beyond latin-1, and sends the rest of what is not ASCII as latin-1.
    texts = ASCII if (sender, mode) == ("javascript", "binary") else ASCII + BEYOND
    kind = random.choice(["json", "json", "text", "bytes", "none"])
    attributes = {
        "specversion": "1.0",
        "id": str(n % 97),
        "source": f"/strangers/{sender}/{n}",
        "type": random.choice(["com.example.ordered", "com.example.paid.v2", "x"]),
        "subject": random.choice([None, *texts]),
        "dataschema": random.choice([None, "https://example.com/schemas/a.json", "urn:x:y#z"]),
        "datacontenttype": random.choice(TYPES[kind]),
        "time": random.choice([None, _time(random)]),
    }
    named = {name: value for name, value in attributes.items() if value is not None}
    extensions: dict[str, Any] = {"strangerno": f"{n:06}"}
    for _ in range(random.randrange(4)):
        name = random.choice(["comexample", "traceid", "a1", "averylongextensionnameofmorethan20characters"])
        extensions[name] = random.choice([*texts, True, False, 7, -2147483648])
    data = {"json": random.choice(JSON), "text": random.choice(["", "plain", "Grüße\r\n", *texts])}.get(kind, "")
    body = random.randbytes(random.choice([1, 3, 256])) if kind == "bytes" else data.encode()
    return {
        "n": n,
        "sender": sender,
        "mode": mode,
        "attributes": named,
        "extensions": extensions,
        "kind": kind,
        "data": b64encode(body).decode(),
    }


def _time(random: Random) -> str:
    digits = random.choice([0, 1, 3, 6, 9, 12])
    fraction = "." + "".join(random.choices("0123456789", k=digits)) if digits else ""
    return f"2026-{random.randint(1, 12):02}-{random.randint(1, 28):02}T{random.randint(0, 23):02}:30:59{fraction}" + (
        random.choice(OFFSETS)
    )


class Said(NamedTuple):
    """
    Holds a message, decoded by the HTTP binding and the JSON format alone.

    Args:
        structured: the mode it was sent in.
        written: JSON data in structured mode, with the white space before it.
        content: of such data that is a string.
    """

    attributes: dict[str, str]
    data: bytes
    structured: bool = False
    written: bytes | None = None
    content: bytes | None = None


def described(message: dict[str, Any]) -> Said:
    """Decode a message by the ``headers`` and ``body`` that a foreign SDK sent."""
    headers = {name.lower(): value for name, value in message["headers"].items()}
    body = b64decode(message["body"])
    content_type = headers.get("content-type", "")
    if not content_type.startswith("application/cloudevents+json"):
        attributes = {name[3:]: unquote(value) for name, value in headers.items() if name.startswith("ce-")}
        return Said(attributes | ({"datacontenttype": content_type} if content_type else {}), body)
    members = dict(_members(body.decode()))
    written, data_base64 = members.pop("data", None), members.pop("data_base64", None)
    values = {name: json.loads(text) for name, text in members.items()}
    attributes = {name: _canonical(value) for name, value in values.items() if value is not None}
    if data_base64 is not None or written is None:
        return Said(attributes, b64decode(json.loads(data_base64 or '""')), structured=True)
    data = written.lstrip(SPACE)
    content = json.loads(data).encode() if data.startswith('"') else None
    if content is not None and "json" not in attributes.get("datacontenttype", "json"):
        return Said(attributes, content, structured=True)
    return Said(attributes, data.encode(), True, written.encode(), content)


def plain(text: str) -> str:
    """Decode percent signs once, as a receiver must whose SDK does not."""
    return unquote_to_bytes(text).decode()


def _canonical(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _members(text: str) -> list[tuple[str, str]]:
    """Return the members of a JSON object, each value as written, with the white space before it."""
    decoder, found, at = json.JSONDecoder(), [], text.index("{") + 1
    while text[at := _next(text, at)] != "}":
        at += text[at] == ","
        name, at = decoder.raw_decode(text, _next(text, at))
        start = text.index(":", at) + 1
        _, at = decoder.raw_decode(text, _next(text, start))
        found.append((name, text[start:at]))
    return found


def _next(text: str, at: int) -> int:
    while text[at] in SPACE:
        at += 1
    return at
