"""Accepts messages of Google Pub/Sub: writes each event to the log once, and each that is rejected to dead_letters."""

import msgspec
from msgspec.structs import replace

from pulsecart.bridges.pubsub.messages import Incoming
from pulsecart.broker.dead_letters import letters, table
from pulsecart.broker.delivery import Destination
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.problem import Forbidden, Problem, Unavailable
from pulsecart.runtime.subscription_partners import partners_of
from pulsecart.runtime.telemetry import tracing
from pulsecart.serving.message_events import of_message
from pulsecart.serving.policy import Policies
from pulsecart.shop.partners.acceptance import Acceptance

SOURCE = "//pubsub.googleapis.com/"
_encode = msgspec.json.Encoder().encode


class PubSubIngress:
    """
    Accepts the messages that one operation receives.

    Args:
        name: the operation's DNS name, by which its dead letters are listed.
        partners: the setting with the partner of each subscription.
    """

    def __init__(self, deps: Deps, name: str, partners: str) -> None:
        self._db = deps.db
        self._name = name
        self._partners = partners_of(partners)
        self._project = deps.settings.pubsub_project
        self._acceptance = Acceptance(deps.db, deps.clock.now, deps.singleton(Policies).verdict)

    @property
    def subscriptions(self) -> list[str]:
        """Return the short names of the subscriptions that have a partner."""
        return list(self._partners)

    async def take(self, message: Incoming) -> Problem | None:
        """
        Write the message's event to the log, or the message to the dead letters; return why it was rejected, if it was.

        When this returns, the message is durable here, and a repeated one has no further effect.

        Raises:
            Unavailable: PostgreSQL cannot be reached; let Pub/Sub deliver the message again.
        """
        try:
            event = of_message(message.headers, message.data)
        except Problem as error:
            await self._keep(*self._unreadable(message, error), error)
            return error
        try:
            await self._acceptance.accept(event, self._partner(message), _extensions(message))
        except Unavailable:
            raise
        except Problem as error:
            await self._keep(event, None, error)
            return error
        return None

    def _partner(self, message: Incoming) -> str:
        project, _, subscription = message.subscription.removeprefix("projects/").partition("/subscriptions/")
        partner = self._partners.get(subscription) if project == self._project else None
        if partner is None:
            raise Forbidden("unbound-subscription", f"{message.subscription[:200]} has no partner in the settings.")
        return partner

    def _unreadable(self, message: Incoming, error: Problem) -> tuple[CloudEvent, bytes]:
        event, raw = letters.unreadable(message.headers, message.data, error.detail)
        if event.source == "unknown":  # a message without attributes is known by Pub/Sub's own id
            event = replace(event, id=message.id, source=SOURCE + message.subscription)
        return event, raw

    async def _keep(self, event: CloudEvent, raw: bytes | None, error: Problem) -> None:
        here = Destination(None, f"http://{self._name}/{self._name}")
        letter = letters.dead_letter(event, here, error.status, _encode(error.document()))
        async with self._db.transaction() as tx:
            await table.keep(tx, letter, letters.raw_of(letter) if raw is None else raw)
        letters.log_letter(self._name, letter)


def _extensions(message: Incoming) -> dict[str, str]:
    named = {"correlationid": message.id}
    traceparent = message.headers.get("ce-traceparent", "")
    if tracing.parsed(traceparent) is not None:
        named["traceparent"] = traceparent
    return named
