"""
Decides about the consent of an endpoint: CloudEvents' handshake against abuse, by OPTIONS.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/http-webhook.md#4-abuse-protection
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from urllib.parse import urlsplit

from pulsecart.shop.webhooks import subscription

REQUEST_ORIGIN, ALLOWED_ORIGIN, ALLOWED_RATE = (
    "webhook-request-origin",
    "webhook-allowed-origin",
    "webhook-allowed-rate",
)
VALID = timedelta(days=1)  # then it is asked for again
ASK_AGAIN = timedelta(minutes=10)  # if nothing may be sent without it


@dataclass(frozen=True, slots=True)
class Consent:
    """
    Holds what the last handshake with a URL showed.

    Args:
        asked_at: None: there was none with this URL.
        given: None: the endpoint neither allowed nor refused, as most do that do not know the handshake.
        allowed_per_min: attempts per minute; None: any number.
    """

    asked_at: datetime | None = None
    given: bool | None = None
    allowed_per_min: int | None = None

    def allows(self, required: subscription.Consent) -> bool:
        """Return whether messages may be sent."""
        return self.given is True or (self.given is None and required == "optional")

    def is_to_be_asked(self, required: subscription.Consent, now: datetime) -> bool:
        """Return whether a handshake comes before the next message."""
        return self.asked_at is None or self.asked_at <= now - VALID or not self.allows(required)


def origin_of(public_url: str) -> str:
    """Return the name by which the shop asks: the host of its public URL."""
    return urlsplit(public_url).hostname or ""


def consent_after(before: Consent, headers: Mapping[str, str] | None, origin: str, now: datetime) -> Consent:
    """
    Return the consent after a handshake.

    Args:
        headers: of the answer, names in lower case; its status means nothing. None: no answer came, and an earlier
            consent stays.
    """
    if headers is None:
        return Consent(now, before.given, before.allowed_per_min)
    allowed = headers.get(ALLOWED_ORIGIN, "").strip().lower()
    if not allowed:
        return Consent(now, None, None)
    return Consent(now, allowed in ("*", origin.lower()), _rate(headers.get(ALLOWED_RATE, "")))


def _rate(text: str) -> int | None:
    text = text.strip()
    number = int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else 0
    return number or None
