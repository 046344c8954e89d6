"""scripts/webhook-keys seals every stored secret again with the first key, so that the older ones can be removed."""

import asyncio
from base64 import b64decode, b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from functions.webhooks.creation import WHERE
from pulsecart.admin import webhook_keys
from pulsecart.admin.webhook_keys import KINDS, main, reseal
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.runtime.sealing import Sealing
from pulsecart.runtime.settings import Settings
from tests.client import Client
from tests.functions.webhook_rows import Partner

OLD, NEW, LOST = b"o" * 32, b"n" * 32, b"l" * 32
SEALED = """
    SELECT subscription_id::text, encode(sealed, 'base64') FROM webhook_secrets
    UNION ALL SELECT source_id::text, encode(sealed, 'base64') FROM partner_source_secrets
    UNION ALL SELECT split_part(location, '/', 5), body FROM catalogue_keys
    WHERE starts_with(location, '/api/v1/webhook-')
"""


def text(*keys: bytes) -> str:
    return ",".join(b64encode(key).decode() for key in keys)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, webhook_keys=text(OLD))


@pytest.fixture
def partner(client: Client) -> Partner:
    return Partner(client)


@pytest.fixture(autouse=True)
def _environment(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", settings.database_url)
    monkeypatch.setenv("WEBHOOK_KEYS", text(NEW, OLD))


async def command(*arguments: str) -> int:
    return await asyncio.to_thread(main, arguments or ("reseal",))


async def opened(client: Client, *keys: bytes) -> list[str]:
    """All stored secrets, as these keys open them."""
    rows = await client.rows(SEALED)
    return sorted(Sealing(keys).open(b64decode(sealed), owner) for owner, sealed in rows)


async def shop_with_secrets(client: Client, partner: Partner) -> Any:
    """A subscription with two secrets and two kept replies, and a source with one secret; the first reply."""
    first = await partner.create("k-1")
    rotated = await partner.ask(
        "POST", f"{WHERE}{first.body['subscriptionId']}/secret", {"overlapS": 60}, idempotency_key="k-2"
    )
    source = await partner.ask("POST", f"/api/v1/partners/{partner.name}/sources")
    assert (first.status, rotated.status, source.status) == (201, 201, 201)
    return first


def with_keys(settings: Settings, *keys: bytes) -> Deps:
    return open_deps(replace(settings, webhook_keys=text(*keys), accept_unsigned_buyers=True))


async def test_every_secret_opens_with_the_new_key_alone_afterwards(
    client: Client, partner: Partner, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    first = await shop_with_secrets(client, partner)
    before = await opened(client, OLD)
    assert await command() == 0
    assert await opened(client, NEW) == before
    assert capsys.readouterr().out.splitlines() == [
        "secrets of webhook subscriptions: 2 sealed again, 0 already were, 0 cannot be opened",
        "secrets of event sources: 1 sealed again, 0 already were, 0 cannot be opened",
        "replies to Idempotency-Keys: 2 sealed again, 0 already were, 0 cannot be opened",
    ]
    deps = with_keys(settings, NEW)
    again = await Partner(Client(deps)).create("k-1")
    await close_deps(deps)
    assert (again.status, again.body) == (201, first.body), "the reply that is kept"


async def test_a_second_run_changes_nothing(
    client: Client, partner: Partner, capsys: pytest.CaptureFixture[str]
) -> None:
    await shop_with_secrets(client, partner)
    assert await command() == 0
    rows = await client.rows(SEALED)
    capsys.readouterr()
    assert await command() == 0
    assert "2 sealed again" not in capsys.readouterr().out
    assert sorted(await client.rows(SEALED)) == sorted(rows)


async def test_all_pages_are_read(client: Client, partner: Partner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(webhook_keys, "AT_ONCE", 2)
    for n in range(5):
        await partner.create(f"k-{n}")
        await partner.ask("POST", f"/api/v1/partners/{partner.name}/sources")
    assert await command() == 0
    assert len(await opened(client, NEW)) == 15


async def test_a_secret_whose_key_is_lost_is_named_and_the_others_are_sealed_again(
    client: Client, partner: Partner, capsys: pytest.CaptureFixture[str]
) -> None:
    lost, kept = await partner.subscribed(), await partner.subscribed()
    sealed = Sealing([LOST]).seal("whsec_lost", lost)
    await client.rows("UPDATE webhook_secrets SET sealed = %s WHERE subscription_id = %s RETURNING 1", sealed, lost)
    assert await command() == 1
    shown = capsys.readouterr()
    assert f" of {lost} cannot be opened: it was sealed with the key {sealed[1:9].hex()}" in shown.err
    assert "secrets of webhook subscriptions: 1 sealed again, 0 already were, 1 cannot be opened" in shown.out
    secret = await client.row("SELECT sealed FROM webhook_secrets WHERE subscription_id = %s", kept)
    assert Sealing([NEW]).open(bytes(secret[0]), kept).startswith("whsec_")


async def test_a_secret_that_has_ended_is_left_alone(client: Client, partner: Partner) -> None:
    id = await partner.subscribed()
    await client.rows(
        "UPDATE webhook_secrets SET sealed = %s, ends_at = now() - interval '1 second' RETURNING 1",
        Sealing([LOST]).seal("whsec_lost", id),
    )
    assert await command() == 0


async def test_a_secret_that_is_deleted_meanwhile_stays_deleted(
    client: Client, partner: Partner, settings: Settings
) -> None:
    await shop_with_secrets(client, partner)
    deps = with_keys(settings, NEW, OLD)
    for kind in KINDS:

        async def replaced(tx: Any, id: str, before: bytes, after: bytes, kind: Any = kind) -> bool:
            await tx.execute("DELETE FROM webhook_secrets")
            await tx.execute("DELETE FROM partner_source_secrets")
            await tx.execute("DELETE FROM catalogue_keys")
            done: bool = await kind.replace(tx, id, before, after)
            return done

        counts = await reseal(deps, kind._replace(replace=replaced))
        assert (counts.again, counts.left) == (0, [])
    await close_deps(deps)
    assert await opened(client, NEW) == []


@pytest.mark.parametrize(
    ("keys", "reason"), [("", "WEBHOOK_KEYS is not set"), ("short", "WEBHOOK_KEYS: key 1"), ("x,y", "WEBHOOK_KEYS")]
)
def test_without_keys_it_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, keys: str, reason: str
) -> None:
    monkeypatch.setattr(webhook_keys, "DATA", tmp_path)
    monkeypatch.setenv("WEBHOOK_KEYS", keys)
    assert main(["reseal"]) == 2
    assert reason in capsys.readouterr().err


def test_without_a_shop_or_a_database_it_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["reseal", "--data", str(tmp_path)]) == 2
    assert "no shop is running" in capsys.readouterr().err
    monkeypatch.setenv("DATABASE_URL", "postgresql://shop@127.0.0.1:1/shop")
    assert main(["reseal"]) == 2
    assert "database" in capsys.readouterr().err


def test_a_shop_on_this_machine_has_its_keys_in_its_data_directory(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.delenv("WEBHOOK_KEYS")
    monkeypatch.setattr(webhook_keys, "DATA", tmp_path)
    (tmp_path / "webhook.keys").write_text(text(NEW, OLD) + "\n")
    assert main(["reseal"]) == 0
    assert "0 cannot be opened" in capsys.readouterr().out
