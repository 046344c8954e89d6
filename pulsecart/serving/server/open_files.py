"""The limit of open files: every connection is one, and most systems begin with 1,024 or 256 of them."""

import logging
import os
import resource

log = logging.getLogger(__name__)
WANTED = 65_536
LOW = 4_096  # below it the log says so
KEPT_MAX = 192  # for the database, Redis, other services and files; of a low limit an eighth
TURNING = 64  # accepted before they are counted, or closed and not gone: 16 in each of a few turns of the loop


def raise_limit() -> int:
    """Open files that this process may have from now on: as many as it is allowed to ask for, WANTED at most."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= WANTED:
        return WANTED
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(hard, WANTED)
    for asked in (wanted, 10_240):  # macOS grants no more than OPEN_MAX
        if soft < asked <= wanted:
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (asked, hard))
            except (ValueError, OSError):
                continue
            return asked
    return soft


def room(limit: int) -> int:
    """Connections that fit beside what is open and what will be."""
    return max(8, limit - _open_now() - min(KEPT_MAX, limit // 8) - TURNING)


def warn_if_low(limit: int, connections: int) -> None:
    if limit < LOW:
        log.warning(
            "only %d open files are allowed here: this process holds %d connections at most; "
            "raise the limit (ulimit -Hn, or LimitNOFILE of its service)",
            limit,
            connections,
        )


def _open_now() -> int:
    for listed in ("/proc/self/fd", "/dev/fd"):
        try:
            return len(os.listdir(listed))
        except OSError:
            continue
    return 64
