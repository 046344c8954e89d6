"""Writes the files that belong to a new operation alone."""

import json
from collections.abc import Iterable, Sequence
from typing import Final

from pulsecart.runtime.contracts import schema_path
from pulsecart.runtime.event import schema_of
from tools.frozen_contracts import DRAFT
from tools.new_operation.wanted import Event, Wanted, camel
from tools.operations_table import ROOT

TRIGGER: Final = """\
# Say here why it subscribes, if the filter does not show it.
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata:
  name: {name}
spec:
  broker: default
{filter}
  subscriber:
    ref: {{apiVersion: serving.knative.dev/v1, kind: Service, name: {name}}}
    uri: /{name}
  delivery:
    deadLetterSink:
      ref: {{apiVersion: serving.knative.dev/v1, kind: Service, name: keep-dead-letter}}
      uri: /{name}
    retry: 10
    backoffPolicy: exponential
    backoffDelay: PT0.2S
"""
SERVICE: Final = """\
apiVersion: serving.knative.dev/v1
kind: Service
metadata:
  name: {name}
  labels:
{labels}
spec:
  template:
    metadata:
      annotations:
        autoscaling.knative.dev/max-scale: "1"
    spec:
      containerConcurrency: 0
      timeoutSeconds: {timeout_s}
      containers:
        - args: [{name}]
          env:
            - {{name: POOL_MAX, value: "1"}}
          resources:
            requests: {{cpu: 10m, memory: 96Mi}}
            limits: {{memory: 256Mi}}
"""
EVENT_TIMEOUT_S: Final = 60
REQUEST_TIMEOUT_S: Final = 30
ID: Final = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[^\\u0000-\\u001f\\u007f-\\u009f]+$"}
EXAMPLES: Final = ("0199f3a2-7c41-7b02-9d1e-5f0c8a6b1e77", "0199f3a2-9e10-7c55-8a44-1b2c3d4e5f60")


def texts(new: Wanted) -> dict[str, str]:
    """Return path below the repository → the file's text."""
    made = {
        f"functions/{new.name}/__init__.py": "",
        f"functions/{new.name}/main.py": _main(new),
        f"k8s/base/operations/{new.dns_name}.yaml": _service(new),
        new.test: _test(new),
    }
    if new.hears:
        made[f"eventing/{new.dns_name}.yaml"] = TRIGGER.format(name=new.dns_name, filter=_filter(new))
    if new.route:
        made[f"contracts/http/{new.dns_name}.yaml"] = _description(new)
    for event in new.emits:
        if event.new:
            made[schema_path(event.type).relative_to(ROOT).as_posix()] = _schema(event)
    return made


def timeout_s(new: Wanted) -> int:
    """Return the time limit of a request or a delivery on a cluster."""
    return EVENT_TIMEOUT_S if new.hears else REQUEST_TIMEOUT_S


def _main(new: Wanted) -> str:
    causes = ", ".join([event.short for event in new.hears] + ([new.route] if new.route else []))
    effects = ", ".join(event.short for event in new.emits) or "Say here what it does"
    lines = [f'"""{causes} → {effects}"""', "", "from pulsecart.runtime.deps import Deps"]
    if new.route:
        lines += ["from pulsecart.serving.access import ADMIN", "from pulsecart.serving.http import Reply, Request"]
    lines += ["from pulsecart.serving.operation import operation"]
    if new.route:
        lines += [f"from pulsecart.serving.routes import {new.method.lower()}"]
    if new.hears:
        lines += ["from pulsecart.serving.subscriptions import Received, on"]
    lines += _imports((*new.hears, *new.emits))
    lines += [*(_handle(new) if new.hears else ()), *(_answer(new) if new.route else ()), "", "", _operation(new)]
    return "\n".join(lines) + "\n"


def _handle(new: Wanted) -> Iterable[str]:
    received = " | ".join(f"Received[{event.struct}]" for event in new.hears)
    yield from ("", "")
    yield f"async def handle(event: {received}, deps: Deps) -> None:"
    yield '    """Say here what it does with the event, and which errors make the broker retry."""'
    yield "    async with deps.db.once(event.envelope) as tx:"
    yield "        if tx.seen:"
    yield "            return"
    yield from (f"        {line}" for line in _steps(new))


def _answer(new: Wanted) -> Iterable[str]:
    yield from ("", "")
    yield "async def answer(request: Request, deps: Deps) -> Reply:"
    yield '    """Say here what it answers, and which problems it raises."""'
    yield "    # async with deps.db.transaction() as tx:"
    yield from (f"    {line}" for line in _steps(new))
    yield "    return Reply(204)"


def _steps(new: Wanted) -> Iterable[str]:
    yield f"# Load the rows, decide in a pure function (pulsecart/shop/{new.department}/), store, emit:"
    for event in new.emits:
        yield f"# tx.emit({event.struct}({event.member}=…), key=…, sequence=…)"


def _operation(new: Wanted) -> str:
    parts = [f'"{new.name}"']
    if new.route:
        parts += [f'routes=[{new.method.lower()}("{new.path}", answer, allow=ADMIN)]']
    if new.hears:
        parts += [f"events=[{', '.join(f'on({event.struct}, handle)' for event in new.hears)}]"]
    if new.emits:
        parts += [f"emits=[{', '.join(event.struct for event in new.emits)}]"]
    return f"{new.name} = operation({', '.join(parts)})"


def _filter(new: Wanted) -> str:
    if len(new.hears) == 1:
        return f"  filter:\n    attributes:\n      type: {new.hears[0].type}"
    types = "\n".join(f"        - exact:\n            type: {event.type}" for event in new.hears)
    return f"  filters:\n    - any:\n{types}"


def _service(new: Wanted) -> str:
    labels = ["sessions"] if new.route else []
    labels += ["events"] if new.hears else []
    label_lines = "\n".join(f'    pulsecart.dev/{label}: "true"' for label in labels)
    return SERVICE.format(name=new.dns_name, labels=label_lines, timeout_s=timeout_s(new))


def _description(new: Wanted) -> str:
    parameters = ", ".join(name for name, _ in parameters_of(new))
    lines = [
        f"{new.route}:",
        f"  id: {camel(new.name)}",
        f"  tag: {new.department.capitalize()}",
        "  summary: Say here what it does",
        "  caller: admin",
        *([f"  parameters: [{parameters}]"] if parameters else []),
        "  replies:",
        "    204: {description: The request is done.}",
    ]
    return "\n".join(lines) + "\n"


def parameters_of(new: Wanted) -> list[tuple[str, str]]:
    """Return each placeholder of the path: its name in ``contracts/http/components.yaml``, and its own."""
    parts = new.path.split("/")
    return [
        (f"{parts[at - 1].rstrip('s')} {part[1:-1]}" if part == "{id}" else part[1:-1], part[1:-1])
        for at, part in enumerate(parts)
        if part.startswith("{")
    ]


def _schema(event: Event) -> str:
    thing, fact = event.aggregate.replace("_", " "), event.type.split(".")[-2].replace("_", " ")
    described = f"The {thing}; also the event's subject and partitionkey."
    document = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": schema_of(event.type),
        "$comment": f"{DRAFT}: delete this line when the members are final; ./scripts/generate then freezes them.",
        "title": f"{thing} {fact}".capitalize(),
        "description": "Say here what has happened. Readers ignore unknown members.",
        "type": "object",
        "required": [event.member],
        "properties": {event.member: {"description": described, "$ref": "#/$defs/id"}},
        "additionalProperties": True,
        "$defs": {"id": ID},
        "examples": [{event.member: example} for example in EXAMPLES],
    }
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _imports(events: Sequence[Event]) -> list[str]:
    structs: dict[str, set[str]] = {}
    for event in events:
        structs.setdefault(event.module, set()).add(event.struct)
    return [f"from {module} import {', '.join(sorted(structs[module]))}" for module in sorted(structs)]


def _test(new: Wanted) -> str:
    imports = _imports((*new.hears[:1], *new.emits))
    imports += ["from tests.client import Client"]
    imports += ["from tests.contracts.examples import example"] if new.hears else []
    if not new.emits:
        imports = ["import pytest", "", *imports]
    call = f'client.handle_event("{new.name}", event)' if new.hears else f'client.ask("{new.method}", "{_asked(new)}")'
    because = (
        f"functions/{new.name}/main.py does nothing yet: write its code, and here a test for each sentence about it"
    )
    lines = [f'"""{new.name}: Say here in one sentence what it does."""', "", *imports, "", ""]
    if new.hears:
        name = f"test_{_words(new.hears[0])}_{'leads_to_' + _words(new.emits[0]) if new.emits else 'is_worked_on'}_once"
        ask = [f"event = example({new.hears[0].struct})", "for _ in range(2):", f"    assert await {call} == 204"]
    else:
        name = f"test_the_route_{'leads_to_' + _words(new.emits[0]) if new.emits else 'does_its_work'}"
        ask = [f"assert (await {call}).status == 204"]
    body = list(ask)
    if new.emits:
        types = ", ".join(f"{event.struct}.TYPE" for event in new.emits)
        body = [f"before = len(await client.log({types}))", *ask]
        body += [f"emitted = [event.type for event in (await client.log({types}))[before:]]"]
        body += [f'assert emitted == [{types}], "{because}"']
    else:
        body += [f'pytest.fail("{because}")']
    lines += [f"async def {name}(client: Client) -> None:", *(f"    {line}" for line in body)]
    return "\n".join(lines) + "\n"


def _words(event: Event) -> str:
    return "_".join(event.type.split(".")[-3:-1])


def _asked(new: Wanted) -> str:
    """Return the path with a value for each placeholder."""
    return "/".join("1" if part.startswith("{") else part for part in new.path.split("/"))


def exchange(new: Wanted) -> str:
    """Return the test in ``tests/serving/test_functions_framework.py`` of the operation under functions-framework."""
    if new.hears:
        code = (
            f'    for _ in range(2):\n        assert await post(served, example({new.hears[0].struct})) == (204, b"")\n'
        )
    else:
        ask = f'await served.http.request("{new.method}", "{_asked(new)}", headers=admin)'
        code = f'    admin = client.signed("an-admin", "admin")\n    assert ({ask}).status_code == 204\n'
    return f"@check\nasync def {new.name}(served: Served, client: Client) -> None:\n{code}\n\n"
