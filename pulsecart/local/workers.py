"""Starts, probes and stops the host's worker processes, which share one listening socket."""

import errno
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence

from pulsecart.local.cannot_start import CannotStart
from pulsecart.local.child import spawn, stop

BACKLOG = 4096  # connections wait here for the restart of a crashed worker instead of being refused
GRACE_S = 10.0
PROBE_S = 0.5
LOOPBACK = "127.0.0.1"


class Worker:
    """One ``pulsecart.processes.host`` process on the shared socket."""

    def __init__(self, index: int, workers: int, listening: socket.socket, environ: Mapping[str, str]) -> None:
        self.index = index
        self.name = f"host worker {index}"
        self.process: subprocess.Popen[bytes] | None = None
        self._workers = workers
        self._fd = listening.fileno()
        self._environ = environ

    def spawn(self) -> None:
        place = ["--fd", str(self._fd), "--worker", str(self.index), "--workers", str(self._workers)]
        command = [sys.executable, "-m", "pulsecart.processes.host", *place]
        self.process = spawn(command, environ=self._environ, fds=[self._fd])


def listen(port: int) -> socket.socket:
    """
    Open the listening socket on the loopback address.

    Args:
        port: 0 selects a free port.

    Raises:
        CannotStart: the port is in use or reserved.
    """
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((LOOPBACK, port))
        listening.listen(BACKLOG)
    except OSError as failed:
        listening.close()
        if failed.errno == errno.EADDRINUSE:
            raise CannotStart(
                f"port {port} is in use by another program: give another port, e.g. --port {port + 1}"
            ) from None
        raise CannotStart(f"port {port} cannot be used ({failed.strerror}): give another --port") from None
    return listening


def answers(port: int, path: str = "/readyz") -> tuple[int, str]:
    """GET a path of the host; return status and body, or 0 and the reason without a response in PROBE_S seconds."""
    try:
        with socket.create_connection((LOOPBACK, port), PROBE_S) as connection:
            connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {LOOPBACK}:{port}\r\nConnection: close\r\n\r\n".encode())
            reply = b"".join(iter(lambda: connection.recv(4096), b"")).decode(errors="replace")
    except OSError as failed:
        return 0, str(failed)
    head, _, body = reply.partition("\r\n\r\n")
    return (int(head.split()[1]), body) if head.startswith("HTTP/") else (0, head)


def stop_all(workers: Sequence[Worker]) -> None:
    """Stop all workers together; each ends its live streams and finishes requests in flight, within GRACE_S seconds."""
    for worker in workers:
        if worker.process and worker.process.poll() is None:
            worker.process.terminate()
    for worker in workers:
        if worker.process:
            stop(worker.process, signal.SIGTERM, GRACE_S)
