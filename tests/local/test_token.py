"""scripts/token: issues tokens with a data directory's development keys, which the shop on it accepts."""

import stat
import subprocess
import sys
from pathlib import Path

import httpx

from pulsecart.admin.which_shop import ROOT
from tests.local.running_shop import RunningShop

RESET = "/api/v1/sync/stock/1/reset?stock=7"


def printed(data: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "pulsecart.local.issuer", "--data", str(data), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def bearer(data: Path, *arguments: str) -> dict[str, str]:
    made = printed(data, *arguments)
    assert (made.returncode, made.stderr) == (0, "")
    return {"authorization": f"Bearer {made.stdout.strip()}"}


def test_a_running_shop_accepts_the_tokens_it_prints_and_only_for_what_they_say(shop: RunningShop) -> None:
    with httpx.Client(base_url=shop.run["url"], trust_env=False) as http:
        assert http.put(RESET, headers=bearer(shop.data, "--role", "admin")).status_code == 200
        assert http.put(RESET, headers=bearer(shop.data, "--role", "customer")).status_code == 403
        assert http.put(RESET, headers=bearer(shop.data, "--role", "customer", "--role", "admin")).status_code == 200
        assert http.put(RESET, headers=bearer(shop.data, "--role", "admin", "--ttl", "-60")).status_code == 401
        assert http.put(RESET, headers=bearer(shop.data, "--role", "admin", "--audience", "x")).status_code == 401
        assert http.put(RESET, headers=bearer(shop.data, "--role", "admin", "--rotate")).status_code == 200
        mine = http.get("/api/v1/customers/8/orders", headers=bearer(shop.data, "--user", "8"))
        assert (mine.status_code, mine.json()["orders"]) == (200, [])


def test_its_keys_are_their_owner_s_alone_and_two_are_kept(shop: RunningShop) -> None:
    for _ in range(3):
        bearer(shop.data, "--rotate")
    keys = list((shop.data / "issuer").glob("*.pem"))
    assert len(keys) == 2
    assert {stat.S_IMODE(key.stat().st_mode) for key in keys} == {0o600}
    assert "PRIVATE" not in (shop.data / "issuer" / "jwks.json").read_text()
    assert '"d"' not in (shop.data / "issuer" / "jwks.json").read_text()


def test_where_no_shop_was_it_says_how_to_start_one(tmp_path: Path) -> None:
    refused = printed(tmp_path)
    assert refused.returncode == 2
    assert "./scripts/up" in refused.stderr
    assert list(tmp_path.iterdir()) == []
