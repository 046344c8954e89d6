"""Reads the settings of a deployment, once, from the environment."""

import math
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from urllib.parse import SplitResult, urlsplit

from pulsecart.runtime.algorithms import KINDS, named
from pulsecart.runtime.outgoing_allow import allowed_of
from pulsecart.runtime.seal_keys import keys_of
from pulsecart.runtime.subscription_partners import partners_of

DEMO_ON_A_CLUSTER = "demo-on-this-cluster"
SECRET_MIN_BYTES = 32
METRICS_TOKEN_MIN = 16
KEEP_DAYS_MAX = 3650
LOG_LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
MAY_BE_0 = frozenset({"RATE_LIMIT"})  # every other number must be above 0


Origin = tuple[str, str, int]


class MissingSetting(Exception):
    """A required variable is missing, or a variable's value is invalid; the message names the variable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    Holds one value per environment variable; the field name in upper case is the variable. Names include units.

    Args:
        broker_url: the URL to which relay posts events; empty if the broker reads the log itself.
        accept_unsigned_buyers: True for a demo on loopback; DEMO_ON_A_CLUSTER for a demo on a cluster.
        allowed_hosts: host names that a demo on this machine accepts, besides localhost and PUBLIC_URL's host.
        metrics_token: the Bearer token that grants access to ``/metrics``.
        broker_token_file: file with the token that relay sends to the broker, read for each event; empty if the
            broker requires no token.
        event_keys: secrets, separated by commas: the first signs events, every one verifies them
            (``pulsecart.serving.signatures``).
        function_url: URL template of operations deployed on their own,
            ``http://{operation}.shop.svc.cluster.local``; empty if all operations run in this process.
        outgoing_allow: private networks, addresses and hosts that may be called, by plain http too, separated
            by commas; for development (``pulsecart.runtime.outgoing_allow``).
        webhook_keys: keys that seal partners' secrets, base64 of 32 bytes each, separated by commas: the first seals,
            every one opens (``pulsecart.runtime.sealing``).
        webhook_keep_days: how long webhook messages are kept after their end.
        log_file: file to which this process writes its log, in addition to standard error; one per process.
        pay_by_hand: charge only after the buyer confirms the payment; ``pay_within_s`` is then the buyer's time limit.
        profiles: folders of ``eventing/`` whose Triggers exist too, separated by commas.
        pubsub_pull: the partner of each subscription that is pulled, ``subscription=partner``, separated by commas.
        pubsub_push: the same of the subscriptions that push.
        pubsub_push_accounts: e-mails of the service accounts that push, separated by commas.
        pubsub_push_audience: the audience of their tokens; empty for ``/pubsub/push`` under ``public_url``.
        retry_refused: answer 503 to an event that can never be processed, for a broker that drops events at a 4xx
            instead of keeping them as dead letters: the event becomes a dead letter after the last attempt.
    """

    database_url: str = field(repr=False)
    redis_url: str = field(repr=False)
    accept_unsigned_buyers: bool | str = False
    allowed_hosts: str = ""
    metrics_token: str = field(default="", repr=False)
    session_secret: str = field(default="", repr=False)
    jwt_jwks_url: str = ""
    jwt_public_key: str = ""
    jwt_algorithms: str = "RS256,ES256"
    jwt_audience: str = "pulsecart"
    jwt_issuer: str = ""
    jwt_roles_claim: str = "roles"
    pay_within_s: float = 30.0
    pay_by_hand: bool = False
    lease_s: float = 5.0
    lock_wait_s: float = 2.0
    pool_max: int = 4
    batch_max: int = 128
    queue_max: int = 8192
    broker_url: str = ""
    broker_token_file: str = ""
    function_url: str = ""
    event_keys: str = ""
    retry_refused: bool = False
    otel_exporter_otlp_endpoint: str = ""
    log_level: str = "INFO"
    log_file: str = ""
    max_body_bytes: int = 65536
    rate_limit: int = 1200
    rate_limit_window_s: float = 60.0
    stream_life_s: float = 280.0
    stream_heartbeat_s: float = 15.0
    silent_timeout_s: float = 30.0
    head_timeout_s: float = 10.0
    body_timeout_s: float = 20.0
    write_timeout_s: float = 30.0
    keep_alive_s: float = 75.0
    progress_bytes_per_s: int = 128
    connections_max: int = 0
    connections_per_address: float = 0.25
    trusted_proxies: str = "127.0.0.0/8,::1"
    streams_per_caller: int = 64
    streams_per_address: int = 2000
    carts_per_address: int = 300
    outgoing_allow: str = ""
    webhook_keys: str = field(default="", repr=False)
    webhook_keep_days: int = 30
    profiles: str = ""
    pubsub_project: str = ""
    pubsub_emulator_host: str = ""
    pubsub_topic_prefix: str = ""
    pubsub_create_topics: bool = False
    pubsub_pull: str = ""
    pubsub_push: str = ""
    pubsub_push_accounts: str = ""
    pubsub_push_audience: str = ""
    pubsub_push_issuer: str = "https://accounts.google.com"
    pubsub_push_jwks_url: str = "https://www.googleapis.com/oauth2/v3/certs"
    public_url: str = field(default="http://127.0.0.1:8080")
    cors_origins: str = ""

    @property
    def unsigned_on_cluster(self) -> bool:
        """Return whether this is a demo on a cluster dedicated to it."""
        return self.accept_unsigned_buyers == DEMO_ON_A_CLUSTER


def read(environ: Mapping[str, str], optional: Collection[str] = ()) -> Settings:
    """
    Parse and validate the settings.

    Args:
        optional: required fields that may be absent nevertheless; they are then empty.

    Raises:
        MissingSetting: a required variable is absent, or a value has the wrong type or is invalid.
    """
    values: dict[str, object] = {}
    for f in fields(Settings):
        name = f.name.upper()
        if name in environ:
            values[f.name] = _parsed(name, environ[name], f.type)
        elif f.name in optional:
            values[f.name] = ""
        elif f.name in ("database_url", "redis_url"):
            raise MissingSetting(f"{name} is not set: set it to the server's URL (scripts/up does so)")
    settings = Settings(**values)  # type: ignore[arg-type]  # each value was parsed by its field's type
    _check_tokens(settings)
    _check_others(settings)
    return settings


def origin_of(url: str) -> Origin | None:
    """Return scheme, lower-case host and port (by default the scheme's); None if this is no http or https URL."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return None
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        return None
    return parts.scheme, parts.hostname.rstrip("."), port or {"http": 80, "https": 443}[parts.scheme]


def _check_tokens(settings: Settings) -> None:
    algorithms = named(settings.jwt_algorithms)
    if not algorithms or not set(algorithms) <= set(KINDS):
        raise MissingSetting(f"JWT_ALGORITHMS={settings.jwt_algorithms!r} must name some of {', '.join(KINDS)}")
    if settings.jwt_jwks_url and settings.jwt_public_key:
        raise MissingSetting("JWT_JWKS_URL and JWT_PUBLIC_KEY are both set: keep the one that your issuer uses")
    if settings.jwt_issuer and not (settings.jwt_jwks_url or settings.jwt_public_key):
        raise MissingSetting("JWT_ISSUER is set without its keys: set JWT_JWKS_URL or JWT_PUBLIC_KEY, too")
    if settings.jwt_jwks_url and not _is_jwks_url(settings.jwt_jwks_url):
        raise MissingSetting(f"JWT_JWKS_URL={settings.jwt_jwks_url!r} is not an http:, https: or file: URL")
    for name, value in (("JWT_AUDIENCE", settings.jwt_audience), ("JWT_ROLES_CLAIM", settings.jwt_roles_claim)):
        if not value.strip():
            raise MissingSetting(f"{name} is empty, so that no token could be valid: leave it out to use the default")
    if settings.session_secret and len(settings.session_secret.encode()) < SECRET_MIN_BYTES:
        raise MissingSetting(f"SESSION_SECRET must have {SECRET_MIN_BYTES} bytes or more")


def _check_others(settings: Settings) -> None:
    if origin_of(settings.public_url) is None:
        raise MissingSetting(f"PUBLIC_URL={settings.public_url!r} is not a URL like https://shop.example")
    if settings.metrics_token and not re.fullmatch(rf"[\x21-\x7e]{{{METRICS_TOKEN_MIN},}}", settings.metrics_token):
        raise MissingSetting(f"METRICS_TOKEN must have {METRICS_TOKEN_MIN} printable ASCII characters or more")
    for host in filter(None, map(str.strip, settings.allowed_hosts.split(","))):
        if not re.fullmatch(r"[A-Za-z0-9.-]+|[0-9a-fA-F:]+", host):
            raise MissingSetting(
                f"ALLOWED_HOSTS={host!r} is not a host name like shop.example, without scheme and port"
            )
    _check_parsed("OUTGOING_ALLOW", allowed_of, settings.outgoing_allow)
    _check_parsed("WEBHOOK_KEYS", keys_of, settings.webhook_keys)
    if settings.webhook_keep_days > KEEP_DAYS_MAX:
        raise MissingSetting(f"WEBHOOK_KEEP_DAYS={settings.webhook_keep_days} must be at most {KEEP_DAYS_MAX}")
    _check_parsed("PUBSUB_PULL", partners_of, settings.pubsub_pull)
    _check_parsed("PUBSUB_PUSH", partners_of, settings.pubsub_push)
    if settings.pubsub_push and not settings.pubsub_push_accounts:
        raise MissingSetting("PUBSUB_PUSH is set without PUBSUB_PUSH_ACCOUNTS, so that no request could be verified")
    if (settings.pubsub_push or settings.pubsub_pull) and not settings.pubsub_project:
        raise MissingSetting("PUBSUB_PROJECT is not set: set it to the project of the subscriptions")
    if settings.log_level.upper() not in LOG_LEVELS:
        raise MissingSetting(f"LOG_LEVEL={settings.log_level!r} is none of {', '.join(LOG_LEVELS)}")


def _check_parsed(name: str, parse: Callable[[str], object], text: str) -> None:
    try:
        parse(text)
    except ValueError as error:
        raise MissingSetting(f"{name}: {error}") from None


def _is_jwks_url(url: str) -> bool:
    try:
        parts: SplitResult = urlsplit(url)
    except ValueError:
        return False
    if parts.scheme == "file":
        return len(parts.path) > 1 and parts.netloc in ("", "localhost")
    return origin_of(url) is not None and not re.search(r"\s", url)


def _parsed(name: str, text: str, kind: object) -> object:
    if kind in (bool, "bool", bool | str, "bool | str"):
        words: dict[str, bool | str] = {"true": True, "1": True, "false": False, "0": False, "": False}
        if name == "ACCEPT_UNSIGNED_BUYERS":
            words[DEMO_ON_A_CLUSTER] = DEMO_ON_A_CLUSTER
        if text.lower() not in words:
            raise MissingSetting(f"{name}={text!r} is not a bool")
        return words[text.lower()]
    if kind in (int, "int", float, "float"):
        return _number(name, text, int if kind in (int, "int") else float)
    return text


def _number(name: str, text: str, kind: type[int] | type[float]) -> float:
    try:
        number = kind(text) if text.isascii() and len(text) <= 32 else math.nan
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise MissingSetting(f"{name}={text!r} is not {'an int' if kind is int else 'a float'}")
    if number < 0 or (number == 0 and name not in MAY_BE_0):
        raise MissingSetting(f"{name}={text!r} must be {'0 or more' if name in MAY_BE_0 else 'above 0'}")
    return number
