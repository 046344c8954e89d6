"""Admits connections and checks each once per tick, with one guard for all connections of a process."""

import asyncio
import errno
import logging
import os
from collections import Counter, OrderedDict
from typing import Protocol

from pulsecart.runtime.problem import Problem, Unavailable
from pulsecart.runtime.telemetry.metrics import CONNECTIONS_ENDED
from pulsecart.serving.addresses import Proxies
from pulsecart.serving.server import open_files
from pulsecart.serving.server.bounds import Bounds

log = logging.getLogger(__name__)
CLOSE_S = 10.0  # maximum time until a closing connection with nothing left to send is gone
PRESSED_KEEP_ALIVE_S = 1.0  # maximum idle time while the connection limit is reached
TURNED_AWAY_MAX = 64  # rejected connections that get a reply; further ones are closed without one
REPORT_S = 10.0
NEVER = float("inf")
EXPECTED = frozenset({"silent", "keep-alive"})  # browsers open spare connections


class Guarded(Protocol):
    """Describes a connection that the guard checks."""

    address: str

    def check(self, now: float) -> None:
        """End the connection if it exceeded a time limit; called once per tick."""

    def end(self, reason: str) -> None:
        """Close the connection immediately, to free its place."""


class Guard:
    """
    Limits the number of connections and checks their time limits.

    Attributes:
        now: seconds that the loop could spend on its connections, up to the last tick. Stalls of the loop, as on an
            overloaded machine, do not count against clients.
        pressed: the connection limit is reached: idle connections are closed early.
    """

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.now = 0.0
        self.pressed = False
        self.proxies = Proxies(bounds.trusted_proxies)
        self.hosts: set[bytes] = set()  # cache of valid Host values
        limit = open_files.raise_limit()
        self.connections_max = bounds.connections_max or open_files.room(limit)
        self._share = max(1, int(self.connections_max * bounds.connections_per_address))
        open_files.warn_if_low(limit, self.connections_max)
        self._connections: set[Guarded] = set()
        self._turned_away: set[Guarded] = set()
        self._waiting: OrderedDict[Guarded, None] = OrderedDict()  # sent no complete head yet, oldest first
        self._by_address: Counter[str] = Counter()
        self._looked = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._ended: Counter[str] = Counter()
        self._reported = -NEVER

    def __len__(self) -> int:
        return len(self._connections)

    def admit(self, connection: Guarded) -> Problem | None:
        """
        Admit a connection; return the problem to answer if it is rejected.

        If the limit is reached, the oldest connection that has never sent a complete head is closed instead.
        """
        self._start()
        address = connection.address
        if self._by_address[address] >= self._share and address not in self.proxies:
            return self._turn_away(connection, "address-share", f"{self._share} connections from your address are open")
        if len(self._connections) >= self.connections_max and not self._make_room():
            return self._turn_away(connection, "full", "this server has the maximum number of connections")
        self.enter(connection)
        self._waiting[connection] = None
        return None

    def enter(self, connection: Guarded) -> None:
        """Count a connection, whose protocol may just have changed from HTTP to WebSocket."""
        self._connections.add(connection)
        self._by_address[connection.address] += 1

    def spoke(self, connection: Guarded) -> None:
        """Note that the connection's first head is complete."""
        self._waiting.pop(connection, None)

    def left(self, connection: Guarded) -> None:
        self._waiting.pop(connection, None)
        self._turned_away.discard(connection)
        if connection in self._connections:
            self._connections.remove(connection)
            self._by_address[connection.address] -= 1
            if not self._by_address[connection.address]:
                del self._by_address[connection.address]

    def count(self, reason: str) -> None:
        """Count a connection or request that ended for ``reason`` before it reached a handler."""
        self._ended[reason] += 1
        CONNECTIONS_ENDED.of(reason).add()

    def _turn_away(self, connection: Guarded, reason: str, why: str) -> Problem:
        self.count(reason)
        if len(self._turned_away) < TURNED_AWAY_MAX:
            self._turned_away.add(connection)
        else:
            connection.end("")
        return Unavailable("too-many-connections", f"Too many connections: {why}. Try again in a second.")

    def _make_room(self) -> bool:
        self.pressed = True
        if not self._waiting:
            return False
        oldest, _ = self._waiting.popitem(last=False)
        oldest.end("made-room")
        return True

    def _start(self) -> None:
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._looked = loop.time()
            self._timer = loop.call_later(self.bounds.tick_s, self._tick)

    def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        self.now += min(began - self._looked, 2 * self.bounds.tick_s)
        self._looked = began
        self.pressed = len(self._connections) >= self.connections_max
        self._look_for_a_free_file()
        for connection in (*self._connections, *self._turned_away):
            connection.check(self.now)
        self._report()
        self._timer = None
        if self._connections or self._turned_away or self._ended:
            self._timer = loop.call_later(self.bounds.tick_s, self._tick)

    def _look_for_a_free_file(self) -> None:
        """
        End up to 16 waiting connections if no file can be opened.

        Otherwise the loop would silently close accepted connections, and might even give up its listening sockets.
        """
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            if error.errno not in (errno.EMFILE, errno.ENFILE):
                raise
            self.count("no-open-files")
            for _ in range(min(len(self._waiting), 16)):
                self._make_room()

    def _report(self) -> None:
        if self._ended and self.now - self._reported >= REPORT_S:
            self._reported = self.now
            for reason, count in self._ended.items():
                level = logging.INFO if reason in EXPECTED else logging.WARNING
                log.log(level, SAYS.get(reason, "%d requests refused: " + reason), count)
            self._ended.clear()


SAYS = {
    "silent": "%d connections closed that never sent a request",
    "keep-alive": "%d idle connections closed",
    "head-too-slow": "%d connections closed: the head of a request did not arrive in time (408)",
    "body-too-slow": "%d connections closed: the body of a request did not arrive in time (408)",
    "reader-too-slow": "%d connections closed: the client did not read its answer in time",
    "address-share": "%d connections refused: their address has the maximum number of connections (503)",
    "full": "%d connections refused: this process has the maximum number of connections (503)",
    "made-room": "%d connections closed that had sent nothing: new connections needed their place",
    "no-open-files": "%d times no file could be opened: connections are refused until others close",
}
