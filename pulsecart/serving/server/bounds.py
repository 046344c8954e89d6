"""Defines the limits of a connection before a handler is called and while its client does not read."""

from dataclasses import dataclass, fields

from pulsecart.runtime.settings import Settings

HEAD_MAX_BYTES = 32_768  # request line and header fields
TARGET_MAX_BYTES = 8_000  # RFC 9112 §3 recommends at least this many
PIPELINE_MAX = 32  # requests of one connection that wait for an earlier one


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """
    Holds the connection limits, each from the setting of the same name.

    Args:
        silent_timeout_s: maximum time from the connection to its first byte.
        head_timeout_s: maximum time from a request's first byte to the end of its head.
        body_timeout_s: interval in which a body must arrive at ``progress_bytes_per_s`` or faster.
        write_timeout_s: the same interval for a client that reads a reply too large for the socket's buffer.
        keep_alive_s: maximum time between a reply and the next request's first byte.
        connections_max: limit for this process; 0: derived from the limit of open files.
        connections_per_address: limit per client address that is no trusted proxy, as a share of all, 0 to 1.
        trusted_proxies: networks, separated by commas.
    """

    silent_timeout_s: float = 30.0
    head_timeout_s: float = 10.0
    body_timeout_s: float = 20.0
    write_timeout_s: float = 30.0
    keep_alive_s: float = 75.0
    progress_bytes_per_s: int = 128
    connections_max: int = 0
    connections_per_address: float = 0.25
    trusted_proxies: str = "127.0.0.0/8,::1"

    @property
    def tick_s(self) -> float:
        """Return the interval between checks: a quarter of the shortest limit, at most a second."""
        shortest_s = min(
            self.silent_timeout_s, self.head_timeout_s, self.body_timeout_s, self.write_timeout_s, self.keep_alive_s
        )
        return min(1.0, shortest_s / 4)


def bounds_of(settings: Settings) -> Bounds:
    return Bounds(**{field.name: getattr(settings, field.name) for field in fields(Bounds)})
