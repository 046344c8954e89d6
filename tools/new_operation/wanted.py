"""Checks the command's options against the existing operations and events; a refusal states the alternative."""

import difflib
import keyword
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from pulsecart.processes import registry
from pulsecart.runtime.contracts import event_types
from tools.messages import MESSAGES
from tools.operations_table import ROOT

SHOP: Final = ROOT / "pulsecart" / "shop"
# Department → its context in event types, where it has another name.
CONTEXTS: Final = {
    "orders": "order",
    "carts": "cart",
    "payments": "payment",
    "catalogue": "product",
    "partners": "partner",
}
METHODS: Final = ("GET", "POST", "PUT", "DELETE")
NAME_MAX: Final = 40
# Names that main.py imports or defines, and the host's place in contracts/http/access.yaml.
TAKEN: Final = {"handle", "answer", "on", "operation", "host", *(method.lower() for method in METHODS)}


class NotPossible(Exception):
    """The operation cannot be made; the message is one sentence on the reason and what to do."""


@dataclass(frozen=True, slots=True)
class Event:
    """Holds a type, its Struct's name and module; ``new`` if type and Struct are still to be written."""

    type: str
    struct: str
    module: str
    new: bool = False

    @property
    def short(self) -> str:
        """Return ``order.paid.v1``."""
        return self.type.split(".", 2)[2]

    @property
    def aggregate(self) -> str:
        """Return ``flash_sale`` of ``ecommerce.pricing.flash_sale.ended.v1``."""
        return self.type.split(".")[-3]

    @property
    def member(self) -> str:
        """Return the member that holds the aggregate's id: ``flashSaleId``."""
        return f"{camel(self.aggregate)}Id"


@dataclass(frozen=True, slots=True)
class Wanted:
    """
    Args:
        method, path: of its route; empty where it has none.
    """

    name: str
    department: str
    hears: tuple[Event, ...]
    emits: tuple[Event, ...]
    method: str = ""
    path: str = ""

    @property
    def dns_name(self) -> str:
        return self.name.replace("_", "-")

    @property
    def route(self) -> str:
        return f"{self.method} {self.path}".strip()

    @property
    def test(self) -> str:
        return f"tests/functions/test_{self.name}.py"


def wanted(name: str, department: str, hears: Sequence[str], emits: Sequence[str], route: str) -> Wanted:
    """
    Raises:
        NotPossible: a name is taken or malformed, or a department or an event type is unknown.
    """
    _check_name(name)
    if department not in departments():
        raise NotPossible(
            f"There is no department {department}: use one of {', '.join(departments())}. To add one, create a"
            " folder in pulsecart/shop/ with an empty __init__.py, and add it to the layers in pyproject.toml."
        )
    if not hears and not route:
        raise NotPossible(f"{name} has neither an event type nor a route: give --hears or --route.")
    method, path = _checked_route(route) if route else ("", "")
    events = tuple(_known(type) for type in dict.fromkeys(hears))
    emitted = tuple(_emitted(type, department) for type in dict.fromkeys(emits))
    return Wanted(name, department, events, emitted, method, path)


def departments() -> list[str]:
    """Return the folders of ``pulsecart/shop/`` that are packages."""
    return sorted(path.parent.name for path in SHOP.glob("*/__init__.py"))


def camel(name: str) -> str:
    """Convert ``flash_sale`` to ``flashSale``."""
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)


def _check_name(name: str) -> None:
    if not re.fullmatch("[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or keyword.iskeyword(name) or len(name) > NAME_MAX:
        better = re.sub("[^a-z0-9]+", "_", re.sub("(?<=[a-z])(?=[A-Z])", "_", name).lower()).strip("_")
        instead = better if better[:1].isalpha() and not keyword.iskeyword(better) else "pack_order"
        raise NotPossible(
            f"{name} is not a valid name for an operation: use lower case letters, digits and single underscores,"
            f" at most {NAME_MAX}, such as {instead[:NAME_MAX]}."
        )
    if name in TAKEN:
        raise NotPossible(f"{name} is already used for something else: use a name of two words.")
    if name in registry.names():
        raise NotPossible(f"The operation {name} exists: change functions/{name}/, or use another name.")
    dns_name = name.replace("_", "-")
    for file in (
        f"functions/{name}",
        f"tests/functions/test_{name}.py",
        f"eventing/{dns_name}.yaml",
        f"k8s/base/operations/{dns_name}.yaml",
        f"contracts/http/{dns_name}.yaml",
    ):
        if (ROOT / file).exists():
            raise NotPossible(
                f"{file} exists and does not belong to this operation: use another name, or remove the file."
            )


def _checked_route(route: str) -> tuple[str, str]:
    method, _, path = route.partition(" ")
    if method not in METHODS or not re.fullmatch(r"/api/v1(/[a-z0-9-]+|/\{[a-zA-Z]+\})+", path):
        raise NotPossible(
            f'{route!r} is not a route: write it as "POST /api/v1/things/{{id}}", with one of {", ".join(METHODS)},'
            " lower case words and placeholders in braces."
        )
    for operation in registry.load_all().values():
        for known in operation.routes:
            if (known.method, _shape(known.path)) == (method, _shape(path)):
                raise NotPossible(
                    f"{operation.name} already has the route {known.method} {known.path}: use another path."
                )
    return method, path


def _shape(path: str) -> str:
    return re.sub(r"\{\w+\}", "{}", path)


def _known(name: str) -> Event:
    found = _found(name)
    if found is None:
        known = sorted(short for type in event_types() for short, _ in [_names(type)])
        close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
        raise NotPossible(
            f"There is no event type {name}: subscribe to {f'{close[0]}, or another ' if close else 'one '}of"
            f" {', '.join(known)}. To add a type, start with the operation that emits it (--emits)."
        )
    return found


def _emitted(name: str, department: str) -> Event:
    found = _found(name)
    if found is not None:
        return found
    context = CONTEXTS.get(department, department)
    type = f"ecommerce.{context}.{name}.v1" if name.count(".") == 1 else name
    if not re.fullmatch(r"ecommerce\.[a-z]+(\.[a-z]+(_[a-z]+)*){2}\.v[1-9][0-9]*", type):
        raise NotPossible(
            f"{name} is not an event type: write a noun and a past fact, such as order.packed, or the full type,"
            f" such as ecommerce.{context}.order.packed.v1."
        )
    thing, fact, version = type.split(".")[-3:]
    struct = "".join(word.capitalize() for word in f"{thing}_{fact}".split("_"))
    struct += "" if version == "v1" else version.upper()
    for message in MESSAGES:
        if message.__name__ == struct:
            raise NotPossible(
                f"{message.__module__} already has {struct} for another type than {type}: use other words."
            )
    return Event(type, struct, f"pulsecart.shop.{department}.events", new=True)


def _found(name: str) -> Event | None:
    types = [type for type in sorted(event_types()) if name in (type, *_names(type))]
    if len(types) > 1:
        raise NotPossible(f"{name} is ambiguous ({', '.join(types)}): write the full type.")
    structs = {message.TYPE: message for message in MESSAGES}
    return Event(types[0], structs[types[0]].__name__, structs[types[0]].__module__) if types else None


def _names(type: str) -> tuple[str, str]:
    """Return ``order.paid.v1`` and ``order.paid``."""
    short = type.split(".", 2)[2]
    return short, short.rpartition(".")[0]
