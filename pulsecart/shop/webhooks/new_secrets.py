"""Makes the random secrets of subscriptions."""

import secrets
from base64 import b64encode

from pulsecart.shop.webhooks.signature import PRIVATE, SYMMETRIC

BYTES = 32


def new_secret() -> str:
    """Make a secret for v1 signatures: ``whsec_…``, 32 random bytes."""
    return SYMMETRIC + b64encode(secrets.token_bytes(BYTES)).decode()


def new_private_key() -> str:
    """Make a private key for v1a signatures: ``whsk_…``; ``Secret.public`` is what a receiver needs."""
    return PRIVATE + b64encode(secrets.token_bytes(BYTES)).decode()
