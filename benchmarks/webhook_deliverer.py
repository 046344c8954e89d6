"""
Runs webhook_deliver alone in a process of its own, which may be killed: the next one takes over its socket.

    python -m benchmarks.webhook_deliverer FD CLAIM_S
"""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from subprocess import Popen

import uvloop
from aiohttp import ClientError, ClientSession, ClientTimeout

from functions.webhook_deliver import claims, sender
from pulsecart.local.child import spawn, stop
from pulsecart.processes import registry
from pulsecart.processes.function import BACKLOG, Function, accepting, server
from pulsecart.runtime.deps import close_deps, open_deps
from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.settings import Settings, read
from pulsecart.runtime.wakeups import WAKE_PATH
from pulsecart.serving import cloudevents

ROOT = Path(__file__).parents[1]
CLAIM_S = claims.LEASE.total_seconds()
STOP_S = 10.0
REPLY_S = 20.0
REPEAT_S = 0.05
ENVIRON = ("database_url", "redis_url", "webhook_keys", "outgoing_allow")


class Deliverer:
    """
    Starts, kills and stops the process, and posts events to it as a broker does: until it answers 204.

    Args:
        log: file to which its output is appended.
        claim_s: how long a message stays claimed by a process that was killed; the product's is CLAIM_S.
    """

    def __init__(self, settings: Settings, listening: socket.socket, log: Path, claim_s: float = CLAIM_S) -> None:
        self._listening = listening
        self._log = log
        self._claim_s = claim_s
        self._environ = os.environ | {name.upper(): getattr(settings, name) for name in ENVIRON}
        self._environ["PYTHONPATH"] = str(ROOT)
        self._url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        self._child: Popen[bytes] | None = None
        self.repeated = 0

    def start(self) -> None:
        fd = self._listening.fileno()
        command = [sys.executable, "-m", "benchmarks.webhook_deliverer", str(fd), str(self._claim_s)]
        self._child = spawn(command, log=self._log, environ=self._environ, fds=[fd])

    def kill(self) -> None:
        """End the process by SIGKILL."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()

    async def stop(self) -> None:
        """End the process in order: attempts in flight are canceled and given back."""
        if self._child is not None:
            await asyncio.to_thread(stop, self._child, signal.SIGTERM, STOP_S)

    async def post(self, http: ClientSession, event: CloudEvent) -> None:
        """Return when the process has stored the event's messages; a killed process is asked again."""
        await self._posted(http, "/", {"content-type": cloudevents.STRUCTURED}, cloudevents.structured(event))

    async def wake(self, http: ClientSession) -> None:
        await self._posted(http, WAKE_PATH, {}, b"")

    async def _posted(self, http: ClientSession, path: str, headers: dict[str, str], body: bytes) -> None:
        while True:
            try:
                async with http.post(self._url + path, headers=headers, data=body) as answer:
                    if answer.status == 204:
                        return
                    if answer.status < 500:
                        raise RuntimeError(f"webhook_deliver answered {answer.status}: {await answer.text()}")
            except (ClientError, OSError):  # it was killed; TimeoutError is one of the latter
                pass
            self.repeated += 1
            await asyncio.sleep(REPEAT_S)


@contextmanager
def deliverer(settings: Settings, log: Path, claim_s: float = CLAIM_S) -> Iterator[Deliverer]:
    """Open the socket of a deliverer that is not started yet; it is killed at the end."""
    with socket.create_server(("127.0.0.1", 0), backlog=BACKLOG) as listening:
        made = Deliverer(settings, listening, log, claim_s)
        try:
            yield made
        finally:
            made.kill()


def session() -> ClientSession:
    return ClientSession(timeout=ClientTimeout(total=REPLY_S))


async def serve(listening: socket.socket, claim: timedelta) -> None:
    """Serve as one worker of a shop does: it wakes itself."""
    claims.LEASE = claim
    sender.LEASE = claim  # type: ignore[attr-defined]  # imported there by name
    operation = registry.load(sender.NAME)
    deps = open_deps(read(os.environ))
    wake, own = operation.wake, deps.share(operation.name, operation.connections)
    assert wake is not None
    deps.wake_ups.register(operation.name, lambda: wake(own))
    deps.wake(operation.name)  # for what an earlier process left
    signal.signal(signal.SIGTERM, lambda number, frame: None)  # uvicorn raises it again, before what follows
    try:
        await server(Function(operation, deps)).serve(sockets=accepting(listening))
    finally:
        await deps.wake_ups.close()
        await close_deps(deps)


def main() -> None:
    with socket.socket(fileno=int(sys.argv[1])) as listening:
        uvloop.run(serve(listening, timedelta(seconds=float(sys.argv[2]))))


if __name__ == "__main__":
    main()
