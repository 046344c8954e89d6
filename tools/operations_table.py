"""
Generates the README's table of operations from their code and ``eventing/*.yaml``.

    python -m tools.operations_table            writes the table
    python -m tools.operations_table --check    exit status 1 if the table is stale
"""

import argparse
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from itertools import product
from pathlib import Path
from typing import Any, Final

import msgspec

from pulsecart.broker.manifests.eventing import EVENTING_DIR, Eventing, PingSource, Trigger, load, profiles
from pulsecart.processes import registry
from pulsecart.runtime.contracts import CONTRACTS_DIR
from pulsecart.runtime.event import CloudEvent
from pulsecart.serving.operation import Operation
from tools.messages import MESSAGES

ROOT: Final = Path(__file__).resolve().parent.parent
README: Final = ROOT / "README.md"
BEGIN: Final = "<!-- operations: written by python -m tools.operations_table -->"
END: Final = "<!-- /operations -->"
HEAD: Final = "| Operation | What it does | Answers | Subscribes to | Through | Publishes |\n|---|---|---|---|---|---|"

Wanted = Mapping[str, tuple[str, ...]]
"""Event type → the conditions (``orderstatus pending``) under which it is wanted; empty for always."""


@dataclass(frozen=True, slots=True)
class Wired:
    """An operation with its triggers and ping sources in the YAML."""

    operation: Operation
    triggers: tuple[Trigger, ...]
    ping_sources: tuple[PingSource, ...]
    dead_letters: bool


def wired(eventing: Eventing, operations: Iterable[Operation]) -> list[Wired]:
    """Return every operation with its wiring, ordered by name."""
    sinks = {broker.delivery.dead_letter_sink.service for broker in eventing.brokers}
    sinks |= {trigger.delivery.dead_letter_sink.service for trigger in eventing.triggers}
    return [
        Wired(
            operation,
            tuple(trigger for trigger in eventing.triggers if trigger.subscriber.service == operation.dns_name),
            tuple(source for source in eventing.ping_sources if source.sink.service == operation.dns_name),
            operation.dns_name in sinks,
        )
        for operation in sorted(operations, key=lambda operation: operation.name)
    ]


def read() -> list[Wired]:
    """
    Return this repository's operations with their wiring, of all profiles.

    Raises:
        Misconfigured: ``eventing/`` cannot be read.
        LookupError: an operation's folder does not define the operation.
    """
    operations = registry.load_all().values()
    return wired(load(EVENTING_DIR, [operation.dns_name for operation in operations], profiles()), operations)


def wanted(trigger: Trigger, types: Iterable[str]) -> Wanted:
    """Return which of ``types`` pass the trigger's filter, by evaluating it on every kind of event."""
    found: dict[str, tuple[str, ...]] = {}
    for event_type in types:
        kinds = list(_kinds(event_type))
        through = [marks for marks, event in kinds if trigger.wants(event)]
        if through:
            always = len(through) == len(kinds)
            found[event_type] = () if always else _shared(through)
    return found


def _kinds(event_type: str) -> Iterable[tuple[dict[str, str], CloudEvent]]:
    """Yield one event per combination of the marks (extensions with an enum) that a filter may test."""
    envelope: dict[str, Any] = msgspec.json.decode((CONTRACTS_DIR / "envelope.v1.json").read_bytes())
    marks = {name: part["enum"] for name, part in envelope["properties"].items() if "enum" in part}
    for values in product(*marks.values()):
        marked = dict(zip(marks, values, strict=True))
        yield marked, CloudEvent(id="any", source="/pulsecart/any", type=event_type, subject="any", extensions=marked)


def _shared(through: list[dict[str, str]]) -> tuple[str, ...]:
    """Return the marks that all combinations share."""
    common = through[0].items() & set.intersection(*(set(marks.items()) for marks in through))
    return tuple(f"{name} {value}" for name, value in sorted(common)) or ("some",)


def table(rows: Iterable[Wired]) -> str:
    """Render the table as Markdown."""
    return "\n".join([HEAD, *(f"| {' | '.join(_row(row))} |" for row in rows)])


def _row(row: Wired) -> tuple[str, ...]:
    operation = row.operation
    name = f"[`{operation.dns_name}`](functions/{operation.name}/main.py)"
    subscribed = [line for trigger in row.triggers for line in _subscribed(trigger)]
    subscribed += [f"every `{source.schedule.expression}`" for source in row.ping_sources]
    subscribed += ["dead letters"] if row.dead_letters else []
    through = [_link(trigger.name, trigger.where) for trigger in row.triggers]
    through += [_link(source.name, source.where) for source in row.ping_sources]
    emitted = [_code(message.TYPE) for message in operation.emits]
    return name, _purpose(operation), *map(_lines, (_answers(operation), subscribed, through, emitted))


def _link(name: str, where: str) -> str:
    return f"[`{name}`]({where.partition(':')[0]})"


def _answers(operation: Operation) -> list[str]:
    answers = [f"`{route.method} {route.path}`" for route in operation.routes]
    return answers + [f"`WS {path}`" for path in _web_sockets() if operation.name == "edge"]


def _web_sockets() -> list[str]:
    return re.findall(r'WebSocketRoute\("([^"]+)"', (ROOT / "pulsecart/edge/app.py").read_text())


def _subscribed(trigger: Trigger) -> list[str]:
    types = wanted(trigger, [message.TYPE for message in MESSAGES])
    return [_code(event_type) + (f" ({', '.join(marks)})" if marks else "") for event_type, marks in types.items()]


def _purpose(operation: Operation) -> str:
    words = (import_module(f"functions.{operation.name}.main").__doc__ or "").strip().splitlines()
    return words[0].replace("|", "or").replace("*", r"\*").replace("_", r"\_") if words else ""


def _code(event_type: str) -> str:
    """``ecommerce.order.order.paid.v1`` → ``order.paid.v1``: removes the common prefix."""
    return f"`{event_type.split('.', 2)[2]}`"


def _lines(parts: list[str]) -> str:
    return "<br>".join(parts) or "–"


def written(text: str, made: str) -> str:
    """
    Return the text with ``made`` between its markers.

    Raises:
        ValueError: a marker is missing or repeated, or they are in the wrong order.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise ValueError(f"README.md needs the lines {BEGIN} and {END}, each once and in this order")
    return f"{text.partition(BEGIN)[0]}{BEGIN}\n{made}\n{END}{text.partition(END)[2]}"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="tools.operations_table", description="Generate the README's table of operations."
    )
    parser.add_argument("--check", action="store_true", help="write nothing; report whether the table is stale")
    check = parser.parse_args(arguments).check
    before = README.read_text()
    after = written(before, table(read()))
    if check and before != after:
        sys.stderr.write("README.md's table of operations is stale: run ./scripts/generate\n")
        return 1
    if not check:
        README.write_text(after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
