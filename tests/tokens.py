"""Issues tokens as scripts/token prints them, without its process."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

from pulsecart.local import issuer as dev_issuer


def bearer(data: Path, user: str, *roles: str) -> dict[str, str]:
    """Return the header with a token that the shop on this data directory accepts for an hour."""
    made = dev_issuer.token(
        dev_issuer.jwks_of(data), user, roles, timedelta(hours=1), dev_issuer.AUDIENCE, datetime.now(UTC)
    )
    return {"authorization": f"Bearer {made}"}
