"""Creates the HTTP client for frequent calls to other servers; imported at first use, because the import is slow."""

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

CONNECT_S = 10.0
KEPT_S = 30.0


def new_session() -> ClientSession:
    """Create a session that limits only connecting (callers set other timeouts), keeps connections and no cookies."""
    return ClientSession(
        connector=TCPConnector(limit=0, keepalive_timeout=KEPT_S),
        timeout=ClientTimeout(total=None, sock_connect=CONNECT_S),
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
    )
