"""Raises the limit of open files: every connection needs one, and most systems start with a limit of 1,024 or 256."""

import logging
import os
import resource

log = logging.getLogger(__name__)
WANTED = 65_536
LOW = 4_096  # a lower limit is logged as a warning
KEPT_MAX = 192  # for the database, Redis, other services and files; at most an eighth of the limit
TURNING = 64  # accepted but not counted yet, or closed but not gone: 16 in each of a few event loop iterations


def raise_limit() -> int:
    """Raise this process's limit of open files as far as permitted, at most to WANTED; return the new limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= WANTED:
        return WANTED
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(hard, WANTED)
    for attempt in (wanted, 10_240):  # macOS grants no more than OPEN_MAX
        if soft < attempt <= wanted:
            try:
                resource.setrlimit(resource.RLIMIT_NOFILE, (attempt, hard))
            except (ValueError, OSError):
                continue
            return attempt
    return soft


def room(limit: int) -> int:
    """Return how many connections fit beside the files that are open or reserved."""
    return max(8, limit - _open_now() - min(KEPT_MAX, limit // 8) - TURNING)


def warn_if_low(limit: int, connections: int) -> None:
    if limit < LOW:
        log.warning(
            "only %d open files are allowed, so that this process accepts at most %d connections; "
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
