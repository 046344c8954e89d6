"""Protects a demo on this machine against DNS rebinding: accepts only requests to known host names."""

from pulsecart.runtime.problem import Problem
from pulsecart.runtime.settings import Settings, origin_of
from pulsecart.serving.asgi import Receive, Scope, Send, send_reply
from pulsecart.serving.replies import reply_of
from pulsecart.serving.startup import is_loopback

REMEMBERED = 64


class Misdirected(Problem):
    """The request's Host names another server (RFC 9110)."""

    status = 421
    title = "Misdirected request"


class Hosts:
    """
    Decides which host names a demo on loopback accepts.

    A browser lets every page send requests to the host it was loaded from. The owner of that host name can point it
    to 127.0.0.1, and could then read and buy without sign-in (DNS rebinding). This machine's own names are safe;
    PUBLIC_URL and ALLOWED_HOSTS add others. Elsewhere every name is accepted, because requests need credentials.
    """

    def __init__(self, settings: Settings) -> None:
        public = origin_of(settings.public_url)
        self._any = not settings.accept_unsigned_buyers or settings.unsigned_on_cluster
        self._names = {name.strip().lower() for name in settings.allowed_hosts.split(",")} | {
            public[1] if public else ""
        }
        self._known: dict[bytes, bool] = {}

    def knows(self, scope: Scope) -> bool:
        """Return whether the request's Host is accepted; an HTTP/1.0 request may have none."""
        if self._any:
            return True
        for name, value in scope["headers"]:
            if name != b"host" or self._known.get(value) or self._learn(value):
                continue
            if not _is_its_own_address(value, scope):
                return False
        return True

    def _learn(self, value: bytes) -> bool:
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        good = self._known[value] = self._is_named(value.decode("latin-1"))
        return good

    def _is_named(self, host: str) -> bool:
        named = origin_of(f"http://{host}")
        if named is None:
            return not host
        name = named[1]
        return is_loopback(name) or name.endswith(".localhost") or name in self._names


def _is_its_own_address(value: bytes, scope: Scope) -> bool:
    """Return whether Host is the IP address that the client connected to, which cannot be rebound."""
    requested, server = origin_of(f"http://{value.decode('latin-1')}"), scope.get("server")
    return bool(requested and server and requested[1] == server[0])


async def refuse(scope: Scope, receive: Receive, send: Send) -> None:
    """Reject the request with status 421, or close the WebSocket before it opens."""
    if scope["type"] == "websocket":
        await send({"type": "websocket.close"})
        return
    names = "localhost, its addresses, and the names in PUBLIC_URL and ALLOWED_HOSTS"
    await send_reply(
        send, reply_of(Misdirected("unknown-host", f"This demo accepts only the hosts {names}. Use one of them."))
    )
