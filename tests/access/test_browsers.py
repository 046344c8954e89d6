"""Replies have the headers for browsers: how to treat a reply, and which other sites' pages may read it."""

from collections.abc import Callable
from dataclasses import replace

import httpx
import pytest

from pulsecart.processes.host import Host
from pulsecart.runtime.settings import MissingSetting, Settings, read
from pulsecart.serving.cors import with_origins
from tests.local.running_shop import RunningShop

FRIEND = "https://friend.example"
BUY = "/api/v1/sync/purchase"
BODY = {"productId": 1, "userId": 7}


@pytest.fixture
def shop(start_shop: Callable[..., RunningShop]) -> RunningShop:
    return start_shop(CORS_ORIGINS=f"{FRIEND}, http://localhost:3000", PUBLIC_URL="https://pulsecart.example")


def preflight(http: httpx.Client, origin: str, **asked: str) -> httpx.Response:
    wanted = {"method": "POST", "headers": "authorization,content-type,idempotency-key,request-timeout"} | asked
    names = {f"access-control-request-{name}": value for name, value in wanted.items()}
    return http.options(BUY, headers={"origin": origin, **names})


def test_replies_say_how_browsers_shall_treat_them_and_whose_pages_may_read_them(shop: RunningShop) -> None:
    with httpx.Client(base_url=shop.run["url"], trust_env=False) as http:
        for path, status in (("/", 200), ("/static/main.js", 200), ("/api/v1/sales", 200), ("/nothing", 404)):
            reply = http.get(path)
            assert reply.status_code == status
            assert reply.headers.get_list("x-content-type-options") == ["nosniff"]
            assert reply.headers.get_list("referrer-policy") == ["same-origin"]
            assert reply.headers["strict-transport-security"] == "max-age=31536000"
            assert "access-control-allow-origin" not in reply.headers
        policy = http.get("/").headers["content-security-policy"]
        rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
        assert (rules["default-src"], rules["frame-ancestors"], rules["script-src"]) == ("'none'", "'none'", "'self'")
        assert "unsafe" not in policy

        allowed = preflight(http, FRIEND)
        assert allowed.status_code == 200
        assert allowed.headers["access-control-allow-origin"] == FRIEND
        assert "access-control-allow-credentials" not in allowed.headers
        assert "Origin" in allowed.headers["vary"]
        assert preflight(http, "http://localhost:3000", method="PUT").status_code == 200
        for refused in (
            preflight(http, "https://evil.example"),
            preflight(http, FRIEND + ".evil.example"),
            preflight(http, "http://friend.example"),
            preflight(http, "null"),
        ):
            assert refused.status_code == 400
            assert "access-control-allow-origin" not in refused.headers
        assert preflight(http, FRIEND, headers="x-anything").status_code == 400

        sold = http.post(BUY, json=BODY, headers={"origin": FRIEND})
        assert (sold.status_code, sold.headers["access-control-allow-origin"]) == (200, FRIEND)
        assert "ratelimit" in sold.headers["access-control-expose-headers"]
        no = http.post(BUY, json={}, headers={"origin": FRIEND})
        assert (no.status_code, no.headers["access-control-allow-origin"]) == (400, FRIEND)
        other = http.post(BUY, json=BODY, headers={"origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers

        session = http.post("/api/v1/session", json={"userId": 7}, headers={"origin": FRIEND})
        assert (session.status_code, session.json()["type"].rsplit("/")[-1]) == (403, "foreign-origin")


def test_without_other_sites_nothing_stands_before_the_shop(settings: Settings) -> None:
    app = Host.__call__
    assert with_origins(app, settings) is app  # type: ignore[arg-type, comparison-overlap]  # any callable


@pytest.mark.parametrize("origin", ["*", "friend.example", "https://friend.example/", "file://x", "https://", "null"])
def test_what_is_no_origin_stops_the_start(settings: Settings, origin: str) -> None:
    with pytest.raises(MissingSetting, match="CORS_ORIGINS"):
        with_origins(Host.__call__, replace(settings, cors_origins=origin))  # type: ignore[arg-type]  # as above


def test_plain_http_is_not_asked_to_be_https(settings: Settings) -> None:
    from pulsecart.serving.cors import safe_headers

    assert "strict-transport-security" not in dict(safe_headers(settings))
    assert read({"DATABASE_URL": "", "REDIS_URL": ""}).cors_origins == ""
