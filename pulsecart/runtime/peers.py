"""Builds the URLs of operations in other processes, where each is deployed on its own, and sends them wake-ups."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from pulsecart.runtime.backoff import Backoff
from pulsecart.runtime.bare_post import post_without_body
from pulsecart.runtime.wakeups import WAKE_PATH

log = logging.getLogger(__name__)
HELD_S = 600.0  # the first wake-up request is answered only when its operation goes back to sleep
REPLY_WAIT_S = 1.0  # enough: a request that waits for a pod is delivered even after its sender disconnected
APART_S = 0.05  # minimum between two wake-ups of one operation: each covers all commits before it
UNANSWERED_MAX = 4
TRIES = 5
PAUSE = Backoff(0.5)


class Peers:
    """
    Sends wake-ups to operations that other processes run.

    Args:
        function_url: URL template; ``{operation}`` stands for the operation's name on the cluster.
    """

    def __init__(self, function_url: str) -> None:
        self._function_url = function_url
        self._wakers: dict[str, PeerWaker] = {}

    def url(self, operation: str) -> str:
        """Return the URL of ``operation``, given by its Python name or its name on the cluster."""
        return self._function_url.format(operation=operation.replace("_", "-"))

    def wake(self, operation: str) -> None:
        """Wake ``operation`` after a commit that concerns it; returns without waiting."""
        if operation not in self._wakers:
            self._wakers[operation] = PeerWaker(lambda: self._post(operation), operation)
        self._wakers[operation].wake()

    async def hand_over(self, operation: str) -> None:
        """Send one wake-up and wait until it is sent: for a process that must stop while work is due."""
        try:
            await self._post(operation, wait_s=REPLY_WAIT_S)
        except TimeoutError:
            return  # sent; the operation is awake
        except OSError as error:
            log.warning("the wake-up for %s was not sent; its sweep finds the due work: %s", operation, error)

    async def close(self) -> None:
        """Send all pending wake-ups, then stop."""
        await asyncio.gather(*(waker.close() for waker in self._wakers.values()))

    async def _post(self, operation: str, wait_s: float = HELD_S) -> int:
        return await post_without_body(f"{self.url(operation)}{WAKE_PATH}", wait_s)


class PeerWaker:
    """
    Wakes one operation: sends at least one request after every ``wake()``, and few at once.

    Args:
        post: sends one request and returns its status; may take as long as the operation stays awake.
    """

    def __init__(self, post: Callable[[], Awaitable[int]], operation: str) -> None:
        self._post = post
        self._operation = operation
        self._wanted = False
        self._resting = False
        self._sending: set[asyncio.Task[None]] = set()

    def wake(self) -> None:
        self._wanted = True
        self._go()

    async def close(self) -> None:
        """Send the pending wake-up, if any; wait at most REPLY_WAIT_S for replies."""
        self._resting = False
        self._go()
        if self._sending:
            _, still = await asyncio.wait(self._sending, timeout=REPLY_WAIT_S)
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
        for failures in range(1, TRIES + 1):
            try:
                status = await self._post()
            except TimeoutError:
                return  # the operation is still awake
            except OSError as error:
                reason: object = error
            else:
                if status < 300:
                    return
                reason = f"it answered {status}"
            log.info("%s got no wake-up, attempt %d of %d: %s", self._operation, failures, TRIES, reason)
            await asyncio.sleep(PAUSE.jittered_after(failures))
        log.warning("%s got no wake-up; its sweep finds the due work", self._operation)
