"""The HTTP client of what calls other servers all the time; imported where it is first used: it takes its while."""

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector

CONNECT_S = 10.0
KEPT_S = 30.0


def new_session() -> ClientSession:
    """Without limits but for connecting: who asks says how long it may take. Keeps connections, no cookies."""
    return ClientSession(
        connector=TCPConnector(limit=0, keepalive_timeout=KEPT_S),
        timeout=ClientTimeout(total=None, sock_connect=CONNECT_S),
        cookie_jar=DummyCookieJar(),
        auto_decompress=False,
    )
