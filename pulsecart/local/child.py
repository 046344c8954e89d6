"""Starts child processes in their own process groups, and stops them with a signal or, after a timeout, SIGKILL."""

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

PR_SET_PDEATHSIG = 1
LIBC: ctypes.CDLL | None = ctypes.CDLL(None) if sys.platform == "linux" else None
PROC = Path("/proc")  # absent on macOS
POLL_S = 0.01

Command = Sequence[str | Path]
Pause = Callable[[float], None]
"""Waits that many seconds; may raise to abandon the wait when the end was requested."""


def spawn(
    command: Command,
    *,
    log: Path | None = None,
    environ: Mapping[str, str] | None = None,
    fds: Sequence[int] = (),
    orphaned: signal.Signals = signal.SIGKILL,
) -> subprocess.Popen[bytes]:
    """
    Start a child that a terminal's Ctrl-C does not reach: the parent controls the order in which processes stop.

    Args:
        log: file to which stdout and stderr are appended; ``None`` uses those of the parent.
        fds: open descriptors that the child inherits under the same numbers.
        orphaned: the signal that the child receives when its parent dies (Linux only; elsewhere the next start stops
            the child). The kernel ties it to the calling thread, so call this from the main thread.
    """
    output = log.open("ab") if log else None
    try:
        with warnings.catch_warnings():
            # Python 3.12 warns about a fork in a process with threads; this child makes one system call before exec.
            warnings.simplefilter("ignore", DeprecationWarning)
            return subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=None if environ is None else dict(environ),
                pass_fds=tuple(fds),
                process_group=0,
                preexec_fn=_end_with_parent(orphaned),
            )
    finally:
        if output:
            output.close()


def stop(child: subprocess.Popen[bytes], how: signal.Signals, grace_s: float) -> bool:
    """
    Send a signal to a child and wait up to ``grace_s`` for its end; then kill it.

    Returns:
        Whether it ended before it was killed.
    """
    if child.poll() is not None:
        return True
    child.send_signal(how)
    try:
        child.wait(grace_s)
        return True
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        return False


def end_foreign(pid: int, how: signal.Signals, grace_s: float, pause: Pause = time.sleep) -> None:
    """Stop a process that is not a child, left over from a crash; kill it after ``grace_s``."""
    for sign in (how, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, sign)
        until = time.monotonic() + grace_s
        while time.monotonic() < until:
            if not command_of(pid):
                return
            pause(POLL_S)


def command_of(pid: int) -> str:
    """Return the command line of a live process, separated by spaces; empty if there is none or it is a zombie."""
    try:
        if PROC.exists():
            return (PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
        listed = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return listed.stdout.strip()
    except OSError:
        return ""


def _end_with_parent(sign: signal.Signals) -> Callable[[], object] | None:
    libc = LIBC
    return (lambda: libc.prctl(PR_SET_PDEATHSIG, int(sign))) if libc else None
