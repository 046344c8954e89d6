"""Identifies the partner that signed a request, by the secrets of its event source (Standard Webhooks 1.0.0)."""

import asyncio
from collections.abc import Sequence

from pulsecart.runtime.batch import Batcher
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import is_id
from pulsecart.runtime.problem import Unauthorized
from pulsecart.runtime.sealing import sealing
from pulsecart.serving.http import Request
from pulsecart.shop.partners.db import sources
from pulsecart.shop.webhooks.signature import BadSignature, Secret, verify

THREAD_FROM_BYTES = 65_536  # hashing a larger body would hold the loop for milliseconds
Found = tuple[str, list[bytes]]


class Signed:
    """Reads the secrets of event sources, once for concurrent requests; one per process."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps
        self._db = deps.share("events").db
        self._sources: Batcher[str, Found | None] = Batcher(self._find)

    async def _find(self, source_ids: list[str]) -> Sequence[Found | None]:
        async with self._db.transaction() as tx:
            found = await sources.verifying(tx, source_ids)
        return [found.get(source_id) for source_id in source_ids]

    async def partner_of(self, request: Request, source_id: str) -> str:
        """
        Verify the request's signature, and return the partner that the source belongs to.

        Raises:
            Unauthorized: the signature is missing, wrong or too old, or no such source is in use; which of the last two
                is not disclosed.
        """
        found = await self._sources.submit(source_id) if is_id(source_id) else None
        partner_id, sealed = found or ("", [])
        secrets = [Secret(self._deps.singleton(sealing).open(one, source_id)) for one in sealed]
        now = self._deps.clock.now()
        try:
            if len(request.body) > THREAD_FROM_BYTES:
                await asyncio.to_thread(verify, secrets, request.headers, request.body, now)
            else:
                verify(secrets, request.headers, request.body, now)
        except BadSignature as error:
            raise Unauthorized("bad-signature", str(error)) from None
        return partner_id
