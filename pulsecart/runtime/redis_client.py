"""
Imports redis-py without OpenTelemetry's SDK, which redis-py imports wherever it is installed, for metrics that are not
used here; that doubles the import time. Only modules that use Redis import this one.
"""

import sys

_SDK = "opentelemetry"
_missing = _SDK not in sys.modules
if _missing:
    sys.modules[_SDK] = None  # type: ignore[assignment]  # None makes Python raise ImportError

import redis as blocking  # noqa: E402
from redis.asyncio import BlockingConnectionPool, Redis  # noqa: E402
from redis.exceptions import RedisError, ResponseError  # noqa: E402

if _missing:
    del sys.modules[_SDK]

__all__ = ["Redis", "RedisError", "ResponseError", "blocking", "new_redis"]

CONNECTIONS = 16
TIMEOUT_S = 5.0


def new_redis(url: str) -> Redis:
    """Create a client that connects at its first use; calls beyond CONNECTIONS wait instead of failing."""
    return Redis(
        connection_pool=BlockingConnectionPool.from_url(
            url,
            max_connections=CONNECTIONS,
            timeout=TIMEOUT_S,
            socket_timeout=TIMEOUT_S,
            socket_connect_timeout=TIMEOUT_S,
        )
    )
