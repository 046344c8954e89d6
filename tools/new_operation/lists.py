"""Adds the new operation, its routes and event types to the files that list them, in their order."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tools.new_operation.files import exchange, parameters_of, timeout_s
from tools.new_operation.wanted import Event, NotPossible, Wanted

EXCHANGES: Final = "tests/serving/test_functions_framework.py"
COMPONENTS: Final = "contracts/http/components.yaml"
CHANGES: Final = "contracts/CHANGELOG.md"
UNRELEASED: Final = "## Unreleased\n\n| Type | Meaning |\n|---|---|\n"
EVENTS: Final = (
    '"""Defines the data of the events about {department}."""\n\n'
    "from pulsecart.runtime.event import Message\nfrom pulsecart.shop.event_fields import Id\n"
)
PARAMETER: Final = (
    "  {listed}: {{name: {name}, in: path, required: true, description: Say here of what., "
    'schema: {{type: string, minLength: 1, maxLength: 64}}, example: "1"}}\n'
)


def changed(new: Wanted, root: Path) -> dict[str, str]:
    """
    Return path below ``root`` → the list's new text.

    Raises:
        NotPossible: a list is not written as this command knows it.
    """
    edits: dict[str, Callable[[Wanted, str], str]] = {
        "k8s/base/operations/kustomization.yaml": _services,
        "docs/kubernetes.md": _scales,
        EXCHANGES: _exchanges,
    }
    if new.hears:
        edits["eventing/Kustomization"] = _triggers
    if new.route:
        edits |= {"contracts/http/access.yaml": _access, COMPONENTS: _parameters}
    if any(event.new for event in new.emits):
        edits |= {f"pulsecart/shop/{new.department}/events.py": _structs, CHANGES: _changes}
    made = {}
    for name, edit in edits.items():
        before = (root / name).read_text() if (root / name).exists() else ""
        try:
            after = edit(new, before)
        except ValueError as error:
            raise NotPossible(f"{name} has no {error}, where the new operation must be listed: restore it.") from error
        if after != before:
            made[name] = after
    return made


def _before(text: str, start: str, of: str, key: str, line: str, until: str = "") -> str:
    """
    Return the text with ``line`` before the first entry that sorts after ``key``.

    Args:
        start: the list begins behind it; ``of`` matches an entry, its first group being what is sorted by.
        until: begins the text after the list; empty where the list ends the file.

    Raises:
        ValueError: ``start`` or ``until`` is not in the text.
    """
    begin = text.find(start) + len(start)
    if begin < len(start):
        raise ValueError(f"line {start.strip()!r}")
    end = text.find(until, begin) if until else len(text)
    if end < 0:
        raise ValueError(f"line {until.strip()!r}")
    entries = re.finditer(of, text[begin:end], re.MULTILINE)
    at = next((begin + entry.start() for entry in entries if entry[1] > key), end)
    return text[:at] + line + text[at:]


def _services(new: Wanted, text: str) -> str:
    line = f"  - {new.dns_name}.yaml\n"
    return _before(text, "\nresources:\n", r"^  - (\S+)\.yaml\n", new.dns_name, line, "# Named by")


def _triggers(new: Wanted, text: str) -> str:
    name = f"{new.dns_name}.yaml"
    return _before(text, "\nresources:\n", r"^  - (\S+)\n", name, f"  - {name}\n")


def _scales(new: Wanted, text: str) -> str:
    row = f"| `{new.dns_name}` | 1 | 1 | {timeout_s(new)} s |\n"
    listed = _before(text, "| Operation | Maximum pods |", r"^\| `(\S+)` \|.*\n", new.dns_name, row, "\nTogether ")
    total = re.search(r"^Together these are (\d+) connections", listed, re.MULTILINE)
    if total is None:
        raise ValueError("sentence 'Together these are … connections'")
    return f"{listed[: total.start(1)]}{int(total[1]) + 1}{listed[total.end(1) :]}"


def _exchanges(new: Wanted, text: str) -> str:
    end = "def test_every_operation_has_its_exchange"
    listed = _before(text, "CHECKS", r"^@check\nasync def (\w+)\(", new.name, exchange(new), end)
    if not new.hears:
        return listed
    listed = _imported(listed, new.hears[0].module, new.hears[0].struct)
    return _imported(listed, "tests.contracts.examples", "example")


def _imported(text: str, module: str, name: str) -> str:
    """Return the text with the name imported; in any order, since imports are sorted afterwards."""
    there = re.search(rf"^from {re.escape(module)} import (.*)\n", text, re.MULTILINE)
    if there is None:
        client = "from tests.client import Client\n"
        if client not in text:
            raise ValueError(f"line {client.strip()!r}")
        return text.replace(client, f"{client}from {module} import {name}\n", 1)
    names = sorted({*there[1].split(", "), name})
    return f"{text[: there.start(1)]}{', '.join(names)}{text[there.end(1) :]}"


def _access(new: Wanted, text: str) -> str:
    entry = f"  {new.dns_name}:\n    {new.route}: admin\n"
    return _before(text, "\nroutes:\n", r"^  ([a-z-]+):\n", new.dns_name, entry, "  host:\n")


def _parameters(new: Wanted, text: str) -> str:
    start = "\nparameters:\n"
    if start not in text:
        raise ValueError("line 'parameters:'")
    for listed, name in parameters_of(new):
        if not re.search(rf"^  {re.escape(listed)}:", text, re.MULTILINE):
            text = text.replace(start, start + PARAMETER.format(listed=listed, name=name), 1)
    return text


def _structs(new: Wanted, text: str) -> str:
    """Return the department's events.py with the new Structs, or a new one; its builders stay last."""
    made = "".join(_struct(event) for event in new.emits if event.new)
    head, builders, tail = (text or EVENTS.format(department=new.department)).partition("\ndef ")
    return f"{head.rstrip()}\n\n\n{made}{builders.lstrip()}{tail}"


def _struct(event: Event) -> str:
    return (
        f"class {event.struct}(Message, frozen=True, kw_only=True):\n"
        f'    TYPE = "{event.type}"\n'
        f"    {event.member}: Id\n\n\n"
    )


def _changes(new: Wanted, text: str) -> str:
    if UNRELEASED not in text:
        first = text.find("\n## ") + 1
        if not first:
            raise ValueError("heading '## …'")
        text = f"{text[:first]}{UNRELEASED}\n{text[first:]}"
    rows = "".join(f"| `{event.type}` | Say here what has happened |\n" for event in new.emits if event.new)
    return text.replace(UNRELEASED, UNRELEASED + rows, 1)
