"""Webhooks are signed by Standard Webhooks 1.0.0; whatever is wrong with a signature is one kind of error."""

import hmac
import json
from base64 import b64decode, b64encode
from datetime import UTC, datetime, timedelta, timezone
from hashlib import sha256
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulsecart.shop.webhooks.new_secrets import new_private_key, new_secret
from pulsecart.shop.webhooks.signature import TOLERANCE, BadSignature, Secret, signature_headers, verify

NOW = datetime(2026, 11, 30, 12, 0, 0, 999_999, tzinfo=UTC)
SECRET = Secret("whsec_" + b64encode(b"k" * 24).decode())
BODY = '{"a":"é"}'.encode()


def signed(*secrets: Secret, at: datetime = NOW, body: bytes = BODY, message_id: str = "msg_1") -> dict[str, str]:
    return dict(signature_headers(secrets or (SECRET,), message_id, at, body))


def test_the_example_of_the_specification_is_signed_as_it_says() -> None:
    """Standard Webhooks' own test vector, of its libraries' tests."""
    secret = Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    at = datetime.fromtimestamp(1614265330, UTC)
    headers = signed(secret, at=at, body=b'{"test": 2432232314}', message_id="msg_p5jXN8AQM9LWM0D4loKWxJek")
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert headers["webhook-timestamp"] == "1614265330"


def test_the_text_that_is_signed_is_id_timestamp_and_body_byte_by_byte() -> None:
    headers = signed(body=b"\x00\xff.")
    text = b"msg_1." + str(int(NOW.timestamp())).encode() + b".\x00\xff."
    assert headers["webhook-signature"] == "v1," + b64encode(hmac.digest(b"k" * 24, text, sha256)).decode()


def test_the_seeds_signature_is_of_the_body_alone_and_by_the_newest_secret() -> None:
    newest = Secret(new_secret())
    headers = signed(Secret(new_private_key()), newest, SECRET)
    key = b64decode(newest.text.removeprefix("whsec_"))
    assert headers["x-bv-signature"] == hmac.new(key, BODY, sha256).hexdigest()
    assert "x-bv-signature" not in signed(Secret(new_private_key()))


def test_one_instant_is_signed_alike_in_every_time_zone() -> None:
    assert signed() == signed(at=NOW.astimezone(timezone(timedelta(hours=5))))


def test_each_secret_signs_in_turn_while_secrets_rotate() -> None:
    secrets = [Secret(new_secret()), Secret(new_private_key()), SECRET]
    signatures = signed(*secrets)["webhook-signature"].split(" ")
    assert [one.partition(",")[0] for one in signatures] == ["v1", "v1a", "v1"]
    assert signatures == [signed(secret)["webhook-signature"] for secret in secrets]


@pytest.mark.parametrize("secret", [SECRET, Secret(new_secret()), Secret(new_private_key())])
def test_what_was_signed_verifies_with_its_secret_and_with_no_other(secret: Secret) -> None:
    headers = signed(secret)
    assert verify([Secret(new_secret()), secret], headers, BODY, NOW) == "msg_1"
    for other in (Secret(new_secret()), Secret(new_private_key())):
        with pytest.raises(BadSignature, match="No signature"):
            verify([other], headers, BODY, NOW)
    with pytest.raises(BadSignature):
        verify([], headers, BODY, NOW)


def test_a_public_key_verifies_and_cannot_sign() -> None:
    private = Secret(new_private_key())
    public = Secret(private.public)
    assert public.text.startswith("whpk_")
    assert public.public == public.text
    assert verify([public], signed(private), BODY, NOW) == "msg_1"
    with pytest.raises(ValueError, match="only a private key"):
        signed(public)


def test_a_private_key_may_be_written_with_its_public_half() -> None:
    short = Secret(new_private_key())
    halves = b64decode(short.text[5:]) + b64decode(short.public[5:])
    assert signed(Secret("whsk_" + b64encode(halves).decode())) == signed(short)


@pytest.mark.parametrize("seconds", [-TOLERANCE.total_seconds(), 0, TOLERANCE.total_seconds()])
def test_a_timestamp_within_the_tolerance_is_accepted(seconds: float) -> None:
    at = NOW.replace(microsecond=0)
    assert verify([SECRET], signed(at=at), BODY, at + timedelta(seconds=seconds))


@pytest.mark.parametrize("seconds", [-301, 301, 10**9])
def test_a_timestamp_outside_of_the_tolerance_is_refused(seconds: int) -> None:
    at = NOW.replace(microsecond=0)
    headers = signed(at=at)
    with pytest.raises(BadSignature, match="too far"):
        verify([SECRET], headers, BODY, at + timedelta(seconds=seconds))
    assert verify([SECRET], headers, BODY, at + timedelta(seconds=301), tolerance=timedelta(hours=1))


GOOD = signed()


@pytest.mark.parametrize(
    "changed",
    [
        {"webhook-id": "msg_2"},
        {"webhook-id": ""},
        {"webhook-id": "msg.1"},
        {"webhook-id": "é"},
        {"webhook-id": "m" * 256},
        {"webhook-timestamp": ""},
        {"webhook-timestamp": str(int(NOW.timestamp()) + 1)},
        {"webhook-timestamp": GOOD["webhook-timestamp"] + ".0"},
        {"webhook-timestamp": " " + GOOD["webhook-timestamp"]},
        {"webhook-timestamp": "+" + GOOD["webhook-timestamp"]},
        {"webhook-timestamp": "٣" * 10},
        {"webhook-timestamp": "9" * 400},
        {"webhook-timestamp": "-1"},
        {"webhook-timestamp": "nan"},
        {"webhook-signature": ""},
        {"webhook-signature": "v1"},
        {"webhook-signature": "v1,"},
        {"webhook-signature": "v1,é"},
        {"webhook-signature": "v1,\udcff"},
        {"webhook-signature": GOOD["webhook-signature"] + "="},
        {"webhook-signature": GOOD["webhook-signature"].replace("v1,", "v1a,")},
        {"webhook-signature": GOOD["webhook-signature"].replace("v1,", "v2,")},
        {"webhook-signature": GOOD["webhook-signature"].replace("v1,", "")},
        {"webhook-signature": "v1, " + GOOD["webhook-signature"][3:]},
        {"webhook-signature": "x " * 16 + GOOD["webhook-signature"]},
    ],
)
def test_a_message_with_a_changed_header_is_refused(changed: dict[str, str]) -> None:
    assert verify([SECRET], GOOD, BODY, NOW)
    with pytest.raises(BadSignature):
        verify([SECRET, Secret(new_private_key())], GOOD | changed, BODY, NOW)


def test_unknown_signatures_beside_a_good_one_do_not_matter() -> None:
    headers = GOOD | {"webhook-signature": f"v2,AAAA v1a,%% x,y,z  {GOOD['webhook-signature']}"}
    assert verify([SECRET, Secret(new_private_key())], headers, BODY, NOW) == "msg_1"


@given(st.dictionaries(st.sampled_from(list(GOOD)), st.text(max_size=40)), st.binary(max_size=40))
def test_whatever_comes_is_verified_or_refused_and_nothing_else(headers: dict[str, str], body: bytes) -> None:
    secrets = [SECRET, Secret(new_private_key())]
    for one, sent in product((GOOD | headers, headers), (body, BODY)):
        try:
            assert verify(secrets, one, sent, NOW) == "msg_1"
        except BadSignature:
            continue


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        "whsec_" + b64encode(b"k" * 23).decode(),
        "whsec_" + b64encode(b"k" * 65).decode(),
        "whsec_" + b64encode(b"k" * 24).decode()[:-1],
        "whsec_" + "é" * 32,
        "whsec_ " + b64encode(b"k" * 24).decode(),
        b64encode(b"k" * 24).decode(),
        "whsk_" + b64encode(b"k" * 31).decode(),
        "whpk_" + b64encode(b"k" * 64).decode(),
        "other_" + b64encode(b"k" * 32).decode(),
    ],
)
def test_what_is_no_secret_is_refused_and_not_repeated_in_the_error(text: str) -> None:
    with pytest.raises(ValueError, match=r"a secret is|no base64") as error:
        Secret(text)
    assert len(text) < 20 or text not in str(error.value)


def test_a_secret_is_not_shown_by_its_repr_and_new_ones_differ() -> None:
    texts = [new_secret(), new_secret(), new_private_key(), new_private_key()]
    assert len(set(texts)) == 4
    assert not any(text[6:] in repr(Secret(text)) for text in texts)
    assert json.loads(json.dumps(texts)) == texts


@pytest.mark.parametrize(("message_id", "at"), [("a.b", NOW), ("", NOW), ("a b", NOW), ("a", NOW.replace(tzinfo=None))])
def test_what_could_be_read_in_two_ways_is_not_signed(message_id: str, at: datetime) -> None:
    with pytest.raises(ValueError, match="full stop"):
        signed(message_id=message_id, at=at)
