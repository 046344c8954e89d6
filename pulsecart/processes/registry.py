"""Loads the operations by the name of their folder under ``functions/``."""

from importlib import import_module

from pulsecart.serving.operation import Operation
from pulsecart.serving.operation_names import names as names


def load(name: str) -> Operation:
    """
    Load one operation.

    Raises:
        LookupError: there is no such operation, or its module does not define it under its name.
    """
    if name not in names():
        raise LookupError(f"no operation {name!r}; there are: {', '.join(names())}")
    made: Operation | None = getattr(getattr(import_module(f"functions.{name}.main"), name, None), "operation", None)
    if made is None or made.name != name:
        raise LookupError(f"functions/{name}/main.py does not end in `{name} = operation({name!r}, …)`")
    return made


def load_all() -> dict[str, Operation]:
    """Load every operation, by name."""
    return {name: load(name) for name in names()}
