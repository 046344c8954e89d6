"""The Standard Webhooks libraries for Python, Go and JavaScript verify what the shop signs, and it verifies theirs."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from pulsecart.shop.webhooks.new_secrets import new_private_key, new_secret
from pulsecart.shop.webhooks.signature import Secret, signature_headers, verify
from tests.strangers import sdks
from tests.strangers.verifiers import Signed, commands, verdicts

BODIES = [
    b"{}",
    b'{"specversion":"1.0","type":"ecommerce.order.order.paid.v1","data":{"amount":12.50}}',
    '{"name": "Bücher, 漢字, 🛒"}'.encode(),
    b'{\n  "spaces" : [ 1 , 2 ]\r\n}\n',
    b'{"long":"' + b"a" * 100_000 + b'"}',
]
Verdict = Callable[[Signed], tuple[bool, str]]


def now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


@pytest.fixture(scope="module")
def programs() -> dict[str, list[str]]:
    try:
        return commands()
    except sdks.Missing as missing:
        pytest.skip(str(missing))


@pytest.fixture(params=["python", "go", "javascript"])
def verdict(request: pytest.FixtureRequest) -> Verdict:
    """Whether this library takes a message for valid, and its own signature of it."""
    if request.param == "python":
        return _python
    command = request.getfixturevalue("programs")[request.param]

    def ask(message: Signed) -> tuple[bool, str]:
        (said,) = verdicts(command, [message])
        return said["valid"], said["signed"]

    return ask


def _python(message: Signed) -> tuple[bool, str]:
    library = Webhook(message.secret)
    at = datetime.fromtimestamp(int(message.headers["webhook-timestamp"]), UTC)
    signed = library.sign(message.headers["webhook-id"], at, message.body.decode())
    try:
        library.verify(message.body, dict(message.headers), json_parse=False)
    except WebhookVerificationError:
        return False, signed
    return True, signed


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
def test_a_library_verifies_what_the_shop_signs_and_signs_the_same(verdict: Verdict, body: bytes) -> None:
    secret = new_secret()
    headers = dict(signature_headers([Secret(secret)], "msg_1", now(), body))
    assert verdict(Signed(secret, headers, body)) == (True, headers["webhook-signature"])


def test_while_a_secret_rotates_a_library_verifies_with_the_old_one_and_with_the_new_one(verdict: Verdict) -> None:
    new, old, private = new_secret(), new_secret(), new_private_key()
    headers = dict(signature_headers([Secret(new), Secret(private), Secret(old)], "msg_1", now(), b"{}"))
    assert len(headers["webhook-signature"].split(" ")) == 3
    assert [verdict(Signed(secret, headers, b"{}"))[0] for secret in (new, old, new_secret())] == [True, True, False]


@pytest.mark.parametrize(
    "changed", [{"webhook-id": "msg_2"}, {"webhook-timestamp": str(int(now().timestamp()) - 1)}, {"body": "[]"}]
)
def test_a_library_refuses_a_message_that_was_changed_on_its_way(verdict: Verdict, changed: dict[str, str]) -> None:
    secret = new_secret()
    headers = dict(signature_headers([Secret(secret)], "msg_1", now(), b"{}"))
    body = changed.get("body", "{}").encode()
    assert not verdict(Signed(secret, {**headers, **changed}, body))[0]


def test_the_shop_verifies_what_a_library_signs(verdict: Verdict) -> None:
    secret = new_secret()
    for body in BODIES:
        headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now().timestamp())), "webhook-signature": "v1,"}
        _, signed = verdict(Signed(secret, headers, body))
        assert verify([Secret(secret)], {**headers, "webhook-signature": signed}, body, now()) == "msg_1"


@pytest.mark.parametrize("name", ["go", "javascript"])
def test_another_ed25519_verifies_what_the_shop_signs_by_v1a(programs: dict[str, list[str]], name: str) -> None:
    key = Secret(new_private_key())
    other = Secret(new_private_key())
    messages = []
    for body in BODIES:
        headers = dict(signature_headers([key, Secret(new_secret())], "msg_1", now(), body))
        messages += [Signed(key.public, headers, body), Signed(other.public, headers, body)]
        messages.append(Signed(key.public, headers, body + b" "))
    said = [verdict["valid"] for verdict in verdicts(programs[name], messages)]
    assert said == [True, False, False] * len(BODIES)
