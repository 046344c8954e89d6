"""Turns events into messages of the subscriptions that they match."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import islice

from msgspec.structs import replace

from pulsecart.runtime.batch import Batcher
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import CloudEvent
from pulsecart.serving import cloudevents
from pulsecart.serving.signatures import ADDED_BY_KNATIVE, SIGNATURE
from pulsecart.shop.partners.reports import only_for
from pulsecart.shop.webhooks.db import events
from pulsecart.shop.webhooks.db.events import Matching, NewMessage, Outgoing
from pulsecart.shop.webhooks.subscription import patterns_of

AT_ONCE = 2000  # messages in one transaction, which holds the locks of their queues


class FanOut:
    """Stores the messages of events that arrive together in one transaction; one per process."""

    def __init__(self, deps: Deps) -> None:
        self._deps = deps.share("webhook_deliver")
        self.events: Batcher[CloudEvent, None] = Batcher(self._add)

    async def _add(self, received: list[CloudEvent]) -> Sequence[None]:
        patterns = {pattern for event in received for pattern in patterns_of(event.type)}
        async with self._deps.db.transaction() as tx:
            found = await events.matching(tx, patterns)
        if found:
            messages = self._messages(received, found)
            while chunk := list(islice(messages, AT_ONCE)):
                async with self._deps.db.transaction() as tx:
                    await events.add(tx, chunk)
                self._deps.wake("webhook_deliver")
        return [None] * len(received)

    def _messages(self, received: Sequence[CloudEvent], found: Sequence[Matching]) -> Iterator[NewMessage]:
        by_pattern = defaultdict(list)
        for one in found:
            by_pattern[one.pattern].append(one)
        for event in received:
            partner_id = only_for(event)
            matching = {
                one.subscription_id: one
                for pattern in patterns_of(event.type)
                for one in by_pattern.get(pattern, ())
                if partner_id in (None, one.partner_id)
            }
            if matching:
                outgoing = outgoing_of(event)
                for one in matching.values():
                    yield NewMessage(self._deps.new_id(), one.subscription_id, one.ordered, outgoing)


def outgoing_of(event: CloudEvent) -> Outgoing:
    """
    Return the event as subscribers get it: without the extensions that only the shop and its broker use.

    Raises:
        Malformed: it could not be read again, to be sent in binary mode.
    """
    extensions = {
        name: value
        for name, value in event.extensions.items()
        if name != SIGNATURE and not name.startswith(ADDED_BY_KNATIVE)
    }
    body = cloudevents.structured(replace(event, extensions=extensions))
    cloudevents.decode({"content-type": cloudevents.STRUCTURED}, body)  # as for binary mode: here it can fail alone
    return Outgoing(
        source=event.source,
        event_id=event.id,
        type=event.type,
        subject=event.subject,
        lane=event.partitionkey,
        body=body,
    )
