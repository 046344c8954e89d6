"""Validates request heads by RFC 9110 and 9112: target, Host, repeated fields, framing."""

import re
from enum import Enum

import httptools

from pulsecart.runtime.problem import Malformed, Problem
from pulsecart.serving.headers import FIELDS_MAX, combined
from pulsecart.serving.server.bounds import TARGET_MAX_BYTES
from pulsecart.serving.server.refused import (
    HEAD,
    HOST_MISSING,
    TARGET,
    FramingUnknown,
    HeadTooLarge,
    TargetTooLong,
    VersionUnknown,
)

Headers = list[tuple[bytes, bytes]]

HOSTS_MAX = 256
ABSOLUTE = re.compile(rb"https?://", re.IGNORECASE)
HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+,;=%-]+)(?::[0-9]{0,5})?")


class Upgrade(Enum):
    """Names the treatment of a request with an Upgrade header."""

    WEBSOCKET = 1
    IGNORED = 2
    IGNORED_WITH_BODY = 3


def check_head(target: bytes, headers: Headers, parser: httptools.HttpRequestParser, hosts: set[bytes]) -> bytes:
    """
    Validate a request head.

    Args:
        parser: the parser that has just read the head.
        headers: names in lower case, in order of arrival; repeated names are combined in place.
        hosts: cache of valid Host values.

    Returns:
        The target in origin form: path and query.

    Raises:
        Problem: the head is invalid; the status gives the kind.
    """
    found = dict(headers)
    if len(found) != len(headers) or len(found) > FIELDS_MAX or len(target) > TARGET_MAX_BYTES:
        _check_size(target, headers)
        headers[:] = combined(headers)
        found = dict(headers)
    if target[:1] != b"/":
        target, found[b"host"] = _origin_form(target, parser.get_method(), found.get(b"host"))
        headers[:] = found.items()
    host = found.get(b"host")
    # Keep-alive without a Connection field means HTTP/1.1; reading the version costs as much as all other checks.
    plain = parser.should_keep_alive() and b"connection" not in found
    version = "1.1" if plain else parser.get_http_version()
    if host not in hosts:
        _check_host(host, version, hosts)
    if version != "1.1" or b"transfer-encoding" in found:
        _check_framing(version, found.get(b"transfer-encoding"))
    return target


def upgrade_of(headers: Headers, method: bytes, *, answering: bool) -> Upgrade:
    """
    Decide how to treat a request with an Upgrade header.

    Args:
        answering: an earlier reply is not complete.

    Raises:
        Malformed: the WebSocket handshake is invalid.
        HeadTooLarge: a field is longer than the WebSocket library accepts.
    """
    found = dict(headers)
    body = b"transfer-encoding" in found or found.get(b"content-length", b"0").strip(b"0") != b""
    tokens = {token.strip().lower() for token in found.get(b"connection", b"").split(b",")}
    if b"upgrade" not in tokens or found.get(b"upgrade", b"").strip().lower() != b"websocket":
        return Upgrade.IGNORED_WITH_BODY if body else Upgrade.IGNORED
    if body or answering or method != b"GET":
        raise Malformed(
            "upgrade-malformed",
            "A WebSocket must start with a GET without a body, on a connection without requests in flight.",
        )
    if any(len(name) + len(value) > TARGET_MAX_BYTES for name, value in headers):
        raise HeadTooLarge("head-too-large", HEAD)
    return Upgrade.WEBSOCKET


def too_long(target: bytes) -> Problem:
    """Return the problem for a head that exceeds its limit."""
    if len(target) > TARGET_MAX_BYTES:
        return TargetTooLong("target-too-long", TARGET)
    return HeadTooLarge("head-too-large", HEAD)


def _check_size(target: bytes, headers: Headers) -> None:
    if len(target) > TARGET_MAX_BYTES or len(headers) > FIELDS_MAX:
        raise too_long(target)


def _check_host(host: bytes | None, version: str, known: set[bytes]) -> None:
    if host is None:
        if version == "1.1":
            raise Malformed("host-missing", HOST_MISSING)
        return
    if not HOST.fullmatch(host.strip()):
        raise Malformed("host-malformed", "Host must be a name or an address, with or without a port.")
    if len(known) >= HOSTS_MAX:
        known.clear()
    known.add(host)


def _check_framing(version: str, coding: bytes | None) -> None:
    if version not in ("1.0", "1.1"):
        raise VersionUnknown("http-version-unknown", "Only HTTP/1.1 and HTTP/1.0 are supported.")
    if coding is None:
        return
    if version == "1.0":
        raise Malformed("request-malformed", "HTTP/1.0 has no Transfer-Encoding. Send Content-Length.")
    if coding.strip().lower() != b"chunked":
        raise FramingUnknown(
            "transfer-coding-unknown", "Send the body with Content-Length, or with Transfer-Encoding: chunked."
        )


def _origin_form(target: bytes, method: bytes, host: bytes | None) -> tuple[bytes, bytes]:
    """Return path and query, and the host; an absolute target's host replaces the Host header (RFC 9112 §3.2.2)."""
    if target == b"*" and method == b"OPTIONS":
        if host is None:
            raise Malformed("host-missing", HOST_MISSING)
        return target, host
    try:
        parts = httptools.parse_url(target) if ABSOLUTE.match(target) else None
    except httptools.HttpParserInvalidURLError:
        parts = None
    if parts is None or not parts.host or parts.userinfo:
        raise Malformed("target-malformed", "Request a path that begins with a slash.")
    name = b"[%b]" % parts.host if b":" in parts.host else parts.host
    path = parts.path or b"/"
    return (
        path + b"?" + parts.query if parts.query else path,
        b"%b:%d" % (name, parts.port) if parts.port else name,
    )
