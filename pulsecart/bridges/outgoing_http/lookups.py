"""Resolves host names in threads of its own, so that slow name servers of one host do not delay other look-ups."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from threading import Thread

from pulsecart.bridges.outgoing_http.results import Failure

Resolve = Callable[[str], Awaitable[Sequence[str]]]
LOOKUPS_MAX = 64
ADDRESSES_MAX = 16


class Lookups:
    """
    Resolves names by the system's resolver; concurrent look-ups of one name share one thread.

    The loop's own threads are too few for this: six on two cores, each held up to 30 s by a name server that is silent.
    """

    def __init__(self) -> None:
        self._running: dict[str, asyncio.Future[list[str]]] = {}

    async def addresses(self, name: str) -> Sequence[str]:
        """
        Return the addresses of ``name``; with a final dot, no search domain of the cluster is tried.

        Raises:
            Failure: unresolvable.
        """
        found = self._running.get(name)
        if found is None:
            if len(self._running) >= LOOKUPS_MAX:
                raise Failure("unresolvable", "too many host names are being resolved at the moment")
            found = self._running[name] = self._start(name)
        return await asyncio.shield(found)

    def _start(self, name: str) -> "asyncio.Future[list[str]]":
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[str]] = loop.create_future()

        def done(result: list[str] | Failure) -> None:
            self._running.pop(name, None)
            if isinstance(result, Failure):
                found.set_exception(result)
                found.exception()  # retrieved: the waiters may have given up
            else:
                found.set_result(result)

        def run() -> None:
            result = _looked_up(name)
            if not loop.is_closed():
                loop.call_soon_threadsafe(done, result)

        Thread(target=run, name=f"resolve {name}", daemon=True).start()  # daemon: it must not delay the process's end
        return found


def _looked_up(name: str) -> list[str] | Failure:
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        again = error.errno == socket.EAI_AGAIN
        return Failure("unresolvable", "its name servers do not answer" if again else "the host name has no address")
    except (OSError, UnicodeError):
        return Failure("unresolvable", "the host name cannot be resolved")
    return list(dict.fromkeys(str(address[0]) for *_, address in found))[:ADDRESSES_MAX]
