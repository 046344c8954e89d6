"""Makes the secrets of a shop on one machine once, and keeps them in its data directory."""

import secrets
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

from pulsecart.admin.which_shop import WEBHOOK_KEYS


def session_secret(data: Path) -> str:
    """Return SESSION_SECRET; kept, so that sessions survive a restart."""
    return _kept(data / "session.secret", lambda: secrets.token_urlsafe(48))


def webhook_keys(data: Path) -> str:
    """Return WEBHOOK_KEYS; kept, because nothing else opens what it sealed."""
    return _kept(data / WEBHOOK_KEYS, lambda: b64encode(secrets.token_bytes(32)).decode())


def _kept(path: Path, make: Callable[[], str]) -> str:
    """Read the file, created once with mode 0600."""
    if not path.exists():
        new = path.with_suffix(".new")
        new.touch(mode=0o600)
        new.write_text(make())
        new.replace(path)
    return path.read_text()
