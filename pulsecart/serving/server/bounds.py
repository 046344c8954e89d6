"""What a connection may take before a handler is asked, and while its client does not read."""

from dataclasses import dataclass, fields

from pulsecart.runtime.settings import Settings

HEAD_MAX_BYTES = 32_768  # request line and header fields
TARGET_MAX_BYTES = 8_000  # RFC 9112 §3 asks for that many at least
PIPELINE_MAX = 32  # requests of one connection that wait for the one before them


@dataclass(frozen=True, slots=True, kw_only=True)
class Bounds:
    """
    As the settings of the same names say.

    Args:
        silent_timeout_s: from a connection to its first byte.
        head_timeout_s: from a request's first byte to the end of its head.
        body_timeout_s: in each such time a body makes progress: ``progress_bytes_per_s`` of it.
        write_timeout_s: the same for what a client reads of an answer that does not fit into the socket.
        keep_alive_s: between an answer and the next request's first byte.
        connections_max: in this process; 0 is what the limit of open files leaves.
        connections_per_address: of one client's address that is no trusted proxy: a share of all, 0 to 1.
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
        """How often connections are looked at: each limit holds to a quarter of the shortest, or a second."""
        shortest_s = min(
            self.silent_timeout_s, self.head_timeout_s, self.body_timeout_s, self.write_timeout_s, self.keep_alive_s
        )
        return min(1.0, shortest_s / 4)


def bounds_of(settings: Settings) -> Bounds:
    return Bounds(**{field.name: getattr(settings, field.name) for field in fields(Bounds)})
