"""Finds the data type of every event: the Message classes in the departments' events.py."""

from importlib import import_module
from pathlib import Path
from typing import Final

from pulsecart.runtime.event import Message

SHOP: Final = Path(__file__).resolve().parent.parent / "pulsecart" / "shop"


def found() -> tuple[type[Message], ...]:
    """Return the Message classes by department, each department's as they stand in its file."""
    modules = [import_module(f"pulsecart.shop.{path.parent.name}.events") for path in sorted(SHOP.glob("*/events.py"))]
    return tuple(
        value
        for module in modules
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, Message) and value.__module__ == module.__name__
    )


MESSAGES: Final = found()
