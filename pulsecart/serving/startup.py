"""Checks the settings' consistency at startup: rejects a demo that others can reach, and unusable token settings."""

import json
import logging
import socket
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from pulsecart.runtime.algorithms import KINDS, named
from pulsecart.runtime.seal_keys import MAKE_ONE
from pulsecart.runtime.settings import DEMO_ON_A_CLUSTER, MissingSetting, Settings

if TYPE_CHECKING:
    from pulsecart.serving.operation import Operation

log = logging.getLogger(__name__)
IN_A_POD = "K_SERVICE"  # set by Knative, whose queue-proxy forwards all requests over the pod's loopback


def check(settings: Settings, host: str, environ: Mapping[str, str], *, reads_tokens: bool, sells: bool) -> None:
    """
    Check access settings before the process starts; log a warning for risky ones.

    Args:
        host: the listening address; empty for a Unix socket.
        reads_tokens: some route here requires authentication.
        sells: this process is the whole shop, so buyers must be able to sign in.

    Raises:
        MissingSetting: others than this machine could reach an unsigned demo, or no token could be accepted.
    """
    check_unsigned(settings, host, environ)
    if not reads_tokens:
        return
    if settings.jwt_public_key:
        from pulsecart.serving.jwks import ConfiguredKey  # 8 MB, only needed with a key

        ConfiguredKey(settings.jwt_public_key).check(named(settings.jwt_algorithms))
    elif settings.jwt_jwks_url.startswith("file:"):
        _check_file(settings)
    elif not settings.jwt_jwks_url and not settings.accept_unsigned_buyers:
        missing = "neither JWT_JWKS_URL nor JWT_PUBLIC_KEY is set: no token is accepted, so that no buyer can order"
        if sells:
            raise MissingSetting(missing)
        log.warning(missing)
    if not settings.jwt_issuer and (settings.jwt_jwks_url or settings.jwt_public_key):
        log.warning("JWT_ISSUER is not set: a token of any issuer that signs with these keys is accepted")


def check_seals(settings: Settings, operations: "Iterable[Operation]") -> None:
    """
    Check that operations which seal partners' secrets have keys; malformed keys do not get this far.

    Raises:
        MissingSetting: one of them has none.
    """
    if settings.webhook_keys:
        return
    for operation in operations:
        if operation.seals:
            raise MissingSetting(f"WEBHOOK_KEYS is not set, but {operation.name} needs it: make one with `{MAKE_ONE}`")


def check_unsigned(settings: Settings, host: str, environ: Mapping[str, str]) -> None:
    """
    Check that only this machine can reach a demo that accepts unsigned buyers.

    Raises:
        MissingSetting: ACCEPT_UNSIGNED_BUYERS is set, and others than this machine's users can connect.
    """
    if not settings.accept_unsigned_buyers or settings.unsigned_on_cluster:
        return
    in_a_pod = IN_A_POD in environ
    if in_a_pod or not is_loopback(host):
        where = "runs on a cluster" if in_a_pod else f"listens on {host}"
        raise MissingSetting(
            f"ACCEPT_UNSIGNED_BUYERS accepts buyers without a token, which is for loopback only; this process {where}."
            f" Leave it out; on a cluster that is used only for a demo, set it to {DEMO_ON_A_CLUSTER}"
        )


def is_loopback(host: str) -> bool:
    """Return whether only this machine can connect to ``host``; names are not resolved."""
    if not host or host == "localhost":
        return True
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return bool((getattr(address, "ipv4_mapped", None) or address).is_loopback)


def host_of(listening: socket.socket) -> str:
    """Return the address that a socket listens on; empty for a Unix socket."""
    name = listening.getsockname()
    return str(name[0]) if isinstance(name, tuple) else ""


def _check_file(settings: Settings) -> None:
    try:
        keys = json.loads(Path(unquote(urlsplit(settings.jwt_jwks_url).path)).read_bytes())["keys"]
        kinds = {key.get("kty") for key in keys}
        if not kinds:
            raise ValueError("it is empty")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise MissingSetting(f"JWT_JWKS_URL={settings.jwt_jwks_url} has no keys: {reason}") from None
    if not kinds & {KINDS[algorithm] for algorithm in named(settings.jwt_algorithms)}:
        found = ", ".join(sorted(map(str, kinds)))
        raise MissingSetting(
            f"JWT_ALGORITHMS={settings.jwt_algorithms} matches no key of {settings.jwt_jwks_url}, which holds {found}"
        )
