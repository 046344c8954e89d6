"""Accepts the events of a batch: each good one is written to the log, each bad one gets its reason."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from functions.events.pointers import pointer_of
from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.problem import PROBLEM_ROOT, Problem, Unavailable
from pulsecart.serving import cloudevents
from pulsecart.shop.partners.acceptance import Acceptance
from pulsecart.shop.partners.reports import Report

CHUNK = 100  # some 5 ms of work; between two of them the loop and the next transaction belong to others


class Outcome(msgspec.Struct):
    """``accepted`` events are durable, ``duplicates`` of them were so before; ``rejected`` names each bad event."""

    accepted: int = 0
    duplicates: int = 0
    rejected: list[dict[str, str]] = []

    def count(self, new: bool) -> None:
        self.accepted += 1
        self.duplicates += not new

    def reject(self, at: int, id: str, error: Problem) -> None:
        named = {"id": id} if id else {}
        where = {"pointer": f"/{at}{pointer_of(error)}"}
        self.rejected.append(where | named | {"type": f"{PROBLEM_ROOT}/{error.type}", "detail": error.detail})


async def accept_all(
    members: Sequence[msgspec.Raw], check: Callable[[CloudEvent], Report], accepting: Acceptance
) -> Outcome:
    """
    Check the members of a batch and write the good ones to the log, in their order.

    A large batch delays others by one chunk at most: it waits for each chunk's transaction before the next chunk.

    Raises:
        Unavailable: PostgreSQL cannot be reached; some events may be durable. To repeat the batch is safe.
    """
    outcome = Outcome()
    for start in range(0, len(members), CHUNK):
        submitted: dict[int, tuple[str, asyncio.Future[bool]]] = {}
        for at, member in enumerate(members[start : start + CHUNK], start):
            event_id = ""
            try:
                event = cloudevents.from_json(member)
                event_id = event.id
                submitted[at] = event_id, accepting.reports.submit(check(event))
            except Unavailable:
                await _all([future for _, future in submitted.values()])
                raise
            except Problem as error:
                outcome.reject(at, event_id, error)
        results = await _all([future for _, future in submitted.values()])
        for (at, (event_id, _)), result in zip(submitted.items(), results, strict=True):
            if isinstance(result, bool):
                outcome.count(result)
            elif isinstance(result, Problem) and not isinstance(result, Unavailable):
                outcome.reject(at, event_id, result)
            else:
                raise result
    outcome.rejected.sort(key=_place)
    return outcome


async def _all(futures: Sequence["asyncio.Future[bool]"]) -> list[Any]:
    """Wait for all results; errors are results, too. Even a chunk without any gives way to others."""
    await asyncio.sleep(0)
    return await asyncio.gather(*futures, return_exceptions=True)


def _place(rejected: dict[str, str]) -> int:
    return int(rejected["pointer"].split("/")[1])
