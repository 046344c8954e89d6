"""Secrets at rest open with their key and for their owner alone; while keys rotate, every secret opens."""

from base64 import b64encode
from dataclasses import replace

import pytest

from pulsecart.runtime.deps import close_deps, open_deps
from pulsecart.runtime.seal_keys import keys_of
from pulsecart.runtime.sealing import CannotOpen, Sealing, sealing
from pulsecart.runtime.settings import MissingSetting, Settings, read

OLD, NEW = b"o" * 32, b"n" * 32
SECRET = "whsec_of a partner, é"
NEEDED = {"DATABASE_URL": "postgresql:///nowhere", "REDIS_URL": "redis://nowhere"}


def text(*keys: bytes) -> str:
    return ", ".join(b64encode(key).decode() for key in keys)


def test_a_sealed_secret_opens_for_its_owner() -> None:
    sealed = Sealing([OLD]).seal(SECRET, "sub_1")
    assert Sealing([OLD]).open(sealed, "sub_1") == SECRET
    assert SECRET.encode() not in sealed
    assert Sealing([OLD]).seal(SECRET, "sub_1") != sealed, "the nonce is new each time"


def test_a_secret_that_was_moved_to_another_row_does_not_open() -> None:
    sealed = Sealing([OLD]).seal(SECRET, "sub_1")
    with pytest.raises(CannotOpen, match="another owner"):
        Sealing([OLD]).open(sealed, "sub_2")


def test_a_secret_with_one_changed_byte_does_not_open() -> None:
    sealed = Sealing([OLD]).seal(SECRET, "sub_1")
    for at in range(len(sealed)):
        with pytest.raises(CannotOpen):
            Sealing([OLD]).open(sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :], "sub_1")
    for cut in (b"", sealed[:5], sealed[:30], sealed[:-1], sealed + b"\x00"):
        with pytest.raises(CannotOpen):
            Sealing([OLD]).open(cut, "sub_1")


def test_keys_rotate_old_secrets_open_and_are_sealed_again() -> None:
    sealed = Sealing([OLD]).seal(SECRET, "sub_1")
    both = Sealing([NEW, OLD])
    assert both.open(sealed, "sub_1") == SECRET
    assert not both.is_newest(sealed)
    again = both.seal(SECRET, "sub_1")
    assert both.is_newest(again)
    assert Sealing([NEW]).open(again, "sub_1") == SECRET


def test_a_key_that_is_gone_is_named_and_no_key_is_shown() -> None:
    sealed = Sealing([OLD]).seal(SECRET, "sub_1")
    with pytest.raises(CannotOpen, match=r"the key [0-9a-f]{16}, which WEBHOOK_KEYS lacks") as error:
        Sealing([NEW]).open(sealed, "sub_1")
    assert OLD.hex() not in str(error.value)


def test_keys_are_read_from_the_settings() -> None:
    assert keys_of("") == []
    assert keys_of(text(NEW, OLD)) == [NEW, OLD]
    assert read({**NEEDED, "WEBHOOK_KEYS": text(NEW)}).webhook_keys == text(NEW)
    assert text(NEW) not in repr(read({**NEEDED, "WEBHOOK_KEYS": text(NEW)}))


@pytest.mark.parametrize("bad", ["short", text(b"k" * 31), text(b"k" * 33), "é" * 44, text(NEW)[:-1], text(NEW) + ",x"])
def test_a_key_that_is_too_short_or_malformed_ends_the_start_with_a_sentence(bad: str) -> None:
    with pytest.raises(MissingSetting, match=r"WEBHOOK_KEYS: key \d .*openssl rand") as error:
        read({**NEEDED, "WEBHOOK_KEYS": bad})
    assert bad not in str(error.value)


def test_a_bad_entry_of_outgoing_allow_ends_the_start_with_a_sentence() -> None:
    assert read({**NEEDED, "OUTGOING_ALLOW": "127.0.0.1, receiver.test"}).outgoing_allow
    with pytest.raises(MissingSetting, match=r"OUTGOING_ALLOW: '10\.0\.0\.1/8' is no network"):
        read({**NEEDED, "OUTGOING_ALLOW": "10.0.0.1/8"})


async def test_without_keys_nothing_is_sealed(settings: Settings) -> None:
    without = open_deps(replace(settings, webhook_keys=""))
    with pytest.raises(MissingSetting, match="WEBHOOK_KEYS is not set"):
        without.singleton(sealing)
    await close_deps(without)
    with_keys = open_deps(replace(settings, webhook_keys=text(NEW)))
    sealed = with_keys.singleton(sealing).seal(SECRET, "sub_1")
    assert with_keys.share("other").singleton(sealing).open(sealed, "sub_1") == SECRET
    await close_deps(with_keys)
