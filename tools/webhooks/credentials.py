"""Chooses the shop and the token: those given, or the shop of this machine and a partner's token made for it."""

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from pulsecart.admin.which_shop import DEFAULT_URL, NOTHING_RUNS, running
from pulsecart.local.issuer import AUDIENCE, NoIssuer, jwks_of
from pulsecart.local.issuer import token as issue

TOKEN_VARIABLE = "PULSECART_TOKEN"  # noqa: S105  # a variable's name
TTL = timedelta(minutes=10)


class NoToken(Exception):
    """There is no token for this shop; the message states how to give one."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """The shop's URL, and a function that returns the token of the next request."""

    url: str
    token: Callable[[], str]


def credentials(options: argparse.Namespace, environ: Mapping[str, str]) -> Credentials:
    """
    Return the shop to call, and the caller's token.

    Raises:
        NoToken: no token is given, and the shop is not the one on ``--data``, whose issuer could make one.
    """
    run = running(options.data)
    url = (options.url or (run or {}).get("url") or DEFAULT_URL).rstrip("/")
    given = options.token or environ.get(TOKEN_VARIABLE, "")
    if given:
        return Credentials(url, lambda: given)
    if run is None and not options.url:
        raise NoToken(f"{NOTHING_RUNS.format(data=options.data)}, or give --url and your partner's token.")
    if run is None or run["url"].rstrip("/") != url:
        raise NoToken(f"give your partner's token for {url}: --token, or {TOKEN_VARIABLE} in the environment.")
    jwks = jwks_of(options.data.resolve())

    def made() -> str:
        return issue(jwks, options.partner, ["partner"], TTL, AUDIENCE, datetime.now(UTC))

    try:
        made()
    except NoIssuer as reason:
        raise NoToken(f"{reason}.") from None
    return Credentials(url, made)
