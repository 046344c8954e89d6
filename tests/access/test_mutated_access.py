"""Widens and narrows every ``allow=``: the comparison with contracts/http/access.yaml detects each change."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pulsecart.local import issuer as dev_issuer
from pulsecart.runtime.deps import Clock, Deps, close_deps, open_deps
from pulsecart.runtime.problem import Problem
from pulsecart.runtime.settings import Settings
from pulsecart.serving.access import ROLES, Allow
from pulsecart.serving.auth import admit
from pulsecart.serving.http import Request
from pulsecart.serving.rate_limit import Limits
from pulsecart.serving.routes import Route
from pulsecart.serving.tokens import issue_session
from tests.access.conftest import HOUR
from tests.access.test_every_route import DECLARED, NAMES, ROUTES, TABLE, WORDS

METRICS_TOKEN = "of-the-tests-for-metrics"
SHOWN = (
    "unauthenticated",
    "nonsense",
    "a session",
    "an old session",
    "a ticket",
    "the metrics token",
    *sorted(ROLES),
    "roleless",
)
Answer = tuple[str, bool]  # in, 401 or 403; whether it was counted


@pytest.fixture(scope="module")
def headers(jwks: Path) -> dict[str, dict[str, str]]:
    """Return each caller's request headers; no database is used."""
    clock, signing = Clock(), settings_of(jwks)
    shown: dict[str, dict[str, str]] = {
        "unauthenticated": {},
        "a ticket": {},
        "nonsense": {"authorization": "Bearer nonsense"},
    }
    for name, at in (("a session", clock.now()), ("an old session", clock.now() - 48 * HOUR)):
        shown[name] = {"cookie": f"pulsecart_session={issue_session('u-1', signing, at)}"}
    shown["the metrics token"] = {"authorization": f"Bearer {METRICS_TOKEN}"}
    for role in (*ROLES, "roleless"):
        made = dev_issuer.token(jwks, "u-1", [role], HOUR, "pulsecart", clock.now())
        shown[role] = {"authorization": f"Bearer {made}"}
    return shown


def settings_of(jwks: Path) -> Settings:
    return Settings(
        database_url="",
        redis_url="",
        session_secret="of the tests alone, 32 bytes or more",
        jwt_jwks_url=jwks.as_uri(),
        jwt_issuer=dev_issuer.ISSUER,
        metrics_token=METRICS_TOKEN,
    )


@pytest.fixture
async def shops(jwks: Path) -> Any:
    """Yield the dependencies of a shop outside of the demo and of a demo."""
    strict = open_deps(settings_of(jwks))
    demo = open_deps(replace(strict.settings, accept_unsigned_buyers=True))
    yield strict, demo
    await close_deps(strict)
    await close_deps(demo)


async def answers(route: Route, shops: tuple[Deps, Deps], headers: dict[str, dict[str, str]]) -> list[Answer]:
    """Return the serving layer's answer to each caller, before a handler checks the resource's owner."""
    reported = []
    for deps in shops:
        for name in SHOWN:
            deps.singletons.pop(Limits, None)
            query = "ticket=x" if name == "a ticket" else ""
            request = Request(route.method, route.path, dict(headers[name]), query=query, route=1)
            try:
                await admit(request, route.allow, deps)
            except Problem as refused:
                reported.append((str(refused.status), bool(request.reply_headers)))
            else:
                reported.append(("in", bool(request.reply_headers)))
    return reported


def wanted(word: str) -> list[Answer]:
    """Return the answers that access.yaml alone specifies."""
    return [_wanted(WORDS[word], name, demo) for demo in (False, True) for name in SHOWN]


def _wanted(reported: dict[str, Any], name: str, demo: bool) -> Answer:
    if reported.get("unasked"):
        return "in", reported.get("counted", False)
    if name == "the metrics token":
        return ("in", False) if reported.get("token") else ("401", False)
    if name == "nonsense" or (name == "an old session" and reported["session"]):
        return "401", False
    caller = {
        "a session": "owner" if reported["session"] else "unauthenticated",
        "an old session": "unauthenticated",
    }.get(name, name)
    caller = "owner" if caller == "customer" else caller
    if caller == "a ticket":
        caller = "owner" if reported.get("ticket") else "unauthenticated"
        if caller == "owner":
            return "in", False  # not counted before it is used up
    if caller == "unauthenticated":
        if (
            "unauthenticated" in reported["in"]
            or reported.get("anonymous")
            or (demo and reported.get("unsigned", False))
        ):
            return "in", False
        return ("401" if reported["in"] else "403"), False
    if caller in reported["in"] or (demo and not reported["in"]):
        return "in", True
    return "403", False


def changed(allow: Allow) -> Iterator[Allow]:
    """
    Yield every other declared Allow, and each variant of this one with one effective member changed. ``owners`` alone
    has no effect in the serving layer; tests/access/test_every_route.py compares it with the routes.
    """
    yield from (other for other in DECLARED.values() if replace(other, owners=allow.owners) != allow)
    if allow.roles is None:
        yield from (Allow(frozenset({role})) for role in ROLES)
        yield replace(allow, counted=not allow.counted)
        return
    yield replace(allow, roles=None)
    for role in ROLES:
        yield replace(allow, roles=allow.roles ^ {role})
    yield replace(allow, anonymous=not allow.anonymous)
    yield replace(allow, by_metrics_token=not allow.by_metrics_token)
    if not allow.anonymous:
        yield replace(allow, unsigned=not allow.unsigned)
        yield replace(allow, by_ticket=not allow.by_ticket)
    if allow.roles:
        yield replace(allow, by_session=not allow.by_session)


@pytest.mark.parametrize("route", ROUTES, ids=NAMES)
async def test_each_change_of_a_route_s_allow_is_caught(
    route: Route, shops: tuple[Deps, Deps], headers: dict[str, dict[str, str]]
) -> None:
    right = wanted(TABLE[f"{route.method} {route.path}"])
    assert await answers(route, shops, headers) == right
    survived = [
        one for one in changed(route.allow) if await answers(replace(route, allow=one), shops, headers) == right
    ]
    assert survived == []
