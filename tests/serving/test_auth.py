"""Only the issuer's keys identify a caller; an invalid token is rejected, in the demo too."""

import asyncio
import base64
import contextlib
import json
import threading
import warnings
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any, cast

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import new_id
from pulsecart.runtime.problem import Forbidden, Problem, Unauthorized, Unavailable
from pulsecart.runtime.settings import MissingSetting, Settings
from pulsecart.serving import jwks
from pulsecart.serving.access import Caller
from pulsecart.serving.auth import buyer_of, caller_of, require_buyer
from pulsecart.serving.http import Request
from pulsecart.serving.tokens import Verifier, issue_session
from tests.client import until

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "a session secret of thirty-two bytes or more"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP256R1())


@dataclass
class Issuer:
    """Publishes keys over loopback and counts requests; while ``held`` is clear it does not answer."""

    keys: list[dict[str, Any]] = field(default_factory=list)
    answers: int = 200
    asked: int = 0
    held: threading.Event = field(default_factory=threading.Event)
    url: str = ""


@pytest.fixture
def published() -> Iterator[Issuer]:
    state = Issuer(keys=[jwk(RSA_KEY, "rsa-1"), jwk(EC_KEY, "ec-1")])
    state.held.set()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            state.asked += 1
            state.held.wait(10)
            body = json.dumps({"keys": state.keys}).encode()
            self.send_response(state.answers)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    state.url = f"http://127.0.0.1:{server.server_port}/keys"
    yield state
    server.shutdown()
    serving.join()
    server.server_close()


def jwk(key: Any, kid: str | None, **more: str) -> dict[str, Any]:
    maker = RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else ECAlgorithm
    named = {"kid": kid} if kid is not None else {}
    return {**maker.to_jwk(key.public_key(), as_dict=True), **named, **more}


class Clock:
    def __init__(self) -> None:
        self.at = NOW

    def now(self) -> datetime:
        return self.at


def deps(**settings: Any) -> Deps:
    made: dict[Any, Any] = {}
    whole = Settings(database_url="", redis_url="", **{"session_secret": SECRET, **settings})
    fake = SimpleNamespace(settings=whole, clock=Clock())
    fake.singleton = lambda make: made.setdefault(make, None) or made.update({make: make(fake)}) or made[make]
    return cast(Deps, fake)


def turn(deps: Deps, seconds: float) -> None:
    clock = cast(Clock, deps.clock)
    clock.at += timedelta(seconds=seconds)


def token(key: Any = RSA_KEY, algorithm: str = "RS256", kid: str | None = "rsa-1", **claims: Any) -> str:
    whole = {"sub": "u-1", "aud": "pulsecart", "exp": NOW + timedelta(minutes=5), **claims}
    return jwt.encode(
        {name: value for name, value in whole.items() if value is not None},
        key,
        algorithm=algorithm,
        headers={"kid": kid} if kid else {},
    )


def bearer(token: str) -> Request:
    return Request("POST", "/", {"authorization": f"Bearer {token}"})


def cookie(session: str) -> Request:
    return Request("POST", "/", {"cookie": f"theme=dark; pulsecart_session={session}"})


async def why(asking: Awaitable[object]) -> str:
    with pytest.raises(Unauthorized) as refused:
        await asking
    assert refused.value.status == 401
    return refused.value.detail


async def test_tokens_signed_with_the_issuers_rsa_and_ec_keys_are_known(published: Issuer) -> None:
    shop = deps(jwt_jwks_url=published.url)
    assert await buyer_of(bearer(token()), shop) == "u-1"
    assert await buyer_of(bearer(token(EC_KEY, "ES256", "ec-1", sub="u-2")), shop) == "u-2"
    assert published.asked == 1


async def test_an_anonymous_request_has_no_caller(published: Issuer) -> None:
    assert await buyer_of(Request("GET", "/", {}), deps(jwt_jwks_url=published.url)) is None
    assert await buyer_of(Request("GET", "/", {"cookie": "theme=dark; x"}), deps()) is None
    assert published.asked == 0


async def test_a_key_that_the_issuer_begins_to_use_is_fetched_and_one_it_withdrew_ends(published: Issuer) -> None:
    shop = deps(jwt_jwks_url=published.url)
    await buyer_of(bearer(token()), shop)
    published.keys = [jwk(OTHER_RSA_KEY, "rsa-2")]
    turn(shop, jwks.REFETCH_S)
    assert await buyer_of(bearer(token(OTHER_RSA_KEY, kid="rsa-2", sub="u-3")), shop) == "u-3"
    assert published.asked == 2
    turn(shop, jwks.REFETCH_S)
    assert "not one of the issuer's" in await why(buyer_of(bearer(token(sub="u-4")), shop))


async def test_while_an_issuer_changes_keys_both_are_good_after_one_fetch(published: Issuer) -> None:
    shop = deps(jwt_jwks_url=published.url)
    await buyer_of(bearer(token()), shop)
    published.keys.append(jwk(OTHER_RSA_KEY, "rsa-2"))
    turn(shop, jwks.REFETCH_S)
    new = (token(OTHER_RSA_KEY, kid="rsa-2", sub=f"u-{n}") for n in range(20))
    assert len(await asyncio.gather(*(buyer_of(bearer(one), shop) for one in new))) == 20
    assert published.asked == 2
    assert await buyer_of(bearer(token(sub="of-the-old-key")), shop) == "of-the-old-key"
    assert published.asked == 2


async def test_no_one_with_a_known_key_waits_for_an_issuer_that_was_away(published: Issuer) -> None:
    shop = deps(jwt_jwks_url=published.url)
    later = NOW + timedelta(hours=2)
    await buyer_of(bearer(token(exp=later)), shop)
    published.answers = 503
    turn(shop, jwks.FRESH_S + 1)
    await buyer_of(bearer(token(exp=later, sub="who-finds-it-away")), shop)
    assert published.asked == 2
    turn(shop, jwks.REFETCH_S)
    published.held.clear()
    assert await buyer_of(bearer(token(exp=later, sub="who-comes-next")), shop) == "who-comes-next"
    published.answers = 200
    published.keys = []
    published.held.set()
    await until(lambda: refused(buyer_of(bearer(token(exp=later, sub=new_id())), shop)))


async def refused(asking: Awaitable[object]) -> bool:
    try:
        await asking
    except Unauthorized:
        return True
    return False


@pytest.mark.parametrize(
    ("claims", "roles"),
    [
        ({}, {"customer"}),
        ({"roles": "admin"}, {"admin"}),
        ({"roles": ["customer", "partner", "janitor"]}, {"customer", "partner"}),
        ({"roles": []}, set()),
        ({"roles": "ADMIN"}, set()),
        ({"roles": {"admin": True}}, set()),
        ({"roles": [["admin"], 7, None]}, set()),
    ],
)
async def test_roles_are_those_of_the_claim_that_the_shop_knows(
    published: Issuer, claims: dict[str, Any], roles: set[str]
) -> None:
    caller = await caller_of(bearer(token(**claims)), deps(jwt_jwks_url=published.url))
    assert caller == Caller("u-1", frozenset(roles))


async def test_the_roles_claim_s_name_is_a_setting(published: Issuer) -> None:
    shop = deps(jwt_jwks_url=published.url, jwt_roles_claim="https://shop.example/roles")
    claims: dict[str, Any] = {"https://shop.example/roles": ["partner"]}
    made = token(roles="admin", **claims)
    caller = await caller_of(bearer(made), shop)
    assert caller == Caller("u-1", frozenset({"partner"}))


async def test_unknown_kids_do_not_make_us_ask_the_issuer_again_and_again(published: Issuer) -> None:
    shop = deps(jwt_jwks_url=published.url)
    for n in range(20):
        await why(buyer_of(bearer(token(kid=f"made-up-{n}")), shop))
    assert published.asked == 1


async def test_a_verified_token_is_remembered_but_not_past_its_end_or_its_keys(published: Issuer) -> None:
    shop = deps(jwt_jwks_url=published.url)
    asked = bearer(token(exp=NOW + timedelta(hours=2)))
    await buyer_of(asked, shop)
    published.keys = []
    turn(shop, 200)
    assert await buyer_of(asked, shop) == "u-1"
    turn(shop, jwks.FRESH_S)
    assert "not one of the issuer's" in await why(buyer_of(asked, shop))


async def test_an_expired_token_is_refused_though_it_was_remembered(published: Issuer) -> None:
    shop = deps(jwt_jwks_url=published.url)
    asked = bearer(token(exp=NOW + timedelta(seconds=60)))
    await buyer_of(asked, shop)
    turn(shop, 65)
    assert await buyer_of(asked, shop) == "u-1"  # within the leeway
    turn(shop, 6)
    assert "expired" in await why(buyer_of(asked, shop))


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": NOW - timedelta(minutes=1)}, "expired"),
        ({"exp": None}, "lacks exp"),
        ({"nbf": NOW + timedelta(minutes=1)}, "not valid yet"),
        ({"aud": "another-shop"}, "another audience"),
        ({"aud": None}, "lacks aud"),
        ({"aud": "pulsecart-session"}, "another audience"),
        ({"iss": "https://evil.example"}, "another issuer"),
        ({"iss": None}, "lacks iss"),
        ({"sub": None}, "lacks sub"),
        ({"sub": ""}, "lacks sub"),
    ],
)
async def test_a_token_with_wrong_claims_is_refused_with_the_reason(
    published: Issuer, claims: dict[str, Any], reason: str
) -> None:
    shop = deps(jwt_jwks_url=published.url, jwt_issuer="https://issuer.example")
    made = token(**{"iss": "https://issuer.example", **claims})
    assert reason in await why(buyer_of(bearer(made), shop))


def unsigned() -> str:
    return jwt.encode({"sub": "u-1", "aud": "pulsecart", "exp": NOW + timedelta(minutes=5)}, "", algorithm="none")


def signed_with_the_public_key() -> str:
    """Sign with the published key as an HMAC secret, a well-known attack."""
    pem = RSA_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header, claims, _ = token().split(".")
    header = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "kid": "rsa-1"}).encode()).rstrip(b"=").decode()
    import hashlib
    import hmac

    signature = hmac.new(pem, f"{header}.{claims}".encode(), hashlib.sha256).digest()
    return f"{header}.{claims}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def tampered() -> str:
    header, _, signature = token().split(".")
    claims = json.dumps({"sub": "admin", "aud": "pulsecart", "exp": 9999999999}).encode()
    return f"{header}.{base64.urlsafe_b64encode(claims).rstrip(b'=').decode()}.{signature}"


@pytest.mark.parametrize(
    "forged",
    [
        unsigned(),
        signed_with_the_public_key(),
        tampered(),
        token(OTHER_RSA_KEY),
        token(EC_KEY, "ES256", "rsa-1"),
        token(algorithm="RS512"),
        "garbage",
        "a.b.c",
        "..",
        "é.é.é",
    ],
)
@pytest.mark.parametrize("demo", [False, True])
async def test_a_forged_token_is_refused_in_the_demo_too(published: Issuer, forged: str, demo: bool) -> None:
    shop = deps(jwt_jwks_url=published.url, accept_unsigned_buyers=demo)
    assert await why(require_buyer(bearer(forged), shop, "u-1"))


async def test_a_key_is_used_for_the_algorithm_and_the_purpose_it_was_published_for(published: Issuer) -> None:
    published.keys = [jwk(RSA_KEY, "rsa-1", alg="RS512"), jwk(OTHER_RSA_KEY, "enc", use="enc")]
    shop = deps(jwt_jwks_url=published.url)
    assert "does not match" in await why(buyer_of(bearer(token()), shop))
    assert "not one of the issuer's" in await why(buyer_of(bearer(token(OTHER_RSA_KEY, kid="enc")), shop))


async def test_a_secret_in_the_published_keys_is_never_used(published: Issuer) -> None:
    secret = base64.urlsafe_b64encode(b"s" * 32).rstrip(b"=").decode()
    published.keys = [{"kty": "oct", "k": secret, "kid": "rsa-1", "alg": "HS256"}]
    shop = deps(jwt_jwks_url=published.url)
    assert await why(buyer_of(bearer(token(b"s" * 32, "HS256")), shop))


async def test_a_token_without_a_kid_is_verified_by_the_only_key(published: Issuer) -> None:
    published.keys = [jwk(RSA_KEY, None)]
    assert await buyer_of(bearer(token(kid=None)), deps(jwt_jwks_url=published.url)) == "u-1"


async def test_while_the_issuer_is_away_known_keys_stay_good_and_others_mean_not_now(published: Issuer) -> None:
    shop = deps(jwt_jwks_url=published.url)
    published.answers = 503
    with pytest.raises(Unavailable):
        await buyer_of(bearer(token()), shop)
    with pytest.raises(Unavailable):
        await buyer_of(bearer(token()), shop)
    assert published.asked == 1
    published.answers = 200
    turn(shop, jwks.REFETCH_S)
    assert await buyer_of(bearer(token()), shop) == "u-1"
    published.answers = 503
    turn(shop, jwks.FRESH_S + 1)
    assert await buyer_of(bearer(token(exp=NOW + timedelta(hours=1))), shop) == "u-1"
    with pytest.raises(Unavailable):
        await buyer_of(bearer(token(kid="newer", exp=NOW + timedelta(hours=1))), shop)


@pytest.mark.parametrize(("key", "algorithm"), [(RSA_KEY, "RS256"), (EC_KEY, "ES256")])
async def test_one_configured_key_in_pem_verifies_its_own_algorithm_only(key: Any, algorithm: str) -> None:
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    shop = deps(jwt_public_key=pem.replace("\n", "\\n"))
    assert await buyer_of(bearer(token(key, algorithm, None)), shop) == "u-1"
    other, others = (EC_KEY, "ES256") if key is RSA_KEY else (RSA_KEY, "RS256")
    assert "does not match" in await why(buyer_of(bearer(token(other, others, None)), shop))


async def test_without_an_issuer_a_token_is_refused_and_says_what_to_configure() -> None:
    assert "JWT_JWKS_URL" in await why(buyer_of(bearer(token()), deps()))


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer  ", "Basic dTpw", "token"])
async def test_an_authorization_that_is_no_bearer_token_is_informed_how(header: str) -> None:
    request = Request("GET", "/", {"authorization": header})
    assert "Bearer <token>" in await why(buyer_of(request, deps()))


@pytest.mark.parametrize("settings", [{"jwt_algorithms": "HS256"}, {"jwt_algorithms": "none"}, {"jwt_algorithms": ""}])
def test_an_algorithm_that_is_not_for_public_keys_stops_the_start(settings: dict[str, str]) -> None:
    with pytest.raises(MissingSetting, match="JWT_ALGORITHMS"):
        Verifier(deps(**settings).settings)


def test_a_configured_key_that_is_none_stops_the_start() -> None:
    with pytest.raises(MissingSetting, match="JWT_PUBLIC_KEY"):
        Verifier(deps(jwt_public_key="-----BEGIN NOTHING-----").settings)


async def test_our_own_session_is_known_by_its_cookie_until_it_ends() -> None:
    shop = deps()
    session = issue_session("u-5", shop.settings, NOW)
    assert await buyer_of(cookie(session), shop) == "u-5"
    turn(shop, 12 * 3600 + 11)
    assert "expired" in await why(buyer_of(cookie(session), shop))


async def test_a_session_is_no_bearer_token_and_a_bearer_token_no_session(published: Issuer) -> None:
    shop = deps(jwt_jwks_url=published.url)
    assert "algorithm" in await why(buyer_of(bearer(issue_session("u-5", shop.settings, NOW)), shop))
    assert "not a session" in await why(buyer_of(cookie(token()), shop))


async def test_a_session_signed_with_another_secret_is_refused() -> None:
    forged = issue_session("u-5", replace(deps().settings, session_secret="another secret of 32 bytes or more!"), NOW)
    assert await why(buyer_of(cookie(forged), deps()))
    assert await why(buyer_of(cookie(forged), deps(session_secret="")))


@pytest.mark.parametrize("sub", ["a\0b", "a b", "a\n", "é", "x" * 65])
async def test_a_subject_that_could_stand_in_no_body_is_refused_with_the_reason(published: Issuer, sub: str) -> None:
    shop = deps(jwt_jwks_url=published.url)
    assert "its sub is not 1 to 64 printable" in await why(buyer_of(bearer(token(sub=sub)), shop))
    assert "its sub is not 1 to 64 printable" in await why(
        buyer_of(cookie(issue_session(sub, shop.settings, NOW)), shop)
    )
    assert await buyer_of(bearer(token(sub="x" * 64)), shop) == "x" * 64


@pytest.mark.parametrize("other", ["a string", None, 7, [], {**jwk(OTHER_RSA_KEY, None), "kid": ["a list"]}])
async def test_an_entry_of_the_issuer_s_that_is_no_key_leaves_the_others_good(published: Issuer, other: Any) -> None:
    published.keys.insert(0, other)
    assert await buyer_of(bearer(token()), deps(jwt_jwks_url=published.url)) == "u-1"


@pytest.mark.parametrize("secret", ["", "short"])
async def test_with_a_secret_too_short_no_session_is_ours(secret: str) -> None:
    session = issue_session("u-5", deps().settings, NOW)
    assert "not a session of this shop" in await why(buyer_of(cookie(session), deps(session_secret=secret)))


def test_a_short_session_secret_signs_nothing() -> None:
    with pytest.raises(MissingSetting, match="SESSION_SECRET"):
        issue_session("u-5", deps(session_secret="short").settings, NOW)


async def test_a_mutation_needs_a_token_and_is_for_no_one_else() -> None:
    shop = deps()
    session = issue_session("u-5", shop.settings, NOW)
    assert await require_buyer(cookie(session), shop, "u-5") == "u-5"
    assert await require_buyer(cookie(session), shop, None) == "u-5"
    assert "Send your token" in await why(require_buyer(Request("POST", "/", {}), shop, "u-5"))
    for held in (shop, deps(accept_unsigned_buyers=True)):
        with pytest.raises(Forbidden):
            await require_buyer(cookie(session), held, "u-6")


async def test_the_demo_believes_the_body_where_no_token_came() -> None:
    shop = deps(accept_unsigned_buyers=True)
    assert await require_buyer(Request("POST", "/", {}), shop, "u-7") == "u-7"
    assert await why(require_buyer(Request("POST", "/", {}), shop, None))


def test_a_refusal_says_how_to_sign_in() -> None:
    from pulsecart.serving.replies import reply_of

    asked: Callable[[Problem], dict[str, str]] = lambda problem: dict(reply_of(problem).headers)  # noqa: E731
    assert asked(Unauthorized("not-signed-in", "x")) == {"www-authenticate": "Bearer"}
    assert "www-authenticate" not in asked(Forbidden("not-yours", "x"))


@pytest.mark.parametrize("typ", ["JWT", "jwt", "at+jwt", "AT+JWT", "application/at+jwt", None])
async def test_a_token_of_access_is_accepted_however_its_type_is_written(published: Issuer, typ: str | None) -> None:
    shop = deps(jwt_jwks_url=published.url)
    assert await buyer_of(bearer(typed(typ)), shop) == "u-1"


@pytest.mark.parametrize(
    "typ", ["id_token", "secevent+jwt", "logout+jwt", "dpop+jwt", "JOSE", "pulsecart-session", "", "jwt ", 7, ["JWT"]]
)
async def test_another_kind_of_the_issuer_s_tokens_is_refused(published: Issuer, typ: Any) -> None:
    assert "its typ" in await why(buyer_of(bearer(typed(typ)), deps(jwt_jwks_url=published.url)))


def typed(typ: Any) -> str:
    """Sign without the library, which writes no header that is not text."""
    head = {"alg": "RS256", "kid": "rsa-1"} | ({"typ": typ} if typ is not None else {})
    claims = {"sub": "u-1", "aud": "pulsecart", "exp": int(NOW.timestamp()) + 300}
    signed = ".".join(
        base64.urlsafe_b64encode(json.dumps(one).encode()).rstrip(b"=").decode() for one in (head, claims)
    )
    signature = RSAAlgorithm(RSAAlgorithm.SHA256).sign(signed.encode(), RSA_KEY)
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


@pytest.mark.parametrize("exp", ["Infinity", "1e999", "NaN", "-Infinity"])
async def test_a_token_without_an_end_is_refused(published: Issuer, exp: str) -> None:
    claims = base64.urlsafe_b64encode(f'{{"sub": "u-1", "aud": "pulsecart", "exp": {exp}}}'.encode()).rstrip(b"=")
    head = token().split(".")[0]
    signature = RSAAlgorithm(RSAAlgorithm.SHA256).sign(f"{head}.{claims.decode()}".encode(), RSA_KEY)
    made = f"{head}.{claims.decode()}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"
    assert await why(buyer_of(bearer(made), deps(jwt_jwks_url=published.url)))


async def test_weak_and_private_keys_of_the_issuer_are_left_out(published: Issuer) -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    private = {**RSAAlgorithm.to_jwk(OTHER_RSA_KEY, as_dict=True), "kid": "private"}
    published.keys += [jwk(weak, "weak"), private]
    shop = deps(jwt_jwks_url=published.url)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own about a key of 1,024 bits
        assert "not one of the issuer's" in await why(buyer_of(bearer(token(weak, kid="weak")), shop))
    assert "not one of the issuer's" in await why(buyer_of(bearer(token(OTHER_RSA_KEY, kid="private")), shop))
    assert await buyer_of(bearer(token()), shop) == "u-1"


@pytest.mark.parametrize(
    "answer",
    [
        "200 OK\r\n\r\n" + '{"keys": [' + " " * jwks.JWKS_MAX_BYTES + "]}",
        "200 OK\r\ncontent-encoding: gzip\r\n\r\n{}",
        "302 Found\r\nlocation: {url}\r\ncontent-length: 0\r\n\r\n",
        "200 OK\r\n\r\n" + "[" * 100_000,
        "200 OK\r\n\r\n[]",
        "200 OK\r\ncontent-length: 100\r\n\r\n{",
    ],
    ids=["too long", "packed", "a redirect to good keys", "too deep", "another form", "cut off"],
)
async def test_what_is_no_bounded_key_set_means_not_now(published: Issuer, answer: str) -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 " + answer.replace("{url}", published.url).encode())
        with contextlib.suppress(OSError):
            await writer.drain()
        writer.close()

    assert await not_now(say)
    assert published.asked == 0


async def test_an_issuer_that_answers_byte_by_byte_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jwks, "FETCH_TIMEOUT_S", 0.2)
    left = asyncio.Event()

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        try:
            while True:  # each byte within the time that one read may take
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.02)
        except OSError:
            left.set()
        writer.close()

    assert await not_now(drip)
    async with asyncio.timeout(5):
        await left.wait()


async def not_now(answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]) -> bool:
    """Return whether a shop answers a token with Unavailable if its issuer answers in this way."""
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Unavailable):
            await buyer_of(bearer(token()), deps(jwt_jwks_url=f"http://127.0.0.1:{port}/keys"))
    return True
