"""
redis-py, without what it brings along: it imports OpenTelemetry's SDK wherever that is installed, for metrics that
nobody asked it for, and that takes as long as the rest of it. Imported by what speaks to Redis, never by what may not.
"""

import sys

_SDK = "opentelemetry"
_missing = _SDK not in sys.modules
if _missing:
    sys.modules[_SDK] = None  # type: ignore[assignment]  # Python's own word for "there is none"

import redis as blocking  # noqa: E402
from redis.asyncio import BlockingConnectionPool, Redis  # noqa: E402
from redis.exceptions import RedisError, ResponseError  # noqa: E402

if _missing:
    del sys.modules[_SDK]

__all__ = ["Redis", "RedisError", "ResponseError", "blocking", "new_redis"]

CONNECTIONS = 16
TIMEOUT_S = 5.0


def new_redis(url: str) -> Redis:
    """Connects at its first use; one more than CONNECTIONS waits instead of failing."""
    return Redis(
        connection_pool=BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
        )
    )
