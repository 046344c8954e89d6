"""Maps CloudEvents to Pub/Sub messages, in binary mode, and reads the messages of push requests."""

import binascii
from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.problem import Malformed

# https://github.com/googleapis/google-cloudevents/blob/main/docs/spec/pubsub.md
PREFIX = "ce-"
CONTENT_TYPE = "content-type"
# https://cloud.google.com/pubsub/quotas#resource_limits
ATTRIBUTES_MAX = 100
NAME_BYTES = 256
VALUE_BYTES = 1024
KEY_BYTES = 1024
MESSAGE_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A message to publish; messages of one ordering key are delivered in the order in which they are published."""

    data: bytes
    attributes: Mapping[str, str]
    ordering_key: str


@dataclass(frozen=True, slots=True)
class Incoming:
    """
    A delivered message.

    Args:
        subscription: its full name, ``projects/…/subscriptions/…``.
        published: when Pub/Sub accepted it, RFC 3339; empty if unknown.
        attempt: how often it was delivered, from 1; 0 if the subscription has no dead-letter policy.
    """

    subscription: str
    id: str
    data: bytes = b""
    attributes: Mapping[str, str] = field(default_factory=dict)
    ordering_key: str = ""
    published: str = ""
    attempt: int = 0

    @property
    def headers(self) -> Mapping[str, str]:
        """Return the attributes with names in lower case, as those of an HTTP message."""
        return {name.lower(): value for name, value in self.attributes.items()}


def outgoing(event: CloudEvent) -> Outgoing:
    """
    Map an event: its data are the message's, its attributes are ``ce-…``, its partitionkey is the ordering key.

    Raises:
        Malformed: the event exceeds a limit of Pub/Sub; the detail names it.
    """
    named = event.attributes()
    content_type = named.pop("datacontenttype", None)
    attributes = {PREFIX + name: value for name, value in named.items()}
    if content_type is not None:
        attributes[CONTENT_TYPE] = content_type
    message = Outgoing(event.data or b"", attributes, event.partitionkey)
    _check(message)
    return message


class _Message(msgspec.Struct, rename="camel"):
    message_id: str
    data: str = ""
    attributes: dict[str, str] = {}
    ordering_key: str = ""
    publish_time: str = ""


class _Push(msgspec.Struct, rename="camel"):
    message: _Message
    subscription: str
    delivery_attempt: int = 0


_decode = msgspec.json.Decoder(_Push).decode


def pushed(body: bytes) -> Incoming:
    """
    Read the body of a push request.

    Raises:
        Malformed: it is not the JSON that Pub/Sub sends (https://cloud.google.com/pubsub/docs/push).
    """
    try:
        push = _decode(body)
        data = b64decode(push.message.data, validate=True)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, binascii.Error, ValueError) as error:
        raise Malformed("bad-push", f"The body is no message that Pub/Sub pushes: {error}.") from None
    message = push.message
    return Incoming(
        push.subscription,
        message.message_id,
        data,
        message.attributes,
        message.ordering_key,
        message.publish_time,
        push.delivery_attempt,
    )


def _check(message: Outgoing) -> None:
    if len(message.attributes) > ATTRIBUTES_MAX:
        raise _too_large(f"more than {ATTRIBUTES_MAX} attributes")
    for name, value in message.attributes.items():
        if len(name.encode()) > NAME_BYTES:
            raise _too_large(f"an attribute whose name has more than {NAME_BYTES} bytes")
        if not value:
            raise _too_large(f"an empty attribute {name}, which Pub/Sub does not take")
        if len(value.encode()) > VALUE_BYTES:
            raise _too_large(f"more than {VALUE_BYTES} bytes in the attribute {name[:80]}")
    if len(message.ordering_key.encode()) > KEY_BYTES:
        raise _too_large(f"more than {KEY_BYTES} bytes in its partitionkey")
    if len(message.data) > MESSAGE_BYTES:
        raise _too_large(f"more than {MESSAGE_BYTES} bytes of data")


def _too_large(what: str) -> Malformed:
    return Malformed("pubsub-limit", f"The event has {what}; Pub/Sub cannot carry it.")
