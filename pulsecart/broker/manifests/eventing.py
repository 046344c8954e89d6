"""
Reads ``eventing/*.yaml`` into Brokers, Triggers and PingSources, as Knative 1.18 and later do; rejects the rest.

A folder of ``eventing/`` is a profile: its manifests exist too where the setting PROFILES names it.
"""

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pulsecart.broker.delivery import Delivery, Destination
from pulsecart.broker.filters import Filter
from pulsecart.broker.manifests.fields import Metadata, delivery_of, destination_of, filter_of, metadata, needed
from pulsecart.broker.manifests.strict_yaml import Block, Misconfigured, documents
from pulsecart.broker.schedule import BadSchedule, Schedule
from pulsecart.serving.operation_names import names

EVENTING_DIR = Path(__file__).parents[3] / "eventing"
EVENTING, SOURCES = "eventing.knative.dev/v1", "sources.knative.dev/v1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    name: str
    namespace: str
    delivery: Delivery
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Trigger:
    """A Trigger: ``wants`` is its filter; ``concurrency`` limits the events in flight to its subscriber."""

    name: str
    namespace: str
    broker: str
    wants: Filter
    subscriber: Destination
    delivery: Delivery
    concurrency: int
    where: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PingSource:
    name: str
    namespace: str
    schedule: Schedule
    sink: Destination
    content_type: str
    data: bytes | None
    where: str

    @property
    def source(self) -> str:
        """Return the CloudEvents ``source`` of its events."""
        return f"/apis/v1/namespaces/{self.namespace}/pingsources/{self.name}"


@dataclass(frozen=True, slots=True)
class Eventing:
    """All manifests of one directory, in file order."""

    brokers: tuple[Broker, ...]
    triggers: tuple[Trigger, ...]
    ping_sources: tuple[PingSource, ...]


def profiles() -> list[str]:
    """Return the names of all profiles of the shop."""
    return sorted(path.name for path in EVENTING_DIR.iterdir() if path.is_dir())


def load_all(profiles: Collection[str] = ()) -> Eventing:
    """
    Read the manifests of the shop, with every operation as a possible subscriber.

    Raises:
        Misconfigured: with file, line, reason, and the allowed values.
    """
    return load(EVENTING_DIR, [name.replace("_", "-") for name in names()], profiles)


def load(directory: Path, services: Collection[str], profiles: Collection[str] = ()) -> Eventing:
    """
    Read all manifests of a directory, and of those of its folders that ``profiles`` names.

    Args:
        services: Kubernetes names of all operations (``keep-dead-letter``).

    Raises:
        Misconfigured: with file, line, reason, and the allowed values.
    """
    made: dict[str, list[Any]] = {kind: [] for _, kind in _KINDS}
    seen: dict[tuple[str, str], str] = {}
    brokers: dict[tuple[str, str], Broker] = {}
    found = [*documents(directory), *(block for name in profiles for block in _of_profile(directory, name))]
    brokers_first = sorted(found, key=lambda block: not _is_broker(block))
    for document in brokers_first:
        kind, build = _kind(document)
        meta = metadata(document)
        known = seen.setdefault((kind, meta.name), document.where)
        if known != document.where:
            raise document.refuse(f"a {kind} named {meta.name} is also at {known}; names must be unique.")
        item = build(document, meta, Context(frozenset(services), brokers))
        document.done()
        made[kind].append(item)
        if isinstance(item, Broker):
            brokers[item.namespace, item.name] = item
    return Eventing(tuple(made["Broker"]), tuple(made["Trigger"]), tuple(made["PingSource"]))


@dataclass(frozen=True, slots=True)
class Context:
    services: frozenset[str]
    brokers: dict[tuple[str, str], Broker]


def _of_profile(directory: Path, name: str) -> Iterator[Block]:
    folders = sorted(path.name for path in directory.iterdir() if path.is_dir())
    if name not in folders:
        raise Misconfigured(f"PROFILES: there is no profile {name!r}. Allowed: {', '.join(folders) or 'none'}.")
    return documents(directory / name, f"{directory.name}/{name}")


def _is_broker(document: Block) -> bool:
    return document.has("kind") and document.text("kind", "") == "Broker"


def _kind(document: Block) -> tuple[str, "Callable[[Block, Metadata, Context], Any]"]:
    version, kind = document.text("apiVersion"), document.text("kind")
    if (version, kind) not in _KINDS:
        allowed = ", ".join(f"{kind} of {version}" for version, kind in _KINDS)
        raise document.refuse(f"{kind} of {version} is not supported. Allowed: {allowed}.")
    return kind, _KINDS[version, kind]


def _broker(document: Block, meta: Metadata, context: Context) -> Broker:
    spec = needed(document, "spec")
    spec.refused("config", "choose the channel per cluster, in an overlay.")
    delivery = delivery_of(needed(spec, "delivery"), meta, context.services)
    spec.done()
    return Broker(name=meta.name, namespace=meta.namespace, delivery=delivery, where=document.where)


def _trigger(document: Block, meta: Metadata, context: Context) -> Trigger:
    spec = needed(document, "spec")
    spec.refused("brokerRef", "is experimental; name the broker in spec.broker.")
    broker = context.brokers.get((meta.namespace, spec.text("broker")))
    if broker is None:
        allowed = ", ".join(name for namespace, name in context.brokers if namespace == meta.namespace) or "none yet"
        raise spec.refuse_field("broker", f"no such Broker in namespace {meta.namespace}. Allowed: {allowed}.")
    wants = filter_of(spec)
    subscriber = destination_of(needed(spec, "subscriber"), meta, context.services)
    if subscriber.last_part != meta.name:
        raise spec.refuse_field(
            "subscriber", f"its uri must end in /{meta.name}, or a dead letter would not have the Trigger that failed."
        )
    own = spec.block("delivery")
    delivery = broker.delivery if own is None else delivery_of(own, meta, context.services)
    spec.done()
    return Trigger(
        name=meta.name,
        namespace=meta.namespace,
        broker=broker.name,
        wants=wants,
        subscriber=subscriber,
        delivery=delivery,
        concurrency=meta.concurrency,
        where=document.where,
    )


def _ping_source(document: Block, meta: Metadata, context: Context) -> PingSource:
    spec = needed(document, "spec")
    try:
        schedule = Schedule(spec.text("schedule", "* * * * *"), spec.text("timezone", "UTC"))
    except BadSchedule as error:
        raise spec.refuse_field("schedule", str(error)) from None
    sink = destination_of(needed(spec, "sink"), meta, context.services)
    content_type, data = spec.text("contentType", ""), spec.text("data", "")
    spec.refused("dataBase64", "is not supported; give data as text.")
    spec.refused("ceOverrides", "are not supported.")
    spec.done()
    return PingSource(
        name=meta.name,
        namespace=meta.namespace,
        schedule=schedule,
        sink=sink,
        content_type=content_type or "application/json",
        data=data.encode() or None,
        where=document.where,
    )


_KINDS = {(EVENTING, "Broker"): _broker, (EVENTING, "Trigger"): _trigger, (SOURCES, "PingSource"): _ping_source}
__all__ = ["Broker", "Eventing", "Misconfigured", "PingSource", "Trigger", "load"]
