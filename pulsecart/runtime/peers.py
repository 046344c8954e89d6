"""The other operations where each is served alone: their addresses, and pokes that nobody waits for."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from pulsecart.runtime.bare_post import knock
from pulsecart.runtime.jitter import jittered
from pulsecart.runtime.wakeups import POKE

log = logging.getLogger(__name__)
HELD_S = 600.0  # a first poke is answered when its operation goes back to sleep
HEARD_S = 1.0  # a request that waits for a pod is delivered, even when its sender has gone
APART_S = 0.05  # between two pokes of one operation: each looks at all that was committed before it
UNANSWERED_MAX = 4
TRIES = 5
PAUSE_S = 0.5


class Neighbours:
    """
    Args:
        function_url: with ``{operation}`` for the name on the cluster.
    """

    def __init__(self, function_url: str) -> None:
        self._function_url = function_url
        self._pokers: dict[str, Poker] = {}

    def url(self, operation: str) -> str:
        """Where ``operation`` answers; a name of ours or of the cluster."""
        return self._function_url.format(operation=operation.replace("_", "-"))

    def poke(self, operation: str) -> None:
        """Tell ``operation`` that something was committed; returns at once."""
        if operation not in self._pokers:
            self._pokers[operation] = Poker(lambda: self._post(operation), operation)
        self._pokers[operation].poke()

    async def hand_over(self, operation: str) -> None:
        """One poke that is surely on its way: by a process that must go while something is due."""
        try:
            await self._post(operation, wait_s=HEARD_S)
        except TimeoutError:
            return  # it stays awake there
        except OSError as error:
            log.warning("%s was not handed over, its sweep finds what is due: %s", operation, error)

    async def close(self) -> None:
        """Let what was wanted leave."""
        await asyncio.gather(*(poker.close() for poker in self._pokers.values()))

    async def _post(self, operation: str, wait_s: float = HELD_S) -> int:
        return await knock(f"{self.url(operation)}{POKE}", wait_s)


class Poker:
    """
    Pokes one operation; after every ``poke()`` at least one request leaves, and never many at once.

    Args:
        post: sends one, answers its status; may take as long as the operation stays awake.
    """

    def __init__(self, post: Callable[[], Awaitable[int]], operation: str) -> None:
        self._post = post
        self._operation = operation
        self._wanted = False
        self._resting = False
        self._sending: set[asyncio.Task[None]] = set()

    def poke(self) -> None:
        self._wanted = True
        self._go()

    async def close(self) -> None:
        """What was wanted leaves yet; answers are waited for no longer."""
        self._resting = False
        self._go()
        if self._sending:
            _, still = await asyncio.wait(self._sending, timeout=HEARD_S)
            for task in still:
                task.cancel()
            await asyncio.gather(*still, return_exceptions=True)

    def _go(self) -> None:
        if not self._wanted or self._resting or len(self._sending) >= UNANSWERED_MAX:
            return
        self._wanted, self._resting = False, True
        loop = asyncio.get_running_loop()
        loop.call_later(APART_S, self._rested)
        task = loop.create_task(self._send())
        self._sending.add(task)
        task.add_done_callback(self._sent)

    def _rested(self) -> None:
        self._resting = False
        self._go()

    def _sent(self, task: asyncio.Task[None]) -> None:
        self._sending.discard(task)
        if not task.cancelled():
            self._go()

    async def _send(self) -> None:
        for again in range(TRIES):
            try:
                status = await self._post()
            except TimeoutError:
                return  # it is still awake
            except OSError as error:
                reason: object = error
            else:
                if status < 300:
                    return
                reason = f"it answered {status}"
            log.info("%s was not poked, try %d of %d: %s", self._operation, again + 1, TRIES, reason)
            await asyncio.sleep(jittered(PAUSE_S * 2**again))
        log.warning("%s was not poked; its sweep finds what is due", self._operation)
