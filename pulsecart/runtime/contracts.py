"""Validates events against their contracts: the JSON Schemas under ``contracts/``, one per event type."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import msgspec

from pulsecart.runtime.event import JSON, CloudEvent, schema_of
from pulsecart.runtime.problem import Malformed

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator, ValidationError

CONTRACTS_DIR: Final = Path(__file__).resolve().parents[2] / "contracts"

# Types that external systems define: their events pass with any data.
FOREIGN_TYPES: Final = frozenset({"dev.knative.sources.ping"})


def validate(event: CloudEvent) -> None:
    """
    Validate ``event`` against the contract of its type.

    Raises:
        Malformed: the type has no contract (``unknown-type``), or the event breaks it (``contract-broken``, with
            ``pointer``, a JSON pointer into the data, and ``reason``). A retry of the same event fails again.
    """
    if event.type in FOREIGN_TYPES:
        return
    if event.type not in event_types():
        raise _unknown(event.type)
    if event.dataschema is not None and event.dataschema != schema_of(event.type):
        raise _broken(event, "", f"dataschema is {event.dataschema}, this type's is {schema_of(event.type)}")
    error = next(_validator(event.type).iter_errors(_json(event)), None)
    if error is not None:
        raise _broken(event, _pointer(error), _reason(error))


@cache
def event_types() -> frozenset[str]:
    """Return every type that has a contract, e.g. ``ecommerce.order.order.created.v1``."""
    return frozenset(_type_of(path) for path in CONTRACTS_DIR.glob("*/*/*.json"))


def schema_path(event_type: str) -> Path:
    """Return the path of the type's schema, which may not exist."""
    domain, context, *name = event_type.split(".")
    return CONTRACTS_DIR / domain / context / f"{'.'.join(name)}.json"


def schema(event_type: str) -> dict[str, Any]:
    """
    Read the type's schema.

    Raises:
        FileNotFoundError: the type has no contract.
    """
    document: dict[str, Any] = msgspec.json.decode(schema_path(event_type).read_bytes())
    return document


@cache
def _validator(event_type: str) -> "Draft202012Validator":
    from jsonschema_rs import Draft202012Validator  # no start needs it

    return Draft202012Validator(schema(event_type), validate_formats=True)


def _type_of(path: Path) -> str:
    domain, context, name = path.relative_to(CONTRACTS_DIR).with_suffix("").parts
    return f"{domain}.{context}.{name}"


def _json(event: CloudEvent) -> Any:
    if (event.datacontenttype or JSON).partition(";")[0].strip().lower() != JSON:
        raise _broken(event, "", f"datacontenttype is {event.datacontenttype}, not application/json")
    try:
        return msgspec.json.decode(event.data or b"")
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _broken(event, "", f"the data is not JSON: {error}") from None


def _pointer(error: "ValidationError") -> str:
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in error.instance_path)


def _reason(error: "ValidationError") -> str:
    # The message repeats the sender's value, which may have any size.
    return error.message if len(error.message) <= 200 else f"{error.message[:200]}…"


def _unknown(event_type: str) -> Malformed:
    return Malformed(
        "unknown-type",
        f"No contract for events of type {event_type[:200]!r}. "
        "Correct the type, or add its schema under contracts/ and its Struct to events.py of its department.",
    )


def _broken(event: CloudEvent, pointer: str, reason: str) -> Malformed:
    return Malformed(
        "contract-broken",
        f"{event.type} {event.id}: {pointer or 'the event'}: {reason}. Send it again as in {schema_of(event.type)}.",
        pointer=pointer,
        reason=reason,
    )
