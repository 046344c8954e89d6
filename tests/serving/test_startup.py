"""What cannot work stops the start, by the setting's name; what works does not."""

import json
import os
import socket
import subprocess
import sys
from base64 import b64encode
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from starlette.requests import Request as StarletteRequest

from functions.stock.main import stock
from pulsecart.admin.which_shop import ROOT
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.settings import DEMO_ON_A_CLUSTER, MissingSetting, Settings, read
from pulsecart.serving import functions_framework as starlette_adapter
from pulsecart.serving import startup
from pulsecart.serving.operation import Operation

NEEDED = {"DATABASE_URL": "", "REDIS_URL": ""}
JWKS = {"JWT_JWKS_URL": "https://issuer.example/keys", "JWT_ISSUER": "https://issuer.example"}
EVERYWHERE = ["0.0.0.0", "::", "192.168.1.7", "10.0.0.4", "fe80::1%eth0", "shop.example", "::ffff:10.0.0.1"]
HERE = ["127.0.0.1", "127.8.9.10", "::1", "::ffff:127.0.0.1", "localhost", ""]


def pem(key: Any) -> str:
    return str(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode())


P256, P384, ED = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1()), ed25519
WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024)


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"JWT_ALGORITHMS": "none"}, "JWT_ALGORITHMS"),
        ({"JWT_ALGORITHMS": "RS256,HS512"}, "JWT_ALGORITHMS"),
        ({"JWT_ALGORITHMS": "rs256"}, "JWT_ALGORITHMS"),
        ({"JWT_ALGORITHMS": " , "}, "JWT_ALGORITHMS"),
        ({"JWT_JWKS_URL": "issuer.example/keys"}, "JWT_JWKS_URL"),
        ({"JWT_JWKS_URL": "ftp://issuer.example/keys"}, "JWT_JWKS_URL"),
        ({"JWT_JWKS_URL": "https:///keys"}, "JWT_JWKS_URL"),
        ({"JWT_JWKS_URL": "https://issuer.example:port/keys"}, "JWT_JWKS_URL"),
        ({"JWT_JWKS_URL": "https://issuer.example/ keys"}, "JWT_JWKS_URL"),
        ({"JWT_JWKS_URL": "https://[::1/keys"}, "JWT_JWKS_URL"),
        ({"JWT_JWKS_URL": "file:"}, "JWT_JWKS_URL"),
        ({**JWKS, "JWT_PUBLIC_KEY": pem(P256)}, "JWT_PUBLIC_KEY"),
        ({"JWT_ISSUER": "https://issuer.example"}, "JWT_ISSUER"),
        ({**JWKS, "JWT_AUDIENCE": ""}, "JWT_AUDIENCE"),
        ({**JWKS, "JWT_ROLES_CLAIM": " "}, "JWT_ROLES_CLAIM"),
        ({"SESSION_SECRET": "thirty-one bytes, one too few!!"}, "SESSION_SECRET"),
        ({"WEBHOOK_KEYS": "short"}, "WEBHOOK_KEYS"),
        ({"OUTGOING_ALLOW": "10.0.0.1/8"}, "OUTGOING_ALLOW"),
        ({"METRICS_TOKEN": "short"}, "METRICS_TOKEN"),
        ({"METRICS_TOKEN": "long enough but with spaces"}, "METRICS_TOKEN"),
        ({"PUBLIC_URL": "shop.example"}, "PUBLIC_URL"),
        ({"PUBLIC_URL": "https://user:pw@shop.example"}, "PUBLIC_URL"),
        ({"ACCEPT_UNSIGNED_BUYERS": "yes"}, "ACCEPT_UNSIGNED_BUYERS"),
        ({"ACCEPT_UNSIGNED_BUYERS": "demo"}, "ACCEPT_UNSIGNED_BUYERS"),
        ({"LOG_LEVEL": "LOUD"}, "LOG_LEVEL"),
        ({"RATE_LIMIT_WINDOW_S": "0"}, "RATE_LIMIT_WINDOW_S"),
        ({"RATE_LIMIT": "-1"}, "RATE_LIMIT"),
        ({"STREAM_LIFE_S": "nan"}, "STREAM_LIFE_S"),
        ({"LEASE_S": "inf"}, "LEASE_S"),
        ({"POOL_MAX": "٤"}, "POOL_MAX"),
        ({"POOL_MAX": "0"}, "POOL_MAX"),
        ({"MAX_BODY_BYTES": "64k"}, "MAX_BODY_BYTES"),
    ],
)
def test_a_value_that_cannot_work_is_refused_by_its_name(given: dict[str, str], named: str) -> None:
    with pytest.raises(MissingSetting, match=named):
        read(NEEDED | given)


def test_what_works_is_read() -> None:
    for given in (
        {},
        JWKS,
        {"JWT_JWKS_URL": "http://issuer.svc.cluster.local:8080/keys", "JWT_ALGORITHMS": "ES256, EdDSA"},
        {"JWT_PUBLIC_KEY": pem(P256), "JWT_ISSUER": "me"},
        {"PUBLIC_URL": "https://shop.example/", "SESSION_SECRET": "x" * 32, "METRICS_TOKEN": "x" * 16},
        {"RATE_LIMIT": "0", "LOG_LEVEL": "debug"},
    ):
        read(NEEDED | given)


def test_an_operation_that_seals_secrets_needs_a_key_and_others_do_not() -> None:
    operations = [Operation("plain"), Operation("sealing", seals=True)]
    with pytest.raises(MissingSetting, match="WEBHOOK_KEYS is not set, but sealing needs it"):
        startup.check_seals(read(NEEDED), operations)
    startup.check_seals(read(NEEDED), operations[:1])
    startup.check_seals(read(NEEDED | {"WEBHOOK_KEYS": b64encode(bytes(32)).decode()}), operations)


@pytest.mark.parametrize("word", ["true", "1", "TRUE"])
def test_a_demo_starts_on_loopback_alone(word: str) -> None:
    settings = read(NEEDED | {"ACCEPT_UNSIGNED_BUYERS": word})
    for host in HERE:
        startup.check_unsigned(settings, host, {})
    for host in EVERYWHERE:
        with pytest.raises(MissingSetting, match=f"ACCEPT_UNSIGNED_BUYERS.*{DEMO_ON_A_CLUSTER}"):
            startup.check_unsigned(settings, host, {})
    with pytest.raises(MissingSetting, match="cluster"):  # queue-proxy forwards over loopback, from any client
        startup.check_unsigned(settings, "127.0.0.1", {"K_SERVICE": "checkout"})


def test_a_demo_on_a_cluster_needs_the_word_for_it_and_without_a_demo_every_address_is_good() -> None:
    demo = read(NEEDED | {"ACCEPT_UNSIGNED_BUYERS": DEMO_ON_A_CLUSTER})
    assert demo.accept_unsigned_buyers
    for settings in (demo, read(NEEDED)):
        for host in (*HERE, *EVERYWHERE):
            startup.check_unsigned(settings, host, {"K_SERVICE": "checkout"})


@pytest.mark.parametrize(
    ("key", "algorithms", "named"),
    [
        (P256, "RS256,EdDSA", "JWT_ALGORITHMS"),
        (P384, "ES256,RS256", "JWT_ALGORITHMS"),
        (ED.Ed25519PrivateKey.generate(), "RS256,ES256", "JWT_ALGORITHMS"),
        (ed448.Ed448PrivateKey.generate(), "EdDSA", "JWT_PUBLIC_KEY"),
        (x25519.X25519PrivateKey.generate(), "RS256", "JWT_PUBLIC_KEY"),
        (WEAK, "RS256", "JWT_PUBLIC_KEY has 1024 bits"),
        ("-----BEGIN NOTHING-----", "RS256", "JWT_PUBLIC_KEY"),
    ],
)
def test_a_key_that_verifies_none_of_the_algorithms_stops_the_start(key: Any, algorithms: str, named: str) -> None:
    given = {"JWT_PUBLIC_KEY": key if isinstance(key, str) else pem(key), "JWT_ALGORITHMS": algorithms}
    with pytest.raises(MissingSetting, match=named):
        check(read(NEEDED | given))


@pytest.mark.parametrize("algorithms", ["ES256", "RS256,ES256"])
def test_a_key_that_verifies_one_of_them_does_not(algorithms: str) -> None:
    check(read(NEEDED | {"JWT_PUBLIC_KEY": pem(P256), "JWT_ALGORITHMS": algorithms}))


@pytest.mark.parametrize("holds", [None, "", "[]", "{}", '{"keys": {}}', '{"keys": [1]}', '{"keys": []}', "[" * 99999])
def test_a_file_without_keys_stops_the_start(tmp_path: Path, holds: str | None) -> None:
    file = tmp_path / "key set.json"
    if holds is not None:
        file.write_text(holds)
    with pytest.raises(MissingSetting, match="JWT_JWKS_URL"):
        check(read(NEEDED | {"JWT_JWKS_URL": file.as_uri()}))
    file.write_text(json.dumps({"keys": [{"kty": "EC"}, {"kty": "oct"}]}))
    check(read(NEEDED | {"JWT_JWKS_URL": file.as_uri()}))
    with pytest.raises(MissingSetting, match="JWT_ALGORITHMS"):
        check(read(NEEDED | {"JWT_JWKS_URL": file.as_uri(), "JWT_ALGORITHMS": "RS256"}))


def test_a_shop_in_which_no_one_could_buy_does_not_start(settings: Settings) -> None:
    no_ones = replace(settings, jwt_jwks_url="", jwt_issuer="")
    with pytest.raises(MissingSetting, match="JWT_JWKS_URL nor JWT_PUBLIC_KEY"):
        check(no_ones)
    check(replace(no_ones, accept_unsigned_buyers=True))


def test_an_issuer_that_is_not_named_is_warned_of(settings: Settings, caplog: pytest.LogCaptureFixture) -> None:
    check(settings)
    assert "JWT_ISSUER" not in caplog.text
    check(replace(settings, jwt_issuer=""))
    assert "JWT_ISSUER" in caplog.text


def check(settings: Settings) -> None:
    startup.check(settings, "127.0.0.1", {}, reads_tokens=True, sells=True)


@pytest.mark.parametrize(
    ("command", "given", "named"),
    [
        (
            ["pulsecart.processes.function", "edge", "--port", "0"],
            {"ACCEPT_UNSIGNED_BUYERS": "true"},
            "ACCEPT_UNSIGNED_BUYERS",
        ),
        (["pulsecart.processes.function", "checkout", "--port", "0"], {"JWT_PUBLIC_KEY": "no key"}, "JWT_PUBLIC_KEY"),
        (["pulsecart.processes.host", "--fd", "FD"], {"ACCEPT_UNSIGNED_BUYERS": "true"}, "ACCEPT_UNSIGNED_BUYERS"),
    ],
)
def test_a_process_ends_with_the_setting_s_name_and_no_traceback(
    command: list[str], given: dict[str, str], named: str
) -> None:
    with socket.create_server(("0.0.0.0", 0)) as listening:
        run = [part.replace("FD", str(listening.fileno())) for part in command]
        nowhere = {"DATABASE_URL": "postgresql:///nowhere", "REDIS_URL": "redis://127.0.0.1:1"}
        ended = subprocess.run(
            [sys.executable, "-m", *run],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], **nowhere, **given},
            pass_fds=[listening.fileno()],
            capture_output=True,
            text=True,
            timeout=30,
        )
    assert ended.returncode == 1
    assert named in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize(("server", "refused"), [(("10.0.0.4", 8080), True), (("127.0.0.1", 8080), False)])
async def test_functions_framework_believes_no_one_who_comes_from_elsewhere(
    deps: Deps, server: tuple[str, int], refused: bool
) -> None:
    """It has no start hook, so each request's own address is judged."""
    scope = {"type": "http", "method": "GET", "path": "/api/v1/sync/stock/1", "query_string": b"", "headers": []}

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b""}

    asked = starlette_adapter.answer(stock.operation, StarletteRequest({**scope, "server": server}, receive), deps)
    if not refused:
        assert (await asked).status_code == 200
        return
    with pytest.raises(MissingSetting, match="ACCEPT_UNSIGNED_BUYERS"):
        await asked
