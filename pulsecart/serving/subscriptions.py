"""Declares the events that an operation subscribes to, each with its handler."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import msgspec

from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import CloudEvent, Message
from pulsecart.runtime.problem import Malformed

Data = TypeVar("Data")
M = TypeVar("M", bound=Message)
PING = "dev.knative.sources.ping"


@dataclass(slots=True)
class Received(Generic[Data]):
    """
    Holds a delivered event and its decoded data. ``path`` is the delivery path, one per Trigger. ``signed`` is false
    only if the operation accepts unsigned events, and this event's signature is missing or wrong.
    """

    envelope: CloudEvent
    data: Data
    path: str = "/"
    signed: bool = True


@dataclass(frozen=True, slots=True)
class Subscription:
    """
    Subscribes to a type of events.

    Args:
        message: None if the data stays bytes.
        type: ``*`` for every type that the operation has no other subscription to.
        unchecked: the event is handled even if its attributes or data cannot be stored as text.
    """

    message: type[Message] | None
    type: str
    handler: Callable[[Received[Any], Deps], Awaitable[CloudEvent | None]]
    unchecked: bool = False

    def data_of(self, event: CloudEvent) -> Any:
        """
        Decode the event's data.

        Raises:
            Malformed: the data does not match ``message``.
        """
        if self.message is None:
            return event.data or b""
        try:
            return msgspec.json.decode(event.data or b"", type=self.message)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise Malformed("contract-broken", f"The data is no {self.message.TYPE}: {error}.") from error


def on(message: type[M], handler: Callable[[Received[M], Deps], Awaitable[CloudEvent | None]]) -> Subscription:
    """Subscribe ``handler`` to ``message.TYPE``; an event that it returns goes to the broker as the reply event."""
    return Subscription(message, message.TYPE, handler)


def on_anything(
    handler: Callable[[Received[bytes], Deps], Awaitable[CloudEvent | None]], *, unchecked: bool = False
) -> Subscription:
    """Subscribe ``handler`` to every event; the data stays bytes."""
    return Subscription(None, "*", handler, unchecked)
