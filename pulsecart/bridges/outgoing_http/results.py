"""Defines what a call to a stranger's address needs and returns: limits, the answer, and the two kinds of failure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """
    Bounds one call.

    Args:
        total_s: from the start of the call to the end of the answer's body.
        connect_s: for the name's resolution, and again for each attempt to connect, the TLS handshake included.
        header_bytes: all that comes before the body: status lines and headers, interim (1xx) answers included.
        body_bytes: what is kept of the body; the connection is closed when a body is longer.
    """

    total_s: float = 20.0
    connect_s: float = 5.0
    header_bytes: int = 16_384
    body_bytes: int = 16_384


@dataclass(frozen=True, slots=True)
class Answer:
    """
    Holds what the receiver answered.

    Args:
        headers: in their order, decoded as Latin-1, names as they were sent.
        body: as it was sent, never decompressed; at most ``Limits.body_bytes``.
        cut: the body was longer than that, broke off, or did not end in time after the status had arrived.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    cut: bool = False


@dataclass(slots=True)
class Call:
    """
    Holds what is known of one request on its way.

    Args:
        is_reused: its connection was used before.
    """

    is_reused: bool = False


class NotAllowed(Exception):
    """
    The URL, or an address that its host resolves to, must not be called; nothing was sent.

    Args:
        reason: url, scheme, credentials, fragment, host, port, private-address or header.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class Failure(Exception):
    """
    The call had no answer.

    Args:
        reason: unresolvable, connect, tls, timeout, reset, protocol, or busy (too many calls to this host; nothing
            was sent).
        detail: a short text that may be shown to the receiver's owner; it contains no address of ours.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
