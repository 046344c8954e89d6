"""Finds parts of an operation that lack their counterpart; each complaint states what to add."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from pulsecart.runtime.contracts import event_types
from pulsecart.serving.subscriptions import PING
from tools.messages import MESSAGES
from tools.operations_table import Wired, wanted

INVENTED = "ecommerce.nowhere.nothing.happened.v1"
NOT_OPERATIONS = {"broker.yaml"}  # the Broker and its delivery defaults belong to no operation


class Call(NamedTuple):
    """Holds a Trigger or a PingSource, and the URL that it calls."""

    name: str
    where: str
    url: str


def _calls(row: Wired) -> list[Call]:
    calls = [Call(trigger.name, trigger.where, trigger.subscriber.url) for trigger in row.triggers]
    return calls + [Call(source.name, source.where, source.sink.url) for source in row.ping_sources]


def files(root: Path, operations: Iterable[str]) -> Iterator[str]:
    """Each operation has its folder, its function and its test."""
    names = set(operations)
    for folder in sorted(path for path in (root / "functions").iterdir() if path.is_dir()):
        if folder.name.startswith(("_", ".")):
            continue
        if not (folder / "main.py").is_file():
            yield f"functions/{folder.name}/ has no main.py: add it, or remove the folder"
        elif f"def {folder.name}(" not in (text := (folder / "main.py").read_text()) and (
            f"{folder.name} = operation(" not in text
        ):
            yield f"functions/{folder.name}/main.py must define {folder.name}: end it in {folder.name} = operation(…)"
    for name in sorted(names):
        if not (root / "tests" / "functions" / f"test_{name}.py").is_file():
            yield f"tests/functions/test_{name}.py is missing: say there what {name} does"
    for test in sorted((root / "tests" / "functions").glob("test_*.py")):
        about = test.stem.removeprefix("test_")
        if not any(about == name or about.startswith(f"{name}_") for name in names):
            yield f"tests/functions/{test.name} tests no operation: name it after one, or move it to tests/flows"


def eventing_files(root: Path, rows: Iterable[Wired]) -> Iterator[str]:
    """``eventing/<operation>.yaml`` exists if, and only if, the operation has a Trigger or a PingSource."""
    known = set(NOT_OPERATIONS)
    for row in rows:
        name = _eventing_file(root, row.operation.dns_name)
        known.add(name)
        there = (root / "eventing" / name).is_file()
        subscribed = bool(row.operation.events) and (bool(row.triggers or row.ping_sources) or not row.dead_letters)
        if subscribed and not there:
            yield f"eventing/{name} is missing: {row.operation.name} subscribes to {', '.join(row.operation.events)}"
        if there and not subscribed:
            yield f"eventing/{name}: {row.operation.name} subscribes to nothing; remove it, or add events=[on(…)]"
        for call in _calls(row):
            if not call.where.startswith(f"eventing/{name}:"):
                yield f"{call.where}: {call.name} calls {row.operation.dns_name}: move it to eventing/{name}"
    for path in sorted((root / "eventing").rglob("*.yaml")):
        name = path.relative_to(root / "eventing").as_posix()
        if name not in known:
            yield f"eventing/{name} belongs to no operation: name it after one under functions/"


def _eventing_file(root: Path, dns_name: str) -> str:
    """Return an operation's file below eventing/, which may be in the folder of a profile."""
    found = sorted((root / "eventing").glob(f"*/{dns_name}.yaml"))
    return found[0].relative_to(root / "eventing").as_posix() if found else f"{dns_name}.yaml"


def hearing(row: Wired) -> Iterator[str]:
    """An operation subscribes to exactly the types that its Triggers pass."""
    operation, types = row.operation, sorted(event_types())
    received = set(operation.events)
    everything = "*" in received
    through: set[str] = {PING} if row.ping_sources else set()
    for trigger in row.triggers:
        wants = wanted(trigger, [*types, INVENTED])
        through |= wants.keys()
        if not wants:
            yield f"{trigger.where}: {trigger.name} passes no event that has a contract: correct its filter"
        if INVENTED in wants and not everything:
            yield f"{trigger.where}: {trigger.name} passes every type: filter by type, or subscribe with on_anything"
        for type in sorted(wants.keys() - received - {INVENTED}) if not everything else ():
            yield f"{trigger.where}: {operation.name} does not subscribe to {type}: add on(…), or filter it out"
    if row.ping_sources and PING not in received:
        yield f"{row.ping_sources[0].where}: {operation.name} does not handle ticks: give it wake=… or on_schedule(…)"
    for type in sorted(received - through - {"*"}):
        source = "PingSource" if type == PING else "Trigger"
        yield f"eventing/{operation.dns_name}.yaml: no {source} delivers {type} to {operation.name}: add one"
    if everything and not row.triggers and not row.dead_letters:
        yield f"eventing/{operation.dns_name}.yaml: no Trigger delivers events to {operation.name}: add one"


def paths(rows: Iterable[Wired]) -> Iterator[str]:
    """Each Trigger's path, and its dead letters' path, is its name, so that a dead letter names the failed Trigger."""
    seen: dict[str, str] = {}
    for row in rows:
        for trigger in row.triggers:
            if trigger.delivery.dead_letter_sink.path != f"/{trigger.name}":
                yield f"{trigger.where}: give {trigger.name} a delivery.deadLetterSink with uri: /{trigger.name}"
        for call in _calls(row):
            if call.url.partition("://")[2].partition("/")[2] != call.name:
                yield f"{call.where}: uri of {call.name} must be /{call.name}, not {call.url}"
            if other := seen.get(call.url):
                yield f"{call.where}: {call.url} is also called at {other}: give each its own uri"
            seen[call.url] = call.where


def literal_types(root: Path) -> Iterator[str]:
    """Each type in a filter exists; a misspelt one would never match."""
    known = event_types() | {PING}
    for path in sorted((root / "eventing").rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            for type in _types_in(document):
                if type not in known:
                    yield f"eventing/{path.name}: there is no contract for {type}: correct it, or add it to contracts/"


def _types_in(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _types_in(item)
    elif isinstance(node, dict):
        for key, value in node.items():
            if key in ("exact", "attributes") and isinstance(value, dict) and value.get("type"):
                yield value["type"]
            yield from _types_in(value)


def emitting(rows: Iterable[Wired]) -> Iterator[str]:
    """Every emitted type has a contract, and every subscribed type has a publisher."""
    for row in rows:
        for message in row.operation.emits:
            if message.TYPE not in event_types():
                yield f"{row.operation.name} emits {message.TYPE}: add its schema to contracts/"
            if message not in MESSAGES:
                yield f"{row.operation.name} emits {message.TYPE}: add {message.__name__} to MESSAGES"
