"""Everything that may differ between two places PulseCart runs in: read once from the environment."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields


class MissingSetting(Exception):
    """A variable without which nothing can start, or one whose value cannot be read; the message names it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    Field names in upper case are the environment's variables. Units stand in the names.

    Args:
        broker_url: where relay posts events; empty where the broker reads the log itself.
        broker_token_file: a token that relay shows to the broker, read for each event; empty where it asks for none.
        event_keys: secrets, separated by commas: the first signs events, each verifies them (``runtime.signatures``).
        function_url: of the other operations, each served alone, ``http://{operation}.shop.svc.cluster.local``;
            empty where all are in this process.
        pay_by_hand: charge nobody before they ask to pay; ``pay_within_s`` is then for people.
        retry_refused: answer 503 to an event that can never be taken, for a broker that drops it at a 4xx instead of
            keeping it as a dead letter: it becomes one after the last attempt.
    """

    database_url: str
    redis_url: str
    accept_unsigned_buyers: bool = False
    session_secret: str = ""
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
    max_body_bytes: int = 65536
    rate_limit: int = 1200
    rate_limit_window_s: float = 60.0
    stream_life_s: float = 280.0
    stream_heartbeat_s: float = 15.0
    public_url: str = field(default="http://127.0.0.1:8080")
    cors_origins: str = ""


def read(environ: Mapping[str, str], optional: Collection[str] = ()) -> Settings:
    """
    Args:
        optional: fields without a default that may be absent all the same; they are then empty.

    Raises:
        MissingSetting: a variable without a default is absent, or a value is not of its type.
    """
    values: dict[str, object] = {}
    for f in fields(Settings):
        name = f.name.upper()
        if name in environ:
            values[f.name] = _parsed(name, environ[name], f.type)
        elif f.name in optional:
            values[f.name] = ""
        elif f.name in ("database_url", "redis_url"):
            raise MissingSetting(f"{name} is not set; scripts/up sets it, elsewhere give the server's URL")
    return Settings(**values)  # type: ignore[arg-type]  # each value was parsed by its field's type


def _parsed(name: str, text: str, kind: object) -> object:
    try:
        if kind in (bool, "bool"):
            return {"true": True, "1": True, "false": False, "0": False, "": False}[text.lower()]
        if kind in (int, "int"):
            return int(text)
        if kind in (float, "float"):
            return float(text)
    except (KeyError, ValueError):
        raise MissingSetting(f"{name}={text!r} is not a {getattr(kind, '__name__', kind)}") from None
    return text
